"""Where `lianfang map check --rows-out` writes the rows that failed."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from bus.cli.map_files import file_at


class Failing(NamedTuple):
    """A file for the rows that failed."""

    file: IO[bytes]
    workbook: bool


@contextlib.contextmanager
def failing_at(path: Path | None) -> Iterator[Failing | None]:
    """Give the file, which appears whole or not at all; none where none is asked for. Its ending says its form."""
    if path is None:
        yield None
        return
    with file_at(path) as file:
        yield Failing(file, path.suffix.lower() == ".xlsx")
