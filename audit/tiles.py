"""The C2SP tlog-tiles layout: tiles of 256 hashes, entry bundles, and the static directory that a log is exported as.

checkpoint            the newest note, with its cosignatures
vkey                  the log's verifier key (to compare with one got elsewhere)
witnesses             verifier keys of the witnesses whose cosignature is demanded, one a line
tile/<L>/<N>[.p/<W>]  hashes of level 8·L
tile/entries/<N>[.p/<W>]  entries, each with its length as two bytes, big-endian
"""

import base64
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from audit import tree
from audit.checkpoint import Checkpoint, decode_base64, read_number
from audit.errors import NoteRefused

TILE_WIDTH = 256
TILE_BITS = 8
PROOF_HEADER = "c2sp.org/tlog-proof@v1"
_PROOF_STEPS_MAX = 64
Rows = Sequence[Sequence[bytes]]
"""A tile with what lies above it: its hashes, their parents, and so on for eight levels."""


def expand(nodes: Sequence[bytes]) -> Rows:
    """Return the rows of a tile: its hashes, and those of the complete subtrees above them inside the tile."""
    rows = [list(nodes)]
    for _ in range(TILE_BITS - 1):
        below = rows[-1]
        rows.append([tree.node_hash(below[at], below[at + 1]) for at in range(0, len(below) - 1, 2)])
    return rows


def root_of_full(nodes: Sequence[bytes]) -> bytes:
    """Return the hash of the complete subtree over a full tile: one node of the tile level above."""
    top = expand(nodes)[-1]
    return tree.node_hash(top[0], top[1])


@dataclass(frozen=True)
class StoredTree:
    """A tree as it stood at one moment; later appends make another. It is the `tree.Hashes` of its complete subtrees.

    `unfinished` has, for each tile level, the hashes of the last tile, which is not full; `full(level, number)` gives the
    rows of a full one.
    """

    frontier: tree.Frontier
    unfinished: Mapping[int, Sequence[bytes]]
    full: Callable[[int, int], Rows]

    @property
    def size(self) -> int:
        """Number of entries."""
        return self.frontier.size

    @cached_property
    def _unfinished_rows(self) -> dict[int, Rows]:
        return {level: expand(nodes) for level, nodes in self.unfinished.items()}

    def _rows(self, level: int, number: int) -> Rows:
        if number < self.size >> (TILE_BITS * (level + 1)):
            return self.full(level, number)
        return self._unfinished_rows[level]

    def __call__(self, level: int, index: int) -> bytes:
        """Return the hash of the complete subtree (level, index)."""
        tile_level, above = divmod(level, TILE_BITS)
        number, offset = divmod(index << above, TILE_WIDTH)
        return self._rows(tile_level, number)[above][offset >> above]

    def tile(self, level: int, number: int, width: int) -> bytes:
        """Return the bytes of a tile of that width."""
        return b"".join(self._rows(level, number)[0][:width])


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
    leaves, position, end = [], 0, len(data)
    while position < end:
        start = position + 2
        position = start + int.from_bytes(data[position:start], "big")
        if position > end or start > end:
            raise NoteRefused("an entry bundle is cut short", cure="export the log again")
        leaves.append(data[start:position])
    return leaves


def write_directory(
    directory: Path,
    checkpoint: Checkpoint,
    stored: StoredTree,
    leaves: Iterable[bytes],
    vkeys: tuple[str, Sequence[str]],
) -> None:
    """Write the static directory of the tree that the checkpoint names. `vkeys`: the log's, and the witnesses'.

    The checkpoint comes last, so that it never names what is not there yet; a directory of an older export grows.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for level, number, width in tile_shapes(checkpoint.size):
        _write(directory / tile_path(level, number, width), stored.tile(level, number, width))
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
    head, _, note = text.partition(b"\n\n")
    try:
        header, index_line, *steps = head.decode().split("\n")
        index = read_number(index_line.removeprefix("index "))
        path = [decode_base64(step) for step in steps]
    except ValueError:
        raise _no_proof() from None
    if header != PROOF_HEADER or len(path) > _PROOF_STEPS_MAX or proof_text(index, path, note) != text:
        raise _no_proof()
    return index, path, note


def _no_proof() -> NoteRefused:
    return NoteRefused("the text is no tlog-proof", cure="make it again with `lianfang audit prove`")


def _write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".new")
    unfinished.write_bytes(data)
    unfinished.replace(path)
