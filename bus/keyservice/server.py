"""The key service as a process of its own, behind a Unix socket that only its own user may open.

It ends when its standard input does, so it never outlives the node that started it; `ready` on standard output says that
it listens. On start it takes up the directory and bundle that the node has pinned, from the node's database.
"""

import contextlib
import os
import signal
import socket
import struct
import sys
import threading
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import select
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from audit import store as log_store
from audit.errors import AuditUnavailable
from audit.store import engine as make_engine
from bus import config as configuration
from bus import logs, store
from bus.clock import SystemClock
from bus.control import listen_for_owner
from bus.directory import DirectoryRefused
from bus.errors import Broken, Usage
from bus.keyservice import errors, wire
from bus.keyservice.protocol import Keys, KeyServiceUnavailable
from bus.keyservice.service import KeyService
from bus.policy.errors import PolicyError
from bus.randomness import SystemRandomness

SOCKET_NAME = "keys.sock"
METHODS = frozenset(name for name in vars(Keys) if not name.startswith("_"))
"""What may be called: the protocol's own methods, and nothing else that the service has."""
_PEER_FORMAT = "3i"
_log = structlog.get_logger(__name__)


class Server:
    """Serves a key service on a socket."""

    def __init__(self, service: Keys, path: Path) -> None:
        self._service = service
        self._path = path
        self._lock = threading.Lock()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    def listen(self) -> None:
        """Listen."""
        listen_for_owner(self._socket, self._path)
        threading.Thread(target=self._accept, name="accept", daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize(_PEER_FORMAT))
            if struct.unpack(_PEER_FORMAT, raw)[1] != os.getuid():
                connection.close()
                continue
            threading.Thread(target=self._talk, args=(connection,), name="peer", daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection:
            while True:
                try:
                    call = wire.receive(connection)
                    if call is None:
                        return
                    wire.send(connection, self._answer(call))
                except (OSError, ValueError):
                    return

    def _answer(self, call: Any) -> list[Any]:
        try:
            return ["ok", self._perform(*call)]
        except errors.CARRIED as error:
            return ["error", *errors.carry(error)]
        except (OSError, AuditUnavailable, OperationalError, InterfaceError, InternalError, PoolTimeout) as error:
            # Its disk is full or a database does not answer: that passes, and nobody must be told that a message is bad.
            name = type(error.__cause__ or error).__name__
            _log.error("keys.files", error_type=name)
            later = KeyServiceUnavailable(
                f"the key service cannot work on its files or the node's database ({name})",
                cure="see the disk's space under keys/ in the node's directory, and the database; then try again",
            )
            return ["error", *errors.carry(later)]
        except Exception as error:  # noqa: BLE001 - the edge: the caller gets an answer without a value in it
            name = type(error).__name__
            _log.error("keys.fault", error_type=name)
            fault = Broken(f"the key service met {name}", cure="see logs/keyservice.log", code="LF-KEYS-FAULT")
            return ["error", *errors.carry(fault)]

    def _perform(self, method: str, arguments: list[Any]) -> Any:
        if method not in METHODS:
            raise Usage("no such call", cure="use the node of this release", code="LF-KEYS-UNKNOWN-CALL")
        with self._lock:
            return getattr(self._service, method)(*arguments)


class LeafReader:
    """Reads committed log entries from the database itself, not through the node."""

    def __init__(self, database_url: str) -> None:
        self._engine = make_engine(database_url)

    def __call__(self, index: int) -> bytes | None:
        """Return an entry's bytes, or None when there is none. AuditUnavailable when the database does not answer."""
        query = select(log_store.entries.c.leaf).where(log_store.entries.c.idx == index)
        with self._engine.connect() as connection:
            row = connection.execute(query).first()
        return None if row is None else bytes(row.leaf)

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()


def take_up_pinned(service: Keys, directory: Path, database_url: str) -> None:
    """Install what the node has pinned, or, before its first start, what it was enrolled with."""
    pinned: dict[str, bytes] = {}
    reading = make_engine(database_url)
    try:
        store.create_tables(reading)
        with reading.connect() as connection:
            for row in connection.execute(select(store.state)):
                pinned[row.name] = bytes(row.value)
    finally:
        reading.dispose()
    for name, file, install in (
        ("directory", "directory.bin", service.install_directory),
        ("policy", "policy.bin", service.install_policy),
    ):
        document = pinned.get(name)
        if document is None and (directory / file).exists():
            document = (directory / file).read_bytes()
        if document is not None:
            try:
                install(document)
            except (DirectoryRefused, PolicyError) as error:
                raise Usage(error.cause, cure=error.cure, code=error.code) from error


def run(directory: Path) -> None:
    """Be the key service of the node in `directory`, until standard input ends."""
    config, _ = configuration.load(directory)
    logs.set_up(config.log_level, config.agency, directory / "logs" / "keyservice.log")
    url = configuration.database_url(config, directory)
    service = KeyService(directory / "keys", SystemClock(), SystemRandomness(), LeafReader(url))
    take_up_pinned(service, directory, url)
    server = Server(service, directory / "keys" / SOCKET_NAME)
    server.listen()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    print("ready", flush=True)  # noqa: T201 - the node waits for this word
    while sys.stdin.buffer.read(4096):
        pass
    server.close()
    os._exit(0)
