"""Call records in BER are read by their own lengths; an independent encoder (pycrate) makes them, and reads the same of them."""

from importlib import resources
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters import ber_names, read_ber
from adapters.convert import convert
from adapters.errors import FileRefused
from adapters.model import Converted
from adapters.profile import Source
from adapters.tree import Broken, Element
from tests.adapters.files import profile

GOLDEN = resources.files("adapters") / "profiles" / "threegpp-cdr-ber.golden"
BER = Source(format="ber")
NAMES_OF_OUR_OWN = {"recordtype": "recordType"}


def pieces(data: bytes) -> list[Element | Broken]:
    """Return every record and every refusal."""
    return list(read_ber.read(data, BER))


def codes(data: bytes) -> list[str]:
    """Return what each piece is called."""
    return [piece.refused.code if isinstance(piece, Broken) else piece.name for piece in pieces(data)]


def tlv(tag: int, content: bytes) -> bytes:
    """Return an element of a short definite length."""
    assert len(content) < 128
    return bytes([tag, len(content)]) + content


def tbcd(digits: str) -> bytes:
    """Return digits as TBCD, made in another way than they are read."""
    padded = digits + "f" * (len(digits) % 2)
    return bytes.fromhex("".join(high + low for low, high in zip(padded[::2], padded[1::2], strict=True)))


def text(element: Element, path: str) -> str:
    """Return the text at a path."""
    for name in path.split("/"):
        element = next(child for child in element.children if child.name == name)
    return element.text


NUMBER = b"\x91" + tbcd("8619900000021")
STAMP = bytes.fromhex("261120101500") + b"+" + bytes.fromhex("0800")
CALL = tlv(0xA0, tlv(0x80, b"\x00") + tlv(0x83, NUMBER) + tlv(0x97, STAMP) + tlv(0x99, b"\x23"))


@pytest.fixture(scope="module")
def asn1() -> Any:
    """The modules of TS 32.298 as pycrate has them; slow to load, so once."""
    cdr = pytest.importorskip("pycrate_asn1dir.CDR")
    return cdr.GLOBAL.MOD["CSChargingDataTypes"]


def test_every_name_and_tag_is_that_of_the_specification(asn1):
    """Each record's fields, as an independent compiler of the ASN.1 modules has them."""
    choices = {content._tagc[0][1]: (name, content) for name, content in asn1["CSRecord"]._cont.items()}
    assert {tag: name for tag, (name, _) in ber_names.RECORDS.items()} == {
        tag: name for tag, (name, _) in choices.items()
    }
    for tag, (_, fields) in ber_names.RECORDS.items():
        if fields:
            record = asn1[choices[tag][1]._typeref.called[1]]._cont.items()
            assert {number: field.name for number, field in fields.items()} == {
                content._tagc[0][1]: name for name, content in record
            }


def test_an_encoder_of_another_make_is_read_right(asn1):
    """What pycrate encodes comes out by name, with numbers, places and times as text."""
    record = asn1["CSRecord"]
    call = {
        "recordType": 0,
        "servedIMSI": tbcd("460000000000021"),
        "servedMSISDN": NUMBER,
        "callingNumber": NUMBER,
        "calledNumber": b"\x91" + tbcd("862166660110"),
        "recordingEntity": NUMBER,
        "answerTime": STAMP,
        "mscOutgoingTKGP": ("tkgpName", "GW7"),
        "basicService": ("teleservice", b"\x11"),
        "callDuration": 300,
        "location": {"locationAreaCode": b"\x1a\x2b", "cellId": b"\x3c\x4d", "mCC-MNC": b"\x64\xf0\x10"},
        "causeForTerm": 0,
        "callReference": b"\x01",
        "seizureTime": STAMP,
        "diagnostics": ("gsm0408Cause", 16),
    }
    record.set_val(("moCallRecord", call))
    data = record.to_ber()
    (root,) = pieces(data + b"\x00" * 9)
    assert isinstance(root, Element)
    found = {
        path: text(root, path)
        for path in (
            *(
                "servedIMSI/digits",
                "servedMSISDN/digits",
                "calledNumber/digits",
                "answerTime/at",
                "mscOutgoingTKGP/tkgpName",
            ),
            *(
                "callDuration",
                "location/cellId",
                "location/mCC-MNC/mcc",
                "location/mCC-MNC/mnc",
                "diagnostics/gsm0408Cause",
            ),
        )
    }
    assert list(found.values()) == [
        *("460000000000021", "+8619900000021", "+862166660110", "2026-11-20T10:15:00+08:00", "GW7", "300", "3c4d"),
        *("460", "01", "16"),
    ]
    assert text(root, "servedMSISDN/hex") == NUMBER.hex()


def test_golden_records_are_read_by_pycrate_with_the_same_values(asn1):
    """Record by record: the raw bytes that we keep are those that it decodes."""
    record, data = asn1["CSRecord"], (GOLDEN / "switch.ber").read_bytes()
    for piece in pieces(data):
        assert isinstance(piece, Element)
        record.from_ber(data[piece.start : piece.end])
        name, values = record.get_val()
        assert name == piece.name
        for child in piece.children:
            kept = {part.name: part.text for part in child.children}.get("hex", child.text)
            value = values[NAMES_OF_OUR_OWN.get(child.name, child.name)]
            if isinstance(value, bytes):
                assert kept == value.hex()
            elif isinstance(value, int):
                assert kept == str(value)


def test_a_record_cut_by_one_byte_is_refused_wherever_it_is_cut():
    """Also by the last byte alone, which other readers take; whatever the length is written as."""
    long = b"\xa0\x82" + len(CALL[2:]).to_bytes(2, "big") + CALL[2:]
    open_ended = b"\xa0\x80" + CALL[2:] + b"\x00\x00"
    for data in (CALL, long, open_ended):
        assert codes(data) == ["moCallRecord"]
        for cut in range(1, len(data)):
            assert codes(CALL + data[:cut]) == ["moCallRecord", "LF-BER-CUT"]


def test_zero_bytes_stand_between_records_and_mean_nothing():
    """Blocks are filled up with them, in front, between and behind."""
    assert codes(b"\x00" * 3 + CALL + b"\x00" * 5000 + CALL + b"\x00") == ["moCallRecord"] * 2
    with pytest.raises(FileRefused, match="no record"):
        pieces(b"\x00" * 100)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (tlv(0x30, b"\x02\x01\x05"), ["LF-BER-TAG"]),
        (tlv(0xBE, b""), ["LF-BER-TAG"]),
        (tlv(0xA0, tlv(0x83, NUMBER) * 2), ["LF-BER-TAG"]),
        (tlv(0xA0, tlv(0x97, STAMP[:-1])), ["LF-BER-FIELD"]),
        (tlv(0xA0, tlv(0x97, STAMP.replace(b"+", b" "))), ["LF-BER-FIELD"]),
        (tlv(0xA0, tlv(0x83, b"\x91\xf1\x21")), ["LF-BER-FIELD"]),
        (tlv(0xA0, tlv(0x99, b"")), ["LF-BER-FIELD"]),
        (b"\x80\x80\x00\x00", ["LF-BER-LENGTH"]),
        (b"\xa0\x85\x00\x00\x00\x00\x01", ["LF-BER-LENGTH"]),
        (b"\xbf\xff\xff\xff\xff\xff\x01\x00", ["LF-BER-TAG"]),
        (b"\xa0\x84\xff\xff\xff\xff", ["LF-BER-CUT"]),
        (tlv(0xA0, tlv(0x83, NUMBER) * 2) + CALL, ["LF-BER-TAG", "moCallRecord"]),
    ],
)
def test_what_does_not_fit_is_refused_under_its_own_code(data, expected):
    """Other kinds, fields that stand twice, wrong forms, impossible lengths; whole records behind are still read."""
    assert codes(data) == expected


def test_limits_have_names_and_are_kept(monkeypatch):
    """Depth, elements, bytes of a record and of the file: at the limit it is read, beyond it is refused."""
    nested = b""
    for _ in range(read_ber.DEPTH_MAX - 1):
        nested = tlv(0xA0, nested)
    assert codes(tlv(0xA0, nested)) == ["moCallRecord"]
    assert codes(tlv(0xA0, tlv(0xA0, nested))) == ["LF-BER-DEPTH"]
    assert codes(b"\xa0\x80" * 5000) == ["LF-BER-DEPTH"]
    monkeypatch.setattr(read_ber, "ELEMENTS_MAX", 5)
    assert codes(CALL) == ["moCallRecord"]
    monkeypatch.setattr(read_ber, "ELEMENTS_MAX", 4)
    assert codes(CALL) == ["LF-BER-SIZE"]
    monkeypatch.setattr(read_ber, "ELEMENTS_MAX", 100)
    monkeypatch.setattr(read_ber, "RECORD_BYTES_MAX", len(CALL))
    assert codes(CALL) == ["moCallRecord"]
    monkeypatch.setattr(read_ber, "RECORD_BYTES_MAX", len(CALL) - 1)
    assert codes(CALL) == ["LF-BER-SIZE"]
    monkeypatch.setattr(read_ber, "RECORD_BYTES_MAX", len(CALL))
    monkeypatch.setattr(read_ber, "RECORDS_MAX", 2)
    assert codes(CALL * 2) == ["moCallRecord"] * 2
    assert codes(CALL * 3) == [*["moCallRecord"] * 2, "LF-BER-SIZE"]
    monkeypatch.setattr(read_ber, "FILE_BYTES_MAX", len(CALL) - 1)
    with pytest.raises(FileRefused, match="more than"):
        pieces(CALL)


def test_numbers_say_of_what_nature_they_are():
    """International ones get their plus sign; withheld ones have no digits; a name is no number."""
    for content, digits in ((NUMBER, "+8619900000021"), (b"\xa1" + tbcd("02166660110"), "02166660110")):
        (root,) = pieces(tlv(0xA0, tlv(0x84, content)))
        assert isinstance(root, Element)
        assert text(root, "callingNumber/digits") == digits
    (root,) = pieces(tlv(0xA0, tlv(0x84, b"\xd0\x41\x42")))
    assert isinstance(root, Element)
    assert text(root, "callingNumber/nature") == "alphanumeric"


def test_directions_and_kinds_are_those_of_the_record():
    """Who called whom, and when, of each kind of record in the golden file."""
    calls = [
        (outcome.message.number.e164, outcome.message.calls[0].direction, outcome.message.calls[0].kind)
        for outcome in convert(profile("threegpp-cdr-ber"), (GOLDEN / "switch.ber").read_bytes())
        if isinstance(outcome, Converted)
    ]
    assert calls == [
        ("+8619900000021", 1, "voice"),
        ("+8619900000022", 2, "voice"),
        ("+8619900000021", 1, "sms"),
        ("+8619900000022", 2, "sms"),
        ("+442071838750", 0, "voice in transit"),
        ("+442071838750", 0, "voice in from another network"),
        ("+8619900000023", 2, "voice to a roaming subscriber"),
    ]


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_file_spoilt_anyhow_gives_records_or_refusals(data):
    """Cut, turned and doubled bytes, and bytes of no meaning at all, raise nothing but FileRefused."""
    base = (GOLDEN / "switch.ber").read_bytes()
    cut = data.draw(st.integers(0, len(base)))
    spoilt = bytearray(data.draw(st.sampled_from([base[:cut], base[:cut] + base, base[cut:]])))
    for place in data.draw(st.lists(st.integers(0, max(0, len(spoilt) - 1)), max_size=4)) if spoilt else []:
        spoilt[place] = data.draw(st.integers(0, 255))
    for one in (bytes(spoilt), data.draw(st.binary(max_size=64))):
        try:
            found = pieces(one)
        except FileRefused:
            continue
        assert all(piece.refused.cure for piece in found if isinstance(piece, Broken))
