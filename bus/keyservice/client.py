"""The node's end of the key service's socket: the same calls, with one deadline on each and a new connection when one broke.

- A call that is not answered within the deadline is KeyServiceUnavailable; the service, when it wakes, sees that its caller
  has left and does nothing.
- Connections are shared: a call takes one that is idle, or makes one. Who serves at the other end is asked of the kernel.
"""

import os
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from bus.clock import Clock, SystemClock
from bus.control import short_path
from bus.keyservice import door, errors, wire
from bus.keyservice.protocol import (
    Inspection,
    KeyServiceUnavailable,
    KeyState,
    OpenRequest,
    PublicKeys,
    SealRequest,
    SubjectValue,
)

_IDLE_MAX = 16
"""Connections kept for the next call; more are made when more threads call at once, and closed after."""


class _Timed(socket.socket):
    """A connection on which everything that one call receives comes before one moment."""

    clock: Clock
    ends_s: float

    def begin(self, deadline_s: float) -> None:
        """Begin a call."""
        self.ends_s = self.clock.monotonic_s() + deadline_s
        self.settimeout(deadline_s)

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """Receive what is there. TimeoutError at the call's end, though something came now and then."""
        left_s = self.ends_s - self.clock.monotonic_s()
        if left_s <= 0:
            raise TimeoutError
        self.settimeout(left_s)
        return super().recv(bufsize, flags)


class KeyClient:
    """Talks to a key service that runs under `user` (left out: our own)."""

    def __init__(
        self, socket_path: Path, deadline_s: float = 5.0, user: int | None = None, clock: Clock | None = None
    ) -> None:
        self.path = socket_path
        self._deadline_s = deadline_s
        self._user = os.getuid() if user is None else user
        self._clock = clock or SystemClock()
        self._idle: list[_Timed] = []
        self._lock = threading.Lock()

    def _connection(self) -> _Timed:
        while (held := self._taken()) is not None:
            if not door.has_left(held):
                return held
            held.close()  # the service was started again meanwhile
        made = _Timed(socket.AF_UNIX, socket.SOCK_STREAM)
        made.clock = self._clock
        try:
            made.settimeout(self._deadline_s)
            with short_path(self.path) as short:
                made.connect(short)
            self._require_user(made)
        except BaseException:
            made.close()
            raise
        return made

    def _require_user(self, connection: socket.socket) -> None:
        if door.peer(connection) != self._user:
            raise ConnectionRefusedError("another user listens there")

    def _taken(self) -> _Timed | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _give_back(self, connection: _Timed) -> None:
        with self._lock:
            if len(self._idle) < _IDLE_MAX:
                self._idle.append(connection)
                return
        connection.close()

    def close(self) -> None:
        """Close the connections, once nothing is asked any more."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _call(self, method: str, *arguments: Any) -> Any:
        connection: _Timed | None = None
        try:
            connection = self._connection()
            connection.begin(self._deadline_s)
            wire.send(connection, [method, list(arguments)])
            answer = wire.receive(connection)
        except (OSError, ValueError) as error:
            if connection is not None:
                connection.close()
            raise _down(type(error).__name__) from error
        except BaseException:
            if connection is not None:
                connection.close()
            raise
        if answer is None:
            connection.close()
            raise _down("it closed the connection")
        self._give_back(connection)
        if answer[0] == "ok":
            return answer[1]
        raise errors.restore(*answer[1:])

    def state(self) -> dict[str, str]:
        """Return how the key service's process is protected, for people who examine it."""
        return dict(self._call("state"))

    def public_keys(self) -> PublicKeys:
        """Return the agency's public keys."""
        found: PublicKeys = self._call("public_keys")
        return found

    def seal(self, requests: Sequence[SealRequest]) -> list[bytes]:
        """Seal messages under one signature."""
        return list(self._call("seal", list(requests)))

    def sign(self, purpose: Literal["log", "witness", "directory", "policy"], message: bytes) -> bytes:
        """Sign a checkpoint, a cosignature, or the body of a document."""
        return bytes(self._call("sign", purpose, message))

    def admit(self, payload: bytes) -> str:
        """Take in a message's inline grant."""
        return str(self._call("admit", payload))

    def admit_all(self, payloads: Sequence[bytes]) -> list[str]:
        """Take in many messages; a refusal is its code."""
        return list(self._call("admit_all", list(payloads)))

    def accept_grant(self, document: bytes) -> None:
        """Take in a grant."""
        self._call("accept_grant", document)

    def grant(self, grant_id: bytes) -> bytes:
        """Return a grant of our own."""
        return bytes(self._call("grant", grant_id))

    def inspect(self, payload: bytes) -> Inspection:
        """Say what may be known of a message without opening it."""
        found: Inspection = self._call("inspect", payload)
        return found

    def open(self, request: OpenRequest) -> dict[str, bytes]:
        """Return plaintext, once, for a committed entry."""
        return dict(self._call("open", request))

    def disclose(self, envelope: bytes, request: OpenRequest) -> bytes:
        """Return an exhibit, once, for a committed entry."""
        return bytes(self._call("disclose", envelope, request))

    def open_shipment(self, payload: bytes) -> bytes:
        """Return the sealed half of a log shipment."""
        return bytes(self._call("open_shipment", payload))

    def blind(self, kind: str, values: Sequence[str], at_ms: int) -> list[bytes]:
        """Return the blind value of each."""
        return list(self._call("blind", kind, list(values), at_ms))

    def subject_values(self, payload: bytes, field: str) -> dict[str, list[bytes]]:
        """Return the blind values of what stands in a field of a message, by quarter."""
        return dict(self._call("subject_values", payload, field))

    def blind_messages(
        self, type_names: Sequence[str], bodies: Sequence[bytes], at_ms: int
    ) -> list[list[SubjectValue]]:
        """Return the blind values of the subjects in each message of our own."""
        return list(self._call("blind_messages", list(type_names), list(bodies), at_ms))

    def fingerprint(self, records: Sequence[bytes]) -> list[bytes]:
        """Return a keyed fingerprint of each record."""
        return list(self._call("fingerprint", list(records)))

    def protect(self, context: bytes, data: bytes) -> bytes:
        """Encrypt data at rest."""
        return bytes(self._call("protect", context, data))

    def protect_all(self, contexts: Sequence[bytes], datas: Sequence[bytes]) -> list[bytes]:
        """Encrypt many pieces of data at rest."""
        return list(self._call("protect_all", list(contexts), list(datas)))

    def unprotect(self, context: bytes, data: bytes) -> bytes:
        """Decrypt data at rest."""
        return bytes(self._call("unprotect", context, data))

    def install_directory(self, document: bytes) -> None:
        """Hold to this directory from now on."""
        self._call("install_directory", document)

    def install_policy(self, document: bytes) -> None:
        """Hold to this policy bundle from now on."""
        self._call("install_policy", document)

    def tag_key(self, epoch: str) -> bytes:
        """Return the public key of our share of an epoch's tag key."""
        return bytes(self._call("tag_key", epoch))

    def tag_evaluate(self, epoch: str, elements: Sequence[bytes], log_index: int) -> list[bytes]:
        """Return blinded elements evaluated under our share and, last, the proof."""
        return list(self._call("tag_evaluate", epoch, list(elements), log_index))

    def tag_destroy(self, epoch: str) -> None:
        """Destroy our share of an epoch."""
        self._call("tag_destroy", epoch)

    def install_notice(self, document: bytes) -> None:
        """Hold to what an agency says of its own keys."""
        self._call("install_notice", document)

    def notices(self) -> list[bytes]:
        """Return every notice that is held."""
        return list(self._call("notices"))

    def key_states(self) -> list[KeyState]:
        """Return every key of this agency and how it stands."""
        return list(self._call("key_states"))

    def next_prekey(self, lifetime_ms: int) -> bytes:
        """Make the next prekey."""
        return bytes(self._call("next_prekey", lifetime_ms))

    def own_notice(self, revoke: Sequence[bytes], lifetime_ms: int) -> bytes:
        """Return the notice of this agency's keys, with these revoked too."""
        return bytes(self._call("own_notice", list(revoke), lifetime_ms))

    def next_identity(self, overlap_ms: int) -> bytes:
        """Return this agency's entry for the next directory."""
        return bytes(self._call("next_identity", overlap_ms))

    def end_epochs(self) -> int:
        """Seal nothing more under the grants of now."""
        return int(self._call("end_epochs"))

    def retire_key(self, wanted: bytes) -> None:
        """Destroy a key that is no more in force."""
        self._call("retire_key", wanted)

    def sweep_keys(self, lifetime_ms: int, grace_ms: int) -> list[bytes]:
        """Destroy keys whose time and grace are over."""
        return list(self._call("sweep_keys", lifetime_ms, grace_ms))


def _down(why: str) -> KeyServiceUnavailable:
    return KeyServiceUnavailable(
        f"the key service does not answer ({why})",
        cure="its node, or under [keys.apart] its service manager, starts it again; if this goes on, see logs/keyservice.log",
    )
