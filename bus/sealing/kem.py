"""HPKE (RFC 9180, single-shot base mode) by a suite's KEM: X25519, or X-Wing, which a quantum computer does not open later.

X-Wing is ML-KEM-768 with X25519 (draft-connolly-cfrg-xwing-kem); its public key is the two public keys one after the other,
its private key is 32 bytes from which both come.
"""

from hashlib import shake_256

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
)
from cryptography.hazmat.primitives.hpke import Suite as Hpke

from bus.sealing.suites import Suite

_ML_KEM_768_BYTES, _ML_KEM_SEED_BYTES, _X_WING_EXPANDED_BYTES = 1184, 64, 96
_X25519 = Hpke(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_X_WING = Hpke(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def seal(suite: Suite, public_key: bytes, plain: bytes, info: bytes) -> bytes:
    """Return `plain`, sealed to a prekey of the suite's kind. ValueError when it is none."""
    if suite.wraps_with_x_wing:
        both = MLKEM768X25519PublicKey(
            MLKEM768PublicKey.from_public_bytes(public_key[:_ML_KEM_768_BYTES]),
            X25519PublicKey.from_public_bytes(public_key[_ML_KEM_768_BYTES:]),
        )
        return _X_WING.encrypt(plain, both, info)
    return _X25519.encrypt(plain, X25519PublicKey.from_public_bytes(public_key), info)


def open_sealed(
    suite: Suite, private_key: X25519PrivateKey | MLKEM768X25519PrivateKey, sealed: bytes, info: bytes
) -> bytes:
    """Return what was sealed. InvalidTag or ValueError when it does not open."""
    return (_X_WING if suite.wraps_with_x_wing else _X25519).decrypt(sealed, private_key, info)


def x_wing_private(seed: bytes) -> MLKEM768X25519PrivateKey:
    """Return the private key of a seed of 32 bytes."""
    return MLKEM768X25519PrivateKey(*_x_wing_halves(seed))


def x_wing_public(seed: bytes) -> bytes:
    """Return the public key of a seed of 32 bytes: 1216 bytes."""
    ml_kem, x25519 = _x_wing_halves(seed)
    return ml_kem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()


def _x_wing_halves(seed: bytes) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
    expanded = shake_256(seed).digest(_X_WING_EXPANDED_BYTES)
    return (
        MLKEM768PrivateKey.from_seed_bytes(expanded[:_ML_KEM_SEED_BYTES]),
        X25519PrivateKey.from_private_bytes(expanded[_ML_KEM_SEED_BYTES:]),
    )
