"""Every type of message on its way through real nodes: sealed to whom policy says, opened by whom it lets, equal at the end.

The types that nodes answer by themselves (receipts, logs, the auditor's questions) have tests of their own.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from bus.errors import NotFound, Refused
from bus.node import Seams
from bus.outbound import Draft, NotSent, Sent
from bus.parts import Actor, Statement
from bus.policy.vocabulary import message_classes
from bus.sealing.split import fragment
from bus.transport import Disposition
from deploy.demo.federation import AGENCIES, Agency, make_federation
from schemas import registry
from tests.node.stage import CASE, deliver
from tests.simulator import SeededRandomness, SimulatedClock, Simulation
from tests.valid_messages import valid

MANDATE = "M-1"
SETTINGS = settings(
    deadline=None,
    database=None,
    phases=[Phase.generate],  # to shrink what failed would send it hundreds of times
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
CHOSEN = dict(AGENCIES) | {
    "police-b": Agency("police-b", "police", "Police B", "investigator-1", ("investigator",), "auditor"),
}
BY_THEMSELVES = {"Checkpoint", "SubjectQuery", "SubjectForward", "SubjectAnswer", "TagRequest", "TagAnswer"}
"""Types that nodes send and answer without a person."""

WARN, STOP, FREEZE = (
    Statement("early_warning", "ATF26"),
    Statement("stop_payment", "ATF20"),
    Statement("freeze", "CPL144"),
)
REPORT, SUSPECT = Statement("early_warning", "ATF18"), Statement("early_warning", "AML35")
INVESTIGATE, RECOVER, PROTECT = (
    Statement("investigate", "CPL144"),
    Statement("recover", "ATF34"),
    Statement("protect", "ATF34"),
)
RESTRICT, APPEAL = Statement("restrict_number", "ATF11"), Statement("appeal", "ATF32")


def person(*roles: str) -> Actor:
    return Actor("person-1", roles)


def service(name: str) -> Actor:
    return Actor(f"svc-{name}", service=True)


def cased(statement: Statement) -> Statement:
    return replace(statement, case_ref=CASE)


def mandated(statement: Statement) -> Statement:
    return replace(statement, case_ref=CASE, mandate=MANDATE)


@dataclass(frozen=True)
class Reader:
    """Somebody who opens these classes of a message at an agency."""

    agency: str
    actor: Actor
    statement: Statement
    classes: str


@dataclass(frozen=True)
class Play:
    """One type: who sends it, why, and who opens what. `unsealed`: classes that no recipient here may read.

    `outsider`: an actor at the first recipient who may open nothing.
    """

    sender: str
    actor: Actor
    statement: Statement
    readers: tuple[Reader, ...]
    outsider: Actor
    unsealed: str = "STAFF"

    @property
    def recipients(self) -> tuple[str, ...]:
        return tuple(sorted({reader.agency for reader in self.readers}))


INVESTIGATOR, OPERATOR, SUPERVISOR = person("investigator"), person("freeze_operator"), person("supervisor")
ANALYST, COMPLIANCE, COMMANDER, ADMINISTRATOR = (
    person("analyst"),
    person("compliance"),
    person("duty_commander"),
    person("analyst", "investigator", "sysadmin"),
)
CORE, CASES = service("core"), service("police-system")
CENTRE = Reader("centre", COMMANDER, WARN, "CASE_META RISK")
MOVEMENTS = "CASE_META RISK ACCOUNT_ID IDENTITY MONEY_FLOW BALANCE NARRATIVE"
ORDERED = "CASE_META STAFF ACCOUNT_ID IDENTITY MONEY_FLOW NARRATIVE"

PLAYS = {
    "SuspiciousAccountNotice": Play(
        "bank-a",
        ANALYST,
        REPORT,
        (
            Reader("police-a", INVESTIGATOR, cased(REPORT), "CASE_META RISK ACCOUNT_ID IDENTITY PHONE_ID MONEY_FLOW"),
            Reader("police-a", INVESTIGATOR, mandated(INVESTIGATE), "BALANCE DEVICE_NET CONTACT NARRATIVE"),
            Reader("bank-b", ANALYST, REPORT, "MATCH_TAG"),
            CENTRE,
        ),
        ADMINISTRATOR,
    ),
    "SuspiciousActivityReport": Play(
        "bank-a",
        COMPLIANCE,
        SUSPECT,
        (
            Reader("police-a", INVESTIGATOR, cased(SUSPECT), "CASE_META RISK ACCOUNT_ID IDENTITY NARRATIVE"),
            Reader("police-a", INVESTIGATOR, mandated(INVESTIGATE), "VICTIM MONEY_FLOW BALANCE DEVICE_NET"),
        ),
        OPERATOR,
    ),
    "VictimCaseReport": Play(
        "bank-a",
        CORE,
        STOP,
        (
            Reader("police-a", OPERATOR, cased(STOP), "PHONE_ID VICTIM DEVICE_NET " + MOVEMENTS),
            Reader("centre", ANALYST, STOP, "CASE_META RISK"),
        ),
        SUPERVISOR,
    ),
    "AccountQuery": Play(
        "police-a",
        INVESTIGATOR,
        mandated(INVESTIGATE),
        (Reader("bank-a", CORE, INVESTIGATE, "CASE_META STAFF ACCOUNT_ID PHONE_ID IDENTITY NARRATIVE"),),
        ANALYST,
        unsealed="",
    ),
    "AccountAnswer": Play(
        "bank-a",
        COMPLIANCE,
        INVESTIGATE,
        (Reader("police-a", INVESTIGATOR, mandated(INVESTIGATE), MOVEMENTS),),
        OPERATOR,
    ),
    "TransactionQuery": Play(
        "police-a", OPERATOR, cased(STOP), (Reader("bank-a", CORE, STOP, ORDERED),), ANALYST, unsealed=""
    ),
    "TransactionTrace": Play("bank-a", CORE, STOP, (Reader("police-a", OPERATOR, cased(STOP), MOVEMENTS),), SUPERVISOR),
    "MonitoringOrder": Play(
        "police-a",
        INVESTIGATOR,
        mandated(INVESTIGATE),
        (Reader("bank-a", CORE, INVESTIGATE, ORDERED),),
        COMPLIANCE,
        unsealed="",
    ),
    "MonitoringAnswer": Play(
        "bank-a",
        CORE,
        INVESTIGATE,
        (Reader("police-b", SUPERVISOR, INVESTIGATE, "CASE_META RISK ACCOUNT_ID IDENTITY NARRATIVE"),),
        OPERATOR,
    ),
    "MonitoringEvent": Play(
        "bank-a", CORE, INVESTIGATE, (Reader("police-a", INVESTIGATOR, mandated(INVESTIGATE), MOVEMENTS),), SUPERVISOR
    ),
    "PaymentRecall": Play(
        "bank-a",
        ANALYST,
        RECOVER,
        (
            Reader("bank-b", COMPLIANCE, RECOVER, "CASE_META RISK ACCOUNT_ID IDENTITY VICTIM MONEY_FLOW NARRATIVE"),
            Reader("police-a", OPERATOR, cased(STOP), "CASE_META RISK ACCOUNT_ID IDENTITY VICTIM MONEY_FLOW NARRATIVE"),
        ),
        SUPERVISOR,
    ),
    "PaymentRecallAnswer": Play(
        "bank-b",
        CORE,
        RECOVER,
        (Reader("bank-a", ANALYST, RECOVER, "CASE_META RISK ACCOUNT_ID IDENTITY MONEY_FLOW NARRATIVE"),),
        INVESTIGATOR,
    ),
    "FundsReturn": Play(
        "police-a",
        OPERATOR,
        cased(RECOVER),
        (Reader("bank-a", CORE, RECOVER, "VICTIM " + MOVEMENTS),),
        INVESTIGATOR,
    ),
    "FraudNumberReport": Play(
        "platform-d",
        ANALYST,
        WARN,
        (
            Reader("police-a", INVESTIGATOR, cased(WARN), "CASE_META RISK PHONE_ID COMM_META VICTIM NARRATIVE"),
            Reader("telecom-c", ANALYST, WARN, "CASE_META RISK PHONE_ID MATCH_TAG"),
            Reader("bank-a", CORE, WARN, "CASE_META RISK PHONE_ID"),
            CENTRE,
        ),
        ADMINISTRATOR,
    ),
    "NumberActionOrder": Play(
        "police-a",
        OPERATOR,
        cased(RESTRICT),
        (Reader("telecom-c", CORE, RESTRICT, "CASE_META PHONE_ID IDENTITY NARRATIVE"),),
        ANALYST,
    ),
    "NumberActionResult": Play(
        "telecom-c",
        CORE,
        RESTRICT,
        (Reader("police-b", OPERATOR, RESTRICT, "CASE_META RISK PHONE_ID NARRATIVE"),),
        ANALYST,
    ),
    "NumberStatusQuery": Play(
        "bank-a",
        CORE,
        REPORT,
        (Reader("telecom-c", COMPLIANCE, REPORT, "CASE_META PHONE_ID IDENTITY NARRATIVE"),),
        ANALYST,
    ),
    "NumberStatusAnswer": Play(
        "telecom-c",
        ANALYST,
        WARN,
        (
            Reader("bank-a", ANALYST, WARN, "CASE_META RISK PHONE_ID NARRATIVE"),
            Reader("police-a", INVESTIGATOR, cased(WARN), "CASE_META RISK PHONE_ID NARRATIVE"),
        ),
        COMPLIANCE,
        unsealed="STAFF",
    ),
    "SpoofedCallReport": Play(
        "telecom-c",
        ANALYST,
        WARN,
        (
            Reader("police-a", INVESTIGATOR, cased(WARN), "CASE_META RISK PHONE_ID VICTIM COMM_META NARRATIVE"),
            Reader("platform-d", ANALYST, WARN, "CASE_META RISK"),
            CENTRE,
        ),
        ADMINISTRATOR,
    ),
    "CallDetailAnswer": Play(
        "telecom-c",
        ANALYST,
        WARN,
        (Reader("police-a", INVESTIGATOR, cased(WARN), "CASE_META PHONE_ID COMM_META"),),
        ANALYST,
    ),
    "StopPaymentOrder": Play(
        "police-a", OPERATOR, STOP, (Reader("bank-a", CORE, STOP, "VICTIM " + ORDERED),), ANALYST, unsealed=""
    ),
    "StopPaymentResult": Play(
        "bank-a",
        CORE,
        STOP,
        (Reader("police-b", OPERATOR, STOP, "CASE_META RISK ACCOUNT_ID BALANCE NARRATIVE"),),
        ANALYST,
    ),
    "FreezeOrder": Play(
        "police-a", OPERATOR, cased(FREEZE), (Reader("bank-a", CORE, FREEZE, ORDERED),), ANALYST, unsealed=""
    ),
    "FreezeResult": Play(
        "bank-a",
        CORE,
        FREEZE,
        (Reader("police-b", INVESTIGATOR, FREEZE, "CASE_META RISK ACCOUNT_ID MONEY_FLOW BALANCE NARRATIVE"),),
        ANALYST,
    ),
    "ThreatIndicator": Play(
        "platform-d",
        ANALYST,
        WARN,
        (
            Reader("police-a", INVESTIGATOR, mandated(INVESTIGATE), "PHONE_ID DEVICE_NET CONTACT " + MOVEMENTS),
            Reader("bank-a", CORE, WARN, "CASE_META RISK ACCOUNT_ID PHONE_ID DEVICE_NET CONTACT NARRATIVE"),
            Reader("telecom-c", ANALYST, WARN, "CASE_META RISK PHONE_ID DEVICE_NET"),
            CENTRE,
        ),
        ADMINISTRATOR,
    ),
    "WatchlistUpdate": Play(
        "police-a",
        INVESTIGATOR,
        WARN,
        (
            Reader("bank-a", CORE, WARN, "CASE_META ACCOUNT_ID PHONE_ID IDENTITY DEVICE_NET NARRATIVE"),
            Reader("telecom-c", CORE, WARN, "CASE_META PHONE_ID IDENTITY"),
            Reader("platform-d", CORE, WARN, "CASE_META PHONE_ID DEVICE_NET"),
            Reader("police-b", INVESTIGATOR, WARN, "CASE_META ACCOUNT_ID PHONE_ID IDENTITY DEVICE_NET NARRATIVE"),
        ),
        ANALYST,
    ),
    "WatchCheck": Play(
        "telecom-c",
        ANALYST,
        WARN,
        (Reader("police-a", CASES, WARN, "CASE_META ACCOUNT_ID PHONE_ID IDENTITY DEVICE_NET"),),
        INVESTIGATOR,
    ),
    "WatchCheckAnswer": Play(
        "police-a", CASES, WARN, (Reader("telecom-c", ANALYST, WARN, "CASE_META RISK NARRATIVE"),), COMPLIANCE
    ),
    "VictimAlert": Play(
        "police-a",
        INVESTIGATOR,
        PROTECT,
        (
            Reader("bank-a", ANALYST, PROTECT, "CASE_META RISK VICTIM ACCOUNT_ID PHONE_ID MONEY_FLOW NARRATIVE"),
            Reader("telecom-c", ANALYST, PROTECT, "CASE_META RISK VICTIM PHONE_ID"),
            Reader("police-b", OPERATOR, PROTECT, "COMM_META DEVICE_NET"),
        ),
        COMPLIANCE,
    ),
    "VictimAlertOutcome": Play(
        "bank-a",
        ANALYST,
        PROTECT,
        (Reader("police-a", OPERATOR, PROTECT, "CASE_META RISK VICTIM NARRATIVE"),),
        SUPERVISOR,
    ),
    "CaseReferral": Play(
        "police-b",
        SUPERVISOR,
        cased(INVESTIGATE),
        (
            Reader("police-a", SUPERVISOR, cased(INVESTIGATE), "CASE_META RISK ACCOUNT_ID PHONE_ID IDENTITY NARRATIVE"),
            Reader("police-a", INVESTIGATOR, mandated(INVESTIGATE), "VICTIM MONEY_FLOW BALANCE DEVICE_NET"),
            Reader("centre", ANALYST, INVESTIGATE, "CASE_META RISK"),
        ),
        ADMINISTRATOR,
    ),
    "Acknowledgement": Play(
        "bank-a",
        ANALYST,
        STOP,
        (Reader("police-b", INVESTIGATOR, STOP, "CASE_META RISK NARRATIVE STAFF"),),
        COMMANDER,
        "",
    ),
    "Feedback": Play(
        "police-a",
        INVESTIGATOR,
        WARN,
        (Reader("platform-d", ANALYST, WARN, "CASE_META RISK NARRATIVE STAFF"),),
        COMMANDER,
        "",
    ),
    "Appeal": Play(
        "telecom-c",
        COMPLIANCE,
        APPEAL,
        (Reader("police-a", SUPERVISOR, APPEAL, "CASE_META RISK ACCOUNT_ID PHONE_ID IDENTITY CONTACT NARRATIVE"),),
        OPERATOR,
    ),
    "AppealDecision": Play(
        "police-a",
        SUPERVISOR,
        APPEAL,
        (
            Reader("bank-a", COMPLIANCE, APPEAL, "CASE_META RISK ACCOUNT_ID PHONE_ID MONEY_FLOW NARRATIVE"),
            Reader("telecom-c", CORE, APPEAL, "CASE_META RISK PHONE_ID NARRATIVE"),
        ),
        ANALYST,
    ),
}


@pytest.fixture(scope="module")
def simulation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulation]:
    """Eight nodes, two of them the police; both have the case, filed and under a mandate."""
    directory = tmp_path_factory.mktemp("families") / "nodes"
    case = f'\n[[cases]]\nreference = "{CASE}"\nstatus = "filed"\nteam = ["person-1"]\nmandates = ["{MANDATE}"]\n'
    make_federation(
        directory,
        transport="memory",
        agencies={name: replace(agency, cases=False, profile="", service="") for name, agency in CHOSEN.items()},
        seams=Seams(SimulatedClock(), SeededRandomness("families")),
        extra_toml=lambda name: case if name.startswith("police") else "",
    )
    made = Simulation(tmp_path_factory.mktemp("copy") / "nodes", agencies=CHOSEN, prepared=directory)
    yield made
    made.close()


def send(simulation: Simulation, name: str, messages: list[Any]) -> list[bytes]:
    """Send messages as the play says, bring each envelope to its recipients, return their ids. No broker: it is quicker."""
    play = PLAYS[name]
    drafts = [Draft(message, play.recipients, "normal") for message in messages]
    outcomes = simulation.nodes[play.sender].outbound.send(drafts, play.actor, play.statement)
    for outcome in outcomes:
        assert isinstance(outcome, Sent), outcome
    sent = [outcome.message_id for outcome in outcomes if isinstance(outcome, Sent)]
    rows = [row for row in simulation.nodes[play.sender].queue.due(("normal",), 4096) if row.message_id in sent]
    assert len(rows) == len(sent) * len(play.recipients)
    for row in rows:
        assert deliver(simulation, row.recipient, row.body, play.sender, type_name=name) is Disposition.ACK
    return sent


def any_messages(name: str) -> st.SearchStrategy[list[Any]]:
    """Some valid messages of a type with a field of every class that the play's recipients may be given."""
    unsealed = frozenset(PLAYS[name].unsealed.split())
    classes = message_classes()[name] - unsealed - {"STAFF"}
    return st.lists(valid(name, unsealed | frozenset(dropped(name)), classes - dropped(name)), min_size=1, max_size=4)


def dropped(name: str) -> frozenset[str]:
    """Classes that no reader of the play opens: they are left out of what is sent."""
    opened = frozenset().union(*(reader.classes.split() for reader in PLAYS[name].readers))
    return message_classes()[name] - opened


def part(message: Message, classes: frozenset[str]) -> Message:
    """Return the fields of some classes of a message."""
    data = fragment(message.DESCRIPTOR.full_name, tuple(sorted(classes)), message.SerializeToString())
    return type(message).FromString(data)


def test_every_type_that_people_send_is_played() -> None:
    """Whoever adds a type says here who sends it and who opens it."""
    sealed = {name for name, classes in message_classes().items() if classes} - BY_THEMSELVES
    assert set(PLAYS) == sealed - {"CallDetailRequest"}, "a mandate's life-cycle is still to come"


@pytest.mark.parametrize("name", PLAYS)
def test_any_message_of_a_type_arrives_equal(simulation: Simulation, name: str) -> None:
    """Sealed, carried, opened class by class by those who may: every reader gets exactly the fields of these classes."""

    @settings(SETTINGS, max_examples=4)
    @given(any_messages(name))
    def arrive(messages: list[Any]) -> None:
        for message, message_id in zip(messages, send(simulation, name, messages), strict=True):
            message.case_context.purpose = PLAYS[name].statement.purpose
            message.case_context.legal_basis = PLAYS[name].statement.legal_basis
            message.case_context.case_ref = PLAYS[name].statement.case_ref
            message.case_context.mandate = PLAYS[name].statement.mandate
            for reader in PLAYS[name].readers:
                opening = simulation.nodes[reader.agency].opening
                _, inspection = opening.look(message_id)
                classes = frozenset(reader.classes.split()) & frozenset(inspection.classes)
                opened = opening.open(message_id, sorted(classes), reader.actor, reader.statement)
                assert opened.message == part(message, frozenset(reader.classes.split()))

    arrive()


@pytest.mark.parametrize("name", PLAYS)
def test_who_may_not_open_a_type_is_refused(simulation: Simulation, name: str) -> None:
    """An outsider opens no class of it, the reader of one class no class that was not sealed to the reader's agency."""
    play = PLAYS[name]

    @settings(SETTINGS, max_examples=1)
    @given(any_messages(name))
    def refuse(messages: list[Any]) -> None:
        message_id = send(simulation, name, messages)[0]
        first = play.readers[0]
        opening = simulation.nodes[first.agency].opening
        for wanted in opening.look(message_id)[1].classes:
            with pytest.raises(Refused):
                opening.open(message_id, [wanted], play.outsider, first.statement)
        for reader in play.readers:
            opening = simulation.nodes[reader.agency].opening
            for withheld in opening.look(message_id)[1].withheld:
                with pytest.raises((Refused, NotFound)):
                    opening.open(message_id, [withheld], reader.actor, reader.statement)

    refuse()


@pytest.mark.parametrize("name", PLAYS)
def test_nobody_else_may_send_a_type(simulation: Simulation, name: str) -> None:
    """The auditor and the administrator of the sending agency send none of it; the refusal names no value."""
    play = PLAYS[name]

    @settings(SETTINGS, max_examples=1)
    @given(any_messages(name))
    def refuse(messages: list[Any]) -> None:
        draft = Draft(messages[0], play.recipients, "normal")
        for agency, actor in ((play.sender, person("sysadmin")), ("auditor", person("auditor"))):
            if (agency, name) in (("auditor", "Acknowledgement"), ("auditor", "Feedback")):
                continue  # anybody may say what became of a message
            outcome = simulation.nodes[agency].outbound.send([draft], actor, play.statement)[0]
            assert isinstance(outcome, NotSent)
            assert outcome.code.startswith("LF-POLICY-")

    refuse()


@pytest.mark.parametrize("name", ["NumberActionOrder", "NumberStatusQuery"])
def test_officers_are_not_named_to_a_telecom(simulation: Simulation, name: str) -> None:
    """A message to a telecom that names an officer is refused by the name of the class; nothing is dropped in silence."""
    play = PLAYS[name]

    @settings(SETTINGS, max_examples=1)
    @given(any_messages(name))
    def refuse(messages: list[Any]) -> None:
        messages[0].staff.requester.name = "Officer"
        draft = Draft(messages[0], play.recipients, "normal")
        outcome = simulation.nodes[play.sender].outbound.send([draft], play.actor, play.statement)[0]
        assert isinstance(outcome, NotSent)
        assert (outcome.code, "STAFF" in outcome.reason) == ("LF-POLICY-CEILING", True)

    refuse()


def test_the_short_names_of_all_types_differ() -> None:
    """A routing key says which type it is."""
    names = [registry.short_name(name) for name in registry.bodies()]
    assert len(set(names)) == len(names)
