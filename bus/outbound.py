"""The way out of a message, in numbered steps.

(1) who is acting, for what purpose, under which case, mandate and legal basis
(2) policy: may this actor send it, and which class may each recipient read (ceiling and floor)
(3) seal
(4) in ONE database transaction: message + order state + audit leaf + one outbox row per recipient
(5) the transport drains the outbox; a row lives until the receiver's signed receipt

All branching on a message's fate is here; what it calls does not branch on it. What is refused leaves a DENIAL leaf.
Nothing here opens a socket or a file.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from google.protobuf.message import Message
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from audit.log import LogTransaction
from bus import leaves, limits, questions, store
from bus.errors import Broken, Refused, Usage
from bus.keyservice.protocol import SealRequest, SubjectValue
from bus.orders import states
from bus.parts import Actor, Parts, Statement
from bus.policy.model import Decision
from bus.randomness import uuid7
from bus.sealing.envelope import ParsedEnvelope, parse_header
from schemas import checks

PASSING_TYPES = frozenset({"lianfang.v1.Receipt", "lianfang.v1.Checkpoint", "lianfang.v1.Cosignature"})
"""Types that answer for themselves: no leaf, no receipt, forgotten once confirmed (else a log would log its shipping)."""

_AUDIENCES_MAX = 1024


@dataclass(frozen=True)
class Draft:
    """A message to send. `message` is never changed. An empty correlation_id begins a new exchange.

    `message_id` is given where it was told before; else the message gets a new one. `checked_record`: all of it but its case context has passed the checks already (`checks.require_valid_record`).
    """

    message: Message
    recipients: tuple[str, ...]
    lane: str
    correlation_id: bytes = b""
    causation_id: bytes = b""
    fingerprint: bytes = b""
    lineage: bytes = b""
    deadline_ms: int = 0
    checked_record: bool = False
    message_id: bytes = b""


@dataclass(frozen=True)
class Sent:
    """A message is in the outbox; `log_index` is its INTENT leaf."""

    message_id: bytes
    log_index: int


@dataclass(frozen=True)
class AlreadySent:
    """The same record was sent before, as `message_id`."""

    message_id: bytes


@dataclass(frozen=True)
class NotSent:
    """Policy or a check refused it; `log_index` is the DENIAL leaf."""

    code: str
    rule_ids: tuple[str, ...]
    reason: str
    missing: tuple[str, ...]
    next_step: str
    log_index: int


Outcome = Sent | AlreadySent | NotSent


def require_sent(outcome: Outcome) -> Sent | AlreadySent:
    """Return an outcome that is one of sending. Refused, with rules and entry, when policy refused it."""
    if isinstance(outcome, NotSent):
        raise Refused(
            outcome.reason,
            cure=outcome.next_step,
            code=outcome.code,
            rules=list(outcome.rule_ids),
            missing=list(outcome.missing),
            entry=outcome.log_index,
        )
    return outcome


@dataclass(frozen=True)
class _Ready:
    """A draft that policy has let through."""

    draft: Draft
    statement: Statement
    request: SealRequest
    decision: Decision
    subjects: tuple[SubjectValue, ...] = ()
    lineage: bytes = b""


_Sealed = tuple[bytes, ParsedEnvelope]
"""An envelope, and what was read of it."""


class Outbound:
    """Sends messages."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._delivered: dict[tuple[object, ...], bytes] = {}  # audience → a grant that all of it is known to hold

    def send(self, drafts: Sequence[Draft], actor: Actor, statement: Statement) -> list[Outcome]:
        """Send each draft; the outcomes stand in the same order. Retry when keys, log or database do not answer."""
        outcomes: list[Outcome] = []
        for start in range(0, len(drafts), limits.SEAL_BATCH_MAX):
            outcomes += self._send_batch(drafts[start : start + limits.SEAL_BATCH_MAX], actor, statement)
        if outcomes:
            self._parts.wake()  # (5)
        return outcomes

    def _send_batch(self, drafts: Sequence[Draft], actor: Actor, statement: Statement) -> list[Outcome]:
        sent_before = self._sent_before(drafts)
        outcomes: dict[int, Outcome] = {}
        ready: dict[int, _Ready] = {}
        twice: dict[int, int] = {}
        first_with: dict[bytes, int] = {}
        hearing = questions.Hearing(self._parts, actor)
        for number, draft in enumerate(drafts):
            if draft.fingerprint in sent_before:
                outcomes[number] = AlreadySent(sent_before[draft.fingerprint])
                continue
            if draft.fingerprint and draft.fingerprint in first_with:
                twice[number] = first_with[draft.fingerprint]
                continue
            first_with[draft.fingerprint] = number
            prepared = self._prepare(draft, hearing, statement)  # (1) (2)
            if isinstance(prepared, _Ready):
                ready[number] = prepared
            else:
                outcomes[number] = prepared
        filled = self._fill(list(ready.values()))
        sealed = self._seal([item.request for item in filled])  # (3)
        outcomes |= self._commit(dict(zip(ready, zip(filled, sealed, strict=True), strict=True)), actor)  # (4)
        for number, first in twice.items():
            before = outcomes[first]
            outcomes[number] = AlreadySent(before.message_id) if isinstance(before, Sent) else before
        return [outcomes[number] for number in range(len(drafts))]

    def _sent_before(self, drafts: Sequence[Draft]) -> dict[bytes, bytes]:
        wanted = [draft.fingerprint for draft in drafts if draft.fingerprint]
        if not wanted:
            return {}
        query = select(store.fingerprints).where(store.fingerprints.c.fingerprint.in_(wanted))
        with self._parts.engine.connect() as connection:
            return {row.fingerprint: row.message_id for row in connection.execute(query)}

    def _prepare(self, draft: Draft, hearing: questions.Hearing, statement: Statement) -> "_Ready | NotSent":
        message, stated = questions.with_context(draft.message, statement)
        full_name = message.DESCRIPTOR.full_name
        if draft.checked_record:
            checks.require_valid_context(message)
        else:
            checks.require_valid(message)
        _require_addressed(draft, full_name)
        verdict = hearing.verdict(message, draft.recipients, stated)
        body = message.SerializeToString(deterministic=True)
        if verdict.refusal is not None:
            return self._deny(draft, hearing.actor, stated, verdict.refusal, body)
        now = self._parts.clock.now_ms()
        message_id = draft.message_id or uuid7(now, self._parts.randomness)
        request = SealRequest(
            message_id=message_id,
            type_name=full_name,
            recipients=tuple(sorted(draft.recipients)),
            lane=draft.lane,
            sent_at_ms=now,
            expires_at_ms=now + limits.LIFETIME_MS[draft.lane],
            policy_serial=self._parts.bundle.serial,
            correlation_id=draft.correlation_id or message_id,
            causation_id=draft.causation_id,
            body=body,
            compartments=verdict.compartments,
            inline_grant=False,
        )
        return _Ready(draft, stated, request, verdict.decision)

    def _fill(self, items: list[_Ready]) -> list[_Ready]:
        """Return the items with their blind subjects and sealed lineage: two questions to the key service, however many."""
        keys = self._parts.keys
        about = [item for item in items if item.request.type_name not in PASSING_TYPES]
        if not about:
            return items
        names, bodies = [item.request.type_name for item in about], [item.request.body for item in about]
        found = keys.blind_messages(names, bodies, self._parts.clock.now_ms())
        subjects = {item.request.message_id: tuple(values) for item, values in zip(about, found, strict=True)}
        traced = [item for item in about if item.draft.lineage]
        contexts = [b"lineage" + item.request.message_id for item in traced]
        sealed = keys.protect_all(contexts, [item.draft.lineage for item in traced]) if traced else []
        lineage = {item.request.message_id: data for item, data in zip(traced, sealed, strict=True)}
        return [
            replace(
                item,
                subjects=subjects.get(item.request.message_id, ()),
                lineage=lineage.get(item.request.message_id, b""),
            )
            for item in items
        ]

    def _subjects(self, full_name: str, body: bytes) -> tuple[SubjectValue, ...]:
        return tuple(self._parts.keys.blind_messages([full_name], [body], self._parts.clock.now_ms())[0])

    def _deny(self, draft: Draft, actor: Actor, stated: Statement, refusal: Decision, body: bytes) -> NotSent:
        leaf = leaves.denial(
            self._parts,
            action="SEND",
            message_type=draft.message.DESCRIPTOR.full_name,
            peers=draft.recipients,
            actor=actor,
            statement=stated,
            decision=refusal,
            subjects=self._subjects(draft.message.DESCRIPTOR.full_name, body),
        )
        with self._parts.steps("outbound.deny"), self._transaction() as transaction:
            index = transaction.append(leaf)
        return NotSent(refusal.code, refusal.rule_ids, refusal.reason, refusal.missing, refusal.next_step, index)

    def _seal(self, requests: list[SealRequest]) -> list[_Sealed]:
        """Seal; the grant travels inside until every recipient is known, by its receipt, to hold it."""
        if not requests:
            return []
        requests = [
            item if _audience(item) in self._delivered else replace(item, inline_grant=True) for item in requests
        ]
        with self._parts.steps("outbound.seal"):
            sealed = [(envelope, parse_header(envelope)) for envelope in self._parts.keys.seal(requests)]
        holders: dict[bytes, frozenset[str]] = {}
        again = [
            number
            for number, (request, (_, parsed)) in enumerate(zip(requests, sealed, strict=True))
            if parsed.header.grant_id and not self._is_delivered(request, parsed, holders)
        ]
        if again:  # the grant we took for known is over, and its successor is not known yet
            inlined = self._parts.keys.seal([replace(requests[number], inline_grant=True) for number in again])
            for number, envelope in zip(again, inlined, strict=True):
                sealed[number] = envelope, parse_header(envelope)
        return sealed

    def _is_delivered(self, request: SealRequest, parsed: ParsedEnvelope, holders: dict[bytes, frozenset[str]]) -> bool:
        """Say whether each recipient holds, or is sent with the message, the grant that opens it."""
        audience, grant_id = _audience(request), parsed.header.grant_id
        if self._delivered.get(audience) == grant_id:
            return True
        if grant_id not in holders:  # asked once a batch
            holders[grant_id] = self._holders(grant_id)
        if holders[grant_id].issuperset(request.recipients):
            if len(self._delivered) >= _AUDIENCES_MAX:
                self._delivered.clear()
            self._delivered[audience] = grant_id
            return True
        self._delivered.pop(audience, None)
        return bool(parsed.inline_grant)

    def _holders(self, grant_id: bytes) -> frozenset[str]:
        table = store.grants_delivered
        query = select(table.c.recipient).where(table.c.grant_id == grant_id)
        with self._parts.engine.connect() as connection:
            return frozenset(row.recipient for row in connection.execute(query))

    def _commit(self, sealed: dict[int, tuple[_Ready, _Sealed]], actor: Actor) -> dict[int, Outcome]:
        if not sealed:
            return {}
        outcomes: dict[int, Outcome] = {}
        rows = store.Rows()
        try:
            with self._parts.steps("outbound.commit"), self._transaction() as transaction:
                for number, (item, made) in sealed.items():
                    outcomes[number] = self._write(transaction, rows, item, made, actor)
                rows.flush(transaction.connection)
        except IntegrityError:
            # Somebody else sent the same record between the look and the commit: nothing of this batch was written.
            return self._after_race(sealed, actor)
        return outcomes

    def _after_race(self, sealed: dict[int, tuple[_Ready, _Sealed]], actor: Actor) -> dict[int, Outcome]:
        sent_before = self._sent_before([item.draft for item, _ in sealed.values()])
        outcomes: dict[int, Outcome] = {}
        rest: dict[int, tuple[_Ready, _Sealed]] = {}
        for number, (item, made) in sealed.items():
            if item.draft.fingerprint in sent_before:
                outcomes[number] = AlreadySent(sent_before[item.draft.fingerprint])
            else:
                rest[number] = (item, made)
        if not outcomes:
            raise Broken(
                "the database refused new rows, and not because the record was sent before",
                cure="run `lianfang node doctor`: another process may have written to this database",
            )
        return outcomes | self._commit(rest, actor)

    def _write(
        self, transaction: LogTransaction, rows: store.Rows, item: _Ready, sealed: _Sealed, actor: Actor
    ) -> Sent:
        envelope, parsed = sealed
        request, draft, now = item.request, item.draft, self._parts.clock.now_ms()
        index = -1
        if request.type_name in PASSING_TYPES:
            rows.add(store.passing, message_id=request.message_id, envelope=envelope)
        else:
            index = transaction.append(
                leaves.intent(self._parts, request, item.statement, item.decision, actor, parsed, item.subjects)
            )
            rows.add(
                store.messages,
                message_id=request.message_id,
                direction="out",
                type=request.type_name,
                sender=self._parts.agency,
                recipients=" ".join(request.recipients),
                lane=request.lane,
                sent_at_ms=request.sent_at_ms,
                expires_at_ms=request.expires_at_ms,
                correlation_id=request.correlation_id,
                causation_id=request.causation_id,
                policy_serial=request.policy_serial,
                payload_sha256=parsed.payload_sha256,
                envelope=envelope,
                carried_grant=parsed.header.grant_id if parsed.inline_grant else b"",
                log_index=index,
                received_at_ms=now,
                deadline_ms=draft.deadline_ms,
                owner="",
                handover="none",
                handover_after_ms=0,
            )
        for recipient in request.recipients:
            rows.add_waiting(request.message_id, recipient, request.lane, request.type_name, now)
        self._write_extras(rows, item, now)
        return Sent(request.message_id, index)

    def _write_extras(self, rows: store.Rows, item: _Ready, now: int) -> None:
        request, draft = item.request, item.draft
        if draft.fingerprint:
            rows.add(store.fingerprints, fingerprint=draft.fingerprint, message_id=request.message_id)
        if item.lineage:
            rows.add(store.lineage, message_id=request.message_id, sealed=item.lineage)
        if request.type_name in states.RESULT_OF:
            application = self._parts.keys.blind("application", [draft.message.application_id], 0)[0]  # type: ignore[attr-defined]  # every order has it
            rows.add(
                store.orders,
                message_id=request.message_id,
                side="issued",
                peer=request.recipients[0],
                type=request.type_name,
                application=application,
                state=states.SENT,
                result_message_id=b"",
                created_ms=now,
                deadline_ms=draft.deadline_ms,
                updated_ms=now,
            )

    def _transaction(self) -> AbstractContextManager[LogTransaction]:
        return self._parts.log.transaction(self._parts.append_deadline_s)


def _require_addressed(draft: Draft, full_name: str) -> None:
    if draft.lane not in limits.LIFETIME_MS:
        raise Usage(f"lane {draft.lane} is none of urgent, normal, bulk", cure="name one of them")
    if not 0 < len(draft.recipients) <= limits.RECIPIENTS_MAX:
        raise Usage(
            f"a message has 1 to {limits.RECIPIENTS_MAX} recipients; this one has {len(draft.recipients)}",
            cure="send it in several parts",
            code="LF-SEND-RECIPIENTS",
        )
    if full_name in states.RESULT_OF and len(draft.recipients) > 1:
        raise Usage(
            "an order goes to the one agency that carries it out",
            cure="send each agency an order of its own, under its own number",
            code="LF-ORDER-RECIPIENTS",
        )


def _audience(request: SealRequest) -> tuple[object, ...]:
    """Return what a grant is for: who reads which classes of which type under which policy."""
    return request.type_name, request.recipients, request.policy_serial, request.compartments
