"""Reading logs for a purpose: who looked at this subject, with refusals; what came of each look. Pure."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any

from audit import leaf as leaf_format
from audit.v1 import leaf_pb2

_LOOKS = frozenset({leaf_pb2.ACTION_OPEN, leaf_pb2.ACTION_HAND_OVER})


@dataclass(frozen=True)
class Look:
    """One look, or attempt, at a subject."""

    entry: int
    at_ms: int
    action: str
    decision: str
    actor: str
    system: str
    roles: tuple[str, ...]
    purpose: str
    legal_basis: str
    case: str
    classes: tuple[str, ...]
    rules: tuple[str, ...]
    reasons: tuple[str, ...]
    exchange: str
    message_type: str
    outcome: str

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can carry it."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}


def who(leaves: Iterable[tuple[int, bytes]], subjects: Collection[bytes]) -> list[Look]:
    """Return every opening and every refusal that touches one of these blind values, in order, with its outcome."""
    looks: dict[int, Look] = {}
    for index, data in leaves:
        entry = leaf_format.decode(data)
        if entry.kind == leaf_pb2.KIND_OUTCOME and entry.follows - 1 in looks:
            look = looks[entry.follows - 1]
            # A later outcome does not hide an earlier one.
            looks[entry.follows - 1] = replace(
                look, outcome=",".join(filter(None, (look.outcome, *entry.reason_codes)))
            )
        elif _is_look(entry) and any(subject.value in subjects for subject in entry.subjects):
            looks[index] = _look(index, entry)
    return [looks[index] for index in sorted(looks)]


def _is_look(entry: leaf_pb2.Leaf) -> bool:
    return entry.kind in (leaf_pb2.KIND_RECEIPT, leaf_pb2.KIND_DENIAL) and entry.action in _LOOKS


def _look(index: int, entry: leaf_pb2.Leaf) -> Look:
    return Look(
        entry=index,
        at_ms=entry.at_ms,
        action=leaf_pb2.Action.Name(entry.action).removeprefix("ACTION_"),
        decision=leaf_pb2.Decision.Name(entry.decision).removeprefix("DECISION_"),
        actor=entry.actor.hex(),
        system=entry.system,
        roles=tuple(entry.actor_roles),
        purpose=entry.purpose,
        legal_basis=entry.legal_basis,
        case=entry.case.hex(),
        classes=tuple(entry.classes_released or entry.classes_requested),
        rules=tuple(entry.rule_ids),
        reasons=tuple(entry.reason_codes),
        exchange=entry.exchange.hex(),
        message_type=entry.message_type.rsplit(".", 1)[-1],
        outcome="REFUSED" if entry.kind == leaf_pb2.KIND_DENIAL else "",
    )
