"""What every transport promises, on memory and on RabbitMQ."""

import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from bus.limits import ENVELOPE_BYTES_MAX
from bus.transport import LANES, Delivery, Disposition, Transport
from bus.transport.memory import MemoryBroker, MemoryTransport
from bus.transport.rabbit import RabbitTransport
from tests.contract.boxes import TYPE_SHORT, MemoryInbox, MemoryOutbox, acknowledge, wait_for
from tests.fixtures_broker import MakeAgencies


class Party:
    """An agency with its boxes and the transport between them and the broker."""

    def __init__(self, agency: str, make: Callable[[str], Transport]) -> None:
        self.agency = agency
        self.outbox, self.inbox = MemoryOutbox(agency), MemoryInbox()
        self._make = make
        self._transport: Transport | None = None

    def start(self) -> None:
        """Start a new transport on the same boxes, as a node does that was started again."""
        self._transport = self._make(self.agency)
        self._transport.start(self.outbox, self.inbox)

    def stop(self) -> None:
        """Stop it, if it runs."""
        if self._transport is not None:
            self._transport.stop()
            self._transport = None

    def send(self, recipient: str, bodies: Sequence[bytes], lane: str = "normal") -> None:
        """Put rows into the outbox and say so."""
        self.outbox.put(recipient, bodies, lane)
        if self._transport is not None:
            self._transport.wake()

    def health(self) -> dict[str, object]:
        """Return the transport's health."""
        assert self._transport is not None
        return self._transport.health()


Pair = tuple[Party, Party]


@pytest.fixture(params=["memory", pytest.param("rabbitmq", marks=pytest.mark.broker)])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Give a police and a bank on a broker, both started."""
    if request.param == "memory":
        memory = MemoryBroker()
        names, make = ("police-a", "bank-a"), lambda agency: MemoryTransport(memory, agency)
    else:
        broker = request.getfixturevalue("broker")
        admit: MakeAgencies = request.getfixturevalue("broker_agencies")
        names = admit("police", "bank")
        make = lambda agency: RabbitTransport(agency, broker.connection(agency), broker.directory)  # noqa: E731 - the other half of a pair
    police, bank = Party(names[0], make), Party(names[1], make)
    police.start()
    bank.start()
    yield police, bank
    police.stop()
    bank.stop()


def numbered(count: int, start: int = 0) -> list[bytes]:
    return [b"%06d" % number for number in range(start, start + count)]


def test_nothing_is_lost_and_order_holds_per_lane(pair: Pair) -> None:
    """Everything sent arrives, in each lane in the order in which it was sent, and every row is confirmed."""
    police, bank = pair
    for lane in LANES:
        police.send(bank.agency, numbered(400), lane)
    wait_for(lambda: len(bank.inbox.taken()) >= 1200 and not police.outbox.waiting())
    for lane in LANES:
        assert bank.inbox.bodies(lane) == numbered(400)
    assert police.outbox.count("confirmed") == 1200


def test_a_delivery_names_the_connected_sender_lane_and_type(pair: Pair) -> None:
    """What the receiver is told about a message is who was connected, and how it came."""
    police, bank = pair
    police.send(bank.agency, [b"order"], "urgent")
    wait_for(bank.inbox.taken)
    assert bank.inbox.taken() == [Delivery(police.agency, "urgent", TYPE_SHORT, b"order")]


def test_both_directions_work_at_once(pair: Pair) -> None:
    """A node sends and receives at the same time."""
    police, bank = pair
    police.send(bank.agency, numbered(300))
    bank.send(police.agency, numbered(300, 300))
    wait_for(lambda: len(bank.inbox.taken()) == 300 and len(police.inbox.taken()) == 300)
    assert police.inbox.bodies() == numbered(300, 300)


def test_a_held_batch_is_delivered_again_in_order_once_ready(pair: Pair) -> None:
    """While the node holds, nothing is acknowledged or lost; once it is ready the same messages come, in order."""
    police, bank = pair
    held: list[int] = []

    def hold(deliveries: Sequence[Delivery]) -> list[Disposition]:
        held.append(len(deliveries))
        bank.inbox.is_ready = False
        return [Disposition.HOLD for _ in deliveries]

    bank.inbox.answer = hold
    police.send(bank.agency, numbered(300))
    wait_for(lambda: held)
    time.sleep(0.4)
    assert len(held) == 1, "nothing is delivered while the node is not ready"
    assert not bank.inbox.taken()
    bank.inbox.answer = acknowledge
    bank.inbox.is_ready = True
    wait_for(lambda: len(bank.inbox.taken()) >= 300)
    assert bank.inbox.bodies() == numbered(300)


def test_holding_again_and_again_loses_nothing(pair: Pair) -> None:
    """A node that holds more often than the broker's delivery limit still gets every message."""
    police, bank = pair
    rounds = iter(range(30))

    def hold(deliveries: Sequence[Delivery]) -> list[Disposition]:
        kind = Disposition.HOLD if next(rounds, None) is not None else Disposition.ACK
        return [kind for _ in deliveries]

    bank.inbox.answer = hold
    police.send(bank.agency, numbered(20))
    wait_for(lambda: len(bank.inbox.taken()) >= 20, 30)
    assert bank.inbox.bodies() == numbered(20)
    assert next(rounds, None) is None


def test_only_the_held_part_of_a_batch_comes_again(pair: Pair) -> None:
    """Dispositions are kept one by one: what was acknowledged does not come again, what was held does."""
    police, bank = pair
    seen: list[bytes] = []

    def hold_odd_once(deliveries: Sequence[Delivery]) -> list[Disposition]:
        answer = []
        for delivery in deliveries:
            is_odd_and_new = int(delivery.body) % 2 == 1 and delivery.body not in seen
            seen.append(delivery.body)
            answer.append(Disposition.HOLD if is_odd_and_new else Disposition.ACK)
        return answer

    bank.inbox.answer = hold_odd_once
    police.send(bank.agency, numbered(100))
    wait_for(lambda: len(bank.inbox.taken()) >= 100)
    assert sorted(bank.inbox.bodies()) == numbered(100)
    assert sum(int(body) % 2 == 0 for body in seen) == 50


def test_a_batch_that_the_node_fails_over_comes_again(pair: Pair) -> None:
    """An exception in the node acknowledges nothing: the messages are delivered again."""
    police, bank = pair
    failures = iter(range(3))

    def fail(deliveries: Sequence[Delivery]) -> list[Disposition]:
        if next(failures, None) is not None:
            raise RuntimeError("a fault in the node")
        return acknowledge(deliveries)

    bank.inbox.answer = fail
    police.send(bank.agency, numbered(50))
    wait_for(lambda: set(bank.inbox.bodies()) == set(numbered(50)))
    assert next(failures, None) is None


def test_rows_whose_outcome_could_not_be_written_are_sent_again(pair: Pair) -> None:
    """A confirm that could not be written does not lose the row: it is sent again, and the receiver sees it twice."""
    police, bank = pair
    police.outbox.fail_settle = 1
    police.send(bank.agency, numbered(10))
    wait_for(lambda: not police.outbox.waiting())
    wait_for(lambda: len(bank.inbox.taken()) > 10)
    assert set(bank.inbox.bodies()) == set(numbered(10))


def test_a_message_for_nobody_is_said_to_be_unroutable(pair: Pair) -> None:
    """A recipient that the broker does not have is told at once, and holds nobody else up."""
    police, bank = pair
    police.send("nobody-here", [b"lost?"])
    police.send(bank.agency, numbered(10))
    wait_for(lambda: not police.outbox.waiting() and len(bank.inbox.taken()) == 10)
    assert police.outbox.count("unroutable") == 1


def test_nobody_sends_to_itself(pair: Pair) -> None:
    """A message to the own agency is unroutable."""
    police, _ = pair
    police.send(police.agency, [b"myself"])
    wait_for(lambda: police.outbox.count("unroutable") == 1)


def test_the_largest_envelope_travels_and_one_byte_more_does_not(pair: Pair) -> None:
    """The size limit is exact, and a message beyond it holds nobody else up."""
    police, bank = pair
    largest = b"x" * ENVELOPE_BYTES_MAX
    police.send(bank.agency, [largest + b"x", largest, b"small"])
    wait_for(lambda: not police.outbox.waiting() and len(bank.inbox.taken()) == 2)
    assert bank.inbox.bodies() == [largest, b"small"]
    assert police.outbox.count("unroutable") == 1


def test_urgent_does_not_wait_behind_bulk(pair: Pair) -> None:
    """An urgent message overtakes bulk that waits for a slow receiver."""
    police, bank = pair

    def slow_bulk(deliveries: Sequence[Delivery]) -> list[Disposition]:
        if deliveries[0].lane == "bulk":
            time.sleep(0.01 * len(deliveries))
        return acknowledge(deliveries)

    bank.inbox.answer = slow_bulk
    police.send(bank.agency, numbered(1000), "bulk")
    wait_for(lambda: bank.inbox.taken("bulk"))
    police.send(bank.agency, [b"stop"], "urgent")
    wait_for(lambda: bank.inbox.taken("urgent"), 5)
    assert len(bank.inbox.taken("bulk")) < 900


def test_what_waits_survives_a_stop_of_the_receiver(pair: Pair) -> None:
    """Messages to an agency whose node is down are confirmed, kept, and delivered when it starts again."""
    police, bank = pair
    bank.stop()
    police.send(bank.agency, numbered(200))
    wait_for(lambda: not police.outbox.waiting())
    assert not bank.inbox.taken()
    bank.start()
    wait_for(lambda: len(bank.inbox.taken()) >= 200)
    assert bank.inbox.bodies() == numbered(200)


def test_stopping_and_starting_under_load_loses_nothing(pair: Pair) -> None:
    """Both nodes stop and start again in the middle of traffic; every message arrives, some perhaps twice."""
    police, bank = pair
    police.send(bank.agency, numbered(3000))
    for _ in range(2):
        time.sleep(0.15)
        bank.stop()
        police.stop()
        police.start()
        bank.start()
    wait_for(lambda: not police.outbox.waiting() and len(set(bank.inbox.bodies())) == 3000, 30)


def test_nothing_is_consumed_before_the_node_is_ready(pair: Pair) -> None:
    """A node that starts while a dependency is down gets nothing until it says that it is ready."""
    police, bank = pair
    bank.stop()
    bank.inbox.is_ready = False
    bank.start()
    police.send(bank.agency, numbered(5))
    wait_for(lambda: not police.outbox.waiting())
    time.sleep(0.3)
    assert bank.inbox.calls == 0
    bank.inbox.is_ready = True
    wait_for(lambda: len(bank.inbox.taken()) == 5)


def test_health_says_what_is_connected_and_in_hand(pair: Pair) -> None:
    """Health names every connection, what is in hand, and whether the broker blocks."""
    police, _ = pair
    wait_for(lambda: all(police.health()["connected"].values()))  # type: ignore[attr-defined] # a dict of bool
    health = police.health()
    assert set(health["connected"]) == {  # type: ignore[call-overload] # a dict of bool
        "publish-urgent",
        "publish-normal",
        "consume-urgent",
        "consume-normal",
        "consume-bulk",
    }
    assert health["in_hand"] == 0
    assert health["blocked"] is False
