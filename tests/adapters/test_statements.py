"""Exports of banks and wallets, the police's tables, complaints and call records: every row is accounted for, no number altered."""

import csv
import io
import re
from collections import Counter
from decimal import Decimal
from importlib import resources

import pytest

from adapters import write_table
from adapters.catalogue import load
from adapters.convert import convert
from adapters.detect import identify
from adapters.errors import FileRefused
from adapters.golden import cases_in
from adapters.model import Converted, HeldBack
from schemas.v1 import notice_pb2
from tests.adapters.files import ACCOUNT, NEXT, SAMPLES, profile, read

FOLDER = resources.files("adapters") / "profiles"
IN, OUT = notice_pb2.TRANSACTION_DIRECTION_IN, notice_pb2.TRANSACTION_DIRECTION_OUT
PROFILES = (
    "abc-debit-csv", "alipay-csv", "amlsim-alerts-csv", "amlsim-transactions-csv", "asterisk-cdr-csv", "boc-debit-csv",
    "bocom-credit-csv", "case-export-csv", "cgb-debit-csv", "cisco-cucm-cdr-csv", "citic-credit-xls", "cmb-credit-csv",
    "cmb-debit-csv", "cn-call-bill-csv", "cn-police-transactions-csv", "fcc-unwanted-calls-csv", "ftc-dnc-csv",
    "hsbc-hk-debit-csv", "icbc-debit-csv", "india-police-cdr-csv", "jd-csv", "ncrp-bank-action", "spdb-debit-xls",
    "wechat-bill",
)  # fmt: skip
BANKS = "cn-bank-statements"
SAMPLE_ROWS = (
    (f"{BANKS}/abc_debit_example-abc_debit-records.csv", "abc-debit-csv", "交易日期", ("交易金额",), 4, {"LF-ROW-WIDTH": 1}),
    (f"{BANKS}/alipay_example-alipay-records.csv", "alipay-csv", "交易时间", ("金额",), 10, {}),
    (f"{BANKS}/bocom_credit_example-bocom_credit-records.csv", "bocom-credit-csv", "交易日期", ("入账币种/金额",), 8, {}),
    (f"{BANKS}/cmb_credit_example-cmb-records.csv", "cmb-credit-csv", "交易日", ("人民币金额",), 6, {}),
    (f"{BANKS}/cmb_debit_example-cmb-records.csv", "cmb-debit-csv", "记账日期", ("交易金额",), 5, {}),
    (f"{BANKS}/hsbchk_debit_example-hsbchk-debit-records.csv", "hsbc-hk-debit-csv", "Date", ("Billing amount",), 10, {}),
    (f"{BANKS}/icbc_debit-v1_example-icbc-debit-v1-records.csv", "icbc-debit-csv", "交易日期", ("记账金额(收入)", "记账金额(支出)"), 0, {"LF-ROW-AMOUNT": 11}),
    (f"{BANKS}/icbc_debit-v2_example-icbc-debit-v2-records.csv", "icbc-debit-csv", "交易日期", ("记账金额(收入)", "记账金额(支出)"), 0, {"LF-ROW-AMOUNT": 11}),
    (f"{BANKS}/jd_example-jd-records.csv", "jd-csv", "交易时间", ("金额",), 26, {}),
    (f"{BANKS}/wechat_example-wechat-records.csv", "wechat-bill", "交易时间", ("金额(元)",), 27, {}),
    ("amlsim/20K_transactions.csv", "amlsim-transactions-csv", "sourceNodeId", ("value",), 599, {}),
    ("amlsim/tx.csv", "amlsim-transactions-csv", "TXN_ID", ("TXN_AMOUNT_ORIG",), 45, {}),
    ("amlsim/cash_tx.csv", "amlsim-transactions-csv", "TXN_ID", ("TXN_AMOUNT_ORIG",), 88, {}),
    ("amlsim/alerts.csv", "amlsim-alerts-csv", "ALERT_KEY", (), 2, {}),
    ("ftc-dnc/dnc_complaints_excerpt.csv", "ftc-dnc-csv", "Company_Phone_Number", (), 8, {}),
)  # fmt: skip
"""Sample, its profile, the first cell of its header, its columns of amounts, rows that convert, rows held back by code."""


def sample(name):
    """Return a sample's bytes; skip where the samples are not at hand."""
    path = SAMPLES / name
    if not path.exists():
        pytest.skip("the samples are not here")
    return path.read_bytes()


def rows_of(outcomes, gathered):
    """Return how many rows of the source the messages stand for."""
    return sum(len(getattr(one.message, gathered)) if gathered else 1 for one in outcomes if isinstance(one, Converted))


def read_by_hand(data, first, columns):
    """Return the rows of an export and the amount in each, read without anything of ours: no profile, no reader."""
    text = data.decode("utf-8-sig") if not data.startswith(b"----") else data.decode("gb18030")
    lines = list(csv.reader(io.StringIO(text.replace('"\t', '"'), newline="")))
    top = next(number for number, line in enumerate(lines) if line and line[0].strip() == first)
    headers = [cell.strip() for cell in lines[top]]
    rows = [line for line in lines[top + 1 :] if any(map(str.strip, line)) and not line[0].startswith("人民币合计")]
    amounts = Counter()
    for line in rows:
        cells = [line[headers.index(column)] for column in columns]
        number = re.search(r"[0-9][0-9,]*(\.[0-9]+)?", " ".join(cells).replace("（", "("))
        if columns and number is not None:
            amounts[Decimal(number[0].replace(",", ""))] += 1
    return len(rows), amounts


@pytest.mark.parametrize(("name", "which", "first", "columns", "good", "bad"), SAMPLE_ROWS)
def test_every_row_of_a_sample_is_a_movement_or_held_back_and_no_amount_is_altered(
    name, which, first, columns, good, bad
):
    """Rows in = rows of messages + rows held back; the amounts are those that are read by hand from the same file."""
    data = sample(name)
    source = profile(which).file.source
    outcomes = read(data, which)
    held = Counter(one.code for one in outcomes if isinstance(one, HeldBack))
    assert (rows_of(outcomes, source.group_as), dict(held)) == (good, bad)
    rows, amounts = read_by_hand(data, first, columns)
    assert rows == good + sum(bad.values())
    if columns:
        made = Counter(
            Decimal(movement.amount.minor_units) / 100
            for one in outcomes
            if isinstance(one, Converted)
            for movement in one.message.transactions
        )
        assert sum((amounts - made).values()) == sum(bad.values())
        assert not made - amounts
    chosen = identify(data).chosen
    assert chosen is not None
    assert chosen.profile == which


def test_what_may_not_be_trusted_in_a_sample_is_held_back_with_its_reason():
    """A card number whose last digits a spreadsheet threw away stands above the header: no row of it is believed."""
    outcomes = read(sample(f"{BANKS}/spdb_debit_example-spdb_debit-records.xls"), "spdb-debit-xls")
    assert [(one.code, one.line) for one in outcomes] == [("LF-ROW-LOSSY-NUMBER", line) for line in range(3, 7)]


def test_a_sample_that_holds_its_bill_on_two_sheets_is_read_once_and_says_what_its_csv_says():
    """The sheets spell amounts otherwise (¥5.00 and 5) and say the same; so does the export of the same bill as text."""
    (book,) = read(sample(f"{BANKS}/wechat_example-wechat-records.xlsx"), "wechat-bill")
    (text,) = read(sample(f"{BANKS}/wechat_example-wechat-records.csv"), "wechat-bill")
    assert len(book.message.transactions) == 27
    assert list(book.message.transactions) == list(text.message.transactions)
    assert "Sheet1" in next(note.cause for note in book.warnings if note.code == "sheet_repeated")


@pytest.mark.parametrize("name", PROFILES)
def test_every_golden_file_is_known_as_its_own_dialect_and_no_other(name):
    """By content alone, wholly sure, and nothing else claims it."""
    for case in cases_in(FOLDER / f"{name}.golden"):
        found = identify(case.data)
        assert [fit.profile for fit in found.fits] == [name], case.name
        assert found.fits[0].sure == 1.0, case.name


def golden(name, case):
    """Return the outcomes of a golden file."""
    (data,) = (one.data for one in cases_in(FOLDER / f"{name}.golden") if one.name == case)
    return list(convert(profile(name), data))


@pytest.mark.parametrize(
    ("name", "case", "movements"),
    [
        ("abc-debit-csv", "good", [(IN, 1000000), (OUT, 1000), (IN, 1)]),
        ("alipay-csv", "good", [(OUT, 4974), (IN, 120000), (0, 4974)]),
        ("boc-debit-csv", "two-columns", [(OUT, 100000), (IN, 5)]),
        ("bocom-credit-csv", "good", [(IN, 12318), (OUT, 4985), (IN, 1350)]),
        ("cgb-debit-csv", "good", [(IN, 10000), (OUT, 550)]),
        ("citic-credit-xls", "good", [(OUT, 1234), (IN, 50050)]),
        ("cmb-credit-csv", "good", [(IN, 123), (OUT, 5678), (OUT, 800000)]),
        ("cmb-debit-csv", "good", [(IN, 123400), (OUT, 100000), (OUT, 300), (OUT, 300)]),
        ("hsbc-hk-debit-csv", "good", [(OUT, 100050), (IN, 1250000)]),
        ("icbc-debit-csv", "first-layout", [(OUT, 1340), (IN, 123456)]),
        ("jd-csv", "good", [(OUT, 1020), (OUT, 13177), (0, 8984)]),
        ("spdb-debit-xls", "good", [(OUT, 388), (IN, 1000)]),
        ("wechat-bill", "good", [(OUT, 2816), (IN, 35), (0, 200000)]),
    ],
)
def test_the_way_of_the_money_and_the_amount_are_the_banks(name, case, movements):
    """Signs, two columns, or words: each bank's way of saying in and out gives an unsigned amount and a direction."""
    (one,) = golden(name, case)
    assert [(movement.direction, movement.amount.minor_units) for movement in one.message.transactions] == movements


def test_a_name_and_a_number_in_one_cell_are_told_apart_only_by_the_profiles_rule():
    """Eight digits and more at the end are the number; a name alone stays a name; nothing is lost."""
    (one,) = golden("cmb-debit-csv", "good")
    others = [(movement.counterparty_name, movement.counterparty.number) for movement in one.message.transactions]
    assert others == [("演示公司", "1111111111"), ("演示户乙", NEXT), ("", ""), ("演示商户", "")]


def test_days_without_a_year_take_it_from_the_bills_month():
    """A bill of January lists days of the December before; without the month above the header nothing is guessed."""
    (one,) = golden("cmb-credit-csv", "good")
    booked = [movement.booked_at for movement in one.message.transactions]
    assert [(moment.utc_ms // 86_400_000, moment.raw) for moment in booked] == [
        (20450, "12/29"),
        (20455, "01/03"),
        (20459, "01/07"),
    ]
    assert {note.code for note in one.warnings} == {"year_assumed"}
    (held,) = golden("cmb-credit-csv", "held-back")
    assert held.code == "LF-ROW-DATE"


def test_a_statement_is_one_message_with_what_stands_above_its_header():
    """Account, holder and period come from the lines above; their lineage says so."""
    (one,) = golden("alipay-csv", "good")
    message = one.message
    assert (message.account.number, message.holder.name) == ("demo@example.com", "演示户")
    assert (message.period_start.raw, message.period_end.raw) == ("2026-11-01 00:00:00", "2026-11-20 23:59:59")
    assert ("account", "account, above") in {(item.field, item.column) for item in one.lineage}
    assert {item.line for item in one.lineage if item.field.startswith("transactions[2]")} == {20}


def test_a_long_statement_becomes_several_messages_and_says_which_part_each_is():
    """Nothing is lost at the edge: 1024 rows are one message, one more begins the next part."""
    header = "Date,Description,Billing amount,Billing currency,Balance,Balance currency\n"
    row = "24/11/2026,X,-1.00,HKD,1.00,HKD\n"
    (whole,) = read((header + row * 1024).encode(), "hsbc-hk-debit-csv")
    assert (len(whole.message.transactions), whole.message.part) == (1024, 1)
    first, second = read((header + row * 1025).encode(), "hsbc-hk-debit-csv")
    assert [len(one.message.transactions) for one in (first, second)] == [1024, 1]
    assert [(one.message.part, one.message.parts) for one in (first, second)] == [(1, 0), (2, 2)]


def test_the_polices_table_goes_both_ways():
    """Message → rows → message is equal but for where it came from; rows of one card come back as one message."""
    which = profile("cn-police-transactions-csv")
    before = [one.message for one in golden("cn-police-transactions-csv", "gb18030")]
    assert [len(message.transactions) for message in before] == [2, 1]
    written = [write_table.write(which, message, {}) for message in before]
    assert [one.loss for one in written] == [(), ()]
    after = [one.message for one in convert(which, write_table.joined(which, [one.data for one in written]))]
    for message in (*before, *after):
        message.ClearField("provenance")
    assert after == before


def test_what_the_polices_table_cannot_carry_is_named_with_its_movement():
    """A field without a column is lost, and the loss says of which movement."""
    message = golden("cn-police-transactions-csv", "gb18030")[0].message
    message.transactions[1].uetr = "00000000-0000-4000-8000-000000000000"
    message.statement_id = "S1"
    loss = write_table.write(profile("cn-police-transactions-csv"), message, {}).loss
    assert "transactions[1].uetr" in loss
    assert "statement_id" in loss
    assert "transactions[0].uetr" not in loss


def test_the_bank_action_workbook_keeps_disputed_and_moved_amounts_apart():
    """Seven sheets, one complaint: hops, dispositions, and money on hold that did not move."""
    good = [one for one in golden("ncrp-bank-action", "six-sheets") if isinstance(one, Converted)]
    assert [one.message.application_id for one in good] == ["31011260000001"]
    moves = good[0].message.transactions
    assert [move.disposition.code for move in moves] == [
        "transferred", "transferred", "transferred", "withdrawn-atm", "withdrawn-pos", "withdrawn-cheque", "withdrawn-aeps",
        "on-hold", "below-500",
    ]  # fmt: skip
    assert (moves[0].amount.minor_units, moves[0].disputed_amount.minor_units, moves[0].layer) == (8000000, 5000000, 1)
    hold = moves[7]
    assert (hold.direction, hold.HasField("amount"), hold.disposed_amount.minor_units) == (0, False, 1234567)
    assert moves[2].counterparty.scheme == "WALLET"


def test_an_unknown_sheet_of_the_bank_action_workbook_refuses_it_whole():
    """The file is known for what it is, and refused with the sheet's name."""
    with pytest.raises(FileRefused) as error:
        golden("ncrp-bank-action", "unknown-sheet")
    assert "Crypto" in error.value.cause
    assert "Acknowledgement No, Wallet, Coins" in error.value.cause


def test_a_file_without_a_header_is_known_by_what_its_first_row_looks_like():
    """Sixteen cells and eighteen are read alike; a row of twelve is held back; another file is not taken for one."""
    (one,) = golden("asterisk-cdr-csv", "sixteen-cells")
    assert [call.cause for call in one.message.calls] == ["ANSWERED", "NO ANSWER"]
    assert [call.HasField("answered_at") for call in one.message.calls] == [True, False]
    with pytest.raises(FileRefused) as error:
        read(b",".join([b"1"] * 16) + b"\n", "asterisk-cdr-csv")
    assert error.value.code == "LF-FILE-NO-HEADER"


def test_a_row_of_types_under_the_header_is_no_record_and_elsewhere_it_is():
    """Cisco's second line is passed over; the same line further down is a row like any other, and held back."""
    (one,) = golden("cisco-cucm-cdr-csv", "good")
    assert len(one.message.calls) == 3
    assert [call.diverted_from.e164 for call in one.message.calls] == ["", "+12025550145", ""]
    (data,) = (case.data for case in cases_in(FOLDER / "cisco-cucm-cdr-csv.golden") if case.name == "good")
    lines = data.splitlines(keepends=True)
    assert [type(found) for found in read(b"".join([*lines, lines[1]]), "cisco-cucm-cdr-csv")] == [HeldBack, Converted]


def test_padding_after_a_quotation_mark_is_dropped_and_other_text_there_is_not():
    """Blanks and tabs go; letters after a closing mark hold the row back, and so does a mark that opens no cell."""
    header = "Date,Description,Billing amount,Billing currency,Balance,Balance currency\n"
    for cell, good in (('"-1.00" \t', True), ('"-1.00" x', False), ('" ",', False)):
        (found,) = read(f"{header}24/11/2026,X,{cell},HKD,1.00,HKD\n".encode(), "hsbc-hk-debit-csv")
        assert isinstance(found, Converted) is good, cell


TEXT = (FOLDER / "cmb-credit-csv.toml").read_text("utf-8")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('row["amount"].startsWith', 'row["amout"].startsWith'),
        ('const = "TRANSACTION_DIRECTION_IN"', 'const = "TRANSACTION_DIRECTION_INN"'),
        ("month = '", "day = '"),
    ],
)  # fmt: skip
def test_a_choice_or_a_column_above_the_header_that_cannot_be_is_found_when_the_profile_is_loaded(old, new):
    """An unknown column, an unknown value, a name that stands twice."""
    assert old in TEXT
    with pytest.raises(Exception, match="cmb-credit-csv"):
        load(TEXT.replace(old, new, 1), {}, "cmb-credit-csv")


def test_accounts_of_the_samples_own_making_are_valid():
    """The golden rows' cards pass the Luhn check, so that what is held back is held back for another reason."""
    (one,) = golden("spdb-debit-xls", "good")
    assert one.message.account.number == ACCOUNT
    assert not one.warnings


def test_a_movement_that_breaks_a_check_costs_its_own_row_and_not_the_statement():
    """A text longer than the language takes holds one row back; the others are one message."""
    header = "Date,Description,Billing amount,Billing currency,Balance,Balance currency\n"
    rows = [f"24/11/2026,{text},-1.00,HKD,1.00,HKD\n" for text in ("a", "b" * 513, "c" * 512)]
    held, one = read((header + "".join(rows)).encode(), "hsbc-hk-debit-csv")
    assert (held.code, held.line) == ("TransactionRecord.summary.max_bytes", 3)
    assert "b" * 9 not in held.cause
    assert [movement.summary[0] for movement in one.message.transactions] == ["a", "c"]


def test_a_column_that_is_not_carried_is_named_once_for_a_statement():
    """Every column that the message has no place for is named, whether the profile knows it or not."""
    header = "Date,Description,Billing amount,Billing currency,Balance,Balance currency,Colour\n"
    (one,) = read((header + "24/11/2026,a,-1.00,HKD,1.00,HKD,red\n" * 3).encode(), "hsbc-hk-debit-csv")
    assert [note.cause for note in one.warnings] == ["column Colour has no place in the message"]
    (calls,) = golden("cisco-cucm-cdr-csv", "good")
    assert "column origCause_value has no place in the message" in {note.cause for note in calls.warnings}
