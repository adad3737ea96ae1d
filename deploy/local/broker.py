"""A private RabbitMQ: own folder, node name, ports, cookie and port mapper; no systemd, no root, nothing beyond loopback.

- `start` is idempotent: it makes what is missing, adds agencies to a broker that runs, and returns when AMQPS answers.
- Every process is known by id and start time (state.json); no other RabbitMQ on the machine is touched.
- Commands exclude each other by a lock on the folder.
"""

import argparse
import fcntl
import json
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from bus.config import Broker as BrokerConfig
from bus.errors import BusError, NoAnswer, NotFound
from bus.transport.topology import ADMINISTRATOR, VIRTUAL_HOST, Topology, definitions, definitions_json
from deploy.local import node_files
from deploy.local.certificates import Authority
from deploy.local.install import Installation, ensure
from deploy.local.management import Management, password_hash
from deploy.local.node_files import Ports
from deploy.local.processes import Process, spawn

DEMO_AGENCIES = ("centre", "police-a", "bank-a", "bank-b", "telecom-c", "platform-d", "auditor")
DEFAULT_DIRECTORY = Path(".lianfang/broker")

_READY_SECONDS_MAX = 90.0
_STOP_SECONDS_MAX = 30.0
_GRACE_S = 2.5
"""After a signal to stop: the broker closes its queues within a second; its management plugin then idles for five."""
_EPMD_SECONDS_MAX = 10.0
_POLL_S = 0.1
_PORTS = range(20_000, 30_000)
"""Below the range that Linux gives to outgoing connections, so that a restart finds its ports free."""
_LOG_LINES = 40


@dataclass(frozen=True)
class _State:
    """What state.json keeps."""

    node: str
    ports: Ports
    agencies: tuple[str, ...] = ()
    broker: Process | None = None
    epmd: Process | None = None
    version: tuple[int, int, int] = (0, 0, 0)


@dataclass
class LocalBroker:
    """The private broker in `directory`."""

    directory: Path = field(default=DEFAULT_DIRECTORY)

    def __post_init__(self) -> None:
        self.directory = self.directory.absolute()

    def start(self, agencies: Sequence[str] = DEMO_AGENCIES) -> dict[str, Any]:
        """Start the broker with these agencies, or add them to the one that runs; return its status once it answers.

        Raises RabbitMissing when there is no RabbitMQ and none can be installed, NoAnswer when it does not come up.
        """
        installation = ensure()
        with self._locked():
            state = self._state()
            wanted = Topology(tuple(dict.fromkeys((*state.agencies, *agencies))))
            authority = Authority.open(self.directory / "pki")
            for agency in wanted.agencies:
                authority.agency(agency)
            if state.broker is None or not state.broker.is_running():
                self._boot(installation, state, authority, wanted)
            elif wanted.agencies != state.agencies:
                self._extend(installation, state, authority, wanted)
        return self.status()

    def stop(self) -> bool:
        """Stop the broker and its port mapper; return whether there was anything to stop."""
        if not (self.directory / "state.json").exists():
            return False
        with self._locked():
            return self._halt()

    def kill(self) -> bool:
        """End the broker at once, as a power cut would; its port mapper stays. For fault tests."""
        with self._locked():
            state = self._state()
            running = state.broker is not None and state.broker.is_running()
            if state.broker is not None:
                state.broker.end(signal.SIGKILL, _STOP_SECONDS_MAX)
            return running

    def status(self) -> dict[str, Any]:
        """Return what there is: running, pid, node, ports, agencies, version, directory."""
        state = self._state()
        running = state.broker is not None and state.broker.is_running() and _answers(state.ports.amqps)
        return {
            "running": running,
            "pid": state.broker.pid if running and state.broker else 0,
            "node": state.node,
            "ports": asdict(state.ports),
            "agencies": list(state.agencies),
            "version": ".".join(map(str, state.version)),
            "directory": str(self.directory),
        }

    def logs(self, lines: int = _LOG_LINES) -> str:
        """Return the last lines of the broker's log."""
        files = list((self.directory / "log").rglob("broker.log"))  # newer brokers put it one level deeper
        if not files:
            return ""
        newest = max(files, key=lambda file: file.stat().st_mtime)
        return "\n".join(newest.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

    def admit(self, topology: Topology) -> None:
        """Add agencies to the running broker, linked to each other only as the topology says. NoAnswer when it is down."""
        authority = self.authority()
        for agency in topology.agencies:
            authority.agency(agency)
        self.management().import_definitions(definitions(topology, version=self._state().version[:2]))

    def connection(self, agency: str) -> BrokerConfig:
        """Return how a node of `agency` reaches this broker, with absolute paths. NotFound when it was never admitted."""
        if not (self.directory / "pki" / "agencies" / agency).exists():
            raise NotFound(
                f"the private broker has no agency {agency}",
                cure="start it with that agency",
                code="LF-BROKER-NO-AGENCY",
            )
        identity = self.authority().agency(agency)
        return BrokerConfig(
            host="127.0.0.1",
            port=self._state().ports.amqps,
            virtual_host=VIRTUAL_HOST,
            ca_file=str(identity.authority),
            certificate_file=str(identity.certificate),
            key_file=str(identity.key),
        )

    def authority(self) -> Authority:
        """Return the certificate authority of this bus."""
        return Authority.open(self.directory / "pki")

    def revoke(self, agency: str) -> None:
        """Revoke an agency's certificate and close what it has open."""
        self.authority().revoke(agency)
        self.management().close_connections(agency)

    def management(self) -> Management:
        """Return the management interface, as its administrator."""
        return self._management(self._state())

    def _extend(self, installation: Installation, state: _State, authority: Authority, topology: Topology) -> None:
        """Add agencies to the broker that runs; without its management interface that takes a restart."""
        if not node_files.has_management(self.directory):
            self._boot(installation, state, authority, topology)
            return
        self._management(state).import_definitions(definitions(topology, version=state.version[:2]))
        self._save(replace(state, agencies=topology.agencies))

    def _boot(self, installation: Installation, state: _State, authority: Authority, topology: Topology) -> None:
        self._halt()  # what a crash has left
        ports = state.ports if _all_free(state.ports) else _free_ports(self.directory)
        state = _State(state.node, ports, topology.agencies, version=installation.version)
        self._write_cookie()
        hashed = password_hash(self._password())
        text = definitions_json(topology, hashed, installation.version[:2])
        node_files.write(self.directory, ports, authority, text)
        try:
            self._launch(installation, state)
        except BaseException:
            self._halt()  # nothing half started is left
            raise

    def _launch(self, installation: Installation, state: _State) -> None:
        ports, environment = state.ports, node_files.environment(self.directory, state.node, state.ports)
        console = self.directory / "log" / "console.log"
        mapper = [str(installation.epmd), "-address", "127.0.0.1", "-port", str(ports.epmd)]
        epmd = spawn(mapper, environment, self.directory, console)
        self._save(replace(state, epmd=epmd))
        self._await(ports.epmd, epmd, _EPMD_SECONDS_MAX)
        broker = spawn([str(installation.server)], environment, self.directory, console)
        self._save(replace(state, epmd=epmd, broker=broker))
        self._await(ports.amqps, broker, _READY_SECONDS_MAX)

    def _await(self, port: int, process: Process, seconds: float) -> None:
        """Wait until the port answers, watching that the process lives; NoAnswer with the log's last lines otherwise."""
        deadline = time.monotonic() + seconds
        while not _answers(port):
            alive = process.is_running()
            if not alive or time.monotonic() > deadline:
                reason = f"was not ready within {seconds:.0f} s" if alive else "ended while it was starting"
                raise NoAnswer(
                    f"the private broker {reason}",
                    cure=f"look into {self.directory}/log; its last words: {self.logs(3)}",
                    code="LF-BROKER-START",
                )
            time.sleep(_POLL_S)

    def _halt(self) -> bool:
        state, was_running = self._state(), False
        for process in (state.broker, state.epmd):
            if process is not None and process.is_running():
                was_running = True
                self._end(process, state.ports)
        self._save(replace(state, broker=None, epmd=None))
        return was_running

    def _end(self, process: Process, ports: Ports) -> None:
        """Ask a process to end; insist once it serves nobody any more, or after long patience."""
        patience = time.monotonic() + _STOP_SECONDS_MAX
        while not process.end(signal.SIGTERM, _GRACE_S):
            if not _answers(ports.amqps) or time.monotonic() > patience:
                process.end(signal.SIGKILL, _STOP_SECONDS_MAX)
                return

    def _management(self, state: _State) -> Management:
        return Management(state.ports.management, self._password())

    def _password(self) -> str:
        file = self.directory / f"{ADMINISTRATOR}.password"
        if not file.exists():
            _write_owner_only(file, secrets.token_urlsafe(24))
        return file.read_text(encoding="ascii")

    def _write_cookie(self) -> None:
        file = self.directory / ".erlang.cookie"
        if not file.exists():
            _write_owner_only(file, secrets.token_hex(20).upper())
            file.chmod(0o400)

    def _state(self) -> _State:
        file = self.directory / "state.json"
        if not file.exists():
            name = sha256(str(self.directory).encode()).hexdigest()[:8]
            return _State(f"lianfang-{name}@localhost", Ports(0, 0, 0, 0))
        kept = json.loads(file.read_text(encoding="utf-8"))
        return _State(
            node=kept["node"],
            ports=Ports(**kept["ports"]),
            agencies=tuple(kept["agencies"]),
            broker=Process(**kept["broker"]) if kept["broker"] else None,
            epmd=Process(**kept["epmd"]) if kept["epmd"] else None,
            version=tuple(kept["version"]),
        )

    def _save(self, state: _State) -> None:
        partial = self.directory / "state.json.new"
        partial.write_text(json.dumps(asdict(state), indent=1) + "\n", encoding="utf-8")
        partial.replace(self.directory / "state.json")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.directory / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
        except OSError:
            return False
    return True


def _all_free(ports: Ports) -> bool:
    return ports.amqps != 0 and all(_is_free(port) for port in asdict(ports).values())


def _free_ports(directory: Path) -> Ports:
    """Return four free ports; where to begin follows from the folder, so that two brokers seldom try the same."""
    offset = int.from_bytes(sha256(str(directory).encode()).digest()[:4], "big")
    found: list[int] = []
    for step in range(len(_PORTS)):
        port = _PORTS[(offset + step) % len(_PORTS)]
        if _is_free(port):
            found.append(port)
        if len(found) == len(Ports.__dataclass_fields__):
            return Ports(*found)
    raise NoAnswer("no four ports are free on 127.0.0.1", cure="end what listens there", code="LF-BROKER-PORTS")


def _write_owner_only(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m deploy.local.broker start|stop|status|logs [AGENCY …] [--dir DIR]`."""
    parser = argparse.ArgumentParser(prog="python -m deploy.local.broker", description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=("start", "stop", "status", "logs"))
    parser.add_argument("agencies", nargs="*", help="agencies to start with; default: the demo's seven")
    parser.add_argument("--dir", type=Path, default=DEFAULT_DIRECTORY)
    options = parser.parse_args(arguments)
    broker = LocalBroker(options.dir)
    try:
        if options.action == "start":
            print(json.dumps(broker.start(options.agencies or DEMO_AGENCIES), indent=1))
        elif options.action == "stop":
            print("stopped" if broker.stop() else "nothing was running")
        elif options.action == "status":
            print(json.dumps(broker.status(), indent=1))
        else:
            print(broker.logs())
    except BusError as error:
        print(f"lianfang: {error.cause}\n  cure: {error.cure}\n  code: {error.code}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
