"""How results look."""

import io
import json
from contextlib import redirect_stdout

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.cli import show
from bus.cli.open import _opened


@given(st.lists(st.tuples(st.text(max_size=30), st.text(max_size=200)), max_size=5))
def test_a_table_never_drives_the_terminal(rows: list[tuple[str, str]]) -> None:
    """Whatever stands in a cell, a table has no control character but the ends of its lines."""
    for line in show.table(("name", "value"), rows):
        assert line == show.plain(line)


@given(st.lists(st.tuples(st.text(st.characters(codec="gb18030"), max_size=20), st.text(max_size=300)), max_size=5))
def test_a_table_fits_in_100_columns_and_loses_nothing(rows: list[tuple[str, str]]) -> None:
    """A table whose first columns are short is at most 100 columns wide, and every word of it is there."""
    short = [(show.plain(name)[:15], text) for name, text in rows]
    lines = list(show.table(("name", "value"), short))
    assert all(show.width(line) <= show.COLUMNS for line in lines)
    seen = "".join("".join(lines).split())
    for _, text in short:
        assert "".join(show.plain(text).split()) in seen


@given(st.text(st.characters(), max_size=60))
def test_json_on_a_terminal_drives_nothing_and_loses_nothing(text: str) -> None:
    """A printed JSON value has no character that a terminal obeys but its own end of line, and reads back the same."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    with redirect_stdout(out):
        show.emit({"text": text})
    printed = out.buffer.getvalue().decode()  # type: ignore[attr-defined]  # a BytesIO
    assert json.loads(printed) == {"text": text}
    assert printed[:-1] == show.plain(printed[:-1])


def test_json_on_an_output_of_ascii_reads_back_the_same() -> None:
    """Where the output carries ASCII only, JSON is escaped, not replaced."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    with redirect_stdout(out):
        show.emit({"银行": "é"})
    assert json.loads(out.buffer.getvalue()) == {"银行": "é"}  # type: ignore[attr-defined]  # a BytesIO


def test_a_file_name_that_is_no_unicode_can_be_emitted(capsys: pytest.CaptureFixture[str]) -> None:
    """A byte of a file name that is no UTF-8 is escaped in JSON, and the rest of the value stays as it is."""
    show.emit({"file": "\udcff.csv", "银": 1})
    assert json.loads(capsys.readouterr().out) == {"file": "\udcff.csv", "银": 1}


def test_chinese_characters_take_two_columns() -> None:
    """Columns stay in line when cells hold Chinese."""
    assert list(show.table(("名", "x"), [("银行", "1"), ("bank", "2")])) == ["名    x", "银行  1", "bank  2"]


def test_a_long_value_goes_on_below_its_own_column() -> None:
    """The last column is wrapped under itself, between words."""
    lines = list(show.facts([("cause", "word " * 40)]))
    assert len(lines) == 3
    assert all(line.startswith("       word") for line in lines[1:])


def test_an_instant_is_shown_in_utc_and_none_as_a_dash() -> None:
    """Times name their zone; there is none for 0."""
    assert show.when(1_793_000_000_000) == "2026-10-26 07:33:20Z"
    assert show.when(0) == "-"


def test_a_field_of_a_hundred_screens_is_cut_for_people() -> None:
    """A scanned paper is not poured over the screen; how long it is, and where to have it whole, is said."""
    opened = {"fields": {"attachments": "A" * 100_000}, "withheld": [], "entry": 3}
    lines = list(_opened(opened))
    assert len(lines) < 40
    assert "100000 characters; --json has them all" in " ".join(lines)
