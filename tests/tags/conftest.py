"""A federation with authorities, made once and copied for each test that changes it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulator import Simulation
from tests.tags.stage import prepare


@pytest.fixture(scope="session")
def prepared_with_tags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the federation lies that every test copies."""
    directory = tmp_path_factory.mktemp("tags") / "nodes"
    prepare(directory)
    return directory


@pytest.fixture
def simulation(prepared_with_tags: Path, tmp_path: Path) -> Iterator[Simulation]:
    """A federation whose members have taken both authorities' keys."""
    made = Simulation(tmp_path / "nodes", prepared=prepared_with_tags)
    made.run()
    yield made
    made.close()
