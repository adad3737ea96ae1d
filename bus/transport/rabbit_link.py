"""One connection to RabbitMQ with the thread that owns it: connects, says why not, connects again, lets go.

- pika is not thread-safe: everything on a connection happens in its thread; others come in by `call`.
- A connection object serves once. A new one is made from the loop here, never from its predecessor's callbacks.
- The certificate files are read at each attempt, so a renewed certificate needs no restart.
"""

import logging
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import pika
import structlog
from pika.credentials import ExternalCredentials
from pika.exceptions import StreamLostError

from bus.config import Broker
from bus.randomness import Randomness
from bus.transport.trouble import FILES, Trouble, explain

_log = structlog.get_logger(__name__)
logging.getLogger("pika").setLevel(logging.CRITICAL)  # each of its errors reaches us, and is said in our words

HEARTBEAT_S = 10
PAUSE_S_MIN, PAUSE_S_MAX = 0.1, 5.0
_TIMEOUT_S = 10
_FINISH_S = 5.0
_FINISH_POLL_S = 0.02
_JOIN_S = 15.0


class Work(Protocol):
    """What a connection is used for. All calls come from the connection's thread."""

    def opened(self, connection: "JoinedConnection") -> None:
        """Begin: the connection is open."""
        ...

    def closed(self) -> None:
        """Forget everything that belonged to the connection: it is gone."""
        ...

    def finish(self) -> bool:
        """Begin nothing new; return whether all that was begun is done."""
        ...


class JoinedConnection(pika.SelectConnection):
    """pika's connection, writing the frames of a message, or of many, at once instead of one TLS record each.

    The two methods used are pika's own business (1.4); should a version lack them, it writes as it always did.
    """

    _gathered: list[bytes] | None = None

    def _output_marshaled_frames(self, marshaled_frames: Any) -> None:
        if self._gathered is not None:
            self._gathered.extend(marshaled_frames)
        else:
            self._write_joined(marshaled_frames)

    def _write_joined(self, frames: Any) -> None:
        data, inner = b"".join(frames), cast("Any", self)
        inner.bytes_sent += len(data)
        inner.frames_sent += len(frames)
        inner._adapter_emit_data(data)  # noqa: SLF001 - pika has no public way to write several frames at once

    @contextmanager
    def gathering(self) -> Iterator[None]:
        """Write everything that is sent meanwhile at once, at the end."""
        if not hasattr(pika.SelectConnection, "_adapter_emit_data"):
            yield
            return
        self._gathered = []
        try:
            yield
        finally:
            frames, self._gathered = self._gathered, None
            if frames and self.is_open:
                self._write_joined(frames)

    def abandon(self) -> None:
        """End the connection without asking the broker: it does not answer."""
        terminate = getattr(self, "_terminate_stream", None)
        if terminate is None:
            self.ioloop.stop()
        else:
            terminate(StreamLostError("no answer in time"))


@dataclass(frozen=True)
class Endpoint:
    """Where the broker is and who we are. Relative file names are within the node's directory."""

    agency: str
    broker: Broker
    directory: Path

    def parameters(self, name: str) -> pika.ConnectionParameters:
        """Return pika's parameters. OSError (ssl.SSLError included) when a certificate file cannot be read."""
        context = ssl.create_default_context(cafile=str(self.directory / self.broker.ca_file))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.directory / self.broker.certificate_file, self.directory / self.broker.key_file)
        return pika.ConnectionParameters(
            host=self.broker.host,
            port=self.broker.port,
            virtual_host=self.broker.virtual_host,
            credentials=ExternalCredentials(),
            ssl_options=pika.SSLOptions(context, self.broker.host),
            heartbeat=HEARTBEAT_S,
            socket_timeout=_TIMEOUT_S,
            stack_timeout=_TIMEOUT_S,
            tcp_options={"TCP_USER_TIMEOUT": _TIMEOUT_S * 1000},
            client_properties={"connection_name": f"{self.agency} {name}", "product": "lianfang"},
        )


class Link:
    """A connection that is kept up for a piece of work."""

    def __init__(self, name: str, endpoint: Endpoint, work: Work, randomness: Randomness) -> None:
        self.name = name
        self.is_open = False
        self.trouble: Trouble | None = None
        self._endpoint = endpoint
        self._work = work
        self._randomness = randomness
        self._connection: JoinedConnection | None = None
        self._opened_once = False
        self._finish_polls = 0
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to connect, in a thread."""
        self._stopping.clear()
        self._finish_polls = 0
        self._thread = threading.Thread(target=self._run, name=f"{self._endpoint.agency}-{self.name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Let the work finish, then close; `join` waits for it."""
        self._stopping.set()
        self.call(self._finish)

    def join(self) -> None:
        """Wait until the thread has ended."""
        if self._thread is not None:
            self._thread.join(timeout=_JOIN_S)

    def call(self, function: Callable[[], None]) -> None:
        """Run a function in the connection's thread; nothing happens while there is no connection."""
        connection = self._connection
        if connection is not None:
            connection.ioloop.add_callback_threadsafe(function)

    def say(self, trouble: Trouble) -> None:
        """Keep what is wrong for health, and log it when it is news."""
        if trouble != self.trouble:
            self.trouble = trouble
            _log.warning(
                "transport.trouble", thread=self.name, code=trouble.code, cause=trouble.cause, cure=trouble.cure
            )

    def _run(self) -> None:
        pause = PAUSE_S_MIN
        while not self._stopping.is_set():
            self._opened_once = False
            self._serve_one_connection()
            pause = PAUSE_S_MIN if self._opened_once else min(pause * 2, PAUSE_S_MAX)
            self._stopping.wait(pause * (0.5 + self._randomness.bytes(1)[0] / 256))

    def _serve_one_connection(self) -> None:
        try:
            parameters = self._endpoint.parameters(self.name)
        except OSError:
            self.say(FILES)
            return
        connection = JoinedConnection(
            parameters,
            on_open_callback=self._on_open,
            on_open_error_callback=self._on_down,
            on_close_callback=self._on_down,
        )
        self._connection = connection
        if self._stopping.is_set():
            self.call(self._finish)  # `stop` came before there was anything to call
        try:
            connection.ioloop.start()
        except Exception as error:  # noqa: BLE001 - pika's own faults end the connection, not the node
            _log.exception("transport.fault", thread=self.name, error_type=type(error).__name__)
            self.say(explain(error))
        finally:
            self.is_open, self._connection = False, None
            self._work.closed()
            connection.ioloop.close()

    def _on_open(self, connection: pika.connection.Connection) -> None:
        assert isinstance(connection, JoinedConnection)
        self._opened_once = self.is_open = True
        self.trouble = None
        self._work.opened(connection)

    def _on_down(self, connection: pika.connection.Connection, error: BaseException) -> None:
        assert isinstance(connection, JoinedConnection)
        self.is_open = False
        if not self._stopping.is_set():
            self.say(explain(error))
        connection.ioloop.stop()

    def _finish(self) -> None:
        connection = self._connection
        if connection is None or connection.is_closing or connection.is_closed:
            return
        self._finish_polls += 1
        if connection.is_open and not self._work.finish() and self._finish_polls * _FINISH_POLL_S < _FINISH_S:
            connection.ioloop.call_later(_FINISH_POLL_S, self._finish)
            return
        connection.close()
        connection.ioloop.call_later(_FINISH_S, connection.abandon)
