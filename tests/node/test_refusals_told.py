"""What a refusal tells the operator, and what it tells the other side; and suites that policy does not allow, at the node."""

import pytest
from sqlalchemy import select

from bus import store
from bus.sealing import boxes, verify
from bus.sealing.batch import sign_batch
from bus.sealing.envelope import parse_header
from bus.sealing.errors import told
from bus.sealing.suites import SUITES
from schemas.v1 import envelope_pb2, workflow_pb2
from tests.node import stage
from tests.sealing.attacker import sealed_of
from tests.simulator import Simulation


def _quarantined(simulation: Simulation) -> list[str]:
    with simulation.nodes["police-a"].parts.engine.connect() as connection:
        return [row.code for row in connection.execute(select(store.quarantine))]


def _receipts(simulation: Simulation) -> list[str]:
    """The codes that police-a tells, in the receipts that wait in its outbox."""
    with simulation.nodes["police-a"].parts.engine.connect() as connection:
        envelopes = [row.envelope for row in connection.execute(select(store.passing))]
    parsed = [parse_header(envelope) for envelope in envelopes]
    return [
        workflow_pb2.Receipt.FromString(item.public_body).code
        for item in parsed
        if item.header.type == "lianfang.v1.Receipt"
    ]


def _spoil_wrap(outer: envelope_pb2.Grant) -> None:
    outer.wraps[0].sealed_keys = outer.wraps[0].sealed_keys[:-1] + bytes([outer.wraps[0].sealed_keys[-1] ^ 1])


def _spoil_box(sealed: envelope_pb2.Sealed) -> None:
    sealed.boxes[0].ciphertext = sealed.boxes[0].ciphertext[:-1] + bytes([sealed.boxes[0].ciphertext[-1] ^ 1])


@pytest.mark.parametrize(("part", "own"), [("key", "LF-SEAL-GRANT-WRAP"), ("value", "LF-SEAL-CANNOT-OPEN")])
def test_a_sender_learns_not_whether_a_key_or_a_value_was_the_reason(
    simulation: Simulation, part: str, own: str
) -> None:
    """A wrap that does not open and a box that does not: two codes in the operator's log, one for the sender."""
    service = simulation.services["bank-a"]
    sealed = sealed_of(stage.sealed_notice(simulation))
    if part == "key":
        outer = envelope_pb2.Grant.FromString(sealed.inline_grant)
        _spoil_wrap(outer)
        wraps = {item.recipient: (item.recipient_key_id, item.sealed_keys) for item in outer.wraps}
        outer.signature = service._signing.sign(boxes.grant_signed_bytes(outer.body, wraps))
        sealed.inline_grant = outer.SerializeToString(deterministic=True)
    else:
        _spoil_box(sealed)
    forged = stage.signed(service, "bank-a", sealed.SerializeToString(deterministic=True))
    stage.deliver(simulation, "police-a", forged)
    assert _quarantined(simulation) == [own]
    assert _receipts(simulation) == ["LF-SEAL-CANNOT-OPEN"]


def test_what_stands_in_the_clear_is_told_by_name() -> None:
    """What follows from what travels in the clear a sender may know, so that it can mend it."""
    for code in ("LF-SEAL-GRANT-EPOCH", "LF-SEAL-GRANT-PREKEY", "LF-SEAL-SUITE-NOT-ALLOWED", "LF-IN-EXPIRED", ""):
        assert told(code) == code


def test_a_suite_that_policy_does_not_allow_is_refused_at_the_node(simulation: Simulation) -> None:
    """A message that its sender signed properly, under a suite that the bundle does not allow, is refused and on record."""
    payload = stage.rebuilt(stage.sealed_notice(simulation), lambda header, _: setattr(header, "suite", 3))
    place = sign_batch("bank-a", [payload], simulation.services["bank-a"]._signing.sign, SUITES[3])[0]
    envelope = envelope_pb2.Envelope(payload=payload, signature=place.signature, batch_size=1).SerializeToString(
        deterministic=True
    )
    node = simulation.nodes["police-a"]
    assert verify.verify(envelope, node.parts.directory, simulation.clock.at_ms).header.suite == 3
    stage.deliver(simulation, "police-a", envelope)
    assert _quarantined(simulation) == _receipts(simulation) == ["LF-SEAL-SUITE-NOT-ALLOWED"]
