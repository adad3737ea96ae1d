"""Which public keys may be used at all. Pure.

A key is refused that every private key fits (small order), that has a second spelling (so that one key would count as two),
or that is no point or polynomial of its kind. Refused once, where it would come into force; nothing asks later.
"""

from nacl.bindings import crypto_core_ed25519_is_valid_point, crypto_scalarmult
from nacl.exceptions import RuntimeError as SodiumError

_POINT_BYTES = 32
_X25519_PRIME = 2**255 - 19
_SCALAR = b"\x08" + b"\x00" * 30 + b"\x40"
ML_DSA_65_BYTES = 1952
_ML_KEM_768_BYTES = 1184
X_WING_BYTES = _ML_KEM_768_BYTES + _POINT_BYTES
_ML_KEM_PRIME = 3329
_POLYNOMIALS_BYTES = 1152
_SM2_BYTES = 65
_SM2_PRIME = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
_SM2_B = 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93


def ed25519(key: bytes) -> bool:
    """Say whether an Ed25519 key may be used: canonical, on the curve, in the prime-order subgroup, not of small order."""
    return len(key) == _POINT_BYTES and crypto_core_ed25519_is_valid_point(key)


def x25519(key: bytes) -> bool:
    """Say whether an X25519 key may be used: canonical, and not of small order.

    A small-order point gives the all-zero secret for every scalar, which libsodium refuses (RFC 7748 section 6.1).
    """
    if len(key) != _POINT_BYTES or int.from_bytes(key, "little") >= _X25519_PRIME:
        return False
    try:
        crypto_scalarmult(_SCALAR, key)
    except SodiumError:
        return False
    return True


def x_wing(key: bytes) -> bool:
    """Say whether an X-Wing key may be used: ML-KEM-768 then X25519, each sound by itself."""
    return len(key) == X_WING_BYTES and ml_kem_768(key[:_ML_KEM_768_BYTES]) and x25519(key[_ML_KEM_768_BYTES:])


def ml_kem_768(key: bytes) -> bool:
    """Say whether an ML-KEM-768 encapsulation key passes the modulus check (FIPS 203 section 7.2): every coefficient below q.

    Two coefficients of twelve bits stand in three bytes.
    """
    if len(key) != _ML_KEM_768_BYTES:
        return False
    triples = zip(*[iter(key[:_POLYNOMIALS_BYTES])] * 3, strict=True)
    return all(
        (first | (second & 15) << 8) < _ML_KEM_PRIME and (second >> 4 | third << 4) < _ML_KEM_PRIME
        for first, second, third in triples
    )


def ml_dsa_65(key: bytes) -> bool:
    """Say whether an ML-DSA-65 key is one: every string of its length is (FIPS 204 section 7.2)."""
    return len(key) == ML_DSA_65_BYTES


def sm2(key: bytes) -> bool:
    """Say whether an SM2 key may be used: an uncompressed point on the curve (GB/T 32918.5), whose order is prime."""
    if len(key) != _SM2_BYTES or key[0] != 4:  # noqa: PLR2004 - the mark of an uncompressed point
        return False
    x, y = int.from_bytes(key[1:33], "big"), int.from_bytes(key[33:], "big")
    return x < _SM2_PRIME and y < _SM2_PRIME and (y * y - (x * x * x - 3 * x + _SM2_B)) % _SM2_PRIME == 0
