"""What an attacker does: take envelopes apart, change them, put them together again, sign in a name whose key he has."""

from collections.abc import Callable
from typing import Any

from bus.sealing import boxes, verify
from bus.sealing.batch import sign_batch
from schemas.v1 import envelope_pb2
from tests.keyservice.house import NOW_MS, House

Change = Callable[[Any], object]


def sealed_of(envelope: bytes) -> envelope_pb2.Sealed:
    return envelope_pb2.Sealed.FromString(envelope_pb2.Envelope.FromString(envelope).payload)


def resign(house: House, sealed: envelope_pb2.Sealed, agency: str = "bank-a", sender: str = "bank-a") -> bytes:
    """Sign with an agency's key in a sender's name: the malicious insider, or an outsider with a key of his own."""
    payload = sealed.SerializeToString(deterministic=True)
    place = sign_batch(sender, [payload], house.services[agency]._signing.sign)[0]
    return envelope_pb2.Envelope(
        payload=payload, signature=place.signature, leaf_index=0, batch_size=1, proof=b""
    ).SerializeToString(deterministic=True)


def change_envelope(envelope: bytes, change: Change) -> bytes:
    outer = envelope_pb2.Envelope.FromString(envelope)
    change(outer)
    return outer.SerializeToString(deterministic=True)


def change_header(sealed: envelope_pb2.Sealed, change: Change) -> envelope_pb2.Sealed:
    header = envelope_pb2.Header.FromString(sealed.header)
    change(header)
    made = envelope_pb2.Sealed()
    made.CopyFrom(sealed)
    made.header = header.SerializeToString(deterministic=True)
    return made


def change_grant(house: House, document: bytes, change: Change, agency: str = "bank-a") -> bytes:
    """Change a grant's body and wraps, and sign it again with an agency's key."""
    outer = envelope_pb2.Grant.FromString(document)
    body = envelope_pb2.GrantBody.FromString(outer.body)
    change(body)
    outer.body = body.SerializeToString(deterministic=True)
    return sign_grant(house, outer, agency)


def sign_grant(house: House, outer: envelope_pb2.Grant, agency: str = "bank-a") -> bytes:
    wraps = {item.recipient: (item.recipient_key_id, item.sealed_keys) for item in outer.wraps}
    outer.signature = house.services[agency]._signing.sign(boxes.grant_signed_bytes(outer.body, wraps))
    return outer.SerializeToString(deterministic=True)


def admit(house: House, sealed: envelope_pb2.Sealed, agency: str = "police-a") -> str:
    """Receive as a node does: verify, then have the key service take it in."""
    parsed = verify.verify(resign(house, sealed), house.directory, NOW_MS)
    return house.services[agency].admit(parsed.payload)


def copy(sealed: envelope_pb2.Sealed) -> envelope_pb2.Sealed:
    made = envelope_pb2.Sealed()
    made.CopyFrom(sealed)
    return made
