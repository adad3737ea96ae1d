"""Whether an envelope is its sender's: the proof to the batch's root, the root's signature, the key's place in the directory.

The sender of a grant and of a message must be verified before anything is decrypted: class keys are symmetric, so a
recipient could forge a box, but not the signature over it.
"""

from bus.directory import Directory
from bus.sealing.batch import root_of, signature_holds, signed_bytes
from bus.sealing.envelope import ParsedEnvelope, parse_header
from bus.sealing.errors import EnvelopeRefused

VerifiedEnvelope = ParsedEnvelope
"""An envelope that `verify` returned: its sender can be held to it."""


def verify(envelope: bytes, directory: Directory, now_ms: int) -> VerifiedEnvelope:
    """Return the envelope if its sender, an active member, signed it. EnvelopeRefused otherwise."""
    del now_ms  # expiry is the receiver's decision, on record (bus/inbound.py step 4), not a matter of the signature
    parsed = _signed(envelope, directory)
    if not directory.is_active(parsed.header.sender):
        raise EnvelopeRefused("the sender does not take part", code="LF-SEAL-SENDER-SUSPENDED")
    return parsed


def verify_stored(envelope: bytes, directory: Directory) -> VerifiedEnvelope:
    """Return a stored envelope if it is still its sender's; a sender that has since left is believed for what it signed."""
    return _signed(envelope, directory)


def _signed(envelope: bytes, directory: Directory) -> ParsedEnvelope:
    parsed = parse_header(envelope)
    header = parsed.header
    key = directory.signing_key(header.sender, header.sender_key_id, header.sent_at_ms)
    if key is None:
        raise EnvelopeRefused("the sender's key is not in the member directory", code="LF-SEAL-UNKNOWN-KEY")
    root = root_of(parsed.payload, parsed.place)
    if root is None or not signature_holds(
        key, signed_bytes(header.sender, parsed.place.size, root), parsed.place.signature
    ):
        raise EnvelopeRefused("the sender did not sign this", code="LF-SEAL-SIGNATURE")
    return parsed
