"""Processes that outlive the command that starts them, known by id and start time so that no other is ever ended.

A process id alone is not enough: after a crash or a reboot the kernel gives it to somebody else.
"""

import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_POLL_S = 0.05


@dataclass(frozen=True)
class Process:
    """A process: its id, and when it started in clock ticks since boot (proc(5), stat, field 22)."""

    pid: int
    started: int

    def is_running(self) -> bool:
        """Say whether this very process runs. A zombie does not."""
        return _start_time(self.pid) == self.started

    def end(self, number: signal.Signals, wait_s: float) -> bool:
        """Send a signal and wait for the end; return whether it came within `wait_s`."""
        deadline = time.monotonic() + wait_s
        if self.is_running():
            os.kill(self.pid, number)
        while self.is_running():
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_S)
        return True


def spawn(command: Sequence[str], environment: Mapping[str, str], directory: Path, log: Path) -> Process:
    """Start a command in a session of its own, with nothing of ours open, its output added to `log`."""
    pid = os.posix_spawn(
        "/bin/sh",
        ["sh", "-c", 'cd "$0" && exec "$@"', str(directory), *command],
        dict(environment),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    return Process(pid, _start_time(pid) or 0)


def _start_time(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        threads = len(list(Path(f"/proc/{pid}/task").iterdir()))
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    if fields[0] in "ZX" and (_forgotten(pid) or threads <= 1):
        return None
    return int(fields[19])


def _forgotten(pid: int) -> bool:
    """Let the kernel forget an ended child of ours; its first thread may be a zombie while others still hold its ports."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return False
