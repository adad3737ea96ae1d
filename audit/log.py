"""The log of one agency: one writer, entries and the state they describe in one transaction, a tree that never goes back.

- `transaction()` gives a connection and `append`; the tree in memory advances only after the commit returned.
- A commit that reports failure may have happened: the tree is read again from disk and CommitUnknown is raised.
- At open the stored entries must extend the newest own checkpoint, else the log is frozen.
- An append waits at most its deadline for the writer's place, then AuditUnavailable: never a hang.
"""

import contextlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import insert, select
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from audit import store, tiles, tree
from audit.checkpoint import (
    Checkpoint,
    Sign,
    Verifier,
    cosignature_time_s,
    parse_checkpoint,
    sign_checkpoint,
    split_note,
)
from audit.errors import AuditUnavailable, CommitUnknown, LogFrozen, NoteRefused


@dataclass
class LogTransaction:
    """One transaction: the connection for the state, and `append` for the entries that describe it."""

    connection: Connection
    frontier: tree.Frontier
    new_entries: list[dict[str, object]]
    new_tiles: list[dict[str, object]]
    open_tiles: dict[int, list[bytes]]

    def append(self, leaf: bytes) -> int:
        """Append an entry; return its index. It is durable when the transaction's block has been left without error."""
        index = self.frontier.size
        self.new_entries.append({"idx": index, "leaf": leaf})
        for level, number, node in self.frontier.append(tree.leaf_hash(leaf)):
            if level % tiles.TILE_BITS == 0:
                self._fill(level // tiles.TILE_BITS, number, node)
        return index

    def _fill(self, level: int, number: int, node: bytes) -> None:
        waiting = self.open_tiles.setdefault(level, [])
        waiting.append(node)
        if len(waiting) == tiles.TILE_WIDTH:
            self.new_tiles.append({"level": level, "number": number // tiles.TILE_WIDTH, "data": b"".join(waiting)})
            self.open_tiles[level] = []

    def flush(self) -> None:
        """Write what was appended; called once, at the end."""
        if self.new_entries:
            self.connection.execute(insert(store.entries), self.new_entries)
        if self.new_tiles:
            self.connection.execute(insert(store.full_tiles), self.new_tiles)


class AuditLog:
    """The log. Make one with `AuditLog.open`."""

    def __init__(self, engine: Engine, verifier: Verifier) -> None:
        self._engine = engine
        self._verifier = verifier
        self._lock = threading.Lock()
        self._hashes = store.StoredHashes(engine)
        self._frontier = tree.Frontier()
        self._open_tiles: dict[int, list[bytes]] = {}
        self._frozen: LogFrozen | None = None

    @classmethod
    def open(cls, engine: Engine, verifier: Verifier) -> "AuditLog":
        """Open the log that signs with this key. LogFrozen when it does not extend its own newest checkpoint."""
        store.create_tables(engine)
        log = cls(engine, verifier)
        log._reload()
        newest = log.latest_checkpoint()
        if newest is not None and (newest.size > log.size or tree.root_at(newest.size, log._hashes) != newest.root):
            raise LogFrozen(
                f"the log signed a checkpoint of {newest.size} entries that the stored {log.size} do not extend",
                cure="the database was restored or changed: refill it from the auditor's mirror, or begin a new log",
            )
        return log

    @property
    def origin(self) -> str:
        """The log's name in its checkpoints."""
        return self._verifier.name

    @property
    def size(self) -> int:
        """Number of durable entries."""
        return self._frontier.size

    def _reload(self) -> None:
        with self._engine.connect() as connection:
            size = store.stored_size(connection)
        self._hashes = store.StoredHashes(self._engine)
        self._frontier = tree.frontier_at(size, self._hashes)
        self._open_tiles = {}
        level = 0
        while (count := size >> (tiles.TILE_BITS * level)) > 0:
            first = count - count % tiles.TILE_WIDTH
            self._open_tiles[level] = [self._hashes(level * tiles.TILE_BITS, index) for index in range(first, count)]
            level += 1

    @contextmanager
    def transaction(self, deadline_s: float = 2.0) -> Iterator[LogTransaction]:
        """Write state and entries in one transaction.

        AuditUnavailable when the writer's place is not free in time or the database refuses: nothing was written.
        CommitUnknown when the commit reported failure: look before repeating.
        """
        if not self._lock.acquire(timeout=deadline_s):
            raise AuditUnavailable(
                f"no durable append within {deadline_s:g} s",
                cure="the node is overloaded or its disk is slow; the request was refused and may be repeated",
            )
        try:
            if self._frozen is not None:
                raise self._frozen
            yield from self._locked()
        finally:
            self._lock.release()

    def _locked(self) -> Iterator[LogTransaction]:
        with contextlib.ExitStack() as stack:
            try:
                connection = stack.enter_context(self._engine.connect().execution_options(immediate=True))
                begun = connection.begin()
            except (OperationalError, DBAPIError) as error:
                raise _unavailable(error) from error
            transaction = LogTransaction(
                connection,
                self._frontier.copy(),
                [],
                [],
                {level: list(nodes) for level, nodes in self._open_tiles.items()},
            )
            try:
                yield transaction
                transaction.flush()
            except IntegrityError as error:
                begun.rollback()
                if "entries" in str(error.orig):
                    self._freeze_if_second_writer()
                raise
            except OperationalError as error:
                begun.rollback()
                raise _unavailable(error) from error
            except BaseException:
                begun.rollback()
                raise
            self._commit(begun, transaction)

    def _commit(self, begun: object, transaction: LogTransaction) -> None:
        try:
            begun.commit()  # type: ignore[attr-defined]  # SQLAlchemy's RootTransaction
        except DBAPIError as error:
            # Ambiguous: the bytes may be on disk. Believe the disk, not the error.
            self._reload()
            raise CommitUnknown(
                "the commit reported an error and may have happened",
                cure="look whether it did; repeating the request with the same id is safe",
            ) from error
        self._frontier = transaction.frontier
        self._open_tiles = transaction.open_tiles

    def _freeze_if_second_writer(self) -> None:
        with self._engine.connect() as connection:
            if store.stored_size(connection) != self._frontier.size:
                self._frozen = LogFrozen(
                    "another process wrote to this log", cure="one node only may run in a directory; stop both and look"
                )

    def leaf(self, index: int) -> bytes:
        """Return one entry's bytes. KeyError when there is none."""
        with self._engine.connect() as connection:
            row = connection.execute(select(store.entries.c.leaf).where(store.entries.c.idx == index)).first()
        if row is None:
            raise KeyError(index)
        return bytes(row.leaf)

    def leaves(self, start: int, stop: int) -> Iterator[bytes]:
        """Yield the entries start … stop − 1."""
        query = (
            select(store.entries.c.leaf)
            .where(store.entries.c.idx >= start, store.entries.c.idx < stop)
            .order_by(store.entries.c.idx)
        )
        with self._engine.connect() as connection:
            for row in connection.execute(query).yield_per(1024):
                yield bytes(row.leaf)

    def checkpoint(self, sign: Sign) -> Checkpoint | None:
        """Sign and store a checkpoint if the log has grown; return the newest one, or None while the log is empty."""
        newest = self.latest_checkpoint()
        if self.size == 0 or (newest is not None and newest.size == self.size):
            return newest
        frontier = self._frontier
        root = frontier.root()
        note = sign_checkpoint(self.origin, frontier.size, root, self._verifier, sign)
        with self.transaction() as transaction:
            transaction.connection.execute(
                insert(store.checkpoints), {"size": frontier.size, "root": root, "note": note}
            )
        return parse_checkpoint(note)

    def latest_checkpoint(self) -> Checkpoint | None:
        """Return the newest own checkpoint, with the cosignatures it has."""
        query = select(store.checkpoints).order_by(store.checkpoints.c.size.desc()).limit(1)
        with self._engine.connect() as connection:
            row = connection.execute(query).first()
        return None if row is None else self._with_cosignatures(int(row.size), bytes(row.note))

    def _with_cosignatures(self, size: int, note: bytes) -> Checkpoint:
        query = select(store.cosignatures.c.line).where(store.cosignatures.c.size == size)
        with self._engine.connect() as connection:
            lines = [bytes(row.line) for row in connection.execute(query.order_by(store.cosignatures.c.witness))]
        return parse_checkpoint(note + b"".join(lines))

    def cosigned_checkpoint(self) -> Checkpoint | None:
        """Return the newest checkpoint that any witness has cosigned."""
        query = (
            select(store.checkpoints)
            .join(store.cosignatures, store.cosignatures.c.size == store.checkpoints.c.size)
            .order_by(store.checkpoints.c.size.desc())
            .limit(1)
        )
        with self._engine.connect() as connection:
            row = connection.execute(query).first()
        return None if row is None else self._with_cosignatures(int(row.size), bytes(row.note))

    def cosigned_size(self, witness: str) -> int:
        """Return the size of the newest checkpoint that this witness has cosigned; 0 when none."""
        query = (
            select(store.cosignatures.c.size)
            .where(store.cosignatures.c.witness == witness)
            .order_by(store.cosignatures.c.size.desc())
            .limit(1)
        )
        with self._engine.connect() as connection:
            return int(connection.execute(query).scalar() or 0)

    def add_cosignature(self, witness: str, vkey: str, size: int, line: bytes) -> None:
        """Keep a witness's line under our checkpoint of that size. NoteRefused unless it verifies."""
        with self._engine.connect() as connection:
            row = connection.execute(select(store.checkpoints.c.note).where(store.checkpoints.c.size == size)).first()
            known = connection.execute(
                select(store.cosignatures.c.size).where(
                    store.cosignatures.c.witness == witness, store.cosignatures.c.size == size
                )
            ).first()
        if known is not None:
            return
        if row is None or cosignature_time_s(bytes(row.note) + line, Verifier.parse(vkey)) is None:
            raise NoteRefused("the line cosigns no checkpoint of this log", cure="ask the witness again")
        split_note(bytes(row.note) + line)
        with self.transaction() as transaction:
            transaction.connection.execute(insert(store.cosignatures), {"witness": witness, "size": size, "line": line})

    def prove(self, index: int) -> bytes | None:
        """Return the tlog-proof of an entry under the newest cosigned checkpoint, or None when none covers it yet."""
        checkpoint = self.cosigned_checkpoint()
        if checkpoint is None or checkpoint.size <= index:
            return None
        return tiles.proof_text(index, tree.inclusion_proof(index, checkpoint.size, self._hashes), checkpoint.note)

    def consistency(self, old: int, new: int) -> list[bytes]:
        """Return the proof that the tree of `new` entries extends that of `old`."""
        return tree.consistency_proof(old, new, self._hashes)

    def export(self, directory: Path, witnesses: Mapping[str, str]) -> int:
        """Write the newest cosigned tree (or, without witnesses, the newest signed one) as a static directory."""
        checkpoint = self.cosigned_checkpoint() if witnesses else self.latest_checkpoint()
        if checkpoint is None:
            raise AuditUnavailable("no checkpoint can be exported yet", cure="try again in a few seconds")
        tiles.write_directory(
            directory,
            checkpoint,
            self._hashes,
            self.leaves(0, checkpoint.size),
            (self._verifier.text, list(witnesses.values())),
        )
        return checkpoint.size


def _unavailable(error: Exception) -> AuditUnavailable:
    return AuditUnavailable(
        f"the log's database does not take writes ({type(error).__name__})",
        cure="see the disk's space and the database; the request was refused and may be repeated",
    )
