"""Messages go back into local formats; what does not come back equal is named, and nothing else."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.back import bring_back, leaves, message_of
from adapters.convert import convert
from adapters.errors import FileRefused
from adapters.model import Converted
from adapters.summary import json_line
from adapters.write_table import joined
from schemas.v1 import common_pb2, notice_pb2
from tests.adapters.files import (
    ACCOUNT,
    CONTEXT,
    DEMO,
    NEXT,
    NOTICE_HEADER,
    ORDERS,
    PAPERS,
    RESULTS,
    notice,
    one,
    profile,
    read,
    record,
)
from tests.adapters.test_properties import CELL, QUICK, written

BANK = profile("bank-notice-csv")


def returned(message):
    """Return what a notice's row says when the bank's own profile reads it, with the loss and what is added."""
    found = bring_back(BANK, message, CONTEXT)
    (again,) = convert(BANK, found.data)
    assert isinstance(again, Converted)
    return leaves(again.message), found.loss, found.added


def attempted(message):
    """Return the same, or the code under which the message is not written."""
    try:
        return returned(message)
    except FileRefused as error:
        return error.code


def test_the_demos_notices_come_back_equal_and_lose_nothing():
    """Thirteen notices, message to CSV to message: equal, no loss, nothing added."""
    rows = [row for row in read((DEMO / "bank-a-suspicious-accounts.csv").read_bytes()) if isinstance(row, Converted)]
    assert len(rows) == 13
    for row in rows:
        again, loss, added = returned(row.message)
        assert (again, loss, added) == (leaves(row.message), (), ())


def test_many_notices_are_one_table():
    """Rows are joined below one header and read again, one message each, in order."""
    messages = [one(notice(账号=number)).message for number in (ACCOUNT, NEXT)]
    table = joined(BANK, [bring_back(BANK, message, CONTEXT).data for message in messages])
    assert [row.message.account.number for row in read(table) if isinstance(row, Converted)] == [ACCOUNT, NEXT]
    assert table.startswith("\ufeff账号,账户类型,".encode())


@pytest.mark.parametrize("code", sorted(RESULTS))
def test_answers_come_back_equal_through_the_police_dialect(code):
    """A bank's answer, written for the police system and read again: equal, and only what the reason names is lost."""
    message = one(record(f"1{code}", RESULTS[code]), "tfms-bank").message
    found = bring_back(profile("tfms-police"), message, CONTEXT)
    assert (found.loss, found.added) == ((), ())


@pytest.mark.parametrize("code", sorted(ORDERS))
def test_orders_come_back_equal_through_the_banks_dialect(code):
    """An order with its papers, written for the bank's core and read again: equal."""
    message = one(record(f"2{code}", ORDERS[code], PAPERS), "tfms-police").message
    found = bring_back(profile("tfms-bank"), message, CONTEXT)
    assert (found.loss, found.added) == ((), ())


def test_what_the_table_cannot_carry_is_named():
    """A second transaction, a mandate, another list's code, a null word as text: each is lost by name, nothing else is."""
    message = one(notice()).message
    message.transactions.add(reference="second")
    message.case_context.mandate = "M1"
    message.features.add(scheme="another", code="9")
    message.narrative = "无"
    message.opened_at.utc_ms += 5
    _, loss, added = returned(one(notice()).message)
    assert (loss, added) == ((), ())
    with pytest.raises(FileRefused) as refused:
        bring_back(BANK, message, CONTEXT)
    assert refused.value.code == "LF-RENDER-UNREADABLE", "without its features it is no notice"
    del message.features[1]
    _, loss, added = returned(message)
    assert set(loss) == {
        "transactions[1].reference",
        "case_context.mandate",
        "narrative",
        "opened_at.utc_ms",
        "opened_at.raw",
    }
    assert added == ()


def test_amounts_of_two_currencies_never_share_a_column():
    """The dialect has one currency a row: the second amount is left out and named, never shown in the first's currency."""
    for first, second in (("USD", "CNY"), ("CNY", "USD")):
        message = one(notice()).message
        message.balance.currency, message.balance.currency_assumed = first, first == "CNY"
        message.transactions[0].amount.currency = second
        message.transactions[0].amount.currency_assumed = second == "CNY"
        again, loss, _ = returned(message)
        assert "transactions[0].amount.minor_units" in loss
        assert "transactions[0].amount.minor_units" not in again
        assert again["balance.currency"] == first


def test_a_serial_number_that_the_record_must_have_is_told_as_added():
    """An order without its own serial number gets one; that is said."""
    message = one(record("200101", ORDERS["00101"]), "tfms-police").message
    message.ClearField("source_serial")
    found = bring_back(profile("tfms-bank"), message, CONTEXT)
    assert (found.loss, found.added) == ((), ("source_serial",))


@QUICK
@given(st.lists(CELL, min_size=len(NOTICE_HEADER), max_size=len(NOTICE_HEADER)))
def test_any_notice_comes_back_equal_or_its_loss_is_named(cells):
    """Row, message, row, message: what differs is exactly what is named as lost or added."""
    for outcome in convert(BANK, written([cells])):
        if not isinstance(outcome, Converted):
            continue
        before = leaves(outcome.message)
        found = attempted(outcome.message)
        if isinstance(found, str):
            assert found == "LF-RENDER-UNREADABLE"
            continue
        after, loss, added = found
        assert {path for path in before if after.get(path) != before[path]} == set(loss)
        assert set(after) - set(before) == set(added)


TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)


@QUICK
@given(TEXT, TEXT, TEXT, st.integers(-(2**63), 2**63 - 1), st.sampled_from(["", "CNY", "USD", "x"]), st.booleans())
def test_a_notice_of_any_making_comes_back_equal_or_its_loss_is_named(name, remark, code, units, currency, assumed):
    """Messages that no file of ours ever gave: written and read, or refused; what differs is named."""
    message = notice_pb2.SuspiciousAccountNotice(
        account={"scheme": "CARD", "number": ACCOUNT, "sub_account": code},
        holder={"name": name},
        features=[{"scheme": "tfms.feature", "code": "1001"}, {"scheme": "tfms.feature", "code": code}],
        balance={"minor_units": units, "currency": currency, "currency_assumed": assumed},
        opened_at={"utc_ms": units // 1000, "precision": common_pb2.TIME_PRECISION_SECOND, "raw": remark},
        narrative=remark,
    )
    before = leaves(message)
    found = attempted(message)
    if isinstance(found, str):
        assert found == "LF-RENDER-UNREADABLE"
        return
    after, loss, added = found
    assert {path for path in before if after.get(path) != before[path]} == set(loss)
    assert set(after) - set(before) == set(added)


def test_a_line_is_read_with_and_without_its_type():
    """A bare message is known by its fields; what is no message, or none of the dialect's, is refused."""
    police = profile("tfms-police")
    row = one(record("200201", ORDERS["00201"]), "tfms-police")
    whole = json.loads(json_line(row))
    for line in (json.dumps(whole), json.dumps(whole["message"])):
        assert message_of(police, line) == row.message
    for line in ("{", "[]", '{"no_such": 1}', json.dumps({"type": "lianfang.v1.Receipt", "message": {}}), "{}"):
        with pytest.raises(FileRefused) as refused:
            message_of(police, line)
        assert refused.value.code == "LF-MAP-NO-MESSAGE"


def test_a_message_that_the_dialect_does_not_speak_of_is_named_with_those_that_it_does():
    """A notice for a call-record dialect: both are named; a type that the language has not is not repeated."""
    cdr = profile("telecom-cdr-csv")
    for kind, word in (("SuspiciousAccountNotice", "SuspiciousAccountNotice"), ("Made\nUp", "no message")):
        with pytest.raises(FileRefused) as refused:
            message_of(cdr, json.dumps({"type": f"lianfang.v1.{kind}", "message": {}}))
        assert word in refused.value.cause
        assert "speaks of CallDetailAnswer" in refused.value.cause
        assert "Made" not in refused.value.cause
