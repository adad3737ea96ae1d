"""What becomes of a file that nobody says anything about: which profile takes it, how many messages, what is held back.

`python -m tests.adapters.survey FOLDER` prints the table for every file below a folder, one line each, for people and for
tests/adapters/samples.tsv.
"""

import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import adapters
from adapters.convert import convert
from adapters.detect import identify
from adapters.errors import FileRefused
from adapters.model import Converted


class Surveyed(NamedTuple):
    """One line of the table."""

    path: str
    profile: str
    """Which profile took the file; empty when none did."""
    messages: int
    held_back: int
    codes: str
    """Why records were held back, or why the file was refused, with counts."""


def survey(path: Path, name: str) -> Surveyed:
    """Identify and convert one file as `lianfang map convert auto` would."""
    data = path.read_bytes()
    found = identify(data)
    if found.refused is not None:
        return Surveyed(name, "", 0, 0, found.refused.code)
    profile = found.fits[0].profile
    companions = {other.stem: other.read_bytes() for other in path.parent.iterdir() if other.suffix == ".pem"}
    messages, held = 0, Counter[str]()
    try:
        for outcome in convert(adapters.profiles()[profile], data, companions):
            if isinstance(outcome, Converted):
                messages += 1
            else:
                held[outcome.code] += 1
    except FileRefused as error:
        return Surveyed(name, profile, 0, 0, error.code)
    return Surveyed(name, profile, messages, held.total(), ", ".join(f"{code} {held[code]}" for code in sorted(held)))


def survey_all(folder: Path) -> Iterator[Surveyed]:
    """Survey every file below a folder, in the order of their paths."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        yield survey(path, path.relative_to(folder).as_posix())


def main() -> None:
    """Print the table, and on standard error what took longer than a second."""
    folder = Path(sys.argv[1])
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        began = time.monotonic()
        print(*survey(path, path.relative_to(folder).as_posix()), sep="\t", flush=True)
        if (took := time.monotonic() - began) > 1:
            print(f"{path.name} took {took:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
