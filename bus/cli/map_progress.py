"""How far a file has been read, on standard error: part of its bytes, rows, and rows a second."""

import sys
from collections.abc import Callable, Iterator
from typing import Any

from bus.cli import show
from bus.cli.desk import Desk
from bus.clock import SystemClock

_EVERY_ROWS = 1_000
_EVERY_S = 0.5


def progress_of(desk: Desk, *, wanted: bool | None) -> Callable[[Iterator[Any], Any], Iterator[Any]]:
    """Return what lets rows pass and says how far it is: when it is wanted, or by itself on a terminal."""
    if wanted or (wanted is None and sys.stderr.isatty() and not desk.as_json):
        return _shown
    return lambda rows, _: rows


def _shown(rows: Iterator[Any], given: Any) -> Iterator[Any]:
    from adapters.source_file import size_of  # noqa: PLC0415 - lazy: help must not pay for it

    clock, size, read, count = SystemClock(), max(size_of(given), 1), 0, 0
    began = said = clock.monotonic_s()
    for row in rows:
        yield row
        count += 1
        read += len(row.raw)
        if count % _EVERY_ROWS == 0 and (now := clock.monotonic_s()) - said >= _EVERY_S:
            said = now
            _say(min(read / size, 1.0), count, now - began, end="")
    _say(1.0, count, clock.monotonic_s() - began, end="\n")


def _say(part: float, count: int, seconds: float, *, end: str) -> None:
    mark = "\r" if sys.stderr.isatty() else ""
    line = f"{part:>4.0%}, {show.count(count, 'row')}, {count / max(seconds, 1e-3):,.0f} rows/s"
    print(f"{mark}{line:<60}" if mark else line, end=end if mark else "\n", file=sys.stderr, flush=True)
