"""Attacks on boxes, headers, grants and recipients; the attacker may be the broker, a recipient, or the sender himself.

Where a signature would already stop the attack, it is made anew with the sender's own key, so that the check behind it
is what is tried: the broker's attack and the malicious sender's are then one.
"""

import hmac
from dataclasses import replace

import pytest

from bus.keyservice import grants
from bus.sealing import boxes, split, verify
from bus.sealing.envelope import ParsedEnvelope, parse_payload
from bus.sealing.errors import CannotOpen, EnvelopeRefused, SealingError
from schemas.v1 import envelope_pb2, notice_pb2
from tests.keyservice.house import NOTICE, NOW_MS, House, notice, seal_request
from tests.sealing.attacker import admit, change_header, copy, sealed_of


def test_what_was_not_attacked_opens(house: House, pair):
    """The messages that the attacks start from are taken, and signing again alone does no harm."""
    assert [admit(house, sealed) for sealed in pair] == ["", ""]


@pytest.mark.parametrize("box", range(4))
def test_a_box_of_another_message_does_not_open(house: House, pair, box: int):
    """The same compartment's box of another message of the same sender, grant and hour is refused (payer for payee)."""
    attack = copy(pair[0])
    attack.boxes[box].ciphertext = pair[1].boxes[box].ciphertext
    with pytest.raises(CannotOpen):
        admit(house, attack)


@pytest.mark.parametrize(("one", "other"), [(0, 1), (0, 2), (1, 3), (2, 3)])
def test_two_compartments_of_one_message_cannot_be_swapped(house: House, pair, one: int, other: int):
    """Boxes swapped between compartments of one message are refused."""
    attack = copy(pair[0])
    attack.boxes[one].ciphertext, attack.boxes[other].ciphertext = (
        pair[0].boxes[other].ciphertext,
        pair[0].boxes[one].ciphertext,
    )
    with pytest.raises(CannotOpen):
        admit(house, attack)


def test_the_associated_data_are_what_stops_a_box_moved_under_another_header(house: House, pair, monkeypatch):
    """With empty associated data (as a well-known product has them) a box replayed with its salt under another header opens."""
    sealed = [sealed_of(item) for item in _weak_seal(house, monkeypatch)]
    assert _replay(house, sealed, monkeypatch, weak=True) == ""
    with pytest.raises(CannotOpen):
        _replay(house, pair, monkeypatch, weak=False)


def _weak_seal(house: House, monkeypatch) -> list[bytes]:
    with monkeypatch.context() as weakened:
        weakened.setattr(boxes, "_associated", lambda *_: b"")
        return house.services["bank-a"].seal([seal_request(3), seal_request(4)])


def _replay(house: House, sealed, monkeypatch, *, weak: bool) -> str:
    """The second message's header with the first's salt and sequence, so that only the associated data differ."""
    first = envelope_pb2.Header.FromString(sealed[0].header)

    def steal(header: envelope_pb2.Header) -> None:
        header.salt, header.sequence = first.salt, first.sequence

    attack = change_header(sealed[1], steal)
    attack.ClearField("boxes")
    attack.boxes.extend(sealed[0].boxes)
    with monkeypatch.context() as weakened:
        if weak:
            weakened.setattr(boxes, "_associated", lambda *_: b"")
        return admit(house, attack)


ALTERED = {
    "salt": lambda header: setattr(header, "salt", bytes(16)),
    "message_id": lambda header: setattr(header, "message_id", b"m" * 16),
    "type_version": lambda header: setattr(header, "type_version", 2),
    "lane": lambda header: setattr(header, "lane", envelope_pb2.LANE_URGENT),
    "sent_at_ms": lambda header: setattr(header, "sent_at_ms", header.sent_at_ms + 1),
    "expires_at_ms": lambda header: setattr(header, "expires_at_ms", header.expires_at_ms + 1),
    "sequence": lambda header: setattr(header, "sequence", header.sequence + 1),
    "correlation_id": lambda header: setattr(header, "correlation_id", b"c" * 16),
    "causation_id": lambda header: setattr(header, "causation_id", b"c" * 16),
    "type": lambda header: setattr(header, "type", "lianfang.v1.StopPaymentOrder"),
    "sender": lambda header: setattr(header, "sender", "bank-b"),
    "sender_key_id": lambda header: setattr(header, "sender_key_id", bytes(8)),
    "recipients": lambda header: header.recipients.remove("centre"),
    "a recipient more": lambda header: header.recipients.insert(0, "bank-b"),
    "grant_id": lambda header: setattr(header, "grant_id", bytes(16)),
    "policy_serial": lambda header: setattr(header, "policy_serial", 2),
}


@pytest.mark.parametrize("name", ALTERED)
def test_no_field_of_the_header_can_be_altered(house: House, pair, name: str):
    """Each header field is bound: altered, and the envelope signed anew, the message is refused."""
    admit(house, pair[1])
    with pytest.raises(SealingError):
        admit(house, change_header(pair[0], ALTERED[name]))


@pytest.mark.parametrize("name", sorted(ALTERED.keys() - {"sender_key_id"}))
def test_the_box_itself_is_bound_to_every_header_field(house: House, pair, name: str, monkeypatch):
    """Even where grant and header are not compared at all, the box does not open under an altered header."""
    admit(house, pair[0])
    held = house.services["police-a"]._grants.held(parse_payload(pair[0].SerializeToString()).header.grant_id)
    parsed = parse_payload(change_header(pair[0], ALTERED[name]).SerializeToString(deterministic=True))
    place = boxes.Place(parsed.header_bytes, parsed.public_body, parsed.header.salt, parsed.header.sequence)
    for number, ciphertext in parsed.boxes:
        with pytest.raises(CannotOpen):
            boxes.open_box(held.keys[number], number, place, ciphertext)


def test_the_public_body_is_bound_to_the_boxes(house: House, pair):
    """A box does not open beside another public body."""
    admit(house, pair[0])
    parsed = parse_payload(pair[0].SerializeToString())
    held = house.services["police-a"]._grants.held(parsed.header.grant_id)
    place = boxes.Place(parsed.header_bytes, b"another", parsed.header.salt, parsed.header.sequence)
    with pytest.raises(CannotOpen):
        boxes.open_box(held.keys[1], 1, place, parsed.boxes[0][1])


def test_every_failed_opening_looks_the_same(house: House, pair):
    """Altered, moved, truncated, empty or smuggled into: one refusal in the same words, so nobody learns which."""
    said = set()
    for ciphertext in (b"", b"x" * 15, b"x" * 16, pair[1].boxes[0].ciphertext, pair[0].boxes[0].ciphertext[:-1]):
        attack = copy(pair[0])
        attack.boxes[0].ciphertext = ciphertext
        with pytest.raises(CannotOpen) as caught:
            admit(house, attack)
        said.add((caught.value.code, caught.value.cause, caught.value.cure))
    with pytest.raises(CannotOpen) as caught:
        admit(house, _smuggle(house, pair[0], notice_pb2.SuspiciousAccountNotice(narrative="told")))
    said.add((caught.value.code, caught.value.cause, caught.value.cure))
    assert len(said) == 1


def _keys(house: House, sealed: envelope_pb2.Sealed) -> tuple[ParsedEnvelope, grants.Held]:
    """The sender's own class keys: he is the attacker."""
    parsed = parse_payload(sealed.SerializeToString(deterministic=True))
    held = house.services["bank-a"]._grants.held(parsed.header.grant_id)
    assert held is not None
    return parsed, held


def _smuggle(
    house: House, sealed: envelope_pb2.Sealed, extra: notice_pb2.SuspiciousAccountNotice | bytes
) -> envelope_pb2.Sealed:
    """Close the first compartment (CASE_META, RISK) again with more in it."""
    parsed, held = _keys(house, sealed)
    place = boxes.Place(parsed.header_bytes, parsed.public_body, parsed.header.salt, parsed.header.sequence)
    plain = boxes.open_box(held.keys[1], 1, place, parsed.boxes[0][1])
    more = extra if isinstance(extra, bytes) else extra.SerializeToString()
    attack = copy(sealed)
    attack.boxes[0].ciphertext = boxes.close(held.keys[1], 1, place, plain + more)
    return attack


SMUGGLED = {
    "a field of another class": notice_pb2.SuspiciousAccountNotice(narrative="told"),
    "a field twice": notice_pb2.SuspiciousAccountNotice(score=1),
    "an unknown field": b"\xfa\x7f\x01x",
    "an unknown field inside": b"\x0a\x04\xfa\x7f\x01x",
    "no protobuf": b"\xff\xff\xff",
}


@pytest.mark.parametrize("name", SMUGGLED)
def test_no_field_outside_its_classes_passes(house: House, pair, name: str):
    """A sender who puts into a compartment what is not of its classes, or not canonical, is refused."""
    with pytest.raises(CannotOpen):
        admit(house, _smuggle(house, pair[0], SMUGGLED[name]))


def test_the_canonical_check_is_what_stops_smuggling(house: House, pair, monkeypatch):
    """Without the check the centre, who may read no narrative, is given one inside its own compartment."""
    attack = _smuggle(house, pair[0], SMUGGLED["a field of another class"])
    with monkeypatch.context() as weakened:
        weakened.setattr(split, "is_canonical", lambda *_: True)
        assert admit(house, attack, "centre") == ""
        payload = parse_payload(attack.SerializeToString(deterministic=True)).payload
        assert "NARRATIVE" in house.services["centre"].inspect(payload).classes
    with pytest.raises(CannotOpen):
        admit(house, attack, "centre")


def test_no_classed_field_travels_in_the_public_body(house: House, pair, monkeypatch):
    """A sender who leaves a classed field in the public body is refused; without the check he is believed."""
    parsed, held = _keys(house, pair[0])
    public = notice_pb2.SuspiciousAccountNotice(narrative="told to everyone").SerializeToString()
    place = boxes.Place(parsed.header_bytes, parsed.public_body, parsed.header.salt, parsed.header.sequence)
    moved = replace(place, public_body=public)
    attack = copy(pair[0])
    attack.public_body = public
    for box in attack.boxes:
        plain = boxes.open_box(held.keys[box.compartment], box.compartment, place, box.ciphertext)
        box.ciphertext = boxes.close(held.keys[box.compartment], box.compartment, moved, plain)
    with monkeypatch.context() as weakened:
        weakened.setattr(verify, "check_public_body", lambda _: None)
        assert admit(house, attack) == ""
    with pytest.raises(EnvelopeRefused) as caught:
        admit(house, attack)
    assert caught.value.code == "LF-SEAL-PUBLIC-BODY"


def test_boxes_cannot_be_stripped(house: House, pair):
    """A message with fewer boxes than its grant has compartments is refused, even by who may not read the missing one."""
    attack = copy(pair[0])
    del attack.boxes[-1]
    with pytest.raises(SealingError):
        admit(house, attack, "centre")


def test_a_class_key_never_closes_two_boxes_under_one_key(house: House):
    """However bad the random salts are, the sequence keeps message keys apart; and the compartment does."""
    place = boxes.Place(b"h", b"", bytes(16), 1)
    made = {
        boxes.message_key(b"k" * 32, number, replace(place, sequence=sequence, salt=salt))
        for number in (1, 2)
        for sequence in (1, 2)
        for salt in (bytes(16), b"s" * 16)
    }
    assert len(made) == 8


def test_recipients_without_a_key_read_nothing(house: House, pair):
    """Each recipient reads exactly the classes whose audience it is in, and is told by name what is withheld."""
    payload = pair[0].SerializeToString(deterministic=True)
    expected = {"centre": {"CASE_META", "RISK", "BALANCE"}, "police-b": {"ACCOUNT_ID", "MONEY_FLOW", "BALANCE"}}
    for agency, classes in expected.items():
        assert admit(house, pair[0], agency) == ""
        seen = house.services[agency].inspect(payload)
        assert set(seen.classes) == classes
        assert set(seen.classes) | set(seen.withheld) == set(house.services["bank-a"].inspect(payload).classes)


def test_no_plaintext_and_no_key_stands_in_an_envelope(house: House):
    """Neither a field's value nor a class key is found in what travels."""
    message = notice("6228480012345")
    envelope = house.services["bank-a"].seal([seal_request(9, message)])[0]
    _, held = _keys(house, sealed_of(envelope))
    for value in (b"6228480012345", b"110101199003070011", b"13800138000", b"Changsha", *held.keys.values()):
        assert value not in envelope


def test_the_callers_message_is_never_changed(house: House):
    """Sealing reads the caller's message: sealed twice it is still the same, and both open to it."""
    message = notice("622848009")
    before = message.SerializeToString(deterministic=True)
    service = house.services["bank-a"]
    for number in (1, 2):
        envelope = service.seal([seal_request(number, message)])[0]
        assert message.SerializeToString(deterministic=True) == before
        parsed = verify.verify(envelope, house.directory, NOW_MS)
        contents = service._grants.open(parsed)
        whole = split.join(notice_pb2.SuspiciousAccountNotice, parsed.public_body, contents.plains)
        assert whole == message


def test_the_same_message_sealed_twice_shares_no_byte_run(house: House):
    """Two sealings of one message have different salts and ciphertexts."""
    service = house.services["bank-a"]
    one, two = (sealed_of(service.seal([seal_request(1)])[0]) for _ in range(2))
    assert all(a.ciphertext != b.ciphertext for a, b in zip(one.boxes, two.boxes, strict=True))


def test_types_have_their_own_grants(house: House, pair):
    """A grant for one type does not serve another type of the same sender and recipients."""
    grant = boxes.parse_grant(pair[0].inline_grant)
    header = parse_payload(pair[0].SerializeToString()).header
    assert boxes.why_not(header, grant) == ""
    assert header.type == NOTICE
    for change, code in (
        ({"type": "lianfang.v1.SpoofedCallReport"}, "TYPE"),
        ({"suite": 3}, "SUITE"),
        ({"sender": "bank-b"}, "OTHER"),
        ({"recipients": ("police-a",)}, "OTHER"),
        ({"policy_serial": 7}, "OTHER"),
        ({"sent_at_ms": NOW_MS - 1}, "EPOCH"),
        ({"sent_at_ms": NOW_MS + 3_600_001}, "EPOCH"),
        ({"grant_id": bytes(16)}, "OTHER"),
        ({"sender_key_id": bytes(8)}, "OTHER"),
    ):
        assert boxes.why_not(header._replace(**change), grant) == f"LF-SEAL-GRANT-{code}"


def test_domain_strings_keep_uses_apart():
    """Commitment, message key and associated data of the same inputs are different values with different prefixes."""
    key, place = b"k" * 32, boxes.Place(b"", b"", bytes(16), 1)
    assert boxes.commitment(1, key) != boxes.message_key(key, 1, place)
    assert boxes.commitment(1, key) != boxes.commitment(2, key)
    assert not hmac.compare_digest(boxes.grant_signed_bytes(b"", {}), boxes.grant_signed_bytes(b"", {"a": (b"", b"")}))
