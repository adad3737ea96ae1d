"""A directory or a policy bundle on its way: two agencies sign at their running nodes, the centre publishes, all hold to it."""

import base64
from pathlib import Path

import pytest

from audit.v1 import leaf_pb2
from bus import enrolment
from bus.errors import Refused, Usage
from schemas.v1 import federation_pb2
from tests.node import stage
from tests.simulator import Simulation

POLICY = Path(__file__).parents[2] / "deploy" / "policy"


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _signed(simulation: Simulation, kind: str, body: bytes, *agencies: str) -> bytes:
    signatures = []
    for agency in agencies:
        answer = simulation.operation(agency, "document.sign", kind=kind, body=_text(body))
        signatures.append(federation_pb2.DocumentSignature.FromString(base64.b64decode(answer["signature"])))
    return enrolment.put_together(kind, body, signatures)


def _next_policy(simulation: Simulation) -> bytes:
    previous = (simulation.federation.node("centre") / "policy.bin").read_bytes()
    now = simulation.clock.at_ms
    return enrolment.next_policy(previous, POLICY, now - 1000, now + 30 * 86_400_000)


def test_a_policy_bundle_reaches_every_node(simulation: Simulation) -> None:
    """Signed by centre and auditor, published by the centre's officer: every node holds to it, and says so in its log."""
    document = _signed(simulation, "policy", _next_policy(simulation), "centre", "auditor")
    done = simulation.operation("centre", "document.publish", kind="policy", document=_text(document))
    assert done["serial"] == 2
    simulation.run()
    assert {node.parts.bundle.serial for node in simulation.nodes.values()} == {2}
    again = simulation.operation("centre", "document.publish", kind="policy", document=_text(document))
    assert again == done, "publishing again sends nothing twice"
    message_id = stage.send_notice(simulation)
    assert simulation.nodes["police-a"].opening.look(message_id)[0].header.policy_serial == 2


def test_a_directory_brings_a_new_state_of_a_member(simulation: Simulation) -> None:
    """A suspended member is suspended everywhere, itself included."""
    previous = (simulation.federation.node("centre") / "directory.bin").read_bytes()
    body = enrolment.next_directory(previous, [], ["telecom-c"], simulation.clock.at_ms)
    document = _signed(simulation, "directory", body, "centre", "auditor")
    simulation.operation("centre", "document.publish", kind="directory", document=_text(document))
    simulation.run()
    others = [node for name, node in simulation.nodes.items() if name != "telecom-c"]
    assert [node.parts.directory.is_active("telecom-c") for node in others] == [False] * len(others)


def test_one_signature_is_not_enough_and_nothing_is_sent(simulation: Simulation) -> None:
    """A bundle that the centre alone has signed comes into force nowhere; the attempt stands in the log."""
    document = _signed(simulation, "policy", _next_policy(simulation), "centre")
    with pytest.raises(Refused) as refused:
        simulation.nodes["centre"].publishing.publish("policy", document, stage.POLICY_OFFICER)
    assert refused.value.code == "LF-POLICY-SIGNATURES"
    assert simulation.nodes["centre"].parts.bundle.serial == 1
    assert "LF-POLICY-SIGNATURES" in stage.last_entry(simulation, "centre").reason_codes
    assert simulation.operation("centre", "sent", type="PolicyBundle") == []


def test_who_may_not_sign_is_refused_on_record(simulation: Simulation) -> None:
    """A bank's analyst signs no policy: the rule is named, and the attempt has an entry."""
    with pytest.raises(Refused) as refused:
        simulation.nodes["bank-a"].publishing.sign("policy", _next_policy(simulation), stage.ANALYST)
    assert refused.value.facts["rules"] == ["SD-16"]
    assert stage.last_entry(simulation, "bank-a").kind == leaf_pb2.KIND_DENIAL


def test_who_may_not_publish_is_refused(simulation: Simulation) -> None:
    """The auditor may sign a bundle and may not send it."""
    document = _signed(simulation, "policy", _next_policy(simulation), "centre", "auditor")
    with pytest.raises(Refused):
        simulation.operation("auditor", "document.publish", kind="policy", document=_text(document))


def test_rubbish_is_no_document(simulation: Simulation) -> None:
    """What is no body of its kind is refused before anybody signs or sends it."""
    with pytest.raises(Usage):
        enrolment.read_body("policy", b"\x00\x01")
    with pytest.raises(Usage):
        simulation.nodes["centre"].publishing.sign("poem", b"", stage.POLICY_OFFICER)
    with pytest.raises(Usage):
        simulation.nodes["centre"].publishing.publish("policy", b"\xff\xff", stage.POLICY_OFFICER)
