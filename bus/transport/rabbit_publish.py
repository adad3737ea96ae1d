"""Publishing over one connection: takes what is due, keeps a window of unconfirmed messages full, settles by confirm."""

from collections.abc import Iterator, Sequence
from typing import Any

import structlog
from pika.channel import Channel
from pika.exceptions import ChannelClosedByBroker
from pika.spec import Basic, BasicProperties

from bus import limits
from bus.clock import Clock
from bus.transport import Outbox, Outgoing, Settled
from bus.transport.rabbit_link import JoinedConnection, Link
from bus.transport.topology import out_exchange, parse_key, routing_key
from bus.transport.trouble import STALLED, explain
from bus.transport.wire import headers, text_id

_log = structlog.get_logger(__name__)

TICK_S = 0.25
"""How often the outbox is looked at when nobody says that it holds something, and the watchdog looks."""

SETTLE_ROWS = 128
SETTLE_DELAY_S = 0.05
"""Confirms are written in batches of this many rows, or after this long."""

CONFIRM_S_MAX = 10.0
"""Without any confirm for this long, while messages are out, the connection is given up."""

NACKS_ONLY_S = 0.5
FRESH_CHANNEL_S_MIN, FRESH_CHANNEL_S_MAX = 1.0, 16.0
"""After nothing but nacks for this long the channel is changed; then the pause between changes doubles."""

_WRITE_MESSAGES = 32
_FAULT_PAUSE_S = 0.5


class Publisher:
    """Publishes an agency's messages of some lanes; the work of a Link."""

    link: Link

    def __init__(self, agency: str, lanes: Sequence[str], window: int, outbox: Outbox, clock: Clock) -> None:
        self._agency = agency
        self._exchange = out_exchange(agency)
        self._lanes = lanes
        self._window = window
        self._outbox = outbox
        self._clock = clock
        self._connection: JoinedConnection | None = None
        self._channel: Channel | None = None
        self._unconfirmed: dict[int, tuple[int, str]] = {}  # delivery tag → row id, what a return names it by
        self._last_tag = 0
        self._returned: set[str] = set()
        self._in_hand: set[int] = set()
        self._settled: list[Settled] = []
        self._is_settling_soon = self._is_waking = self._is_finishing = False
        self._maybe_due = True
        self._retry_at_s = 0.0
        self._progress_at_s = 0.0
        self._nacks_since_s: float | None = None
        self._fresh_pause_s = FRESH_CHANNEL_S_MIN
        self._fresh_at_s = 0.0
        self.is_blocked = False

    @property
    def in_hand(self) -> int:
        """Return how many rows are on their way or not yet settled."""
        return len(self._in_hand)

    def wake(self) -> None:
        """Look at the outbox soon. May be called from any thread."""
        self._maybe_due = True
        if not self._is_waking:
            self._is_waking = True
            self.link.call(self._woken)

    def opened(self, connection: JoinedConnection) -> None:
        """Open a channel, and begin to watch."""
        self._connection = connection
        connection.add_on_connection_blocked_callback(self._on_blocked)
        connection.add_on_connection_unblocked_callback(self._on_unblocked)
        self._open_channel()
        self._tick()

    def closed(self) -> None:
        """Settle as lost whatever the broker has not answered for."""
        self._connection = None
        self.is_blocked = self._is_waking = self._is_settling_soon = False
        self._forget_channel()

    def finish(self) -> bool:
        """Publish nothing new; return whether everything is settled."""
        self._is_finishing = True
        if not self._unconfirmed:
            self._flush()
        return not self._in_hand

    def _woken(self) -> None:
        self._is_waking = False
        self._pump()

    def _tick(self) -> None:
        connection = self._connection
        if connection is None or not connection.is_open:
            return
        self._maybe_due = True
        self._is_waking = False  # a wake-up that met no connection is not waited for
        if self._unconfirmed and not self.is_blocked and self._now() - self._progress_at_s > CONFIRM_S_MAX:
            self.link.say(STALLED)
            connection.abandon()
            return
        self._pump()
        connection.ioloop.call_later(TICK_S, self._tick)

    def _open_channel(self) -> None:
        if self._connection is not None and self._connection.is_open and not self._is_finishing:
            self._connection.channel(on_open_callback=self._on_channel)

    def _on_channel(self, channel: Channel) -> None:
        channel.add_on_close_callback(self._on_channel_closed)
        channel.add_on_return_callback(self._on_return)
        channel.confirm_delivery(self._on_confirm, callback=lambda _: self._on_ready(channel))

    def _on_ready(self, channel: Channel) -> None:
        self._channel, self._last_tag = channel, 0
        self._pump()

    def _on_channel_closed(self, _: Channel, reason: Exception) -> None:
        self._forget_channel()
        connection = self._connection
        if connection is None or not connection.is_open:
            return
        if isinstance(reason, ChannelClosedByBroker):
            self.link.say(explain(reason))
            connection.ioloop.call_later(FRESH_CHANNEL_S_MIN, self._open_channel)
        else:
            self._open_channel()

    def _forget_channel(self) -> None:
        self._channel = None
        self._settled += [Settled(row_id, "lost") for row_id, _ in self._unconfirmed.values()]
        self._unconfirmed.clear()
        self._returned.clear()
        self._flush()

    def _on_blocked(self, *_: Any) -> None:
        self.is_blocked = True
        _log.warning("transport.blocked", thread=self.link.name, code="LF-BROKER-BLOCKED")

    def _on_unblocked(self, *_: Any) -> None:
        self.is_blocked = False
        self._progress_at_s = self._now()
        self._pump()

    def _pump(self) -> None:
        """Fill the window, when a quarter of it is free: the outbox is read in batches."""
        free = self._window - len(self._in_hand)
        if self._channel is None or self._is_finishing or self.is_blocked or not self._maybe_due:
            return
        if free < self._window // 4 or self._now() < self._retry_at_s:
            return
        self._maybe_due = False
        try:
            rows = self._outbox.due(self._lanes, free, self._in_hand)
        except Exception as error:  # noqa: BLE001 - the node's database is down: the next tick asks again
            self._fault(error)
            return
        self._maybe_due = len(rows) == free
        self._publish_all(rows)

    def _publish_all(self, rows: Sequence[Outgoing]) -> None:
        assert self._connection is not None
        if not self._unconfirmed:
            self._progress_at_s = self._now()
        for part in _parts(rows):
            with self._connection.gathering():
                for row in part:
                    self._in_hand.add(row.row_id)
                    self._publish(row)

    def _publish(self, row: Outgoing) -> None:
        key = routing_key(row)
        if row.sender != self._agency or parse_key(key) is None or len(row.body) > limits.ENVELOPE_BYTES_MAX:
            # The broker would close the channel over it, again and again, and with it everybody else's messages.
            _log.error("transport.unsendable", row_id=row.row_id, recipient=row.recipient, size=len(row.body))
            self._settle(Settled(row.row_id, "unroutable"))
            return
        if self._channel is None:
            self._settle(Settled(row.row_id, "lost"))
            return
        message_id = text_id(row)
        properties = BasicProperties(
            content_type="application/protobuf",
            delivery_mode=2,
            message_id=message_id,
            type=row.type_name,
            user_id=self._agency,
            headers=headers(row, message_id),
        )
        self._channel.basic_publish(self._exchange, key, row.body, properties, mandatory=True)
        self._last_tag += 1
        self._unconfirmed[self._last_tag] = (row.row_id, f"{message_id} {key}")

    def _on_return(self, _: Channel, method: Basic.Return, properties: BasicProperties, __: bytes) -> None:
        # The broker returns a message before it confirms it.
        self._returned.add(f"{properties.message_id} {method.routing_key}")

    def _on_confirm(self, frame: Any) -> None:
        method = frame.method
        is_ack = isinstance(method, Basic.Ack)
        self._progress_at_s = self._now()
        for tag in self._tags(method.delivery_tag, is_multiple=method.multiple):
            row_id, name = self._unconfirmed.pop(tag)
            if name in self._returned:
                self._returned.discard(name)
                self._settle(Settled(row_id, "unroutable"))
            else:
                self._settle(Settled(row_id, "confirmed" if is_ack else "nacked"))
        if is_ack:
            self._nacks_since_s, self._fresh_pause_s = None, FRESH_CHANNEL_S_MIN
        else:
            self._consider_fresh_channel()
        if len(self._settled) >= min(SETTLE_ROWS, self._window // 2):
            self._flush()
            self._pump()

    def _tags(self, tag: int, *, is_multiple: bool) -> list[int]:
        if not is_multiple:
            return [tag] if tag in self._unconfirmed else []
        found = []
        for known in self._unconfirmed:  # in ascending order, as they were added
            if known > tag:
                break
            found.append(known)
        return found

    def _consider_fresh_channel(self) -> None:
        now = self._now()
        if self._nacks_since_s is None:
            self._nacks_since_s = now
        if now - self._nacks_since_s < NACKS_ONLY_S or now < self._fresh_at_s or self._channel is None:
            return
        _log.warning("transport.fresh_channel", thread=self.link.name, wait_ms=int(self._fresh_pause_s * 1000))
        self._fresh_at_s = now + self._fresh_pause_s
        self._fresh_pause_s = min(self._fresh_pause_s * 2, FRESH_CHANNEL_S_MAX)
        self._nacks_since_s = None
        channel, self._channel = self._channel, None
        channel.close()

    def _settle(self, outcome: Settled) -> None:
        self._settled.append(outcome)
        if not self._is_settling_soon and self._connection is not None:
            self._is_settling_soon = True
            self._connection.ioloop.call_later(SETTLE_DELAY_S, self._settle_now)

    def _settle_now(self) -> None:
        self._is_settling_soon = False
        self._flush()
        self._pump()

    def _flush(self) -> None:
        """Write what became of rows. If that fails they are due still, and are sent again: at least once, never less."""
        settled, self._settled = self._settled, []
        if not settled:
            return
        try:
            self._outbox.settle(settled)
        except Exception as error:  # noqa: BLE001 - the node's database is down: the rows come again
            self._fault(error)
        self._in_hand.difference_update(outcome.row_id for outcome in settled)

    def _fault(self, error: Exception) -> None:
        self._retry_at_s = self._now() + _FAULT_PAUSE_S
        _log.error("transport.outbox_fault", thread=self.link.name, error_type=type(error).__name__)

    def _now(self) -> float:
        return self._clock.monotonic_s()


def _parts(rows: Sequence[Outgoing]) -> Iterator[Sequence[Outgoing]]:
    for start in range(0, len(rows), _WRITE_MESSAGES):
        yield rows[start : start + _WRITE_MESSAGES]
