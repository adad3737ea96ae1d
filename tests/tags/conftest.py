"""A federation with authorities, made once and copied: for a module that only sends, or for each test that changes it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.simulator import Simulation
from tests.tags.stage import CHOSEN, Wire, prepare


@dataclass(frozen=True)
class Prepared:
    """Where the federation lies that every test copies, its members having taken both authorities' keys, and its time."""

    directory: Path
    at_ms: int

    def copy(self, directory: Path) -> Simulation:
        """Return a federation of one's own. Its randomness is another than that of the first hour."""
        made = Simulation(directory, seed="later", agencies=CHOSEN, prepared=self.directory)
        made.clock.at_ms = self.at_ms
        return made


@pytest.fixture(scope="session")
def prepared_with_tags(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """The federation in its first minute."""
    first = tmp_path_factory.mktemp("tags") / "nodes"
    prepare(first)
    begun = tmp_path_factory.mktemp("begun") / "nodes"
    simulation = Simulation(begun, agencies=CHOSEN, prepared=first)
    simulation.run()
    at_ms = simulation.clock.at_ms
    simulation.close()
    return Prepared(begun, at_ms + 1000)


@pytest.fixture
def simulation(prepared_with_tags: Prepared, tmp_path: Path) -> Iterator[Simulation]:
    """A federation of its own."""
    made = prepared_with_tags.copy(tmp_path / "nodes")
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared(prepared_with_tags: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Simulation, Wire]]:
    """A federation that the tests of a module share, each with numbers of its own; all that its broker carried is kept."""
    made = prepared_with_tags.copy(tmp_path_factory.mktemp("shared") / "nodes")
    wire = Wire()
    made.broker.publish_fault = wire.carry
    yield made, wire
    made.close()
