"""Entries of the audit log, made from what happened: codes, digests and blind values, never a name or a number."""

import re
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any

from google.protobuf.json_format import MessageToDict

from audit import blind as blinding
from audit import leaf as leaf_format
from audit.v1 import leaf_pb2
from bus.keyservice.protocol import Inspection, SealRequest, SubjectValue
from bus.orders.states import UNASKED
from bus.parts import Actor, Parts, Statement
from bus.policy.canonical import canonical
from bus.policy.model import Decision, Request
from bus.sealing.envelope import Header, ParsedEnvelope
from bus.sealing.verify import VerifiedEnvelope
from schemas import registry
from schemas.errors import MessageRefused

ANSWERS = {
    "AccountAnswer": "AccountQuery",
    "AppealDecision": "Appeal",
    "CallDetailAnswer": "CallDetailRequest",
    "FreezeResult": "FreezeOrder",
    "MonitoringAnswer": "MonitoringOrder",
    "MonitoringEvent": "MonitoringOrder",
    "NumberActionResult": "NumberActionOrder",
    "NumberStatusAnswer": "NumberStatusQuery",
    "PaymentRecallAnswer": "PaymentRecall",
    "StopPaymentResult": "StopPaymentOrder",
    "SubjectAnswer": "SubjectQuery",
    "TagAnswer": "TagRequest",
    "TransactionTrace": "TransactionQuery",
    "VictimAlertOutcome": "VictimAlert",
    "WatchCheckAnswer": "WatchCheck",
}
"""Which type of message answers which: what goes out as one of these is released, for somebody asked."""
_WORDS_MAX = 12
_BLINDS_MAX = 4096


def intent(
    parts: Parts,
    request: SealRequest,
    statement: Statement,
    decision: Decision,
    actor: Actor,
    parsed: ParsedEnvelope,
    subjects: Sequence[SubjectValue],
) -> bytes:
    """Return the entry before a message is sent; an answer's is a RELEASE."""
    entry = _entry(parts, kind_of(request.type_name, request.causation_id), leaf_pb2.ACTION_SEND, decision)
    _act(parts, entry, actor, statement)
    entry.exchange = request.message_id
    entry.correlation = request.correlation_id
    entry.message_digest = parsed.payload_sha256
    entry.message_type = request.type_name
    entry.peers.extend(request.recipients)
    entry.classes_released.extend(sorted({name for item in request.compartments for name in item.classes}))
    _about(entry, subjects)
    return leaf_format.encode(entry)


def kind_of(type_name: str, causation_id: bytes) -> leaf_pb2.Kind.ValueType:
    """Return the kind of the entry before a message is sent. What also travels unasked answers only where it names a question."""
    answers = registry.bare_name(type_name) in ANSWERS and (type_name not in UNASKED or bool(causation_id))
    return leaf_pb2.KIND_RELEASE if answers else leaf_pb2.KIND_INTENT


def accepted(parts: Parts, header: Header, digest: bytes, decision: Decision | None, codes: Sequence[str]) -> bytes:
    """Return the entry of a message that came in: taken, expired, or refused by a rule."""
    entry = _entry(parts, leaf_pb2.KIND_DECISION, leaf_pb2.ACTION_ACCEPT, decision)
    entry.exchange = header.message_id
    entry.correlation = header.correlation_id
    entry.message_digest = digest
    entry.message_type = _type_name(header.type)
    entry.peers.append(header.sender)
    entry.reason_codes.extend(_reason_codes(codes))
    return leaf_format.encode(entry)


def rejected_bytes(parts: Parts, sender: str, body: bytes, code: str) -> bytes:
    """Return the entry of bytes to which nobody can be held: `sender` is only the broker's word."""
    entry = _entry(parts, leaf_pb2.KIND_DENIAL, leaf_pb2.ACTION_ACCEPT, None)
    entry.decision = leaf_pb2.DECISION_DENY
    entry.message_digest = sha256(body).digest()
    if sender in parts.directory.agencies():
        entry.peers.append(sender)
    entry.reason_codes.extend(_reason_codes([code]))
    return leaf_format.encode(entry)


def denial(  # noqa: PLR0913 - each is one fact of the entry
    parts: Parts,
    *,
    action: str,
    message_type: str,
    peers: Sequence[str],
    actor: Actor,
    statement: Statement,
    decision: Decision,
    subjects: Sequence[SubjectValue] = (),
    envelope: VerifiedEnvelope | None = None,
    classes: Sequence[str] = (),
    exchange: bytes = b"",
) -> bytes:
    """Return the entry of something that a rule refused."""
    entry = _entry(parts, leaf_pb2.KIND_DENIAL, leaf_pb2.Action.Value(f"ACTION_{action}"), decision)
    _act(parts, entry, actor, statement)
    entry.message_type = message_type
    entry.peers.extend(peers)
    entry.classes_requested.extend(classes)
    entry.exchange = exchange
    if envelope is not None:
        _exchange(entry, envelope)
    _about(entry, subjects)
    return leaf_format.encode(entry)


def opening(  # noqa: PLR0913, PLR0917 - each is one fact of the entry
    parts: Parts,
    envelope: VerifiedEnvelope,
    inspection: Inspection,
    classes: Sequence[str],
    actor: Actor,
    statement: Statement,
    requests: Sequence[Request],
    token: bytes,
    action: str,
) -> bytes:
    """Return the entry before plaintext is given: bound to the one-use token and to the context decided on."""
    decisions = [parts.bundle.decide(request) for request in requests]
    rules = tuple(dict.fromkeys(rule for decision in decisions for rule in decision.rule_ids))
    entry = _entry(parts, leaf_pb2.KIND_RECEIPT, leaf_pb2.Action.Value(f"ACTION_{action}"), Decision(True, rules, ""))
    _act(parts, entry, actor, statement)
    _exchange(entry, envelope)
    entry.peers.append(envelope.header.sender)
    entry.classes_requested.extend(classes)
    entry.classes_released.extend(classes)
    entry.token_digest = sha256(token).digest()
    entry.context_digest = sha256(canonical(requests)).digest()
    _about(entry, inspection.subjects)
    return leaf_format.encode(entry)


def opening_outcome(
    parts: Parts, envelope: VerifiedEnvelope, index: int, actor: Actor | None, code: str, action: str = "OPEN"
) -> bytes:
    """Return the entry that says what came of an opening, or of a disclosure."""
    entry = _entry(parts, leaf_pb2.KIND_OUTCOME, leaf_pb2.Action.Value(f"ACTION_{action}"), None)
    if actor is not None:
        _act(parts, entry, actor, Statement("", ""))
    _exchange(entry, envelope)
    entry.follows = index + 1
    entry.reason_codes.extend(_reason_codes([code]))
    return leaf_format.encode(entry)


def receipted(parts: Parts, row: Any, outcome: str, code: str) -> bytes:
    """Return the entry that says what a recipient did with a message; `row` is of outbox joined with messages."""
    entry = _entry(parts, leaf_pb2.KIND_OUTCOME, leaf_pb2.ACTION_SEND, None)
    entry.exchange = row.message_id
    entry.correlation = row.correlation_id
    entry.message_digest = row.payload_sha256
    entry.message_type = row.type
    entry.peers.append(row.recipient)
    entry.follows = row.log_index + 1
    entry.reason_codes.extend(_reason_codes([outcome, code]))
    return leaf_format.encode(entry)


def held_back(parts: Parts, code: str, digest: bytes, actor: Actor) -> bytes:
    """Return the entry of a row that could not be sent."""
    entry = _entry(parts, leaf_pb2.KIND_OUTCOME, leaf_pb2.ACTION_HOLD_BACK, None)
    _act(parts, entry, actor, Statement("", ""))
    entry.file_digest = digest
    entry.record_count = 1
    # A broken check has the field's path for a code; the entry says only that one was broken.
    entry.reason_codes.append(code if leaf_format.is_code("reason_codes", code) else MessageRefused.code)
    return leaf_format.encode(entry)


def administered(parts: Parts, codes: Sequence[str], actor: Actor | None = None, digest: bytes = b"") -> bytes:
    """Return the entry of a change to the node, or of what it signed; without an actor the node did it itself.

    `digest`: of the directory or bundle that came into force, so that logs of different nodes can be held together.
    """
    entry = _entry(parts, leaf_pb2.KIND_ADMIN, leaf_pb2.ACTION_ADMIN, None)
    if actor is not None:
        _act(parts, entry, actor, Statement("", ""))
    entry.message_digest = digest
    entry.reason_codes.extend(_reason_codes(codes))
    return leaf_format.encode(entry)


def keys_changed(
    parts: Parts, kind: str, agency: str, codes: Sequence[str], actor: Actor | None = None, digest: bytes = b""
) -> bytes:
    """Return the entry of what became of an agency's keys (KEY), or of their being revoked (REVOKE)."""
    entry = _entry(parts, leaf_pb2.Kind.Value(f"KIND_{kind}"), leaf_pb2.ACTION_ADMIN, None)
    if actor is not None:
        _act(parts, entry, actor, Statement("", ""))
    entry.peers.append(agency)
    entry.message_digest = digest
    entry.reason_codes.extend(_reason_codes(codes))
    return leaf_format.encode(entry)


def started(parts: Parts) -> bytes:
    """Return the entry of a start."""
    return leaf_format.encode(_entry(parts, leaf_pb2.KIND_START, leaf_pb2.ACTION_ADMIN, None))


def log_read(parts: Parts, action: str, actor: Actor, statement: Statement, exchange: bytes = b"") -> bytes:
    """Return the entry of somebody reading a log."""
    entry = _entry(parts, leaf_pb2.KIND_LOG_READ, leaf_pb2.Action.Value(f"ACTION_{action}"), None)
    _act(parts, entry, actor, statement)
    entry.exchange = exchange
    return leaf_format.encode(entry)


def tags(  # noqa: PLR0913 - each is one fact of the entry
    parts: Parts,
    kind: str,
    *,
    peers: Sequence[str],
    count: int,
    digest: bytes,
    actor: Actor,
    statement: Statement,
    exchange: bytes = b"",
    codes: Sequence[str] = (),
) -> bytes:
    """Return the entry of a batch of blinded values, asked for (INTENT), evaluated (RELEASE) or refused (DENIAL): how many, never which."""
    entry = _entry(parts, leaf_pb2.Kind.Value(f"KIND_{kind}"), leaf_pb2.ACTION_SEARCH, None)
    _act(parts, entry, actor, statement)
    entry.decision = leaf_pb2.DECISION_DENY if kind == "DENIAL" else leaf_pb2.DECISION_PERMIT
    entry.exchange = exchange
    entry.message_type = "lianfang.v1.TagRequest"
    entry.peers.extend(peers)
    entry.record_count = count
    entry.context_digest = digest
    entry.reason_codes.extend(_reason_codes(codes))
    return leaf_format.encode(entry)


def tag_key(parts: Parts, codes: Sequence[str], actor: Actor) -> bytes:
    """Return the entry of a share of a tag key, made, destroyed or refused."""
    entry = _entry(parts, leaf_pb2.KIND_KEY, leaf_pb2.ACTION_ADMIN, None)
    _act(parts, entry, actor, Statement("", ""))
    entry.reason_codes.extend(_reason_codes(codes))
    return leaf_format.encode(entry)


def as_dict(data: bytes) -> dict[str, Any]:
    """Return an entry as JSON can carry it; digests and blind values in hexadecimal."""
    entry = leaf_format.decode(data)
    shown = MessageToDict(entry, preserving_proto_field_name=True)
    for field, value in entry.ListFields():
        if isinstance(value, bytes):
            shown[field.name] = value.hex()
    if entry.subjects:
        shown["subjects"] = [
            {"kind": item.kind, "field": item.field, "value": item.value.hex()} for item in entry.subjects
        ]
    return {**shown, "at_ms": entry.at_ms}


def _entry(
    parts: Parts,
    kind: leaf_pb2.Kind.ValueType,
    action: leaf_pb2.Action.ValueType,
    decision: Decision | None,
) -> leaf_pb2.Leaf:
    entry = leaf_pb2.Leaf(
        at_ms=parts.clock.now_ms(),
        kind=kind,
        action=action,
        agency=parts.agency,
        policy_serial=parts.bundle.serial,
        policy_digest=parts.bundle.sha256,
    )
    if decision is not None:
        entry.decision = leaf_pb2.DECISION_PERMIT if decision.permitted else leaf_pb2.DECISION_DENY
        entry.rule_ids.extend(decision.rule_ids)
        if decision.code:
            entry.reason_codes.extend(_reason_codes([decision.code]))
        entry.missing.extend(_missing_code(text) for text in decision.missing)
    return entry


def _act(parts: Parts, entry: leaf_pb2.Leaf, actor: Actor, statement: Statement) -> None:
    if actor.service:
        entry.system = actor.identity
    else:
        entry.actor = blind(parts, "actor", actor.identity)
        entry.actor_roles.extend(actor.roles)
    words = parts.bundle.vocabulary
    # A word that the policy has not got is denied, and could be anything: it is not written down.
    entry.purpose = statement.purpose if statement.purpose in words.purposes else ""
    entry.legal_basis = statement.legal_basis if statement.legal_basis in words.bases else ""
    if statement.case_ref:
        entry.case = blind(parts, "case", statement.case_ref)


def _exchange(entry: leaf_pb2.Leaf, envelope: VerifiedEnvelope) -> None:
    entry.exchange = envelope.header.message_id
    entry.correlation = envelope.header.correlation_id
    entry.message_digest = envelope.payload_sha256
    entry.message_type = envelope.header.type


def _about(entry: leaf_pb2.Leaf, subjects: Sequence[SubjectValue]) -> None:
    for subject in subjects:
        entry.subjects.add(kind=subject.kind, value=subject.value, field=subject.field)


def _missing_code(text: str) -> str:
    """Return what a denial found missing ("OP-02: a mandate") as a code: an entry holds no sentence."""
    rule, colon, words = text.partition(": ")
    if not colon:
        rule, words = "", text
    parts = re.findall(r"[a-z0-9]{1,16}", words.lower())[:_WORDS_MAX]
    return f"{rule}:{'-'.join(parts)}" if rule else "-".join(parts)


def _reason_codes(codes: Iterable[str]) -> list[str]:
    """Return codes fit for an entry. A foreign node's word that is no code is named as such, never copied."""
    return [code_or_withheld(code) for code in codes if code]


def code_or_withheld(code: str) -> str:
    """Return a foreign node's word if it is a code, else the code that says so."""
    return code if leaf_format.is_code("reason_codes", code) else "LF-CODE-WITHHELD"


def _type_name(name: str) -> str:
    """Return a message type that this release knows; an unknown one could be any text."""
    return name if name in registry.bodies() else ""


def blind(parts: Parts, kind: str, value: str) -> bytes:
    """Return the blind value of an actor or a case, remembered for the quarter: the same few come again and again."""
    now = parts.clock.now_ms()
    key = (kind, value, blinding.quarter(now))
    found = parts.blinds.get(key)
    if found is None:
        if len(parts.blinds) >= _BLINDS_MAX:
            parts.blinds.clear()
        found = parts.blinds[key] = parts.keys.blind(kind, [value], now)[0]
    return found
