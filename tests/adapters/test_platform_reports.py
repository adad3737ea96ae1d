"""Reports of banks, their acknowledgement, list checks, and payment institutions: 00401 to 00503 and A00201."""

import pytest
from lxml import etree

from adapters.back import bring_back
from adapters.errors import FileRefused
from adapters.render import render
from schemas import checks
from schemas.v1 import workflow_pb2
from tests.adapters.files import ACCOUNT, CONTEXT, NEXT, ORDERS, PAPERS, RESULTS, held, one, profile, read, record
from tests.adapters.platform_records import (
    PAPERS_OF_A_QUERY,
    REPORT_ANSWERS,
    REPORTS,
    VICTIM,
    loss,
    movement,
    tree_record,
)
from tests.adapters.test_platform_queries import bare, body_of

NOT_WRITTEN = {
    "00404": ("device_addresses[0]", "device_addresses[1]"),
    "00405": ("device_addresses[0]", "device_addresses[1]"),
}
"""What a notice holds and the interface has only among the movements."""


@pytest.mark.parametrize("code", REPORTS)
def test_a_report_reaches_the_police_and_comes_back_equal(code):
    """Each report is valid, is written for the police under its own code, and read again is equal but for the loss."""
    body = REPORTS[code] | (PAPERS_OF_A_QUERY if code == "00401" else {})
    outcomes = read(tree_record(f"1{code}", body), "tfms-bank")
    assert len(outcomes) == (2 if code in ("00403", "00405") else 1)
    for outcome in outcomes:
        checks.require_valid_record(outcome.message)
        back = bring_back(profile("tfms-police"), outcome.message, CONTEXT)
        assert (back.loss, back.added) == (NOT_WRITTEN.get(code, ()), ())
        assert etree.fromstring(back.data).findtext("Head/TxCode") == f"2{code}"
        if code in ("00401", "00501", "00503"):
            assert body_of(back.data) == bare(body)


def test_a_victims_case_is_told_with_every_transfer():
    """Victim, narrative, papers, and each transfer with both sides, device and whether it was stopped."""
    report = one(tree_record("100401", REPORTS["00401"] | PAPERS_OF_A_QUERY), "tfms-bank").message
    assert (report.victim.person.name, report.victim_phone.e164) == ("演示受害人", "+8619900000105")
    assert [paper.media_type for paper in report.attachments] == ["image/png", "image/png", "application/pdf"]
    first, second = report.losses
    assert (first.account.number, first.counterparty.number, first.direction) == (VICTIM, ACCOUNT, 2)
    assert (first.account_bank.code, first.counterparty_bank.code) == ("310000000003", "310000000002")
    assert (first.ip, first.device, first.disposition.code, second.disposition.code) == (
        "192.0.2.7",
        "D0001",
        "1",
        "0",
    )


def test_edge_data_of_a_case_report_is_kept_as_it_is():
    """Stars are a name, a masked account is marked, a date alone is a day, an empty bank is none, the node's mark is known."""
    transfer = loss(TransferInAccountNumber="6226******5669", TransferOutBankID="", Time="20261120", Currency="RMB")
    body = {**REPORTS["00401"], "VictimName": "******", "TransactionList": {"Transaction": transfer}}
    read_one = one(tree_record("100401", body, head={"IsInitialNode": "1"}), "tfms-bank")
    assert read_one.warnings == ()
    (item,) = read_one.message.losses
    assert (read_one.message.victim.person.name, item.counterparty.masked) == ("******", True)
    assert (item.at.raw, item.at.precision, item.amount.currency) == ("20261120", 1, "CNY")
    assert item.account_bank.code == ""


def test_cards_opened_oddly_are_a_notice_each():
    """Two cards of one person are two notices under one number, each with its own card, both with the holder."""
    first, second = (outcome.message for outcome in read(tree_record("100403", REPORTS["00403"]), "tfms-bank"))
    assert (first.account.number, second.account.number) == (ACCOUNT, NEXT)
    assert (first.report_id, first.holder, first.source_serial) == (
        second.report_id,
        second.holder,
        second.source_serial,
    )
    assert (first.features[0].scheme, first.features[0].code) == ("tfms.feature-code", "1001")
    assert (first.account.bank.code, second.opening_place) == ("310000000002", "演示二支行")


def test_a_notice_keeps_devices_apart_from_movements():
    """Addresses of devices stand once each in their own field; balances and clerks are listed as not carried."""
    notice = one(tree_record("100404", REPORTS["00404"]), "tfms-bank")
    assert list(notice.message.device_addresses) == ["192.0.2.7", "00-00-5E-00-53-01"]
    assert not any(item.ip or item.mac or item.HasField("balance_after") for item in notice.message.transactions)
    assert [item.account.number for item in notice.message.transactions] == [
        "310000000000001",
        "310000000000001",
        "310000000000002",
    ]
    assert notice.message.transactions[0].merchant_name == "演示商户"
    assert {note.code for note in notice.warnings} == {"element_not_carried"}
    assert {note.cause.split()[1].rpartition("/")[2] for note in notice.warnings} == {"AccountBalance", "TellerCode"}


def test_the_merchant_is_spelt_as_each_record_spells_it():
    """00404 writes MerchantName where 00302 writes merchantName; the other spelling is an element that has no place."""
    lower = {"AccountNumber": "1", "TransactionList": {"Transaction": movement(1, "merchant")}}
    notice = one(tree_record("100404", {**REPORTS["00404"], "AccountList": {"Account": lower}}), "tfms-bank")
    assert notice.message.transactions[0].merchant_name == ""
    assert any(
        note.cause.startswith("element AccountList/Account/TransactionList/Transaction/merchantName")
        for note in notice.warnings
    )


def test_odd_events_say_why_movement_by_movement():
    """Each movement has its own feature; the notice has each feature once, and is about one card."""
    first, second = (outcome.message for outcome in read(tree_record("100405", REPORTS["00405"]), "tfms-bank"))
    assert [item.code for item in first.features] == ["3006", "3007"]
    assert [item.features[0].code for item in first.transactions] == ["3006", "3007"]
    assert (first.narrative, first.holder.name, second.holder.name) == ("卡备注", "演示户", "演示户二")
    written = body_of(render(profile("tfms-police"), first, CONTEXT).data)["List"]["Accounts"]
    assert [item["FeatureCode"] for item in written["Account"]["TransactionList"]["Transaction"]] == ["3006", "3007"]


def test_an_odd_event_without_a_feature_is_no_valid_notice():
    """A notice that does not say why is refused by the language's own check, with its id."""
    bad = {"AccountNumber": "1", "TransactionList": {"Transaction": {"FeatureCode": "", **movement(1, "Merchant")}}}
    body = {**REPORTS["00405"], "List": {"Accounts": {"CardNumber": ACCOUNT, "Account": bad}}}
    broken = checks.violations(one(tree_record("100405", body), "tfms-bank").message)
    assert "SuspiciousAccountNotice.features.required" in {item.rule for item in broken}


def test_the_police_acknowledge_a_report():
    """100402 is an acknowledgement of the report by its number: the result code stays, and what it means is a word."""
    message = one(tree_record("200402", REPORT_ANSWERS["00402"]), "tfms-police").message
    checks.require_valid_record(message)
    assert (message.report_id, message.reasons[0].code) == ("310000202611200002", "0000")
    assert message.status == workflow_pb2.ACKNOWLEDGEMENT_STATUS_VALIDATED
    back = bring_back(profile("tfms-bank"), message, CONTEXT)
    assert (back.loss, back.added) == ((), ())
    assert body_of(back.data) == REPORT_ANSWERS["00402"]
    refused = one(tree_record("200402", {**REPORT_ANSWERS["00402"], "Result": "0501"}), "tfms-police").message
    assert refused.status == workflow_pb2.ACKNOWLEDGEMENT_STATUS_REJECTED
    assert body_of(render(profile("tfms-bank"), refused, CONTEXT).data)["Result"] == "0501"
    assert (
        held(tree_record("200402", {**REPORT_ANSWERS["00402"], "Result": "7777"}), "tfms-police").code == "LF-ROW-CODE"
    )


def test_a_list_check_asks_about_an_account():
    """One element or two; the record's own serial number is the check's; an unknown kind of data is held back."""
    single, double = (one(tree_record(code, REPORTS[code[1:]]), "tfms-bank").message for code in ("100501", "100503"))
    assert (single.account.number, single.list.code, single.check_id) == (
        ACCOUNT,
        "01",
        "310000_000000000000000000100501",
    )
    assert (single.HasField("person"), double.person.name) == (False, "演示户")
    assert held(tree_record("100501", {**REPORTS["00501"], "DataType": "07"}), "tfms-bank").code == "LF-ROW-CODE"
    assert held(tree_record("100503", {**REPORTS["00503"], "AccountName": ""}), "tfms-bank").code == "LF-ROW-MISSING"


def test_a_freeze_reaches_a_payment_institution():
    """A police freeze of a payment account is A00201, with the type of data that says so; what it lacks is the loss."""
    body = {**ORDERS["00201"], "AccountNumber": "pay@example", "BankID": "Z2000131000019"}
    order = one(record("200201", body, PAPERS), "tfms-police").message
    back = bring_back(profile("tfms-payment"), order, CONTEXT)
    written = body_of(back.data)
    assert etree.fromstring(back.data).findtext("Head/TxCode") == "A00201"
    assert (written["DataType"], written["Data"], written["OnlinePayCompanyID"]) == (
        "01",
        "pay@example",
        "Z2000131000019",
    )
    assert len(written["Attachments"]["Attachment"]) == 3
    assert back.added == ()
    assert {path.partition(".")[0] for path in back.loss} == {"application_type", "emergency", "target_holder"}


def test_a_payment_institution_answers():
    """A00202 is a freeze's result; data that are no account are not taken for one, and listed."""
    answer = {
        name: text for name, text in RESULTS["00202"].items() if not name.startswith(("AccountN", "AccountT", "Card"))
    }
    result = one(record("A00202", {**answer, "DataType": "01", "Data": "pay@example"}), "tfms-payment").message
    assert (result.target.number, result.frozen.minor_units) == ("pay@example", 1200)
    back = bring_back(profile("tfms-police"), result, CONTEXT)
    assert (back.loss, back.added) == ((), ())
    other = one(record("A00202", {**answer, "DataType": "03", "Data": "19900000101"}), "tfms-payment")
    assert not other.message.HasField("target")
    assert [note.cause.split()[1] for note in other.warnings] == ["Data"]


def test_a_payment_institution_is_sent_freezes_alone():
    """A stop payment has no A-code that was seen, so it is refused rather than guessed."""
    order = one(record("200101", ORDERS["00101"]), "tfms-police").message
    with pytest.raises(FileRefused) as refused:
        render(profile("tfms-payment"), order, CONTEXT)
    assert refused.value.code == "LF-RENDER-NO-RECORD"
