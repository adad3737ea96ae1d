"""One signature over many payloads: over the root of their Merkle tree (RFC 9162), each with its proof.

In suite 2 there are two signatures over the same root, and every message of the batch carries both, so that it can be
verified alone (docs/adr/0008-suites.md).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from audit import tree
from bus.sealing.suites import CLASSICAL, Suite

_LEAF_DOMAIN = b"lianfang/1 payload\x00"
_ROOT_DOMAIN = b"lianfang/1 batch\x00"
BATCH_MAX = 65536
PROOF_STEPS_MAX = 16


@dataclass(frozen=True)
class BatchPlace:
    """A payload's place in a signed batch."""

    signature: bytes
    index: int
    size: int
    proof: bytes
    second: bytes = b""


def payload_hash(payload: bytes, suite: Suite = CLASSICAL) -> bytes:
    """Return a payload's leaf hash."""
    return suite.leaf_hash(_LEAF_DOMAIN + payload)


def signed_bytes(sender: str, size: int, root: bytes) -> bytes:
    """Return what is signed for a batch."""
    return _ROOT_DOMAIN + sender.encode() + b"\x00" + size.to_bytes(4, "big") + root


def sign_batch(
    sender: str,
    payloads: Sequence[bytes],
    sign: Callable[[bytes], bytes],
    suite: Suite = CLASSICAL,
    sign_again: Callable[[bytes], bytes] | None = None,
) -> list[BatchPlace]:
    """Sign payloads of one suite together; return each one's place. Nothing is signed for no payloads."""
    if not payloads:
        return []
    levels = [[payload_hash(payload, suite) for payload in payloads]]
    while len(levels[-1]) > 1:
        levels.append(_above(levels[-1], suite))
    size = len(payloads)
    signed = signed_bytes(sender, size, levels[-1][0])
    signature, second = sign(signed), sign_again(signed) if sign_again is not None else b""
    return [BatchPlace(signature, index, size, _path(levels, index), second) for index in range(size)]


def _above(level: list[bytes], suite: Suite) -> list[bytes]:
    """Return the nodes over a level; a last one without a sibling goes up as it is."""
    pairs = zip(level[::2], level[1::2], strict=False)  # the odd one is added below
    return [suite.node_hash(left, right) for left, right in pairs] + level[len(level) & ~1 :]


def _path(levels: list[list[bytes]], index: int) -> bytes:
    steps = []
    for level in levels[:-1]:
        sibling = index ^ 1
        if sibling < len(level):
            steps.append(level[sibling])
        index >>= 1
    return b"".join(steps)


def root_of(payload: bytes, place: BatchPlace, suite: Suite = CLASSICAL) -> bytes | None:
    """Return the root that the proof leads to, or None when the proof is not one for that place (RFC 9162 2.1.3.2)."""
    if not 0 <= place.index < place.size <= BATCH_MAX or len(place.proof) % tree.HASH_BYTES:
        return None
    steps = [place.proof[at : at + tree.HASH_BYTES] for at in range(0, len(place.proof), tree.HASH_BYTES)]
    position, last, node = place.index, place.size - 1, payload_hash(payload, suite)
    for step in steps:
        if last == 0:
            return None
        if position & 1 or position == last:
            node = suite.node_hash(step, node)
            while position and not position & 1:
                position >>= 1
                last >>= 1
        else:
            node = suite.node_hash(node, step)
        position >>= 1
        last >>= 1
    return node if last == 0 else None


@lru_cache(maxsize=4096)
def signature_holds(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Verify Ed25519 with libsodium, which refuses small-order keys. Remembered, so that a batch costs one check.

    The memory is keyed by everything that the answer depends on: key, message and signature.
    """
    try:
        VerifyKey(public_key).verify(message, signature)
    except (BadSignatureError, ValueError):
        return False
    return True


def key_id(public_key: bytes) -> bytes:
    """Return the id of a signing key or prekey: the first 8 bytes of its SHA-256."""
    return sha256(public_key).digest()[:8]
