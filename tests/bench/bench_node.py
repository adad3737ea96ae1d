"""The whole node against pika alone: the same envelopes, the same quorum queue, confirms, mutual TLS, window and prefetch.

- Out: a bank's CSV given to the control socket → adapters → checks → policy → sealed in the key service's process →
  SQLite → published → every row confirmed. The rival publishes the same bytes and waits for its confirms.
- In: a full queue → verified → admitted by the key service → SQLite, entry and receipt → acknowledged. The rival takes the
  bytes and acknowledges them. Ours is timed by the node's own arrival times, from its first batch to its last.

The sender's node rests while the receiver's is measured, and the other way round: each stands for a machine of its own.
Each round measures ours, then raw pika; the ratio is the median of the pairs. The CPU rows count node and key service, and this process.
"""

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bus.transport.rabbit import PREFETCH, WINDOW
from bus.transport.rabbit_consume import BATCH_MESSAGES_MAX
from bus.transport.rabbit_link import Endpoint
from bus.transport.topology import in_queue
from tests.bench.bench_adapters import WIDE, file_of
from tests.bench.bench_transport import consume_raw, publish_raw
from tests.bench.stage import DIRECTORY, EARLY_WARNING, Stage, standing, until

MESSAGES = 3_000
ROUNDS = 3
GOAL = 0.5
SENDER, RECEIVER, LANE = "bank-a", "police-a", "normal"
_Taken = tuple[float, float]
"""Seconds by the clock, seconds of the processor."""


@dataclass
class _Pairs:
    ours: list[_Taken] = field(default_factory=list)
    raw: list[_Taken] = field(default_factory=list)


def publish_ours(stage: Stage, number: int) -> _Taken:
    """Return what it takes from the file to the last confirm."""
    data = file_of(WIDE, MESSAGES, number * MESSAGES)
    stage.start(SENDER)
    started, cpu = time.perf_counter(), stage.cpu_s(SENDER)
    stage.send(SENDER, RECEIVER, "bank-notice-csv", data, EARLY_WARNING)
    waiting = "select count(*) from outbox where state = 'waiting'"
    until(lambda: stage.rows(SENDER, waiting)[0][0] == 0, "all rows are confirmed")
    taken = time.perf_counter() - started, stage.cpu_s(SENDER) - cpu
    stage.nodes[SENDER].stop()
    return taken


def consume_ours(stage: Stage, number: int) -> _Taken:
    """Return what it takes to commit and acknowledge a full queue, from the first batch to the last."""
    expected = (number + 1) * MESSAGES
    stage.nodes[RECEIVER].start(wait=False)
    stage.nodes[RECEIVER].wait_ready()
    cpu = stage.cpu_s(RECEIVER)
    until(lambda: stage.rows(RECEIVER, "select count(*) from inbox")[0][0] >= expected, "all have arrived")
    cpu = stage.cpu_s(RECEIVER) - cpu
    at = stage.rows(RECEIVER, "select received_at_ms, count(*) from inbox group by 1 order by 1")
    batches = [(at_ms, count) for at_ms, count in at if at_ms not in _seen]
    _seen.update(at_ms for at_ms, _ in batches)
    stage.nodes[RECEIVER].stop()
    assert all(outcome == "ACCEPTED" for (outcome,) in stage.rows(RECEIVER, "select distinct outcome from inbox"))
    counted = sum(count for _, count in batches[1:])
    return (batches[-1][0] - batches[0][0]) / 1000 * MESSAGES / counted, cpu


_seen: set[int] = set()


def _timed(work: Callable[[], float]) -> _Taken:
    cpu = time.process_time()
    taken = work()
    return taken, time.process_time() - cpu


def run() -> list[dict[str, Any]]:
    """Return messages a second and microseconds of CPU a message, out and in, ours and pika's."""
    _seen.clear()
    out, into = _Pairs(), _Pairs()
    with standing(("auditor", SENDER, "centre", RECEIVER)) as stage:
        sender, receiver = (
            Endpoint(name, stage.broker.connection(name), DIRECTORY).parameters("bench") for name in (SENDER, RECEIVER)
        )
        queue = in_queue(RECEIVER, LANE)
        for number in range(ROUNDS):
            out.ours.append(publish_ours(stage, number))
            into.ours.append(consume_ours(stage, number))
            messages = stage.outgoing(SENDER, RECEIVER, MESSAGES)
            for name in (SENDER, RECEIVER):
                stage.purge(name)
            out.raw.append(_timed(lambda messages=messages: publish_raw(sender, messages, WINDOW[LANE])))
            into.raw.append(_timed(lambda: consume_raw(receiver, queue, MESSAGES, PREFETCH[LANE], BATCH_MESSAGES_MAX)))
    return [*_rows("record in to confirmed", out), *_rows("delivery to committed, acked", into)]


def _rows(name: str, pairs: _Pairs) -> list[dict[str, Any]]:
    rival = "pika SelectConnection, same bytes"
    rows = []
    for at, unit, goal in ((0, "messages/s", GOAL), (1, "us CPU/message", 0.0)):
        ours, raw = ([taken[at] for taken in side] for side in (pairs.ours, pairs.raw))
        shown = _rate if at == 0 else _cost
        rows.append(
            {
                "name": f"node: {name}" + ("" if at == 0 else ", CPU"),
                "ours": shown(ours),
                "rival": rival,
                "rival_value": shown(raw),
                "unit": unit,
                "ratio": round(statistics.median(theirs / mine for mine, theirs in zip(ours, raw, strict=True)), 3),
                "goal": goal,
            }
        )
    return rows


def _rate(seconds: list[float]) -> float:
    return round(MESSAGES / statistics.median(seconds), 1)


def _cost(seconds: list[float]) -> float:
    return round(statistics.median(seconds) * 1e6 / MESSAGES, 1)


if __name__ == "__main__":
    print(json.dumps(run(), indent=1))
