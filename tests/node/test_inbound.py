"""Whoever runs the broker, and any member who cheats, against the way in."""

import pytest
from sqlalchemy import select

from audit.v1 import leaf_pb2
from bus import limits, store
from bus.sealing.envelope import parse_header
from bus.transport import Delivery, Disposition
from schemas.v1 import envelope_pb2, workflow_pb2
from tests.node import stage
from tests.simulator import Simulation


def _inbox(simulation: Simulation, agency: str = "police-a") -> list:
    with simulation.nodes[agency].parts.engine.connect() as connection:
        return list(connection.execute(select(store.messages).where(store.messages.c.direction == "in")))


def _quarantined(simulation: Simulation, agency: str = "police-a") -> list[str]:
    with simulation.nodes[agency].parts.engine.connect() as connection:
        return [row.code for row in connection.execute(select(store.quarantine))]


def test_a_message_arrives_is_logged_on_both_sides_and_receipted(simulation: Simulation) -> None:
    """Both sides log the same exchange with the same digest, and the outbox row ends with the receiver's receipt."""
    message_id = stage.send_notice(simulation)
    [row] = _inbox(simulation)
    assert row.message_id == message_id
    sent = [entry for entry in stage.entries(simulation, "bank-a") if entry.exchange == message_id]
    taken = [entry for entry in stage.entries(simulation, "police-a") if entry.exchange == message_id]
    assert [entry.kind for entry in sent] == [leaf_pb2.KIND_INTENT, leaf_pb2.KIND_OUTCOME]
    assert [entry.kind for entry in taken] == [leaf_pb2.KIND_DECISION]
    assert sent[0].message_digest == taken[0].message_digest
    with simulation.nodes["bank-a"].parts.engine.connect() as connection:
        assert [row.state for row in connection.execute(select(store.outbox))] == ["receipted"]


def test_the_same_message_again_has_no_second_effect(simulation: Simulation) -> None:
    """A replayed envelope is answered with the first outcome and leaves neither entry nor row."""
    message_id = stage.send_notice(simulation)
    envelope = _inbox(simulation)[0].envelope
    before = simulation.nodes["police-a"].parts.log.size
    stage.deliver(simulation, "police-a", envelope)
    stage.deliver(simulation, "police-a", envelope)
    assert simulation.nodes["police-a"].parts.log.size == before
    assert [row.message_id for row in _inbox(simulation)] == [message_id]


def test_a_batch_with_the_same_message_twice_takes_it_once(simulation: Simulation) -> None:
    """The broker may deliver a message twice in one batch: one is taken."""
    envelope = stage.sealed_notice(simulation)
    delivery = Delivery("bank-a", "normal", "suspicious-account-notice", envelope)
    assert simulation.nodes["police-a"].inbound.receive([delivery, delivery]) == [Disposition.ACK] * 2
    assert len(_inbox(simulation)) == 1


def test_the_same_id_with_other_content_is_refused_and_recorded(simulation: Simulation) -> None:
    """A sender who reuses an id for another content is refused, on record, and the first message stays."""
    message_id = stage.send_notice(simulation)
    other = stage.sealed_notice(simulation)

    def reuse(header, _) -> None:
        header.message_id = message_id

    forged = stage.signed(simulation.services["bank-a"], "bank-a", stage.rebuilt(other, reuse))
    stage.deliver(simulation, "police-a", forged)
    assert _quarantined(simulation) == ["LF-IN-ID-REUSED"]
    assert len(_inbox(simulation)) == 1
    assert stage.last_entry(simulation, "police-a").kind == leaf_pb2.KIND_DENIAL


@pytest.mark.parametrize(
    ("word", "change"),
    [("sender", {"sender": "bank-b"}), ("lane", {"lane": "urgent"}), ("type", {"type_name": "SpoofedCallReport"})],
)
def test_the_brokers_word_must_agree_with_the_signed_header(simulation: Simulation, word: str, change: dict) -> None:
    """A message that the broker brings under another sender, lane or type than was signed is quarantined."""
    stage.deliver(simulation, "police-a", stage.sealed_notice(simulation), **change)
    assert _quarantined(simulation) == ["LF-IN-WIRE-MISMATCH"], word
    assert not _inbox(simulation)


def test_a_message_for_another_agency_is_refused(simulation: Simulation) -> None:
    """A message that the broker brings to somebody it was not signed for is quarantined."""
    stage.deliver(simulation, "centre", stage.sealed_notice(simulation))
    assert _quarantined(simulation, "centre") == ["LF-IN-WIRE-MISMATCH"]
    assert not _inbox(simulation, "centre")


def test_a_member_cannot_speak_as_another(simulation: Simulation) -> None:
    """A telecom that signs a notice in the name of a bank is found out by the key."""
    payload = stage.rebuilt(stage.sealed_notice(simulation), lambda header, sealed: None)
    forged = stage.signed(simulation.services["telecom-c"], "bank-a", payload)
    stage.deliver(simulation, "police-a", forged)
    assert _quarantined(simulation) == ["LF-SEAL-SIGNATURE"]


def test_a_member_cannot_send_what_policy_does_not_let_it_send(simulation: Simulation) -> None:
    """A telecom that sends a notice in its own name is refused by a rule; the refusal has an entry and a receipt."""

    def rename(header, _) -> None:
        own = simulation.nodes["bank-a"].parts.directory.member("telecom-c").signing_keys[0]
        header.sender, header.sender_key_id = "telecom-c", own.key_id

    forged = stage.signed(
        simulation.services["telecom-c"], "telecom-c", stage.rebuilt(stage.sealed_notice(simulation), rename)
    )
    stage.deliver(simulation, "police-a", forged, sender="telecom-c")
    assert _quarantined(simulation) == ["LF-POLICY-DENIED"]
    entry = stage.last_entry(simulation, "police-a")
    assert (entry.decision, list(entry.peers)) == (leaf_pb2.DECISION_DENY, ["telecom-c"])


@pytest.mark.parametrize(
    ("code", "field", "value"),
    [
        ("LF-IN-UNKNOWN-VERSION", "type_version", 2),
        ("LF-IN-CLOCK-SKEW", "sent_at_ms", limits.CLOCK_SKEW_MS_MAX + 60_000),
        ("LF-IN-EXPIRED", "expires_at_ms", -1),
        ("LF-SEAL-VERSION", "version", 2),
        ("LF-SEAL-SUITE", "suite", 9),
    ],
)
def test_what_is_out_of_time_or_unknown_is_refused_by_name(
    simulation: Simulation, code: str, field: str, value: int
) -> None:
    """Expired, post-dated, of another version or suite: each is refused with its own code, and nothing is lost."""
    simulation.clock.advance(100)
    envelope = stage.sealed_notice(simulation)

    def change(header, _) -> None:
        if field.endswith("_ms"):
            header.sent_at_ms -= 10
            setattr(header, field, simulation.clock.at_ms + value)
            header.expires_at_ms = max(header.expires_at_ms, header.sent_at_ms + 1)
        else:
            setattr(header, field, value)

    forged = stage.signed(simulation.services["bank-a"], "bank-a", stage.rebuilt(envelope, change))
    stage.deliver(simulation, "police-a", forged)
    assert _quarantined(simulation) == [code]
    assert not _inbox(simulation)


def test_a_type_that_this_release_does_not_know_is_refused_by_name(simulation: Simulation) -> None:
    """A message of an unknown type is refused with a code that names the cause, not dropped."""

    def rename(header, _) -> None:
        header.type = "lianfang.v1.TelepathyReport"

    forged = stage.signed(
        simulation.services["bank-a"], "bank-a", stage.rebuilt(stage.sealed_notice(simulation), rename)
    )
    stage.deliver(simulation, "police-a", forged, type_name="TelepathyReport")
    assert _quarantined(simulation) == ["LF-SCHEMA-UNKNOWN-TYPE"]


def test_any_flipped_bit_is_refused(simulation: Simulation) -> None:
    """A hundred bits, spread over a whole envelope, flipped one at a time: nothing of it is taken."""
    envelope = stage.sealed_notice(simulation)
    for position in range(0, len(envelope) * 8, max(1, len(envelope) * 8 // 100)):
        flipped = bytearray(envelope)
        flipped[position // 8] ^= 1 << position % 8
        stage.deliver(simulation, "police-a", bytes(flipped))
    assert not _inbox(simulation)
    assert len(_quarantined(simulation)) >= 100


def test_a_box_from_another_message_is_refused(simulation: Simulation) -> None:
    """Boxes of two messages of the same grant, exchanged by their own sender, do not open: each is bound to its header."""
    first, second = stage.sealed_notice(simulation), stage.sealed_notice(simulation)
    other = envelope_pb2.Sealed.FromString(envelope_pb2.Envelope.FromString(second).payload)

    def swap(_, sealed) -> None:
        sealed.boxes[0].ciphertext = other.boxes[0].ciphertext

    forged = stage.signed(simulation.services["bank-a"], "bank-a", stage.rebuilt(first, swap))
    stage.deliver(simulation, "police-a", forged)
    assert _quarantined(simulation) == ["LF-SEAL-CANNOT-OPEN"]
    assert not _inbox(simulation)


def test_a_fault_of_the_wire_is_quarantined_with_its_code(simulation: Simulation) -> None:
    """What the transport found wrong with the wire form is kept as evidence under the transport's code."""
    stage.deliver(simulation, "police-a", stage.sealed_notice(simulation), fault="LF-WIRE-CC")
    assert _quarantined(simulation) == ["LF-WIRE-CC"]


def test_rubbish_is_kept_as_evidence_and_the_node_goes_on(simulation: Simulation) -> None:
    """Bytes that are no envelope are quarantined; the next message is taken."""
    for body in (b"", b"\x00" * 100, b"\xff" * 5000):
        stage.deliver(simulation, "police-a", body)
    message_id = stage.send_notice(simulation)
    assert len(_quarantined(simulation)) == 3
    assert [row.message_id for row in _inbox(simulation)] == [message_id]


def test_nobody_can_take_another_senders_message_id(simulation: Simulation) -> None:
    """A member that reuses the id of another's message, or of one of our own, is refused; the batch goes on."""
    message_id = stage.send_notice(simulation, to=("centre", "police-a"))
    other = stage.sealed_notice(simulation)

    def steal(header, _) -> None:
        own = simulation.nodes["bank-a"].parts.directory.member("bank-b").signing_keys[0]
        header.sender, header.sender_key_id, header.message_id = "bank-b", own.key_id, message_id

    forged = stage.signed(simulation.services["bank-b"], "bank-b", stage.rebuilt(other, steal))
    good = Delivery("bank-a", "normal", "suspicious-account-notice", other)
    bad = Delivery("bank-b", "normal", "suspicious-account-notice", forged)
    assert simulation.nodes["police-a"].inbound.receive([bad, good]) == [Disposition.ACK] * 2
    assert _quarantined(simulation) == ["LF-IN-ID-REUSED"]
    assert len(_inbox(simulation)) == 2


def test_a_no_stays_a_no_when_its_receipt_was_lost(simulation: Simulation) -> None:
    """A message that was refused and is sent again, for want of a receipt, is refused again, not called a duplicate."""
    envelope = stage.sealed_notice(simulation)
    simulation.clock.advance(8 * 86_400_000)
    stage.deliver(simulation, "police-a", envelope)
    with simulation.nodes["police-a"].parts.engine.begin() as connection:
        connection.execute(store.outbox.delete())  # the receipt is lost
    size = simulation.nodes["police-a"].parts.log.size
    stage.deliver(simulation, "police-a", envelope)
    assert simulation.nodes["police-a"].parts.log.size == size
    for _ in range(3):
        simulation.round()
    [ended] = [item for item in simulation.operation("bank-a", "sent") if item["type"] == "SuspiciousAccountNotice"]
    assert ended["deliveries"]["police-a"]["state"] == "expired"


@pytest.mark.parametrize("outcome", [0, 99])
def test_a_receipt_that_says_nothing_stops_nobody(simulation: Simulation, outcome: int) -> None:
    """A member's receipt with an outcome that nobody knows, and a code that is a name, is passed over; the row waits on."""
    envelope = stage.sealed_notice(simulation)
    header = parse_header(envelope).header
    digest = parse_header(envelope).payload_sha256
    body = workflow_pb2.Receipt(message_id=header.message_id, payload_sha256=digest, outcome=outcome, code="张三" * 60)
    odd = stage.sealed_by(simulation, "police-a", body, ("bank-a",))
    assert stage.deliver(simulation, "bank-a", odd, sender="police-a", type_name="Receipt") == Disposition.ACK
    with simulation.nodes["bank-a"].parts.engine.connect() as connection:
        assert [item.state for item in connection.execute(select(store.outbox))] == ["waiting"]


def test_a_foreign_code_is_no_way_into_the_log(simulation: Simulation) -> None:
    """A receipt refuses with a name for a code: the row ends, the log holds a code that says so, and not the name."""
    envelope = stage.sealed_notice(simulation)
    parsed = parse_header(envelope)
    body = workflow_pb2.Receipt(
        message_id=parsed.header.message_id,
        payload_sha256=parsed.payload_sha256,
        outcome=workflow_pb2.RECEIPT_OUTCOME_REFUSED,
        code="王小明 13800138000" * 20,
    )
    odd = stage.sealed_by(simulation, "police-a", body, ("bank-a",))
    stage.deliver(simulation, "bank-a", odd, sender="police-a", type_name="Receipt")
    assert list(stage.last_entry(simulation, "bank-a").reason_codes) == ["REFUSED", "LF-CODE-WITHHELD"]
    with simulation.nodes["bank-a"].parts.engine.connect() as connection:
        [row] = connection.execute(select(store.outbox))
    assert (row.state, len(row.code) <= 128) == ("refused", True)


def _acknowledgement(simulation: Simulation, agency: str, message_id: bytes) -> bytes:
    """Return an acknowledgement that an agency has signed under an id of its choice."""
    body = workflow_pb2.Acknowledgement()
    envelope = stage.sealed_by(simulation, agency, body, ("police-a",))
    own = envelope_pb2.Envelope.FromString(envelope)

    def rename(header, _) -> None:
        header.message_id = message_id

    return stage.signed(simulation.services[agency], agency, stage.rebuilt(own.SerializeToString(), rename))


def _outbox(simulation: Simulation, agency: str, message_id: bytes) -> list[tuple[str, str]]:
    query = select(store.outbox.c.state, store.outbox.c.code).where(store.outbox.c.message_id == message_id)
    with simulation.nodes[agency].parts.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(query)]


@pytest.mark.parametrize("same_batch", [True, False])
def test_what_is_refused_takes_no_id_from_anybody(simulation: Simulation, same_batch: bool) -> None:
    """A member that knows the id of another's message cannot hide that message by sending refuse under its id first."""
    good = stage.sealed_notice(simulation)
    message_id = parse_header(good).header.message_id

    def squat(header, _) -> None:
        own = simulation.nodes["bank-a"].parts.directory.member("telecom-c").signing_keys[0]
        header.sender, header.sender_key_id = "telecom-c", own.key_id

    forged = stage.signed(simulation.services["telecom-c"], "telecom-c", stage.rebuilt(good, squat))
    first = Delivery("telecom-c", "normal", "suspicious-account-notice", forged)
    second = Delivery("bank-a", "normal", "suspicious-account-notice", good)
    for batch in ([first, second],) if same_batch else ([first], [second]):
        simulation.nodes["police-a"].inbound.receive(batch)
    assert [(row.message_id, row.sender) for row in _inbox(simulation)] == [(message_id, "bank-a")]


@pytest.mark.parametrize("same_batch", [True, False])
def test_whose_id_is_taken_is_told(simulation: Simulation, same_batch: bool) -> None:
    """Where a message under the id was taken from another agency, its own sender gets a refusal, not silence."""
    good = stage.sealed_notice(simulation)
    message_id = parse_header(good).header.message_id
    squatter = _acknowledgement(simulation, "telecom-c", message_id)
    first = Delivery("telecom-c", "normal", "acknowledgement", squatter)
    second = Delivery("bank-a", "normal", "suspicious-account-notice", good)
    for batch in ([first, second],) if same_batch else ([first], [second]):
        simulation.nodes["police-a"].inbound.receive(batch)
    assert [row.sender for row in _inbox(simulation)] == ["telecom-c"]
    simulation.run(20)
    assert _outbox(simulation, "bank-a", message_id) == [("refused", "LF-IN-ID-REUSED")]


def test_nothing_is_refused_while_the_directory_has_expired(simulation: Simulation) -> None:
    """Past the directory's expiry messages are held at the broker until its successor comes, not refused or lost."""
    envelope = stage.sealed_notice(simulation)
    simulation.services["police-a"]._pins._directory.expires_at_ms = simulation.clock.at_ms - 1
    assert stage.deliver(simulation, "police-a", envelope) is Disposition.HOLD
    assert not _inbox(simulation)
    assert not _quarantined(simulation)
