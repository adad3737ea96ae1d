"""Kills processes in an order and at moments that follow from a seed, and starts again what it has killed."""

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from deploy.demo.federation import wait_until
from tests.faults.house import House

KINDS: Mapping[str, int] = {
    "broker": 1,
    "police-a": 2,
    "bank-b": 2,
    "auditor": 1,
    "centre": 1,
    "police-a's key service": 3,
    "bank-b's key service": 3,
    "auditor's key service": 1,
    "centre's key service": 1,
    "core system": 2,
}
"""How often each is killed in a round of seventeen; every kind is killed in every round."""

PAUSE_S = (0.1, 1.6)
_DOWN_S = (0.0, 0.8)
_KEY_SERVICE_S = 20.0
ROUND = sum(KINDS.values())


@dataclass
class Killer:
    """One thread kills; what was killed is started again in threads beside it, so several may be down at once.

    `progress(done, planned)` is told before each kill.
    """

    house: House
    seed: int
    rounds: int
    progress: Callable[[int, int], None]
    kills: Counter[str] = field(default_factory=Counter)
    trail: list[str] = field(default_factory=list)
    _coming_up: dict[str, Future[None]] = field(default_factory=dict)

    @property
    def planned(self) -> int:
        """How many kills there will be."""
        return self.rounds * ROUND

    def run(self) -> None:
        """Kill until the plan is done, then wait until everything runs again."""
        chance, began = random.Random(self.seed), time.monotonic()
        with ThreadPoolExecutor(len(KINDS)) as pool:
            for number, kind in enumerate(self._plan(chance)):
                self.progress(number, self.planned)
                time.sleep(chance.uniform(*PAUSE_S))
                down_s = chance.uniform(*_DOWN_S)
                self._await_up(kind)
                self._kill(kind)
                self.kills[kind] += 1
                self.trail.append(f"{time.monotonic() - began:.2f} {kind}")
                self._coming_up[kind] = pool.submit(self._start_again, kind, down_s)
            for kind in KINDS:
                self._await_up(kind)

    def _plan(self, chance: random.Random) -> list[str]:
        plan = []
        for _ in range(self.rounds):
            one = [kind for kind, times in KINDS.items() for _ in range(times)]
            chance.shuffle(one)
            plan += one
        return plan

    def _await_up(self, kind: str) -> None:
        """Wait until the victim runs: it, and for a key service its node."""
        for name in {kind, kind.removesuffix("'s key service")}:
            if name in self._coming_up:
                self._coming_up.pop(name).result(timeout=120)

    def _kill(self, kind: str) -> None:
        if kind == "broker":
            assert self.house.broker.kill(), "the broker had ended by itself"
        elif kind == "core system":
            self.house.core.kill()
        elif kind.endswith("'s key service"):
            role = kind.removesuffix("'s key service")
            assert wait_until(lambda: self.house.kill_key_service(role), _KEY_SERVICE_S), f"{role} has no key service"
        else:
            assert self.house.nodes[kind].pid, f"{kind} had ended by itself: {self.house.said()}"
            self.house.nodes[kind].kill()

    def _start_again(self, kind: str, down_s: float) -> None:
        if kind.endswith("'s key service"):
            return  # its node does that
        time.sleep(down_s)
        if kind == "broker":
            self.house.broker.start(())
        elif kind == "core system":
            self.house.core.start()
        else:
            self.house.nodes[kind].start()
