"""The rows of a table that failed, as a table to mend and drop again: as text, or as a workbook.

- The header stays, and the lines above it where the dialect reads them, so the same profile reads it; a row that is mended here and one that is mended in
  the original have one fingerprint, and go out once.
- As text the rows are the file's own bytes. Above each stands a line that begins with `table.NOTE`: row, code, cause, cure.
  It is no record and may stay there.
- In a workbook every cell is a text, so programs that open one turn no account number into a number. Line, reason and cure
  stand in columns of their own, whose headers begin with `table.NOTE`; they may stay there. The first of these headers says of
  which profile and version the rows are, so that `auto` knows the file again; it is believed only where the header fits too.
- In a workbook a row with too few cells stands in its first one as it was: filled up with empty cells it could pass for whole.
- Of a workbook of several sheets each row stands in a sheet that is called as its own, under that sheet's own header.
- A row that is larger than any may be is named and not written: half of it could pass for the whole.
"""

import codecs
import csv
import io
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, Any, Protocol

from adapters.convert import Outcome
from adapters.decode import body_start, encoding_of
from adapters.errors import FileRefused
from adapters.footers import is_told
from adapters.lines import TOO_LARGE
from adapters.profile import Profile
from adapters.source_file import Given
from adapters.table import NOTE, Table
from adapters.workbook import STATED, open_table

if TYPE_CHECKING:
    from xlsxwriter import Workbook

NOTE_COLUMNS = (f"{NOTE} reason", f"{NOTE} cure")
"""Headers of the notes, behind that of the line, which also says of which profile and version the rows are."""
SHEET_ROWS_MAX = 1_048_576
SHEET_CHARACTERS_MAX = 32_767
_TABLES = ("csv", "xlsx")
_WIDTH, _WIDE = 22, 60


class FailingRows(Protocol):
    """Takes the rows of a file that fail, one after the other."""

    def add(self, outcome: Outcome, why: dict[str, Any]) -> None:
        """Take a row that failed, with what is said of it."""

    def close(self) -> None:
        """Write what is not yet written."""


def failing_rows(profile: Profile, given: Given, out: IO[bytes], *, workbook: bool = False) -> FailingRows:
    """Return what writes the rows that fail. FileRefused when the file is no table, or none in the form that is asked for."""
    source = profile.file.source
    if source.format not in _TABLES:
        raise FileRefused(
            f"the dialect {profile.name} is no table, so its failing rows make none",
            cure="mend the record at its source; `lianfang map check` says what is wrong with it",
            code="LF-MAP-NO-TABLE",
        )
    if source.sheet and not workbook:
        raise FileRefused(
            f"files of the dialect {profile.name} have several sheets, so their failing rows make no text",
            cure="name a file that ends in .xlsx",
            code="LF-MAP-NO-TABLE",
        )
    table = open_table(given, source)
    if workbook and not table.header:
        raise FileRefused(
            f"files of the dialect {profile.name} have no header line, so a workbook of them cannot be read again",
            cure="name a file that ends in .csv",
            code="LF-MAP-NO-TABLE",
        )
    if table.sheets:
        return _Sheets(profile, table, out)
    return _Workbook(profile, table, out) if workbook else _Text(profile, given, table, out)


def _above(profile: Profile, table: Table) -> list[str]:
    """Return the lines above the header that the dialect reads: what is said there of all rows is not true of some."""
    source = profile.file.source
    return [line for line in table.preamble if not is_told(line, source)] if source.preamble else []


class _Text:
    """Rows as the file has them, each under a line that says why."""

    def __init__(self, profile: Profile, given: Given, table: Table, out: IO[bytes]) -> None:
        self._out = out
        self._delimiter = table.delimiter
        self._encoding = table.encoding or "utf-8"
        header = table.header
        self._end = b"\r\n" if header.endswith(b"\r\n") else b"\n"
        if table.encoding and body_start(given, encoding_of(given, list(profile.file.source.encodings))):
            out.write(codecs.BOM_UTF8)
        for line in (*_above(profile, table), *((header.decode(self._encoding),) if header else ())):
            out.write(self._whole(line.encode(self._encoding)))

    def add(self, outcome: Outcome, why: dict[str, Any]) -> None:
        """Write the note and the row."""
        out = io.StringIO(newline="")
        words = [NOTE, f"row {why['row']}", why["code"], _said(why, "cause"), _said(why, "cure")]
        csv.writer(out, delimiter=self._delimiter, lineterminator="").writerow(words)
        self._out.write(out.getvalue().encode(self._encoding) + self._end)
        if why["code"] != TOO_LARGE.code:
            self._out.write(self._whole(outcome.raw))

    def close(self) -> None:
        """Nothing is left."""

    def _whole(self, line: bytes) -> bytes:
        return line if line.endswith(b"\n") else line + self._end


class _Sheet:
    """One sheet whose cells are texts, written row after row: memory does not grow with them."""

    def __init__(self, book: "Workbook", name: str, above: Sequence[str], headers: Sequence[str], of: Profile) -> None:
        from xlsxwriter.exceptions import XlsxWriterException  # noqa: PLC0415 - lazy: few files need it

        try:
            self._sheet = book.add_worksheet(name)
        except XlsxWriterException as error:
            raise FileRefused(
                f"a workbook cannot have a sheet called {name}",
                cure="rename the sheet in the file, and try again",
                code="LF-MAP-ROWS-OUT",
            ) from error
        self._text = book.add_format({"num_format": "@"})
        bold = book.add_format({"num_format": "@", "bold": True})
        self._width = len(headers)
        self._sheet.set_column(0, self._width - 1, _WIDTH, self._text)
        self._sheet.set_column(self._width, self._width + len(NOTE_COLUMNS), _WIDE, self._text)
        self._row = 0
        for line in above:
            self._write(line.rstrip("\r\n").split(","), self._text)
        self._write([*headers, f"{STATED}{of.name} {of.version}", *NOTE_COLUMNS], bold)
        self._sheet.freeze_panes(self._row, 0)

    def add(self, cells: Sequence[str], line: int, why: dict[str, Any]) -> None:
        """Write a row, with what is said of it beside it."""
        filled = [*cells, *[""] * (self._width - len(cells))]
        reason = f"{why['code']}: {_said(why, 'cause')}"
        said = (str(line), reason, _said(why, "cure"))
        self._write([*filled[: self._width], *said, *filled[self._width :]], self._text)

    def _write(self, cells: Sequence[str], form: Any) -> None:
        if self._row == SHEET_ROWS_MAX or any(len(cell) > SHEET_CHARACTERS_MAX for cell in cells):
            raise FileRefused(
                f"more than {SHEET_ROWS_MAX} rows fail, or one has a cell of more than {SHEET_CHARACTERS_MAX} characters, "
                "and a workbook cannot hold that",
                cure="name a file that ends in .csv, or mend the file itself",
                code="LF-MAP-ROWS-OUT",
            )
        for place, cell in enumerate(cells):
            self._sheet.write_string(self._row, place, cell, form)
        self._row += 1


class _Workbook:
    """Rows in a workbook of one sheet."""

    def __init__(self, profile: Profile, table: Table, out: IO[bytes]) -> None:
        self._table = table
        self._book = _book(out)
        self._sheet = _Sheet(self._book, "rows", _above(profile, table), table.headers, profile)

    def add(self, outcome: Outcome, why: dict[str, Any]) -> None:
        """Write the row."""
        self._sheet.add(self._cells(outcome) if why["code"] != TOO_LARGE.code else [], why["line"], why)

    def close(self) -> None:
        """Write the archive."""
        self._book.close()

    def _cells(self, outcome: Outcome) -> list[str]:
        """Return a row's cells; as a whole in the first, what cannot be cut into cells or has too few: which is missing, nobody knows."""
        text = outcome.raw.decode(self._table.encoding or "utf-8")
        try:
            cells = next(csv.reader(io.StringIO(text, newline=""), delimiter=self._table.delimiter, strict=True), [])
        except csv.Error:
            cells = []
        return cells if len(cells) >= len(self._table.headers) else [text.rstrip("\r\n")]


class _Sheets:
    """Rows each in a sheet that is called as its own, under that sheet's header: the same rules read them again."""

    def __init__(self, profile: Profile, table: Table, out: IO[bytes]) -> None:
        self._profile, self._table = profile, table
        self._book = _book(out)
        self._sheets: dict[str, _Sheet] = {}

    def add(self, outcome: Outcome, why: dict[str, Any]) -> None:
        """Write the row, or all rows of a message that breaks a check."""
        rows = csv.reader(io.StringIO(outcome.raw.decode("utf-8", "surrogatepass"), newline=""))
        for cells, (name, line) in zip(rows, outcome.sheets, strict=True):
            own = self._table.sheets[name]
            if name not in self._sheets:
                self._sheets[name] = _Sheet(self._book, name, (), list(own.values()), self._profile)
            self._sheets[name].add([cells[place] for place in own] if why["code"] != TOO_LARGE.code else [], line, why)

    def close(self) -> None:
        """Write the archive."""
        self._book.close()


def _book(out: IO[bytes]) -> "Workbook":
    from xlsxwriter import Workbook  # noqa: PLC0415 - lazy: few files need it

    return Workbook(out, {"constant_memory": True})


def _said(why: dict[str, Any], what: str) -> str:
    """Return what is said of all that is wrong with a row."""
    return "; ".join(dict.fromkeys(text for one in (why, *why["others"]) if (text := one[what])))
