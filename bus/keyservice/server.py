"""The key service as a process of its own, behind a Unix socket (door.py).

- Started by a node, it ends when its standard input does, so it never outlives that node. Run apart, under a user of its own
  ([keys.apart]), it ends at SIGTERM. `ready` on standard output says that it listens.
- On start it takes up the directory and bundle that the node has pinned, from the node's database.
- Its memory is kept from others before the first key is read (hardening.py); how much it gives is bounded (rates.py).
- One call at a time is performed, and none for a caller who has left: what waited too long is not done behind his back.
"""

import contextlib
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import make_url, select
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from audit import store as log_store
from audit.errors import AuditUnavailable
from audit.store import engine as make_engine
from bus import config as configuration
from bus import logs, store
from bus.clock import SystemClock
from bus.directory import DirectoryRefused
from bus.errors import Broken, Usage
from bus.keyservice import door, errors, providers, wire
from bus.keyservice.door import Door
from bus.keyservice.hardening import Hardening, harden
from bus.keyservice.protocol import Keys, KeyServiceUnavailable
from bus.keyservice.rates import Rates
from bus.keyservice.service import KeyService
from bus.policy.errors import PolicyError
from bus.randomness import SystemRandomness

SOCKET_NAME = "keys.sock"
UNPROTECTED = "unprotected-file"
METHODS = frozenset(name for name in vars(Keys) if not name.startswith("_"))
"""What may be called: the protocol's own methods, and nothing else that the service has."""
STATE = "state"
"""A call that the door itself answers: how the process is protected, for `lianfang node doctor`."""
_CONNECTIONS_MAX = 256
_log = structlog.get_logger(__name__)


class Server:
    """Serves a key service on a socket: to its own user without bounds, unless a door and rates are given."""

    def __init__(
        self,
        service: Keys,
        path: Path,
        entrance: Door | None = None,
        rates: Rates | None = None,
        state: dict[str, str] | None = None,
    ) -> None:
        self._service = service
        self._door = entrance or door.own(path)
        self._rates = rates
        self._state = state or {}
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(_CONNECTIONS_MAX)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    def listen(self) -> None:
        """Listen. Usage when the socket's directory lets others in."""
        try:
            self._door.listen(self._socket)
        except BaseException:
            self._socket.close()
            raise
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
            if not self._door.hears(connection):
                _log.warning("keys.stranger", uid=door.peer(connection))
                connection.close()
            elif not self._places.acquire(blocking=False):
                _log.warning("keys.crowded", connections=_CONNECTIONS_MAX)
                connection.close()
            else:
                threading.Thread(target=self._talk, args=(connection,), name="peer", daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        try:
            with connection:
                while (call := wire.receive(connection)) is not None:
                    answer = self._answer(connection, call)
                    if answer is None:
                        return
                    wire.send(connection, answer)
        except (OSError, ValueError):
            return
        finally:
            self._places.release()

    def _answer(self, connection: socket.socket, call: Any) -> list[Any] | None:
        """Return the answer to a call; None when nobody waits for it any more, and then it was not performed."""
        try:
            with self._lock:
                if door.has_left(connection):
                    return None
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
        if method == STATE:
            return self._state
        if method not in METHODS:
            raise Usage("no such call", cure="use the node of this release", code="LF-KEYS-UNKNOWN-CALL")
        if self._rates is not None:
            self._rates.admit(method, arguments)
        return getattr(self._service, method)(*arguments)


class LeafReader:
    """Reads committed log entries from the database itself, not through the node."""

    def __init__(self, database_url: str) -> None:
        self._engine = make_engine(database_url)
        self._last: tuple[int, bytes] | None = None

    def __call__(self, index: int) -> bytes | None:
        """Return an entry's bytes, or None when there is none. AuditUnavailable when the database does not answer.

        The last one is remembered, for it is asked for twice: who opens, and whether he may. Entries never change.
        """
        last = self._last
        if last is not None and last[0] == index:
            return last[1]
        query = select(log_store.entries.c.leaf).where(log_store.entries.c.idx == index)
        with self._engine.connect() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        self._last = (index, bytes(row.leaf))
        return self._last[1]

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()


def take_up_pinned(service: Keys, directory: Path, database_url: str, *, creates: bool = True) -> None:
    """Install what the node has pinned, or, before its first start, what it was enrolled with."""
    pinned: dict[str, bytes] = {}
    reading = make_engine(database_url)
    try:
        if creates:
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
    """Be the key service of the node in `directory`, until standard input ends, or, run apart, until SIGTERM."""
    protected = harden()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    config, _ = configuration.load(directory)
    keys = config.keys
    logs.set_up(config.log_level, config.agency, directory / "logs" / "keyservice.log")
    url = configuration.database_url(config, directory)
    is_apart = keys.apart is not None
    if is_apart:
        url = _read_only(url)
    entrance = door.between(keys.apart) if keys.apart is not None else door.own(keys.vault(directory) / SOCKET_NAME)
    reader, randomness = LeafReader(url), SystemRandomness()
    guards = providers.make_all(keys, directory, randomness)
    service = KeyService(keys.vault(directory), SystemClock(), randomness, reader, guards=guards)
    _require_agency(service, config.agency)
    take_up_pinned(service, directory, url, creates=not is_apart)
    if keys.provider == UNPROTECTED:
        _log.warning("keys.unprotected", provider=keys.provider)
    server = Server(
        service, entrance.path, entrance, Rates(keys.limits, SystemClock(), reader), _state(protected, keys)
    )
    server.listen()
    print("ready", flush=True)  # noqa: T201 - the node, or whoever runs it, waits for this word
    if is_apart:
        threading.Event().wait()
    while sys.stdin.buffer.read(4096):
        pass
    server.close()
    os._exit(0)


def _read_only(url: str) -> str:
    """Return the address of a database that is another user's: an SQLite file is opened for reading alone."""
    where = make_url(url)
    if where.get_backend_name() != "sqlite":
        return url
    return f"sqlite:///file:{where.database}?mode=ro&uri=true"


def _require_agency(service: Keys, agency: str) -> None:
    held = service.public_keys().agency
    if held != agency:
        raise Usage(
            f"the vault holds the keys of {held}, node.toml names {agency}",
            cure="put each agency's keys in its own node's directory",
            code="LF-KEYS-OTHER-AGENCY",
        )


def _state(protected: Hardening, keys: configuration.Keys) -> dict[str, str]:
    return {
        "provider": keys.provider,
        "core": "off" if protected.no_core else "on",
        "trace": "off" if protected.no_trace else "on",
        "memory": protected.memory or "locked",
        "user": str(os.getuid()),
    }
