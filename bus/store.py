"""The node's own tables, in one database with its audit log, so that state and leaf commit together.

Nothing classed lies here in the clear: bodies stay sealed as they travelled, held-back rows and lineage are encrypted
under the key service's key at rest, and whatever must be looked up is a keyed blind value.
"""

from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    select,
)
from sqlalchemy.engine import Connection, Dialect, Engine

from audit.store import writer
from bus.errors import Usage

metadata = MetaData()
_OWNER = "agency"
_CLAIM_WAIT_S = 5.0

# Autoincrement on SQLite needs INTEGER exactly.
_RowId = BigInteger().with_variant(Integer, "sqlite")

messages = Table(
    "messages",
    metadata,
    Column("message_id", LargeBinary(16), primary_key=True),
    Column("direction", String(3), nullable=False),
    Column("type", String(128), nullable=False),
    Column("sender", String(32), nullable=False),
    Column("recipients", String(8448), nullable=False),
    Column("lane", String(8), nullable=False),
    Column("sent_at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger, nullable=False),
    Column("correlation_id", LargeBinary(16), nullable=False),
    Column("causation_id", LargeBinary(16), nullable=False),
    Column("policy_serial", BigInteger, nullable=False),
    Column("payload_sha256", LargeBinary(32), nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("carried_grant", LargeBinary(16), nullable=False),
    Column("log_index", BigInteger, nullable=False),
    Column("received_at_ms", BigInteger, nullable=False),
    Column("deadline_ms", BigInteger, nullable=False),
    Column("owner", String(64), nullable=False),
    Column("handover", String(8), nullable=False),
    Column("handover_after_ms", BigInteger, nullable=False),
    Index("messages_handover", "handover", "handover_after_ms"),
    Index("messages_listing", "direction", "received_at_ms"),
    Index("messages_correlation", "correlation_id"),
)
"""Messages sent (direction out) and accepted (in). handover: none, pending, person, done or failed.

carried_grant is the grant that travelled inside a message of our own, else empty.
"""

outbox = Table(
    "outbox",
    metadata,
    Column("row_id", _RowId, primary_key=True, autoincrement=True),
    Column("message_id", LargeBinary(16), nullable=False),
    Column("recipient", String(32), nullable=False),
    Column("lane", String(8), nullable=False),
    Column("type", String(128), nullable=False),
    Column("state", String(12), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("not_before_ms", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("settled_ms", BigInteger, nullable=False),
    Column("code", String(128), nullable=False),
    UniqueConstraint("message_id", "recipient"),
    Index("outbox_due", "state", "lane", "not_before_ms", "row_id"),
)
"""One row per recipient. state: waiting, confirmed, receipted, refused, expired, unroutable."""

passing = Table(
    "passing",
    metadata,
    Column("message_id", LargeBinary(16), primary_key=True),
    Column("envelope", LargeBinary, nullable=False),
)
"""Envelopes of receipts, checkpoints and cosignatures: gone once the broker has confirmed them."""

inbox = Table(
    "inbox",
    metadata,
    Column("sender", String(32), primary_key=True),
    Column("message_id", LargeBinary(16), primary_key=True),
    Column("sha256", LargeBinary(32), nullable=False),
    Column("received_at_ms", BigInteger, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("code", String(128), nullable=False),
    Column("log_index", BigInteger, nullable=False),
)
"""What was received before, so that nothing has two effects. outcome is a ReceiptOutcome name."""

sequences = Table(
    "sequences",
    metadata,
    Column("sender", String(32), primary_key=True),
    Column("grant_id", LargeBinary(16), primary_key=True),
    Column("highest", BigInteger, nullable=False),
    Column("came", BigInteger, nullable=False),
    Column("missing", BigInteger, nullable=False),
    Column("repeated", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
)
"""Which numbers of a sender have come under a grant (bus/sequences.py)."""

quarantine = Table(
    "quarantine",
    metadata,
    Column("row_id", _RowId, primary_key=True, autoincrement=True),
    Column("received_at_ms", BigInteger, nullable=False),
    Column("sender", String(32), nullable=False),
    Column("code", String(128), nullable=False),
    Column("sha256", LargeBinary(32), nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("log_index", BigInteger, nullable=False),
)
"""What was refused, kept as evidence."""

fingerprints = Table(
    "fingerprints",
    metadata,
    Column("fingerprint", LargeBinary(32), primary_key=True),
    Column("message_id", LargeBinary(16), nullable=False),
)
"""Keyed fingerprints of records already sent: dropping a file twice sends nothing twice."""

held_back = Table(
    "held_back",
    metadata,
    Column("fingerprint", LargeBinary(32), primary_key=True),
    Column("received_at_ms", BigInteger, nullable=False),
    Column("profile", String(64), nullable=False),
    Column("source_sha256", LargeBinary(32), nullable=False),
    Column("record", Integer, nullable=False),
    Column("line", Integer, nullable=False),
    Column("code", String(128), nullable=False),
    Column("cause", String(1024), nullable=False),
    Column("cure", String(1024), nullable=False),
    Column("sealed_raw", LargeBinary, nullable=False),
)
"""Rows that could not be sent, with the reason; the row itself is encrypted at rest."""

lineage = Table(
    "lineage",
    metadata,
    Column("message_id", LargeBinary(16), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)
"""Where each value of a sent message came from, encrypted at rest (original texts are classed like the field)."""

orders = Table(
    "orders",
    metadata,
    Column("message_id", LargeBinary(16), primary_key=True),
    Column("side", String(8), nullable=False),
    Column("peer", String(32), nullable=False),
    Column("type", String(128), nullable=False),
    Column("application", LargeBinary(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("result_message_id", LargeBinary(16), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("deadline_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Index("orders_application", "application", "type"),
)
"""Orders issued and received. application is the blind value of the requester's number. States: bus/orders/states.py."""

grants_delivered = Table(
    "grants_delivered",
    metadata,
    Column("grant_id", LargeBinary(16), primary_key=True),
    Column("recipient", String(32), primary_key=True),
)
"""Recipients known, by their receipts, to hold a grant: later messages need not carry it."""

subject_answers = Table(
    "subject_answers",
    metadata,
    Column("query_id", LargeBinary(16), primary_key=True),
    Column("agency", String(32), primary_key=True),
    Column("status", String(8), nullable=False),
    Column("values", LargeBinary, nullable=False),
)
"""An auditor's answers: each agency's keyed values of the subject asked for."""

state = Table(
    "state",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", LargeBinary, nullable=False),
)
"""Single values: pinned directory and policy bundle, and whose database this is."""


class Rows:
    """Rows to insert, by table, so that each table takes one statement however many there are."""

    def __init__(self) -> None:
        self._by_table: dict[Table, list[dict[str, Any]]] = {}

    def add(self, table: Table, **values: Any) -> None:
        """Add a row; it needs a value for every column that has no default."""
        self._by_table.setdefault(table, []).append(values)

    def add_waiting(self, message_id: bytes, recipient: str, lane: str, type_name: str, now_ms: int) -> None:
        """Add an outbox row that is due at once."""
        self.add(
            outbox,
            message_id=message_id,
            recipient=recipient,
            lane=lane,
            type=type_name,
            state="waiting",
            attempts=0,
            not_before_ms=now_ms,
            created_ms=now_ms,
            settled_ms=0,
            code="",
        )

    def flush(self, connection: Connection) -> None:
        """Insert what was added: straight through the driver, for SQLAlchemy's work on each value costs more than SQLite's."""
        for table, rows in self._by_table.items():
            names = tuple(rows[0])
            statement, in_order = _insert(table, names, connection.dialect)
            values: Any = [tuple([row[name] for name in in_order]) for row in rows] if in_order else rows
            connection.exec_driver_sql(statement, values)
        self._by_table = {}


@lru_cache(maxsize=64)
def _insert(table: Table, names: tuple[str, ...], dialect: Dialect) -> tuple[str, tuple[str, ...]]:
    """Return the statement in a driver's own words, and the order of its values where it takes them by place."""
    compiled = table.insert().compile(dialect=dialect, column_keys=list(names))
    return str(compiled), tuple(getattr(compiled, "positiontup", None) or ())


def text(value: str, column: Column[str]) -> str:
    """Return a text of others as the column takes it: cut to its length, and without NUL, which PostgreSQL has not got.

    SQLite enforces neither; a foreign word must not stop a whole batch on the one and pass on the other.
    """
    length = column.type.length if isinstance(column.type, String) else None
    return value.encode("utf-8", "replace").decode().replace("\0", "\ufffd")[:length]


def create_tables(engine: Engine) -> None:
    """Create what is missing."""
    metadata.create_all(engine)


def claim(engine: Engine, agency: str) -> None:
    """Note whose database this is. Usage when it is another agency's: two nodes would mix their logs and stop each other."""
    with writer(engine, _CLAIM_WAIT_S) as connection, connection.begin():
        owner = connection.execute(select(state.c.value).where(state.c.name == _OWNER)).scalar()
        if owner is None:
            connection.execute(state.insert(), {"name": _OWNER, "value": agency.encode()})
        elif bytes(owner) != agency.encode():
            raise Usage(
                f"the database of node.toml is that of {bytes(owner).decode()}",
                cure=f"give {agency} a database of its own",
                code="LF-NODE-OTHER-DATABASE",
            )
