"""The cells of one record as its file has them: what preview shows and what failing rows are written from."""

import csv
import io
from collections.abc import Callable, Mapping
from typing import NamedTuple

from adapters import markup, passport
from adapters.convert import Outcome
from adapters.decode import encoding_of
from adapters.papers import paper_names
from adapters.platform import fields_of
from adapters.profile import Mapping_, Profile
from adapters.table import read_table


class Cell(NamedTuple):
    """One cell of a record."""

    line: int
    column: str
    """Header, element path or claim, as the source has it."""
    text: str
    """Classed like the field that is made of it."""


def source_cells(
    profile: Profile, data: bytes, outcome: Outcome, companions: Mapping[str, bytes]
) -> tuple[list[Cell], frozenset[str]]:
    """Return a record's cells, and the columns that are only looked at: for a currency, or for a condition."""
    return _CELLS[profile.file.source.format](profile, data, outcome, companions)


def _table(
    profile: Profile, data: bytes, outcome: Outcome, _: Mapping[str, bytes]
) -> tuple[list[Cell], frozenset[str]]:
    source = profile.file.source
    table = read_table(data, source)
    text = outcome.raw.decode(encoding_of(data, list(source.encodings)), errors="replace")
    cells = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=source.delimiter)
    for number, row in enumerate(reader):
        names = (*table.headers, *(f"cell {place + 1}" for place in range(len(table.headers), len(row))))
        cells += [Cell(outcome.line + number, name, cell) for name, cell in zip(names, row, strict=False)]
    looked = _looked_at(profile.file.field)
    return cells, frozenset(table.headers[place] for name, place in table.columns.items() if name in looked)


def _record(
    profile: Profile, _: bytes, outcome: Outcome, _companions: Mapping[str, bytes]
) -> tuple[list[Cell], frozenset[str]]:
    parsed = markup.parse(outcome.raw)
    code = parsed.code.removeprefix(profile.file.code_prefix)
    looked: frozenset[str] = frozenset()
    for record in profile.file.record:
        if record.code == code:
            looked = _looked_at(fields_of(profile, record))
    texts = {**parsed.texts}
    if markup.PAPERS in texts:
        texts[markup.PAPERS] = paper_names(texts[markup.PAPERS])
    return [Cell(1, path, text) for path, text in texts.items()], looked


def _token(
    profile: Profile, _: bytes, outcome: Outcome, companions: Mapping[str, bytes]
) -> tuple[list[Cell], frozenset[str]]:
    cells = passport.cells_of(outcome.raw, companions)
    return [Cell(outcome.line, name, text) for name, text in cells.items()], _looked_at(profile.file.field)


def _looked_at(fields: Mapping[str, Mapping_]) -> frozenset[str]:
    names = {verbs.parse.currency_from for verbs in fields.values()}
    return frozenset(names | {verbs.when.source for verbs in fields.values() if verbs.when}) - {""}


_CELLS: dict[str, Callable[[Profile, bytes, Outcome, Mapping[str, bytes]], tuple[list[Cell], frozenset[str]]]] = {
    "csv": _table,
    "xml": _record,
    "passport": _token,
}
