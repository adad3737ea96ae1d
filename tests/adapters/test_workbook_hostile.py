"""Workbooks made to do harm: each is refused, with a cause and a cure, before the reader of workbooks sees it or by what it says."""

import io
import re
import struct
import subprocess
import sys
import zipfile

import pytest

from adapters.errors import FileRefused
from adapters.workbook_file import sheets_of
from adapters.xls_extent import workbook_stream
from tests.adapters.test_workbook import ACCOUNT, HEADER, book, rebuilt
from tests.adapters.xls_files import record, xls

SHEET, SHARED, RELATIONS = "xl/worksheets/sheet1.xml", "xl/sharedStrings.xml", "xl/_rels/workbook.xml.rels"
READER = """
import resource, sys
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_AS, (1 << 33, 1 << 33))
from python_calamine import CalamineWorkbook
book = CalamineWorkbook.from_filelike(sys.stdin.buffer)
[sheet for name in book.sheet_names for sheet in book.get_sheet_by_name(name).to_python()]
"""
"""The reader alone, as any program uses it."""


def good():
    """Return a workbook with one row."""
    return book(("A", [HEADER, [ACCOUNT, "1.00", "", ""]]))


def part(name):
    """Return a part of that workbook."""
    with zipfile.ZipFile(io.BytesIO(good())) as archive:
        return archive.read(name)


def changed(**parts):
    """Return that workbook with parts replaced, or left out where nothing is given for them."""
    out = io.BytesIO(rebuilt(good(), **{name.replace(".", "__"): content or b"" for name, content in parts.items()}))
    gone = [name for name, content in parts.items() if content is None]
    kept = io.BytesIO()
    with zipfile.ZipFile(out) as old, zipfile.ZipFile(kept, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if name not in gone:
                new.writestr(name, old.read(name))
    return kept.getvalue()


def with_row(row, name=SHEET):
    """Return the sheet with one more row, as a part of this name."""
    sheet = part(SHEET).replace(b"</sheetData>", row + b"</sheetData>")
    if name == SHEET:
        return changed(**{SHEET: sheet})
    return changed(**{name: sheet, RELATIONS: part(RELATIONS).replace(b"worksheets/sheet1.xml", name[3:].encode())})


FAR = b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
UNPLACED = b'<row r="1048570">' + b"<c><v>1</v></c>" * 16384 + b"</row>"
DIMENSIONS = record(0x0200, struct.pack("<IIHHH", 0, 0xFFFFFFF0, 0, 0xFFF0, 0))
DEADLY = {
    "a count of shared texts": changed(
        **{SHARED: re.sub(rb'uniqueCount="[0-9]+"', b'uniqueCount="99999999999"', part(SHARED))}
    ),
    "cells that do not say where they are": with_row(UNPLACED),
    "a sheet where no sheet is expected": with_row(FAR, "xl/other.xml"),
    "a sheet that says how large it is": xls((0, 0, 1.0), extra=DIMENSIONS),
}
"""Files of a few kilobytes for which the reader asks for hundreds of gigabytes at once."""


@pytest.mark.parametrize("name", DEADLY)
def test_a_workbook_cannot_end_the_process_that_reads_it(name):
    """It is refused, or read without the claim; given to the reader as it is, it ends the process, with all of a node in it."""
    data = DEADLY[name]
    assert len(data) < 20_000
    if name == "a sheet that says how large it is":
        assert sheets_of(data)[0].rows == [["1"]]
    else:
        with pytest.raises(FileRefused) as refused:
            sheets_of(data)
        assert refused.value.code == "LF-FILE-WORKBOOK-LIMIT"
    killed = subprocess.run([sys.executable, "-c", READER], input=data, capture_output=True, check=False)
    assert killed.returncode < 0, "by a signal, which no except catches"
    assert b"memory allocation" in killed.stderr


def listing(place):
    """Return a further entry in an old workbook's list of sheets: the sheet begins at this place."""
    return record(0x0085, struct.pack("<IBBBBs", place, 0, 0, 1, 0, b"T"))


def test_an_old_workbook_whose_sheets_overlap_is_refused():
    """A thousand names for one sheet would have it read a thousand times; a sheet that begins inside a record is measured by nobody."""
    _, stream = workbook_stream(xls((0, 0, 1.0), listed=listing(0)))
    (place,) = struct.unpack_from("<I", stream, stream.index(b"\x85\0") + 4)
    assert stream[place : place + 2] == b"\x09\x08"
    for wrong in (place, place + 4):
        with pytest.raises(FileRefused) as refused:
            sheets_of(xls((0, 0, 1.0), listed=listing(wrong)))
        assert refused.value.code == "LF-FILE-WORKBOOK-DAMAGED"


ENTITIES = b'<!DOCTYPE sst [<!ENTITY a "%s"><!ENTITY b "%s">]>' % (b"x" * 1000, b"&a;" * 1000)
BROKEN = {
    "no sheet part": (changed(**{SHEET: None}), "LF-FILE-WORKBOOK-DAMAGED"),
    "no list of sheets": (changed(**{"xl/workbook.xml": None}), "LF-FILE-WORKBOOK"),
    "an empty list of sheets": (changed(**{"xl/workbook.xml": b""}), "LF-FILE-WORKBOOK-DAMAGED"),
    "no relations": (changed(**{RELATIONS: None}), "LF-FILE-WORKBOOK-DAMAGED"),
    "a shared text that is not there": (
        changed(**{SHEET: part(SHEET).replace(b"<v>0</v>", b"<v>999</v>")}),
        "LF-FILE-WORKBOOK-DAMAGED",
    ),
    "a sheet that is cut off": (changed(**{SHEET: part(SHEET)[:-60]}), "LF-FILE-WORKBOOK-DAMAGED"),
    "a sheet that is no XML": (changed(**{SHEET: b"\0" * 500}), "LF-FILE-WORKBOOK-DAMAGED"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_workbook_is_refused_with_cause_and_cure(name):
    """Whatever the reader raises comes out as a refusal that says what to do."""
    data, code = BROKEN[name]
    with pytest.raises(FileRefused) as refused:
        sheets_of(data)
    assert (refused.value.code, bool(refused.value.cause), bool(refused.value.cure)) == (code, True, True)


def test_entities_of_a_workbooks_own_are_never_expanded():
    """A bomb of entities becomes neither memory nor text."""
    texts = part(SHARED).replace(b"<sst", ENTITIES + b"<sst", 1).replace(ACCOUNT.encode(), b"&b;")
    with pytest.raises(FileRefused) as refused:
        sheets_of(changed(**{SHARED: texts}))
    assert refused.value.code == "LF-FILE-WORKBOOK-DAMAGED"


def test_a_fault_of_the_reader_itself_is_a_refusal():
    """The reader is written in Rust, and some damaged files make it panic; that too says what to do."""
    with pytest.raises(FileRefused) as refused:
        sheets_of(xls((0, 0, 1.0), listed=record(0x0809, b"")))
    assert refused.value.code == "LF-FILE-WORKBOOK-DAMAGED"
    assert type(refused.value.__cause__).__name__ == "PanicException"
