"""Whether a committed log entry entitles to plaintext, checked by the key service itself before it gives any. Pure.

The node has decided already; this is the second pair of eyes, which believes nothing that the node says but what a
committed entry binds it to, and decides again by the bundle that the key service has pinned itself.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from audit import leaf as leaf_format
from audit.errors import AuditError
from audit.v1 import leaf_pb2
from bus import limits
from bus.directory import Directory
from bus.keyservice.protocol import OpenRequest
from bus.policy.bundle import Bundle
from bus.policy.canonical import parse_canonical
from bus.policy.model import Request
from bus.sealing.envelope import ParsedEnvelope
from bus.sealing.errors import CannotOpen
from schemas import registry


@dataclass(frozen=True)
class Act:
    """What an entry entitles to: the actions that it may name, and what policy was asked about."""

    entries: frozenset[int]
    asked: str


OPENING = Act(frozenset({leaf_pb2.ACTION_OPEN, leaf_pb2.ACTION_HAND_OVER}), "open")
DISCLOSING = Act(frozenset({leaf_pb2.ACTION_DISCLOSE}), "disclose")


@dataclass(frozen=True)
class Judge:
    """What an opening is judged by: who we are, the pinned documents, and the moment."""

    agency: str
    directory: Directory
    bundle: Bundle
    now_ms: int
    act: Act = OPENING


def check(judge: Judge, request: OpenRequest, parsed: ParsedEnvelope, data: bytes | None, sealed_purpose: str) -> None:
    """Return when the entry entitles to this very opening. CannotOpen, with a code for the log, otherwise.

    (1) the entry is committed and in form
    (2) it is for this message, these classes, this token, this context
    (3) it is no older than a token lives
    (4) the context is about this opening, as entry and message have it, and policy permits it now
    """
    entry = _entry(data)  # (1)
    _check_binding(judge, request, parsed, entry)  # (2)
    if not 0 <= judge.now_ms - entry.at_ms <= limits.TOKEN_LIFETIME_MS:  # (3)
        raise CannotOpen("the entry is too old", code="LF-OPEN-LATE")
    try:
        asked = parse_canonical(request.context)  # (4)
    except ValueError:
        raise CannotOpen("the context is not in form", code="LF-OPEN-CONTEXT") from None
    if sorted(item.field_class for item in asked) != sorted(request.classes):
        raise CannotOpen("policy was asked about other classes", code="LF-OPEN-CONTEXT")
    for item in asked:
        if not _is_about(judge, item, parsed, entry, sealed_purpose):
            raise CannotOpen("policy was asked about another opening", code="LF-OPEN-CONTEXT")
        if not judge.bundle.decide(item).permitted:
            raise CannotOpen("policy does not permit it", code="LF-OPEN-POLICY")


def _entry(data: bytes | None) -> leaf_pb2.Leaf:
    if data is None:
        raise CannotOpen("there is no such entry in the log", code="LF-OPEN-NO-ENTRY")
    try:
        return leaf_format.decode(data)
    except AuditError:
        raise CannotOpen("the entry is no entry", code="LF-OPEN-NO-ENTRY") from None


def _check_binding(judge: Judge, request: OpenRequest, parsed: ParsedEnvelope, entry: leaf_pb2.Leaf) -> None:
    classes = sorted(request.classes)
    bound = (
        entry.kind == leaf_pb2.KIND_RECEIPT
        and entry.action in judge.act.entries
        and entry.decision == leaf_pb2.DECISION_PERMIT
        and entry.agency == judge.agency
        and entry.exchange == parsed.header.message_id
        and entry.message_type == parsed.header.type
        and entry.message_digest == parsed.payload_sha256
        and entry.policy_serial == judge.bundle.serial
        and entry.policy_digest == judge.bundle.sha256
        and 0 < len(classes) == len(set(classes))
        and sorted(entry.classes_requested) == classes
        and sorted(entry.classes_released) == classes
        and hmac.compare_digest(entry.token_digest, sha256(request.token).digest())
        and entry.context_digest == sha256(request.context).digest()
    )
    if not bound:
        raise CannotOpen("the entry is for another opening", code="LF-OPEN-OTHER-ENTRY")


def _is_about(judge: Judge, item: Request, parsed: ParsedEnvelope, entry: leaf_pb2.Leaf, sealed_purpose: str) -> bool:
    """Compare a question with what the message itself, the directory and the entry say: these no caller can choose."""
    facts: Mapping[str, object] = {
        "point": "open",
        "action": judge.act.asked,
        "agency": judge.agency,
        "agency_type": _type(judge.directory, judge.agency),
        "sender": parsed.header.sender,
        "sender_type": _type(judge.directory, parsed.header.sender),
        "message_type": registry.bare_name(parsed.header.type),
        "sealed_purpose": sealed_purpose,
        "purpose": entry.purpose,
        "legal_basis": entry.legal_basis,
        "roles": tuple(entry.actor_roles),
        "service": entry.system,
        "bundle_serial": judge.bundle.serial,
    }
    # Decided, then written, then redeemed: the question may be older than the entry, but not by more than that takes.
    in_time = 0 <= judge.now_ms - item.now_ms <= 2 * limits.TOKEN_LIFETIME_MS
    return in_time and all(getattr(item, name) == value for name, value in facts.items())


def _type(directory: Directory, agency: str) -> str:
    return directory.agency_type(agency) if agency in directory.agencies() else ""
