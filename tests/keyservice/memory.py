"""A process with a secret in its memory, and one that looks for it there; both under one user. Run by as_user.py.

`victim 0|1`: make a secret, protect the memory or not, say `ready`, wait for the end of standard input.
`thief PID`: read the memory of that process; print how many secrets were found, or `refused`.
"""

import ctypes
import os
import sys
from pathlib import Path

from bus.keyservice.hardening import harden

SECRET = (b"the key-encryption", b" key of bank-a")
_PR_SET_DUMPABLE = 4


def main() -> None:
    """Be the one or the other."""
    if sys.argv[1] == "victim":
        _victim(protects=sys.argv[2] == "1")
    else:
        print(_stolen(sys.argv[2]), flush=True)


def _victim(*, protects: bool) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)  # as a process is that was not root before
    if protects:
        harden()
    held = b"".join(SECRET) * 1
    print("ready", flush=True)
    sys.stdin.read()
    assert held


def _stolen(pid: str) -> str:
    found, place = 0, Path("/proc") / pid
    try:
        with (place / "maps").open() as maps, (place / "mem").open("rb", 0) as memory:
            for line in maps:
                where, rights = line.split()[:2]
                begin, end = (int(text, 16) for text in where.split("-"))
                if rights.startswith("rw"):
                    found += os.pread(memory.fileno(), end - begin, begin).count(b"".join(SECRET))
    except OSError as error:
        return f"refused: {type(error).__name__}"
    return str(found)


if __name__ == "__main__":
    main()
