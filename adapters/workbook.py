"""Tables in workbooks: the sheets that a dialect knows → one table, as a text file of the same rows would be.

- A dialect without `[[source.sheet]]` has one table: one sheet has its header, and no other sheet may hold rows, but copies of it
  (`adapters/twins.py`).
- With rules, each sheet is read by the first rule whose name fits; all of them share the dialect's columns, and what a sheet
  lacks is empty in its rows. The column that `sheet_column` names says of which kind a row's sheet is.
- A sheet that nothing names, and that holds rows, refuses the whole file: nobody knows what would be lost.
- The line of a row is its row in the sheet. Its bytes are the sheet's cells as a line of CSV in UTF-8.
- A text file under a workbook's name, and a workbook under a text file's, are read as what they are.
"""

import csv
import io
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property, partial
from typing import NamedTuple

from adapters.errors import FileRefused, RowRefused
from adapters.kinds import identifier, tidy
from adapters.lines import CELL_CHARACTERS_MAX, Row
from adapters.model import NOWHERE, Fit, Spot
from adapters.profile import Profile, Source
from adapters.profile import Sheet as Rule
from adapters.source_file import Given, head_of, whole
from adapters.table import COLUMNS_MAX, NOTE, Place, Table, Twin, fit_of, read_table, require_clean, sums_of
from adapters.workbook_file import MARK_BYTES, ZIP_MARK, Cells, Sheet, is_workbook, sheets_of
from adapters.workbook_places import XlsxPlaces
from adapters.xls_places import XlsPlaces

_SHOWN_MAX = 12
_NOTES_WITHIN = 1001
"""Rows within which the header stands."""
STATED = f"{NOTE} line, of "
"""How the header of a note's column begins that says which dialect and version failing rows are of."""
_SPACES = re.compile(r"\s+")


class _Part(NamedTuple):
    """One sheet with its header found."""

    name: str
    kind: str
    headers: tuple[str, ...]
    columns: dict[str, int]
    needed: tuple[int, ...]
    header_row: int
    sheet: Sheet

    @property
    def rows(self) -> list[Cells]:
        """The rows of the sheet, from its first."""
        return self.sheet.rows


def open_table(given: Given, source: Source) -> Table:
    """Read a table from a workbook or from text. FileRefused, also when a sheet with rows is none of the dialect's."""
    if is_workbook(head_of(given, MARK_BYTES)):
        if source.format == "xlsx":
            return table_of(sheets_of(whole(given)), source, given)
        sheets: list[Sheet] = []
        with suppress(FileRefused):
            sheets = sheets_of(whole(given))
        if any(map(_of_our_making, sheets)):
            return table_of(sheets, source, given)
    return read_table(given, source)


def _of_our_making(sheet: Sheet) -> bool:
    """Say whether `lianfang map check --rows-out` wrote a sheet: a dialect of text files is read from no other workbook."""
    return any(cell.startswith(NOTE) for row in sheet.rows[:_NOTES_WITHIN] for cell in row)


class Opened:
    """A file that may be a workbook, opened once for all dialects that are tried on it."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.refused: FileRefused | None = None
        """Why the workbook cannot be read."""

    @cached_property
    def sheets(self) -> list[Sheet]:
        """The workbook's sheets; none where it is no workbook, or cannot be read."""
        try:
            return sheets_of(self._data) if is_workbook(self._data) else []
        except FileRefused as error:
            self.refused = error
            return []

    @cached_property
    def ours(self) -> bool:
        """Whether `lianfang map check --rows-out` wrote it: then dialects of text files are tried on it too."""
        return any(map(_of_our_making, self.sheets))

    @cached_property
    def stated(self) -> tuple[str, str]:
        """Of which dialect and version it says that it is; empty where it says nothing. Anybody could have written that."""
        rows = (row for sheet in self.sheets for row in sheet.rows[:_NOTES_WITHIN])
        told = next((cell for row in rows for cell in row if cell.startswith(STATED)), "")
        name, _, version = tidy(told.removeprefix(STATED)).rpartition(" ")
        return name, version

    def fit(self, profile: Profile) -> Fit | None:
        """Say how its header fits a dialect; None when it has no header of it."""
        source = profile.file.source
        try:
            if not is_workbook(self._data):
                return fit_of(profile, read_table(self._data, source))
            parts, _ = _sorted_out(self.sheets, source)
            return fit_of(profile, _table_of(parts, source, self._data)) if parts else None
        except FileRefused:
            return None


def table_of(sheets: Sequence[Sheet], source: Source, given: Given) -> Table:
    """Return the table that sheets make. FileRefused."""
    parts, strangers = _sorted_out(sheets, source)
    if strangers:
        raise _unknown_sheet(strangers[0], source)
    if not parts:
        raise FileRefused("the workbook has no rows", cure="export it again", code="LF-FILE-EMPTY")
    if source.sheet:
        return _table_of(parts, source, given)
    first, *others = ([part] for part in parts)
    twins = (
        tuple(Twin(one[0].name, partial(_table_of, one, source, given)) for one in (first, *others)) if others else ()
    )
    return replace(_table_of(first, source, given), twins=twins)


def _table_of(parts: list[_Part], source: Source, given: Given) -> Table:
    headers, columns, places = _layout(parts, source)
    sums = sums_of(source)
    rows = _rows(parts, source, len(headers), places, sums)
    above = _above(parts[0])
    standing = tuple(Place(number) for number, _ in enumerate(above, 1))
    sheets = {
        part.name: {at: part.headers[place] for place, at in where} for part, where in zip(parts, places, strict=True)
    }
    shown = sheets if source.sheet else {}
    spots = _Standing(given, parts, places, len(headers), names_sheet=bool(source.sheet_column))
    return Table(headers, columns, rows, line_of(headers), above, standing, sheets=shown, sums=sums, spots=spots)


class _Standing:
    """Says where the cells of a table stand in the workbook."""

    def __init__(
        self, given: Given, parts: list[_Part], places: list[list[tuple[int, int]]], width: int, *, names_sheet: bool
    ) -> None:
        self._given, self._width, self._names_sheet = given, width, names_sheet
        self._parts = {part.name: (part, where) for part, where in zip(parts, places, strict=True)}
        self._first = parts[0].name
        self._told: dict[tuple[int, str], Spot] = {}
        self._tops: dict[str, dict[int, list[tuple[int, int]]]] = {}

    @cached_property
    def _file(self) -> XlsxPlaces | XlsPlaces:
        kind = XlsxPlaces if head_of(self._given, len(ZIP_MARK)) == ZIP_MARK else XlsPlaces
        return kind(self._given)

    def of(self, row: Row) -> list[Spot]:
        """Return where each cell of a row stands; of a merged range it is the cell that holds its text."""
        part, where = self._parts[row.sheet or self._first]
        spots = [NOWHERE] * self._width
        for place, at in where:
            if row.cells[at].strip():
                line = self._holder(part, row.line, place)
                spots[at] = self._file.of(part.name, line, place, row.cells[at])
        if self._names_sheet:
            spots[-1] = self._file.sheet(part.name)
        return spots

    def above(self, line: int, text: str) -> Spot:
        """Return where a text stands that a row above the header holds."""
        if (line, text) not in self._told:
            self._told[line, text] = self._file.holding(self._first, line, text)
        return self._told[line, text]

    def _holder(self, part: _Part, line: int, place: int) -> int:
        if part.name not in self._tops:
            tops = self._tops[part.name] = {}
            for (top, left), (bottom, _) in part.sheet.merged:
                tops.setdefault(left, []).append((top + 1, bottom + 1))
        ranges = self._tops[part.name].get(place, ())
        return next((top for top, bottom in ranges if top <= line <= bottom), line)


def _above(part: _Part) -> tuple[str, ...]:
    """Return the rows above a header as lines of text."""
    lines = (",".join(tidy(cell) for cell in row) for row in part.rows[: part.header_row])
    return tuple(line.rstrip(",") for line in lines)


def line_of(cells: Sequence[str]) -> bytes:
    """Return cells as a line of CSV."""
    out = io.StringIO(newline="")
    csv.writer(out).writerow(cells)
    return out.getvalue().encode("utf-8", "surrogatepass")


def _sorted_out(sheets: Sequence[Sheet], source: Source) -> tuple[list[_Part], list[Sheet]]:
    """Return the sheets that are the dialect's, and those that nothing names."""
    found, strangers = [], []
    for sheet in sheets:
        rule = _rule_for(sheet, source)
        if rule is not None and rule.ignore:
            continue
        part = _with_header(sheet, rule, source) if rule is not None or not source.sheet else None
        if part is not None:
            found.append(part)
        else:
            strangers.append(sheet)
    return found, strangers


def _rule_for(sheet: Sheet, source: Source) -> Rule | None:
    name = _SPACES.sub(" ", sheet.name.strip())
    fits: Callable[[Rule], object] = lambda rule: re.fullmatch(rule.name, name, re.IGNORECASE)  # noqa: E731 - asked once
    return next((rule for rule in source.sheet if fits(rule)), None)


def _with_header(sheet: Sheet, rule: Rule | None, source: Source) -> _Part | None:
    assert source.header is not None, "checked with the profile"
    required = rule.required if rule is not None and rule.required else source.header.required
    names = {spelling: column for column, spellings in source.columns.items() for spelling in spellings}
    for number, row in enumerate(sheet.rows[: source.header.lines_before_max + 1]):
        headers = tuple(_SPACES.sub(" ", identifier(tidy(cell))) for cell in row)
        found = {names[header] for header in headers if header in names}
        if found.issuperset(required):
            require_clean(headers, f"the header of the sheet {sheet.name}")
            columns = _columns(headers, names, sheet.name)
            needed = tuple(columns[name] for name in required)
            kind = rule.kind if rule is not None else ""
            return _Part(sheet.name, kind, headers, columns, needed, number, sheet)
    return None


def _columns(headers: tuple[str, ...], names: dict[str, str], sheet: str) -> dict[str, int]:
    if len(headers) > COLUMNS_MAX and any(headers[COLUMNS_MAX:]):
        raise FileRefused(
            f"the header has more than {COLUMNS_MAX} columns", cure="check the export", code="LF-FILE-COLUMNS"
        )
    columns: dict[str, int] = {}
    for place, header in enumerate(headers):
        name = names.get(header)
        if name in columns:
            raise FileRefused(
                f"the header of the sheet {sheet} names {name} twice, as {headers[columns[name]]} and {header}",
                cure="remove one of the columns",
                code="LF-FILE-AMBIGUOUS-HEADER",
            )
        if name is not None:
            columns[name] = place
    return columns


def _unknown_sheet(sheet: Sheet, source: Source) -> FileRefused:
    assert source.header is not None, "checked with the profile"
    headers = _what_seems_a_header(sheet)
    said = f"its header is {', '.join(headers)}" if headers else "it has no header line"
    missing = [source.columns[column][0] for column in source.header.required]
    known = [rule.name for rule in source.sheet]
    return FileRefused(
        f"the sheet {sheet.name} holds rows, and the dialect does not know it: {said}",
        cure=f"the dialect has the sheets {', '.join(known)}; add the sheet to the profile, or take it out if it holds no records"
        if known
        else f"the dialect's header has {', '.join(missing)}; name another profile, or take the sheet out",
        code="LF-FILE-SHEET" if known or headers else "LF-FILE-NO-HEADER",
    )


def _what_seems_a_header(sheet: Sheet) -> list[str]:
    """Return the first row of at least two cells none of which holds a digit: values stay out of what is said."""
    for row in sheet.rows:
        cells = [text for cell in row if (text := _SPACES.sub(" ", tidy(cell)))]
        if len(cells) > 1 and not any(any(map(str.isdigit, cell)) for cell in cells):
            return cells[:_SHOWN_MAX]
    return []


def _layout(parts: list[_Part], source: Source) -> tuple[tuple[str, ...], dict[str, int], list[list[tuple[int, int]]]]:
    """Lay the sheets' columns side by side: ours once, by our name; those that we do not know once, by their header."""
    headers: list[list[str]] = []
    columns: dict[str, int] = {}
    strangers: dict[str, int] = {}
    places = []
    for part in parts:
        ours = {place: name for name, place in part.columns.items()}
        where = []
        for place, header in enumerate(part.headers):
            if not header:
                continue
            known = columns if place in ours else strangers
            at = known.setdefault(ours.get(place, header), len(headers))
            if at == len(headers):
                headers.append([])
            if header not in headers[at]:
                headers[at].append(header)
            where.append((place, at))
        places.append(where)
    if source.sheet_column:
        columns[source.sheet_column] = len(headers)
        headers.append([source.columns[source.sheet_column][0]])
    return tuple(" / ".join(spellings) for spellings in headers), columns, places


def _rows(
    parts: list[_Part], source: Source, width: int, places: list[list[tuple[int, int]]], sums: deque[Cells]
) -> Iterator[Row]:
    footer = tuple(source.footer)
    for part, where in zip(parts, places, strict=True):
        bare = [place for place, header in enumerate(part.headers) if not header]
        for number, given in enumerate(part.rows[part.header_row + 1 :], part.header_row + 2):
            if not any(map(str.strip, given)) or tidy(given[0]) == NOTE:
                continue
            cells = [""] * width
            for place, at in where:
                cells[at] = given[place]
            if _is_sum(given, footer, part.needed):
                sums.append(cells)
                continue
            if source.sheet_column:
                cells[-1] = part.kind
            row = Row(number, line_of(cells), cells, sheet=part.name if source.sheet else "")
            yield _checked(row, given, bare)


def _is_sum(cells: Cells, footer: tuple[str, ...], needed: tuple[int, ...]) -> bool:
    return bool(footer) and tidy(cells[0]).startswith(footer) and not all(cells[at].strip() for at in needed)


def _checked(row: Row, given: Cells, bare: list[int]) -> Row:
    if any(given[place].strip() for place in bare):
        return row._replace(cells=[], refused=_NO_HEADER)
    if any(len(cell) > CELL_CHARACTERS_MAX for cell in given):
        return row._replace(cells=[], refused=_TOO_LONG)
    return row


_NO_HEADER = RowRefused(
    "a cell of the row stands in a column that has no header",
    cure="give the column its header, or empty the cell",
    code="LF-ROW-WIDTH",
)
_TOO_LONG = RowRefused(
    f"a cell of the row has more than {CELL_CHARACTERS_MAX} characters", cure="check the export", code="LF-ROW-SIZE"
)
