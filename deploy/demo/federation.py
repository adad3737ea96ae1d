"""Seven agencies on one machine: their directories, keys and first documents, and their nodes as processes or threads.

What a real federation does by hand over weeks is done here in a second, by the same functions: each node makes its own
keys, the centre puts the members together, centre and auditor sign directory and policy, and every node is enrolled.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bus import config as configuration
from bus import enrolment
from bus.clock import SystemClock
from bus.control import ControlServer
from bus.keyservice.client import KeyClient
from bus.keyservice.server import SOCKET_NAME, LeafReader, Server, take_up_pinned
from bus.keyservice.service import KeyService
from bus.node import Node, Seams
from bus.operations import NodeOperations
from bus.policy.author import build_body
from bus.randomness import SystemRandomness
from bus.transport.memory import MemoryBroker, MemoryTransport

POLICY = Path(__file__).parents[1] / "policy"
CASE = "A2026110700042"
CLOSED_CASE = "A2026030100007"
_DAY_MS = 86_400_000
_READY_S = 60.0


@dataclass(frozen=True)
class Agency:
    """One agency of the demonstration: its type, its one operator here, who witnesses its log, its own system."""

    name: str
    type: str
    title: str
    operator: str
    roles: tuple[str, ...]
    witness: str
    profile: str = ""
    service: str = ""
    cases: bool = False


AGENCIES: Mapping[str, Agency] = {
    agency.name: agency
    for agency in (
        Agency("auditor", "auditor", "District audit office", "auditor-1", ("auditor",), "centre"),
        Agency("bank-a", "bank", "Bank A", "analyst-1", ("analyst",), "auditor"),
        Agency("bank-b", "bank", "Bank B", "analyst-1", ("analyst",), "auditor", "tfms-bank", "svc-core"),
        Agency("centre", "centre", "District anti-fraud centre", "officer-1", ("analyst", "policy_officer"), "auditor"),
        Agency("platform-d", "platform", "Platform D", "analyst-1", ("analyst",), "auditor"),
        Agency(
            "police-a",
            "police",
            "Police A",
            "investigator-1",
            ("investigator", "freeze_operator"),
            "auditor",
            "tfms-police",
            "svc-police-system",
            cases=True,
        ),
        Agency("telecom-c", "telecom", "Telecom C", "analyst-1", ("analyst",), "auditor"),
    )
}
SIGNER_TYPES = ("centre", "auditor")
"""The types of the two agencies that sign directory and policy here."""


class LayTls(Protocol):
    """Lays an agency's certificate, key and the broker's CA into a node's directory; returns the broker's port."""

    def __call__(self, agency: str, directory: Path) -> int:
        """Lay them into `directory`/tls."""
        ...


@dataclass(frozen=True)
class Federation:
    """A federation laid out below a directory: one node directory an agency."""

    directory: Path
    agencies: tuple[str, ...]

    def node(self, agency: str) -> Path:
        """Return an agency's node directory."""
        return self.directory / agency


def make_federation(
    directory: Path,
    *,
    transport: str,
    lay_tls: LayTls | None = None,
    agencies: Mapping[str, Agency] = AGENCIES,
    seams: Seams | None = None,
    extra_toml: Callable[[str], str] = lambda _: "",
) -> Federation:
    """Make the nodes below `directory`, enrolled and ready to run. `lay_tls` is needed for rabbitmq.

    Centre and auditor sign; where these agencies have other names, they are known by their types.
    """
    seams = seams or Seams(SystemClock(), SystemRandomness())
    clock, randomness = seams.clock, seams.randomness
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    federation = Federation(directory, tuple(sorted(agencies)))
    members = []
    for name in federation.agencies:
        port = lay_tls(name, federation.node(name)) if lay_tls is not None else 5671
        text = node_toml(agencies[name], transport, port) + extra_toml(name)
        public = enrolment.init_node(federation.node(name), name, text, clock, randomness)
        members.append(enrolment.member(public, agencies[name].type, agencies[name].title))
    now = clock.now_ms()
    bodies = {
        "directory": enrolment.directory_body(members, 1, b"", now),
        "policy": build_body(POLICY, 1, b"", now - _DAY_MS, now + 90 * _DAY_MS),
    }
    signers = [name for name in federation.agencies if agencies[name].type in SIGNER_TYPES]
    documents = {kind: _signed(federation, kind, body, signers, seams) for kind, body in bodies.items()}
    for name in federation.agencies:
        enrolment.enrol(federation.node(name), documents["directory"], documents["policy"], clock)
    return federation


def _signed(federation: Federation, kind: str, body: bytes, signers: Sequence[str], seams: Seams) -> bytes:
    signatures = []
    for name in signers:
        keys = enrolment.open_keys(federation.node(name), seams.clock, seams.randomness)
        signatures.append(enrolment.sign(keys, kind, body))  # type: ignore[arg-type]  # one of the two kinds
        keys.close()
    return enrolment.put_together(kind, body, signatures)  # type: ignore[arg-type]  # likewise


def node_toml(agency: Agency, transport: str, port: int) -> str:
    """Return the configuration of one agency's node."""
    lines = [
        f'agency = "{agency.name}"',
        f'transport = "{transport}"',
        "",
        "[broker]",
        f"port = {port}",
        "",
        "[oversight]",
        f'witnesses = ["{agency.witness}"]',
        "ship_every_s = 0.5",
        "",
        "[[operators]]",
        f"uid = {os.getuid()}",
        f'identity = "{agency.operator}"',
        "roles = [" + ", ".join(f'"{role}"' for role in agency.roles) + "]",
    ]
    if agency.profile:
        lines += ["", "[local_system]", f'profile = "{agency.profile}"', f'service = "{agency.service}"']
    if agency.cases:
        lines += ["", "[[cases]]", f'reference = "{CASE}"', 'status = "filed"', f'team = ["{agency.operator}"]']
        lines += ["", "[[cases]]", f'reference = "{CLOSED_CASE}"', 'status = "closed"']
    return "\n".join(lines) + "\n"


class NodeProcess:
    """One node as a process of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process id; 0 while it does not run."""
        return self._child.pid if self._child is not None and self._child.poll() is None else 0

    def start(self, *, wait: bool = True) -> None:
        """Start it; with `wait`, return once it answers. RuntimeError with its last words when it does not come up."""
        (self.directory / "logs").mkdir(exist_ok=True, mode=0o700)
        with (self.directory / "logs" / "process.log").open("ab") as said:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "bus.process", str(self.directory)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=said,
                start_new_session=True,
            )
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until it answers. RuntimeError when it ended instead."""
        assert self._child is not None
        assert self._child.stdout is not None
        if self._child.stdout.readline().strip() != b"ready":
            self._child.wait(timeout=_READY_S)
            self._close()
            said = (self.directory / "logs" / "process.log").read_text(errors="backslashreplace").strip().splitlines()
            raise RuntimeError(f"the node {self.directory.name} did not start: {' '.join(said[-1:])}")

    def stop(self, timeout_s: float = 20.0) -> None:
        """End it in order."""
        if self._child is None:
            return
        self._child.terminate()
        try:
            self._child.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._close()

    def kill(self) -> None:
        """Kill -9; its key service ends with it."""
        assert self._child is not None
        self._child.kill()
        self._child.wait()
        self._close()

    def key_service_pid(self) -> int:
        """Return the process id of its key service; 0 when there is none just now."""
        for pid in self._children():
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if b"bus.keyservice" in command:
                return pid
        return 0

    def _children(self) -> list[int]:
        found: list[int] = []
        for task in Path(f"/proc/{self.pid}/task").glob("*/children") if self.pid else []:
            found += [int(text) for text in task.read_text().split()]
        return found

    def _close(self) -> None:
        assert self._child is not None
        if self._child.stdout is not None:
            self._child.stdout.close()


@dataclass
class _Member:
    """A node in this process."""

    node: Node
    server: Server
    service: KeyService
    reader: LeafReader
    client: KeyClient
    control: ControlServer


@dataclass
class MemoryFederation:
    """All nodes in one process, in threads, over a broker in memory; each has its own directory, database and keys."""

    federation: Federation
    broker: MemoryBroker = field(default_factory=MemoryBroker)
    _members: dict[str, _Member] = field(default_factory=dict)

    def start(self) -> None:
        """Start every node."""
        for agency in self.federation.agencies:
            self.broker.declare(agency)
        for agency in self.federation.agencies:
            self._start(agency)

    def _start(self, agency: str) -> None:
        directory = self.federation.node(agency)
        url = configuration.database_url(configuration.load(directory)[0], directory)
        reader = LeafReader(url)
        service = KeyService(directory / "keys", SystemClock(), SystemRandomness(), reader)
        take_up_pinned(service, directory, url)
        server = Server(service, directory / "keys" / SOCKET_NAME)
        server.listen()
        client = KeyClient(directory / "keys" / SOCKET_NAME)
        node = Node.open(directory, client)
        node.attach(MemoryTransport(self.broker, agency))
        control = ControlServer(directory, node.actors(), NodeOperations(node).table())
        node.start()
        control.start()
        self._members[agency] = _Member(node, server, service, reader, client, control)

    def node(self, agency: str) -> Node:
        """Return a running node."""
        return self._members[agency].node

    def stop(self) -> None:
        """Stop every node."""
        for member in self._members.values():
            member.control.stop()
            member.node.stop()
            member.client.close()
            member.server.close()
            member.service.close()
            member.reader.close()
        self._members.clear()


def wait_until(holds: Callable[[], bool], timeout_s: float, every_s: float = 0.05) -> bool:
    """Wait until something holds; say whether it did in time."""
    until = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() >= until:
            return False
        time.sleep(every_s)
    return True
