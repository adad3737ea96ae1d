"""A stub of the HTTP API of Vault's transit engine, as its documentation has it: encrypt and decrypt, over TLS, on loopback.

https://developer.hashicorp.com/vault/api-docs/secret/transit. It is no Vault: what a real one does beyond its documentation
is not tested here, and docs/operating.md says so. It keeps every body it was sent, for tests that look what a server sees.
"""

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bus.randomness import SystemRandomness
from deploy.local.certificates import Authority, Identity

TOKEN = "hvs.test-token"


@dataclass
class Stub:
    """A server with keys by (mount, name), and what tests may have it do instead of answering."""

    address: str
    identity: Identity
    keys: dict[tuple[str, str], bytes] = field(default_factory=dict)
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    status: int = 0
    raw: bytes = b""
    drips: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    def answer(self, path: str, token: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Return status and JSON of one request."""
        if self.status:
            return self.status, {"errors": []}
        if token != TOKEN:
            return 403, {"errors": ["permission denied"]}
        *mount, call, name = path.removeprefix("/v1/").split("/")
        key = self.keys.get(("/".join(mount), name))
        if not [held for held in self.keys if held[0] == "/".join(mount)]:
            return 404, {"errors": ["no handler for route"]}
        if key is None:
            return 400, {"errors": ["encryption key not found"]}
        return _encrypt(key, body) if call == "encrypt" else _decrypt(key, body)


def _encrypt(key: bytes, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    nonce = SystemRandomness().bytes(12)
    sealed = nonce + AESGCM(key).encrypt(nonce, base64.b64decode(body["plaintext"]), b"")
    return 200, {"data": {"ciphertext": "vault:v1:" + base64.b64encode(sealed).decode(), "key_version": 1}}


def _decrypt(key: bytes, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    try:
        sealed = base64.b64decode(body["ciphertext"].removeprefix("vault:v1:"), validate=True)
        plain = AESGCM(key).decrypt(sealed[:12], sealed[12:], b"")
    except (InvalidTag, ValueError):
        return 400, {"errors": ["invalid ciphertext: unable to decrypt"]}
    return 200, {"data": {"plaintext": base64.b64encode(plain).decode()}}


@contextmanager
def serve(directory: Path) -> Iterator[Stub]:
    """Run a stub on a port of loopback until the end."""
    identity = Authority.open(directory).server()
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.certificate, identity.key)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    stub = Stub(f"https://localhost:{server.server_port}", identity)
    server.RequestHandlerClass = type("Handler", (_Handler,), {"stub": stub})
    server.handle_error = lambda *_: None  # a client that leaves, or trusts us not, is what some tests are about
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        stub.ended.set()
        server.shutdown()
        thread.join(10)
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    stub: Stub

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.stub.bodies.append(body)
        self.stub.headers.append(dict(self.headers))
        status, value = self.stub.answer(self.path, self.headers["X-Vault-Token"], json.loads(body))
        data = self.stub.raw or json.dumps(value).encode()
        self.send_response(status)
        if status in (301, 307):
            self.send_header("Location", "https://localhost:1/v1/transit/encrypt/kek")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        while self.stub.drips.is_set() and not self.stub.ended.wait(0.05):
            self.wfile.write(b" ")  # never silent for long, and never done
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""
