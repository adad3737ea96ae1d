"""A disk that can be filled, in two ways: a small file system of its own, or a limit on the size of a process's files.

The first gives ENOSPC as a full disk does, and needs the right to mount; the second gives EFBIG, and needs none.
"""

import contextlib
import os
import resource
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

_SIZE = "24m"
_BLOCK = 64 * 1024
_LIMIT_BYTES = 4096


class Disk(Protocol):
    """A disk under a node's directory."""

    def fill(self) -> None: ...

    def free(self) -> None: ...


class MountedDisk:
    """A tmpfs at a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._filler = directory / "filler"

    @classmethod
    def mount(cls, directory: Path) -> "MountedDisk | None":
        """Mount it; None where that is not allowed."""
        directory.mkdir(parents=True)
        try:
            command = ["mount", "-t", "tmpfs", "-o", f"size={_SIZE},mode=0700", "tmpfs", str(directory)]
            done = subprocess.run(command, capture_output=True, check=False)
        except FileNotFoundError:
            return None
        return cls(directory) if done.returncode == 0 else None

    def fill(self) -> None:
        """Leave no byte."""
        with self._filler.open("ab", buffering=0) as file:
            for size in (_BLOCK, 4096):
                with contextlib.suppress(OSError):
                    while file.write(b"\0" * size):
                        pass

    def free(self) -> None:
        """Give the space back."""
        self._filler.unlink()

    def unmount(self) -> None:
        """Take it away, with all that is on it."""
        subprocess.run(["umount", "--lazy", str(self._directory)], check=True)


class LimitedDisk:
    """A running process that cannot make any file longer."""

    def __init__(self, pid: Callable[[], int]) -> None:
        self._pid = pid

    def fill(self) -> None:
        """Let no file grow beyond a page."""
        _, hard = resource.prlimit(self._pid(), resource.RLIMIT_FSIZE)
        resource.prlimit(self._pid(), resource.RLIMIT_FSIZE, (_LIMIT_BYTES, hard))

    def free(self) -> None:
        """Let files grow again."""
        _, hard = resource.prlimit(self._pid(), resource.RLIMIT_FSIZE)
        resource.prlimit(self._pid(), resource.RLIMIT_FSIZE, (hard, hard))


def may_mount() -> bool:
    """Say whether it is worth trying to mount."""
    return os.geteuid() == 0
