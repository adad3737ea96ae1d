"""The text of a proposed profile for a tree. No value of the file gets into it: paths, kinds and code tables only."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from adapters.guesses import Stated, toml_text
from adapters.looks import look_at
from adapters.profile import Source
from adapters.tree_match import Found
from adapters.tree_shape import Leaf

if TYPE_CHECKING:
    from adapters.infer_tree import Items

_STRUCTURE = ("@schemaLocation", "@noNamespaceSchemaLocation")
"""Attributes that say where a schema is, and nothing of a case."""


class Written(NamedTuple):
    """What a profile is written from."""

    name: str
    message: str
    source: Source
    stated: Stated
    at: str
    namespaces: list[str]
    nulls: list[str]
    currencies: dict[str, str]
    fields: list[Found]
    lists: "list[Items]"


def lines_of(written: Written) -> Iterator[str]:
    """Yield the lines of the profile."""
    yield from (
        "#:schema ./profile.schema.json",
        "# Proposed by `lianfang map infer`. What is commented out is not sure.",
    )
    yield from (
        "[profile]",
        f"name = {toml_text(written.name)}",
        'version = "1"',
        f"title = {toml_text(written.name)}",
        "",
    )
    yield from _source(written)
    tables = _tables(written)
    yield from ("", "[[record]]", f"name = {toml_text('record')}", f"message = {toml_text(written.message)}")
    if written.at:
        yield f"at = {toml_text(written.at)}"
    limited = [items.place for items in written.lists if items.written and items.place.items_max]
    if limited:
        yield f"spread = {toml_text(max(limited, key=lambda place: place.items_max).path)}"
    for one in written.fields:
        yield from _field(one, "record.field", tables)
    for items in written.lists:
        yield from _list(items, tables)
    for table, name in tables.items():
        yield from ("", f"[table.{name}]", *(f"{toml_text(word)} = {toml_text(code)}" for word, code in table))
    yield from _unmapped(written)


Table = tuple[tuple[str, str], ...]


def _source(written: Written) -> Iterator[str]:
    source = written.source
    yield from ("[source]", f"format = {toml_text(source.format)}")
    if source.lines:
        yield "lines = true"
    if source.document_type:
        yield "document_type = true"
    yield f"null = {toml_text(written.nulls)}"
    for key in ("zone", "currency", "region"):
        given = getattr(written.stated, key)
        yield f"{key} = {toml_text(given)}" if given else f"# {key} = ?  # for values that do not say it"
    if written.currencies:
        pairs = (f"{toml_text(name)} = {toml_text(code)}" for name, code in written.currencies.items())
        yield f"currencies = {{ {', '.join(pairs)} }}"
    if written.namespaces:
        yield f"namespace = {toml_text(written.namespaces)}"
    structure = [one for one in _STRUCTURE if any(found.path.endswith(one) for found in written.fields)]
    if structure:
        yield f"ignore = {toml_text([f'**/{one}' for one in structure])}"


def _tables(written: Written) -> dict[Table, str]:
    """Return the code tables that are used, each under a name of its own."""
    found: dict[Table, str] = {}
    for one in [*written.fields, *(item for items in written.lists for item in items.found)]:
        known = one.guess.known
        if known is None or not known.verbs.map or tuple(known.table.items()) in found:
            continue
        name, number = known.verbs.map.table, 1
        while name in found.values():
            number += 1
            name = f"{known.verbs.map.table}-{number}"
        found[tuple(known.table.items())] = name
    return found


def _list(items: "Items", tables: dict[Table, str]) -> Iterator[str]:
    mark = "" if items.written else "# "
    head = f"record.each.{toml_text(items.place.path)}"
    why = items.doubt or ("" if items.written else "nothing in it is sure")
    yield from ("", f"{mark}[{head}]", f"{mark}over = {toml_text(items.over)}{f'  # not sure: {why}' if why else ''}")
    for one in items.found:
        yield from _field(one, f"{head}.field", tables, mark)


def _field(one: Found, head: str, tables: dict[Table, str], outer: str = "") -> Iterator[str]:
    known = one.guess.known
    if known is None:
        return
    mark = "" if one.guess.written and not outer else "# "
    verbs, parse = known.verbs, known.verbs.parse
    formats = f", formats = {toml_text(list(one.guess.formats))}" if parse.kind == "instant" else ""
    scheme = f", scheme = {toml_text(parse.scheme)}" if parse.scheme else ""
    currency = f", currency_from = {toml_text(one.currency)}" if one.currency else ""
    yield ""
    yield f"{mark}[{head}.{toml_text(known.path)}]"
    yield f"{mark}from = {toml_text(one.path)}  # {one.guess.sure:.0%} sure: {one.guess.why}"
    yield f"{mark}parse = {{ as = {toml_text(parse.kind)}{formats}{scheme}{currency} }}"
    if verbs.map:
        name = tables[tuple(known.table.items())]
        yield f"{mark}map = {{ table = {toml_text(name)}, unknown = {toml_text(verbs.map.unknown)} }}"
    if verbs.check.required:
        yield f"{mark}check = {{ required = true }}"


def _unmapped(written: Written) -> Iterator[str]:
    """Yield the paths that no field is proposed for, with what stands there in general."""
    found = [(one.path, one) for one in written.fields]
    found += [(f"{items.over}/{one.path}", one) for items in written.lists for one in items.found]
    rest = [(path, one) for path, one in found if one.guess.known is None and not one.guess.is_currency]
    rest = [(path, one) for path, one in rest if not path.endswith(_STRUCTURE)]
    if rest:
        yield from ("", "# Paths that no field is proposed for. `ignore` in [source] names those that carry nothing.")
    for path, one in rest:
        yield f"#   {toml_text(path)}: {described(one.leaf)}; {one.guess.why}"


def described(leaf: Leaf) -> str:
    """Say in general what stands at a path."""
    if not leaf.values:
        return "no text"
    look = look_at(leaf.values)
    if look.kind:
        kind = f"they look like {look.words}"
    elif all(value.isdecimal() for value in leaf.values):
        kind = "digits"
    else:
        kind = "words"
    return f"in {len(leaf.inside)} elements, {kind}"
