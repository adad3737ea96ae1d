"""A member who cheats, with valid keys, against the threads of another node: one bad message must stop no other."""

import pytest
from sqlalchemy import select

from bus import leaves, limits, store
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
    simulation: Simulation,
    agency: str,
    body,
    to: str,
    classes: tuple[str, ...],
    lane: str = "normal",
    causation_id: bytes = b"",
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
        causation_id=causation_id,
        body=body.SerializeToString(deterministic=True),
        compartments=(Compartment(1, classes, (to,)),),
        inline_grant=True,
    )
    return simulation.services[agency].seal([request])[0]


def _unsealed(simulation: Simulation, change) -> bytes:
    """Return the payload of a notice of bank-a without its boxes, its header changed."""

    def strip(header, sealed) -> None:
        change(header, sealed)
        header.grant_id, header.sequence = b"", 0
        sealed.ClearField("boxes")
        sealed.ClearField("inline_grant")

    return stage.rebuilt(stage.sealed_notice(simulation), strip)


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
    _forward(simulation, bytes(16), "nobody", "1")
    _good_query(simulation)
    with simulation.nodes["police-a"].parts.engine.connect() as connection:
        states = [tuple(row) for row in connection.execute(select(store.messages.c.type, store.messages.c.handover))]
    assert ("lianfang.v1.SubjectQuery", "done") in states


def test_a_question_about_a_field_that_the_message_has_not_is_answered(simulation: Simulation) -> None:
    """An auditor's slip of the pen gets "not found" from everybody, and leaves no work behind at the sender's node."""
    message_id = stage.send_notice(simulation)
    asked = simulation.operation(
        "auditor", "audit.ask", message_id=message_id.hex(), field="colour", purpose="audit", legal_basis="ATF5"
    )
    simulation.run(30)
    with simulation.nodes["bank-a"].parts.engine.connect() as connection:
        states = [tuple(row) for row in connection.execute(select(store.messages.c.type, store.messages.c.handover))]
    assert ("lianfang.v1.SubjectQuery", "done") in states
    assert ("lianfang.v1.SubjectQuery", "failed") not in states
    answers = simulation.nodes["auditor"].oversight.answers(bytes.fromhex(asked["query_id"]))
    assert {status for status, _ in answers.values()} == {"NFOU"}
    assert "bank-a" in answers


@pytest.mark.parametrize("field", ["policy_serial"])
def test_a_number_that_no_database_holds_is_refused_on_record(simulation: Simulation, field: str) -> None:
    """A header with a number beyond 63 bits is refused and kept, and the batch it came in is taken."""

    def grow(header, _) -> None:
        setattr(header, field, 1 << 63)

    bad = stage.signed(simulation.services["bank-a"], "bank-a", _unsealed(simulation, grow))
    assert stage.deliver(simulation, "police-a", bad) is Disposition.ACK
    assert _quarantined(simulation, "police-a") == ["LF-SEAL-FORM"]


def test_a_receipt_that_asks_for_a_grant_that_never_was_is_forgotten(simulation: Simulation) -> None:
    """A receiver that says it lacks the grant of an unsealed message moves nothing and stops nothing."""
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


def _forward(simulation: Simulation, query_message_id: bytes, asker: str, account: str) -> bytes:
    """Pass a subject on from bank-a to police-a, past every check of bank-a's node; return the forward's id."""
    forward = oversight_pb2.SubjectForward(
        case_context=common_pb2.CaseContext(purpose="audit", legal_basis="ATF5"),
        query_id=bytes(16),
        asker=asker,
        account=common_pb2.AccountRef(number=account),
    )
    bad = _sealed(simulation, "bank-a", forward, "police-a", ("CASE_META", "ACCOUNT_ID"), causation_id=query_message_id)
    stage.deliver(simulation, "police-a", bad, "bank-a", "normal", "SubjectForward")
    simulation.run(20)
    return _id(bad)


def _answers_sent(simulation: Simulation, agency: str) -> list[str]:
    query = select(store.messages.c.recipients).where(
        store.messages.c.type == "lianfang.v1.SubjectAnswer", store.messages.c.direction == "out"
    )
    with simulation.nodes[agency].parts.engine.connect() as connection:
        return [row.recipients for row in connection.execute(query)]


def test_no_member_makes_another_answer_where_no_auditor_asked(simulation: Simulation) -> None:
    """A bank that guesses an account and passes it on without a question gets no answer sent, and opens nothing."""
    stage.send_notice(simulation)
    before = simulation.nodes["police-a"].parts.log.size
    _forward(simulation, bytes(16), "auditor", "6222020200012345678")
    assert _answers_sent(simulation, "police-a") == []
    assert (
        len([entry for entry in stage.entries(simulation, "police-a")[before:] if entry.system == "svc-subject"]) == 0
    )


def test_a_forward_is_answered_to_who_asked_and_nobody_else(simulation: Simulation) -> None:
    """Whom a forward names as the asker counts for nothing."""
    _good_query(simulation)
    query = select(store.messages.c.message_id).where(store.messages.c.type == "lianfang.v1.SubjectQuery")
    with simulation.nodes["police-a"].parts.engine.connect() as connection:
        question = connection.execute(query).scalar()
    before = len(_answers_sent(simulation, "police-a"))
    _forward(simulation, question, "bank-b", "6222020200012345678")
    assert _answers_sent(simulation, "police-a")[before:] == ["auditor"]


def test_no_answer_hides_an_earlier_one(simulation: Simulation) -> None:
    """A member that makes another agency answer for a wrong account too adds values, and takes none away."""
    oversight = simulation.nodes["auditor"].oversight
    oversight.keep_answer(bytes(16), "police-a", "FOUN", {"2026Q4": ["aa"]})
    oversight.keep_answer(bytes(16), "police-a", "NFOU", {})
    oversight.keep_answer(bytes(16), "police-a", "FOUN", {"2026Q4": ["bb", "aa"], "2026Q3": ["cc"]})
    assert oversight.answers(bytes(16)) == {"police-a": ("FOUN", {"2026Q4": ["aa", "bb"], "2026Q3": ["cc"]})}


def test_an_agency_that_answers_without_end_is_heard_up_to_a_limit(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an auditor keeps of one agency for one question has an end."""
    monkeypatch.setattr(limits, "SUBJECT_VALUES_MAX", 3)
    oversight = simulation.nodes["auditor"].oversight
    for number in range(5):
        oversight.keep_answer(bytes(16), "police-a", "FOUN", {"2026Q4": [f"{number:02x}"]})
    assert oversight.answers(bytes(16))["police-a"][1] == {"2026Q4": ["00", "01", "02"]}


def test_a_shipment_without_end_does_not_fill_its_witness(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log that ships parts of a shipment that never ends is let wait up to a limit, then forgotten."""
    monkeypatch.setattr(limits, "SHIPMENT_WAITING_BYTES_MAX", 3000)
    auditor = simulation.nodes["auditor"]
    simulation.run(10)
    start = auditor.oversight.mirror("bank-a").size
    root = "A" * 43 + "="
    note = f"lianfang/audit/bank-a\n{10**15}\n{root}\n\n\u2014 lianfang/audit/bank-a AAAAAAAA\n".encode()
    held = []
    for part in range(6):
        body = oversight_pb2.Checkpoint(
            origin="lianfang/audit/bank-a", start=start + part * 2, leaves=[bytes(500)] * 2, note=note
        )
        bad = _sealed(simulation, "bank-a", body, "auditor", ("CASE_META",), "bulk")
        stage.deliver(simulation, "auditor", bad, "bank-a", "bulk", "Checkpoint")
        _, waiting = auditor.oversight._parts_waiting.get("bank-a", (0, []))
        held.append(sum(map(len, waiting)))
    assert held == [1000, 2000, 3000, 0, 1000, 2000]


def test_a_long_log_is_shipped_in_stretches(simulation: Simulation, monkeypatch: pytest.MonkeyPatch) -> None:
    """A witness that was away is brought up to date checkpoint by checkpoint, so that an honest log never meets the limit."""
    monkeypatch.setattr(limits, "SHIPMENT_STRETCH_MAX", 3)
    node = simulation.nodes["bank-a"]
    for number in range(6):
        stage.send_notice(simulation, account=f"622202020001234{number:04d}")
        node.parts.log.checkpoint(lambda text: node.parts.keys.sign("log", text))
    simulation.run(60, quiet_rounds=40)
    assert node.parts.log.cosigned_size("auditor") == node.parts.log.size


def test_how_long_a_message_is_taken_is_not_its_senders_word_alone(simulation: Simulation) -> None:
    """A message that its sender calls good for ever is taken no longer than its lane allows: an old key dates nothing back."""

    def stretch(header, _) -> None:
        header.expires_at_ms = 2**62

    kept = stage.signed(simulation.services["bank-a"], "bank-a", _unsealed(simulation, stretch))
    simulation.clock.advance(limits.LIFETIME_MS["normal"] + 60_000)
    stage.deliver(simulation, "police-a", kept)
    assert _quarantined(simulation, "police-a") == ["LF-IN-EXPIRED"]


def test_a_padded_note_fills_no_mirror(simulation: Simulation) -> None:
    """A log that pads its checkpoints with signatures of nobody is not mirrored under them."""
    simulation.run(10)
    parts, mirror = simulation.nodes["bank-a"].parts, simulation.nodes["auditor"].oversight.mirror("bank-a")
    start = mirror.size
    with parts.log.transaction() as transaction:
        transaction.append(leaves.started(parts))
    note = parts.log.checkpoint(lambda text: parts.keys.sign("log", text)).note
    padding = "".join(f"\u2014 nobody-{number} AAAAAAAA\n" for number in range(200)).encode()
    body = oversight_pb2.Checkpoint(
        origin=mirror.origin, start=start, leaves=list(parts.log.leaves(start, parts.log.size)), note=note + padding
    )
    bad = _sealed(simulation, "bank-a", body, "auditor", ("CASE_META",), "bulk")
    stage.deliver(simulation, "auditor", bad, "bank-a", "bulk", "Checkpoint")
    assert mirror.size == start


@pytest.mark.parametrize(("hops", "taken"), [(80, True), (81, False)])
def test_a_message_that_no_entry_could_name_is_refused(simulation: Simulation, hops: int, taken: bool) -> None:
    """A message whose subjects do not fit an entry could be neither opened nor refused on record: it is not taken."""
    notice = stage.notice()
    del notice.next_hops[:]
    notice.next_hops.extend(common_pb2.AccountRef(number=f"62170000{number:08d}") for number in range(hops))
    notice.ClearField("balance")
    notice.case_context.purpose, notice.case_context.legal_basis = "early_warning", "ATF18"
    classes = ("CASE_META", "RISK", "ACCOUNT_ID", "IDENTITY")
    envelope = _sealed(simulation, "bank-a", notice, "police-a", classes)
    stage.deliver(simulation, "police-a", envelope, "bank-a")
    assert _quarantined(simulation, "police-a") == ([] if taken else ["LF-SEAL-SUBJECTS"])
    if taken:
        cased = Statement("early_warning", "ATF18", stage.CASE)
        opened = simulation.nodes["police-a"].opening.open(
            _id(envelope), ["ACCOUNT_ID", "CASE_META", "RISK"], stage.INVESTIGATOR, cased
        )
        assert len(opened.message.next_hops) == hops
