"""The private broker's commands, and nodes run by hand on it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.local import install
from deploy.local.broker import LocalBroker
from tests.cli.conftest import ROOT, Desks, lianfang
from tests.cli.enrolling import documents


def test_a_broker_that_never_was_is_told_as_not_running(tmp_path: Path) -> None:
    """Status, stop and logs of a directory without a broker are no errors, and make nothing."""
    at = ("--dir", tmp_path / "none", "--json")
    assert lianfang("broker", "status", *at).value["running"] is False
    assert lianfang("broker", "stop", *at).value == {"stopped": False}
    assert lianfang("broker", "logs", *at).value == {"lines": []}
    assert not (tmp_path / "none").exists()
    assert lianfang("broker", "stop", "--dir", tmp_path / "none").out == "No broker was running.\n"


@pytest.mark.broker
def test_a_rabbitmq_without_its_plugins_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken installation is told with its cure, and nothing is started."""
    (tmp_path / "sbin").mkdir()
    (tmp_path / "sbin" / "rabbitmq-server").write_text("#!/bin/sh\n")
    monkeypatch.setenv(install.HOME_VARIABLE, str(tmp_path / "sbin"))
    done = lianfang("broker", "start", "--dir", tmp_path / "broker", "--json")
    assert done.code == 1
    assert done.value["code"].startswith("LF-BROKER-")
    assert done.value["cure"]


@pytest.mark.broker
def test_an_agency_that_is_no_name_is_refused(tmp_path: Path) -> None:
    """An agency's name that could not stand in a routing key is refused before anything is started."""
    done = lianfang("broker", "start", "--agency", "Bank*", "--dir", tmp_path / "broker", "--json")
    assert done.code != 0
    assert done.value["code"] in ("LF-TOPOLOGY-AGENCY", "LF-BROKER-MISSING")
    assert not lianfang("broker", "status", "--dir", tmp_path / "broker", "--json").value["running"]


AGENCIES = {"auditor": "auditor", "bank-a": "bank", "centre": "centre"}


@contextmanager
def running_node(directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Be whoever typed `lianfang node run` in another window."""
    child = subprocess.Popen(
        [sys.executable, "-m", "bus", "node", "run", "--dir", str(directory)], cwd=ROOT, stdout=subprocess.PIPE
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        yield child
    finally:
        child.terminate()
        child.communicate(timeout=30)


def laid_out(root: Path, port: int, broker: LocalBroker) -> None:
    """Make and enrol the nodes by hand, with certificates of the broker's authority."""
    for agency in AGENCIES:
        toml = root / f"{agency}.toml"
        toml.write_text(
            f'agency = "{agency}"\n[broker]\nport = {port}\n'
            f'[[operators]]\nuid = {os.getuid()}\nidentity = "li.wei"\nroles = ["analyst"]\n'
        )
        assert lianfang("node", "init", agency, "--dir", root / agency, "--config", toml).code == 0
        broker.authority().install(agency, root / agency)
    directory, policy = documents(root, AGENCIES, ("centre", "auditor"))
    for agency in AGENCIES:
        given = ("--directory", directory, "--policy", policy)
        assert lianfang("node", "enrol", "--dir", root / agency, *given).code == 0


@pytest.mark.broker
def test_a_broker_and_a_node_are_run_by_hand(tmp_path: Path) -> None:
    """From `broker start` to `node run` and back, and the doctor names what is missing at each step."""
    place, desks = tmp_path / "broker", Desks(tmp_path)
    broker = LocalBroker(place)
    try:
        started = lianfang("broker", "start", "--agency", ",".join(AGENCIES), "--dir", place, "--json")
        assert (started.code, started.value["running"]) == (0, True), started
        laid_out(tmp_path, started.value["ports"]["amqps"], broker)
        assert "LF-NODE-DOWN" in codes(desks)
        with running_node(tmp_path / "bank-a") as child:
            desks.wait(lambda: codes(desks) == set())
            assert desks.json("bank-a", "node", "status")["transport"]["kind"] == "rabbitmq"
            second = desks.at("bank-a", "node", "run", "--json")
            assert (second.code, second.value["code"]) == (75, "LF-NODE-RUNNING")
            child.send_signal(signal.SIGTERM)
            assert child.wait(timeout=30) == 0
        assert desks.at("bank-a", "node", "status").code == 75
        broker.revoke("bank-a")
        assert "LF-DOCTOR-TLS" in codes(desks)
    finally:
        stopped = lianfang("broker", "stop", "--dir", place, "--json")
    assert stopped.value == {"stopped": True}
    assert "LF-DOCTOR-BROKER-DOWN" in codes(desks)


def codes(desks: Desks) -> set[str]:
    """Return what the doctor finds wrong with bank-a."""
    findings = desks.at("bank-a", "node", "doctor", "--json").value["findings"]
    return {item["code"] for item in findings if not item["ok"]}
