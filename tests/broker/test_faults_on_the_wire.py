"""What the transport does when confirms are lost, when the broker goes deaf, refuses, or a message cannot be taken."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from bus.transport import Delivery, Disposition, rabbit_consume, rabbit_publish, topology
from bus.transport.rabbit import RabbitTransport
from deploy.local.broker import LocalBroker
from tests.broker.proxy import Proxy
from tests.contract.boxes import MemoryInbox, MemoryOutbox, acknowledge, wait_for
from tests.fixtures_broker import MakeAgencies

pytestmark = pytest.mark.broker


class Road:
    """A sender behind a proxy, and a receiver that is directly connected."""

    def __init__(self, broker: LocalBroker, names: tuple[str, ...]) -> None:
        self.broker = broker
        self.sender_name, self.receiver_name = names
        self.outbox, self.inbox = MemoryOutbox(names[0]), MemoryInbox()
        connection = broker.connection(names[0])
        self.proxy = Proxy(connection.port)
        connection = connection.model_copy(update={"port": self.proxy.port})
        self.sender = RabbitTransport(names[0], connection, Path())
        self.receiver = RabbitTransport(names[1], broker.connection(names[1]), Path())

    def start_sender(self) -> None:
        self.sender.start(self.outbox, MemoryInbox())
        wait_for(lambda: all(self.sender.health()["connected"].values()))

    def start_receiver(self) -> None:
        self.receiver.start(MemoryOutbox(self.receiver_name), self.inbox)

    def send(self, bodies: Sequence[bytes], lane: str = "normal") -> None:
        self.outbox.put(self.receiver_name, bodies, lane)
        self.sender.wake()

    def depth(self, queue: str) -> int:
        """Return how many messages wait in a queue."""
        return next(each["messages"] for each in self.broker.management().queues() if each["name"] == queue)


@pytest.fixture
def road(broker: LocalBroker, broker_agencies: MakeAgencies) -> Iterator[Road]:
    made = Road(broker, broker_agencies("police", "bank"))
    yield made
    made.sender.stop()
    made.receiver.stop()
    made.proxy.close()


def test_messages_whose_confirms_were_lost_are_sent_again(road: Road) -> None:
    """The broker has them, we do not know: they are sent again, and the receiver sees them twice rather than never."""
    road.start_sender()
    road.start_receiver()
    road.proxy.is_deaf = True
    road.send([b"%d" % number for number in range(50)])
    wait_for(lambda: len(road.inbox.taken()) == 50)
    assert road.outbox.waiting() == 50
    road.proxy.cut()
    road.proxy.is_deaf = False
    wait_for(lambda: not road.outbox.waiting() and len(road.inbox.taken()) == 100)
    assert road.outbox.count("lost") == 50
    assert len(set(road.inbox.bodies())) == 50


def test_a_broker_that_confirms_nothing_is_left_for_a_fresh_connection(
    road: Road, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any confirm in time the connection is given up, said so, and made anew."""
    monkeypatch.setattr(rabbit_publish, "CONFIRM_S_MAX", 0.5)
    road.start_sender()
    road.send([b"first"])
    wait_for(lambda: not road.outbox.waiting())  # connected: a handshake that nobody answers is another fault
    before = road.proxy.connections
    road.proxy.is_deaf = True
    road.send([b"order"])
    wait_for(lambda: road.outbox.count("lost") >= 1)  # a second may follow before we look
    road.proxy.is_deaf = False
    wait_for(lambda: not road.outbox.waiting())
    assert road.proxy.connections > before


def test_a_full_queue_pushes_back_and_loses_nothing(
    broker: LocalBroker, broker_agencies: MakeAgencies, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the receiver down its queue fills, the rest is nacked and stays with us; the channel is changed meanwhile."""
    monkeypatch.setitem(topology.QUEUE_LIMITS, "bulk", (50, 1024 * 1024))
    monkeypatch.setattr(rabbit_publish, "NACKS_ONLY_S", 0.1)
    monkeypatch.setattr(rabbit_publish, "FRESH_CHANNEL_S_MIN", 0.2)
    road = Road(broker, broker_agencies("police", "bank"))
    try:
        road.start_sender()
        bodies = [b"%d" % number for number in range(300)]
        road.send(bodies, "bulk")
        wait_for(lambda: road.outbox.count("nacked") > 500)
        assert 50 <= road.outbox.count("confirmed") < 300
        road.start_receiver()
        wait_for(lambda: not road.outbox.waiting() and len(set(road.inbox.bodies())) == 300)
    finally:
        road.sender.stop()
        road.receiver.stop()
        road.proxy.close()


def test_a_message_that_the_node_always_fails_over_is_set_aside(road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its twenty deliveries it lies in the dead-letter queue; every other message has been taken."""
    monkeypatch.setattr(rabbit_consume, "FAULT_PAUSE_S_MIN", 0.01)
    monkeypatch.setattr(rabbit_consume, "FAULT_PAUSE_S_MAX", 0.02)

    def fail_over_poison(deliveries: Sequence[Delivery]) -> list[Disposition]:
        if any(delivery.body == b"poison" for delivery in deliveries):
            raise RuntimeError("a fault in the node")
        return acknowledge(deliveries)

    road.inbox.answer = fail_over_poison
    road.start_sender()
    road.send([b"1", b"poison", b"2"])
    road.start_receiver()
    wait_for(lambda: road.depth(topology.dead_letter_queue(road.receiver_name)) == 1, 30)
    road.send([b"3"])
    wait_for(lambda: len(road.inbox.taken()) == 3)
    assert sorted(road.inbox.bodies()) == [b"1", b"2", b"3"]
    assert road.depth(topology.in_queue(road.receiver_name, "normal")) == 0


def test_holding_costs_no_delivery(road: Road) -> None:
    """However often the node holds, nothing is set aside: the messages stay in hand instead of going back."""
    road.start_sender()
    rounds = iter(range(40))

    def hold(deliveries: Sequence[Delivery]) -> list[Disposition]:
        kind = Disposition.HOLD if next(rounds, None) is not None else Disposition.ACK
        return [kind for _ in deliveries]

    road.inbox.answer = hold
    road.send([b"order"])
    road.start_receiver()
    wait_for(road.inbox.taken)
    assert next(rounds, None) is None
    time.sleep(0.1)
    assert road.depth(topology.dead_letter_queue(road.receiver_name)) == 0
