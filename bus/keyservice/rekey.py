"""`lianfang keys rekey`: a new key-encryption key under the guard that [keys] names, and every secret encrypted under it.

(1) wrap a new key with the wanted guard, see that the guard gives it back, and write it durably as kek.next.json
(2) encrypt every secret under it in one transaction of keys.db, which also says that this is its generation now
(3) put kek.next.json in kek.json's place
(4) write the database anew, so that nothing under the old key is left in its files

A crash before (2) is done leaves a vault under the old key; a crash after, one under the new key (unlocking.py finds which).
The lock on the vault is held throughout: no key service runs meanwhile.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Table, func, select, update
from sqlalchemy.engine import Connection

from bus import config
from bus.keyservice import keyfile, providers, unlocking
from bus.keyservice.keyfile import KeyFile
from bus.keyservice.unlocking import PROOF_CONTEXT, Unlocked, unlock
from bus.keyservice.vault_tables import SEALED_TABLES, Cipher, vault_table
from bus.randomness import Randomness

STEPS = ("wrapped", "encrypting", "committed", "placed", "compacted")
"""The moments between which a crash may fall, in order; `rekey` calls `at` with each."""
_ROWS_AT_A_TIME = 500


@dataclass(frozen=True)
class Rekeyed:
    """What was done, or would be."""

    provider: str
    former_provider: str
    generation: int
    secrets: int
    dry_run: bool


def rekey(
    node: Path,
    settings: config.Keys,
    randomness: Randomness,
    *,
    dry_run: bool = False,
    at: Callable[[str], None] = lambda _: None,
) -> Rekeyed:
    """Rekey the vault of the node in a directory. Usage when it is in use, or either guard does not give its key."""
    guards = providers.make_all(settings, node, randomness)
    held = unlock(settings.vault(node), randomness, guards)
    try:
        generation = held.key_file.generation + 1
        if dry_run:
            return Rekeyed(guards[0].name, held.key_file.provider, generation, _count(held), dry_run=True)
        kek = randomness.bytes(keyfile.KEK_BYTES)
        made = unlocking.wrap(held.key_file.vault, generation, kek, guards[0])  # (1)
        made.write(held.directory / keyfile.NEXT_NAME)
        at("wrapped")
        count = _encrypt(held, made, Cipher(kek, randomness), at)  # (2)
        at("committed")
        (held.directory / keyfile.NEXT_NAME).replace(held.directory / keyfile.NAME)  # (3)
        keyfile.sync(held.directory)
        at("placed")
        _compact(held)  # (4)
        at("compacted")
        return Rekeyed(made.provider, held.key_file.provider, generation, count, dry_run=False)
    finally:
        held.close()


def _count(held: Unlocked) -> int:
    with held.engine.connect() as connection:
        return sum(
            connection.execute(select(func.count()).select_from(table)).scalar_one() for table, _ in SEALED_TABLES
        )


def _encrypt(held: Unlocked, key_file: KeyFile, after: Cipher, at: Callable[[str], None]) -> int:
    """Encrypt everything under another key, in one transaction; return how many secrets that were."""
    with held.engine.begin() as connection:
        count = sum(_encrypt_table(connection, table, context, held.cipher, after) for table, context in SEALED_TABLES)
        at("encrypting")
        values = {"generation": key_file.generation, "proof": after.seal(PROOF_CONTEXT, b"")}
        connection.execute(update(vault_table).values(values))
    return count


def _encrypt_table(connection: Connection, table: Table, context: bytes, before: Cipher, after: Cipher) -> int:
    names = [str(row.name) for row in connection.execute(select(table.c.name))]
    for start in range(0, len(names), _ROWS_AT_A_TIME):
        part = table.c.name.in_(names[start : start + _ROWS_AT_A_TIME])
        for name, sealed in connection.execute(select(table.c.name, table.c.sealed).where(part)).all():
            bound = context + name.encode()
            secret = before.unseal(bound, bytes(sealed), name.partition("/")[0])
            connection.execute(update(table).where(table.c.name == name).values(sealed=after.seal(bound, secret)))
    return len(names)


def _compact(held: Unlocked) -> None:
    raw = held.engine.raw_connection()
    try:
        raw.cursor().execute("VACUUM")
        raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        raw.close()
