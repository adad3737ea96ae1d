"""What the policy tests share: the example bundle, keys of two signers, and questions."""

from functools import cache
from hashlib import sha256
from pathlib import Path

from nacl.signing import SigningKey

from bus import documents
from bus.policy.author import build_body
from bus.policy.bundle import DOMAIN, Bundle
from bus.policy.model import Request
from bus.policy.vocabulary import ACTIONS
from bus.sealing.batch import key_id
from schemas.v1 import federation_pb2

DIRECTORY = Path(__file__).parents[2] / "deploy" / "policy"
NOW_MS = 1_800_000_000_000
FROM_MS, UNTIL_MS = NOW_MS - 1000, NOW_MS + 86_400_000
SIGNERS = {name: SigningKey(sha256(name.encode()).digest()) for name in ("centre-1", "police-1", "auditor-1")}
KEYS = {
    name: {key_id(bytes(key.verify_key)): bytes(key.verify_key)} for name, key in SIGNERS.items() if name != "auditor-1"
}
"""Keys the node knows; auditor-1 is a stranger to it here."""


def signed(body: bytes, *names: str) -> bytes:
    document = federation_pb2.PolicyBundle(body=body)
    for name in names:
        key = SIGNERS[name]
        document.signatures.add(
            agency=name,
            key_id=key_id(bytes(key.verify_key)),
            signature=key.sign(documents.signed_bytes(DOMAIN, body)).signature,
        )
    return document.SerializeToString()


@cache
def body(serial: int = 1, previous: bytes = b"", from_ms: int = FROM_MS, until_ms: int = UNTIL_MS) -> bytes:
    return build_body(DIRECTORY, serial, previous, from_ms, until_ms)


def load(document: bytes, pinned: Bundle | None = None, now_ms: int = NOW_MS) -> Bundle:
    return Bundle.load(document, signer_keys=KEYS, pinned=pinned, now_ms=now_ms)


@cache
def bundle() -> Bundle:
    return load(signed(body(), "centre-1", "police-1"))


def ask(action: str, agency_type: str, sender_type: str, message_type: str, **facts) -> Request:
    """A question; agencies are named after their types."""
    return Request(
        point=ACTIONS[action],
        action=action,
        agency=f"{agency_type}-1",
        agency_type=agency_type,
        sender=f"{sender_type}-2",
        sender_type=sender_type,
        message_type=message_type,
        **({"now_ms": NOW_MS} | facts),
    )
