"""The stage on which the story is played: folders made fresh, a broker, seven nodes, and one way to ask a node.

- Everything lies below one directory, which is made anew each time; a directory that is not a demo's is never emptied.
- The broker boots while keys are made and nodes start. Without RabbitMQ the memory transport is used, and that is said.
- Whatever was started is stopped again, in whichever way the story ends.
"""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeVar

from bus import control, logs
from bus.errors import BusError, NoAnswer, Retry, Usage
from bus.process import LOCK_NAME, PID_NAME
from bus.transport import LANES
from bus.transport.topology import in_queue
from deploy.demo.federation import AGENCIES, Federation, LayTls, MemoryFederation, NodeProcess, make_federation
from deploy.local.broker import LocalBroker
from deploy.local.install import RabbitMissing, ensure

FILES = Path(__file__).parent / "files"
DEFAULT_DIRECTORY = Path(".lianfang/demo")
DEFAULT_BROKER = Path(".lianfang/broker")
DEADLINE_S = 30.0
_MARK = "demo.lock"
_BROKER_IS_OURS = "the broker was started by this demo\n"
_LOOK_EVERY_S = 0.02
_CALL_S = 600.0
_CONNECTED_S = 60.0
_PORT_KNOWN_S = 60.0
_END_S = 15.0

Found = TypeVar("Found")


@dataclass(frozen=True)
class Options:
    """How the story is to be played. `notices` is another bank file instead of our own."""

    transport: str = "rabbitmq"
    directory: Path = DEFAULT_DIRECTORY
    broker_directory: Path = DEFAULT_BROKER
    notices: Path = FILES / "bank-a-suspicious-accounts.csv"
    serve: bool = False


@dataclass
class Stage:
    """The federation as it runs. `pids` has one process id an agency; with the memory transport they are all ours."""

    directory: Path
    transport: str
    federation: Federation
    pids: Mapping[str, int] = field(default_factory=dict)

    def node(self, agency: str) -> Path:
        """Return an agency's node directory."""
        return self.federation.node(agency)

    def handover(self, agency: str) -> Path:
        """Return the folder where an agency's node and its own system meet."""
        return self.node(agency) / "handover"

    def call(self, agency: str, operation: str, **arguments: Any) -> Any:
        """Ask an agency's node over its control socket, as its operator."""
        return control.call(self.node(agency), operation, arguments, _CALL_S)

    def entries(self, agency: str) -> int:
        """Return how many entries an agency's log has."""
        return int(self.call(agency, "status")["log"]["entries"])

    def find_entry(self, agency: str, start: int, **wanted: str) -> int:
        """Return the first entry from `start` on with these values; -1 when there is none."""
        for index in range(start, self.entries(agency)):
            leaf = self.call(agency, "audit.leaf", index=index)
            if all(leaf.get(name) == value for name, value in wanted.items()):
                return index
        return -1


def wait_for(what: str, look: Callable[[], Found | None], timeout_s: float = DEADLINE_S) -> Found:
    """Look until there is something, and return it. NoAnswer, naming what was waited for, when it does not come."""
    until = time.monotonic() + timeout_s
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() >= until:
            raise NoAnswer(
                f"the demo waited {timeout_s:.0f} s in vain for {what}",
                cure="see the logs/ of the nodes in the demo's directory",
                code="LF-DEMO-TIMEOUT",
            )
        time.sleep(_LOOK_EVERY_S)


@contextmanager
def laid_out(options: Options, say: Callable[[str], None]) -> Iterator[Stage]:
    """Give the stage, ready to play on, and clear it away after."""
    transport = options.transport
    if transport == "rabbitmq":
        try:
            ensure()
        except RabbitMissing as error:
            say(f"RabbitMQ is not here: {error.cause}")
            say(f"  to have it: {error.cure}")
            say("  the story is now played over the transport in memory, in one process")
            transport = "memory"
    directory = options.directory.absolute()
    with _fresh(directory) as mark, contextlib.ExitStack() as stack:
        if transport == "memory":
            yield stack.enter_context(_in_memory(directory))
        else:
            broker = LocalBroker(options.broker_directory)
            stack.enter_context(_stopped_after(broker, mark))
            yield stack.enter_context(_on_rabbitmq(directory, broker))


@contextmanager
def _fresh(directory: Path) -> Iterator[IO[str]]:
    """Hold the directory, emptied, and give the file that marks it as a demo's.

    Usage when it holds something that no demo made, Retry when a demo plays in it.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    mark = directory / _MARK
    if any(directory.iterdir()) and not mark.exists():
        raise Usage(
            f"{directory} is not empty and not of a demo",
            cure="name an empty or a new directory with --dir",
            code="LF-DEMO-DIRECTORY",
        )
    with mark.open("a+") as file:
        _hold(file, directory)
        for path in directory.glob(f"*/{LOCK_NAME}"):
            _end_node(path)
        for path in directory.iterdir():
            if path == mark:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        yield file


def _hold(file: IO[str], directory: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Retry(
            f"a demo is being played in {directory} just now",
            cure="end it, or name another directory with --dir",
            code="LF-DEMO-RUNNING",
        ) from None


def _end_node(lock: Path) -> None:
    """End a node that a demo which was killed has left: whoever holds the lock wrote its process id beside it."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        until = time.monotonic() + _END_S
        while _is_held(lock):
            with contextlib.suppress(OSError, ValueError):
                os.kill(int((lock.parent / PID_NAME).read_text()), number)
            if time.monotonic() > until:
                break
            time.sleep(_LOOK_EVERY_S)


def _is_held(lock: Path) -> bool:
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@contextmanager
def _in_memory(directory: Path) -> Iterator[Stage]:
    logs.set_up("info", "all seven", directory / "logs" / "nodes.log")
    federation = make_federation(directory, transport="memory")
    nodes = MemoryFederation(federation)
    try:
        nodes.start()
        yield Stage(directory, "memory", federation, dict.fromkeys(federation.agencies, os.getpid()))
    finally:
        nodes.stop()


@contextmanager
def _stopped_after(broker: LocalBroker, mark: IO[str]) -> Iterator[None]:
    """Stop the broker after, unless somebody else had started it. The mark says so to the next demo if this one is killed."""
    mark.seek(0)
    ours = mark.read() == _BROKER_IS_OURS or not broker.status()["running"]
    if ours:
        mark.truncate(0)
        mark.write(_BROKER_IS_OURS)
        mark.flush()
    try:
        yield
    finally:
        if ours:
            broker.stop()
            mark.truncate(0)


@contextmanager
def _on_rabbitmq(directory: Path, broker: LocalBroker) -> Iterator[Stage]:
    boot = _Boot(broker)
    nodes: dict[str, NodeProcess] = {}
    try:
        port = boot.port()
        federation = make_federation(directory, transport="rabbitmq", lay_tls=_layer(broker, port))
        for agency in federation.agencies:
            nodes[agency] = NodeProcess(federation.node(agency))
            nodes[agency].start(wait=False)
        boot.wait(port)
        for node in nodes.values():
            node.wait_ready()
        stage = Stage(directory, "rabbitmq", federation, {agency: node.pid for agency, node in nodes.items()})
        for agency in federation.agencies:
            wait_for(f"{agency}'s connection to the broker", partial(_connected, stage, agency), _CONNECTED_S)
        yield stage
    finally:
        _all_at_once([node.stop for node in nodes.values()])
        boot.join()


def _layer(broker: LocalBroker, port: int) -> LayTls:
    authority = broker.authority()

    def lay(agency: str, directory: Path) -> int:
        authority.install(agency, directory)
        return port

    return lay


def _connected(stage: Stage, agency: str) -> bool:
    connections = stage.call(agency, "status")["transport"]["connected"]
    return bool(connections) and all(connections.values())


class _Boot:
    """The broker, booting in a thread of its own. Messages that an earlier demo left in it are gone first."""

    def __init__(self, broker: LocalBroker) -> None:
        self._broker = broker
        self._error: BusError | None = None
        running = broker.status()["running"]
        if running:
            for agency in AGENCIES:
                for lane in LANES:
                    broker.management().purge(in_queue(agency, lane))
        else:
            shutil.rmtree(broker.directory / "data", ignore_errors=True)
        self._before = self._process()
        self._thread = threading.Thread(target=self._run, name="broker-boot")
        self._thread.start()

    def _run(self) -> None:
        try:
            self._broker.start(sorted(AGENCIES))
        except BusError as error:
            self._error = error

    def _process(self) -> Any:
        try:
            return json.loads((self._broker.directory / "state.json").read_text(encoding="utf-8"))["broker"]
        except FileNotFoundError:
            return None

    def port(self) -> int:
        """Return the port at which it will answer, as soon as that is settled."""

        def settled() -> bool:
            process = self._process()
            return not self._thread.is_alive() or (process is not None and process != self._before)

        wait_for("the broker's port", settled, _PORT_KNOWN_S)
        if self._error is not None:
            raise self._error
        return int(self._broker.status()["ports"]["amqps"])

    def wait(self, port: int) -> None:
        """Wait until it answers at that port."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        assert self._broker.status()["ports"]["amqps"] == port, "ports do not change once the broker's process is there"

    def join(self) -> None:
        """Wait until the boot has ended, in whichever way."""
        self._thread.join()


def _all_at_once(work: Sequence[Callable[[], None]]) -> None:
    if work:
        with ThreadPoolExecutor(len(work)) as pool:
            for done in [pool.submit(item) for item in work]:
                done.result()


@contextmanager
def core_system(stage: Stage, balances: Path) -> Iterator[None]:
    """Run bank-b's core system, a process of its own, on a balance file."""
    folder = stage.directory / "bank-b-core-system"
    folder.mkdir(exist_ok=True, mode=0o700)
    arguments = [
        "--dir",
        stage.handover("bank-b"),
        "--balances",
        balances,
        "--ledger",
        folder / "ledger.jsonl",
        "--until-stdin-ends",
    ]
    command = [sys.executable, "-m", "deploy.demo.core_system", *map(str, arguments)]
    with (folder / "core-system.log").open("ab") as said:
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=said, stderr=said, start_new_session=True)
    try:
        yield
    finally:
        assert child.stdin is not None
        child.stdin.close()
        child.wait(timeout=10)
