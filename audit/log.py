"""The log of one agency: one writer, entries and the state they describe in one transaction, a tree that never goes back.

- `transaction()` gives a connection and `append`; the tree in memory advances only after the commit returned.
- A commit that reports failure may have happened: the tree is read again from disk and CommitUnknown is raised.
- At open the stored tree must extend the newest own checkpoint, and at each transaction the database must be the one that
  this process left; else the log is frozen. So two writers cannot be: the second finds entries that it did not write.
- A whole older copy agrees with itself. What was signed and lies elsewhere tells: `confront` holds the log against it.
- An append waits at most its deadline for the writer's place, then AuditUnavailable. A disk that hangs inside a commit
  holds that one caller; all others are refused in time.
"""

import contextlib
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import func, insert, select
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DatabaseError, DBAPIError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from audit import leaf as leaf_format
from audit import store, tiles, tree
from audit.checkpoint import (
    Checkpoint,
    Sign,
    Verifier,
    is_cosignature,
    parse_checkpoint,
    sign_checkpoint,
    verify_checkpoint,
)
from audit.errors import AuditUnavailable, CommitUnknown, LogFrozen, NoteRefused

DEADLINE_S = 2.0
_ANOTHER_WRITER = "one node only may run on a database, and none on a restored one: stop it and look"


@dataclass
class LogTransaction:
    """One transaction: the connection for the state, and `append` for the entries that describe it."""

    connection: Connection
    frontier: tree.Frontier
    unfinished: dict[int, list[bytes]]
    new_entries: list[dict[str, object]] = field(default_factory=list)
    new_tiles: list[dict[str, object]] = field(default_factory=list)

    def append(self, leaf: bytes) -> int:
        """Append an entry; return its index. It is durable when the transaction's block has been left without error.

        LeafRefused for bytes without the prefix or size of an entry.
        """
        leaf_format.require_form(leaf)
        index = self.frontier.size
        self.new_entries.append({"idx": index, "leaf": leaf})
        for level, number, node in self.frontier.append(tree.leaf_hash(leaf)):
            if level % tiles.TILE_BITS == 0:
                self._fill(level // tiles.TILE_BITS, number, node)
        return index

    def _fill(self, level: int, number: int, node: bytes) -> None:
        waiting = self.unfinished.setdefault(level, [])
        waiting.append(node)
        if len(waiting) == tiles.TILE_WIDTH:
            self.new_tiles.append({"level": level, "number": number // tiles.TILE_WIDTH, "data": b"".join(waiting)})
            self.unfinished[level] = []

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
        self._tiles = store.FullTiles(engine)
        self._tree = self._tiles.load(0)
        self._stale = True  # what is in memory may not be what is on disk
        self._possible_roots: tuple[bytes, ...] = ()  # what the disk may hold when stale; any at the start
        self._file = store.file_identity(engine)
        self._frozen = ""

    @classmethod
    def open(cls, engine: Engine, verifier: Verifier) -> "AuditLog":
        """Open the log that signs with this key.

        LogFrozen when it does not extend its own newest checkpoint, AuditUnavailable when the database does not answer.
        """
        try:
            store.create_tables(engine)
        except (DBAPIError, PoolTimeout) as error:
            raise store.unavailable(error) from error
        log = cls(engine, verifier)
        with log.transaction():
            pass
        newest = log.latest_checkpoint()
        if newest is not None:
            log._require_extension(newest)
        return log

    @property
    def origin(self) -> str:
        """The log's name in its checkpoints."""
        return self._verifier.name

    @property
    def size(self) -> int:
        """Number of durable entries."""
        return self._tree.size

    def confront(self, note: bytes) -> None:
        """Hold the log against a checkpoint that it once signed and somebody else has kept.

        LogFrozen, and frozen from then on, when the log does not extend it: it was restored from a backup or changed.
        NoteRefused when the log's key did not sign the note, so that no stranger can freeze a log.
        """
        self._require_extension(verify_checkpoint(note, self._verifier))

    def _require_extension(self, signed: Checkpoint) -> None:
        stored = self._tree
        if signed.size > stored.size or self.root_at(signed.size) != signed.root:
            self._freeze(
                f"the log signed a checkpoint of {signed.size} entries that the stored {stored.size} do not extend"
            )
            raise self._as_frozen()

    def _freeze(self, cause: str) -> None:
        self._frozen = self._frozen or cause

    def _as_frozen(self) -> LogFrozen:
        return LogFrozen(self._frozen, cure=f"{_ANOTHER_WRITER}; refill from the auditor's mirror, or begin a new log")

    @contextmanager
    def transaction(self, deadline_s: float = DEADLINE_S) -> Iterator[LogTransaction]:
        """Write state and entries in one transaction.

        AuditUnavailable when the writer's place is not free in time or the database refuses: nothing was written.
        CommitUnknown when the commit reported failure: look before repeating.
        LogFrozen when the database is not as this process left it.
        """
        started = time.perf_counter()  # real time even where the clock is simulated: it bounds a real wait
        if not self._lock.acquire(timeout=deadline_s):
            raise AuditUnavailable(
                f"no durable append within {deadline_s:g} s",
                cure="the node is overloaded or its disk is slow; the request was refused and may be repeated",
            )
        try:
            if self._frozen:
                raise self._as_frozen()
            yield from self._locked(max(0.0, deadline_s - (time.perf_counter() - started)))
        finally:
            self._lock.release()

    def _locked(self, wait_s: float) -> Iterator[LogTransaction]:
        try:
            connection = store.writer(self._engine, wait_s)
        except (DBAPIError, PoolTimeout) as error:
            raise store.unavailable(error) from error
        with connection:
            with _refusals():
                begun = connection.begin()
            try:
                with _refusals():
                    self._require_own_state(connection)
                    unfinished = {level: list(nodes) for level, nodes in self._tree.unfinished.items()}
                    transaction = LogTransaction(connection, self._tree.frontier.copy(), unfinished)
                    yield transaction
                    transaction.flush()
            except BaseException:
                with contextlib.suppress(
                    DBAPIError, AuditUnavailable
                ):  # a connection that is gone rolls back by itself
                    begun.rollback()
                raise
            self._commit(begun, transaction)

    def _require_own_state(self, connection: Connection) -> None:
        """Freeze unless the database is what this process left; read it again where that is not known."""
        if store.file_identity(self._engine) != self._file:
            self._freeze("the database file was replaced or removed under the running node")
            raise self._as_frozen()
        size = store.stored_size(connection)
        stored = self._tiles.load(size) if self._stale else self._tree
        if stored.size != size or (self._stale and self._possible_roots and not self._is_possible(stored)):
            self._freeze(f"the log has {size} entries and is not what this process left, {self._tree.size} entries")
            raise self._as_frozen()
        self._tree, self._stale = stored, False

    def _is_possible(self, stored: tiles.StoredTree) -> bool:
        return stored.frontier.root() in self._possible_roots

    def _commit(self, begun: Any, transaction: LogTransaction) -> None:
        self._possible_roots = (self._tree.frontier.root(), transaction.frontier.root())
        self._stale = True
        try:
            begun.commit()
        except Exception as error:
            # Ambiguous: the bytes may be on disk. Believe the disk, not the error.
            self._read_again(begun)
            raise CommitUnknown(
                f"the commit reported an error ({store.in_words(error)}) and may have happened",
                cure="see the disk's space and the database; repeating the same request is safe",
            ) from error
        self._tree = tiles.StoredTree(transaction.frontier, transaction.unfinished, self._tiles.rows)
        self._stale = False

    def _read_again(self, begun: Any) -> None:
        """Read the tree from disk if the database lets us; else the next transaction does, before anything else."""
        try:
            begun.connection.invalidate()
            with store.writer(self._engine, DEADLINE_S) as connection:
                connection.begin()
                self._require_own_state(connection)
                connection.rollback()
        except (DBAPIError, PoolTimeout, AuditUnavailable):
            self._stale = True

    def leaf(self, index: int) -> bytes:
        """Return one entry's bytes. KeyError when there is none."""
        with self._engine.connect() as connection:
            row = connection.execute(select(store.entries.c.leaf).where(store.entries.c.idx == index)).first()
        if row is None:
            raise KeyError(index)
        return bytes(row.leaf)

    def leaves(self, start: int, stop: int) -> Iterator[bytes]:
        """Yield the entries start … stop − 1, as far as there are any."""
        return store.read_leaves(self._engine, start, min(stop, self.size))

    def checkpoint(self, sign: Sign) -> Checkpoint | None:
        """Sign and store a checkpoint if the log has grown; return the newest one, or None while the log is empty."""
        newest = self.latest_checkpoint()
        stored = self._tree
        if stored.size == 0 or (newest is not None and newest.size >= stored.size):
            return newest
        if self._frozen:
            raise self._as_frozen()
        root = stored.frontier.root()
        note = sign_checkpoint(self.origin, stored.size, root, self._verifier, sign)
        verify_checkpoint(note, self._verifier)  # a wrong key must show here, not at the witness
        self.keep_checkpoint(parse_checkpoint(note))
        return self.latest_checkpoint()

    def keep_checkpoint(self, signed: Checkpoint) -> None:
        """Store a checkpoint, once."""
        with self.transaction() as transaction:
            insert_checkpoint(transaction.connection, signed)

    def latest_checkpoint(self) -> Checkpoint | None:
        """Return the newest own checkpoint, with the cosignatures it has."""
        query = select(store.checkpoints).order_by(store.checkpoints.c.size.desc()).limit(1)
        with self._engine.connect() as connection:
            row = connection.execute(query).first()
        return None if row is None else self._with_cosignatures(int(row.size), bytes(row.note))

    def checkpoint_after(self, size: int, stretch: int) -> Checkpoint | None:
        """Return the newest checkpoint of at most `stretch` entries beyond `size`, else the next one; None when none is."""
        table = store.checkpoints
        later = select(table).where(table.c.size > size)
        near = later.where(table.c.size <= size + stretch).order_by(table.c.size.desc()).limit(1)
        with self._engine.connect() as connection:
            row = connection.execute(near).first() or connection.execute(later.order_by(table.c.size).limit(1)).first()
        return None if row is None else parse_checkpoint(bytes(row.note))

    def _with_cosignatures(self, size: int, note: bytes) -> Checkpoint:
        query = select(store.cosignatures.c.line).where(store.cosignatures.c.size == size)
        with self._engine.connect() as connection:
            lines = [bytes(row.line) for row in connection.execute(query.order_by(store.cosignatures.c.witness))]
        return parse_checkpoint(note + b"".join(lines))

    def cosigned_checkpoint(self, witnesses: Collection[str] = ()) -> Checkpoint | None:
        """Return the newest checkpoint that all of these witnesses have cosigned; with none named, that any has."""
        table = store.cosignatures
        query = select(table.c.size).group_by(table.c.size).order_by(table.c.size.desc()).limit(1)
        if witnesses:
            query = query.where(table.c.witness.in_(witnesses)).having(func.count() == len(set(witnesses)))
        with self._engine.connect() as connection:
            size = connection.execute(query).scalar()
            note = connection.execute(select(store.checkpoints.c.note).where(store.checkpoints.c.size == size)).scalar()
        return None if size is None or note is None else self._with_cosignatures(int(size), bytes(note))

    def cosigned_size(self, witness: str) -> int:
        """Return the size of the newest checkpoint that this witness has cosigned; 0 when none."""
        query = select(func.max(store.cosignatures.c.size)).where(store.cosignatures.c.witness == witness)
        with self._engine.connect() as connection:
            return int(connection.execute(query).scalar() or 0)

    def add_cosignature(self, witness: str, vkey: str, size: int, line: bytes) -> None:
        """Keep a witness's line under our checkpoint of that size; the first one holds. NoteRefused unless it verifies."""
        verifier = Verifier.parse(vkey)
        if verifier.public_key == self._verifier.public_key:
            raise NoteRefused("a log is no witness of itself", cure="take the witness's key from the member directory")
        with self._engine.connect() as connection:
            row = connection.execute(select(store.checkpoints.c.note).where(store.checkpoints.c.size == size)).first()
        if row is None or not is_cosignature(bytes(row.note), line, verifier):
            raise NoteRefused("the line cosigns no checkpoint of this log", cure="ask the witness again")
        table = store.cosignatures
        with self.transaction() as transaction:
            known = select(table.c.size).where(table.c.witness == witness, table.c.size == size)
            if transaction.connection.execute(known).first() is None:
                transaction.connection.execute(insert(table), {"witness": witness, "size": size, "line": line})

    def prove(self, index: int, witnesses: Collection[str] = ()) -> bytes | None:
        """Return the tlog-proof of an entry, or None when no cosigned checkpoint covers it yet.

        The checkpoint is the newest that these witnesses have cosigned; when none is named, that any has.
        """
        checkpoint = self.cosigned_checkpoint(witnesses)
        if checkpoint is None or not 0 <= index < checkpoint.size:
            return None
        return tiles.proof_text(index, tree.inclusion_proof(index, checkpoint.size, self._tree), checkpoint.note)

    def root_at(self, size: int) -> bytes:
        """Return the root of the first `size` entries. ValueError when the log has fewer."""
        stored = self._tree
        if not 0 <= size <= stored.size:
            raise ValueError(f"the log has {stored.size} entries, not {size}")
        return tree.root_at(size, stored)

    def consistency(self, old: int, new: int) -> list[bytes]:
        """Return the proof that the tree of `new` entries extends that of `old`. ValueError for trees it never had."""
        stored = self._tree
        if new > stored.size:
            raise ValueError(f"the log has {stored.size} entries, not {new}")
        return tree.consistency_proof(old, new, stored)

    def export(self, directory: Path, witnesses: Mapping[str, str]) -> int:
        """Write the newest tree that all witnesses (agency: vkey) have cosigned as a static directory; return its size.

        With no witnesses, the newest signed one. AuditUnavailable when there is none yet.
        """
        checkpoint = self.cosigned_checkpoint(tuple(witnesses)) if witnesses else self.latest_checkpoint()
        if checkpoint is None:
            raise AuditUnavailable("no checkpoint can be exported yet", cure="try again in a few seconds")
        tiles.write_directory(
            directory,
            checkpoint,
            self._tree,
            self.leaves(0, checkpoint.size),
            (self._verifier.text, list(witnesses.values())),
        )
        return checkpoint.size


def insert_checkpoint(connection: Connection, signed: Checkpoint) -> None:
    """Store a checkpoint unless one of that size is there."""
    table = store.checkpoints
    if connection.execute(select(table.c.size).where(table.c.size == signed.size)).first() is None:
        connection.execute(insert(table), {"size": signed.size, "root": signed.root, "note": signed.note})


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn a database that does not take writes into AuditUnavailable; a wrong statement stays what it is."""
    try:
        yield
    except (OperationalError, InterfaceError, InternalError) as error:
        raise store.unavailable(error) from error
    except DatabaseError as error:
        if type(error) is DatabaseError:
            raise store.unavailable(error) from error
        raise
