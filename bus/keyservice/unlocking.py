"""Opening a vault's files: whose they are, who holds them, and the key-encryption key out of its guard's hands.

A rekeying (rekey.py) writes the next key file first, then encrypts the database under it in one transaction, then puts the
file in its place. The database says which generation it is of, so whichever moment a crash chose, one of the two files is
the right one, and it is found here.
"""

import fcntl
import os
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import event, insert, select
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DatabaseError

from audit.errors import AuditUnavailable
from audit.store import engine as make_engine
from bus.errors import Broken, BusError, Retry, Usage
from bus.keyservice import keyfile
from bus.keyservice.keyfile import KeyFile
from bus.keyservice.providers import Provider
from bus.keyservice.vault_tables import Cipher, metadata, secrets_table, vault_table
from bus.randomness import Randomness

PROOF_CONTEXT = b"proof\x00"
_DATABASE, _LOCK = "keys.db", "keys.lock"


@dataclass(frozen=True)
class Unlocked:
    """A vault that this process holds: its lock, database and key."""

    directory: Path
    lock: int
    engine: Engine
    key_file: KeyFile
    cipher: Cipher

    def close(self) -> None:
        """Let go of the database and of the lock."""
        self.engine.dispose()
        os.close(self.lock)


def unlock(directory: Path, randomness: Randomness, guards: Sequence[Provider]) -> Unlocked:
    """Take a vault. Usage when its files are others' to read, another service holds it, or its guard gives no key."""
    _require_private(directory)
    lock = _lock(directory)
    engine = _engine(directory)
    try:
        with _readable():
            key_file, cipher = _key(directory, engine, randomness, guards)
            metadata.create_all(engine)
    except BaseException:
        engine.dispose()
        os.close(lock)
        raise
    return Unlocked(directory, lock, engine, key_file, cipher)


def create(directory: Path, randomness: Randomness, secrets: Mapping[str, bytes], guard: Provider) -> None:
    """Make a new vault with these secrets, whole or not at all. Usage when there is one: keys are never overwritten."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    made = directory.with_name(f".{directory.name}.new")
    shutil.rmtree(made, ignore_errors=True)  # what an earlier attempt that died left
    made.mkdir(mode=0o700)
    try:
        _fill(made, randomness, secrets, guard)
        _put_in_place(made, directory)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise


def wrap(vault: bytes, generation: int, kek: bytes, guard: Provider) -> KeyFile:
    """Return a key file with a key in it. Broken when the guard does not give back what it was given."""
    parameters = guard.parameters()
    empty = KeyFile(vault, generation, guard.name, parameters)
    made = replace(empty, wrapped=guard.wrap(kek, parameters, empty.context))
    if guard.unwrap(made.wrapped, parameters, made.context) != kek:
        raise Broken(
            f"{guard.name} gives back another key than it was given",
            cure="do not use it; nothing was changed",
            code="LF-KEYS-GUARD",
        )
    return made


def _put_in_place(made: Path, directory: Path) -> None:
    try:
        made.rename(directory)
    except OSError:
        raise Usage("there are keys here already", cure="choose another directory", code="LF-KEYS-EXIST") from None


def _fill(directory: Path, randomness: Randomness, secrets: Mapping[str, bytes], guard: Provider) -> None:
    kek = randomness.bytes(keyfile.KEK_BYTES)
    key_file = wrap(randomness.bytes(keyfile.VAULT_ID_BYTES), 1, kek, guard)
    key_file.write(directory / keyfile.NAME)
    os.close(os.open(directory / _DATABASE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    cipher = Cipher(kek, randomness)
    proof = cipher.seal(PROOF_CONTEXT, b"")
    rows = [{"name": name, "sealed": cipher.seal(b"secret\x00" + name.encode(), it)} for name, it in secrets.items()]
    engine = _engine(directory)
    try:
        metadata.create_all(engine)
        with engine.begin() as connection:
            row = {"id": key_file.vault, "generation": key_file.generation, "proof": proof}
            connection.execute(insert(vault_table), row)
            connection.execute(insert(secrets_table), rows)
    finally:
        engine.dispose()


def _engine(directory: Path) -> Engine:
    engine = make_engine(f"sqlite:///{(directory / _DATABASE).resolve()}")
    event.listen(engine, "connect", _overwrite_what_is_deleted)
    return engine


def _overwrite_what_is_deleted(connection: Any, _: Any) -> None:
    connection.execute("PRAGMA secure_delete=ON")


def _key(directory: Path, engine: Engine, randomness: Randomness, guards: Sequence[Provider]) -> tuple[KeyFile, Cipher]:
    """Return the key file of the database's generation, and the key in it; put it in its place where a crash has not."""
    with engine.connect() as connection:
        vault, generation, proof = _identity(connection)
    held, waiting = keyfile.read(directory / keyfile.NAME), directory / keyfile.NEXT_NAME
    is_next = held.generation != generation and waiting.exists()
    if is_next:
        held = keyfile.read(waiting)
    if held.vault != vault:
        raise Broken(
            "kek.json belongs to another vault than keys.db",
            cure="restore both from one backup",
            code="LF-KEYS-OTHER-VAULT",
        )
    if held.generation != generation:
        raise Broken(
            f"kek.json is of generation {held.generation}, keys.db of {generation}",
            cure="take the kek.json that was made by the last `lianfang keys rekey`",
            code="LF-KEYS-GENERATION",
        )
    cipher = Cipher(_open(held, guards), randomness)
    cipher.unseal(PROOF_CONTEXT, proof, "proof")
    if is_next:
        waiting.replace(directory / keyfile.NAME)
        keyfile.sync(directory)
    return held, cipher


def _identity(connection: Connection) -> tuple[bytes, int, bytes]:
    if connection.exec_driver_sql("PRAGMA quick_check(1)").scalar() != "ok":
        raise _unreadable()
    if not connection.dialect.has_table(connection, vault_table.name):
        raise _unreadable()
    row = connection.execute(select(vault_table)).first()
    if row is None:
        raise _unreadable()
    return bytes(row.id), int(row.generation), bytes(row.proof)


def _open(held: KeyFile, guards: Sequence[Provider]) -> bytes:
    """Return the key in a key file. Usage when none of the guards made it, else what the guard says."""
    able = [guard for guard in guards if guard.name == held.provider and guard.made(held.parameters)]
    if not able:
        raise Usage(
            f"the keys are guarded by {held.provider}, and not as [keys] of node.toml says",
            cure="name that guard there, or under [keys.former] until `lianfang keys rekey` is done",
            code="LF-KEYS-PROVIDER",
        )
    for guard in able[:-1]:
        try:
            return guard.unwrap(held.wrapped, held.parameters, held.context)
        except BusError:
            continue  # two passphrases cannot be told apart but by trying
    return able[-1].unwrap(held.wrapped, held.parameters, held.context)


@contextmanager
def _readable() -> Iterator[None]:
    """Say of a database that SQLite cannot read, or not now, what that means."""
    try:
        yield
    except AuditUnavailable as error:
        raise Retry(
            f"keys.db cannot be used now: {error.cause}", cure="see the disk's space", code="LF-KEYS-UNAVAILABLE"
        ) from None
    except DatabaseError:
        raise _unreadable() from None


def _unreadable() -> Broken:
    return Broken(
        "keys.db is damaged, cut off, or no vault",
        cure="restore keys/ from backup and have new keys published after; docs/operating.md says how",
        code="LF-KEYS-DATABASE",
    )


def _require_private(directory: Path) -> None:
    for path, is_kind in (
        (directory, stat.S_ISDIR),
        (directory / keyfile.NAME, stat.S_ISREG),
        (directory / keyfile.NEXT_NAME, stat.S_ISREG),
        (directory / _DATABASE, stat.S_ISREG),
    ):
        try:
            status = path.lstat()  # a link could lead to a file that somebody else changes
        except FileNotFoundError:
            if path.name == keyfile.NEXT_NAME:
                continue
            raise Usage(
                f"there are no keys in {directory.name}",
                cure="make them with `lianfang node init`",
                code="LF-KEYS-MISSING",
            ) from None
        if status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o077 or not is_kind(status.st_mode):
            raise Usage(
                f"{path.name} can be read by others than the service's own user",
                cure="chmod go-rwx, and give it to the user who runs the key service",
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
