"""A profile compiled: each field becomes one function of a record's cells, built once per file.

A record's cells are a list of texts, whatever the format; `columns` says which cell is which. Values gather in nested
dicts, which protobuf takes whole.
"""

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from adapters.amounts import TWO_CURRENCIES, decimals_of, read_currency, read_magnitude, read_money
from adapters.errors import FileRefused, ProfileRefused, RowRefused
from adapters.fills import checked, constant, filled, missing, numbered, several, to_number
from adapters.grounds import LOOK, Ground, grounds_of, names_asked, taken_from, with_text
from adapters.kinds import (
    Notes,
    Read,
    Setting,
    done_to,
    read_account,
    read_bank,
    read_boolean,
    read_code,
    read_hex,
    read_id,
    read_integer,
    read_text,
    refuse,
    tidy,
)
from adapters.model import Lineage, Spot
from adapters.moments import instants, read_duration, read_instant
from adapters.papers import paper_names, read_paper
from adapters.phones import read_phone, read_tn
from adapters.profile import Mapping_, Profile, ProfileFile
from adapters.short import Short, short_of
from adapters.stix_pattern import read_pattern
from adapters.verbs import Cells, Fill, chosen, signed, taken, unsigned, when, with_year
from schemas import registry
from schemas.errors import UnknownType

Ranges = Sequence[tuple[int, int] | Spot]
"""Where the cells of a record stand."""
Standing = tuple[int, int, int]
"""Line, first byte and end of a text."""
NOWHERE: Mapping[int, Standing] = {}

COLUMN = "column"
ITSELF = "."
"""Path of the element of a list itself, where a list is filled."""

READERS: dict[str, tuple[Callable[[Setting], Read], str]] = {
    "text": (read_text, ""),
    "integer": (read_integer, ""),
    "boolean": (read_boolean, ""),
    "code": (read_code, "lianfang.v1.CodedValue"),
    "account": (read_account, "lianfang.v1.AccountRef"),
    "bank": (read_bank, "lianfang.v1.BankRef"),
    "id": (read_id, "lianfang.v1.PersonRef"),
    "phone": (read_phone, "lianfang.v1.PhoneRef"),
    "tn": (read_tn, "lianfang.v1.PhoneRef"),
    "duration": (read_duration, ""),
    "hex": (read_hex, ""),
    "money": (read_money, "lianfang.v1.Money"),
    "magnitude": (read_magnitude, "lianfang.v1.Money"),
    "instant": (read_instant, "lianfang.v1.Instant"),
    "paper": (read_paper, "lianfang.v1.Attachment"),
    "stix-pattern": (read_pattern, ""),
}
"""Kinds of text: the builder of the reader, and the type it makes where that is a message."""


@dataclass(frozen=True)
class Step:
    """Fills one field. `parents` are the keys on the way to it."""

    fill: Fill
    parents: tuple[str, ...]
    name: str
    path: str
    column: str
    """The header or path of the cell, for lineage and causes; empty for what the profile supplies."""
    places: tuple[int, ...]
    kind: str
    verb: str
    conditional: bool
    """Whether it may leave the field unset though its cell holds something."""
    verbs: Mapping_
    grounds: tuple[Ground, ...] = ()
    """What the field hangs on beside its own cells."""
    short: Callable[..., Short | None] | None = None
    """Builds the short way of reading it; None where it hangs on more than one cell."""

    def sources(self, cells: Cells, nulls: frozenset[str]) -> Sequence[tuple[str, int, str]]:
        """Return what the field is made of in a record: the part of it that hangs on a cell, the cell's place, and the verb.

        A constant has a place of -1: nothing in the file says it.
        """
        if self.conditional and self.fill(cells, []) is None:
            return ()
        if not self.places:
            return [*([("", -1, self.verb)] if self.verb == "const" else ()), *self._hangs_on(cells, nulls)]
        if len(self.places) == 1:
            if tidy(cells[self.places[0]]) in nulls:
                return ()
            own = [("", self.places[0], self.verb)]
        else:
            there = with_text(self.places, cells, nulls)
            taken = taken_from(self.verbs, there, cells, nulls) if there else frozenset()
            own = [("", place, self.verb if place in taken else LOOK) for place in there]
        return [*own, *self._hangs_on(cells, nulls)] if own and self.grounds else own

    def _hangs_on(self, cells: Cells, nulls: frozenset[str]) -> Iterator[tuple[str, int, str]]:
        for ground in self.grounds:
            asked = ground.asked(cells)
            for place in with_text(asked, cells, nulls) or (asked if ground.alone else ()):
                yield ground.part, place, ground.verb


@dataclass(frozen=True)
class Plan:
    """All steps of one kind of record in one file."""

    message: type[Message]
    steps: tuple[Step, ...]
    lists: dict[str, tuple[str, ...]]
    """Repeated fields whose elements are filled one by one: name → its keys, in order."""
    nulls: frozenset[str]
    """Words that mean nothing."""
    noun: str = COLUMN
    """What a cell is called in causes."""
    headers: tuple[str, ...] = ()
    """What each cell is called in its file."""

    @cached_property
    def _order(self) -> tuple[tuple[Short | None, int, Fill, tuple[str, ...], str, bool, Step], ...]:
        """The steps, each with its short way, and with whether an earlier one may have filled a part of the same field."""
        begun: set[tuple[str, ...]] = set()
        order = []
        every = [(*step.parents, step.name) for step in self.steps]
        for number, (step, whole) in enumerate(zip(self.steps, every, strict=True)):
            filled_up = any(later[: len(whole)] == whole for later in every[number + 1 :])
            short = step.short(shares=self.noun == COLUMN and not filled_up) if step.short is not None else None
            place = step.places[0] if step.places else -1
            order.append((short, place, step.fill, step.parents, step.name, whole in begun, step))
            begun.update(whole[:depth] for depth in range(1, len(whole) + 1))
        return tuple(order)

    def values(self, cells: Cells, notes: Notes) -> dict[str, Any]:
        """Return what the message is built from. RowRefused, naming the column, when a field cannot be read."""
        values: dict[str, Any] = {}
        step: Step | None = None
        try:
            for short, at, fill, parents, name, begun, step in self._order:  # noqa: B007 - named in the refusal below
                if short is None or (found := short(cells[at])) is None:
                    found = fill(cells, notes)
                    if found is None:
                        continue
                place = values
                for parent in parents:
                    if parent in place:
                        place = place[parent]
                    else:
                        place[parent] = place = {}
                if begun and name in place and isinstance(found, dict):
                    place[name].update(found)
                else:
                    place[name] = found
        except RowRefused as error:
            assert step is not None, "a step refused"
            raise self._named(error, step.column or step.path) from error
        for name, keys in self.lists.items():
            elements = [values.pop(key) for key in keys if key in values]
            if elements:
                values[name] = elements
        return values

    def _named(self, error: RowRefused, where: str) -> RowRefused:
        """Return a refusal that says which column or path it is about."""
        refused = RowRefused(f"{self.noun} {where} {error.cause}", cure=error.cure, code=error.code)
        refused.column = where
        return refused

    def lineage(
        self, cells: Cells, record: int, line: int, ranges: Ranges = (), above: Mapping[int, Standing] = NOWHERE
    ) -> tuple[Lineage, ...]:
        """Return where each field came from; `ranges` are the cells' in the file, `above` is for cells that stand in other lines."""
        found = []
        known, nulls, headers = len(ranges), self.nulls, self.headers
        for step in self.steps:
            for part, place, verb in step.sources(cells, nulls):
                if place < 0:
                    found.append(Lineage(step.path, record, line, "", "", verb))
                    continue
                raw = paper_names(cells[place]) if step.kind == "paper" else cells[place]
                done = verb if verb != step.verb else done_to(raw, step.kind, verb)
                where, *spot = above[place] if place in above else (line, *(ranges[place] if place < known else ()))
                found.append(Lineage(f"{step.path}{part}", record, where, headers[place], raw, done, *spot))
        return tuple(found)


def compile_plan(
    profile: Profile,
    message_name: str,
    fields: Mapping[str, Mapping_],
    columns: Mapping[str, int],
    headers: Sequence[str],
) -> Plan:
    """Build the steps for a file whose columns stand as given. ProfileRefused when a field or verb cannot be."""
    try:
        message, descriptor = registry.body_type(message_name), registry.descriptor_of(message_name)
    except UnknownType as error:
        raise ProfileRefused(f"{message_name} is no message of the shared language", cure="see schemas/v1") from error
    leaves = {path: field_at(descriptor, path, profile) for path in fields}
    return plan_of(profile, message, leaves, fields, columns, headers)


def plan_of(
    profile: Profile,
    message: type[Message],
    leaves: Mapping[str, FieldDescriptor],
    fields: Mapping[str, Mapping_],
    columns: Mapping[str, int],
    headers: Sequence[str],
    noun: str = COLUMN,
) -> Plan:
    """Build the steps of given fields, whose descriptors are known. ProfileRefused."""
    steps = []
    lists: dict[str, list[str]] = {}
    for path, verbs in fields.items():
        leaf = leaves[path]
        step = _step(profile.file, path, verbs, leaf, columns, headers)
        if step is None:
            continue
        steps.append(step)
        first = (*step.parents, step.name)[0]
        if "[" in first:
            keys = lists.setdefault(first.partition("[")[0], [])
            if first not in keys:
                keys.append(first)
    elements = {name: tuple(keys) for name, keys in lists.items()}
    return Plan(message, tuple(steps), elements, frozenset(profile.file.source.null), noun, tuple(headers))


def field_at(descriptor: Descriptor, path: str, profile: Profile) -> FieldDescriptor:
    """Return the field that a path names; an index in brackets stands only at the top. ProfileRefused when none."""
    inner: Descriptor | None = descriptor
    found: FieldDescriptor | None = None
    for piece in path.split("."):
        found = inner.fields_by_name.get(piece.partition("[")[0]) if inner is not None else None
        if found is None:
            names = [field.name for field in (inner or descriptor).fields]
            near = difflib.get_close_matches(piece.partition("[")[0], names, n=1)
            raise ProfileRefused(
                f"{profile.name}: {path} is no field of {descriptor.name}",
                cure=f"{f'did you mean {near[0]}? ' if near else ''}it has {', '.join(names)}",
                code="LF-MAP-PROFILE-FIELD",
            )
        inner = found.message_type
    assert found is not None, "a path has at least one piece"
    return found


def _step(
    file: ProfileFile,
    path: str,
    verbs: Mapping_,
    leaf: FieldDescriptor,
    columns: Mapping[str, int],
    headers: Sequence[str],
) -> Step | None:
    *parents, name = path.split(".") if path != ITSELF else [ITSELF]
    places = tuple(columns[source] for source in verbs.sources if source in columns)
    setting, grounds = Setting(path, verbs, file), grounds_of(verbs, columns)
    if verbs.const:
        value = constant(verbs.const, leaf)
        fill: Fill = lambda _cells, _notes: value  # noqa: E731 - a step of its own
        conditional = verbs.when is not None
        fill = when(fill, verbs, columns)
        return Step(fill, tuple(parents), name, path, "", (), "", "const", conditional, verbs, grounds)
    if verbs.choose:
        fill = when(chosen(verbs, partial(constant, leaf=leaf), columns), verbs, columns)
        asked = [headers[columns[one]] if one in columns else _spelt(file, one) for one in names_asked(verbs)]
        column = " + ".join(asked)
        return Step(fill, tuple(parents), name, path, column, (), "", "choose", True, verbs, grounds)
    if not places and not verbs.check.required:
        return None
    if not places:
        return _without_columns(file, path, verbs, columns)
    kind = verbs.parse.kind
    if kind not in READERS:
        raise ProfileRefused(f"{path}: {kind} is no kind", cure=f"it is one of {', '.join(READERS)}")
    read, again = instants(setting) if kind == "instant" else (READERS[kind][0](setting), None)
    if leaf.enum_type is not None:
        read = to_number(read, leaf)
    read = taken(checked(read, verbs), verbs)
    nulls = frozenset(file.source.null)
    listed = _is_list(path, leaf, verbs)
    fill = alone = several(read, places[0], verbs, nulls) if listed else filled(read, places, verbs, nulls)
    fill = _looking(fill, places, setting, columns)
    fill = when(fill, verbs, columns)
    column = " + ".join(headers[place] for place in places)
    conditional = any(verb is not None for verb in (verbs.when, verbs.map, verbs.split)) or bool(verbs.take)
    short = partial(short_of, "" if listed else kind, setting, fill, places[0], again)
    step = Step(fill, tuple(parents), name, path, column, places, kind, f"parse {kind}", conditional, verbs, grounds)
    return replace(step, short=short) if fill is alone and len(places) == 1 else step


def _looking(fill: Fill, places: tuple[int, ...], setting: Setting, columns: Mapping[str, int]) -> Fill:
    """Return what fills a field with what it looks at beside its own cells: currency, order, sign, year."""
    verbs = setting.verbs
    if verbs.parse.currency_from in columns:
        fill = _with_currency(places, setting, columns[verbs.parse.currency_from])
    if verbs.parse.negative is not None and verbs.parse.negative.source in columns:
        with_sign = unsigned if verbs.parse.kind == "magnitude" else signed
        fill = with_sign(fill, columns[verbs.parse.negative.source], frozenset(verbs.parse.negative.among))
    if verbs.numbered in columns:
        fill = numbered(fill, places[0], columns[verbs.numbered])
    if verbs.parse.year_from in columns:
        fill = with_year(fill, places[0], columns[verbs.parse.year_from], setting.path)
    return fill


def _without_columns(file: ProfileFile, path: str, verbs: Mapping_, columns: Mapping[str, int]) -> Step:
    """Return what refuses each record that must have a field, in a file that has none of its columns. FileRefused when all must."""
    if not verbs.sources:
        raise ProfileRefused(f"{path} is required, and nothing fills it", cure="say from which column it is read")
    spelt = [_spelt(file, name) for name in verbs.sources]
    if verbs.when is None:
        raise FileRefused(
            f"the header has no column {' or '.join(spelt)}, and each record must have it",
            cure="check that this is the right export, or name another profile",
            code="LF-FILE-NO-HEADER",
        )
    *parents, name = path.split(".")
    fill = when(missing, verbs, columns)
    return Step(fill, tuple(parents), name, path, " + ".join(spelt), (), "", "", conditional=True, verbs=verbs)


def _spelt(file: ProfileFile, name: str) -> str:
    """Return the header that a column has in files, where this one has none of it."""
    return file.source.columns.get(name, [name])[0]


def _is_list(path: str, leaf: FieldDescriptor, verbs: Mapping_) -> bool:
    """Say whether a field takes every text that its path finds as an element."""
    whole = leaf.is_repeated and path != ITSELF and not path.endswith("]")
    return whole and verbs.split is None and isinstance(verbs.source, str)


def _with_currency(places: tuple[int, ...], setting: Setting, place: int) -> Fill:
    """Return what fills an amount whose currency the record names: that also says how many decimal places it has."""
    verbs, nulls = setting.verbs, frozenset(setting.profile.source.null)
    usual = setting.profile.source.currency
    fills: dict[str, Fill] = {}

    def fill_money(cells: Cells, notes: Notes) -> Any:
        text = tidy(cells[place])
        there = any(tidy(cells[one]) not in nulls for one in places)
        currency = read_currency(setting, text) if there and text not in nulls else ""
        fill = fills.get(currency)
        if fill is None:
            read = READERS[verbs.parse.kind][0](_in_currency(setting, currency or usual))
            fill = fills[currency] = filled(taken(checked(read, verbs), verbs), places, verbs, nulls)
        money = fill(cells, notes)
        if money is None or not currency:
            return money
        if money["currency"] != currency:
            raise refuse(TWO_CURRENCIES)
        return {"minor_units": money["minor_units"], "currency": currency}

    return fill_money


def _in_currency(setting: Setting, currency: str) -> Setting:
    """Return a setting for amounts of a currency, with its decimal places."""
    verbs = setting.verbs.model_copy(update={"scale": decimals_of(setting.verbs, currency)})
    source = setting.profile.source.model_copy(update={"currency": currency})
    return replace(setting, verbs=verbs, profile=setting.profile.model_copy(update={"source": source}))
