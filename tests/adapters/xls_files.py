"""Old workbooks for the tests, written byte by byte ([MS-CFB], [MS-XLS]): numbers and errors in cells, nothing else."""

import struct

_END, _FREE, _NONE = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFF
_SECTOR, _MINI, _SMALL = 512, 64, 4096


DIVISION, OF_FORMULA = b"\x07\x01", b"\x02\x00\x07\x00\x00\x00\xff\xff"
"""#DIV/0! as a cell's value, and as what a formula came to."""


def xls(*cells: tuple[int, int, float | bytes], small: bool = False) -> bytes:
    """Return an .xls of one sheet; each cell is row, column, number or one of the errors above. A small one lies in the compound file's mini stream."""
    stream = _stream(cells)
    if small:
        assert len(stream) < _SMALL
        stream = stream.ljust(-(-len(stream) // _MINI) * _MINI, b"\0")
        return _compound(stream, small=True)
    return _compound(stream.ljust(max(_SMALL, -(-len(stream) // _SECTOR) * _SECTOR), b"\0"), small=False)


def _record(kind: int, body: bytes) -> bytes:
    return struct.pack("<HH", kind, len(body)) + body


def _cell(row: int, column: int, value: float | bytes) -> bytes:
    place = struct.pack("<HHH", row, column, 0)
    if value == DIVISION:
        return _record(0x0205, place + DIVISION)
    if value == OF_FORMULA:
        return _record(0x0006, place + OF_FORMULA + struct.pack("<HIH", 0, 0, 0))
    assert not isinstance(value, bytes)
    return _record(0x0203, place + struct.pack("<d", value))


def _stream(cells: tuple[tuple[int, int, float | bytes], ...]) -> bytes:
    begin = struct.pack("<HHHHII", 0x0600, 0x0005, 0x0DBB, 0x07CC, 0, 6)
    size = len(_record(0x0809, begin)) + 4 + 9 + 4
    sheets = _record(0x0085, struct.pack("<IBBBB", size, 0, 0, 1, 0) + b"S")
    numbers = b"".join(_cell(*cell) for cell in cells)
    sheet = _record(0x0809, begin[:2] + b"\x10\0" + begin[4:]) + numbers + _record(0x000A, b"")
    whole = _record(0x0809, begin) + sheets + _record(0x000A, b"")
    assert len(whole) == size, "the sheet begins where the list of sheets says"
    return whole + sheet


def _entry(name: str, kind: int, start: int, size: int, child: int = _NONE) -> bytes:
    text = name.encode("utf-16-le").ljust(64, b"\0")
    length = len(name) * 2 + 2 if name else 0
    links = struct.pack("<HBBIII", length, kind, 1, _NONE, _NONE, child)
    return text + links + b"\0" * 36 + struct.pack("<IQ", start, size)


def _compound(stream: bytes, *, small: bool) -> bytes:
    """Lay it out: the table of sectors, the directory, the table of mini sectors where it is small, then the stream."""
    first = 3 if small else 2
    count = -(-len(stream) // _SECTOR)
    chain = [*range(first + 1, first + count), _END]
    table = [0xFFFFFFFD, _END, *([_END] if small else []), *chain]
    parts = [struct.pack(f"<{len(table)}I", *table).ljust(_SECTOR, b"\xff")]
    root = _entry("Root Entry", 5, first if small else _END, len(stream) if small else 0, 1)
    book = _entry("Workbook", 2, 0 if small else first, len(stream))
    parts.append(root + book + _entry("", 0, 0, 0) * 2)
    if small:
        mini = [*range(1, len(stream) // _MINI), _END]
        parts.append(struct.pack(f"<{len(mini)}I", *mini).ljust(_SECTOR, b"\xff"))
    parts.append(stream.ljust(count * _SECTOR, b"\0"))
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 16 + struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6) + b"\0" * 6
    places = struct.pack("<IIIIIIIII", 0, 1, 1, 0, _SMALL, 2 if small else _END, int(small), _END, 0)
    return head + places + struct.pack("<109I", 0, *[_FREE] * 108) + b"".join(parts)
