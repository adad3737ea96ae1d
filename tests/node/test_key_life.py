"""Keys at running nodes: prekeys follow one another by themselves, what an operator asks survives every death, all are told."""

import base64
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from audit.v1 import leaf_pb2
from bus import enrolment, store
from bus.errors import Refused, Usage
from bus.parts import Actor
from bus.sealing.envelope import parse_header
from deploy.demo.federation import AGENCIES, MemoryFederation, make_federation, wait_until
from schemas.v1 import federation_pb2
from tests.node import stage
from tests.simulator import Fault, Simulation, prepare

CHOSEN = {name: AGENCIES[name] for name in ("auditor", "bank-a", "centre", "police-a")}
DAY_MS = 86_400_000
KEEPER = Actor("keeper-1", ("key_officer",))


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("few") / "nodes"
    prepare(directory, CHOSEN)
    return directory


@pytest.fixture
def simulation(tmp_path: Path, few: Path) -> Iterator[Simulation]:
    made = Simulation(tmp_path / "nodes", agencies=CHOSEN, prepared=few)
    yield made
    made.close()


def _ask(simulation: Simulation, agency: str, name: str, **arguments: object) -> dict:
    """Ask as a key officer who tries again after each death."""

    def work(node) -> object:
        return node.key_life.operations()[name](KEEPER, arguments)

    return simulation.act(agency, work)  # type: ignore[return-value]


def _states(simulation: Simulation, agency: str, kind: str) -> list[dict]:
    return [state for state in _ask(simulation, agency, "keys.list") if state["kind"] == kind]


def _known(simulation: Simulation, agency: str) -> set[bytes]:
    """Which prekey of the agency each other node would seal to."""
    now = simulation.clock.at_ms
    return {
        node.parts.directory.prekey(agency, now).key_id for name, node in simulation.nodes.items() if name != agency
    }


def test_prekeys_follow_one_another_by_themselves(simulation: Simulation) -> None:
    """Five days on every node has made its next prekey, all others use it, and a restart forgets none of it."""
    before = _known(simulation, "police-a")
    simulation.clock.advance(5 * DAY_MS + 1)
    simulation.run(30, quiet_rounds=8)
    after = _known(simulation, "police-a")
    assert len(after) == 1
    assert after != before
    assert [state["state"] for state in _states(simulation, "police-a", "prekey")] == ["former", "current"]
    simulation.crash("bank-a")
    assert _known(simulation, "police-a") == after
    message_id = stage.send_notice(simulation)
    _, inspection = simulation.nodes["police-a"].opening.look(message_id)
    assert "ACCOUNT_ID" in inspection.classes
    taken = [entry for entry in stage.entries(simulation, "bank-a") if entry.kind == leaf_pb2.KIND_KEY]
    assert {peer for entry in taken for peer in entry.peers} == set(CHOSEN), "each notice has its entry"


def test_an_old_prekey_is_destroyed_after_its_grace_and_what_came_stays_readable(simulation: Simulation) -> None:
    """The private part goes, the class keys of what arrived stay: a message of before opens, a new grant for it does not."""
    message_id = stage.send_notice(simulation)
    recorded = stage.sealed_notice(simulation)
    grant = parse_header(recorded)
    for _ in range(4):
        simulation.clock.advance(5 * DAY_MS + 1)
        simulation.run(30, quiet_rounds=8)
    states = {state["key_id"]: state["state"] for state in _states(simulation, "police-a", "prekey")}
    assert list(states.values()).count("destroyed") >= 1
    assert "ACCOUNT_ID" in simulation.nodes["police-a"].opening.look(message_id)[1].classes
    assert grant.header.sender == "bank-a"


STEPS = {
    "keys.rotate": ("keys.made", "keys.noticed", "keys.told"),
    "keys.revoke": ("keys.revoked", "keys.noticed", "keys.told"),
}


@pytest.mark.parametrize("happened", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS["keys.rotate"])
def test_a_rotation_that_died_goes_on(simulation: Simulation, step: str, happened: bool) -> None:
    """Killed before or after any step and asked again, a rotation makes one prekey, and everybody learns of it."""
    simulation.faults.planned.append(Fault("police-a", step, happened=happened, crash=True))
    done = _ask(simulation, "police-a", "keys.rotate", what="prekeys")
    assert simulation.restarts == 1
    simulation.run(30, quiet_rounds=8)
    states = _states(simulation, "police-a", "prekey")
    assert [state["state"] for state in states] == ["former", "current"]
    assert _known(simulation, "police-a") == {bytes.fromhex(done["key_id"])} == {bytes.fromhex(states[1]["key_id"])}


@pytest.mark.parametrize("happened", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS["keys.revoke"])
def test_a_revocation_that_died_goes_on(simulation: Simulation, step: str, happened: bool) -> None:
    """Killed before or after any step and asked again, a revocation is in force everywhere; a new prekey took its place."""
    [state] = _states(simulation, "police-a", "prekey")
    simulation.faults.planned.append(Fault("police-a", step, happened=happened, crash=True))
    _ask(simulation, "police-a", "keys.revoke", key_ids=[state["key_id"]])
    simulation.run(30, quiet_rounds=8)
    assert simulation.restarts == 1
    revoked = bytes.fromhex(state["key_id"])
    assert all(node.parts.directory.is_revoked("police-a", revoked) for node in simulation.nodes.values())
    assert all(service._pins.directory().is_revoked("police-a", revoked) for service in simulation.services.values())
    assert revoked not in _known(simulation, "police-a")
    kinds = [entry.kind for entry in stage.entries(simulation, "bank-a")]
    assert leaf_pb2.KIND_REVOKE in kinds


def test_nothing_comes_in_under_a_grant_for_a_revoked_prekey(simulation: Simulation, monkeypatch) -> None:
    """A grant that was taken in before its prekey was revoked serves no new message; without the check it would."""
    stage.send_notice(simulation)
    recorded = [stage.sealed_notice(simulation) for _ in range(2)]
    [state] = _states(simulation, "police-a", "prekey")
    _ask(simulation, "police-a", "keys.revoke", key_ids=[state["key_id"]])
    stage.deliver(simulation, "police-a", recorded[0])
    with simulation.nodes["police-a"].parts.engine.connect() as connection:
        codes = {row.code for row in connection.execute(store.quarantine.select())}
    assert codes == {"LF-SEAL-GRANT-REVOKED"}
    monkeypatch.setattr("bus.keyservice.grants.Grants._refuse_revoked", lambda *_: None)
    stage.deliver(simulation, "police-a", recorded[1])
    with simulation.nodes["police-a"].parts.engine.connect() as connection:
        assert len(connection.execute(store.messages.select().where(store.messages.c.direction == "in")).all()) == 2


def test_a_sender_that_learns_of_a_revocation_makes_another_grant(simulation: Simulation) -> None:
    """From the notice on the sender seals under a new grant for the new prekey: nothing is lost, nothing goes to the old one."""
    first = parse_header(stage.sealed_notice(simulation)).header.grant_id
    [state] = _states(simulation, "police-a", "prekey")
    _ask(simulation, "police-a", "keys.revoke", key_ids=[state["key_id"]])
    simulation.run(30, quiet_rounds=8)
    message_id = stage.send_notice(simulation)
    envelope, inspection = simulation.nodes["police-a"].opening.look(message_id)
    assert envelope.header.grant_id != first
    assert "ACCOUNT_ID" in inspection.classes


def test_an_identity_that_was_revoked_speaks_no_more(simulation: Simulation) -> None:
    """What is signed by a signing key that its agency has revoked is refused everywhere; the agency has to mean it."""
    [state] = _states(simulation, "bank-a", "identity")
    with pytest.raises(Usage) as told:
        _ask(simulation, "bank-a", "keys.revoke", key_ids=[state["key_id"]])
    assert told.value.code == "LF-KEYS-LAST"
    _ask(simulation, "bank-a", "keys.revoke", key_ids=[state["key_id"]], last=True)
    simulation.run(30, quiet_rounds=8)
    stage.deliver(simulation, "police-a", stage.sealed_notice(simulation))
    with simulation.nodes["police-a"].parts.engine.connect() as connection:
        notices = store.messages.c.type == "lianfang.v1.SuspiciousAccountNotice"
        assert not connection.execute(store.messages.select().where(notices)).all()
        assert "LF-SEAL-UNKNOWN-KEY" in {row.code for row in connection.execute(store.quarantine.select())}


def _identity_change(simulation: Simulation, agency: str) -> bytes:
    """A new signing key all the way: made and consented to by its agency, put into a directory by two registrars."""
    done = _ask(simulation, agency, "keys.rotate", what="identity")
    entry = federation_pb2.Member.FromString(base64.b64decode(done["entry"]))
    previous = (simulation.federation.node("centre") / "directory.bin").read_bytes()
    body = enrolment.next_directory(previous, [entry], (), simulation.clock.at_ms)
    signatures = [enrolment.sign(simulation.services[name], "directory", body) for name in ("centre", "auditor")]
    document = enrolment.put_together("directory", body, signatures)
    simulation.nodes["centre"].publishing.publish("directory", document, stage.POLICY_OFFICER)
    simulation.run(30, quiet_rounds=8)
    return bytes.fromhex(done["key_id"])


def test_an_identity_is_followed_by_the_next_one(simulation: Simulation) -> None:
    """With its old key an agency consents to its new one; from the directory on it signs with that, and both hold a while."""
    old = bytes.fromhex(_states(simulation, "bank-a", "identity")[0]["key_id"])
    recorded = stage.sealed_notice(simulation)
    assert _ask(simulation, "bank-a", "keys.rotate", what="identity", dry_run=True)["entry"] == ""
    new = _identity_change(simulation, "bank-a")
    assert [state["state"] for state in _states(simulation, "bank-a", "identity")] == ["former", "current"]
    assert parse_header(stage.sealed_notice(simulation)).header.sender_key_id == new
    now = simulation.clock.at_ms
    directory = simulation.nodes["police-a"].parts.directory
    assert directory.signing_key("bank-a", old, now)
    assert not directory.signing_key("bank-a", old, now + 31 * DAY_MS)
    stage.deliver(simulation, "police-a", recorded)
    with simulation.nodes["police-a"].parts.engine.connect() as connection:
        assert connection.execute(store.messages.select().where(store.messages.c.sender == "bank-a")).all()
    with pytest.raises(Usage) as told:
        _ask(simulation, "bank-a", "keys.retire", key_id=new.hex())
    assert told.value.code == "LF-KEYS-IN-FORCE"
    _ask(simulation, "bank-a", "keys.retire", key_id=old.hex())
    _ask(simulation, "bank-a", "keys.retire", key_id=old.hex())
    assert [state["state"] for state in _states(simulation, "bank-a", "identity")] == ["destroyed", "current"]
    simulation.crash("bank-a")
    assert stage.send_notice(simulation)


def test_epochs_end_when_asked(simulation: Simulation) -> None:
    """The next message is sealed under new class keys."""
    first = parse_header(stage.sealed_notice(simulation)).header.grant_id
    assert _ask(simulation, "bank-a", "keys.rotate", what="epochs", dry_run=True)["ended"] == 1
    assert parse_header(stage.sealed_notice(simulation)).header.grant_id == first
    assert _ask(simulation, "bank-a", "keys.rotate", what="epochs")["ended"] == 1
    assert parse_header(stage.sealed_notice(simulation)).header.grant_id != first


def test_who_may_not_look_after_keys_is_refused_on_record(simulation: Simulation) -> None:
    """An analyst rotates, revokes and retires nothing; what was tried stands in the log."""
    node = simulation.nodes["bank-a"]
    for name, arguments in (
        ("keys.rotate", {"what": "prekeys"}),
        ("keys.revoke", {"key_ids": ["00" * 8]}),
        ("keys.retire", {"key_id": "00" * 8}),
    ):
        with pytest.raises(Refused):
            node.key_life.operations()[name](stage.ANALYST, arguments)
        assert stage.last_entry(simulation, "bank-a").kind == leaf_pb2.KIND_DENIAL


def test_another_agencys_key_is_not_ours_to_revoke(simulation: Simulation) -> None:
    """An agency revokes its own keys; another's notice in its name is refused."""
    [state] = _states(simulation, "police-a", "prekey")
    with pytest.raises(Usage) as told:
        _ask(simulation, "bank-a", "keys.revoke", key_ids=[state["key_id"]])
    assert told.value.code == "LF-KEYS-NO-SUCH-KEY"


def test_a_revocation_takes_effect_within_five_seconds(tmp_path: Path, capsys) -> None:
    """Real nodes in threads: from the command to the last node and key service that holds to it, on the clock of the wall."""
    federation = MemoryFederation(make_federation(tmp_path / "nodes", transport="memory", agencies=CHOSEN))
    federation.start()
    try:
        bank = federation.node("bank-a")
        [state] = [item for item in bank.key_life.operations()["keys.list"](KEEPER, {}) if item["kind"] == "prekey"]
        revoked = bytes.fromhex(state["key_id"])
        begun = time.monotonic()
        bank.key_life.operations()["keys.revoke"](KEEPER, {"key_ids": [state["key_id"]]})

        def everywhere() -> bool:
            return all(federation.node(name).parts.directory.is_revoked("bank-a", revoked) for name in CHOSEN)

        held = wait_until(everywhere, 60.0, 0.01)
        taken_s = time.monotonic() - begun
        assert held
        assert all(
            member.service._pins.directory().is_revoked("bank-a", revoked) for member in federation._members.values()
        )
    finally:
        federation.stop()
    with capsys.disabled():
        print(f"\nrevocation at {len(CHOSEN)} nodes after {taken_s:.2f} s")
    assert taken_s < 5.0
