"""What protobuf cannot say: required, patterns, sizes, ranges, and rules across fields.

- The checks of one field stand in the `.proto`, as the option (check); `Check` there says what each member means.
- Rules across fields stand in `_RULES` below, one function each.
- Every rule has a stable id, `<Message>.<field>.<member>`, which is its error code and translation key; the message named
  in it is the one that declares the field, and the path says where it stands in the body.
- A violation carries no value: what breaks a check may be classed.

`_CONTEXT` is filled in on the way out from what the sender states, so a record read from a file is checked without it
(`require_valid_record`) and a message that leaves is checked whole (`require_valid`).
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from schemas.errors import MessageRefused, Violation
from schemas.v1 import common_pb2, field_class_pb2, freeze_pb2, stop_payment_pb2

_CONTEXT = "case_context"
_SHA256_BYTES = 32

Test = Callable[[Any], bool]


def require_valid(message: Message) -> None:
    """Refuse a message that breaks a check. MessageRefused carries every violation."""
    broken = violations(message)
    if broken:
        raise MessageRefused(message.DESCRIPTOR.name, broken)


def require_valid_record(message: Message) -> None:
    """Refuse a message as an adapter made it: every check but those of the case context, which the sender states later."""
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
class _Rule:
    """A rule across fields: true when it is broken."""

    id: str
    broken: Test
    says: str
    cure: str

    @property
    def field(self) -> str:
        return self.id.split(".")[1]


@dataclass(frozen=True)
class _Plan:
    """All checks of one message type, compiled once."""

    required: tuple[_Test, ...]
    tests: dict[int, _Tests]
    rules: tuple[_Rule, ...]


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
    rules = tuple(rule for rule in _RULES if rule.id.split(".")[0] == descriptor.name)
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


def _masked_target(order: Any) -> bool:
    return bool(order.target.masked or "*" in order.target.number)


def _ends_before_it_begins(order: Any) -> bool:
    return bool(
        order.HasField("starts_at")
        and order.HasField("expires_at")
        and order.expires_at.utc_ms <= order.starts_at.utc_ms
    )


def _negative(field: str) -> Test:
    return lambda message: getattr(message, field).minor_units < 0


def _needs_original(first_kind: int) -> Test:
    return lambda order: order.kind not in (0, first_kind) and not order.original_application_id


def _needs_reason(relief_kind: int) -> Test:
    return lambda order: order.kind == relief_kind and not order.reason


_STOP, _LIFT = stop_payment_pb2.STOP_PAYMENT_KIND_STOP, stop_payment_pb2.STOP_PAYMENT_KIND_LIFT
_FREEZE, _RELEASE = freeze_pb2.FREEZE_KIND_FREEZE, freeze_pb2.FREEZE_KIND_RELEASE
_WHOLE_NUMBER = "an order needs the whole account number; ask whoever reported it"
_NAME_IT = "give the number of the order that it changes"
_SAY_WHY = "say why the measure is no longer needed"
_DATES = "correct the dates"


def _limited_without_amount(order: Any) -> bool:
    return bool(
        order.mode == freeze_pb2.FREEZE_MODE_LIMITED and order.kind != _RELEASE and order.amount.minor_units <= 0
    )


def _e164_disagrees(phone: Any) -> bool:
    return bool(phone.e164) is not (phone.kind == common_pb2.PHONE_KIND_E164)


_RULES: tuple[_Rule, ...] = (
    _Rule("StopPaymentOrder.target.masked", _masked_target, "is masked", _WHOLE_NUMBER),
    _Rule("FreezeOrder.target.masked", _masked_target, "is masked", _WHOLE_NUMBER),
    _Rule("StopPaymentOrder.original_application_id.required", _needs_original(_STOP), "is missing", _NAME_IT),
    _Rule("FreezeOrder.original_application_id.required", _needs_original(_FREEZE), "is missing", _NAME_IT),
    _Rule("StopPaymentOrder.reason.required", _needs_reason(_LIFT), "is missing", _SAY_WHY),
    _Rule("FreezeOrder.reason.required", _needs_reason(_RELEASE), "is missing", _SAY_WHY),
    _Rule("StopPaymentOrder.expires_at.order", _ends_before_it_begins, "does not lie after starts_at", _DATES),
    _Rule("FreezeOrder.expires_at.order", _ends_before_it_begins, "does not lie after starts_at", _DATES),
    _Rule("StopPaymentOrder.transfer_amount.negative", _negative("transfer_amount"), "is negative", "give it unsigned"),
    _Rule("FreezeOrder.amount.negative", _negative("amount"), "is negative", "give it unsigned"),
    _Rule(
        "TransactionRecord.amount.negative", _negative("amount"), "is negative", "give it unsigned, with a direction"
    ),
    _Rule(
        "FreezeOrder.mode.required",
        lambda order: order.kind == _FREEZE and order.mode == freeze_pb2.FREEZE_MODE_UNSPECIFIED,
        "is missing",
        "say whether an amount or the whole account is frozen",
    ),
    _Rule(
        "FreezeOrder.amount.required",
        _limited_without_amount,
        "is missing, though the freeze is limited to an amount",
        "give the amount, or freeze the whole account",
    ),
    _Rule(
        "AccountRef.masked.number",
        lambda account: "*" in account.number and not account.masked,
        "is false, though digits are hidden",
        "mark it as masked",
    ),
    _Rule(
        "Acknowledgement.message_id.required",
        lambda answer: not (answer.message_id or answer.report_id),
        "is missing, and so is report_id",
        "say which message or report it answers",
    ),
    _Rule("PhoneRef.e164.kind", _e164_disagrees, "and kind contradict each other", "set both, or only raw"),
    _Rule(
        "Attachment.sha256.content",
        lambda paper: bool(paper.content) and paper.sha256 != sha256(paper.content).digest(),
        "is not the SHA-256 of the content",
        "take the paper from its source again",
    ),
    _Rule(
        "Provenance.source_sha256.length",
        lambda source: len(source.source_sha256) not in (0, _SHA256_BYTES),
        "has not the length of a SHA-256",
        "give the whole digest",
    ),
)
