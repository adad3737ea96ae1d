"""Failing rows are mended and dropped again: only what changed goes out."""

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

    def counts(path):
        value = desks.at("bank-a", "send", path, *STATED).value
        return [len(value[name]) for name in COUNTED]

    assert counts(original) == [1, 0, 2, 0]
    typed = lianfang("map", "check", "auto", original, "--rows-out", bad, "--json")
    assert (typed.code, len(typed.value["refused"])) == (3, 2)
    bad.write_text(bad.read_text("utf-8").replace(RUINED[0], MENDED), "utf-8")
    assert counts(bad) == [1, 0, 1, 0]
    assert counts(bad) == [0, 1, 1, 0]
    original.write_text(HEADER + GOOD + MENDED + RUINED[1], "utf-8")
    assert counts(original) == [0, 2, 1, 0]


def test_a_page_is_written_of_what_was_found(tmp_path):
    """--html gives a page for its owner alone; rows of what is no table are refused before anything is written."""
    page, rows = tmp_path / "p.html", tmp_path / "r.csv"
    file = DEMO / "bank-a-suspicious-accounts.csv"
    assert lianfang("map", "check", "auto", file, "--html", page, "--json").code == 3
    assert "<td>LF-ROW-LOSSY-NUMBER</td>" in page.read_text("utf-8")
    assert page.stat().st_mode & 0o777 == 0o600
    typed = lianfang("map", "check", "auto", DEMO / "telecom-c-passport.txt", "--rows-out", rows, "--json")
    assert (typed.code, typed.value["code"], rows.exists()) == (2, "LF-MAP-NO-TABLE", False)
