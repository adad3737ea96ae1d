"""How envelopes get from one node to another: what a transport needs of a node, and what a node needs of a transport.

- A transport carries bytes. It believes nothing, decides nothing, and loses nothing that it said it had.
- Two transports fulfil this: bus/transport/memory.py and bus/transport/rabbit.py; one contract suite holds both to it.
- "Confirmed" means that the broker has it, not that the receiver has: the outbox row lives until the signed receipt.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal, Protocol

LANES = ("urgent", "normal", "bulk")


@dataclass(frozen=True)
class Outgoing:
    """One outbox row to carry. `body` is the envelope, byte for byte the same each time it is sent."""

    row_id: int
    message_id: bytes
    sender: str
    recipient: str
    lane: str
    type_name: str
    type_version: int
    body: bytes


@dataclass(frozen=True)
class Settled:
    """What became of an outgoing row. `lost`: the connection broke before the broker said anything."""

    row_id: int
    outcome: Literal["confirmed", "nacked", "unroutable", "lost"]


@dataclass(frozen=True)
class Delivery:
    """One message as it arrived. All but `body` is the broker's word, compared with the signed header by the receiver.

    `fault` is empty, or the code of what was wrong with the wire form (LF-WIRE-…): then the message is quarantined.
    """

    sender: str
    lane: str
    type_short: str
    body: bytes
    fault: str = ""


class Disposition(Enum):
    """What the transport is to do with a delivery."""

    ACK = "ack"
    """It is committed here: the broker may forget it."""
    HOLD = "hold"
    """A dependency is down: keep it unacknowledged, stop consuming, and deliver it again once `ready`."""


class Outbox(Protocol):
    """Where a transport takes outgoing rows from (bus/queue.py)."""

    def due(self, lanes: Sequence[str], limit: int, exclude: frozenset[int] | set[int] = frozenset()) -> list[Outgoing]:
        """Return the oldest rows that are due, without those in hand."""
        ...

    def settle(self, outcomes: Sequence[Settled]) -> None:
        """Write what became of rows."""
        ...


class Inbox(Protocol):
    """Where a transport brings deliveries to (bus/inbound.py)."""

    def ready(self) -> bool:
        """Say whether consuming makes sense now."""
        ...

    def receive(self, deliveries: Sequence[Delivery]) -> list[Disposition]:
        """Take a batch; the dispositions stand in the same order, and are true once this returns."""
        ...


class Transport(Protocol):
    """Carries one node's messages."""

    def start(self, outbox: Outbox, inbox: Inbox) -> None:
        """Begin to carry, in threads of its own."""
        ...

    def stop(self) -> None:
        """Finish what is under way and let go of every connection."""
        ...

    def wake(self) -> None:
        """Say that the outbox may hold something due. May be called from any thread."""
        ...

    def health(self) -> dict[str, Any]:
        """Say how the transport is: {"kind", "connected": {connection: bool}, "in_hand", "blocked"}."""
        ...
