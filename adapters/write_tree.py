"""A message becomes a document of a tree-shaped format: head, and the record's paths and lists in the order of its layout.

- Of several kinds of records for one message, the one is written whose constants the message has, else that loses least.
- A list is written where its path stands in the layout, each element by the list's own layout. Lists whose paths meet fill
  the same elements, as far as their texts agree: the accounts of an answer, their balances, and the movements in them.
- What the layout has no place for is the loss, as for tables (adapters/write.py).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from google.protobuf.message import Message

from adapters.build_tree import Node, below_root
from adapters.errors import FileRefused
from adapters.model import Rendered
from adapters.paths import Path, alternatives, escaped
from adapters.profile import Each, Mapping_, Profile, Record
from adapters.read_xml import ATTRIBUTE_NAMESPACE
from adapters.readers import READERS
from adapters.tree_plan import fields_of, lists_of
from adapters.write import Carrier, Written, left_over, value_as_text, value_at


@dataclass(frozen=True)
class _Part:
    """What is written into one element."""

    layout: tuple[tuple[str, Path], ...]
    carrier: Carrier
    lists: Mapping[str, tuple["_List", ...]]
    """By the entry of the layout where they stand."""


@dataclass(frozen=True)
class _List:
    """A repeated field, and where its elements go."""

    field: str
    over: Path
    const: Mapping[str, str]
    part: _Part
    shared: bool = False
    """Whether other lists fill the same elements, or those around them."""


def write(profile: Profile, message: Message, context: Mapping[str, str]) -> Rendered:
    """Write one document. FileRefused when the dialect has no record for this message, or cannot hold its texts."""
    file = profile.file
    writing, form = file.writing, READERS[file.source.format]
    assert writing is not None, "asked by render"
    assert form.write is not None, "asked by render"
    record = _record_of(profile, message)
    root = Node(writing.root)
    if writing.namespace:
        root.at(alternatives(ATTRIBUTE_NAMESPACE)[0]).text = writing.namespace
    facts = {
        "code": f"{file.code_prefix}{record.label}",
        "serial": _serial(message, context),
        "sender": context.get("sender", ""),
        "agency": context.get("agency", ""),
        "message_id": context.get("message_id", ""),
    }
    head = {path: text.format_map(facts) for path, text in writing.head.items()}
    for path, text in head.items():
        root.at(alternatives(path)[0]).text = text
    here = root
    steps = below_root(alternatives(record.at)[0] if record.at else None, writing.root)
    for step in steps:  # what is above the record joins with the first text in it: the layout may put others in front
        here = here.child(step) if step is not steps[-1] else here.add(step)
    written = _put(_compiled(profile, _records(profile).index(record)), here, message, empty=writing.empty)
    here.join()
    above = tuple(escaped(step.name) for step in steps)
    for path, verbs in fields_of(profile, record).items():
        if any(head.get(_from_root(source, above)) == value_as_text(message, path) for source in verbs.sources):
            written.carried[path] = verbs.parse.kind
    loss = (*left_over(message, written.carried), *written.inexact)
    return Rendered(form.write([root.element()], writing), tuple(loss))


def _from_root(source: str, above: tuple[str, ...]) -> str:
    """Return the path from the root of what a record names by way of its parents; empty for what stands inside it."""
    path = alternatives(source)[0]
    if not path.up:
        return ""
    return "/".join((*above[: len(above) - path.up], *(escaped(step.name) for step in path.steps)))


def _serial(message: Message, context: Mapping[str, str]) -> str:
    """Return the record's own serial number, else one made of the message's id, which repeats when written again."""
    own = str(getattr(message, "source_serial", ""))
    return own or f"{context.get('sender', '')}_{int(context.get('message_id') or '0', 16):039d}"


def _record_of(profile: Profile, message: Message) -> Record:
    """Return the kind of record that a message is: no other enumeration, most of the constants, and the least loss."""
    file, writes = profile.file, profile.file.writing.writes if profile.file.writing is not None else []
    found: list[tuple[int, Record]] = []
    for record in _records(profile):
        if record.message != message.DESCRIPTOR.name or (writes and f"{file.code_prefix}{record.label}" not in writes):
            continue
        have = [value_as_text(message, path) == text for path, text in record.const.items()]
        if not _is_another(record, message):
            found.append((sum(have), record))
    whole = [one for one in found if not _lacks(profile, one[1], message)]
    found = whole or found
    if found:
        most = max(count for count, _ in found)
        likely = [record for count, record in found if count == most]
        return likely[0] if len(likely) == 1 else min(likely, key=lambda one: _lost(profile, one, message))
    raise FileRefused(
        f"the dialect {profile.name} has no record for a {message.DESCRIPTOR.name} of this kind",
        cure=f"it writes {', '.join(writes) or profile.message}",
        code="LF-RENDER-NO-RECORD",
    )


def _lost(profile: Profile, record: Record, message: Message) -> int:
    written = _put(_compiled(profile, _records(profile).index(record)), Node(""), message, empty=False)
    return len(left_over(message, written.carried))


def _lacks(profile: Profile, record: Record, message: Message) -> bool:
    """Say whether the message has not what a record of a kind without a code must have: it is of another kind."""
    return not record.code and any(
        verbs.check.required and value_at(message, path) is None
        for path, verbs in fields_of(profile, record).items()
        if path not in record.const
    )


def _is_another(record: Record, message: Message) -> bool:
    """Say whether an enumeration of the message, which tells its kind, is not what the record stands for."""
    for path, text in record.const.items():
        field = message.DESCRIPTOR.fields_by_name.get(path)
        if field is not None and field.enum_type is not None and value_as_text(message, path) != text:
            return True
    return False


def _records(profile: Profile) -> list[Record]:
    file = profile.file
    if file.record or file.target is None:
        return file.record
    layout = list(dict.fromkeys(source for verbs in file.field.values() for source in verbs.sources))
    return [Record(message=file.target.message, field=file.field, layout=layout)]


@cache
def _compiled(profile: Profile, number: int) -> _Part:
    record = _records(profile)[number]
    return _part(profile, record.layout, fields_of(profile, record), lists_of(profile, record), record.const)


def _part(
    profile: Profile,
    layout: Sequence[str],
    fields: Mapping[str, Mapping_],
    lists: Mapping[str, Each],
    const: Mapping[str, str],
) -> _Part:
    places: dict[str, tuple[_List, ...]] = {}
    for name, each in lists.items():
        over = each.over.split(" | ")
        for entry in layout:
            path = next((one for one in over if one == entry or one.startswith(f"{entry}/")), "")
            if entry == each.over or path:
                inner = _part(profile, each.layout, fields_of(profile, each), lists_of(profile, each), each.const)
                made = _List(each.into or name, alternatives(path or over[0])[0], each.const, inner)
                places[entry] = (*places.get(entry, ()), made)
                break
    for entry, made_there in places.items():
        shared = len(made_there) > 1
        places[entry] = tuple(replace(one, shared=shared or _reaches_up(one.part)) for one in made_there)
    paths = tuple((entry, alternatives(entry)[0]) for entry in layout)
    return _Part(paths, Carrier(profile.file, fields, layout, const), places)


def _reaches_up(part: _Part) -> bool:
    return any(path.up for _, path in part.layout)


def _put(part: _Part, here: Node, message: Any, *, empty: bool) -> Written:
    """Write a message, or an element of a list, into an element; return what of it is carried."""
    written = part.carrier.fill(message)
    for entry, path in part.layout:
        if entry in part.lists:
            _put_lists(part.lists[entry], here, message, written, empty=empty)
            if empty:
                here.at(alternatives(entry)[0])
        elif entry in written.several:
            for text in written.several[entry]:
                node = here.another(path)
                node.text = text
                node.join()
        elif empty or written.texts.get(entry):
            node = here.at(path)
            node.join()
            node.text = written.texts.get(entry, "")
    return written


def _put_lists(lists: Sequence[_List], here: Node, message: Any, written: Written, *, empty: bool) -> None:
    for one in lists:
        items = value_at(message, one.field) or ()
        for number, item in enumerate(items):
            if isinstance(item, Message) and any(value_as_text(item, path) != text for path, text in one.const.items()):
                continue  # an element of another list into the same field
            where = f"{one.field}[{number}]"
            if where in written.carried:
                continue
            holder = here.shadow() if one.shared else here
            node = holder.another(one.over)
            inner = _put(one.part, node, item, empty=empty)
            if inner.carried:
                node.join()
            if inner.carried and one.shared:
                (node.parent or holder).holds(node, one.field)
                here.blend(holder, node, one.field)
            written.carried.update(_under(where, inner.carried))
            written.inexact += [f"{where}.{path}" for path in inner.inexact]
            if not isinstance(item, Message) and inner.carried:
                written.carried[one.field] = "text"
            written.carried.setdefault(where, "")


def _under(where: str, carried: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for path, kind in carried.items():
        yield (where if path == "." else f"{where}.{path}"), kind
