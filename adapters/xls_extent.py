"""How far the sheets of an old .xls reach, before anything makes room for them ([MS-CFB], [MS-XLS]), and where errors stand.

The compound file is walked sector by sector, its workbook stream record by record; nothing but places of cells is read, and
which of them hold an error, such as #DIV/0!: the reader of workbooks makes those empty.
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
_BOF = (0x0009, 0x0209, 0x0409, 0x0809)
_CELLS = frozenset((0x0001, 0x0002, 0x0003, 0x0004, 0x0005, 0x0006, 0x0201, 0x0202, 0x0203, 0x0204, 0x0205, 0x0206,
                    0x0406, 0x027E, 0x007E, 0x00FD, 0x00D6, 0x0104))  # fmt: skip
"""Records that begin with the row and the column of one cell ([MS-XLS] 2.3)."""
_RANGES = frozenset((0x00BD, 0x00BE))
"""MulRk and MulBlank: row, first column, …, last column."""


_EOF, _SHEET, _FORMULA, _BOOLEAN = 0x000A, 0x0085, 0x0006, 0x0205
_ERRORS = {0x00: "#NULL!", 0x07: "#DIV/0!", 0x0F: "#VALUE!", 0x17: "#REF!", 0x1D: "#NAME?", 0x24: "#NUM!", 0x2A: "#N/A"}
_IS_ERROR = 2


class ErrorCell(NamedTuple):
    """A cell that holds an error. Sheet, row and column are counted from 0, sheets as the workbook lists them."""

    sheet: int
    row: int
    column: int
    text: str


def errors_in_xls(data: bytes) -> dict[int, list[ErrorCell]]:
    """Return the cells that hold an error, by sheet, of a workbook that can be walked."""
    stream = _workbook_stream(data)
    found: dict[int, list[ErrorCell]] = {}
    for cell in _errors(stream) if stream is not None else ():
        found.setdefault(cell.sheet, []).append(cell)
    return found


def extent_of_xls(data: bytes) -> list[tuple[int, int]] | None:
    """Return how many rows and columns each part of the workbook spans; None when it cannot be walked."""
    try:
        stream = _workbook_stream(data)
    except (struct.error, IndexError, ValueError):
        return None
    return _extents(stream) if stream is not None else None


def _workbook_stream(data: bytes) -> bytes | None:
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
            return stream[:length] if len(stream) >= length else None  # a file that was cut off lacks its last rows
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


def _extents(stream: bytes) -> list[tuple[int, int]]:
    """Walk the records; each beginning of a substream (BOF) begins a sheet."""
    found: list[tuple[int, int]] = []
    at, rows, columns = 0, 0, 0
    while at + 4 <= len(stream):
        kind, length = struct.unpack_from("<HH", stream, at)
        body = stream[at + 4 : at + 4 + length]
        at += 4 + length
        if kind in _BOF:
            found.append((rows, columns))
            rows = columns = 0
        elif kind in _CELLS and len(body) >= 4:  # noqa: PLR2004 - row and column
            row, column = struct.unpack_from("<HH", body)
            rows, columns = max(rows, row + 1), max(columns, column + 1)
        elif kind in _RANGES and len(body) >= 6:  # noqa: PLR2004 - row, first and last column
            row, column = struct.unpack_from("<H", body)[0], struct.unpack_from("<H", body, len(body) - 2)[0]
            rows, columns = max(rows, row + 1), max(columns, column + 1)
    return [*found, (rows, columns)]


def _errors(stream: bytes) -> Iterator[ErrorCell]:
    """Walk the records again; charts inside a sheet have a beginning and an end of their own."""
    sheets: dict[int, int] = {}
    open_parts: list[int] = []
    at = 0
    while at + 4 <= len(stream):
        kind, length = struct.unpack_from("<HH", stream, at)
        begin, at = at, at + 4 + length
        if kind in _BOF:
            open_parts.append(begin)
        elif kind == _EOF and open_parts:
            open_parts.pop()
        elif kind == _SHEET and length >= 4 and at <= len(stream):  # noqa: PLR2004 - where its part begins
            sheets[struct.unpack_from("<I", stream, begin + 4)[0]] = len(sheets)
        elif kind in (_FORMULA, _BOOLEAN) and len(open_parts) == 1 and open_parts[0] in sheets:
            text = _error_text(kind, stream[begin + 4 : at])
            if text:
                row, column = struct.unpack_from("<HH", stream, begin + 4)
                yield ErrorCell(sheets[open_parts[0]], row, column, text)


def _error_text(kind: int, body: bytes) -> str:
    """Return the error that a cell holds as a value or as what a formula came to ([MS-XLS] 2.4.24, 2.5.133); empty when none."""
    if kind == _BOOLEAN and len(body) >= 8 and body[7]:  # noqa: PLR2004 - row, column, form, value, whether it is an error
        return _ERRORS.get(body[6], "#ERROR!")
    if kind == _FORMULA and body[12:14] == b"\xff\xff" and body[6] == _IS_ERROR:
        return _ERRORS.get(body[8], "#ERROR!")
    return ""
