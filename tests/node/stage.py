"""What the tests of the node play with: a notice, its way to the police, and the tools of whoever attacks it."""

from collections.abc import Callable

from google.protobuf.message import Message

from audit import leaf as leaf_format
from audit.v1 import leaf_pb2
from bus.keyservice.protocol import SealRequest
from bus.keyservice.service import KeyService
from bus.outbound import Draft, Sent
from bus.parts import Actor, Statement
from bus.randomness import uuid7
from bus.sealing.batch import sign_batch
from bus.transport import Delivery, Disposition
from schemas import registry
from schemas.v1 import common_pb2, envelope_pb2, notice_pb2
from tests.simulator import Simulation

ANALYST = Actor("analyst-1", ("analyst",))
INVESTIGATOR = Actor("investigator-1", ("investigator", "freeze_operator"))
POLICY_OFFICER = Actor("officer-1", ("analyst", "policy_officer"))
WARNING = Statement("early_warning", "ATF18")
CASE = "A2026110700042"
ACCOUNT = "6222020200012345678"
NEXT_HOP = "6217000010001234567"
HOLDER = "王小明"


def notice(account: str = ACCOUNT) -> notice_pb2.SuspiciousAccountNotice:
    """A notice with a field of each class that the story speaks of."""
    return notice_pb2.SuspiciousAccountNotice(
        account=common_pb2.AccountRef(scheme="CARD", number=account),
        holder=common_pb2.PersonRef(name=HOLDER),
        features=[common_pb2.CodedValue(scheme="bank-a.feature", code="F01")],
        balance=common_pb2.Money(minor_units=1_234_500, currency="CNY"),
        next_hops=[common_pb2.AccountRef(scheme="CARD", number=NEXT_HOP)],
    )


def send_notice(simulation: Simulation, to: tuple[str, ...] = ("police-a",), account: str = ACCOUNT) -> bytes:
    """Send a notice from bank-a and let it arrive; return its id."""
    draft = Draft(notice(account), to, "normal")
    outcome = simulation.nodes["bank-a"].outbound.send([draft], ANALYST, WARNING)[0]
    assert isinstance(outcome, Sent), outcome
    simulation.run()
    return outcome.message_id


def sealed_notice(simulation: Simulation, to: tuple[str, ...] = ("police-a",)) -> bytes:
    """Return the envelope of a notice that bank-a has sealed and the broker never got."""
    draft = Draft(notice(), to, "normal")
    outcome = simulation.nodes["bank-a"].outbound.send([draft], ANALYST, WARNING)[0]
    assert isinstance(outcome, Sent), outcome
    return next(
        row.body
        for row in simulation.nodes["bank-a"].queue.due(("normal",), 10)
        if row.message_id == outcome.message_id
    )


def rebuilt(envelope: bytes, change: Callable[[envelope_pb2.Header, envelope_pb2.Sealed], None]) -> bytes:
    """Return the payload of an envelope with its header or boxes changed, in canonical form, unsigned."""
    sealed = envelope_pb2.Sealed.FromString(envelope_pb2.Envelope.FromString(envelope).payload)
    header = envelope_pb2.Header.FromString(sealed.header)
    change(header, sealed)
    sealed.header = header.SerializeToString(deterministic=True)
    return sealed.SerializeToString(deterministic=True)


def signed(service: KeyService, agency: str, payload: bytes) -> bytes:
    """Sign a payload with an agency's own key: what a member who cheats can do, and nobody else."""
    place = sign_batch(agency, [payload], service._signing.sign)[0]
    return envelope_pb2.Envelope(
        payload=payload,
        signature=place.signature,
        leaf_index=place.index,
        batch_size=place.size,
        proof=place.proof,
    ).SerializeToString(deterministic=True)


def deliver(
    simulation: Simulation,
    agency: str,
    envelope: bytes,
    sender: str = "bank-a",
    lane: str = "normal",
    type_name: str = "SuspiciousAccountNotice",
    fault: str = "",
) -> Disposition:
    """Bring an envelope to a node as whoever runs the broker could: with any word about it."""
    delivery = Delivery(sender, lane, registry.short_name(type_name), envelope, fault)
    return simulation.nodes[agency].inbound.receive([delivery])[0]


def sealed_by(simulation: Simulation, agency: str, body: Message, to: tuple[str, ...], lane: str = "normal") -> bytes:
    """Seal an open body with an agency's own key, past every check of its node: what a member who cheats can do."""
    now = simulation.clock.at_ms
    request = SealRequest(
        message_id=uuid7(now, simulation.randomness),
        type_name=body.DESCRIPTOR.full_name,
        recipients=to,
        lane=lane,
        sent_at_ms=now,
        expires_at_ms=now + 86_400_000,
        policy_serial=1,
        correlation_id=bytes(16),
        causation_id=b"",
        body=body.SerializeToString(deterministic=True),
        compartments=(),
        inline_grant=False,
    )
    return simulation.services[agency].seal([request])[0]


def entries(simulation: Simulation, agency: str) -> list[leaf_pb2.Leaf]:
    """Return the entries of a node's log, decoded."""
    log = simulation.nodes[agency].parts.log
    return [leaf_format.decode(data) for data in log.leaves(0, log.size)]


def last_entry(simulation: Simulation, agency: str) -> leaf_pb2.Leaf:
    """Return the newest entry of a node's log."""
    return entries(simulation, agency)[-1]
