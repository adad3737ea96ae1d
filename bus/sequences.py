"""Which of a sender's messages have come, by the numbers that it counts them with under each grant.

- A gap is recorded, never refused: what is missing may be on its way, and a sender that starts anew skips numbers
  (bus/keyservice/sealer.py), at most 1,024 each time.
- A number that comes again under another message id is recorded too. The message keys still differ, by the salt; but a
  sender that repeats one has taken its keys from a backup, or is not the only one who holds them.
- What was received before is told by its id (bus/seen.py) and is not counted twice here.
"""

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import delete, func, insert, select
from sqlalchemy.engine import Connection

from bus import store
from bus.sealing.envelope import Header

WINDOW = 62
"""How far behind the highest number a message may come and still fill its gap; as many bits as a database keeps."""
GAP_WAIT_MS = 10 * 60_000
"""How long a number may be missing before it counts as a gap: lanes overtake one another."""
_KEPT_MS = 40 * 86_400_000
"""Longer than any message is on its way (limits.LIFETIME_MS)."""


class Window(NamedTuple):
    """What has come under a grant. Bit n of `came` is the number `highest` - n."""

    highest: int = 0
    came: int = 0
    missing: int = 0
    repeated: int = 0


def after(window: Window, number: int) -> Window:
    """Return the window once a message of that number has come."""
    ahead = number - window.highest
    if ahead > 0:
        came = (window.came << ahead if ahead < WINDOW else 0) | 1
        return window._replace(highest=number, came=came & ((1 << WINDOW) - 1), missing=window.missing + ahead - 1)
    if -ahead >= WINDOW:
        return window  # whether it had come before is no longer known; its gap stays recorded
    bit = 1 << -ahead
    if window.came & bit:
        return window._replace(repeated=window.repeated + 1)
    return window._replace(came=window.came | bit, missing=max(0, window.missing - 1))


def note(connection: Connection, headers: Iterable[Header], now_ms: int) -> None:
    """Record messages that came for the first time, in the transaction that takes them."""
    table = store.sequences
    numbers: dict[tuple[str, bytes], list[int]] = {}
    for header in headers:
        if header.grant_id:
            numbers.setdefault((header.sender, header.grant_id), []).append(header.sequence)
    if not numbers:
        return
    named = table.c.grant_id.in_({grant_id for _, grant_id in numbers})
    held = {
        (row.sender, row.grant_id): Window(row.highest, row.came, row.missing, row.repeated)
        for row in connection.execute(select(table).where(named))
    }
    if numbers.keys() - held.keys():
        connection.execute(delete(table).where(table.c.updated_ms < now_ms - _KEPT_MS))
    for key, came in numbers.items():
        window = held.get(key, Window())
        for number in came:
            window = after(window, number)
        sender, grant_id = key
        connection.execute(delete(table).where(table.c.sender == sender, table.c.grant_id == grant_id))
        row = {"sender": sender, "grant_id": grant_id, "updated_ms": now_ms}
        connection.execute(insert(table).values(**row, **window._asdict()))


def gaps(connection: Connection, now_ms: int, since_ms: int) -> dict[str, int]:
    """Return, by sender, how many numbers are missing under grants that came within that time and have been quiet since."""
    return _summed(connection, "missing", now_ms - GAP_WAIT_MS, since_ms)


def repeats(connection: Connection, now_ms: int, since_ms: int) -> dict[str, int]:
    """Return, by sender, how many numbers came under two message ids."""
    return _summed(connection, "repeated", now_ms, since_ms)


def _summed(connection: Connection, column: str, until_ms: int, since_ms: int) -> dict[str, int]:
    table = store.sequences
    total = func.sum(table.c[column])
    rows = connection.execute(
        select(table.c.sender, total)
        .where(table.c[column] > 0, table.c.updated_ms <= until_ms, table.c.updated_ms > since_ms)
        .group_by(table.c.sender)
    )
    return {row[0]: int(row[1]) for row in rows}
