"""The log's tables: the only SQL of this package. Entries and full tiles commit together; nothing is updated or deleted.

Triggers refuse UPDATE and DELETE. Whoever can drop a trigger can still change the file: witnesses show that.
"""

from functools import lru_cache
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
    select,
    text,
)
from sqlalchemy.engine import Connection, Engine

from audit import tiles, tree
from audit.errors import LogFrozen

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
_WRITE_ONCE = ("entries", "tiles", "checkpoints", "cosignatures", "misbehaviour")
_BUSY_MS = 5000


def engine(url: str) -> Engine:
    """Return an engine. SQLite is set to WAL, synchronous=FULL: a commit that returned survives a power cut."""
    made = create_engine(url)
    if made.dialect.name == "sqlite":
        event.listen(made, "connect", _set_up_sqlite)
        event.listen(made, "begin", _begin_sqlite)
    return made


def _set_up_sqlite(connection: Any, _: Any) -> None:
    # The driver's own transactions would begin too late for BEGIN IMMEDIATE.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={_BUSY_MS}", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A reader takes a snapshot; a writer must take the lock first, or two could read the same size.
    immediate = connection.get_execution_options().get("immediate", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def create_tables(made: Engine) -> None:
    """Create what is missing, with the triggers that refuse change."""
    metadata.create_all(made)
    with made.begin() as connection:
        for table in _WRITE_ONCE:
            for verb in ("UPDATE", "DELETE"):
                connection.execute(text(_trigger(made.dialect.name, table, verb)))


def _trigger(dialect: str, table: str, verb: str) -> str:
    name = f"{table}_no_{verb.lower()}"
    if dialect == "sqlite":
        return (
            f"CREATE TRIGGER IF NOT EXISTS {name} BEFORE {verb} ON {table} "
            "BEGIN SELECT RAISE(ABORT, 'the log is write-once'); END"
        )
    return (
        f"DO $$ BEGIN CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN RAISE EXCEPTION ''the log is write-once''; END'; "
        f"CREATE TRIGGER {name} BEFORE {verb} ON {table} FOR EACH STATEMENT EXECUTE FUNCTION {name}(); "
        "EXCEPTION WHEN duplicate_function THEN NULL; END $$"
    )


def stored_size(connection: Connection) -> int:
    """Return the number of entries. LogFrozen when the indices have a gap."""
    row = connection.execute(text("SELECT COUNT(*) AS n, COALESCE(MAX(idx), -1) AS last FROM entries")).one()
    if row.n != row.last + 1:
        raise LogFrozen(
            f"the log has {row.n} entries and its last is {row.last}: entries were removed",
            cure="stop the node; compare with the auditor's mirror",
        )
    return int(row.n)


class StoredHashes:
    """Hashes of complete subtrees, from full tiles and, where none is full yet, from the entries."""

    def __init__(self, made: Engine) -> None:
        self._engine = made
        self._full = lru_cache(maxsize=256)(self._read_tile)

    def __call__(self, level: int, index: int) -> bytes:
        """Return the hash of the complete subtree (level, index)."""
        if level % tiles.TILE_BITS == 0:
            number, offset = divmod(index, tiles.TILE_WIDTH)
            data = self._tile(level // tiles.TILE_BITS, number)
            if data is not None:
                return data[offset * tree.HASH_BYTES : (offset + 1) * tree.HASH_BYTES]
            if level == 0:
                return tree.leaf_hash(self._leaf(index))
        return tree.node_hash(self(level - 1, 2 * index), self(level - 1, 2 * index + 1))

    def _tile(self, level: int, number: int) -> bytes | None:
        try:
            return self._full(level, number)
        except _NotFull:
            return None

    def _read_tile(self, level: int, number: int) -> bytes:
        query = select(full_tiles.c.data).where(full_tiles.c.level == level, full_tiles.c.number == number)
        with self._engine.connect() as connection:
            row = connection.execute(query).first()
        if row is None:
            # Not cached: the tile may be full a moment later.
            raise _NotFull
        return bytes(row.data)

    def _leaf(self, index: int) -> bytes:
        with self._engine.connect() as connection:
            return bytes(connection.execute(select(entries.c.leaf).where(entries.c.idx == index)).scalar_one())


class _NotFull(Exception):
    """No full tile there yet."""
