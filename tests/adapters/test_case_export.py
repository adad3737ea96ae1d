"""Case exports in JSON: cases become victims' reports, and reports cases."""

import json

import pytest

from adapters.back import bring_back
from adapters.errors import FileRefused
from adapters.model import Converted, HeldBack
from schemas import checks
from schemas.errors import MessageRefused
from schemas.v1 import field_class_pb2, report_pb2
from tests.adapters.files import ACCOUNT, CONTEXT, IDENTITY, NEXT, profile, read

NAME = "case-json"
CASE = {
    "case_number": "A3100001202611200001",
    "status": "open",
    "station": "演示市公安局",
    "reported_at": "2026-11-20T11:30:00+08:00",
    "fraud_types": ["investment"],
    "victim": {"name": "演示受害人", "id_number": IDENTITY, "phone": "19900000103", "born_on": "1971-02-11"},
    "total_loss": {"amount": "158000.00", "currency": "CNY"},
    "losses": [
        {"at": "2026-11-20T10:00:01+08:00", "amount": "150000.00", "currency": "CNY", "to_account": ACCOUNT, "to_name": "演示户"},
        {"at": "2026-11-20T10:05:00+08:00", "amount": "8000.00", "currency": "CNY", "to_account": "demo@pay.example"},
    ],
    "suspects": [{"role": "caller", "name": "自称客服", "aliases": ["王老师"], "phones": ["+8619900000101"], "accounts": [NEXT]}],
    "accounts": [{"number": ACCOUNT, "bank_code": "310000000002", "bank_name": "演示银行乙"}],
    "phones": ["19900000101", "95588"],
    "urls": ["https://pay.example"],
    "devices": ["203.0.113.9"],
    "narrative": "被引导投资。",
    "officer": {"name": "演示警官甲", "phone": "19900000001"},
}  # fmt: skip


def export(*cases: dict, **changes: object) -> bytes:
    """Return an export: of given cases, or of one with named members changed."""
    found = list(cases) or [CASE | changes]
    return json.dumps({"exported_at": "2026-11-21T08:00:00+08:00", "cases": found}, ensure_ascii=False).encode()


def test_a_case_comes_back_as_it_was():
    """Every member of a case stands in the report, and the report is the same case again."""
    (found,) = read(export(), NAME)
    assert isinstance(found, Converted), found
    checks.require_valid_record(found.message)
    assert found.warnings == ()
    back = bring_back(profile(NAME), found.message, CONTEXT)
    assert json.loads(back.data) == {"cases": [CASE]}
    assert (back.loss, back.added) == ((), ())


def test_what_a_case_says_stands_where_it_belongs():
    """The victim is apart from the suspects, amounts are minor units, and each loss names both of its accounts."""
    (found,) = read(export(), NAME)
    report = found.message
    assert isinstance(report, report_pb2.VictimCaseReport)
    assert (report.report_id, report.case_context.case_ref) == (CASE["case_number"], CASE["case_number"])
    assert (report.victim.person.name, report.victim.person.id_type) == ("演示受害人", "GB11643")
    assert report.total_loss.minor_units == 15_800_000
    assert [loss.counterparty.scheme for loss in report.losses] == ["CARD", "WALLET"]
    assert [phone.raw for phone in report.suspect_phones] == ["19900000101", "95588"]
    assert report.suspect_accounts[0].bank.name == "演示银行乙"
    assert report.suspects[0].role.code == "caller"


def test_a_bad_case_costs_its_neighbours_nothing():
    """Each case is a record; one with a ruined amount is held back, with the element at fault and no value."""
    ruined = {**CASE, "losses": [{"amount": "1.5E+05", "to_account": ACCOUNT}]}
    bad, good = read(export(ruined, CASE), NAME)
    assert isinstance(bad, HeldBack)
    assert (bad.code, bad.column) == ("LF-ROW-LOSSY-NUMBER", "amount")
    assert ACCOUNT not in bad.cause + bad.cure
    assert isinstance(good, Converted)
    assert good.raw == json.dumps(CASE, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"case_number": "A 1"}, "LF-ROW-PATTERN"),
        ({"case_number": ""}, "LF-ROW-KIND"),
        ({"total_loss": {"amount": "12,50"}}, "LF-ROW-AMOUNT"),
        ({"total_loss": {"amount": "12.505"}}, "LF-ROW-AMOUNT"),
        ({"total_loss": {"amount": "1", "currency": "Yuan"}}, "LF-ROW-CURRENCY"),
        ({"occurred_at": "2026-11-20T33:00:00+08:00"}, "LF-ROW-DATE"),
        ({"losses": [{"to_account": ACCOUNT}]}, "LF-ROW-MISSING"),
        ({"accounts": [{"bank_name": "演示银行乙"}]}, "LF-ROW-MISSING"),
        ({"station": ["a", "b"]}, "LF-ROW-REPEATED"),
    ],
)
def test_a_case_that_cannot_be_meant_is_held_back(changes, code):
    """A number with blanks, half a cent, a currency that is none, hour 33, a loss of nothing, an account without number."""
    (found,) = read(export(**changes), NAME)
    assert isinstance(found, HeldBack), found
    assert found.code == code


def test_a_report_takes_so_many_phones():
    """As many numbers as a message takes are sent; with one more the report is refused, and nothing of it is cut off."""
    field = report_pb2.VictimCaseReport.DESCRIPTOR.fields_by_name["suspect_phones"]
    most = field.GetOptions().Extensions[field_class_pb2.check].max_items
    whole, over = read(
        export(*({**CASE, "phones": [f"199{n:08}" for n in range(most + more)]} for more in (0, 1))), NAME
    )
    checks.require_valid_record(whole.message)
    assert len(over.message.suspect_phones) == most + 1
    with pytest.raises(MessageRefused):
        checks.require_valid_record(over.message)


def test_what_has_no_place_is_named():
    """A member that the report has no place for is listed by its path."""
    (found,) = read(export(prosecutor="x", victim={**CASE["victim"], "height": "170"}), NAME)
    assert sorted(warning.cause.split()[1] for warning in found.warnings) == ["prosecutor", "victim/height"]


def test_a_file_without_cases_is_refused():
    """An object of another kind is no case export."""
    with pytest.raises(FileRefused) as error:
        read(b'{"incidents": []}', NAME)
    assert error.value.code == "LF-FILE-NO-RECORD"
