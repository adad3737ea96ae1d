"""The tables of match tags, among the node's own, so that a change and its log entry are one transaction.

No value and no tag stands in them in the clear: drafts that wait are encrypted under the key service's key at rest, and
the index holds keyed prints of tags.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, String, Table, UniqueConstraint

from bus.store import metadata

_RowId = BigInteger().with_variant(Integer, "sqlite")
WAITING, TAGGED, UNTAGGED, REFUSED = "waiting", "tagged", "untagged", "refused"

tag_keys = Table(
    "tag_keys",
    metadata,
    Column("epoch", String(16), primary_key=True),
    Column("authority", String(32), primary_key=True),
    Column("public_key", LargeBinary(32), nullable=False),
    Column("not_before_ms", BigInteger, nullable=False),
    Column("not_after_ms", BigInteger, nullable=False),
    Column("destroyed_ms", BigInteger, nullable=False),
)
"""The public keys of both authorities' shares, as first announced. destroyed_ms is an authority's own note; else 0."""

tag_told = Table(
    "tag_told",
    metadata,
    Column("epoch", String(16), primary_key=True),
    Column("agency", String(32), primary_key=True),
)
"""Which members an authority has sent its key of an epoch."""

tag_quotas = Table(
    "tag_quotas",
    metadata,
    Column("agency", String(32), primary_key=True),
    Column("window", String(8), primary_key=True),
    Column("begins_ms", BigInteger, nullable=False),
    Column("used", BigInteger, nullable=False),
)
"""How many values an authority has evaluated for an agency in the running hour and the running day."""

tag_batches = Table(
    "tag_batches",
    metadata,
    Column("batch_id", LargeBinary(16), primary_key=True),
    Column("state", String(8), nullable=False),
    Column("code", String(64), nullable=False),
    Column("entry_count", Integer, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("deadline_ms", BigInteger, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Index("tag_batches_due", "state", "deadline_ms"),
)
"""Messages that wait for their tags. state: waiting, tagged, untagged or refused; sealed is emptied when they have gone."""

tag_questions = Table(
    "tag_questions",
    metadata,
    Column("request_id", LargeBinary(16), primary_key=True),
    Column("batch_id", LargeBinary(16), nullable=False, index=True),
    Column("authority", String(32), nullable=False),
    Column("epoch", String(16), nullable=False),
    Column("answer", LargeBinary, nullable=False),
)
"""What was asked of whom for a batch, and the answer: a serialised TagAnswer, empty until it has come."""

tag_prints = Table(
    "tag_prints",
    metadata,
    Column("row_id", _RowId, primary_key=True, autoincrement=True),
    Column("print", LargeBinary(32), nullable=False),
    Column("message_id", LargeBinary(16), nullable=False),
    Column("sender", String(32), nullable=False),
    Column("type", String(128), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("epoch", String(16), nullable=False),
    Column("seen_ms", BigInteger, nullable=False),
    UniqueConstraint("print", "message_id"),
)
"""Keyed prints of the tags of messages sent and received."""

tag_looked = Table(
    "tag_looked",
    metadata,
    Column("message_id", LargeBinary(16), primary_key=True),
)
"""Received messages whose tags have been looked at."""
