"""The way in of a message, in numbered steps.

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
from dataclasses import dataclass, field
from hashlib import sha256

from sqlalchemy import select

from audit.errors import AuditError
from audit.log import LogTransaction
from bus import leaves, limits, questions, store
from bus.errors import Retry
from bus.keyservice.protocol import KeyServiceUnavailable, SealRequest
from bus.orders import states
from bus.outbound import PASSING_TYPES
from bus.parts import Parts
from bus.passing import Passing, move_order
from bus.policy.model import Decision
from bus.randomness import uuid7
from bus.sealing.envelope import Header
from bus.sealing.errors import SealingError
from bus.sealing.verify import VerifiedEnvelope, verify
from bus.transport import Delivery, Disposition
from schemas import registry
from schemas.errors import SchemaError
from schemas.v1 import workflow_pb2

ACCEPTED, DUPLICATE, REFUSED = "ACCEPTED", "DUPLICATE", "REFUSED"
EXPIRED, GRANT_UNKNOWN = "EXPIRED", "GRANT_UNKNOWN"

_NODE_TYPES = frozenset(
    f"lianfang.v1.{name}"
    for name in ("Grant", "Directory", "PolicyBundle", "SubjectQuery", "SubjectForward", "SubjectAnswer")
)
"""Types that the node itself handles."""


@dataclass
class _Examined:
    """One delivery and what is to be done about it. `envelope` is None when nobody can be held to it."""

    delivery: Delivery
    outcome: str
    code: str = ""
    envelope: VerifiedEnvelope | None = None
    decision: Decision | None = None
    first_log_index: int = -1


@dataclass
class _After:
    """What is to be done once the transaction has committed."""

    passing: list[VerifiedEnvelope] = field(default_factory=list)


class Inbound:
    """Receives messages; the transport's Inbox."""

    def __init__(self, parts: Parts, passing: Passing) -> None:
        self._parts = parts
        self._passing = passing
        self._held_until_s = 0.0

    def ready(self) -> bool:
        """Say whether keys, log and database answer, so that consuming makes sense."""
        return self._parts.clock.monotonic_s() >= self._held_until_s

    def receive(self, deliveries: Sequence[Delivery]) -> list[Disposition]:
        """Take a batch; the dispositions stand in the same order and are true once this returns."""
        try:
            examined = [self._examine(delivery) for delivery in deliveries]  # (1)-(4)
            after = self._commit(examined)  # (5)
        except (KeyServiceUnavailable, AuditError, Retry):
            # A dependency is down: nothing was acknowledged, the broker keeps the messages.
            self._held_until_s = self._parts.clock.monotonic_s() + 0.5
            return [Disposition.HOLD for _ in deliveries]
        for envelope in after.passing:
            self._passing.take(envelope)
        self._parts.wake()
        return [Disposition.ACK for _ in deliveries]  # (6)

    def _examine(self, delivery: Delivery) -> _Examined:
        if delivery.fault:
            return _Examined(delivery, REFUSED, delivery.fault)
        try:
            envelope = verify(delivery.body, self._parts.directory, self._parts.clock.now_ms())  # (1) (2)
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
        return self._examine_verified(delivery, envelope)

    def _examine_verified(self, delivery: Delivery, envelope: VerifiedEnvelope) -> _Examined:
        header, now = envelope.header, self._parts.clock.now_ms()
        before = self._seen(header.sender, header.message_id)  # (3)
        if before is not None:
            if before.sha256 != envelope.payload_sha256:
                return _Examined(delivery, REFUSED, "LF-IN-ID-REUSED")
            return _Examined(delivery, DUPLICATE, before.code, envelope, first_log_index=before.log_index)
        if header.expires_at_ms < now:  # (4)
            return _Examined(delivery, EXPIRED, "LF-IN-EXPIRED", envelope)
        if header.sent_at_ms > now + limits.CLOCK_SKEW_MS_MAX:
            return _Examined(delivery, REFUSED, "LF-IN-CLOCK-SKEW", envelope)
        if header.type_version != registry.TYPE_VERSION:
            return _Examined(delivery, REFUSED, "LF-IN-UNKNOWN-VERSION", envelope)
        try:
            registry.body_type(header.type)
        except SchemaError as error:
            return _Examined(delivery, REFUSED, error.code, envelope)
        decision = self._parts.bundle.decide(questions.accept_request(self._parts, header))
        if not decision.permitted:
            return _Examined(delivery, REFUSED, decision.code, envelope, decision)
        return self._examine_grant(delivery, envelope, decision)

    def _examine_grant(self, delivery: Delivery, envelope: VerifiedEnvelope, decision: Decision) -> _Examined:
        if not envelope.header.grant_id:
            return _Examined(delivery, ACCEPTED, "", envelope, decision)
        try:
            with self._parts.steps("inbound.admit"):
                missing = self._parts.keys.admit(envelope.payload)
        except SealingError as error:
            return _Examined(delivery, REFUSED, error.code, envelope, decision)
        return _Examined(delivery, GRANT_UNKNOWN if missing else ACCEPTED, missing, envelope, decision)

    def _seen(self, sender: str, message_id: bytes):  # type: ignore[no-untyped-def]  # noqa: ANN202 - a row or None
        table = store.inbox
        query = select(table).where(table.c.sender == sender, table.c.message_id == message_id)
        with self._parts.engine.connect() as connection:
            return connection.execute(query).first()

    def _commit(self, examined: list[_Examined]) -> _After:
        after = _After()
        receipts: list[tuple[_Examined, int]] = []
        written: dict[tuple[str, bytes], tuple[bytes, int]] = {}
        with (
            self._parts.steps("inbound.commit"),
            self._parts.log.transaction(self._parts.append_deadline_s) as transaction,
        ):
            for item in examined:
                index = self._write(transaction, item, written, after)
                if item.envelope is not None and item.envelope.header.type not in PASSING_TYPES:
                    receipts.append((item, index))
            self._write_receipts(transaction, receipts)
        return after

    def _write(
        self,
        transaction: LogTransaction,
        item: _Examined,
        written: dict[tuple[str, bytes], tuple[bytes, int]],
        after: _After,
    ) -> int:
        if item.envelope is None:
            return self._quarantine(transaction, item)
        header = item.envelope.header
        key = (header.sender, header.message_id)
        if key in written:  # the same message twice in one batch
            digest, index = written[key]
            if digest != item.envelope.payload_sha256:
                item.envelope, item.code = None, "LF-IN-ID-REUSED"
                return self._quarantine(transaction, item)
            item.outcome = DUPLICATE
            return index
        if item.outcome == DUPLICATE:
            return item.first_log_index
        if header.type in PASSING_TYPES and item.outcome == ACCEPTED:
            self._passing.take_in_transaction(transaction, item.envelope)
            after.passing.append(item.envelope)
            return -1
        if header.type in PASSING_TYPES and item.outcome == EXPIRED:
            return -1
        index = transaction.append(
            leaves.accepted(self._parts, header, item.envelope.payload_sha256, item.decision, (item.outcome, item.code))
        )
        written[key] = (item.envelope.payload_sha256, index)
        transaction.connection.execute(
            store.inbox.insert(),
            {
                "sender": header.sender,
                "message_id": header.message_id,
                "sha256": item.envelope.payload_sha256,
                "received_at_ms": self._parts.clock.now_ms(),
                "outcome": item.outcome,
                "code": item.code,
                "log_index": index,
            },
        )
        if item.outcome in (ACCEPTED, GRANT_UNKNOWN):
            self._store_message(transaction, item, index)
        else:
            self._store_quarantine(transaction, item, index)
        return index

    def _store_message(self, transaction: LogTransaction, item: _Examined, index: int) -> None:
        assert item.envelope is not None
        header, now = item.envelope.header, self._parts.clock.now_ms()
        owner = self._parts.bundle.owner(header.type.rsplit(".", 1)[-1])
        transaction.connection.execute(
            store.messages.insert(),
            {
                "message_id": header.message_id,
                "direction": "in",
                "type": header.type,
                "sender": header.sender,
                "recipients": " ".join(header.recipients),
                "lane": header.lane,
                "sent_at_ms": header.sent_at_ms,
                "expires_at_ms": header.expires_at_ms,
                "correlation_id": header.correlation_id,
                "causation_id": header.causation_id,
                "policy_serial": header.policy_serial,
                "payload_sha256": item.envelope.payload_sha256,
                "envelope": item.delivery.body,
                "log_index": index,
                "received_at_ms": now,
                "deadline_ms": now + owner.done_s * 1000 if owner else 0,
                "owner": owner.responsible if owner else "",
                "handover": self._handover(header.type),
                "handover_after_ms": now,
            },
        )
        if header.type in states.RESULT_OF:
            transaction.connection.execute(
                store.orders.insert(),
                {
                    "message_id": header.message_id,
                    "side": "received",
                    "peer": header.sender,
                    "type": header.type,
                    "application": b"",  # known once the order is opened for hand-over
                    "state": states.RECEIVED,
                    "result_message_id": b"",
                    "created_ms": now,
                    "deadline_ms": now + owner.done_s * 1000 if owner else 0,
                    "updated_ms": now,
                },
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

    def _handover(self, type_name: str) -> str:
        if type_name in _NODE_TYPES:
            return "pending"
        if self._parts.local_system and (type_name in states.RESULT_OF or type_name in states.ORDER_OF):
            return "pending"
        return "person"

    def _quarantine(self, transaction: LogTransaction, item: _Examined) -> int:
        index = transaction.append(
            leaves.rejected_bytes(self._parts, item.delivery.sender, item.delivery.body, item.code)
        )
        self._store_quarantine(transaction, item, index)
        return index

    def _store_quarantine(self, transaction: LogTransaction, item: _Examined, index: int) -> None:
        transaction.connection.execute(
            store.quarantine.insert(),
            {
                "received_at_ms": self._parts.clock.now_ms(),
                "sender": item.delivery.sender,
                "code": item.code,
                "sha256": sha256(item.delivery.body).digest(),
                "envelope": item.delivery.body,
                "log_index": index,
            },
        )

    def _write_receipts(self, transaction: LogTransaction, receipts: list[tuple[_Examined, int]]) -> None:
        """Seal and store one receipt per message, in the transaction that they speak of."""
        if not receipts:
            return
        now = self._parts.clock.now_ms()
        requests = [self._receipt_request(item, index, now) for item, index in receipts]
        for start in range(0, len(requests), limits.SEAL_BATCH_MAX):
            part = requests[start : start + limits.SEAL_BATCH_MAX]
            for request, envelope in zip(part, self._parts.keys.seal(part), strict=True):
                transaction.connection.execute(
                    store.passing.insert(), {"message_id": request.message_id, "envelope": envelope}
                )
                transaction.connection.execute(
                    store.outbox.insert(),
                    {
                        "message_id": request.message_id,
                        "recipient": request.recipients[0],
                        "lane": request.lane,
                        "type": request.type_name,
                        "state": "waiting",
                        "attempts": 0,
                        "not_before_ms": now,
                        "created_ms": now,
                        "settled_ms": 0,
                        "code": "",
                    },
                )

    def _receipt_request(self, item: _Examined, index: int, now: int) -> SealRequest:
        assert item.envelope is not None
        header = item.envelope.header
        body = workflow_pb2.Receipt(
            message_id=header.message_id,
            payload_sha256=item.envelope.payload_sha256,
            outcome=workflow_pb2.ReceiptOutcome.Value(f"RECEIPT_OUTCOME_{item.outcome}"),
            code=item.code,
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
