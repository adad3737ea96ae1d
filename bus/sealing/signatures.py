"""Whether what a suite asks to be signed is signed: one signature or two, by keys that stand in one place of the directory."""

from functools import lru_cache
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey

from bus.sealing import sm2
from bus.sealing.batch import signature_holds
from bus.sealing.suites import Suite
from schemas.v1 import federation_pb2

ML_DSA_65_SIGNATURE_BYTES = 3309


class Signatures(NamedTuple):
    """What stands under a batch or a grant. `second` is ML-DSA-65 in suite 2 and empty in the others."""

    first: bytes
    second: bytes = b""


class SigningKeys(NamedTuple):
    """The public keys of one entry of the directory; empty where the agency has none of that kind."""

    ed25519: bytes
    ml_dsa_65: bytes = b""
    sm2: bytes = b""


def keys_of(suite: Suite, member: federation_pb2.Member, key_id: bytes, ed25519: bytes) -> SigningKeys:
    """Return the keys of a suite: an Ed25519 key, and what stands beside it. Whether that entry holds the directory says."""
    if suite.signs_with_sm2 or suite.signs_with_ml_dsa_65_too:
        for key in member.signing_keys:
            if key.key_id == key_id:
                return SigningKeys(ed25519, key.ml_dsa_65, key.sm2)
    return SigningKeys(ed25519)


def in_form(suite: Suite, second: bytes) -> bool:
    """Say whether there is a second signature exactly where the suite has one."""
    return len(second) == (ML_DSA_65_SIGNATURE_BYTES if suite.signs_with_ml_dsa_65_too else 0)


def all_hold(suite: Suite, keys: SigningKeys, message: bytes, signatures: Signatures) -> bool:
    """Say whether every signature of the suite holds. EnvelopeRefused where its provider is not installed."""
    if suite.signs_with_sm2:
        return sm2.holds(keys.sm2, message, signatures.first)
    return signature_holds(keys.ed25519, message, signatures.first) and (
        not suite.signs_with_ml_dsa_65_too or ml_dsa_65_holds(keys.ml_dsa_65, message, signatures.second)
    )


@lru_cache(maxsize=1024)
def ml_dsa_65_holds(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Verify ML-DSA-65 (FIPS 204) with an empty context; what is signed begins with a domain string of its own.

    Remembered as batch.signature_holds is, so that a batch costs one check.
    """
    try:
        MLDSA65PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
