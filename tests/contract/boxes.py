"""A node's two boxes as a transport sees them, kept in memory: what is due, what became of it, what has arrived."""

import itertools
import threading
import time
import uuid
from collections.abc import Callable, Sequence

from bus.transport import Delivery, Disposition, Outgoing, Settled

TYPE_NAME = "lianfang.v1.StopPaymentOrder"
TYPE_SHORT = "stop-payment-order"


class MemoryOutbox:
    """Rows until the broker has them. A nacked or lost row is due again, an unroutable one is not."""

    def __init__(self, agency: str) -> None:
        self.agency = agency
        self.outcomes: list[tuple[int, str]] = []
        self.fail_settle = 0
        self._rows: dict[int, Outgoing] = {}
        self._not_before: dict[int, float] = {}
        self._ids = itertools.count(1)
        self._lock = threading.Lock()

    def put(self, recipient: str, bodies: Sequence[bytes], lane: str = "normal") -> None:
        """Add a row for each body."""
        with self._lock:
            for body in bodies:
                row_id = next(self._ids)
                self._rows[row_id] = Outgoing(
                    row_id, uuid.uuid4().bytes, self.agency, recipient, lane, TYPE_NAME, 1, body
                )

    def due(self, lanes: Sequence[str], limit: int, exclude: frozenset[int] | set[int] = frozenset()) -> list[Outgoing]:
        """Return the oldest rows that are due."""
        now = time.monotonic()
        with self._lock:
            rows = (
                row
                for row in self._rows.values()
                if row.lane in lanes and row.row_id not in exclude and self._not_before.get(row.row_id, 0) <= now
            )
            return list(itertools.islice(rows, limit))

    def settle(self, outcomes: Sequence[Settled]) -> None:
        """Write what became of rows; raises as often as `fail_settle` says."""
        with self._lock:
            if self.fail_settle:
                self.fail_settle -= 1
                raise OSError("the database is away")
            for outcome in outcomes:
                self.outcomes.append((outcome.row_id, outcome.outcome))
                if outcome.outcome in ("confirmed", "unroutable"):
                    self._rows.pop(outcome.row_id, None)
                elif outcome.outcome == "nacked":
                    self._not_before[outcome.row_id] = time.monotonic() + 0.05

    def waiting(self) -> int:
        """Return how many rows the broker does not have yet."""
        with self._lock:
            return len(self._rows)

    def count(self, outcome: str) -> int:
        """Return how often rows met this outcome."""
        with self._lock:
            return sum(each == outcome for _, each in self.outcomes)


class MemoryInbox:
    """What has arrived. `answer` may be replaced to hold, to fail, or to take its time."""

    def __init__(self) -> None:
        self.is_ready = True
        self.answer: Callable[[Sequence[Delivery]], list[Disposition]] = acknowledge
        self.calls = 0
        self._taken: list[Delivery] = []
        self._lock = threading.Lock()

    def ready(self) -> bool:
        """Say whether consuming makes sense."""
        return self.is_ready

    def receive(self, deliveries: Sequence[Delivery]) -> list[Disposition]:
        """Take a batch, as `answer` says."""
        self.calls += 1
        dispositions = self.answer(deliveries)
        with self._lock:
            for delivery, disposition in zip(deliveries, dispositions, strict=True):
                if disposition is Disposition.ACK:
                    self._taken.append(delivery)
        return dispositions

    def taken(self, lane: str = "") -> list[Delivery]:
        """Return what was acknowledged, of one lane or of all."""
        with self._lock:
            return [delivery for delivery in self._taken if lane in ("", delivery.lane)]

    def bodies(self, lane: str = "") -> list[bytes]:
        """Return the bodies of what was acknowledged."""
        return [delivery.body for delivery in self.taken(lane)]


def acknowledge(deliveries: Sequence[Delivery]) -> list[Disposition]:
    """Acknowledge everything."""
    return [Disposition.ACK for _ in deliveries]


def wait_for(what: Callable[[], object], seconds: float = 15.0) -> None:
    """Wait until it is true; an assertion that names it otherwise."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.01)
