"""`lianfang node doctor`: each thing that can be wrong with a node is found, named and cured, and what is well is left in peace."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from sqlalchemy import update

from bus import config, store
from bus.cli import checkup
from bus.control import ControlServer
from bus.health import report
from bus.operations import NodeOperations
from bus.transport import Settled
from deploy.local.certificates import CLIENT, Authority
from tests.cli.conftest import lianfang
from tests.node import stage
from tests.simulator import Simulation

MINUTE_MS = 60_000


class Doctor:
    """Asks the doctor about the running node of an agency."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self.servers: list[ControlServer] = []

    def __call__(self, agency: str) -> dict[str, dict[str, Any]]:
        node = self._simulation.nodes[agency]
        server = ControlServer(node.directory, node.actors(), NodeOperations(node).table())
        server.start()
        self.servers.append(server)
        done = lianfang("node", "doctor", "--dir", node.directory, "--json")
        assert done.code == (0 if done.value["ok"] else 1)
        for item in done.value["findings"]:
            assert item["cause"]
            assert bool(item["code"]) != item["ok"]
            assert item["ok"] or item["cure"]
        return {item["name"]: item for item in done.value["findings"]}


@pytest.fixture
def doctor(simulation: Simulation) -> Iterator[Doctor]:
    made = Doctor(simulation)
    yield made
    for server in made.servers:
        server.stop()


def code(findings: dict[str, dict[str, Any]], name: str) -> str:
    return str(findings[name]["code"])


def test_a_node_that_is_well_is_said_to_be(simulation: Simulation, doctor: Doctor) -> None:
    """Every part is looked at, and none is found wrong."""
    stage.send_notice(simulation)
    simulation.run()
    findings = doctor("bank-a")
    parts = "permissions,keys,enrolment,disk,database,node,witnesses,receipts,quarantine,held back,numbers,validity,hand-over,clock"
    assert set(parts.split(",")) <= set(findings)
    assert all(item["ok"] for item in findings.values()), findings


def test_a_directory_that_others_may_read_is_found(simulation: Simulation, doctor: Doctor) -> None:
    """The node's directory open to a group is named, with the command that closes it."""
    simulation.nodes["bank-a"].directory.chmod(0o750)
    found = doctor("bank-a")["permissions"]
    assert found["code"] == "LF-DOCTOR-DIRECTORY-OPEN"
    assert "chmod go=" in found["cure"]


def test_a_database_that_does_not_answer_is_found(tmp_path: Path) -> None:
    """A server that is down and a file that is no database are wrong; one that is not there yet is not, and is not made."""
    made = config.NodeConfig(agency="bank-a")
    assert checkup.database(made, tmp_path).ok
    assert not list(tmp_path.iterdir())
    (tmp_path / "node.db").write_bytes(b"no database at all" * 100)
    assert checkup.database(made, tmp_path).code == "LF-DOCTOR-DATABASE"
    away = config.NodeConfig(agency="bank-a", database=f"postgresql+psycopg://lf@/none?host={tmp_path}")
    found = checkup.database(away, tmp_path)
    assert (found.code, "the server is not running" in found.cause) == ("LF-DOCTOR-DATABASE", True)
    other = config.NodeConfig(agency="bank-a", database="mysql://x")
    assert checkup.database(other, tmp_path).code == "LF-CONFIG-DATABASE"


def test_a_certificate_is_told_thirty_days_before_its_end(tmp_path: Path) -> None:
    """Well, then ending, then ended, by the same file; one that is not there is left to the broker's finding."""
    now = datetime.now(UTC)
    (tmp_path / "tls").mkdir()
    made = config.NodeConfig(agency="bank-a")
    assert list(checkup.certificates(made, tmp_path)) == []
    validity = (now - timedelta(days=1), now + timedelta(days=40))
    identity = Authority.open(tmp_path / "authority").issue(
        tmp_path / "made", "bank-a", [x509.DNSName("bank-a")], CLIENT, validity
    )
    (tmp_path / "tls" / "cert.pem").write_bytes(identity.certificate.read_bytes())
    seen = []
    for days in (0, 9, 11, 41):
        [found] = checkup.certificates(made, tmp_path, now + timedelta(days=days))
        seen.append((found.ok, found.code, "ended" in found.cause))
    ends = "LF-DOCTOR-CERTIFICATE-ENDS"
    assert seen == [(True, "", False), (True, "", False), (False, ends, False), (False, ends, True)]


def test_overdue_receipts_are_found(simulation: Simulation, doctor: Doctor) -> None:
    """A message that its recipient has not acknowledged within the lane's time is counted by recipient; before, it is not."""
    stage.sealed_notice(simulation)
    node = simulation.nodes["bank-a"]
    [row] = node.queue.due(("normal",), 10)
    node.queue.settle([Settled(row.row_id, "confirmed")])
    assert doctor("bank-a")["receipts"]["ok"]
    simulation.clock.advance(16 * MINUTE_MS)
    found = doctor("bank-a")["receipts"]
    assert (found["code"], "police-a: 1" in found["cause"]) == ("LF-DOCTOR-RECEIPTS-OVERDUE", True)


def test_what_was_put_aside_is_counted_and_is_no_fault_of_the_node(simulation: Simulation, doctor: Doctor) -> None:
    """Quarantined messages and held-back rows of a day are counted by code, with the command that shows them."""
    stage.deliver(simulation, "police-a", b"rubbish")
    findings = doctor("police-a")
    assert findings["quarantine"]["ok"]
    assert "LF-SEAL-FORM: 1" in findings["quarantine"]["cause"]
    assert "lianfang quarantine" in findings["quarantine"]["cure"]
    simulation.clock.advance(25 * 60 * MINUTE_MS)
    assert doctor("police-a")["quarantine"]["cause"] == "nothing within a day"


@pytest.mark.parametrize("state", ["pending", "failed"])
def test_a_hand_over_that_does_not_happen_is_found(simulation: Simulation, doctor: Doctor, state: str) -> None:
    """What waits for the local system longer than a minute, or was given up, is counted."""
    stage.send_notice(simulation)
    node = simulation.nodes["police-a"]
    with node.parts.write() as connection:
        connection.execute(update(store.messages).values(handover=state))
    simulation.clock.advance(2 * MINUTE_MS)
    assert code(doctor("police-a"), "hand-over") == "LF-DOCTOR-HANDOVER"


def test_a_clock_that_differs_is_found_on_both_sides(simulation: Simulation, doctor: Doctor) -> None:
    """A sender ahead of us is named; a sender whose messages are refused as of the future is told that its clock is wrong."""
    stage.send_notice(simulation)
    node = simulation.nodes["police-a"]
    assert doctor("police-a")["clock"]["ok"]
    with node.parts.write() as connection:
        connection.execute(update(store.messages).values(sent_at_ms=store.messages.c.received_at_ms + 2 * MINUTE_MS))
    found = doctor("police-a")["clock"]
    assert (found["code"], "bank-a is 120 s ahead" in found["cause"]) == ("LF-DOCTOR-CLOCK", True)
    sender = simulation.nodes["bank-a"]
    with sender.parts.write() as connection:
        connection.execute(update(store.outbox).values(state="refused", code="LF-IN-CLOCK-SKEW"))
    assert "police-a refused" in doctor("bank-a")["clock"]["cause"]


def test_a_witness_that_fell_behind_is_found(simulation: Simulation, doctor: Doctor) -> None:
    """An entry that its witness has not cosigned within a minute is told with its age."""
    stage.send_notice(simulation)
    simulation.run()
    assert doctor("bank-a").get("witness lag") is None
    stage.sealed_notice(simulation)
    simulation.clock.advance(5 * MINUTE_MS)
    found = doctor("bank-a")["witness lag"]
    assert (found["code"], "auditor is 3" in found["cause"]) == ("LF-DOCTOR-WITNESS-LATE", True)


def test_keys_and_policy_that_end_soon_are_found(simulation: Simulation, doctor: Doctor) -> None:
    """Fourteen days before the first of signing key, prekey and policy ends, the doctor says which and when."""
    assert doctor("bank-a")["validity"]["ok"]
    ends = simulation.nodes["bank-a"].parts.bundle.not_after_ms
    simulation.clock.at_ms = ends - 13 * 86_400_000
    assert code(doctor("bank-a"), "validity") == "LF-DOCTOR-VALIDITY-ENDS"


def test_the_report_holds_no_classed_value(simulation: Simulation) -> None:
    """What the doctor gets is counts, codes, times and agencies."""
    stage.send_notice(simulation)
    text = json.dumps(report(simulation.nodes["bank-a"].parts, {"normal": 0.0}), ensure_ascii=False)
    assert all(planted not in text for planted in (stage.ACCOUNT, stage.NEXT_HOP, stage.HOLDER, "ATF18"))
