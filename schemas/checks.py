"""What protobuf cannot say: required, patterns, sizes, ranges, and rules across fields.

- The checks of one field stand in the `.proto`, as the option (check); `Check` there says what each member means.
- Rules across fields stand in schemas/rules.py.
- Every rule has a stable id, `<Message>.<field>.<member>`, which is its error code and translation key; the message named
  in it is the one that declares the field, and the path says where it stands in the body.
- A violation carries no value: what breaks a check may be classed.
- Nearly every message breaks none: schemas/sound.py says so at once (of one that a reader has just made,
  schemas/sound_values.py), and only what they doubt is looked through here.

`_CONTEXT` is filled in on the way out from what the sender states, so a record read from a file is checked without it
(`require_valid_record`) and a message that leaves is checked whole (`require_valid`).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from schemas.errors import MessageRefused, Violation
from schemas.rules import RULES, Rule, Test
from schemas.sound import sound
from schemas.sound_values import Values, sound_values
from schemas.v1 import field_class_pb2

_CONTEXT = "case_context"


def require_valid(message: Message) -> None:
    """Refuse a message that breaks a check. MessageRefused carries every violation."""
    if sound(message):
        return
    broken = violations(message)
    if broken:
        raise MessageRefused(message.DESCRIPTOR.name, broken)


def require_valid_record(message: Message, made_of: Values | None = None) -> None:
    """Refuse a message as an adapter made it: every check but those of the case context, which the sender states later.

    `made_of` are the values that it was made of, where it has not been changed since: asking them is shorter.
    """
    if made_of is not None and sound_values(message, made_of, later=_CONTEXT):
        return
    if sound(message, later=_CONTEXT):
        return
    broken = tuple(item for item in violations(message) if item.path.split(".", 1)[0] != _CONTEXT)
    if broken:
        raise MessageRefused(message.DESCRIPTOR.name, broken)


def require_valid_context(message: Message) -> None:
    """Refuse a message whose case context breaks a check; the rest of it has been checked as a record."""
    broken: list[Violation] = []
    field = message.DESCRIPTOR.fields_by_name.get(_CONTEXT)
    if field is not None:
        required = (test for test in _plan(message.DESCRIPTOR).required if test.field == _CONTEXT)
        broken += [_violation(test, "") for test in required if not test.holds(message)]
        if message.HasField(_CONTEXT):
            _look(getattr(message, _CONTEXT), f"{_CONTEXT}.", broken)
    if broken:
        raise MessageRefused(message.DESCRIPTOR.name, tuple(broken))


def violations(message: Message) -> tuple[Violation, ...]:
    """Return every broken check of a message and of all that is in it, in the order of the fields."""
    found: list[Violation] = []
    _look(message, "", found)
    return tuple(found)


def rule_ids(descriptor: Descriptor) -> tuple[str, ...]:
    """Return the id of every rule that a message type and what it holds can break, sorted: for docs and translations."""
    found: set[str] = set()
    _collect(descriptor, found, set())
    return tuple(sorted(found))


def _collect(descriptor: Descriptor, found: set[str], seen: set[str]) -> None:
    if descriptor.full_name in seen:
        return
    seen.add(descriptor.full_name)
    plan = _plan(descriptor)
    found.update(test.rule for test in plan.required)
    found.update(test.rule for tests in plan.tests.values() for test in (*tests.whole, *tests.each))
    found.update(rule.id for rule in plan.rules)
    for field in descriptor.fields:
        if field.message_type is not None:
            _collect(field.message_type, found, seen)


@dataclass(frozen=True)
class _Test:
    """One check of one field: `holds` is asked, the rest is what to say when it says no."""

    field: str
    member: str
    rule: str
    holds: Test
    says: str
    cure: str


@dataclass(frozen=True)
class _Tests:
    """The checks of one field that is set: of the whole, of each element, and whether messages are in it."""

    whole: tuple[_Test, ...]
    each: tuple[_Test, ...]
    repeated: bool
    nested: bool


@dataclass(frozen=True)
class _Plan:
    """All checks of one message type, compiled once."""

    required: tuple[_Test, ...]
    tests: dict[int, _Tests]
    rules: tuple[Rule, ...]


def _look(message: Message, prefix: str, found: list[Violation]) -> None:
    plan = _plan(message.DESCRIPTOR)
    for test in plan.required:
        if not test.holds(message):
            found.append(_violation(test, prefix))  # noqa: PERF401 - this is the warm path; most lists stay empty
    tests_of = plan.tests
    for field, value in message.ListFields():
        tests = tests_of.get(field.number)
        if tests is None:
            continue
        if tests.repeated:
            found += [_violation(test, prefix) for test in tests.whole if not test.holds(value)]
            for number, item in enumerate(value):
                _look_at(item, tests, prefix, f"{field.name}[{number}]", found)
        else:
            _look_at(value, tests, prefix, field.name, found)
    for rule in plan.rules:
        if rule.broken(message):
            path = f"{prefix}{rule.field}"
            found.append(Violation(rule.id, path, f"{path} {rule.says}", rule.cure))


def _look_at(item: Any, tests: "_Tests", prefix: str, name: str, found: list[Violation]) -> None:
    for test in tests.each:
        if not test.holds(item):
            found.append(_violation(test, prefix))  # noqa: PERF401 - as above
    if tests.nested:
        _look(item, f"{prefix}{name}.", found)


def _violation(test: _Test, prefix: str) -> Violation:
    path = f"{prefix}{test.field}"
    return Violation(test.rule, path, f"{path} {test.says}", test.cure)


@cache
def _plan(descriptor: Descriptor) -> _Plan:
    required: list[_Test] = []
    tests: dict[int, _Tests] = {}
    for field in descriptor.fields:
        check = field.GetOptions().Extensions[field_class_pb2.check]
        if check.required:
            required.append(_required(field))
        whole, each = tuple(_whole(field, check)), tuple(_each(field, check))
        nested = field.message_type is not None
        if whole or each or nested:
            tests[field.number] = _Tests(whole, each, field.is_repeated, nested)
    rules = tuple(rule for rule in RULES if rule.message == descriptor.name)
    return _Plan(tuple(required), tests, rules)


def _test(field: FieldDescriptor, member: str, holds: Test, says: str, cure: str) -> _Test:
    assert field.containing_type is not None, "only extensions have none"
    return _Test(field.name, member, f"{field.containing_type.name}.{field.name}.{member}", holds, says, cure)


def _required(field: FieldDescriptor) -> _Test:
    name = field.name

    def filled(message: Any) -> bool:
        return bool(getattr(message, name))

    def present(message: Any) -> bool:
        return bool(message.HasField(name))

    return _test(field, "required", present if field.has_presence else filled, "is missing", "fill it in")


def _whole(field: FieldDescriptor, check: field_class_pb2.Check) -> Iterator[_Test]:
    if field.is_repeated and check.max_items:
        limit = check.max_items
        yield _test(
            field,
            "max_items",
            lambda value: len(value) <= limit,
            f"has more than {limit} elements",
            "split the message",
        )


def _each(field: FieldDescriptor, check: field_class_pb2.Check) -> Iterator[_Test]:
    if check.pattern:
        matches = re.compile(check.pattern).fullmatch
        yield _test(
            field,
            "pattern",
            lambda value: matches(value) is not None,
            f"does not have the form {check.pattern}",
            "correct it at the source",
        )
    if check.max_bytes:
        limit = check.max_bytes
        text = field.type == FieldDescriptor.TYPE_STRING

        def fits(value: Any) -> bool:
            return len(value) * 4 <= limit or len(value.encode() if text else value) <= limit

        yield _test(field, "max_bytes", fits, f"is longer than {limit} bytes", "shorten it")
    if check.HasField("min"):
        least = check.min
        yield _test(field, "min", lambda value: value >= least, f"is less than {least}", "correct it at the source")
    if check.HasField("max"):
        most = check.max
        yield _test(field, "max", lambda value: value <= most, f"is more than {most}", "correct it at the source")
