"""Where the key service keeps its secrets: a database of its own, each secret encrypted under the key-encryption key.

- That key lies in kek.json as its guard has wrapped it (keyfile.py, providers/); the database says of which generation it is.
- Files are their owner's alone; the service does not start when they are not.
- One service at a time holds a vault (a lock that the kernel frees when its holder dies): two would give out the same
  sequence numbers.
- A commit that returned survives a power cut (audit/store.py: WAL, synchronous=FULL).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from bus.keyservice import unlocking
from bus.keyservice.providers import Provider
from bus.keyservice.providers.unprotected import UnprotectedFile
from bus.keyservice.vault_tables import grants_table, pins_table, secrets_table, used_entries
from bus.randomness import Randomness


class Vault:
    """Keeps secrets. Usage when its files are others' to read, another service holds it, or its guard gives no key.

    `guards` are the providers that may have wrapped the key-encryption key: the one in force, and after it the one before.
    """

    def __init__(self, directory: Path, randomness: Randomness, guards: Sequence[Provider] = ()) -> None:
        self._held = unlocking.unlock(directory, randomness, guards or (UnprotectedFile(),))
        self._engine, self._cipher = self._held.engine, self._held.cipher
        self._randomness = randomness

    @property
    def provider(self) -> str:
        """The name of who guards the key-encryption key."""
        return self._held.key_file.provider

    def close(self) -> None:
        """Let go of the database and of the lock."""
        self._held.close()

    @staticmethod
    def create(
        directory: Path, randomness: Randomness, secrets: Mapping[str, bytes], guard: Provider | None = None
    ) -> None:
        """Make a new vault with these secrets, whole or not at all. Usage when there is one: keys are never overwritten."""
        unlocking.create(directory, randomness, secrets, guard or UnprotectedFile())

    def _seal(self, context: bytes, data: bytes) -> bytes:
        return self._cipher.seal(context, data)

    def _unseal(self, context: bytes, data: bytes, what: str) -> bytes:
        return self._cipher.unseal(context, data, what)

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

    def swap(self, remove: Sequence[str], put: Mapping[str, bytes]) -> None:
        """Put secrets in the place of others, in one transaction. What was removed stands in no file once this returns.

        Deleted pages are overwritten (unlocking.py), and the journal that still has them is emptied.
        """
        with self._engine.begin() as connection:
            connection.execute(delete(secrets_table).where(secrets_table.c.name.in_(remove)))
            if put:
                connection.execute(insert(secrets_table), self._rows(put))
        raw = self._engine.raw_connection()
        try:
            raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            raw.close()

    def pinned_names(self, prefix: str) -> list[str]:
        """Return the names of the pinned documents that begin so, ascending."""
        name = pins_table.c.name
        with self._engine.connect() as connection:
            found = connection.execute(select(name).where(name.startswith(prefix, autoescape=True)).order_by(name))
            return [str(row.name) for row in found]

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

    def grants(self) -> list[tuple[bytes, bytes, int, int]]:
        """Return (document, plan, not after, reserved) of every grant."""
        columns = (grants_table.c.document, grants_table.c.plan, grants_table.c.not_after_ms, grants_table.c.reserved)
        with self._engine.connect() as connection:
            rows = connection.execute(select(*columns)).all()
        return [(bytes(row[0]), bytes(row[1]), int(row[2]), int(row[3])) for row in rows]

    def end_own_grants(self, now_ms: int) -> int:
        """Take no own grant up again, and return how many were still in time. What was sealed under them opens as before."""
        own = (grants_table.c.plan != b"", grants_table.c.not_after_ms >= now_ms)
        with self._engine.begin() as connection:
            return connection.execute(update(grants_table).where(*own).values(plan=b"")).rowcount

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
