"""Whether an envelope is its sender's: the proof to the batch's root, the root's signature, the key's place in the directory.

The sender of a grant and of a message must be verified before anything is decrypted: class keys are symmetric, so a
recipient could forge a box, but not the signature over it.
"""

from bus.directory import Directory
from bus.sealing import split
from bus.sealing.batch import root_of, signed_bytes
from bus.sealing.envelope import ParsedEnvelope, parse_header
from bus.sealing.errors import EnvelopeRefused
from bus.sealing.signatures import Signatures, SigningKeys, all_hold, keys_of
from bus.sealing.suites import CLASSICAL
from schemas import field_classes, registry
from schemas.errors import UnknownType

VerifiedEnvelope = ParsedEnvelope
"""An envelope that `verify` returned: its sender can be held to it."""


def verify(envelope: bytes, directory: Directory, now_ms: int) -> VerifiedEnvelope:
    """Return the envelope if its sender, an active member, signed it. EnvelopeRefused otherwise."""
    del now_ms  # expiry is the receiver's decision, on record (bus/inbound.py step 4), not a matter of the signature
    parsed = parse_header(envelope)
    header = parsed.header
    _hold_to(parsed, directory, directory.signing_key(header.sender, header.sender_key_id, header.sent_at_ms))
    if not directory.is_active(header.sender):
        raise EnvelopeRefused("the sender does not take part", code="LF-SEAL-SENDER-SUSPENDED")
    check_public_body(parsed)
    return parsed


def verify_stored(envelope: bytes, directory: Directory) -> VerifiedEnvelope:
    """Return a stored envelope if it is still its sender's.

    A sender that has since left, or whose key was revoked later, is believed for what it signed: the envelope was
    verified when it arrived, and its digest has stood in the log since.
    """
    parsed = parse_header(envelope)
    header = parsed.header
    _hold_to(parsed, directory, directory.signing_key_ever(header.sender, header.sender_key_id, header.sent_at_ms))
    return parsed


def check_public_body(parsed: ParsedEnvelope) -> None:
    """Refuse a public body that holds anything but fields of class OPEN: no classed field travels unsealed.

    A type that this node does not know passes: it is refused by name, on record (bus/inbound.py step 4).
    """
    try:
        known = registry.descriptor_of(parsed.header.type).full_name
    except UnknownType:
        return
    if known != parsed.header.type:
        raise EnvelopeRefused("a type is named in full", code="LF-SEAL-FORM")
    if not split.is_canonical(known, (field_classes.OPEN,), parsed.public_body, parsed.header.class_plan):
        raise EnvelopeRefused("the public body holds fields that are not public", code="LF-SEAL-PUBLIC-BODY")


def _hold_to(parsed: ParsedEnvelope, directory: Directory, key: bytes | None) -> None:
    if key is None:
        raise EnvelopeRefused("the sender's key is not in the member directory", code="LF-SEAL-UNKNOWN-KEY")
    header, place, suite = parsed.header, parsed.place, parsed.suite
    keys = SigningKeys(key)
    if suite is not CLASSICAL:
        keys = keys_of(suite, directory.member(header.sender), header.sender_key_id, key)
    root = root_of(parsed.payload, place, suite)
    if root is None or not all_hold(
        suite, keys, signed_bytes(header.sender, place.size, root), Signatures(place.signature, place.second)
    ):
        raise EnvelopeRefused("the sender did not sign this", code="LF-SEAL-SIGNATURE")
