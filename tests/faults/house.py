"""A federation of real processes on a real broker, made to be broken: four nodes with key services, and a core system.

Whatever is killed here is started again here; every process is ended by the id under which it was started.
"""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from audit.verify import verify_directory
from bus import control
from deploy.demo.federation import AGENCIES, Agency, NodeProcess, make_federation, wait_until
from deploy.local.broker import LocalBroker

ROLES = ("auditor", "bank-b", "centre", "police-a")
TIMERS = """
[timers]
receipt_urgent_s = 4.0
receipt_normal_s = 4.0
receipt_bulk_s = 10.0
"""
"""A row without receipt is sent again within seconds instead of within the hours of a real bus."""

CALL_S = 20.0
_LOG_LINES = 25


def cast(suffix: str = "") -> dict[str, Agency]:
    """Return the four agencies by name; `suffix` makes the names those of one test on a broker that it shares."""
    return {
        role + suffix: replace(AGENCIES[role], name=role + suffix, witness=AGENCIES[role].witness + suffix)
        for role in ROLES
    }


class CoreProcess:
    """bank-b's core system as a process of its own."""

    def __init__(self, handover: Path, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.ledger = folder / "ledger.jsonl"
        self.balances = folder / "balances.json"
        self.log = folder / "core-system.log"
        self._handover = handover
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        arguments = ["--dir", self._handover, "--balances", self.balances, "--ledger", self.ledger]
        command = [sys.executable, "-m", "deploy.demo.core_system", *map(str, arguments), "--until-stdin-ends"]
        with self.log.open("ab") as said:
            self._child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=said, stderr=said, start_new_session=True
            )

    def kill(self) -> None:
        assert self._child is not None
        assert self._child.poll() is None, f"the core system ended by itself: {self.log.read_text()[-500:]}"
        self._child.kill()
        self._child.wait()
        assert self._child.stdin is not None
        self._child.stdin.close()

    def stop(self) -> None:
        if self._child is not None and self._child.poll() is None:
            self.kill()


class House:
    """The federation below a directory, on a broker. Roles are names without the suffix."""

    def __init__(
        self,
        directory: Path,
        broker: LocalBroker,
        port: int,
        suffix: str = "",
        extra_toml: Callable[[str], str] = lambda _: "",
    ) -> None:
        self.directory = directory
        self.broker = broker
        self._suffix = suffix
        authority = broker.authority()

        def lay(agency: str, node: Path) -> int:
            authority.install(agency, node)
            return port

        self.federation = make_federation(
            directory / "nodes",
            transport="rabbitmq",
            lay_tls=lay,
            agencies=cast(suffix),
            extra_toml=lambda name: TIMERS + extra_toml(name.removesuffix(suffix)),
        )
        self.nodes = {role: NodeProcess(self.node(role)) for role in ROLES}
        self.core = CoreProcess(self.node("bank-b") / "handover", directory / "core")

    def name(self, role: str) -> str:
        """Return an agency's name on this broker."""
        return role + self._suffix

    def node(self, role: str) -> Path:
        """Return a node's directory."""
        return self.federation.node(self.name(role))

    def start(self) -> None:
        """Start every node and the core system, and wait until all nodes answer."""
        for node in self.nodes.values():
            node.start(wait=False)
        for node in self.nodes.values():
            node.wait_ready()
        self.core.start()

    def stop(self) -> None:
        """End whatever runs."""
        for node in self.nodes.values():
            key_service = node.key_service_pid()
            if key_service:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(key_service, signal.SIGCONT)
            node.stop()
        self.core.stop()

    def call(self, role: str, operation: str, **arguments: Any) -> Any:
        """Ask a node over its control socket."""
        return control.call(self.node(role), operation, arguments, CALL_S)

    def is_connected(self, role: str) -> bool:
        """Say whether all connections of a node to the broker are up."""
        connections = self.call(role, "status")["transport"]["connected"]
        return bool(connections) and all(connections.values())

    def wait_connected(self, timeout_s: float = 60.0) -> None:
        """Wait until every node is connected."""
        for role in ROLES:
            assert wait_until(lambda role=role: self.is_connected(role), timeout_s), self.said()

    def kill_key_service(self, role: str) -> bool:
        """Kill -9 a node's key service; False when there is none just now."""
        pid = self.nodes[role].key_service_pid()
        if not pid:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return True

    def rows(self, role: str, query: str) -> list[tuple[Any, ...]]:
        """Read a node's database from outside, for what no operation lists whole."""
        with closing(sqlite3.connect(f"file:{self.node(role) / 'node.db'}?mode=ro", uri=True, timeout=20)) as database:
            return database.execute(query).fetchall()

    def counts(self, role: str, query: str) -> dict[str, int]:
        """Return {value: count} of a query for both."""
        return {str(value): int(count) for value, count in self.rows(role, query)}

    def log_events(self, role: str, file: str = "node.log") -> list[dict[str, Any]]:
        """Return what a node's log says, oldest first. A line that a kill has torn is passed over."""
        found = []
        path = self.node(role) / "logs" / file
        for line in path.read_text(errors="replace").splitlines() if path.exists() else ():
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
        return found

    def events(self) -> Counter[str]:
        """Count what the logs of nodes and key services have of level error, by event and role."""
        return Counter(
            f"{role} {event.get('event')} {event.get('code') or event.get('error_type') or ''}".strip()
            for role in ROLES
            for file in ("node.log", "keyservice.log")
            for event in self.log_events(role, file)
            if event.get("level") == "error"
        )

    def said(self) -> str:
        """Return the last words of everybody, for a failure's message."""
        parts = []
        for role in ROLES:
            for name in ("node.log", "keyservice.log", "process.log"):
                path = self.node(role) / "logs" / name
                if path.exists():
                    lines = path.read_text(errors="replace").splitlines()[-_LOG_LINES:]
                    parts += [f"--- {role} {name}", *(line[:600] for line in lines)]
        if self.core.log.exists():
            parts += ["--- core system", *self.core.log.read_text(errors="replace").splitlines()[-_LOG_LINES:]]
        return "\n".join([*parts, "--- broker", self.broker.logs(10)])

    def verified_logs(self, timeout_s: float = 60.0) -> Mapping[str, int]:
        """Export every log, cosigned, and verify each from its files alone; return entries by role."""
        sizes = {}
        for role in ROLES:
            target = self.directory / "exports" / role
            exported = control.call(
                self.node(role), "audit.export", {"directory": str(target), "timeout_s": timeout_s}, timeout_s + 10
            )
            report = verify_directory(target)
            assert report.ok, (role, report.problems)
            assert report.cosigned, role
            assert report.entries == exported["entries"]
            sizes[role] = report.entries
        return sizes


@contextmanager
def running(house: House) -> Iterator[House]:
    """Give a house that runs and is connected; everything in it is ended after."""
    try:
        house.start()
        house.wait_connected()
        yield house
    finally:
        house.stop()
