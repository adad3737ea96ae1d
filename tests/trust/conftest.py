"""A federation made once, copied for each attack."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulator import Simulation, prepare


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("federation") / "nodes"
    prepare(directory)
    return directory


@pytest.fixture
def simulation(tmp_path: Path, prepared: Path) -> Iterator[Simulation]:
    made = Simulation(tmp_path / "nodes", prepared=prepared)
    yield made
    made.close()
