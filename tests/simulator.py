"""The federation in memory: real nodes, real databases, real keys; clock, randomness, broker and faults from a seed.

- One thread. `run` steps nodes and transports in a seeded order until nothing moves, with the clock going on.
- A fault names a step (bus/parts.py, Steps) and a flavour: it failed, or it happened and was reported failed; and what
  it looks like: an error that the node is told, or a crash, after which the node is opened again from its files.
- `check` re-verifies every log from its export, with the witness's cosignature, and counts effects at the core system.
"""

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from audit.verify import verify_directory
from bus import config as configuration
from bus.errors import Retry
from bus.keyservice.server import LeafReader, take_up_pinned
from bus.keyservice.service import KeyService
from bus.node import Node, Seams
from bus.operations import NodeOperations
from bus.parts import Actor
from bus.transport.memory import MemoryBroker, MemoryTransport
from deploy.demo.federation import AGENCIES, Agency, Federation, make_federation

START_MS = 1_793_000_000_000


class SimulatedClock:
    """A clock that goes on only when told."""

    def __init__(self) -> None:
        self.at_ms = START_MS

    def now_ms(self) -> int:
        return self.at_ms

    def monotonic_s(self) -> float:
        return self.at_ms / 1000

    def advance(self, ms: int) -> None:
        self.at_ms += ms


class SeededRandomness:
    """Bytes from a seed."""

    def __init__(self, seed: str) -> None:
        self._state = sha256(seed.encode()).digest()

    def bytes(self, count: int) -> bytes:
        out = b""
        while len(out) < count:
            self._state = sha256(self._state).digest()
            out += sha256(self._state + b"out").digest()
        return out[:count]


class Crash(BaseException):
    """The process dies here. No handler of the node may catch it."""


@dataclass
class Fault:
    """What goes wrong, once: the nth time the agency passes the step."""

    agency: str
    step: str
    happened: bool
    crash: bool
    nth: int = 1
    struck: bool = False


@dataclass
class Faults:
    """The fault hook, and a count of every step passed (so that a test knows what there is to break)."""

    planned: list[Fault] = field(default_factory=list)
    passed: dict[tuple[str, str], int] = field(default_factory=dict)

    def steps(self, agency: str) -> Callable[[str], object]:
        @contextmanager
        def bracket(name: str) -> Iterator[None]:
            count = self.passed[agency, name] = self.passed.get((agency, name), 0) + 1
            fault = next(
                (
                    fault
                    for fault in self.planned
                    if not fault.struck and (fault.agency, fault.step, fault.nth) == (agency, name, count)
                ),
                None,
            )
            if fault is not None and not fault.happened:
                fault.struck = True
                raise _what(fault)
            yield
            if fault is not None:
                fault.struck = True
                raise _what(fault)

        return bracket


def _what(fault: Fault) -> BaseException:
    return Crash(fault.step) if fault.crash else Retry(f"injected at {fault.step}", cure="try again")


def prepare(directory: Path, agencies: dict[str, Agency] | None = None) -> Federation:
    """Make a federation at the simulated clock's beginning."""
    seams = Seams(SimulatedClock(), SeededRandomness("federation"))
    return make_federation(directory, transport="memory", agencies=agencies or AGENCIES, seams=seams)


class Simulation:
    """A federation of nodes in this thread."""

    def __init__(
        self,
        directory: Path,
        seed: str = "0",
        agencies: dict[str, Agency] | None = None,
        prepared: Path | None = None,
    ) -> None:
        """`prepared` is the directory of a federation made before (with `prepare`), which is copied."""
        self.clock = SimulatedClock()
        self.randomness = SeededRandomness(seed)
        self.random = random.Random(seed)
        self.faults = Faults()
        self.broker = MemoryBroker()
        self.chosen = dict(agencies or AGENCIES)
        if prepared is not None:
            shutil.copytree(prepared, directory, symlinks=True)
            self.federation = Federation(directory, tuple(sorted(self.chosen)))
        else:
            self.federation = prepare(directory, self.chosen)
        self.nodes: dict[str, Node] = {}
        self.transports: dict[str, MemoryTransport] = {}
        self.services: dict[str, KeyService] = {}
        self._readers: dict[str, LeafReader] = {}
        self.restarts = 0
        self.hooks: list[Callable[[], int]] = []
        for agency in self.federation.agencies:
            self.open(agency)

    def open(self, agency: str) -> None:
        """Open a node from its files."""
        directory = self.federation.node(agency)
        url = configuration.database_url(configuration.load(directory)[0], directory)
        reader = LeafReader(url)
        service = KeyService(directory / "keys", self.clock, self.randomness, reader)
        take_up_pinned(service, directory, url)
        node = Node.open(directory, service, Seams(self.clock, self.randomness, self.faults.steps(agency)))
        transport = MemoryTransport(self.broker, agency)
        transport.attach(node.queue, node.inbound)
        self.nodes[agency], self.transports[agency], self.services[agency] = node, transport, service
        self._readers[agency] = reader

    def crash(self, agency: str) -> None:
        """Drop a node as a dying process would, and open it again from its files."""
        self._close(agency)
        self.restarts += 1
        self.open(agency)

    def act(self, agency: str, work: Callable[[Node], object]) -> object:
        """Do something at a node as a caller who tries again would: after a crash or a Retry, once more."""
        for _ in range(8):
            try:
                return work(self.nodes[agency])
            except Crash:
                self.crash(agency)
            except Retry:
                self.clock.advance(500)
        raise AssertionError(f"{agency} never did it")

    def operation(self, agency: str, name: str, **arguments: object) -> object:
        """Call an operation as the agency's operator."""
        operator = self.chosen[agency]
        actor = Actor(operator.operator, operator.roles)
        return self.act(agency, lambda node: NodeOperations(node).table()[name](actor, arguments))

    def round(self) -> int:
        """Step every node and transport once, in a seeded order; return how much moved."""
        moved = 0
        order = list(self.federation.agencies)
        self.random.shuffle(order)
        for agency in order:
            for held in (self.transports, self.nodes):
                try:
                    moved += held[agency].step()  # looked up anew: a crash has opened another
                except Crash:
                    self.crash(agency)
                    moved += 1
                except Retry:
                    moved += 1
        for hook in self.hooks:
            moved += hook()
        return moved

    def run(self, seconds: float = 60.0, *, quiet_rounds: int = 4) -> None:
        """Step until nothing has moved for some rounds, or the simulated time is over."""
        until = self.clock.at_ms + int(seconds * 1000)
        quiet = 0
        while quiet < quiet_rounds and self.clock.at_ms < until:
            quiet = quiet + 1 if self.round() == 0 else 0
            self.clock.advance(200)

    def check(self, directory: Path) -> dict[str, int]:
        """Export and verify every log; return entries by agency. AssertionError names what does not hold."""
        self.run(quiet_rounds=12)
        sizes: dict[str, int] = {}
        for agency, node in self.nodes.items():
            witnesses = {name: node.parts.directory.member(name).witness_vkey for name in node.parts.witnesses}
            target = directory / agency
            node.parts.log.export(target, witnesses)
            vkey = node.parts.directory.member(agency).log_vkey
            report = verify_directory(target, vkey, list(witnesses.values()))
            assert report.ok, (agency, report.problems)
            assert report.entries == node.parts.log.size, (agency, report.entries, node.parts.log.size)
            sizes[agency] = report.entries
        return sizes

    def close(self) -> None:
        """Let go of every file."""
        for agency in self.nodes:
            self._close(agency)

    def _close(self, agency: str) -> None:
        for held in (self.nodes, self.services, self._readers):
            held[agency].close()
