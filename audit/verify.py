"""An auditor's whole reading list: check an exported log from its files alone. No SQL, no bus, no network.

(1) the checkpoint is signed by the log's key, under its name
(2) every witness demanded has cosigned it
(3) every entry is canonical, and the entries hash to the root that was signed
(4) every tile holds exactly the hashes that follow from the entries
`verify_proof` does the same for one entry and its tlog-proof.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from audit import leaf as leaf_format
from audit import tiles, tree
from audit.checkpoint import WITNESS_KEY_TYPE, Checkpoint, Verifier, cosigned_by, verify_checkpoint
from audit.errors import AuditError, NoteRefused

Rows = Sequence[Sequence[bytes]]


@dataclass(frozen=True)
class Report:
    """What was found. `problems` is empty when the log verifies; `first_bad` is the index of the first bad entry."""

    origin: str
    entries: int
    root: bytes
    cosigned: tuple[str, ...]
    first_bad: int | None
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether everything holds."""
        return not self.problems


def verify_directory(directory: Path, vkey: str = "", witnesses: Sequence[str] | None = None) -> Report:
    """Check an exported log. Keys left out are taken from the export, which then proves only that it agrees with itself.

    `witnesses` are the verifier keys whose cosignature is demanded. An export that names none does not verify; who wants
    to check a log without witnesses says so with an empty sequence.
    """
    try:
        log = Verifier.parse(vkey or (directory / "vkey").read_text())
        demanded = _demanded(log, _named_in(directory) if witnesses is None else witnesses)
        checkpoint = verify_checkpoint((directory / "checkpoint").read_bytes(), log)  # (1)
    except (OSError, UnicodeDecodeError, AuditError) as error:
        cause = error.cause if isinstance(error, AuditError) else f"a file cannot be read: {error}"
        return Report("", 0, b"", (), None, (cause,))
    cosigned = cosigned_by(checkpoint.note, demanded)
    problems = [
        f"witness {witness.name} has not cosigned the checkpoint"
        for witness in demanded
        if witness.name not in cosigned
    ]  # (2)
    rows, first_bad = _check_entries(directory, checkpoint, problems)  # (3)
    if rows:
        bad_tile = _check_tiles(directory, checkpoint, rows, problems)  # (4)
        first_bad = first_bad if first_bad is not None else bad_tile
    return Report(checkpoint.origin, checkpoint.size, checkpoint.root, cosigned, first_bad, tuple(problems))


def _named_in(directory: Path) -> list[str]:
    named = (directory / "witnesses").read_text().splitlines()
    if not named:
        raise NoteRefused("the export names no witness", cure="give the keys of the witnesses that you demand")
    return named


def _demanded(log: Verifier, vkeys: Sequence[str]) -> list[Verifier]:
    """Return the witnesses demanded: each another one, none of them the log itself."""
    found = [Verifier.parse(vkey) for vkey in vkeys]
    keys = {witness.public_key for witness in found} | {log.public_key}
    if len(keys) != len(found) + 1 or any(witness.key_type != WITNESS_KEY_TYPE for witness in found):
        raise NoteRefused(
            "the keys demanded are not those of different witnesses", cure="take them from the member directory"
        )
    return found


def _check_entries(directory: Path, checkpoint: Checkpoint, problems: list[str]) -> tuple[Rows, int | None]:
    """Return the hashes of all complete subtrees (none when entries are missing), and the first bad entry."""
    hashed: list[bytes] = []
    first_bad: int | None = None
    try:
        for entry in _entries(directory, checkpoint.size):
            try:
                leaf_format.decode(entry)
            except AuditError as error:
                if first_bad is None:
                    first_bad = len(hashed)
                    problems.append(f"entry {first_bad}: {error.cause}")
            hashed.append(tree.leaf_hash(entry))
    except (OSError, AuditError) as error:
        problems.append(f"entries from {len(hashed)} on cannot be read: {error}")
        return (), len(hashed)
    rows = tree.complete_rows(hashed)
    if tree.root_of(hashed, rows) != checkpoint.root:
        problems.append("the entries do not hash to the root that the log signed")
        first_bad = _first_difference(directory, hashed, checkpoint.size) if first_bad is None else first_bad
    return rows, first_bad


def _entries(directory: Path, size: int) -> Iterator[bytes]:
    for number in range((size + tiles.TILE_WIDTH - 1) // tiles.TILE_WIDTH):
        width = min(tiles.TILE_WIDTH, size - number * tiles.TILE_WIDTH)
        found = tiles.unbundle((directory / tiles.tile_path("entries", number, width)).read_bytes())
        if len(found) != width:
            raise NoteRefused(f"an entry bundle holds {len(found)} entries, not {width}")
        yield from found


def _first_difference(directory: Path, hashed: Sequence[bytes], size: int) -> int | None:
    """Name the first entry whose hash is not the one in its tile."""
    for number in range((size + tiles.TILE_WIDTH - 1) // tiles.TILE_WIDTH):
        first = number * tiles.TILE_WIDTH
        width = min(tiles.TILE_WIDTH, size - first)
        try:
            data = (directory / tiles.tile_path(0, number, width)).read_bytes()
        except OSError:
            return first
        for offset in range(width):
            if data[offset * tree.HASH_BYTES : (offset + 1) * tree.HASH_BYTES] != hashed[first + offset]:
                return first + offset
    return None


def _check_tiles(directory: Path, checkpoint: Checkpoint, rows: Rows, problems: list[str]) -> int | None:
    for level, number, width in tiles.tile_shapes(checkpoint.size):
        first = number * tiles.TILE_WIDTH
        try:
            data = (directory / tiles.tile_path(level, number, width)).read_bytes()
        except OSError as error:
            problems.append(f"a tile cannot be read: {error}")
            return first << (tiles.TILE_BITS * level)
        if data != b"".join(rows[level * tiles.TILE_BITS][first : first + width]):
            problems.append(f"tile {level}/{number} does not follow from the entries")
            return first << (tiles.TILE_BITS * level)
    return None


def verify_proof(proof: bytes, entry: bytes, vkey: str, witnesses: Sequence[str]) -> Checkpoint:
    """Return the checkpoint under which an entry is proved to stand in a log. NoteRefused when it is not."""
    index, path, note = tiles.parse_proof(proof)
    log = Verifier.parse(vkey)
    checkpoint = verify_checkpoint(note, log)
    demanded = _demanded(log, witnesses)
    if len(cosigned_by(note, demanded)) != len(demanded):
        raise NoteRefused("a witness that was demanded has not cosigned", cure="wait for its cosignature")
    if not tree.verify_inclusion(tree.leaf_hash(entry), index, checkpoint.size, path, checkpoint.root):
        raise NoteRefused("the proof does not lead from this entry to the root", cure="take proof and entry together")
    return checkpoint
