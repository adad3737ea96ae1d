"""Messages that answer for others and are forgotten: receipts, checkpoints, cosignatures.

They carry no classed field of a person, get no receipt themselves and leave no leaf of their own (a log that logged its
own shipping would never come to rest). What a receipt says of a message is an OUTCOME leaf.
"""

from google.protobuf.message import DecodeError
from sqlalchemy import and_, select, update

from audit.log import LogTransaction
from bus import leaves, store
from bus.orders import states
from bus.outbound import Draft, Outbound
from bus.oversight import Oversight
from bus.parts import Actor, Parts, Statement
from bus.sealing.envelope import parse_header
from bus.sealing.verify import VerifiedEnvelope
from schemas.v1 import envelope_pb2, workflow_pb2

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

    def take_in_transaction(self, transaction: LogTransaction, envelope: VerifiedEnvelope) -> None:
        """Write what a receipt says, in the transaction that takes it in. Other types change no table of ours."""
        if envelope.header.type != "lianfang.v1.Receipt":
            return
        receipt = _receipt(envelope)
        if receipt is None:
            return
        joined = store.outbox.join(store.messages, store.outbox.c.message_id == store.messages.c.message_id)
        row = transaction.connection.execute(
            select(store.outbox, store.messages)
            .select_from(joined)
            .where(
                store.outbox.c.message_id == receipt.message_id,
                store.outbox.c.recipient == envelope.header.sender,
                store.messages.c.payload_sha256 == receipt.payload_sha256,
            )
        ).first()
        # A receipt for what was never sent to its signer, or for other bytes, says nothing.
        if row is None or row.state not in ("waiting", "confirmed"):
            return
        outcome = workflow_pb2.ReceiptOutcome.Name(receipt.outcome).removeprefix("RECEIPT_OUTCOME_")
        if outcome not in _STATE_OF:
            return
        transaction.append(leaves.receipted(self._parts, row, outcome, receipt.code))
        transaction.connection.execute(
            update(store.outbox)
            .where(store.outbox.c.row_id == row.row_id)
            .values(
                state=_STATE_OF[outcome],
                settled_ms=self._parts.clock.now_ms(),
                code=receipt.code or outcome,
            )
        )
        self._note_grant(transaction, row, outcome)
        self._note_order(transaction, row, outcome)

    def take(self, envelope: VerifiedEnvelope) -> None:
        """Do what follows once the receipt, checkpoint or cosignature is committed; safe to do again."""
        match envelope.header.type:
            case "lianfang.v1.Receipt":
                self._send_missing_grant(envelope)
            case "lianfang.v1.Checkpoint":
                self._oversight.take_checkpoint(envelope)
            case "lianfang.v1.Cosignature":
                self._oversight.take_cosignature(envelope)

    def _note_grant(self, transaction: LogTransaction, row, outcome: str) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 - a row
        parsed = parse_header(row.envelope)
        if outcome not in ("ACCEPTED", "DUPLICATE") or not parsed.inline_grant:
            return
        table = store.grants_delivered
        key = {"grant_id": parsed.header.grant_id, "recipient": row.recipient}
        known = select(table.c.grant_id).where(and_(*(table.c[name] == value for name, value in key.items())))
        if transaction.connection.execute(known).first() is None:
            transaction.connection.execute(table.insert(), key)

    def _note_order(self, transaction: LogTransaction, row, outcome: str) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 - a row
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
        query = select(store.messages.c.envelope).where(
            store.messages.c.message_id == receipt.message_id, store.messages.c.direction == "out"
        )
        with self._parts.engine.connect() as connection:
            row = connection.execute(query).first()
        if row is None:
            return
        grant_id = parse_header(row.envelope).header.grant_id
        body = envelope_pb2.Grant.FromString(self._parts.keys.grant(grant_id))
        self._outbound.send(
            [Draft(body, (envelope.header.sender,), "urgent", causation_id=receipt.message_id)],
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
    try:
        return workflow_pb2.Receipt.FromString(envelope.public_body)
    except DecodeError:
        return None
