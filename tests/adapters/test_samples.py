"""Real files of real systems, where they lie beside the checkout: what becomes of each is written down in samples.tsv.

A line of the table: the file, the profile that takes it (none when it is refused), messages, records held back, and why.
It was read through once by a person; `python -m tests.adapters.survey FOLDER` writes it again.
"""

import csv
from pathlib import Path

import pytest

from tests.adapters.samples import SAMPLES
from tests.adapters.survey import Surveyed, survey

TABLE = Path(__file__).with_name("samples.tsv")


def expected() -> list[Surveyed]:
    """Return the lines of the table."""
    with TABLE.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.reader(lines, delimiter="\t"))
    return [Surveyed(row[0], row[1], int(row[2]), int(row[3]), row[4]) for row in rows]


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the samples are not beside this checkout")
def test_every_sample_converts_or_is_refused_for_the_reason_written_down() -> None:
    """No file of the table becomes anything else than what was found right."""
    here = [line for line in expected() if (SAMPLES / line.path).is_file()]
    assert [survey(SAMPLES / line.path, line.path) for line in here] == here


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the samples are not beside this checkout")
def test_no_sample_is_left_out_of_the_table() -> None:
    """Every file beside the checkout has its line."""
    listed = {line.path for line in expected()}
    found = {path.relative_to(SAMPLES).as_posix() for path in SAMPLES.rglob("*") if path.is_file()}
    assert found <= listed
