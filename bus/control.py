"""The node's control socket: how commands on the same machine talk to it.

- A Unix socket in the node's directory, for its owner alone (mode 0600).
- Who acts is the peer's user id, as the kernel gives it (SO_PEERCRED), looked up among the node's operators. A request
  cannot name an actor.
- One request and one answer a line, JSON; a request has a size limit, an answer always comes.
"""

import contextlib
import json
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog

from audit.errors import AuditError, AuditUnavailable, CommitUnknown
from bus import limits
from bus.errors import BusError, Retry, Usage
from bus.parts import Actor
from bus.sealing.errors import SealingError
from schemas.errors import SchemaError

_log = structlog.get_logger(__name__)

SOCKET_NAME = "control.sock"
_PEER_FORMAT = "3i"
Operations = dict[str, Callable[[Actor, dict[str, Any]], Any]]


@contextmanager
def short_path(path: Path) -> Iterator[str]:
    """Give a path that fits in sun_path (108 bytes) however deep the directory is: through its open descriptor."""
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{path.name}"
    finally:
        os.close(descriptor)


def listen_for_owner(listener: socket.socket, path: Path) -> None:
    """Listen at a path that its owner alone may open, in place of what a crash has left there."""
    path.unlink(missing_ok=True)
    before = os.umask(0o077)  # of the whole process: a folder that another thread makes meanwhile must stay one
    try:
        with short_path(path) as short:
            listener.bind(short)
            Path(short).chmod(0o600)
    finally:
        os.umask(before)
    listener.listen(64)


class ControlServer:
    """Serves the control socket."""

    def __init__(self, directory: Path, actors: dict[int, Actor], operations: Operations) -> None:
        self._path = directory / SOCKET_NAME
        self._actors = actors
        self._operations = operations
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="control", daemon=True)

    def start(self) -> None:
        """Listen."""
        listen_for_owner(self._socket, self._path)
        self._thread.start()

    def stop(self) -> None:
        """Stop listening; a request under way gets its answer."""
        self._stopping.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._path.unlink(missing_ok=True)

    def _serve(self) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection,), name="control-peer", daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rwb") as stream:
            actor = self._actor(connection)
            while line := stream.readline(limits.CONTROL_REQUEST_BYTES_MAX + 1):
                answer = self._answer(actor, line)
                try:
                    stream.write(json.dumps(answer, ensure_ascii=False).encode() + b"\n")
                    stream.flush()
                except (BrokenPipeError, ConnectionResetError):
                    return

    def _actor(self, connection: socket.socket) -> Actor | None:
        raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize(_PEER_FORMAT))
        _, uid, _ = struct.unpack(_PEER_FORMAT, raw)
        return self._actors.get(uid)

    def _answer(self, actor: Actor | None, line: bytes) -> dict[str, Any]:
        try:
            return {"ok": True, "result": self._perform(actor, line)}
        except BusError as error:
            return {"ok": False, "error": error.as_dict()}
        except (AuditError, SchemaError, SealingError) as error:
            return {"ok": False, "error": _facts(error)}
        except Exception as error:  # noqa: BLE001 - the edge: a caller gets an answer, the log gets the type
            _log.exception("control.failed", error_type=type(error).__name__)
            return {
                "ok": False,
                "error": {
                    "code": "LF-NODE-FAULT",
                    "cause": f"the node met an error of its own ({type(error).__name__})",
                    "cure": "see the node's log; nothing was done, or it will be found done when you look",
                    "exit": 1,
                },
            }

    def _perform(self, actor: Actor | None, line: bytes) -> Any:
        if actor is None:
            raise Usage(
                "your user id is none of this node's operators",
                cure="have the node's administrator add you under [[operators]] in node.toml",
                code="LF-CONTROL-UNKNOWN-ACTOR",
            )
        if len(line) > limits.CONTROL_REQUEST_BYTES_MAX:
            raise Usage("the request is too large", cure="send smaller files", code="LF-CONTROL-TOO-LARGE")
        try:
            request = json.loads(line)
            operation = self._operations[request["operation"]]
            arguments = request.get("arguments", {})
        except (ValueError, KeyError, TypeError):
            raise Usage(
                "the request is not of this protocol", cure="use the lianfang command of this release"
            ) from None
        return operation(actor, arguments)


def _facts(error: AuditError | SchemaError | SealingError) -> dict[str, Any]:
    """Return an error of another package as it crosses the socket: a log that takes no writes now is worth a new try."""
    retry = isinstance(error, AuditUnavailable | CommitUnknown)
    usage = isinstance(error, SchemaError)
    code = 75 if retry else 2 if usage else 1
    return {"code": error.code, "cause": error.cause, "cure": error.cure, "exit": code}


def call(directory: Path, operation: str, arguments: dict[str, Any] | None = None, timeout_s: float = 60.0) -> Any:
    """Ask the node in `directory`; return its result. Retry when no node answers; the node's own errors as they are."""
    path = directory / SOCKET_NAME
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout_s)
            with short_path(path) as short:
                connection.connect(short)
            with connection.makefile("rwb") as stream:
                request = {"operation": operation, "arguments": arguments or {}}
                stream.write(json.dumps(request, ensure_ascii=False).encode() + b"\n")
                stream.flush()
                line = stream.readline()
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        raise Retry(
            f"no node answers in {directory}", cure="start it with `lianfang node run`", code="LF-NODE-DOWN"
        ) from None
    except PermissionError:
        raise Usage(
            "the node's control socket belongs to another user",
            cure="run the command as the user who runs the node",
            code="LF-CONTROL-NOT-YOURS",
        ) from None
    except TimeoutError:
        raise Retry(
            f"the node did not answer within {timeout_s:.0f} s", cure="look again; `lianfang node doctor` says why"
        ) from None
    except (BrokenPipeError, ConnectionResetError):
        line = b""  # a node that is killed with a request half read resets the connection
    if not line.endswith(b"\n"):
        raise Retry(
            "the node went away while it worked", cure="look again: it restarts where it was", code="LF-NODE-DOWN"
        )
    answer = json.loads(line)
    if answer["ok"]:
        return answer["result"]
    raise _error(answer["error"])


def _error(facts: dict[str, Any]) -> BusError:
    known = {"code", "cause", "cure", "exit"}
    error = BusError(
        facts["cause"],
        cure=facts.get("cure", ""),
        code=facts["code"],
        **{key: value for key, value in facts.items() if key not in known},
    )
    error.exit_code = int(facts.get("exit", 1))
    return error
