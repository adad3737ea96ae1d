"""A first profile for an unknown table: what is sure is written, what is a guess is a comment with its reason."""

import csv
import io

import openpyxl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.back import leaves
from adapters.catalogue import load
from adapters.convert import convert
from adapters.errors import FileRefused, ProfileRefused
from adapters.guesses import Stated
from adapters.infer import infer
from adapters.model import Converted
from adapters.table import read_table
from tests.adapters.files import ACCOUNT, DEMO, IDENTITY, NEXT, NOTICE_HEADER, NOTICE_ROW, notice, read
from tests.adapters.test_properties import QUICK, ROWS, written

NOTICE = "SuspiciousAccountNotice"
CHINA = Stated("Asia/Shanghai", "CNY", "CN")
DEMO_ROWS = (DEMO / "bank-a-suspicious-accounts.csv").read_bytes()


def proposed(data, message=NOTICE, stated=CHINA):
    """Return the proposal, and its columns by header; the profile must load."""
    proposal = infer(data, message, "mine", stated)
    load(proposal.toml)
    return proposal, {item["column"]: item for item in proposal.as_json()["columns"]}


def test_a_table_with_known_headers_is_wholly_proposed_and_makes_the_same_messages():
    """Without its ruined row the demo's export needs no hand: encoding, preamble, each column, and equal messages."""
    lines = DEMO_ROWS.split(b"\n")
    data = b"\n".join(line for line in lines if b"E+18" not in line)
    proposal, columns = proposed(data)
    assert (proposal.encoding, proposal.delimiter, proposal.header_line) == ("gb18030", ",", 4)
    assert [name for name, item in columns.items() if not item["written"]] == ["序号", "证件号码"]
    assert "92%" in columns["证件号码"]["why"], "one of the thirteen numbers fails its checksum"
    profile = load(proposal.toml.replace('# holder = ["证件', 'holder = ["证件').replace(
        '# [field."holder"]\n# from = "holder"\n# parse = { as = "id" }',
        '[field."holder"]\nfrom = "holder"\nparse = { as = "id" }',
    ))  # fmt: skip
    ours, known = list(convert(profile, data)), read(data)
    assert len(ours) == len(known) > 12
    for one, other in zip(ours, known, strict=True):
        assert isinstance(one, Converted)
        assert isinstance(other, Converted)
        mine = leaves(one.message)
        if mine.get("action_taken.raw") == "无":  # that a word of the code table means nothing, no file says
            mine = {path: value for path, value in mine.items() if not path.startswith("action_taken")}
        assert mine == leaves(other.message)


def test_what_no_cell_says_is_asked_for():
    """Without zone, currency and country, times, amounts and telephone numbers wait, each with the reason."""
    _, columns = proposed(notice(), stated=Stated())
    assert {name: item["why"].rpartition("state the ")[2].split(",")[0] for name, item in columns.items() if not item["written"]} == {
        "手机号": "region",
        "余额": "currency",
        "交易金额": "currency",
        "开户日期": "zone",
        "交易时间": "zone",
    }  # fmt: skip


def test_an_unknown_header_is_never_sure_however_clear_its_values():
    """Columns of cards, identity numbers and telephones under strange headers: proposed by their values, and commented out."""
    rows = f"账号,可疑特征,x1,x2,x3,x4\n{ACCOUNT},1001,{NEXT},{IDENTITY},19900000101,?\n"
    proposal, columns = proposed(rows.encode())
    assert [columns[name]["field"] for name in ("x1", "x2", "x3", "x4")] == ["account", "holder", "holder_phone", None]
    for name in ("x1", "x2", "x3", "x4"):
        assert not columns[name]["written"]
        assert columns[name]["sure"] <= 0.5
        assert columns[name]["why"].startswith("the header is not known")
    assert "next_hops[0]" in columns["x1"]["why"]
    profile = load(proposal.toml)
    assert set(profile.file.field) == {"account", "features"}


@pytest.mark.parametrize(
    ("header", "value", "reason"),
    [
        ("开户日期", "03/04/2026", "either way about"),
        ("开户日期", "yesterday", "not all dates"),
        ("户名", IDENTITY, "look like identity numbers"),
        ("余额", "much", "0% of 1 values"),
        ("收付标志", "sideways", "0% of 1 values"),
        ("证件号码", "X1", "0% of 1 values"),
        ("开户行行号", "ABC", "0% of 1 values"),
        ("余额", "", "empty in this file"),
        ("卡号", NEXT, "another column claims the same field"),
    ],
)
def test_a_known_header_with_values_that_do_not_fit_is_not_sure(header, value, reason):
    """A date that could be two, a word where an amount should be, two columns for one field: commented out with the reason."""
    data = f"账号,可疑特征,{header}\n{ACCOUNT},1001,{value}\n".encode()
    _, columns = proposed(data)
    assert not columns[header]["written"]
    assert reason in columns[header]["why"]


def test_a_day_that_can_only_be_one_is_sure():
    """The 31st decides which is the day."""
    proposal, columns = proposed(
        f"账号,可疑特征,开户日期\n{ACCOUNT},1001,31/01/2026\n{NEXT},1001,02/03/2026\n".encode()
    )
    assert not columns["开户日期"]["written"], "02/03 alone could be either; the file does not say that all are alike"
    proposal, columns = proposed(f"账号,可疑特征,开户日期\n{ACCOUNT},1001,31/01/2026\n".encode())
    assert columns["开户日期"]["written"]
    assert '"d/M/yyyy"' in proposal.toml


def test_a_currency_column_is_used_and_never_overridden():
    """Where a column names each row's currency, amounts take it; none is assumed."""
    data = f"账号;可疑特征;余额;币种\n{ACCOUNT};1001;5.00;USD\n{NEXT};1001;6.00;人民币\n".encode()
    proposal, columns = proposed(data, stated=Stated())
    assert columns["币种"]["written"]
    assert proposal.delimiter == ";"
    rows = [row.message.balance for row in convert(load(proposal.toml), data) if isinstance(row, Converted)]
    assert [(row.currency, row.currency_assumed) for row in rows] == [("USD", False), ("CNY", False)]


def test_a_message_that_no_profile_makes_is_found_by_its_own_names():
    """Headers that are a field's own name will do, with blanks and capitals."""
    data = f"Application ID\tReason\tTarget\tShoe Size\nS1\tfraud\t{ACCOUNT}\t43\n".encode()
    proposal, columns = proposed(data, "StopPaymentOrder")
    assert [name for name, item in columns.items() if item["written"]] == ["Application ID", "Reason", "Target"]
    (row,) = convert(load(proposal.toml), data)
    assert isinstance(row, Converted)
    assert (row.message.application_id, row.message.target.number) == ("S1", ACCOUNT)


def test_no_value_of_the_file_is_in_the_profile_or_the_report():
    """A profile can be passed on: it holds headers and code tables, no cell."""
    rows = csv.reader(io.StringIO(DEMO_ROWS.decode("gb18030")))
    cells = {cell for row in list(rows)[4:] for cell in row if len(cell) > 8}
    proposal, columns = proposed(DEMO_ROWS)
    assert len(cells) > 50
    assert not [cell for cell in cells if cell in proposal.toml or cell in str(columns)]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "LF-FILE-EMPTY"),
        (b"no table\n", "LF-FILE-NO-HEADER"),
        (b"a,b\n1,2\n", "LF-MAP-NOTHING-SURE"),
        (b"a,b\n" + b"x" * 200_000 + b",2\n", "LF-MAP-NOTHING-SURE"),
        ("账号,可疑特征\n".encode(), "LF-MAP-NOTHING-SURE"),
    ],
)
def test_what_is_no_table_or_says_nothing_is_refused(data, code):
    """Nothing is proposed where nothing is sure."""
    with pytest.raises(FileRefused) as refused:
        infer(data, NOTICE, "mine", CHINA)
    assert refused.value.code == code


def test_a_workbook_is_proposed_like_a_table_and_read_by_its_profile():
    """One sheet: the columns are those of the same table as text, and so are the messages."""
    book = openpyxl.Workbook()
    for row in (NOTICE_HEADER, NOTICE_ROW):
        book.active.append(row)
    out = io.BytesIO()
    book.save(out)
    proposal, columns = proposed(out.getvalue())
    _, same = proposed(notice())
    assert proposal.encoding == "workbook"
    assert {name: item["field"] for name, item in columns.items()} == {
        name: item["field"] for name, item in same.items()
    }
    (row,) = convert(load(proposal.toml), out.getvalue())
    assert isinstance(row, Converted)
    assert row.message.account.number == ACCOUNT


def book_of(**sheets):
    """Return a workbook with these rows in its sheets."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def test_of_several_sheets_the_one_whose_header_fits_is_the_table_and_the_others_are_questions():
    """The sheet is named in the profile; another one with rows is asked about, and until then the file is refused, no row lost."""
    data = book_of(Cover=[["about", "this"], ["x", "y"]], Konten=[NOTICE_HEADER, NOTICE_ROW], Empty=[])
    proposal, _ = proposed(data)
    sheets = {one["sheet"]: one for one in proposal.as_json()["sheets"]}
    assert {name: one["written"] for name, one in sheets.items()} == {"Cover": False, "Konten": True}
    assert sheets["Cover"]["sure"] <= 0.5
    assert '# [[source.sheet]]\n# name = "Cover"\n# ignore = true' in proposal.toml
    with pytest.raises(FileRefused) as refused:
        list(convert(load(proposal.toml), data))
    assert refused.value.code == "LF-FILE-SHEET"
    answered = proposal.toml.replace(
        '# [[source.sheet]]\n# name = "Cover"\n# ignore = true', '[[source.sheet]]\nname = "Cover"\nignore = true'
    )
    (row,) = convert(load(answered), data)
    assert isinstance(row, Converted)
    assert row.message.account.number == ACCOUNT


def test_an_empty_sheet_asks_nothing():
    """Sheets without rows hold no records: one sheet with rows is the table, and needs no rule."""
    proposal, _ = proposed(book_of(Leer=[], Konten=[NOTICE_HEADER, NOTICE_ROW]))
    assert "source.sheet" not in proposal.toml


def test_a_second_sheet_with_the_same_header_is_a_question():
    """It may go on with the table, or be a copy of it: no file says which."""
    data = book_of(One=[NOTICE_HEADER, NOTICE_ROW], Two=[NOTICE_HEADER, NOTICE_ROW])
    proposal, _ = proposed(data)
    (first, second) = proposal.as_json()["sheets"]
    assert (first["written"], second["written"]) == (True, False)
    assert "copy" in second["why"]


@pytest.mark.parametrize(
    "sheets",
    [
        {"a": [["x", "y"], ["1", "2"]], "b": [["z", "w"], ["1", "2"]]},
        {"a": [["账号", "户名"], [ACCOUNT, "甲"]], "b": [["户名", "账号"], ["甲", ACCOUNT]]},
    ],
)
def test_where_no_sheet_is_the_table_for_certain_none_is_taken(sheets):
    """None fits, or two fit equally well with different headers: refused, naming the sheets."""
    with pytest.raises(FileRefused) as refused:
        infer(book_of(**sheets), NOTICE, "mine", CHINA)
    assert refused.value.code == "LF-FILE-SHEET"
    assert "a, b" in refused.value.cause


def test_an_unknown_message_is_refused():
    """A message that the shared language has not got is told."""
    with pytest.raises(ProfileRefused):
        infer(notice(), "NoSuch", "mine", CHINA)


@QUICK
@given(ROWS, st.binary(max_size=30), st.integers(0, 200))
@example(rows=[], noise=b"\x00", place=125)  # between carriage return and line feed of the header line
def test_whatever_comes_in_a_proposal_loads_and_reads_its_file(rows, noise, place):
    """Any bytes: a profile that loads and finds the header again, or a refusal with a code."""
    whole = written([list(NOTICE_ROW), *rows])
    data = whole[:place] + noise + whole[place:]
    try:
        proposal = infer(data, NOTICE, "mine", CHINA)
    except FileRefused as error:
        refused = error.code
    else:
        refused = ""
        profile = load(proposal.toml)
        assert set(read_table(data, profile.file.source).columns) == set(profile.file.source.columns)
        assert len(profile.file.source.columns) <= len(NOTICE_HEADER) + len(noise)
    assert refused in (
        "",
        "LF-FILE-ENCODING",
        "LF-FILE-NO-HEADER",
        "LF-MAP-NOTHING-SURE",
        "LF-FILE-EMPTY",
        "LF-FILE-WORKBOOK",
        "LF-FILE-WORKBOOK-DAMAGED",
    )
