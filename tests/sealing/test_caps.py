"""Everything that another agency sends has a limit: taken at the limit, refused one beyond it, by a code."""

from collections.abc import Callable

import pytest

from bus.errors import CheckFailed
from bus.evidence import FILE_BYTES_MAX
from bus.evidence import check as check_exhibit
from bus.sealing import boxes
from bus.sealing.batch import BATCH_MAX, PROOF_STEPS_MAX
from bus.sealing.envelope import (
    AGENCY_CHARACTERS_MAX,
    BOXES_MAX,
    MESSAGES_MAX,
    RECIPIENTS_MAX,
    header_in_form,
    parse_header,
    parse_payload,
)
from bus.sealing.errors import EnvelopeRefused, GrantRefused
from schemas.v1 import envelope_pb2
from tests.keyservice.house import House, seal_request
from tests.sealing.attacker import change_envelope, sealed_of


@pytest.fixture
def envelope(house: House) -> bytes:
    return house.services["bank-a"].seal([seal_request(1)])[0]


def _names(count: int) -> list[str]:
    return [f"bank-{number:04d}" for number in range(count)]


HEADER: dict[str, tuple[Callable[[envelope_pb2.Header, int], object], int]] = {
    "recipients": (lambda header, count: _set(header.recipients, _names(count)), RECIPIENTS_MAX),
    "characters of the sender": (lambda header, count: setattr(header, "sender", "a" * count), AGENCY_CHARACTERS_MAX),
    "characters of a recipient": (lambda header, count: _set(header.recipients, ["a" * count]), AGENCY_CHARACTERS_MAX),
    "characters of the type": (lambda header, count: setattr(header, "type", "t" * count), 128),
    "messages under a grant": (lambda header, count: setattr(header, "sequence", count), MESSAGES_MAX),
    "policy serial": (lambda header, count: setattr(header, "policy_serial", count), 2**63 - 1),
}


def _set(repeated, values: list[str]) -> None:
    del repeated[:]
    repeated.extend(values)


@pytest.mark.parametrize("name", HEADER)
def test_a_header_field_has_a_limit(envelope: bytes, name: str):
    """At its limit the header is in form, one beyond it is not."""
    change, most = HEADER[name]
    for value, in_form in ((most, True), (most + 1, False)):
        header = envelope_pb2.Header.FromString(sealed_of(envelope).header)
        change(header, value)
        assert header_in_form(header) is in_form


@pytest.mark.parametrize(("count", "taken"), [(BOXES_MAX, True), (BOXES_MAX + 1, False)])
def test_boxes_have_a_limit(envelope: bytes, count: int, taken: bool):
    """64 boxes are parsed, 65 are refused."""
    sealed = sealed_of(envelope)
    del sealed.boxes[:]
    for number in range(1, count + 1):
        sealed.boxes.add(compartment=number, ciphertext=bytes(16))
    payload = sealed.SerializeToString(deterministic=True)
    if taken:
        assert len(parse_payload(payload).boxes) == count
        return
    with pytest.raises(EnvelopeRefused):
        parse_payload(payload)


def _batch(outer: envelope_pb2.Envelope, size: int, steps: int) -> None:
    outer.batch_size, outer.proof = size, bytes(32 * steps)


@pytest.mark.parametrize(
    ("size", "steps", "taken"),
    [(BATCH_MAX, PROOF_STEPS_MAX, True), (BATCH_MAX + 1, 1, False), (1, PROOF_STEPS_MAX + 1, False)],
)
def test_a_batch_and_a_proof_have_limits(envelope: bytes, size: int, steps: int, taken: bool):
    """A batch of 65,536 with 16 steps is parsed (its signature is another matter); one more of either is refused."""
    made = change_envelope(envelope, lambda outer: _batch(outer, size, steps))
    if taken:
        assert parse_header(made).place.size == size
        return
    with pytest.raises(EnvelopeRefused) as caught:
        parse_header(made)
    assert caught.value.code == "LF-SEAL-TOO-LARGE"


def test_a_grant_has_a_size_limit(envelope: bytes):
    """A grant as long as one may be is refused for its form, one byte longer for its size: it is not even parsed."""
    outer = envelope_pb2.Grant.FromString(sealed_of(envelope).inline_grant)
    room = boxes.GRANT_BYTES_MAX - outer.ByteSize()
    outer.wraps[0].sealed_keys += bytes(room)
    while outer.ByteSize() > boxes.GRANT_BYTES_MAX:
        outer.wraps[0].sealed_keys = outer.wraps[0].sealed_keys[:-1]
    assert len(boxes.parse_grant(outer.SerializeToString(deterministic=True)).document) == boxes.GRANT_BYTES_MAX
    outer.wraps[0].sealed_keys += b"x"
    with pytest.raises(GrantRefused) as caught:
        boxes.parse_grant(outer.SerializeToString(deterministic=True))
    assert caught.value.code == "LF-SEAL-GRANT-FORM"


def test_an_exhibit_has_a_size_limit():
    """A file longer than an exhibit may be is refused by its size."""
    for count, code in ((FILE_BYTES_MAX, "LF-SEAL-FORM"), (FILE_BYTES_MAX + 1, "LF-SEAL-TOO-LARGE")):
        with pytest.raises(CheckFailed) as caught:
            check_exhibit(b"\x0a" * count)
        assert caught.value.code == code
