"""Message types by name, found by walking schemas/v1: nothing to register.

A body is a message with the option (retention); only bodies travel in envelopes.
"""

import importlib
import pkgutil
import re
from functools import cache

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

import schemas.v1
from schemas.errors import UnknownType
from schemas.v1 import field_class_pb2

PACKAGE = "lianfang.v1"
TYPE_VERSION = 1


@cache
def bodies() -> dict[str, type[Message]]:
    """Return every body type by full name, in ascending order."""
    found: dict[str, type[Message]] = {}
    for module in pkgutil.iter_modules(schemas.v1.__path__):
        if not module.name.endswith("_pb2"):
            continue
        file = importlib.import_module(f"schemas.v1.{module.name}").DESCRIPTOR
        for descriptor in file.message_types_by_name.values():
            if descriptor.GetOptions().Extensions[field_class_pb2.retention]:
                found[descriptor.full_name] = message_factory.GetMessageClass(descriptor)
    return dict(sorted(found.items()))


def body_type(name: str) -> type[Message]:
    """Return a body type by full or short name. UnknownType when there is none."""
    full = name if name.startswith(f"{PACKAGE}.") else f"{PACKAGE}.{name}"
    try:
        return bodies()[full]
    except KeyError:
        raise UnknownType(
            f"{full} is not a message of this version of the shared language",
            cause=f"{full.removeprefix(f'{PACKAGE}.')[:64]} is no type of message in this release",
            cure="correct the name, or bring sender and receiver to the same release; this one knows "
            + ", ".join(sorted(map(bare_name, bodies()))),
        ) from None


def descriptor_of(name: str) -> Descriptor:
    """Return the descriptor of a body type. UnknownType when there is none."""
    return body_type(name).DESCRIPTOR  # type: ignore[return-value]  # upb's descriptors are of another class with the same face


def bare_name(full_name: str) -> str:
    """Return a type's name without its package, as policy and people say it: StopPaymentOrder."""
    return full_name.rsplit(".", 1)[-1]


def short_name(full_name: str) -> str:
    """Return a type's name as it stands in routing keys: StopPaymentOrder is stop-payment-order."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", bare_name(full_name)).lower()


def retention_class(name: str) -> str:
    """Return the retention class of a body: OPERATIONAL or CASE."""
    number = descriptor_of(name).GetOptions().Extensions[field_class_pb2.retention]
    return field_class_pb2.RetentionClass.Name(number).removeprefix("RETENTION_CLASS_")
