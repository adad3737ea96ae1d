"""Every profile against its own files, spoilt: cut off, doubled, saved in another encoding, with NULs, columns shuffled.

Whatever was done to a file, it becomes messages and records held back, or is refused with a code. No number comes out that
did not stand in the file as it was, unless the message says that its record may be cut off.
"""

import csv
import io
import random
import time
from collections.abc import Iterator
from importlib import resources
from typing import Any

import pytest
from google.protobuf.message import Message

import adapters
from adapters.catalogue import load
from adapters.convert import convert
from adapters.errors import FileRefused, ProfileRefused
from adapters.golden import Case, cases_in
from adapters.lines import UNENDED, is_unended
from adapters.model import Converted, HeldBack
from schemas.v1 import common_pb2
from tests.adapters.files import NOTICE_HEADER, NOTICE_ROW
from tests.adapters.samples import samples_of

CUTS = 24
CASES = [
    pytest.param(name, case, id=f"{name}-{case.name}")
    for name in sorted(adapters.profiles())
    for case in [*cases_in(resources.files("adapters") / "profiles" / f"{name}.golden"), *samples_of(name)]
]
MAY_BE_CUT = "unended_last_line"
BOC_HEADER = "记账日期,记账时间,币别,金额,余额,交易名称,渠道,网点名称,附言,对方账户名,对方卡号/账号,对方开户行"
BOC_ROW = "2026-11-12,10:00:01,人民币,-5.00,200.05,转账,手机银行,,,,,"
DEMANDING = """
[profile]
name = "demanding"
version = "1"
title = "Accounts"

[source]
format = "csv"

[source.header]
required = ["number", "kind"]

[source.columns]
number = ["no"]
kind = ["kind"]
bank = ["bank"]

[target]
message = "SuspiciousAccountNotice"

[field."account"]
from = "number"
parse = "account"

[field."account.bank.name"]
from = "bank"
check = { required = true }
"""


def outcomes(name: str, data: bytes, case: Case) -> list[Any]:
    """Return what a file becomes; nothing when it is refused, with a code and a cure, in time."""
    began = time.monotonic()
    found: list[Any] = []
    refusals: list[Any] = []
    try:
        found = list(convert(adapters.profiles()[name], data, case.companions))
    except FileRefused as error:
        refusals.append(error)
    assert time.monotonic() - began < 10
    for outcome in [*refusals, *found]:
        if not isinstance(outcome, Converted):
            assert outcome.code  # ours, or the id of a rule in the .proto
            assert outcome.cause
            assert outcome.cure
    return found


def numbers(message: Any) -> Iterator[str]:
    """Yield every amount and every account number in a message."""
    for field, value in message.ListFields():
        items = value if field.is_repeated else [value]
        for item in items:
            if isinstance(item, common_pb2.Money):
                yield f"{item.minor_units} {item.currency}"
            elif isinstance(item, common_pb2.AccountRef) and item.number:
                yield item.number
            if isinstance(item, Message):
                yield from numbers(item)


def all_numbers(found: list[Any], passed: str = MAY_BE_CUT) -> set[str]:
    """Return every number in the messages, those that say that they may be cut off excepted."""
    messages = [outcome.message for outcome in found if isinstance(outcome, Converted)]
    return {number for message in messages if passed not in message.provenance.warnings for number in numbers(message)}


@pytest.mark.parametrize(("name", "case"), CASES)
def test_a_file_that_is_cut_off_invents_no_number(name: str, case: Case) -> None:
    """A file cut at any of many places gives what stood before the cut, or is refused."""
    whole = all_numbers(outcomes(name, case.data, case), "")
    chance = random.Random(len(case.data))
    for _ in range(CUTS):
        cut = chance.randrange(len(case.data))
        assert all_numbers(outcomes(name, case.data[:cut], case)) <= whole, f"cut at {cut}"


@pytest.mark.parametrize(("name", "case"), CASES)
def test_a_file_that_stands_twice_in_itself_invents_no_number(name: str, case: Case) -> None:
    """A file written twice into one gives its records twice, or is refused."""
    whole = all_numbers(outcomes(name, case.data, case), "")
    assert all_numbers(outcomes(name, case.data + case.data, case)) <= whole


@pytest.mark.parametrize(("name", "case"), CASES)
def test_nuls_invent_no_number(name: str, case: Case) -> None:
    """A NUL anywhere is passed over, refuses the file, or holds the record back."""
    whole = all_numbers(outcomes(name, case.data, case), "")
    chance = random.Random(len(case.data))
    for _ in range(CUTS // 2):
        place = chance.randrange(len(case.data))
        spoilt = case.data[:place] + b"\0" + case.data[place:]
        assert all_numbers(outcomes(name, spoilt, case)) <= whole, f"NUL at {place}"


@pytest.mark.parametrize(("name", "case"), CASES)
def test_a_file_saved_in_another_encoding_says_the_same_or_is_refused(name: str, case: Case) -> None:
    """UTF-8 and GB18030 give the same numbers; UTF-16 and Latin-1 give those or none."""
    whole = all_numbers(outcomes(name, case.data, case), "")
    for known in ("utf-8-sig", "gb18030"):
        try:
            text = case.data.decode(known)
        except UnicodeDecodeError:
            continue
        for other in ("utf-8", "utf-8-sig", "gb18030", "utf-16", "latin-1"):
            spoilt = text.encode(other, errors="ignore")
            assert all_numbers(outcomes(name, spoilt, case)) <= whole, other
        return


def _has_free_columns(name: str) -> bool:
    """Say whether a profile knows columns by their headers, in cells that Python's csv module reads as we do."""
    source = adapters.profiles()[name].file.source
    return source.format == "csv" and source.header is not None and not source.header.looks and not source.padded


@pytest.mark.parametrize(("name", "case"), [case for case in CASES if _has_free_columns(case.values[0])])
def test_the_order_of_columns_changes_nothing(name: str, case: Case) -> None:
    """A table whose columns are shuffled becomes the same messages."""
    source = adapters.profiles()[name].file.source
    encoding = "utf-8-sig" if _is_utf8(case.data) else "gb18030"
    rows = list(csv.reader(io.StringIO(case.data.decode(encoding), newline=""), delimiter=source.delimiter))
    known = {spelling for spellings in source.columns.values() for spelling in spellings}
    header = max(range(len(rows)), key=lambda number: len(known.intersection(map(str.strip, rows[number]))))
    width = len(rows[header])
    order = random.Random(width).sample(range(1, width), width - 1)  # the first stays: a footer's word stands there
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=source.delimiter)
    for number, row in enumerate(rows):
        shuffled = number >= header and len(row) >= width
        writer.writerow([row[0], *(row[place] for place in order), *row[width:]] if shuffled else row)
    before = [str(found.message) for found in _strip(outcomes(name, case.data, case))]
    after = [str(found.message) for found in _strip(outcomes(name, out.getvalue().encode(encoding), case))]
    assert after == before


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return False
    return True


def _strip(found: list[Any]) -> list[Converted]:
    messages = [outcome for outcome in found if isinstance(outcome, Converted)]
    for outcome in messages:
        outcome.message.ClearField("provenance")  # type: ignore[arg-type]  # every message that adapters make has one
    return messages


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_last_record_says_when_its_line_may_be_cut_off(end: str) -> None:
    """Without a line end the last message has the warning, alone or of a group; with one, or held back, none has."""
    rows = [",".join(NOTICE_HEADER), ",".join(NOTICE_ROW), ",".join(NOTICE_ROW)]
    assert _unended("bank-notice-csv", end.join(rows)) == [False, True]
    assert _unended("bank-notice-csv", end.join(rows) + end) == [False, False]
    assert _unended("bank-notice-csv", end.join([*rows, "x"])) == [False, False]
    lines = [BOC_HEADER, BOC_ROW, BOC_ROW]
    assert _unended("boc-debit-csv", end.join(lines)) == [True]
    assert _unended("boc-debit-csv", end.join([*lines, ""])) == [False]


def test_a_file_of_one_line_says_nothing_of_its_end() -> None:
    """Where no line has an end, the last is as whole as the others."""
    assert not is_unended(1, b"a,b")
    assert is_unended(2, b"a,b")


@pytest.mark.parametrize(
    "spoilt", [BOC_HEADER.replace("对方账户名", "对方\0账户名"), f"账号：62999900\0001\n{BOC_HEADER}"]
)
def test_a_control_character_in_the_header_or_above_it_refuses_the_file(spoilt: str) -> None:
    """A column or a number would be lost unseen."""
    with pytest.raises(FileRefused) as refused:
        convert(adapters.profiles()["boc-debit-csv"], f"{spoilt}\n{BOC_ROW}\n".encode())
    assert refused.value.code == "LF-FILE-NO-HEADER"
    assert "control character" in refused.value.cause


def test_a_header_without_any_column_of_what_each_record_must_have_is_none() -> None:
    """Where several columns can give it, the file is refused with the names of all of them; no profile is at fault."""
    with pytest.raises(FileRefused) as refused:
        convert(adapters.profiles()["boc-debit-csv"], f"{BOC_HEADER.replace('金额', '金')}\n{BOC_ROW}\n".encode())
    assert refused.value.code == "LF-FILE-NO-HEADER"
    assert "收入金额 or 支出金额 or 金额" in refused.value.cause


def test_what_only_some_records_must_have_refuses_those_records_alone() -> None:
    """Without its column, a record that must have a field is held back and the others are not."""
    text = DEMANDING.replace(
        "check = { required = true }", 'check = { required = true }\nwhen = \'row["kind"] == "a"\''
    )
    first, second = convert(load(text), b"no,kind\n1,a\n2,b\n")
    assert isinstance(first, HeldBack)
    assert (first.code, first.column) == ("LF-ROW-MISSING", "bank")
    assert isinstance(second, Converted)


def test_a_profile_whose_header_may_lack_what_each_record_must_have_is_refused() -> None:
    """It is found when the profile is loaded, not at the first file."""
    with pytest.raises(ProfileRefused) as refused:
        load(DEMANDING)
    assert refused.value.cure == "add bank to required in [source.header]"


def _unended(name: str, text: str) -> list[bool]:
    found = convert(adapters.profiles()[name], text.encode())
    return [
        MAY_BE_CUT in outcome.message.provenance.warnings and UNENDED in outcome.warnings
        for outcome in found
        if isinstance(outcome, Converted)
    ]
