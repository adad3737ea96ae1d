"""The records of a tree-shaped dialect, compiled: where each kind stands, and what is read from which path.

A part is what is read from one element: its paths become cells, by place, and a plan (adapters/plan.py) makes values of
them, exactly as of the columns of a table. A list in a part is another part, read once for every element that is found.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from adapters.conditions import Condition, condition
from adapters.errors import ProfileRefused, RowRefused
from adapters.paths import Chain, Finder, Path, alternatives
from adapters.plan import ITSELF, Plan, field_at, plan_of
from adapters.profile import Each, Mapping_, Profile, Record, Sum
from adapters.tree import Element, Several
from adapters.tree_sums import Whole, compiled
from adapters.verbs import Cells, Fill
from schemas import registry
from schemas.errors import UnknownType
from schemas.v1 import field_class_pb2


@dataclass(frozen=True)
class Source:
    """One `from` of a profile: what fills one cell."""

    text: str
    paths: tuple[Path, ...]
    single: bool
    """Whether several texts are ambiguous."""


class Branch(NamedTuple):
    """Children of one name, as paths lead to them: what is below, and the sources that end here."""

    below: dict[str, "Branch"]
    ends: list[tuple[int, int]]
    """Place of the source, and which of its alternatives it is."""


Guarded = tuple[tuple[Fill, tuple[int, ...]], ...]
"""What reads only under a condition, with the places that nothing else reads."""


@dataclass(frozen=True)
class Part:
    """What is read from one element."""

    sources: tuple[Source, ...]
    plan: Plan
    lists: tuple["List", ...]
    guarded: Guarded
    sums: tuple[Whole, ...] = ()
    """What must add up in it."""

    def unread(self, cells: Cells) -> frozenset[int]:
        """Return the places whose texts no field has taken, because no condition held."""
        return untaken(self.guarded, cells)

    @cached_property
    def by_name(self) -> tuple[tuple["List", ...], ...]:
        """The lists, those together that fill the same field: their elements come in the order of the document."""
        names = dict.fromkeys(one.name for one in self.lists)
        return tuple(tuple(one for one in self.lists if one.name == name) for name in names)

    def cells(self, finder: Finder, chain: Chain) -> tuple[list[str], list[list[Element]]]:
        """Return the texts of its paths, and the elements that they stand in. RowRefused when one stands twice."""
        below, others = self.branches
        hits: dict[int, dict[int, list[Element]]] = {}
        gather(chain[-1], below, hits)
        cells, found = [""] * len(self.sources), [_NOTHING_FOUND] * len(self.sources)
        for place in sorted(others.union(hits)):
            source = self.sources[place]
            elements = _first_found(source, hits.get(place, _NO_HITS), finder, chain)
            if not elements:
                continue
            found[place] = elements
            if len(elements) == 1:
                cells[place] = elements[0].text
            elif source.single:
                raise _twice(source.text)
            else:
                cells[place] = Several(tuple(element.text for element in elements))
        return cells, found

    @cached_property
    def branches(self) -> tuple[dict[str, Branch], frozenset[int]]:
        """Its paths that only go down, as a tree that is walked once for each element; and the places of other sources."""
        below: dict[str, Branch] = {}
        others: set[int] = set()
        for place, source in enumerate(self.sources):
            for number, path in enumerate(source.paths):
                if not path.downward:
                    others.add(place)
                    continue
                branches, branch = below, None
                for step in path.steps:
                    branch = branches.setdefault(step.name, Branch({}, []))
                    branches = branch.below
                assert branch is not None, "it goes down"
                branch.ends.append((place, number))
        return below, frozenset(others)


_NOTHING_FOUND: list[Element] = []
_NO_HITS: dict[int, list[Element]] = {}
"""Never added to, both."""


def _first_found(source: Source, hits: dict[int, list[Element]], finder: Finder, chain: Chain) -> list[Element]:
    """Return the elements with text of the first alternative that has any, as `find` does; `hits` are those downward."""
    for number, path in enumerate(source.paths):
        elements = hits.get(number, _NOTHING_FOUND) if path.downward else finder.elements(path, chain)
        found = with_text(elements) if elements else elements
        if found:
            return found
    return _NOTHING_FOUND


def gather(element: Element, below: dict[str, Branch], hits: dict[int, dict[int, list[Element]]]) -> None:
    """Note what is below an element where a source ends: by place of the source and number of the alternative."""
    for child in element.children:
        branch = below.get(child.name)
        if branch is None:
            continue
        for place, number in branch.ends:
            hits.setdefault(place, {}).setdefault(number, []).append(child)
        if branch.below and child.children:
            gather(child, branch.below, hits)


def with_text(elements: list[Element]) -> list[Element]:
    """Return the elements that have a text."""
    return [element for element in elements if element.text and not element.text.isspace()]


@dataclass(frozen=True)
class List:
    """A repeated field that is filled element by element."""

    name: str
    over: tuple[Path, ...]
    only: Condition | None
    part: Part
    items_max: int
    """Most elements that one message takes; 0 for no limit."""
    once: bool = False
    """Whether elements that become the same are taken once."""

    def chains(self, finder: Finder, chain: Chain) -> list[Chain]:
        """Return the elements of the source, each with its parents."""
        for path in self.over:
            found = finder.chains(path, chain)
            if found:
                return [one for one in found if self.only is None or holds(self.only, finder, one)]
        return []


@dataclass(frozen=True)
class Kind:
    """One kind of record."""

    record: Record
    at: Path | None
    """None for the root."""
    only: Condition | None
    part: Part
    spread: List | None

    def chains(self, finder: Finder, root: Element) -> list[Chain]:
        """Return the elements that are records of this kind, but for the condition."""
        return [(root,)] if self.at is None else finder.chains(self.at, (root,))


def find(paths: tuple[Path, ...], finder: Finder, chain: Chain) -> list[Element]:
    """Return the elements with text of the first alternative that has any."""
    for path in paths:
        elements = finder.elements(path, chain)
        if not elements:
            continue
        found = with_text(elements)
        if found:
            return found
    return []


def holds(only: Condition, finder: Finder, chain: Chain) -> bool:
    """Say whether a condition holds of an element. RowRefused when a path that it asks for stands twice.

    A path to an element that holds others gives "{}", and so does one that ends in a number, as A[2], to an element
    without a text: so a condition can ask whether there is one, or a second.
    """
    told = finder.told.setdefault(id(chain[-1]), {})
    row = {}
    for name in only.names:
        text = told.get(name)
        if text is None:
            text = told[name] = _told(name, finder, chain)
        row[name] = text
    return only.holds(row)


def _told(name: str, finder: Finder, chain: Chain) -> str:
    """Return what a path tells a condition."""
    text = ""
    for path in alternatives(name):
        elements = finder.elements(path, chain)
        if not elements:
            continue
        found = with_text(elements)
        if len(found) > 1:
            raise _twice(name)
        if found:
            return found[0].text.strip()
        if (path.steps and path.steps[-1].number) or any(element.children for element in elements):
            text = "{}"
    return text


def _twice(path: str) -> RowRefused:
    refused = RowRefused(
        f"element {path} stands twice, and the message has one place for it",
        cure="have the sending system write it once, or give the profile a path that tells which one",
        code="LF-ROW-REPEATED",
    )
    refused.column = path
    return refused


@cache
def kinds_of(profile: Profile) -> dict[str, Kind]:
    """Return a profile's kinds of records by label, or code and name. ProfileRefused when one cannot be."""
    file = profile.file
    records = file.record
    if not records and file.target is not None:
        records = [Record(message=file.target.message, field=file.field)]
    found = {}
    for record in records:
        key = f"{record.code} {record.name}" if record.code and record.name else record.label
        if key in found:
            raise ProfileRefused(f"{profile.name} has two records {key}", cure="give each its own code or name")
        found[key] = _kind(profile, record)
    return found


def fields_of(profile: Profile, record: Record | Each) -> dict[str, Mapping_]:
    """Return the fields of one kind of record, or of a list's elements: its groups', and its own, which win."""
    fields: dict[str, Mapping_] = {}
    for group in record.use:
        fields |= profile.file.group.get(group, {})
    return fields | record.field


def lists_of(profile: Profile, record: Record | Each) -> dict[str, Each]:
    """Return the lists of one kind of record, or in a list's elements: its groups', and its own, which win."""
    lists: dict[str, Each] = {}
    for group in record.use:
        lists |= profile.file.group_each.get(group, {})
    return lists | record.each


def sums_of(profile: Profile, record: Record) -> list[Sum]:
    """Return what must add up in one kind of record: its groups' rules, and its own."""
    return [*(rule for group in record.use for rule in profile.file.group_sum.get(group, ())), *record.sum]


def _kind(profile: Profile, record: Record) -> Kind:
    try:
        descriptor = registry.descriptor_of(record.message)
    except UnknownType as error:
        raise ProfileRefused(f"{record.message} is no message of the shared language", cure="see schemas/v1") from error
    fields = {**constants(record.const), **fields_of(profile, record)}
    part = _part(profile, descriptor, None, fields, lists_of(profile, record))
    money = field_at(registry.descriptor_of("TransactionTrace"), "opening_balance", profile)
    amount = lambda verbs: _part(profile, None, money, {ITSELF: verbs}, {})  # noqa: E731 - reads one amount
    part = replace(part, sums=tuple(compiled(rule, amount) for rule in sums_of(profile, record)))
    spread = next((one for one in part.lists if one.name == record.spread), None)
    if record.spread and (spread is None or not spread.items_max):
        raise ProfileRefused(
            f"{profile.name}: {record.spread} is no list of {record.label} that has a limit",
            cure=f"its lists with a limit are {', '.join(one.name for one in part.lists if one.items_max) or 'none'}",
            code="LF-MAP-PROFILE-WORD",
        )
    at = alternatives(record.at)[0] if record.at else None
    return Kind(record, at, condition(record.condition) if record.condition else None, part, spread)


def constants(const: Mapping[str, str]) -> dict[str, Any]:
    """Return constants as fields."""
    return {path: Mapping_.model_validate({"const": text}) for path, text in const.items()}


def _part(
    profile: Profile,
    descriptor: Descriptor | None,
    itself: FieldDescriptor | None,
    fields: Mapping[str, Mapping_],
    lists: Mapping[str, Each],
) -> Part:
    leaves = {}
    for path in fields:
        if path == ITSELF and itself is not None:
            leaves[path] = itself
        elif descriptor is None:
            raise ProfileRefused(f"{profile.name}: {path} is no field of a list of texts", cure=f'write "{ITSELF}"')
        else:
            leaves[path] = field_at(descriptor, path, profile)
    sources = _sources(fields, leaves)
    columns = {source.text: place for place, source in enumerate(sources)}
    message = GetMessageClass(descriptor) if descriptor is not None else Message
    plan = plan_of(profile, message, leaves, fields, columns, tuple(columns), noun="element")
    inner = tuple(_list(profile, descriptor, name, each) for name, each in lists.items())
    return Part(sources, plan, inner, guarded_by(fields, plan, columns))


def guarded_by(fields: Mapping[str, Mapping_], plan: Plan, columns: Mapping[str, int]) -> Guarded:
    """Return what of a plan reads only under a condition."""
    looked = {columns[name] for verbs in fields.values() for name in looked_at(verbs) if name in columns}
    under = [step for step in plan.steps if fields[step.path].when is not None and step.places]
    free = looked.union(*(step.places for step in plan.steps if fields[step.path].when is None))
    only = ((step.fill, tuple(place for place in step.places if place not in free)) for step in under)
    return tuple((fill, places) for fill, places in only if places)


def untaken(guarded: Guarded, cells: Cells) -> frozenset[int]:
    """Return the places that no field has taken of a record, because no condition held."""
    taken: set[int] = set()
    given: set[int] = set()
    for fill, places in guarded:
        (given if fill(cells, []) is None else taken).update(places)
    return frozenset(given - taken)


def _sources(fields: Mapping[str, Mapping_], leaves: Mapping[str, FieldDescriptor]) -> tuple[Source, ...]:
    single: dict[str, bool] = {}
    for path, verbs in fields.items():
        whole = leaves[path].is_repeated and path != ITSELF and not path.endswith("]")
        alone = not (whole or verbs.joins)
        for text in verbs.sources:
            single[text] = single.get(text, False) or alone
        for text in looked_at(verbs):
            single[text] = text != verbs.numbered
    return tuple(Source(text, alternatives(text), alone) for text, alone in single.items())


def looked_at(verbs: Mapping_) -> Iterator[str]:
    """Yield the columns or paths that a field only looks at: for a currency, a year, an order, or a condition."""
    yield from filter(None, (verbs.parse.currency_from, verbs.parse.year_from, verbs.numbered))
    if verbs.parse.negative is not None:
        yield verbs.parse.negative.source
    for choice in verbs.choose:
        yield from condition(choice.condition).names
    if isinstance(verbs.when, str):
        yield from condition(verbs.when).names
    elif verbs.when is not None:
        yield verbs.when.source


def list_at(descriptor: Descriptor | None, path: str, profile: Profile) -> FieldDescriptor:
    """Return the repeated field that a path names. ProfileRefused when it is none."""
    field = field_at(descriptor, path, profile) if descriptor is not None else None
    if field is None or not field.is_repeated:
        raise ProfileRefused(
            f"{profile.name}: {path} is no repeated field",
            cure="each fills repeated fields",
            code="LF-MAP-PROFILE-FIELD",
        )
    return field


def _list(profile: Profile, descriptor: Descriptor | None, name: str, each: Each) -> List:
    path = each.into or name
    field = list_at(descriptor, path, profile)
    fields = {**constants(each.const), **fields_of(profile, each)}
    part = _part(profile, field.message_type, field, fields, lists_of(profile, each))
    only = condition(each.condition) if each.condition else None
    items_max = field.GetOptions().Extensions[field_class_pb2.check].max_items
    return List(path, alternatives(each.over), only, part, items_max, each.once)
