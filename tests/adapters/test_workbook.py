"""Workbooks: what the cells hold, which sheets are read, and what is refused before it does harm."""

import datetime as dt
import io
import zipfile

import pytest
import xlsxwriter
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import Workbook
from openpyxl.utils.datetime import CALENDAR_MAC_1904

from adapters import workbook_file
from adapters.catalogue import load
from adapters.convert import convert
from adapters.errors import FileRefused
from adapters.model import Converted, HeldBack
from adapters.summary import Tally
from adapters.workbook import open_table
from adapters.workbook_file import sheets_of
from adapters.xls_guard import guarded
from tests.adapters.xls_files import DIVISION, OF_FORMULA, xls

ACCOUNT = "6299990000001000011"
PROFILE = """
[profile]
name = "book"
version = "1"
title = "A workbook"
[source]
format = "xlsx"
currency = "CNY"
region = "CN"
zone = "Asia/Shanghai"
footer = ["合计"]
SHEETS
[source.header]
required = ["account", "amount"]
lines_before_max = 5
[source.columns]
account = ["账号", "Account No"]
amount = ["金额"]
time = ["时间"]
phone = ["电话"]
sheet = ["Sheet"]
[target]
message = "SuspiciousAccountNotice"
[field."account"]
from = "account"
parse = "account"
check = { required = true }
[field."balance"]
from = "amount"
parse = "money"
[field."opened_at"]
from = "time"
parse = { as = "instant", formats = ["yyyy-MM-dd HH:mm:ss", "yyyy-MM-dd"] }
[field."holder_phone"]
from = "phone"
parse = "phone"
[field."narrative"]
from = "sheet"
"""
TWO_SHEETS = """sheet_column = "sheet"
[[source.sheet]]
name = "Transfers?"
kind = "moved"
[[source.sheet]]
name = "Hold"
kind = "held"
required = ["account"]
[[source.sheet]]
name = "Notes"
ignore = true
"""
HEADER = ["账号", "金额", "时间", "电话"]


def profile(sheets=""):
    """Return the profile of these tests, with rules for sheets."""
    return load(PROFILE.replace("SHEETS", sheets), {}, "book")


def book(*sheets, merged=()):
    """Return a workbook of (name, rows); merged ranges are of the first sheet: first row, column, last row, column."""
    out = io.BytesIO()
    file = xlsxwriter.Workbook(out)
    formats = {dt.datetime: "yyyy-mm-dd hh:mm:ss", dt.date: "yyyy-mm-dd", dt.time: "hh:mm:ss"}
    made = {kind: file.add_format({"num_format": form}) for kind, form in formats.items()}
    for name, rows in sheets:
        sheet = file.add_worksheet(name)
        for at, row in enumerate(rows):
            for place, value in enumerate(row):
                if type(value) in made:
                    sheet.write_datetime(at, place, value, made[type(value)])
                elif isinstance(value, str):
                    sheet.write_string(at, place, value)
                else:
                    sheet.write(at, place, value)
    for top, left, bottom, right, value in merged:
        file.get_worksheet_by_name(sheets[0][0]).merge_range(top, left, bottom, right, value)
    file.close()
    return out.getvalue()


def outcomes(data, sheets=""):
    """Return what becomes of the records of a file."""
    return list(convert(profile(sheets), data))


def refused(data, sheets=""):
    """Return why a file is refused."""
    with pytest.raises(FileRefused) as found:
        outcomes(data, sheets)
    return found.value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0012\t", "0012\t"),
        (12.0, "12"),
        (999_999_999_999_999, "999999999999999"),
        (1e15, "1.00000000000000E+15"),
        (6299990000001000011, "6.29999000000100E+18"),
        (1234.56, "1234.56"),
        (0.1 + 0.2, "0.3"),
        (-3.5, "-3.5"),
        (123456789012345.6, "1.23456789012346E+14"),
        (True, "TRUE"),
        (dt.datetime(2026, 11, 20, 10, 0, 1), "2026-11-20 10:00:01"),  # noqa: DTZ001 - a cell has no zone
        (dt.date(2026, 11, 20), "2026-11-20"),
        (dt.time(10, 0, 1), "10:00:01"),
    ],
)
def test_a_cell_is_read_as_the_text_that_it_shows(value, text):
    """Texts are exact; numbers are digits where they are exact, and scientific notation where digits are lost."""
    (sheet,) = sheets_of(book(("A", [[value]])))
    assert sheet.rows == [[text]]


def test_numbers_feed_fields_only_where_nothing_is_lost():
    """An account of 12 digits and a mobile number in numeric cells are read; one of 19 digits is held back, and named."""
    good, bad = outcomes(
        book(("A", [HEADER, [123456789012, 1234.5, dt.date(2026, 1, 2), 19900000101], [float(ACCOUNT), 1, "", ""]]))
    )
    assert isinstance(good, Converted)
    assert (good.message.account.number, good.message.balance.minor_units) == ("123456789012", 123450)
    assert good.message.holder_phone.e164 == "+8619900000101"
    assert good.message.opened_at.raw == "2026-01-02"
    assert isinstance(bad, HeldBack)
    assert (bad.code, bad.column, bad.line) == ("LF-ROW-LOSSY-NUMBER", "账号", 3)


def test_lines_are_rows_of_the_sheet_and_bytes_are_the_rows_cells():
    """A preamble and a blank row count as rows; the record's bytes are its cells as CSV, the same each time."""
    rows = [["导出"], HEADER, [], [ACCOUNT, "1.00", "", ""], ["合计", "", "1.00", ""]]
    (first,), (again,) = outcomes(book(("A", rows))), outcomes(book(("B", rows)))
    assert (first.line, first.raw) == (4, f"{ACCOUNT},1.00,,\r\n".encode())
    assert again.raw == first.raw


def test_merged_cells_fill_their_own_range_and_nothing_below():
    """The account of a range of two rows stands in both; the row below the range has none, and is held back."""
    rows = [HEADER, ["", "1.00", "", ""], ["", "2.00", "", ""], ["", "3.00", "", ""]]
    found = outcomes(book(("A", rows), merged=[(1, 0, 2, 0, ACCOUNT)]))
    assert [isinstance(one, Converted) for one in found] == [True, True, False]
    assert {one.message.account.number for one in found[:2]} == {ACCOUNT}
    assert found[2].code == "LF-ROW-MISSING"


def test_a_merge_across_columns_stays_in_its_first_column():
    """A text over two columns is no amount."""
    rows = [HEADER, [ACCOUNT, "", "", ""]]
    (found,) = outcomes(book(("A", rows), merged=[(1, 0, 1, 1, ACCOUNT)]))
    assert found.message.account.number == ACCOUNT
    assert not found.message.HasField("balance")


def test_sheets_of_several_kinds_are_one_table_and_each_row_says_its_kind():
    """Each sheet has its own header, order and required columns; what a sheet lacks is empty; notes are passed over."""
    data = book(
        ("TRANSFER", [HEADER, [ACCOUNT, "1.00", "", ""]]),
        ("Hold", [["Account No"], [ACCOUNT]]),
        ("Notes", [["whatever"], [1]]),
    )
    moved, held = outcomes(data, TWO_SHEETS)
    assert (moved.message.narrative, moved.message.balance.minor_units) == ("moved", 100)
    assert held.message.narrative == "held"
    assert not held.message.HasField("balance")


def test_an_unknown_sheet_with_rows_refuses_the_whole_file_and_names_its_header():
    """Nothing of the file is read; the header of the sheet is named, its values are not; an empty sheet is no matter."""
    known = ("Transfer", [HEADER, [ACCOUNT, "1.00", "", ""]])
    error = refused(book(known, ("New", [["Wallet", "Sum"], [ACCOUNT, 5]])), TWO_SHEETS)
    assert error.code == "LF-FILE-SHEET"
    assert "New" in error.cause
    assert "Wallet, Sum" in error.cause
    assert ACCOUNT not in error.cause
    assert "no header line" in refused(book(known, ("New", [[ACCOUNT, "x1"]])), TWO_SHEETS).cause
    assert len(outcomes(book(known, ("New", [["  "]])), TWO_SHEETS)) == 1


def test_a_copy_of_the_sheet_is_taken_once_with_a_note():
    """Rows that say the same in the same order count once, however amounts are spelt; the file is said to repeat itself."""
    sheet = [HEADER, [ACCOUNT, "1.00", "2026-01-02", ""], ["x", "?", "", ""]]
    spelt = [["Account No", "时间", "金额"], [ACCOUNT + "\t", "2026-01-02", 1.0], ["x", "", "?"]]
    made = outcomes(book(("A", sheet), ("A (2)", sheet), ("B", spelt)))
    tally = Tally()
    list(tally.over(iter(made)))
    assert [type(one) for one in made] == [Converted, HeldBack]
    assert made[0].message.balance.minor_units == 100
    assert [code for code, _ in tally.of_file] == ["sheet_repeated"]
    assert "A (2), B" in next(iter(tally.of_file))[1]
    assert list(made[0].message.provenance.warnings) == ["sheet_repeated"]
    held = outcomes(book(("A", [HEADER, ["x", "?", "", ""]]), ("B", [HEADER, ["x", "?", "", ""]])))
    assert [one.code for one in held[0].others] == ["sheet_repeated"]


@pytest.mark.parametrize(
    ("rows", "where"),
    [
        ([HEADER, [ACCOUNT, "2.00", "", ""]], "row 2 of the first"),
        ([HEADER, [ACCOUNT, "1.00", "", ""], [ACCOUNT, "1.00", "", ""]], "number of rows"),
        ([HEADER], "number of rows"),
        ([[*HEADER, "备注"], [ACCOUNT, "1.00", "", "", "other"]], "row 2 of the first"),
        ([["导出"], HEADER, ["?", "1.00", "", ""]], "row 2 of the first and row 3 of the other"),
    ],
)
def test_one_table_on_two_sheets_that_differ_is_refused(rows, where):
    """Which is right, or whether both are, nobody here knows; the row is named, no value is."""
    error = refused(book(("A", [HEADER, [ACCOUNT, "1.00", "", ""]]), ("B", rows)))
    assert error.code == "LF-FILE-SHEET"
    assert where in error.cause
    assert ACCOUNT not in error.cause


def test_a_sheet_without_the_tables_header_is_no_copy():
    """Rows that nobody knows refuse the file."""
    assert refused(book(("A", [["x", "y"], ["1", "2"]]))).code == "LF-FILE-SHEET"


def test_a_column_without_a_header_is_not_passed_over_in_silence():
    """A value that stands under no header holds its row back."""
    (found,) = outcomes(book(("A", [[*HEADER, ""], [ACCOUNT, "1.00", "", "", "stray"]])))
    assert (found.code, found.line) == ("LF-ROW-WIDTH", 2)


def test_a_file_is_read_as_what_it_is_whatever_it_is_called():
    """A text file under a workbook's name is read as text by the same dialect, with the same messages."""
    row = [ACCOUNT, "1.00", "2026-01-02", ""]
    text = "\n".join(",".join(cells) for cells in (HEADER, row)).encode()
    (one,), (other,) = outcomes(text), outcomes(book(("A", [HEADER, row])))
    one.message.ClearField("provenance")
    other.message.ClearField("provenance")
    assert one.message == other.message


def test_a_workbook_of_another_program_reads_the_same():
    """Another library writes shared strings and references otherwise than xlsxwriter."""
    file = Workbook()
    file.active.append(HEADER)
    file.active.append([ACCOUNT, 1.5, dt.date(2026, 1, 2), None])
    out = io.BytesIO()
    file.save(out)
    (found,) = outcomes(out.getvalue())
    assert (found.message.balance.minor_units, found.message.opened_at.raw) == (150, "2026-01-02")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"PK\x03\x04 no archive", "LF-FILE-WORKBOOK-DAMAGED"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "LF-FILE-WORKBOOK-DAMAGED"),
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600 + "EncryptedPackage".encode("utf-16-le"),
            "LF-FILE-ENCRYPTED",
        ),
    ],
)
def test_what_cannot_be_opened_is_refused_by_name(data, code):
    """Damaged or encrypted: each has its own code and cure."""
    assert refused(data).code == code


def test_every_cut_of_a_workbook_is_refused():
    """No part of a workbook is taken for the whole."""
    data = book(("A", [HEADER, [ACCOUNT, "1.00", "", ""]]))
    for end in range(8, len(data) - 1, 397):
        assert refused(data[:end]).code == "LF-FILE-WORKBOOK-DAMAGED"


def rebuilt(data, **parts):
    """Return an archive with parts replaced or added; a dot in a name is written as __."""
    out = io.BytesIO()
    named = {name.replace("__", "."): content for name, content in parts.items()}
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if name not in named:
                new.writestr(name, old.read(name))
        for name, content in named.items():
            new.writestr(name, content)
    return out.getvalue()


GOOD = [("A", [HEADER, [ACCOUNT, "1.00", "", ""]])]


def test_a_bomb_of_zeros_is_refused_before_it_is_unpacked_whole():
    """A part that unpacks three hundred times over is no workbook's."""
    bomb = rebuilt(book(*GOOD), **{"xl/sharedStrings__xml": b" " * (workbook_file.RATIO_FREE_BYTES * 3)})
    error = refused(bomb)
    assert error.code == "LF-FILE-WORKBOOK-LIMIT"
    assert "to 1" in error.cause


def test_what_holds_no_cells_is_not_unpacked(monkeypatch):
    """Macros, media and external links are dropped, whatever their size: they are no part of what is read."""
    monkeypatch.setattr(workbook_file, "UNPACKED_BYTES_MAX", 100_000)
    extra = {"xl/media/a__png": b"\0" * 5_000_000, "xl/externalLinks/e__xml": b"<a/>", "xl/vbaProject__bin": b"MZ"}
    assert len(outcomes(rebuilt(book(*GOOD), **extra))) == 1


def test_a_cell_in_the_far_corner_is_refused_before_room_is_made_for_the_rectangle():
    """One cell in the last row and column of a sheet spans seventeen thousand million cells."""
    corner = book(("A", [HEADER]))
    with zipfile.ZipFile(io.BytesIO(corner)) as archive:
        sheet = archive.read("xl/worksheets/sheet1.xml")
    far = sheet.replace(b"</sheetData>", b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>')
    assert refused(rebuilt(corner, **{"xl/worksheets/sheet1__xml": far})).code == "LF-FILE-WORKBOOK-LIMIT"


@pytest.mark.parametrize(
    ("limit", "most"), [("CELLS_MAX", 8), ("SHEETS_MAX", 1), ("WORKBOOK_BYTES_MAX", None), ("PARTS_MAX", None)]
)
def test_a_workbook_at_a_limit_is_read_and_one_beyond_it_is_not(monkeypatch, limit, most):
    """At the edge it reads; one fewer allowed, it is refused by name."""
    data = book(*GOOD)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        edge = most or {"WORKBOOK_BYTES_MAX": len(data), "PARTS_MAX": len(archive.namelist())}[limit]
    monkeypatch.setattr(workbook_file, limit, edge)
    assert len(outcomes(data)) == 1
    monkeypatch.setattr(workbook_file, limit, edge - 1)
    assert refused(data).code == "LF-FILE-WORKBOOK-LIMIT"


def test_parts_that_hold_cells_are_unpacked_up_to_a_limit(monkeypatch):
    """At the edge it reads; one byte fewer allowed, it is refused."""
    data = book(*GOOD)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        kept = [part for part in archive.infolist() if workbook_file._KEPT.fullmatch(part.filename)]
    edge = sum(part.file_size for part in kept)
    monkeypatch.setattr(workbook_file, "UNPACKED_BYTES_MAX", edge)
    assert len(outcomes(data)) == 1
    monkeypatch.setattr(workbook_file, "UNPACKED_BYTES_MAX", edge - 1)
    assert refused(data).code == "LF-FILE-WORKBOOK-LIMIT"


def test_an_archive_with_a_password_is_refused_as_encrypted():
    """The mark stands in the archive's list of parts."""
    data = bytearray(book(*GOOD))
    at = data.find(b"PK\x01\x02")
    while at >= 0:
        data[at + 8] |= 1
        at = data.find(b"PK\x01\x02", at + 1)
    assert refused(bytes(data)).code == "LF-FILE-ENCRYPTED"


def test_a_formula_that_failed_is_no_empty_cell():
    """An error in an amount holds its row back; it is not read as no amount."""
    out = io.BytesIO()
    file = xlsxwriter.Workbook(out)
    sheet = file.add_worksheet("A")
    sheet.write_row(0, 0, HEADER)
    sheet.write_string(1, 0, ACCOUNT)
    sheet.write_formula(1, 1, "=1/0", None, "#DIV/0!")
    file.close()
    (found,) = outcomes(out.getvalue())
    assert (found.code, found.column) == ("LF-ROW-AMOUNT", "金额")


def test_days_are_counted_from_the_workbooks_own_beginning():
    """A workbook may count its days from 1904."""
    file = Workbook()
    file.epoch = CALENDAR_MAC_1904
    file.active.append([dt.date(2026, 1, 2)])
    out = io.BytesIO()
    file.save(out)
    assert sheets_of(out.getvalue())[0].rows == [["2026-01-02"]]


def test_strange_columns_are_warned_of_and_a_header_that_stands_twice_is_refused():
    """What has no place in the message is named; two columns with one meaning are nobody's guess."""
    (found,) = outcomes(book(("A", [[*HEADER, "颜色"], [ACCOUNT, "1.00", "", "", "rot"]])))
    assert [note.code for note in found.warnings] == ["column_not_carried"]
    assert (
        refused(book(("A", [["账号", "Account No", "金额"], [ACCOUNT, ACCOUNT, "1"]]))).code
        == "LF-FILE-AMBIGUOUS-HEADER"
    )


def test_headers_that_sheets_spell_differently_share_a_column():
    """The table's header names both spellings; the rows stand in one column."""
    data = book(("Transfer", [HEADER, [ACCOUNT, "1.00", "", ""]]), ("Hold", [["Account No"], [ACCOUNT]]))
    table = open_table(data, profile(TWO_SHEETS).file.source)
    assert table.headers[0] == "账号 / Account No"
    assert [row.cells[0] for row in table.rows] == [ACCOUNT, ACCOUNT]


@pytest.mark.parametrize("small", [False, True])
def test_an_old_workbook_is_read_wherever_its_stream_lies(small):
    """In sectors of its own, or in the small sectors that short streams share."""
    (sheet,) = sheets_of(xls((0, 0, 1.5), (2, 3, 12.0), small=small))
    assert sheet.rows == [["1.5", "", "", ""], ["", "", "", ""], ["", "", "", "12"]]


@pytest.mark.parametrize("small", [False, True])
def test_the_far_corner_of_an_old_workbook_is_found_before_room_is_made_for_it(small):
    """Sixteen million cells for two numbers: refused; half as many rows are within the limit."""
    assert refused(xls((0, 0, 1.0), (65535, 255, 1.0), small=small)).code == "LF-FILE-WORKBOOK-LIMIT"
    assert guarded(xls((0, 0, 1.0), (31_249, 255, 1.0), small=small)).extents[-1] == (31_250, 256)
    assert workbook_file.CELLS_MAX == 31_250 * 256


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_damaged_old_workbook_is_read_or_refused_and_nothing_else(data):
    """Whatever byte is changed, and wherever it is cut: rows, or a refusal."""
    whole = bytearray(xls((0, 0, 1.5), (1, 1, 2.0), small=data.draw(st.booleans())))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(whole[: data.draw(st.integers(8, len(whole)))])
    code = "LF-FILE-WORKBOOK"
    try:
        sheets_of(cut)
    except FileRefused as error:
        code = error.code
    assert code.startswith("LF-FILE-WORKBOOK")


@pytest.mark.parametrize("small", [False, True])
def test_every_cut_of_an_old_workbook_is_refused(small):
    """It has no checksum; its directory says how long the stream is, and a shorter one is no workbook."""
    whole = xls((0, 0, 1.5), *((row, 1, 2.0) for row in range(1, 60)), small=small)
    stream = len(whole) - (512 if small else 0)
    for end in range(8, stream, 101):
        with pytest.raises(FileRefused):
            sheets_of(whole[:end])


def test_a_chain_of_sectors_that_goes_in_a_circle_ends():
    """The table says that the stream's last sector is followed by its first."""
    whole = bytearray(xls((0, 0, 1.5)))
    last = 512 + 4 * (2 + 4096 // 512 - 1)
    whole[last : last + 4] = (2).to_bytes(4, "little")
    assert guarded(bytes(whole)) is not None


@pytest.mark.parametrize("small", [False, True])
def test_an_error_in_an_old_workbook_is_no_empty_cell(small):
    """As the cell's value or as what its formula came to, it is read as its text, which no reader of amounts takes."""
    (sheet,) = sheets_of(xls((0, 0, 1.0), (0, 1, DIVISION), (1, 0, OF_FORMULA), (1, 1, 2.5), small=small))
    assert sheet.rows == [["1", "#DIV/0!"], ["#DIV/0!", "2.5"]]
