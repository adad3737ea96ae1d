"""The way out: what policy does not let through does not leave, and what leaves, leaves once."""

import pytest
from sqlalchemy import func, select

from audit import leaf as leaf_format
from audit.v1 import leaf_pb2
from bus import limits, store
from bus.errors import Usage
from bus.outbound import AlreadySent, Draft, NotSent, Sent
from bus.parts import Actor, Statement
from bus.sealing.envelope import parse_header
from schemas.errors import MessageRefused
from schemas.v1 import notice_pb2
from tests.node import stage
from tests.simulator import Simulation


def _count(simulation: Simulation, agency: str, table) -> int:
    with simulation.nodes[agency].parts.engine.connect() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def test_an_administrator_sends_nothing_and_the_attempt_is_on_record(simulation: Simulation) -> None:
    """A person without the role is refused with the rule, nothing is sealed, and the denial has an entry."""
    out = simulation.nodes["bank-a"].outbound
    draft = Draft(stage.notice(), ("police-a",), "normal")
    outcome = out.send([draft], Actor("root", ("sysadmin",)), stage.WARNING)[0]
    assert isinstance(outcome, NotSent)
    assert outcome.rule_ids == ("SD-01",)
    assert stage.last_entry(simulation, "bank-a").kind == leaf_pb2.KIND_DENIAL
    assert _count(simulation, "bank-a", store.outbox) == 0


def test_surplus_is_refused_by_name(simulation: Simulation) -> None:
    """A class that no recipient may read refuses the message: nothing is collected that nobody needs."""
    outcome = simulation.nodes["bank-a"].outbound.send(
        [Draft(stage.notice(), ("centre",), "normal")], stage.ANALYST, stage.WARNING
    )[0]
    assert isinstance(outcome, NotSent)
    assert outcome.code in {"LF-POLICY-CEILING", "LF-POLICY-DENIED"}
    assert "ACCOUNT_ID" in outcome.reason


def test_too_little_is_refused_by_name(simulation: Simulation) -> None:
    """A notice whose account nobody could read warns of nothing, and is refused."""
    message = stage.notice()
    for field in ("holder", "balance"):
        message.ClearField(field)
    outcome = simulation.nodes["bank-a"].outbound.send(
        [Draft(message, ("platform-d",), "normal")], stage.ANALYST, stage.WARNING
    )[0]
    assert isinstance(outcome, NotSent)


def test_a_message_that_breaks_a_check_is_refused_before_anything_else(simulation: Simulation) -> None:
    """An incomplete message names the check it breaks, without the value."""
    with pytest.raises(MessageRefused) as refused:
        simulation.nodes["bank-a"].outbound.send(
            [Draft(notice_pb2.SuspiciousAccountNotice(), ("police-a",), "normal")], stage.ANALYST, stage.WARNING
        )
    assert any("account" in violation.rule for violation in refused.value.violations)


def test_the_callers_message_is_never_changed(simulation: Simulation) -> None:
    """Sending fills in the context in a copy."""
    message = stage.notice()
    before = message.SerializeToString(deterministic=True)
    simulation.nodes["bank-a"].outbound.send([Draft(message, ("police-a",), "normal")], stage.ANALYST, stage.WARNING)
    assert message.SerializeToString(deterministic=True) == before


def test_a_record_that_contradicts_its_sender_is_refused(simulation: Simulation) -> None:
    """Purpose binds every later reading, so a record and its sender cannot name different ones."""
    message = stage.notice()
    message.case_context.purpose = "investigate"
    with pytest.raises(Usage) as told:
        simulation.nodes["bank-a"].outbound.send(
            [Draft(message, ("police-a",), "normal")], stage.ANALYST, stage.WARNING
        )
    assert told.value.code == "LF-SEND-CONTRADICTION"


def test_the_same_record_is_sent_once_in_a_batch_and_ever_after(simulation: Simulation) -> None:
    """A fingerprint has one message, however often and however close together it comes."""
    out = simulation.nodes["bank-a"].outbound
    draft = Draft(stage.notice(), ("police-a",), "normal", fingerprint=b"f" * 32)
    first, second = out.send([draft, draft], stage.ANALYST, stage.WARNING)
    assert isinstance(first, Sent)
    assert second == AlreadySent(first.message_id)
    assert out.send([draft], stage.ANALYST, stage.WARNING) == [AlreadySent(first.message_id)]
    assert _count(simulation, "bank-a", store.outbox) == 1


def test_the_envelope_shows_nothing_classed(simulation: Simulation) -> None:
    """Account, name, purpose and case stand nowhere in the bytes that travel."""
    envelope = stage.sealed_notice(simulation)
    for planted in (stage.ACCOUNT, stage.NEXT_HOP, stage.HOLDER, "early_warning", "ATF18", "F01"):
        assert planted.encode() not in envelope
    assert parse_header(envelope).header.type == "lianfang.v1.SuspiciousAccountNotice"


def test_an_order_moves_on_with_its_receipt(simulation: Simulation) -> None:
    """An order is sent, then delivered; a receipt that comes again takes it no further and not back."""
    order = simulation.operation(
        "police-a",
        "order",
        kind="stop",
        application_id="APP-1",
        account=stage.NEXT_HOP,
        holder=stage.HOLDER,
        amount="500.00",
        bank="102100099996",
        to=["bank-a"],
    )
    assert simulation.operation("police-a", "orders")[0]["state"] == "sent"
    simulation.run()
    assert simulation.operation("police-a", "orders")[0]["state"] == "delivered"
    again = simulation.operation(
        "police-a",
        "order",
        kind="stop",
        application_id="APP-1",
        account=stage.NEXT_HOP,
        holder=stage.HOLDER,
        amount="500.00",
        bank="102100099996",
        to=["bank-a"],
    )
    assert (again["already_sent"], again["message_id"]) == (True, order["message_id"])


def test_a_row_without_receipt_is_sent_again_with_the_same_bytes(simulation: Simulation) -> None:
    """Confirmed is not delivered: when no receipt comes in time, the same envelope goes out again."""
    envelope = stage.sealed_notice(simulation)
    node = simulation.nodes["bank-a"]
    [row] = node.queue.due(("normal",), 10)
    from bus.transport import Settled  # noqa: PLC0415 - used here only

    node.queue.settle([Settled(row.row_id, "confirmed")])
    assert node.queue.due(("normal",), 10) == []
    simulation.clock.advance(15 * 60 * 1000 + 1)
    [again] = node.queue.due(("normal",), 10)
    assert again.body == envelope


def test_an_order_nobody_took_in_time_expires_with_an_entry(simulation: Simulation) -> None:
    """A row whose message no receiver would take any more ends as expired, on record."""
    stage.sealed_notice(simulation)
    node = simulation.nodes["bank-a"]
    simulation.clock.advance(8 * 86_400_000)
    assert node.queue.expire() == 1
    assert "EXPIRED" in stage.last_entry(simulation, "bank-a").reason_codes
    assert node.queue.due(("normal",), 10) == []


def test_a_stranger_is_no_recipient(simulation: Simulation) -> None:
    """A recipient that is no member is named, with the members."""
    with pytest.raises(Usage) as told:
        simulation.operation("bank-a", "send", data="", to=["bank-z"])
    assert "bank-z" in str(told.value)


def test_a_statement_of_an_unknown_purpose_is_denied(simulation: Simulation) -> None:
    """A word that the policy has not got is denied, not guessed."""
    outcome = simulation.nodes["bank-a"].outbound.send(
        [Draft(stage.notice(), ("police-a",), "normal")], stage.ANALYST, Statement("curiosity", "ATF18")
    )[0]
    assert isinstance(outcome, NotSent)
    assert outcome.code == "LF-POLICY-UNKNOWN-WORD"


def test_an_order_has_one_addressee(simulation: Simulation) -> None:
    """Who carries an order out is one agency: an order to two is refused, for one answer could not close both."""
    with pytest.raises(Usage) as told:
        simulation.operation(
            "police-a",
            "order",
            kind="stop",
            application_id="APP-2",
            account=stage.NEXT_HOP,
            holder=stage.HOLDER,
            amount="500.00",
            bank="102100099996",
            to=["bank-a", "bank-b"],
        )
    assert told.value.code == "LF-ORDER-RECIPIENTS"


def test_a_message_has_no_more_recipients_than_its_entry_can_name(simulation: Simulation) -> None:
    """The limit is said; what must reach everybody goes in parts of that size, and every name is in one of them."""
    names = tuple(f"agency-{number}" for number in range(limits.RECIPIENTS_MAX + 1))
    with pytest.raises(Usage) as told:
        simulation.nodes["bank-a"].outbound.send([Draft(stage.notice(), names, "normal")], stage.ANALYST, stage.WARNING)
    assert told.value.code == "LF-SEND-RECIPIENTS"
    parts = limits.in_parts(names)
    assert [len(part) for part in parts] == [limits.RECIPIENTS_MAX, 1]
    assert tuple(name for part in parts for name in part) == names
    request = leaf_pb2.Leaf(kind=leaf_pb2.KIND_INTENT, peers=["a" * 32] * limits.RECIPIENTS_MAX)
    assert len(leaf_format.encode(request)) < leaf_format.LEAF_BYTES_MAX * 0.6
