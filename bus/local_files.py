"""Files where node and local system meet: written whole or not at all, read only when they are plain files of a size."""

import os
import stat
from pathlib import Path

from bus.errors import Refused

ANSWER_BYTES_MAX = 8 * 1024 * 1024
"""A file from the local system."""


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees all of it or none, also after a crash; readable by its owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = path.with_suffix(".part")
    partial.unlink(missing_ok=True)  # what a crash left, or a link that somebody laid there to lead the text elsewhere
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)  # the name survives a power cut too
    finally:
        os.close(folder)


def read_whole(path: Path) -> bytes:
    """Return a file's bytes. Refused for what is no plain file (a link, a pipe that would never end) or is too large."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise Refused(
            "the answer cannot be opened, or is a link",
            cure="write answers as plain files that the node's user may read",
            code="LF-ANSWER-UNREADABLE",
        ) from error
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Refused(
                "the answer is no plain file", cure="write answers as plain files", code="LF-ANSWER-UNREADABLE"
            )
        data = file.read(ANSWER_BYTES_MAX + 1)
    if len(data) > ANSWER_BYTES_MAX:
        raise Refused(
            f"the answer is larger than {ANSWER_BYTES_MAX} bytes",
            cure="let the local system write smaller files",
            code="LF-ANSWER-TOO-LARGE",
        )
    return data


def put_aside(path: Path, folder: str) -> None:
    """Move a file into a folder beside it."""
    target = path.parent / folder
    target.mkdir(exist_ok=True, mode=0o700)
    path.rename(target / path.name)
