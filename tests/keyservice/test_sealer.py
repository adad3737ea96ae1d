"""What is sealed: grants and sequence numbers through restarts, and everything a receiver would refuse refused before."""

from dataclasses import replace

import pytest

from bus import limits
from bus.errors import Retry, Usage
from bus.keyservice import sealer
from bus.sealing.boxes import parse_grant
from bus.sealing.envelope import ParsedEnvelope, parse_header
from bus.sealing.plan import Compartment, compartments
from schemas.v1 import federation_pb2
from tests.keyservice.house import AUDIENCES, NOW_MS, House, notice, seal_request


def _seal(house: House, *requests) -> list[ParsedEnvelope]:
    return [parse_header(envelope) for envelope in house.services["bank-a"].seal(list(requests))]


def test_messages_for_the_same_readers_share_a_grant(house: House):
    """Messages of one type, to the same readers, in the same hour, count up under one grant; it is sent with the first."""
    first, second = _seal(house, seal_request(1, inline_grant=False), seal_request(2, inline_grant=False))
    assert first.header.grant_id == second.header.grant_id
    assert (first.header.sequence, second.header.sequence) == (1, 2)
    assert first.inline_grant
    assert not second.inline_grant


OTHERS = {
    "recipients": {"recipients": ("bank-b", "centre", "police-a", "police-b")},
    "policy": {"policy_serial": 2},
    "hour": {"sent_at_ms": NOW_MS + 3_600_011},
    "clock gone back": {"sent_at_ms": NOW_MS},
    "audience": {"compartments": compartments(AUDIENCES | {"BALANCE": frozenset({"police-a"})})},
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_audience_policy_or_hour_has_another_grant(house: House, name: str):
    """Whatever the grant says is the same for all its messages; what differs gets its own."""
    later = {"sent_at_ms": NOW_MS + 10}
    first, second = _seal(house, seal_request(1, **later), seal_request(2, **(later | OTHERS[name])))
    assert first.header.grant_id != second.header.grant_id
    assert parse_grant(second.inline_grant).body.not_before_ms <= second.header.sent_at_ms


def test_a_new_directory_has_new_grants(house: House):
    """Once the directory changed nothing is sealed under class keys from before: a member may have left."""
    before = _seal(house, seal_request(1))[0]
    document = house.sign("directory", house.body(2, house.directory.sha256), "centre", "police-a")
    house.services["bank-a"].install_directory(document)
    assert _seal(house, seal_request(2))[0].header.grant_id != before.header.grant_id


def test_a_suspended_recipient_is_sealed_to_no_more(house: House):
    """A recipient that does not take part is refused by name, with boxes or without."""

    def suspend(members: list[federation_pb2.Member]) -> None:
        next(item for item in members if item.agency == "police-b").status = federation_pb2.MEMBER_STATUS_SUSPENDED

    _seal(house, seal_request(1))
    document = house.sign("directory", house.body(2, house.directory.sha256, suspend), "centre", "police-a")
    house.services["bank-a"].install_directory(document)
    for request in (seal_request(2), seal_request(3, recipients=("police-b",), compartments=(), body=b"")):
        with pytest.raises(Retry) as caught:
            _seal(house, request)
        assert caught.value.code == "LF-SEAL-RECIPIENT-SUSPENDED"


def test_a_restart_never_repeats_a_sequence_number(house: House):
    """After a restart the same grant goes on, beyond every number that may have been given out before."""
    before = [item.header for item in _seal(house, *[seal_request(number) for number in range(60)])]
    for _ in range(3):
        house.start("bank-a")
        after = [item.header for item in _seal(house, *[seal_request(number) for number in range(60, 64)])]
        assert {item.grant_id for item in after} == {before[0].grant_id}
        assert min(item.sequence for item in after) > max(item.sequence for item in before)
        before += after
    assert len({(item.grant_id, item.sequence) for item in before}) == len(before)


def test_the_durable_reservation_is_what_keeps_numbers_apart(house: House, monkeypatch):
    """Without the reservation on disk a restart gives out the same number again."""
    with monkeypatch.context() as weakened:
        weakened.setattr("bus.keyservice.vault.Vault.reserve", lambda *_: None)
        first = _seal(house, seal_request(1))[0].header
        house.start("bank-a")
        assert _seal(house, seal_request(2))[0].header.sequence == first.sequence
    house.start("bank-a")
    _seal(house, seal_request(3))
    last = _seal(house, seal_request(4))[0].header
    house.start("bank-a")
    assert _seal(house, seal_request(5))[0].header.sequence > last.sequence


def test_a_class_key_is_worn_out_after_so_many_messages(house: House, monkeypatch):
    """At the limit of messages under one grant a new one is issued."""
    monkeypatch.setattr(sealer, "MESSAGES_MAX", 3)
    grants = [item.header.grant_id for item in _seal(house, *[seal_request(number) for number in range(4)])]
    assert len(set(grants[:3])) == 1
    assert grants[3] != grants[0]


def test_the_next_epoch_begins_before_the_last_one_ends(house: House):
    """Five minutes before its end a grant is followed by the next; what is dated back still has the one before."""
    times = [0, 3_300_000, 3_300_001, 3_300_001, 3_200_000, 3_600_000, 3_600_001]
    service = house.services["bank-a"]
    sent = [
        parse_header(service.seal([seal_request(at, sent_at_ms=NOW_MS + later, inline_grant=False)])[0])
        for at, later in enumerate(times)
    ]
    grants = [item.header.grant_id for item in sent]
    assert grants[0] == grants[1] == grants[4]
    assert grants[2] == grants[3] == grants[5] == grants[6] != grants[0]
    assert [bool(item.inline_grant) for item in sent] == [True, False, True, False, False, False, False]
    for item in sent:
        house.clock.at_ms = item.header.sent_at_ms
        assert house.services["police-a"].admit(item.payload) == ""
    assert len({(item.header.grant_id, item.header.sequence) for item in sent}) == len(sent)


def test_the_next_epoch_goes_on_after_a_restart(house: House):
    """After a restart in the overlap the newest grant goes on, beyond the numbers it may have used."""
    service = house.services["bank-a"]
    service.seal([seal_request(1)])
    late = {"sent_at_ms": NOW_MS + 3_400_000}
    before = parse_header(service.seal([seal_request(2, **late)])[0]).header
    house.start("bank-a")
    after = parse_header(house.services["bank-a"].seal([seal_request(3, **late)])[0]).header
    assert after.grant_id == before.grant_id
    assert after.sequence > before.sequence


UNSOUND = {
    "a class without a compartment": {
        "compartments": compartments({k: v for k, v in AUDIENCES.items() if k != "NARRATIVE"})
    },
    "compartments numbered from 2": {"compartments": (Compartment(2, tuple(AUDIENCES), ("police-a",)),)},
    "a class twice": {
        "compartments": (Compartment(1, tuple(AUDIENCES), ("police-a",)), Compartment(2, ("RISK",), ("centre",)))
    },
    "nobody in an audience": {"compartments": (Compartment(1, tuple(AUDIENCES), ()),)},
    "a reader who is no recipient": {"compartments": (Compartment(1, tuple(AUDIENCES), ("bank-b",)),)},
    "the class OPEN": {"compartments": (Compartment(1, ("OPEN", *AUDIENCES), ("police-a",)),)},
    "an unknown class": {"compartments": (Compartment(1, ("GOSSIP", *AUDIENCES), ("police-a",)),)},
    "no compartments": {"compartments": ()},
    "an unknown lane": {"lane": "fast"},
    "short message id": {"message_id": b"x"},
    "expired": {"expires_at_ms": NOW_MS},
    "recipient twice": {"recipients": ("centre", "police-a", "police-a", "police-b")},
    "unknown field in the body": {"body": seal_request().body + b"\xfa\x7f\x01x"},
}


@pytest.mark.parametrize("name", UNSOUND)
def test_what_a_receiver_would_refuse_is_not_sealed(house: House, name: str):
    """A request that is not sound is refused with a code, and no field of it travels unsealed or is dropped silently."""
    with pytest.raises(Usage) as caught:
        _seal(house, seal_request(1, **UNSOUND[name]))
    assert caught.value.code.startswith("LF-SEAL-")


def test_an_unknown_recipient_is_refused(house: House):
    """A recipient who is no member is refused before anything is sealed."""
    with pytest.raises(Retry):
        _seal(house, seal_request(1, recipients=("centre", "police-a", "police-b", "stranger")))


def test_a_batch_and_a_message_have_limits(house: House):
    """64 messages are a batch, 65 are none; a message beyond the envelope's limit is refused by its size."""
    requests = [seal_request(number) for number in range(limits.SEAL_BATCH_MAX + 1)]
    assert len(_seal(house, *requests[:-1])) == limits.SEAL_BATCH_MAX
    with pytest.raises(Usage) as caught:
        _seal(house, *requests)
    assert caught.value.code == "LF-SEAL-BATCH"
    large = notice()
    large.narrative = "x" * limits.ENVELOPE_BYTES_MAX
    with pytest.raises(Usage) as too_large:
        _seal(house, seal_request(1, large))
    assert too_large.value.code == "LF-SEAL-TOO-LARGE"


def test_size_does_not_grow_with_recipients(house: House):
    """Once its grant has gone out, a message to four is longer than one to three only by the fourth's name."""
    four = {"recipients": ("bank-b", "centre", "police-a", "police-b"), "inline_grant": False}
    house.services["bank-a"].seal([seal_request(1), replace(seal_request(2), **four)])
    lengths = [
        len(house.services["bank-a"].seal([request])[0])
        for request in (seal_request(3, inline_grant=False), seal_request(3, **four))
    ]
    assert lengths[1] - lengths[0] == len("bank-b") + 2


def test_a_recipient_without_prekey_is_named(house: House):
    """A recipient whose prekey has run out makes sealing wait, with its name."""
    house.clock.at_ms = NOW_MS
    later = NOW_MS + 401 * 86_400_000
    with pytest.raises(Retry) as caught:
        _seal(house, seal_request(1, sent_at_ms=later, expires_at_ms=later + 1))
    assert caught.value.code == "LF-SEAL-NO-PREKEY"


def test_the_order_of_recipients_makes_no_second_counter(house: House, monkeypatch):
    """However a caller orders recipients, messages under one grant have one counter, through every reservation."""
    monkeypatch.setattr(sealer, "_RESERVE", 2)
    orders = [("centre", "police-a", "police-b"), ("police-b", "centre", "police-a")]
    seen = [
        (item.header.grant_id, item.header.sequence)
        for number in range(20)
        for item in _seal(house, seal_request(number, recipients=orders[number % 2]))
    ]
    assert len({grant for grant, _ in seen}) == 1
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("part", ["classes", "audience"])
def test_a_compartment_has_one_way_to_be_written(house: House, part: str):
    """Classes or audience in another order than ascending are refused: two ways would be two counters."""
    made = [replace(item, **{part: getattr(item, part)[::-1]}) for item in compartments(AUDIENCES)]
    with pytest.raises(Usage) as caught:
        _seal(house, seal_request(1, compartments=tuple(made)))
    assert caught.value.code == "LF-SEAL-PLAN"
