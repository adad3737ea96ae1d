"""A figure that a file states of its rows is counted again, and what does not agree is said loudly."""

import io
import re
from importlib import resources

import openpyxl
import pytest

import adapters
from adapters import report, summary
from adapters.catalogue import load
from adapters.convert import convert
from adapters.errors import FileRefused, ProfileRefused
from adapters.failing import failing_rows
from adapters.footers import WAITING_MAX
from adapters.golden import cases_in
from adapters.model import Converted, HeldBack, RowWarning
from bus.cli.map_told import told
from tests.adapters.files import NOTICE_HEADER, NOTICE_ROW, notice, profile

MISMATCH = "footer_mismatch"
GOLDEN = resources.files("adapters") / "profiles"
ICBC = cases_in(GOLDEN / "icbc-debit-csv.golden")[0].data.decode()


def mismatches(data: bytes, name: str = "bank-notice-csv") -> list[str]:
    """Return what the file's records say of its figures; only the last of them may say anything."""
    *before, last = convert(profile(name), data)
    assert not any(
        MISMATCH in outcome.message.provenance.warnings for outcome in before if isinstance(outcome, Converted)
    )
    assert isinstance(last, Converted)
    found = [note.cause for note in last.warnings if note.code == MISMATCH]
    assert (MISMATCH in last.message.provenance.warnings) == bool(found)
    assert (last.made_of is None) == bool(found), "a message that was added to is asked itself"
    return found


@pytest.mark.parametrize("line", ["合计,2 户", "合计 2户", "总计：2户,,,,", "共计,共2户", "合计,,,,2户"])
def test_a_count_that_is_right_says_nothing(line: str) -> None:
    """However the line is written, two rows are two rows."""
    assert mismatches(notice(NOTICE_ROW, NOTICE_ROW, line)) == []


def test_a_count_that_is_wrong_says_both_figures_with_the_last_message() -> None:
    """Held-back rows count: the figure is of what was sent. The line may stand anywhere below the header."""
    assert mismatches(notice(NOTICE_ROW, "合计,3 户")) == ["the file states 3 rows, and holds 1"]
    assert mismatches(notice("合计,1 户", NOTICE_ROW, NOTICE_ROW)) == ["the file states 1 row, and holds 2"]
    assert mismatches(notice(("x",), NOTICE_ROW, "合计,2 户")) == []


def test_a_count_that_is_absent_says_nothing() -> None:
    """No figure, no line, or a figure of nobody knows what: there is nothing to compare."""
    for line in ("", "合计,,,,,8", "合计", "以下空白"):
        assert mismatches(notice(NOTICE_ROW, line)) == []


@pytest.mark.parametrize("name", ["alipay-csv", "jd-csv", "wechat-bill"])
def test_the_wallets_state_rows_in_all_and_by_direction(name: str) -> None:
    """In the golden files of each that are right nothing is said; in the one that is wrong one figure is."""
    for case in cases_in(GOLDEN / f"{name}.golden"):
        if case.name in {"good", "workbook"}:
            assert mismatches(case.data, name) == []
            encoding = "utf-8-sig" if b"\xe5\x85\xb1" in case.data else "gb18030"
            if case.name == "good":
                fewer = case.data.decode(encoding).splitlines(keepends=True)[:-1]
                assert len(mismatches("".join(fewer).encode(encoding), name)) == 2, "in all, and of its direction"
        if case.name == "count-wrong":
            assert len(mismatches(case.data, name)) == 1


def test_a_sum_is_compared_in_the_column_under_which_it_stands_and_no_amount_is_told() -> None:
    """The total of what came in and of what went out, each of rows in that currency."""
    assert mismatches(ICBC.encode(), "icbc-debit-csv") == []
    (cause,) = mismatches(ICBC.replace('"13.40          ', '"13.41          ').encode(), "icbc-debit-csv")
    assert cause == "the sum of amount_out that the file states is another than that of its rows"
    assert not re.search("[0-9]", cause)


def test_a_sum_of_rows_that_cannot_be_read_is_said_to_be_unknown() -> None:
    """A row that has no cells, or no number there, may hold what is missing, or not."""
    lines = ICBC.splitlines(keepends=True)
    held = "".join([*lines[:7], "x,y\n", *lines[7:]]).encode()
    outcomes = list(convert(profile("icbc-debit-csv"), held))
    causes = [note.cause for outcome in outcomes if isinstance(outcome, Converted) for note in outcome.warnings]
    assert [cause for cause in causes if "cannot be compared" in cause] == [
        f"the sum of {column} that the file states cannot be compared: rows of it cannot be read"
        for column in ("amount_in", "amount_out")
    ]


def test_what_no_message_can_carry_stands_with_the_last_row_held_back() -> None:
    """Nothing is lost where every row failed."""
    *_, last = convert(profile("bank-notice-csv"), notice(("x",), ("y",), "合计,3 户"))
    assert isinstance(last, HeldBack)
    assert [fault.cause for fault in last.others] == ["the file states 3 rows, and holds 2"]
    found = summary.check("bank-notice-csv", notice(("x",), ("y",), "合计,3 户"))
    assert found["of_file"] == [{"code": MISMATCH, "cause": "the file states 3 rows, and holds 2"}]


def test_the_last_message_carries_it_also_when_rows_held_back_follow() -> None:
    """Records come out in order, each once; few are kept back until it is known which message is the last."""
    for after in (3, WAITING_MAX + 3):
        data = notice(NOTICE_ROW, *[("x",)] * after, "合计,1 户")
        found = list(convert(profile("bank-notice-csv"), data))
        assert [outcome.record for outcome in found] == list(range(1, after + 2))
        first, last = found[0], found[-1]
        assert isinstance(first, Converted)
        assert isinstance(last, HeldBack)
        kept = after < WAITING_MAX
        assert (MISMATCH in first.message.provenance.warnings) is kept
        assert bool(last.others) is not kept


def test_a_file_that_states_rows_and_holds_none_is_refused() -> None:
    """It was cut off below its header: silence would pass for a day without suspicions."""
    with pytest.raises(FileRefused) as refused:
        list(convert(profile("bank-notice-csv"), notice("合计,3 户")))
    assert refused.value.code == "LF-FILE-NO-ROWS"
    assert list(convert(profile("bank-notice-csv"), notice("合计,0 户"))) == []


def test_it_is_loud_on_the_page_in_the_summary_and_on_the_terminal() -> None:
    """It stands first, as said of the whole file, and once."""
    found = summary.check("bank-notice-csv", notice(NOTICE_ROW, "合计,3 户"))
    assert found["of_file"] == [{"code": MISMATCH, "cause": "the file states 3 rows, and holds 1"}]
    assert found["counts"][MISMATCH] == 1
    lines = "\n".join(told(found))
    assert lines.splitlines()[1].startswith(f"  THE WHOLE FILE: {MISMATCH}: the file states 3 rows")
    assert lines.count("states 3 rows") == 1
    page = report.html(found, "a.csv")
    assert page.index("The whole file") < page.index("Warnings, by cause")


def test_failing_rows_do_not_say_what_was_true_of_all_rows() -> None:
    """The lines above the header go with the rows to be mended; the one with the count does not."""
    case = next(case for case in cases_in(GOLDEN / "jd-csv.golden") if case.name == "held-back")
    for workbook in (False, True):
        out = io.BytesIO()
        rows = failing_rows(profile("jd-csv"), case.data, out, workbook=workbook)
        list(summary.Tally(on_refused=rows.add).over(convert(profile("jd-csv"), case.data)))
        rows.close()
        again = list(convert(profile("jd-csv"), out.getvalue()))
        assert len(again) == 3
        assert MISMATCH not in {fault.code for one in again if isinstance(one, HeldBack) for fault in one.others}


def test_a_workbook_states_its_figures_too() -> None:
    """The line of a sheet is read as that of a text file."""
    case = next(case for case in cases_in(GOLDEN / "wechat-bill.golden") if case.name == "workbook")
    book = openpyxl.load_workbook(io.BytesIO(case.data))
    (cell,) = [cell for row in book.worksheets[0] for cell in row if cell.value == "共4笔记录"]
    cell.value = "共5笔记录"
    out = io.BytesIO()
    book.save(out)
    notes = [
        note
        for one in convert(profile("wechat-bill"), out.getvalue())
        if isinstance(one, Converted)
        for note in one.warnings
    ]
    assert RowWarning(MISMATCH, "", "the file states 5 rows, and holds 4") in notes


def test_a_check_without_a_figure_or_of_no_column_is_refused_with_the_profile() -> None:
    """A pattern has a group, or the column in which the figure stands."""
    text = (GOLDEN / "jd-csv.toml").read_text("utf-8")
    assert load(text).name in adapters.profiles()
    with pytest.raises(ProfileRefused, match="has no group"):
        load(text.replace("共：([0-9]+)笔记录", "共：[0-9]+笔记录"))
    with pytest.raises(ProfileRefused, match="no column"):
        load(text.replace('only = { from = "direction"', 'only = { from = "way"'))


def test_a_count_is_that_of_the_header_rows_alone() -> None:
    """The header is none of the rows."""
    assert mismatches(notice(NOTICE_ROW, "合计,1 户")) == []
    assert len(NOTICE_HEADER) == len(NOTICE_ROW)
