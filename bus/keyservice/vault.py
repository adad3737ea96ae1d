"""Where the key service keeps its secrets: a database of its own, each secret encrypted under the key-encryption key.

Files are their owner's alone; the service does not start when they are not.
"""

import os
import stat
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, String, Table, insert, select, update
from sqlalchemy.exc import IntegrityError

from audit.store import engine as make_engine
from bus.errors import Broken, Usage
from bus.randomness import Randomness

metadata = MetaData()
secrets_table = Table(
    "secrets",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)
grants_table = Table(
    "grants",
    metadata,
    Column("grant_id", LargeBinary(16), primary_key=True),
    Column("plan", LargeBinary(32), nullable=False),
    Column("document", LargeBinary, nullable=False),
    Column("not_after_ms", BigInteger, nullable=False),
    Column("reserved", BigInteger, nullable=False),
)
used_entries = Table(
    "used_entries",
    metadata,
    Column("idx", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
)
_NONCE_BYTES = 12


class Vault:
    """Keeps secrets."""

    def __init__(self, directory: Path, randomness: Randomness) -> None:
        _require_private(directory)
        self._randomness = randomness
        self._kek = AESGCM(_read_key(directory / "kek.bin"))
        self.engine = make_engine(f"sqlite:///{(directory / 'keys.db').resolve()}")
        metadata.create_all(self.engine)
        (directory / "keys.db").chmod(0o600)

    @classmethod
    def create(cls, directory: Path, randomness: Randomness) -> "Vault":
        """Make a new vault. Usage when there is one already: keys are never overwritten."""
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        directory.chmod(0o700)
        try:
            descriptor = os.open(directory / "kek.bin", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise Usage("there are keys here already", cure="choose another directory", code="LF-KEYS-EXIST") from None
        with os.fdopen(descriptor, "wb") as file:
            file.write(randomness.bytes(32))
        return cls(directory, randomness)

    def seal(self, context: bytes, data: bytes) -> bytes:
        """Encrypt under the key-encryption key, bound to a context."""
        nonce = self._randomness.bytes(_NONCE_BYTES)
        return nonce + self._kek.encrypt(nonce, data, context)

    def unseal(self, context: bytes, data: bytes) -> bytes:
        """Decrypt. InvalidTag when context or data are others."""
        return self._kek.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], context)

    def put(self, name: str, secret: bytes) -> None:
        """Keep a secret; the first one of a name holds."""
        sealed = self.seal(name.encode(), secret)
        try:
            with self.engine.begin() as connection:
                connection.execute(insert(secrets_table), {"name": name, "sealed": sealed})
        except IntegrityError:
            return

    def get(self, name: str) -> bytes | None:
        """Return a secret, or None. Broken when its ciphertext was changed."""
        with self.engine.connect() as connection:
            row = connection.execute(select(secrets_table.c.sealed).where(secrets_table.c.name == name)).first()
        if row is None:
            return None
        try:
            return self.unseal(name.encode(), bytes(row.sealed))
        except InvalidTag:
            raise Broken(
                f"the secret {name.split('/')[0]} does not decrypt",
                cure="keys.db and kek.bin do not belong together, or one was changed; restore both from one backup",
                code="LF-KEYS-CORRUPT",
            ) from None

    def get_or_make(self, name: str, count: int = 32) -> bytes:
        """Return a secret, made on first use."""
        secret = self.get(name)
        if secret is None:
            self.put(name, self._randomness.bytes(count))
            secret = self.get(name)
            assert secret is not None
        return secret

    def keep_grant(self, grant_id: bytes, plan: bytes, document: bytes, not_after_ms: int) -> None:
        """Keep a grant; the first one of an id holds (an id is a digest)."""
        row = {"grant_id": grant_id, "plan": plan, "document": document, "not_after_ms": not_after_ms, "reserved": 0}
        try:
            with self.engine.begin() as connection:
                connection.execute(insert(grants_table), row)
        except IntegrityError:
            return

    def grant(self, grant_id: bytes) -> bytes | None:
        """Return a grant's document, or None."""
        with self.engine.connect() as connection:
            row = connection.execute(
                select(grants_table.c.document).where(grants_table.c.grant_id == grant_id)
            ).first()
        return None if row is None else bytes(row.document)

    def own_grant(self, plan: bytes, now_ms: int) -> tuple[bytes, int] | None:
        """Return (grant id, sequence numbers reserved so far) of an own grant for a plan that is still in time."""
        query = (
            select(grants_table.c.grant_id, grants_table.c.reserved)
            .where(grants_table.c.plan == plan, grants_table.c.not_after_ms > now_ms)
            .order_by(grants_table.c.not_after_ms.desc())
        )
        with self.engine.connect() as connection:
            row = connection.execute(query).first()
        return None if row is None else (bytes(row.grant_id), int(row.reserved))

    def reserve(self, grant_id: bytes, upto: int) -> None:
        """Note durably that sequence numbers up to `upto` may have been used: a crash never repeats one."""
        with self.engine.begin() as connection:
            connection.execute(update(grants_table).where(grants_table.c.grant_id == grant_id).values(reserved=upto))

    def use_entry(self, index: int) -> bool:
        """Note durably that an entry has been redeemed; False when it had been before."""
        try:
            with self.engine.begin() as connection:
                connection.execute(insert(used_entries), {"idx": index})
        except IntegrityError:
            return False
        return True


def _require_private(directory: Path) -> None:
    for path in (directory, directory / "kek.bin"):
        try:
            status = path.stat()
        except FileNotFoundError:
            raise Usage(
                f"there are no keys in {directory.name}", cure="make them with `lianfang node init`", code="LF-KEYS-MISSING"
            ) from None
        if status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o077:
            raise Usage(
                f"{path.name} can be read by others than the service's own user",
                cure="chmod go-rwx, and give it to the user who runs the node",
                code="LF-KEYS-PERMISSIONS",
            )


def _read_key(path: Path) -> bytes:
    key = path.read_bytes()
    if len(key) != 32:  # noqa: PLR2004 - AES-256
        raise Broken("kek.bin is not a key of 32 bytes", cure="restore it from backup", code="LF-KEYS-CORRUPT")
    return key
