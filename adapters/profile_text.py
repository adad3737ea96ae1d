"""The text of a profile → its models; an unknown key anywhere is an error that names the nearest known one."""

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from itertools import takewhile
from typing import Any

from pydantic import BaseModel, ValidationError

from adapters.errors import ProfileRefused
from adapters.profile import (
    About,
    Check,
    Choice,
    Each,
    Header,
    Map,
    Mapping_,
    Parse,
    Profile,
    ProfileFile,
    Record,
    Sheet,
    Source,
    Split,
    Sum,
    Target,
    When,
    Writing,
)


def parse_profile(text: str, beside: Mapping[str, str] | None = None, where: str = "profile") -> Profile:
    """Read the form of one profile; `beside` holds the files it may include. ProfileRefused, with a nearest known key."""
    try:
        data = tomllib.loads(text)
        include = data.get("profile", {}).get("include", "")
        included = [name for name in ([include] if isinstance(include, str) else include) if name]
        for name in reversed(included):
            data = _merged(data, tomllib.loads(dict(beside or {})[name]))
    except tomllib.TOMLDecodeError as error:
        raise ProfileRefused(f"{where} is not TOML: {error}", cure="correct the file at that line") from error
    except KeyError as error:
        raise ProfileRefused(f"{where} includes a file that is not beside it", cure="put it there") from error
    _spread(data)
    try:
        file = ProfileFile.model_validate(data)
    except ValidationError as error:
        raise _refusal(where, error) from error
    notes = map(_opening, (text, *(dict(beside or {})[name] for name in included)))
    return Profile(file, tuple(filter(None, notes)))


def _opening(text: str) -> str:
    """Return what the comment at the beginning of a file says."""
    lines = takewhile(lambda line: line.startswith("#"), text.splitlines())
    return " ".join(line.removeprefix("#").strip() for line in lines if not line.startswith("#:"))


def _merged(data: dict[str, Any], included: dict[str, Any]) -> dict[str, Any]:
    named = {
        key: {**included.get(key, {}), **data.get(key, {})} for key in ("group", "group_each", "group_sum", "table")
    }
    return {**included, **data, **named, "record": [*included.get("record", []), *data.get("record", [])]}


SHORT_FORMS = (("parse", "as"), ("map", "table"), ("split", "at"))
"""Verbs that may be written as one text, and the key that it is short for."""


def _spread(data: dict[str, Any]) -> None:
    """Write short forms out: parse = "text" is parse = {as = "text"}, map = "x" is map = {table = "x"}."""
    holders = [data, *(record for record in data.get("record", []) if isinstance(record, dict))]
    sums = [rule for holder in holders for rule in holder.get("sum", ())]
    sums += [rule for rules in dict(data.get("group_sum", {})).values() for rule in rules]
    holders += [{"each": lists} for lists in dict(data.get("group_each", {})).values()]
    groups = [
        *dict(data.get("group", {})).values(),
        *(fields for holder in holders for fields in _field_tables(holder)),
        *(rule for rule in sums if isinstance(rule, dict)),
    ]
    for fields in groups:
        for verbs in dict(fields or {}).values():
            for verb, key in SHORT_FORMS:
                if isinstance(verbs, dict) and isinstance(verbs.get(verb), str):
                    verbs[verb] = {key: verbs[verb]}


def _field_tables(holder: dict[str, Any]) -> Iterator[Any]:
    """Yield the tables of fields of a record or a list, and of the lists in it."""
    yield holder.get("field")
    lists = holder.get("each")
    for inner in lists.values() if isinstance(lists, dict) else ():
        if isinstance(inner, dict):
            yield from _field_tables(inner)


def _refusal(where: str, error: ValidationError) -> ProfileRefused:
    errors = error.errors(include_url=False, include_input=False)
    first = next((one for one in errors if one["type"] == "extra_forbidden"), errors[0])
    place = ".".join(str(part) for part in first["loc"])
    cause = f"{where}: {place}: {first['msg']}"
    cure = "correct the profile"
    if first["type"] == "extra_forbidden":
        wrong = str(first["loc"][-1])
        near = difflib.get_close_matches(wrong, _KEYS, n=1)
        cause = f"{where}: {place} is not a key of a profile"
        cure = f"did you mean {near[0]}?" if near else "leave it out"
    return ProfileRefused(cause, cure=cure, code="LF-MAP-PROFILE-KEY")


def _keys(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


_MODELS = (
    About,
    Header,
    Sheet,
    Source,
    Target,
    Parse,
    Split,
    Map,
    When,
    Choice,
    Check,
    Mapping_,
    Each,
    Sum,
    Record,
    Writing,
    ProfileFile,
)
_KEYS = sorted({key for model in _MODELS for key in _keys(model)})
