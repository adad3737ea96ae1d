"""The leaves of one record of a tree-shaped file, by path: what preview shows of it."""

from collections.abc import Iterator
from typing import NamedTuple

from adapters.paths import leaves
from adapters.profile import Profile
from adapters.read_xml import ATTRIBUTE_NAMESPACE
from adapters.tree import Element
from adapters.tree_map import Record, records

CELL_CHARACTERS_MAX = 4096
"""Longest text that is shown; a paper in base64 is longer."""


class Cell(NamedTuple):
    """One cell of a record."""

    line: int
    column: str
    """Header, element path or claim, as the source has it."""
    text: str
    """Classed like the field that is made of it."""


def _around(record: Record) -> Iterator[tuple[str, Element]]:
    """Yield the leaves of the document that stand in no record, by path from the root on."""
    document = record.document
    if document is None or len(record.chain) == 1:
        return
    inside = {id(leaf) for chain, _ in document.groups or () for _, leaf in leaves(chain)}
    for path, element in leaves((document.root,)):
        if id(element) not in inside and element.name != ATTRIBUTE_NAMESPACE:
            yield f"/{document.root.name}/{path}", element


def record_cells(profile: Profile, data: bytes, number: int) -> tuple[list[Cell], frozenset[str]]:
    """Return the leaves of a record of a file, counted from 1, and the paths of which everything has been read."""
    for record in records(profile, data):
        if record.outcome.record == number and record.chain:
            found = [(path, element) for path, element in leaves(record.chain) if element.name != ATTRIBUTE_NAMESPACE]
            found += _around(record)
            read = record.document.read if record.document is not None else set()
            unread = {path for path, element in found if id(element) not in read}
            cells = [Cell(element.line, path, element.text[:CELL_CHARACTERS_MAX]) for path, element in found]
            return cells, frozenset(path for path, _ in found if path not in unread)
    return [], frozenset()
