"""Whole nodes on a private broker, to be measured: processes with their key services, SQLite on disk, mutual TLS.

Nodes send their logs to no witness here (`ship_every_s` of a day): both sides of a ratio carry the same messages and no
other. Nothing else is set otherwise than in the demo.
"""

import base64
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from bus import control
from bus.transport import LANES, Outgoing
from bus.transport.topology import in_queue
from deploy.demo.federation import AGENCIES, NodeProcess, make_federation
from deploy.local.broker import LocalBroker

DIRECTORY = Path(".lianfang/bench/node")
EARLY_WARNING = {"purpose": "early_warning", "legal_basis": "ATF18"}
_CALL_S = 600.0
_POLL_S = 0.01
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Stage:
    """Nodes that can be started and stopped one by one, and what lies in their databases and queues."""

    def __init__(self, directory: Path, broker: LocalBroker, agencies: Sequence[str]) -> None:
        authority, port = broker.authority(), int(broker.status()["ports"]["amqps"])

        def lay(agency: str, node: Path) -> int:
            authority.install(agency, node)
            return port

        federation = make_federation(
            directory, transport="rabbitmq", lay_tls=lay, agencies={name: AGENCIES[name] for name in agencies}
        )
        for name in agencies:
            toml = federation.node(name) / "node.toml"
            toml.write_text(toml.read_text().replace("ship_every_s = 0.5", "ship_every_s = 86400.0"))
        self.broker = broker
        self.nodes = {name: NodeProcess(federation.node(name)) for name in agencies}

    def directory(self, agency: str) -> Path:
        """Return a node's directory."""
        return self.nodes[agency].directory

    def start(self, agency: str) -> None:
        """Start a node and wait until its connections are up."""
        self.nodes[agency].start()
        until(lambda: all(self.call(agency, "status")["transport"]["connected"].values()), f"{agency} connects")
        time.sleep(0.3)  # its channels

    def stop(self) -> None:
        """End every node that runs."""
        for node in self.nodes.values():
            node.stop()

    def call(self, agency: str, operation: str, **arguments: Any) -> Any:
        """Ask a node over its control socket."""
        return control.call(self.directory(agency), operation, arguments, _CALL_S)

    def send(self, agency: str, recipient: str, profile: str, data: bytes, statement: dict[str, str]) -> dict[str, Any]:
        """Send a file; every row of it must have gone out."""
        taken: dict[str, Any] = self.call(
            agency,
            "send",
            data=base64.b64encode(data).decode(),
            to=[recipient],
            profile=profile,
            companions={},
            **statement,
        )
        assert len(taken["sent"]) == taken["rows_in"], (taken["held_back"], taken["refused"])
        return taken

    def rows(self, agency: str, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Read a node's database from outside."""
        path = self.directory(agency) / "node.db"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=20)) as database:
            return database.execute(query, values).fetchall()

    def cpu_s(self, agency: str) -> float:
        """Return the processor's time that a node and its key service have taken, user and system."""
        node = self.nodes[agency]
        return sum(_cpu_s(pid) for pid in (node.pid, node.key_service_pid()))

    def outgoing(self, agency: str, recipient: str, count: int) -> list[Outgoing]:
        """Return the newest messages that a node sent, as its transport got them."""
        query = (
            "select o.row_id, o.message_id, o.lane, o.type, m.envelope from outbox o join messages m"
            " on o.message_id = m.message_id where o.recipient = ? order by o.row_id desc limit ?"
        )
        found = self.rows(agency, query, (recipient, count))
        return [Outgoing(row, key, agency, recipient, lane, kind, 1, body) for row, key, lane, kind, body in found]

    def purge(self, agency: str) -> None:
        """Empty an agency's queues."""
        for lane in LANES:
            self.broker.management().purge(in_queue(agency, lane))


@contextmanager
def standing(agencies: Sequence[str]) -> Iterator[Stage]:
    """Give a stage on a private broker; everything is ended and removed after."""
    shutil.rmtree(DIRECTORY, ignore_errors=True)
    broker = LocalBroker(DIRECTORY / "broker")
    try:
        broker.start(tuple(agencies))
        stage = Stage(DIRECTORY / "nodes", broker, agencies)
        try:
            yield stage
        finally:
            stage.stop()
    finally:
        broker.stop()
        shutil.rmtree(DIRECTORY, ignore_errors=True)


def until(holds: Callable[[], bool], what: str, timeout_s: float = 180.0) -> None:
    """Wait until something holds; AssertionError, naming it, when it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(_POLL_S)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
