"""Rows that are cut out of whole blocks are those that are cut out line by line."""

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adapters import lines
from adapters.errors import FileRefused
from adapters.lines import CELL_CHARACTERS_MAX, RECORD_BYTES_MAX, Row, rows_of
from adapters.profile import Source
from adapters.source_file import file_given
from tests.adapters.samples import SAMPLES

_PIECES = [
    "a",
    "12",
    ",",
    ",",
    '"',
    '"',
    '""',
    '","',
    "\n",
    "\r\n",
    "\n",
    "\r",
    "户",
    " ",
    "\t",
    "\x00",
    "\u2028",
    '"\n"',
]
_FILES = st.lists(st.sampled_from(_PIECES), max_size=60).map("".join)


def _read(data: bytes, block_bytes: int, encoding: str = "utf-8", *, padded: bool = False) -> list[Row]:
    """Read with blocks of a size; none at all where that is nothing, so that each line is read by itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "_BLOCK_BYTES", block_bytes)
        return list(rows_of(data, encoding, Source(format="csv", record_lines_max=3, padded=padded)))


@settings(max_examples=300, deadline=None)
@given(_FILES, st.sampled_from([1, 7, 40, 1 << 17]), st.sampled_from(["utf-8", "gb18030"]), st.booleans())
@example('1,2\n3,"4\n5"\n6,7\n', 8, "utf-8", False)
@example('1,"2\n3\n4\n5\n6"\n7\n', 1 << 17, "utf-8", False)
def test_blocks_of_any_size_give_the_rows_of_single_lines(text: str, size: int, encoding: str, padded: bool) -> None:
    """Wherever a block ends, and whatever stands in it, the same rows come with the same bytes at the same places."""
    data = text.encode(encoding)
    rows = _read(data, size, encoding, padded=padded)
    assert rows == _read(data, 0, encoding, padded=padded)
    assert b"".join(row.raw for row in rows) == data
    assert all(data[row.start : row.start + len(row.raw)] == row.raw for row in rows)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("cell", ["x" * CELL_CHARACTERS_MAX, "x" * (CELL_CHARACTERS_MAX + 1), "x" * RECORD_BYTES_MAX])
def test_long_lines_are_the_same_in_blocks(cell: str, end: str) -> None:
    """A cell or a line that is too long costs its own row, in a block as alone."""
    data = end.join(["a,b", f"1,{cell}", "2,3", ""]).encode()
    rows = _read(data, 1 << 17)
    assert rows == _read(data, 0)
    assert (rows[1].refused is None, rows[2].cells) == (len(cell) <= CELL_CHARACTERS_MAX, ["2", "3"])


def test_every_sample_is_the_same_in_blocks() -> None:
    """Real files have the same rows both ways."""
    for path in sorted(SAMPLES.rglob("*.csv")) if SAMPLES.is_dir() else ():
        data = path.read_bytes()[: 1 << 18]
        assert _read(data, 1 << 14, "iso-8859-1") == _read(data, 0, "iso-8859-1"), path.name


def test_a_file_that_is_changed_between_blocks_is_refused(tmp_path: Path) -> None:
    """What is written into a file while its blocks are read is found before the last of its rows."""
    path = tmp_path / "table.csv"
    path.write_bytes(b"1,2\n" * 100_000)
    rows = rows_of(file_given(path), "utf-8", Source(format="csv"))
    next(rows)
    path.write_bytes(b"1,3\n" * 100_000)
    with pytest.raises(FileRefused, match="changed while it was read"):
        list(rows)
