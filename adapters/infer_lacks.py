"""What a message demands and no column of a file surely is: until a person answers each, `map check` refuses every row.

The message's own checks say it, asked of a message in which everything that the proposal writes is there.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from adapters.guesses import Guess, Lack, toml_text
from adapters.known import KIND_OF_TYPE, SKIPPED, Vocabulary
from schemas import checks, registry

_REQUIRED = ".required"
_CODED = "lianfang.v1.CodedValue"
_HEADERS_MAX = 6
_VALUES_MAX = 12
_FILLED = {FieldDescriptor.CPPTYPE_STRING: "x", FieldDescriptor.CPPTYPE_BOOL: True}


def lacks_of(message: str, guesses: Iterable[Guess], known: Vocabulary, place: str = "column") -> tuple[Lack, ...]:
    """Return the fields that the message demands and nothing that is written fills, each with a cure."""
    told = list(guesses)
    written = {guess.known.path.replace("[]", "[0]") for guess in told if guess.written and guess.known}
    body = registry.body_type(message)()
    for path in sorted(written):
        _fill(body, path)
    found = []
    for broken in checks.violations(body):
        inside = any(broken.path.startswith((f"{path}.", f"{path}[")) for path in written)
        if broken.rule.endswith(_REQUIRED) and broken.path.partition(".")[0] not in SKIPPED and not inside:
            found.append(_lack(message, broken.path, broken.cause, told, known, place))
    return tuple(found)


def _fill(body: Any, path: str) -> None:
    """Make a field there, whatever it holds: of a list, one item."""
    first, _, rest = path.partition(".")
    name = first.partition("[")[0]
    field = body.DESCRIPTOR.fields_by_name[name]
    if field.message_type is None:
        value = b"x" if field.type == field.TYPE_BYTES else _FILLED.get(field.cpp_type, 1)
        if field.is_repeated:
            getattr(body, name)[:] = [value]
        else:
            setattr(body, name, value)
        return
    inner = getattr(body, name)
    if field.is_repeated:
        inner = inner[0] if inner else inner.add()
    else:
        inner.SetInParent()
    if rest:
        _fill(inner, rest)


def _lack(message: str, path: str, cause: str, guesses: list[Guess], known: Vocabulary, place: str) -> Lack:
    field = _field_at(message, path)
    near = [guess.header for guess in guesses if guess.known and _is(guess.known.path.replace("[]", "[0]"), path)]
    headers = sorted(
        {header for one in known.fields if _is(one.path, path) for header in one.headers if not header.isdecimal()}
    )
    if near:
        cure = f"look at what is commented out: {', '.join(near[:_HEADERS_MAX])}"
    elif field.message_type is not None and not _kind(field):
        parts = ", ".join(f"{path}.{part.name}" for part in field.message_type.fields[:_HEADERS_MAX])
        cure = f"say which {place} holds one of its parts: {parts}"
    elif field.enum_type is not None:
        values = [value.name for value in field.enum_type.values if value.number]
        cure = (
            f"say with map which {place} holds it, or with const which it always is: {', '.join(values[:_VALUES_MAX])}"
        )
    else:
        const = "" if field.is_repeated or field.message_type is not None else ", or with const what it always is"
        cure = f"say which {place} holds it{const}"
    if headers and not near:
        cure += f"; other profiles read it from {', '.join(headers[:_HEADERS_MAX])}"
    return Lack(path, cause, cure, _kind(field), bool(near))


def _is(path: str, wanted: str) -> bool:
    return path == wanted or path.startswith((f"{wanted}.", f"{wanted}["))


def _field_at(message: str, path: str) -> FieldDescriptor:
    descriptor: Any = registry.descriptor_of(message)
    field: Any = None
    for piece in path.split("."):
        field = descriptor.fields_by_name[piece.partition("[")[0]]
        descriptor = field.message_type
    found: FieldDescriptor = field
    return found


def _kind(field: FieldDescriptor) -> str:
    """Return what a profile says in `parse`, as TOML has it; empty for words, and for what no one text fills."""
    if field.message_type is None:
        return '"integer"' if field.cpp_type in (field.CPPTYPE_UINT32, field.CPPTYPE_INT32) else ""
    name = field.message_type.full_name
    if name == _CODED:
        return '{ as = "code", scheme = "?" }'
    kind = KIND_OF_TYPE.get(name, "")
    if kind == "instant":
        return '{ as = "instant", formats = ["yyyy-MM-dd HH:mm:ss"] }'
    return toml_text(kind) if kind else ""


def lack_lines(lacks: Iterable[Lack], head: str) -> Iterator[str]:
    """Yield what is lacking as comments of a profile, each an entry to complete; `head` is what fields stand under."""
    told = list(lacks)
    if told:
        yield from (
            "",
            "# The message demands what nothing in the file surely is. Until each is answered, every row is refused.",
        )
    for lack in told:
        yield from ("", f"# {lack.field}: {lack.cause}. {lack.cure[:1].upper()}{lack.cure[1:]}.")
        if lack.proposed:
            continue
        yield from (f"# [{head}.{toml_text(lack.field)}]", '# from = "?"')
        if lack.kind:
            yield f"# parse = {lack.kind}"
        yield "# check = { required = true }"
