"""`lianfang map`: what a person is told of a file, and what is not read twice."""

from bus.cli.map_told import ROWS_TOLD_MAX
from tests.cli.conftest import lianfang

HEADER = "Account Number,Account Name,Feature Code,Balance,Shoe Size\n"
GOOD = "6222020200112230019,甲,1001,55.01,43\n"
BAD = "6222020200112230019,甲,1001,5.5.01,\n"


def test_the_causes_are_counted_and_every_row_is_told_with_its_line(tmp_path):
    """Two rows fail for one cause, in the lines 3 and 4 of the file: one sentence counts them, and each has its own."""
    file = tmp_path / "a.csv"
    file.write_text(HEADER + GOOD + BAD * 2, "utf-8")
    out = lianfang("map", "check", "auto", file).out
    assert "  2 rows: LF-ROW-AMOUNT: column Balance does not hold an amount\n" in out
    assert "  row 2, line 3: LF-ROW-AMOUNT: " in out
    assert "  row 3, line 4: LF-ROW-AMOUNT: " in out


def test_of_many_rows_that_fail_the_first_are_told_and_all_are_counted(tmp_path):
    """A terminal is not flooded: the count is whole, the rows told one by one are few, and it is said where all are."""
    file = tmp_path / "a.csv"
    file.write_text(HEADER + BAD * (ROWS_TOLD_MAX + 5), "utf-8")
    typed = lianfang("map", "check", "auto", file)
    assert (typed.code, typed.out.count("  row ")) == (3, ROWS_TOLD_MAX)
    assert f"  {ROWS_TOLD_MAX + 5} rows: LF-ROW-AMOUNT: " in typed.out
    assert f"the first {ROWS_TOLD_MAX} of {ROWS_TOLD_MAX + 5} are told" in typed.out
    assert len(lianfang("map", "check", "auto", file, "--json").value["refused"]) == ROWS_TOLD_MAX + 5


def test_what_is_not_carried_is_told_once_and_without_empty_places(tmp_path):
    """A column that no field takes is named with its rows; no sentence has an empty place for a field."""
    file = tmp_path / "a.csv"
    file.write_text(HEADER + GOOD * 3, "utf-8")
    out = lianfang("map", "check", "auto", file).out
    assert "  not carried, for no field of the profile takes it:\n      column Shoe Size, in 3 rows\n" in out
    assert ", ," not in out
    assert out.count("Shoe Size") == 1


def test_where_the_failing_rows_stand_is_said_only_when_there_are_some(tmp_path):
    """The file, and the command that sends it once it is mended; of a file without failures nothing is said."""
    file, bad = tmp_path / "a.csv", tmp_path / "b.xlsx"
    file.write_text(HEADER + BAD, "utf-8")
    words = " ".join(lianfang("map", "check", "auto", file, "--rows-out", bad).out.split())
    assert f"`lianfang send {bad} --profile bank-notice-csv`" in words
    assert lianfang("map", "check", "auto", file, "--rows-out", bad, "--json").value["rows_out"] == str(bad)
    file.write_text(HEADER + GOOD, "utf-8")
    assert "lianfang send" not in lianfang("map", "check", "auto", file, "--rows-out", bad).out


def test_what_infer_says_of_long_paths_fits_a_terminal(tmp_path):
    """What is written comes first; paths of which nothing is known stand together, and no line is wider than others."""
    file, path = tmp_path / "a.json", "/".join(["aRatherLongNameOfAnElement"] * 3)
    inner = '"nothingKnown": "x", "norThis": "y"'
    for name in path.split("/"):
        inner = f'"{name}": {{{inner}}}'
    file.write_text(f'{{"account": "6222020200112230019", {inner}}}', "utf-8")
    out = lianfang("map", "infer", file, "--to", "SuspiciousAccountNotice", "--out", tmp_path / "p.toml").out
    lines = out.splitlines()
    assert lines[1].startswith("  account: account, 100% sure, written: ")
    assert "2 of which nothing is proposed, for the path is not known" in " ".join(out.split())
    assert max(map(len, lines)) <= 100 + len(path)


def test_no_file_is_written_over_the_file_that_is_read(tmp_path):
    """Rows, page, messages, profile and local records under the name of their source are refused, and the source stays whole."""
    file, link = tmp_path / "a.csv", tmp_path / "same"
    file.write_text(HEADER + GOOD + BAD, "utf-8")
    link.symlink_to(file)
    before = file.read_bytes()
    for typed in (
        ("check", "auto", file, "--rows-out", link),
        ("check", "auto", file, "--html", file),
        ("convert", "auto", file, "--out", file),
        ("infer", file, "--to", "SuspiciousAccountNotice", "--out", file),
        ("back", "bank-notice-csv", file, "--out", file),
    ):
        refused = lianfang("map", *typed, "--json")
        assert (refused.code, refused.value["code"]) == (2, "LF-CLI-SAME-FILE")
        assert file.read_bytes() == before


def test_a_directory_that_is_not_there_is_named_and_no_file_of_ours(tmp_path):
    """The cause names the directory that was given, not the part that would have been written first."""
    file = tmp_path / "a.csv"
    file.write_text(HEADER + GOOD, "utf-8")
    refused = lianfang("map", "convert", "auto", file, "--out", tmp_path / "none" / "m.jsonl", "--json")
    assert (refused.code, refused.value["code"]) == (5, "LF-CLI-NO-FILE")
    assert str(tmp_path / "none") in refused.value["cause"]
    assert ".part" not in refused.value["cause"]
