"""Text cut into rows of cells, line by line: each with where it stands in the file and the bytes that it is.

- A row ends at a line feed outside quotation marks. What cannot be cut into cells costs one line, not the rest of the file.
- The file is read in blocks of whole lines. Where each line of a block is a row, as nearly everywhere, the block is decoded
  and cut up whole; only where one is not is it read again, line by line.
"""

import csv
import re
from collections.abc import Generator, Iterable, Iterator
from operator import methodcaller
from typing import BinaryIO, NamedTuple

from adapters.decode import body_start, encoding_of
from adapters.errors import RowRefused
from adapters.model import RowWarning
from adapters.profile import Source
from adapters.source_file import Given, SourceFile, changed, stream_of

CELL_CHARACTERS_MAX = 32_768
RECORD_BYTES_MAX = 262_144

Cells = list[str]

_PADDING = re.compile(r'(?<![,"])"[ \t]+(?=,|\r?\n|\Z)')
"""A closing quotation mark with blanks after it; one that opens a cell stands behind a delimiter or another one."""
_SKIPPED_BYTES = 1 << 16
_BLOCK_BYTES = 1 << 17
_LINE_END, _LINE_FEED = b"\r\n", b"\n"


class Row(NamedTuple):
    """One record: where it begins, its bytes, and its cells or the reason why it has none."""

    line: int
    raw: bytes
    cells: Cells
    refused: RowRefused | None = None
    start: int = -1
    """First byte of it in the file; -1 where the file is no text."""
    sheet: str = ""
    """Workbooks of several sheets: its sheet."""


class _TooLong(Exception):
    """A record has more lines or bytes than any has."""


class _Lines:
    """Feeds csv.reader one line at a time and remembers the bytes of the record being read."""

    def __init__(self, given: Given, encoding: str, lines_max: int, *, padded: bool = False) -> None:
        self._given = given
        self._encoding = encoding
        self._padded = padded
        self._lines_max = lines_max
        self._back: list[tuple[bytes, int]] = []
        """Lines to be read again, the last first, each with its length in the file."""
        self.pending: list[bytes] = []
        """The lines of the record being read; whoever takes the record clears it."""
        self.line = 0
        """Lines given out so far."""
        self.end = body_start(given, encoding)
        """Where the last of them ends in the file."""
        self._stream: BinaryIO = stream_of(given)
        self._stream.seek(self.end)

    def __iter__(self) -> Iterator[str]:
        pending, encoding, lines_max, padded = self.pending, self._encoding, self._lines_max, self._padded
        readline = self._stream.readline
        while True:
            if self._back:
                line, length = self._back.pop()
            else:
                line = readline(RECORD_BYTES_MAX + 1)
                length = len(line)
                if length > RECORD_BYTES_MAX:
                    length += self._skip(line)
            if not line:
                self._finish()
                return
            pending.append(line)
            self.line += 1
            self.end += length
            if len(pending) > lines_max or length > RECORD_BYTES_MAX:
                raise _TooLong
            try:
                text = line.decode(encoding)
            except UnicodeDecodeError as error:  # all of it could be decoded before
                raise changed() from error
            yield _PADDING.sub('"', text) if padded else text

    def block(self) -> bytes:
        """Return the whole lines that come next, as many as fit a block; nothing where that is none, and at the end."""
        self._stream.seek(self.end)
        data = self._stream.read(_BLOCK_BYTES)
        return data[: data.rfind(_LINE_FEED) + 1]

    def pass_over(self, lines: int, block: bytes) -> None:
        """Count a block that has been read otherwise."""
        self.line += lines
        self.end += len(block)

    def read_again(self) -> None:
        """Go back to the beginning of the block."""
        self._stream.seek(self.end)

    @property
    def is_between(self) -> bool:
        """Say whether no line of a record is being held."""
        return not self._back and not self.pending

    def first_only(self, begin: int) -> bytes:
        """Return the first line of a record that cannot be read; the others will be read again."""
        first, *others = self.pending
        if others:
            after = self.end
            self.end = place = begin + len(first)
            again = []
            for line in others[:-1]:
                again.append((line, len(line)))
                place += len(line)
            again.append((others[-1], after - place))
            self._back.extend(reversed(again))
            self.line -= len(others)
        self.pending.clear()
        return first

    def _skip(self, line: bytes) -> int:
        """Pass over the rest of a line that is too long; return how many bytes that is."""
        skipped = 0
        while line and not line.endswith(b"\n"):
            line = self._stream.readline(_SKIPPED_BYTES)
            skipped += len(line)
        return skipped

    def _finish(self) -> None:
        if isinstance(self._given, SourceFile) and not self._stream.closed:
            self._given.require_unchanged(self._stream)

    def close(self) -> None:
        """Let go of the file."""
        self._stream.close()


def rows_of(given: Given, encoding: str, source: Source) -> Iterator[Row]:
    """Yield every line, or lines that belong together, of a file whose encoding is known."""
    csv.field_size_limit(CELL_CHARACTERS_MAX)
    lines = _Lines(given, encoding, source.record_lines_max, padded=source.padded)
    try:
        yield from _rows(lines, source, encoding)
    finally:
        lines.close()


def text_rows(given: Given, source: Source) -> tuple[str, Iterator[Row]]:
    """Return the encoding of a file, and its rows. FileRefused when it is in none that the dialect allows."""
    encoding = encoding_of(given, list(source.encodings))
    return encoding, rows_of(given, encoding, source)


def _rows(lines: _Lines, source: Source, encoding: str) -> Iterator[Row]:
    ended = False
    while not ended:
        while block := lines.block():
            texts = _texts(block, encoding)
            cells = _cut_whole(block, texts, source)
            if cells is None:
                break
            line, begin = lines.line, lines.end
            lines.pass_over(len(texts), block)
            yield from _block_rows(block, cells, line, begin)
        lines.read_again()
        ended = yield from _rows_one_by_one(lines, source.delimiter, lines.end + len(block))


def _texts(block: bytes, encoding: str) -> list[str]:
    """Return a block's lines, without the line feeds."""
    try:
        texts = block.decode(encoding).split("\n")
    except UnicodeDecodeError as error:  # all of it could be decoded before
        raise changed() from error
    texts.pop()  # what stands behind the last line feed: nothing
    return texts


def _cut_whole(block: bytes, texts: list[str], source: Source) -> Iterable[Cells] | None:
    """Return the cells of each line of a block; None where a record may have several lines, or may not be read."""
    if b'"' not in block and max(map(len, texts)) <= CELL_CHARACTERS_MAX:
        returns = block.count(b"\r")
        if not returns and "" not in texts:
            return map(methodcaller("split", source.delimiter), texts)
        if returns == block.count(_LINE_END) == len(texts) and "\r" not in texts:
            return (text[:-1].split(source.delimiter) for text in texts)
    if source.padded:
        texts = [_PADDING.sub('"', text) for text in texts]
    try:
        every = list(csv.reader(texts, delimiter=source.delimiter, strict=True))
    except csv.Error:
        return None
    return every if len(every) == len(texts) else None


def _block_rows(block: bytes, every: Iterable[Cells], line: int, begin: int) -> Iterator[Row]:
    raws = block.split(_LINE_FEED)
    new = tuple.__new__
    for cells, raw in zip(every, raws, strict=False):
        line += 1
        yield new(Row, (line, raw + _LINE_FEED, cells, None, begin, ""))
        begin += len(raw) + 1


def _rows_one_by_one(lines: _Lines, delimiter: str, until: int) -> Generator[Row, None, bool]:
    """Yield records, the first at least, and those that begin before a place; return whether the file has ended."""
    pending, begin = lines.pending, lines.end
    while True:
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        try:
            for cells in reader:
                if len(pending) == 1:
                    line, raw = lines.line, pending[0]
                else:
                    line, raw = lines.line - len(pending) + 1, b"".join(pending)
                pending.clear()
                yield Row(line, raw, cells, None, begin)
                begin = lines.end
                if begin >= until and lines.is_between:
                    return False
            if not pending:
                return True
        except (csv.Error, _TooLong):
            pass
        raw = lines.first_only(begin)
        yield Row(
            lines.line, raw[:RECORD_BYTES_MAX], [], TOO_LARGE if len(raw) > RECORD_BYTES_MAX else _UNREADABLE, begin
        )
        begin = lines.end
        if begin >= until and lines.is_between:
            return False


_UNREADABLE = RowRefused(
    "the row cannot be cut into cells: a quotation mark is not closed, or stands where none may, or a cell is too long",
    cure="correct the quotation marks of that line, or export it again",
    code="LF-ROW-QUOTE",
)
TOO_LARGE = RowRefused(
    f"the row has more than {RECORD_BYTES_MAX} bytes", cure="check the export at that line", code="LF-ROW-SIZE"
)

UNENDED = RowWarning("unended_last_line", "", "the last line has no line end; the file may be cut off")


def is_unended(line: int, raw: bytes) -> bool:
    """Say whether a row is the last of a text file and has no line end, where the lines before it have one."""
    return not raw.endswith(b"\n") and line > 1


def cell_ranges(raw: bytes, encoding: str, delimiter: str, start: int) -> list[tuple[int, int]]:
    """Return where each cell of a row stands in the file, quotation marks included: lexed again, when someone asks."""
    text = raw.decode(encoding)
    body = text.removesuffix("\n").removesuffix("\r")
    found, begin, place, quoted = [], 0, 0, False
    while place <= len(body):
        character = body[place : place + 1]
        if character == '"' and (quoted or place == begin):
            if quoted and body[place + 1 : place + 2] == '"':
                place += 1
            else:
                quoted = not quoted
        elif not character or (character == delimiter and not quoted):
            found.append((begin, place))
            begin = place + 1
        place += 1
    return _in_bytes(body, encoding, found, start)


def _in_bytes(body: str, encoding: str, found: list[tuple[int, int]], start: int) -> list[tuple[int, int]]:
    if body.isascii():
        return [(start + begin, start + end) for begin, end in found]
    ranges, done, place = [], 0, start
    for begin, end in found:
        place += len(body[done:begin].encode(encoding))
        size = len(body[begin:end].encode(encoding))
        ranges.append((place, place + size))
        done, place = end, place + size
    return ranges
