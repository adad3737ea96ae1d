"""Where the cells of an old .xls stand ([MS-XLS]): bytes of the cell's record in the stream `Workbook` of the compound file.

- A record begins with its kind and length, four bytes that belong to its place; a formula's text, which is a record of its own
  behind it, belongs to it too.
- Of a text that cells share, the place also names the string in the table of strings. A string that goes on in a further
  record has that record's head within its bytes.
"""

import struct
from array import array
from bisect import bisect_right
from functools import cached_property
from typing import NamedTuple

from adapters.model import NOWHERE, Shared, Spot
from adapters.source_file import Given, whole
from adapters.workbook_places import reference
from adapters.xls_extent import CELLS, RANGES, Boundary, records_of, workbook_stream

_HEAD_BYTES = 4
_SST, _CONTINUE, _STRING, _LABEL_SST = 0x00FC, 0x003C, 0x0207, 0x00FD
_FORMULA = 0x0006
_LEAST_BYTES = {**dict.fromkeys(RANGES, 6), _LABEL_SST: 10}
"""Row and columns; of a shared text also its number. Other cells have a row and a column."""
_BETWEEN = frozenset((0x04BC, 0x0221, 0x0236))
"""Records that may stand between a formula and its text: shared formulas, arrays, tables."""
_WIDE, _EXTENDED, _RICH = 0x01, 0x04, 0x08


class _Found(NamedTuple):
    text: str
    end: int


class XlsPlaces:
    """Finds cells in the stream. It is walked once, when first asked for."""

    def __init__(self, given: Given) -> None:
        self._given = given

    def sheet(self, name: str) -> Spot:
        """Return where a sheet is named."""
        found = self._sheets.get(name)
        return Spot(found[0].start, found[0].end, self._name) if found is not None else NOWHERE

    def of(self, sheet: str, row: int, column: int, text: str) -> Spot:
        """Return where a cell stands whose text was read: row from 1, column from 0."""
        found = self._sheets.get(sheet)
        if found is None:
            return NOWHERE
        name = reference(row, column)
        starts = [start for start in found[1].get(row - 1, ()) if self._covers(start, column)]
        if len(starts) != 1:
            return Spot(-1, -1, self._name, name)
        (start,) = starts
        spot = Spot(start, self._end(start), self._name, name)
        kind = struct.unpack_from("<H", self._stream, start)[0]
        if kind != _LABEL_SST:
            return spot
        (index,) = struct.unpack_from("<I", self._stream, start + _HEAD_BYTES + 6)
        shared, is_text = self._string(index)
        return spot._replace(shared=shared) if is_text == text else Spot(-1, -1, self._name, name)

    def holding(self, sheet: str, row: int, text: str) -> Spot:
        """Return where the one shared text of a row stands in which a text is; nowhere when there are several, or none."""
        found = self._sheets.get(sheet)
        if found is None:
            return NOWHERE
        fits = []
        for start in found[1].get(row - 1, ()):
            kind, _, _, column, _ = struct.unpack_from("<HHHHH", self._stream, start)
            if kind == _LABEL_SST:
                (index,) = struct.unpack_from("<I", self._stream, start + _HEAD_BYTES + 6)
                held = self._string(index)[1]
                if text and text in held:
                    fits.append((column, held))
        return self.of(sheet, row, *fits[0]) if len(fits) == 1 else Spot(-1, -1, self._name)

    def _covers(self, start: int, column: int) -> bool:
        kind, length, _, first = struct.unpack_from("<HHHH", self._stream, start)
        last = struct.unpack_from("<H", self._stream, start + length + 2)[0] if kind in RANGES else first
        return bool(first <= column <= last)

    def _end(self, start: int) -> int:
        kind, length = struct.unpack_from("<HH", self._stream, start)
        end: int
        end = at = start + _HEAD_BYTES + length
        while kind == _FORMULA and at + _HEAD_BYTES <= len(self._stream):
            further, length = struct.unpack_from("<HH", self._stream, at)
            at += _HEAD_BYTES + length
            if further == _STRING:
                return at if at <= len(self._stream) else end
            if further not in _BETWEEN:
                break
        return end

    @cached_property
    def _file(self) -> tuple[str, bytes]:
        return workbook_stream(whole(self._given)) or ("", b"")

    @property
    def _name(self) -> str:
        return self._file[0]

    @property
    def _stream(self) -> bytes:
        return self._file[1]

    @cached_property
    def _sheets(self) -> dict[str, tuple[Boundary, dict[int, "array[int]"]]]:
        """Of each sheet with cells where it is named, and where the records of each row's cells begin."""
        found: dict[str, tuple[Boundary, dict[int, array[int]]]] = {}
        for sheet, start, kind, length in records_of(self._stream):
            if length >= _LEAST_BYTES.get(kind, 4 if kind in CELLS else 1 << 16):
                _, rows = found.setdefault(sheet.name, (sheet, {}))
                (row,) = struct.unpack_from("<H", self._stream, start + _HEAD_BYTES)
                rows.setdefault(row, array("L")).append(start)
        return found

    @cached_property
    def _pieces(self) -> list[tuple[int, int]]:
        """The bodies of the table of strings and of the records in which it goes on."""
        at = 0
        found: list[tuple[int, int]] = []
        while at + _HEAD_BYTES <= len(self._stream):
            kind, length = struct.unpack_from("<HH", self._stream, at)
            if kind == (_CONTINUE if found else _SST):
                found.append((at + _HEAD_BYTES, min(at + _HEAD_BYTES + length, len(self._stream))))
            elif found:
                break
            at += _HEAD_BYTES + length
        return found

    @cached_property
    def _strings(self) -> "array[int]":
        """Where each shared text begins; as far as the table can be read."""
        starts = array("L")
        if not self._pieces or self._pieces[0][1] - self._pieces[0][0] < 8:  # noqa: PLR2004 - two counts
            return starts
        (count,) = struct.unpack_from("<I", self._stream, self._pieces[0][0] + 4)
        at = self._pieces[0][0] + 8
        while len(starts) < count:
            at = self._begin(at)
            try:
                end = self._read(at).end
            except (IndexError, struct.error):
                break
            starts.append(at)
            at = end
        return starts

    def _string(self, index: int) -> tuple[Shared | None, str]:
        if index >= len(self._strings):
            return None, ""
        text, end = self._read(self._strings[index])
        return Shared(self._name, index, self._strings[index], end), text

    def _piece(self, at: int) -> int:
        return bisect_right(self._pieces, at, key=lambda piece: piece[0]) - 1

    def _begin(self, at: int) -> int:
        """Return where what follows begins: a string whose head would stand behind a record's end is in the next one."""
        place = self._piece(at)
        return self._pieces[place + 1][0] if at >= self._pieces[place][1] and place + 1 < len(self._pieces) else at

    def _read(self, at: int) -> _Found:
        """Read a string. IndexError or struct.error where the table ends before it does."""
        count, flags = struct.unpack_from("<HB", self._stream, at)
        at += 3
        runs = extra = 0
        if flags & _RICH:
            (runs,) = struct.unpack_from("<H", self._stream, at)
            at += 2
        if flags & _EXTENDED:
            (extra,) = struct.unpack_from("<I", self._stream, at)
            at += 4
        letters: list[str] = []
        place = self._piece(at)
        while count:
            width = 2 if flags & _WIDE else 1
            room = (self._pieces[place][1] - at) // width
            taken = min(room, count)
            piece = self._stream[at : at + taken * width]
            letters.append(piece.decode("utf-16-le" if flags & _WIDE else "latin-1", "surrogatepass"))
            count, at = count - taken, at + taken * width
            if count:  # the rest goes on in the next record, which says anew how wide its letters are
                place += 1
                at = self._pieces[place][0] + 1
                flags = self._stream[at - 1]
        return _Found("".join(letters), self._past(at, place, 4 * runs + extra))

    def _past(self, at: int, place: int, left: int) -> int:
        """Return where a string ends behind what it says of its looks and its pronunciation."""
        while left:
            room = self._pieces[place][1] - at
            if left <= room:
                return at + left
            left, place = left - room, place + 1
            at = self._pieces[place][0]
        return at
