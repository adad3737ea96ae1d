"""Every step fails, and every step happens and is reported failed: no order is lost, none has two effects, logs verify."""

import random
from pathlib import Path

import pytest

from bus.transport import Outgoing
from bus.transport.memory import PublishFault
from tests.simulator import Fault

STEPS = [
    ("police-a", "outbound.seal"),
    ("police-a", "outbound.commit"),
    ("police-a", "queue.settle"),
    ("police-a", "inbound.admit"),
    ("police-a", "inbound.commit"),
    ("police-a", "handover"),
    ("police-a", "handover.write"),
    ("police-a", "open.leaf"),
    ("police-a", "open.redeem"),
    ("police-a", "open.outcome"),
    ("bank-b", "inbound.admit"),
    ("bank-b", "inbound.commit"),
    ("bank-b", "handover"),
    ("bank-b", "open.inspect"),
    ("bank-b", "open.leaf"),
    ("bank-b", "open.redeem"),
    ("bank-b", "open.outcome"),
    ("bank-b", "handover.write"),
    ("bank-b", "handover.poll"),
    ("bank-b", "outbound.seal"),
    ("bank-b", "outbound.commit"),
    ("bank-b", "queue.settle"),
    ("auditor", "inbound.commit"),
    ("auditor", "outbound.commit"),
]


def test_the_list_above_is_every_step_that_an_order_passes(begin, tmp_path: Path) -> None:
    """A step added to the code must be added to the faults."""
    story = begin("steps")
    story.order()
    story.simulation.run(120)
    story.check()
    passed = {key for key in story.simulation.faults.passed if key[0] in {"police-a", "bank-b"}}
    assert passed - set(STEPS) <= {("police-a", "open.inspect"), ("bank-b", "outbound.deny")}
    assert {key for key in STEPS if key[0] != "auditor"} <= passed
    story.simulation.check(tmp_path / "exports")


@pytest.mark.parametrize("crash", [False, True], ids=["error", "crash"])
@pytest.mark.parametrize("happened", [False, True], ids=["failed", "happened"])
@pytest.mark.parametrize(("agency", "step"), STEPS)
def test_one_fault(begin, tmp_path: Path, agency: str, step: str, happened: bool, crash: bool) -> None:
    """A fault at the first passing of a step changes nothing in what comes out."""
    story = begin(f"{agency} {step}")
    fault = Fault(agency, step, happened=happened, crash=crash)
    story.simulation.faults.planned = [fault]
    story.order()
    story.simulation.run(180)
    assert fault.struck
    story.check()
    story.simulation.check(tmp_path / "exports")


def _many(story, seed: str, orders: int, faults: int) -> None:
    chance = random.Random(seed)
    for _ in range(faults):
        agency, step = chance.choice(STEPS)
        story.simulation.faults.planned.append(
            Fault(agency, step, chance.random() < 0.5, chance.random() < 0.5, chance.randint(1, 2 * orders))
        )

    def publish(row: Outgoing) -> PublishFault | None:
        dice = chance.random()
        if dice < 0.03:
            return PublishFault(0, "confirmed")  # the broker said it had it, and lost it
        if dice < 0.06:
            return PublishFault(1, "lost")  # it arrived, and the confirm did not
        if dice < 0.09:
            return PublishFault(2, "confirmed")
        if dice < 0.12:
            return PublishFault(0, "nacked")
        return None

    story.simulation.broker.publish_fault = publish
    story.simulation.broker.ack_lost = lambda *_: chance.random() < 0.03
    for _ in range(orders):
        story.order()
        story.simulation.round()
    story.simulation.run(1800, quiet_rounds=400)
    story.simulation.broker.publish_fault = lambda _: None
    story.simulation.broker.ack_lost = lambda *_: False
    story.simulation.run(600, quiet_rounds=200)


@pytest.mark.parametrize("seed", ["1", "2", "3"])
def test_many_faults_at_once(begin, tmp_path: Path, seed: str) -> None:
    """Crashes, errors, a broker that loses, doubles and forgets: still one effect and one answer for each order."""
    story = begin(seed)
    _many(story, seed, orders=8, faults=12)
    struck = sum(fault.struck for fault in story.simulation.faults.planned)
    print(f"seed {seed}: {struck} faults, {story.simulation.restarts} restarts")
    story.check()
    story.simulation.check(tmp_path / "exports")


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", [f"soak-{number}" for number in range(100)])
def test_many_faults_at_once_for_long(begin, tmp_path: Path, seed: str) -> None:
    """The same with more orders and more seeds."""
    story = begin(seed)
    _many(story, seed, orders=30, faults=60)
    story.check()
    story.simulation.check(tmp_path / "exports")
