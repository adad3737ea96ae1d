"""A key in a PKCS#11 token (an HSM) guards the key-encryption key: the token wraps it with AES-GCM, and unwraps it.

- The token's key never leaves the token: one that may (extractable, or not sensitive) is refused, it would guard nothing.
- Nothing but the 32 bytes of the key-encryption key goes to the token, once at each start and each rekeying.
- A token locks itself after some wrong PINs. The last try is never used: it stays for a person.
- Make the key with the vendor's tool: AES, 256 bits, private, sensitive, not extractable, for encryption and decryption.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pkcs11
from pkcs11 import exceptions as refusals

from bus.config import Token
from bus.errors import BusError, Usage
from bus.keyservice.keyfile import Parameters
from bus.keyservice.providers.source import Source
from bus.randomness import Randomness

_NONCE_BYTES = 12
_SEE_SETTINGS = "see [keys.pkcs11] of node.toml, and the token with the vendor's tool"
_PIN_WRONG = (refusals.PinIncorrect, refusals.PinInvalid, refusals.PinLenRange)
_DOES_NOT_OPEN = (
    refusals.EncryptedDataInvalid,
    refusals.EncryptedDataLenRange,
    refusals.GeneralError,  # what SoftHSM says of a tag that does not hold
    refusals.DataInvalid,
    refusals.FunctionFailed,
)


class TokenKey:
    """Wraps with a token's key."""

    name = "pkcs11"

    def __init__(self, settings: Token, pin: Source, randomness: Randomness) -> None:
        self._settings = settings
        self._pin = pin
        self._randomness = randomness

    def parameters(self) -> Parameters:
        """Return which key of which token."""
        return {"token": self._settings.token, "key": self._settings.key}

    def made(self, parameters: Parameters) -> bool:
        """Say whether that is the configured key."""
        return parameters == self.parameters()

    def wrap(self, kek: bytes, parameters: Parameters, context: bytes) -> bytes:  # noqa: ARG002 - they are the settings
        """Return nonce and ciphertext."""
        nonce = self._randomness.bytes(_NONCE_BYTES)
        with self._key() as key:
            return nonce + bytes(key.encrypt(kek, **_gcm(nonce, context)))

    def unwrap(self, wrapped: bytes, parameters: Parameters, context: bytes) -> bytes:  # noqa: ARG002 - they are the settings
        """Return the key."""
        with self._key() as key:
            try:
                return bytes(key.decrypt(wrapped[_NONCE_BYTES:], **_gcm(wrapped[:_NONCE_BYTES], context)))
            except _DOES_NOT_OPEN:
                raise Usage(
                    "the token's key does not open kek.json",
                    cure="the token has another key of that name, or kek.json was changed; see the token and the backup",
                    code="LF-KEYS-TOKEN-OTHER-KEY",
                ) from None

    @contextmanager
    def _key(self) -> Iterator[Any]:
        try:
            with self._token().open(user_pin=self._pin.text()) as session:
                yield _guarding(self._only(session.get_objects(self._wanted())))
        except refusals.PKCS11Error as error:
            raise refusal(error, self._settings) from None

    def _wanted(self) -> dict[Any, Any]:
        kind = pkcs11.ObjectClass.SECRET_KEY
        return {pkcs11.Attribute.CLASS: kind, pkcs11.Attribute.LABEL: self._settings.key}

    def _only(self, found: Iterable[Any]) -> Any:
        """Return the one key. The search is read to its end: one left open fails when the session closes."""
        keys = list(found)
        if len(keys) != 1:
            raise refusals.NoSuchKey
        return keys[0]

    def _token(self) -> Any:
        """Return the token, unless another wrong PIN would lock it."""
        token = _library(self._settings.module).get_token(token_label=self._settings.token)
        flags = token.flags
        if flags & pkcs11.TokenFlag.USER_PIN_LOCKED:
            raise refusals.PinLocked
        if flags & pkcs11.TokenFlag.USER_PIN_FINAL_TRY:
            raise Usage(
                f"one more wrong PIN would lock the token {self._settings.token}: it was not tried",
                cure="log in once by hand with the vendor's tool and the right PIN, mend the PIN's source, start again",
                code="LF-KEYS-PIN-LAST-TRY",
            )
        return token


def refusal(error: refusals.PKCS11Error, settings: Token) -> BusError:
    """Return what a token's refusal means to an operator. The module's own text is not passed on: only its kind."""
    token = settings.token
    if isinstance(error, refusals.PinLocked):
        return Usage(
            f"the PIN of the token {token} is locked",
            cure="have the token's security officer unlock it; find out who tried wrong PINs",
            code="LF-KEYS-PIN-LOCKED",
        )
    if isinstance(error, _PIN_WRONG):
        return Usage(
            f"the token {token} refuses the PIN",
            cure="mend the PIN's source before you start again: a token locks itself after some wrong ones",
            code="LF-KEYS-PIN-WRONG",
        )
    if isinstance(error, refusals.NoSuchKey):
        return Usage(
            f"the token {token} has no key {settings.key}, or several", cure=_SEE_SETTINGS, code="LF-KEYS-TOKEN-KEY"
        )
    if isinstance(error, (refusals.NoSuchToken, refusals.MultipleTokensReturned, refusals.TokenNotPresent)):
        return Usage(
            f"there is no token {token}, or several of that name",
            cure="plug it in, see that its service runs; " + _SEE_SETTINGS,
            code="LF-KEYS-TOKEN-MISSING",
        )
    return Usage(
        f"the token {token} refused ({type(error).__name__})", cure=_SEE_SETTINGS, code="LF-KEYS-TOKEN-REFUSED"
    )


def _library(module: str) -> Any:
    if Path(module).is_file():
        try:
            return pkcs11.lib(module)
        except (RuntimeError, OSError):  # no library, or not one of PKCS#11; what it says is the loader's
            pass
    raise Usage(
        f"the PKCS#11 module {module} is not there, or does not load",
        cure="install the vendor's module, and name it in [keys.pkcs11] of node.toml",
        code="LF-KEYS-TOKEN-MODULE",
    )


def _guarding(key: Any) -> Any:
    if key[pkcs11.Attribute.EXTRACTABLE] or not key[pkcs11.Attribute.SENSITIVE]:
        raise Usage(
            "the token's key can be taken out of the token, so it guards nothing",
            cure="make another: AES, 256 bits, private, sensitive, not extractable",
            code="LF-KEYS-TOKEN-WEAK",
        )
    return key


def _gcm(nonce: bytes, context: bytes) -> dict[str, Any]:
    return {"mechanism": pkcs11.Mechanism.AES_GCM, "mechanism_param": pkcs11.GCMParams(nonce, aad=context)}
