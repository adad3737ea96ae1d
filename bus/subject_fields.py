"""Which persons, accounts and numbers a message is about: its subjects, for blind values in the log. Pure."""

from collections.abc import Iterator
from typing import Any

from google.protobuf.message import Message

from schemas.v1 import common_pb2


def subjects_of(message: Any) -> Iterator[tuple[str, str, str]]:
    """Yield (kind, field, value) of every account, phone and person named at the top of a message."""
    assert isinstance(message, Message)
    for field, value in message.ListFields():
        for item in value if not isinstance(value, Message | str | bytes | int | float) else [value]:
            if isinstance(item, common_pb2.AccountRef) and item.number and not item.masked:
                yield "account", field.name, item.number
            elif isinstance(item, common_pb2.PhoneRef) and item.e164:
                yield "phone", field.name, item.e164
            elif isinstance(item, common_pb2.PersonRef) and item.id_number:
                yield "person", field.name, item.id_number
