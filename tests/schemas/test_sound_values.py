"""schemas/sound_values.py against schemas/checks.py: what it says of values is true of the message that is made of them."""

from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import checks, registry, rules, sound_values
from schemas.errors import MessageRefused
from schemas.v1 import common_pb2, notice_pb2, transaction_pb2

_TEXTS = st.one_of(
    st.sampled_from(
        ["", "CARD", "CNY", "cny", "CN", "CNAPS", "tfms.feature", "6222*1", "+8613800000000", "A" * 33, "户" * 86]
    ),
    st.sampled_from(["A" * 64, "A" * 65, "一" * 21, "一" * 22, "户" * 85, "1٣", "12 3"]),
    st.text(max_size=70),
)
_ODD = st.sampled_from([None, 1.0, b"CARD", [], {}])
"""What a reader might give and seldom does."""
NOTICE = {
    "account": {"scheme": "CARD", "number": "6299990001000000770"},
    "holder_phone": {"e164": "+8619900000077", "raw": "19900000077", "kind": common_pb2.PHONE_KIND_E164},
    "features": [{"scheme": "tfms.feature", "code": "3006"}],
    "opened_at": {"utc_ms": 1, "zone": "Asia/Shanghai", "raw": "2024-06-22"},
    "balance": {"minor_units": 7777, "currency": "CNY"},
    "transactions": [{"amount": {"minor_units": 8200, "currency": "CNY"}}],
    "provenance": {"profile": "x", "source_sha256": b"x" * 32, "record": 78},
}


@st.composite
def _values(draw: Any, descriptor: Descriptor, *, odd: bool, depth: int = 3) -> dict[str, Any]:
    """Give some fields of a type, the required ones more often than not, what may or may not pass."""
    needed = [field for field in descriptor.fields if sound_values.check_of(field).required]
    some = draw(st.lists(st.sampled_from(list(descriptor.fields)), max_size=6))
    values = {}
    for field in {field.name: field for field in (*(needed if draw(st.booleans()) else []), *some)}.values():
        if field.message_type is not None and not depth:
            continue
        one = _value(field, depth, odd=odd)
        times = st.sampled_from([1, 2, 65]) if field.message_type is None else st.just(1)
        values[field.name] = [draw(one)] * draw(times) if field.is_repeated else draw(one)
        if odd and draw(st.integers(0, 9)) == 0:
            values[field.name] = draw(_ODD)
    return values


def _value(field: FieldDescriptor, depth: int, *, odd: bool) -> st.SearchStrategy[Any]:
    if field.message_type is not None:
        return _values(field.message_type, odd=odd, depth=depth - 1)
    if field.type == FieldDescriptor.TYPE_STRING:
        return _TEXTS
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.sampled_from([b"", b"\x00" * 32, b"\x00" * 33])
    if field.type == FieldDescriptor.TYPE_BOOL:
        return st.booleans()
    if field.enum_type is not None:
        return st.sampled_from([0, 1, *([field.enum_type.values[0].name] if odd else [])])
    return st.sampled_from([0, 1, 2, 64, 65, 101])


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_never_calls_sound_what_is_not(data: st.DataObject) -> None:
    """Of no type, and for no values however odd, is a message called sound that breaks a check."""
    kind = registry.body_type(data.draw(st.sampled_from(sorted(registry.bodies()))))
    values = data.draw(_values(kind.DESCRIPTOR, odd=True))
    try:
        message = kind(**values)
    except (TypeError, ValueError):
        return
    assert not sound_values.sound_values(message, values) or not checks.violations(message)


@pytest.mark.parametrize(
    "kind",
    [
        *("Money", "AccountRef", "PersonRef", "OrgRef", "PhoneRef", "BankRef", "Instant", "CodedValue", "Provenance"),
        *("Address", "TransactionRecord", "SuspiciousAccountNotice"),
    ],
)
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_agrees_of_what_tables_fill(kind: str, data: st.DataObject) -> None:
    """Values of the types that tables fill are called sound if and only if the message breaks no check."""
    home = next(home for home in (common_pb2, notice_pb2, transaction_pb2) if hasattr(home, kind))
    values = data.draw(_values(getattr(home, kind).DESCRIPTOR, odd=False))
    message = getattr(home, kind)(**values)
    found = sound_values.sound_values(message, values)
    assert found is not bool(checks.violations(message)) or (not found and _is_careful(values))


def _is_careful(values: Any) -> bool:
    """Say whether something is given as empty, or opens more when it is: then the message itself is asked."""
    if isinstance(values, dict):
        return any(value in ({}, [], "", b"", 0, False) or _is_careful(value) for value in values.values())
    return isinstance(values, list) and any(map(_is_careful, values))


def _changed(path: str, value: Any) -> dict[str, Any]:
    first, _, rest = path.partition(".")
    if first == "transactions" and rest:
        return {**NOTICE, first: [{**NOTICE[first][0], rest: value}]}  # type: ignore[index]
    return {**NOTICE, first: {**NOTICE[first], rest: value} if rest else value}  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("account", {}),
        ("account.number", "6222*1"),
        ("account.number", "1" * 65),
        ("account.number", "٣"),
        ("account.scheme", "card"),
        ("features", []),
        ("features", [{"scheme": "tfms.feature", "code": "1"}] * 33),
        ("features", [{"scheme": "tfms.feature" * 6, "code": "1"}]),
        ("features", [{"scheme": "tfms.feature", "code": ""}]),
        ("features", [{"scheme": "tfms.feature", "code": "户" * 22}]),
        ("holder_phone.e164", "+86 1"),
        ("holder_phone.e164", ""),
        ("balance.currency", "cny"),
        ("balance.currency", ""),
        ("opened_at.raw", "年" * 22),
        ("transactions.teller", "1"),
        ("transactions.amount", {"minor_units": -1, "currency": "CNY"}),
        ("provenance.source_sha256", b"x" * 31),
        ("narrative", "户" * 2731),
        ("device_addresses", ["1"] * 65),
        ("score", 101),
    ],
)
def test_refuses_one_change(path: str, value: Any) -> None:
    """A record that is sound as it stands is refused, by its values, for one value that breaks a check."""
    assert sound_values.sound_values(notice_pb2.SuspiciousAccountNotice(**NOTICE), NOTICE, "case_context")
    values = _changed(path, value)
    message = notice_pb2.SuspiciousAccountNotice(**values)
    assert not sound_values.sound_values(message, values, "case_context")
    with pytest.raises(MessageRefused):
        checks.require_valid_record(message, values)


def test_a_word_is_not_remembered_past_its_length() -> None:
    """What has the form of a scheme and is too long for one is refused each time that it comes, not the first time alone."""
    code = {"scheme": "x" * 65, "code": "1"}
    assert [sound_values.sound_values(common_pb2.CodedValue(**code), code) for _ in range(3)] == [False] * 3
    code["scheme"] = "x" * 64
    assert sound_values.sound_values(common_pb2.CodedValue(**code), code)


def test_every_form_is_that_of_a_rule() -> None:
    """A rule that is asked of values is one of the rules."""
    assert sound_values.BROKEN.keys() <= {rule.id for rule in rules.RULES}
