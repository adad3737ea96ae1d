"""A node as processes: the node itself, and its key service as a child that never outlives it.

- One node only may run in a directory (a lock on node.lock).
- The key service is started again when it dies; until it answers, nothing is sealed or opened, and nothing is lost. Under
  [keys.apart] it is not ours to start: the service manager runs it under a user of its own.
- `ready` on standard output says that the node answers on its control socket. SIGTERM and SIGINT end it in order.
"""

import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

import structlog
from sqlalchemy.exc import DBAPIError

from audit.errors import AuditUnavailable
from audit.store import engine as make_engine
from audit.store import in_words
from bus import config as configuration
from bus import logs, store
from bus.control import ControlServer
from bus.errors import BusError, Retry, Usage
from bus.keyservice.client import KeyClient
from bus.keyservice.door import user_id
from bus.keyservice.server import SOCKET_NAME
from bus.node import Node
from bus.operations import NodeOperations
from bus.transport import Transport

_log = structlog.get_logger(__name__)
LOCK_NAME = "node.lock"
PID_NAME = "node.pid"
_WATCH_S = 0.1
_STARTS_BEFORE_PAUSE = 3
SWITCH_S = 0.0005
"""How long a thread may keep the interpreter while others wait: with Python's 5 ms, each of an urgent order's many short
steps waits that long for the thread that takes in bulk (tests/bench/bench_urgent.py)."""
_KEYS_IN_USE = "LF-KEYS-IN-USE"
_STARTS_BESIDE_LAST = 10
_WAIT_FOR_LAST_S = 0.5


class KeyServiceProcess:
    """The key service of the node in a directory, as a child process that is started again when it dies."""

    def __init__(self, directory: Path, descriptors: tuple[int, ...] = ()) -> None:
        self._directory = directory
        self._descriptors = descriptors
        self._child: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="key-service-watch", daemon=True)

    @property
    def pid(self) -> int:
        """The child's process id; 0 while there is none."""
        return self._child.pid if self._child is not None and self._child.poll() is None else 0

    def start(self) -> None:
        """Start it and wait until it listens. Usage when it does not come up: its own words are in the cause.

        That of a node which was killed may still be ending, and holds the keys until it has: it is waited for.
        """
        for _ in range(_STARTS_BESIDE_LAST):
            try:
                self._child = self._spawn()
                break
            except Usage as error:
                if _KEYS_IN_USE not in error.cause:
                    raise
                self._stopping.wait(_WAIT_FOR_LAST_S)
        else:
            self._child = self._spawn()
        self._watcher.start()

    def stop(self) -> None:
        """End it: its standard input ends, and with it the process."""
        self._stopping.set()
        if self._watcher.is_alive():
            self._watcher.join(timeout=5)
        if self._child is not None:
            _end(self._child)

    def _spawn(self) -> "subprocess.Popen[bytes]":
        (self._directory / "logs").mkdir(exist_ok=True, mode=0o700)
        child = subprocess.Popen(  # noqa: S603 - our own interpreter and module, and a directory
            [sys.executable, "-m", "bus.keyservice", str(self._directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            pass_fds=self._descriptors,
        )
        assert child.stdout is not None
        if child.stdout.readline().strip() == b"ready":
            assert child.stderr is not None
            threading.Thread(target=_drain, args=(child.stderr,), daemon=True).start()
            return child
        _, said = child.communicate()
        last = said.decode(errors="backslashreplace").strip().splitlines()[-1:]
        raise Usage(
            f"the key service did not start: {' '.join(last) or 'it said nothing'}",
            cure="see logs/keyservice.log in the node's directory",
            code="LF-KEYS-NOT-STARTED",
        )

    def _watch(self) -> None:
        starts = 0
        while not self._stopping.wait(_WATCH_S if starts < _STARTS_BEFORE_PAUSE else 1.0):
            if self._child is not None and self._child.poll() is None:
                starts = 0
                continue
            _log.warning("keyservice.restart", attempts=starts)
            starts += 1
            if self._child is not None:
                _close_pipes(self._child)
                self._child = None
            try:
                self._child = self._spawn()
            except (Usage, OSError) as error:
                _log.error("keyservice.down", error_type=type(error).__name__, cause=getattr(error, "cause", ""))


def _drain(stream: IO[bytes]) -> None:
    """Read what a child says, so that it never waits for a reader."""
    with stream:
        while stream.read(65536):
            pass


def _end(child: "subprocess.Popen[bytes]") -> None:
    if child.stdin is not None:
        child.stdin.close()
    try:
        child.wait(timeout=5)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    _close_pipes(child)


def _close_pipes(child: "subprocess.Popen[bytes]") -> None:
    """Let go of the pipes to a child that has ended; its words on standard error are `_drain`'s to close."""
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            pipe.close()


def key_client(keys: configuration.Keys, directory: Path) -> KeyClient:
    """Return the way to the key service of the node in a directory: our own child, or another user's process."""
    if keys.apart is None:
        return KeyClient(directory / "keys" / SOCKET_NAME, keys.deadline_s)
    return KeyClient(Path(keys.apart.socket), keys.deadline_s, user_id(keys.apart.user))


def make_transport(config: configuration.NodeConfig, directory: Path) -> Transport:
    """Return the transport that the configuration names. Usage for memory: it cannot reach another process."""
    if config.transport == "memory":
        raise Usage(
            "the memory transport works within one process only",
            cure='set transport = "rabbitmq", or play `lianfang demo --transport memory`',
            code="LF-NODE-MEMORY-TRANSPORT",
        )
    from bus.transport.rabbit import RabbitTransport  # noqa: PLC0415 - pika is loaded only where it is spoken

    return RabbitTransport(config.agency, config.broker, directory)


def lock(directory: Path) -> IO[str]:
    """Take the directory's lock and note our process id. Retry when another node has it."""
    file = (directory / LOCK_NAME).open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise Retry(
            "a node runs in this directory already",
            cure=f"`lianfang node status`; its process id is in {PID_NAME}",
            code="LF-NODE-RUNNING",
        ) from None
    (directory / PID_NAME).write_text(f"{os.getpid()}\n")
    return file


def run_node(directory: Path, ready: Callable[[], None]) -> None:
    """Be the node in `directory` until SIGTERM or SIGINT; `ready` is called once it answers."""
    sys.setswitchinterval(SWITCH_S)
    config, _ = configuration.load(directory)
    held = lock(directory)
    logs.set_up(config.log_level, config.agency, directory / "logs" / "node.log")
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    service = KeyServiceProcess(directory, config.keys.descriptors()) if config.keys.apart is None else None
    try:
        _require_database(config, directory)
        if service is not None:
            service.start()
        _serve(directory, config, stopping, ready)
    finally:
        if service is not None:
            service.stop()
        (directory / PID_NAME).unlink(missing_ok=True)
        held.close()


def _require_database(config: configuration.NodeConfig, directory: Path) -> None:
    """See that the database answers, before anything is begun. Retry when it does not, or refuses our tables."""
    engine = make_engine(configuration.database_url(config, directory))
    try:
        store.create_tables(engine)
    except (AuditUnavailable, DBAPIError) as error:
        raise Retry(
            f"the database of node.toml does not serve this node ({in_words(error.__cause__ or error)})",
            cure="start it, or mend `database` in node.toml; then start the node again",
            code="LF-NODE-NO-DATABASE",
        ) from error
    finally:
        engine.dispose()


def _serve(
    directory: Path, config: configuration.NodeConfig, stopping: threading.Event, ready: Callable[[], None]
) -> None:
    transport = make_transport(config, directory)
    node = Node.open(directory, key_client(config.keys, directory))
    node.attach(transport)
    node.start()
    control = ControlServer(directory, node.actors(), NodeOperations(node).table())
    try:
        control.start()
        _log.info("node.ready", pid=os.getpid())
        ready()
        stopping.wait()
    finally:
        control.stop()
        node.stop()
        _log.info("node.stopped")


def main() -> None:
    """Be the node in the directory that is the only argument; on a fault at start say code, cause and cure in one line."""
    try:
        run_node(Path(sys.argv[1]), lambda: print("ready", flush=True))  # noqa: T201 - whoever started us waits for this word
    except BusError as error:
        print(f"{error.code}: {error.cause}; {error.cure}", file=sys.stderr)  # noqa: T201 - whoever started us passes it on
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
