"""The cells of one record as its file has them: what preview shows and what failing rows are written from."""

import csv
import io
from collections.abc import Callable, Mapping

from adapters import passport
from adapters.convert import Outcome
from adapters.profile import Mapping_, Profile
from adapters.readers import READERS
from adapters.tree_cells import Cell, record_cells
from adapters.tree_plan import looked_at
from adapters.workbook import open_table


def source_cells(
    profile: Profile, data: bytes, outcome: Outcome, companions: Mapping[str, bytes]
) -> tuple[list[Cell], frozenset[str]]:
    """Return a record's cells, and the columns that are only looked at: for a currency, or for a condition."""
    return _CELLS[profile.file.source.format](profile, data, outcome, companions)


def _table(
    profile: Profile, data: bytes, outcome: Outcome, _: Mapping[str, bytes]
) -> tuple[list[Cell], frozenset[str]]:
    source = profile.file.source
    table = open_table(data, source)
    text = outcome.raw.decode(table.encoding or "utf-8", errors="replace")
    cells = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=source.delimiter)
    for number, row in enumerate(reader):
        if outcome.sheets:
            sheet, line = outcome.sheets[number]
            own = table.sheets[sheet].items()
            cells += [Cell(line, f"{sheet}!{header}", row[place]) for place, header in own]
            continue
        names = (*table.headers, *(f"cell {place + 1}" for place in range(len(table.headers), len(row))))
        cells += [Cell(outcome.line + number, name, cell) for name, cell in zip(names, row, strict=False)]
    looked = _looked_at(profile.file.field)
    places = {place for name, place in table.columns.items() if name in looked}
    inside = {f"{sheet}!{own[place]}" for sheet, own in table.sheets.items() for place in places if place in own}
    return cells, frozenset({table.headers[place] for place in places} | inside)


def _record(
    profile: Profile, data: bytes, outcome: Outcome, _companions: Mapping[str, bytes]
) -> tuple[list[Cell], frozenset[str]]:
    return record_cells(profile, data, outcome.record)


def _token(
    profile: Profile, _: bytes, outcome: Outcome, companions: Mapping[str, bytes]
) -> tuple[list[Cell], frozenset[str]]:
    cells = passport.cells_of(outcome.raw, companions)
    return [Cell(outcome.line, name, text) for name, text in cells.items()], _looked_at(profile.file.field)


def _looked_at(fields: Mapping[str, Mapping_]) -> frozenset[str]:
    return frozenset(name for verbs in fields.values() for name in looked_at(verbs))


_CELLS: dict[str, Callable[[Profile, bytes, Outcome, Mapping[str, bytes]], tuple[list[Cell], frozenset[str]]]] = {
    "csv": _table,
    "xlsx": _table,
    "passport": _token,
    **dict.fromkeys(READERS, _record),
}
