"""Queries and monitoring reach a bank's core system through its dialect, and what the core answers reaches the police's."""

import base64
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lxml import etree
from sqlalchemy import select

from bus import store
from bus.node import Seams
from bus.orders import states
from bus.orders.refusal import refusal
from bus.outbound import Draft, Sent
from bus.parts import Actor, Statement
from bus.policy.model import Decision
from deploy.demo.federation import AGENCIES, make_federation
from schemas.v1 import account_pb2, common_pb2, transaction_pb2
from tests.adapters.platform_records import ANSWERS, QUERIES, REPORTS, account, movement, tree_record
from tests.node.stage import CASE
from tests.simulator import SeededRandomness, SimulatedClock, Simulation

_CORE = Actor("svc-core", service=True)
_MANDATE = "M-1"
_CAST = {name: AGENCIES[name] for name in ("auditor", "bank-a", "bank-b", "centre", "police-a")}


@pytest.fixture(scope="module")
def prepared_with_mandate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("mandate") / "nodes"
    case = (
        f'\n[[cases]]\nreference = "{CASE}"\nstatus = "filed"\nteam = ["investigator-1"]\nmandates = ["{_MANDATE}"]\n'
    )
    make_federation(
        directory,
        transport="memory",
        agencies={name: replace(agency, cases=False) for name, agency in _CAST.items()},
        seams=Seams(SimulatedClock(), SeededRandomness("queries")),
        extra_toml=lambda name: case if name == "police-a" else "",
    )
    return directory


@pytest.fixture
def simulation(tmp_path: Path, prepared_with_mandate: Path) -> Iterator[Simulation]:
    made = Simulation(tmp_path / "nodes", agencies=_CAST, prepared=prepared_with_mandate)
    yield made
    made.close()


def _ask(simulation: Simulation, code: str, **statement: str) -> bytes:
    """Send one of the police system's queries to bank-b; return the message's id."""
    body = QUERIES[code] | {"CaseNumber": CASE}
    sent: Any = simulation.operation(
        "police-a",
        "send",
        data=base64.b64encode(tree_record(f"2{code}", body)).decode(),
        profile="tfms-police",
        to=["bank-b"],
        **statement,
    )
    assert not sent["held_back"], sent
    assert not sent["refused"], sent
    simulation.run(20)
    return bytes.fromhex(sent["sent"][0]["message_id"])


def _following(simulation: Simulation, code: str) -> bytes:
    return _ask(simulation, code, purpose="stop_payment", legal_basis="ATF20")


def _watching(simulation: Simulation, code: str) -> bytes:
    return _ask(simulation, code, purpose="investigate", legal_basis="CPL144", mandate=_MANDATE)


def _out(simulation: Simulation, agency: str) -> dict[str, etree._Element]:
    """Return what lies before an agency's system, by code; the newest of a code."""
    folder = simulation.federation.node(agency) / "handover" / "out"
    roots = [etree.fromstring(path.read_bytes()) for path in sorted(folder.glob("*.xml"))]
    return {root.findtext("Head/TxCode") or "": root for root in roots}


def _answer(simulation: Simulation, code: str, body: dict[str, Any] | None = None) -> Path:
    """Lay an answer of bank-b's core system before its node and let it travel."""
    folder = simulation.federation.node("bank-b") / "handover" / "in"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{code}-{len(list(folder.rglob('*.xml')))}.xml"
    path.write_bytes(tree_record(f"1{code}", ANSWERS[code] if body is None else body))
    simulation.run(20)
    return path


def _state(simulation: Simulation, agency: str, message_id: bytes) -> str:
    with simulation.nodes[agency].parts.engine.connect() as connection:
        found = connection.execute(select(store.orders.c.state).where(store.orders.c.message_id == message_id))
        return str(found.scalar())


def _handovers(simulation: Simulation, agency: str, name: str) -> list[str]:
    table = store.messages
    query = select(table.c.handover).where(table.c.type == f"lianfang.v1.{name}", table.c.direction == "in")
    with simulation.nodes[agency].parts.engine.connect() as connection:
        return [row.handover for row in connection.execute(query)]


@pytest.mark.parametrize(("query", "answer"), [("00301", "00302"), ("00303", "00304"), ("00309", "00310")])
def test_a_query_reaches_the_core_system_and_its_answer_the_police(simulation: Simulation, query, answer) -> None:
    """The bank's core finds 1003xx, answers with the next code, and the police's system finds the answer to its query."""
    query_id = _following(simulation, query)
    asked = _out(simulation, "bank-b")[f"1{query}"]
    assert asked.findtext("Body/ApplicationID") == QUERIES[query]["ApplicationID"]
    assert _state(simulation, "bank-b", query_id) == states.HANDED_OVER
    _answer(simulation, answer)
    assert _state(simulation, "police-a", query_id) == _state(simulation, "bank-b", query_id) == states.ANSWERED
    told = _out(simulation, "police-a")[f"2{answer}"]
    assert told.findtext("Body/ApplicationID") == QUERIES[query]["ApplicationID"]
    if answer == "00302":
        assert len(told.findall("Body/Accounts/Account/Transactions/Transaction")) == 3


def test_a_watched_account_is_reported_movement_by_movement(simulation: Simulation) -> None:
    """The order to watch is answered once, and every event after that reaches the police too; then the watch is ended."""
    order_id = _watching(simulation, "00305")
    assert "100305" in _out(simulation, "bank-b")
    answer = {name: text for name, text in ANSWERS["00306"].items() if name != "Transactions"}
    _answer(simulation, "00306", answer)
    assert _state(simulation, "police-a", order_id) == states.ANSWERED
    for number in (1, 2):
        _answer(simulation, "00306", answer | {"Transactions": {"Transaction": movement(number)}})
    assert _handovers(simulation, "police-a", "MonitoringAnswer") == ["done"]
    assert _handovers(simulation, "police-a", "MonitoringEvent") == ["done", "done"]
    assert _out(simulation, "police-a")["200306"].find("Body/Transactions/Transaction") is not None


def test_an_answer_in_several_parts_arrives_whole(simulation: Simulation) -> None:
    """An answer of more movements than one message takes travels as two, and both reach the police's system."""
    _following(simulation, "00301")
    many = {"Transaction": [movement(number % 60, TransactionSerial=str(number)) for number in range(1030)]}
    cards = {"CardNumber": "6299990000001000011", "Account": [account(Transactions=many)]}
    _answer(simulation, "00302", ANSWERS["00302"] | {"Accounts": cards})
    folder = simulation.federation.node("police-a") / "handover" / "out"
    serials = [
        serial.text
        for path in folder.glob("*.xml")
        for serial in etree.fromstring(path.read_bytes()).iter("TransactionSerial")
    ]
    assert sorted(serials, key=lambda text: int(text or "")) == [str(number) for number in range(1030)]


def test_a_trace_that_nobody_asked_for_is_for_a_person(simulation: Simulation) -> None:
    """A statement that a bank sends of itself is no answer: it waits in the inbox, and is not given to the case system."""
    trace = transaction_pb2.TransactionTrace(card=common_pb2.AccountRef(scheme="CARD", number="6299990000001000011"))
    draft = Draft(trace, ("police-a",), "bulk")
    outcome = simulation.nodes["bank-a"].outbound.send([draft], _CORE, Statement("stop_payment", "ATF20"))[0]
    assert isinstance(outcome, Sent), outcome
    simulation.run(20)
    assert _handovers(simulation, "police-a", "TransactionTrace") == ["person"]
    assert _out(simulation, "police-a") == {}


def test_a_report_is_no_answer(simulation: Simulation) -> None:
    """A report laid where answers belong is put aside with a reason: a report has no addressee that the node could know."""
    path = _answer(simulation, "00401", REPORTS["00401"])
    assert (path.parent / "failed" / path.name).exists()
    assert _handovers(simulation, "police-a", "VictimCaseReport") == []


def test_a_refused_query_is_answered_under_its_own_code() -> None:
    """What policy refuses is answered with the code, the reason, and what was asked for, so that it finds its way back."""
    query = account_pb2.AccountQuery(application_id="Q1", account={"number": "1"})
    query.sections.add(scheme="tfms.section", code="accounts")
    answer = refusal(query, Decision(False, (), "no mandate", result_code="0600"))
    assert isinstance(answer, account_pb2.AccountAnswer)
    assert (answer.application_id, answer.result.code, answer.feedback_remark) == ("Q1", "0600", "no mandate")
    assert answer.searched_sections == query.sections
    asked = transaction_pb2.TransactionQuery(application_id="Q2", account={"number": "2"})
    trace = refusal(asked, Decision(False, (), "another agency's number"))
    assert isinstance(trace, transaction_pb2.TransactionTrace)
    assert (trace.account.number, trace.result.code) == ("2", "9999")
