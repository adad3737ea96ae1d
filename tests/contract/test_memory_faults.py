"""The broker in memory, step by step, with each fault in both flavours: it failed, and it happened but was reported failed."""

import pytest

from bus.transport import Delivery, Disposition, Outgoing
from bus.transport.memory import MemoryBroker, MemoryTransport, PublishFault
from tests.contract.boxes import MemoryInbox, MemoryOutbox


class Pair:
    """Two attached agencies on a broker, without threads."""

    def __init__(self, broker: MemoryBroker) -> None:
        self.outbox, self.inbox = MemoryOutbox("police-a"), MemoryInbox()
        self.sender, self.receiver = MemoryTransport(broker, "police-a"), MemoryTransport(broker, "bank-a")
        self.sender.attach(self.outbox, MemoryInbox())
        self.receiver.attach(MemoryOutbox("bank-a"), self.inbox)

    def step(self, times: int = 1) -> None:
        for _ in range(times):
            self.sender.step()
            self.receiver.step()


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker()


@pytest.fixture
def pair(broker: MemoryBroker) -> Pair:
    return Pair(broker)


def once(fault: PublishFault) -> object:
    """Return a hook that has the fault happen to the first publish only."""
    faults = iter([fault])
    return lambda _: next(faults, None)


@pytest.mark.parametrize(
    ("fault", "arrivals"),
    [
        (PublishFault(0, "lost"), 1),
        (PublishFault(1, "lost"), 2),
        (PublishFault(0, "nacked"), 1),
        (PublishFault(1, "nacked"), 2),
        (PublishFault(2, "confirmed"), 2),
    ],
)
def test_a_publish_that_fails_before_or_after_it_happened_loses_nothing(
    broker: MemoryBroker, pair: Pair, fault: PublishFault, arrivals: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault before the publish means one arrival, a fault after it two: never none."""
    monkeypatch.setattr("tests.contract.boxes.time.monotonic", iter(range(1000)).__next__)
    broker.publish_fault = once(fault)
    pair.outbox.put("bank-a", [b"order"])
    pair.step(3)
    assert pair.inbox.bodies() == [b"order"] * arrivals
    assert not pair.outbox.waiting()


def test_a_lost_acknowledgement_delivers_again(broker: MemoryBroker, pair: Pair) -> None:
    """When the acknowledgement does not reach the broker, the message comes again after it was committed."""
    lost = iter([True])
    broker.ack_lost = lambda _, __: next(lost, False)
    pair.outbox.put("bank-a", [b"order"])
    pair.step(2)
    assert pair.inbox.bodies() == [b"order", b"order"]


def test_a_crash_of_the_receiver_delivers_again(pair: Pair) -> None:
    """What the receiver raises, even a crash that nobody catches, leaves the messages at the broker."""

    class Crash(BaseException):
        pass

    def crash(_: object) -> list[Disposition]:
        raise Crash

    pair.outbox.put("bank-a", [b"1", b"2"])
    pair.inbox.answer, usual = crash, pair.inbox.answer
    with pytest.raises(Crash):
        pair.step()
    pair.inbox.answer = usual
    pair.step()
    assert pair.inbox.bodies() == [b"1", b"2"]


def test_a_full_queue_refuses_and_takes_the_rest_later() -> None:
    """A queue at its limit nacks the next message, and takes it once there is room."""
    broker = MemoryBroker(queue_messages_max=3)
    pair = Pair(broker)
    pair.outbox.put("bank-a", [b"1", b"2", b"3"])
    pair.sender.step()
    assert pair.outbox.count("confirmed") == 3
    pair.outbox.put("bank-a", [b"4"])
    pair.sender.step()
    assert pair.outbox.count("nacked") == 1
    assert broker.depth("bank-a", "normal") == 3
    pair.receiver.step()
    assert broker.publish("police-a", Outgoing(9, bytes(16), "police-a", "bank-a", "normal", "T", 1, b"4")) == (
        "confirmed"
    )


def test_the_sender_is_who_is_connected(broker: MemoryBroker) -> None:
    """A message that names another sender arrives under the name of who published it."""
    broker.declare("bank-a")
    forged = Outgoing(1, bytes(16), "police-a", "bank-a", "urgent", "lianfang.v1.Grant", 1, b"forged")
    broker.publish("bank-b", forged)
    assert broker.take("bank-a", "urgent", 1) == [Delivery("bank-b", "urgent", "grant", b"forged")]


def test_stepping_says_how_much_was_moved(pair: Pair) -> None:
    """A simulation knows that it is at rest when a step moves nothing."""
    pair.outbox.put("bank-a", [b"1", b"2"])
    assert pair.sender.step() == 2
    assert pair.receiver.step() == 2
    assert pair.sender.step() + pair.receiver.step() == 0
