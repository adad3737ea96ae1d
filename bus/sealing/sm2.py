"""SM2 signatures (GB/T 32918.2), by a provider that is an extra of its own: nothing else here needs it.

On the wire a signature is r and s, 32 bytes each, so that it has one form only; a public key is an uncompressed point.
The id that the standard mixes in is its default, 1234567812345678: who signs is said in what is signed.
"""

from functools import lru_cache

from bus.errors import Usage

PUBLIC_BYTES, SIGNATURE_BYTES = 65, 64
_PAIR_BYTES, _PRIVATE_BYTES, _NUMBER_BYTES = 97, 32, 32
# The curve of GB/T 32918.5: y^2 = x^3 - 3x + b over p. Its order is prime, so every point on it is a sound key.
_P = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
_B = 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93


def is_available() -> bool:
    """Say whether the provider is installed."""
    try:
        import gmssl_pyx  # noqa: F401, PLC0415 - an optional extra
    except ImportError:
        return False
    return True


def missing() -> Usage:
    """Return the refusal of a node that has no provider."""
    return Usage(
        "sealing suite 4 needs a provider of SM2, which is not installed here",
        cure="install lianfang[sm2], or have policy use another suite",
        code="LF-SEAL-SUITE-PROVIDER",
    )


def generate() -> bytes:
    """Return a new key pair: 32 bytes private, 65 bytes public. Drawn by the provider, which takes no randomness of ours."""
    try:
        from gmssl_pyx import sm2_key_generate  # noqa: PLC0415 - an optional extra
    except ImportError:
        raise missing() from None
    public, private = sm2_key_generate()
    return bytes(private) + b"\x04" + bytes(public)


def public_of(pair: bytes) -> bytes:
    """Return the public half of a key pair."""
    assert len(pair) == _PAIR_BYTES, "a pair that generate() made"
    return pair[_PRIVATE_BYTES:]


def sign(pair: bytes, message: bytes) -> bytes:
    """Return a signature. Usage where there is no provider."""
    try:
        from gmssl_pyx import sm2_sign  # noqa: PLC0415 - an optional extra
    except ImportError:
        raise missing() from None
    return _from_der(bytes(sm2_sign(pair[:_PRIVATE_BYTES], public_of(pair)[1:], message)))


@lru_cache(maxsize=4096)
def holds(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Verify; remembered as batch.signature_holds is. Usage where there is no provider."""
    try:
        from gmssl_pyx import GmsslInnerError, sm2_verify  # noqa: PLC0415 - an optional extra
    except ImportError:
        raise missing() from None
    if not is_sound(public_key) or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        return bool(sm2_verify(public_key[1:], message, _to_der(signature)))
    except GmsslInnerError:
        return False


def is_sound(public_key: bytes) -> bool:
    """Say whether a key is a point of the curve, in its one encoding. Needs no provider."""
    if len(public_key) != PUBLIC_BYTES or public_key[0] != 4:  # noqa: PLR2004 - SEC 1: uncompressed
        return False
    x, y = (int.from_bytes(public_key[at : at + _NUMBER_BYTES], "big") for at in (1, 1 + _NUMBER_BYTES))
    return x < _P and y < _P and (y * y - (x * x * x - 3 * x + _B)) % _P == 0


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
