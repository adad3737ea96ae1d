"""Tables are read from a file in pieces: memory does not grow with it, and values are found again in its bytes."""

import csv
import hashlib
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given

from adapters.convert import convert
from adapters.errors import FileRefused
from adapters.lines import cell_ranges
from adapters.model import Converted, HeldBack
from adapters.source_file import file_given, whole
from tests.adapters.files import DEMO, NOTICE_HEADER, NOTICE_ROW, notice, profile, read
from tests.adapters.test_properties import QUICK, ROWS, written
from tests.bench.bench_adapters import WIDE, file_of

BANK = profile("bank-notice-csv")
ROOT = Path(__file__).parents[2]
_CHECKED = """
import re, sys
from adapters import profiles, summary
from adapters.convert import convert
from adapters.source_file import file_given
from pathlib import Path
tally = summary.Tally()
for _ in tally.over(convert(profiles()["bank-notice-csv"], file_given(Path(sys.argv[1])))):
    pass
print(tally.rows_in, tally.messages, tally.refused_count, re.findall(r"VmHWM:\\s+([0-9]+)", Path("/proc/self/status").read_text())[0])
"""


def peak(path: Path) -> tuple[list[int], int]:
    """Check a file in a process of its own; return its counts, and its peak memory in KiB."""
    done = subprocess.run(
        [sys.executable, "-c", _CHECKED, str(path)], capture_output=True, text=True, check=True, cwd=ROOT, timeout=240
    )
    *counts, memory = map(int, done.stdout.split())
    return counts, memory


def test_memory_does_not_grow_with_the_file(tmp_path):
    """A file of twelve times the bytes, a third of its rows refused, takes hardly more memory to check."""
    remark = ("," + "备" * 2000 + "\n").encode("gb18030")
    header, *good = file_of(WIDE, 20).splitlines()
    bad = ",".join(("6.2E+18", *NOTICE_ROW[1:])).encode("gb18030")
    block = b"".join(row + remark for row in (*good, *[bad] * 10))
    found = []
    for times in (40, 480):
        path = tmp_path / str(times)
        with path.open("wb") as file:
            file.write(header + ",备注\n".encode("gb18030"))
            for _ in range(times):
                file.write(block)
        counts, memory = peak(path)
        assert counts == [30 * times, 20 * times, 10 * times]
        found.append((path.stat().st_size, memory * 1024))
    (small, less), (large, more) = found
    assert large - small > 50_000_000
    assert more - less < 20_000_000, found


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_a_file_on_disk_is_read_as_its_bytes_are(tmp_path, encoding):
    """Outcomes, lines and the file's hash are the same, whether it is given as bytes or as a path."""
    data = (DEMO / "bank-a-suspicious-accounts.csv").read_bytes().decode("gb18030").encode(encoding)
    (tmp_path / "x").write_bytes(data)
    given_file = file_given(tmp_path / "x")
    assert whole(given_file) == data
    one, other = list(convert(BANK, data)), list(convert(BANK, given_file))
    assert [(row.record, row.line, row.raw) for row in one] == [(row.record, row.line, row.raw) for row in other]
    assert [type(row) for row in one] == [type(row) for row in other]
    for row, same in zip(one, other, strict=True):
        if isinstance(row, Converted):
            assert isinstance(same, Converted)
            assert row.message == same.message
            assert same.message.provenance.source_sha256 == hashlib.sha256(data).digest()


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path):
    """What another program writes meanwhile is noticed at the next look at the file, and nothing of it is taken for granted."""
    path = tmp_path / "x"
    path.write_bytes(notice(NOTICE_ROW, NOTICE_ROW))
    rows = convert(BANK, file_given(path))
    next(rows)
    with path.open("ab") as file:
        file.write(b"more")
    with pytest.raises(FileRefused) as refused:
        list(rows)
    assert refused.value.code == "LF-FILE-CHANGED"
    before = file_given(path)
    os.utime(path, (1, 1))
    with pytest.raises(FileRefused) as refused:
        convert(BANK, before)
    assert refused.value.code == "LF-FILE-CHANGED"


def test_a_pipe_is_read_like_a_file(tmp_path):
    """What is no file on disk is read into memory, and is the same file."""
    reading, writing = os.pipe()
    os.write(writing, notice())
    os.close(writing)
    assert file_given(Path(f"/dev/fd/{reading}")) == notice()
    os.close(reading)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_every_value_is_found_again_in_the_bytes_of_the_file(encoding):
    """Start and end of a value's cell cut its own text out of the file, quotation marks, guards and line breaks included."""
    cells = dict(zip(NOTICE_HEADER, NOTICE_ROW, strict=True)) | {"户名": '"演示,""户"""'}
    cells["账号"] = f'"{NOTICE_ROW[0]}"'
    odd = tuple(cells.values())
    data = notice(NOTICE_ROW, odd, NOTICE_ROW).decode().encode(encoding)
    codec = "utf-8" if encoding == "utf-8-sig" else encoding
    rows = read(data)
    assert [row.record for row in rows] == [1, 2, 3]
    for row in rows:
        assert isinstance(row, Converted), row
        assert len(row.lineage) > 8
        for item in row.lineage:
            text = data[item.start : item.end].decode(codec)
            bare = text[1:-1].replace('""', '"') if text.startswith('"') else text
            assert bare == item.raw, item.field


def test_lines_of_one_message_have_ranges_of_their_own():
    """Where lines are gathered into one message, each element is found in its own line."""
    data = (ROOT / "adapters/profiles/telecom-cdr-csv.golden").glob("*.csv")
    name = next(iter(sorted(data)))
    content = name.read_bytes()
    for row in read(content, "telecom-cdr-csv"):
        for item in row.lineage if isinstance(row, Converted) else ():
            if item.raw:
                assert item.raw.encode() in content[item.start : item.end], item.field
                assert content[: item.start].count(b"\n") == item.line - 1


@QUICK
@given(ROWS)
def test_ranges_of_cells_are_those_that_the_reader_cuts(rows):
    """For any cells: as many ranges as cells, in order, one delimiter apart, and each holds its cell."""
    data = written(rows)
    for cells, raw in zip([list(NOTICE_HEADER), *rows], _records(data), strict=True):
        ranges = cell_ranges(raw, "utf-8", ",", 7)
        assert [cell for start, end in ranges for cell in next(csv.reader(io.StringIO(raw[start - 7 : end - 7].decode(), newline="")), [""])] == [
            cell.encode("utf-8", "replace").decode() for cell in cells
        ]  # fmt: skip
        assert [start for start, _ in ranges[1:]] == [end + 1 for _, end in ranges[:-1]]


def _records(data: bytes) -> list[bytes]:
    """Return what csv.writer wrote, cut at line ends outside quotation marks."""
    found, start, quoted = [], 0, False
    for place, byte in enumerate(data):
        quoted ^= byte == ord('"')
        if byte == ord("\n") and not quoted:
            found.append(data[start : place + 1])
            start = place + 1
    return found


def test_what_is_wrong_with_a_row_is_said_all_at_once():
    """Three bad cells: the first is the cause, the other two stand beside it, none carries a value."""
    (row,) = read(notice(账号="6.2E+18", 余额="much", 开户日期="2026-02-30"))
    assert isinstance(row, HeldBack)
    assert {row.column, *(fault.column for fault in row.others)} == {"账号", "余额", "开户日期"}
    assert len(row.others) == 2
    assert "much" not in str(row.others)
    assert all(fault.code.startswith("LF-ROW-") and fault.cure for fault in row.others)


def test_the_same_row_saved_otherwise_is_the_same_row():
    """Another encoding, quotation marks, padding or order of columns leaves a row's identity; another value does not."""
    plain = one_identity(notice())
    moved = [*zip(NOTICE_HEADER, NOTICE_ROW, strict=True)][::-1]
    shuffled = "\n".join(",".join(column) for column in zip(*moved, strict=True)).encode() + b"\n"
    quoted = notice(tuple(f'"{cell}"' for cell in NOTICE_ROW))
    for data in (notice().decode().encode("gb18030"), shuffled, quoted, notice(余额="1234.56 ")):
        assert one_identity(data) == plain
    assert one_identity(notice(余额="1234.57")) != plain
    held = one_identity(notice(余额="much"))
    assert held == one_identity(notice(余额="much").decode().encode("gb18030"))


def one_identity(data: bytes) -> bytes:
    """Return what a fingerprint of a file's only row is taken over."""
    (row,) = read(data)
    return row.identity


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_what_stands_above_the_header_leads_to_its_own_line_and_bytes(encoding):
    """Of an export's preamble, lineage names the line in which each text stands, and the bytes there are that text."""
    text = (ROOT / "adapters" / "profiles" / "alipay-csv.golden" / "good.csv").read_bytes().decode("gb18030")
    data = text.encode(encoding)
    (row,) = [row for row in convert(profile("alipay-csv"), data) if isinstance(row, Converted)]
    above = [item for item in row.lineage if item.column.endswith(", above")]
    assert {item.field for item in above} >= {"account", "holder.name", "period_start", "created_at"}
    lines = data.split(b"\n")
    for item in above:
        assert data[item.start : item.end] == item.raw.encode(encoding)
        assert item.raw.encode(encoding) in lines[item.line - 1]
        assert item.line < row.line
