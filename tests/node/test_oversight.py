"""A log's owner, a witness and a centre that cheat; and the auditor who asks."""

import shutil
from copy import copy
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.blind import quarter
from audit.checkpoint import LOG_KEY_TYPE, Verifier
from audit.errors import LogFrozen
from audit.verify import verify_directory
from bus import enrolment
from bus.directory import Directory, DirectoryRefused
from bus.directory_rules import signed_bytes_of
from bus.errors import BusError, Refused
from bus.outbound import Draft
from bus.parts import Actor, Statement
from bus.passing import NODE
from bus.sealing.batch import key_id
from schemas.v1 import federation_pb2, oversight_pb2
from tests.node import stage
from tests.simulator import Simulation

AUDIT = {"purpose": "audit", "legal_basis": "ATF5"}


def test_every_log_is_cosigned_within_seconds(simulation: Simulation) -> None:
    """After a message, and some seconds, every log is cosigned to its last entry, the auditor's own by the centre."""
    stage.send_notice(simulation)
    simulation.run(30, quiet_rounds=12)
    for node in simulation.nodes.values():
        assert node.parts.witnesses
        for witness in node.parts.witnesses:
            assert node.parts.log.cosigned_size(witness) == node.parts.log.size > 0


def test_an_export_without_its_witness_does_not_verify(simulation: Simulation, tmp_path: Path) -> None:
    """Verification demands the witness's cosignature: the log's own word is not enough."""
    stage.send_notice(simulation)
    simulation.check(tmp_path)
    node = simulation.nodes["bank-a"]
    vkey, witness = (node.parts.directory.member(name) for name in ("bank-a", "auditor"))
    assert verify_directory(tmp_path / "bank-a", vkey.log_vkey, [witness.witness_vkey]).ok
    note = (tmp_path / "bank-a" / "checkpoint").read_bytes()
    own = [line for line in note.splitlines(keepends=True) if not line.startswith("\u2014 lianfang/witness".encode())]
    (tmp_path / "bank-a" / "checkpoint").write_bytes(b"".join(own))
    assert not verify_directory(tmp_path / "bank-a", vkey.log_vkey, [witness.witness_vkey]).ok


def test_a_restored_backup_is_found_out_and_the_log_freezes(simulation: Simulation, tmp_path: Path) -> None:
    """An owner who puts yesterday's database back is convicted by its own signature, which the witness kept."""
    stage.send_notice(simulation)
    node_directory = simulation.federation.node("bank-a")
    simulation.nodes["bank-a"].close()
    backup = tmp_path / "backup.db"
    shutil.copy(node_directory / "node.db", backup)
    simulation.crash("bank-a")
    stage.send_notice(simulation, account="6222020200099999999")
    simulation.run(20, quiet_rounds=12)
    simulation.nodes["bank-a"].close()
    for path in node_directory.glob("node.db*"):
        path.unlink()
    shutil.copy(backup, node_directory / "node.db")
    simulation.crash("bank-a")
    with pytest.raises(LogFrozen):
        _go_on_sending(simulation)
    assert simulation.nodes["auditor"].oversight.mirror("bank-a").evidence()


def _go_on_sending(simulation: Simulation) -> None:
    for number in range(40):
        stage.send_notice(simulation, account=f"62220202000{number:08d}")
        simulation.run(10, quiet_rounds=12)


def test_nobody_but_the_owner_can_be_frozen_by_a_note(simulation: Simulation) -> None:
    """A witness that lies about a log cannot stop it: a note that the log did not sign convicts nobody."""
    stage.send_notice(simulation)
    size = simulation.nodes["bank-a"].parts.log.size
    stolen = simulation.nodes["police-a"].parts.log.latest_checkpoint()
    assert stolen is not None
    lie = oversight_pb2.Cosignature(origin="lianfang/audit/bank-a", refusal="LF-AUDIT-FORK", line=stolen.note)
    simulation.nodes["auditor"].outbound.send(
        [Draft(lie, ("bank-a",), "bulk")], Actor("svc-witness", service=True), Statement("", "")
    )
    simulation.run()
    stage.send_notice(simulation, account="6222020200011111111")
    assert simulation.nodes["bank-a"].parts.log.size > size


def test_the_auditor_finds_each_look_and_each_refusal_without_reading_the_account(simulation: Simulation) -> None:
    """The auditor names message and field, every node answers with keyed values, and no answer holds the account."""
    message_id = stage.send_notice(simulation)
    police = simulation.nodes["police-a"]
    cased = Statement("early_warning", "ATF18", stage.CASE)
    police.opening.open(message_id, ["ACCOUNT_ID"], stage.INVESTIGATOR, cased)
    with pytest.raises(Refused):
        police.opening.open(message_id, ["BALANCE"], stage.INVESTIGATOR, cased)
    asked = simulation.operation("auditor", "audit.ask", message_id=message_id.hex(), field="account", **AUDIT)
    simulation.run(30)
    result = simulation.operation("auditor", "audit.answers", query_id=asked["query_id"], **AUDIT)
    assert result["silent"] == []
    people = [(look["agency"], look["decision"], look["outcome"]) for look in result["looks"] if look["actor"]]
    assert people == [("police-a", "PERMIT", "OPENED"), ("police-a", "DENY", "REFUSED")]
    for path in simulation.federation.node("auditor").rglob("*"):
        if path.is_file():
            assert stage.ACCOUNT.encode() not in path.read_bytes(), path


def test_looks_of_an_earlier_quarter_are_found_too(simulation: Simulation) -> None:
    """Blind values change with the quarter; an answer covers every quarter of which the node has a log."""
    message_id = stage.send_notice(simulation)
    cased = Statement("early_warning", "ATF18", stage.CASE)
    simulation.nodes["police-a"].opening.open(message_id, ["ACCOUNT_ID"], stage.INVESTIGATOR, cased)
    simulation.run(30, quiet_rounds=12)
    before = quarter(simulation.clock.at_ms)
    simulation.clock.advance(80 * 86_400_000)
    assert quarter(simulation.clock.at_ms) != before
    asked = simulation.operation("auditor", "audit.ask", message_id=message_id.hex(), field="account", **AUDIT)
    simulation.run(30)
    result = simulation.operation("auditor", "audit.answers", query_id=asked["query_id"], **AUDIT)
    assert [look["agency"] for look in result["looks"] if look["actor"]] == ["police-a"]


@pytest.mark.parametrize("agency", ["bank-a", "police-a", "centre"])
def test_nobody_but_an_auditor_searches(simulation: Simulation, agency: str) -> None:
    """A search of the logs by anybody else is refused, on record."""
    message_id = stage.send_notice(simulation)
    with pytest.raises(Refused):
        simulation.operation(agency, "audit.ask", message_id=message_id.hex(), field="account", **AUDIT)


def _follows(simulation: Simulation, document: bytes) -> bytes:
    """Return a directory's proper successor, with nothing changed."""
    before = federation_pb2.Directory.FromString(document).body
    body = federation_pb2.DirectoryBody.FromString(before)
    body.serial += 1
    body.previous_sha256 = sha256(before).digest()
    data = body.SerializeToString(deterministic=True)
    signatures = [enrolment.sign(simulation.services[name], "directory", data) for name in ("centre", "auditor")]
    return enrolment.put_together("directory", data, signatures)


def _successor(simulation: Simulation, signers: tuple[str, ...], change) -> bytes:
    document = (simulation.federation.node("centre") / "directory.bin").read_bytes()
    old = federation_pb2.Directory.FromString(document)
    body = federation_pb2.DirectoryBody.FromString(old.body)
    change(body)
    body.serial += 1
    body.previous_sha256 = simulation.nodes["centre"].parts.directory.sha256
    data = body.SerializeToString(deterministic=True)
    signatures = [enrolment.sign(simulation.services[name], "directory", data) for name in signers]
    return enrolment.put_together("directory", data, signatures)


def _swap_police_key(simulation: Simulation):
    stranger = simulation.nodes["bank-b"].parts.directory.member("bank-b").prekeys[0]

    def change(body: federation_pb2.DirectoryBody) -> None:
        member = next(item for item in body.members if item.agency == "police-a")
        member.prekeys[0].CopyFrom(stranger)

    return change


def test_a_lying_centre_cannot_substitute_a_key(simulation: Simulation) -> None:
    """A directory that gives police-a another's prekey needs a second signature, and police-a's own under the prekey."""
    alone = _successor(simulation, ("centre",), lambda body: None)
    with pytest.raises(DirectoryRefused) as refused:
        Directory.load(alone, pinned=simulation.nodes["bank-a"].parts.directory, now_ms=simulation.clock.at_ms)
    assert refused.value.code == "LF-DIRECTORY-SIGNATURES"
    both = _successor(simulation, ("centre", "auditor"), _swap_police_key(simulation))
    with pytest.raises(DirectoryRefused) as refused:
        Directory.load(both, pinned=simulation.nodes["bank-a"].parts.directory, now_ms=simulation.clock.at_ms)
    assert refused.value.code == "LF-DIRECTORY-PREKEY"


def test_a_directory_travels_and_is_pinned_everywhere(simulation: Simulation) -> None:
    """The centre sends a successor that two agencies signed; every node pins it, and a suspended member is out."""

    def suspend(body: federation_pb2.DirectoryBody) -> None:
        member = next(item for item in body.members if item.agency == "telecom-c")
        member.status = federation_pb2.MEMBER_STATUS_SUSPENDED

    document = federation_pb2.Directory.FromString(_successor(simulation, ("centre", "auditor"), suspend))
    others = tuple(name for name in simulation.nodes if name != "centre")
    sent = simulation.nodes["centre"].outbound.send([Draft(document, others, "normal")], NODE, Statement("", ""))
    assert sent
    simulation.run()
    for name in others:
        assert simulation.nodes[name].parts.directory.serial == 2
        assert not simulation.nodes[name].parts.directory.is_active("telecom-c")
        simulation.crash(name)  # pinned: a restart keeps it
        assert simulation.nodes[name].parts.directory.serial == 2


def test_a_node_starts_again_after_a_signers_key_was_revoked(simulation: Simulation) -> None:
    """A directory may revoke the very key that signed it: what was pinned by the rules stays pinned across a restart."""

    def revoke(body: federation_pb2.DirectoryBody) -> None:
        member = next(item for item in body.members if item.agency == "auditor")
        member.signing_keys[0].revoked = True
        own = Ed25519PrivateKey.generate()
        key = own.public_key().public_bytes_raw()
        begins, ends = member.signing_keys[0].not_before_ms, member.signing_keys[0].not_after_ms
        member.signing_keys.add(key_id=key_id(key), public_key=key, not_before_ms=begins, not_after_ms=ends)
        prekey = member.prekeys[0]
        signed = signed_bytes_of("auditor", prekey)
        prekey.signature = own.sign(signed)

    document = _successor(simulation, ("centre", "auditor"), revoke)
    envelope = stage.sealed_by(simulation, "centre", federation_pb2.Directory.FromString(document), ("bank-a",))
    stage.deliver(simulation, "bank-a", envelope, "centre", "normal", "Directory")
    simulation.nodes["bank-a"].step()
    assert simulation.nodes["bank-a"].parts.directory.serial == 2
    simulation.crash("bank-a")
    assert simulation.nodes["bank-a"].parts.directory.serial == 2


def test_directories_that_the_broker_brings_in_another_order_are_all_taken(simulation: Simulation) -> None:
    """Whoever runs the broker holds a directory back until after its successor: the node waits, and takes both."""
    first = (simulation.federation.node("centre") / "directory.bin").read_bytes()
    second = _follows(simulation, first)
    for document in (_follows(simulation, second), second):
        envelope = stage.sealed_by(simulation, "centre", federation_pb2.Directory.FromString(document), ("bank-a",))
        stage.deliver(simulation, "bank-a", envelope, "centre", "normal", "Directory")
        simulation.run(5)
    simulation.run(30, quiet_rounds=40)
    assert simulation.nodes["bank-a"].parts.directory.serial == 3


def test_an_old_directory_is_refused_after_a_new_one(simulation: Simulation) -> None:
    """No rollback: the first directory does not come back."""
    first = (simulation.federation.node("centre") / "directory.bin").read_bytes()
    successor = _successor(simulation, ("centre", "auditor"), lambda body: None)
    now = simulation.clock.at_ms
    newer = Directory.load(successor, pinned=simulation.nodes["bank-a"].parts.directory, now_ms=now)
    with pytest.raises(DirectoryRefused) as refused:
        Directory.load(first, pinned=newer, now_ms=now)
    assert refused.value.code == "LF-DIRECTORY-SUCCESSION"


def test_a_node_does_not_enrol_with_a_directory_that_gives_it_other_keys(
    simulation: Simulation, tmp_path: Path
) -> None:
    """Enrolment compares the directory with the node's own keys: two colluding signers are found out by their victim."""
    victim = tmp_path / "victim"
    shutil.copytree(simulation.federation.node("bank-a"), victim)
    (victim / "directory.bin").unlink()
    document = (simulation.federation.node("centre") / "directory.bin").read_bytes()
    body = federation_pb2.DirectoryBody.FromString(federation_pb2.Directory.FromString(document).body)
    thief = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    listed = next(item for item in body.members if item.agency == "bank-a")
    listed.log_vkey = Verifier(listed.log_vkey.split("+", 1)[0], LOG_KEY_TYPE, thief).text
    data = body.SerializeToString(deterministic=True)
    signatures = [enrolment.sign(simulation.services[name], "directory", data) for name in ("centre", "auditor")]
    forged = enrolment.put_together("directory", data, signatures)
    policy = (victim / "policy.bin").read_bytes()
    with pytest.raises(BusError) as told:
        enrolment.enrol(victim, forged, policy, simulation.clock)
    assert told.value.code == "LF-ENROL-OTHER-KEYS"


def test_a_log_that_may_not_be_shipped_comes_to_rest(simulation: Simulation) -> None:
    """Where policy refuses the shipping, an expired bundle say, the refusals do not fill the log that is not shipped."""
    node = simulation.nodes["bank-a"]
    simulation.run(10)
    node.parts.bundle = copy(node.parts.bundle)
    node.parts.bundle.not_after_ms = simulation.clock.at_ms - 1
    before = node.parts.log.size
    with node.parts.log.transaction() as transaction:
        transaction.append(node.parts.log.leaf(0))
    for _ in range(60):
        node.oversight.ship()
        simulation.clock.advance(1000)
    assert node.parts.log.size - before <= 3
