"""XML and JSON that are hostile, cut off or too large: refused with a reason, and the limits stand where they say."""

import json

import pytest

from adapters import read_json, read_xml
from adapters.errors import FileRefused
from adapters.model import Converted, HeldBack
from tests.adapters.trees import made, not_carried, one, read

BODY = """
[[record]]
message = "SuspiciousAccountNotice"
at = "{at}"
[record.field."account"]
from = "No"
parse = "account"
check = {{ required = true }}
[record.field."balance"]
from = "Amt"
parse = "money"
scale = 4
[record.field."holder.name"]
from = "Name"
[record.field."features"]
from = "Codes"
parse = {{ as = "code", scheme = "s" }}
"""
XML = made(BODY.format(at=""))
JSON = made(BODY.format(at=""), form="json")
LINES = made(BODY.format(at=""), form="json", source="lines = true")
ITEMS = made(BODY.format(at="item"), form="json")


def refused(profile, data: bytes) -> FileRefused:
    """Return why a file is refused as a whole."""
    with pytest.raises(FileRefused) as caught:
        read(profile, data)
    assert caught.value.cure
    return caught.value


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b'{"No":"1","No":"2"}', "LF-JSON-REPEATED"),
        (b'{"No":"1","A":{"x":1,"x":1}}', "LF-JSON-REPEATED"),
        (b'{"No":NaN}', "LF-JSON-SYNTAX"),
        (b'{"No":Infinity}', "LF-JSON-SYNTAX"),
        (b'{"No":-}', "LF-JSON-SYNTAX"),
        (b'{"No":01}', "LF-JSON-SYNTAX"),
        (b'{"No":1.}', "LF-JSON-SYNTAX"),
        (b'{"No":"1"', "LF-JSON-SYNTAX"),
        (b'{"No":"1",}', "LF-JSON-SYNTAX"),
        (b'{"No":[1,]}', "LF-JSON-SYNTAX"),
        (b'{"No":[1 2]}', "LF-JSON-SYNTAX"),
        (b'{"No" "1"}', "LF-JSON-SYNTAX"),
        (b"{No:1}", "LF-JSON-SYNTAX"),
        (b"{'No':1}", "LF-JSON-SYNTAX"),
        (b'{"No":"1"} x', "LF-JSON-SYNTAX"),
        (b'{"No":"1"}{}', "LF-JSON-SYNTAX"),
        (b'{"No":"a\nb"}', "LF-JSON-SYNTAX"),
        (b'{"No":"\\x41"}', "LF-JSON-SYNTAX"),
        (b'{"No":"\x00"}', "LF-JSON-SYNTAX"),
        (b'{"No":truex}', "LF-JSON-SYNTAX"),
        (b"12", "LF-JSON-SYNTAX"),
        (b"", "LF-JSON-SYNTAX"),
        (b'{"No":"\\ud83d"}', "LF-JSON-ENCODING"),
        ('{"No":"号"}'.encode("gb18030"), "LF-JSON-ENCODING"),
        (b'{"A":' * 40 + b"1" + b"}" * 40, "LF-JSON-DEPTH"),
        (b"[" * 100_000, "LF-JSON-DEPTH"),
        (b'{"A":[' + b"[" * 100_000, "LF-JSON-DEPTH"),
    ],
)
def test_json_that_is_none_is_refused(data, code):
    """Duplicate keys, numbers that JSON has not, what is cut off or stands behind, other encodings, depth."""
    found = refused(JSON, data)
    assert found.code == code
    assert "line 1" in found.cause or code == "LF-JSON-ENCODING" or b"\n" in data


@pytest.mark.parametrize("beyond", [0, 1])
@pytest.mark.parametrize("module", [read_xml, read_json])
def test_the_depth_has_a_limit(module, beyond):
    """As deep as allowed is read, one deeper is not."""
    depth = module.DEPTH_MAX + beyond
    data = {
        read_xml: b"<a>" * depth + b"</a>" * depth,
        read_json: b'{"a":' * (depth - 1) + b'{"a":"x"}' + b"}" * (depth - 1),
    }[module]
    if module is read_json:
        data = b'{"a":' * (depth - 1) + b'"x"' + b"}" * (depth - 1)
    source = (XML if module is read_xml else JSON).file.source
    if beyond:
        with pytest.raises(FileRefused) as caught:
            list(module.read(data, source))
        assert caught.value.code.endswith("-DEPTH")
    else:
        assert list(module.read(data, source))


@pytest.mark.parametrize("beyond", [0, 1])
@pytest.mark.parametrize(("module", "limit"), [(read_xml, "XML_BYTES_MAX"), (read_json, "JSON_BYTES_MAX")])
def test_the_size_of_a_file_has_a_limit(monkeypatch, module, limit, beyond):
    """A file of as many bytes as allowed is read, one byte more is not."""
    profile = XML if module is read_xml else JSON
    data = b"<r><No>111222</No></r>" if module is read_xml else b'{"No":"111222"}'
    monkeypatch.setattr(module, limit, len(data) - beyond)
    if beyond:
        assert refused(profile, data).code.endswith("-SIZE")
    else:
        assert one(profile, data)


@pytest.mark.parametrize("beyond", [0, 1])
def test_the_number_of_elements_has_a_limit(monkeypatch, beyond):
    """As many elements or values as allowed are read, one more is not."""
    monkeypatch.setattr(read_xml, "ELEMENTS_MAX", 3)
    data = b"<r><No>111222</No><a/>" + b"<b/>" * beyond + b"</r>"
    monkeypatch.setattr(read_json, "ELEMENTS_MAX", 3)
    values = b'{"No":"111222","a":1' + b',"b":2' * beyond + b"}"
    if beyond:
        assert refused(XML, data).code == "LF-XML-ELEMENTS"
        assert refused(JSON, values).code == "LF-JSON-ELEMENTS"
    else:
        assert one(XML, data)
        assert one(JSON, values)


def test_numbers_keep_their_digits():
    """A number is the text that the file has: no float comes near it; one in scientific notation is refused."""
    message = one(JSON, b'{"No": 123456789012345678, "Amt": 900719925474099.1234}').message
    assert message.account.number == "123456789012345678"
    assert message.balance.minor_units == 9_007_199_254_740_991_234
    (bad,) = read(JSON, b'{"No": "111222", "Amt": 1E3}')
    assert isinstance(bad, HeldBack)
    assert bad.code == "LF-ROW-LOSSY-NUMBER"


def test_texts_of_json_are_what_they_mean():
    """Escapes, pairs of surrogates, an empty null, arrays as repeated elements, true and false, a mark at the start."""
    text = r'{"No":"\u0031\u0031\/1222"}'.replace(r"\/", "")
    assert one(JSON, text).message.account.number == "111222"
    data = (
        b'\xef\xbb\xbf {"No":"111222","Name":"\\ud83d\\ude00\\n\xe5\xbc\xa0","Codes":["a",true,null,["b"]],"Amt":null}'
    )
    outcome = one(JSON, data)
    assert outcome.message.holder.name == "😀\n张"
    assert [code.code for code in outcome.message.features] == ["a", "true"]
    assert not outcome.message.HasField("balance")
    assert not_carried(outcome) == ["Codes/item"]


def test_byte_ranges_of_json_are_exact():
    """What stands at [start, end) is the value as the file has it."""
    data = '[\n {"Name": "张\\n", "No": "111222", "Codes": ["x", "y"]},\n {"No": 333444}]'.encode()
    first, second = read(ITEMS, data)
    assert isinstance(first, Converted)
    assert isinstance(second, Converted)
    pieces = {(item.field, item.raw): data[item.start : item.end] for item in (*first.lineage, *second.lineage)}
    assert pieces["holder.name", "张\n"] == '"张\\n"'.encode()
    assert pieces["account", "333444"] == b"333444"
    assert pieces["features", "y"] == b'"y"'
    assert [outcome.line for outcome in (first, second)] == [2, 3]
    assert json.loads(first.raw)["No"] == "111222"
    assert second.raw == b'{"No": 333444}'


def test_a_bad_line_costs_its_neighbours_nothing(monkeypatch):
    """In JSON lines every line is for itself: rows in are messages and rows held back."""
    data = (
        b'{"No":"111222"}\n\n{"No":\n{"No":"333444"}\n[1]\n{"No":"555666","No":"1"}\n' + b'{"No":"' + b"1" * 99 + b'"}'
    )
    monkeypatch.setattr(read_json, "LINE_BYTES_MAX", 60)
    outcomes = read(LINES, data)
    seen = [(outcome.line, outcome.code if isinstance(outcome, HeldBack) else "") for outcome in outcomes]
    assert seen == [
        (1, ""),
        (3, "LF-JSON-SYNTAX"),
        (4, ""),
        (5, "LF-ROW-MISSING"),
        (6, "LF-JSON-REPEATED"),
        (7, "LF-JSON-SIZE"),
    ]
    assert [outcome.record for outcome in outcomes] == [1, 2, 3, 4, 5, 6]
    assert outcomes[1].raw == b'{"No":'


def test_text_between_elements_is_seen():
    """XML with text beside elements is read, and what no element holds is listed."""
    outcome = one(XML, b"<r>stray<No>111222</No> more </r>")
    assert not_carried(outcome) == ["#text"]


def test_a_file_cut_anywhere_is_refused_or_read_whole():
    """No cut leaves a message behind that says less than the file did."""
    data = '{"No":"111222","Name":"演示","Codes":["a","b"]}'.encode()
    for cut in range(len(data)):
        assert refused(JSON, data[:cut]).code in ("LF-JSON-SYNTAX", "LF-JSON-ENCODING")
