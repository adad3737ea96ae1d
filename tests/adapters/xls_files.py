"""Old workbooks for the tests, written byte by byte ([MS-CFB], [MS-XLS]): numbers, errors and shared texts in cells, nothing else."""

import struct

_END, _FREE, _NONE = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFF
_SECTOR, _MINI, _SMALL = 512, 64, 4096


DIVISION, OF_FORMULA = b"\x07\x01", b"\x02\x00\x07\x00\x00\x00\xff\xff"
"""#DIV/0! as a cell's value, and as what a formula came to."""


Value = float | bytes | str


def xls(
    *cells: tuple[int, int, Value], small: bool = False, piece: int = 8000, extra: bytes = b"", listed: bytes = b""
) -> bytes:
    """Return an .xls of one sheet; each cell is row, column, and a number, a text or one of the errors above.

    A small one lies in the compound file's mini stream. `piece`: most bytes of a record of shared texts. `extra`: records before
    the cells; `listed`: records behind the list of sheets.
    """
    stream = _stream(cells, piece, extra, listed)
    if small:
        assert len(stream) < _SMALL
        stream = stream.ljust(-(-len(stream) // _MINI) * _MINI, b"\0")
        return _compound(stream, small=True)
    return _compound(stream.ljust(max(_SMALL, -(-len(stream) // _SECTOR) * _SECTOR), b"\0"), small=False)


def record(kind: int, body: bytes) -> bytes:
    """Return a record of the workbook stream."""
    return struct.pack("<HH", kind, len(body)) + body


def _cell(row: int, column: int, value: Value, texts: list[str]) -> bytes:
    place = struct.pack("<HHH", row, column, 0)
    if isinstance(value, str):
        return record(0x00FD, place + struct.pack("<I", texts.index(value)))
    if value == DIVISION:
        return record(0x0205, place + DIVISION)
    if value == OF_FORMULA:
        return record(0x0006, place + OF_FORMULA + struct.pack("<HIH", 0, 0, 0))
    assert not isinstance(value, bytes)
    return record(0x0203, place + struct.pack("<d", value))


def _shared(texts: list[str], piece: int) -> bytes:
    """Return the table of shared texts: a text that does not fit goes on in a further record, which says its width anew."""
    bodies, room = [struct.pack("<II", len(texts), len(texts))], piece - 8
    for text in texts:
        wide = not text.isascii()
        letters = text.encode("utf-16-le" if wide else "ascii")
        if room < 5:
            bodies, room = [*bodies, b""], piece
        bodies[-1] += struct.pack("<HB", len(text), wide)
        room -= 3
        while letters:
            if room < 1 + wide:
                bodies, room = [*bodies, bytes([wide])], piece - 1
            taken = min(room - room % (1 + wide), len(letters))
            bodies[-1] += letters[:taken]
            letters, room = letters[taken:], room - taken
    return b"".join(record(0x003C if number else 0x00FC, body) for number, body in enumerate(bodies))


def _stream(cells: tuple[tuple[int, int, Value], ...], piece: int, extra: bytes, listed: bytes) -> bytes:
    begin = struct.pack("<HHHHII", 0x0600, 0x0005, 0x0DBB, 0x07CC, 0, 6)
    texts = list(dict.fromkeys(value for _, _, value in cells if isinstance(value, str)))
    shared = _shared(texts, piece) if texts else b""
    size = len(record(0x0809, begin)) + 4 + 9 + len(listed) + len(shared) + 4
    sheets = record(0x0085, struct.pack("<IBBBB", size, 0, 0, 1, 0) + b"S")
    numbers = b"".join(_cell(*cell, texts) for cell in cells)
    sheet = record(0x0809, begin[:2] + b"\x10\0" + begin[4:]) + extra + numbers + record(0x000A, b"")
    whole = record(0x0809, begin) + sheets + listed + shared + record(0x000A, b"")
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
