"""When an authority is silent, used up, wrong or crashes; when keys change; when somebody asks again, or off the record."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from audit.v1 import leaf_pb2
from bus import leaves
from bus.errors import NotFound, Refused, Retry
from bus.keyservice.tags import TagShares
from bus.outbound import Sent
from bus.parts import Statement
from bus.tags import authority, epochs, group, keyring, quotas, voprf
from bus.tags.batches import batch_digest
from bus.tags.errors import TagRefused
from bus.tags.settings import SERVICE
from bus.tags.tables import tag_keys
from bus.transport import Outgoing
from bus.transport.memory import PublishFault
from schemas.v1 import match_pb2
from tests.node.stage import entries
from tests.simulator import Fault, Simulation
from tests.tags.stage import (
    ANALYST,
    INVESTIGATOR,
    KEY_OFFICER,
    WARN,
    ask,
    batches,
    has_tags,
    many,
    matched,
    notice,
    report,
    send,
    tags_of,
)

EPOCH = "2026Q4"


def lose(type_name: str, sender: str = "") -> Callable[[Outgoing], PublishFault | None]:
    """Return a broker that swallows a type of message."""
    return lambda message: PublishFault(0, "confirmed") if message.type_name == f"lianfang.v1.{type_name}" else None


def used(simulation: Simulation, agency: str = "bank-a") -> dict[str, int]:
    """Return what an agency has used at the centre."""
    told = simulation.nodes["centre"].tags.operations()["tags.quota"](ANALYST, {})
    return dict(told["used"][agency])


def element(text: bytes = b"value") -> bytes:
    return voprf.blind(text, group.random_scalar(Fixed())).element


class Fixed:
    def bytes(self, count: int) -> bytes:
        return bytes(range(count))


def test_a_notice_goes_without_tags_when_an_authority_is_silent(simulation: Simulation) -> None:
    """Half a minute after the authorities did not answer, the notice goes without tags, under the id that was told."""
    simulation.broker.publish_fault = lose("TagAnswer")
    outcome = ask(simulation, "bank-a", notice(1), ("police-a",))
    assert isinstance(outcome, Sent)
    simulation.run(20)
    with pytest.raises(NotFound):
        simulation.nodes["police-a"].opening.look(outcome.message_id)
    simulation.clock.advance(30_000)
    simulation.run(20)
    assert not has_tags(simulation, "police-a", outcome.message_id)
    assert batches(simulation, "bank-a") == [("untagged", "LF-TAG-NO-ANSWER")]
    named = [list(entry.peers) for entry in entries(simulation, "bank-a") if "LF-TAG-NO-ANSWER" in entry.reason_codes]
    assert named == [["auditor"]]


def test_over_its_quota_an_agency_gets_no_evaluation(simulation: Simulation) -> None:
    """Forty values an hour: the next is refused with a time, on record at the authority, and the notice goes without tags."""
    for first in (100, 200):
        send(simulation, "bank-a", many(first, 17))
    assert used(simulation)["hour"] == 34
    late = send(simulation, "bank-a", many(300, 17))
    assert used(simulation)["hour"] == 34
    assert not has_tags(simulation, "police-a", late)
    assert batches(simulation, "bank-a")[-1] == ("untagged", "LF-TAG-QUOTA")
    denied = [entry for entry in entries(simulation, "centre") if "LF-TAG-QUOTA" in entry.reason_codes]
    assert [(entry.kind, list(entry.peers), entry.record_count) for entry in denied] == [
        (leaf_pb2.KIND_DENIAL, ["bank-a"], 17)
    ]
    assert used(simulation, "bank-b") == {"hour": 0, "day": 0}, "another's quota is untouched"
    simulation.clock.advance(quotas.WINDOWS_MS["hour"])
    again = send(simulation, "bank-a", many(400, 17))
    assert has_tags(simulation, "police-a", again)
    assert used(simulation) == {"hour": 17, "day": 51}
    assert not has_tags(simulation, "police-a", send(simulation, "bank-a", many(500, 17))), "sixty a day"


def test_the_quota_is_what_stops_the_one_who_asks_without_end(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the quota out, the same agency has as many values evaluated as it likes: up to the key service's own day."""
    monkeypatch.setattr(quotas, "spend", lambda *_: None)
    for service in (simulation.services["centre"], simulation.services["auditor"]):
        service._tags._per_day_max = 60
    sent = [send(simulation, "bank-a", many(first, 17)) for first in (100, 200, 300)]
    assert all(has_tags(simulation, "police-a", message_id) for message_id in sent), "51 of 40 an hour"
    assert not has_tags(simulation, "police-a", send(simulation, "bank-a", many(400, 17)))
    assert batches(simulation, "bank-a")[-1] == ("untagged", "LF-TAG-KEYS-QUOTA")


def test_a_request_replayed_by_the_broker_is_answered_once(simulation: Simulation) -> None:
    """Every message brought twice: the quota is spent once, and one answer is sent."""
    simulation.broker.publish_fault = lambda _: PublishFault(2, "confirmed")
    message_id = send(simulation, "bank-a", notice(2))
    assert has_tags(simulation, "police-a", message_id)
    assert used(simulation)["hour"] == 2


def test_a_request_taken_up_again_is_answered_once(simulation: Simulation, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that is handed over again spends nothing more; without the look at what was answered it would."""
    send(simulation, "bank-a", notice(3))
    centre = simulation.nodes["centre"]
    listed = simulation.operation("centre", "inbox", limit=10, type="lianfang.v1.TagRequest")
    assert isinstance(listed, list)
    request_id = bytes.fromhex(listed[0]["message_id"])
    assert centre.tags.authority is not None
    centre.tags.authority.answer(request_id)
    assert used(simulation)["hour"] == 2
    monkeypatch.setattr(centre.tags.authority, "_is_answered", lambda _: False)
    centre.tags.authority.answer(request_id)
    assert used(simulation)["hour"] == 4


@pytest.mark.parametrize("happened", [False, True], ids=["failed", "happened"])
def test_an_authority_that_dies_while_it_evaluates_answers_once(simulation: Simulation, happened: bool) -> None:
    """Killed at the evaluation, before or after it, the authority answers when it is back, and the notice has its tags."""
    simulation.faults.planned.append(Fault("centre", "tags.evaluate", happened=happened, crash=True))
    message_id = send(simulation, "bank-a", notice(4))
    assert simulation.restarts == 1
    assert has_tags(simulation, "police-a", message_id)
    assert batches(simulation, "bank-a") == [("tagged", "")]


@pytest.mark.parametrize("nth", [3, 4, 5])
def test_a_bank_that_dies_on_the_way_out_sends_its_notice_once(simulation: Simulation, nth: int) -> None:
    """Killed at or after the commit of the notice, the bank sends it once, with its tags, under the id that was told."""
    commits = simulation.faults.passed.get(("bank-a", "outbound.commit"), 0)
    simulation.faults.planned.append(Fault("bank-a", "outbound.commit", happened=True, crash=True, nth=commits + nth))
    outcome = ask(simulation, "bank-a", notice(5), ("police-a",))
    assert isinstance(outcome, Sent)
    simulation.run()
    simulation.clock.advance(30_000)
    simulation.run()
    listed = simulation.operation("police-a", "inbox", limit=10, type="lianfang.v1.SuspiciousAccountNotice")
    assert isinstance(listed, list)
    assert [row["message_id"] for row in listed] == [outcome.message_id.hex()]
    assert has_tags(simulation, "police-a", outcome.message_id)


def test_an_authority_whose_share_was_changed_is_named(simulation: Simulation) -> None:
    """A centre that evaluates with another share than it announced is on record at the bank; no wrong tag is sent."""
    vault = simulation.services["centre"]._vault
    vault.pin(f"tag/{EPOCH}", group.scalar((7).to_bytes(32, "little")))
    message_id = send(simulation, "bank-a", notice(6))
    assert not has_tags(simulation, "police-a", message_id)
    assert batches(simulation, "bank-a") == [("untagged", "LF-TAG-PROOF")]
    named = [list(entry.peers) for entry in entries(simulation, "bank-a") if "LF-TAG-PROOF" in entry.reason_codes]
    assert named == [["centre"]]


def test_an_authority_that_announces_another_key_is_refused(simulation: Simulation) -> None:
    """The first key of an epoch stays pinned, and the second is on record; so is a key of whom nobody named."""
    parts = simulation.nodes["bank-a"].parts
    begins, ends = epochs.span(EPOCH)
    other = match_pb2.TagKey(epoch=EPOCH, public_key=group.generator(), not_before_ms=begins, not_after_ms=ends)
    before = keyring.key_sets(parts.engine, ("auditor", "centre"))
    with pytest.raises(Refused) as refused:
        keyring.keep(parts, "centre", other, SERVICE)
    assert refused.value.code == "LF-TAG-KEY-CHANGED"
    assert "LF-TAG-KEY-CHANGED" in entries(simulation, "bank-a")[-1].reason_codes
    assert keyring.key_sets(parts.engine, ("auditor", "centre")) == before
    other.public_key = bytes(32)
    other.epoch = "2027Q1"
    with pytest.raises(TagRefused):
        keyring.keep(parts, "centre", other, SERVICE)


def rotate(simulation: Simulation, agency: str, **asked: Any) -> Any:
    return simulation.nodes[agency].tags.operations()["tags.rotate"](KEY_OFFICER, asked)


def test_a_second_epoch_gives_two_tags_and_old_and_new_meet(simulation: Simulation) -> None:
    """Until both authorities have rotated nothing changes; then values get both tags, and meet who has only the old."""
    old = send(simulation, "platform-d", report(7), ("police-a",), WARN)
    assert rotate(simulation, "centre")["to"] == "2026Q4-2"
    simulation.run()
    between = send(simulation, "bank-a", notice(17))
    assert {tag.epoch for tag in tags_of(simulation, "police-a", between)} == {EPOCH}
    rotate(simulation, "auditor")
    simulation.run()
    new = send(simulation, "bank-a", notice(7))
    tags = tags_of(simulation, "police-a", new)
    assert sorted((tag.kind, tag.epoch) for tag in tags) == [
        (kind, epoch) for kind in ("account", "phone") for epoch in (EPOCH, "2026Q4-2")
    ]
    assert len({tag.value for tag in tags}) == len({tag.key_set for tag in tags}) * 2 == 4
    assert matched(simulation, "police-a", INVESTIGATOR, old) == {("phone", new.hex())}


def test_a_tag_with_another_epochs_name_meets_nothing(simulation: Simulation) -> None:
    """An old tag that somebody names by the new epoch meets no tag of it: the print has the epoch, and the tag is another."""
    first = send(simulation, "platform-d", report(8), ("police-a",), WARN)
    for agency in ("centre", "auditor"):
        rotate(simulation, agency)
    simulation.run()
    second = send(simulation, "platform-d", report(8), ("police-a",), WARN)
    old = tags_of(simulation, "police-a", first)[0]
    new = next(tag for tag in tags_of(simulation, "police-a", second) if tag.epoch != EPOCH)
    forged = match_pb2.MatchTag(kind="phone", epoch=new.epoch, key_set=new.key_set, value=old.value)
    forger = bytes(16)
    matches = simulation.nodes["police-a"].tags.matches
    matches.note(forger, "platform-d", "lianfang.v1.FraudNumberReport", [forged])
    assert matched(simulation, "police-a", INVESTIGATOR, forger) == set()
    matches.note(forger, "platform-d", "lianfang.v1.FraudNumberReport", [old])
    assert len(matched(simulation, "police-a", INVESTIGATOR, forger)) == 2, "the true old tag meets both"


def test_an_old_share_is_destroyed_and_nothing_is_evaluated_with_it(simulation: Simulation) -> None:
    """Two weeks after the second epoch began the first's share is gone from the key service, on record, for good."""
    for agency in ("centre", "auditor"):
        rotate(simulation, agency)
    simulation.run()
    centre = simulation.nodes["centre"]
    assert centre.tags.authority is not None
    simulation.clock.advance(epochs.OVERLAP_MS - 60_000)
    assert centre.tags.authority.plan()["destroy"] == []
    simulation.clock.advance(180_000)
    assert centre.tags.authority.plan()["destroy"] == [EPOCH]
    centre.tags.authority.housekeep()
    assert [list(entry.reason_codes) for entry in entries(simulation, "centre") if entry.kind == leaf_pb2.KIND_KEY][
        -1
    ] == ["TAG-KEY", "DESTROYED", EPOCH]
    service = simulation.services["centre"]
    for work in (lambda: service.tag_key(EPOCH), lambda: evaluate(simulation, [element()])):
        with pytest.raises(Refused) as refused:
            work()
        assert refused.value.code == "LF-TAG-EPOCH"
    assert centre.tags.authority.plan() == {"make": [], "destroy": []}


def test_the_next_quarters_share_is_made_a_week_ahead(simulation: Simulation) -> None:
    """Seven days before the quarter ends its successor's share is due, and not before; two weeks into it the old one's end."""
    authority_ = simulation.nodes["centre"].tags.authority
    assert authority_ is not None
    begins = epochs.span("2027Q1")[0]
    simulation.clock.at_ms = begins - epochs.AHEAD_MS - 1
    assert authority_.plan() == {"make": [], "destroy": []}
    simulation.clock.at_ms = begins - epochs.AHEAD_MS
    assert authority_.plan() == {"make": ["2027Q1"], "destroy": []}
    simulation.clock.at_ms = begins + epochs.OVERLAP_MS + 1
    assert authority_.plan()["destroy"] == [EPOCH]


def test_a_dry_run_changes_nothing_and_only_a_key_officer_rotates(simulation: Simulation) -> None:
    """A dry run says what would be; an analyst is refused, on record; both leave keys and log as they were."""
    centre = simulation.nodes["centre"]
    before = centre.parts.log.size
    told = centre.tags.operations()["tags.rotate"](ANALYST, {"dry_run": True})
    assert (told["from"], told["to"], told["done"], told["other_authority"]) == (EPOCH, "2026Q4-2", False, "auditor")
    assert centre.parts.log.size == before
    with pytest.raises(Refused):
        centre.tags.operations()["tags.rotate"](ANALYST, {})
    assert entries(simulation, "centre")[-1].kind == leaf_pb2.KIND_DENIAL
    with centre.parts.engine.connect() as connection:
        assert {row.epoch for row in connection.execute(select(tag_keys))} == {EPOCH}


def evaluate(simulation: Simulation, elements: list[bytes], **changed: Any) -> list[bytes]:
    """Ask the centre's key service as its node would: after an entry for the batch, which `changed` makes another."""
    parts = simulation.nodes["centre"].parts
    facts = {"peers": ("bank-a",), "count": len(elements), "digest": batch_digest(EPOCH, elements), **changed}
    kind = facts.pop("kind", "RELEASE")
    leaf = leaves.tags(parts, kind, actor=SERVICE, statement=Statement("", ""), **facts)
    with parts.log.transaction(2.0) as transaction:
        index = transaction.append(leaf)
    return simulation.services["centre"].tag_evaluate(EPOCH, elements, index)


def test_the_key_service_evaluates_nothing_off_the_record(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an entry for this very batch, or with an old one, nothing is evaluated; without that look all of it is."""
    elements = [element(b"one"), element(b"two")]
    made = evaluate(simulation, elements)
    assert len(made) == 3
    others: list[dict[str, Any]] = [
        {"count": 1},
        {"digest": batch_digest("2027Q1", elements)},
        {"digest": batch_digest(EPOCH, elements[::-1])},
        {"kind": "DENIAL"},
        {"peers": ()},
    ]
    for changed in others:
        with pytest.raises(Refused) as refused:
            evaluate(simulation, elements, **changed)
        assert refused.value.code == "LF-TAG-NO-ENTRY"
    service, size = simulation.services["centre"], simulation.nodes["centre"].parts.log.size
    with pytest.raises(Refused):
        service.tag_evaluate(EPOCH, elements, size)
    simulation.clock.advance(6_000)
    with pytest.raises(Refused):
        service.tag_evaluate(EPOCH, elements, size - 1 - len(others))
    monkeypatch.setattr(TagShares, "_require_entry", lambda *_: None)
    assert service.tag_evaluate(EPOCH, elements, size)[:-1] == made[:-1]


def test_an_entry_entitles_to_one_evaluation(simulation: Simulation, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same entry does not serve twice; without the durable note it would."""
    elements = [element()]
    made = evaluate(simulation, elements)
    service, index = simulation.services["centre"], simulation.nodes["centre"].parts.log.size - 1
    with pytest.raises(Refused) as refused:
        service.tag_evaluate(EPOCH, elements, index)
    assert refused.value.code == "LF-TAG-USED"
    monkeypatch.setattr(service._vault, "use_entry", lambda *_: True)
    assert service.tag_evaluate(EPOCH, elements, index)[:-1] == made[:-1]


def test_a_day_of_the_key_service_ends_and_begins_anew(simulation: Simulation) -> None:
    """What the key service gives in a day is counted on disk, and begins anew at midnight UTC."""
    service = simulation.services["centre"]
    service._tags._per_day_max = 3
    evaluate(simulation, [element(b"one"), element(b"two")])
    with pytest.raises(Retry) as refused:
        evaluate(simulation, [element(b"one"), element(b"two")])
    assert refused.value.code == "LF-TAG-KEYS-QUOTA"
    simulation.clock.advance(86_400_000)
    assert len(evaluate(simulation, [element()])) == 2


@pytest.mark.parametrize("bad", [bytes(32), b"\xff" * 32, bytes(31)], ids=["identity", "large", "short"])
def test_a_request_with_what_is_no_element_is_refused_by_code(simulation: Simulation, bad: bytes) -> None:
    """An authority evaluates nothing of such a request, spends nothing, and says so; its key service refuses by itself."""
    centre = simulation.nodes["centre"].tags.authority
    assert centre is not None
    request = match_pb2.TagRequest(epoch=EPOCH, elements=[element(), bad])
    answer = centre._evaluated("bank-a", bytes(16), request)
    assert (answer.refusal, list(answer.elements)) == ("LF-TAG-ELEMENT", [])
    assert used(simulation)["hour"] == 0
    assert entries(simulation, "centre")[-1].kind == leaf_pb2.KIND_DENIAL
    with pytest.raises(TagRefused):
        evaluate(simulation, [element(), bad])


def test_a_member_that_is_no_authority_answers_nothing(simulation: Simulation) -> None:
    """A bank's node has no quotas to show, rotates nothing and takes no key from whom its configuration does not name."""
    operations = simulation.nodes["bank-a"].tags.operations()
    for name in ("tags.quota", "tags.rotate"):
        with pytest.raises(NotFound) as refused:
            operations[name](KEY_OFFICER, {})
        assert refused.value.code == "LF-TAG-NO-AUTHORITY"


def test_status_says_what_is_in_use(simulation: Simulation) -> None:
    """The epoch in use, both authorities' keys and the fate of what was asked stand in the status."""
    send(simulation, "bank-a", notice(9))
    told = simulation.operation("bank-a", "tags.status")
    assert isinstance(told, dict)
    assert (told["on"], told["authorities"], told["authority"]) == (True, ["auditor", "centre"], False)
    assert [(held["epoch"], held["in_use"]) for held in told["epochs"]] == [(EPOCH, True)]
    assert told["batches"] == [{"state": "tagged", "code": "", "count": 1}]


def test_a_local_tag_is_this_agencys_alone(simulation: Simulation) -> None:
    """A token has one tag at one agency, another at another; a phone has none."""
    asked = {"kind": "token", "value": " 6BA7B810-9DAD-11D1-80B4-00C04FD430C8\n"}
    tags = {
        agency: simulation.nodes[agency].tags.operations()["tags.local"](ANALYST, asked)["tag"]
        for agency in ("bank-a", "bank-b")
    }
    assert tags["bank-a"] != tags["bank-b"]
    assert simulation.nodes["bank-a"].tags.operations()["tags.local"](ANALYST, asked)["tag"] == tags["bank-a"]
    with pytest.raises(TagRefused) as refused:
        simulation.nodes["bank-a"].tags.operations()["tags.local"](ANALYST, {"kind": "phone", "value": "13800138000"})
    assert refused.value.code == "LF-TAG-LOW-ENTROPY"


def test_a_new_member_is_told_the_keys(simulation: Simulation) -> None:
    """Housekeeping sends the key to each member once, and looks once a minute."""
    held: authority.Authority | None = simulation.nodes["centre"].tags.authority
    assert held is not None
    simulation.clock.advance(61_000)
    assert held.housekeep() == 0
    from bus.tags.tables import tag_told  # noqa: PLC0415 - as if this member had just joined

    with simulation.nodes["centre"].parts.write() as connection:
        connection.execute(tag_told.delete().where(tag_told.c.agency == "platform-d"))
    assert held.housekeep() == 0, "looked a moment ago"
    simulation.clock.advance(61_000)
    assert held.housekeep() == 1
