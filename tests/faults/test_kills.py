"""kill -9 at random moments, of everything there is: no order is lost, none is done twice, every log verifies."""

import os
import random
import time
from pathlib import Path

import pytest

from deploy.local.broker import LocalBroker
from tests.faults.house import ROLES, House, running
from tests.faults.killer import ROUND, Killer
from tests.faults.orders import Senders, check_none_lost_none_twice, make_orders, wait_at_rest
from tests.fixtures_broker import start

SEED_VARIABLE = "LIANFANG_FAULT_SEED"
KILLS_MIN = 30


def _seed() -> int:
    """Return the seed given by hand, to play a run again, or a new one."""
    return int(os.environ.get(SEED_VARIABLE) or random.SystemRandom().randrange(1_000_000))


def _play(directory: Path, broker: LocalBroker, count: int, rounds: int, settle_s: float) -> None:
    seed, began = _seed(), time.monotonic()
    start(broker, *ROLES)
    house = House(directory, broker, int(broker.status()["ports"]["amqps"]))
    orders = make_orders(house, count)
    with running(house):
        ready_s = time.monotonic() - began
        senders = Senders(house, orders, deadline_s=120.0)
        killer = Killer(
            house, seed, rounds, progress=lambda done, planned: senders.release(count * (done + 1) // planned)
        )
        senders.start()
        try:
            killer.run()
            senders.join()
        finally:
            senders.stop()
            killed_s = time.monotonic() - began
            print(f"\nseed {seed} ({SEED_VARIABLE}={seed} plays it again); kills: {', '.join(killer.trail)}")
        assert not senders.failures, (senders.failures[:5], house.said())
        house.wait_connected()
        wait_at_rest(house, settle_s)
        rest_s = time.monotonic() - began
        counts = check_none_lost_none_twice(house, orders)
        logs = house.verified_logs()
        query = "select coalesce(sum(max(attempts - 1, 0)), 0) from outbox"
        resent = sum(house.rows(role, query)[0][0] for role in ROLES)
    print(f"errors in the nodes' logs: {dict(house.events())}")
    print(f"{killer.kills.total()} kills: " + ", ".join(f"{kind} {times}" for kind, times in killer.kills.items()))
    print(", ".join(f"{name} {number}" for name, number in counts.items()))
    print(f"sent again by the nodes {resent}, by the client {senders.tried_again.total()} {dict(senders.tried_again)}")
    print(f"found sent already {senders.already_sent}; log entries {dict(logs)}, all verified and cosigned")
    print(
        f"seconds: ready {ready_s:.0f}, kills until {killed_s:.0f}, at rest {rest_s:.0f}, all {time.monotonic() - began:.0f}"
    )
    assert killer.kills.total() == rounds * ROUND >= KILLS_MIN


@pytest.mark.broker
@pytest.mark.faults
@pytest.mark.timeout(400)
def test_300_orders_outlive_kills_of_everything(tmp_path: Path, own_broker: LocalBroker) -> None:
    """Broker, nodes, key services and core system are killed 34 times during 300 orders; each has one effect and one answer."""
    _play(tmp_path, own_broker, count=300, rounds=2, settle_s=120.0)


@pytest.mark.broker
@pytest.mark.faults
@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_3000_orders_outlive_kills_of_everything(tmp_path: Path, own_broker: LocalBroker) -> None:
    """The same with 3,000 orders and 306 kills."""
    _play(tmp_path, own_broker, count=3000, rounds=18, settle_s=600.0)
