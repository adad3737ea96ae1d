"""Any valid message of a type, made from its descriptor: what the property tests send.

A field is filled as its check allows; what rules across fields demand is mended afterwards, and what cannot be mended is
drawn again.
"""

from collections.abc import Callable
from functools import cache
from hashlib import sha256
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import strategies as st

from schemas import checks, field_classes, registry
from schemas.v1 import common_pb2, field_class_pb2

_FIELDS_MAX = 10
_ITEMS_MAX = 2
_CHARACTERS_MAX = 12
_DEPTH_MAX = 3
_INTEGERS = {
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1),
}


@cache
def valid(
    type_name: str, without: frozenset[str] = frozenset(), with_classes: frozenset[str] = frozenset()
) -> st.SearchStrategy[Any]:
    """Any valid message of a type: no field of the classes `without`, a field of each of `with_classes`, no case context."""
    body = registry.descriptor_of(type_name)
    by_class = field_classes.fields_by_class(body)
    fields = tuple(
        field
        for name, members in by_class.items()
        for field in members
        if name not in without and field.name != "case_context"
    )
    needed = {field.name for field in fields if _check(field).required}
    for name in sorted(with_classes):
        members = [field.name for field in by_class[name] if field.name != "case_context"]
        if not needed.intersection(members):
            needed.add(members[0])
    return _messages(body, fields, frozenset(needed), 0).filter(_is_valid)


def _is_valid(message: Message) -> bool:
    return not [item for item in checks.violations(message) if not item.path.startswith("case_context")]


def _messages(
    descriptor: Descriptor, fields: tuple[FieldDescriptor, ...], needed: frozenset[str], depth: int
) -> st.SearchStrategy[Any]:
    made = message_factory.GetMessageClass(descriptor)
    must = [field for field in fields if field.name in needed]
    may = [field for field in fields if field.name not in needed and not (field.message_type and depth >= _DEPTH_MAX)]

    @st.composite
    def build(draw: st.DrawFn) -> Any:
        message = made()
        chosen = draw(st.lists(st.sampled_from(may), max_size=_FIELDS_MAX, unique_by=id)) if may else []
        for field in must:
            _fill(message, field, draw, depth, 1)
        for field in chosen:
            _fill(message, field, draw, depth, 0)
        _mend(message)
        return message

    return build()


def _fill(message: Any, field: FieldDescriptor, draw: st.DrawFn, depth: int, least: int) -> None:
    made = (
        _inner(field.message_type.full_name, depth + 1)
        if field.message_type is not None
        else _scalar(field, bool(least))
    )
    if field.is_repeated:
        getattr(message, field.name).extend(draw(st.lists(made, min_size=least, max_size=_ITEMS_MAX)))
    elif field.message_type is not None:
        getattr(message, field.name).CopyFrom(draw(made))
    else:
        setattr(message, field.name, draw(made))


@cache
def _inner(name: str, depth: int) -> st.SearchStrategy[Any]:
    descriptor = common_pb2.DESCRIPTOR.pool.FindMessageTypeByName(name)
    fields = tuple(descriptor.fields)
    needed = frozenset(field.name for field in fields if _check(field).required)
    return st.deferred(lambda: _messages(descriptor, fields, needed, depth))


@cache
def _scalar(field: FieldDescriptor, filled: bool) -> st.SearchStrategy[Any]:
    check = _check(field)
    if field.type == FieldDescriptor.TYPE_STRING and check.pattern:
        texts = st.from_regex(check.pattern, fullmatch=True)
        return texts.filter(lambda text: not check.max_bytes or len(text.encode()) <= check.max_bytes)
    if field.type == FieldDescriptor.TYPE_STRING:
        longest = min(_CHARACTERS_MAX, (check.max_bytes or _CHARACTERS_MAX * 4) // 4)
        return st.text(st.characters(exclude_categories=("Cs",)), min_size=int(filled), max_size=longest)
    if field.type == FieldDescriptor.TYPE_BYTES:
        longest = min(check.max_bytes or _CHARACTERS_MAX, 16)
        return st.binary(min_size=longest if filled else 0, max_size=longest)
    if field.type == FieldDescriptor.TYPE_BOOL:
        return st.just(True) if filled else st.booleans()
    if field.enum_type is not None:
        values = [value.number for value in field.enum_type.values if value.number or not filled]
        return st.sampled_from(values)
    least, most = _INTEGERS[field.type]
    return st.integers(check.min if check.HasField("min") else least, check.max if check.HasField("max") else most)


def _check(field: FieldDescriptor) -> Any:
    return field.GetOptions().Extensions[field_class_pb2.check]


def _mend(message: Any) -> None:
    """Bring fields that speak of each other into agreement."""
    name = message.DESCRIPTOR.name
    if name in _MENDED:
        _MENDED[name](message)
    if name.endswith(("Order", "Query")):
        _mend_order(message)


def _mend_phone(phone: Any) -> None:
    if phone.e164:
        phone.kind = common_pb2.PHONE_KIND_E164
    elif phone.kind == common_pb2.PHONE_KIND_E164:
        phone.kind = common_pb2.PHONE_KIND_SHORT


def _mend_account(account: Any) -> None:
    account.masked = "*" in account.number


def _mend_paper(paper: Any) -> None:
    paper.sha256 = sha256(paper.content).digest()


def _mend_source(source: Any) -> None:
    source.source_sha256 = sha256(source.source_sha256).digest()


def _mend_money(money: Any) -> None:
    money.minor_units = abs(money.minor_units) % 2**62


def _mend_notice(notice: Any) -> None:
    for movement in notice.transactions:
        for field in ("balance_after", "counterparty_balance_after", "ip", "mac", "device", "teller"):
            movement.ClearField(field)


def _mend_feedback(feedback: Any) -> None:
    feedback.duplicate_of = feedback.message_id


def _mend_check(check: Any) -> None:
    check.address = check.address or "example.org"


def _mend_order(order: Any) -> None:
    """An order or query names whole accounts and numbers, what it changes and why, and times in order."""
    fields = order.DESCRIPTOR.fields_by_name
    for name in ("target", "account"):
        if name in fields and order.HasField(name):
            account = getattr(order, name)
            account.number = account.number.replace("*", "0")
            account.masked = False
    for name in ("original_application_id", "reason"):
        if name in fields:
            setattr(order, name, getattr(order, name) or "A0")
    for name in ("expires_at", "period_end"):
        if name in fields:
            order.ClearField(name)
    if "mode" in fields:
        order.mode = 2
    if "number" in fields and order.number.kind == common_pb2.PHONE_KIND_OTHER:
        order.number.kind = common_pb2.PHONE_KIND_SHORT
    if order.DESCRIPTOR.name == "AccountQuery":
        order.person.name = order.person.name or "A"


_MENDED: dict[str, Callable[[Any], None]] = {
    "PhoneRef": _mend_phone,
    "AccountRef": _mend_account,
    "Attachment": _mend_paper,
    "Provenance": _mend_source,
    "Money": _mend_money,
    "SuspiciousAccountNotice": _mend_notice,
    "Feedback": _mend_feedback,
    "WatchCheck": _mend_check,
}
