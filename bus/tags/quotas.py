"""How many values an authority evaluates for one agency: so many an hour and a day, counted on disk.

The authority cannot tell values apart (that is the point), so every evaluated value counts; who asks twice pays twice.
"""

from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.engine import Connection

from bus.tags.tables import tag_quotas

WINDOWS_MS = {"hour": 3_600_000, "day": 86_400_000}


@dataclass(frozen=True)
class Over:
    """A quota is used up: which, and when it begins anew (milliseconds since 1970)."""

    window: str
    retry_at_ms: int


def spend(connection: Connection, agency: str, count: int, maxima: dict[str, int], now_ms: int) -> Over | None:
    """Count values against an agency's quotas, or count nothing and say which is used up. In the caller's transaction."""
    used = usage(connection, agency, now_ms)
    for window, most in maxima.items():
        if used[window] + count > most:
            return Over(window, begin(window, now_ms) + WINDOWS_MS[window])
    connection.execute(delete(tag_quotas).where(tag_quotas.c.agency == agency))
    connection.execute(
        tag_quotas.insert(),
        [
            {"agency": agency, "window": window, "begins_ms": begin(window, now_ms), "used": used[window] + count}
            for window in maxima
        ],
    )
    return None


def usage(connection: Connection, agency: str, now_ms: int) -> dict[str, int]:
    """Return how much an agency has used of the running hour and the running day."""
    rows = connection.execute(select(tag_quotas).where(tag_quotas.c.agency == agency)).all()
    held = {row.window: int(row.used) for row in rows if row.begins_ms == begin(row.window, now_ms)}
    return {window: held.get(window, 0) for window in WINDOWS_MS}


def begin(window: str, now_ms: int) -> int:
    """Return when the running window began, on the UTC clock."""
    return now_ms - now_ms % WINDOWS_MS[window]
