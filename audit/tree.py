"""The Merkle tree of RFC 6962 section 2.1: hashing, the compact frontier, proofs and their verification. Pure.

Leaf hash = SHA-256(0x00 || leaf), node hash = SHA-256(0x01 || left || right); the prefixes keep a node from passing for a
leaf (second preimage).
"""

from collections.abc import Callable, Sequence
from hashlib import sha256

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()
Hashes = Callable[[int, int], bytes]
"""Gives the hash of the complete subtree (level, index): leaves index·2^level … (index+1)·2^level − 1."""


def leaf_hash(leaf: bytes) -> bytes:
    """RFC 6962 section 2.1: MTH({d(0)})."""
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """RFC 6962 section 2.1: an inner node."""
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """The roots of the complete subtrees of a growing tree: all that appending and the root need."""

    def __init__(self, size: int = 0, roots: Sequence[bytes] = ()) -> None:
        self.size = size
        self._roots = list(roots)

    def copy(self) -> "Frontier":
        """Return an independent copy."""
        return Frontier(self.size, self._roots)

    def append(self, hashed: bytes) -> list[tuple[int, int, bytes]]:
        """Add a leaf hash; return (level, index, hash) of every complete subtree that it closes, itself included."""
        closed = [(0, self.size, hashed)]
        index, level, node = self.size, 0, hashed
        while index & 1:
            node = node_hash(self._roots.pop(), node)
            index >>= 1
            level += 1
            closed.append((level, index, node))
        self._roots.append(node)
        self.size += 1
        return closed

    def root(self) -> bytes:
        """Return the tree's root."""
        if not self._roots:
            return EMPTY_ROOT
        node = self._roots[-1]
        for left in reversed(self._roots[:-1]):
            node = node_hash(left, node)
        return node


def frontier_at(size: int, hashes: Hashes) -> Frontier:
    """Return the frontier of a stored tree of that size."""
    roots, start = [], 0
    for level in range(size.bit_length() - 1, -1, -1):
        if size >> level & 1:
            roots.append(hashes(level, start >> level))
            start += 1 << level
    return Frontier(size, roots)


def _range_hash(start: int, stop: int, hashes: Hashes) -> bytes:
    """MTH(D[start:stop]) where start is a multiple of the largest power of two not above the length."""
    length = stop - start
    if length & (length - 1) == 0:
        level = length.bit_length() - 1
        return hashes(level, start >> level)
    split = 1 << (length - 1).bit_length() - 1
    return node_hash(_range_hash(start, start + split, hashes), _range_hash(start + split, stop, hashes))


def root_at(size: int, hashes: Hashes) -> bytes:
    """Return the root of the first `size` leaves of a stored tree."""
    return EMPTY_ROOT if size == 0 else _range_hash(0, size, hashes)


def complete_rows(hashed: Sequence[bytes]) -> list[Sequence[bytes]]:
    """Return the hashes of all complete subtrees over these leaf hashes: row `level` has those of 2^level leaves."""
    rows = [hashed]
    while len(rows[-1]) > 1:
        below = rows[-1]
        rows.append(
            [sha256(b"\x01" + left + right).digest() for left, right in zip(below[::2], below[1::2], strict=False)]
        )
    return rows


def root_of(hashed: Sequence[bytes], rows: Sequence[Sequence[bytes]] = ()) -> bytes:
    """Return the root over these leaf hashes; `rows` are their complete rows, where they are known already."""
    held = rows or complete_rows(hashed)
    return frontier_at(len(hashed), lambda level, index: held[level][index]).root()


def inclusion_proof(index: int, size: int, hashes: Hashes) -> list[bytes]:
    """RFC 6962 section 2.1.1: PATH(index, D[size]). ValueError for an index outside the tree."""
    if not 0 <= index < size:
        raise ValueError(f"entry {index} is not in a tree of {size}")
    proof: list[bytes] = []
    start, stop = 0, size
    while stop - start > 1:
        split = start + (1 << (stop - start - 1).bit_length() - 1)
        if index < split:
            proof.append(_range_hash(split, stop, hashes))
            stop = split
        else:
            proof.append(_range_hash(start, split, hashes))
            start = split
    return proof[::-1]


def consistency_proof(old: int, new: int, hashes: Hashes) -> list[bytes]:
    """RFC 6962 section 2.1.2: PROOF(old, D[new]). ValueError unless 0 <= old <= new."""
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {new} does not extend one of {old}")
    if old in (0, new):
        return []
    return _subproof(old, 0, new, hashes, complete=True)


def _subproof(old: int, start: int, stop: int, hashes: Hashes, *, complete: bool) -> list[bytes]:
    if old == stop - start:
        return [] if complete else [_range_hash(start, stop, hashes)]
    split = 1 << (stop - start - 1).bit_length() - 1
    if old <= split:
        return [
            *_subproof(old, start, start + split, hashes, complete=complete),
            _range_hash(start + split, stop, hashes),
        ]
    return [
        *_subproof(old - split, start + split, stop, hashes, complete=False),
        _range_hash(start, start + split, hashes),
    ]


def verify_inclusion(hashed: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """RFC 9162 section 2.1.3.2: whether the proof leads from the leaf to the root."""
    if not 0 <= index < size:
        return False
    position, last, node = index, size - 1, hashed
    for step in proof:
        if last == 0 or len(step) != HASH_BYTES:
            return False
        if position & 1 or position == last:
            node = node_hash(step, node)
            while position and not position & 1:
                position >>= 1
                last >>= 1
        else:
            node = node_hash(node, step)
        position >>= 1
        last >>= 1
    return last == 0 and node == root


def verify_consistency(old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> bool:
    """RFC 9162 section 2.1.4.2: whether the tree of size `new` extends the tree of size `old`."""
    if old in (0, new):
        return not proof and old_root == (new_root if old == new else EMPTY_ROOT)
    if not 0 < old < new:
        return False
    steps = list(proof)
    if old & (old - 1) == 0:
        steps.insert(0, old_root)
    if not steps or any(len(step) != HASH_BYTES for step in steps):
        return False
    position, last = old - 1, new - 1
    while position & 1:
        position >>= 1
        last >>= 1
    left = right = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            left, right = node_hash(step, left), node_hash(step, right)
            while position and not position & 1:
                position >>= 1
                last >>= 1
        else:
            right = node_hash(right, step)
        position >>= 1
        last >>= 1
    return last == 0 and left == old_root and right == new_root
