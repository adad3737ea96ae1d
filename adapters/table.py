"""Tables as text (CSV and its kin): bytes → header and records, in memory that does not grow with the file.

- A record is one row of the table below the header, blank rows and the summary at the end excepted.
- The header is the first row that has all required columns; what stands before it is preamble.
- A line whose first cell is `NOTE` is what `lianfang map check --rows-out` said of the row below it; it is no record.
- A quote that is opened and never closed costs one record, not the rest of the file.
"""

import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, NamedTuple, Protocol

from adapters.errors import FileRefused, RowRefused
from adapters.kinds import identifier, tidy
from adapters.lines import RECORD_BYTES_MAX, TOO_LARGE, Cells, Row, cell_ranges, text_rows
from adapters.model import Fit, Lineage, Spot
from adapters.profile import Profile, Source
from adapters.source_file import Given
from adapters.words import counted

COLUMNS_MAX = 256
_SUMS_MAX = 64

NOTE = "#lianfang-note"
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f]")


class Place(NamedTuple):
    """Where a text stands: its line, and its bytes in a file of text."""

    line: int
    start: int = -1
    end: int = -1


class Spots(Protocol):
    """Says where the cells of a workbook stand in it."""

    def of(self, row: Row) -> list[Spot]:
        """Return where each cell of a row stands."""

    def above(self, line: int, text: str) -> Spot:
        """Return where a text stands that a row above the header holds."""


@dataclass(frozen=True)
class Table:
    """A table whose header has been found."""

    headers: tuple[str, ...]
    """The header cells as the file has them, tidied."""
    columns: dict[str, int]
    """Our name of a column → its place."""
    rows: Iterator[Row]
    header: bytes
    """The header line's own bytes."""
    preamble: tuple[str, ...] = ()
    """The lines above the header."""
    standing: tuple[Place, ...] = ()
    """Where each of them stands; in a workbook its number alone."""
    above: Mapping[int, Place] = field(default_factory=dict)
    """Of the columns that are made of them: where the text stands, by the column's place."""
    encoding: str = ""
    """What its rows' bytes are written in; empty where they stand in no text file."""
    delimiter: str = ","
    sheets: dict[str, dict[int, str]] = field(default_factory=dict)
    """Workbooks of several sheets: of each the places of its columns, in its own order, and their headers there."""
    sums: deque[Cells] = field(default_factory=deque)
    """The last of the rows that are sums, once they have been passed over; kept where the dialect checks them."""
    spots: Spots | None = None
    """Workbooks: what says where cells stand."""
    twins: "tuple[Twin, ...]" = ()
    """Workbooks: where several sheets have the header, each of them, this one too. Before rows are read, it must be known that
    the others say nothing else."""


class Twin(NamedTuple):
    """One of several sheets that have a dialect's header."""

    sheet: str
    open: Callable[[], Table]
    """Returns its table, with all rows to come."""


def sums_of(source: Source) -> deque[Cells]:
    """Return what keeps rows that are sums; nothing where the dialect does not check them."""
    return deque(maxlen=_SUMS_MAX if source.footer_check else 0)


def read_table(given: Given, source: Source) -> Table:
    """Find the header. FileRefused when the file has another encoding or no such header."""
    encoding, rows = text_rows(given, source)
    assert source.header is not None, "checked with the profile"
    if source.header.looks:
        return replace(numbered(rows, source), encoding=encoding, delimiter=source.delimiter)
    passed: list[Row] = []
    headers, columns, header = _find_header(rows, source, passed.append)
    above = tuple(row.raw.decode(encoding) for row in passed)
    standing = tuple(Place(row.line, row.start, row.start + len(row.raw)) for row in passed)
    needed = tuple(columns[name] for name in source.header.required)
    sums = sums_of(source)
    below = _below(without_types(rows, source), len(headers), source, needed, sums)
    return Table(
        headers, columns, below, header, above, standing, encoding=encoding, delimiter=source.delimiter, sums=sums
    )


def numbered(rows: Iterator[Row], source: Source) -> Table:
    """Return a table without a header line. FileRefused when its first row does not look like one of the dialect."""
    assert source.header is not None, "checked with the profile"
    columns = {name: int(spellings[0]) - 1 for name, spellings in source.columns.items()}
    width = max(columns.values()) + 1
    first = next((row for row in rows if row.cells[:1] != [NOTE]), None)
    cells = _widened(first, width, source.header.cells_min).cells if first is not None else []
    looks = {name: re.compile(pattern).fullmatch for name, pattern in source.header.looks.items()}
    if len(cells) != width or not all(fits(tidy(cells[columns[name]])) for name, fits in looks.items()):
        raise FileRefused(
            f"the first row is none of this dialect, which has no header: its {', '.join(looks)} look otherwise",
            cure="check that this is the right export, or name another profile",
            code="LF-FILE-NO-HEADER",
        )
    assert first is not None, "it has cells"
    every = (_widened(row, width, source.header.cells_min) for row in chain((first,), rows))
    headers = [""] * width
    for name, place in columns.items():
        headers[place] = name
    needed = tuple(columns[name] for name in source.header.required)
    sums = sums_of(source)
    return Table(tuple(headers), columns, _below(every, width, source, needed, sums), b"", sums=sums)


def _widened(row: Row, width: int, cells_min: int) -> Row:
    """Return a row with empty cells for those that it may lack at its end."""
    if row.refused is None and cells_min <= len(row.cells) < width:
        return row._replace(cells=[*row.cells, *[""] * (width - len(row.cells))])
    return row


def without_types(rows: Iterator[Row], source: Source) -> Iterator[Row]:
    """Leave out the line of types under the header, where the dialect has one."""
    if not source.under_header:
        return rows
    first = next(rows, None)
    if first is None or (first.cells and re.fullmatch(source.under_header, tidy(first.cells[0]))):
        return rows
    return chain((first,), rows)


def with_preamble(table: Table, source: Source) -> Table:
    """Return a table whose rows also have what the lines above the header say, in columns of their own."""
    if not source.preamble:
        return table
    require_clean(table.preamble, "the text above the header")
    lines = [tidy(line) for line in table.preamble]
    texts, width, above = {}, len(table.headers), {}
    for name, pattern in source.preamble.items():
        found = ((number, match) for number, line in enumerate(lines) if (match := re.fullmatch(pattern, line)))
        number, match = next(found, (0, None))
        texts[name] = (match[1] or "") if match is not None else ""
        if match is not None and table.standing:
            above[width + len(texts) - 1] = _inside(texts[name], table.preamble[number], table.standing[number], table)
    further = list(texts.values())
    columns = {**table.columns, **{name: width + number for number, name in enumerate(texts)}}
    rows = (row if row.refused else row._replace(cells=[*row.cells, *further]) for row in table.rows)
    headers = (*table.headers, *(f"{name}, above" for name in texts))
    return replace(table, headers=headers, columns=columns, rows=rows, above=above)


def _inside(text: str, line: str, place: Place, table: Table) -> Place:
    """Return where a text stands in a line above the header: the line as a whole, where the text is there twice or was tidied."""
    if place.start < 0 or line.count(text) != 1:
        return place
    start = place.start + len(line[: line.index(text)].encode(table.encoding))
    return Place(place.line, start, start + len(text.encode(table.encoding)))


def require_clean(texts: Iterable[str], what: str) -> None:
    """Refuse a file whose header, or what is read above it, is damaged: columns and numbers would be lost unseen."""
    if any(map(_CONTROL.search, texts)):
        raise FileRefused(
            f"{what} holds a control character, such as NUL: it is damaged",
            cure="export the file again, or delete the character",
            code="LF-FILE-NO-HEADER",
        )


def ranges_of(table: Table, row: Row) -> Sequence[tuple[int, int] | Spot]:
    """Return where the cells of a row stand: in the text, or in the workbook; none where nobody can say."""
    if table.spots is not None:
        return table.spots.of(row)
    return cell_ranges(row.raw, table.encoding, table.delimiter, row.start) if row.start >= 0 else ()


def above_of(table: Table, row: Row) -> Mapping[int, Any]:
    """Return where those cells of a row stand that are made of lines above the header, by place: the line, then as of the others."""
    if table.spots is None:
        return table.above
    return {at: (line, *table.spots.above(line, row.cells[at])) for at, (line, _, _) in table.above.items()}


def of_sheet(table: Table, sheet: str, lineage: tuple[Lineage, ...]) -> tuple[Lineage, ...]:
    """Return lineage whose columns are called as in a row's own sheet, with that sheet's name; as it is without sheets."""
    if not sheet:
        return lineage
    own = {table.headers[place]: header for place, header in table.sheets[sheet].items()}
    return tuple(item._replace(column=_in_sheet(sheet, own, item.column)) for item in lineage)


def _in_sheet(sheet: str, own: dict[str, str], column: str) -> str:
    headers = [own[header] for header in column.split(" + ") if header in own]
    return f"{sheet}!{' + '.join(headers)}" if headers else column


class Likeness:
    """What stays the same of a row when its file is saved in another encoding, as a workbook, or with columns moved."""

    def __init__(self, table: Table) -> None:
        ours = {place: name for name, place in table.columns.items()}
        named = ((ours.get(place, header), place) for place, header in enumerate(table.headers))
        self._places = [(name, place) for name, place in sorted(named) if name and not name.startswith(NOTE)]

    def of(self, cells: Cells) -> bytes:
        """Return a row's cells by their columns' names, without what is invisible and without the empty ones."""
        texts = ((name, tidy(cells[place])) for name, place in self._places)
        return json.dumps([pair for pair in texts if pair[1]], ensure_ascii=False).encode("utf-8", "surrogatepass")


def fit(profile: Profile, given: Given) -> Fit | None:
    """Say how a file's header fits a dialect; None when it has no header of it."""
    try:
        return fit_of(profile, read_table(given, profile.file.source))
    except FileRefused:
        return None


def fit_of(profile: Profile, found: Table) -> Fit:
    """Say how a table's header fits a dialect."""
    source = profile.file.source
    assert source.header is not None, "checked with the profile"
    headers = [header for header in found.headers if header]
    known = set(found.columns.values()) | {
        place for place, header in enumerate(found.headers) if header in source.ignore
    }
    strangers = [
        header
        for place, header in enumerate(found.headers)
        if header and place not in known and not header.startswith(NOTE)
    ]
    why = [
        f"the header line has the columns that the dialect requires: {', '.join(source.header.required)}",
        f"{len(headers) - len(strangers)} of its {len(headers)} columns are known",
    ]
    if strangers:
        why.append(f"the dialect does not know {', '.join(strangers)}")
    sure = (len(headers) - len(strangers)) / len(headers)
    return Fit(profile.name, len(found.columns), round(sure, 2), tuple(why))


def _find_header(
    rows: Iterator[Row], source: Source, passed: Callable[[Row], None]
) -> tuple[tuple[str, ...], dict[str, int], bytes]:
    assert source.header is not None, "checked with the profile"
    names = {spelling: column for column, spellings in source.columns.items() for spelling in spellings}
    best: set[str] = set()
    for number, row in enumerate(rows):
        if number > source.header.lines_before_max:
            break
        headers = tuple(identifier(tidy(cell)) for cell in row.cells)
        found = {names[header] for header in headers if header in names}
        if found.issuperset(source.header.required):
            require_clean(headers, "the header line")
            return headers, _columns(headers, names), row.raw
        best = max(best, found, key=len)
        passed(row)
    missing = [source.columns[column][0] for column in source.header.required if column not in best]
    raise FileRefused(
        f"no header line of this dialect in the first {source.header.lines_before_max} lines; "
        f"missing: {', '.join(missing)}",
        cure="check that this is the right export, or name another profile",
        code="LF-FILE-NO-HEADER",
    )


def _columns(headers: tuple[str, ...], names: dict[str, str]) -> dict[str, int]:
    if len(headers) > COLUMNS_MAX:
        raise FileRefused(
            f"the header has {len(headers)} columns, more than {COLUMNS_MAX}",
            cure="check the export",
            code="LF-FILE-COLUMNS",
        )
    columns: dict[str, int] = {}
    for place, header in enumerate(headers):
        if header not in names:
            continue
        if names[header] in columns:
            raise FileRefused(
                f"the header names {names[header]} twice, as {headers[columns[names[header]]]} and {header}",
                cure="remove one of the columns",
                code="LF-FILE-AMBIGUOUS-HEADER",
            )
        columns[names[header]] = place
    return columns


def _below(
    rows: Iterator[Row], width: int, source: Source, needed: tuple[int, ...], sums: deque[Cells]
) -> Iterator[Row]:
    """Yield the records. Blank rows and sums are passed over, never taken for the end: what follows them is read."""
    footer = tuple(source.footer)
    plain = not any(map(str.isascii, footer))
    for row in rows:
        cells = row.cells
        if (
            plain
            and len(cells) == width
            and cells[0].isascii()
            and cells[0].isalnum()
            and len(row.raw) <= RECORD_BYTES_MAX
        ):
            yield row  # as nearly all are: neither blank nor a note nor a sum
            continue
        if len(cells) != width or row.refused is not None:
            if row.refused is None and (not any(map(str.strip, cells)) or cells[0] == NOTE):
                continue
            if row.refused is None and _is_sum(cells, footer):
                sums.append(cells)
                continue
            yield _fitted(row, width)
            continue
        if not cells[0].strip() and not any(map(str.strip, cells)):
            continue
        if cells[0] == NOTE:
            continue
        if footer and tidy(cells[0]).startswith(footer) and not all(cells[place].strip() for place in needed):
            sums.append(cells)
            continue
        yield row if len(row.raw) <= RECORD_BYTES_MAX else row._replace(cells=[], refused=TOO_LARGE)


def _is_sum(cells: Cells, footer: tuple[str, ...]) -> bool:
    return bool(footer) and tidy(cells[0]).startswith(footer)


def _fitted(row: Row, width: int) -> Row:
    """Drop blank cells beyond the header (a comma at the end of a line); refuse a row that is otherwise of another width."""
    if row.refused is not None:
        return row
    if len(row.cells) > width and not any(map(str.strip, row.cells[width:])):
        return row._replace(cells=row.cells[:width])
    refused = RowRefused(
        f"the row has {counted(len(row.cells), 'cell')}, the header {width}",
        cure="a delimiter is missing or stands in a text without quotation marks; correct that line",
        code="LF-ROW-WIDTH",
    )
    return row._replace(cells=[], refused=refused)
