"""A key in a Vault's transit engine guards the key-encryption key, over its HTTP API.

- The vault server sees 32 random bytes that wrap the key-encryption key in the key file, not that key, and no class key:
  whoever runs it opens nothing without the key file, and whoever takes the key file opens nothing without it.
- TLS always, the server's certificate checked; one deadline for the whole exchange; no redirect is followed, no proxy used.
- Only two calls of the API: POST /v1/MOUNT/encrypt/KEY and POST /v1/MOUNT/decrypt/KEY.

It was tested against a stub of the documented API (tests/keyservice/transit_stub.py), never against a real server.
"""

import base64
import binascii
import contextlib
import http.client
import json
import socket
import ssl
import threading
from urllib.parse import quote

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bus.config import Transit
from bus.errors import BusError, Retry, Usage
from bus.keyservice.keyfile import KEK_BYTES, Parameters
from bus.keyservice.providers.source import Source
from bus.randomness import Randomness

_NONCE_BYTES = 12
_SEALED_BYTES = _NONCE_BYTES + KEK_BYTES + 16
_ANSWER_BYTES_MAX = 64 * 1024
_DENIED, _NOT_FOUND, _BAD_REQUEST, _OK = 403, 404, 400, 200
_LATER = frozenset({412, 429, 472, 473, 500, 502, 503})
"""A standby that lags, too many requests, a sealed or failing server: that passes."""


class TransitKey:
    """Wraps with a transit key."""

    name = "transit"

    def __init__(self, settings: Transit, ca_file: str, token: Source, randomness: Randomness) -> None:
        self._settings = settings
        self._ca_file = ca_file
        self._token = token
        self._randomness = randomness

    def parameters(self) -> Parameters:
        """Return which key of which engine; the server's address may change."""
        return {"namespace": self._settings.namespace, "mount": self._settings.mount, "key": self._settings.key}

    def made(self, parameters: Parameters) -> bool:
        """Say whether that is the configured key."""
        return parameters == self.parameters()

    def wrap(self, kek: bytes, parameters: Parameters, context: bytes) -> bytes:  # noqa: ARG002 - they are the settings
        """Return the key sealed under 32 fresh bytes, and those as the server has encrypted them."""
        inner, nonce = self._randomness.bytes(KEK_BYTES), self._randomness.bytes(_NONCE_BYTES)
        ciphertext = self._ask("encrypt", "ciphertext", plaintext=base64.b64encode(inner).decode())
        return nonce + AESGCM(inner).encrypt(nonce, kek, context) + ciphertext.encode()

    def unwrap(self, wrapped: bytes, parameters: Parameters, context: bytes) -> bytes:  # noqa: ARG002 - they are the settings
        """Return the key."""
        sealed, ciphertext = wrapped[:_SEALED_BYTES], wrapped[_SEALED_BYTES:]
        try:
            given = self._ask("decrypt", "plaintext", ciphertext=ciphertext.decode("ascii"))
            inner = base64.b64decode(given, validate=True)
            return AESGCM(inner).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], context)
        except (InvalidTag, binascii.Error, ValueError):
            raise _other_key() from None

    def _ask(self, call: str, wanted: str, **body: str) -> str:
        """Make one call; return one string of its `data`."""
        path = f"/v1/{self._settings.mount}/{call}/{quote(self._settings.key, safe='')}"
        try:
            status, answer = self._exchange(path, json.dumps(body).encode())
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
            raise self._away(type(error).__name__) from None
        except ssl.SSLError as error:
            raise Usage(
                f"no TLS with {self._settings.address}: {(error.reason or 'refused').lower().replace('_', ' ')}",
                cure="see address and ca_file in [keys.transit] of node.toml, and the server's certificate",
                code="LF-KEYS-TRANSIT-TLS",
            ) from None
        except (OSError, http.client.HTTPException) as error:
            raise self._away(type(error).__name__) from None
        if status != _OK:
            raise self._refusal(status)
        try:
            found = json.loads(answer)["data"][wanted]
        except (ValueError, KeyError, TypeError, RecursionError):
            found = None
        if not isinstance(found, str) or not found.isascii():
            raise Usage(
                f"{self._settings.address} answers as no transit engine does",
                cure="see address and mount in [keys.transit] of node.toml",
                code="LF-KEYS-TRANSIT-ANSWER",
            )
        return found

    def _exchange(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Send one request and read its answer, all within the deadline. OSError when that cannot be."""
        host, _, port = self._settings.address.removeprefix("https://").partition(":")
        context = ssl.create_default_context(cafile=self._ca_file or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        headers = self._headers()
        deadline_s = self._settings.deadline_s
        plain = socket.create_connection((host, int(port or 443)), timeout=deadline_s)
        with context.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False) as secured:
            late = threading.Timer(deadline_s, _cut, [secured])  # a timeout alone bounds each read, not all of them
            late.daemon = True
            late.start()
            try:
                secured.do_handshake()
                connection = http.client.HTTPConnection(host)
                connection.sock = secured
                connection.request("POST", path, body, headers)
                with connection.getresponse() as response:
                    status, answer = response.status, response.read(_ANSWER_BYTES_MAX + 1)
                    if response.length or len(answer) > _ANSWER_BYTES_MAX:  # cut at the deadline, or without end
                        raise http.client.IncompleteRead(answer)
            finally:
                late.cancel()
        return status, answer

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "X-Vault-Request": "true", "X-Vault-Token": self._token.text()}
        return headers | ({"X-Vault-Namespace": self._settings.namespace} if self._settings.namespace else {})

    def _away(self, why: str) -> Retry:
        return Retry(
            f"{self._settings.address} does not answer ({why})",
            cure="see that it runs and is unsealed, and the way to it; then start again",
            code="LF-KEYS-TRANSIT-DOWN",
        )

    def _refusal(self, status: int) -> BusError:
        if status in _LATER:
            return self._away(f"status {status}")
        if status == _DENIED:
            return Usage(
                f"{self._settings.address} refuses the token",
                cure="renew the token; its policy must allow update on encrypt/KEY and decrypt/KEY",
                code="LF-KEYS-TRANSIT-DENIED",
            )
        if status == _NOT_FOUND:
            return Usage(
                f"{self._settings.address} has no such engine or key",
                cure="see mount, namespace and key in [keys.transit] of node.toml",
                code="LF-KEYS-TRANSIT-KEY",
            )
        if status == _BAD_REQUEST:
            return _other_key()
        return Usage(
            f"{self._settings.address} answers with status {status}",
            cure="see address and mount in [keys.transit] of node.toml",
            code="LF-KEYS-TRANSIT-ANSWER",
        )


def _other_key() -> Usage:
    return Usage(
        "the transit key does not open kek.json",
        cure="the engine has another key of that name, or not its old version any more, or kek.json was changed",
        code="LF-KEYS-TRANSIT-OTHER-KEY",
    )


def _cut(connection: ssl.SSLSocket) -> None:
    """End a connection from another thread: whoever reads from it gets an error at once."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
