"""Whatever comes in: every record has one outcome, no number is altered in silence, nothing else is raised."""

import csv
import io
import unicodedata
from collections.abc import Callable

from google.protobuf.json_format import MessageToDict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import adapters
from adapters import summary
from adapters.convert import convert
from adapters.errors import FileRefused
from adapters.model import Converted, HeldBack
from adapters.render import render
from tests.adapters.files import BODY_FIELDS, CONTEXT, NOTICE_HEADER, NOTICE_ROW, ORDERS, PAPERS, profile, record

CELL = st.one_of(
    st.text(max_size=30).filter(lambda text: "\x00" not in text),
    st.sampled_from([*NOTICE_ROW, "6.2E+18", "-", "合计", '="1"', "2026-02-30", "1,5", "\u200b", "=", '"', "''", "1e5", "9" * 30]),
    st.text("0123456789.,-+eE \t=\"'xX*_", max_size=24),
)  # fmt: skip
ROWS = st.lists(st.lists(CELL, min_size=len(NOTICE_HEADER), max_size=len(NOTICE_HEADER)), max_size=8)
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def written(rows: list[list[str]]) -> bytes:
    """Return rows as a CSV writer writes them."""
    out = io.StringIO()
    csv.writer(out).writerows([NOTICE_HEADER, *rows])
    return out.getvalue().encode("utf-8", errors="replace")


def tried(reading: Callable[[], list[Converted | HeldBack]]) -> tuple[list[str], list[Converted | HeldBack]]:
    """Return the code under which a file is refused, or its outcomes."""
    try:
        return [], reading()
    except FileRefused as error:
        return [error.code], []


@QUICK
@given(ROWS)
def test_every_row_has_exactly_one_outcome(rows):
    """rows_in = messages + refused, and outcomes come numbered without a gap."""
    data = written(rows)
    outcomes = list(convert(profile("bank-notice-csv"), data))
    assert [outcome.record for outcome in outcomes] == list(range(1, len(outcomes) + 1))
    found = summary.check("bank-notice-csv", data)
    assert found["rows_in"] == found["messages"] + len(found["refused"]) == len(outcomes)
    for outcome in outcomes:
        assert outcome.raw in data
        if isinstance(outcome, HeldBack):
            assert outcome.code.startswith("LF-ROW-")
            assert outcome.cause
            assert outcome.cure


@QUICK
@given(st.lists(CELL, min_size=len(NOTICE_HEADER), max_size=len(NOTICE_HEADER)))
def test_no_digit_is_invented(cells):
    """Every digit of an account number in a message stands in its cell, in that order."""
    for outcome in convert(profile("bank-notice-csv"), written([cells])):
        if isinstance(outcome, Converted):
            for item in outcome.lineage:
                assert item.raw in cells
            cell = unicodedata.normalize("NFKC", cells[0]).partition("_")[0]
            bare = "".join(character for character in cell if character.isalnum())
            number = "".join(character for character in outcome.message.account.number if character.isalnum())
            assert number.lower() == bare.lower()


@QUICK
@given(st.binary(max_size=400), st.integers(0, 400))
def test_damaged_files_end_in_an_outcome(noise, place):
    """A file with any bytes put into it is read, held back or refused, and nothing else is raised."""
    whole = written([list(NOTICE_ROW)] * 3)
    data = whole[:place] + noise + whole[place:]
    codes, outcomes = tried(lambda: list(convert(profile(adapters.detect(data)), data)))
    assert all(code.startswith("LF-") for code in codes)
    assert all(isinstance(outcome, Converted | HeldBack) for outcome in outcomes)


@QUICK
@given(st.binary(max_size=60), st.integers(0, 4000), st.integers(0, 60))
def test_damaged_records_end_in_an_outcome(noise, place, cut):
    """A platform record with any bytes put in or cut out is read, held back or refused, and nothing else is raised."""
    whole = record("200101", ORDERS["00101"], PAPERS)
    data = whole[:place] + noise + whole[place + cut :]
    codes, outcomes = tried(lambda: list(convert(profile("tfms-police"), data)))
    assert all(code.startswith("LF-XML") for code in codes)
    assert len(outcomes) + len(codes) == 1


TEXT = st.text(st.characters(min_codepoint=32, exclude_categories=("Cs", "Cc", "Co", "Cn")), max_size=20)


@QUICK
@given(st.sampled_from(sorted(ORDERS)), st.dictionaries(st.sampled_from(BODY_FIELDS), TEXT, max_size=5))
def test_an_order_of_any_texts_comes_back_equal_or_its_loss_is_named(code, texts):
    """Record, message, record, message: both messages are equal, whatever stands in the free texts."""
    safe = {name: text.replace("&", "").replace("<", "").replace(">", "") for name, text in texts.items()}
    known = {name: text for name, text in safe.items() if name in ORDERS[code]}
    (first,) = convert(profile("tfms-police"), record(f"2{code}", {**ORDERS[code], **known}))
    if isinstance(first, HeldBack):
        assert first.code in ("LF-ROW-MOJIBAKE", "LF-ROW-CONTROL")
        return
    rendered = render(profile("tfms-bank"), first.message, CONTEXT)
    assert rendered.loss == ()
    again = rendered.data.replace(f"<TxCode>1{code}".encode(), f"<TxCode>2{code}".encode())
    (second,) = convert(profile("tfms-police"), again)
    assert isinstance(second, Converted)
    one, other = (MessageToDict(item.message) for item in (first, second))
    one.pop("provenance")
    other.pop("provenance")
    assert one == other
