"""The transport over RabbitMQ: two publishing connections and one consuming connection per lane, each in its thread.

- Urgent messages have a connection and a queue of their own: they never wait behind bulk.
- A row is settled by the broker's word: confirmed, nacked, unroutable; or lost, when the connection broke first. A
  broker that only nacks gets a fresh channel (RabbitMQ 3.10 can nack one channel for ever after a leader election), one
  that confirms nothing gets a fresh connection.
- Messages are acknowledged once the node has committed them. While it cannot, they stay unacknowledged in our hands: a
  delivery given back counts towards the limit after which a message is set aside (rabbit_consume.py).
- The broker being down is a state that health tells, not an error: the node works on.
"""

from pathlib import Path
from typing import Any

from bus.clock import Clock, SystemClock
from bus.config import Broker
from bus.randomness import Randomness, SystemRandomness
from bus.transport import LANES, Inbox, Outbox
from bus.transport.rabbit_consume import Consumer
from bus.transport.rabbit_link import Endpoint, Link
from bus.transport.rabbit_publish import Publisher

WINDOW = {"urgent": 64, "normal": 256}
"""Messages published and not yet confirmed, by publishing connection: more gains nothing (measured)."""

PREFETCH = {"urgent": 50, "normal": 200, "bulk": 200}
"""Messages handed over and not yet acknowledged, by lane. Each crash costs every one of them a delivery."""

_PUBLISHED_LANES = {"urgent": ("urgent",), "normal": ("normal", "bulk")}


class RabbitTransport:
    """Carries one node's messages over RabbitMQ."""

    def __init__(
        self,
        agency: str,
        broker: Broker,
        directory: Path,
        clock: Clock | None = None,
        randomness: Randomness | None = None,
    ) -> None:
        """Relative file names in `broker` are within `directory`, the node's."""
        self._agency = agency
        self._endpoint = Endpoint(agency, broker, directory)
        self._clock = clock or SystemClock()
        self._randomness = randomness or SystemRandomness()
        self._publishers: dict[str, Publisher] = {}
        self._links: list[Link] = []

    def start(self, outbox: Outbox, inbox: Inbox) -> None:
        """Begin to carry, in threads of its own; returns at once, whether the broker is up or not."""
        assert not self._links, "the transport runs already"
        for name, lanes in _PUBLISHED_LANES.items():
            publisher = Publisher(self._agency, lanes, WINDOW[name], outbox, self._clock)
            self._publishers[name] = publisher
            self._link(f"publish-{name}", publisher)
        for lane in LANES:
            self._link(f"consume-{lane}", Consumer(self._agency, lane, PREFETCH[lane], inbox))
        for link in self._links:
            link.start()

    def stop(self) -> None:
        """Wait for the confirms that are under way, and let go of every connection. What is unsettled stays due."""
        for link in self._links:
            link.stop()
        for link in self._links:
            link.join()
        self._links.clear()
        self._publishers.clear()

    def wake(self) -> None:
        """Say that the outbox may hold something due. May be called from any thread."""
        for publisher in tuple(self._publishers.values()):
            publisher.wake()

    def health(self) -> dict[str, Any]:
        """Say how the transport is: which connections are up, what is in hand, and what is wrong with which."""
        publishers = tuple(self._publishers.values())
        links = tuple(self._links)
        return {
            "kind": "rabbitmq",
            "connected": {link.name: link.is_open for link in links},
            "in_hand": sum(publisher.in_hand for publisher in publishers),
            "blocked": any(publisher.is_blocked for publisher in publishers),
            "trouble": {
                link.name: {"code": link.trouble.code, "cause": link.trouble.cause, "cure": link.trouble.cure}
                for link in links
                if link.trouble is not None
            },
        }

    def _link(self, name: str, work: Publisher | Consumer) -> None:
        link = Link(name, self._endpoint, work, self._randomness)
        work.link = link
        self._links.append(link)
