"""Workbooks as files: .xlsx and .xls bytes → sheets of texts. What the file is, its first bytes say, never its name.

- Limits come before reading: a ZIP archive is unpacked here, bounded, and packed anew from the parts that hold cells, so what
  was measured is what is read; the stream of an old .xls is walked for the furthest cell. Macros, pictures, external links
  and embedded files never reach the reader.
- A numeric cell is a float in the file. Whole numbers below 1e15 are exact and become digits; larger ones become scientific
  notation, which readers of accounts, identities and telephone numbers refuse: digits are lost, and nothing brings them back.
  Others are written as the spreadsheet shows them, with at most 15 significant digits.
- A merged range is one cell: its text stands in every row of the range, in the range's first column, and nowhere else.
"""

import datetime as dt
import io
import re
import zipfile
import zlib
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from adapters.errors import FileRefused
from adapters.xls_extent import ErrorCell, errors_in_xls
from adapters.xls_guard import guarded

ZIP_MARK = b"PK\x03\x04"
OLE_MARK = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
MARK_BYTES = 8
"""How many of its first bytes say whether a file is a workbook."""

WORKBOOK_BYTES_MAX = 1 << 26
UNPACKED_BYTES_MAX = 1 << 28
PARTS_MAX = 2048
RATIO_MAX = 300
RATIO_FREE_BYTES = 1 << 20
"""A part smaller than this may be packed as tightly as it likes."""
SHEETS_MAX = 64
CELLS_MAX = 8_000_000
"""Most cells of a workbook, counted as the rectangles that its sheets span."""

_CHUNK_BYTES = 1 << 20
_EXACT_BELOW = 10**15
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_KEPT = re.compile(
    r"\[Content_Types\]\.xml|_rels/\.rels|xl/(?:_rels/)?(?!calcChain)[^/]+\.(?:xml|rels)|xl/worksheets/(?:_rels/)?[^/]+"
)
"""Parts of the archive that hold cells, or lead to them."""
_SHEET_PART = re.compile(r"xl/worksheets/[^/]+\.xml", re.IGNORECASE)
_REFERENCE = re.compile(rb"""\br\s*=\s*["']([A-Za-z]{0,8})([0-9]{1,12})["']""")
_COUNT = re.compile(rb"""uniqueCount\s*=\s*["']?\s*\+?([0-9]{1,40})""")
_ROW = re.compile(rb"<(?:[A-Za-z0-9_.-]+:)?row[\s/>]")
_CELL = re.compile(rb"<(?:[A-Za-z0-9_.-]+:)?c[\s/>]")
_CELL_WITH_PLACE = re.compile(rb"""<(?:[A-Za-z0-9_.-]+:)?c\s(?:[^>"']|"[^"]*"|'[^']*')*?\br\s*=\s*["'][A-Za-z]""")
_ERROR_CELL = re.compile(rb"""(<(?:[A-Za-z]+:)?c\s(?:[^>]*\s)?t\s*=\s*)["']e["']""")
"""A cell that holds an error, such as #DIV/0!: it is read as that text, for the reader would make it empty."""
_A = ord("A") - 1
_NO_ERRORS: Mapping[int, list[ErrorCell]] = {}

Cells = list[str]
Merged = tuple[tuple[int, int], tuple[int, int]]
"""First and last cell of a range: row and column of each, from 0."""


class Sheet(NamedTuple):
    """One sheet: its rows from the first of the sheet, as texts."""

    name: str
    rows: list[Cells]
    merged: Sequence[Merged] = ()
    """Ranges that are one cell."""


def is_workbook(data: bytes) -> bool:
    """Say whether a file is a workbook by its first bytes: a ZIP archive, or the older compound file."""
    return data.startswith((ZIP_MARK, OLE_MARK))


def sheets_of(data: bytes) -> list[Sheet]:
    """Return the sheets that hold anything. FileRefused when the workbook is encrypted, damaged or beyond the limits."""
    if len(data) > WORKBOOK_BYTES_MAX:
        raise _beyond(f"is larger than {WORKBOOK_BYTES_MAX >> 20} MiB")
    if data.startswith(OLE_MARK):
        if _ENCRYPTED in data:
            raise _encrypted()
        safe = guarded(data)
        if safe is None:
            raise _damaged()
        _check_extents(safe.extents)
        return _read(safe.file, errors_in_xls(safe.stream))
    return _read(_repacked(data))


def _read(data: bytes, errors: Mapping[int, list[ErrorCell]] = _NO_ERRORS) -> list[Sheet]:
    from python_calamine import CalamineError, PasswordError  # noqa: PLC0415 - slow to load

    try:
        return _sheets(data, errors)
    except PasswordError as error:
        raise _encrypted() from error
    except (CalamineError, ValueError, OverflowError, OSError) as error:
        raise _damaged() from error
    except BaseException as error:
        if type(error).__name__ == "PanicException":  # the reader is written in Rust; its own faults come out as this
            raise _damaged() from error
        raise


def _sheets(data: bytes, errors: Mapping[int, list[ErrorCell]]) -> list[Sheet]:
    from python_calamine import CalamineWorkbook, SheetTypeEnum  # noqa: PLC0415 - slow to load

    book = CalamineWorkbook.from_filelike(io.BytesIO(data))
    if len(book.sheet_names) > SHEETS_MAX:
        raise _beyond(f"has more than {SHEETS_MAX} sheets")
    if len(set(book.sheet_names)) < len(book.sheet_names):
        raise _twice("two sheets of one name")
    found = []
    for number, one in enumerate(book.sheets_metadata):
        if one.typ == SheetTypeEnum.WorkSheet:
            sheet = book.get_sheet_by_name(one.name)
            rows = [[_text(value) for value in row] for row in sheet.to_python(skip_empty_area=False)]
            for cell in errors.get(number, ()):
                if cell.row < len(rows) and cell.column < len(rows[cell.row]):
                    rows[cell.row][cell.column] = cell.text
            merged = sheet.merged_cell_ranges or []
            _fill_merged(rows, merged)
            found.append(Sheet(one.name, rows, merged))
    return [sheet for sheet in found if any(any(map(str.strip, row)) for row in sheet.rows)]


def _text(value: object) -> str:
    """Return what a cell holds, as text. A text is returned as it is."""
    match value:
        case str():
            return value
        case bool():
            return "TRUE" if value else "FALSE"
        case int() | float():
            return _number(float(value))
        case dt.datetime():
            return _moment(value)
        case dt.date():
            return value.isoformat()
        case dt.time():
            return value.isoformat("seconds")
        case dt.timedelta():
            seconds = round(value.total_seconds())
            return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        case _:
            return ""


def _number(value: float) -> str:
    if value.is_integer() and abs(value) < _EXACT_BELOW:
        return str(int(value))
    shown = f"{value:.15g}"
    if "e" not in shown:
        return shown if "." in shown else f"{value:.14E}"
    if abs(value) >= 1:
        return f"{value:.14E}"
    return f"{value:.20f}".rstrip("0")  # small, but its digits are all there


def _moment(value: dt.datetime) -> str:
    """Return a moment to the millisecond: cells hold days and parts of days, so the last digits are noise."""
    value = value + dt.timedelta(microseconds=500)
    value = value.replace(microsecond=value.microsecond // 1000 * 1000)
    return value.isoformat(" ", "milliseconds" if value.microsecond else "seconds")


def _fill_merged(rows: list[Cells], ranges: Sequence[Merged]) -> None:
    for (top, left), (bottom, _) in ranges:
        if top < len(rows) and left < len(rows[top]):
            for row in rows[top + 1 : bottom + 1]:
                row[left] = rows[top][left]


def _repacked(data: bytes) -> bytes:
    """Return an archive of the parts that hold cells, unpacked within the limits and not packed again."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _kept(archive)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, OSError, ValueError, RuntimeError) as error:
        raise _damaged() from error


def _kept(archive: zipfile.ZipFile) -> bytes:
    parts = archive.infolist()
    names = {part.filename for part in parts}
    if len(parts) > PARTS_MAX:
        raise _beyond(f"has more than {PARTS_MAX} parts")
    if "xl/workbook.xml" not in names:
        raise FileRefused(
            "the file is an archive or another kind of document, not a workbook in the form .xlsx or .xls",
            cure="save it as .xlsx, or export it from the system as CSV",
            code="LF-FILE-WORKBOOK",
        )
    out, left, extents = io.BytesIO(), UNPACKED_BYTES_MAX, []
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as kept:
        for part in parts:
            if not _KEPT.fullmatch(part.filename):
                continue
            if part.filename not in names:
                raise _twice(f"two parts called {part.filename}")
            names.discard(part.filename)
            if part.flag_bits & 1:
                raise _encrypted()
            content = b"".join(_unpacked(archive, part, left))
            left -= len(content)
            _check_counts(content)
            extents.append(_extent(content))  # of every part: a sheet may lie anywhere
            if _SHEET_PART.fullmatch(part.filename):
                content = _ERROR_CELL.sub(rb'\1"str"', content)
            kept.writestr(zipfile.ZipInfo(part.filename), content)
    _check_extents(extents)
    return out.getvalue()


def _unpacked(archive: zipfile.ZipFile, part: zipfile.ZipInfo, left: int) -> Iterator[bytes]:
    size = 0
    with archive.open(part) as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            size += len(chunk)
            if size > left:
                raise _beyond(f"unpacks to more than {UNPACKED_BYTES_MAX >> 20} MiB")
            if size > RATIO_FREE_BYTES and size > RATIO_MAX * max(part.compress_size, 1):
                raise _beyond(f"is packed more than {RATIO_MAX} to 1, as no workbook is")
            yield chunk


def _extent(content: bytes) -> tuple[int, int]:
    """Return the furthest row and column that a part names: the reader makes room for the whole rectangle.

    A row or cell that does not say where it is follows the one before.
    """
    rows = columns = 0
    for letters, digits in set(_REFERENCE.findall(content)):
        rows = max(rows, int(digits))
        column = 0
        for letter in letters.upper():
            column = column * 26 + letter - _A
        columns = max(columns, column)
    places = [found.start() for found in _CELL.finditer(content)]
    if len(places) > len(_CELL_WITH_PLACE.findall(content)):
        begins = [found.start() for found in _ROW.finditer(content)]
        rows += len(begins)
        ends = [bisect_left(places, begin) for begin in (*begins, len(content))]
        columns += max((after - before for before, after in pairwise(ends)), default=len(places))
    return rows, max(columns, 1)


def _check_counts(content: bytes) -> None:
    """Refuse a part that says of more texts than it can have: the reader makes room for as many."""
    counts = (int(found[1]) for found in _COUNT.finditer(content))
    if max(counts, default=0) > len(content):
        raise _beyond("says of more shared texts than it has")


def _check_extents(extents: list[tuple[int, int]]) -> None:
    if sum(rows * columns for rows, columns in extents) > CELLS_MAX:
        raise _beyond(f"spans more than {CELLS_MAX} cells")


def _beyond(what: str) -> FileRefused:
    return FileRefused(
        f"the workbook {what}",
        cure="delete empty rows and columns far from the data, or split it, or export it from the system as CSV",
        code="LF-FILE-WORKBOOK-LIMIT",
    )


def _encrypted() -> FileRefused:
    return FileRefused(
        "the workbook is encrypted with a password",
        cure="open it, remove the password, and save it again",
        code="LF-FILE-ENCRYPTED",
    )


def _twice(what: str) -> FileRefused:
    return FileRefused(
        f"the workbook has {what}: programs differ in which of them they read",
        cure="open it in a spreadsheet, look that nothing is missing, and save it again as .xlsx",
        code="LF-FILE-WORKBOOK-DAMAGED",
    )


def _damaged() -> FileRefused:
    return FileRefused(
        "the workbook is damaged, or not in the form .xlsx or .xls",
        cure="open it in a spreadsheet and save it again as .xlsx, or export it from the system as CSV",
        code="LF-FILE-WORKBOOK-DAMAGED",
    )
