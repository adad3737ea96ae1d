"""A small federation made once, copied for each simulation."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.simulation.story import CAST, Story
from tests.simulator import Simulation, prepare

Begin = Callable[[str], Story]


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("federation") / "nodes"
    prepare(directory, CAST)
    return directory


@pytest.fixture
def begin(tmp_path: Path, prepared: Path) -> Iterator[Begin]:
    """Begin a simulation with a seed."""
    begun: list[Story] = []

    def make(seed: str) -> Story:
        directory = tmp_path / f"run-{len(begun)}"
        directory.mkdir()
        begun.append(Story(Simulation(directory / "nodes", seed, CAST, prepared), directory))
        return begun[-1]

    yield make
    for story in begun:
        story.simulation.close()
        story.close()
