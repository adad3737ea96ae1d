"""schemas/sound.py against schemas/checks.py: the short way round says the same as the long one."""

from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import checks, registry, sound
from schemas.v1 import common_pb2, notice_pb2

_TEXTS = st.one_of(
    st.sampled_from(["", "CARD", "CNY", "cny", "CN", "tfms.feature", "6222*1", "+8613800000000", "A" * 33, "户" * 86]),
    st.text(max_size=70),
)
_NUMBERS = st.sampled_from([0, 1, 2, 64, 65, 101])


@st.composite
def _filled(draw: Any, message: Message, depth: int = 3) -> Message:
    """Fill some fields of a message with what may or may not pass."""
    fields = list(message.DESCRIPTOR.fields)
    for field in draw(st.lists(st.sampled_from(fields), max_size=6, unique_by=lambda one: one.number)):
        if field.message_type is not None:
            if depth:
                inner = getattr(message, field.name)
                draw(_filled(inner.add() if field.is_repeated else inner, depth - 1))
                if not field.is_repeated:
                    inner.SetInParent()
            continue
        value = draw(_value(field))
        if field.is_repeated:
            getattr(message, field.name).extend([value] * draw(st.sampled_from([1, 2, 70])))
        else:
            setattr(message, field.name, value)
    return message


def _value(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.type == FieldDescriptor.TYPE_STRING:
        return _TEXTS
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.sampled_from([b"", b"\x00" * 32, b"\x00" * 33])
    if field.type == FieldDescriptor.TYPE_BOOL:
        return st.booleans()
    if field.type == FieldDescriptor.TYPE_ENUM:
        return st.sampled_from([0, 1])
    return _NUMBERS


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_agrees_with_the_violations(data: st.DataObject) -> None:
    """A message of any type is sound if and only if no check of it is violated."""
    name = data.draw(st.sampled_from(sorted(registry.bodies())))
    message = data.draw(_filled(registry.body_type(name)()))
    assert sound.sound(message) is not bool(checks.violations(message))


@pytest.mark.parametrize(
    "kind", ["Money", "AccountRef", "PersonRef", "PhoneRef", "Instant", "Provenance", "Attachment"]
)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_agrees_of_shared_types(kind: str, data: st.DataObject) -> None:
    """A shared type, which most checks stand in, is judged the same by both."""
    message = data.draw(_filled(getattr(common_pb2, kind)()))
    assert sound.sound(message) is not bool(checks.violations(message))


@pytest.mark.parametrize(
    ("name", "is_sound"), [("户" * 85, True), ("户" * 86, False), ("A" * 256, True), ("A" * 257, False)]
)
def test_counts_bytes(name: str, is_sound: bool) -> None:
    """The length of a text is counted in bytes, to the last one."""
    assert sound.sound(common_pb2.PersonRef(name=name)) is is_sound


def test_leaves_out_what_comes_later() -> None:
    """A record may lack its case context, and nothing else that is required."""
    record = notice_pb2.SuspiciousAccountNotice()
    record.account.number = "1"
    record.features.add(scheme="tfms.feature", code="1")
    assert not sound.sound(record)
    assert sound.sound(record, later="case_context")
    record.ClearField("account")
    assert not sound.sound(record, later="case_context")
