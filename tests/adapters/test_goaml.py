"""goAML reports and BroadWorks calls: XML without a schema of ours."""

from pathlib import Path

import pytest

from adapters.convert import convert
from adapters.errors import FileRefused
from adapters.model import Converted, HeldBack
from schemas import checks
from schemas.v1 import notice_pb2, telecom_pb2
from tests.adapters.files import one, profile, read

GOLDEN = Path(__file__).parents[2] / "adapters" / "profiles"
STR = (GOLDEN / "goaml-report.golden" / "str.xml").read_bytes()
SAR = (GOLDEN / "goaml-report.golden" / "sar.xml").read_bytes()
CALLS = (GOLDEN / "broadworks-cdr.golden" / "two-calls.xml").read_bytes()


def test_a_transaction_report_is_read_whole():
    """Sender, receiver, amounts in both currencies, what is in the account apart, and why it is reported."""
    message = one(STR, "goaml-report").message
    checks.require_valid_record(message)
    (moved,) = message.transactions
    assert moved.direction == notice_pb2.TRANSACTION_DIRECTION_OUT
    assert (moved.amount.minor_units, moved.amount.currency) == (9_182_500, "AED")
    assert (moved.exchanged_amount.minor_units, moved.exchanged_amount.currency) == (2_500_000, "USD")
    assert (moved.account.number, moved.counterparty_name) == ("000123456789", "Sample Trading Ltd")
    assert {party.role.code for party in moved.parties} == {"from-signatory", "to"}
    assert (message.balances[0].amount.minor_units, message.balances[0].account.number) == (1050, "000123456789")
    assert [indicator.code for indicator in message.indicators] == ["FRD01", "MULE"]
    assert message.reason


def test_an_activity_report_is_read_whole():
    """A report without transactions tells of parties and accounts."""
    message = one(SAR, "goaml-report").message
    checks.require_valid_record(message)
    assert [party.person.name for party in message.parties] == ["Sam Sample"]
    assert [account.account.number for account in message.accounts] == ["000123456789"]
    assert not message.transactions


@pytest.mark.parametrize("spoilt", [b"<amount_local></amount_local>", b"<amount_local>9,18,25</amount_local>"])
def test_a_transaction_without_a_clear_amount_holds_the_report_back(spoilt):
    """No transaction is left out of a report, and no amount is guessed."""
    (outcome,) = read(STR.replace(b"<amount_local>91825.00</amount_local>", spoilt), "goaml-report")
    assert isinstance(outcome, HeldBack)
    assert outcome.code in {"LF-ROW-MISSING", "LF-ROW-AMOUNT"}


def test_a_call_of_broadworks_is_read_in_its_own_encoding():
    """ISO-8859-1 and a document type that declares nothing are read; times are UTC; a time that is none is held back."""
    first, second = read(CALLS, "broadworks-cdr")
    assert isinstance(first, Converted)
    checks.require_valid_record(first.message)
    (call,) = first.message.calls
    assert call.direction == telecom_pb2.CALL_DIRECTION_OUTGOING
    assert call.ended_at.utc_ms - call.answered_at.utc_ms == 120_250
    assert "müller" in first.raw.decode("latin-1")
    assert isinstance(second, HeldBack)
    assert second.code == "LF-ROW-DATE"


@pytest.mark.parametrize(
    "declared",
    [
        b'<!DOCTYPE broadWorksCDR [<!ENTITY a "b">]>',
        b'<!DOCTYPE broadWorksCDR SYSTEM "file:///etc/passwd">',
        b"<!DOCTYPE broadWorksCDR><!DOCTYPE broadWorksCDR>",
        b"<!DOCTYPE broadWorksCDR [<!ELEMENT a ANY>]>",
    ],
)
def test_a_document_type_that_declares_anything_is_refused(declared):
    """What could reach another file or blow up a reader never gets as far as the parser."""
    with pytest.raises(FileRefused) as refused:
        list(convert(profile("broadworks-cdr"), CALLS.replace(b"<!DOCTYPE broadWorksCDR>", declared)))
    assert refused.value.code == "LF-XML-DTD"


def test_only_a_dialect_that_says_so_may_have_a_document_type():
    """For every other dialect a document type is a reason to refuse."""
    with pytest.raises(FileRefused) as refused:
        list(convert(profile("goaml-report"), STR.replace(b"<report>", b"<!DOCTYPE report><report>", 1)))
    assert refused.value.code == "LF-XML-DTD"


def test_a_report_of_nobody_is_in_no_record():
    """A root named report without a report code is not taken for one."""
    (outcome,) = read(b"<report><rentity_id>1</rentity_id></report>", "goaml-report")
    assert isinstance(outcome, HeldBack)
    assert outcome.code == "LF-ROW-KIND"
