"""Splitting a message by class, and joining it again, in protobuf's own C code.

For a set of classes there is a narrow type that has only the fields of those classes, under their own numbers. Parsing
the whole message as the narrow type and discarding what it does not know leaves exactly those fields. Joining is
concatenation (protobuf: concatenated messages merge). A fragment that holds anything else, or is not in its one
canonical serialisation, is refused: no class can be smuggled into another's box.
"""

from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError, Message

from schemas import field_classes, plans, registry

_NARROW_TYPES_MAX = 512
"""How many narrow types are remembered. Which classes stand together is the sender's word, so there must be an end."""


@lru_cache(maxsize=_NARROW_TYPES_MAX)
def _narrow(type_name: str, classes: tuple[str, ...]) -> type[Message]:
    plan = plans.current(type_name)
    return _narrow_of(type_name, tuple(number for number, name in plan.items() if name in classes))


@lru_cache(maxsize=_NARROW_TYPES_MAX)
def _narrow_of(type_name: str, numbers: tuple[int, ...]) -> type[Message]:
    body = registry.descriptor_of(type_name)
    file = descriptor_pb2.FileDescriptorProto(
        name=f"narrow/{type_name}/{'+'.join(map(str, numbers))}.proto", package="lianfang.narrow", syntax="proto3"
    )
    narrow = file.message_type.add(name=body.name)
    source = descriptor_pb2.DescriptorProto()
    body.CopyToProto(source)
    for field, described in zip(source.field, body.fields, strict=True):
        if described.number not in numbers:
            continue
        copy = narrow.field.add()
        copy.CopyFrom(field)
        copy.ClearField("options")
        if field.HasField("oneof_index") and not field.proto3_optional:
            # Two classes in one choice: opening one would overwrite the other. Such a schema has no narrow type.
            raise TypeError(f"{type_name}.{field.name} stands in a oneof, which cannot be split by class")
        if field.proto3_optional:
            copy.oneof_index = len(narrow.oneof_decl)
            narrow.oneof_decl.add(name=source.oneof_decl[field.oneof_index].name)
    pool = _pool(body)
    file.dependency.extend(dependency.name for dependency in _files(body))
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"lianfang.narrow.{body.name}"))


def _files(body: Descriptor) -> list[descriptor_pb2.FileDescriptorProto]:
    """Return the files that the body's file is built from, each after what it needs."""
    found: dict[str, descriptor_pb2.FileDescriptorProto] = {}

    def visit(file) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 - a file descriptor of upb
        for dependency in file.dependencies:
            visit(dependency)
        if file.name not in found:
            copy = descriptor_pb2.FileDescriptorProto()
            file.CopyToProto(copy)
            found[file.name] = copy

    visit(body.file)
    return list(found.values())


def _pool(body: Descriptor) -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    for file in _files(body):
        pool.Add(file)
    return pool


def fragment(type_name: str, classes: tuple[str, ...], whole: bytes) -> bytes:
    """Return the serialised fields of these classes."""
    return _only(_narrow(type_name, classes), whole)


def _only(kind: type[Message], whole: bytes) -> bytes:
    narrow = kind.FromString(whole)
    narrow.DiscardUnknownFields()
    return narrow.SerializeToString(deterministic=True)


def fragments(type_name: str, parts: tuple[tuple[str, ...], ...], whole: bytes) -> list[bytes]:
    """Return the serialised fields of each set of classes."""
    made = []
    for kind in _narrows(type_name, parts):
        narrow = kind.FromString(whole)
        narrow.DiscardUnknownFields()
        made.append(narrow.SerializeToString(deterministic=True))
    return made


@lru_cache(maxsize=_NARROW_TYPES_MAX)
def _narrows(type_name: str, parts: tuple[tuple[str, ...], ...]) -> tuple[type[Message], ...]:
    return tuple(_narrow(type_name, classes) for classes in parts)


def is_canonical(type_name: str, classes: tuple[str, ...], data: bytes, class_plan: int | None = None) -> bool:
    """Say whether the bytes hold fields of these classes only, in their one serialisation.

    By the plan that the writer split them by (schemas/plans.py), where one is named. Of a later release's plan we know the
    rule that it kept: what is a field here may stand there only where it has its class, or a higher one. Its new fields pass,
    nobody here sees them; they have higher numbers, so they are written behind those that are known.
    """
    try:
        if class_plan is None or class_plan == plans.number(type_name):
            narrow = _narrow(type_name, classes).FromString(data)
            narrow.DiscardUnknownFields()
            return narrow.SerializeToString(deterministic=True) == data
        plan = plans.plan(type_name, class_plan)
        if plan is None:
            return _fits_later_plan(type_name, classes, data)
        numbers = tuple(number for number, name in plan.items() if name in classes)
        return _only(_narrow_of(type_name, numbers), data) == data
    except DecodeError:
        return False


def _fits_later_plan(type_name: str, classes: tuple[str, ...], data: bytes) -> bool:
    message = registry.body_type(type_name).FromString(data)
    known = _class_of_field(message.DESCRIPTOR)
    return message.SerializeToString(deterministic=True) == data and all(
        any(plans.may_become(known[field.number], name) for name in classes) for field, _ in message.ListFields()
    )


@cache
def _class_of_field(body: Descriptor) -> Mapping[int, str]:
    return {field.number: field_classes.field_class(field) for field in body.fields}


def classes_present(message: Message) -> tuple[str, ...]:
    """Return the classes of which a message has a field set, ascending by name; OPEN is none of them."""
    classes = _class_of_field(message.DESCRIPTOR)
    return tuple(sorted({classes[field.number] for field, _ in message.ListFields()} - {field_classes.OPEN}))


def join(body: type[Message], public: bytes, fragments: Mapping[Any, bytes]) -> Message:
    """Return the message that the public body and the opened fragments make; what was not opened is absent."""
    return body.FromString(public + b"".join(fragments.values()))
