"""How calls cross the key service's socket: a length, then JSON; bytes as base64, values by a closed table of types."""

import base64
import json
import socket
from dataclasses import fields, is_dataclass
from typing import Any

from bus.keyservice.protocol import Inspection, OpenRequest, PublicKeys, SealRequest, SubjectValue
from bus.sealing.plan import Compartment

FRAME_BYTES_MAX = 256 * 1024 * 1024
_TYPES = {kind.__name__: kind for kind in (Inspection, OpenRequest, PublicKeys, SealRequest, SubjectValue, Compartment)}


def encode(value: Any) -> Any:
    """Return a value as JSON can carry it."""
    if isinstance(value, bytes):
        return {"b": base64.b64encode(value).decode()}
    if isinstance(value, list | tuple):
        return [encode(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {"t": type(value).__name__, "f": {field.name: encode(getattr(value, field.name)) for field in fields(value)}}
    if isinstance(value, dict):
        return {"d": [[encode(key), encode(item)] for key, item in value.items()]}
    return value


def decode(value: Any) -> Any:
    """Return what `encode` was given; lists inside named types become tuples again. ValueError for anything else."""
    if isinstance(value, list):
        return [decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "b" in value:
        return base64.b64decode(value["b"])
    if "d" in value:
        return {decode(key): decode(item) for key, item in value["d"]}
    kind = _TYPES.get(value.get("t", ""))
    if kind is None:
        raise ValueError("an unknown type crossed the key service's socket")
    return kind(**{name: _as_tuple(decode(item)) for name, item in value["f"].items()})


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def send(connection: socket.socket, value: Any) -> None:
    """Send one frame."""
    data = json.dumps(encode(value), separators=(",", ":")).encode()
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
    return None if data is None else decode(json.loads(data))


def _exactly(connection: socket.socket, count: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < count:
        part = connection.recv(min(count - len(parts), 1 << 20))
        if not part:
            return None
        parts += part
    return bytes(parts)
