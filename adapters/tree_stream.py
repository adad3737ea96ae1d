"""Large XML and JSON files become messages piece by piece: memory does not grow with them.

1. A survey goes through the whole file (adapters/pieces.py): what is wrong with it anywhere refuses it before the first record.
2. Window after window is read, and mapped by the engine that maps whole documents (adapters/tree_map.py).
3. A record that is spread over several messages comes out when all of it was read: it has one outcome, and if one of its
   elements cannot be read, none of it is sent. Until then its messages are held, packed.

A file that is small, has one piece, or cannot be cut, is read whole.
"""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import cache, cached_property, partial
from itertools import chain as chained
from typing import Any, NamedTuple

from adapters import read_json, read_xml, survey_json, survey_xml, tree_map
from adapters.cuts import CUT_FORMATS, Cuts, below_of, sums_in, ways
from adapters.document import Document, code_of, matched, no_record, not_carried, unread_paths
from adapters.errors import FileRefused, RowRefused
from adapters.model import Converted, Lineage, RowWarning
from adapters.paths import Chain, alternatives, in_order
from adapters.pieces import PIECE_BYTES_MAX, CannotCut, FileSlices, Survey, Surveyed, Window, grafted
from adapters.plan import plan_of
from adapters.profile import Profile
from adapters.provenance import held_back
from adapters.source_file import Given, digest_of_range, size_of, whole
from adapters.tree import UNKNOWN, Element
from adapters.tree_map import Outcome, Record, Seen, closed, context_of, kinds_read, part_lineage, read_part, with_notes
from adapters.tree_plan import Kind, Part

WHOLE_BYTES_MAX = 1024 * 1024
"""Largest file that is read whole though it could be cut."""
UNREAD_MAX = 4096
"""Most different paths that are remembered as not carried."""
_SURVEYS: dict[str, Survey] = {"xml": survey_xml.survey, "json": survey_json.survey}
_BYTES_MAX = {"xml": read_xml.XML_BYTES_MAX, "json": read_json.JSON_BYTES_MAX}


def read(profile: Profile, given: Given) -> Iterator[Outcome]:
    """Read every record of a file. FileRefused when it has none, at once."""
    return (record.outcome for record in records(profile, given))


def records(profile: Profile, given: Given) -> Iterator[Record]:
    """Return every record of a file with where it stands. FileRefused when it has none, at once."""
    form = profile.file.source.format
    if form in CUT_FORMATS and not profile.file.source.lines and size_of(given) > WHOLE_BYTES_MAX:
        found = _surveyed(profile, given)
        if found is not None:
            return _in_pieces(profile, given, *found)
    return tree_map.records(profile, whole(given))


def _surveyed(profile: Profile, given: Given) -> tuple[Cuts, Surveyed] | None:
    """Return the finest way to cut a file, with what its survey found; None when it is to be read whole. FileRefused."""
    source = profile.file.source
    label = _label(profile, given) if source.code_from else ""
    found = ways(profile, label)
    refused: FileRefused | None = None
    for cuts in found.cuts if label or not source.code_from else ():
        names = frozenset(cut.names[-1] for cut in cuts.at)
        try:
            surveyed = _SURVEYS[source.format](given, cuts.matches, names, cuts.watched)
        except CannotCut as cannot:
            refused = cannot.refused or refused
            continue
        if surveyed.pieces > 1 and _fits(profile, cuts, surveyed, label):
            return cuts, surveyed
    most = _BYTES_MAX[source.format]
    if size_of(given) <= most:
        return None
    raise refused or FileRefused(
        f"the {source.format.upper()} has more than {most} bytes, and can be read only whole: "
        f"{found.why or 'its records are too few'}",
        cure="have it sent in several files",
        code={"xml": "LF-XML-SIZE", "json": "LF-JSON-SIZE"}[source.format],
    )


def _label(profile: Profile, given: Given) -> str:
    """Return which kind of record a file says that it has, as far as its beginning says so."""
    (path,) = alternatives(profile.file.source.code_from)
    code = survey_xml.text_at(given, tuple(step.name for step in path.steps)) if path.downward else ""
    labels = {f"{profile.file.code_prefix}{kind.record.label}": kind.record.label for kind in kinds_read(profile)}
    return labels.get(code, "")


def _fits(profile: Profile, cuts: Cuts, surveyed: Surveyed, label: str) -> bool:
    """Say whether the file is as the way to cut it supposes."""
    document = Document(surveyed.root, b"", profile.file.source.format)
    if label and code_of(document, profile.file.source.code_from) != f"{profile.file.code_prefix}{label}":
        return False
    if not cuts.spread:
        return True
    groups = matched(document, profile, kinds_read(profile))
    records = document.records
    return all(len(kinds) == 1 for _, kinds in groups) and all(
        sum(id(element) in records for element in run.above) == 1 for run in surveyed.runs
    )


class _Window(Document):
    """A document with the pieces of one window, and no others."""

    def __init__(self, reading: "_Reading", window: Window, data: bytes) -> None:
        surveyed = reading.surveyed
        run = surveyed.runs[window.run]
        self.pieces = surveyed.read(window, data)
        self.above = grafted(run, self.pieces)
        super().__init__(self.above[0], b"", reading.form)
        self.whole = False
        self.read.update(reading.kept_read)
        self._surveyed, self._window, self._held = surveyed, window, data
        self._copies = {id(copy): kept for copy, kept in zip(self.above, run.above, strict=True)}
        self._within: dict[int, tuple[int, int]] | None = None

    def range_of(self, element: Element) -> tuple[int, int]:
        """Return the byte range of an element in the file."""
        if element.start != UNKNOWN:
            return element.start, element.end
        if self._surveyed.ranges is None:
            return UNKNOWN, UNKNOWN
        if self._within is None:
            self._within = self._surveyed.ranges(self._window, self._held, self.pieces)
        if id(element) in self._within:
            return self._within[id(element)]
        return self._surveyed.kept_range(self._copies.get(id(element), element))


class _Kept(Document):
    """The document without its pieces."""

    def __init__(self, reading: "_Reading") -> None:
        super().__init__(reading.surveyed.root, b"", reading.form)
        self.whole = False
        self.read.update(reading.kept_read)
        self._surveyed = reading.surveyed

    def range_of(self, element: Element) -> tuple[int, int]:
        """Return the byte range of an element in the file."""
        return (element.start, element.end) if element.start != UNKNOWN else self._surveyed.kept_range(element)


class _Reading:
    """One file that is being read: where it is, and what of it outside of the pieces has been read so far."""

    def __init__(self, profile: Profile, given: Given, surveyed: Surveyed) -> None:
        self.profile, self.given, self.surveyed = profile, given, surveyed
        self.form = profile.file.source.format
        self.slices = FileSlices(given)
        self.kinds = kinds_read(profile)
        self.reader = tree_map.Reader(profile, self.slices, self.kinds, given)
        self.kept_read: set[int] = set()
        self.unread: dict[str, None] = {}
        """Paths of what nobody has read in pieces that are in no record."""
        self._kept_ids = frozenset(id(element) for element in in_order(surveyed.root))

    def window(self, window: Window) -> _Window:
        """Read a window."""
        return _Window(self, window, self.slices.hold(window.start, window.end))

    def note_read(self, document: Document) -> None:
        """Remember what of the elements outside of the pieces a document's records have read."""
        self.kept_read |= document.read & self._kept_ids

    def rest(self) -> list[RowWarning]:
        """Return a warning for each path at which there is text outside of all records that nothing has read."""
        kept = _Kept(self)
        matched(kept, self.profile, self.kinds)
        paths = {} if id(kept.root) in kept.records else unread_paths(kept, self.profile, (kept.root,), 0)
        return not_carried({**paths, **self.unread})


def _in_pieces(profile: Profile, given: Given, cuts: Cuts, surveyed: Surveyed) -> Iterator[Record]:
    reading = _Reading(profile, given, surveyed)
    batches = _spread_over(reading) if cuts.spread else _one_by_one(reading)
    with ExitStack() as until_read:
        until_read.enter_context(closing(reading.slices))
        first = next(batches, None)
        if first is None:
            raise no_record(_Kept(reading), profile)
        until_read.pop_all()
    return _closing(reading, closed(chained((first,), batches), reading.rest))


def _closing(reading: _Reading, records: Iterator[Record]) -> Iterator[Record]:
    with closing(reading.slices):
        yield from records
        reading.slices.require_unchanged()


def _one_by_one(reading: _Reading) -> Iterator[Iterable[Record]]:
    """Yield what becomes of each record, where the pieces are records."""
    for window in reading.surveyed.windows:
        document = reading.window(window)
        yield from reading.reader.made(document)
        reading.note_read(document)
        for piece in document.pieces:
            if id(piece) not in document.records and len(reading.unread) < UNREAD_MAX:
                reading.unread |= unread_paths(document, reading.profile, (*document.above, piece), 0)


def _spread_over(reading: _Reading) -> Iterator[Iterable[Record]]:
    """Yield what becomes of each record, where the pieces are elements of the list that it is spread over."""
    kept = _Kept(reading)
    groups = matched(kept, reading.profile, reading.kinds)
    waiting = list(reading.surveyed.windows)[::-1]
    for chain, (kind,) in groups:
        windows = []
        while waiting and any(element is chain[-1] for element in reading.surveyed.runs[waiting[-1].run].above):
            windows.append(waiting.pop())
        made = _Spread(reading, kind, chain, windows).records(kept)
        reading.note_read(kept)
        yield made


class _Packed(NamedTuple):
    """One message of a spread record, until the whole record was read."""

    data: bytes
    notes: tuple[RowWarning, ...]
    taken: tuple["_Taken", ...]


class _Taken(NamedTuple):
    """Items of one message: from which window, and from where to where of those that the window has."""

    window: int
    first: int
    end: int


class _Spread:
    """One record that becomes several messages."""

    def __init__(self, reading: _Reading, kind: Kind, chain: Chain, windows: Sequence[Window]) -> None:
        assert kind.spread is not None, "it is spread"
        self._reading, self._kind, self._chain, self._windows = reading, kind, chain, windows
        self._name, self._most = kind.spread.name, kind.spread.items_max
        self._head, self._part = _parts(reading.profile, reading.kinds.index(kind))
        self._values: dict[str, Any] = {}
        self._head_notes: list[RowWarning] = []
        self._notes: list[RowWarning] = []
        self._items: list[Any] = []
        self._taken: list[_Taken] = []
        self._number = self._packed = 0
        self._unread: dict[str, None] = {}
        self._digest = b""

    def records(self, kept: Document) -> Iterator[Record]:
        """Return its messages, or that it is held back; all of it has been read then."""
        held: list[_Packed] = []
        at: Window | None = None
        try:
            for window in [*self._windows, None]:
                at = window or at
                held += self._taken_from(window, kept)
        except RowRefused as error:
            return iter((self._refused(error, at, kept),))
        kept.read.update(self._reading.kept_read)
        self._unread |= unread_paths(kept, self._reading.profile, self._chain, len(self._chain))
        return self._unpacked(held, kept, [*self._notes, *not_carried(self._unread)])

    def _taken_from(self, window: Window | None, kept: Document) -> Iterator[_Packed]:
        """Yield the messages that are full with a window; None is behind the last one. RowRefused."""
        read = self._document(window, self._reading.slices) if window is not None else None
        document = read or kept
        if self._number == 0:
            self._values = read_part(self._head, document, self._chain_in(document), self._head_notes)
        self._number += 1
        found: list[Any] = []
        if read is not None:
            values = read_part(self._part, read, self._chain_in(read), self._notes, spread=self._kind.spread)
            self._note_unread(read)
            found = values.get(self._name, [])
        self._reading.note_read(document)
        place = 0
        while place < len(found):
            end = min(len(found), place + self._most - len(self._items))
            self._items += found[place:end]
            self._taken.append(_Taken(self._number - 1, place, end))
            place = end
            if len(self._items) == self._most:
                yield self._pack()
        if read is None and (self._items or not self._packed):
            yield self._pack()

    def _note_unread(self, document: _Window) -> None:
        for piece in document.pieces:
            if len(self._unread) < UNREAD_MAX:
                chain = (*document.above, piece)
                self._unread |= unread_paths(document, self._reading.profile, chain, len(self._chain))

    def _document(self, window: Window, slices: FileSlices) -> _Window:
        document = _Window(self._reading, window, slices.hold(window.start, window.end))
        document.groups = [(self._chain_in(document), [self._kind])]
        return document

    def _chain_in(self, document: Document) -> Chain:
        return document.above[: len(self._chain)] if isinstance(document, _Window) else self._chain

    def _pack(self) -> _Packed:
        """Return the message that is full, and begin another."""
        notes = (*self._head_notes, *self._notes)
        values = {**self._values, self._name: self._items} if self._items else dict(self._values)
        values["provenance"] = {
            **self._reading.reader.origin,
            "line": self._chain[-1].line,
            "warnings": list(dict.fromkeys(note.code for note in notes)),
        }
        message = self._kind.part.plan.message(**values)
        packed = _Packed(zlib.compress(message.SerializeToString(), 1), notes, tuple(self._taken))
        self._items, self._notes, self._taken, self._packed = [], [], [], self._packed + 1
        return packed

    def _unpacked(self, held: list[_Packed], kept: Document, last: list[RowWarning]) -> Iterator[Record]:
        for number, packed in enumerate(held):
            record = Record(self._chain, self._kind, self._converted(packed, number, kept), kept)
            yield with_notes(record, last) if last and number == len(held) - 1 else record

    def _converted(self, packed: _Packed, number: int, kept: Document) -> Converted:
        message: Any = self._kind.part.plan.message.FromString(zlib.decompress(packed.data))
        record = message.provenance.record = next(self._reading.reader.numbers)
        context = context_of(self._kind, number, kept, self._chain)
        trace = partial(self._lineage, packed.taken, record)
        raw = self._raw(*(self._windows[taken.window] for taken in packed.taken))
        return Converted(message, record, self._chain[-1].line, raw, packed.notes, trace, context, self._like)

    def _refused(self, error: RowRefused, at: Window | None, kept: Document) -> Record:
        record, line = next(self._reading.reader.numbers), self._chain[-1].line
        context = context_of(self._kind, 0, kept, self._chain)
        outcome = held_back(error, record, line, self._raw(*([at] if at is not None else [])))
        return Record(self._chain, self._kind, outcome._replace(context=context, like=self._like), kept)

    def _raw(self, *windows: Window) -> bytes:
        """Return what the file has from the first window to the last; of a record without any, or small enough, all of it."""
        start, end = self._range
        if windows and end - start > PIECE_BYTES_MAX:
            start, end = windows[0].start, windows[-1].end
        return self._reading.slices[start : min(end, start + PIECE_BYTES_MAX)]

    @cached_property
    def _range(self) -> tuple[int, int]:
        start, end = _Kept(self._reading).range_of(self._chain[-1])
        return (start, end) if start >= 0 else (0, size_of(self._reading.given))

    def _like(self) -> bytes:
        """Return what tells the record from others: a digest of all of its bytes."""
        if not self._digest:
            self._digest = digest_of_range(self._reading.given, *self._range)
        return self._digest

    def _lineage(self, taken: tuple[_Taken, ...], record: int) -> tuple[Lineage, ...]:
        """Return where each field of one message came from, by reading its windows again with every element noted."""
        with closing(FileSlices(self._reading.given)) as slices:
            first: Document = self._document(self._windows[0], slices) if self._windows else _Kept(self._reading)
            found = self._traced(self._head, first, record)
            place = 0
            for one in taken:
                items = self._traced(self._part, self._document(self._windows[one.window], slices), record)
                found += _moved(items, self._name, one, place)
                place += one.end - one.first
        return tuple(found)

    def _traced(self, part: Part, document: Document, record: int) -> list[Lineage]:
        seen: list[Seen] = []
        read_part(part, document, self._chain_in(document), [], seen=seen, spread=self._kind.spread)
        return [item for one in seen for item in part_lineage(document, one, record)]


def _moved(items: Sequence[Lineage], name: str, taken: _Taken, place: int) -> Iterator[Lineage]:
    """Yield the lineage of some items of a window, as they are counted in their message."""
    for item in items:
        head, _, rest = item.field.partition("[")
        number, _, rest = rest.partition("]")
        if head == name and taken.first <= int(number) < taken.end:
            yield item._replace(field=f"{name}[{int(number) - taken.first + place}]{rest}")


@cache
def _parts(profile: Profile, number: int) -> tuple[Part, Part]:
    """Return a kind of record in two parts: all but the list that it is spread over, and that list alone."""
    kind = kinds_read(profile)[number]
    part, name = kind.part, kind.spread.name if kind.spread is not None else ""
    inside = sums_in(part, below_of(kind))
    around = tuple(one for one in part.sums if one not in inside)
    head = replace(part, lists=tuple(one for one in part.lists if one.name != name), sums=around)
    nothing = plan_of(profile, part.plan.message, {}, {}, {}, ())
    spread = tuple(one for one in part.lists if one.name == name)
    return head, replace(part, sources=(), plan=nothing, lists=spread, guarded=(), sums=inside)
