"""Checks an exported log with proofbundle alone, which nobody here wrote: none of our code takes part.

It reads the static directory as the C2SP specifications describe it, builds the proof of each entry by proofbundle's own
tree, and lets proofbundle decide on the log's signature, the witnesses' cosignatures and each entry's place. Then it flips
a bit of each in turn and demands that proofbundle refuses.
"""

import sys
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path

from proofbundle.checkpoint import verify_witnessed_checkpoint
from proofbundle.errors import ProofBundleError
from proofbundle.merkle import inclusion_proof, merkle_tree_hash
from proofbundle.tlogproof import format_tlog_proof, verify_tlog_proof

_WIDTH = 256
_SAMPLES_MAX = 24
_MANY_ENTRIES = 20_000


@dataclass(frozen=True)
class _Export:
    note: str
    vkey: str
    witnesses: list[str]
    entries: list[bytes]

    @property
    def origin(self) -> str:
        return self.note.split("\n", 1)[0]


def verify_export(directory: Path, vkey: str = "", witnesses: list[str] | None = None) -> tuple[bool, str]:
    """Return whether proofbundle accepts the export and refuses it with a bit flipped, and one line that says what it saw.

    Keys left out are taken from the export, which then proves only that it agrees with itself.
    """
    try:
        export = _read(directory, vkey, witnesses)
        return _judge(export)
    except (OSError, ValueError, IndexError, ProofBundleError) as error:
        return False, f"proofbundle: {directory.name} cannot be checked: {type(error).__name__}: {error}"


def _judge(export: _Export) -> tuple[bool, str]:
    if not export.witnesses:
        return False, f"proofbundle: {export.origin} names no witness"
    if not _accepts_note(export, export.note):
        return False, f"proofbundle: the checkpoint of {export.origin} is not signed by the log and all its witnesses"
    root = export.note.split("\n")[2]
    if b64encode(merkle_tree_hash(export.entries)).decode() != root:
        return False, f"proofbundle: the entries of {export.origin} do not hash to the root that was signed"
    count = len(export.entries)
    sampled = sorted({at * (count - 1) // max(1, _SAMPLES_MAX - 1) for at in range(_SAMPLES_MAX)} & set(range(count)))
    if len(export.entries) > _MANY_ENTRIES:
        sampled = sampled[:1] + sampled[-1:]
    proofs = {index: inclusion_proof(export.entries, index) for index in sampled}
    for index, proof in proofs.items():
        if not _accepts_entry(export, index, proof, export.entries[index]):
            return False, f"proofbundle: entry {index} of {export.origin} is not in the tree that was signed"
    taken = _accepts_a_flip(export, proofs)
    if taken:
        return False, f"proofbundle: accepts {export.origin} with a bit of {taken} flipped"
    return True, (
        f"proofbundle: {export.origin}: {count} entries hash to the signed root, {len(sampled)} proved one by one, "
        f"{len(export.witnesses)} cosigned; refused with a flipped bit of text, signature, cosignature, entry and proof"
    )


def _read(directory: Path, vkey: str, witnesses: list[str] | None) -> _Export:
    note = (directory / "checkpoint").read_text(encoding="utf-8")
    size = int(note.split("\n")[1])
    entries: list[bytes] = []
    for number in range((size + _WIDTH - 1) // _WIDTH):
        width = min(_WIDTH, size - number * _WIDTH)
        entries += _bundle((directory / _bundle_path(number, width)).read_bytes(), width)
    named = (directory / "witnesses").read_text(encoding="utf-8").splitlines() if witnesses is None else witnesses
    return _Export(note, vkey or (directory / "vkey").read_text(encoding="utf-8").strip(), named, entries)


def _bundle_path(number: int, width: int) -> str:
    digits = f"{number:03d}"
    digits = digits.rjust((len(digits) + 2) // 3 * 3, "0")
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    path = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
    return f"tile/entries/{path}" + ("" if width == _WIDTH else f".p/{width}")


def _bundle(data: bytes, width: int) -> list[bytes]:
    entries, at = [], 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 2], "big")
        entries.append(data[at + 2 : at + 2 + length])
        at += 2 + length
    if at != len(data) or len(entries) != width:
        raise ValueError(f"a bundle of {width} entries is not whole")
    return entries


def _accepts_note(export: _Export, note: str) -> bool:
    """Ask proofbundle whether the log and all witnesses signed this note. What it cannot parse it does not accept."""
    try:
        verdict = verify_witnessed_checkpoint(
            note, export.vkey, export.witnesses, threshold=len(export.witnesses), expected_origin=export.origin
        )
    except ProofBundleError:
        return False
    return bool(verdict["ok"])


def _accepts_entry(export: _Export, index: int, proof: list[bytes], entry: bytes) -> bool:
    try:
        text = format_tlog_proof(index, proof, export.note)
        verdict = verify_tlog_proof(
            text, entry, export.vkey, export.witnesses, threshold=len(export.witnesses), expected_origin=export.origin
        )
    except ProofBundleError:
        return False
    return bool(verdict["ok"])


def _accepts_a_flip(export: _Export, proofs: dict[int, list[bytes]]) -> str:
    """Return what proofbundle accepts although a bit of it was flipped; empty when it refuses all."""
    lines = export.note.split("\n")
    flips = {"the text": 2, "the log's signature": 4} | {
        f"cosignature {number}": number for number in range(5, len(lines) - 1)
    }
    for what, at in flips.items():
        if _accepts_note(export, "\n".join([*lines[:at], _flip_text(lines[at]), *lines[at + 1 :]])):
            return what
    for index, proof in proofs.items():
        if _accepts_entry(export, index, proof, _flip(export.entries[index])):
            return f"entry {index}"
        if proof and _accepts_entry(export, index, [_flip(proof[0]), *proof[1:]], export.entries[index]):
            return f"the proof of entry {index}"
    return ""


def _flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def _flip_text(line: str) -> str:
    """Change one sign of the base64 at a line's end, inside what is signed or the signature."""
    at = len(line) - 20
    return line[:at] + ("A" if line[at] != "A" else "B") + line[at + 1 :]


def main(arguments: list[str]) -> int:
    """Check each directory named; 0 when all are accepted, 7 otherwise."""
    if not arguments:
        print("usage: python -m deploy.demo.foreign_verifier DIRECTORY...", file=sys.stderr)
        return 2
    found = [verify_export(Path(argument)) for argument in arguments]
    for _, text in found:
        print(text)
    return 0 if all(ok for ok, _ in found) else 7


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
