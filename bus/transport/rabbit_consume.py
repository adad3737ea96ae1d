"""Consuming one lane over one connection: gathers what has arrived, hands it over, acknowledges what was committed.

- While the node holds, its messages stay unacknowledged in our hands and are offered again once it is ready; no more
  than the prefetch comes meanwhile. Closing the channel instead would cost each of them one of its twenty deliveries,
  at every try: an outage of seconds would put good messages aside.
- A message that the node fails over is given back after a pause, alone; the others go on. That counts as a delivery, so
  in the end it is set aside.
"""

from collections.abc import Callable

import structlog
from pika.channel import Channel
from pika.spec import Basic, BasicProperties

from bus.transport import Delivery, Disposition, Inbox
from bus.transport.rabbit_link import JoinedConnection, Link
from bus.transport.topology import in_queue
from bus.transport.trouble import explain
from bus.transport.wire import Arrival, examine

_log = structlog.get_logger(__name__)

BATCH_MESSAGES_MAX = 100
"""Messages handed over at once; half the prefetch, so that the broker sends the next while these are committed."""

ACK_DELAY_S = 0.02
"""Acknowledgements of small batches are sent together, a quarter of the prefetch or this long after; a crash in between
means a second delivery, which the node knows to be one."""

READY_POLL_S = 0.1
FAULT_PAUSE_S_MIN, FAULT_PAUSE_S_MAX = 0.5, 30.0
"""How long a message that the node failed over stays in our hands before it is given back."""

_CHANNEL_PAUSE_S = 1.0


class Consumer:
    """Receives an agency's messages of one lane; the work of a Link."""

    link: Link

    def __init__(self, agency: str, lane: str, prefetch: int, inbox: Inbox) -> None:
        self._agency = agency
        self._lane = lane
        self._prefetch = prefetch
        self._inbox = inbox
        self._connection: JoinedConnection | None = None
        self._channel: Channel | None = None
        self._arrived: list[tuple[int, Delivery]] = []
        self._gathered = 0  # how many had arrived when the loop was last let read on
        self._failed: set[int] = set()
        self._committed_tag, self._committed = 0, 0  # the last, and how many, not yet acknowledged
        self._is_acknowledging_soon = False
        self._is_handing_over = self._is_holding = self._is_finishing = False
        self._fault_pause_s = FAULT_PAUSE_S_MIN

    def opened(self, connection: JoinedConnection) -> None:
        """Begin to consume once the node is ready."""
        self._connection = connection
        self._consume_when_ready()

    def closed(self) -> None:
        """Forget what was not acknowledged: the broker delivers it again."""
        self._connection = None
        self._forget_channel()

    def finish(self) -> bool:
        """Hand over nothing more, and acknowledge what was committed."""
        self._is_finishing = True
        self._acknowledge_committed()
        self._channel = None
        return True

    def _consume_when_ready(self) -> None:
        connection = self._connection
        if connection is None or not connection.is_open or self._is_finishing:
            return
        if self._inbox.ready():
            connection.channel(on_open_callback=self._on_channel)
        else:
            connection.ioloop.call_later(READY_POLL_S, self._consume_when_ready)

    def _on_channel(self, channel: Channel) -> None:
        self._channel = channel
        channel.add_on_close_callback(self._on_channel_closed)
        channel.add_on_cancel_callback(lambda _: channel.close())
        channel.basic_qos(prefetch_count=self._prefetch)
        channel.basic_consume(in_queue(self._agency, self._lane), self._on_message)

    def _on_channel_closed(self, channel: Channel, reason: Exception) -> None:
        if channel is not self._channel:
            return
        self.link.say(explain(reason))
        self._forget_channel()
        self._later(_CHANNEL_PAUSE_S, self._consume_when_ready)

    def _forget_channel(self) -> None:
        self._channel = None
        self._arrived.clear()
        self._gathered = 0
        self._failed.clear()
        self._committed_tag = self._committed = 0
        self._is_acknowledging_soon = self._is_handing_over = self._is_holding = False

    def _on_message(self, channel: Channel, method: Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
        if channel is not self._channel:
            return
        assert method.delivery_tag is not None
        arrival = Arrival(
            method.exchange or "", method.routing_key or "", properties.user_id, properties.headers or {}, body
        )
        self._arrived.append((method.delivery_tag, examine(self._agency, self._lane, arrival)))
        if not self._is_handing_over and not self._is_holding:
            self._hand_over_next_turn()

    def _hand_over_next_turn(self) -> None:
        """Hand over after the loop has read what the socket holds."""
        if self._connection is not None:
            self._is_handing_over = True
            self._connection.ioloop.add_callback_threadsafe(self._hand_over)

    def _hand_over(self) -> None:
        """Hand over one batch. While each turn of the loop still brings more, it is let grow: a commit costs the same."""
        self._is_handing_over = False
        if not self._arrived or self._channel is None or self._is_holding:
            return
        if self._gathered < len(self._arrived) < BATCH_MESSAGES_MAX:
            self._gathered = len(self._arrived)
            self._hand_over_next_turn()
            return
        batch = self._arrived[:BATCH_MESSAGES_MAX]
        del self._arrived[: len(batch)]
        self._gathered = 0
        try:
            dispositions = self._inbox.receive([delivery for _, delivery in batch])
        except Exception as error:  # noqa: BLE001 - one message may be the cause: each is tried alone
            self._one_by_one(batch, error)
        else:
            self._fault_pause_s = FAULT_PAUSE_S_MIN
            self._acknowledge(batch, dispositions)
        if self._arrived and not self._is_holding:
            self._hand_over_next_turn()

    def _acknowledge(self, batch: list[tuple[int, Delivery]], dispositions: list[Disposition]) -> None:
        """Acknowledge what was committed, and hold the rest."""
        assert self._channel is not None
        if not self._failed and all(kind is Disposition.ACK for kind in dispositions):
            self._committed_tag = batch[-1][0]
            self._committed += len(batch)
            self._acknowledge_soon()
            return
        self._acknowledge_committed()
        done = [tag for (tag, _), kind in zip(batch, dispositions, strict=True) if kind is Disposition.ACK]
        for tag in done:
            self._channel.basic_ack(tag)
        held = [item for item, kind in zip(batch, dispositions, strict=True) if kind is Disposition.HOLD]
        if held:
            self._arrived[:0] = held
            self._is_holding = True
            self._later(READY_POLL_S, self._resume_when_ready)

    def _acknowledge_soon(self) -> None:
        if self._committed >= self._prefetch // 4:
            self._acknowledge_committed()
        elif not self._is_acknowledging_soon:
            self._is_acknowledging_soon = True
            self._later(ACK_DELAY_S, self._acknowledge_now)

    def _acknowledge_now(self) -> None:
        self._is_acknowledging_soon = False
        self._acknowledge_committed()

    def _acknowledge_committed(self) -> None:
        """Acknowledge everything up to the last that was committed; nothing before it is held or has failed."""
        if self._committed and self._channel is not None and self._channel.is_open:
            self._channel.basic_ack(self._committed_tag, multiple=True)
        self._committed_tag = self._committed = 0

    def _resume_when_ready(self) -> None:
        if not self._is_holding:
            return
        if self._inbox.ready():
            self._is_holding = False
            self._hand_over()
        else:
            self._later(READY_POLL_S, self._resume_when_ready)

    def _one_by_one(self, batch: list[tuple[int, Delivery]], error: Exception) -> None:
        """Find which messages the node fails over, and give those back later."""
        _log.error("transport.inbox_fault", thread=self.link.name, error_type=type(error).__name__, count=len(batch))
        for position, (tag, delivery) in enumerate(batch):
            if self._is_holding:
                self._arrived[1:1] = batch[position:]  # behind the one that is held
                return
            try:
                dispositions = self._inbox.receive([delivery])
            except Exception as again:  # noqa: BLE001 - this is one of them
                _log.error("transport.inbox_fault", sender=delivery.sender, error_type=type(again).__name__, count=1)
                self._give_back_later(tag)
            else:
                self._acknowledge([(tag, delivery)], dispositions)

    def _give_back_later(self, tag: int) -> None:
        """Reject after a pause: RabbitMQ 4.3 counts a reject as a failed delivery, and a nack no more."""
        channel = self._channel
        self._acknowledge_committed()
        self._failed.add(tag)

        def give_back() -> None:
            if channel is not None and channel is self._channel:
                self._failed.discard(tag)
                channel.basic_reject(tag, requeue=True)

        self._later(self._fault_pause_s, give_back)
        self._fault_pause_s = min(self._fault_pause_s * 2, FAULT_PAUSE_S_MAX)

    def _later(self, seconds: float, function: Callable[[], None]) -> None:
        connection = self._connection
        if connection is not None and connection.is_open:
            connection.ioloop.call_later(seconds, function)
