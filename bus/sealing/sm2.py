"""SM2 signatures (GB/T 32918.2), by a provider that is an extra of its own: nothing else here needs it.

On the wire a signature is r and s, 32 bytes each, so that it has one form only; a public key is an uncompressed point.
The id that the standard mixes in is its default, 1234567812345678: who signs is said in what is signed.
"""

from functools import lru_cache

from bus.sealing import sound_keys
from bus.sealing.errors import EnvelopeRefused

SIGNATURE_BYTES, NOISE_BYTES = 64, 40
_PAIR_BYTES, _PRIVATE_BYTES, _NUMBER_BYTES = 97, 32, 32
_Point = tuple[int, int]
_PRIME = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
_ORDER = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
_BASE = (
    0x32C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7,
    0xBC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0,
)


def is_available() -> bool:
    """Say whether the provider is installed."""
    try:
        import gmssl_pyx  # noqa: F401, PLC0415 - an optional extra
    except ImportError:
        return False
    return True


def missing() -> EnvelopeRefused:
    """Return the refusal of a node that has no provider."""
    return EnvelopeRefused(
        "sealing suite 4 needs a provider of SM2, which is not installed here",
        cure="install lianfang[sm2], or have policy use another suite",
        code="LF-SEAL-SUITE-PROVIDER",
    )


def pair_of(noise: bytes) -> bytes:
    """Return the key pair of 40 random bytes: 32 bytes private, 65 bytes public. Needs no provider.

    Eight bytes more than a key, so that no key is likelier than another. Done once for each key, where it is made: the time
    it takes is of no use to anybody who is not there already.
    """
    assert len(noise) == NOISE_BYTES, "40 random bytes"
    private = int.from_bytes(noise, "big") % (_ORDER - 2) + 1
    point: _Point | None = None
    for bit in f"{private:b}":
        point = _sum(point, point)
        point = _sum(point, _BASE) if bit == "1" else point
    assert point is not None, "no multiple of the base point below its order is the neutral one"
    return (
        private.to_bytes(_NUMBER_BYTES, "big")
        + b"\x04"
        + b"".join(number.to_bytes(_NUMBER_BYTES, "big") for number in point)
    )


def _sum(one: _Point | None, other: _Point | None) -> _Point | None:
    """Add two points of the curve y^2 = x^3 - 3x + b; None is the neutral one."""
    if one is None or other is None:
        return one or other
    (x1, y1), (x2, y2) = one, other
    if x1 == x2 and (y1 + y2) % _PRIME == 0:
        return None
    slope = (3 * x1 * x1 - 3) * pow(2 * y1, -1, _PRIME) if one == other else (y2 - y1) * pow(x2 - x1, -1, _PRIME)
    x3 = (slope * slope - x1 - x2) % _PRIME
    return x3, (slope * (x1 - x3) - y1) % _PRIME


def public_of(pair: bytes) -> bytes:
    """Return the public half of a key pair."""
    assert len(pair) == _PAIR_BYTES, "a pair that generate() made"
    return pair[_PRIVATE_BYTES:]


def sign(pair: bytes, message: bytes) -> bytes:
    """Return a signature. EnvelopeRefused where there is no provider."""
    try:
        from gmssl_pyx import sm2_sign  # noqa: PLC0415 - an optional extra
    except ImportError:
        raise missing() from None
    return _from_der(bytes(sm2_sign(pair[:_PRIVATE_BYTES], public_of(pair)[1:], message)))


@lru_cache(maxsize=4096)
def holds(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Verify; remembered as batch.signature_holds is. EnvelopeRefused where there is no provider."""
    try:
        from gmssl_pyx import GmsslInnerError, sm2_verify  # noqa: PLC0415 - an optional extra
    except ImportError:
        raise missing() from None
    if not sound_keys.sm2(public_key) or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        return bool(sm2_verify(public_key[1:], message, _to_der(signature)))
    except GmsslInnerError:
        return False


def _to_der(signature: bytes) -> bytes:
    body = b"".join(_integer(signature[at : at + _NUMBER_BYTES]) for at in (0, _NUMBER_BYTES))
    return b"\x30" + bytes([len(body)]) + body


def _integer(data: bytes) -> bytes:
    short = data.lstrip(b"\0") or b"\0"
    if short[0] & 0x80:
        short = b"\0" + short
    return b"\x02" + bytes([len(short)]) + short


def _from_der(data: bytes) -> bytes:
    """Return r and s of what the provider itself has just made: a sequence of two integers, each under 128 bytes."""
    numbers, at = [], 2
    while at < len(data):
        length = data[at + 1]
        numbers.append(int.from_bytes(data[at + 2 : at + 2 + length], "big").to_bytes(_NUMBER_BYTES, "big"))
        at += 2 + length
    return b"".join(numbers)
