"""The wire format: bytes to values, strictly. What parses must serialise to the same bytes again; caps on everything."""

from hashlib import sha256
from typing import Final, NamedTuple, TypeVar

from google.protobuf.message import DecodeError, Message

from bus import limits
from bus.sealing.batch import BATCH_MAX, PROOF_STEPS_MAX, BatchPlace
from bus.sealing.errors import EnvelopeRefused
from bus.sealing.signatures import in_form as second_in_form
from bus.sealing.suites import SUITES, Suite
from schemas.v1 import envelope_pb2

VERSION = 1
BOXES_MAX = 64
RECIPIENTS_MAX = 256
AGENCY_CHARACTERS_MAX = 32
_TYPE_CHARACTERS_MAX = 128
_ID_BYTES = 16
MESSAGES_MAX = 1 << 24
"""How many messages one grant is for: class keys are used for an hour or for so many, whichever ends first."""
_SERIAL_MAX = 2**63 - 1  # what a database keeps as a number
_KEY_ID_BYTES = 8
_SIGNATURE_BYTES: Final = 64
_LANES = {
    envelope_pb2.LANE_URGENT: "urgent",
    envelope_pb2.LANE_NORMAL: "normal",
    envelope_pb2.LANE_BULK: "bulk",
}
_Kind = TypeVar("_Kind", bound=Message)
LANE_NUMBERS = {name: number for number, name in _LANES.items()}


class Header(NamedTuple):
    """The clear half of the common header."""

    salt: bytes
    message_id: bytes
    type: str
    type_version: int
    sender: str
    sender_key_id: bytes
    recipients: tuple[str, ...]
    lane: str
    sent_at_ms: int
    expires_at_ms: int
    grant_id: bytes
    sequence: int
    policy_serial: int
    correlation_id: bytes
    causation_id: bytes
    suite: int = 1
    class_plan: int = 0


class ParsedEnvelope(NamedTuple):
    """An envelope in form; nobody has been held to it yet."""

    header: Header
    header_bytes: bytes
    payload: bytes
    payload_sha256: bytes
    public_body: bytes
    boxes: tuple[tuple[int, bytes], ...]
    inline_grant: bytes
    place: BatchPlace

    @property
    def suite(self) -> Suite:
        """The suite that it was sealed under."""
        return SUITES[self.header.suite]


def parse_header(envelope: bytes) -> ParsedEnvelope:
    """Parse an envelope strictly. EnvelopeRefused with the reason's code."""
    outer = strict(envelope_pb2.Envelope, envelope, limits.ENVELOPE_BYTES_MAX)
    place = BatchPlace(outer.signature, outer.leaf_index, outer.batch_size, outer.proof, outer.ml_dsa_65_signature)
    if len(place.signature) != _SIGNATURE_BYTES:
        raise EnvelopeRefused("a signature has 64 bytes", code="LF-SEAL-FORM")
    if place.size > BATCH_MAX or len(place.proof) > PROOF_STEPS_MAX * 32:
        raise EnvelopeRefused("the batch is too large", code="LF-SEAL-TOO-LARGE")
    parsed = parse_payload(outer.payload, place)
    if not second_in_form(parsed.suite, place.second):
        raise EnvelopeRefused("the signatures are not those of its suite", code="LF-SEAL-FORM")
    return parsed


def parse_payload(payload: bytes, place: BatchPlace | None = None) -> ParsedEnvelope:
    """Parse what is signed, strictly."""
    sealed = strict(envelope_pb2.Sealed, payload, limits.ENVELOPE_BYTES_MAX)
    header = _header(sealed.header)
    # Compartments are numbered from 1 without a gap (parse_grant), so neither order nor number is left to the sender.
    if len(sealed.boxes) > BOXES_MAX or any(box.compartment != at for at, box in enumerate(sealed.boxes, start=1)):
        raise EnvelopeRefused("the boxes are not numbered 1, 2, 3 …", code="LF-SEAL-FORM")
    if bool(sealed.boxes) != bool(header.grant_id) or (sealed.inline_grant and not header.grant_id):
        raise EnvelopeRefused("boxes and grant go together", code="LF-SEAL-FORM")
    return ParsedEnvelope(
        header=header,
        header_bytes=sealed.header,
        payload=payload,
        payload_sha256=sha256(payload).digest(),
        public_body=sealed.public_body,
        boxes=tuple((box.compartment, box.ciphertext) for box in sealed.boxes),
        inline_grant=sealed.inline_grant,
        place=place or BatchPlace(b"", 0, 1, b""),
    )


def header_in_form(header: envelope_pb2.Header) -> bool:
    """Say whether a header of this version and suite is one that a receiver takes."""
    recipients = list(header.recipients)
    lengths = [len(header.sender), *map(len, recipients)]
    return (
        len(header.salt) == _ID_BYTES
        and len(header.message_id) == _ID_BYTES
        and len(header.correlation_id) == _ID_BYTES
        and len(header.causation_id) in (0, _ID_BYTES)
        and len(header.grant_id) in (0, _ID_BYTES)
        and len(header.sender_key_id) == _KEY_ID_BYTES
        and header.lane in _LANES
        and 0 < len(header.type) <= _TYPE_CHARACTERS_MAX
        and 0 < min(lengths) <= max(lengths) <= AGENCY_CHARACTERS_MAX
        and 0 < len(recipients) <= RECIPIENTS_MAX
        and recipients == sorted(set(recipients))
        and 0 < header.sent_at_ms < header.expires_at_ms
        # Sequence numbers count the messages under a grant, from 1; without a grant there is nothing to count.
        and bool(header.sequence) == bool(header.grant_id)
        and header.sequence <= MESSAGES_MAX
        and header.policy_serial <= _SERIAL_MAX
    )


def _header(data: bytes) -> Header:
    header = strict(envelope_pb2.Header, data, limits.ENVELOPE_BYTES_MAX)
    if header.version != VERSION:
        raise EnvelopeRefused("the sealing format is of another version", code="LF-SEAL-VERSION")
    if header.suite not in SUITES:
        raise EnvelopeRefused("the sealing suite is unknown", code="LF-SEAL-SUITE")
    if not header_in_form(header):
        raise EnvelopeRefused("the header is not in form", code="LF-SEAL-FORM")
    return Header(
        salt=header.salt,
        message_id=header.message_id,
        type=header.type,
        type_version=header.type_version,
        sender=header.sender,
        sender_key_id=header.sender_key_id,
        recipients=tuple(header.recipients),
        lane=_LANES[header.lane],
        sent_at_ms=header.sent_at_ms,
        expires_at_ms=header.expires_at_ms,
        grant_id=header.grant_id,
        sequence=header.sequence,
        policy_serial=header.policy_serial,
        correlation_id=header.correlation_id,
        causation_id=header.causation_id,
        suite=header.suite,
        class_plan=header.class_plan,
    )


def strict(kind: type[_Kind], data: bytes, limit: int) -> _Kind:
    """Return the message of these bytes. EnvelopeRefused: too many, they do not parse, or another serialisation.

    Unknown fields, fields out of order, a field twice, a default written out, a padded varint: none serialises to the
    same bytes again once what is unknown has been discarded.
    """
    if len(data) > limit:
        raise EnvelopeRefused(f"{len(data)} bytes are more than {limit}", code="LF-SEAL-TOO-LARGE")
    try:
        value = kind.FromString(data)
    except DecodeError:
        raise EnvelopeRefused("the bytes do not parse", code="LF-SEAL-FORM") from None
    value.DiscardUnknownFields()
    if value.SerializeToString(deterministic=True) != data:
        raise EnvelopeRefused("the bytes are not in their one canonical form", code="LF-SEAL-FORM")
    return value
