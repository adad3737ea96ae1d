"""Tree-shaped files become messages: documents → records → parts → shared messages.

- Records come out in the order of the document. What a `[[record]]` finds and its condition rejects is held back, unless
  another kind takes it: nothing is dropped in silence.
- A leaf with text that no path reads, and that `ignore` does not name, is listed with the record that it stands in; what
  stands in none, with the last message of the document.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, partial
from itertools import count
from typing import Any, NamedTuple, Protocol

from adapters import read_xml, xsd
from adapters.document import Document, leftovers, matched, no_record
from adapters.errors import FileRefused, RowRefused
from adapters.kinds import done_to
from adapters.model import Converted, HeldBack, Lineage, RowWarning
from adapters.papers import paper_names
from adapters.paths import Chain
from adapters.plan import ITSELF
from adapters.profile import Profile
from adapters.provenance import held_back, origin
from adapters.readers import READERS
from adapters.source_file import Given
from adapters.tree import UNKNOWN, Broken, Element
from adapters.tree_plan import Kind, List, Part, holds, kinds_of
from adapters.tree_sums import add_up

Outcome = Converted | HeldBack


class Seen(NamedTuple):
    """One part that was read, for lineage: what it fills, and from which elements."""

    prefix: str
    part: Part
    chain: Chain
    cells: list[str]
    found: list[list[Element]]


class Record(NamedTuple):
    """One record of a file with what became of it; the chain is empty for a piece that could not be read."""

    chain: Chain
    kind: Kind | None
    outcome: Outcome
    document: Document | None = None


def read(profile: Profile, data: bytes, _: Mapping[str, bytes]) -> Iterator[Outcome]:
    """Read every record of a file. FileRefused when it has none, at once."""
    return (record.outcome for record in records(profile, data))


def read_written(profile: Profile, data: bytes) -> Iterator[Outcome]:
    """Read what this dialect wrote, though it is the other side that reads it."""
    return (record.outcome for record in records(profile, data, written=True))


def records(profile: Profile, data: bytes, *, written: bool = False) -> Iterator[Record]:
    """Return every record of a file with where it stands. FileRefused when it has none."""
    source = profile.file.source
    reader = Reader(profile, data, kinds_read(profile, written=written), data)
    documents = READERS[source.format].read(data, source)
    first = next(documents, None)
    second = next(documents, None)
    if first is None:
        raise FileRefused("the file is empty", cure="export it again", code="LF-FILE-EMPTY")
    if second is None and isinstance(first, Element):
        document = Document(first, data, source.format)
        if not matched(document, profile, reader.kinds):
            raise no_record(document, profile)
        if source.xsd:
            xsd.require(read_xml.parse(data, document_type=source.document_type), source.xsd)
        return reader.document(document)
    return reader.documents(_chain(first, second, documents), data)


def _chain(
    first: Element | Broken, second: Element | Broken | None, rest: Iterator[Element | Broken]
) -> Iterator[Element | Broken]:
    yield first
    if second is not None:
        yield second
    yield from rest


@cache
def kinds_read(profile: Profile, *, written: bool = False) -> tuple[Kind, ...]:
    """Return the kinds of records that a profile reads; with `written`, those that it writes too."""
    kinds, reads = kinds_of(profile), profile.file.source.reads
    prefix = profile.file.code_prefix
    return tuple(kind for kind in kinds.values() if written or not reads or f"{prefix}{kind.record.label}" in reads)


class Slices(Protocol):
    """The bytes of a file that is not held whole."""

    def __getitem__(self, place: slice) -> bytes: ...


class Reader:
    """Reads the documents of one file."""

    def __init__(self, profile: Profile, data: bytes | Slices, kinds: tuple[Kind, ...], given: Given) -> None:
        self.kinds = kinds
        self._profile, self._data = profile, data
        self.numbers = count(1)
        self.origin = origin(profile, given)

    def documents(self, pieces: Iterator[Element | Broken], data: bytes) -> Iterator[Record]:
        """Read a file of several documents; one that has no record of the dialect is held back."""
        for piece in pieces:
            if isinstance(piece, Broken):
                raw = data[piece.start : piece.end]
                yield Record((), None, held_back(piece.refused, next(self.numbers), piece.line, raw))
                continue
            document = Document(piece, data, self._profile.file.source.format)
            if matched(document, self._profile, self.kinds):
                yield from self.document(document)
                continue
            start, end = document.range_of(piece)
            why = no_record(document, self._profile)
            refused = RowRefused(why.cause, cure=why.cure, code="LF-ROW-KIND")
            yield Record((piece,), None, held_back(refused, next(self.numbers), piece.line, data[start:end]))

    def document(self, document: Document) -> Iterator[Record]:
        """Read one document."""
        return closed(self.made(document), lambda: leftovers(document, self._profile))

    def made(self, document: Document) -> Iterator[list[Record]]:
        """Yield what becomes of each element of a document that is a record."""
        groups = matched(document, self._profile, self.kinds)
        alone = len(groups) == 1 and len(groups[0][1]) == 1 and document.whole
        for chain, kinds in groups:
            made = [record for kind in kinds for record in self._element(document, chain, kind, alone=alone)]
            if not kinds:
                made = [self._rejected(document, chain)]
            self._note_leftovers(document, chain, made)
            yield made

    def _note_leftovers(self, document: Document, chain: Chain, made: list[Record]) -> None:
        places = [place for place, record in enumerate(made) if isinstance(record.outcome, Converted)]
        if not places:
            return
        notes = leftovers(document, self._profile, chain)
        if notes:
            made[places[-1]] = with_notes(made[places[-1]], notes)

    def _rejected(self, document: Document, chain: Chain) -> Record:
        refused = RowRefused(
            "the record is of no kind that the dialect reads: no condition of its records holds",
            cure="if it should be read, the profile needs a record for it",
            code="LF-ROW-KIND",
        )
        raw = self._raw(document, chain, alone=False)
        return Record(chain, None, held_back(refused, next(self.numbers), chain[-1].line, raw))

    def _raw(self, document: Document, chain: Chain, *, alone: bool) -> bytes:
        start, end = document.range_of(chain[-1]) if not alone else (UNKNOWN, UNKNOWN)
        return self._data[start:end] if start >= 0 else self._data[:]

    def _element(self, document: Document, chain: Chain, kind: Kind, *, alone: bool) -> Iterator[Record]:
        """Read one record of one kind: one message, or several where its list is spread."""
        line, notes = chain[-1].line, list[RowWarning]()
        raw = self._raw(document, chain, alone=alone)
        try:
            values = read_part(kind.part, document, chain, notes, spread=kind.spread)
        except RowRefused as error:
            context = b"" if alone else context_of(kind, 0, document, chain)
            held = held_back(error, next(self.numbers), line, raw)._replace(context=context)
            yield Record(chain, kind, held, document)
            return
        for number, (part, first) in enumerate(_spread(values, kind)):
            record = next(self.numbers)
            part["provenance"] = {
                **self.origin,
                "record": record,
                "line": line,
                "warnings": list(dict.fromkeys(note.code for note in notes)),
            }
            trace = partial(_lineage, document, kind, chain, record, first)
            context = b"" if alone and not number else context_of(kind, number, document, chain)
            message = kind.part.plan.message(**part)
            converted = Converted(message, record, line, raw, tuple(notes), trace, context)
            yield Record(chain, kind, converted, document)


def closed(batches: Iterator[Iterable[Record]], rest: Callable[[], list[RowWarning]]) -> Iterator[Record]:
    """Yield all records; the last message waits until it is known what no record has read, and carries that."""
    tail: list[Record] = []
    for made in batches:
        for record in made:
            if isinstance(record.outcome, Converted):
                yield from tail
                tail = []
            tail.append(record)
    notes = rest()
    if notes and tail:
        tail[0] = with_notes(tail[0], notes)
    yield from tail


def context_of(kind: Kind, number: int, document: Document, chain: Chain) -> bytes:
    """Return what tells a record from others with the same bytes: its kind, its part, and what it reads outside itself."""
    texts = [kind.record.label, str(number)]
    for source in kind.part.sources:
        for path in source.paths:
            if path.up or path.absolute:
                texts += [element.text for element in document.finder.elements(path, chain)]
    return "\0".join(texts).encode()


def _spread(values: dict[str, Any], kind: Kind) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield the values of each message, with the number of the first element that it has of the list."""
    if kind.spread is None:
        yield values, 0
        return
    name, most = kind.spread.name, kind.spread.items_max
    items = values.get(name, [])
    for first in range(0, max(len(items), 1), most):
        yield ({**values, name: items[first : first + most]} if items else values), first


def read_part(
    part: Part,
    document: Document,
    chain: Chain,
    notes: list[RowWarning],
    *,
    prefix: str = "",
    seen: list[Seen] | None = None,
    spread: List | None = None,
) -> dict[str, Any]:
    """Return what the message, or an element of a list, is built from. RowRefused."""
    cells, found = part.cells(document.finder, chain)
    values = part.plan.values(cells, notes)
    unread = part.unread(cells) if part.guarded else frozenset()
    for place, elements in enumerate(found):
        if elements and place not in unread:
            document.read.update(map(id, elements))
    if seen is not None:
        seen.append(Seen(prefix, part, chain, cells, found))
    for whole in part.sums:
        for inner in whole.chains(document, chain, holds):
            add_up(whole, document, inner, notes)
    for lists in part.by_name:
        one = lists[0]
        items = _list_at(values, one.name)
        _take_elements(items, lists, document, chain, notes, prefix=prefix, seen=seen)
        if (spread is None or one.name != spread.name) and 0 < one.items_max < len(items):
            raise RowRefused(
                f"the list {one.name} has {len(items)} elements, and a message takes {one.items_max}",
                cure="have it sent in parts, or let the profile spread it over several messages",
                code="LF-ROW-LIST",
            )
        if items:
            _put(values, one.name, items)
    return values


def _take_elements(
    items: list[Any],
    lists: tuple[List, ...],
    document: Document,
    chain: Chain,
    notes: list[RowWarning],
    *,
    prefix: str,
    seen: list[Seen] | None,
) -> None:
    """Add to a list what its elements in the document become, in their order there."""
    chains = [(inner, each) for each in lists for inner in each.chains(document.finder, chain)]
    if len(lists) > 1:
        chains.sort(key=lambda pair: document.place_of(pair[0][-1]))
    for inner, each in chains:
        mark = len(seen) if seen is not None else 0
        where = f"{prefix}{each.name}[{len(items)}]."
        item: Any = read_part(each.part, document, inner, notes, prefix=where, seen=seen)
        whole = item.pop(ITSELF, None)
        item = {**whole, **item} if isinstance(whole, dict) else whole if whole is not None else item
        if item != {} and not (each.once and item in items):
            items.append(item)
        elif seen is not None:
            del seen[mark:]


def _list_at(values: dict[str, Any], path: str) -> list[Any]:
    """Return the list at a path, so far as it has been filled."""
    found: Any = values
    for name in path.split("."):
        found = found.get(name) if found else None
    return found or []


def _put(values: dict[str, Any], path: str, items: list[Any]) -> None:
    """Put a list at a path; the messages on the way are made where they are not there."""
    *parents, name = path.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
    values[name] = items


def with_notes(record: Record, notes: list[RowWarning]) -> Record:
    """Return a record with more warnings, where it is a message."""
    outcome = record.outcome
    if not isinstance(outcome, Converted):
        return record
    warnings = outcome.message.provenance.warnings  # type: ignore[attr-defined]  # every message has it
    warnings.extend(code for code in dict.fromkeys(note.code for note in notes) if code not in warnings)
    return record._replace(outcome=outcome._replace(warnings=(*outcome.warnings, *notes)))


def _lineage(document: Document, kind: Kind, chain: Chain, record: int, first: int) -> tuple[Lineage, ...]:
    """Return where each field came from, by reading the record again with every element noted."""
    seen: list[Seen] = []
    read_part(kind.part, document, chain, [], seen=seen, spread=kind.spread)
    items = [item for one in seen for item in part_lineage(document, one, record)]
    if kind.spread is None:
        return tuple(items)
    return tuple(_of_spread(items, kind.spread, first))


def _of_spread(items: list[Lineage], spread: List, first: int) -> Iterator[Lineage]:
    """Yield the lineage of one of several messages: of its own elements, counted from 0, and of all other fields."""
    for item in items:
        name, _, rest = item.field.partition("[")
        if name != spread.name:
            yield item
            continue
        number, _, rest = rest.partition("]")
        if first <= int(number) < first + spread.items_max:
            yield item._replace(field=f"{name}[{int(number) - first}]{rest}")


def part_lineage(document: Document, seen: Seen, record: int) -> Iterator[Lineage]:
    """Yield where each field of a part came from."""
    plan = seen.part.plan
    for step in plan.steps:
        field = f"{seen.prefix}{step.path}" if step.path != ITSELF else seen.prefix.rstrip(".")
        for part, place, verb in step.sources(seen.cells, plan.nulls):
            if place < 0:
                yield Lineage(field, record, 1, "", "", verb)
                continue
            path, whole = seen.part.sources[place].text, f"{field}{part}"
            if not seen.found[place]:
                line, start, end = _around(document, seen.chain)
                yield Lineage(whole, record, line, path, "", verb, start, end)
            for element in seen.found[place]:
                start, end = document.range_of(element)
                raw, done = element.text, verb
                if step.kind == "paper":
                    raw = paper_names(raw) if place == step.places[0] else ""
                elif (original := document.original(element, start, end)) != raw:
                    raw, done = original, f"decode, {verb}"
                elif verb == step.verb:
                    done = done_to(raw, step.kind, verb)
                yield Lineage(whole, record, element.line, path, raw, done, start, end)


def _around(document: Document, chain: Chain) -> tuple[int, int, int]:
    """Return line and byte range of the element in which something was looked for that is not there."""
    for element in reversed(chain):
        start, end = document.range_of(element)
        if start >= 0:
            return element.line, start, end
    return document.root.line, UNKNOWN, UNKNOWN
