"""The wire format is read strictly: one reading, one serialisation, caps on everything."""

import pytest

from bus import limits
from bus.sealing import envelope as wire
from bus.sealing.envelope import parse_header, parse_payload
from bus.sealing.errors import EnvelopeRefused, SealingError
from bus.sealing.verify import verify
from schemas.v1 import envelope_pb2
from tests.keyservice.house import NOW_MS, House, seal_request
from tests.sealing.attacker import change_envelope, change_header, resign, sealed_of


@pytest.fixture
def envelope(house: House) -> bytes:
    return house.services["bank-a"].seal([seal_request()])[0]


def test_what_parses_serialises_back_to_the_same_bytes(house: House, envelope: bytes):
    """What parses says the same as its bytes, part by part."""
    parsed = verify(envelope, house.directory, NOW_MS)
    sealed = sealed_of(envelope)
    assert (parsed.header_bytes, parsed.public_body) == (sealed.header, sealed.public_body)
    assert parsed.header.recipients == ("centre", "police-a", "police-b")
    assert parsed.header.sequence == 1


def test_no_single_bit_of_an_envelope_may_flip(house: House, envelope: bytes):
    """No envelope with one bit flipped, at any place, is taken."""
    directory = house.directory
    for at in range(len(envelope) * 8):
        flipped = bytearray(envelope)
        flipped[at // 8] ^= 1 << at % 8
        with pytest.raises(EnvelopeRefused):
            verify(bytes(flipped), directory, NOW_MS)


def test_no_prefix_of_an_envelope_is_taken(house: House, envelope: bytes):
    """No truncated envelope is taken, and none with a byte appended."""
    directory = house.directory
    for length in range(len(envelope)):
        with pytest.raises(EnvelopeRefused):
            verify(envelope[:length], directory, NOW_MS)
    with pytest.raises(EnvelopeRefused):
        verify(envelope + b"\x00", directory, NOW_MS)


NOT_CANONICAL = {
    "unknown field": lambda data: data + b"\xfa\x01\x01x",
    "unknown varint field": lambda data: data + b"\xf0\x01\x01",
    "padded varint": lambda data: data + b"\x18\x80\x00",
    "default written out": lambda data: data + b"\x18\x00",
    "field twice": lambda data: data + b"\x20\x01" + b"\x20\x01",
    "field out of order": lambda data: b"\x20\x01" + data,
    "group": lambda data: data + b"\xfb\x01\xfc\x01",
}


@pytest.mark.parametrize("name", NOT_CANONICAL)
def test_bytes_have_one_reading(envelope: bytes, name: str):
    """An envelope in any other serialisation than the one canonical is refused, even where it means the same."""
    with pytest.raises(EnvelopeRefused) as caught:
        parse_header(NOT_CANONICAL[name](envelope))
    assert caught.value.code == "LF-SEAL-FORM"


def test_the_strict_parse_is_what_stops_an_unknown_field(house: House, envelope: bytes, monkeypatch):
    """Without the comparison of serialisations an envelope with a field that nobody knows is taken."""
    attack = NOT_CANONICAL["unknown field"](envelope)
    with monkeypatch.context() as weakened:
        weakened.setattr(wire, "strict", lambda kind, data, limit: kind.FromString(data))
        assert verify(attack, house.directory, NOW_MS).header.sender == "bank-a"
    with pytest.raises(EnvelopeRefused):
        verify(attack, house.directory, NOW_MS)


HEADERS = {
    "no salt": lambda header: header.ClearField("salt"),
    "short salt": lambda header: setattr(header, "salt", b"x" * 15),
    "short message id": lambda header: setattr(header, "message_id", b"x"),
    "no correlation": lambda header: header.ClearField("correlation_id"),
    "long causation": lambda header: setattr(header, "causation_id", b"x" * 17),
    "short grant": lambda header: setattr(header, "grant_id", b"x" * 8),
    "no grant": lambda header: header.ClearField("grant_id"),
    "no sequence": lambda header: header.ClearField("sequence"),
    "short key id": lambda header: setattr(header, "sender_key_id", b"x" * 7),
    "no lane": lambda header: header.ClearField("lane"),
    "unknown lane": lambda header: setattr(header, "lane", 9),
    "no type": lambda header: header.ClearField("type"),
    "long type": lambda header: setattr(header, "type", "x" * 129),
    "no sender": lambda header: header.ClearField("sender"),
    "long sender": lambda header: setattr(header, "sender", "x" * 33),
    "no recipients": lambda header: header.ClearField("recipients"),
    "recipients out of order": lambda header: header.recipients.reverse(),
    "recipient twice": lambda header: header.recipients.append("police-b"),
    "empty recipient": lambda header: header.recipients.insert(0, ""),
    "expires first": lambda header: setattr(header, "expires_at_ms", 1),
    "before time": lambda header: setattr(header, "sent_at_ms", -1),
    "other version": lambda header: setattr(header, "version", 2),
    "other suite": lambda header: setattr(header, "suite", 2),
    "no suite": lambda header: header.ClearField("suite"),
    "type by its short name": lambda header: setattr(header, "type", "SuspiciousAccountNotice"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_out_of_form_is_refused_even_when_its_sender_signed_it(house: House, envelope: bytes, name: str):
    """A header out of form is refused with a code, whoever signed it."""
    attack = resign(house, change_header(sealed_of(envelope), HEADERS[name]))
    with pytest.raises(EnvelopeRefused) as caught:
        verify(attack, house.directory, NOW_MS)
    assert caught.value.code in ("LF-SEAL-FORM", "LF-SEAL-VERSION", "LF-SEAL-SUITE", "LF-SEAL-UNKNOWN-KEY")


BOXES = {
    "box twice": lambda sealed: sealed.boxes.add().CopyFrom(sealed.boxes[-1]),
    "box left out": lambda sealed: sealed.boxes.pop(1),
    "boxes out of order": lambda sealed: sealed.boxes.reverse(),
    "box 0": lambda sealed: setattr(sealed.boxes[0], "compartment", 0),
    "box 300": lambda sealed: sealed.boxes.add(compartment=300, ciphertext=b"x"),
    "65 boxes": lambda sealed: sealed.boxes.extend(
        envelope_pb2.Box(compartment=number, ciphertext=b"x") for number in range(5, 66)
    ),
    "no boxes": lambda sealed: sealed.ClearField("boxes"),
}


@pytest.mark.parametrize("name", BOXES)
def test_boxes_are_numbered_without_gap(envelope: bytes, name: str):
    """Boxes twice, out of order, too many or none at all under a grant are refused."""
    sealed = sealed_of(envelope)
    BOXES[name](sealed)
    with pytest.raises(EnvelopeRefused) as caught:
        parse_payload(sealed.SerializeToString(deterministic=True))
    assert caught.value.code == "LF-SEAL-FORM"


def test_an_envelope_has_a_size_limit():
    """Bytes at the limit are parsed (and here refused for their form), one byte beyond is refused for its size."""
    for length, code in (
        (limits.ENVELOPE_BYTES_MAX, "LF-SEAL-FORM"),
        (limits.ENVELOPE_BYTES_MAX + 1, "LF-SEAL-TOO-LARGE"),
    ):
        with pytest.raises(EnvelopeRefused) as caught:
            parse_header(b"x" * length)
        assert caught.value.code == code


def test_a_batch_has_a_size_limit(envelope: bytes):
    """A proof of more than 16 steps or a batch of more than 65536 is refused without hashing."""
    for change in (
        lambda outer: setattr(outer, "batch_size", 65537),
        lambda outer: setattr(outer, "proof", b"x" * (17 * 32)),
    ):
        with pytest.raises(EnvelopeRefused) as caught:
            parse_header(change_envelope(envelope, change))
        assert caught.value.code == "LF-SEAL-TOO-LARGE"


def test_a_signature_has_64_bytes(envelope: bytes):
    """A signature of another length is out of form."""
    for length in (0, 63, 65):
        attack = change_envelope(envelope, lambda outer, length=length: setattr(outer, "signature", b"x" * length))
        with pytest.raises(SealingError):
            parse_header(attack)
