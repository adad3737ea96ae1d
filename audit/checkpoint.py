r"""Signed notes, checkpoints and cosignatures in the C2SP formats, unchanged, so that foreign tools verify them.

- signed-note: text, a blank line, signature lines `— name base64(key id || signature)`
- tlog-checkpoint: origin, size, base64 root, one a line
- tlog-cosignature v1: `cosignature/v1\ntime N\n` and the checkpoint text, signed; 8 bytes of time before the signature
Keys are Ed25519 (type 0x01 logs, 0x04 witnesses) and verified with libsodium, which refuses small-order keys.
"""

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from audit.errors import NoteRefused

LOG_KEY_TYPE = 0x01
WITNESS_KEY_TYPE = 0x04
_DASH = "\u2014 "
_NOTE_BYTES_MAX = 65536
_SIGNATURE_BYTES = 64
_KEY_ID_BYTES = 4
_ROOT_BYTES = 32
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")
_NUMBER_MAX = 2**63 - 1
_CONTROL = re.compile(rb"[\x00-\x09\x0b-\x1f\x7f]")
_NAME = re.compile(r"[!-*,-~]{1,255}")
"""Printable ASCII without blank and plus: a name that looks like another is another."""
Sign = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Verifier:
    """A public key with the name it signs under (C2SP signed-note verifier key)."""

    name: str
    key_type: int
    public_key: bytes

    @property
    def key_id(self) -> bytes:
        """First 4 bytes of SHA-256(name || 0x0A || type || key)."""
        return sha256(self.name.encode() + b"\n" + bytes([self.key_type]) + self.public_key).digest()[:4]

    @property
    def text(self) -> str:
        """The vkey text: name+hex key id+base64(type || key)."""
        body = base64.b64encode(bytes([self.key_type]) + self.public_key).decode()
        return f"{self.name}+{self.key_id.hex()}+{body}"

    @classmethod
    def parse(cls, text: str) -> "Verifier":
        """Read a vkey. NoteRefused when it is malformed or its key id does not fit."""
        try:
            name, key_id, body = text.strip().split("+", 2)
            raw = base64.b64decode(body, validate=True)
        except (ValueError, binascii.Error):
            raise NoteRefused("a verifier key is name+id+key", cure="copy it whole") from None
        verifier = cls(name, raw[0] if raw else 0, raw[1:])
        if len(verifier.public_key) != 32 or verifier.key_id.hex() != key_id or not _NAME.fullmatch(name):  # noqa: PLR2004 - Ed25519
            raise NoteRefused("the verifier key's id does not fit its key", cure="copy it whole")
        return verifier

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Say whether the signature holds."""
        try:
            VerifyKey(self.public_key).verify(message, signature)
        except (BadSignatureError, ValueError):
            return False
        return True


@dataclass(frozen=True)
class Checkpoint:
    """What a log says of itself, with its note as signed."""

    origin: str
    size: int
    root: bytes
    note: bytes

    @property
    def text(self) -> bytes:
        """The signed text, final newline included."""
        return checkpoint_text(self.origin, self.size, self.root)


def checkpoint_text(origin: str, size: int, root: bytes) -> bytes:
    """Return the text of a checkpoint."""
    return f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n".encode()


def sign_checkpoint(origin: str, size: int, root: bytes, verifier: Verifier, sign: Sign) -> bytes:
    """Return a checkpoint note signed by the log."""
    text = checkpoint_text(origin, size, root)
    return text + b"\n" + signature_line(verifier, sign(text))


def signature_line(verifier: Verifier, signature: bytes) -> bytes:
    """Return one signature line."""
    body = base64.b64encode(verifier.key_id + signature).decode()
    return f"{_DASH}{verifier.name} {body}\n".encode()


def split_note(note: bytes) -> tuple[bytes, list[tuple[str, bytes, bytes]]]:
    """Return a note's text and its (name, key id, signature) lines. NoteRefused unless it is exactly in form."""
    head, blank, tail = note.rpartition(b"\n\n")
    try:
        lines = [_read_line(line) for line in tail.removesuffix(b"\n").decode().split("\n")]
        head.decode()
    except (ValueError, binascii.Error):
        raise _not_in_form() from None
    if not blank or not note.endswith(b"\n") or len(note) > _NOTE_BYTES_MAX or _CONTROL.search(note):
        raise _not_in_form()
    return head + b"\n", lines


def _read_line(line: str) -> tuple[str, bytes, bytes]:
    """Read one signature line. ValueError unless writing it again gives the same line."""
    dash, name, body = line.split(" ")
    raw = decode_base64(body)
    if f"{dash} " != _DASH or not name or len(raw) <= _KEY_ID_BYTES:
        raise ValueError
    return name, raw[:_KEY_ID_BYTES], raw[_KEY_ID_BYTES:]


def decode_base64(text: str) -> bytes:
    """Return the bytes of standard base64. ValueError unless it is the one text that stands for them."""
    raw = base64.b64decode(text, validate=True)
    if base64.b64encode(raw).decode() != text:
        raise ValueError
    return raw


def read_number(text: str) -> int:
    """Return a size or index: decimal, no sign, no leading zero, below 2^63. ValueError otherwise."""
    if not _NUMBER.fullmatch(text) or int(text) > _NUMBER_MAX:
        raise ValueError
    return int(text)


def _not_in_form() -> NoteRefused:
    return NoteRefused("the note is not in the signed-note format", cure="take it again from its source")


def parse_checkpoint(note: bytes) -> Checkpoint:
    """Read a checkpoint without believing it. NoteRefused unless it is exactly in form.

    Extension lines, which C2SP advises against, are refused: nothing may travel there.
    """
    text, _ = split_note(note)
    try:
        origin, size_text, root_text = text.decode().removesuffix("\n").split("\n")
        size, root = read_number(size_text), decode_base64(root_text)
    except (ValueError, binascii.Error):
        raise _no_checkpoint() from None
    if not origin or len(root) != _ROOT_BYTES:
        raise _no_checkpoint()
    return Checkpoint(origin, size, root, note)


def _no_checkpoint() -> NoteRefused:
    return NoteRefused("the note is no checkpoint", cure="take it again from its source")


def checkpoint_size(note: bytes) -> int:
    """Return the size that a checkpoint names."""
    return parse_checkpoint(note).size


def verify_checkpoint(note: bytes, log: Verifier) -> Checkpoint:
    """Return the checkpoint if the log's own key signed it under its own name. NoteRefused otherwise."""
    checkpoint = parse_checkpoint(note)
    if log.key_type != LOG_KEY_TYPE:
        raise NoteRefused("the key is no log's key", cure="take the log's key from the member directory")
    if checkpoint.origin != log.name:
        raise NoteRefused("the checkpoint is of another log", cure="compare its first line with the key's name")
    text, lines = split_note(note)
    signatures = _signatures_of(log, lines)
    if not signatures or not all(log.verify(text, signature) for signature in signatures):
        raise NoteRefused(
            "the log's own key did not sign the checkpoint", cure="take the key from the member directory"
        )
    return checkpoint


def _signatures_of(verifier: Verifier, lines: Sequence[tuple[str, bytes, bytes]]) -> list[bytes]:
    """Return what stands under this key. C2SP signed-note: one bad signature of a known key spoils the note."""
    return [body for name, key_id, body in lines if name == verifier.name and key_id == verifier.key_id]


def cosign(text: bytes, witness: Verifier, sign: Sign, now_ms: int) -> bytes:
    """Return a witness's cosignature line over a checkpoint's text (tlog-cosignature v1)."""
    seconds = now_ms // 1000
    signature = sign(_cosigned(text, seconds))
    return signature_line(witness, seconds.to_bytes(8, "big") + signature)


def cosignature_time_s(note: bytes, witness: Verifier) -> int | None:
    """Return when this witness cosigned the note's checkpoint (its earliest time), or None when it did not."""
    text, lines = split_note(note)
    bodies = _signatures_of(witness, lines)
    if witness.key_type != WITNESS_KEY_TYPE or not bodies:
        return None
    times = []
    for body in bodies:
        seconds = int.from_bytes(body[:8], "big")
        if len(body) != 8 + _SIGNATURE_BYTES or not witness.verify(_cosigned(text, seconds), body[8:]):
            return None
        times.append(seconds)
    return min(times)


def is_cosignature(note: bytes, line: bytes, witness: Verifier) -> bool:
    """Say whether `line` is this witness's one line under the note's checkpoint, and nothing besides."""
    try:
        _, before = split_note(note)
        _, after = split_note(note + line)
    except NoteRefused:
        return False
    alone = note[: note.rindex(b"\n\n") + 2] + line
    return len(after) == len(before) + 1 and cosignature_time_s(alone, witness) is not None


def cosigned_by(note: bytes, witnesses: Sequence[Verifier]) -> tuple[str, ...]:
    """Return the names of the witnesses whose cosignature the note carries."""
    return tuple(witness.name for witness in witnesses if cosignature_time_s(note, witness) is not None)


def _cosigned(text: bytes, seconds: int) -> bytes:
    return f"cosignature/v1\ntime {seconds}\n".encode() + text
