"""A broker that is not there: the nodes work on, say so, and nothing is lost."""

import time
from pathlib import Path

import pytest

from bus.cli.desk import Desk
from bus.cli.doctor import examine
from deploy.demo.federation import wait_until
from deploy.local.broker import LocalBroker
from tests.faults.house import ROLES, House
from tests.faults.orders import check_none_lost_none_twice, make_orders, send, wait_at_rest
from tests.fixtures_broker import start

AWAY_S = 20.0
pytestmark = [pytest.mark.broker, pytest.mark.faults, pytest.mark.timeout(300)]


def _is_wholly_cut_off(house: House) -> bool:
    return not any(house.call("police-a", "status")["transport"]["connected"].values())


def _check_says_so(house: House) -> None:
    """Status and doctor name what is wrong, with a cure."""
    assert wait_until(lambda: _is_wholly_cut_off(house), 30.0)
    assert wait_until(lambda: len(house.call("police-a", "status")["transport"]["trouble"]) == 5, 30.0)
    troubles = house.call("police-a", "status")["transport"]["trouble"].values()
    assert {trouble["code"] for trouble in troubles} <= {"LF-BROKER-DOWN", "LF-BROKER-LOST", "LF-BROKER-CLOSED"}
    assert all(trouble["cause"] and trouble["cure"] for trouble in troubles)
    findings = {finding.name: finding for finding in examine(Desk(house.node("police-a"), as_json=True))}
    assert findings["node"].ok
    assert (findings["broker"].ok, findings["broker"].code) == (False, "LF-DOCTOR-BROKER-DOWN")
    assert (findings["transport"].ok, findings["transport"].code) == (False, "LF-DOCTOR-NOT-CONNECTED")
    assert all(findings[name].cause and findings[name].cure for name in ("broker", "transport"))


def test_a_broker_that_is_away_costs_no_order(tmp_path: Path, own_broker: LocalBroker) -> None:
    """Nodes that start without a broker, or lose it for twenty seconds, take orders, say so, and carry them later."""
    start(own_broker, *ROLES)
    port = own_broker.status()["ports"]["amqps"]
    own_broker.stop()
    house = House(tmp_path, own_broker, port)
    orders = make_orders(house, 20)
    try:
        house.start()  # each node says that it is ready, with no broker
        _check_says_so(house)
        for order in orders[:5]:
            assert len(send(house, order.data)["sent"]) == 1
        start(own_broker)
        house.wait_connected()
        assert house.call("police-a", "status")["transport"]["trouble"] == {}
        wait_at_rest(house, 60.0)

        own_broker.stop()
        until = time.monotonic() + AWAY_S
        _check_says_so(house)
        for order in orders[5:]:
            assert len(send(house, order.data)["sent"]) == 1
        time.sleep(max(0.0, until - time.monotonic()))
        assert house.call("police-a", "status")["outbox"]["waiting"] >= 15
        start(own_broker)
        house.wait_connected()
        wait_at_rest(house, 60.0)
        check_none_lost_none_twice(house, orders)
        house.verified_logs()
    finally:
        house.stop()
