"""Agencies report the same number; who may match sees it, nobody else does, and nothing on the way or at rest shows it.

The tests share a federation; each has numbers of its own, so that their order does not matter.
"""

import pytest

from audit.v1 import leaf_pb2
from bus.errors import NotFound, Refused
from bus.outbound import Draft
from bus.parts import Statement
from bus.policy.table import Table, golden_request
from schemas.v1 import envelope_pb2
from tests.node.stage import entries
from tests.policy.federation import NOW_MS, bundle
from tests.simulator import Simulation
from tests.tags.stage import (
    ADMINISTRATOR,
    ANALYST,
    INVESTIGATOR,
    WARN,
    Wire,
    account,
    batches,
    has_tags,
    matched,
    notice,
    phone,
    report,
    send,
    tags_of,
)

Shared = tuple[Simulation, Wire]


def test_two_reports_of_one_phone_meet(shared: Shared) -> None:
    """A bank's notice and a platform's report on one phone, spelt otherwise, agree for the police in just that."""
    simulation, _ = shared
    first = send(simulation, "bank-a", notice(1, "138 0013 0001"), ("police-a", "centre"))
    second = send(simulation, "platform-d", report(1, "０１３８-００１３-０００１"), ("police-a", "bank-b"), WARN)
    assert matched(simulation, "police-a", INVESTIGATOR, first) == {("phone", second.hex())}
    assert matched(simulation, "bank-b", ANALYST, second) == set(), "the other bank has nothing that it could meet"


def test_a_second_bank_finds_that_it_holds_the_same_account(shared: Shared) -> None:
    """Bank B has its own notice on an account that bank A suspects: it learns that they agree, and reads nothing of A's."""
    simulation, _ = shared
    first = send(simulation, "bank-a", notice(2), ("police-a", "bank-b"))
    second = send(simulation, "bank-b", notice(2), ("police-a", "bank-a"))
    assert matched(simulation, "bank-b", ANALYST, second) == {("account", first.hex()), ("phone", first.hex())}
    assert matched(simulation, "bank-a", ANALYST, first) == {("account", second.hex()), ("phone", second.hex())}
    _, inspection = simulation.nodes["bank-b"].opening.look(first)
    assert inspection.classes == ("CASE_META", "MATCH_TAG")
    for name in ("ACCOUNT_ID", "PHONE_ID", "IDENTITY"):
        with pytest.raises((Refused, NotFound)):
            simulation.nodes["bank-b"].opening.open(first, (name,), ANALYST, WARN)


def test_a_notice_of_other_values_meets_nothing(shared: Shared) -> None:
    """Another account and another phone agree with nothing."""
    simulation, _ = shared
    alone = send(simulation, "bank-a", notice(3), ("police-a", "bank-b"))
    assert matched(simulation, "police-a", INVESTIGATOR, alone) == set()


def test_equal_values_have_equal_tags_and_no_others(shared: Shared) -> None:
    """The tags of two notices on one phone and two accounts agree in the phone's alone."""
    simulation, _ = shared
    first = notice(4)
    second = notice(4)
    second.account.number = account(5)
    one, other = (
        {(tag.kind, tag.value) for tag in tags_of(simulation, "police-a", send(simulation, "bank-a", message))}
        for message in (first, second)
    )
    assert {kind for kind, _ in one & other} == {"phone"}
    assert {kind for kind, _ in one ^ other} == {"account"}


def test_an_authority_gets_no_tag(shared: Shared) -> None:
    """The centre gets the notice and not its tags; neither authority has any, and neither may list what matches."""
    simulation, _ = shared
    message_id = send(simulation, "bank-a", notice(6), ("police-a", "centre"))
    assert has_tags(simulation, "police-a", message_id)
    assert not has_tags(simulation, "centre", message_id)
    for agency in ("centre", "auditor"):
        assert simulation.nodes[agency].tags.matches.listing(ANALYST, WARN, 50) == []


def test_no_row_of_the_policy_gives_an_authority_a_tag() -> None:
    """Whatever row is added for seals and openings, the forbid stands: without it, a careless row would be enough."""
    rules = bundle().rules
    tagged = ("SuspiciousAccountNotice", "FraudNumberReport")
    careless = [
        rule.model_copy(update={"agency_types": ["centre", "auditor", *rule.agency_types]})
        if rule.id in ("SE-60", "SE-61", "OP-49")
        else rule
        for rule in rules
    ]
    for held, is_given in ((careless, False), ([rule for rule in careless if rule.id != "FB-09"], True)):
        table = Table(held, bundle().vocabulary)
        for message_type in tagged:
            for golden in bundle().goldens:
                ask = golden.ask
                if (ask.message_type, ask.field_class, ask.action) == (message_type, "MATCH_TAG", "seal"):
                    asked = golden_request(
                        golden.model_copy(update={"ask": ask.model_copy(update={"agency_type": "centre"})}), NOW_MS
                    )
                    assert table.decide(asked).permitted is is_given


def test_who_may_not_match_is_refused_on_record(shared: Shared) -> None:
    """A system administrator who is an analyst too sees no match; the attempt is a denial in the log."""
    simulation, _ = shared
    send(simulation, "bank-a", notice(7))
    send(simulation, "platform-d", report(7), ("police-a",), WARN)
    with pytest.raises(Refused):
        simulation.nodes["police-a"].tags.matches.listing(ADMINISTRATOR, WARN, 50)
    last = entries(simulation, "police-a")[-1]
    assert (last.kind, last.action, list(last.rule_ids)) == (
        leaf_pb2.KIND_DENIAL,
        leaf_pb2.ACTION_SEARCH,
        ["FB-01"],
    )
    with pytest.raises(Refused):
        simulation.nodes["police-a"].tags.matches.listing(INVESTIGATOR, Statement("", ""), 50)


def test_who_lists_matches_is_on_record(shared: Shared) -> None:
    """A listing is an entry with who, for what and on which basis."""
    simulation, _ = shared
    simulation.nodes["police-a"].tags.matches.listing(INVESTIGATOR, WARN, 50)
    last = entries(simulation, "police-a")[-1]
    assert (last.kind, last.action, last.purpose) == (leaf_pb2.KIND_LOG_READ, leaf_pb2.ACTION_SEARCH, "early_warning")
    assert last.actor


def test_the_broker_carries_nothing_that_repeats(shared: Shared) -> None:
    """Of two reports on one phone nothing that the broker carried has the phone, the tag, or 16 bytes in common."""
    simulation, wire = shared
    before = len(wire.bodies)
    first = send(simulation, "bank-a", notice(8))
    between = len(wire.bodies)
    send(simulation, "platform-d", report(8), ("police-a",), WARN)
    tags = tags_of(simulation, "police-a", first)
    carried = wire.bodies[before:]
    assert {type_name for _, type_name, _ in carried} >= {"lianfang.v1.TagRequest", "lianfang.v1.TagAnswer"}
    for _, _, body in carried:
        assert not any(tag.value in body for tag in tags)
        assert phone(8).encode() not in body
    one, other = (pieces(part) for part in (wire.bodies[before:between], wire.bodies[between:]))
    assert min(len(one), len(other)) > 100
    assert not one & other


def pieces(carried: list[tuple[str, str, bytes]]) -> set[bytes]:
    """Return every 16 bytes in a row of the boxes of requests for tags and of their answers."""
    found: set[bytes] = set()
    for _, name, body in carried:
        if name in ("lianfang.v1.TagRequest", "lianfang.v1.TagAnswer"):
            sealed = envelope_pb2.Sealed.FromString(envelope_pb2.Envelope.FromString(body).payload)
            for box in sealed.boxes:
                found |= {box.ciphertext[place : place + 16] for place in range(len(box.ciphertext) - 15)}
    return found


def test_a_stolen_database_has_neither_values_nor_tags(shared: Shared) -> None:
    """In no file of the bank, the police or an authority stand the phone, the account or the tag, nor did the batch while it waited."""
    simulation, _ = shared
    node = simulation.nodes["bank-a"]
    node.tags.send([Draft(notice(9), ("police-a",), "normal")], ANALYST, Statement("early_warning", "ATF18"))
    waiting = files(simulation, "bank-a")
    simulation.run()
    listed = simulation.operation("police-a", "inbox", limit=50)
    assert isinstance(listed, list)
    message_id = max(row["message_id"] for row in listed)
    tags = tags_of(simulation, "police-a", bytes.fromhex(message_id))
    secrets = [phone(9).encode(), phone(9)[3:].encode(), account(9).encode(), *(tag.value for tag in tags)]
    for data in (waiting, *(files(simulation, agency) for agency in ("bank-a", "police-a", "centre", "auditor"))):
        assert not [secret for secret in secrets if secret in data or secret.hex().encode() in data]


def files(simulation: Simulation, agency: str) -> bytes:
    directory = simulation.federation.node(agency)
    data = b"".join(path.read_bytes() for path in directory.glob("*.db*"))
    assert len(data) > 100_000
    return data


def test_both_sides_write_down_how_many_and_never_which(shared: Shared) -> None:
    """Who asked, for what, on which case and for how many stands in the logs of the asker and of both authorities."""
    simulation, _ = shared
    before = {agency: len(entries(simulation, agency)) for agency in ("platform-d", "auditor", "centre")}
    stated = Statement("early_warning", "ATF26", case_ref="P-7")
    message_id = send(simulation, "platform-d", report(10), ("police-a",), stated)
    asked = [
        entry
        for entry in entries(simulation, "platform-d")[before["platform-d"] :]
        if (entry.kind, entry.action) == (leaf_pb2.KIND_INTENT, leaf_pb2.ACTION_SEARCH)
    ]
    assert [(list(entry.peers), entry.record_count) for entry in asked] == [(["auditor"], 1), (["centre"], 1)]
    assert all(entry.actor and entry.case and entry.purpose == "early_warning" for entry in asked)
    for agency, question in zip(("auditor", "centre"), asked, strict=True):
        given = [
            entry
            for entry in entries(simulation, agency)[before[agency] :]
            if (entry.kind, entry.action) == (leaf_pb2.KIND_RELEASE, leaf_pb2.ACTION_SEARCH)
        ]
        assert [(list(entry.peers), entry.record_count) for entry in given] == [(["platform-d"], 1)]
        assert (given[0].exchange, given[0].context_digest) == (question.exchange, question.context_digest)
        assert given[0].case
        assert given[0].purpose == "early_warning"
        assert not given[0].subjects
    assert has_tags(simulation, "police-a", message_id)


def test_what_was_tagged_before_is_not_asked_for_again(shared: Shared) -> None:
    """A second notice on the same values asks nobody, spends nothing, and meets the first."""
    simulation, wire = shared
    first = send(simulation, "bank-b", notice(11))
    requests = [name for _, name, _ in wire.bodies].count("lianfang.v1.TagRequest")
    second = send(simulation, "bank-b", notice(11))
    assert [name for _, name, _ in wire.bodies].count("lianfang.v1.TagRequest") == requests
    assert matched(simulation, "police-a", INVESTIGATOR, first) == {("account", second.hex()), ("phone", second.hex())}
    assert batches(simulation, "bank-b")[-1] == ("tagged", "")


def test_a_message_without_values_goes_at_once(shared: Shared) -> None:
    """A notice on a masked account asks for no tags and has none."""
    simulation, wire = shared
    message = notice(12)
    message.account.number, message.account.masked = "622202******0012", True
    message.ClearField("holder_phone")
    requests = [name for _, name, _ in wire.bodies].count("lianfang.v1.TagRequest")
    message_id = send(simulation, "bank-a", message)
    assert not has_tags(simulation, "police-a", message_id)
    assert [name for _, name, _ in wire.bodies].count("lianfang.v1.TagRequest") == requests


def test_the_logs_verify(shared: Shared, tmp_path_factory: pytest.TempPathFactory) -> None:
    """After all of this every log verifies from its export."""
    simulation, _ = shared
    assert min(simulation.check(tmp_path_factory.mktemp("exports")).values()) > 0
