"""A machine that is slow costs time and no order."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bus.limits import TOKEN_LIFETIME_MS


@pytest.mark.parametrize("agency", ["bank-b", "police-a"])
def test_an_opening_that_comes_too_late_is_made_again(begin, tmp_path: Path, agency: str) -> None:
    """An order whose hand-over outlived its token is handed over with a new entry, and never left to a person."""
    story = begin(f"late {agency}")
    parts = story.simulation.nodes[agency].parts
    late = []

    @contextmanager
    def slow(name: str) -> Iterator[None]:
        if name == "open.redeem" and len(late) < 2:
            late.append(name)
            story.simulation.clock.advance(TOKEN_LIFETIME_MS + 1)
        yield

    parts.steps = slow
    story.order()
    story.simulation.run(180)
    assert len(late) == 2
    story.check()
    story.simulation.check(tmp_path / "exports")
