"""What goes to a court: the key of one box of one message, with the agency's word that it is that (bus/evidence.py checks it)."""

from dataclasses import dataclass
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit import tree
from bus import evidence
from bus.keyservice.grants import Contents, Held
from bus.keyservice.protocol import OpenRequest
from bus.keyservice.vault import Vault
from bus.sealing import boxes
from bus.sealing.envelope import ParsedEnvelope
from bus.sealing.errors import CannotOpen
from schemas.v1 import evidence_pb2


@dataclass(frozen=True)
class Attester:
    """Who attests, and by what: the key in force, the directory's document, the serial of the bundle that permitted it."""

    agency: str
    signing: Ed25519PrivateKey
    directory: bytes
    policy_serial: int
    now_ms: int


def disclose(
    vault: Vault, by: Attester, request: OpenRequest, opened: tuple[bytes, ParsedEnvelope, Contents, Held], leaf: bytes
) -> bytes:
    """Return an exhibit, once for an entry. CannotOpen unless the classes asked for are all that their box holds.

    That the entry entitles to it has been judged (redeem.py). `opened`: the envelope, parsed, its contents, its grant.
    """
    envelope, parsed, contents, held = opened
    number = contents.number_of(request.classes)
    if number == 0:
        raise CannotOpen("a compartment is disclosed whole, or not at all", code="LF-OPEN-COMPARTMENT")
    if not vault.use_entry(request.log_index, sha256(request.token).digest()):
        raise CannotOpen("the entry has been redeemed before", code="LF-OPEN-USED")
    body = evidence_pb2.DisclosureBody(
        agency=by.agency,
        payload_sha256=parsed.payload_sha256,
        compartment=number,
        message_key=boxes.message_key(held.keys[number], number, held.place(parsed)),
        at_ms=by.now_ms,
        policy_serial=by.policy_serial,
        log_index=request.log_index,
        leaf_hash=tree.leaf_hash(leaf),
    ).SerializeToString(deterministic=True)
    signature = by.signing.sign(evidence.signed_bytes(body))
    public_key = by.signing.public_key().public_bytes_raw()
    return evidence.put_together(envelope, held.grant.document, body, by.agency, public_key, signature, by.directory)
