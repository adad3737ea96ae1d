"""Messages that answer for others and are forgotten: receipts, checkpoints, cosignatures.

They carry no classed field of a person, get no receipt themselves and leave no leaf of their own (a log that logged its
own shipping would never come to rest). What a receipt says of a message is an OUTCOME leaf.
"""

from collections.abc import Sequence
from typing import Any

import structlog
from google.protobuf.message import DecodeError
from sqlalchemy import Row, and_, bindparam, select, update

from audit.errors import AuditError
from audit.log import LogTransaction
from bus import leaves, store
from bus.errors import Retry
from bus.orders import states
from bus.outbound import Draft, Outbound
from bus.oversight import Oversight
from bus.parts import Actor, Parts, Statement
from bus.sealing.envelope import parse_header
from bus.sealing.verify import VerifiedEnvelope
from schemas.v1 import envelope_pb2, workflow_pb2

_log = structlog.get_logger(__name__)

NODE = Actor("svc-node", service=True)
"""The node itself, for messages that no person and no local system asked for."""

_STATE_OF = {
    "ACCEPTED": "receipted",
    "DUPLICATE": "receipted",
    "GRANT_UNKNOWN": "receipted",
    "REFUSED": "refused",
    "EXPIRED": "expired",
}


class Passing:
    """Takes receipts, checkpoints and cosignatures."""

    def __init__(self, parts: Parts, outbound: Outbound, oversight: Oversight) -> None:
        self._parts = parts
        self._outbound = outbound
        self._oversight = oversight

    def take_in_transaction(self, transaction: LogTransaction, envelopes: Sequence[VerifiedEnvelope]) -> None:
        """Write what receipts say, in the transaction that takes them in. Other types change no table of ours."""
        receipts = {
            (receipt.message_id, envelope.header.sender): receipt
            for envelope in envelopes
            if envelope.header.type == "lianfang.v1.Receipt" and (receipt := _receipt(envelope)) is not None
        }
        if not receipts:
            return
        settled: list[dict[str, Any]] = []
        holders: set[tuple[bytes, str]] = set()
        for row in self._rows_of(transaction, [message_id for message_id, _ in receipts]):
            receipt = receipts.get((row.message_id, row.recipient))
            # A receipt for what was never sent to its signer, or for other bytes, says nothing.
            if receipt is None or receipt.payload_sha256 != row.payload_sha256:
                continue
            outcome = workflow_pb2.ReceiptOutcome.Name(receipt.outcome).removeprefix("RECEIPT_OUTCOME_")
            transaction.append(leaves.receipted(self._parts, row, outcome, receipt.code))
            code = leaves.code_or_withheld(receipt.code) if receipt.code else outcome
            settled.append({"b_row": row.row_id, "b_state": _STATE_OF[outcome], "b_code": code})
            if row.carried_grant and outcome in ("ACCEPTED", "DUPLICATE"):
                holders.add((row.carried_grant, row.recipient))
            self._note_order(transaction, row, outcome)
        self._note_holders(transaction, holders)
        if settled:
            table = store.outbox
            change = update(table).where(table.c.row_id == bindparam("b_row"))
            change = change.values(
                state=bindparam("b_state"), code=bindparam("b_code"), settled_ms=self._parts.clock.now_ms()
            )
            transaction.connection.execute(change, settled)

    def _rows_of(self, transaction: LogTransaction, message_ids: Sequence[bytes]) -> Sequence[Any]:
        """Return the outbox rows of these messages that still wait for a receipt."""
        outbox, messages = store.outbox, store.messages
        query = (
            select(
                outbox.c.row_id,
                outbox.c.recipient,
                messages.c.message_id,
                messages.c.correlation_id,
                messages.c.payload_sha256,
                messages.c.type,
                messages.c.log_index,
                messages.c.carried_grant,
            )
            .select_from(outbox.join(messages, outbox.c.message_id == messages.c.message_id))
            .where(outbox.c.message_id.in_(message_ids), outbox.c.state.in_(("waiting", "confirmed")))
            .order_by(outbox.c.row_id)
        )
        return transaction.connection.execute(query).all()

    def take(self, envelope: VerifiedEnvelope) -> None:
        """Do what follows once the receipt, checkpoint or cosignature is committed; safe to do again.

        Raises only what passes: a dependency that is down. What a member wrote into its message stops no other message.
        """
        try:
            self._follow(envelope)
        except (AuditError, Retry):
            raise
        except Exception as error:  # noqa: BLE001 - one message's edge: it is committed, and nothing more follows from it
            _log.error(
                "passing.fault",
                peer=envelope.header.sender,
                message_id=envelope.header.message_id.hex(),
                type=envelope.header.type,
                code=getattr(error, "code", "LF-NODE-FAULT"),
                error_type=type(error).__name__,
            )

    def _follow(self, envelope: VerifiedEnvelope) -> None:
        match envelope.header.type:
            case "lianfang.v1.Receipt":
                self._send_missing_grant(envelope)
            case "lianfang.v1.Checkpoint":
                self._oversight.take_checkpoint(envelope)
            case "lianfang.v1.Cosignature":
                self._oversight.take_cosignature(envelope)

    def _note_holders(self, transaction: LogTransaction, holders: set[tuple[bytes, str]]) -> None:
        """Note which recipients now hold which grants: a batch is mostly of one grant, so each is looked up once."""
        table = store.grants_delivered
        for grant_id, recipient in sorted(holders):
            key = {"grant_id": grant_id, "recipient": recipient}
            known = select(table.c.grant_id).where(and_(*(table.c[name] == value for name, value in key.items())))
            if transaction.connection.execute(known).first() is None:
                transaction.connection.execute(table.insert(), key)

    def _note_order(self, transaction: LogTransaction, row: Row[Any], outcome: str) -> None:
        if row.type not in states.RESULT_OF:
            return
        following = {"receipted": states.DELIVERED, "refused": states.REFUSED, "expired": states.EXPIRED}[
            _STATE_OF[outcome]
        ]
        move_order(transaction, row.message_id, following, self._parts.clock.now_ms())

    def _send_missing_grant(self, envelope: VerifiedEnvelope) -> None:
        receipt = _receipt(envelope)
        if receipt is None or receipt.outcome != workflow_pb2.RECEIPT_OUTCOME_GRANT_UNKNOWN:
            return
        messages, asker = store.messages, envelope.header.sender
        query = select(messages.c.envelope, messages.c.recipients).where(
            messages.c.message_id == receipt.message_id,
            messages.c.direction == "out",
            messages.c.payload_sha256 == receipt.payload_sha256,
        )
        with self._parts.engine.connect() as connection:
            row = connection.execute(query).first()
        grant_id = parse_header(row.envelope).header.grant_id if row is not None else b""
        if row is None or asker not in row.recipients.split() or not grant_id:
            return  # it was not sent this message, or the message has no grant: nothing follows from asking
        body = envelope_pb2.Grant.FromString(self._parts.keys.grant(grant_id))
        # Once for each message and receiver: asking again must not make us send again.
        fingerprint = self._parts.keys.fingerprint([b"grant" + receipt.message_id + asker.encode()])[0]
        self._outbound.send(
            [Draft(body, (asker,), "urgent", causation_id=receipt.message_id, fingerprint=fingerprint)],
            NODE,
            Statement("", ""),
        )


def move_order(
    transaction: LogTransaction, message_id: bytes, following: str, now_ms: int, result_message_id: bytes = b""
) -> bool:
    """Move an order along its arrows; False when it may not go there (it is further on already)."""
    table = store.orders
    row = transaction.connection.execute(select(table.c.state).where(table.c.message_id == message_id)).first()
    if row is None or not states.may_follow(row.state, following):
        return False
    values: dict[str, object] = {"state": following, "updated_ms": now_ms}
    if result_message_id:
        values["result_message_id"] = result_message_id
    transaction.connection.execute(update(table).where(table.c.message_id == message_id).values(**values))
    return True


def _receipt(envelope: VerifiedEnvelope) -> workflow_pb2.Receipt | None:
    """Return a receipt, or None where it says nothing that this release understands."""
    try:
        receipt = workflow_pb2.Receipt.FromString(envelope.public_body)
        known = workflow_pb2.ReceiptOutcome.Name(receipt.outcome).removeprefix("RECEIPT_OUTCOME_") in _STATE_OF
    except (DecodeError, ValueError):
        return None
    return receipt if known else None
