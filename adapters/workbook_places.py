"""Where the cells of an .xlsx stand, for an auditor who follows a field back with tools of their own.

- A place is the member of the archive, the cell's reference, and the bytes of its element `<c>` in the unpacked member; where
  the text is a shared one, also the member of shared texts, the index there, and the bytes of that `<si>`.
- It is worked out when somebody asks: a second pass over a member for where its rows begin, then row by row.
- Bytes are given only where what stands there is the text that was read: for what a stranger's parser would see otherwise,
  and for members in UTF-16, there is the cell's reference alone.
"""

import re
import zipfile
from array import array
from bisect import bisect_left
from collections.abc import Mapping
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

from adapters.errors import FileRefused
from adapters.model import NOWHERE, Shared, Spot
from adapters.source_file import Given, changed, stream_of
from adapters.workbook_file import UNPACKED_BYTES_MAX
from adapters.workbook_xml import (
    START_TAG,
    Cell,
    Stop,
    cells_of,
    encoding_in,
    end_of,
    local,
    parsed,
    parser_of,
    texts_of,
)

WORKBOOK = "xl/workbook.xml"
_RELATIONS = "xl/_rels/workbook.xml.rels"
_SHARED_TYPE = "/sharedStrings"
_NUMBER = re.compile(r"[0-9]{1,9}")
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
_UTF16 = (b"\xff\xfe", b"\xfe\xff", b"<\0", b"\0<")
_A = ord("A") - 1
_LETTERS = 26


def reference(row: int, column: int) -> str:
    """Return a cell's reference: row from 1, column from 0."""
    letters, left = "", column + 1
    while left:
        left, rest = divmod(left - 1, _LETTERS)
        letters = chr(rest + _A + 1) + letters
    return f"{letters}{row}"


class XlsxPlaces:
    """Finds cells in an archive. Its members are unpacked once, when first asked for."""

    def __init__(self, given: Given) -> None:
        self._given = given
        self._sheets: dict[str, _Rows | None] = {}

    def sheet(self, name: str) -> Spot:
        """Return where a sheet is named."""
        found = self._parts.get(name)
        return Spot(found.start, found.end, WORKBOOK) if found is not None else NOWHERE

    def of(self, sheet: str, row: int, column: int, text: str) -> Spot:
        """Return where a cell stands whose text was read: row from 1, column from 0."""
        part = self._parts.get(sheet)
        if part is None:
            return NOWHERE
        cell = self._row(part.path, row).get(column)
        return self._spot(part.path, reference(row, column), cell, text)

    def holding(self, sheet: str, row: int, text: str) -> Spot:
        """Return where the one cell of a row stands in which a text is; nowhere when there are several, or none."""
        part = self._parts.get(sheet)
        if part is None:
            return NOWHERE
        cells = self._row(part.path, row).items()
        texts = [(column, cell, self._text(cell, self._shared_at(cell))) for column, cell in cells]
        found = [one for one in texts if text and text in one[2]]
        if len(found) != 1:
            return Spot(-1, -1, part.path)
        column, cell, whole = found[0]
        return self._spot(part.path, reference(row, column), cell, whole)

    def _spot(self, path: str, name: str, cell: Cell | None, text: str) -> Spot:
        unknown = Spot(-1, -1, path, name)
        if cell is None:
            return unknown
        if cell.kind not in ("s", "str", "inlineStr"):
            return Spot(cell.start, cell.end, path, name)
        shared = self._shared_at(cell)
        held = self._text(cell, shared)
        if held != text and _bare(held) != _bare(text):
            return unknown
        return Spot(cell.start, cell.end, path, name, shared)

    def _text(self, cell: Cell, shared: Shared | None) -> str:
        if cell.kind != "s":
            return cell.text
        if shared is None or self._shared is None:
            return ""
        return "".join(texts_of(self._shared.content[shared.start : shared.end], self._shared.encoding))

    def _shared_at(self, cell: Cell) -> Shared | None:
        if cell.kind != "s":
            return None
        index = int(cell.text) if _NUMBER.fullmatch(cell.text) else -1
        return self._shared.at(index) if self._shared is not None else None

    def _row(self, path: str, number: int) -> Mapping[int, Cell]:
        if path not in self._sheets:
            content = self._member(path)
            self._sheets[path] = _rows(content) if content else None
        rows = self._sheets[path]
        return rows.cells(number) if rows is not None else {}

    @cached_property
    def _parts(self) -> dict[str, "_SheetPart"]:
        """The worksheets, by name."""
        targets = {key: path for key, (path, _) in self._targets.items()}
        return _sheet_parts(self._member(WORKBOOK), targets)

    @cached_property
    def _targets(self) -> dict[str, tuple[str, str]]:
        return _relations(self._member(_RELATIONS))

    @cached_property
    def _shared(self) -> "_SharedTexts | None":
        path = next((path for path, kind in self._targets.values() if kind.endswith(_SHARED_TYPE)), "")
        content = self._member(path) if path else b""
        return _shared_texts(path, content) if content else None

    def _member(self, path: str) -> bytes:
        """Return a member, unpacked; empty where there is none. FileRefused when the file is no longer what was read."""
        try:
            with (
                stream_of(self._given) as stream,
                zipfile.ZipFile(stream) as archive,
                archive.open(path) as member,
            ):
                content = member.read(UNPACKED_BYTES_MAX)
        except KeyError:
            return b""
        except FileRefused:
            raise
        except Exception as error:  # it was read a moment ago
            raise changed() from error
        return b"" if content.startswith(_UTF16) else content


class _SheetPart(NamedTuple):
    """Where a worksheet is named, and the member that holds it."""

    path: str
    start: int
    end: int


def _relations(content: bytes) -> dict[str, tuple[str, str]]:
    """Return the members that the workbook leads to: path and type, by the relation's id."""
    found: dict[str, tuple[str, str]] = {}

    def start(name: str, attributes: dict[str, str]) -> None:
        if local(name) == "Relationship":
            target = attributes.get("Target", "")
            path = target.removeprefix("/") if target.startswith(("/xl/", "xl/")) else f"xl/{target}"
            found[attributes.get("Id", "")] = path, attributes.get("Type", "")

    parser = parser_of(encoding_in(content))
    parser.StartElementHandler = start
    return found if parsed(parser, content) else {}


def _sheet_parts(content: bytes, targets: Mapping[str, str]) -> dict[str, _SheetPart]:
    found: dict[str, _SheetPart] = {}

    def start(name: str, attributes: dict[str, str]) -> None:
        if local(name) != "sheet":
            return
        key = next((value for key, value in attributes.items() if local(key) == "id"), "")
        begin = parser.CurrentByteIndex
        tag = START_TAG.match(content, begin)
        if key in targets and tag is not None:
            found.setdefault(attributes.get("name", ""), _SheetPart(targets[key], begin, tag.end()))

    parser = parser_of(encoding_in(content))
    parser.StartElementHandler = start
    return found if parsed(parser, content) else {}


class _Rows:
    """Where the rows of a sheet begin; a row is cut into cells when it is asked for, and the last one is kept."""

    def __init__(self, content: bytes, encoding: str, numbers: "array[int]", starts: "array[int]") -> None:
        self._content, self._encoding = content, encoding
        self._numbers, self._starts = numbers, starts
        self._last: tuple[int, Mapping[int, Cell]] = (0, {})

    def cells(self, number: int) -> Mapping[int, Cell]:
        """Return the cells of a row by their columns, from 0; none where it is not there."""
        if self._last[0] != number:
            self._last = number, self._cut(number)
        return self._last[1]

    def _cut(self, number: int) -> Mapping[int, Cell]:
        place = bisect_left(self._numbers, number)
        if place == len(self._numbers) or self._numbers[place] != number:
            return {}
        start = self._starts[place]
        end = self._starts[place + 1] if place + 1 < len(self._starts) else len(self._content)
        return cells_of(self._content[start:end], start, number, self._encoding)


def _rows(content: bytes) -> _Rows | None:
    """Find the rows of a sheet; None when the parser cannot, or their numbers do not rise: then nobody knows which is read."""
    numbers, starts = array("Q"), array("Q")
    wanted = ""

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal wanted
        if name == wanted:
            given = attributes.get("r", "")
            if given and not _NUMBER.fullmatch(given):
                raise Stop
            numbers.append(int(given) if given else (numbers[-1] if numbers else 0) + 1)
            starts.append(parser.CurrentByteIndex)
        elif not wanted:
            wanted = f"{name[: -len(local(name))]}row"

    encoding = encoding_in(content)
    parser = parser_of(encoding)
    parser.StartElementHandler = start
    if not parsed(parser, content) or any(after <= before for before, after in pairwise(numbers)):
        return None
    return _Rows(content, encoding, numbers, starts)


class _SharedTexts(NamedTuple):
    """The member of shared texts, and where each stands."""

    path: str
    content: bytes
    encoding: str
    starts: "array[int]"
    ends: "array[int]"

    def at(self, index: int) -> Shared | None:
        """Return where a text stands; None when there is none of that index."""
        if not 0 <= index < len(self.ends):
            return None
        return Shared(self.path, index, self.starts[index], self.ends[index])


def _shared_texts(path: str, content: bytes) -> _SharedTexts | None:
    starts, ends = array("Q"), array("Q")

    def start(name: str, _: dict[str, str]) -> None:
        if local(name) == "si":
            starts.append(parser.CurrentByteIndex)

    def end(name: str) -> None:
        if local(name) == "si":
            ends.append(end_of(content, starts[-1], parser.CurrentByteIndex))

    encoding = encoding_in(content)
    parser = parser_of(encoding)
    parser.StartElementHandler, parser.EndElementHandler = start, end
    return _SharedTexts(path, content, encoding, starts, ends) if parsed(parser, content) else None


def _bare(text: str) -> str:
    """Return a text without blanks, and with the escapes of spreadsheets undone: readers differ in those."""
    return "".join(_ESCAPED.sub(lambda found: chr(int(found[1], 16)), text).split())
