"""The profiles that come with the product, checked whole before any is used.

A profile that reads is one whose every field, verb, column, table and code is there: pydantic sees to the form
(adapters/profile.py), this to the sense. Nothing is found out at the first row.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import resources

from adapters import passport, platform
from adapters.errors import ProfileRefused
from adapters.plan import READERS, compile_plan, field_at
from adapters.profile import Mapping_, Profile, parse_profile
from schemas import registry
from schemas.errors import UnknownType

_SHARED = ".records.toml"


@cache
def profiles() -> dict[str, Profile]:
    """Return the profiles by name. ProfileRefused when one is wrong."""
    folder = resources.files("adapters") / "profiles"
    texts = {item.name: item.read_text("utf-8") for item in folder.iterdir() if item.name.endswith(".toml")}
    found = [load(text, texts, name) for name, text in sorted(texts.items()) if not name.endswith(_SHARED)]
    return {profile.name: profile for profile in found}


def load(text: str, beside: Mapping[str, str] | None = None, where: str = "profile") -> Profile:
    """Read and check one profile; `beside` holds the files it may include. ProfileRefused, with a nearest known word."""
    profile = parse_profile(text, beside, where)
    match profile.file.source.format:
        case "xml":
            _check_records(profile)
        case "csv":
            _check_table(profile)
        case "passport":
            _check_fields(profile, _target(profile), profile.file.field, passport.COLUMNS)
    return profile


def _target(profile: Profile) -> str:
    if profile.file.target is None:
        raise ProfileRefused(f"{profile.name} has no [target]", cure="say what a record becomes")
    return profile.file.target.message


def _check_table(profile: Profile) -> None:
    source = profile.file.source
    if source.header is None:
        raise ProfileRefused(f"{profile.name} has no [source.header]", cure="say how its header line is found")
    known = tuple(source.columns)
    for column in (*source.header.required, *([source.group_by] if source.group_by else [])):
        _known(profile, column, known, "column")
    spellings = [spelling for names in source.columns.values() for spelling in names]
    for spelling in spellings:
        if spellings.count(spelling) > 1:
            raise ProfileRefused(
                f"{profile.name} gives the header {spelling} to two columns", cure="to one of them only"
            )
    _check_fields(profile, _target(profile), profile.file.field, known)
    if profile.file.writing is not None:
        _check_written(profile, profile.file.writing.columns, known)


def _check_written(profile: Profile, columns: list[str], known: tuple[str, ...]) -> None:
    """Check the columns of a table that is written: what has several lines, or no way back, is not."""
    source = profile.file.source
    assert source.header is not None, "checked before"
    for column in columns:
        _known(profile, column, known, "column")
    missing = [column for column in source.header.required if column not in columns]
    if missing or source.group_by:
        raise ProfileRefused(
            f"{profile.name} has a [writing] that its own [source] could not read",
            cure=f"add the columns {', '.join(missing)}" if missing else "leave it out: several lines are one message",
        )


def _check_records(profile: Profile) -> None:
    file = profile.file
    codes = [f"{file.code_prefix}{record.code}" for record in file.record]
    if file.writing is None or not (file.writing.root and file.writing.head):
        raise ProfileRefused(f"{profile.name} has no [writing] with root and head", cure="say what it writes")
    for code in (*file.source.reads, *file.writing.writes):
        _known(profile, code, codes, "record")
    for record in file.record:
        for group in record.use:
            _known(profile, group, tuple(file.group), "group")
        fields = platform.fields_of(profile, record)
        for path, name in record.const.items():
            _check_constant(profile, record.message, path, name)
        _check_fields(profile, record.message, fields, (platform.SERIAL, *record.layout), shared=True)


def _check_fields(
    profile: Profile, message: str, fields: Mapping[str, Mapping_], columns: Iterable[str], *, shared: bool = False
) -> None:
    """Check the verbs of every field. `shared` groups may name a currency element that one of their records lacks."""
    known = tuple(columns)
    for path, verbs in fields.items():
        for column in _columns_of(verbs, with_currency=not shared):
            _known(profile, column, known, "column")
        if verbs.map is not None:
            _known(profile, verbs.map.table, tuple(profile.file.table), "table")
        _known(profile, verbs.parse.kind, tuple(READERS), "kind")
        if verbs.parse.kind == "instant" and not verbs.parse.formats:
            raise ProfileRefused(f"{profile.name}: {path} is an instant without formats", cure="give its formats")
        _check_kind(profile, message, path, verbs)
    compile_plan(profile, message, fields, {name: place for place, name in enumerate(known)}, known)


def _columns_of(verbs: Mapping_, *, with_currency: bool) -> Iterator[str]:
    yield from [verbs.source] if isinstance(verbs.source, str) else verbs.source
    if verbs.when is not None:
        yield verbs.when.source
    if with_currency:
        yield verbs.parse.currency_from


def _check_kind(profile: Profile, message: str, path: str, verbs: Mapping_) -> None:
    try:
        leaf = field_at(registry.descriptor_of(message), path, profile)
    except UnknownType as error:
        raise ProfileRefused(f"{message} is no message of the shared language", cure="see schemas/v1") from error
    made = READERS[verbs.parse.kind][1]
    held = leaf.message_type.full_name if leaf.message_type is not None else ""
    if made != held and not verbs.const:
        raise ProfileRefused(
            f"{profile.name}: {path} is {held or 'no message'}, and {verbs.parse.kind} makes {made or 'none'}",
            cure="choose the kind that the field holds",
        )
    if leaf.enum_type is not None and verbs.map is not None:
        for word in profile.file.table[verbs.map.table].values():
            _known(profile, word, tuple(leaf.enum_type.values_by_name), "value")


def _check_constant(profile: Profile, message: str, path: str, text: str) -> None:
    leaf = field_at(registry.descriptor_of(message), path, profile)
    if leaf.enum_type is not None:
        _known(profile, text, tuple(leaf.enum_type.values_by_name), "value")


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
