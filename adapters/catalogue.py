"""The profiles that come with the product, each checked whole before it is used.

- A profile that reads is one whose every field, verb, column, table and code is there: pydantic sees to the form
  (adapters/profile.py), this to the sense. Nothing is found out at the first row.
- A profile is read when it is first asked for: to find out which of many a file is in, few are read and none is checked
  but the one that it is in.
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import resources

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from adapters.errors import ProfileRefused
from adapters.paths import alternatives
from adapters.plan import ITSELF, compile_plan, field_at
from adapters.plan import READERS as READERS_OF_KINDS
from adapters.profile import ROWS, Each, FooterCheck, Header, Mapping_, Profile
from adapters.profile_text import parse_profile
from adapters.readers import READERS
from adapters.tree_plan import constants, fields_of, kinds_of, list_at, lists_of, looked_at
from schemas import registry
from schemas.errors import UnknownType

_SUFFIX, _SHARED = ".toml", ".records.toml"
_FORMAT = re.compile(r'^\[source\]\n(?:[^\[\n].*\n|\n)*?format = "([a-z0-9-]+)"$', re.MULTILINE)


class Catalogue(Mapping[str, Profile]):
    """The profiles by name, in the order of their names. Whoever takes one out may have ProfileRefused: it is read then."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts
        """The text of each file, by the file's name."""
        self._names = [
            name.removesuffix(_SUFFIX)
            for name in sorted(texts)
            if name.endswith(_SUFFIX) and not name.endswith(_SHARED)
        ]
        self._parsed: dict[str, Profile] = {}
        self._checked: dict[str, Profile] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __getitem__(self, name: str) -> Profile:
        if name not in self._checked:
            profile = self.unchecked(name)
            _check(profile)
            self._checked[name] = profile
        return self._checked[name]

    def unchecked(self, name: str) -> Profile:
        """Return a profile whose form alone is known to be right: enough to compare a file with it."""
        if name not in self._parsed:
            text = self._texts[f"{name}{_SUFFIX}"] if name in self._names else None
            if text is None:
                raise KeyError(name)
            profile = parse_profile(text, self._texts, f"{name}{_SUFFIX}")
            if profile.name != name:
                raise ProfileRefused(f"{name}{_SUFFIX} calls itself {profile.name}", cure="call both the same")
            self._parsed[name] = profile
        return self._parsed[name]

    def format_of(self, name: str) -> str:
        """Return the format that a profile reads, without reading the profile where its text says so in the usual place."""
        said = _FORMAT.search(self._texts[f"{name}{_SUFFIX}"])
        return said[1] if said is not None else self.unchecked(name).file.source.format


@cache
def profiles() -> Catalogue:
    """Return the profiles by name."""
    folder = resources.files("adapters") / "profiles"
    return Catalogue({item.name: item.read_text("utf-8") for item in folder.iterdir() if item.name.endswith(_SUFFIX)})


def load(text: str, beside: Mapping[str, str] | None = None, where: str = "profile") -> Profile:
    """Read and check one profile; `beside` holds the files it may include. ProfileRefused, with a nearest known word."""
    profile = parse_profile(text, beside, where)
    _check(profile)
    return profile


def _check(profile: Profile) -> None:
    match profile.file.source.format:
        case "passport":
            from adapters.passport import COLUMNS  # noqa: PLC0415 - lazy: what reads tokens is slow to load

            _check_fields(profile, _target(profile), profile.file.field, COLUMNS)
        case form if form in READERS:
            _check_records(profile)
        case _:
            _check_table(profile)


def _target(profile: Profile) -> str:
    if profile.file.target is None:
        raise ProfileRefused(f"{profile.name} has no [target]", cure="say what a record becomes")
    return profile.file.target.message


def _check_table(profile: Profile) -> None:
    source = profile.file.source
    if source.header is None:
        raise ProfileRefused(f"{profile.name} has no [source.header]", cure="say how its header line is found")
    known = (*source.columns, *source.preamble)
    _check_shape(profile)
    for column in (*source.header.required, *filter(None, (source.group_by, source.sheet_column))):
        _known(profile, column, known, "column")
    spellings = [spelling for names in source.columns.values() for spelling in names]
    for spelling in spellings:
        if spellings.count(spelling) > 1:
            raise ProfileRefused(
                f"{profile.name} gives the header {spelling} to two columns", cure="to one of them only"
            )
    for check in source.footer_check:
        _check_footer(profile, check, known)
    _check_fields(profile, _target(profile), profile.file.field, known)
    _check_header(profile, source.header)
    if profile.file.writing is not None:
        _check_written(profile, profile.file.writing.columns, known)


def _check_footer(profile: Profile, check: FooterCheck, known: tuple[str, ...]) -> None:
    """Check a line that says what the rows come to."""
    for column in (check.counts, *([check.only.source] if check.only is not None else [])):
        _known(profile, column, (*known, ROWS), "column")
    if not re.compile(check.pattern).groups and check.counts == ROWS:
        raise ProfileRefused(
            f"{profile.name}: the pattern {check.pattern} of a footer_check has no group, so it has no figure",
            cure="put the figure in a group, or count a column",
        )


def _check_header(profile: Profile, header: Header) -> None:
    """Check that what every record must have, and one column alone gives, stands in each header."""
    source = profile.file.source
    headers = [set(rule.required or header.required) for rule in source.sheet if not rule.ignore]
    for path, verbs in profile.file.field.items():
        if not verbs.check.required or verbs.when is not None or len(verbs.sources) != 1:
            continue
        (column,) = verbs.sources
        if column == source.sheet_column or column not in source.columns:
            continue
        if not all(column in required for required in headers or [set(header.required)]):
            raise ProfileRefused(
                f"{profile.name}: {path} is required, and a header line without its column would do",
                cure=f"add {column} to required in [source.header], and to that of each [[source.sheet]]"
                if headers
                else f"add {column} to required in [source.header]",
            )


def _check_shape(profile: Profile) -> None:
    """Check what stands above the header, or what a table without one looks like."""
    source = profile.file.source
    assert source.header is not None, "checked before"
    twice = [name for name in source.preamble if name in source.columns]
    if twice:
        raise ProfileRefused(
            f"{profile.name} has {twice[0]} above the header and in it", cure="call one of them otherwise"
        )
    for column in source.header.looks:
        _known(profile, column, tuple(source.columns), "column")
    named = [names[0] for names in source.columns.values() if len(names) != 1 or not names[0].isdecimal()]
    if source.header.looks and named:
        raise ProfileRefused(
            f"{profile.name} has no header line, and a column called {named[0]}", cure="call columns 1, 2, 3 and so on"
        )


def _check_written(profile: Profile, columns: list[str], known: tuple[str, ...]) -> None:
    """Check the columns of a table that is written: what has no way back is not."""
    source = profile.file.source
    assert source.header is not None, "checked before"
    for column in columns:
        _known(profile, column, known, "column")
    missing = [column for column in source.header.required if column not in columns]
    if missing:
        raise ProfileRefused(
            f"{profile.name} has a [writing] that its own [source] could not read",
            cure=f"add the columns {', '.join(missing)}",
        )


def _check_records(profile: Profile) -> None:
    file = profile.file
    if not file.record and file.target is None:
        raise ProfileRefused(f"{profile.name} has neither [[record]] nor [target]", cure="say what a record becomes")
    if file.writing is not None and file.source.format == "xml" and not file.writing.root:
        raise ProfileRefused(f"{profile.name} has a [writing] without root", cure="name the root element")
    labels = [f"{file.code_prefix}{record.label}" for record in file.record]
    for code in (*file.source.reads, *(file.writing.writes if file.writing is not None else ())):
        _known(profile, code, labels, "record")
    groups = tuple({**file.group, **file.group_each})
    for record in file.record:
        for group in record.use:
            _known(profile, group, groups, "group")
        fields = {**constants(record.const), **fields_of(profile, record)}
        _check_part(profile, _descriptor(record.message), fields, lists_of(profile, record))
    kinds_of(profile)
    for pattern in (*file.source.ignore, *([file.source.code_from] if file.source.code_from else [])):
        alternatives(pattern.replace("/**", "/*"))


def _check_part(
    profile: Profile, descriptor: Descriptor, fields: Mapping[str, Mapping_], lists: Mapping[str, Each]
) -> None:
    """Check the fields of a record, or of a list in it, and the lists in that."""
    for path, verbs in fields.items():
        _check_verbs(profile, path, verbs, field_at(descriptor, path, profile) if path != ITSELF else None)
    for name, each in lists.items():
        for group in each.use:
            _known(profile, group, tuple({**profile.file.group, **profile.file.group_each}), "group")
        inner, filled = list_at(descriptor, each.into or name, profile), fields_of(profile, each)
        if ITSELF in filled:
            _check_verbs(profile, name, filled[ITSELF], inner)
        within = {path: verbs for path, verbs in filled.items() if path != ITSELF}
        if inner.message_type is not None:
            _check_part(profile, inner.message_type, {**constants(each.const), **within}, lists_of(profile, each))


def _descriptor(message: str) -> Descriptor:
    try:
        return registry.descriptor_of(message)
    except UnknownType as error:
        near = difflib.get_close_matches(message, [registry.bare_name(name) for name in registry.bodies()], n=1)
        raise ProfileRefused(
            f"{message} is no message of the shared language",
            cure=f"did you mean {near[0]}? See schemas/v1" if near else "see schemas/v1",
        ) from error


def _check_fields(profile: Profile, message: str, fields: Mapping[str, Mapping_], columns: Iterable[str]) -> None:
    """Check the verbs and the columns of every field."""
    known, descriptor = tuple(columns), _descriptor(message)
    for path, verbs in fields.items():
        for column in (*verbs.sources, *looked_at(verbs)):
            _known(profile, column, known, "column")
        _check_verbs(profile, path, verbs, field_at(descriptor, path, profile))
    compile_plan(profile, message, fields, {name: place for place, name in enumerate(known)}, known)


def _check_verbs(profile: Profile, path: str, verbs: Mapping_, leaf: FieldDescriptor | None) -> None:
    if verbs.map is not None:
        _known(profile, verbs.map.table, tuple(profile.file.table), "table")
    _known(profile, verbs.parse.kind, tuple(READERS_OF_KINDS), "kind")
    if verbs.parse.kind == "instant" and not verbs.parse.formats:
        raise ProfileRefused(f"{profile.name}: {path} is an instant without formats", cure="give its formats")
    if leaf is not None:
        _check_kind(profile, path, verbs, leaf)


def _check_kind(profile: Profile, path: str, verbs: Mapping_, leaf: FieldDescriptor) -> None:
    made = READERS_OF_KINDS[verbs.parse.kind][1]
    held = leaf.message_type.full_name if leaf.message_type is not None else ""
    if made != held and not verbs.const and not verbs.choose:
        raise ProfileRefused(
            f"{profile.name}: {path} is {held or 'no message'}, and {verbs.parse.kind} makes {made or 'none'}",
            cure="choose the kind that the field holds",
        )
    if leaf.enum_type is None:
        return
    words = profile.file.table[verbs.map.table].values() if verbs.map is not None else []
    for word in (*words, *([verbs.const] if verbs.const else []), *(choice.const for choice in verbs.choose)):
        _known(profile, word, tuple(leaf.enum_type.values_by_name), "value")


def _known(profile: Profile, word: str, known: Iterable[str], what: str) -> None:
    words = list(known)
    if not word or word in words:
        return
    near = difflib.get_close_matches(word, words, n=1)
    raise ProfileRefused(
        f"{profile.name}: there is no {what} {word}",
        cure=f"did you mean {near[0]}?" if near else f"there are {', '.join(words)}",
        code="LF-MAP-PROFILE-WORD",
    )
