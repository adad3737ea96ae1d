"""The private broker's commands where there is no broker."""

from pathlib import Path

import pytest

from deploy.local import install
from tests.cli.conftest import lianfang


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
