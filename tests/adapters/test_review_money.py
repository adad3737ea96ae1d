"""Amounts, read by a stranger: a sign, a direction and a currency that say different things are never reconciled silently."""

import pytest

from adapters.catalogue import profiles
from adapters.model import Converted
from schemas.v1 import notice_pb2
from tests.adapters.trees import made, read

IN, OUT = notice_pb2.TRANSACTION_DIRECTION_IN, notice_pb2.TRANSACTION_DIRECTION_OUT
POLICE = "交易卡号,交易账号,交易时间,交易金额,收付标志,交易对手账卡号,交易币种\n"
HSBC = "Date,Description,Billing amount,Billing currency,Balance,Balance currency\n"
ICBC = "交易日期,摘要,钞/汇,记账金额(收入),记账金额(支出),记账币种,余额\n"
BOC = "交易日期,业务摘要,币种,收入金额,支出金额,余额,附言\n"
SPDB = "账号,123456\n顺序号,交易日期,交易类型,存入金额,取出金额,余额\n"
CGB = "交易时间,收入,支出,账户余额,对方户名,摘要\n"
BOCOM = "交易日期,记账日期,交易说明,交易币种/金额,入账币种/金额\n"


def movements(profile, text):
    """Return direction, minor units and currency of every movement, and the codes of what was held back."""
    outcomes = read(profiles()[profile], text)
    items = [item for one in outcomes if isinstance(one, Converted) for item in one.message.transactions]
    held = [one.code for one in outcomes if not isinstance(one, Converted)]
    return [(item.direction, item.amount.minor_units, item.amount.currency) for item in items], held


def police(amount, direction, currency=""):
    """Return what becomes of one row of the police's table."""
    row = f"6222020000000000008,1,20260501120000,{amount},{direction},2,{currency}\n"
    return movements("cn-police-transactions-csv", POLICE + row)


def test_a_minus_that_agrees_with_the_direction_is_said_once():
    """Money out with a minus is money out, and not money out of less than nothing."""
    assert police("-5.00", "出") == ([(OUT, 500, "CNY")], [])


def test_a_minus_that_contradicts_the_direction_is_held_back():
    """Money in with a minus may be either."""
    assert police("-5.00", "进") == ([], ["LF-ROW-AMOUNT"])


@pytest.mark.parametrize(
    ("amount", "currency"), [("USD5.00", "人民币"), ("$5.00", ""), ("€5.00", "人民币"), ("￥5.00", "USD")]
)
def test_two_currencies_in_one_row_are_held_back(amount, currency):
    """The sign or code of an amount may not be another currency's than the one that the record or the profile names."""
    assert police(amount, "进", currency) == ([], ["LF-ROW-CURRENCY"])


@pytest.mark.parametrize(
    ("amount", "currency"), [("￥5.00", "人民币"), ("¥5.00", ""), ("$5.00", "美元"), ("$5.00", "港币")]
)
def test_a_sign_that_fits_its_currency_is_read(amount, currency):
    """A sign that the currency is written with changes nothing."""
    ((_, units, _),), held = police(amount, "进", currency)
    assert (units, held) == (500, [])


@pytest.mark.parametrize("amount", ["(12.00)", "$-12.00", '"=""-12.00"""', "－12.00", "'-12.00"])
def test_a_negative_amount_in_a_hidden_form_does_not_become_money_in(amount):
    """Where the direction is read from a minus in front, an amount that is negative in another form is held back."""
    row = f"01/05/2026,A,{amount},HKD,5.00,HKD\n"
    assert movements("hsbc-hk-debit-csv", HSBC + row) == ([], ["LF-ROW-AMOUNT"])


@pytest.mark.parametrize(
    ("profile", "text"),
    [
        ("icbc-debit-csv", f"{ICBC}2026-05-01,A,钞,-5.00,-,人民币,10.00\n"),
        ("icbc-debit-csv", f"{ICBC}2026-05-01,A,钞,-,(5.00),人民币,10.00\n"),
        ("boc-debit-csv", f"{BOC}2026-05-01,A,人民币,-5.00,,10.00,x\n"),
        ("boc-debit-csv", f"{BOC}2026-05-01,A,人民币,,-5.00,10.00,x\n"),
        ("spdb-debit-xls", f"{SPDB}1,2026-05-01 10:00:00,A,-5.00,,10.00\n"),
        ("cgb-debit-csv", f"{CGB}2026-05-01 10:00:00,-5.00,,10.00,A,B\n"),
    ],
)
def test_a_negative_amount_in_a_column_of_its_direction_is_held_back(profile, text):
    """What is taken back in the column of what came in is no money in."""
    found, held = movements(profile, text)
    assert (found, len(held)) == ([], 1)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [("0.00,12.00", (OUT, 1200, "CNY")), ("12.00,0.00", (IN, 1200, "CNY")), (",12.00", (OUT, 1200, "CNY"))],
)
def test_a_balance_of_nothing_is_a_balance(cells, expected):
    """Nought in the column of the other direction is nothing, and in that of the balance it is the balance."""
    (outcome,) = read(profiles()["cgb-debit-csv"], f"{CGB}2026-05-01 10:00:00,{cells},0.00,A,B\n")
    (item,) = outcome.message.transactions
    assert (item.direction, item.amount.minor_units, item.amount.currency) == expected
    assert item.HasField("balance_after")
    assert item.balance_after.minor_units == 0


@pytest.mark.parametrize(
    ("summary", "expected"), [("消费退货 甲", [IN]), ("消费撤销", [IN]), ("年费减免", []), ("消费 甲", [OUT])]
)
def test_a_purchase_that_was_undone_is_no_purchase(summary, expected):
    """The first word says which way the money went, and a word behind it may say the contrary."""
    row = f"2026-05-01,2026-05-02,{summary},CNY 5.00,CNY 5.00\n"
    found, _ = movements("bocom-credit-csv", BOCOM + row)
    assert [direction for direction, _, _ in found] == expected


@pytest.mark.parametrize(
    ("mark", "amount", "expected"), [("0", "-5.00", [(OUT, 500)]), ("1", "-5.00", []), ("1", "5.00", [(IN, 500)])]
)
def test_the_platforms_movements_have_one_sign(mark, amount, expected):
    """A movement of the platform with a minus must be marked as a debit."""
    body = """
[[record]]
at = "Body/Transaction"
message = "TransactionTrace"
[record.each."transactions"]
over = "."
[record.each."transactions".field."direction"]
from = "BorrowingSigns"
map = "signs"
[record.each."transactions".field."amount"]
from = "Amount"
parse = { as = "magnitude", negative = { from = "BorrowingSigns", is = ["0"] } }
[table.signs]
0 = "TRANSACTION_DIRECTION_OUT"
1 = "TRANSACTION_DIRECTION_IN"
"""
    xml = f"<R><Body><Transaction><BorrowingSigns>{mark}</BorrowingSigns><Amount>{amount}</Amount></Transaction></Body></R>"
    outcomes = read(made(body), xml)
    items = [item for one in outcomes if isinstance(one, Converted) for item in one.message.transactions]
    assert [(item.direction, item.amount.minor_units) for item in items] == expected


@pytest.mark.parametrize(
    ("text", "value"), [("1500", 1500), ("1,500", 1500), ("12,345,678", 12345678), ("1,5", None), ("12,34", None)]
)
def test_a_comma_that_groups_nothing_is_not_taken_out_of_a_number(text, value):
    """One and a half, as much of Europe writes it, is not fifteen."""
    body = '[target]\nmessage = "TransactionTrace"\n[field."count_in"]\nfrom = "N"\nparse = "integer"\n'
    (outcome,) = read(made(body), f"<R><N>{text}</N></R>")
    assert (outcome.message.count_in if isinstance(outcome, Converted) else None) == value


def test_a_negative_movement_beside_a_direction_is_held_back_in_a_notice():
    """A notice says which way the money went in words, and a minus beside them may say the contrary."""
    head = "账号,可疑特征,交易金额,收付标志\n"
    (bad,) = read(profiles()["bank-notice-csv"], f"{head}6222020000000000008,1001,-5.00,收\n")
    (good,) = read(profiles()["bank-notice-csv"], f"{head}6222020000000000008,1001,5.00,收\n")
    assert (getattr(bad, "code", ""), isinstance(good, Converted)) == ("LF-ROW-PATTERN", True)
