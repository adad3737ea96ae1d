"""A broker in memory, and the transport that speaks to it: for demos without RabbitMQ, and for simulations.

- Promises what RabbitMQ promises: a confirmed message is kept until it is acknowledged, order holds per lane until
  something is delivered again, a full queue refuses, a message for nobody is said to be unroutable.
- Faults enter at two hooks, each in both flavours: it failed, and it happened but was reported failed.
- Runs in threads (`start`), or step by step in the caller's thread (`attach` and `step`), then without any waiting.
- Keeps nothing across processes.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import structlog

from bus import limits
from bus.transport import LANES, Delivery, Disposition, Inbox, Outbox, Outgoing, Settled
from schemas import registry

_log = structlog.get_logger(__name__)

Outcome = Literal["confirmed", "nacked", "unroutable", "lost"]

QUEUE_MESSAGES_MAX = 10_000
"""Messages that wait in one lane of one agency; the next is refused with a nack, like RabbitMQ's reject-publish."""

PREFETCH = {"urgent": 50, "normal": 200, "bulk": 200}
"""Messages handed over and not yet acknowledged, by lane."""

WINDOW = {"urgent": 64, "normal": 256, "bulk": 256}
"""Rows taken from the outbox at once, by lane."""

_PUBLISHERS: tuple[tuple[str, ...], ...] = (("urgent",), ("normal", "bulk"))
_POLL_S = 0.1
_FAULT_PAUSE_S = 0.5


@dataclass(frozen=True)
class PublishFault:
    """What happens to one publish instead of the usual: how many copies arrive, and what the sender is told."""

    copies: int
    outcome: Outcome


def _no_publish_fault(_: Outgoing) -> PublishFault | None:
    return None


def _no_lost_ack(_: str, __: Delivery) -> bool:
    return False


class MemoryBroker:
    """Queues by (agency, lane). Safe to use from any thread.

    `publish_fault` is asked before each publish and may return what happens instead; `ack_lost` is asked for each
    acknowledgement and says whether it gets lost, so that the message is delivered again.
    """

    def __init__(self, agencies: Sequence[str] = (), queue_messages_max: int = QUEUE_MESSAGES_MAX) -> None:
        self.publish_fault: Callable[[Outgoing], PublishFault | None] = _no_publish_fault
        self.ack_lost: Callable[[str, Delivery], bool] = _no_lost_ack
        self._queue_messages_max = queue_messages_max
        self._queues: dict[tuple[str, str], deque[Delivery]] = {}
        self._changed = threading.Condition()
        for agency in agencies:
            self.declare(agency)

    def declare(self, agency: str) -> None:
        """Give an agency its queues; messages that already wait stay."""
        with self._changed:
            for lane in LANES:
                self._queues.setdefault((agency, lane), deque())

    def depth(self, agency: str, lane: str) -> int:
        """Return how many messages wait."""
        with self._changed:
            return len(self._queues[agency, lane])

    def publish(self, sender: str, message: Outgoing) -> Outcome:
        """Route one message and say what became of it. `sender` is who is connected, not what the message says."""
        fault = self.publish_fault(message)
        with self._changed:
            queue = self._queues.get((message.recipient, message.lane))
            if queue is None or message.recipient == sender or len(message.body) > limits.ENVELOPE_BYTES_MAX:
                return "unroutable"
            if len(queue) >= self._queue_messages_max:
                return "nacked"
            delivery = Delivery(sender, message.lane, registry.short_name(message.type_name), message.body)
            queue.extend([delivery] * (1 if fault is None else fault.copies))
            self._changed.notify_all()
        return "confirmed" if fault is None else fault.outcome

    def take(self, agency: str, lane: str, limit: int) -> list[Delivery]:
        """Return the oldest messages without forgetting them: `forget` them, or they come again."""
        with self._changed:
            return list(islice(self._queues[agency, lane], limit))

    def forget(self, agency: str, lane: str, taken: Sequence[Delivery], acknowledged: Sequence[bool]) -> None:
        """Drop what was acknowledged of the messages last taken; the others keep their place at the front."""
        kept = [
            delivery
            for delivery, is_acknowledged in zip(taken, acknowledged, strict=True)
            if not is_acknowledged or self.ack_lost(agency, delivery)
        ]
        with self._changed:
            queue = self._queues[agency, lane]
            for _ in taken:
                queue.popleft()
            queue.extendleft(reversed(kept))

    def wait(self, agency: str, lane: str, seconds: float) -> None:
        """Return once something may be waiting, or after `seconds`."""
        with self._changed:
            if not self._queues[agency, lane]:
                self._changed.wait(seconds)

    def stir(self) -> None:
        """Make every `wait` return."""
        with self._changed:
            self._changed.notify_all()


class MemoryTransport:
    """Carries one node's messages over a MemoryBroker. One transport per agency at a time."""

    def __init__(self, broker: MemoryBroker, agency: str) -> None:
        self._broker = broker
        self._agency = agency
        self._outbox: Outbox | None = None
        self._inbox: Inbox | None = None
        self._stopping = threading.Event()
        self._due = {lanes: threading.Event() for lanes in _PUBLISHERS}
        self._threads: list[threading.Thread] = []
        broker.declare(agency)

    def attach(self, outbox: Outbox, inbox: Inbox) -> None:
        """Connect to a node without threads; `step` then does the work."""
        self._outbox, self._inbox = outbox, inbox

    def start(self, outbox: Outbox, inbox: Inbox) -> None:
        """Begin to carry, in threads of its own. May be called again after `stop`."""
        self.attach(outbox, inbox)
        self._stopping.clear()
        for lanes in _PUBLISHERS:
            self._spawn(f"publish-{lanes[0]}", self._publish_loop, lanes)
        for lane in LANES:
            self._spawn(f"consume-{lane}", self._consume_loop, lane)

    def stop(self) -> None:
        """Finish what is under way; what was not acknowledged stays at the broker."""
        self._stopping.set()
        self.wake()
        self._broker.stir()
        for thread in self._threads:
            thread.join(timeout=10)
        self._threads.clear()

    def wake(self) -> None:
        """Say that the outbox may hold something due. May be called from any thread."""
        for event in self._due.values():
            event.set()

    def health(self) -> dict[str, Any]:
        """Say how the transport is; memory is always connected while it runs."""
        names = [f"publish-{lanes[0]}" for lanes in _PUBLISHERS] + [f"consume-{lane}" for lane in LANES]
        running = bool(self._threads) and not self._stopping.is_set()
        return {"kind": "memory", "connected": dict.fromkeys(names, running), "in_hand": 0, "blocked": False}

    def step(self) -> int:
        """Publish what is due and deliver what waits, once, urgent first; return how many messages were moved.

        What the node raises passes through: published rows are then published again, deliveries delivered again.
        """
        moved = sum(self._publish(lanes) for lanes in _PUBLISHERS)
        return moved + sum(self._deliver(lane) for lane in LANES)

    def _spawn(self, name: str, loop: Callable[[Any], None], argument: object) -> None:
        thread = threading.Thread(target=loop, args=(argument,), name=f"{self._agency}-{name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _publish(self, lanes: Sequence[str]) -> int:
        assert self._outbox is not None
        due = self._outbox.due(lanes, WINDOW[lanes[0]])
        if due:
            self._outbox.settle([Settled(row.row_id, self._broker.publish(self._agency, row)) for row in due])
        return len(due)

    def _deliver(self, lane: str) -> int:
        assert self._inbox is not None
        if not self._inbox.ready():
            return 0
        taken = self._broker.take(self._agency, lane, PREFETCH[lane])
        if not taken:
            return 0
        dispositions = self._inbox.receive(taken)
        acknowledged = [disposition is Disposition.ACK for disposition in dispositions]
        self._broker.forget(self._agency, lane, taken, acknowledged)
        return sum(acknowledged)

    def _publish_loop(self, lanes: tuple[str, ...]) -> None:
        while not self._stopping.is_set():
            self._due[lanes].wait(_POLL_S)
            self._due[lanes].clear()
            while self._guarded(lambda: self._publish(lanes)) and not self._stopping.is_set():
                pass

    def _consume_loop(self, lane: str) -> None:
        while not self._stopping.is_set():
            self._broker.wait(self._agency, lane, _POLL_S)
            if not self._guarded(lambda: self._deliver(lane)) and self._broker.depth(self._agency, lane):
                self._stopping.wait(_POLL_S)

    def _guarded(self, work: Callable[[], int]) -> int:
        """Do one round of a thread; what the node raises is said, and the messages concerned come again."""
        try:
            return work()
        except Exception as error:  # noqa: BLE001 - a thread's edge: the transport lives on and the log says what happened
            _log.exception("transport.fault", error_type=type(error).__name__, thread=threading.current_thread().name)
            self._stopping.wait(_FAULT_PAUSE_S)
            return 0
