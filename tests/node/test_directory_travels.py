"""The member directory on its way: logged and witnessed where it is pinned; one that is over leads to the next and to nothing else."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from bus import directory_rules, enrolment, store, successors
from bus.directory import Directory
from bus.errors import Refused, Retry
from bus.transport import Delivery, Disposition
from deploy.demo.federation import AGENCIES
from schemas.v1 import federation_pb2
from tests.node import stage
from tests.simulator import Simulation, prepare

CHOSEN = {name: AGENCIES[name] for name in ("auditor", "bank-a", "centre", "police-a")}
OTHERS = ("auditor", "bank-a", "police-a")
DAY_MS = 86_400_000
Patch = pytest.MonkeyPatch


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


def _after(simulation: Simulation, document: bytes, *signers: str, days: int = 90) -> bytes:
    """A directory's successor as of now, signed."""
    made = enrolment.next_directory(document, [], (), simulation.clock.at_ms)
    parsed = federation_pb2.DirectoryBody.FromString(made)
    parsed.expires_at_ms = simulation.clock.at_ms + days * DAY_MS
    body = parsed.SerializeToString(deterministic=True)
    signatures = [enrolment.sign(simulation.services[name], "directory", body) for name in signers]
    return enrolment.put_together("directory", body, signatures)


def _first(simulation: Simulation) -> bytes:
    return (simulation.federation.node("centre") / "directory.bin").read_bytes()


def _bring(simulation: Simulation, agency: str, document: bytes) -> Disposition:
    """Bring a directory to a node in an envelope that its sender, whose directory is over, could not have sealed now."""
    now = simulation.clock.at_ms
    simulation.clock.at_ms = simulation.nodes["centre"].parts.directory.expires_at_ms
    body = federation_pb2.Directory.FromString(document)
    envelope = stage.sealed_by(simulation, "centre", body, (agency,), "urgent")
    simulation.clock.at_ms = now
    return stage.deliver(simulation, agency, envelope, "centre", "urgent", "Directory")


def _expire(simulation: Simulation) -> None:
    simulation.clock.at_ms = simulation.nodes["centre"].parts.directory.expires_at_ms + 1000


def _publish(simulation: Simulation, document: bytes) -> None:
    simulation.nodes["centre"].publishing.publish("directory", document, stage.POLICY_OFFICER)


def test_an_expired_directory_is_replaced_over_the_bus(simulation: Simulation) -> None:
    """All nodes' directories are over; registrars sign the next one, the centre publishes it, and everything goes on."""
    short = _after(simulation, _first(simulation), "centre", "auditor", days=10)
    _publish(simulation, short)
    simulation.run(60, quiet_rounds=12)
    _expire(simulation)
    for agency in CHOSEN:
        simulation.crash(agency)  # a node starts with a directory that is over, too
    with pytest.raises(Retry):
        simulation.services["bank-a"].seal([])
    _publish(simulation, _after(simulation, short, "centre", "auditor"))
    simulation.run(60, quiet_rounds=12)
    assert {simulation.nodes[name].parts.directory.serial for name in CHOSEN} == {3}
    message_id = stage.send_notice(simulation)
    assert "ACCOUNT_ID" in simulation.nodes["police-a"].opening.look(message_id)[1].classes


def test_nothing_else_is_believed_from_a_directory_that_is_over(simulation: Simulation) -> None:
    """A notice that was on its way waits, and is taken once there is a directory again: nothing is lost, nothing let in."""
    envelope = stage.sealed_notice(simulation)
    _expire(simulation)
    assert stage.deliver(simulation, "police-a", envelope) is Disposition.HOLD
    with simulation.nodes["police-a"].parts.engine.connect() as connection:
        assert not connection.execute(store.messages.select()).all()
        assert not connection.execute(store.quarantine.select()).all()


@pytest.mark.parametrize("signers", [("centre",), ("centre", "bank-a"), ("bank-a", "police-a")])
def test_a_directory_that_is_over_names_who_signs_the_next(
    simulation: Simulation, signers: tuple[str, ...], monkeypatch: Patch
) -> None:
    """Others' signatures bring no next one in, however long a node has waited; without that check they would."""
    _expire(simulation)
    document = _after(simulation, _first(simulation), *signers)
    size = simulation.nodes["police-a"].parts.log.size
    assert _bring(simulation, "police-a", document) is Disposition.HOLD
    assert simulation.nodes["police-a"].parts.directory.serial == 1
    assert simulation.nodes["police-a"].parts.log.size == size, "it is not written down each time that it is brought"
    monkeypatch.setattr(directory_rules, "check_quorum", lambda *_: None)
    monkeypatch.setattr(directory_rules, "registrars", lambda _: frozenset(CHOSEN))
    simulation.clock.advance(1000)
    _bring(simulation, "police-a", document)
    assert simulation.nodes["police-a"].parts.directory.serial == 2


def test_who_was_away_for_two_directories_takes_both(simulation: Simulation) -> None:
    """The second, over by now itself, is the step to the third; in either order, in one go."""
    _expire(simulation)
    first = _first(simulation)
    second = _after(simulation, first, "centre", "auditor")
    simulation.clock.advance(91 * DAY_MS)
    third = _after(simulation, second, "centre", "auditor")
    deliveries = [_carrier(simulation, document) for document in (third, second)]
    node = simulation.nodes["bank-a"]
    assert successors.take_successors(node.parts, node.pinned, deliveries)
    assert node.parts.directory.serial == 3
    assert simulation.services["bank-a"]._pins.directory().serial == 3


def _carrier(simulation: Simulation, document: bytes) -> Delivery:
    now = simulation.clock.at_ms
    simulation.clock.at_ms = simulation.nodes["centre"].parts.directory.expires_at_ms
    made = stage.sealed_by(simulation, "centre", federation_pb2.Directory.FromString(document), ("bank-a",), "urgent")
    simulation.clock.at_ms = now
    return Delivery("centre", "urgent", "directory", made, "")


def test_a_directory_stands_in_every_log_with_its_digest_and_is_witnessed(simulation: Simulation) -> None:
    """Each node that pins one says which in its log; the witness has cosigned that entry: a fork cannot be denied later."""
    document = _after(simulation, _first(simulation), "centre", "auditor")
    _publish(simulation, document)
    simulation.run(60, quiet_rounds=16)
    digest = sha256(federation_pb2.Directory.FromString(document).body).digest()
    for agency in CHOSEN:
        found = [
            index
            for index, entry in enumerate(stage.entries(simulation, agency))
            if list(entry.reason_codes) == ["DIRECTORY", "SERIAL-2"] and entry.message_digest == digest
        ]
        assert len(found) == 1, agency
        node = simulation.nodes[agency]
        assert all(node.parts.log.cosigned_size(witness) > found[0] for witness in node.parts.witnesses), agency


def test_a_second_history_shows_in_the_logs(simulation: Simulation) -> None:
    """Two registrars who show two nodes two directories of one serial: each node holds to its own, and their logs differ."""
    one = _after(simulation, _first(simulation), "centre", "auditor")
    simulation.clock.advance(1)
    other = _after(simulation, _first(simulation), "centre", "auditor")
    simulation.nodes["bank-a"].pinned.take_directory(one)
    simulation.nodes["police-a"].pinned.take_directory(other)
    for agency, wrong in (("bank-a", other), ("police-a", one)):
        with pytest.raises(Refused) as refused:
            simulation.nodes[agency].pinned.take_directory(wrong)
        assert refused.value.code == "LF-DIRECTORY-SUCCESSION"
        assert "LF-DIRECTORY-SUCCESSION" in stage.last_entry(simulation, agency).reason_codes
    pinned = {
        entry.message_digest
        for agency in ("bank-a", "police-a")
        for entry in stage.entries(simulation, agency)
        if "SERIAL-2" in entry.reason_codes
    }
    assert len(pinned) == 2


def test_a_crash_between_key_service_and_node_loses_no_entry(simulation: Simulation) -> None:
    """The key service has pinned a directory and the node has not: the node takes it when it comes again, with its entry."""
    document = _after(simulation, _first(simulation), "centre", "auditor")
    simulation.services["bank-a"].install_directory(document)
    simulation.crash("bank-a")
    assert simulation.nodes["bank-a"].parts.directory.serial == 1
    simulation.nodes["bank-a"].pinned.take_directory(document)
    assert "SERIAL-2" in stage.last_entry(simulation, "bank-a").reason_codes
    simulation.nodes["bank-a"].pinned.take_directory(document)
    assert len([entry for entry in stage.entries(simulation, "bank-a") if "SERIAL-2" in entry.reason_codes]) == 1


def test_who_has_lost_its_keys_comes_back_a_day_later(simulation: Simulation) -> None:
    """The draft with a member's new keys revokes the old ones at once; the new ones count when everybody could see it."""
    fresh = simulation.federation.directory / "fresh"
    text = 'agency = "bank-a"\n'
    public = enrolment.init_node(fresh, "bank-a", text, simulation.clock, simulation.randomness)
    body = enrolment.next_directory(_first(simulation), [enrolment.member(public, "bank")], (), simulation.clock.at_ms)
    signatures = [enrolment.sign(simulation.services[name], "directory", body) for name in ("centre", "auditor")]
    document = enrolment.put_together("directory", body, signatures)
    node = simulation.nodes["police-a"]
    now = simulation.clock.at_ms
    node.pinned.take_directory(document)
    held: Directory = node.parts.directory
    keys = [bytes(key.key_id) for key in held.member("bank-a").signing_keys]
    assert held.signing_key("bank-a", keys[0], now) is None
    assert held.signing_key("bank-a", keys[1], now + DAY_MS - 1) is None
    assert held.signing_key("bank-a", keys[1], now + DAY_MS) == public.signing_key
    assert held.prekey("bank-a", now) is None
    assert held.prekey("bank-a", now + DAY_MS).public_key == public.prekey
    with pytest.raises(Refused) as refused:
        simulation.nodes["bank-a"].pinned.take_directory(document)
    assert refused.value.code == "LF-DIRECTORY-OTHER-KEYS"
    assert "LF-DIRECTORY-OTHER-KEYS" in stage.last_entry(simulation, "bank-a").reason_codes
