"""The broker's management interface on loopback: what the local scripts and tests ask of it."""

import base64
import hashlib
import json
import re
import secrets
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from bus.errors import Broken, NoAnswer
from bus.transport.topology import ADMINISTRATOR, VIRTUAL_HOST

_SECONDS_MAX = 30


def password_hash(password: str) -> str:
    """Return the salted hash that RabbitMQ keeps of a password (rabbit_password_hashing_sha256)."""
    salt = secrets.token_bytes(4)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


@dataclass(frozen=True)
class Management:
    """The interface on 127.0.0.1 at `port`. NoAnswer when the broker is down, Broken when it refuses."""

    port: int
    password: str

    def import_definitions(self, definitions: dict[str, Any]) -> None:
        """Add users, rights, exchanges, queues and bindings to the running broker; what is there stays."""
        self._ask("POST", "definitions", definitions)

    def queues(self) -> list[dict[str, Any]]:
        """Return every queue with its name and how many messages it holds."""
        path = f"queues/{VIRTUAL_HOST}?disable_stats=true&enable_queue_totals=true"
        answer: list[dict[str, Any]] = self._ask("GET", path)
        return answer

    def connections(self) -> list[dict[str, Any]]:
        """Return every connection with its name and user."""
        answer: list[dict[str, Any]] = self._ask("GET", "connections")
        return answer

    def close_connections(self, user: str) -> None:
        """Close what a user has open: after a revocation, which the broker looks at only when somebody connects."""
        for connection in self.connections():
            if connection.get("user") == user:
                self._ask("DELETE", f"connections/{quote(connection['name'], safe='')}")

    def purge(self, queue: str) -> None:
        """Forget every message that waits in a queue. The administrator takes the right to do so, and gives it back."""
        permission = f"permissions/{VIRTUAL_HOST}/{ADMINISTRATOR}"
        self._ask("PUT", permission, {"configure": "^$", "write": "^$", "read": rf"^{re.escape(queue)}\z"})
        try:
            self._ask("DELETE", f"queues/{VIRTUAL_HOST}/{quote(queue, safe='')}/contents")
        finally:
            self._ask("PUT", permission, {"configure": "^$", "write": "^$", "read": "^$"})

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        credentials = base64.b64encode(f"{ADMINISTRATOR}:{self.password}".encode()).decode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Basic {credentials}", "Content-Type": "application/json"},
            method=method,
        )
        try:
            with _LOOPBACK.open(request, timeout=_SECONDS_MAX) as answer:
                content = answer.read()
        except urllib.error.HTTPError as error:
            words = error.read(2000).decode(errors="replace")
            error.close()
            raise Broken(
                f"the broker refused {method} {path.split('/', 1)[0]}: {error.code} {words}",
                cure="look into the broker's log with `lianfang broker logs`",
                code="LF-BROKER-REFUSED",
            ) from error
        except OSError as error:
            raise NoAnswer(
                f"the broker's management interface on port {self.port} does not answer",
                cure="start the broker with `lianfang broker start`",
                code="LF-BROKER-DOWN",
            ) from error
        return json.loads(content) if content else None


_LOOPBACK = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Never through a proxy that the environment names."""
