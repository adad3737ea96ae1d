"""The leaves of one record of a tree-shaped file, by path: what preview shows of it."""

from typing import NamedTuple

from adapters.paths import leaves
from adapters.profile import Profile
from adapters.tree_map import records

CELL_CHARACTERS_MAX = 4096
"""Longest text that is shown; a paper in base64 is longer."""


class Cell(NamedTuple):
    """One cell of a record."""

    line: int
    column: str
    """Header, element path or claim, as the source has it."""
    text: str
    """Classed like the field that is made of it."""


def record_cells(profile: Profile, data: bytes, number: int) -> tuple[list[Cell], frozenset[str]]:
    """Return the leaves of a record of a file, counted from 1, and the paths that are only looked at."""
    for record in records(profile, data):
        if record.outcome.record == number:
            cells = [
                Cell(element.line, path, element.text[:CELL_CHARACTERS_MAX])
                for path, element in (leaves(record.chain) if record.chain else ())
            ]
            return cells, frozenset()
    return [], frozenset()
