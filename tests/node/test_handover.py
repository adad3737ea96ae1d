"""Members who abuse what a node hands over, and whoever can put a file where node and local system meet."""

import os
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType

import pytest
from sqlalchemy import select

from bus import store
from bus.keyservice.protocol import SealRequest
from bus.outbound import Draft
from bus.parts import Actor, Statement
from bus.randomness import uuid7
from bus.sealing.plan import Compartment
from deploy.demo.federation import AGENCIES, Agency
from schemas.v1 import common_pb2, stop_payment_pb2
from tests.node import stage
from tests.simulator import Simulation, prepare

_CORE = Actor("svc-core", service=True)
_STOPPING = Statement("stop_payment", "ATF20")
_NUMBER = "310100000000_20261124_0001"
_POLICE_B = Agency(
    "police-b", "police", "Police B", "investigator-1", ("investigator", "freeze_operator"), "auditor", cases=True
)
_CAST = MappingProxyType(
    {name: AGENCIES[name] for name in ("auditor", "bank-b", "centre", "police-a")} | {"police-b": _POLICE_B}
)


@pytest.fixture(scope="module")
def prepared_with_two_police(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("two-police") / "nodes"
    prepare(directory, dict(_CAST))
    return directory


@pytest.fixture
def two_police(tmp_path: Path, prepared_with_two_police: Path) -> Iterator[Simulation]:
    made = Simulation(tmp_path / "nodes", agencies=dict(_CAST), prepared=prepared_with_two_police)
    yield made
    made.close()


def _order(simulation: Simulation, agency: str, number: str = _NUMBER) -> bytes:
    """Order bank-b to stop a payment, with its papers; let it be handed over; return the order's id."""
    papers = [
        {"kind": kind, "name": f"{at}.pdf", "content": "JVBERi0xLjQK"}
        for at, kind in enumerate(("police-id", "police-id", "form"))
    ]
    sent = simulation.operation(
        agency,
        "order",
        kind="stop",
        application_id=number,
        account="6217000010001234567",
        holder="李四",
        amount="500.00",
        papers=papers,
        to=["bank-b"],
    )
    simulation.run(20)
    return bytes.fromhex(sent["message_id"])


def _state(simulation: Simulation, agency: str, message_id: bytes) -> str:
    with simulation.nodes[agency].parts.engine.connect() as connection:
        found = connection.execute(select(store.orders.c.state).where(store.orders.c.message_id == message_id))
        return str(found.scalar())


def _handed_over(simulation: Simulation, agency: str) -> list[str]:
    folder = simulation.federation.node(agency) / "handover" / "out"
    return [path.stem for path in folder.glob("*.xml")]


def _put(simulation: Simulation, agency: str, name: str) -> Path:
    folder = simulation.federation.node(agency) / "handover" / "in"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name


def _handover(simulation: Simulation, agency: str, type_name: str) -> list[str]:
    query = select(store.messages.c.handover).where(
        store.messages.c.type == f"lianfang.v1.{type_name}", store.messages.c.direction == "in"
    )
    with simulation.nodes[agency].parts.engine.connect() as connection:
        return [row.handover for row in connection.execute(query)]


def test_an_orders_number_belongs_to_its_first_sender(two_police: Simulation) -> None:
    """A second agency that uses another's order number is refused: it must not be given the answer to that order."""
    first = _order(two_police, "police-a")
    second = _order(two_police, "police-b")
    assert _handed_over(two_police, "bank-b") == [first.hex()]
    assert _state(two_police, "police-b", second) == "answered"
    assert _state(two_police, "police-a", first) == "delivered"
    result = stop_payment_pb2.StopPaymentResult(application_id=_NUMBER)
    assert two_police.nodes["bank-b"].handover._order_of(result) == first


def _result(number: str) -> stop_payment_pb2.StopPaymentResult:
    return stop_payment_pb2.StopPaymentResult(
        application_id=number,
        kind=stop_payment_pb2.STOP_PAYMENT_KIND_STOP,
        result=common_pb2.CodedValue(scheme="tfms.result", code="0000"),
        target=common_pb2.AccountRef(scheme="ACCOUNT", number="6217000010001234567"),
    )


@pytest.mark.parametrize("names_the_order", [True, False])
def test_only_who_was_ordered_answers(simulation: Simulation, names_the_order: bool) -> None:
    """An answer from a bank that was not sent the order does not reach the police's own system."""
    order_id = _order(simulation, "police-a")
    draft = Draft(_result(_NUMBER), ("police-a",), "urgent", causation_id=order_id if names_the_order else b"")
    simulation.nodes["bank-a"].outbound.send([draft], _CORE, _STOPPING)
    simulation.run(20)
    assert _handed_over(simulation, "police-a") == []
    assert _handover(simulation, "police-a", "StopPaymentResult") == ["failed"]
    assert _state(simulation, "police-a", order_id) == "delivered"


def test_an_answer_is_to_the_order_that_it_names(simulation: Simulation) -> None:
    """A bank that answers one order with the number of another does not reach the police's own system."""
    order_id = _order(simulation, "police-a")
    draft = Draft(_result("310100000000_20261124_0002"), ("police-a",), "urgent", causation_id=order_id)
    simulation.nodes["bank-b"].outbound.send([draft], _CORE, _STOPPING)
    simulation.run(20)
    assert _handed_over(simulation, "police-a") == []
    assert _handover(simulation, "police-a", "StopPaymentResult") == ["failed"]


def test_an_order_that_breaks_a_check_reaches_no_core_system(simulation: Simulation) -> None:
    """A cheating police node sends papers without content: its order takes no effect, and a person looks at it."""
    kinds = (
        common_pb2.ATTACHMENT_KIND_POLICE_ID,
        common_pb2.ATTACHMENT_KIND_POLICE_ID,
        common_pb2.ATTACHMENT_KIND_STOP_PAYMENT_FORM,
    )
    order = stop_payment_pb2.StopPaymentOrder(
        case_context=common_pb2.CaseContext(purpose="stop_payment", legal_basis="ATF20"),
        application_id=_NUMBER,
        kind=stop_payment_pb2.STOP_PAYMENT_KIND_STOP,
        target=common_pb2.AccountRef(scheme="ACCOUNT", number="6217000010001234567"),
        attachments=[common_pb2.Attachment(kind=kind) for kind in kinds],
    )
    now = simulation.clock.at_ms
    request = SealRequest(
        message_id=uuid7(now, simulation.randomness),
        type_name=order.DESCRIPTOR.full_name,
        recipients=("bank-b",),
        lane="urgent",
        sent_at_ms=now,
        expires_at_ms=now + 86_400_000,
        policy_serial=1,
        correlation_id=bytes(16),
        causation_id=b"",
        body=order.SerializeToString(deterministic=True),
        compartments=(Compartment(1, ("CASE_META", "ACCOUNT_ID", "NARRATIVE"), ("bank-b",)),),
        inline_grant=True,
    )
    [envelope] = simulation.services["police-a"].seal([request])
    stage.deliver(simulation, "bank-b", envelope, "police-a", "urgent", "StopPaymentOrder")
    simulation.run(20)
    assert _handed_over(simulation, "bank-b") == []
    assert _handover(simulation, "bank-b", "StopPaymentOrder") == ["failed"]


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.mkdir()


def _link(path: Path) -> None:
    secret = path.parent / "elsewhere"
    secret.write_text("<secret/>")
    path.symlink_to(secret)


def _order_file(path: Path) -> None:
    sample = path.parents[1] / "out"
    path.write_bytes(next(iter(sample.glob("*.xml"))).read_bytes())


@pytest.mark.parametrize("make", [_pipe, _folder, _link, _order_file])
def test_a_file_that_is_no_answer_stops_no_other(simulation: Simulation, make) -> None:
    """A pipe, a folder, a link, an order where an answer should lie: put aside, and the next file is read."""
    order_id = _order(simulation, "police-a")
    make(_put(simulation, "bank-b", "0-first.xml"))
    answer = _put(simulation, "bank-b", "1-second.xml")
    answer.write_bytes(b"no answer either")
    simulation.run(10)
    failed = answer.parent / "failed"
    assert {path.name for path in failed.iterdir()} == {"0-first.xml", "1-second.xml"}
    assert _state(simulation, "bank-b", order_id) == "handed_over"
