"""A passphrase guards the key-encryption key: Argon2id (RFC 9106) makes the key that wraps it, with AES-256-GCM.

Memory, passes and lanes stand in the key file. Less than RFC 9106's second recommended setting is refused, and so is more
than a machine has: who can write the key file must not make the service weak, or make it fill the memory.
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from bus.config import Passphrase
from bus.errors import Broken, Usage
from bus.keyservice.keyfile import KEK_BYTES, Parameters
from bus.keyservice.providers.source import Source
from bus.randomness import Randomness

PASSPHRASE_BYTES_MIN = 12
_SALT_BYTES = 16
_NONCE_BYTES = 12
_BOUNDS = {"memory_mib": (64, 4096), "passes": (3, 64), "lanes": (1, 16)}
"""Least and most of each; RFC 9106 section 4: 64 MiB and three passes where memory is scarce."""


class Argon2:
    """Wraps under a key made from a passphrase."""

    name = "passphrase"

    def __init__(self, settings: Passphrase, source: Source, randomness: Randomness) -> None:
        self._settings = settings
        self._source = source
        self._randomness = randomness

    def parameters(self) -> Parameters:
        """Return a fresh salt and the configured cost."""
        settings = self._settings
        return {
            "salt": self._randomness.bytes(_SALT_BYTES).hex(),
            "memory_mib": settings.memory_mib,
            "passes": settings.passes,
            "lanes": settings.lanes,
        }

    def made(self, parameters: Parameters) -> bool:  # noqa: ARG002 - one passphrase cannot be told from another
        """Say that it may have: whether the passphrase is the one shows only when it is tried."""
        return True

    def wrap(self, kek: bytes, parameters: Parameters, context: bytes) -> bytes:
        """Return nonce and ciphertext. Usage when the passphrase is shorter than allowed."""
        passphrase = self._source.read(is_new=True)
        if len(passphrase) < PASSPHRASE_BYTES_MIN:
            raise Usage(
                f"the passphrase has fewer than {PASSPHRASE_BYTES_MIN} bytes",
                cure="take six or more words drawn by dice, or 32 random bytes in hexadecimal",
                code="LF-KEYS-PASSPHRASE-SHORT",
            )
        nonce = self._randomness.bytes(_NONCE_BYTES)
        return nonce + AESGCM(_derive(passphrase, parameters)).encrypt(nonce, kek, context)

    def unwrap(self, wrapped: bytes, parameters: Parameters, context: bytes) -> bytes:
        """Return the key. Usage when the passphrase is another one; a changed key file looks the same, and must."""
        key = _derive(self._source.read(), parameters)
        try:
            return AESGCM(key).decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], context)
        except (InvalidTag, ValueError):
            raise Usage(
                "the passphrase does not open kek.json",
                cure="see that the source in [keys.passphrase] of node.toml gives the passphrase of this vault; where it does, "
                "kek.json was changed: restore it from backup",
                code="LF-KEYS-PASSPHRASE",
            ) from None


def _derive(passphrase: bytes, parameters: Parameters) -> bytes:
    if set(parameters) != {*_BOUNDS, "salt"}:
        raise _refused()
    cost = {}
    for name, (least, most) in _BOUNDS.items():
        value = parameters[name]
        if not isinstance(value, int) or not least <= value <= most:
            raise _refused()
        cost[name] = value
    try:
        salt = bytes.fromhex(str(parameters["salt"]))
    except ValueError:
        raise _refused() from None
    if len(salt) != _SALT_BYTES:
        raise _refused()
    argon2 = Argon2id(
        salt=salt,
        length=KEK_BYTES,
        iterations=cost["passes"],
        lanes=cost["lanes"],
        memory_cost=cost["memory_mib"] * 1024,
    )
    return argon2.derive(passphrase)


def _refused() -> Broken:
    return Broken(
        "kek.json asks for an Argon2id that is weaker or costlier than this release allows",
        cure="somebody may have changed it: restore it from backup",
        code="LF-KEYS-ARGON2",
    )
