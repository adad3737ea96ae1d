"""How calls cross the key service's socket: a length, then protobuf; a closed table of types, nothing executable.

The messages are made here from the dataclasses of protocol.py, so the two cannot drift apart. Both ends are of one
release and one machine: this is no wire format for anyone else, and is versioned by the release alone.
"""

import socket
from dataclasses import fields
from typing import Any, get_args

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message

from bus.keyservice.protocol import Inspection, KeyState, OpenRequest, PublicKeys, SealRequest, SubjectValue
from bus.sealing.plan import Compartment

FRAME_BYTES_MAX = 96 * 1024 * 1024
"""One call or answer: a full batch of the largest messages, or the rows of the largest file to fingerprint."""
_DEPTH_MAX = 8
_Field = descriptor_pb2.FieldDescriptorProto
_PACKAGE = "lianfang.keyservice"
_RECORDS: tuple[type, ...] = (Compartment, SubjectValue, Inspection, OpenRequest, PublicKeys, SealRequest, KeyState)
_SCALARS = {
    bytes: _Field.TYPE_BYTES,
    str: _Field.TYPE_STRING,
    int: _Field.TYPE_INT64,
    bool: _Field.TYPE_BOOL,
}


def _record_type(file: descriptor_pb2.FileDescriptorProto, record: type) -> None:
    message = file.message_type.add(name=record.__name__)
    for number, field in enumerate(fields(record), start=1):
        added = message.field.add(name=field.name, number=number, label=_Field.LABEL_OPTIONAL)
        kind: Any = field.type
        if get_args(kind):  # tuple[X, ...]
            added.label, kind = _Field.LABEL_REPEATED, get_args(kind)[0]
        if kind in _RECORDS:
            added.type, added.type_name = _Field.TYPE_MESSAGE, f".{_PACKAGE}.{kind.__name__}"
        else:
            added.type = _SCALARS[kind]


def _value_type(file: descriptor_pb2.FileDescriptorProto) -> None:
    """Value: one of a scalar, a list, a mapping (keys and items by turns) or a record; none of them is None."""
    value = file.message_type.add(name="Value")
    value.oneof_decl.add(name="is")
    listed = file.message_type.add(name="List")
    listed.field.add(
        name="items", number=1, label=_Field.LABEL_REPEATED, type=_Field.TYPE_MESSAGE, type_name=f".{_PACKAGE}.Value"
    )
    members: list[tuple[str, Any, str]] = [(kind.__name__, number, "") for kind, number in _SCALARS.items()]
    members += [(name, _Field.TYPE_MESSAGE, f".{_PACKAGE}.List") for name in ("list", "dict")]
    members += [(kind.__name__, _Field.TYPE_MESSAGE, f".{_PACKAGE}.{kind.__name__}") for kind in _RECORDS]
    for number, (name, kind, type_name) in enumerate(members, start=1):
        value.field.add(
            name=f"a_{name}",
            number=number,
            label=_Field.LABEL_OPTIONAL,
            type=kind,
            type_name=type_name or None,
            oneof_index=0,
        )


def _build() -> dict[str, type[Message]]:
    file = descriptor_pb2.FileDescriptorProto(name="keyservice.proto", package=_PACKAGE, syntax="proto3")
    for record in _RECORDS:
        _record_type(file, record)
    _value_type(file)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for name in (message.name for message in file.message_type)
    }


_BUILT = _build()
_Value: Any = _BUILT["Value"]
_List: Any = _BUILT["List"]


def _plan(record: type) -> tuple[type, Any, tuple[tuple[str, bool, str], ...]]:
    """Return a record's class, its message class, and of each field its name, whether it is a tuple, and of which record."""
    plan = []
    for field in fields(record):
        inner: Any = get_args(field.type)
        kind = inner[0] if inner else field.type
        plan.append((field.name, bool(inner), kind.__name__ if kind in _RECORDS else ""))
    return record, _BUILT[record.__name__], tuple(plan)


_PLANS = {record.__name__: _plan(record) for record in _RECORDS}


def _record_out(value: Any) -> Any:
    _, made, plan = _PLANS[type(value).__name__]
    return made(
        **{
            name: [_record_out(item) for item in getattr(value, name)] if record else getattr(value, name)
            for name, _, record in plan
        }
    )


def _record_in(name: str, message: Any) -> Any:
    record, _, plan = _PLANS[name]
    values: dict[str, Any] = {}
    for field, many, inner in plan:
        held = getattr(message, field)
        if inner:
            held = tuple(_record_in(inner, item) for item in held)
        values[field] = tuple(held) if many else held
    return record(**values)


def _out(value: Any) -> Any:
    kind = type(value)
    if value is None:
        return _Value()
    if kind.__name__ in _PLANS:
        return _Value(**{f"a_{kind.__name__}": _record_out(value)})
    if kind in (list, tuple):
        return _Value(a_list=_List(items=[_out(item) for item in value]))
    if kind is dict:
        return _Value(a_dict=_List(items=[_out(part) for pair in value.items() for part in pair]))
    if kind in _SCALARS:
        return _Value(**{f"a_{kind.__name__}": value})
    raise TypeError(f"{kind.__name__} does not cross the key service's socket")


def _in(value: Any, depth: int = 0) -> Any:
    which = value.WhichOneof("is")
    if which is None:
        return None
    if depth > _DEPTH_MAX:
        raise ValueError("a frame is nested too deeply")
    name, held = which.removeprefix("a_"), getattr(value, which)
    if name == "list":
        return [_in(item, depth + 1) for item in held.items]
    if name == "dict":
        parts = [_in(item, depth + 1) for item in held.items]
        return dict(zip(parts[::2], parts[1::2], strict=True))
    return _record_in(name, held) if name in _PLANS else held


def encode(value: Any) -> bytes:
    """Return a value's bytes. TypeError for a type that is not in the table, ValueError when they are too many."""
    data: bytes = _out(value).SerializeToString()
    if len(data) > FRAME_BYTES_MAX:
        raise ValueError(f"{len(data)} bytes are more than {FRAME_BYTES_MAX}")
    return data


def decode(data: bytes) -> Any:
    """Return what `encode` was given, lists for tuples outside records. ValueError for anything else."""
    try:
        return _in(_Value.FromString(data))
    except (DecodeError, TypeError) as error:
        raise ValueError("a frame does not parse") from error


def send(connection: socket.socket, value: Any) -> None:
    """Send one frame."""
    data = encode(value)
    connection.sendall(len(data).to_bytes(4, "big") + data)


def receive(connection: socket.socket) -> Any:
    """Receive one frame; None when the peer has gone. ValueError when it is too long or no frame."""
    head = _exactly(connection, 4)
    if head is None:
        return None
    length = int.from_bytes(head, "big")
    if length > FRAME_BYTES_MAX:
        raise ValueError("a frame is too long")
    data = _exactly(connection, length)
    return None if data is None else decode(data)


def _exactly(connection: socket.socket, count: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < count:
        part = connection.recv(min(count - len(parts), 1 << 20))
        if not part:
            return None
        parts += part
    return bytes(parts)
