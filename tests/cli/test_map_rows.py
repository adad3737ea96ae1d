"""Failing rows are mended and dropped again: only what changed goes out."""

import openpyxl

from tests.adapters.files import DEMO
from tests.cli.conftest import lianfang

HEADER = "Account Number,Account Name,Feature Code,Balance\n"
GOOD = "6222020200112230019,甲,1001,55.01\n"
RUINED = ("6.22202E+18,乙,1001,55.02\n", "6217001180009876123,丙,1001,5.5.03\n")
MENDED = "6217001180009876123,乙,1001,55.02\n"
STATED = ("--to", "police-a", "--purpose", "early_warning", "--legal-basis", "ATF18", "--json")
COUNTED = ("sent", "already_sent", "held_back", "refused")


def test_mended_rows_go_out_once_from_wherever_they_are_mended(desks, tmp_path):
    """One good row goes, two fail; one is mended among the failing ones and goes; the original, mended alike, sends neither again."""
    original, bad = tmp_path / "a.csv", tmp_path / "bad.csv"
    original.write_text(HEADER + GOOD + "".join(RUINED), "utf-8")

    def counts(path, *more):
        value = desks.at("bank-a", "send", path, *STATED, *more).value
        return [len(value[name]) for name in COUNTED]

    assert counts(original) == [1, 0, 2, 0]
    typed = lianfang("map", "check", "auto", original, "--rows-out", bad, "--json")
    assert (typed.code, len(typed.value["refused"])) == (3, 2)
    bad.write_text(bad.read_text("utf-8").replace(RUINED[0], MENDED), "utf-8")
    assert counts(bad) == [1, 0, 1, 0]
    assert counts(bad) == [0, 1, 1, 0]
    original.write_text(HEADER + GOOD + MENDED + RUINED[1], "utf-8")
    assert counts(original) == [0, 2, 1, 0]
    original.write_text(HEADER + GOOD + MENDED + RUINED[1], "gb18030")
    assert counts(original) == [0, 2, 1, 0], "another encoding makes no other row"
    book = tmp_path / "bad.xlsx"
    assert lianfang("map", "check", "auto", original, "--rows-out", book, "--json").code == 3
    sheet = openpyxl.load_workbook(book)
    sheet.active["D2"] = "5.53"
    sheet.active.append(GOOD.strip().split(","))
    sheet.save(book)
    assert counts(book, "--profile", "bank-notice-csv") == [1, 1, 0, 0], "what was mended goes, what was sent does not"


def test_progress_is_said_on_standard_error_when_it_is_wanted(tmp_path):
    """Part of the bytes, rows and their rate; the messages are the same with and without it."""
    file, out = tmp_path / "a.csv", tmp_path / "m.jsonl"
    file.write_text(HEADER + GOOD * 3 + RUINED[0], "utf-8")
    typed = lianfang("map", "convert", "bank-notice-csv", file, "--out", out, "--progress", "--json")
    assert (typed.code, typed.value["rows_in"], typed.value["refused_count"]) == (3, 4, 1)
    assert "100%, 4 rows, " in typed.err
    with_progress = out.read_bytes()
    quiet = lianfang("map", "convert", "bank-notice-csv", file, "--out", out, "--json")
    assert "rows/s" not in quiet.err
    assert out.read_bytes() == with_progress


def test_columns_that_are_not_carried_are_listed_once(tmp_path):
    """A column that nobody knows is named in the summary, with how many rows have something in it."""
    file = tmp_path / "a.csv"
    file.write_text(HEADER.strip() + ",Shoe Size\n" + GOOD.strip() + ",43\n" + GOOD.strip() + ",\n", "utf-8")
    typed = lianfang("map", "check", "bank-notice-csv", file, "--json")
    assert typed.value["not_carried"] == [{"cause": "column Shoe Size has no place in the message", "rows": 1}]


def test_a_page_is_written_of_what_was_found(tmp_path):
    """--html gives a page for its owner alone; rows of what is no table are refused before anything is written."""
    page, rows = tmp_path / "p.html", tmp_path / "r.csv"
    file = DEMO / "bank-a-suspicious-accounts.csv"
    assert lianfang("map", "check", "auto", file, "--html", page, "--json").code == 3
    assert "<td>LF-ROW-LOSSY-NUMBER</td>" in page.read_text("utf-8")
    assert page.stat().st_mode & 0o777 == 0o600
    typed = lianfang("map", "check", "auto", DEMO / "telecom-c-passport.txt", "--rows-out", rows, "--json")
    assert (typed.code, typed.value["code"], rows.exists()) == (2, "LF-MAP-NO-TABLE", False)
