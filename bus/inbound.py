"""The way in of a message, in numbered steps.

(0) is the directory in force? else only its successor is looked for (bus/successors.py), and the rest waits
(1) strict parse
(2) signature, by the sender's key in the member directory; header against what the broker said
(3) seen before? same id and same content: the first outcome again; same id and other content: refused and recorded
(4) may this sender send this to us (policy), is it in time, do we hold the grant that opens it
(5) in ONE database transaction: inbox row + message or quarantine + audit leaf + receipt in the own outbox
(6) acknowledge to the broker
(7) hand over (bus/handover.py), separately and again until it is done

All branching on a message's fate is here. Nothing is opened here, and nothing outside the signed envelope is believed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy import select

from audit.errors import AuditError
from audit.log import LogTransaction
from bus import leaves, limits, questions, seen, sequences, store
from bus.errors import Retry
from bus.keyservice.protocol import SealRequest
from bus.orders import states
from bus.outbound import PASSING_TYPES
from bus.parts import Parts
from bus.passing import Passing, move_order
from bus.pinned import Pinned
from bus.policy.model import Decision
from bus.randomness import uuid7
from bus.sealing.envelope import Header
from bus.sealing.errors import SealingError, told
from bus.sealing.verify import VerifiedEnvelope, verify
from bus.successors import take_successors
from bus.transport import Delivery, Disposition
from schemas import registry
from schemas.errors import UnknownType
from schemas.v1 import workflow_pb2

ACCEPTED, DUPLICATE, REFUSED = "ACCEPTED", "DUPLICATE", "REFUSED"
EXPIRED, GRANT_UNKNOWN = "EXPIRED", "GRANT_UNKNOWN"
UNKNOWN_GRANT = "LF-IN-GRANT-UNKNOWN"

_NODE_TYPES = frozenset(
    f"lianfang.v1.{name}"
    for name in (
        *("Grant", "Directory", "PolicyBundle", "KeyNotice"),
        *("SubjectQuery", "SubjectForward", "SubjectAnswer"),
        *("TagKey", "TagRequest", "TagAnswer"),
    )
)
"""Types that the node itself handles."""


@dataclass
class _Examined:
    """One delivery and what is to be done about it. `envelope` is None when nobody can be held to it.

    `first_log_index` is the entry of an earlier arrival of the same message; -1 when it is new.
    """

    delivery: Delivery
    outcome: str
    code: str = ""
    envelope: VerifiedEnvelope | None = None
    decision: Decision | None = None
    first_log_index: int = -1


class Inbound:
    """Receives messages; the transport's Inbox."""

    def __init__(self, parts: Parts, passing: Passing, pinned: Pinned) -> None:
        self._parts = parts
        self._passing = passing
        self._pinned = pinned
        self._held_until_s = 0.0

    def ready(self) -> bool:
        """Say whether keys, log and database answer, so that consuming makes sense."""
        return self._parts.clock.monotonic_s() >= self._held_until_s

    def receive(self, deliveries: Sequence[Delivery]) -> list[Disposition]:
        """Take a batch; the dispositions stand in the same order and are true once this returns."""
        try:
            if not take_successors(self._parts, self._pinned, deliveries):  # (0)
                self._pause()
                return [Disposition.HOLD for _ in deliveries]
            examined = self._examine(deliveries)  # (1)-(4)
            passed = self._commit(examined)  # (5)
        except (AuditError, Retry):
            # A dependency is down: nothing was acknowledged, the broker keeps the messages.
            self._pause()
            return [Disposition.HOLD for _ in deliveries]
        late = self._take(passed)
        self._parts.wake()
        return [
            Disposition.HOLD if any(item.envelope is envelope for envelope in late) else Disposition.ACK  # (6)
            for item in examined
        ]

    def _take(self, passed: list[VerifiedEnvelope]) -> list[VerifiedEnvelope]:
        """Do what follows the commit; return what could not be done now: it is brought again, and left no trace."""
        for number, envelope in enumerate(passed):
            try:
                self._passing.take(envelope)
            except (AuditError, Retry):
                self._pause()
                return passed[number:]
        return []

    def _pause(self) -> None:
        self._held_until_s = self._parts.clock.monotonic_s() + 0.5

    def _examine(self, deliveries: Sequence[Delivery]) -> list[_Examined]:
        examined = [self._verified(delivery) for delivery in deliveries]  # (1) (2)
        self._find_seen(examined)  # (3)
        for item in examined:
            if item.outcome == ACCEPTED:
                self._decide(item)  # (4)
        self._admit([item for item in examined if item.outcome == ACCEPTED])
        _require_one_owner(examined)
        return examined

    def _verified(self, delivery: Delivery) -> _Examined:
        if delivery.fault:
            return _Examined(delivery, REFUSED, delivery.fault)
        try:
            envelope = verify(delivery.body, self._parts.directory, self._parts.clock.now_ms())
        except SealingError as error:
            return _Examined(delivery, REFUSED, error.code)
        header = envelope.header
        if (
            header.sender != delivery.sender
            or self._parts.agency not in header.recipients
            or header.lane != delivery.lane
            or registry.short_name(header.type) != delivery.type_short
        ):
            return _Examined(delivery, REFUSED, "LF-IN-WIRE-MISMATCH")
        return _Examined(delivery, ACCEPTED, "", envelope)

    def _find_seen(self, examined: Sequence[_Examined]) -> None:
        """Mark what came before. An id belongs to its sender's first content, and to the first agency it is taken from."""
        ids = [item.envelope.header.message_id for item in examined if item.envelope is not None]
        known, owners = seen.under(self._parts.engine, ids)
        for item in examined:
            if item.envelope is None:
                continue
            header, digest = item.envelope.header, item.envelope.payload_sha256
            before = known.setdefault((header.sender, header.message_id), seen.Known(digest, "", "", -1))
            if before.sha256 != digest:
                item.envelope, item.outcome, item.code = None, REFUSED, "LF-IN-ID-REUSED"
            elif before.outcome:
                # What was refused once is refused again: a lost receipt must not turn a no into a yes.
                taken = before.outcome in (ACCEPTED, GRANT_UNKNOWN)
                item.outcome, item.code = DUPLICATE if taken else before.outcome, before.code
                item.first_log_index = before.log_index
            elif owners.get(header.message_id, header.sender) != header.sender:
                item.outcome, item.code = REFUSED, "LF-IN-ID-REUSED"

    def _decide(self, item: _Examined) -> None:
        """Refuse what is out of time, of another version or type, or not this sender's to send."""
        assert item.envelope is not None
        header, now = item.envelope.header, self._parts.clock.now_ms()
        # How long it is taken is not the sender's word alone: an old key, stolen, could date a message back for ever.
        if min(header.expires_at_ms, header.sent_at_ms + limits.LIFETIME_MS[header.lane]) < now:
            item.outcome, item.code = EXPIRED, "LF-IN-EXPIRED"
        elif header.sent_at_ms > now + limits.CLOCK_SKEW_MS_MAX:
            item.outcome, item.code = REFUSED, "LF-IN-CLOCK-SKEW"
        elif header.suite not in self._parts.bundle.suites.allowed:
            item.outcome, item.code = REFUSED, "LF-SEAL-SUITE-NOT-ALLOWED"
        elif header.type_version != registry.TYPE_VERSION:
            item.outcome, item.code = REFUSED, "LF-IN-UNKNOWN-VERSION"
        elif header.type not in registry.bodies():
            item.outcome, item.code = REFUSED, UnknownType.code
        else:
            item.decision = self._parts.bundle.decide(questions.accept_request(self._parts, header))
            if not item.decision.permitted:
                item.outcome, item.code = REFUSED, item.decision.code

    def _admit(self, items: Sequence[_Examined]) -> None:
        """See that each message opens under its grant, or that its grant is still to come."""
        sealed = [(item, item.envelope.payload) for item in items if item.envelope and item.envelope.header.grant_id]
        if not sealed:
            return
        with self._parts.steps("inbound.admit"):
            codes = self._parts.keys.admit_all([payload for _, payload in sealed])
        for (item, _), code in zip(sealed, codes, strict=True):
            if code:
                item.outcome, item.code = GRANT_UNKNOWN if code == UNKNOWN_GRANT else REFUSED, code

    def _commit(self, examined: list[_Examined]) -> list[VerifiedEnvelope]:
        """Write a batch; return the messages that answer for others, for what follows the commit."""
        passed: list[VerifiedEnvelope] = []
        receipts: list[tuple[_Examined, int]] = []
        written: dict[tuple[str, bytes], int] = {}
        rows = store.Rows()
        with (
            self._parts.steps("inbound.commit"),
            self._parts.log.transaction(self._parts.append_deadline_s) as transaction,
        ):
            for item in examined:
                if item.envelope is not None and item.envelope.header.type in PASSING_TYPES:
                    self._write_passing(transaction, rows, item, passed)
                    continue
                index = self._write(transaction, rows, item, written)
                if item.envelope is not None:
                    receipts.append((item, index))
            self._passing.take_in_transaction(transaction, passed)
            self._write_receipts(rows, receipts)
            new = [item.envelope.header for item in examined if item.envelope and _is_new(item)]
            sequences.note(transaction.connection, new, self._parts.clock.now_ms())
            rows.flush(transaction.connection)
        return passed

    def _write_passing(
        self, transaction: LogTransaction, rows: store.Rows, item: _Examined, passed: list[VerifiedEnvelope]
    ) -> None:
        """A message that answers for another is forgotten again; only a refused one leaves an entry, as evidence."""
        assert item.envelope is not None
        if item.outcome == ACCEPTED:
            passed.append(item.envelope)
        elif item.outcome != EXPIRED:
            self._quarantine(transaction, rows, item)

    def _write(
        self, transaction: LogTransaction, rows: store.Rows, item: _Examined, written: dict[tuple[str, bytes], int]
    ) -> int:
        if item.envelope is None:
            return self._quarantine(transaction, rows, item)
        header, digest = item.envelope.header, item.envelope.payload_sha256
        if item.first_log_index >= 0:
            return item.first_log_index
        key = header.sender, header.message_id
        if key in written:  # the same message twice in one batch
            item.outcome = DUPLICATE if item.outcome in (ACCEPTED, GRANT_UNKNOWN) else item.outcome
            return written[key]
        index = written[key] = transaction.append(
            leaves.accepted(self._parts, header, digest, item.decision, (item.outcome, item.code))
        )
        rows.add(
            store.inbox,
            sender=header.sender,
            message_id=header.message_id,
            sha256=digest,
            received_at_ms=self._parts.clock.now_ms(),
            outcome=item.outcome,
            code=item.code,
            log_index=index,
        )
        if item.outcome in (ACCEPTED, GRANT_UNKNOWN):
            self._store_message(transaction, rows, item, index)
        else:
            self._store_quarantine(rows, item, index)
        return index

    def _store_message(self, transaction: LogTransaction, rows: store.Rows, item: _Examined, index: int) -> None:
        assert item.envelope is not None
        header, now = item.envelope.header, self._parts.clock.now_ms()
        owner = self._parts.bundle.owner(registry.bare_name(header.type))
        deadline_ms = now + owner.done_s * 1000 if owner else 0
        rows.add(
            store.messages,
            message_id=header.message_id,
            direction="in",
            type=header.type,
            sender=header.sender,
            recipients=" ".join(header.recipients),
            lane=header.lane,
            sent_at_ms=header.sent_at_ms,
            expires_at_ms=header.expires_at_ms,
            correlation_id=header.correlation_id,
            causation_id=header.causation_id,
            policy_serial=header.policy_serial,
            payload_sha256=item.envelope.payload_sha256,
            envelope=item.delivery.body,
            carried_grant=b"",
            log_index=index,
            received_at_ms=now,
            deadline_ms=deadline_ms,
            owner=owner.responsible if owner else "",
            handover=self._handover(header),
            handover_after_ms=now,
        )
        if header.type in states.RESULT_OF:
            rows.add(
                store.orders,
                message_id=header.message_id,
                side="received",
                peer=header.sender,
                type=header.type,
                application=b"",  # known once the order is opened for hand-over
                state=states.RECEIVED,
                result_message_id=b"",
                created_ms=now,
                deadline_ms=deadline_ms,
                updated_ms=now,
            )
        if header.type in states.ORDER_OF:
            self._answer_order(transaction, header, now)

    def _answer_order(self, transaction: LogTransaction, header: Header, now: int) -> None:
        """Close the order that a result answers: ours, sent to that very agency, of the type that the result belongs to."""
        order = transaction.connection.execute(
            select(store.orders.c.message_id).where(
                store.orders.c.message_id == header.causation_id,
                store.orders.c.side == "issued",
                store.orders.c.peer == header.sender,
                store.orders.c.type == states.ORDER_OF[header.type],
            )
        ).first()
        if order is not None:
            move_order(transaction, order.message_id, states.ANSWERED, now, header.message_id)

    def _handover(self, header: Header) -> str:
        if header.type in _NODE_TYPES:
            return "pending"
        if header.type in states.UNASKED and not header.causation_id:
            return "person"
        if self._parts.local_system and (header.type in states.RESULT_OF or header.type in states.ORDER_OF):
            return "pending"
        return "person"

    def _quarantine(self, transaction: LogTransaction, rows: store.Rows, item: _Examined) -> int:
        index = transaction.append(
            leaves.rejected_bytes(self._parts, item.delivery.sender, item.delivery.body, item.code)
        )
        self._store_quarantine(rows, item, index)
        return index

    def _store_quarantine(self, rows: store.Rows, item: _Examined, index: int) -> None:
        rows.add(
            store.quarantine,
            received_at_ms=self._parts.clock.now_ms(),
            sender=store.text(item.delivery.sender, store.quarantine.c.sender),
            code=item.code,
            sha256=sha256(item.delivery.body).digest(),
            envelope=item.delivery.body,
            log_index=index,
        )

    def _write_receipts(self, rows: store.Rows, receipts: list[tuple[_Examined, int]]) -> None:
        """Seal and store one receipt per message, in the transaction that they speak of."""
        now = self._parts.clock.now_ms()
        requests = [self._receipt_request(item, index, now) for item, index in receipts]
        for start in range(0, len(requests), limits.SEAL_BATCH_MAX):
            part = requests[start : start + limits.SEAL_BATCH_MAX]
            for request, envelope in zip(part, self._parts.keys.seal(part), strict=True):
                rows.add(store.passing, message_id=request.message_id, envelope=envelope)
                rows.add_waiting(request.message_id, request.recipients[0], request.lane, request.type_name, now)

    def _receipt_request(self, item: _Examined, index: int, now: int) -> SealRequest:
        assert item.envelope is not None
        header = item.envelope.header
        body = workflow_pb2.Receipt(
            message_id=header.message_id,
            payload_sha256=item.envelope.payload_sha256,
            outcome=workflow_pb2.ReceiptOutcome.Value(f"RECEIPT_OUTCOME_{item.outcome}"),
            code=told(item.code),
            received_at_ms=now,
            log_index=max(index, 0),
        )
        return SealRequest(
            message_id=uuid7(now, self._parts.randomness),
            type_name=body.DESCRIPTOR.full_name,
            recipients=(header.sender,),
            lane=header.lane,
            sent_at_ms=now,
            expires_at_ms=now + limits.LIFETIME_MS[header.lane],
            policy_serial=self._parts.bundle.serial,
            correlation_id=header.correlation_id,
            causation_id=header.message_id,
            body=body.SerializeToString(deterministic=True),
            compartments=(),
            inline_grant=False,
        )


def _is_new(item: _Examined) -> bool:
    return item.first_log_index < 0 and item.outcome != DUPLICATE


def _require_one_owner(examined: Sequence[_Examined]) -> None:
    """Refuse, within a batch too, what comes under the id of a message that is taken from another agency."""
    owners: dict[bytes, str] = {}
    for item in examined:
        if item.envelope is None or item.outcome not in (ACCEPTED, GRANT_UNKNOWN):
            continue
        header = item.envelope.header
        if owners.setdefault(header.message_id, header.sender) != header.sender:
            item.outcome, item.code = REFUSED, "LF-IN-ID-REUSED"
