"""NACHA files are read by columns, whatever was done to their lines, and every control total must be right."""

from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters import read_nacha
from adapters.convert import convert
from adapters.errors import FileRefused
from adapters.model import Converted
from adapters.profile import Source
from adapters.tree import Broken, Element
from tests.adapters.files import profile

SAMPLES = Path(__file__).parents[3] / "shared" / "samples" / "nacha-ach"
GOLDEN = resources.files("adapters") / "profiles" / "nacha.golden"
NACHA = Source(format="nacha")

FILE = "101 091000019 1210428822611201015A094101EXAMPLE FEDERAL BANK   EXAMPLE SENDER BANK"
HEADER = "5200EXAMPLE COMPANY                     1234567890PPDPAYROLL         261121   1121042880000001"
CREDIT = "622091000019123456789        0000123456EMP-001        EXAMPLE PAYEE           0121042880000001"
DEBIT = "62709100001955-66-77         0000005000CUS-002        EXAMPLE PAYER           0121042880000002"
CONTROL = "820000000200182000020000000050000000001234561234567890                         121042880000001"
END = "9000001000001000000020018200002000000005000000000123456"
LINES = (FILE, HEADER, CREDIT, DEBIT, CONTROL, END)


def pieces(data: str | bytes) -> list[Element | Broken]:
    """Return every batch and every refusal."""
    return list(read_nacha.read(data.encode("latin-1") if isinstance(data, str) else data, NACHA))


def codes(data: str | bytes) -> list[str]:
    """Return what each piece is called."""
    return [piece.refused.code if isinstance(piece, Broken) else piece.name for piece in pieces(data)]


def lines(*changed: tuple[str, str]) -> str:
    """Return the file with some of its lines changed."""
    text = "\n".join(LINES) + "\n"
    for one, other in changed:
        assert one in text
        text = text.replace(one, other)
    return text


def amounts(data: str | bytes) -> list[str]:
    """Return the amounts of all entries."""
    batches = [piece for piece in pieces(data) if isinstance(piece, Element)]
    entries = [entry for batch in batches for entry in batch.children if entry.name == "entry"]
    return [part.text for entry in entries for part in entry.children if part.name == "amount"]


@pytest.mark.parametrize(
    "data",
    [
        "\n".join(LINES),
        "\r\n".join(line.ljust(94) for line in LINES) + "\r\n",
        "".join(line.ljust(94) for line in LINES),
        "\n".join(line.ljust(101) for line in LINES),
        "\n".join([*LINES, "9" * 94, "9" * 94]),
        "\n".join(LINES[1:5]),
        "\n".join(LINES).replace("EXAMPLE PAYEE ", "JOSÉ EXAMPLE  "),
        "\n".join(LINES).replace("EXAMPLE PAYEE ", "JOSÉ EXAMPLE  ").encode(),
    ],
    ids=["trimmed", "crlf", "one-line", "wide", "filled", "without-file-records", "latin-1", "utf-8"],
)
def test_lines_may_be_trimmed_padded_joined_or_recoded(data):
    """However the lines are written, the same amounts come out."""
    assert codes(data) == ["batch"]
    assert amounts(data) == ["0000123456", "0000005000"]


def test_a_field_stands_at_the_bytes_that_it_names():
    """Byte ranges lead to the column's own text."""
    data = "".join(line.ljust(94) for line in LINES).encode()
    (batch,) = pieces(data)
    assert isinstance(batch, Element)
    for part in [*batch.children, *batch.children[-2].children]:
        if part.text:
            assert data[part.start : part.end].decode() == part.text


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (lines((CONTROL, CONTROL.replace("000000005000", "000000005001"))), ["LF-NACHA-TOTAL"] * 2),
        (lines((CONTROL, CONTROL.replace("0018200002", "0018200003"))), ["LF-NACHA-TOTAL"] * 2),
        (lines((CONTROL, CONTROL.replace("8200000002", "8200000003"))), ["LF-NACHA-TOTAL"] * 2),
        (lines((CREDIT, CREDIT.replace("0000123456", "0000123457"))), ["LF-NACHA-TOTAL"]),
        (lines((CREDIT + "\n", "")), ["LF-NACHA-TOTAL"]),
        (lines((END, END.replace("9000001", "9000002"))), ["batch", "LF-NACHA-TOTAL"]),
        (lines((CREDIT, CREDIT + "X")), ["LF-NACHA-WIDTH"]),
        (lines((CREDIT, CREDIT.replace("0000123456", "00001234.6"))), ["LF-NACHA-FIELD"]),
        (lines((HEADER, HEADER.replace("PPD", "PDT"))), ["LF-NACHA-FIELD"]),
        (lines((CONTROL + "\n", "")), ["LF-NACHA-CUT"]),
        (lines((HEADER + "\n", "")), ["LF-NACHA-ORDER"] * 3),
        (lines((CREDIT, "705" + "X" * 80 + "00010000001\n" + CREDIT)), ["LF-NACHA-ORDER"]),
        (lines((CONTROL, CONTROL[:-1] + "2")), ["LF-NACHA-ORDER"]),
        (lines((CREDIT, "A" + CREDIT[1:])), ["LF-NACHA-ORDER", "LF-NACHA-TOTAL"]),
    ],
)
def test_what_does_not_fit_is_refused_under_its_own_code(data, expected):
    """Totals, hashes, counts, columns, order: a batch is right in all of them or none of it is used."""
    assert codes(data) == expected


def test_an_empty_file_and_one_too_large_are_refused(monkeypatch):
    """As a whole, with a code."""
    with pytest.raises(FileRefused, match="empty"):
        pieces(b" \n ")
    monkeypatch.setattr(read_nacha, "ENTRIES_MAX", 2)
    assert codes(lines()) == ["batch"]
    monkeypatch.setattr(read_nacha, "ENTRIES_MAX", 1)
    assert codes(lines()) == ["LF-NACHA-SIZE"]
    monkeypatch.setattr(read_nacha, "LINES_MAX", 6)
    assert codes(lines()) == ["LF-NACHA-SIZE"]
    monkeypatch.setattr(read_nacha, "LINES_MAX", 5)
    with pytest.raises(FileRefused, match="lines"):
        pieces(lines())
    monkeypatch.setattr(read_nacha, "FILE_BYTES_MAX", len(lines()) - 1)
    with pytest.raises(FileRefused, match="more than"):
        pieces(lines())


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_file_spoilt_anyhow_gives_batches_or_refusals(data):
    """Cut, turned and doubled bytes raise nothing but FileRefused, and no amount comes out that was not there."""
    base = (GOLDEN / "batches.ach").read_bytes()
    cut = data.draw(st.integers(0, len(base)))
    spoilt = base[:cut] if data.draw(st.booleans()) else base[:cut] + base
    place = data.draw(st.integers(0, max(0, len(spoilt) - 1)))
    try:
        assert set(amounts(spoilt)) <= set(amounts(base)) | {"0000000100"}
        pieces(spoilt[:place] + bytes([data.draw(st.integers(0, 255))]) + spoilt[place + 1 :])
    except FileRefused:
        assert not spoilt.strip() or place == 0


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="no samples here")
@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*")) if SAMPLES.is_dir() else [], ids=lambda path: path.name)
def test_amounts_of_samples_are_those_in_their_columns(path):
    """Of each batch that converts, amounts are those that a plain cut at columns 30 to 39 gives, and add up to its control."""
    for outcome in convert(profile("nacha"), path.read_bytes()):
        if isinstance(outcome, Converted):
            text = outcome.raw.decode("latin-1")
            cut = text.splitlines() if "\n" in text else [text[at : at + 94] for at in range(0, len(text), 94)]
            entries = [line for line in cut if line.startswith("6")]
            assert [int(line[29:39]) for line in entries] == [
                record.amount.minor_units for record in outcome.message.transactions
            ]
            sums = {True: 0, False: 0}
            for record in outcome.message.transactions:
                sums[record.transaction_type.code[1] in "1234"] += record.amount.minor_units
            (control,) = [line for line in cut if line.startswith("8")]
            assert (sums[False], sums[True]) == (int(control[20:32]), int(control[32:44]))
