"""The fields of a message for which a column can be looked for, with the headers that known profiles give them."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from google.protobuf.descriptor import Descriptor

from adapters.catalogue import profiles
from adapters.errors import ProfileRefused, RowRefused
from adapters.kinds import Setting, identifier
from adapters.looks import TESTS
from adapters.plan import READERS
from adapters.profile import Mapping_, Profile, ProfileFile
from schemas import registry
from schemas.errors import UnknownType

_MUST_LOOK: dict[tuple[str, str], Callable[[str], bool]] = {
    (kind, ""): holds for kind, _, holds in TESTS if kind in ("id", "phone", "bank")
}
"""Kinds, with their scheme, whose reader takes nearly any text: to be sure of them, the values must also look like them."""
KIND_OF_TYPE = {
    made: kind
    for kind, (_, made) in READERS.items()
    if made and kind in ("account", "bank", "money", "instant", "phone")
}
SKIPPED = frozenset({"provenance", "case_context", "staff"})


@dataclass(frozen=True)
class Known:
    """A field, with what is known of the columns that it is read from."""

    path: str
    verbs: Mapping_
    headers: frozenset[str]
    """As `plain` gives them."""
    table: dict[str, str]

    def share_read(self, values: list[str], formats: tuple[str, ...], zone: str, region: str) -> float:
        """Return which part of the values reads as this field: all that is written of it depends on that."""
        read = self._reader(formats, zone, region)
        marks = f"[{re.escape(self.verbs.split.at)}]" if self.verbs.split else r"\Z"
        return sum(all(read(piece.strip()) for piece in re.split(marks, value) if piece) for value in values) / len(
            values
        )

    def _reader(self, formats: tuple[str, ...], zone: str, region: str) -> Callable[[str], bool]:
        file = ProfileFile.model_validate(
            {
                "profile": {"name": "x", "version": "1", "title": "x"},
                "source": {"format": "csv", "zone": zone, "region": region},
                "table": {self.verbs.map.table: self.table} if self.verbs.map else {},
            }
        )
        parse = self.verbs.parse.model_copy(update={"formats": list(formats)})
        kind = self.verbs.parse.kind
        read = READERS[kind][0](Setting(self.path, self.verbs.model_copy(update={"parse": parse}), file))
        looks = _MUST_LOOK.get((kind, self.verbs.parse.scheme))
        words = {*self.table, *self.table.values()} if self.verbs.map else None

        def reads(text: str) -> bool:
            if words is not None and text not in words:
                return False
            try:
                read(text, [])
            except RowRefused:
                return False
            return looks is None or looks(identifier(text).upper())

        return reads


@dataclass(frozen=True)
class Vocabulary:
    """What is known of a message's columns."""

    fields: tuple[Known, ...]
    """A field stands here once for each way in which known profiles read it."""
    currency_headers: frozenset[str]
    currencies: dict[str, str]
    footers: tuple[str, ...]
    """First words of rows that are sums or notes."""


def plain(header: str) -> str:
    """Return a header for comparing: half-width, small, without blanks, marks and what stands in parentheses."""
    text = unicodedata.normalize("NFKC", header).lower().partition("(")[0]
    return "".join(character for character in text if character.isalnum())


def vocabulary(message: str) -> Vocabulary:
    """Return the fields of a message with their headers. ProfileRefused when there is no such message."""
    try:
        descriptor = registry.descriptor_of(message)
    except UnknownType as error:
        raise ProfileRefused(f"{message} is no message of the shared language", cure="see schemas/v1") from error
    found: dict[tuple[str, str], Known] = {}
    currency, currencies = {"currency", "币种"}, dict[str, str]()
    footers = dict[str, None]()
    for profile in profiles().values():
        if profile.file.source.format not in ("csv", "xlsx") or profile.message != message:
            continue
        for path, known in _of_profile(profile):
            key = path, repr((known.verbs.model_copy(update={"source": ""}), known.table))
            there = found.get(key)
            found[key] = known if there is None else replace(there, headers=there.headers | known.headers)
        currency |= _currency(profile)
        currencies |= profile.file.source.currencies
        footers |= dict.fromkeys(profile.file.source.footer)
    of_profiles = {path for path, _ in found}
    found |= {(path, ""): known for path, known in _of_message(descriptor) if path not in of_profiles}
    return Vocabulary(tuple(found.values()), frozenset(map(plain, currency)), currencies, tuple(footers))


def _of_profile(profile: Profile) -> Iterator[tuple[str, Known]]:
    file = profile.file
    for path, verbs in file.field.items():
        if isinstance(verbs.source, str) and verbs.source in file.source.columns and verbs.when is None:
            headers = frozenset(map(plain, file.source.columns[verbs.source]))
            yield path, Known(path, verbs, headers, file.table[verbs.map.table] if verbs.map else {})


def _currency(profile: Profile) -> set[str]:
    columns = {verbs.parse.currency_from for verbs in profile.file.field.values()} - {""}
    return {header for column in columns for header in profile.file.source.columns.get(column, ())}


def _of_message(descriptor: Descriptor) -> Iterator[tuple[str, Known]]:
    """Yield the fields that can be named by their own names: in full, and by the last word where only one ends so."""
    paths = dict(paths_of(descriptor, "", 0, 1))
    last = Counter(path.rpartition(".")[2] for path in paths)
    for path, kind in paths.items():
        end = path.rpartition(".")[2]
        headers = {plain(path), *([plain(end)] if last[end] == 1 else [])}
        yield path, Known(path, Mapping_.model_validate({"parse": {"as": kind}}), frozenset(headers), {})


def paths_of(descriptor: Any, prefix: str, depth: int, depth_max: int) -> Iterator[tuple[str, str]]:
    """Yield the fields that one text fills, with the kind that each is read as."""
    for field in descriptor.fields:
        path = f"{prefix}{field.name}"
        if field.is_repeated or field.name in SKIPPED:
            continue
        if field.message_type is None:
            scalar = {field.TYPE_STRING: "text", field.TYPE_UINT32: "integer"}.get(field.type)
            if scalar and field.enum_type is None:
                yield path, scalar
        elif field.message_type.full_name in KIND_OF_TYPE:
            yield path, KIND_OF_TYPE[field.message_type.full_name]
        elif depth < depth_max:
            yield from paths_of(field.message_type, f"{path}.", depth + 1, depth_max)
