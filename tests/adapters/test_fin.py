"""SWIFT FIN is read strictly: blocks, bulk files, bare text, statements that add up; and written as it is read."""

import re
from decimal import Decimal
from importlib import resources
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters import fin_statement, read_fin
from adapters.convert import convert
from adapters.errors import FileRefused
from adapters.fin_details import details
from adapters.model import Converted, HeldBack
from adapters.profile import Source
from adapters.render import render
from adapters.tree import Broken, Element
from tests.adapters.files import CONTEXT, profile

SAMPLES = Path(__file__).parents[3] / "shared" / "samples" / "swift-mt"
GOLDEN = resources.files("adapters") / "profiles"
FIN = Source(format="fin", encodings=["utf-8-sig", "iso-8859-1"])
HEAD = "{1:F01DEMOXXAAAXXX0000000000}{2:I%sDEMOXXBBXXXXN}"
STATEMENT = ":20:S1\n:25:123\n:28C:1/1\n:60F:C261119EUR100,00\n:61:2611201120D%s\n:62F:C261120EUR%s\n-\n"


def pieces(text: str | bytes) -> list[Element | Broken]:
    """Return every document of a file."""
    return list(read_fin.read(text.encode() if isinstance(text, str) else text, FIN))


def codes(text: str | bytes) -> list[str]:
    """Return the code of each refusal, and the name of each document."""
    return [piece.refused.code if isinstance(piece, Broken) else piece.name for piece in pieces(text)]


def message(kind: str, *fields: str, end: str = "-}") -> str:
    """Return a message with headers."""
    return HEAD % kind + "{4:\r\n" + "".join(f"{field}\r\n" for field in fields) + end


def child(element: Element, path: str) -> str:
    """Return the text at a path."""
    for name in path.split("/"):
        element = next(one for one in element.children if one.name == name)
    return element.text


def golden(name: str) -> bytes:
    """Return a golden file."""
    return (GOLDEN / name).read_bytes()


PAYMENT = (":20:A1", ":23B:CRED", ":32A:261120EUR6740,91", ":50K:/123\r\nPAYER", ":59:/456\r\nPAYEE", ":71A:OUR")


def test_a_message_is_a_tree_of_its_blocks_and_fields_with_byte_ranges():
    """Every leaf stands at the bytes that it names, and sender and receiver are BICs whichever side wrote the file."""
    data = message("103", *PAYMENT, end="-}{5:{CHK:00}}").encode()
    (root,) = pieces(data)
    assert isinstance(root, Element)
    assert [child(root, path) for path in ("type", "sender", "receiver", "32A/amount", "50K/account", "59/name")] == [
        *("103", "DEMOXXAA", "DEMOXXBB", "6740,91", "123", "PAYEE")
    ]
    for field in root.children:
        for leaf in field.children:
            if leaf.name not in ("sender", "receiver"):
                assert data[leaf.start : leaf.end].decode() == leaf.text
    output = "{1:F01DEMOXXBBAXXX0000000000}{2:O1031015261120DEMOXXAAAXXX00000000002611201016N}"
    (turned,) = pieces(output + message("103", *PAYMENT)[len(HEAD % "103") :])
    assert isinstance(turned, Element)
    assert (child(turned, "sender"), child(turned, "receiver")) == ("DEMOXXAA", "DEMOXXBB")


def test_a_damaged_message_costs_its_neighbours_nothing():
    """A bulk file gives what is whole, in order, and says of each other message what is wrong with it."""
    good = message("103", *PAYMENT)
    bulk = "$".join(
        [good, good[:-2], good.replace("{2:I103", "{2:X103"), good.replace("6740,91", "6740.91"), good + "{5:", good]
    )
    assert codes(bulk) == ["MT103", "LF-FIN-CUT", "LF-FIN-BLOCK", "LF-FIN-FIELD", "LF-FIN-CUT", "MT103"]
    nak = "{1:F21DEMOXXAAAXXX0000000000}{4:{177:2611201000}{451:%s}}"
    assert codes(nak % 0 + good + nak % 1 + good) == ["MT103", "LF-FIN-NAK"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("nothing of SWIFT", "LF-FIN-NO-MESSAGE"),
        ("", "LF-FIN-NO-MESSAGE"),
    ],
)
def test_a_file_that_holds_no_message_is_refused_as_a_whole(text, code):
    """What is no SWIFT at all is said so."""
    with pytest.raises(FileRefused) as error:
        pieces(text)
    assert error.value.code == code


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (STATEMENT % ("10,00NTRFX", "90,00"), ["MT940"]),
        (STATEMENT % ("10,00NTRFX", "91,00"), ["LF-FIN-BALANCE"]),
        (STATEMENT % ("10NTRFX", "90,00"), ["LF-FIN-FIELD"]),
        ((STATEMENT % ("10,00NTRFX", "90,00")).replace("2611201120D", "2602301120D"), ["LF-FIN-DATE"]),
        ((STATEMENT % ("10,00NTRFX", "90,00")).replace("2611201120D", "2611201340D"), ["LF-FIN-DATE"]),
        ((STATEMENT % ("10,00NTRFX", "90,00")).replace(":62F:C261120EUR", ":62F:C261120USD"), ["LF-FIN-BALANCE"]),
        (":61:2611201120D10,00NTRFX\n-\n", ["LF-FIN-STATEMENT"]),
        (
            ":60F:C261119EUR1,\n:20:S\n:25:1\n:28C:1\n:61:261120D1,NTRFX\n:62F:C261120EUR0,\n-\n",
            ["LF-FIN-STATEMENT"] * 2,
        ),
        ((STATEMENT % ("10,00NTRFX", "90,00")).rstrip("-\n"), ["LF-FIN-CUT"]),
        (":20:A\n:21:B\n:75:QUERY\n-\n", ["LF-FIN-TYPE"]),
        (message("103"), ["LF-FIN-EMPTY"]),
        (message("103", "stray", *PAYMENT), ["LF-FIN-BLOCK"]),
    ],
)
def test_what_is_wrong_is_refused_under_its_own_code(text, expected):
    """Statements that do not add up, days that do not exist, movements without a statement, fragments."""
    assert codes(text) == expected


def test_marks_say_what_a_movement_does_to_the_balance():
    """D takes away and C gives; a reversal does the opposite; the letter behind is the currency's, not the mark's."""
    for mark, balance in (("D", "90,"), ("C", "110,"), ("RC", "90,"), ("RD", "110,"), ("DR", "90,"), ("CR", "110,")):
        text = (STATEMENT % ("10,NTRFX", balance)).replace("1120D10", f"1120{mark}10")
        assert codes(text) == ["MT940"], mark


def test_an_entry_date_takes_the_year_that_is_nearest_to_the_value_date():
    """A movement of 31 December with value on 2 January was booked in the old year."""
    text = (STATEMENT % ("10,NTRFX", "90,")).replace("2611201120D", "2701021231D")
    (root,) = pieces(text)
    assert isinstance(root, Element)
    assert child(root, "61/booking_date") == "261231"


def test_a_statement_over_several_messages_becomes_one():
    """Its pages are put together, and where one is missing nothing of it is used."""

    def page(number: int, opening: str, closing: str) -> str:
        head = (":20:S", ":25:4711", f":28C:7/{number}")
        return message("940", *head, f":60{opening}", ":61:261120C1,NTRFX", f":62{closing}")

    first, middle = page(1, "F:C261120EUR1,", "M:C261120EUR2,"), page(2, "M:C261120EUR2,", "M:C261120EUR3,")
    last = page(3, "M:C261120EUR3,", "F:C261120EUR4,")
    (whole,) = pieces(f"{first}${middle}${last}")
    assert isinstance(whole, Element)
    assert [one.name for one in whole.children if one.name in ("60F", "60M", "61", "62M", "62F")] == [
        *("60F", "61", "61", "61", "62F")
    ]
    assert codes(f"{first}${middle}") == ["LF-FIN-PAGE"]
    assert codes(f"{middle}${last}") == ["LF-FIN-PAGE", "LF-FIN-PAGE"]
    assert codes(f"{first}${last}") == ["LF-FIN-PAGE", "LF-FIN-PAGE"]
    assert codes("$".join((first, message("103", *PAYMENT), middle))) == ["LF-FIN-PAGE", "MT103", "LF-FIN-PAGE"]


def test_a_time_that_a_bank_wrapped_is_no_field():
    """Details that go on with :26:37 on the next line are details, and the statement stays whole."""
    text = (STATEMENT % ("10,NTRFX\n:86:106?00CARD?24AT 2026-11-20T16\n:26:37 SEQ 7", "90,")).replace("\n\n", "\n")
    (root,) = pieces(text)
    assert isinstance(root, Element)
    assert child(root, "61/86/purpose") == "AT 2026-11-20T16:26:37 SEQ 7"


def test_details_are_told_apart_and_stay_whole():
    """German and Dutch structures give name, account and reference; free text stays text."""
    german = dict(details("166?00GUTSCHRIFT?20EREF+E2E 1?21 SVWZ+RENT?30GENODEF1?31DE02?32EXA\nMPLE"))
    assert (german["code"], german["name"], german["account"], german["eref"]) == ("166", "EXAMPLE", "DE02", "E2E 1")
    dutch = dict(details("/EREF/E1/NAME/A B/REMI/X\nY"))
    assert (dutch["eref"], dutch["name"], dutch["remi"]) == ("E1", "A B", "XY")
    assert dict(details("plain text")) == {"text": "plain text"}


def test_limits_have_names_and_are_kept(monkeypatch):
    """One byte, field or message more than is allowed is refused."""
    text = message("103", *PAYMENT)
    monkeypatch.setattr(read_fin, "MESSAGE_BYTES_MAX", len(text))
    monkeypatch.setattr(read_fin, "FIELDS_MAX", len(PAYMENT))
    assert codes(text) == ["MT103"]
    monkeypatch.setattr(read_fin, "MESSAGE_BYTES_MAX", len(text) - 1)
    assert codes(text) == ["LF-FIN-SIZE"]
    monkeypatch.setattr(read_fin, "MESSAGE_BYTES_MAX", len(text))
    monkeypatch.setattr(read_fin, "FIELDS_MAX", len(PAYMENT) - 1)
    assert codes(text) == ["LF-FIN-SIZE"]
    monkeypatch.setattr(fin_statement, "PAGES_MAX", 1)
    monkeypatch.setattr(read_fin, "FIELDS_MAX", 100)
    assert codes(golden("swift-mt940.golden/pages.fin"))[0] == "LF-FIN-SIZE"
    monkeypatch.setattr(read_fin, "MESSAGES_MAX", 2)
    assert codes(text * 2) == ["MT103"] * 2
    with pytest.raises(FileRefused, match="messages"):
        pieces(text * 3)
    monkeypatch.setattr(read_fin, "FILE_BYTES_MAX", len(text) - 1)
    with pytest.raises(FileRefused):
        pieces(text)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_file_spoilt_anyhow_gives_documents_or_refusals(data):
    """Cut, turned and doubled bytes raise nothing but FileRefused."""
    base = data.draw(st.sampled_from([golden("swift-mt940.golden/pages.fin"), golden("swift-mt103.golden/bulk.rje")]))
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(base))] * 2)))
    spoilt = bytearray(base[:start] + base[start:end] * 2 + base[end:] if data.draw(st.booleans()) else base[:end])
    for place in data.draw(st.lists(st.integers(0, max(0, len(spoilt) - 1)), max_size=3)) if spoilt else []:
        spoilt[place] ^= data.draw(st.integers(1, 255))
    try:
        found = pieces(bytes(spoilt))
    except FileRefused:
        return
    assert all(piece.refused.cure for piece in found if isinstance(piece, Broken))


@pytest.mark.parametrize("name", ["mt192.fin", "mt196.fin", "mt199.fin"])
def test_recalls_answers_and_notices_go_there_and_back(name):
    """What is read, written and read again is the same message, but for what the loss names."""
    back = profile("swift-mt19x")
    for outcome in convert(back, golden(f"swift-mt19x.golden/{name}")):
        if isinstance(outcome, HeldBack):
            continue
        written = render(back, outcome.message, CONTEXT)
        (again,) = convert(back, written.data)
        assert isinstance(again, Converted)
        one, other = (MessageToDict(item.message) for item in (outcome, again))
        for path in ("provenance", *{loss.partition(".")[0].partition("[")[0] for loss in written.loss}):
            one.pop(path, None)
            other.pop(path, None)
        assert one == other


@pytest.mark.parametrize(
    ("change", "tag"),
    [
        ({"narrative": "被骗"}, "79"),
        ({"narrative": "x" * 60}, "79"),
        ({"narrative": "a\n:20:OTHER"}, "79"),
        ({"recall_id": "A" * 17}, "20"),
    ],
)
def test_what_swift_cannot_carry_is_refused_and_never_bent(change, tag):
    """No wrapping, cutting or transliterating: the field is named, its text is not."""
    (outcome, *_) = convert(profile("swift-mt19x"), golden("swift-mt19x.golden/mt192.fin"))
    assert isinstance(outcome, Converted)
    for field, text in change.items():
        setattr(outcome.message, field, text)
    with pytest.raises(FileRefused, match=f"field {tag} cannot be written") as error:
        render(profile("swift-mt19x"), outcome.message, CONTEXT)
    assert error.value.code == "LF-FIN-WRITE"
    assert not any(text in error.value.cause for text in change.values())


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="no samples here")
@pytest.mark.parametrize("path", sorted(SAMPLES.rglob("*.*")) if SAMPLES.is_dir() else [], ids=lambda path: path.name)
def test_amounts_of_samples_are_those_that_stand_in_them(path):
    """Of each message that converts, the amounts are those a plain search finds in its own bytes."""
    data = path.read_bytes()
    for name, pattern in (
        ("swift-mt103", rb"(?m)^:32A:[0-9]{6}[A-Z]{3}([0-9]+,[0-9]*)"),
        ("swift-mt940", rb"(?m)^:61:[0-9]{6}(?:[0-9]{4}| {4})?R?[CD][A-Z]?([0-9]+,[0-9]*)"),
    ):
        try:
            found = [outcome for outcome in convert(profile(name), data) if isinstance(outcome, Converted)]
        except FileRefused:
            continue
        for outcome in found:
            texts = [text.decode().replace(",", ".") for text in re.findall(pattern, outcome.raw)]
            read = [Decimal(record.amount.minor_units) / 100 for record in outcome.message.transactions]
            assert read == [Decimal(text) for text in texts]


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (":50F:1/ONE\r\n1/TWO\r\n2/STREET", {"name": "ONE\nTWO", "address": "STREET"}),
        (":50F:/123\r\n1/ONE", {"account": "123", "name": "ONE"}),
        (
            ":50F:CCPT/GB/77\r\n1/ONE\r\n3/GB/TOWN",
            {"identity": "CCPT/GB/77", "name": "ONE", "country_and_town": "GB/TOWN"},
        ),
        (":52A:/C/123\r\nDEMOXXAA", {"kind": "C", "account": "123", "bic": "DEMOXXAA"}),
        (":52A://FW021000089\r\nDEMOXXAA", {"clearing": "FW021000089", "bic": "DEMOXXAA"}),
        (":57D:NAME\r\nSTREET", {"name": "NAME", "address": "STREET"}),
        (":13D:2611201455-0330", {"at": "2026-11-20T14:55:00-03:30"}),
        (":76:/RJCR/LEGL/WHY", {"code": "RJCR", "reason": "LEGL", "text": "WHY"}),
        (":76:/CNCL/", {"code": "CNCL"}),
        (":79:NO CODE", {"text": "NO CODE"}),
    ],
)
def test_fields_are_taken_apart_wherever_they_stand(field, expected):
    """Also behind other fields, where no text begins; what is not there has no part."""
    (root,) = pieces(message("799", ":20:A1", field))
    assert isinstance(root, Element)
    parts = {part.name: part.text for part in root.children[-1].children}
    assert {name: parts.get(name) for name in expected} == expected


def test_lines_of_details_that_stand_in_fields_of_their_own_are_one():
    """Rabobank writes field 86 once for each line."""
    (root,) = pieces((STATEMENT % ("10,NTRFX\n:86:ONE\n:86:TWO", "90,")).replace("\n\n", "\n"))
    assert isinstance(root, Element)
    assert child(root, "61/86/text") == "ONE\nTWO"
