"""Fedwire messages are read by their tags; tests, fragments and damage are refused."""

from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters import read_fedwire
from adapters.convert import convert
from adapters.errors import FileRefused
from adapters.model import Converted
from adapters.profile import Source
from adapters.tree import Broken, Element
from tests.adapters.files import profile

SAMPLES = Path(__file__).parents[3] / "shared" / "samples" / "fedwire"
GOLDEN = resources.files("adapters") / "profiles" / "fedwire.golden"
FEDWIRE = Source(format="fedwire")

MESSAGE = """{1500}30EXAMPLE P
{1510}1000
{1520}20261120EXMPL001000001
{2000}000000674091
{3100}121042882EXAMPLE SENDER*
{3400}091000019EXAMPLE RECEIVER*
{3600}CTR*
{4200}D998877665*EXAMPLE PAYEE*2 EXAMPLE ROAD*
{5000}D112233445*EXAMPLE PAYER*
"""


def pieces(text: str | bytes) -> list[Element | Broken]:
    """Return every message and every refusal."""
    return list(read_fedwire.read(text.encode() if isinstance(text, str) else text, FEDWIRE))


def codes(text: str | bytes) -> list[str]:
    """Return what each piece is called."""
    return [piece.refused.code if isinstance(piece, Broken) else piece.name for piece in pieces(text)]


@pytest.mark.parametrize("text", [MESSAGE, MESSAGE.replace("\n", "\r\n"), MESSAGE.replace("\n", "")])
def test_a_message_is_a_tree_of_its_tags_with_byte_ranges(text):
    """With line breaks or without; each leaf stands at the bytes that it names."""
    (root,) = pieces(text)
    assert isinstance(root, Element)
    assert [child.name for child in root.children][:4] == ["1500", "1510", "1520", "2000"]
    payee = {part.name: part.text for child in root.children if child.name == "4200" for part in child.children}
    assert payee == {"id_code": "D", "identifier": "998877665", "name": "EXAMPLE PAYEE", "address_1": "2 EXAMPLE ROAD"}
    for child in root.children:
        for part in child.children:
            assert text.encode()[part.start : part.end].decode().strip() == part.text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (MESSAGE.replace("EXAMPLE P\n", "EXAMPLE T\n"), ["LF-FEDWIRE-TEST"]),
        (MESSAGE.replace("{2000}000000674091\n", ""), ["LF-FEDWIRE-TAG"]),
        (MESSAGE + "{5000}D1*TWICE*\n", ["LF-FEDWIRE-TAG"]),
        (MESSAGE.replace("000000674091", "6740.91"), ["LF-FEDWIRE-FIELD"]),
        (MESSAGE.replace("000000674091", "0000006740910"), ["LF-FEDWIRE-FIELD"]),
        (MESSAGE.rstrip("*\n"), ["LF-FEDWIRE-CUT"]),
        ("stray\n" + MESSAGE, ["LF-FEDWIRE-TAG", "fedwire"]),
        (MESSAGE.replace("{1510}1000", "{1510}10") + MESSAGE, ["LF-FEDWIRE-FIELD", "fedwire"]),
    ],
)
def test_what_does_not_fit_is_refused_under_its_own_code(text, expected):
    """A test moved no money; a message without an amount is none; damage costs the neighbours nothing."""
    assert codes(text) == expected


def test_a_request_for_reversal_is_a_recall_and_a_transfer_a_movement():
    """What moved no money is neither: a request for a drawdown is held back."""
    outcomes = [*convert(profile("fedwire"), (GOLDEN / "transfers.txt").read_bytes())]
    types = [outcome.message.DESCRIPTOR.name for outcome in outcomes if isinstance(outcome, Converted)]
    assert types == ["TransactionTrace", "TransactionTrace", "PaymentRecall"]
    (held, *_) = convert(profile("fedwire"), MESSAGE.replace("{1510}1000", "{1510}1031").encode())
    assert not isinstance(held, Converted)


def test_limits_have_names_and_are_kept(monkeypatch):
    """One byte or tag more than is allowed is refused, and so is a file without a message."""
    monkeypatch.setattr(read_fedwire, "TAGS_MAX", 9)
    monkeypatch.setattr(read_fedwire, "MESSAGE_BYTES_MAX", len(MESSAGE))
    assert codes(MESSAGE) == ["fedwire"]
    monkeypatch.setattr(read_fedwire, "TAGS_MAX", 8)
    assert codes(MESSAGE) == ["LF-FEDWIRE-SIZE"]
    monkeypatch.setattr(read_fedwire, "MESSAGE_BYTES_MAX", len(MESSAGE) - 1)
    assert codes(MESSAGE) == ["LF-FEDWIRE-SIZE"]
    monkeypatch.setattr(read_fedwire, "MESSAGES_MAX", 2)
    assert codes(MESSAGE * 2) == ["LF-FEDWIRE-SIZE"] * 2
    with pytest.raises(FileRefused, match="messages"):
        pieces(MESSAGE * 3)
    with pytest.raises(FileRefused, match="no Fedwire message"):
        pieces("{}")
    monkeypatch.setattr(read_fedwire, "FILE_BYTES_MAX", len(MESSAGE) - 1)
    with pytest.raises(FileRefused, match="more than"):
        pieces(MESSAGE)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_file_spoilt_anyhow_gives_messages_or_refusals(data):
    """Cut, turned and doubled bytes raise nothing but FileRefused."""
    base = (GOLDEN / "transfers.txt").read_bytes()
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
def test_samples_convert_or_are_refused_for_what_they_are():
    """The transfer converts with the amount that it holds, the test is refused, the JSON is no Fedwire file."""
    results = {}
    for path in sorted(SAMPLES.glob("*")):
        try:
            (outcome,) = convert(profile("fedwire"), path.read_bytes())
        except FileRefused as error:
            results[path.suffix + path.stem[-8:]] = error.code
            continue
        amount = outcome.message.transactions[0].amount.minor_units if isinstance(outcome, Converted) else outcome.code
        results[path.suffix + path.stem[-8:]] = amount
    assert results == {
        ".jsonTransfer": "LF-FEDWIRE-NO-MESSAGE",
        ".txtsferPlus": 1234567,
        ".txtResponse": "LF-FEDWIRE-TEST",
    }
