"""Files that are read in pieces, so that memory does not grow with them. Bytes in memory are read the same way.

A file is opened anew for each pass over it (encoding, hash, records), and it must be the same file at the end of the last pass
as it was at the first: what another program writes into it meanwhile refuses it.
"""

import io
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from adapters.errors import FileRefused

FILE_BYTES_MAX = 1 << 30
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class SourceFile:
    """A file on disk, as it was when it was first looked at."""

    path: Path
    size: int
    state: tuple[int, int, int, int]
    """Device, inode, size, and time of the last change."""

    def open(self) -> BinaryIO:
        """Open it at its beginning. FileRefused when it has changed."""
        stream = self.path.open("rb")
        try:
            self.require_unchanged(stream)
        except FileRefused:
            stream.close()
            raise
        return stream

    def require_unchanged(self, stream: BinaryIO) -> None:
        """Refuse the file when it is no longer what it was."""
        if _state(os.fstat(stream.fileno())) != self.state:
            raise changed()


Given = bytes | SourceFile
"""A file as it is given to a reader."""


def file_given(path: Path) -> Given:
    """Return a file to be read in pieces; what is no file on disk, a pipe, is read into memory, up to the limit."""
    found = path.stat()
    if stat.S_ISREG(found.st_mode):
        return SourceFile(path, found.st_size, _state(found))
    with path.open("rb") as stream:
        data = stream.read(FILE_BYTES_MAX + 1)
    require_size(data)
    return data


def stream_of(given: Given) -> BinaryIO:
    """Return a file from its beginning; whoever asks closes it."""
    return io.BytesIO(given) if isinstance(given, bytes) else given.open()


def size_of(given: Given) -> int:
    """Return how many bytes a file has."""
    return len(given) if isinstance(given, bytes) else given.size


def chunks_of(given: Given) -> Iterator[bytes]:
    """Yield a file in pieces."""
    with stream_of(given) as stream:
        while chunk := stream.read(CHUNK_BYTES):
            yield chunk


def head_of(given: Given, size: int) -> bytes:
    """Return the first bytes of a file."""
    with stream_of(given) as stream:
        return stream.read(size)


def ranges_held(given: Given, ranges: Iterable[tuple[int, int]]) -> list[bytes]:
    """Return what stands at some byte ranges of a file."""
    with stream_of(given) as stream:
        found = []
        for start, end in ranges:
            stream.seek(start)
            found.append(stream.read(end - start))
        return found


def whole(given: Given) -> bytes:
    """Return all of a file, for formats that must be held whole. FileRefused when it is too large."""
    require_size(given)
    if isinstance(given, bytes):
        return given
    with given.open() as stream:
        return stream.read()


def digest_of(given: Given) -> bytes:
    """Return the SHA-256 of a file."""
    digest = sha256()
    for chunk in chunks_of(given):
        digest.update(chunk)
    return digest.digest()


def digest_of_range(given: Given, start: int, end: int) -> bytes:
    """Return the SHA-256 of what stands in a file from one byte to another."""
    digest = sha256()
    with stream_of(given) as stream:
        stream.seek(start)
        while chunk := stream.read(min(CHUNK_BYTES, end - start)):
            digest.update(chunk)
            start += len(chunk)
    return digest.digest()


def require_size(given: Given) -> None:
    """Refuse a file that is larger than any may be."""
    if size_of(given) > FILE_BYTES_MAX:
        raise FileRefused(
            f"the file is larger than {FILE_BYTES_MAX >> 20} MiB",
            cure="split it, with the header in each part",
            code="LF-FILE-SIZE",
        )


def changed() -> FileRefused:
    """Return the refusal of a file that was written to while it was read."""
    return FileRefused(
        "the file was changed while it was read", cure="wait until it is written, and try again", code="LF-FILE-CHANGED"
    )


def _state(found: os.stat_result) -> tuple[int, int, int, int]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
