"""What a node knows of its own health: what is overdue, what was put aside, and whose clock differs.

Counts, agencies, codes and times only; nothing is opened, and nothing here is classed. `lianfang node doctor` judges it.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, func, select
from sqlalchemy.engine import Connection

from audit import leaf as leaf_format
from bus import sequences, store
from bus.parts import Parts

DAY_MS = 86_400_000
_HANDOVER_MS = 60_000
_SKEW_CODE = "LF-IN-CLOCK-SKEW"


def report(parts: Parts, receipt_wait_s: Mapping[str, float]) -> dict[str, Any]:
    """Return the node's health; times in milliseconds since 1970, ages in seconds."""
    now = parts.clock.now_ms()
    with parts.engine.connect() as connection:
        return {
            "at_ms": now,
            "overdue_receipts": _overdue(connection, now, receipt_wait_s),
            "quarantine": _recent(connection, store.quarantine, now),
            "held_back": _recent(connection, store.held_back, now),
            "handover": _handover(connection, now),
            "gaps": sequences.gaps(connection, now, now - DAY_MS),
            "repeated_numbers": sequences.repeats(connection, now, now - DAY_MS),
            "clock": _clock(connection, now),
            "ends_ms": _ends_ms(parts),
            "uncosigned_s": {witness: _uncosigned_s(parts, witness, now) for witness in parts.witnesses},
        }


def _overdue(connection: Connection, now: int, wait_s: Mapping[str, float]) -> dict[str, int]:
    """Count, by recipient, what went out longer ago than a receipt may take and is neither received nor given up."""
    table, found = store.outbox, dict[str, int]()
    for lane, seconds in wait_s.items():
        late = (
            table.c.state.in_(("waiting", "confirmed")),
            table.c.lane == lane,
            table.c.created_ms < now - round(seconds * 1000),
        )
        for row in connection.execute(_counted(table, table.c.recipient, *late)):
            found[row[0]] = found.get(row[0], 0) + int(row[1])
    return found


def _recent(connection: Connection, table: Table, now: int) -> dict[str, int]:
    """Count, by code, what was put aside within a day."""
    rows = connection.execute(_counted(table, table.c.code, table.c.received_at_ms > now - DAY_MS))
    return {row[0]: int(row[1]) for row in rows}


def _handover(connection: Connection, now: int) -> dict[str, int]:
    """Count what the local system should have had long ago, and what was given up."""
    table = store.messages
    late = (table.c.handover == "pending", table.c.received_at_ms < now - _HANDOVER_MS)
    given_up = (table.c.handover == "failed", table.c.received_at_ms > now - DAY_MS)
    count = select(func.count()).select_from(table)
    return {
        "pending": int(connection.execute(count.where(table.c.direction == "in", *late)).scalar_one()),
        "failed": int(connection.execute(count.where(table.c.direction == "in", *given_up)).scalar_one()),
    }


def _clock(connection: Connection, now: int) -> dict[str, Any]:
    """Say by how much a sender's clock was ahead of ours at most, and who refused a message of ours as of the future."""
    messages, outbox = store.messages, store.outbox
    ahead = (
        select(messages.c.sender, func.max(messages.c.sent_at_ms - messages.c.received_at_ms))
        .where(messages.c.direction == "in", messages.c.received_at_ms > now - DAY_MS)
        .group_by(messages.c.sender)
    )
    refused = _counted(outbox, outbox.c.recipient, outbox.c.code == _SKEW_CODE, outbox.c.created_ms > now - DAY_MS)
    return {
        "ahead_ms": {row[0]: int(row[1]) for row in connection.execute(ahead) if row[1] > 0},
        "refused_by": sorted(row[0] for row in connection.execute(refused)),
    }


def _counted(table: Table, by: ColumnElement[str], *where: ColumnElement[bool]) -> Select[str, int]:
    return select(by, func.count()).select_from(table).where(*where).group_by(by)


def _ends_ms(parts: Parts) -> dict[str, int]:
    """Return until when our newest keys, in the directory or made known since, the directory and the policy bundle hold."""
    member, notice = parts.directory.member(parts.agency), parts.directory.notices.get(parts.agency)
    prekeys = notice.prekeys if notice is not None and notice.prekeys else member.prekeys
    return {
        "signing key": max((int(key.not_after_ms) for key in member.signing_keys if not key.revoked), default=0),
        "prekey": max((int(key.not_after_ms) for key in prekeys), default=0),
        "directory": parts.directory.expires_at_ms,
        "policy": parts.bundle.not_after_ms,
    }


def _uncosigned_s(parts: Parts, witness: str, now: int) -> float:
    """Return for how long the oldest entry that this witness has not cosigned has stood; 0 when there is none."""
    size = parts.log.cosigned_size(witness)
    if size >= parts.log.size:
        return 0.0
    return max(0.0, (now - leaf_format.decode(parts.log.leaf(size)).at_ms) / 1000)
