"""How fast the transport publishes and consumes, against pika alone on the same queue, with the same window and batch.

Both sides use a quorum queue, persistent messages of 1 kB, `mandatory`, confirms and mutual TLS, and share the machine's
cores with the broker. The rounds alternate; the ratio is the median of the pairs, because the machine is not quiet.
"""

import itertools
import json
import shutil
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pika
from pika.spec import Basic, BasicProperties

from bus.transport import Delivery, Disposition, Outgoing, Settled
from bus.transport.rabbit import PREFETCH, WINDOW, RabbitTransport
from bus.transport.rabbit_consume import BATCH_MESSAGES_MAX
from bus.transport.rabbit_link import Endpoint
from bus.transport.topology import in_queue, out_exchange, routing_key
from bus.transport.wire import headers, text_id
from deploy.local.broker import LocalBroker

MESSAGES = 8_000
BODY_BYTES = 1_024
ROUNDS = 3
GOAL = 0.5
DIRECTORY = Path(".lianfang/bench/broker")
SENDER, RECEIVER, LANE = "police-a", "bank-b", "normal"
_SECONDS_MAX = 120.0


class Rows:
    """The plainest outbox: rows in order, each due once unless it has to be sent again."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self._due: deque[Outgoing] = deque()
        self._open: dict[int, Outgoing] = {}

    def fill(self, rows: Sequence[Outgoing]) -> None:
        """Make rows due."""
        self._open = {row.row_id: row for row in rows}
        self._due.extend(rows)

    def due(self, lanes: Sequence[str], limit: int, exclude: frozenset[int] | set[int] = frozenset()) -> list[Outgoing]:
        """Return the oldest rows that are due."""
        if LANE not in lanes:
            return []
        return [self._due.popleft() for _ in range(min(limit, len(self._due)))]

    def settle(self, outcomes: Sequence[Settled]) -> None:
        """Forget what was confirmed; the rest is due again."""
        for outcome in outcomes:
            if outcome.outcome == "confirmed":
                del self._open[outcome.row_id]
            else:
                self._due.append(self._open[outcome.row_id])
        if not self._open:
            self.done.set()


class Count:
    """The plainest inbox: counts, and says when all have come."""

    def __init__(self, expected: int) -> None:
        self.done = threading.Event()
        self.first_at = 0.0
        self._left = expected

    def ready(self) -> bool:
        """Say that consuming makes sense."""
        return True

    def receive(self, deliveries: Sequence[Delivery]) -> list[Disposition]:
        """Take a batch."""
        self.first_at = self.first_at or time.perf_counter()
        self._left -= len(deliveries)
        if self._left <= 0:
            self.done.set()
        return [Disposition.ACK] * len(deliveries)


def rows(count: int) -> list[Outgoing]:
    """Return messages to send."""
    body = bytes(BODY_BYTES)
    return [
        Outgoing(number, number.to_bytes(16, "big"), SENDER, RECEIVER, LANE, "lianfang.v1.StopPaymentOrder", 1, body)
        for number in range(count)
    ]


def publish_ours(broker: LocalBroker, messages: Sequence[Outgoing]) -> float:
    """Return the seconds from the first look into a full outbox to the last confirm."""
    outbox = Rows()
    transport = RabbitTransport(SENDER, broker.connection(SENDER), Path())
    transport.start(outbox, Count(1))
    _await_connected(transport)
    started = time.perf_counter()
    outbox.fill(messages)
    transport.wake()
    assert outbox.done.wait(_SECONDS_MAX), "not all messages were confirmed"
    taken = time.perf_counter() - started
    transport.stop()
    return taken


def consume_ours(broker: LocalBroker, count: int) -> float:
    """Return the seconds from the first delivery to the last, of a full queue."""
    inbox = Count(count)
    transport = RabbitTransport(RECEIVER, broker.connection(RECEIVER), Path())
    transport.start(Rows(), inbox)
    assert inbox.done.wait(_SECONDS_MAX), "not all messages arrived"
    taken = time.perf_counter() - inbox.first_at
    transport.stop()
    return taken


def publish_raw(parameters: pika.ConnectionParameters, messages: Sequence[Outgoing], window: int) -> float:
    """Return the seconds that pika's SelectConnection takes for the same messages with the same window."""
    state: dict[str, Any] = {"started": 0.0, "taken": 0.0, "tag": 0}
    left, out = iter(messages), set()

    def on_open(connection: pika.SelectConnection) -> None:
        connection.channel(on_open_callback=on_channel)

    def on_channel(channel: Any) -> None:
        state["channel"] = channel
        channel.add_on_return_callback(lambda *_: None)
        channel.confirm_delivery(on_confirm, callback=lambda _: begin())

    def begin() -> None:
        state["started"] = time.perf_counter()
        pump()

    def pump() -> None:
        for row in itertools.islice(left, window - len(out)):
            state["channel"].basic_publish(
                out_exchange(row.sender), routing_key(row), row.body, _properties(row), mandatory=True
            )
            state["tag"] += 1
            out.add(state["tag"])

    def on_confirm(frame: Any) -> None:
        assert isinstance(frame.method, Basic.Ack)
        tag = frame.method.delivery_tag
        out.difference_update([known for known in out if known <= tag] if frame.method.multiple else [tag])
        if window - len(out) >= window // 4:
            pump()
        if not out:
            state["taken"] = time.perf_counter() - state["started"]
            state["channel"].connection.close()

    _run(parameters, on_open)
    return float(state["taken"])


def consume_raw(parameters: pika.ConnectionParameters, queue: str, count: int, prefetch: int, batch: int) -> float:
    """Return the seconds that pika's SelectConnection takes from the first delivery to the last, acknowledging batches."""
    state: dict[str, Any] = {"started": 0.0, "taken": 0.0, "left": count}

    def on_open(connection: pika.SelectConnection) -> None:
        connection.channel(on_open_callback=on_channel)

    def on_channel(channel: Any) -> None:
        channel.basic_qos(prefetch_count=prefetch)
        channel.basic_consume(queue, on_message)

    def on_message(channel: Any, method: Any, _: Any, __: bytes) -> None:
        state["started"] = state["started"] or time.perf_counter()
        state["left"] -= 1
        if state["left"] % batch == 0:
            channel.basic_ack(method.delivery_tag, multiple=True)
        if state["left"] == 0:
            state["taken"] = time.perf_counter() - state["started"]
            channel.connection.close()

    _run(parameters, on_open)
    return float(state["taken"])


def run() -> list[dict[str, Any]]:
    """Return messages a second, publishing and consuming, ours and pika's."""
    broker = LocalBroker(DIRECTORY)
    broker.start((SENDER, RECEIVER))
    try:
        return _measure(broker)
    finally:
        broker.stop()
        shutil.rmtree(DIRECTORY / "data", ignore_errors=True)


def _measure(broker: LocalBroker) -> list[dict[str, Any]]:
    messages, queue = rows(MESSAGES), in_queue(RECEIVER, LANE)
    taken: dict[str, list[float]] = {"publish ours": [], "publish raw": [], "consume ours": [], "consume raw": []}
    sender = Endpoint(SENDER, broker.connection(SENDER), Path()).parameters("bench")
    receiver = Endpoint(RECEIVER, broker.connection(RECEIVER), Path()).parameters("bench")
    broker.management().purge(queue)
    publish_raw(sender, messages[:1000], WINDOW[LANE])  # the broker's first thousand are slower
    consume_raw(receiver, queue, 1000, PREFETCH[LANE], BATCH_MESSAGES_MAX)
    sides: list[tuple[str, Callable[[], float], Callable[[], float]]] = [
        ("ours", lambda: publish_ours(broker, messages), lambda: consume_ours(broker, MESSAGES)),
        (
            "raw",
            lambda: publish_raw(sender, messages, WINDOW[LANE]),
            lambda: consume_raw(receiver, queue, MESSAGES, PREFETCH[LANE], BATCH_MESSAGES_MAX),
        ),
    ]
    for number in range(ROUNDS):
        for side, publish, consume in sides if number % 2 else reversed(sides):
            taken[f"publish {side}"].append(publish())
            taken[f"consume {side}"].append(consume())
    return [_result(name, taken[f"{name} ours"], taken[f"{name} raw"]) for name in ("publish", "consume")]


def _result(name: str, ours: list[float], raw: list[float]) -> dict[str, Any]:
    return {
        "name": f"transport: {name}",
        "ours": round(MESSAGES / statistics.median(ours)),
        "rival": "pika SelectConnection",
        "rival_value": round(MESSAGES / statistics.median(raw)),
        "unit": "messages/s",
        "ratio": round(statistics.median(theirs / mine for mine, theirs in zip(ours, raw, strict=True)), 3),
        "goal": GOAL,
    }


def _properties(row: Outgoing) -> BasicProperties:
    message_id = text_id(row)
    return BasicProperties(
        content_type="application/protobuf",
        delivery_mode=2,
        message_id=message_id,
        type=row.type_name,
        user_id=row.sender,
        headers=headers(row, message_id),
    )


def _run(parameters: pika.ConnectionParameters, on_open: Callable[[pika.SelectConnection], None]) -> None:
    def on_down(connection: pika.SelectConnection, _: BaseException) -> None:
        connection.ioloop.stop()

    connection = pika.SelectConnection(
        parameters, on_open_callback=on_open, on_open_error_callback=on_down, on_close_callback=on_down
    )
    connection.ioloop.start()
    connection.ioloop.close()


def _await_connected(transport: RabbitTransport) -> None:
    deadline = time.perf_counter() + _SECONDS_MAX
    while not all(transport.health()["connected"].values()):
        assert time.perf_counter() < deadline, "the transport does not connect"
        time.sleep(0.01)
    time.sleep(0.2)  # its channels


if __name__ == "__main__":
    print(json.dumps(run(), indent=1))
