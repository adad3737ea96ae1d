"""What is known of the elements that a message's fields stand in: from the profiles of trees and tables, and the fields' own names.

A name is compared word by word, in small letters, with the usual abbreviations written out: TxAmt, tx_amt and txnAmount are one.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from adapters.catalogue import profiles
from adapters.known import KIND_OF_TYPE, SKIPPED, Known, paths_of, plain, vocabulary
from adapters.paths import alternatives, unescaped
from adapters.plan import ITSELF
from adapters.profile import Mapping_, Profile
from adapters.readers import READERS
from adapters.tree_plan import fields_of, lists_of
from schemas import registry
from schemas.v1 import field_class_pb2

Name = tuple[str, ...]
"""Names of elements on the way to a leaf, as `word` gives them."""

_PIECES = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_A-Za-z]+")
_LONG = {
    "acct": "account", "acc": "account", "amt": "amount", "no": "number", "num": "number", "nbr": "number", "nb": "number",
    "nm": "name", "ccy": "currency", "cur": "currency", "curr": "currency", "dt": "date", "tm": "time", "tx": "transaction",
    "txn": "transaction", "trans": "transaction", "tran": "transaction", "trade": "transaction", "tel": "phone",
    "telephone": "phone", "mobile": "phone", "bal": "balance", "ref": "reference", "addr": "address", "desc": "description",
}  # fmt: skip
_INDEXED = re.compile(r"(\w+)\[0\]\.([^\[\]]+)")
_KINDS = frozenset({"text", "integer", "boolean", "code", "account", "bank", "id", "phone", "money", "instant"})
_ITSELF = {
    "lianfang.v1.AccountRef": {"number", "account", "accountnumber", "iban", "cardnumber", "账号", "卡号"},
    "lianfang.v1.PhoneRef": {"number", "phone", "phonenumber", "msisdn", "手机号", "电话"},
    "lianfang.v1.BankRef": {"code", "bic", "bankcode"},
}
"""Names of the element that is the whole item of a list."""
_DEPTH_MAX = 2
_BAR = re.compile(r"\s\|\s(?![^\[]*\])")
OWN = 2


def word(name: str) -> str:
    """Return an element's name for comparing."""
    name = unescaped(name)
    pieces = _PIECES.findall(name.lstrip("@"))
    return "".join(_LONG.get(piece.lower(), piece.lower()) for piece in pieces) or plain(name)


@dataclass(frozen=True)
class Place:
    """A field, with the paths at which known profiles, or its own name, have it."""

    known: Known
    names: frozenset[Name]
    also: frozenset[Name] = frozenset()
    """Where it stands when it does not stand there."""
    under: str = ""
    """Why nobody can be sure of it without looking; empty when one can."""
    rank: int = 0
    """How near those who say so are: 0 profiles of the same message and list, 1 others, 2 the field's own names."""
    beside: frozenset[str] = frozenset()
    """Other fields that a profile reads from the same place."""


class ListPlace(NamedTuple):
    """A repeated field, with what its items hold."""

    path: str
    type: str
    names: frozenset[Name]
    items: tuple[Place, ...]
    items_max: int
    """Most items that a message takes; 0 for no limit."""
    repeated: frozenset[str]


@dataclass(frozen=True)
class Paths:
    """What is known of a message."""

    fields: tuple[Place, ...]
    lists: tuple[ListPlace, ...]
    repeated: frozenset[str]
    """Fields that take every text that a path finds."""
    currency_names: frozenset[str]
    currencies: dict[str, str]


@cache
def paths_known(message: str) -> Paths:
    """Return what is known of a message's fields and lists. ProfileRefused when there is no such message."""
    table = vocabulary(message)
    descriptor = registry.descriptor_of(message)
    trees = [profile for profile in profiles().values() if profile.file.source.format in READERS]
    lists = tuple(
        ListPlace(
            field.name,
            field.message_type.full_name,
            names,
            tuple(_merged(_items(field, message, trees))),
            field.GetOptions().Extensions[field_class_pb2.check].max_items,
            _repeated(field.message_type),
        )
        for field in descriptor.fields
        if field.is_repeated and field.message_type is not None
        for names in [frozenset(_list_names(field, message, trees))]
    )
    own = [
        *_of_trees(_Part(fields_of(one, record), one, record.at) for one, record in _records(trees, message)),
        *map(_of_header, table.fields),
        *_of_names(descriptor),
    ]
    currencies = dict(table.currencies)
    for profile in trees:
        currencies |= profile.file.source.currencies
    names = frozenset({word(name) for name in table.currency_headers} | {"currency", "currencycode", "币种"})
    return Paths(tuple(_merged(own)), lists, _repeated(descriptor), names, currencies)


def _repeated(descriptor: Descriptor) -> frozenset[str]:
    return frozenset(field.name for field in descriptor.fields if field.is_repeated)


def _records(trees: list[Profile], message: str) -> Iterator[tuple[Profile, Any]]:
    for profile in trees:
        for record in profile.file.record:
            if record.message == message:
                yield profile, record


def _merged(places: Iterable[Place]) -> Iterator[Place]:
    """Yield each way of reading a field once. What stands elsewhere in another kind of record is sure of neither place."""
    found: dict[tuple[str, str], Place] = {}
    for place in places:
        verbs = place.known.verbs.model_copy(update={"source": ""})
        key = (
            place.known.path,
            repr((verbs.parse.kind, verbs.parse.scheme, verbs.map, place.known.table, place.under, place.rank)),
        )
        there = found.get(key)
        found[key] = (
            place
            if there is None
            else replace(
                there, names=there.names | place.names, also=there.also | place.also, beside=there.beside | place.beside
            )
        )
    yield from found.values()


class _Part(NamedTuple):
    """What a profile reads from one element."""

    fields: Mapping[str, Mapping_]
    profile: Profile
    base: str
    """Where the element stands: from the root, or from the record."""


def _of_trees(parts: Iterable[_Part], rank: int = 0) -> Iterator[Place]:
    for fields, profile, base in parts:
        firsts: dict[frozenset[Name], list[str]] = {}
        for path, verbs in fields.items():
            if isinstance(verbs.source, str) and verbs.source:
                firsts.setdefault(_first_and_others(verbs.source, base)[0], []).append(path)
        for path, verbs in fields.items():
            if "[" in path or verbs.parse.kind not in _KINDS or not isinstance(verbs.source, str) or not verbs.source:
                continue
            table = profile.file.table[verbs.map.table] if verbs.map else {}
            bare = Mapping_.model_validate(
                {
                    "parse": {"as": verbs.parse.kind, "scheme": verbs.parse.scheme},
                    "map": verbs.map.model_dump() if verbs.map else None,
                    "check": {"required": verbs.check.required and verbs.when is None},
                }
            )
            conditional = verbs.when is not None or verbs.take or verbs.split or verbs.parse.negative is not None
            under = "a known profile reads it under a condition, or in part" if conditional else ""
            first, also = _first_and_others(verbs.source, base)
            beside = frozenset(other for other in firsts.get(first, ()) if other != path)
            yield Place(Known(path, bare, frozenset(), table), first, also, under, rank, beside)


def _names(source: str, base: str = "") -> Iterator[Name]:
    """Yield the names of a path, also as they read from each element above the one that it is relative to."""
    bases = [tuple(word(step.name) for step in path.steps) for path in alternatives(base)] if base else [()]
    for path in alternatives(source):
        name = tuple(word(step.name) for step in path.steps)
        if any(step.only or step.number for step in path.steps) or not (name or source == ITSELF):
            continue
        for whole in bases:
            above = whole[: max(0, len(whole) - path.up)]
            yield from ((*above[cut:], *name) for cut in range(len(above), -1, -1))


def _first_and_others(source: str, base: str = "") -> tuple[frozenset[Name], frozenset[Name]]:
    """Return where a field stands in the first place, in whatever form, and where it stands otherwise."""
    bare = [next(_names(piece), ()) for piece in _BAR.split(source)]
    first: set[Name] = set()
    others: set[Name] = set()
    for piece, name in zip(_BAR.split(source), bare, strict=True):
        (first if name[:-1] == bare[0][:-1] else others).update(_names(piece, base))
    return frozenset(first), frozenset(others) - first


def _of_header(known: Known) -> Place:
    under = "a known profile reads it in part" if known.verbs.split or known.verbs.take else ""
    verbs = Mapping_.model_validate(
        {
            "parse": {"as": known.verbs.parse.kind, "scheme": known.verbs.parse.scheme},
            "map": known.verbs.map.model_dump() if known.verbs.map else None,
            "check": {"required": known.verbs.check.required},
        }
    )
    names = frozenset((word(header),) for header in known.headers)
    return Place(Known(known.path, verbs, frozenset(), known.table), names, under=under)


def _of_names(descriptor: Descriptor) -> Iterator[Place]:
    """Yield the fields by their own names: in full, by first and last word, and by the last where only one ends so."""
    paths = dict(paths_of(descriptor, "", 0, _DEPTH_MAX))
    for path, kind in paths.items():
        steps = tuple(word(step) for step in path.split("."))
        names = {steps, ("".join(steps),), (steps[0], steps[-1]), (steps[0] + steps[-1],)}
        names |= {steps[-1:]} if sum(one.split(".")[-1] == path.split(".")[-1] for one in paths) == 1 else set()
        clash = {
            name
            for name in names
            for other in paths
            if other != path and name == tuple(map(word, (other.split(".")[0], other.split(".")[-1])))
        }
        verbs = Mapping_.model_validate({"parse": {"as": kind}})
        yield Place(Known(path, verbs, frozenset(), {}), frozenset(names - clash), rank=OWN)
    for field in descriptor.fields:
        kind = "" if field.name in SKIPPED else _repeated_kind(field)
        if kind:
            verbs = Mapping_.model_validate({"parse": {"as": kind}})
            yield Place(Known(field.name, verbs, frozenset(), {}), frozenset(_spellings(field.name)), rank=OWN)


def _repeated_kind(field: FieldDescriptor) -> str:
    if not field.is_repeated:
        return ""
    if field.message_type is None:
        return "text" if field.type == field.TYPE_STRING else ""
    return KIND_OF_TYPE.get(field.message_type.full_name, "")


def _spellings(name: str) -> set[Name]:
    return {(word(name),), (word(name.removesuffix("s")),)}


def _list_names(field: FieldDescriptor, message: str, trees: list[Profile]) -> Iterator[Name]:
    yield from _spellings(field.name)
    for profile, record in _records(trees, message):
        for name, each in lists_of(profile, record).items():
            if (each.into or name) == field.name:
                yield from filter(None, _names(each.over))


def _items(field: FieldDescriptor, message: str, trees: list[Profile]) -> Iterator[Place]:
    """Yield what is known of the items of a list, from every message that has such a list."""
    assert field.message_type is not None, "asked of lists of messages alone"
    kind = field.message_type.full_name
    for profile in trees:
        for there, list_, parts in _lists(profile):
            if _item_type(there, list_) == kind:
                rank = 0 if (there, list_) == (message, field.name) else 1
                elsewhere = _elsewhere([part.fields for part in parts])
                for place in _of_trees(parts, rank):
                    yield replace(place, under=_ELSEWHERE) if place.known.path in elsewhere else place
    for there in dict.fromkeys(one.file.target.message for one in profiles().values() if one.file.target):
        for known in vocabulary(there).fields:
            inside = _INDEXED.fullmatch(known.path)
            if inside and _item_type(there, inside[1]) == kind:
                rank = 0 if (there, inside[1]) == (message, field.name) else 1
                yield replace(_of_header(replace(known, path=inside[2])), rank=rank)
    if kind in _ITSELF:
        verbs = Mapping_.model_validate({"parse": {"as": KIND_OF_TYPE[kind]}})
        names = frozenset({(word(name),) for name in _ITSELF[kind]})
        yield Place(Known(ITSELF, verbs, frozenset(), {}), names, rank=OWN)
    else:
        yield from _of_names(field.message_type)


def _item_type(message: str, list_: str) -> str:
    field = registry.descriptor_of(message).fields_by_name.get(list_)
    return field.message_type.full_name if field is not None and field.message_type is not None else ""


_ELSEWHERE = "a known profile reads it from here or from elsewhere, under a condition"


def _elsewhere(parts: list[Mapping[str, Mapping_]]) -> set[str]:
    """Return the fields that lists of one record read from places that have nothing in common."""
    found: set[str] = set()
    names: dict[str, frozenset[Name]] = {}
    for fields in parts:
        for path, verbs in fields.items():
            if isinstance(verbs.source, str) and verbs.source:
                first, others = _first_and_others(verbs.source)
                here = first | others
                if path in names and not names[path] & here:
                    found.add(path)
                names[path] = names.get(path, here) | here
    return found


def _lists(profile: Profile) -> Iterator[tuple[str, str, list[_Part]]]:
    """Yield the lists of each record: the message, the list, and everything that fills it."""
    for record in profile.file.record:
        found: dict[str, list[_Part]] = {}
        for name, each in lists_of(profile, record).items():
            found.setdefault(each.into or name, []).append(_Part(fields_of(profile, each), profile, each.over))
        for list_, parts in found.items():
            yield record.message, list_, parts
