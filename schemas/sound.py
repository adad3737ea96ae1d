"""Whether a message breaks no check, asked of every row of every file: the short way round schemas/checks.py.

- It asks the same checks, compiled once for each type to as few steps as can be; no path is written and no error made.
  What it does not call sound, `checks.violations` looks through: it says what is wrong, or that nothing is.
- A broad type (many fields, most of them unset) is asked by the fields that are set; a narrow one by name.
- No text of a narrow message is longer than the message: where that is short, no length is asked.
- The words of vocabularies (schemes, currencies) that have passed are remembered, a few for each field; no other text is.
"""

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from schemas.rules import RULES, Test
from schemas.v1 import field_class_pb2

_NARROW_FIELDS_MAX = 10
_NARROW_INNER_MAX = 2
_REMEMBERED_MAX = 64
UTF8_BYTES_MAX = 4
"""Most bytes of one character."""
_WORDS = re.compile(r"[A-Z0-9_]+(?:\|[A-Z0-9_]+)*")
"""A pattern that is nothing but words."""


def sound(message: Any, later: str = "") -> bool:
    """Say whether a message breaks no check. The field `later` is checked later, and may be missing."""
    return _sound_of(message.DESCRIPTOR, later)(message)


@cache
def _sound_of(descriptor: Descriptor, later: str = "") -> Test:
    """Return what says whether a message of a type, and all that is in it, breaks no check."""
    return _narrow(descriptor) if is_narrow(descriptor) and not later else _broad(descriptor, later)


def is_narrow(descriptor: Descriptor) -> bool:
    """Say whether a type has so few fields that each is asked by name."""
    inner = [field for field in descriptor.fields if field.message_type is not None or field.is_repeated]
    return len(descriptor.fields) <= _NARROW_FIELDS_MAX and len(inner) <= _NARROW_INNER_MAX


def _broad(descriptor: Descriptor, later: str) -> Test:
    asked = {field: ask for field in descriptor.fields if (ask := _field(field)) is not None}
    needed = frozenset(field for field in descriptor.fields if check_of(field).required and field.name != later)
    rules = [rule.broken for rule in RULES if rule.message == descriptor.name]

    def is_sound(message: Any) -> bool:
        given = message.ListFields()
        if needed and not needed.issubset([field for field, _ in given]):
            return False
        for field, value in given:
            ask = asked.get(field)
            if ask is not None and not ask(value):
                return False
        for broken in rules:  # noqa: SIM110 - a loop is faster here than any()
            if broken(message):
                return False
        return True

    return is_sound


def _narrow(descriptor: Descriptor) -> Test:
    """Return the checks of a narrow type as one function, written out as dataclasses write theirs: names are looked up once."""
    lines: list[str] = []
    given: dict[str, Any] = {"fits": _fits}
    if any(check_of(field).max_bytes and not field.is_repeated and not form_of(field) for field in descriptor.fields):
        lines.append("size = message.ByteSize()")
    for field in descriptor.fields:
        lines += _written(field, given)
    for number, rule in enumerate(rule for rule in RULES if rule.message == descriptor.name):
        given[f"broken_{number}"] = rule.broken
        lines.append(f"if broken_{number}(message): return False")
    body = "".join(f"    {line}\n" for line in (*lines, "return True"))
    exec(f"def is_sound(message):\n{body}", given)  # noqa: S102 - all that is put into it is names and numbers of our own descriptors
    found: Test = given["is_sound"]
    return found


def _written(field: FieldDescriptor, given: dict[str, Any]) -> Iterator[str]:
    """Yield the lines that ask a field of a narrow type, and put what they call into `given`."""
    name, check = field.name, check_of(field)
    if field.has_presence or field.is_repeated:
        is_set = f"message.{name}" if field.is_repeated else f"message.HasField({name!r})"
        if check.required:
            yield f"if not {is_set}: return False"
        ask = _field(field)
        if ask is not None:
            given[f"ask_{name}"] = ask
            yield f"if {is_set} and not ask_{name}(message.{name}): return False"
        return
    form = form_of(field)
    if form is not None:
        given[f"known_{name}"], given[f"holds_{name}"] = form
        yield f"value = message.{name}"
        yield f"if value not in known_{name} and not holds_{name}(value): return False"
    elif check.max_bytes:
        limit = check.max_bytes
        yield f"if size > {limit} and not fits(message.{name}, {limit}): return False"


def check_of(field: FieldDescriptor) -> field_class_pb2.Check:
    """Return the checks of one field, as the .proto has them."""
    return field.GetOptions().Extensions[field_class_pb2.check]


def _fits(value: Any, limit: int) -> bool:
    size = len(value)
    return size * UTF8_BYTES_MAX <= limit or (size if isinstance(value, bytes) else len(value.encode())) <= limit


def _field(field: FieldDescriptor) -> Test | None:
    """Return what is asked of the value of a field that is set; None where that is nothing."""
    check = check_of(field)
    one = _inner(field) if field.message_type is not None else scalar_of(field)
    if not field.is_repeated:
        return one
    most = check.max_items
    if one is None:
        return (lambda values: len(values) <= most) if most else None
    each = one

    def all_sound(values: Any) -> bool:
        if most and len(values) > most:
            return False
        for value in values:  # noqa: SIM110 - as above
            if not each(value):
                return False
        return True

    return all_sound


def scalar_of(field: FieldDescriptor) -> Test | None:
    """Return what is asked of a value that is no message, or of an element of a list of such; None where that is nothing."""
    limit, form = check_of(field).max_bytes, form_of(field)
    if form is not None:
        known, holds = form
        return lambda value: value in known or holds(value)
    return (lambda value: _fits(value, limit)) if limit else None


@cache
def form_of(field: FieldDescriptor) -> tuple[set[Any] | frozenset[Any], Test] | None:
    """Return what is asked of a value, with the values that need not be asked; None where its length is all, or nothing is."""
    check = check_of(field)
    asks: list[Callable[[Any], Any]] = []
    unset: list[Any] = [] if check.required or field.is_repeated or field.has_presence else [field.default_value]
    matches = re.compile(check.pattern).fullmatch if check.pattern else None
    if check.required and not field.is_repeated and (matches is None or matches("") is not None):
        asks.append(bool)
    if matches is not None:
        if _WORDS.fullmatch(check.pattern):
            return frozenset((*unset, *check.pattern.split("|"))), lambda _: False
        asks.append(matches)
    if check.HasField("min"):
        least = check.min
        asks.append(lambda value: value >= least)
    if check.HasField("max"):
        most = check.max
        asks.append(lambda value: value <= most)
    if not asks:
        return None
    if check.max_bytes:
        longest = check.max_bytes
        asks.append(lambda value: _fits(value, longest))
    return _asked(asks, unset, learns=bool(check.pattern) and (field.name == "scheme" or "0-9" not in check.pattern))


def _asked(asks: list[Callable[[Any], Any]], unset: list[Any], *, learns: bool) -> tuple[set[Any], Test]:
    """Return several questions as one, with the values that need not be asked: it `learns` the words of a vocabulary."""
    known: set[Any] = set(unset)

    def holds(value: Any) -> bool:
        for ask in asks:  # noqa: SIM110 - as above
            if not ask(value):
                return False
        return True

    def holds_known(value: Any) -> bool:
        found = holds(value)
        if found and len(known) < _REMEMBERED_MAX:
            known.add(value)
        return found

    only = asks[0] if len(asks) == 1 else holds
    return known, holds_known if learns else only  # a match is as good as true


def _inner(field: FieldDescriptor) -> Test:
    """Return what is asked of a message in a field. Where types hold one another it is compiled at the first message."""
    inner, outer = field.message_type, field.containing_type
    assert inner is not None, "asked before"
    assert outer is not None, "only extensions have none"
    if outer not in reached(inner):
        return _sound_of(inner)
    return lambda message: _sound_of(inner)(message)  # noqa: PLW0108 - not before it is asked


@cache
def reached(descriptor: Descriptor) -> frozenset[Descriptor]:
    """Return a type and all that can be in it."""
    found, coming = set[Descriptor](), [descriptor]
    while coming:
        one = coming.pop()
        if one not in found:
            found.add(one)
            coming += [field.message_type for field in one.fields if field.message_type is not None]
    return frozenset(found)
