"""Disclosing one compartment to a court: who may, what the file proves alone, and what it must not open."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit import tree
from audit.v1 import leaf_pb2
from bus import cli, evidence
from bus.disclosing import Disclosed, Disclosing
from bus.errors import CheckFailed, NotFound, Refused, Usage
from bus.keyservice.protocol import OpenRequest
from bus.keyservice.service import KeyService
from bus.opening import Opening
from bus.parts import Actor, Case, Statement
from bus.policy.canonical import canonical
from bus.sealing import boxes
from bus.sealing.errors import CannotOpen
from bus.sealing.verify import verify_stored
from schemas.v1 import envelope_pb2, evidence_pb2
from tests.node import stage
from tests.simulator import Simulation

MANDATE = "M-7"
FOR_THE_COURT = Statement("investigate", "CPL54", stage.CASE, MANDATE)


def _disclosing(simulation: Simulation, agency: str = "police-a") -> Disclosing:
    """As the node has it, with a mandate in its register of cases."""
    parts = simulation.nodes[agency].parts
    case = Case(stage.CASE, "filed", (stage.INVESTIGATOR.identity,), (MANDATE,))
    known = replace(parts, cases={stage.CASE: case})
    return Disclosing(known, Opening(known))


def _together(simulation: Simulation, message_id: bytes, name: str) -> tuple[str, ...]:
    _, inspection = simulation.nodes["police-a"].opening.look(message_id)
    return next(group for group in inspection.together if name in group)


def _exhibit(simulation: Simulation, name: str = "ACCOUNT_ID") -> Disclosed:
    message_id = stage.send_notice(simulation, to=("police-a", "centre"))
    classes = _together(simulation, message_id, name)
    return _disclosing(simulation).disclose(message_id, classes, stage.INVESTIGATOR, FOR_THE_COURT)


def test_an_exhibit_proves_alone_what_was_said_to_whom(simulation: Simulation) -> None:
    """The file alone proves sender, recipients, time and the fields of one compartment; the entry stands before it."""
    made = _exhibit(simulation)
    found = evidence.check(made.exhibit)
    assert found.fields["account"]["number"] == stage.ACCOUNT
    assert "features" not in found.fields, "what another compartment holds stays closed"
    assert (found.envelope.header.sender, found.body.agency) == ("bank-a", "police-a")
    assert "police-a" in found.audience
    receipt, outcome = stage.entries(simulation, "police-a")[-2:]
    assert (receipt.action, list(receipt.classes_released)) == (leaf_pb2.ACTION_DISCLOSE, list(made.classes))
    assert list(outcome.reason_codes) == ["DISCLOSED"]
    log = simulation.nodes["police-a"].parts.log
    assert found.body.leaf_hash == tree.leaf_hash(log.leaf(made.log_index))
    assert found.directory.sha256 == simulation.nodes["bank-a"].parts.directory.sha256


def test_an_exhibit_opens_no_other_box(simulation: Simulation) -> None:
    """The key in an exhibit opens neither another compartment nor the same one of the next message under the same grant."""
    made = _exhibit(simulation)
    found = evidence.check(made.exhibit)
    other = stage.send_notice(simulation, to=("police-a", "centre"))
    _, data, _ = simulation.nodes["police-a"].opening.look_whole(other)
    for parsed in (found.envelope, verify_stored(data, found.directory)):
        header = parsed.header
        assert header.grant_id == found.envelope.header.grant_id
        place = boxes.Place(parsed.header_bytes, parsed.public_body, header.salt, header.sequence)
        for number, ciphertext in parsed.boxes:
            if (number, header.message_id) != (found.body.compartment, found.envelope.header.message_id):
                with pytest.raises(CannotOpen):
                    boxes.open_with_message_key(found.body.message_key, number, place, ciphertext)
    keys = simulation.services["police-a"]._grants.held(found.envelope.header.grant_id).keys
    assert not any(key in made.exhibit for key in keys.values()), "no class key leaves"


@pytest.mark.parametrize(
    ("actor", "statement", "rule"),
    [
        (stage.INVESTIGATOR, replace(FOR_THE_COURT, mandate=""), "DC-01"),
        (stage.INVESTIGATOR, replace(FOR_THE_COURT, case_ref="unknown"), "DC-01"),
        (Actor("investigator-2", ("investigator",)), FOR_THE_COURT, "DC-01"),
        (stage.ANALYST, FOR_THE_COURT, "DC-01"),
        (Actor("investigator-1", ("investigator", "sysadmin")), FOR_THE_COURT, "FB-01"),
    ],
)
def test_policy_decides_who_discloses_and_a_refusal_is_on_record(
    simulation: Simulation, actor: Actor, statement: Statement, rule: str
) -> None:
    """Without mandate, case, team or role nothing is disclosed, and the refusal has an entry with its row."""
    message_id = stage.send_notice(simulation)
    classes = _together(simulation, message_id, "ACCOUNT_ID")
    with pytest.raises(Refused) as refused:
        _disclosing(simulation).disclose(message_id, classes, actor, statement)
    assert rule in refused.value.facts["rules"]
    entry = stage.last_entry(simulation, "police-a")
    assert (entry.kind, entry.action) == (leaf_pb2.KIND_DENIAL, leaf_pb2.ACTION_DISCLOSE)


def test_a_compartment_is_disclosed_whole_or_not_at_all(simulation: Simulation) -> None:
    """Naming some of the classes that share a box is refused, with all of them named; so is a class that is not there."""
    message_id = stage.send_notice(simulation)
    disclosing, classes = _disclosing(simulation), _together(simulation, message_id, "ACCOUNT_ID")
    assert len(classes) > 1
    for named in (("ACCOUNT_ID",), (*classes, "RISK")) if "RISK" not in classes else (("ACCOUNT_ID",),):
        with pytest.raises(Usage) as caught:
            disclosing.disclose(message_id, named, stage.INVESTIGATOR, FOR_THE_COURT)
        assert caught.value.code == "LF-EVIDENCE-COMPARTMENT"
        assert all(name in caught.value.cause for name in classes)
    with pytest.raises(NotFound):
        disclosing.disclose(message_id, ("NARRATIVE",), stage.INVESTIGATOR, FOR_THE_COURT)


def test_a_node_that_asks_for_less_than_a_box_holds_gets_nothing(simulation: Simulation, monkeypatch) -> None:
    """A changed node that has one class permitted, and asks for the key of the box it shares, is refused by the key service."""
    message_id = stage.send_notice(simulation)
    disclosing = _disclosing(simulation)
    monkeypatch.setattr(Disclosing, "_require_whole", lambda *_: None)
    with pytest.raises(Refused) as refused:
        disclosing.disclose(message_id, ("ACCOUNT_ID",), stage.INVESTIGATOR, FOR_THE_COURT)
    assert refused.value.code == "LF-OPEN-COMPARTMENT"


def test_an_entry_for_opening_discloses_nothing(simulation: Simulation, monkeypatch) -> None:
    """The entry of an opening, permitted as one, is no entry for a disclosure: no key is had for reading on a screen."""
    message_id = stage.send_notice(simulation)
    node, asked = simulation.nodes["police-a"], []
    redeemed = KeyService.open
    monkeypatch.setattr(KeyService, "open", lambda self, request: asked.append(request) or redeemed(self, request))
    node.opening.open(message_id, ["ACCOUNT_ID"], stage.INVESTIGATOR, Statement("early_warning", "ATF18", stage.CASE))
    _, data, _ = node.opening.look_whole(message_id)
    request: OpenRequest = asked[0]
    with pytest.raises(CannotOpen) as caught:
        simulation.services["police-a"].disclose(data, request)
    assert caught.value.code == "LF-OPEN-OTHER-ENTRY"


def test_an_entry_discloses_once(simulation: Simulation, monkeypatch) -> None:
    """The same entry and token give no second exhibit, and none of another message."""
    asked: list[tuple[bytes, OpenRequest]] = []
    disclose = KeyService.disclose
    monkeypatch.setattr(KeyService, "disclose", lambda self, *given: asked.append(given) or disclose(self, *given))
    _exhibit(simulation)
    envelope, request = asked[0]
    assert canonical([])  # the context is canonical bytes, not a hash
    with pytest.raises(CannotOpen) as again:
        simulation.services["police-a"].disclose(envelope, request)
    assert again.value.code == "LF-OPEN-USED"
    _, other, _ = simulation.nodes["police-a"].opening.look_whole(stage.send_notice(simulation))
    with pytest.raises(CannotOpen) as moved:
        simulation.services["police-a"].disclose(other, request)
    assert moved.value.code == "LF-OPEN-OTHER-ENTRY"


def _attested(outer: evidence_pb2.Disclosure, key: Ed25519PrivateKey, change: Callable) -> None:
    """Change what is attested, and sign it again with a key."""
    body = evidence_pb2.DisclosureBody.FromString(outer.body)
    change(body)
    outer.body = body.SerializeToString(deterministic=True)
    outer.signature.signature = key.sign(evidence.signed_bytes(outer.body))


def _alter_envelope(outer: evidence_pb2.Disclosure) -> None:
    envelope = envelope_pb2.Envelope.FromString(outer.envelope)
    envelope.payload = envelope.payload[:-1] + bytes([envelope.payload[-1] ^ 1])
    outer.envelope = envelope.SerializeToString(deterministic=True)


FORGED: dict[str, tuple[str, Callable[[evidence_pb2.Disclosure, Ed25519PrivateKey], object]]] = {
    "another key": (
        "LF-SEAL-CANNOT-OPEN",
        lambda outer, key: _attested(outer, key, lambda body: setattr(body, "message_key", bytes(32))),
    ),
    "a short key": (
        "LF-SEAL-CANNOT-OPEN",
        lambda outer, key: _attested(outer, key, lambda body: setattr(body, "message_key", b"k")),
    ),
    "another compartment": (
        "LF-SEAL-CANNOT-OPEN",
        lambda outer, key: _attested(
            outer, key, lambda body: setattr(body, "compartment", 3 - body.compartment if body.compartment < 3 else 1)
        ),
    ),
    "no such compartment": (
        "LF-EVIDENCE-OTHER",
        lambda outer, key: _attested(outer, key, lambda body: setattr(body, "compartment", 60)),
    ),
    "another message": (
        "LF-EVIDENCE-OTHER",
        lambda outer, key: _attested(outer, key, lambda body: setattr(body, "payload_sha256", bytes(32))),
    ),
    "in another agency's name": (
        "LF-EVIDENCE-SIGNATURE",
        lambda outer, key: _attested(outer, key, lambda body: setattr(body, "agency", "centre")),
    ),
    "signed by nobody": ("LF-EVIDENCE-SIGNATURE", lambda outer, _: setattr(outer.signature, "signature", bytes(64))),
    "not attested anew": ("LF-EVIDENCE-SIGNATURE", lambda outer, _: setattr(outer, "body", outer.body[:-1] + b"x")),
    "an altered envelope": ("LF-SEAL-", lambda outer, _: _alter_envelope(outer)),
    "no grant": ("LF-SEAL-", lambda outer, _: outer.ClearField("grant")),
    "no directory": ("LF-DIRECTORY-", lambda outer, _: outer.ClearField("directory")),
    "an altered directory": (
        "LF-DIRECTORY-",
        lambda outer, _: setattr(outer, "directory", outer.directory[:-1] + b"x"),
    ),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, prepared: Path) -> Iterator[tuple[bytes, Ed25519PrivateKey]]:
    """An exhibit, and the key of the agency that made it; nothing changes either."""
    simulation = Simulation(tmp_path_factory.mktemp("exhibit") / "nodes", prepared=prepared)
    yield _exhibit(simulation).exhibit, simulation.services["police-a"]._signing
    simulation.close()


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_exhibit_is_refused(made: tuple[bytes, Ed25519PrivateKey], name: str) -> None:
    """Whatever is changed in an exhibit, with the discloser's own key too, it no longer holds, and the step is named."""
    outer = evidence_pb2.Disclosure.FromString(made[0])
    code, change = FORGED[name]
    change(outer, made[1])
    with pytest.raises(CheckFailed) as caught:
        evidence.check(outer.SerializeToString(deterministic=True))
    assert caught.value.code.startswith(code)


@pytest.mark.parametrize("step", ["_check_attestation", "verify_stored"])
def test_each_step_of_the_check_is_what_stops_a_forger(
    made: tuple[bytes, Ed25519PrivateKey], monkeypatch, step: str
) -> None:
    """Without the attestation's check a stranger's word passes; without the sender's, a message that nobody sent."""
    outer = evidence_pb2.Disclosure.FromString(made[0])
    if step == "_check_attestation":
        outer.signature.signature = bytes(64)
    else:
        envelope = envelope_pb2.Envelope.FromString(outer.envelope)
        envelope.signature = bytes(64)
        outer.envelope = envelope.SerializeToString(deterministic=True)
    forged = outer.SerializeToString(deterministic=True)
    with monkeypatch.context() as weakened:
        if step == "_check_attestation":
            weakened.setattr(evidence, step, lambda *_: None)
        else:
            weakened.setattr("bus.sealing.verify.all_hold", lambda *_: True)
        assert evidence.check(forged).fields["account"]["number"] == stage.ACCOUNT
    with pytest.raises(CheckFailed):
        evidence.check(forged)


def test_no_single_bit_of_an_exhibit_may_flip(made: tuple[bytes, Ed25519PrivateKey]) -> None:
    """Of an exhibit with one bit flipped none is believed."""
    exhibit = made[0]
    for at in range(0, len(exhibit) * 8, max(1, len(exhibit) * 8 // 150)):
        flipped = bytearray(exhibit)
        flipped[at // 8] ^= 1 << at % 8
        with pytest.raises(CheckFailed):
            evidence.check(bytes(flipped))


def test_the_command_checks_a_file_without_a_node(
    made: tuple[bytes, Ed25519PrivateKey], tmp_path: Path, capsys
) -> None:
    """`lianfang evidence check` shows what a file proves, holds it to a directory, and names what does not hold."""
    file = tmp_path / "exhibit"
    file.write_bytes(made[0])
    assert cli.main(["evidence", "check", str(file), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["sender"], found["disclosed_by"], found["keys_from_file"]) == ("bank-a", "police-a", True)
    assert found["fields"]["account"]["number"] == stage.ACCOUNT
    digest = found["directory_sha256"]
    assert cli.main(["evidence", "check", str(file), "--directory-sha256", digest.upper()]) == 0
    assert stage.ACCOUNT in capsys.readouterr().out
    assert (
        cli.main(["evidence", "check", str(file), "--directory-sha256", "00" * 32, "--json"]) == CheckFailed.exit_code
    )
    assert json.loads(capsys.readouterr().out)["code"] == "LF-EVIDENCE-DIRECTORY"
    assert cli.main(["evidence", "check", str(tmp_path / "none")]) == NotFound.exit_code
    file.write_bytes(file.read_bytes()[:-1])
    assert cli.main(["evidence", "check", str(file)]) == CheckFailed.exit_code
