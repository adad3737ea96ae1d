"""Requests as bytes, in one form: their digest stands in the log, and the key service decides the same again from them."""

import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

from bus.policy.model import Request

CONTEXT_BYTES_MAX = 64 * 1024
_NAMES = frozenset(field.name for field in fields(Request))
_TYPES = {field.name: field.type for field in fields(Request)}


def canonical(requests: Sequence[Request]) -> bytes:
    """Return requests as canonical JSON."""
    return json.dumps(
        [asdict(request) for request in requests], sort_keys=True, separators=(",", ":"), ensure_ascii=True
    ).encode()


def parse_canonical(data: bytes) -> tuple[Request, ...]:
    """Return the requests of canonical bytes. ValueError when they are not exactly that."""
    if len(data) > CONTEXT_BYTES_MAX:
        raise ValueError("the context is too long")
    try:
        values = json.loads(data)
    except RecursionError:
        raise ValueError("the context is nested too deeply") from None
    if not isinstance(values, list):
        raise ValueError("the context is no list of requests")  # noqa: TRY004 - foreign bytes: one exception for all
    requests = tuple(_request(value) for value in values)
    if canonical(requests) != data:
        raise ValueError("the context is not canonical")
    return requests


def _request(value: Any) -> Request:
    if not isinstance(value, dict) or set(value) != _NAMES:
        raise ValueError("the context has other fields than a request")
    return Request(**{name: _field(name, item) for name, item in value.items()})


def _field(name: str, item: Any) -> Any:
    kind = _TYPES[name]
    if kind == tuple[str, ...]:
        if isinstance(item, list) and all(type(word) is str for word in item):
            return tuple(item)
    elif type(item) is (kind if kind in (bool, int) else str):
        return item
    raise ValueError(f"{name} has another type than a request's")
