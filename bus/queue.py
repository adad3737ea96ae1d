"""The outbox as the transport sees it: what is due, and what became of it.

"Confirmed" is not "delivered": a row that the broker has confirmed is sent again, the same bytes, when the receiver's
signed receipt does not come in time. A nack waits with growing pauses; an unroutable row waits a minute and is said aloud.
"""

from collections.abc import Mapping, Sequence

import structlog
from sqlalchemy import delete, or_, select, update
from sqlalchemy.engine import Connection

from bus import leaves, limits, store
from bus.orders import states
from bus.outbound import PASSING_TYPES
from bus.parts import Parts
from bus.passing import move_order
from bus.transport import Outgoing, Settled
from schemas import registry

_log = structlog.get_logger(__name__)

_UNROUTABLE_MS = 60_000
_NACK_MS = 100
_NACK_MS_MAX = 30_000


class Queue:
    """The transport's Outbox."""

    def __init__(self, parts: Parts, receipt_wait_ms: Mapping[str, int]) -> None:
        self._parts = parts
        self._receipt_wait_ms = receipt_wait_ms

    def due(self, lanes: Sequence[str], limit: int, exclude: frozenset[int] | set[int] = frozenset()) -> list[Outgoing]:
        """Return the oldest rows that are due, without those that the transport has in hand."""
        table, now = store.outbox, self._parts.clock.now_ms()
        query = (
            select(
                table.c.row_id,
                table.c.message_id,
                table.c.recipient,
                table.c.lane,
                table.c.type,
                store.messages.c.envelope.label("kept"),
                store.passing.c.envelope.label("passing"),
            )
            .select_from(
                table.outerjoin(store.messages, store.messages.c.message_id == table.c.message_id).outerjoin(
                    store.passing, store.passing.c.message_id == table.c.message_id
                )
            )
            .where(table.c.state.in_(("waiting", "confirmed")), table.c.lane.in_(lanes), table.c.not_before_ms <= now)
            .order_by(table.c.row_id)
            .limit(limit + len(exclude))
        )
        with self._parts.engine.connect() as connection:
            rows = [row for row in connection.execute(query) if row.row_id not in exclude]
        return [
            Outgoing(
                row_id=row.row_id,
                message_id=row.message_id,
                sender=self._parts.agency,
                recipient=row.recipient,
                lane=row.lane,
                type_name=row.type,
                type_version=registry.TYPE_VERSION,
                body=row.kept if row.kept is not None else row.passing,
            )
            for row in rows[:limit]
        ]

    def settle(self, outcomes: Sequence[Settled]) -> None:
        """Write what became of rows: confirmed, nacked, unroutable or lost on the way."""
        now = self._parts.clock.now_ms()
        by_outcome: dict[str, list[int]] = {}
        for outcome in outcomes:
            by_outcome.setdefault(outcome.outcome, []).append(outcome.row_id)
        with self._parts.steps("queue.settle"), self._parts.write() as connection:
            table = store.outbox
            confirmed = by_outcome.get("confirmed", [])
            if confirmed:
                self._confirm(connection, confirmed, now)
            if by_outcome.get("lost"):
                connection.execute(
                    update(table)
                    .where(table.c.row_id.in_(by_outcome["lost"]), table.c.state == "waiting")
                    .values(not_before_ms=now, attempts=table.c.attempts + 1)
                )
            for row_id in by_outcome.get("nacked", []):
                attempts = connection.execute(select(table.c.attempts).where(table.c.row_id == row_id)).scalar() or 0
                wait = min(_NACK_MS << min(attempts, 16), _NACK_MS_MAX)
                connection.execute(
                    update(table)
                    .where(table.c.row_id == row_id)
                    .values(not_before_ms=now + wait, attempts=attempts + 1, code="nacked")
                )
            if by_outcome.get("unroutable"):
                _log.error("outbox.unroutable", count=len(by_outcome["unroutable"]))
                connection.execute(
                    update(table)
                    .where(table.c.row_id.in_(by_outcome["unroutable"]))
                    .values(not_before_ms=now + _UNROUTABLE_MS, attempts=table.c.attempts + 1, code="unroutable")
                )

    def _confirm(self, connection: Connection, row_ids: list[int], now: int) -> None:
        table = store.outbox
        rows = connection.execute(
            select(table.c.row_id, table.c.message_id, table.c.type, table.c.lane, table.c.attempts).where(
                table.c.row_id.in_(row_ids)
            )
        ).all()
        gone = [row for row in rows if row.type in PASSING_TYPES]
        if gone:
            connection.execute(delete(table).where(table.c.row_id.in_([row.row_id for row in gone])))
            connection.execute(
                delete(store.passing).where(store.passing.c.message_id.in_([row.message_id for row in gone]))
            )
        for lane in {row.lane for row in rows} if len(gone) < len(rows) else ():
            kept = [row for row in rows if row.lane == lane and row.type not in PASSING_TYPES]
            for attempts in {row.attempts for row in kept}:
                # Each sending that brought no receipt doubles the wait for the next.
                wait = min(self._receipt_wait_ms[lane] << min(attempts, 16), limits.RESEND_WAIT_MS_MAX)
                connection.execute(
                    update(table)
                    .where(
                        table.c.row_id.in_([row.row_id for row in kept if row.attempts == attempts]),
                        or_(table.c.state == "waiting", table.c.state == "confirmed"),
                    )
                    .values(state="confirmed", not_before_ms=now + wait, attempts=attempts + 1, settled_ms=now)
                )

    def expire(self) -> int:
        """End rows whose message no receiver would take any more; each leaves an OUTCOME leaf. Return their number."""
        table, now = store.outbox, self._parts.clock.now_ms()
        query = (
            select(table.c.row_id, table.c.recipient, store.messages)
            .select_from(table.join(store.messages, store.messages.c.message_id == table.c.message_id))
            .where(table.c.state.in_(("waiting", "confirmed")), store.messages.c.expires_at_ms < now)
            .limit(256)
        )
        with self._parts.engine.connect() as connection:
            rows = connection.execute(query).all()
        if not rows:
            return 0
        with self._parts.log.transaction(self._parts.append_deadline_s) as transaction:
            for row in rows:
                transaction.append(leaves.receipted(self._parts, row, "EXPIRED", "LF-OUT-EXPIRED"))
                transaction.connection.execute(
                    update(table)
                    .where(table.c.row_id == row.row_id)
                    .values(state="expired", code="LF-OUT-EXPIRED", settled_ms=now)
                )
                if row.type in states.RESULT_OF:
                    move_order(transaction, row.message_id, states.EXPIRED, now)
        return len(rows)
