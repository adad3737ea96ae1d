"""A database restored from a backup, and the way out that docs/operating.md gives: the log is refilled from the mirror."""

import re
import shutil
import sqlite3
from pathlib import Path

import pytest

from audit.errors import LogFrozen
from bus.outbound import Draft
from tests.node import stage
from tests.simulator import Simulation

OPERATING = Path(__file__).parents[2] / "docs" / "operating.md"


def _statements(mirror: Path) -> str:
    """Return the SQL of the manual, with the mirror's path in it."""
    found = re.search(r'sqlite3 node\.db "(.*?)"\n', OPERATING.read_text(), re.DOTALL)
    assert found is not None
    return found[1].replace("AGENCY.db", str(mirror))


def _go_on_sending(simulation: Simulation) -> None:
    for _ in range(40):
        stage.send_notice(simulation)
        simulation.run(10, quiet_rounds=12)


@pytest.mark.parametrize("is_refilled", [False, True], ids=["as it is", "refilled"])
def test_a_restored_backup_goes_on_only_when_it_is_refilled(
    simulation: Simulation, tmp_path: Path, is_refilled: bool
) -> None:
    """As it is, the log freezes; with the mirror's entries put back by the manual's own words it goes on and verifies."""
    directory, mirrors = simulation.federation.node("bank-a"), simulation.federation.node("auditor") / "mirrors"
    stage.send_notice(simulation)
    simulation._close("bank-a")
    backup = tmp_path / "backup.db"
    shutil.copy(directory / "node.db", backup)
    simulation.open("bank-a")
    drafts = [Draft(stage.notice(), ("police-a",), "normal")] * 300  # beyond a full tile of the log
    simulation.nodes["bank-a"].outbound.send(drafts, stage.ANALYST, stage.WARNING)
    simulation.run(30, quiet_rounds=12)
    simulation._close("bank-a")
    for path in directory.glob("node.db*"):
        path.unlink()
    shutil.copy(backup, directory / "node.db")
    if is_refilled:
        with sqlite3.connect(directory / "node.db") as connection:
            connection.executescript(_statements(mirrors / "bank-a.db"))
        connection.close()
        simulation.open("bank-a")
        stage.send_notice(simulation)
        simulation.run(30, quiet_rounds=12)
        assert simulation.check(tmp_path / "exports")["bank-a"] > 300
        return
    simulation.open("bank-a")
    with pytest.raises(LogFrozen):
        _go_on_sending(simulation)
