"""An old .xls made safe for the reader of workbooks: a compound file of our own, in which nothing claims to be larger than it is.

That reader believes what a file says of its own size, and asks for that much memory at once; a request that cannot be met ends
the whole process, so it must never be made.
- The compound file is built anew around the workbook stream, in sectors that follow each other.
- Records that only say how large a sheet is, and those of names and links to other files, are made unknown ones; what formulas
  are made of is left out, what they came to stays.
- A sheet begins where a part of the stream begins, and no two begin at the same place.
"""

import struct
from typing import NamedTuple

from adapters.xls_extent import BEGINS, CELLS, RANGES, SHEET, workbook_stream

_DIMENSIONS, _NAME, _LINKS, _FORMULA = 0x0200, 0x0018, 0x0017, 0x0006
_UNREAD = frozenset((_DIMENSIONS, _NAME, _LINKS))
_UNKNOWN = b"\xff\xff"
_EXPRESSION = 20
"""Where a formula's body says how long its expression is."""
_SECTOR_BYTES = 4096
_ENTRIES = _SECTOR_BYTES // 4
_FREE, _END, _IS_TABLE = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
_TABLES_MAX = 109
"""Sectors of the allocation table that the header itself lists: enough for 446 MB."""


class Guarded(NamedTuple):
    """A workbook that may be given to the reader."""

    file: bytes
    stream: bytes
    """The workbook stream as it was given."""
    extents: list[tuple[int, int]]
    """How many rows and columns each part of it spans."""


def guarded(data: bytes) -> Guarded | None:
    """Walk a workbook and build it anew; None when it cannot be walked."""
    try:
        found = workbook_stream(data)
        if found is None:
            return None
        name, stream = found
        made = bytearray(stream)
        extents = _walk(stream, made)
    except (struct.error, IndexError, ValueError):
        return None
    return Guarded(_compound(name, bytes(made)), stream, extents) if extents else None


def _walk(stream: bytes, made: bytearray) -> list[tuple[int, int]]:
    """Measure the parts of the stream, and make harmless in `made` what needs it; empty when sheets are not where parts begin."""
    found: list[tuple[int, int]] = []
    begun, sheets = set(), []
    at = rows = columns = 0
    while at + 4 <= len(stream):
        kind, length = struct.unpack_from("<HH", stream, at)
        body = stream[at + 4 : at + 4 + length]
        if kind in BEGINS:
            begun.add(at)
            found.append((rows, columns))
            rows = columns = 0
        elif kind == SHEET and len(body) >= 4:  # noqa: PLR2004 - where its part begins
            sheets.append(struct.unpack_from("<I", body)[0])
        elif kind in _UNREAD:
            made[at : at + 2] = _UNKNOWN
        elif kind in CELLS and len(body) >= 4:  # noqa: PLR2004 - row and column
            row, column = struct.unpack_from("<HH", body)
            rows, columns = max(rows, row + 1), max(columns, column + 1)
            if kind == _FORMULA and length >= _EXPRESSION + 2:
                made[at + 4 + _EXPRESSION : at + 6 + _EXPRESSION] = b"\0\0"
        elif kind in RANGES and len(body) >= 6:  # noqa: PLR2004 - row, first and last column
            row, column = struct.unpack_from("<H", body)[0], struct.unpack_from("<H", body, len(body) - 2)[0]
            rows, columns = max(rows, row + 1), max(columns, column + 1)
        at += 4 + length
    aligned = begun.issuperset(sheets) and len(set(sheets)) == len(sheets)
    return [*found, (rows, columns)] if aligned else []


def _entry(name: str, kind: int, start: int, size: int, child: int = _FREE) -> bytes:
    text = name.encode("utf-16-le").ljust(64, b"\0")
    links = struct.pack("<HBBIII", 2 * len(name) + 2 if name else 0, kind, 1, _FREE, _FREE, child)
    return text + links + bytes(36) + struct.pack("<IQ", start, size)


def _compound(name: str, stream: bytes) -> bytes:
    """Lay it out ([MS-CFB]): header, directory, allocation table, stream."""
    stream = stream.ljust(_SECTOR_BYTES, b"\0")
    count = -(-len(stream) // _SECTOR_BYTES)
    tables = -(-(count + 1) // (_ENTRIES - 1))
    first = 1 + tables
    table = [_END, *[_IS_TABLE] * tables, *range(first + 1, first + count), _END]
    table += [_FREE] * (tables * _ENTRIES - len(table))
    entries = _entry("Root Entry", 5, first, 0, 1) + _entry(name, 2, first, len(stream)) + _entry("", 0, 0, 0) * 30
    places = [*range(1, first), *[_FREE] * (_TABLES_MAX - tables)]
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + struct.pack("<HHHHH", 0x3E, 4, 0xFFFE, 12, 6) + bytes(6)
    head += struct.pack("<IIIIIIIII", 1, tables, 0, 0, _SECTOR_BYTES, _END, 0, _END, 0)
    head += struct.pack(f"<{_TABLES_MAX}I", *places)
    sectors = struct.pack(f"<{len(table)}I", *table)
    return b"".join((head.ljust(_SECTOR_BYTES, b"\0"), entries, sectors, stream.ljust(count * _SECTOR_BYTES, b"\0")))
