"""kill -9 at random moments, of everything there is: no order is lost, none is done twice, every log verifies."""

import os
import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from deploy.local.broker import LocalBroker
from tests.faults.house import ROLES, House, running
from tests.faults.killer import KINDS, ROUND, Killer
from tests.faults.orders import Senders, check_none_lost_none_twice, make_orders, wait_at_rest
from tests.fixtures_broker import start

SEED_VARIABLE = "LIANFANG_FAULT_SEED"
KILLS_MIN = 30
UNFORESEEN = re.compile(
    r" (?:node\.fault|control\.failed|handover\.failed|handover\.fault|answer\.failed|transport\.fault|keys\.fault)"
)
"""What the nodes log where something happened that nobody foresaw: kill -9 of others must never bring that about."""

Tell = Callable[[str, object], None]


def _seed() -> int:
    """Return the seed given by hand, to play a run again, or a new one."""
    return int(os.environ.get(SEED_VARIABLE) or random.SystemRandom().randrange(1_000_000))


@dataclass
class Figures:
    """What a run measured, told whether it passes or not."""

    seed: int
    began: float = field(default_factory=time.monotonic)
    seconds: dict[str, float] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    def mark(self, name: str) -> None:
        """Note how long it has taken until here."""
        self.seconds[name] = time.monotonic() - self.began

    def text(self, killer: Killer) -> str:
        """Return the figures in lines."""
        by_kind = ", ".join(f"{kind} {times}" for kind, times in sorted(killer.kills.items()))
        return "\n".join(
            [
                f"seed {self.seed} ({SEED_VARIABLE}={self.seed} plays it again)",
                f"{killer.kills.total()} kills: {by_kind}",
                *self.lines,
                "seconds: " + ", ".join(f"{name} {seconds:.0f}" for name, seconds in self.seconds.items()),
            ]
        )


def _play(house: House, count: int, rounds: int, settle_s: float, figures: Figures, tell: Tell) -> None:
    orders = make_orders(house, count)
    senders = Senders(house, orders, deadline_s=120.0)
    killer = Killer(
        house, figures.seed, rounds, progress=lambda done, planned: senders.release(count * (done + 1) // planned)
    )
    try:
        with running(house):
            figures.mark("ready")
            _kill_during(senders, killer)
            figures.mark("killed")
            house.wait_connected()
            wait_at_rest(house, settle_s)
            figures.mark("at rest")
            counts = check_none_lost_none_twice(house, orders)
            logs = house.verified_logs()
            figures.mark("verified")
            figures.lines += _counted(house, senders, counts, logs)
    finally:
        print("\n" + "; ".join(killer.trail))
        tell("figures", figures.text(killer))
    assert killer.kills.total() == rounds * ROUND >= KILLS_MIN
    assert set(killer.kills) == set(KINDS)
    unforeseen = {name: times for name, times in house.events().items() if UNFORESEEN.search(name)}
    assert not unforeseen


def _kill_during(senders: Senders, killer: Killer) -> None:
    senders.start()
    try:
        killer.run()
        senders.join()
    finally:
        senders.stop()
    assert not senders.failures, (senders.failures[:5], senders.house.said())


def _counted(house: House, senders: Senders, counts: dict[str, int], logs: Mapping[str, int]) -> list[str]:
    query = "select coalesce(sum(max(attempts - 1, 0)), 0) from outbox"
    resent = sum(int(house.rows(role, query)[0][0]) for role in ROLES)
    return [
        ", ".join(f"{name} {number}" for name, number in counts.items()),
        f"sent again: {resent} by nodes, {senders.tried_again.total()} by clients {dict(senders.tried_again)}",
        f"found sent already when sent again: {senders.already_sent}",
        f"log entries {dict(logs)}, all verified and cosigned",
        f"errors in the nodes' logs {dict(house.events())}",
    ]


@pytest.mark.broker
@pytest.mark.faults
@pytest.mark.timeout(400)
def test_300_orders_outlive_kills_of_everything(tmp_path: Path, own_broker: LocalBroker, record_property: Tell) -> None:
    """Broker, nodes, key services and core system are killed 34 times during 300 orders; each has one effect and one answer."""
    figures = Figures(_seed())
    start(own_broker, *ROLES)
    _play(House(tmp_path, own_broker, own_broker.status()["ports"]["amqps"]), 300, 2, 120.0, figures, record_property)


@pytest.mark.broker
@pytest.mark.faults
@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_3000_orders_outlive_kills_of_everything(
    tmp_path: Path, own_broker: LocalBroker, record_property: Tell
) -> None:
    """The same with 3,000 orders and 306 kills."""
    figures = Figures(_seed())
    start(own_broker, *ROLES)
    _play(House(tmp_path, own_broker, own_broker.status()["ports"]["amqps"]), 3000, 18, 900.0, figures, record_property)
