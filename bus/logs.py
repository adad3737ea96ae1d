"""Structured logs: one JSON object a line, and no classed value in any of them.

A log line may carry ids, codes, counts, agencies and types. Which keys those are is a closed list; anything else that a
caller passes is replaced by its length, so that a careless line cannot leak a name or a number.
"""

import logging
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, TextIO

import structlog

ALLOWED_KEYS = frozenset(
    [
        "event",
        "level",
        "timestamp",
        "agency",
        "peer",
        "sender",
        "recipient",
        "lane",
        "type",
        "state",
        "code",
        "cause",
        "cure",
        "message_id",
        "row_id",
        "file",
        "fields",
        "wait_ms",
        "count",
        "entry",
        "index",
        "size",
        "origin",
        "pid",
        "port",
        "serial",
        "sha256",
        "reason",
        "exit",
        "attempt",
        "attempts",
        "seconds",
        "profile",
        "rule",
        "rules",
        "operation",
        "ms",
        "transport",
        "error_type",
        "thread",
    ]
)
"""Keys whose values are never classed: ids, codes, counts and names of agencies and fields."""


def keep_allowed(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace the value of every key that is not on the list."""
    for key in event:
        if key not in ALLOWED_KEYS:
            event[key] = f"<{len(str(event[key]))} characters withheld>"
    return event


def set_up(level: str, agency: str, path: Path | None = None) -> None:
    """Send structured logs to `path` (owner-only), or to standard error."""
    stream: TextIO
    if path is None:
        stream = sys.stderr
    else:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        stream = path.open("a", encoding="utf-8", buffering=1)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            keep_allowed,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(file=stream),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(agency=agency)
