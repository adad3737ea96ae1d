"""A batch of a statement must come to the amount that was booked; what explains a difference is charges, and nothing else."""

import pytest

from adapters.catalogue import load
from adapters.errors import ProfileRefused
from adapters.model import Converted, HeldBack
from tests.adapters.files import read
from tests.adapters.test_iso20022 import STATEMENT, entry, statement
from tests.adapters.trees import HEAD


def part(amount, mark="", currency="EUR", charges=""):
    """Return one transaction of a batch."""
    sign = f"<CdtDbtInd>{mark}</CdtDbtInd>" if mark else ""
    return f'<TxDtls><Amt Ccy="{currency}">{amount}</Amt>{sign}{charges}</TxDtls>'


def charge(amount, included="false", currency="EUR"):
    """Return a charge as a record."""
    told = f'<Rcrd><Amt Ccy="{currency}">{amount}</Amt><ChrgInclInd>{included}</ChrgInclInd></Rcrd>'
    return f"<Chrgs>{told}</Chrgs>"


def batch(amount, *parts, mark="CRDT", charges="", currency="EUR"):
    """Return what becomes of a statement with one batch."""
    one = entry(amount, mark, currency, "".join(parts)).replace("<NtryDtls>", f"{charges}<NtryDtls>")
    (outcome,) = read(statement(entry("9.00"), one), STATEMENT)
    return outcome


def codes(outcome):
    """Return the codes of what is said of a batch's amounts."""
    assert isinstance(outcome, Converted), outcome
    return [note.code for note in outcome.warnings if note.code.startswith("sum_")]


TOTAL = '<Chrgs><TtlChrgsAndTaxAmt Ccy="EUR">0.50</TtlChrgsAndTaxAmt></Chrgs>'


TAX = '<Tax><TtlTaxAmt Ccy="EUR">0.50</TtlTaxAmt></Tax>'


@pytest.mark.parametrize(
    ("amount", "parts", "mark", "charges"),
    [
        ("5.00", (part("2.00"), part("3.00")), "CRDT", ""),
        ("5.00", (part("2.00"), part("3.00")), "DBIT", ""),
        ("1.00", (part("2.00", "DBIT"), part("3.00", "CRDT")), "CRDT", ""),
        ("1.00", (part("2.00", "CRDT"), part("3.00", "DBIT")), "DBIT", ""),
    ],
)
def test_a_batch_that_adds_up_is_taken_and_nothing_is_said_of_its_amount(amount, parts, mark, charges):
    """Each transaction counts with its own direction, or with the entry's; the entry's amount is not left over then."""
    outcome = batch(amount, *parts, mark=mark, charges=charges)
    assert codes(outcome) == []
    assert not [note for note in outcome.warnings if "Ntry/Amt" in note.cause]
    assert len(outcome.message.transactions) == 3


@pytest.mark.parametrize(
    ("amount", "parts", "mark"),
    [
        ("6.00", (part("2.00"), part("3.00")), "CRDT"),
        ("5.00", (part("2.00"), part("3.01")), "CRDT"),
        ("5.00", (part("2.00", "DBIT"), part("3.00", "DBIT")), "CRDT"),
        ("6.00", (part("2.00"), part("3.00", charges=charge("0.50"))), "CRDT"),
        ("6.00", (part("2.00", charges=charge("0.70")), part("3.00", charges=charge("0.50"))), "DBIT"),
    ],
)
def test_a_batch_that_does_not_add_up_holds_the_statement_back(amount, parts, mark):
    """A cent too much, a transaction missing, all the other way round, charges that are not enough: no message, and a reason."""
    outcome = batch(amount, *parts, mark=mark)
    assert isinstance(outcome, HeldBack)
    assert (outcome.code, outcome.column) == ("LF-ROW-SUM", "Ntry/Amt")
    assert "element Ntry in line 1, byte " in outcome.cause
    assert "has 2 elements NtryDtls/TxDtls" in outcome.cause
    assert outcome.cure
    assert not [digit for digit in ("6.00", "5.00", "3.01") if digit in outcome.cause]


@pytest.mark.parametrize(
    ("amount", "parts", "mark", "charges"),
    [
        ("5.50", (part("2.00"), part("3.00", charges=charge("0.50"))), "DBIT", ""),
        ("4.50", (part("2.00"), part("3.00", charges=charge("0.50"))), "CRDT", ""),
        ("6.00", (part("2.00", charges=charge("0.50")), part("3.00", charges=charge("0.50"))), "DBIT", ""),
        ("5.50", (part("2.00", charges=charge("0.20", "true")), part("3.00", charges=charge("0.50"))), "DBIT", ""),
        ("5.50", (part("2.00"), part("3.00", charges=TOTAL)), "DBIT", ""),
        ("5.50", (part("2.00"), part("3.00")), "DBIT", TOTAL),
        ("4.50", (part("2.00"), part("3.00", charges=TAX)), "CRDT", ""),
        ("5.50", (part("2.00"), part("3.00")), "DBIT", '<Chrgs><Amt Ccy="EUR">0.50</Amt></Chrgs>'),
    ],
)
def test_charges_that_the_entry_names_explain_the_difference(amount, parts, mark, charges):
    """As records or as their total, of the transactions or of the entry, taken out or put on top, and taxes; it is noted."""
    assert codes(batch(amount, *parts, mark=mark, charges=charges)) == ["sum_with_charges"]


def test_what_is_in_another_currency_is_not_added_up_and_that_is_said():
    """Transactions, or charges, in another currency than the entry's: nobody can tell, so it is taken with a note."""
    other = batch("5.00", part("200", currency="JPY"), part("3.00"))
    assert codes(other) == ["sum_not_checked"]
    charged = batch("5.50", part("2.00"), part("3.00", charges=charge("70", currency="JPY")))
    assert codes(charged) == ["sum_not_checked"]
    assert codes(batch("5.00", part("2.00"), part("3.00", charges=charge("70", currency="JPY")))) == []


def test_transactions_in_groups_of_their_own_are_one_batch():
    """An entry whose details stand in two NtryDtls is added up over both."""
    split = f"{part('2.00')}</NtryDtls><NtryDtls>{part('3.00')}"
    assert codes(batch("5.00", split)) == []
    assert isinstance(batch("5.10", split), HeldBack)


def test_a_rule_that_cannot_be_used_is_refused_when_the_profile_is_loaded():
    """A path that is none, a kind that is no amount, an unknown key."""
    rule = '[[record]]\nmessage = "TransactionTrace"\n[[record.sum]]\nover = "A"\nof = "B{0}"\ntotal = {{ from = "T", parse = "money" }}\namount = {{ from = "T", parse = "money"{1} }}\n'
    head = HEAD.format(form="xml", source="")
    assert load(head + rule.format("", "")).name == "t"
    for wrong in (("/", ""), ("", ", pars = 1")):
        with pytest.raises(ProfileRefused):
            load(head + rule.format(*wrong))
