"""Splitting by class and joining again lose nothing and let nothing through."""

import pytest
from google.protobuf.message import Message

from bus.sealing import split
from bus.sealing.plan import compartments
from schemas import field_classes, registry
from schemas.v1 import notice_pb2
from tests.keyservice.house import AUDIENCES, NOTICE, notice


@pytest.mark.parametrize("type_name", registry.bodies())
def test_every_body_can_be_split_by_class(type_name: str):
    """Each body has a narrow type for each of its classes and for all, and none stands in a choice across classes."""
    body = registry.body_type(type_name)
    classes = tuple(field_classes.fields_by_class(body.DESCRIPTOR))
    assert split.fragments(type_name, tuple((name,) for name in classes), b"") == [b""] * len(classes)
    assert split.is_canonical(type_name, classes, b"")


def test_fragments_are_disjoint_and_join_to_the_whole():
    """Each field is in exactly one class's fragment, and all fragments together are the message."""
    whole = notice()
    classes = tuple(field_classes.fields_by_class(whole.DESCRIPTOR))
    parts = split.fragments(NOTICE, tuple((name,) for name in classes), whole.SerializeToString())
    assert sum(map(len, parts)) == len(whole.SerializeToString())
    seen: list[str] = []
    for name, part in zip(classes, parts, strict=True):
        fields = [field for field, _ in notice_pb2.SuspiciousAccountNotice.FromString(part).ListFields()]
        assert {field_classes.field_class(field) for field in fields} <= {name}
        seen += [field.name for field in fields]
    assert sorted(seen) == sorted(field.name for field, _ in whole.ListFields())
    assert split.join(notice_pb2.SuspiciousAccountNotice, b"", dict(enumerate(parts))) == whole


def test_presence_survives_the_split():
    """A score of zero that was set is not one that was not."""
    for message in (notice_pb2.SuspiciousAccountNotice(score=0), notice_pb2.SuspiciousAccountNotice()):
        part = split.fragment(NOTICE, ("RISK",), message.SerializeToString())
        assert notice_pb2.SuspiciousAccountNotice.FromString(part).HasField("score") == message.HasField("score")


@pytest.mark.parametrize(
    "data",
    [
        notice_pb2.SuspiciousAccountNotice(narrative="n").SerializeToString(),
        notice_pb2.SuspiciousAccountNotice(score=1).SerializeToString() * 2,
        b"\x0a\x00" + b"\x0a\x00",
        b"\xfa\x7f\x01x",
        b"\x40\x81\x00",
        b"\xff",
    ],
    ids=["another class", "twice", "merged", "unknown", "padded", "no protobuf"],
)
def test_a_fragment_is_its_classes_and_nothing_else(data: bytes):
    """Another class's field, a field twice, an unknown one, a padded number or no protobuf at all is not canonical."""
    assert not split.is_canonical(NOTICE, ("CASE_META", "RISK"), data)


def test_classes_present_are_those_with_a_field_set():
    """An empty message has no class, and a full one all but OPEN."""
    empty: Message = notice_pb2.SuspiciousAccountNotice()
    assert split.classes_present(empty) == ()
    assert split.classes_present(notice()) == tuple(sorted(AUDIENCES))


def test_narrow_types_remembered_have_an_end():
    """Senders choose which classes stand together; what is remembered of it is bounded."""
    assert split._narrow.cache_info().maxsize == split._narrows.cache_info().maxsize == split._NARROW_TYPES_MAX


def test_classes_for_the_same_readers_share_a_compartment():
    """Compartments are numbered from one, hold each class once, and differ in their audience."""
    made = compartments(AUDIENCES)
    assert [item.number for item in made] == [1, 2, 3, 4]
    assert sorted(name for item in made for name in item.classes) == sorted(AUDIENCES)
    assert all(frozenset(item.audience) == AUDIENCES[name] for item in made for name in item.classes)
    assert len({item.audience for item in made}) == len(made)


def test_a_class_without_a_reader_has_no_compartment():
    """A class that nobody may read is an error of the caller, never an empty audience."""
    with pytest.raises(ValueError, match="no reader"):
        compartments({"RISK": frozenset()})
