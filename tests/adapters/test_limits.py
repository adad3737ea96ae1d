"""Each limit of a table holds at its edge: what is just within is read, what is just beyond is refused with its code."""

import pytest

from adapters import decode, source_file
from adapters.decode import encoding_of
from adapters.errors import FileRefused
from adapters.lines import CELL_CHARACTERS_MAX, RECORD_BYTES_MAX
from adapters.model import Converted, HeldBack
from adapters.source_file import file_given
from adapters.table import COLUMNS_MAX, read_table
from tests.adapters.files import NOTICE_HEADER, NOTICE_ROW, notice, profile, read

SOURCE = profile("bank-notice-csv").file.source


def test_a_file_may_have_so_many_bytes(monkeypatch, tmp_path):
    """FILE_BYTES_MAX, on disk and in memory."""
    data = notice()
    path = tmp_path / "x"
    path.write_bytes(data)
    monkeypatch.setattr(source_file, "FILE_BYTES_MAX", len(data))
    assert encoding_of(data, ["utf-8-sig"]) == encoding_of(file_given(path), ["utf-8-sig"]) == "utf-8"
    monkeypatch.setattr(source_file, "FILE_BYTES_MAX", len(data) - 1)
    for given in (data, file_given(path)):
        with pytest.raises(FileRefused) as refused:
            encoding_of(given, ["utf-8-sig"])
        assert refused.value.code == "LF-FILE-SIZE"


def test_a_file_larger_than_any_is_refused_without_being_read(tmp_path):
    """One byte more than FILE_BYTES_MAX, all of it a hole on disk."""
    path = tmp_path / "x"
    with path.open("wb") as file:
        file.truncate(source_file.FILE_BYTES_MAX + 1)
    with pytest.raises(FileRefused) as refused:
        read_table(file_given(path), SOURCE)
    assert refused.value.code == "LF-FILE-SIZE"


def test_a_file_may_have_so_many_lines():
    """ROWS_MAX lines are read, one more is refused, before the first record comes out."""
    header = notice().splitlines(keepends=True)[0]
    data = header + b"\n" * (decode.ROWS_MAX - 1)
    assert set(read_table(data, SOURCE).columns) >= {"account", "features"}
    with pytest.raises(FileRefused) as refused:
        read_table(data + b"\n", SOURCE)
    assert refused.value.code == "LF-FILE-ROWS"


@pytest.mark.parametrize(("more", "code"), [(0, None), (1, "LF-ROW-QUOTE")])
def test_a_cell_may_have_so_many_characters(more, code):
    """CELL_CHARACTERS_MAX; one more holds the row back, and the next row is read."""
    header = (*NOTICE_HEADER, "备注")
    rows = [header, (*NOTICE_ROW, "注" * (CELL_CHARACTERS_MAX + more)), (*NOTICE_ROW, "")]
    first, second = read("".join(f"{','.join(row)}\n" for row in rows).encode())
    assert (first.code if isinstance(first, HeldBack) else None) == code
    assert isinstance(second, Converted)


@pytest.mark.parametrize(("more", "code"), [(0, None), (1, "LF-ROW-SIZE")])
@pytest.mark.parametrize("breaks", [False, True])
def test_a_row_may_have_so_many_bytes(more, code, breaks):
    """RECORD_BYTES_MAX, in one line or in several; one more holds the row back, whole lines are passed, the next is read."""
    headers = [*NOTICE_HEADER, *(f"x{number}" for number in range(9))]
    bare = len(",".join(NOTICE_ROW).encode()) + 9 + 1 + (18 if breaks else 0)
    left, cells = RECORD_BYTES_MAX - bare + more, []
    for _ in range(9):
        size = min(left, CELL_CHARACTERS_MAX - 8)
        cells.append("x" * size)
        left -= size
    assert left == 0
    if breaks:
        cells = [f'"{cell[:-1]}\n"' if cell else '""' for cell in cells]
    data = "".join(f"{','.join(row)}\n" for row in (headers, [*NOTICE_ROW, *cells], [*NOTICE_ROW, *[""] * 9])).encode()
    first, second = read(data)
    assert (first.code if isinstance(first, HeldBack) else None) == code
    lines = 1 + sum(cell.count("\n") for cell in cells)
    assert (second.line, isinstance(second, Converted)) == (2 + lines, True)
    assert len(first.raw) <= RECORD_BYTES_MAX + more


@pytest.mark.parametrize("end", [b"\n", b""])
def test_a_line_of_any_length_costs_itself_alone(end):
    """A line of megabytes, in the middle or at the end, is held back once; what stands around it is read, in its place."""
    good = notice().splitlines(keepends=True)
    data = good[0] + good[1] + b"y" * 3_000_000 + end
    rows = read(data + (good[1] if end else b""))
    assert [row.code for row in rows if isinstance(row, HeldBack)] == ["LF-ROW-SIZE"]
    assert [row.line for row in rows] == ([2, 3, 4] if end else [2, 3])
    if end:
        last = rows[-1]
        assert isinstance(last, Converted)
        whole = data + good[1]
        account = next(item for item in last.lineage if item.field == "account")
        assert whole[account.start : account.end].decode() == account.raw


def test_an_open_quotation_mark_before_a_line_too_long_costs_both_alone():
    """Lines that were looked at for the end of a quoted cell are read again, the long one as what it is."""
    good = notice().splitlines(keepends=True)
    data = good[0] + b'"open,1\n' + b"y" * (RECORD_BYTES_MAX + 10) + b"\n" + good[1]
    rows = read(data)
    assert [row.code for row in rows if isinstance(row, HeldBack)] == ["LF-ROW-QUOTE", "LF-ROW-SIZE"]
    last = rows[-1]
    assert isinstance(last, Converted)
    account = next(item for item in last.lineage if item.field == "account")
    assert data[account.start : account.end].decode() == account.raw


@pytest.mark.parametrize(("more", "refused"), [(0, False), (1, True)])
def test_a_header_may_have_so_many_columns(more, refused):
    """COLUMNS_MAX; one more refuses the file."""
    strangers = [f"x{number}" for number in range(COLUMNS_MAX - len(NOTICE_HEADER) + more)]
    data = f"{','.join([*NOTICE_HEADER, *strangers])}\n{','.join([*NOTICE_ROW, *['' for _ in strangers]])}\n".encode()
    if not refused:
        assert isinstance(read(data)[0], Converted)
        return
    with pytest.raises(FileRefused) as told:
        read(data)
    assert told.value.code == "LF-FILE-COLUMNS"
