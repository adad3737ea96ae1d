"""A process that writes to a log until it is killed. `python -m tests.audit.writer URL HOW`.

It prints, after each acknowledged transaction, the log's size; or the code of the error that stops it.
HOW: batches (forever), once (one entry a transaction, 200 of them, starting at a line on standard input), full (with a limit
on the size of files, so that a commit fails for real).
"""

import json
import resource
import signal
import sys

from sqlalchemy import text

from audit.errors import AuditError
from tests.audit.logs import LOG, append, entries, open_log

_FULL_BYTES = 600_000


def batches(log) -> None:
    while True:
        with log.transaction() as transaction:
            start = transaction.frontier.size
            for leaf in entries(1 + start % 40, start):
                transaction.append(leaf)
            transaction.connection.execute(text("INSERT INTO state VALUES (:at)"), {"at": start})
        print(log.size, flush=True)
        if log.size % 5 == 0:
            log.checkpoint(LOG.sign)


def once(log) -> None:
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(200):
        append(log, entries(1, log.size))
        print(log.size, flush=True)


def full(log) -> None:
    """Fill until the file may not grow, then say what the log believes; lift the limit and go on."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (_FULL_BYTES, resource.RLIM_INFINITY))
    codes = []
    for _ in range(400):
        try:
            append(log, entries(20, log.size))
        except AuditError as error:
            codes.append(error.code)
    size = log.size
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    append(log, entries(20, log.size))
    print(json.dumps({"codes": codes, "size": size, "after": log.size}), flush=True)


def main(url: str, how: str) -> None:
    log = open_log(url)
    try:
        {"batches": batches, "once": once, "full": full}[how](log)
    except AuditError as error:
        print(error.code, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
