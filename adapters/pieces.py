"""A document in pieces: what stands around them is kept, they themselves are read in windows, one window after the other.

- A survey goes through the whole file first. It finds what is wrong with it anywhere, so nothing comes of a file that breaks
  in the middle; it keeps what stands outside of the pieces, in front of them and behind; and it notes where windows are.
- A window becomes a document of the same shape as the whole, with the pieces of the window in it and no others.
"""

from collections.abc import Callable, Sequence
from typing import BinaryIO, NamedTuple

from adapters.errors import FileRefused
from adapters.paths import Chain
from adapters.source_file import Given, changed, stream_of
from adapters.tree import Element

PIECE_BYTES_MAX = 8 * 1024 * 1024
"""Most bytes of one piece."""
PIECE_ELEMENTS_MAX = 100_000
"""Most elements, or values, of one piece."""
KEPT_BYTES_MAX = 2 * 1024 * 1024
"""Most bytes that stand outside of the pieces: they are held in memory."""
KEPT_ELEMENTS_MAX = 50_000
"""Most elements, or values, outside of the pieces."""
WINDOW_PIECES = 256
WINDOW_BYTES = 512 * 1024
"""A window is closed when it has so many pieces, or so many bytes."""
MARK = ""
"""Name of what is kept in the place of pieces; no path leads to it."""


class CannotCut(Exception):
    """A file that cannot be read in these pieces; perhaps it can in others, or whole."""

    def __init__(self, refused: FileRefused | None = None) -> None:
        super().__init__()
        self.refused = refused
        """What to say of it when there is no other way."""


class Run(NamedTuple):
    """Pieces that stand side by side."""

    above: Chain
    """The elements around them, the root first; the last one holds the mark."""
    mark: Element


class Window(NamedTuple):
    """Some pieces of a run."""

    run: int
    start: int
    """First byte of the first piece."""
    end: int
    """One past the last byte of the last piece."""
    line: int
    """Line of the first byte."""


class Surveyed(NamedTuple):
    """What a survey has found."""

    root: Element
    """The document without its pieces."""
    runs: tuple[Run, ...]
    windows: tuple[Window, ...]
    pieces: int
    """How many pieces there are."""
    read: Callable[[Window, bytes], Sequence[Element]]
    """Reads the pieces of a window from its bytes."""
    ranges: Callable[[Window, bytes, Sequence[Element]], dict[int, tuple[int, int]]] | None
    """Byte ranges in the file of all elements of a window's pieces, by id; None where elements know their own."""
    kept_range: Callable[[Element], tuple[int, int]]
    """Byte range in the file of an element outside of the pieces."""


Matches = Callable[[Sequence[str]], bool]
"""Says whether an element is a piece, by the names above it and its own, the root's first."""
Survey = Callable[[Given, Matches, frozenset[str], frozenset[str]], Surveyed]
"""Goes through a file: with names of pieces, and names that must not be in one. FileRefused when it cannot be read at all,
CannotCut when not in these pieces."""


class Windows:
    """Collects pieces into windows, and checks how large they are."""

    def __init__(self) -> None:
        self.found: list[Window] = []
        self.pieces = 0
        self.bytes = 0
        self._in_last = 0

    def add(self, run: int, start: int, end: int, line: int) -> None:
        """Take the next piece."""
        self.pieces += 1
        self.bytes += end - start
        last = self.found[-1] if self.found else None
        if last is not None and last.run == run and self._in_last < WINDOW_PIECES and end - last.start <= WINDOW_BYTES:
            self.found[-1] = last._replace(end=end)
            self._in_last += 1
            return
        self.found.append(Window(run, start, end, line))
        self._in_last = 1


def marked(root: Element, places: Sequence[Element]) -> tuple[Run, ...]:
    """Put marks into a tree in the place of elements; return the runs that stand there, in the order of the document."""
    runs: list[Run] = []
    _mark((root,), frozenset(map(id, places)), runs)
    return tuple(runs)


def _mark(chain: Chain, places: frozenset[int], runs: list[Run]) -> None:
    children = chain[-1].children
    for place, child in enumerate(children):
        if id(child) in places and isinstance(children, list):
            children[place] = mark = Element(MARK, "", (), child.line)
            runs.append(Run(chain, mark))
        elif child.children:
            _mark((*chain, child), places, runs)


def grafted(run: Run, pieces: Sequence[Element]) -> Chain:
    """Return the elements around a run, with these pieces in the place of its mark; all else is the same as in the survey."""
    chain: list[Element] = []
    old: Element = run.mark
    new: Sequence[Element] = pieces
    for above in reversed(run.above):
        children: list[Element] = []
        for child in above.children:
            if child is old:
                children.extend(new)
            else:
                children.append(child)
        made = above._replace(children=children)
        chain.append(made)
        old, new = above, (made,)
    return tuple(reversed(chain))


class FileSlices:
    """A file's bytes, by where they stand; what is read is not kept, but for the last stretch that was held."""

    def __init__(self, given: Given) -> None:
        self._given = given
        self._stream: BinaryIO = stream_of(given)
        self._start, self._held = 0, b""

    def hold(self, start: int, end: int) -> bytes:
        """Read a stretch, and keep it until another is held. FileRefused when the file has changed."""
        self._stream.seek(start)
        data = self._stream.read(end - start)
        self.require_unchanged()
        if len(data) != end - start:
            raise changed()
        self._start, self._held = start, data
        return data

    def require_unchanged(self) -> None:
        """Refuse a file that was written to since it was first looked at."""
        if not isinstance(self._given, bytes):
            self._given.require_unchanged(self._stream)

    def __getitem__(self, place: slice) -> bytes:
        start, end = place.start, place.stop
        if self._start <= start and end <= self._start + len(self._held):
            return self._held[start - self._start : end - self._start]
        self._stream.seek(start)
        data = self._stream.read(end - start)
        self.require_unchanged()
        return data

    def close(self) -> None:
        """Let the file go."""
        self._stream.close()
