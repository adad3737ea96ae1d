"""BAI2 files are read by records and fields; control totals and numbers of records must be right."""

from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters import bai2_types, read_bai2
from adapters.convert import convert
from adapters.errors import FileRefused, RowRefused
from adapters.model import Converted
from adapters.profile import Source
from adapters.tree import Broken, Element
from tests.adapters.files import profile

SAMPLES = Path(__file__).parents[3] / "shared" / "samples" / "bai2"
GOLDEN = resources.files("adapters") / "profiles" / "bai2.golden"
BAI2 = Source(format="bai2")

BEGIN = "01,121042882,987654,261120,0815,1,,,2/\n02,987654,121042882,1,261119,,USD,2/\n"
ACCOUNT = "03,4711,USD,015,7000,,/\n16,301,7000,Z,B1,C1,DEPOSIT, TELLER 7\n88,SECOND LINE\n49,14000,4/\n"
END = "98,14000,1,6/\n99,14000,1,8/\n"
FILE = BEGIN + ACCOUNT + END


def pieces(text: str | bytes) -> list[Element | Broken]:
    """Return every account and every refusal."""
    return list(read_bai2.read(text.encode() if isinstance(text, str) else text, BAI2))


def codes(text: str | bytes) -> list[str]:
    """Return what each piece is called."""
    return [piece.refused.code if isinstance(piece, Broken) else piece.name for piece in pieces(text)]


def movement(record: str, total: int, count: int = 3) -> dict[str, str]:
    """Return the parts of one movement in an account of its own."""
    found = pieces(
        f"{BEGIN}03,4711,USD,,,,/\n{record}\n49,{total},{count}/\n98,{total},1,{count + 2}/\n99,{total},1,{count + 4}/\n"
    )
    (account,) = found
    assert isinstance(account, Element), account
    (one,) = [child for child in account.children if child.name == "movement"]
    return {child.name: child.text for child in one.children}


def test_an_account_is_a_tree_with_what_stands_around_it():
    """Fields, file and group are children; text with commas and its continuation are one."""
    (account,) = pieces(FILE)
    assert isinstance(account, Element)
    assert [child.name for child in account.children] == ["file", "group", "number", "currency", "summary", "movement"]
    moved = {child.name: child.text for child in account.children[-1].children}
    assert moved["text"] == "DEPOSIT, TELLER 7\nSECOND LINE"
    assert (moved["kind"], moved["amount"], moved["bank_reference"]) == ("credit", "7000", "B1")
    for child in (*account.children[0].children, *account.children[-1].children):
        if child.name != "kind" and child.start >= 0 and "\n" not in child.text:
            assert FILE.encode()[child.start : child.end].decode() == child.text


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (
            "16,495,100,S,60,30,10,B,C,T/",
            {"kind": "debit", "available_later": "10", "bank_reference": "B", "text": "T"},
        ),
        ("16,195,100,V,261119,1200,B,C/", {"value_date": "261119", "value_time": "1200", "customer_reference": "C"}),
        ("16,195,100,D,2,0,60,1,40,B,C/", {"funds_type": "D", "bank_reference": "B"}),
        ("16,195,100,,,/", {"amount": "100"}),
    ],
)
def test_fields_behind_a_funds_type_move_what_follows(record, expected):
    """S, V and D bring fields of their own; references and text come after them."""
    parts = movement(record, 100)
    assert {name: parts[name] for name in expected} == expected


def test_a_record_goes_on_where_it_was_broken_off():
    """Fields may stand in a continuation (BAI2 guide: record 88 continues any record)."""
    assert movement("16,115,100,S,60,30,10/\n88,B96132,C1,LOCKBOX/\n88,RECEIVABLES/", 100, 5) == {
        "type": "115",
        "kind": "credit",
        "amount": "100",
        "funds_type": "S",
        "available_today": "60",
        "available_next_day": "30",
        "available_later": "10",
        "bank_reference": "B96132",
        "customer_reference": "C1",
        "text": "LOCKBOX\nRECEIVABLES",
    }


def test_several_records_may_stand_on_one_line():
    """As banks write them; a slash in a text ends no record."""
    joined = FILE.replace("/\n", "/  ").replace("TELLER 7\n", "TELLER 7/8/ ").replace("SECOND LINE\n", "SECOND LINE/ ")
    assert codes(joined) == ["account"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (FILE.replace("16,301,7000", "16,301,7001"), ["LF-BAI2-TOTAL"]),
        (FILE.replace("49,14000,4", "49,14000,5"), ["LF-BAI2-TOTAL"]),
        (FILE.replace("16,301,7000", "16,301,70.00"), ["LF-BAI2-FIELD"]),
        (FILE.replace("16,301", "16,190500000"), ["LF-BAI2-FIELD"]),
        (FILE.replace("16,301", "16,015"), ["LF-BAI2-FIELD"]),
        (FILE.replace(",Z,", ",Q,"), ["LF-BAI2-FIELD"]),
        (FILE.replace("88,SECOND", "SECOND"), ["LF-BAI2-RECORD"]),
        (FILE.replace("03,4711", "04,4711"), ["LF-BAI2-RECORD"] * 3),
        (FILE.replace("49,14000,4/\n", ""), ["LF-BAI2-CUT"]),
        (FILE.replace("98,14000,1", "98,14000,2"), ["account", "LF-BAI2-TOTAL"]),
        (FILE.replace("99,14000,1,8", "99,14000,1,9"), ["account", "LF-BAI2-TOTAL"]),
        (BEGIN + ACCOUNT, ["account", "LF-BAI2-CUT"]),
    ],
)
def test_what_does_not_fit_is_refused_under_its_own_code(text, expected):
    """Totals, counts, codes, damage: an account is right in all of them or none of it is used."""
    assert codes(text) == expected


def test_type_codes_are_credits_debits_or_neither():
    """At the edges of their ranges."""
    kinds = {code: bai2_types.kind_of(code) for code in ("100", "399", "400", "699", "700", "890", "920", "960", "999")}
    assert list(kinds.values()) == [
        *("credit", "credit", "debit", "debit", "loan", "none", "credit", "debit", "debit"),
    ]
    for code in ("", "99", "099", "800", "1000", "abc", "900"):
        with pytest.raises(RowRefused):
            bai2_types.kind_of(code)


def test_limits_have_names_and_are_kept(monkeypatch):
    """One record or byte more than is allowed is refused, and so is what does not begin as BAI2."""
    monkeypatch.setattr(read_bai2, "RECORDS_MAX", 4)
    assert codes(FILE) == ["account"]
    monkeypatch.setattr(read_bai2, "RECORDS_MAX", 3)
    assert codes(FILE) == ["LF-BAI2-SIZE"]
    monkeypatch.setattr(read_bai2, "LINES_MAX", 8)
    assert codes(FILE) == ["LF-BAI2-SIZE"]
    monkeypatch.setattr(read_bai2, "LINES_MAX", 7)
    with pytest.raises(FileRefused, match="lines"):
        pieces(FILE)
    with pytest.raises(FileRefused, match="file header"):
        pieces("00,0004,1/2/345,06/0321,0829,001,80,1,2/\n")
    monkeypatch.setattr(read_bai2, "FILE_BYTES_MAX", len(FILE) - 1)
    with pytest.raises(FileRefused, match="more than"):
        pieces(FILE)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_file_spoilt_anyhow_gives_accounts_or_refusals(data):
    """Cut, turned and doubled bytes raise nothing but FileRefused."""
    base = (GOLDEN / "accounts.bai").read_bytes()
    cut = data.draw(st.integers(0, len(base)))
    spoilt = bytearray(base[:cut] if data.draw(st.booleans()) else base[:cut] + base)
    for place in data.draw(st.lists(st.integers(0, max(0, len(spoilt) - 1)), max_size=3)) if spoilt else []:
        spoilt[place] = data.draw(st.integers(0, 255))
    try:
        found = pieces(bytes(spoilt))
    except FileRefused:
        return
    assert all(piece.refused.cure for piece in found if isinstance(piece, Broken))


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="no samples here")
@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*")) if SAMPLES.is_dir() else [], ids=lambda path: path.name)
def test_amounts_of_samples_are_those_of_their_records(path):
    """Of each account that converts, the amounts are the third field of each record 16 in its own bytes."""
    try:
        outcomes = list(convert(profile("bai2"), path.read_bytes()))
    except FileRefused:
        return
    for outcome in outcomes:
        if isinstance(outcome, Converted):
            pieces_16 = [
                piece for piece in outcome.raw.decode().replace("/ 16,", "/\n16,").splitlines() if piece[:3] == "16,"
            ]
            assert [int(piece.split(",")[2]) for piece in pieces_16] == [
                record.amount.minor_units for record in outcome.message.transactions
            ]
