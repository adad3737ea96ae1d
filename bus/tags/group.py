"""The prime-order group ristretto255 (RFC 9496): elements and scalars as their 32 bytes, every operation libsodium's own.

- Scalar multiplication, addition and the map from hashes run in constant time in the library; no arithmetic on a secret
  is done here.
- What comes from elsewhere passes `element` or `scalar` once, at the door; after that the types carry the proof.
- rbcl, which brings libsodium, unpacks it into the temporary directory and leaves it there. Here it goes into a directory
  that only this user may read and that is gone once the library is mapped.
"""

import tempfile
import threading
from functools import cache
from types import ModuleType
from typing import NewType

from bus.errors import Broken
from bus.randomness import Randomness
from bus.tags.errors import TagRefused

Element = NewType("Element", bytes)
"""A canonical encoding of an element that is not the identity."""
Scalar = NewType("Scalar", bytes)
"""A number from 1 to the group's order less one, little-endian."""

BYTES = 32
HASH_BYTES = 64
ORDER = 2**252 + 27742317777372353535851937790883648493
_IDENTITY = bytes(BYTES)
_loading = threading.Lock()


def element(data: bytes) -> Element:
    """Return an element that came from elsewhere. TagRefused when it is none, not in its one encoding, or the identity."""
    if len(data) != BYTES or data == _IDENTITY or not _rbcl().crypto_core_ristretto255_is_valid_point(data):
        raise TagRefused(
            "what came is no element of the group, or its identity",
            code="LF-TAG-ELEMENT",
            cure="nothing was computed with it; the other side's software or somebody between is at fault",
        )
    return Element(data)


def scalar(data: bytes) -> Scalar:
    """Return a scalar that came from elsewhere. TagRefused when it is zero, too large or not 32 bytes."""
    if len(data) != BYTES or not 0 < int.from_bytes(data, "little") < ORDER:
        raise TagRefused(
            "what came is no scalar of the group, or zero",
            code="LF-TAG-SCALAR",
            cure="nothing was computed with it; the other side's software or somebody between is at fault",
        )
    return Scalar(data)


def random_scalar(randomness: Randomness) -> Scalar:
    """Return a scalar, uniform to within 2**-259: 64 random bytes, reduced."""
    while True:
        reduced = bytes(_rbcl().crypto_core_ristretto255_scalar_reduce(randomness.bytes(HASH_BYTES)))
        if any(reduced):
            return Scalar(reduced)


def reduced(wide: bytes) -> Scalar:
    """Return 64 bytes of a hash as a scalar. TagRefused for zero, which no hash gives in practice."""
    assert len(wide) == HASH_BYTES
    return scalar(bytes(_rbcl().crypto_core_ristretto255_scalar_reduce(wide)))


def from_hash(wide: bytes) -> Element:
    """Return the element that 64 bytes of a hash map to (RFC 9496 section 4.3.4)."""
    assert len(wide) == HASH_BYTES
    return element(bytes(_rbcl().crypto_core_ristretto255_from_hash(wide)))


def times(factor: Scalar, point: Element) -> Element:
    """Return factor · point."""
    try:
        return Element(bytes(_rbcl().crypto_scalarmult_ristretto255(factor, point)))
    except RuntimeError:  # the library's word for a product that is the identity, or for no element
        raise TagRefused(
            "a product in the group is its identity",
            code="LF-TAG-ELEMENT",
            cure="nothing follows from it; the other side's software or somebody between is at fault",
        ) from None


def times_base(factor: Scalar) -> Element:
    """Return factor · generator."""
    return Element(bytes(_rbcl().crypto_scalarmult_ristretto255_base(factor)))


def plus(one: Element, other: Element) -> Element:
    """Return one + other. TagRefused when that is the identity: then each undoes the other, which no honest side sends."""
    return element(bytes(_rbcl().crypto_core_ristretto255_add(one, other)))


def inverse(factor: Scalar) -> Scalar:
    """Return 1 / factor."""
    return Scalar(bytes(_rbcl().crypto_core_ristretto255_scalar_invert(factor)))


def scalar_times(one: Scalar, other: Scalar) -> Scalar:
    """Return the product of two scalars."""
    return Scalar(bytes(_rbcl().crypto_core_ristretto255_scalar_mul(one, other)))


def scalar_minus(one: Scalar, other: Scalar) -> Scalar:
    """Return one - other. TagRefused when they are equal."""
    return scalar(bytes(_rbcl().crypto_core_ristretto255_scalar_sub(one, other)))


def generator() -> Element:
    """Return the generator."""
    return times_base(Scalar((1).to_bytes(BYTES, "little")))


@cache
def _rbcl() -> ModuleType:
    """Load the library, once. Broken when the temporary directory does not let programs run."""
    with _loading, tempfile.TemporaryDirectory(prefix="lianfang-") as private:
        before, tempfile.tempdir = tempfile.tempdir, private
        try:
            import rbcl.rbcl as loaded  # noqa: PLC0415 - a quarter of a second, which only who makes tags pays
        except OSError as error:
            raise Broken(
                f"libsodium cannot be loaded ({type(error).__name__})",
                cure="it is unpacked below the temporary directory: let TMPDIR name one that may hold programs (no noexec)",
                code="LF-TAG-LIBRARY",
            ) from error
        finally:
            tempfile.tempdir = before
    return loaded  # type: ignore[no-any-return]  # rbcl has no types
