"""Every value of every golden file leads an auditor to the bytes that it is from; what has none is fixed by the profile."""

import base64
import csv
import html
import io
import json
import re
from collections.abc import Callable
from importlib import resources
from urllib.parse import unquote

import pytest

import adapters
from adapters.convert import convert
from adapters.errors import FileRefused
from adapters.golden import cases_in
from adapters.grounds import LOOK
from adapters.model import Converted
from tests.adapters.files import read
from tests.adapters.trees import made, one

WORKBOOK = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
"""How workbooks begin: their cells have a sheet, a row and a column, and no bytes of their own."""
NOT_IN_THE_FILE = {
    ("shaken-passport", "verification"): "what the check of the signature came to",
    ("shaken-passport", "certificate_sha256"): "the certificate stands in a file of its own",
}
"""Columns that a reader adds, by profile, with the reason."""


def texts(data: bytes) -> list[str]:
    """Return bytes as text in each encoding that they may be in."""
    found = []
    for encoding in ("utf-8", "gb18030", "latin-1"):
        try:
            found.append(data.decode(encoding))
        except UnicodeDecodeError:
            continue
    return found


def in_base64(data: bytes) -> list[str]:
    """Return what a part of a token holds, as compact JSON has it too."""
    text = data.decode()
    if "." in text:
        return [text]
    whole = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    return [whole, json.dumps(json.loads(whole))]


def in_json(data: bytes) -> list[str]:
    """Return a text or a number of JSON as it stands and without its escapes, as far as it is one."""
    text = data.decode()
    return [text, str(json.loads(text))] if text[:1] == '"' else [text]


DECODED: dict[str, Callable[[bytes], list[str]]] = {
    "csv": lambda data: [cell for text in texts(data) for cell in (text, *next(csv.reader(io.StringIO(text)), ()))],
    "xml": lambda data: [html.unescape(text) for text in texts(data)],
    "json": in_json,
    "stix": in_json,
    "misp": in_json,
    "freeswitch": lambda data: [shown for text in in_json(data) for shown in (text, unquote(text))],
    "fin": lambda data: [whole for text in texts(data) for whole in (text, re.sub(r"\r?\n|\?[0-9]{2}", "", text))],
    "passport": in_base64,
    "ber": lambda data: [data.hex(), *texts(data)],
}
"""How the bytes of a value are read, by format; as text where nothing else is said."""


def holds(form: str, held: bytes, raw: str) -> bool:
    """Say whether bytes hold a text, whatever blanks and line breaks stand in it."""
    pieces = raw.split(", ") if form == "passport" else re.split(r"(?<=[0-9]):(?=[0-9a-f]{32})", raw)
    read_as = [" ".join(text.split()) for text in DECODED.get(form, texts)(held)]
    return all(any(" ".join(piece.split()) in text for text in read_as) for piece in pieces)


@pytest.mark.parametrize("name", sorted(adapters.profiles()))
def test_every_value_leads_to_the_bytes_that_it_is_from(name):
    """The bytes that lineage names hold the original text, of choices and currencies too; only what the profile fixes has none."""
    profile = adapters.profiles()[name]
    form, wrong, looked = profile.file.source.format, [], 0
    for case in cases_in(resources.files("adapters") / "profiles" / f"{name}.golden"):
        if case.data.startswith(WORKBOOK):
            continue
        try:
            outcomes = list(convert(profile, case.data, case.companions))
        except FileRefused:
            continue
        for item in (item for outcome in outcomes if isinstance(outcome, Converted) for item in outcome.lineage):
            if item.verb == "const" or (name, item.column) in NOT_IN_THE_FILE:
                assert item.start == -1
                continue
            looked += 1
            if item.start < 0 or not holds(form, case.data[item.start : item.end], item.raw):
                wrong.append((case.name, item.field, item.column, item.verb))
    assert wrong == []
    assert looked or name in {"citic-credit-xls", "ncrp-bank-action", "spdb-debit-xls"}


ICBC = (
    "明细查询文件下载\n卡号: 6299990000001000011,子账户序号: 00000\n"
    "交易日期,摘要,交易场所,交易国家或地区简称,钞/汇,交易金额(收入),交易金额(支出),交易币种,记账金额(收入),记账金额(支出),记账币种,余额,对方户名\n"
)


def of(found: Converted, field: str, data: bytes) -> list[tuple[str, str, bytes, str]]:
    """Return column, original text, bytes and verb of each entry of a field."""
    items = [item for item in found.lineage if item.field == field]
    return [(item.column, item.raw, data[item.start : item.end], item.verb) for item in items]


def test_a_direction_that_a_condition_chose_leads_to_the_cell_that_it_looked_at():
    """Of two columns, in and out, the one that has an amount decides; that cell is named, with its bytes and text."""
    rows = "2026-11-02,a,b,CHN,钞,,,人民币,7.00,-,人民币,1.00,x\n2026-11-02,a,b,CHN,钞,,,人民币,-,8.50,人民币,1.00,x\n"
    data = (ICBC + rows).encode()
    (found,) = read(data, "icbc-debit-csv")
    assert isinstance(found, Converted)
    assert of(found, "transactions[0].direction", data) == [("记账金额(收入)", "7.00", b"7.00", "choose")]
    assert of(found, "transactions[1].direction", data) == [("记账金额(支出)", "8.50", b"8.50", "choose")]
    assert of(found, "transactions[1].amount.currency", data) == [("记账币种", "人民币", "人民币".encode(), "currency")]


CHOICE = """
[[record]]
message = "SuspiciousAccountNotice"
[record.field."account"]
from = "No"
parse = "account"
[record.field."holder.id_type"]
choose = [
    { if = 'row["Kind"] == "P"', const = "PASSPORT" },
    { if = 'row["Tax"] == "1"', const = "TAX" },
    { if = 'row["Kind"] != "X"', const = "OTHER" },
]
[record.field."narrative"]
const = "checked"
when = 'row["Seen"] == "" && row["Gone"] == ""'
"""


@pytest.mark.parametrize(
    ("inside", "looked"),
    [
        ("<Kind>P</Kind><Tax>1</Tax>", [("Kind", "P", b"<Kind>P</Kind>", "choose")]),
        ("<Kind>Q</Kind><Tax>1</Tax>", [("Tax", "1", b"<Tax>1</Tax>", "choose")]),
        (
            "<Kind>Q</Kind><Tax>2</Tax>",
            [("Kind", "Q", b"<Kind>Q</Kind>", "choose"), ("Tax", "2", b"<Tax>2</Tax>", "choose")],
        ),
        ("<Kind>Q</Kind>", [("Kind", "Q", b"<Kind>Q</Kind>", "choose")]),
    ],
)
def test_a_choice_of_a_tree_leads_to_what_its_condition_looked_at(inside, looked):
    """The condition that held names its elements; the last one stands for the rest, and names those of all."""
    data = f"<r><No>123456</No>{inside}</r>".encode()
    assert of(one(made(CHOICE), data), "holder.id_type", data) == looked


def test_what_is_chosen_because_nothing_is_there_leads_to_where_it_was_looked_for():
    """Where no element stands that the condition asked for, the one around it is named, and there is no text."""
    data = b"<x><r><No>123456</No></r></x>"
    found = one(made(CHOICE.replace("[[record]]", '[[record]]\nat = "r"')), data)
    whole = b"<r><No>123456</No></r>"
    assert of(found, "holder.id_type", data) == [("Kind", "", whole, "choose"), ("Tax", "", whole, "choose")]
    fixed = [("", "", b"", "const"), ("Seen", "", whole, "when"), ("Gone", "", whole, "when")]
    assert of(found, "narrative", data) == fixed


@pytest.mark.parametrize(
    ("called", "final", "taken"),
    [
        ("12135550111", "12135550122", ["finalCalledPartyNumber", "originalCalledPartyNumber"]),
        ("12135550111", "", ["originalCalledPartyNumber"]),
    ],
)
def test_of_two_columns_the_one_is_named_of_which_the_number_was_taken(called, final, taken):
    """The other is named as looked at, where it has something."""
    header = "cdrRecordType,globalCallID_callId,dateTimeOrigination,callingPartyNumber,originalCalledPartyNumber,finalCalledPartyNumber,duration\n"
    data = f"{header}1,7,1795140900,12135550100,{called},{final},5\n".encode()
    (found,) = read(data, "cisco-cucm-cdr-csv")
    assert isinstance(found, Converted)
    entries = of(found, "calls[0].called", data)
    assert [column for column, *_ in entries] == taken
    assert [verb for *_, verb in entries] == ["parse phone", LOOK][: len(taken)]
