"""Where the key service keeps its secrets: a database of its own, each secret encrypted under the key-encryption key.

- Files are their owner's alone; the service does not start when they are not.
- One service at a time holds a vault (a lock that the kernel frees when its holder dies): two would give out the same
  sequence numbers.
- A commit that returned survives a power cut (audit/store.py: WAL, synchronous=FULL).
"""

import fcntl
import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    delete,
    insert,
    select,
    update,
)
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
pins_table = Table(
    "pins",
    metadata,
    Column("name", String(32), primary_key=True),
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
_NONCE_BYTES = 12
_KEK_FILE, _DATABASE, _LOCK = "kek.bin", "keys.db", "keys.lock"


class Vault:
    """Keeps secrets. Usage when its files are others' to read or another service holds it."""

    def __init__(self, directory: Path, randomness: Randomness) -> None:
        _require_private(directory)
        self._lock = _lock(directory)
        try:
            self._randomness = randomness
            self._kek = AESGCM(_read_key(directory / _KEK_FILE))
            self._engine = make_engine(f"sqlite:///{(directory / _DATABASE).resolve()}")
            metadata.create_all(self._engine)
            (directory / _DATABASE).chmod(0o600)
        except BaseException:
            os.close(self._lock)
            raise

    def close(self) -> None:
        """Let go of the database and of the lock."""
        self._engine.dispose()
        os.close(self._lock)

    @staticmethod
    def create(directory: Path, randomness: Randomness, secrets: Mapping[str, bytes]) -> None:
        """Make a new vault with these secrets, whole or not at all. Usage when there is one: keys are never overwritten."""
        directory.parent.mkdir(parents=True, exist_ok=True)
        made = directory.with_name(f".{directory.name}.new")
        shutil.rmtree(made, ignore_errors=True)  # what an earlier attempt that died left
        made.mkdir(mode=0o700)
        descriptor = os.open(made / _KEK_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(randomness.bytes(32))
            file.flush()
            os.fsync(file.fileno())
        vault = Vault(made, randomness)
        vault.put_all(secrets)
        vault.close()
        try:
            made.rename(directory)
        except OSError:
            shutil.rmtree(made)
            raise Usage("there are keys here already", cure="choose another directory", code="LF-KEYS-EXIST") from None

    def _seal(self, context: bytes, data: bytes) -> bytes:
        nonce = self._randomness.bytes(_NONCE_BYTES)
        return nonce + self._kek.encrypt(nonce, data, context)

    def _unseal(self, context: bytes, data: bytes, what: str) -> bytes:
        try:
            return self._kek.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], context)
        except (InvalidTag, ValueError):
            raise Broken(
                f"the secret {what} does not decrypt",
                cure="keys.db and kek.bin do not belong together, or one was changed; restore both from one backup",
                code="LF-KEYS-CORRUPT",
            ) from None

    def put_all(self, secrets: Mapping[str, bytes]) -> None:
        """Keep secrets in one transaction; IntegrityError when one of these names is taken."""
        with self._engine.begin() as connection:
            connection.execute(insert(secrets_table), self._rows(secrets))

    def _rows(self, secrets: Mapping[str, bytes]) -> list[dict[str, object]]:
        return [
            {"name": name, "sealed": self._seal(b"secret\x00" + name.encode(), data)} for name, data in secrets.items()
        ]

    def get(self, name: str) -> bytes | None:
        """Return a secret, or None. Broken when its ciphertext was changed."""
        with self._engine.connect() as connection:
            row = connection.execute(select(secrets_table.c.sealed).where(secrets_table.c.name == name)).first()
        if row is None:
            return None
        return self._unseal(b"secret\x00" + name.encode(), bytes(row.sealed), name.partition("/")[0])

    def names(self, prefix: str) -> list[str]:
        """Return the names of the secrets that begin so, ascending."""
        name = secrets_table.c.name
        with self._engine.connect() as connection:
            found = connection.execute(select(name).where(name.startswith(prefix, autoescape=True)).order_by(name))
            return [str(row.name) for row in found]

    def get_or_make(self, name: str, count: int = 32) -> bytes:
        """Return a secret, made on first use."""
        secret = self.get(name)
        if secret is None:
            secret = self._randomness.bytes(count)
            self.put_all({name: secret})
        return secret

    def pin(self, name: str, document: bytes) -> None:
        """Keep a document in place of the one of that name before it."""
        sealed = self._seal(b"pin\x00" + name.encode(), document)
        with self._engine.begin() as connection:
            connection.execute(delete(pins_table).where(pins_table.c.name == name))
            connection.execute(insert(pins_table), {"name": name, "sealed": sealed})

    def pinned(self, name: str) -> bytes | None:
        """Return a pinned document, or None. Broken when it was changed."""
        with self._engine.connect() as connection:
            row = connection.execute(select(pins_table.c.sealed).where(pins_table.c.name == name)).first()
        return None if row is None else self._unseal(b"pin\x00" + name.encode(), bytes(row.sealed), name)

    def keep_grant(
        self, grant_id: bytes, plan: bytes, document: bytes, not_after_ms: int, keys: Mapping[int, bytes]
    ) -> None:
        """Keep a grant with the class keys it gave us; the first one of an id holds (an id is a digest)."""
        row = {"grant_id": grant_id, "plan": plan, "document": document, "not_after_ms": not_after_ms, "reserved": 0}
        named = {_class_name(grant_id, number): key for number, key in keys.items()}
        try:
            with self._engine.begin() as connection:
                connection.execute(insert(grants_table), row)
                if named:
                    connection.execute(insert(secrets_table), self._rows(named))
        except IntegrityError:
            return

    def class_key(self, grant_id: bytes, compartment: int) -> bytes | None:
        """Return the class key of a compartment, or None where it is not for us."""
        return self.get(_class_name(grant_id, compartment))

    def grant(self, grant_id: bytes) -> bytes | None:
        """Return a grant's document, or None."""
        with self._engine.connect() as connection:
            row = connection.execute(select(grants_table.c.document).where(grants_table.c.grant_id == grant_id)).first()
        return None if row is None else bytes(row.document)

    def own_grant(self, plan: bytes, now_ms: int) -> tuple[bytes, int] | None:
        """Return (grant id, sequence numbers reserved so far) of the newest own grant for a plan that is still in time."""
        query = (
            select(grants_table.c.grant_id, grants_table.c.reserved)
            .where(grants_table.c.plan == plan, grants_table.c.not_after_ms >= now_ms)
            .order_by(grants_table.c.not_after_ms.desc())
        )
        with self._engine.connect() as connection:
            row = connection.execute(query).first()
        return None if row is None else (bytes(row.grant_id), int(row.reserved))

    def reserve(self, grant_id: bytes, upto: int) -> None:
        """Note durably that sequence numbers up to `upto` may have been used: a crash never repeats one."""
        with self._engine.begin() as connection:
            connection.execute(update(grants_table).where(grants_table.c.grant_id == grant_id).values(reserved=upto))

    def use_entry(self, index: int, token_digest: bytes) -> bool:
        """Note durably that an entry and its token have been redeemed; False when one of them had been before."""
        try:
            with self._engine.begin() as connection:
                connection.execute(insert(used_entries), {"idx": index, "token_digest": token_digest})
        except IntegrityError:
            return False
        return True


def _class_name(grant_id: bytes, compartment: int) -> str:
    return f"class/{grant_id.hex()}/{compartment}"


def _require_private(directory: Path) -> None:
    for path, is_kind in (
        (directory, stat.S_ISDIR),
        (directory / _KEK_FILE, stat.S_ISREG),
        (directory / _DATABASE, stat.S_ISREG),
    ):
        try:
            status = path.lstat()  # a link could lead to a file that somebody else changes
        except FileNotFoundError:
            if path.name == _DATABASE:
                continue
            raise Usage(
                f"there are no keys in {directory.name}",
                cure="make them with `lianfang node init`",
                code="LF-KEYS-MISSING",
            ) from None
        if status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o077 or not is_kind(status.st_mode):
            raise Usage(
                f"{path.name} can be read by others than the service's own user",
                cure="chmod go-rwx, and give it to the user who runs the node",
                code="LF-KEYS-PERMISSIONS",
            )


def _lock(directory: Path) -> int:
    descriptor = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise Usage(
            "another key service holds these keys",
            cure="stop it first: two would give out the same sequence numbers",
            code="LF-KEYS-IN-USE",
        ) from None
    return descriptor


def _read_key(path: Path) -> bytes:
    key = path.read_bytes()
    if len(key) != 32:  # noqa: PLR2004 - AES-256
        raise Broken("kek.bin is not a key of 32 bytes", cure="restore it from backup", code="LF-KEYS-CORRUPT")
    return key
