"""The workbook stream of an old .xls ([MS-CFB], [MS-XLS]): sheets, places of cells, and which of them hold an error.

The compound file is walked sector by sector, its workbook stream record by record. Errors, such as #DIV/0!, are looked for
because the reader of workbooks makes them empty.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

_HEADER_BYTES = 512
_DIRECTORY_ENTRY_BYTES = 128
_FREE = 0xFFFFFFFA
"""Sector numbers from here on are no sectors ([MS-CFB] 2.1)."""
_SMALL_STREAM_BYTES = 4096
_MINI_BYTES = 64
BEGINS = (0x0009, 0x0209, 0x0409, 0x0809)
CELLS = frozenset((0x0001, 0x0002, 0x0003, 0x0004, 0x0005, 0x0006, 0x0201, 0x0202, 0x0203, 0x0204, 0x0205, 0x0206,
                    0x0406, 0x027E, 0x007E, 0x00FD, 0x00D6, 0x0104))  # fmt: skip
"""Records that begin with the row and the column of one cell ([MS-XLS] 2.3)."""
RANGES = frozenset((0x00BD, 0x00BE))
"""MulRk and MulBlank: row, first column, …, last column."""


_EOF, SHEET, _FORMULA, _BOOLEAN = 0x000A, 0x0085, 0x0006, 0x0205
_ERRORS = {0x00: "#NULL!", 0x07: "#DIV/0!", 0x0F: "#VALUE!", 0x17: "#REF!", 0x1D: "#NAME?", 0x24: "#NUM!", 0x2A: "#N/A"}
_IS_ERROR = 2


class ErrorCell(NamedTuple):
    """A cell that holds an error. Sheet, row and column are counted from 0, sheets as the workbook lists them."""

    sheet: int
    row: int
    column: int
    text: str


class Boundary(NamedTuple):
    """A sheet as the workbook lists it."""

    number: int
    """Which of the sheets, from 0."""
    name: str
    start: int
    """First byte of the record that lists it, in the workbook stream."""
    end: int


class Record(NamedTuple):
    """A record of a sheet: where it begins in the workbook stream, its kind, and the length of its body."""

    sheet: Boundary
    start: int
    kind: int
    length: int


def errors_in_xls(stream: bytes) -> dict[int, list[ErrorCell]]:
    """Return the cells of a workbook stream that hold an error, by sheet."""
    found: dict[int, list[ErrorCell]] = {}
    for cell in _errors(stream):
        found.setdefault(cell.sheet, []).append(cell)
    return found


def workbook_stream(data: bytes) -> tuple[str, bytes] | None:
    """Return the stream in which a workbook stands, with its name; None when there is none, or it is cut off."""
    shift = struct.unpack_from("<H", data, 30)[0]
    if shift not in (9, 12):
        return None
    size = 1 << shift
    fat = _table(data, size)
    directory = b"".join(_chain(data, size, fat, struct.unpack_from("<I", data, 48)[0]))
    root = directory[:_DIRECTORY_ENTRY_BYTES]
    for at in range(0, len(directory) - _DIRECTORY_ENTRY_BYTES + 1, _DIRECTORY_ENTRY_BYTES):
        entry = directory[at : at + _DIRECTORY_ENTRY_BYTES]
        name = entry[: max(struct.unpack_from("<H", entry, 64)[0] - 2, 0)].decode("utf-16-le", "replace")
        if name in ("Workbook", "Book"):
            start, length = struct.unpack_from("<II", entry, 116)
            whole = length >= _SMALL_STREAM_BYTES
            stream = b"".join(_chain(data, size, fat, start)) if whole else _small_stream(data, size, fat, root, start)
            cut_off = len(stream) < length  # such a file lacks its last rows
            return (name, stream[:length]) if not cut_off else None
    return None


def _table(data: bytes, size: int) -> list[int]:
    """Return the sector allocation table: each sector's next."""
    sectors = list(struct.unpack_from("<109I", data, 76))
    further, count = struct.unpack_from("<II", data, 68)
    entries = size // 4
    for _ in range(min(count, len(data) // size)):
        if further >= _FREE:
            break
        *listed, further = struct.unpack_from(f"<{entries}I", data, (further + 1) * size)
        sectors += listed
    fat: list[int] = []
    for sector in sectors:
        if sector < _FREE and (sector + 2) * size <= len(data) + size - 1:
            part = data[(sector + 1) * size : (sector + 2) * size].ljust(size, b"\xff")
            fat += struct.unpack(f"<{entries}I", part)
    return fat


def _chain(data: bytes, size: int, fat: list[int], sector: int) -> Iterator[bytes]:
    for _ in range(len(data) // size + 1):  # a chain that is longer than the file goes in a circle
        if sector >= _FREE or sector >= len(fat):
            return
        yield data[(sector + 1) * size : (sector + 2) * size]
        sector = fat[sector]


def _small_stream(data: bytes, size: int, fat: list[int], root: bytes, start: int) -> bytes:
    mini = b"".join(_chain(data, size, fat, struct.unpack_from("<I", root, 116)[0]))
    first = struct.unpack_from("<I", data, 60)[0]
    raw = b"".join(_chain(data, size, fat, first))
    following = struct.unpack(f"<{len(raw) // 4}I", raw[: len(raw) // 4 * 4])
    found, sector = [], start
    for _ in range(len(mini) // _MINI_BYTES + 1):
        if sector >= len(following):
            break
        found.append(mini[sector * _MINI_BYTES : (sector + 1) * _MINI_BYTES])
        sector = following[sector]
    return b"".join(found)


def records_of(stream: bytes) -> Iterator[Record]:
    """Walk the records again, with the sheet of each; charts inside a sheet have a beginning and an end of their own."""
    sheets: dict[int, Boundary] = {}
    open_parts: list[int] = []
    at = 0
    while at + 4 <= len(stream):
        kind, length = struct.unpack_from("<HH", stream, at)
        begin, at = at, at + 4 + length
        if kind in BEGINS:
            open_parts.append(begin)
        elif kind == _EOF and open_parts:
            open_parts.pop()
        elif kind == SHEET and length >= 8 and at <= len(stream):  # noqa: PLR2004 - where its part begins, and a name
            (place,) = struct.unpack_from("<I", stream, begin + 4)
            sheets[place] = Boundary(len(sheets), _name(stream[begin + 10 : at]), begin, at)
        elif len(open_parts) == 1 and open_parts[0] in sheets and at <= len(stream):
            yield Record(sheets[open_parts[0]], begin, kind, length)


def _errors(stream: bytes) -> Iterator[ErrorCell]:
    for record in records_of(stream):
        if record.kind not in (_FORMULA, _BOOLEAN):
            continue
        body = stream[record.start + 4 : record.start + 4 + record.length]
        text = _error_text(record.kind, body)
        if text:
            row, column = struct.unpack_from("<HH", body)
            yield ErrorCell(record.sheet.number, row, column, text)


def _name(body: bytes) -> str:
    """Return a sheet's name ([MS-XLS] 2.5.240): its length, how wide its letters are, the letters."""
    length, wide = body[0], body[1] & 1
    letters = body[2 : 2 + length * (1 + wide)]
    return letters.decode("utf-16-le" if wide else "latin-1", "replace")


def _error_text(kind: int, body: bytes) -> str:
    """Return the error that a cell holds as a value or as what a formula came to ([MS-XLS] 2.4.24, 2.5.133); empty when none."""
    if kind == _BOOLEAN and len(body) >= 8 and body[7]:  # noqa: PLR2004 - row, column, form, value, whether it is an error
        return _ERRORS.get(body[6], "#ERROR!")
    if kind == _FORMULA and body[12:14] == b"\xff\xff" and body[6] == _IS_ERROR:
        return _ERRORS.get(body[8], "#ERROR!")
    return ""
