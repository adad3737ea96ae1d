"""A person or program inside an agency, against the opening of fields."""

import pytest

from audit.errors import AuditUnavailable
from audit.v1 import leaf_pb2
from bus.errors import BusError, NotFound, Refused, Retry, Usage
from bus.keyservice.protocol import OpenRequest
from bus.parts import Actor, Statement
from bus.policy.canonical import canonical
from bus.sealing.errors import CannotOpen
from tests.node import stage
from tests.simulator import Crash, Fault, Simulation

CASED = Statement("early_warning", "ATF18", stage.CASE)


def test_the_leaf_stands_before_the_plaintext_and_the_outcome_after(simulation: Simulation) -> None:
    """An opening is RECEIPT then OUTCOME, and gives exactly the classes that its leaf names."""
    message_id = stage.send_notice(simulation)
    opened = simulation.nodes["police-a"].opening.open(message_id, ["ACCOUNT_ID"], stage.INVESTIGATOR, CASED)
    assert opened.message.account.number == stage.ACCOUNT
    assert not opened.message.HasField("holder"), "a class that was not asked for is not given"
    receipt, outcome = stage.entries(simulation, "police-a")[-2:]
    assert (receipt.kind, list(receipt.classes_released)) == (leaf_pb2.KIND_RECEIPT, ["ACCOUNT_ID"])
    assert (outcome.kind, outcome.follows, list(outcome.reason_codes)) == (
        leaf_pb2.KIND_OUTCOME,
        opened.log_index + 1,
        ["OPENED"],
    )


@pytest.mark.parametrize(
    ("actor", "statement", "rule"),
    [
        (Actor("x", ("investigator",)), Statement("early_warning", "ATF18"), "OP-01"),
        (Actor("x", ("investigator", "sysadmin")), CASED, "FB-01"),
        (Actor("x", ("sysadmin",)), CASED, "FB-01"),
        (Actor("x", ("investigator",)), Statement("freeze", "CPL144", stage.CASE), "FB-04"),
        (Actor("x", ("investigator",)), Statement("early_warning", "CPL144", stage.CASE), "FB-05"),
        (Actor("x", ("investigator",)), Statement("stop_payment", "ATF20", "A2026030100007"), "FB-08"),
    ],
)
def test_role_purpose_basis_and_case_decide_and_the_denial_is_on_record(
    simulation: Simulation, actor: Actor, statement: Statement, rule: str
) -> None:
    """No case, an administrator, another purpose, a wrong basis, a closed case: refused by the row named, with a leaf."""
    message_id = stage.send_notice(simulation)
    with pytest.raises(Refused) as refused:
        simulation.nodes["police-a"].opening.open(message_id, ["ACCOUNT_ID"], actor, statement)
    assert rule in refused.value.facts["rules"]
    entry = stage.last_entry(simulation, "police-a")
    assert (entry.kind, rule in entry.rule_ids) == (leaf_pb2.KIND_DENIAL, True)
    assert entry.subjects, "a refusal is found by the subject too"
    assert refused.value.facts["entry"] == simulation.nodes["police-a"].parts.log.size - 1


def test_the_balance_is_refused_at_this_stage_even_together_with_what_is_permitted(simulation: Simulation) -> None:
    """One class that is refused refuses the whole opening: nothing of it is given."""
    message_id = stage.send_notice(simulation)
    with pytest.raises(Refused) as refused:
        simulation.nodes["police-a"].opening.open(message_id, ["ACCOUNT_ID", "BALANCE"], stage.INVESTIGATOR, CASED)
    assert "OP-02" in refused.value.facts["rules"]
    assert stage.last_entry(simulation, "police-a").kind == leaf_pb2.KIND_DENIAL


def test_a_mandate_that_the_register_has_not_got_opens_nothing(simulation: Simulation) -> None:
    """Typing a mandate's number does not make one: only the case register does."""
    message_id = stage.send_notice(simulation)
    invented = Statement("investigate", "CPL144", stage.CASE, "M-1")
    with pytest.raises(Refused) as refused:
        simulation.nodes["police-a"].opening.open(message_id, ["BALANCE"], stage.INVESTIGATOR, invented)
    assert any("mandate" in text for text in refused.value.facts["missing"])


def test_an_agency_cannot_open_a_class_that_was_not_sealed_to_it(simulation: Simulation) -> None:
    """The centre gets the finding of a notice and holds no key for the account, whatever it asks."""
    message_id = stage.send_notice(simulation, to=("centre", "police-a"))
    node = simulation.nodes["centre"]
    analyst = Actor("officer-1", ("analyst",))
    opened = node.opening.open(message_id, ["RISK"], analyst, Statement("early_warning", "ATF18"))
    assert opened.message.features[0].code == "F01"
    assert "ACCOUNT_ID" in opened.withheld
    with pytest.raises((Refused, NotFound)):
        node.opening.open(message_id, ["ACCOUNT_ID"], analyst, Statement("early_warning", "ATF18"))
    envelope, _ = node.opening.look(message_id)
    with pytest.raises(CannotOpen):
        simulation.services["centre"].open(OpenRequest(envelope.payload, ("ACCOUNT_ID",), 0, b"t" * 32, b"[]"))


def test_the_key_service_gives_nothing_without_its_committed_leaf(simulation: Simulation) -> None:
    """A program that asks the key service by itself, with a leaf that is not there or is another's, gets nothing."""
    message_id = stage.send_notice(simulation)
    node = simulation.nodes["police-a"]
    envelope, inspection = node.opening.look(message_id)
    request = node.opening._request(envelope, inspection, "ACCOUNT_ID", stage.INVESTIGATOR, CASED)
    context = canonical([request])
    for index in range(node.parts.log.size + 1):
        with pytest.raises(CannotOpen):
            node.parts.keys.open(OpenRequest(envelope.payload, ("ACCOUNT_ID",), index, b"t" * 32, context))


def test_a_token_opens_once(simulation: Simulation, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same entry and token a second time give nothing; nor a second after its five seconds."""
    message_id = stage.send_notice(simulation)
    node, asked = simulation.nodes["police-a"], []
    real = node.parts.keys.open

    def remember(request: OpenRequest) -> dict[str, bytes]:
        asked.append(request)
        return real(request)

    monkeypatch.setattr(node.parts.keys, "open", remember)
    node.opening.open(message_id, ["ACCOUNT_ID"], stage.INVESTIGATOR, CASED)
    with pytest.raises(CannotOpen) as again:
        real(asked[0])
    assert again.value.code == "LF-OPEN-USED"


def test_a_token_grows_old(simulation: Simulation, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that is redeemed later than five seconds after its leaf gives nothing, and the outcome says so."""
    message_id = stage.send_notice(simulation)
    node = simulation.nodes["police-a"]
    real = node.parts.keys.open

    def late(request: OpenRequest) -> dict[str, bytes]:
        simulation.clock.advance(5_001)
        return real(request)

    monkeypatch.setattr(node.parts.keys, "open", late)
    with pytest.raises(Retry) as refused:
        node.opening.open(message_id, ["ACCOUNT_ID"], stage.INVESTIGATOR, CASED)
    assert refused.value.code == "LF-OPEN-LATE"
    assert list(stage.last_entry(simulation, "police-a").reason_codes) == ["LF-OPEN-LATE"]


def test_no_log_no_plaintext(simulation: Simulation, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the log takes no entry, the key service is never asked."""
    message_id = stage.send_notice(simulation)
    node, asked = simulation.nodes["police-a"], []

    def unavailable(deadline_s: float = 0) -> None:
        raise AuditUnavailable("the disk is full", cure="make room")

    monkeypatch.setattr(node.parts.log, "transaction", unavailable)
    monkeypatch.setattr(node.parts.keys, "open", asked.append)
    with pytest.raises(AuditUnavailable):
        node.opening.open(message_id, ["ACCOUNT_ID"], stage.INVESTIGATOR, CASED)
    assert not asked


@pytest.mark.parametrize("step", ["open.leaf", "open.redeem", "open.outcome"])
@pytest.mark.parametrize("happened", [False, True])
def test_a_crash_at_any_arrow_leaves_a_truthful_log(simulation: Simulation, step: str, happened: bool) -> None:
    """Whenever plaintext could have been given there is a leaf; a crash never hides an opening."""
    message_id = stage.send_notice(simulation)
    simulation.faults.planned = [Fault("police-a", step, happened=happened, crash=True)]
    with pytest.raises(Crash):
        simulation.nodes["police-a"].opening.open(message_id, ["ACCOUNT_ID"], stage.INVESTIGATOR, CASED)
    simulation.crash("police-a")
    receipts = [entry for entry in stage.entries(simulation, "police-a") if entry.kind == leaf_pb2.KIND_RECEIPT]
    assert len(receipts) == (0 if (step, happened) == ("open.leaf", False) else 1)


def test_an_error_of_the_node_is_told_and_a_second_try_is_a_second_entry(simulation: Simulation) -> None:
    """An opening that was reported failed may be repeated; both tries stand in the log."""
    message_id = stage.send_notice(simulation)
    simulation.faults.planned = [Fault("police-a", "open.redeem", happened=True, crash=False)]
    opening = simulation.nodes["police-a"].opening
    with pytest.raises(Retry):
        opening.open(message_id, ["ACCOUNT_ID"], stage.INVESTIGATOR, CASED)
    opening.open(message_id, ["ACCOUNT_ID"], stage.INVESTIGATOR, CASED)
    kinds = [entry.kind for entry in stage.entries(simulation, "police-a")]
    assert kinds.count(leaf_pb2.KIND_RECEIPT) == 2


def test_unknown_messages_fields_and_nothing_at_all_are_named(simulation: Simulation) -> None:
    """What cannot be meant is told with a cure."""
    message_id = stage.send_notice(simulation)
    opening = simulation.nodes["police-a"].opening
    for error, wanted, classes in (
        (NotFound, b"\0" * 16, ["RISK"]),
        (Usage, message_id, []),
        (NotFound, message_id, ["VICTIM"]),
    ):
        with pytest.raises(BusError) as told:
            opening.open(wanted, classes, stage.INVESTIGATOR, CASED)
        assert isinstance(told.value, (error, Refused))
        assert told.value.cure


def test_no_entry_of_any_log_holds_a_name_or_a_number(simulation: Simulation) -> None:
    """Account, name and case are blind values in every log; another agency's blind value of the same is another."""
    message_id = stage.send_notice(simulation, to=("centre", "police-a"))
    simulation.nodes["police-a"].opening.open(message_id, ["ACCOUNT_ID"], stage.INVESTIGATOR, CASED)
    values = {}
    for agency, node in simulation.nodes.items():
        held = b"".join(node.parts.log.leaves(0, node.parts.log.size))
        for planted in (stage.ACCOUNT, stage.NEXT_HOP, stage.HOLDER, stage.CASE, "investigator-1", "analyst-1"):
            assert planted.encode() not in held
        values[agency] = {item.value for entry in stage.entries(simulation, agency) for item in entry.subjects}
    assert values["bank-a"]
    assert values["police-a"]
    assert not values["bank-a"] & values["police-a"]
