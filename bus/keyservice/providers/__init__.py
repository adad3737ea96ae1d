"""Who guards the key-encryption key, chosen by name in [keys] of node.toml.

A provider wraps 32 bytes and gives them back; it sees no other key and no message. Its parameters stand in the key file and
are no secret; its secrets (passphrase, PIN, token) come from a `Source` each time they are needed and are kept nowhere.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from bus import config
from bus.errors import Usage
from bus.keyservice.keyfile import Parameters
from bus.keyservice.providers.passphrase import Argon2
from bus.keyservice.providers.source import Source
from bus.keyservice.providers.unprotected import UnprotectedFile
from bus.randomness import Randomness


class Provider(Protocol):
    """Guards a key-encryption key."""

    name: str

    def parameters(self) -> Parameters:
        """Return the parameters of a new wrapping."""
        ...

    def made(self, parameters: Parameters) -> bool:
        """Say whether this guard, as configured, is the one that made such a wrapping."""
        ...

    def wrap(self, kek: bytes, parameters: Parameters, context: bytes) -> bytes:
        """Return the key wrapped, bound to a context."""
        ...

    def unwrap(self, wrapped: bytes, parameters: Parameters, context: bytes) -> bytes:
        """Return the key. BusError, with a code for the operator, when it is not given."""
        ...


def make(guard: config.Guard, directory: Path, randomness: Randomness) -> Provider:
    """Return the provider that a configuration names; relative paths are within the node's directory."""
    return _MAKE[guard.provider](guard, directory, randomness)


def make_all(keys: config.Keys, directory: Path, randomness: Randomness) -> tuple[Provider, ...]:
    """Return the provider in force, and after it the one before, where [keys.former] names one."""
    guards = (keys, *([keys.former] if keys.former is not None else []))
    return tuple(make(guard, directory, randomness) for guard in guards)


def _passphrase(guard: config.Guard, directory: Path, randomness: Randomness) -> Provider:
    assert guard.passphrase is not None
    return Argon2(guard.passphrase, Source(guard.passphrase.source, directory, "passphrase"), randomness)


def _pkcs11(guard: config.Guard, directory: Path, randomness: Randomness) -> Provider:
    assert guard.pkcs11 is not None
    try:
        from bus.keyservice.providers.token import TokenKey  # noqa: PLC0415 - the optional extra, loaded only where it is used
    except ImportError:
        raise Usage(
            "provider pkcs11 needs python-pkcs11, which is not installed or does not load",
            cure="install lianfang with its extra: lianfang[pkcs11]",
            code="LF-KEYS-NO-PKCS11",
        ) from None
    return TokenKey(guard.pkcs11, Source(guard.pkcs11.pin, directory, "PIN"), randomness)


def _transit(guard: config.Guard, directory: Path, randomness: Randomness) -> Provider:
    from bus.keyservice.providers.transit import TransitKey  # noqa: PLC0415 - http and ssl are loaded only where used

    assert guard.transit is not None
    ca_file = str(directory / guard.transit.ca_file) if guard.transit.ca_file else ""
    return TransitKey(guard.transit, ca_file, Source(guard.transit.token, directory, "token"), randomness)


_MAKE: dict[str, Callable[[config.Guard, Path, Randomness], Provider]] = {
    "unprotected-file": lambda *_: UnprotectedFile(),
    "passphrase": _passphrase,
    "pkcs11": _pkcs11,
    "transit": _transit,
}
