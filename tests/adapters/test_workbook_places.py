"""Lineage of workbooks: an auditor with an archive tool finds in the bytes that it names what was read."""

import datetime as dt
import io
import json
import struct
import zipfile
from importlib import resources

import pytest
import xlsxwriter
from lxml import etree
from openpyxl import Workbook, load_workbook

import adapters
from adapters import summary
from adapters.convert import convert
from adapters.errors import FileRefused
from adapters.golden import cases_in
from adapters.model import Converted
from adapters.preview import preview
from adapters.source_file import file_given
from adapters.workbook_file import sheets_of
from adapters.xls_extent import workbook_stream
from adapters.xls_places import XlsPlaces
from tests.adapters.samples import SAMPLES
from tests.adapters.test_workbook import ACCOUNT, HEADER, TWO_SHEETS, book, profile, rebuilt
from tests.adapters.xls_files import DIVISION, xls

SHEET = "xl/worksheets/sheet1.xml"
ROW = [ACCOUNT, "1.00", "2026-01-02", ""]


def golden(name, case):
    """Return a golden file of a profile that comes with the product."""
    folder = resources.files("adapters") / "profiles" / f"{name}.golden"
    return next(one.data for one in cases_in(folder) if one.name == case)


def traced(data, shape=None):
    """Return what was read from cells: lineage of all messages, what the profile supplied left out."""
    found = convert(shape or profile(), data)
    return [item for row in found if isinstance(row, Converted) for item in row.lineage if item.column]


def cut(data, part, start, end):
    """Cut bytes out of a member, as anybody can who has an archive tool."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.read(part)[start:end]


def element(data, where):
    """Return the element that stands in those bytes: well-formed, and nothing beside it."""
    return etree.fromstring(cut(data, where.part, where.start, where.end))


@pytest.mark.parametrize(("name", "case"), [("ncrp-bank-action", "six-sheets"), ("wechat-bill", "workbook")])
def test_every_value_of_a_workbook_leads_to_the_bytes_of_its_cell(name, case):
    """The bytes are one cell's element, with that reference; its text, or the shared text beside it, is what was read."""
    folder = resources.files("adapters") / "profiles" / f"{name}.golden"
    data = next((one.data for one in cases_in(folder) if one.name == case), b"")
    if not data.startswith(b"PK"):
        pytest.skip("this case is no workbook")
    items = traced(data, adapters.profiles()[name])
    assert items
    for item in items:
        if item.part == "xl/workbook.xml":
            assert element_name(data, item) == "sheet"
            continue
        cell = element(data, item)
        assert cell.get("r") == item.cell
        if item.shared is None:
            assert "".join(cell.itertext()).strip()
            continue
        assert cell.get("t") == "s"
        assert int("".join(cell.itertext())) == item.shared.number
        assert item.raw.strip() in "".join(element(data, item.shared).itertext())


def element_name(data, item):
    """Return what a tag that needs its surroundings is called."""
    return cut(data, item.part, item.start, item.end).partition(b" ")[0].decode().strip("<")


def written(**options):
    """Return a workbook in which texts stand as this way of writing has them."""
    out = io.BytesIO()
    file = xlsxwriter.Workbook(out, options)
    sheet = file.add_worksheet("A & B")
    for at, row in enumerate([HEADER, [ACCOUNT, "1.00", "2026-01-02", "19900000101"]]):
        sheet.write_row(at, 0, row)
    file.close()
    return out.getvalue()


@pytest.mark.parametrize("constant", [False, True])
def test_texts_that_are_shared_and_texts_in_the_cell_are_both_found(constant):
    """Spreadsheets share texts, programs that write row by row do not; the place says which it is."""
    data = written(constant_memory=constant)
    item = next(one for one in traced(data) if one.field == "account")
    assert (item.part, item.cell, item.shared is None) == (SHEET, "A2", constant)
    held = item.shared or item
    assert ACCOUNT.encode() in cut(data, held.part, held.start, held.end)


def test_numbers_and_days_lead_to_their_cells():
    """A cell that shows a day holds a number; its bytes are the cell's all the same."""
    data = book(("A", [HEADER, [123456789012, 1234.5, dt.date(2026, 1, 2), ""]]))
    found = {item.field: (item.cell, element(data, item).findtext("v")) for item in traced(data)}
    assert found == {"account": ("A2", "123456789012"), "balance": ("B2", "1234.5"), "opened_at": ("C2", "46024")}


def test_another_librarys_cells_are_found_too():
    """Without a reference to the row before, with other spaces, with single quotes: the parser reads XML, not a habit."""
    file = Workbook()
    file.active.append(HEADER)
    file.active.append([ACCOUNT, 1.5, dt.date(2026, 1, 2), None])
    out = io.BytesIO()
    file.save(out)
    bare = cut(out.getvalue(), SHEET, 0, None).replace(b' r="B2"', b"").replace(b' r="C2"', b"").replace(b'r="2"', b"")
    data = rebuilt(out.getvalue(), **{"xl/worksheets/sheet1__xml": bare})
    found = {item.field: (item.cell, element(data, item).findtext("{*}v")) for item in traced(data)}
    assert found["balance"] == ("B2", "1.5")
    assert found["opened_at"][0] == "C2"


def test_a_row_of_a_merged_range_leads_to_the_cell_that_holds_its_text():
    """What stands in the range's first cell is said of each of its rows; the bytes are that cell's."""
    rows = [HEADER, ["", "1.00", "", ""], ["", "2.00", "", ""]]
    data = book(("A", rows), merged=[(1, 0, 2, 0, ACCOUNT)])
    accounts = [(item.line, item.cell, item.raw) for item in traced(data) if item.field == "account"]
    assert accounts == [(2, "A2", ACCOUNT), (3, "A2", ACCOUNT)]


def test_a_text_above_the_header_leads_to_its_own_cell():
    """The nickname of a wallet's bill stands in one cell of a row above."""
    data = golden("wechat-bill", "workbook")
    item = next(one for one in traced(data, adapters.profiles()["wechat-bill"]) if one.column == "nickname, above")
    sheet = load_workbook(io.BytesIO(data)).active
    assert item.raw in sheet[item.cell].value
    held = item.shared or item
    assert item.raw in "".join(element(data, held).itertext())


def test_the_kind_of_a_sheet_leads_to_where_the_sheet_is_named():
    """That a row is a transfer no cell says: its sheet's name does."""
    data = book(("Transfer", [HEADER, ROW]), ("Hold", [["Account No"], [ACCOUNT]]))
    items = [item for item in traced(data, profile(TWO_SHEETS)) if item.field == "narrative"]
    names = [cut(data, item.part, item.start, item.end) for item in items]
    assert [b'name="Transfer"' in names[0], b'name="Hold"' in names[1]] == [True, True]


COMMENT = b'<!-- <row r="2"><c r="A2" t="s"><v>0</v></c></row> -->'


def test_a_cell_in_a_comment_is_not_taken_for_the_cell():
    """What only looks like a cell to a search for letters is not where lineage leads."""
    data = book(("A", [HEADER, ROW]))
    content = cut(data, SHEET, 0, None).replace(b"<sheetData>", b"<sheetData>" + COMMENT)
    item = next(one for one in traced(rebuilt(data, **{"xl/worksheets/sheet1__xml": content})) if one.cell == "A2")
    assert item.start > content.index(COMMENT) + len(COMMENT)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'<c r="A2"', b'<c r="A2" t="s"><v>1</v></c><c r="A2"'),
        (b'<row r="2"', b'<row r="2"/><row r="2"'),
        (b'<row r="2"', b'<row r="' + b"9" * 5000 + b'"/><row r="2"'),
        (b"<worksheet", b'<!DOCTYPE worksheet [<!ENTITY a "b">]><worksheet'),
    ],
)
def test_where_readers_could_differ_no_bytes_are_claimed(before, after):
    """A cell or row that is there twice, or a document type: the cell is named, and nothing is said of its bytes."""
    data = book(("A", [HEADER, ROW]))
    content = cut(data, SHEET, 0, None).replace(before, after)
    items = traced(rebuilt(data, **{"xl/worksheets/sheet1__xml": content}))
    item = next(one for one in items if one.field == "account")
    assert (item.cell, item.start, item.end) == ("A2", -1, -1)


def test_lineage_of_a_file_that_was_changed_since_is_refused(tmp_path):
    """Bytes of another file are not given out as those of the one that was read."""
    path = tmp_path / "a.xlsx"
    path.write_bytes(book(("A", [HEADER, ROW])))
    (row,) = convert(profile(), file_given(path))
    path.write_bytes(book(("A", [HEADER, ["", *ROW[1:]]])))
    with pytest.raises(FileRefused) as refused:
        row.lineage  # noqa: B018 - it is worked out when it is asked for
    assert refused.value.code == "LF-FILE-CHANGED"


def test_an_archive_or_workbook_that_names_a_thing_twice_is_refused():
    """Of two members of one name an auditor's tool would see the other; of two sheets of one name only one would be read."""
    data = book(("A", [HEADER, ROW]), ("B", [HEADER]))
    twice = io.BytesIO(data)
    with zipfile.ZipFile(twice, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr(SHEET, cut(data, SHEET, 0, None))
    names = cut(data, "xl/workbook.xml", 0, None).replace(b'name="B"', b'name="A"')
    for spoilt in (twice.getvalue(), rebuilt(data, **{"xl/workbook__xml": names})):
        with pytest.raises(FileRefused) as refused:
            sheets_of(spoilt)
        assert refused.value.code == "LF-FILE-WORKBOOK-DAMAGED"


def test_json_and_preview_say_where_a_value_stands():
    """`map convert --lineage` and `map preview` give member, cell, bytes, and the shared text; nothing new for text files."""
    data = book(("A", [HEADER, ROW]))
    (row,) = convert(profile(), data)
    told = next(one for one in json.loads(summary.json_line(row))["lineage"] if one["field"] == "account")
    assert (told["part"], told["cell"]) == (SHEET, "A2")
    assert ACCOUNT.encode() in cut(data, *(told["shared"][key] for key in ("part", "start", "end")))
    seen = next(one for one in preview(profile(), data, 1)["fields"] if one["field"] == "account")
    assert {key: seen[key] for key in ("part", "cell", "start", "end", "shared")} == {
        key: told[key] for key in ("part", "cell", "start", "end", "shared")
    }
    (plain,) = convert(profile(), "\n".join(",".join(cells) for cells in (HEADER, ROW)).encode())
    assert "part" not in json.loads(summary.json_line(plain))["lineage"][0]


@pytest.mark.parametrize("small", [False, True])
@pytest.mark.parametrize("piece", [8000, 40, 23])
def test_cells_of_an_old_workbook_lead_to_their_records(small, piece):
    """The bytes are the cell's record in the stream; a shared text's are its letters, also where they go on in a further record."""
    texts = ["账号", "a text that is longer than a record", "余额与转账的说明文字", "ab" * 30, "x"]
    data = xls(
        *[(0, at, text) for at, text in enumerate(texts)], (2, 1, 12.5), (2, 3, DIVISION), small=small, piece=piece
    )
    (sheet,) = sheets_of(data)
    assert sheet.rows[0] == texts
    name, stream = workbook_stream(data)
    places = XlsPlaces(data)
    for at, text in enumerate(texts):
        spot = places.of("S", 1, at, text)
        kind, length, row, column, _, index = struct.unpack("<HHHHHI", stream[spot.start : spot.end])
        assert (spot.part, spot.cell, kind, row, column) == (name, "ABCDE"[at] + "1", 0x00FD, 0, at)
        assert (index, length) == (spot.shared.number, 10)
        held = stream[spot.shared.start : spot.shared.end]
        wide, head = held[2] & 1, text[: 2 if piece == 23 else 3]
        assert struct.unpack("<H", held[:2])[0] == len(text)
        assert head.encode("utf-16-le" if wide else "ascii")[:2] in held
    number = places.of("S", 3, 1, "12.5")
    assert struct.unpack("<d", stream[number.start + 10 : number.end])[0] == 12.5
    assert stream[places.of("S", 3, 3, "#DIV/0!").start :][:2] == b"\x05\x02"
    assert places.of("S", 1, 0, "another text").start == -1
    assert places.of("S", 2, 0, "").start == -1


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the samples are not beside this checkout")
def test_every_cell_of_the_real_workbooks_is_found():
    """A bank's .xls and a wallet's .xlsx, as real programs wrote them: no cell without its bytes."""
    folder = SAMPLES / "cn-bank-statements"
    old = (folder / "spdb_debit_example-spdb_debit-records.xls").read_bytes()
    places = XlsPlaces(old)
    cells = [
        places.of(sheet.name, line, at, text)
        for sheet in sheets_of(old)
        for line, row in enumerate(sheet.rows, 1)
        for at, text in enumerate(row)
        if text.strip()
    ]
    assert len(cells) == 43
    assert all(spot.start > 0 and (spot.shared is None or spot.shared.start > 0) for spot in cells)
