"""Documents that two different agencies sign: the member directory and the policy bundle."""

from collections.abc import Iterable, Mapping
from hashlib import sha256

from bus.sealing.batch import signature_holds
from schemas.v1 import federation_pb2

SIGNERS_NEEDED = 2


def signed_bytes(domain: str, body: bytes) -> bytes:
    """Return what is signed under a document: its domain and the digest of its body."""
    return b"lianfang/1 document\x00" + domain.encode() + b"\x00" + sha256(body).digest()


def signers(
    domain: str,
    body: bytes,
    signatures: Iterable[federation_pb2.DocumentSignature],
    keys: Mapping[str, Mapping[bytes, bytes]],
) -> frozenset[str]:
    """Return the agencies whose signature under the body holds. `keys`: {agency: {key id: public key}}."""
    held = set()
    for signature in signatures:
        key = keys.get(signature.agency, {}).get(signature.key_id)
        if key is not None and signature_holds(key, signed_bytes(domain, body), signature.signature):
            held.add(signature.agency)
    return frozenset(held)
