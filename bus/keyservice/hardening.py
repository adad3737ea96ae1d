"""What a process can do so that its memory is read by nobody else: called once, before the first key is read.

- No core dump (RLIMIT_CORE 0), whatever the machine's setting.
- Not dumpable (prctl PR_SET_DUMPABLE 0): another process of the same user can neither attach to it nor read /proc/PID/mem.
- Memory locked (mlockall), so that no key is written to swap; only where the user may lock all it will ever need, since
  a limit reached later would be a failed allocation in the middle of work. Where not, doctor says so.

Python copies and frees bytes as it likes: a key cannot be wiped from its memory, only kept from others for as long as the
process lives. Root, and whoever has CAP_SYS_PTRACE, still reads everything.
"""

import ctypes
import os
import resource
from dataclasses import dataclass
from pathlib import Path

_PR_GET_DUMPABLE, _PR_SET_DUMPABLE = 3, 4
_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4
_CAP_IPC_LOCK = 14


@dataclass(frozen=True)
class Hardening:
    """What was reached. `memory` is empty where memory is locked, else it says why not."""

    no_core: bool
    no_trace: bool
    memory: str


def harden() -> Hardening:
    """Keep this process's memory from others, as far as the system lets us."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    return Hardening(
        no_core=resource.getrlimit(resource.RLIMIT_CORE) == (0, 0),
        no_trace=libc.prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0) == 0,
        memory=_lock_memory(libc),
    )


def _lock_memory(libc: ctypes.CDLL) -> str:
    """Lock all memory, now and later; return why not."""
    if not _may_lock_everything():
        return "the limit on locked memory is too low: set LimitMEMLOCK=infinity in the unit"
    if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) != 0:
        return f"the system refused it ({os.strerror(ctypes.get_errno()).lower()})"
    return ""


def _may_lock_everything() -> bool:
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    return soft == resource.RLIM_INFINITY or bool(_capabilities() >> _CAP_IPC_LOCK & 1)


def _capabilities() -> int:
    """Return the effective capabilities of this process, as the kernel gives them."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next((int(line.split()[1], 16) for line in lines if line.startswith("CapEff:")), 0)
