"""A key service that hangs, or is gone: deadlines hold, nothing is opened or half-done, and work goes on after."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bus.errors import BusError
from deploy.demo.federation import wait_until
from tests.faults.house import House
from tests.faults.orders import check_none_lost_none_twice, is_taken, ledger_lines, make_orders, send, wait_at_rest
from tests.faults.small_disk import LimitedDisk

pytestmark = [pytest.mark.broker, pytest.mark.faults, pytest.mark.timeout(250)]
ANSWER_S = 12.0
"""A call waits five seconds for the key service, and may meet a writer that waits as long."""


@contextmanager
def _stopped(house: House, role: str) -> Iterator[None]:
    pid = house.nodes[role].key_service_pid()
    assert pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _refused(house: House, data: bytes) -> str:
    """Send while that cannot be; return the code of the refusal, which came in time and says what to do."""
    began = time.monotonic()
    with pytest.raises(BusError) as caught:
        send(house, data)
    assert time.monotonic() - began < ANSWER_S
    assert caught.value.exit_code == 75
    assert caught.value.cause
    assert caught.value.cure
    return caught.value.code


def test_a_key_service_that_hangs_holds_nothing_up_for_ever(house: House) -> None:
    """While key services hang, calls are refused in time and nothing is opened; then each order is done, once."""
    orders = make_orders(house, 6)
    house.start()
    house.wait_connected()
    with _stopped(house, "police-a"):
        assert _refused(house, orders[0].data) == "LF-KEYS-UNAVAILABLE"
        assert house.call("police-a", "status")["outbox"] == {}
    with _stopped(house, "bank-b"):
        for order in orders:
            assert len(send(house, order.data)["sent"]) == 1
        time.sleep(8.0)  # longer than a call's deadline and than a token lives
        assert house.call("bank-b", "status")["agency"] == house.name("bank-b")
        assert not list((house.node("bank-b") / "handover" / "out").glob("*"))
        assert ledger_lines(house.core.ledger) == 0
        assert not house.rows("bank-b", "select message_id from messages where handover = 'done'")
    wait_at_rest(house, 90.0)
    check_none_lost_none_twice(house, orders)
    house.verified_logs()


def test_a_key_service_with_a_full_disk_costs_no_order(house: House) -> None:
    """While a key service cannot write, orders wait; none is left to a person as though its message were bad."""
    orders = make_orders(house, 6)
    house.start()
    house.wait_connected()
    assert len(send(house, orders[0].data)["sent"]) == 1
    wait_at_rest(house, 60.0)
    disk = LimitedDisk(house.nodes["bank-b"].key_service_pid)
    disk.fill()
    for order in orders[1:]:
        assert len(send(house, order.data)["sent"]) == 1
    assert wait_until(lambda: _has_no_disk(house), 20.0), house.said()
    time.sleep(2.0)
    disk.free()
    wait_at_rest(house, 90.0)
    check_none_lost_none_twice(house, orders)
    house.verified_logs()


def test_a_node_started_again_waits_for_its_old_key_service(house: House) -> None:
    """When a killed node's key service is slow to end, the node that follows waits for it, and does not give up."""
    node = house.nodes["police-a"]
    node.start()
    old = node.key_service_pid()
    os.kill(old, signal.SIGSTOP)
    node.kill()
    node.start(wait=False)
    time.sleep(4.0)
    os.kill(old, signal.SIGCONT)
    node.wait_ready()
    assert node.key_service_pid() not in (0, old)
    assert house.call("police-a", "status")["agency"] == house.name("police-a")


def _has_no_disk(house: House) -> bool:
    return any(event["event"] == "keys.files" for event in house.log_events("bank-b", "keyservice.log"))


def test_a_key_service_that_dies_comes_back(house: House) -> None:
    """A killed key service is started again by its node within seconds, and the node's callers are served again."""
    orders = make_orders(house, 3)
    house.start()
    house.wait_connected()
    for order in orders:
        before = house.nodes["police-a"].key_service_pid()
        assert house.kill_key_service("police-a")
        assert wait_until(lambda before=before: house.nodes["police-a"].key_service_pid() not in (0, before), 20.0)
        assert wait_until(lambda data=order.data: is_taken(house, data), 20.0, 0.2), house.said()
    wait_at_rest(house, 60.0)
    check_none_lost_none_twice(house, orders)
