"""JSON in pieces: a survey by the reader that reads whole files, which sees a stretch of the file at a time.

- Each piece is read as it will be read again, and dropped; so what the survey takes, the second reading takes. Where it can
  be seen at once that the reader will take a piece, the decoder of the standard library, which is fast, looks at it instead.
- A window is read as the array that it is a part of.
"""

import codecs
import json
import re
import sys
from collections.abc import Sequence
from typing import NamedTuple

from adapters import pieces, read_json
from adapters.errors import FileRefused
from adapters.paths import in_order
from adapters.pieces import CannotCut, Matches, Surveyed, Window, Windows, marked
from adapters.source_file import Given, changed, chunks_of
from adapters.tree import UNKNOWN, Element

_AHEAD_BYTES = 64 * 1024
"""So much of the file is seen ahead of where it is read; only texts and numbers may be longer, and then more is seen."""
_BLANK = re.compile(rb"[ \t\r\n]*")
_OPEN = re.compile(
    rb'"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*+(?:\\(?:u[0-9a-fA-F]{0,3})?)?\Z',
)
"""A text whose end is not to be seen yet."""
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
"""Half of a character, perhaps without its other half."""
_BOM = b"\xef\xbb\xbf"


def _named_once(members: list[tuple[str, object]]) -> None:
    """Refuse an object in which a key stands twice."""
    if len(dict(members)) < len(members):
        raise ValueError


def _no_number(_: str) -> None:
    raise ValueError


_SOUND = json.JSONDecoder(object_pairs_hook=_named_once, parse_int=len, parse_float=len, parse_constant=_no_number)
"""Takes no more than our reader, and makes nothing of it."""


class _Place(NamedTuple):
    """Where a run of pieces stands."""

    name: str
    depth: int


def survey(given: Given, matches: Matches, _: frozenset[str], watched: frozenset[str]) -> Surveyed:
    """Go through a file. FileRefused when it is no JSON; CannotCut when it cannot be read in these pieces."""
    surveyor = _Surveyor(given, matches, watched)
    try:
        return surveyor.over()
    except read_json.Bad as bad:
        refused = read_json.refused(bad.cause, bad.code)
        if bad.code == "LF-JSON-ELEMENTS":  # of a piece, or outside of all: the file as a whole may have more
            raise CannotCut(refused) from bad
        raise refused from bad


class _Surveyor(read_json.Reading):
    """Goes through one file."""

    def __init__(self, given: Given, matches: Matches, watched: frozenset[str]) -> None:
        super().__init__(b"", 0, 0, 1)
        self.elements_max = pieces.KEPT_ELEMENTS_MAX
        self._matches, self._watched = matches, watched
        self._chunks = chunks_of(given)
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._ended = False
        self._text = ""
        self._stack: list[str] = []
        self._began = UNKNOWN
        """Where the piece begins that is being read; -1 outside of pieces."""
        self._windows = Windows()
        self._marks: list[Element] = []
        self._places: list[_Place] = []
        self._run: str | None = None
        """Name of the pieces of the run that may go on; None where another begins."""
        self._kept_from = self._kept_bytes = 0

    def over(self) -> Surveyed:
        """Go through the file."""
        self._fill()
        if self._data.startswith(_BOM):
            self._place = self._counted = len(_BOM)
        root = self.root()
        runs = marked(root, self._marks)
        return Surveyed(root, runs, tuple(self._windows.found), self._windows.pieces, self._read, None, _unknown)

    def _fill(self) -> None:
        """See more of the file, and forget what was read."""
        chunk = next(self._chunks, b"")
        self._ended = not chunk
        try:
            self._decoder.decode(chunk, final=self._ended)
        except UnicodeDecodeError as error:
            raise read_json.refused("the JSON is not in UTF-8", "LF-JSON-ENCODING") from error
        self._line_at(self._place)
        self._data = self._data[self._place :] + chunk
        self._text = self._data.decode("latin-1")
        self._base += self._place
        self._counted -= self._place
        self._place, self._end = 0, len(self._data)

    def _next(self) -> bytes:
        while not self._ended and self._end - self._place < _AHEAD_BYTES:
            self._fill()
        found = read_json.TOKEN.match(self._data, self._place, self._end)
        while not self._ended and (found.end() == self._end if found is not None else self._may_go_on()):
            self._require_small()
            self._fill()
            found = read_json.TOKEN.match(self._data, self._place, self._end)
        if found is None:
            raise self._bad("the JSON is not well-formed or cut off")
        self._place = found.end()
        self._require_small()
        return found[found.lastindex or 0]

    def _may_go_on(self) -> bool:
        """Say whether what is no token as far as it can be seen may be one with what comes."""
        blank = _BLANK.match(self._data, self._place)
        assert blank is not None, "it matches nothing too"
        return blank.end() == self._end or _OPEN.match(self._data, blank.end()) is not None

    def _require_small(self) -> None:
        """Refuse to cut a file of which too much stands in one piece, or outside of all. CannotCut."""
        if self._began >= 0:
            if (
                self._base + self._place - self._began > pieces.PIECE_BYTES_MAX
                or self._end > 2 * pieces.PIECE_BYTES_MAX
            ):
                raise CannotCut(_too_large())
        elif self._kept_bytes + self._base + self._place - self._kept_from > pieces.KEPT_BYTES_MAX:
            raise CannotCut(_too_much())

    def _is_at_end(self) -> bool:
        while super()._is_at_end():
            if self._ended:
                return True
            self._place = self._end
            self._fill()
        return False

    def _array_root(self) -> Element:
        self._stack.append(read_json.ROOT)
        return super()._array_root()

    def _value(self, token: bytes, name: str, depth: int) -> list[Element]:
        if self._began >= 0:
            return super()._value(token, name, depth)
        if token == b"[":  # its items have its name
            self._run = None
            return super()._value(token, name, depth)
        self._stack.append(name)
        if self._matches(self._stack):
            found = self._piece(token, name, depth)
        else:
            self._run = None
            found = super()._value(token, name, depth)
            self._run = None
        self._stack.pop()
        return found

    def _nested(self, name: str, depth: int) -> list[Element]:
        if self._began >= 0:
            return super()._nested(name, depth)
        self._stack.append(name)
        found = self._piece(None, name, depth + 1) if self._matches(self._stack) else super()._nested(name, depth)
        self._stack.pop()
        return found

    def _piece(self, token: bytes | None, name: str, depth: int) -> list[Element]:
        """Read a piece, drop what is in it, and return what stands for it: the first of a run leaves a place."""
        at = self._place - len(token or b"[")
        start, line = self._base + at, self._line_at(at)
        kept, self._elements, self.elements_max = self._elements, 0, pieces.PIECE_ELEMENTS_MAX
        self._began = start
        end = self._seen_sound(at, depth) if token == b"{" and not self._watched else 0
        found: list[Element] = []
        if end:
            self._place = end
            self._require_small()
        else:
            found = super()._nested(name, depth - 1) if token is None else super()._value(token or b"", name, depth)
        self._began = UNKNOWN
        self._elements, self.elements_max = kept, pieces.KEPT_ELEMENTS_MAX
        if self._watched and any(one.name in self._watched for top in found for one in in_order(top)):
            raise CannotCut
        return self._taken(start, line, name, depth)

    def _seen_sound(self, at: int, depth: int) -> int:
        """Return the end of an object of which it is plain that the reader takes it; 0 where only the reader can tell.

        Bytes are looked at as Latin-1, so that places are those of the bytes; what differs then from UTF-8 is left to the reader.
        """
        try:
            _, end = _SOUND.raw_decode(self._text, at)
        except (ValueError, RecursionError):
            return 0
        data = self._data[at:end]
        plain = data.isascii() or b"\\u" not in data
        shallow = data.count(b"{") + data.count(b"[") <= read_json.DEPTH_MAX - depth
        small = len(data) <= pieces.PIECE_ELEMENTS_MAX  # a value has a byte at least
        return end if plain and shallow and small and _HALF.search(data) is None else 0

    def _taken(self, start: int, line: int, name: str, depth: int) -> list[Element]:
        end, mark = self._base + self._place, []
        if self._run != name:
            self._run = name
            self._elements += 1
            self._kept_bytes += start - self._kept_from
            mark = [Element(name, "", (), line, start, end)]
            self._marks += mark
            self._places.append(_Place(name, depth))
        self._windows.add(len(self._marks) - 1, start, end, line)
        self._kept_from = end
        return mark

    def _read(self, window: Window, data: bytes) -> Sequence[Element]:
        """Return the pieces of a window. FileRefused when the file is no longer what was surveyed."""
        place = self._places[window.run]
        reading = read_json.Reading(b"[%b]" % data, 1, len(data) + 2, window.line, window.start - 1)
        reading.elements_max = sys.maxsize  # each piece was counted
        try:
            return reading.items(place.name, place.depth - 1)
        except read_json.Bad as bad:
            raise changed() from bad


def _unknown(_: Element) -> tuple[int, int]:
    """Every element knows its own place."""
    return UNKNOWN, UNKNOWN


def _too_large() -> FileRefused:
    return read_json.refused(f"the JSON has a record of more than {pieces.PIECE_BYTES_MAX} bytes", "LF-JSON-SIZE")


def _too_much() -> FileRefused:
    cause = f"the JSON has more than {pieces.KEPT_BYTES_MAX} bytes outside of its records"
    return read_json.refused(cause, "LF-JSON-SIZE")
