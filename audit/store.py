"""The log's tables: the only SQL of this package. Entries and full tiles commit together; nothing is updated or deleted.

Triggers refuse to change, remove or replace a row. Whoever can drop a trigger can still change it: witnesses show that.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    create_engine,
    event,
    func,
    select,
    text,
)
from sqlalchemy.engine import Connection, Engine, ExceptionContext, make_url
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError

from audit import tiles, tree
from audit.errors import AuditUnavailable, LogFrozen

metadata = MetaData()

entries = Table(
    "entries",
    metadata,
    Column("idx", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("leaf", LargeBinary, nullable=False),
)
full_tiles = Table(
    "tiles",
    metadata,
    Column("level", Integer, primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("data", LargeBinary, nullable=False),
)
checkpoints = Table(
    "checkpoints",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("root", LargeBinary(32), nullable=False),
    Column("note", LargeBinary, nullable=False),
)
cosignatures = Table(
    "cosignatures",
    metadata,
    Column("witness", String(32), primary_key=True),
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("line", LargeBinary, nullable=False),
)
misbehaviour = Table(
    "misbehaviour",
    metadata,
    Column("note_a", LargeBinary, nullable=False),
    Column("note_b", LargeBinary, nullable=False),
)
_KEYS = {
    "entries": ("idx",),
    "tiles": ("level", "number"),
    "checkpoints": ("size",),
    "cosignatures": ("witness", "size"),
    "misbehaviour": (),
}
_BUSY_MS = 5000
_POOL_WAIT_S = 2.0
_READ_ROWS = 1024
_POSTGRES_DEFAULTS = {"connect_timeout": "5", "tcp_user_timeout": "10000"}
"""What libpq would wait for without end: seconds to connect, milliseconds until what was sent is taken."""

_SIGNS = {
    "disk is full": "the disk is full",
    "no space left": "the disk is full",
    "disk i/o error": "the disk takes no writes",
    "readonly": "the database may only be read",
    "locked": "another process holds the database",
    "connection refused": "the server is not running",
    "no such file or directory": "the server is not running",
    "the database system is": "the server is starting or stopping",
    "server closed the connection": "the server went away",
    "terminating connection": "the server went away",
    "password authentication failed": "the server refused the password",
    "does not exist": "the server knows no such database or account",
    "permission denied": "the account may not do this there",
    "too many clients": "the server has no connection left",
    "remaining connection slots": "the server has no connection left",
    "timeout expired": "the server does not answer",
}
"""What drivers say, in small letters, and what it means to a person."""

_WRITER_LOCK = int.from_bytes(b"lf-audit", "big")
"""PostgreSQL's advisory lock of the one who writes this database's log."""


def engine(url: str) -> Engine:
    """Return an engine whose commits, once returned, survive a power cut.

    SQLite is set to WAL with synchronous=FULL, PostgreSQL to synchronous_commit=on where it was weaker, and to READ COMMITTED:
    whoever has waited for the writer's place must then see what the last one left. A statement outside `writer` that the
    database does not answer is AuditUnavailable; inside, audit/log.py says what it means.
    """
    where = make_url(url)
    if where.get_backend_name() == "sqlite":
        made = create_engine(where, pool_timeout=_POOL_WAIT_S, hide_parameters=True)
        event.listen(made, "connect", _set_up_sqlite)
        event.listen(made, "begin", _begin_sqlite)
    else:
        made = create_engine(
            where.update_query_dict({**_POSTGRES_DEFAULTS, **where.query}),
            pool_timeout=_POOL_WAIT_S,
            pool_pre_ping=True,  # a connection from before the server's restart is no reason to refuse anybody
            isolation_level="READ COMMITTED",
            hide_parameters=True,
        )
        event.listen(made, "connect", _set_up_postgres)
        event.listen(made, "begin", _begin_postgres)
    event.listen(made, "handle_error", _say_away)
    return made


def _say_away(context: ExceptionContext) -> None:
    """Turn a database that does not answer into AuditUnavailable, wherever it is asked outside the writer's place."""
    connection, error = context.connection, context.sqlalchemy_exception
    is_writing = connection is not None and connection.get_execution_options().get("writer_wait_s") is not None
    if (
        not context.is_pre_ping
        and not is_writing
        and isinstance(error, (OperationalError, InterfaceError, InternalError))
    ):
        raise unavailable(error)


def unavailable(error: Exception) -> AuditUnavailable:
    """Return what a database that does not answer means to whoever asked."""
    return AuditUnavailable(
        f"the node's database does not answer or takes no writes ({in_words(error)})",
        cure="see the disk's space and the database; the request was refused and may be repeated",
    )


def in_words(error: BaseException) -> str:
    """Say what a database met, in words of ours: a driver's own text may carry what was to be written."""
    said = str(getattr(error, "orig", None) or error).lower()
    return next((words for sign, words in _SIGNS.items() if sign in said), type(error).__name__)


def _set_up_sqlite(connection: Any, _: Any) -> None:
    # The driver's own transactions would begin too late for BEGIN IMMEDIATE.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (f"busy_timeout={_BUSY_MS}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A reader takes a snapshot; a writer must take the lock first, or two could read the same size.
    wait_s = connection.get_execution_options().get("writer_wait_s")
    wait_ms = _BUSY_MS if wait_s is None else round(wait_s * 1000)
    if connection.info.get("busy_ms", _BUSY_MS) != wait_ms:  # a pooled connection keeps what was set last
        connection.exec_driver_sql(f"PRAGMA busy_timeout={wait_ms}")
        connection.info["busy_ms"] = wait_ms
    connection.exec_driver_sql("BEGIN" if wait_s is None else "BEGIN IMMEDIATE")


def _set_up_postgres(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("SHOW synchronous_commit")
    if cursor.fetchone()[0] in ("off", "local"):
        cursor.execute("SET synchronous_commit = on")
    cursor.close()
    connection.commit()


def _begin_postgres(connection: Connection) -> None:
    wait_s = connection.get_execution_options().get("writer_wait_s")
    if wait_s is not None:
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {max(1, round(wait_s * 1000))}")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITER_LOCK})")


def writer(made: Engine, wait_s: float) -> Connection:
    """Return a connection whose transactions hold the one writer's place, waiting at most so long for it."""
    return made.connect().execution_options(writer_wait_s=wait_s)


def create_tables(made: Engine) -> None:
    """Create what is missing, with the triggers that refuse change."""
    with writer(made, _BUSY_MS / 1000) as connection, connection.begin():
        metadata.create_all(connection)
        for table, key in _KEYS.items():
            for statement in _guards(made.dialect.name, table, key):
                connection.execute(text(statement))


def _guards(dialect: str, table: str, key: Sequence[str]) -> Iterator[str]:
    if dialect == "sqlite":
        abort = "BEGIN SELECT RAISE(ABORT, 'the log is write-once'); END"
        for verb in ("UPDATE", "DELETE"):
            yield f"CREATE TRIGGER IF NOT EXISTS {table}_no_{verb.lower()} BEFORE {verb} ON {table} {abort}"
        if key:  # INSERT OR REPLACE removes a row without asking the trigger on DELETE
            same = " AND ".join(f"{column} = NEW.{column}" for column in key)
            when = f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {same})"  # noqa: S608 - names of this module
            yield f"CREATE TRIGGER IF NOT EXISTS {table}_no_replace BEFORE INSERT ON {table} {when} {abort}"
        return
    name = f"{table}_write_once"
    yield (
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN RAISE EXCEPTION ''the log is write-once''; END'"
    )
    yield (
        f"CREATE OR REPLACE TRIGGER {name} BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {name}()"
    )


def file_identity(made: Engine) -> tuple[int, int] | None:
    """Return which file a SQLite database is, or None for other databases. (0, 0) when the file is gone."""
    if made.dialect.name != "sqlite" or made.url.database in (None, "", ":memory:"):
        return None
    try:
        found = Path(str(made.url.database)).stat()
    except OSError:
        return (0, 0)
    return found.st_dev, found.st_ino


def stored_size(connection: Connection) -> int:
    """Return the number of entries: the last index plus one."""
    return int(connection.execute(select(func.coalesce(func.max(entries.c.idx), -1))).scalar_one()) + 1


def read_leaves(made: Engine, start: int, stop: int) -> Iterator[bytes]:
    """Yield the entries start … stop - 1. LogFrozen when one that should be there is not."""
    for first in range(start, stop, _READ_ROWS):
        end = min(stop, first + _READ_ROWS)
        query = select(entries).where(entries.c.idx >= first, entries.c.idx < end).order_by(entries.c.idx)
        with made.connect() as connection:
            rows = connection.execute(query).all()
        if len(rows) != end - first:
            raise _incomplete(f"of the entries {first} to {end - 1}, {end - first - len(rows)} are missing")
        yield from (bytes(row.leaf) for row in rows)


class FullTiles:
    """Reads full tiles, with a cache: they never change."""

    def __init__(self, made: Engine) -> None:
        self._engine = made
        self.rows = lru_cache(maxsize=256)(self._rows)

    def _rows(self, level: int, number: int) -> tiles.Rows:
        return tiles.expand(next(self._read(level, number, number + 1)))

    def _read(self, level: int, start: int, stop: int) -> Iterator[list[bytes]]:
        table = full_tiles
        query = select(table).where(table.c.level == level, table.c.number >= start, table.c.number < stop)
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(table.c.number)).all()
        if len(rows) != stop - start:
            raise _incomplete(f"of the tiles {start} to {stop - 1} of level {level}, some are missing")
        for row in rows:
            data = bytes(row.data)
            yield [data[at : at + tree.HASH_BYTES] for at in range(0, len(data), tree.HASH_BYTES)]

    def load(self, size: int) -> tiles.StoredTree:
        """Return the stored tree of that size."""
        unfinished: dict[int, list[bytes]] = {}
        level = 0
        while (count := size >> (tiles.TILE_BITS * level)) > 0:
            first = count - count % tiles.TILE_WIDTH
            unfinished[level] = list(self._nodes(level, first, count))
            level += 1
        bare = tiles.StoredTree(tree.Frontier(size), unfinished, self.rows)
        return tiles.StoredTree(tree.frontier_at(size, bare), unfinished, self.rows)

    def _nodes(self, level: int, start: int, stop: int) -> Iterable[bytes]:
        if level == 0:
            return map(tree.leaf_hash, read_leaves(self._engine, start, stop))
        return (tiles.root_of_full(nodes) for nodes in self._read(level - 1, start, stop))


def _incomplete(cause: str) -> LogFrozen:
    return LogFrozen(
        f"the stored log is incomplete: {cause}", cure="stop the node; refill it from the auditor's mirror"
    )
