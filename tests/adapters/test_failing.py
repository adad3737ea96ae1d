"""Failing rows come out as a table to mend, byte for byte as they were, each with the reason above it."""

import codecs
import io
from importlib import resources

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import report, summary
from adapters.convert import convert
from adapters.detect import identify
from adapters.errors import FileRefused
from adapters.failing import failing_rows
from adapters.golden import cases_in
from adapters.model import Converted, HeldBack
from adapters.preview import preview
from adapters.table import NOTE
from tests.adapters.files import DEMO, NOTICE_HEADER, NOTICE_ROW, ORDERS, notice, profile, read, record
from tests.adapters.test_properties import QUICK, ROWS, written

GOLDEN = resources.files("adapters") / "profiles"
BANK = profile("bank-notice-csv")
RUINED = ("6.2E+18", *NOTICE_ROW[1:])


def failing(data: bytes, name: str = "bank-notice-csv", *, workbook: bool = False) -> tuple[bytes, summary.Tally]:
    """Return the table of the rows of a file that fail."""
    out = io.BytesIO()
    rows = failing_rows(profile(name), data, out, workbook=workbook)
    tally = summary.Tally(on_refused=rows.add)
    list(tally.over(convert(profile(name), data)))
    rows.close()
    return out.getvalue(), tally


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(("encoding", "mark"), [("utf-8", b""), ("utf-8", codecs.BOM_UTF8), ("gb18030", b"")])
def test_header_and_failing_rows_are_the_files_own_bytes(encoding, end, mark):
    """Preamble and good rows are left out; header, failing row, encoding, line ends and byte order mark are the file's."""
    header, good, bad = (",".join(row) for row in (NOTICE_HEADER, NOTICE_ROW, RUINED))
    lines = ["导出", header, good, bad.replace("演示户", '"演示,户"'), good]
    data = mark + end.join(lines).encode(encoding)
    table, _ = failing(data)
    assert table.startswith(mark + f"{header}{end}{NOTE},row 2,LF-ROW-LOSSY-NUMBER,".encode(encoding))
    assert table.endswith(f"{end}{lines[3]}{end}".encode(encoding))
    assert table.count(end.encode()) == 3


def test_what_comes_out_can_be_dropped_again_with_the_notes_in_it():
    """Unmended, each row fails again and for the same reason; mended, it has the bytes of a row that was right at once."""
    table, tally = failing(notice(RUINED, NOTICE_ROW, '"open,1\n', ("x",)))
    assert [row["code"] for row in tally.refused] == ["LF-ROW-LOSSY-NUMBER", "LF-ROW-QUOTE", "LF-ROW-WIDTH"]
    again = read(table)
    assert [row.code for row in again if isinstance(row, HeldBack)] == [row["code"] for row in tally.refused]
    mended = read(table.replace(b"6.2E+18", NOTICE_ROW[0].encode()))
    (whole,) = read(notice(NOTICE_ROW))
    assert isinstance(mended[0], Converted)
    assert mended[0].raw == whole.raw


def test_a_note_that_a_spreadsheet_has_padded_is_still_none():
    """Cells added behind a note, up to the header's width or beyond, make no record of it."""
    padded = f"{NOTE},row 1,X,cause,cure" + "," * (len(NOTICE_HEADER) - 5)
    assert len(read(notice(padded, NOTICE_ROW, padded + ",,,"))) == 1


@QUICK
@given(ROWS)
def test_whatever_fails_comes_out_once_and_fails_again(rows):
    """Rows in = messages + rows in the table, whatever the rows are."""
    data = written(rows)
    table, tally = failing(data)
    again, second = failing(table)
    assert second.messages == 0
    assert [row["code"] for row in second.refused] == [row["code"] for row in tally.refused]
    assert again.count(b"\n") == table.count(b"\n")


def test_only_tables_have_failing_rows():
    """An order in XML is one record; there is nothing to cut out."""
    with pytest.raises(FileRefused) as refused:
        failing_rows(profile("tfms-police"), record("200101", ORDERS["00101"]), io.BytesIO())
    assert refused.value.code == "LF-MAP-NO-TABLE"


def test_a_refused_row_names_its_column():
    """Row, line and column of the cell at fault are told; a row that cannot be cut into cells has no column."""
    found = summary.check("bank-notice-csv", notice(RUINED, ("x",)))
    assert [(row["row"], row["line"], row["column"]) for row in found["refused"]] == [(1, 2, "账号"), (2, 3, "")]


def test_the_page_counts_causes_and_names_rows_and_runs_nothing():
    """Every code, column and cure is on the page, no value is, and a name that holds markup is shown as text."""
    found = summary.check("bank-notice-csv", (DEMO / "bank-a-suspicious-accounts.csv").read_bytes())
    page = report.html(found, "<script>.csv")
    for row in found["refused"]:
        assert f"<td>{row['code']}</td>" in page
        assert f"<td>{row['column']}</td>" in page
    assert "<script" not in page
    assert "E+18" not in page
    assert "&lt;script&gt;.csv: 14 rows, 13 messages, 1 refused" in page


@given(st.text(max_size=20), st.integers(0, 3))
def test_nothing_breaks_out_of_the_page(name, count):
    """Whatever a file or a header is called, the page has the tags that it was made with."""
    item = {"row": 1, "line": 1, "column": name, "field": name, "code": name, "cause": name, "cure": name}
    found = {"profile": name, "rows_in": 1, "messages": 0, "refused": [item] * count, "warnings": [item] * count}
    found |= {"refused_count": count, "not_carried": []}
    page = report.html(found, name)
    assert page.count("<table>") == (4 if count else 0)
    assert page.count("<td>") == count * 11 + (6 if count else 0)


def test_a_workbook_of_failing_rows_holds_texts_and_is_read_by_the_same_profile():
    """Each failing row with line, reason and cure; mended and dropped again, it is the row that would have been right at once."""
    data = notice(RUINED, NOTICE_ROW, '"open,1\n', ("x",), (*NOTICE_ROW[:5], "much", "2026-02-30", *NOTICE_ROW[7:]))
    made, tally = failing(data, workbook=True)
    sheet = openpyxl.load_workbook(io.BytesIO(made)).active
    rows = [[cell.value or "" for cell in row] for row in sheet.iter_rows()]
    assert rows[0] == [*NOTICE_HEADER, f"{NOTE} line, of bank-notice-csv 1", f"{NOTE} reason", f"{NOTE} cure"]
    assert [row[-3] for row in rows[1:]] == ["2", "4", "6", "7"]
    assert all(cell.data_type == "s" or cell.value is None for row in sheet.iter_rows() for cell in row)
    assert [row[-2].partition(":")[0] for row in rows[1:]] == [item["code"] for item in tally.refused]
    assert "余额" in rows[4][-2]
    assert "开户日期" in rows[4][-2], "both faults are named"
    again = read(made)
    assert next(row.code for row in again if isinstance(row, HeldBack)) == "LF-ROW-LOSSY-NUMBER"
    assert len(again) == 4
    sheet["A2"] = NOTICE_ROW[0]
    out = io.BytesIO()
    sheet.parent.save(out)
    (whole,) = read(notice(NOTICE_ROW))
    mended = read(out.getvalue())[0]
    assert isinstance(mended, Converted), mended
    assert not mended.warnings
    assert mended.identity == whole.identity


def test_a_number_typed_into_that_workbook_is_refused_as_any_other():
    """A program that turned an account into a number has lost digits: the row is held back again."""
    made, _ = failing(notice(RUINED), workbook=True)
    book = openpyxl.load_workbook(io.BytesIO(made))
    book.active["A2"] = float(NOTICE_ROW[0])
    out = io.BytesIO()
    book.save(out)
    (row,) = read(out.getvalue())
    assert isinstance(row, HeldBack)
    assert row.code == "LF-ROW-LOSSY-NUMBER"


@pytest.mark.parametrize("cells", [NOTICE_ROW[:-1], NOTICE_ROW[:5], (*NOTICE_ROW, "x")])
def test_a_row_of_another_width_fails_again_in_the_workbook_until_it_is_mended(cells):
    """Cells that are missing are not filled up with empty ones, and those too many stay: unmended it makes no message."""
    made, _ = failing(notice(cells), workbook=True)
    (row,) = read(made)
    assert isinstance(row, HeldBack)


def test_a_row_that_is_too_large_is_named_and_not_written():
    """Half of it could pass for the whole."""
    data = notice(NOTICE_ROW, "y" * 300_000)
    table, _ = failing(data)
    made, _ = failing(data, workbook=True)
    assert b"LF-ROW-SIZE" in table
    assert b"yyy" not in table
    sheet = openpyxl.load_workbook(io.BytesIO(made)).active
    assert not any(cell.value for cell in sheet[2][: len(NOTICE_HEADER)])


def test_failing_rows_of_several_sheets_stand_in_sheets_of_their_own_names_and_are_read_again():
    """The whole cycle of a complaint's workbook: only rows that failed, under their sheet's header; mended, they are messages."""
    case = next(case for case in cases_in(GOLDEN / "ncrp-bank-action.golden") if case.name == "six-sheets")
    made, tally = failing(case.data, "ncrp-bank-action", workbook=True)
    book = openpyxl.load_workbook(io.BytesIO(made))
    whole = openpyxl.load_workbook(io.BytesIO(case.data))
    assert set(book.sheetnames) < set(whole.sheetnames)
    for sheet in book:
        assert [cell.value for cell in sheet[1]] == [
            *(cell.value for cell in whole[sheet.title][1]),
            *(f"{NOTE} {what}" for what in ("line, of ncrp-bank-action 1", "reason", "cure")),
        ]
        for row in sheet.iter_rows(min_row=2, values_only=True):
            before = [cell.value for cell in whole[sheet.title][int(row[-3])]]
            assert [text or "" for text in row[:-3] if not isinstance(text, float)] == [
                str(text or "") for text in before
            ]
    assert sum(sheet.max_row - 1 for sheet in book) == tally.refused_count
    again = list(convert(profile("ncrp-bank-action"), made))
    assert sorted(row.code for row in again if isinstance(row, HeldBack)) == sorted(
        row["code"] for row in tally.refused
    )
    book["Money Transfer to"]["F2"] = "620000000000000011"
    book["Money Transfer to"]["B3"] = "31011260000002"
    hold = book["Transaction put on hold"]
    hold["F2"] = "100"
    out = io.BytesIO()
    book.save(out)
    mended = list(convert(profile("ncrp-bank-action"), out.getvalue()))
    assert all(isinstance(row, Converted) for row in mended)
    assert sum(len(row.message.transactions) for row in mended) == tally.refused_count


def test_a_cell_is_named_by_its_sheet_and_by_the_header_that_it_has_there():
    """Columns of one meaning have other names in other sheets; where a field came from says which."""
    case = next(case for case in cases_in(GOLDEN / "ncrp-bank-action.golden") if case.name == "six-sheets")
    found = [row for row in convert(profile("ncrp-bank-action"), case.data) if isinstance(row, Converted)]
    columns = {item.column for row in found for item in row.lineage if item.field.endswith(".amount")}
    assert {"Money Transfer to!Transaction Amount", "Withdrawal through ATM!Withdrawal Amount"} <= columns
    for row in found:
        whole = openpyxl.load_workbook(io.BytesIO(case.data))
        for item in row.lineage:
            name, _, header = item.column.partition("!")
            assert not header or header in [cell.value for cell in whole[name][1]]
    seen = preview(profile("ncrp-bank-action"), case.data, found[0].record)
    named = {item["column"] for item in seen["fields"] if "!" in item["column"]}
    assert named <= {cell["column"] for cell in seen["cells"]}
    assert not [left for left in seen["not_carried"] if left["why"] == "the message has no place for it"]


def test_failing_rows_of_several_sheets_make_no_text():
    """A line of text has no sheet to stand in."""
    case = next(case for case in cases_in(GOLDEN / "ncrp-bank-action.golden") if case.name == "six-sheets")
    with pytest.raises(FileRefused, match="several sheets") as refused:
        failing_rows(profile("ncrp-bank-action"), case.data, io.BytesIO())
    assert refused.value.cure == "name a file that ends in .xlsx"


def mended(made: bytes, **cells: str) -> bytes:
    """Return a workbook of failing rows with cells changed, as a person changes them, and saved by another program."""
    book = openpyxl.load_workbook(io.BytesIO(made))
    for place, text in cells.items():
        book.active[place] = text
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def test_the_mended_workbook_of_a_text_file_is_known_again():
    """`auto` takes it without anybody naming the profile, and its rows are those of the text file."""
    made, _ = failing(notice(RUINED), workbook=True)
    data = mended(made, A2=NOTICE_ROW[0])
    found = identify(data)
    assert found.refused is None
    assert (found.fits[0].profile, found.fits[0].why[0]) == (
        "bank-notice-csv",
        "it says that it holds failing rows of bank-notice-csv 1",
    )
    (row,) = convert(summary.profile_for("auto", data), data)
    (whole,) = read(notice(NOTICE_ROW))
    assert isinstance(row, Converted)
    assert row.identity == whole.identity


def test_what_the_workbook_says_of_itself_is_believed_only_with_its_header():
    """A name that does not go with the header is refused; one that nobody knows counts for nothing; another version is told."""
    made, _ = failing(notice(RUINED), workbook=True)
    note = "L1"
    assert openpyxl.load_workbook(io.BytesIO(made)).active[note].value == f"{NOTE} line, of bank-notice-csv 1"
    wrong = identify(mended(made, **{note: f"{NOTE} line, of telecom-cdr-csv 1"}))
    assert wrong.refused is not None
    assert (wrong.refused.code, wrong.chosen) == ("LF-FILE-NO-HEADER", None)
    unknown = identify(mended(made, **{note: f"{NOTE} line, of my-own 7"})).chosen
    assert unknown is not None
    assert (unknown.profile, unknown.why[0].startswith("the header line")) == ("bank-notice-csv", True)
    older = identify(mended(made, **{note: f"{NOTE} line, of bank-notice-csv 0"})).chosen
    assert older is not None
    assert "the profile is of version 1 now" in older.why[0]


def test_a_workbook_that_we_did_not_write_is_no_text_file():
    """A spreadsheet's own workbook may have lost digits: dialects of text files are not tried on it."""
    book = openpyxl.Workbook()
    book.active.append(NOTICE_HEADER)
    book.active.append(NOTICE_ROW)
    out = io.BytesIO()
    book.save(out)
    assert identify(out.getvalue()).chosen is None
