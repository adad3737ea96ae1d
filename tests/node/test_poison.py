"""A member who cheats, with valid keys, against the threads of another node: one bad message must stop no other."""

import pytest
from sqlalchemy import select

from bus import store
from bus.keyservice.protocol import SealRequest
from bus.outbound import Draft, Sent
from bus.parts import Actor, Statement
from bus.randomness import uuid7
from bus.sealing.envelope import parse_header
from bus.sealing.plan import Compartment
from bus.transport import Disposition
from schemas.v1 import common_pb2, envelope_pb2, oversight_pb2, workflow_pb2
from tests.node import stage
from tests.simulator import Simulation

_CORE = Actor("svc-core", service=True)
_STOPPING = Statement("stop_payment", "ATF20")


def _handover(simulation: Simulation, agency: str, message_id: bytes) -> str:
    query = select(store.messages.c.handover).where(store.messages.c.message_id == message_id)
    with simulation.nodes[agency].parts.engine.connect() as connection:
        return str(connection.execute(query).scalar())


def _quarantined(simulation: Simulation, agency: str) -> list[str]:
    with simulation.nodes[agency].parts.engine.connect() as connection:
        return [row.code for row in connection.execute(select(store.quarantine))]


def _id(envelope: bytes) -> bytes:
    return parse_header(envelope).header.message_id


def _sealed(
    simulation: Simulation, agency: str, body, to: str, classes: tuple[str, ...], lane: str = "normal"
) -> bytes:
    """Seal a body with classed fields past every check of the agency's own node."""
    now = simulation.clock.at_ms
    request = SealRequest(
        message_id=uuid7(now, simulation.randomness),
        type_name=body.DESCRIPTOR.full_name,
        recipients=(to,),
        lane=lane,
        sent_at_ms=now,
        expires_at_ms=now + 86_400_000,
        policy_serial=1,
        correlation_id=bytes(16),
        causation_id=b"",
        body=body.SerializeToString(deterministic=True),
        compartments=(Compartment(1, classes, (to,)),),
        inline_grant=True,
    )
    return simulation.services[agency].seal([request])[0]


def _good_query(simulation: Simulation) -> None:
    """Deliver an auditor's question: something that the hand-over of a node must still get to."""
    message_id = stage.send_notice(simulation)
    simulation.operation(
        "auditor", "audit.ask", message_id=message_id.hex(), field="account", purpose="audit", legal_basis="ATF5"
    )
    simulation.run(30)


def test_a_grant_that_is_none_stops_no_other_hand_over(simulation: Simulation) -> None:
    """A member sends bytes as a grant: the message is put aside, and what comes after it is handed over."""
    grant = envelope_pb2.Grant(body=b"no grant", signature=bytes(64))
    bad = stage.sealed_by(simulation, "telecom-c", grant, ("police-a",), "urgent")
    stage.deliver(simulation, "police-a", bad, "telecom-c", "urgent", "Grant")
    _good_query(simulation)
    assert _handover(simulation, "police-a", _id(bad)) == "failed"
    with simulation.nodes["police-a"].parts.engine.connect() as connection:
        states = list(connection.execute(select(store.messages.c.type, store.messages.c.handover)))
    assert ("lianfang.v1.SubjectQuery", "done") in [tuple(row) for row in states]


def test_a_forward_to_nobody_stops_no_other_hand_over(simulation: Simulation) -> None:
    """A member names an asker who does not exist: no other message waits for that one."""
    context = common_pb2.CaseContext(purpose="audit", legal_basis="ATF5")
    forward = oversight_pb2.SubjectForward(
        case_context=context, query_id=bytes(16), asker="nobody", account=common_pb2.AccountRef(number="1")
    )
    classes = ("CASE_META", "ACCOUNT_ID")
    bad = _sealed(simulation, "bank-a", forward, "police-a", classes)
    stage.deliver(simulation, "police-a", bad, "bank-a", "normal", "SubjectForward")
    _good_query(simulation)
    with simulation.nodes["police-a"].parts.engine.connect() as connection:
        states = [tuple(row) for row in connection.execute(select(store.messages.c.type, store.messages.c.handover))]
    assert ("lianfang.v1.SubjectQuery", "done") in states


@pytest.mark.parametrize("field", ["policy_serial"])
def test_a_number_that_no_database_holds_is_refused_on_record(simulation: Simulation, field: str) -> None:
    """A header with a number beyond 63 bits is refused and kept, and the batch it came in is taken."""

    def grow(header, sealed) -> None:
        setattr(header, field, 1 << 63)
        header.grant_id, header.sequence = b"", 0
        sealed.ClearField("boxes")
        sealed.ClearField("inline_grant")

    bad = stage.signed(simulation.services["bank-a"], "bank-a", stage.rebuilt(stage.sealed_notice(simulation), grow))
    assert stage.deliver(simulation, "police-a", bad) is Disposition.ACK
    assert _quarantined(simulation, "police-a") == ["LF-SEAL-FORM"]


def test_a_receipt_that_asks_for_a_grant_that_never_was_is_forgotten(simulation: Simulation) -> None:
    """A receiver that says it lacks the grant of an unsealed message moves nothing and stops nothing."""
    update = workflow_pb2.Receipt(message_id=bytes(16), payload_sha256=bytes(32), outcome=1, received_at_ms=1)
    del update
    body = envelope_pb2.Grant(body=b"x", signature=bytes(64))
    node = simulation.nodes["bank-a"]
    outcome = node.outbound.send(
        [Draft(body, ("police-a",), "urgent")], Actor("svc-node", service=True), Statement("", "")
    )[0]
    assert isinstance(outcome, Sent)
    query = select(store.messages.c.payload_sha256).where(store.messages.c.message_id == outcome.message_id)
    with node.parts.engine.connect() as connection:
        digest = connection.execute(query).scalar()
    lie = workflow_pb2.Receipt(
        message_id=outcome.message_id,
        payload_sha256=digest,
        outcome=workflow_pb2.RECEIPT_OUTCOME_GRANT_UNKNOWN,
        received_at_ms=1,
    )
    bad = stage.sealed_by(simulation, "police-a", lie, ("bank-a",), "urgent")
    assert stage.deliver(simulation, "bank-a", bad, "police-a", "urgent", "Receipt") is Disposition.ACK


def test_a_grant_goes_only_to_who_was_sent_the_message(simulation: Simulation) -> None:
    """A member that was not sent a message gets no grant for asking, and cannot make a node send by asking often."""
    message_id = stage.send_notice(simulation)
    lie = workflow_pb2.Receipt(
        message_id=message_id,
        payload_sha256=bytes(32),
        outcome=workflow_pb2.RECEIPT_OUTCOME_GRANT_UNKNOWN,
        received_at_ms=1,
    )
    before = simulation.nodes["bank-a"].parts.log.size
    for agency in ("telecom-c", "police-a"):
        bad = stage.sealed_by(simulation, agency, lie, ("bank-a",), "urgent")
        stage.deliver(simulation, "bank-a", bad, agency, "urgent", "Receipt")
    assert simulation.nodes["bank-a"].parts.log.size == before
    with simulation.nodes["bank-a"].parts.engine.connect() as connection:
        types = {row.type for row in connection.execute(select(store.messages.c.type))}
    assert "lianfang.v1.Grant" not in types


def test_a_cosignature_of_an_impossible_size_is_forgotten(simulation: Simulation) -> None:
    """A witness that names a size that no log has stops nothing."""
    stage.send_notice(simulation)
    simulation.run(10)
    lie = oversight_pb2.Cosignature(origin="lianfang/audit/bank-a", size=1 << 63, line=b"x")
    bad = stage.sealed_by(simulation, "auditor", lie, ("bank-a",), "bulk")
    assert stage.deliver(simulation, "bank-a", bad, "auditor", "bulk", "Cosignature") is Disposition.ACK
