"""The tables of a vault, and how a secret in them is encrypted."""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, String, Table, UniqueConstraint

from bus.errors import Broken
from bus.keyservice.keyfile import VAULT_ID_BYTES
from bus.randomness import Randomness

metadata = MetaData()
vault_table = Table(
    "vault",
    metadata,
    Column("id", LargeBinary(VAULT_ID_BYTES), primary_key=True),
    Column("generation", Integer, nullable=False),
    Column("proof", LargeBinary, nullable=False),
)
secrets_table = Table(
    "secrets",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)
pins_table = Table(
    "pins",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)
grants_table = Table(
    "grants",
    metadata,
    Column("grant_id", LargeBinary(16), primary_key=True),
    Column("plan", LargeBinary(32), nullable=False, index=True),
    Column("document", LargeBinary, nullable=False),
    Column("not_after_ms", BigInteger, nullable=False),
    Column("reserved", BigInteger, nullable=False),
)
used_entries = Table(
    "used_entries",
    metadata,
    Column("idx", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("token_digest", LargeBinary(32), nullable=False),
    UniqueConstraint("token_digest"),
)
SEALED_TABLES = ((secrets_table, b"secret\x00"), (pins_table, b"pin\x00"))
"""Every table whose column `sealed` is encrypted under the key-encryption key, and with which context its `name`."""
_NONCE_BYTES = 12


class Cipher:
    """Encrypts secrets under a key-encryption key, each bound to where it lies."""

    def __init__(self, kek: bytes, randomness: Randomness) -> None:
        self._kek = AESGCM(kek)
        self._randomness = randomness

    def seal(self, context: bytes, data: bytes) -> bytes:
        """Return nonce and ciphertext."""
        nonce = self._randomness.bytes(_NONCE_BYTES)
        return nonce + self._kek.encrypt(nonce, data, context)

    def unseal(self, context: bytes, data: bytes, what: str) -> bytes:
        """Return the secret. Broken when it was changed, moved, or is under another key: which of them is not said."""
        try:
            return self._kek.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], context)
        except (InvalidTag, ValueError):
            raise Broken(
                f"the secret {what} does not decrypt",
                cure="keys.db and kek.json do not belong together, or one was changed; restore both from one backup",
                code="LF-KEYS-CORRUPT",
            ) from None
