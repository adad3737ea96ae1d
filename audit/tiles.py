"""The C2SP tlog-tiles layout: tiles of 256 hashes, entry bundles, and the static directory that a log is exported as.

checkpoint            the newest note, with its cosignatures
vkey                  the log's verifier key (to compare with one got elsewhere)
witnesses             verifier keys of the witnesses whose cosignature is demanded, one a line
tile/<L>/<N>[.p/<W>]  hashes of level 8·L
tile/entries/<N>[.p/<W>]  entries, each with its length as two bytes, big-endian
"""

import base64
from collections.abc import Iterator, Sequence
from pathlib import Path

from audit import tree
from audit.checkpoint import Checkpoint
from audit.errors import NoteRefused

TILE_WIDTH = 256
TILE_BITS = 8
PROOF_HEADER = "c2sp.org/tlog-proof@v1"


def tile_path(level: int | str, number: int, width: int = TILE_WIDTH) -> str:
    """Return a tile's path: groups of three digits, all but the last with an x before them."""
    groups = [f"{number % 1000:03d}"]
    while number >= 1000:  # noqa: PLR2004 - groups of three digits
        number //= 1000
        groups.append(f"x{number % 1000:03d}")
    path = f"tile/{level}/" + "/".join(reversed(groups))
    return path if width == TILE_WIDTH else f"{path}.p/{width}"


def tile_shapes(size: int) -> Iterator[tuple[int, int, int]]:
    """Yield (level, number, width) of every tile of a tree: full ones, and the last partial one of each level."""
    level = 0
    while (count := size >> (TILE_BITS * level)) > 0:
        for number in range(count // TILE_WIDTH):
            yield level, number, TILE_WIDTH
        if count % TILE_WIDTH:
            yield level, count // TILE_WIDTH, count % TILE_WIDTH
        level += 1


def bundle(leaves: Sequence[bytes]) -> bytes:
    """Return an entry bundle."""
    return b"".join(len(leaf).to_bytes(2, "big") + leaf for leaf in leaves)


def unbundle(data: bytes) -> list[bytes]:
    """Return the entries of a bundle. NoteRefused when it is cut."""
    leaves, position = [], 0
    while position < len(data):
        length = int.from_bytes(data[position : position + 2], "big")
        leaf = data[position + 2 : position + 2 + length]
        if len(leaf) != length or position + 2 > len(data):
            raise NoteRefused("an entry bundle is cut short", cure="export the log again")
        leaves.append(leaf)
        position += 2 + length
    return leaves


def write_directory(
    directory: Path,
    checkpoint: Checkpoint,
    hashes: tree.Hashes,
    leaves: Iterator[bytes],
    vkeys: tuple[str, Sequence[str]],
) -> None:
    """Write the static directory of the tree that the checkpoint names. `vkeys`: the log's, and the witnesses'."""
    directory.mkdir(parents=True, exist_ok=True)
    for level, number, width in tile_shapes(checkpoint.size):
        first = number * TILE_WIDTH
        data = b"".join(hashes(level * TILE_BITS, first + offset) for offset in range(width))
        _write(directory / tile_path(level, number, width), data)
    waiting: list[bytes] = []
    number = 0
    for leaf in leaves:
        waiting.append(leaf)
        if len(waiting) == TILE_WIDTH:
            _write(directory / tile_path("entries", number), bundle(waiting))
            waiting, number = [], number + 1
    if waiting:
        _write(directory / tile_path("entries", number, len(waiting)), bundle(waiting))
    _write(directory / "vkey", vkeys[0].encode() + b"\n")
    _write(directory / "witnesses", "".join(f"{vkey}\n" for vkey in vkeys[1]).encode())
    _write(directory / "checkpoint", checkpoint.note)


def proof_text(index: int, proof: Sequence[bytes], note: bytes) -> bytes:
    """Return the C2SP tlog-proof of one entry: all that is needed to check it offline."""
    lines = [PROOF_HEADER, f"index {index}", *(base64.b64encode(step).decode() for step in proof), ""]
    return "\n".join(lines).encode() + b"\n" + note


def parse_proof(text: bytes) -> tuple[int, list[bytes], bytes]:
    """Return (index, path, note) of a tlog-proof. NoteRefused unless it is exactly in form."""
    try:
        head, note = text.split(b"\n\n", 1)
        lines = head.decode().split("\n")
        if lines[0] != PROOF_HEADER or not lines[1].startswith("index "):
            raise ValueError
        digits = lines[1].removeprefix("index ")
        if not digits.isdecimal() or str(int(digits)) != digits:
            raise ValueError
        path = [base64.b64decode(line, validate=True) for line in lines[2:]]
    except (ValueError, IndexError):
        raise NoteRefused("the text is no tlog-proof", cure="make it again with `lianfang audit prove`") from None
    return int(digits), path, note


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
