"""A batch of messages that waits for its tags, as a value and as the bytes that are encrypted at rest. Pure."""

import json
from dataclasses import dataclass
from typing import Any

from bus.outbound import Draft
from bus.parts import Actor, Statement
from bus.tags import group
from bus.tags.normalise import Value
from bus.tags.voprf import Blinded
from schemas import registry
from schemas.v1 import match_pb2


@dataclass(frozen=True)
class Batch:
    """Messages, what of each is tagged, who sends them and why; what is blinded for each epoch; which tags are known already."""

    batch_id: bytes
    drafts: tuple[Draft, ...]
    values: tuple[tuple[Value, ...], ...]
    actor: Actor
    statement: Statement
    blinded: dict[str, list[tuple[Value, Blinded]]]
    known: tuple[tuple[Value, match_pb2.MatchTag], ...]


_BYTES = ("correlation_id", "causation_id", "fingerprint", "lineage", "message_id")


def pack(batch: Batch) -> bytes:
    """Return a batch's bytes. They hold values and blinds: encrypt them."""
    held = {
        "drafts": [_packed(draft) for draft in batch.drafts],
        "values": [[[value.kind, value.text] for value in values] for values in batch.values],
        "actor": [batch.actor.identity, list(batch.actor.roles), batch.actor.service],
        "statement": [
            batch.statement.purpose,
            batch.statement.legal_basis,
            batch.statement.case_ref,
            batch.statement.mandate,
        ],
        "blinded": {
            epoch: [
                [value.kind, value.text, item.value.hex(), item.blind.hex(), item.element.hex()]
                for value, item in pairs
            ]
            for epoch, pairs in batch.blinded.items()
        },
        "known": [[value.kind, value.text, tag.SerializeToString().hex()] for value, tag in batch.known],
    }
    return json.dumps(held).encode()


def unpack(batch_id: bytes, data: bytes) -> Batch:
    """Return the batch of these bytes, which the key service has just decrypted."""
    held = json.loads(data)
    identity, roles, service = held["actor"]
    return Batch(
        batch_id,
        tuple(_draft(item) for item in held["drafts"]),
        tuple(tuple(Value(*value) for value in values) for values in held["values"]),
        Actor(identity, tuple(roles), service),
        Statement(*held["statement"]),
        {
            epoch: [(Value(kind, text), _blinded(*rest)) for kind, text, *rest in pairs]
            for epoch, pairs in held["blinded"].items()
        },
        tuple(
            (Value(kind, text), match_pb2.MatchTag.FromString(bytes.fromhex(tag))) for kind, text, tag in held["known"]
        ),
    )


def _packed(draft: Draft) -> dict[str, Any]:
    return {
        "type": draft.message.DESCRIPTOR.full_name,
        "message": draft.message.SerializeToString(deterministic=True).hex(),
        "recipients": list(draft.recipients),
        "lane": draft.lane,
        "deadline_ms": draft.deadline_ms,
        "checked_record": draft.checked_record,
        **{name: getattr(draft, name).hex() for name in _BYTES},
    }


def _draft(held: dict[str, Any]) -> Draft:
    return Draft(
        message=registry.body_type(held["type"]).FromString(bytes.fromhex(held["message"])),
        recipients=tuple(held["recipients"]),
        lane=held["lane"],
        deadline_ms=held["deadline_ms"],
        checked_record=held["checked_record"],
        **{name: bytes.fromhex(held[name]) for name in _BYTES},
    )


def _blinded(value: str, blind: str, element: str) -> Blinded:
    return Blinded(bytes.fromhex(value), group.scalar(bytes.fromhex(blind)), group.element(bytes.fromhex(element)))
