"""Queries to banks, their answers, and monitoring: the risk-event platform's codes 00301 to 00310, both sides, both ways."""

import csv
from typing import Any

import pytest
from lxml import etree

from adapters.back import bring_back
from adapters.convert import convert
from adapters.errors import FileRefused
from adapters.model import HeldBack
from adapters.render import render
from adapters.tree_map import read_written
from schemas import checks
from schemas.v1 import account_pb2, common_pb2, monitoring_pb2
from tests.adapters.files import (
    ACCOUNT,
    CONTEXT,
    IDENTITY,
    NEXT,
    ORDERS,
    RESULTS,
    SAMPLES,
    held,
    one,
    profile,
    read,
)
from tests.adapters.platform_records import (
    ANSWERS,
    PAPERS_OF_A_QUERY,
    QUERIES,
    REPORT_ANSWERS,
    REPORTS,
    account,
    movement,
    tree_record,
)

FROM_POLICE = {**ORDERS, **QUERIES, **REPORT_ANSWERS}
FROM_BANK = {**RESULTS, **ANSWERS, **REPORTS}
NOT_IN_A_NOTICE = ("AccountBalance", "IPAddress", "MAC", "TellerCode")


def sent(code: str, body: dict[str, Any]) -> tuple[bytes, str, str]:
    """Return a record as its sender's system writes it, the sender's dialect, and the receiver's."""
    if code in FROM_POLICE:
        return tree_record(f"2{code}", body), "tfms-police", "tfms-bank"
    return tree_record(f"1{code}", body), "tfms-bank", "tfms-police"


def content(element: etree._Element) -> Any:
    """Return an element as the fixtures write it: its text, or its elements, several of one name as a list."""
    if not len(element):
        return element.text or ""
    found: dict[str, Any] = {}
    for child in element:
        name, inner = str(child.tag), content(child)
        if name in found:
            several = found[name] if isinstance(found[name], list) else [found[name]]
            found[name] = [*several, inner]
        else:
            found[name] = inner
    return found


def bare(value: Any) -> Any:
    """Return a body without empty elements, and with a list of one as the one."""
    if isinstance(value, list):
        kept = [inner for item in value if (inner := bare(item))]
        return kept[0] if len(kept) == 1 else kept
    if isinstance(value, dict):
        return {name: inner for name, item in value.items() if (inner := bare(item))}
    return value


def body_of(data: bytes) -> Any:
    body = etree.fromstring(data).find("Body")
    assert body is not None
    return bare(content(body))


@pytest.mark.parametrize("code", [*QUERIES, *ANSWERS])
def test_what_one_side_writes_lies_before_the_other(code):
    """Every element of a query or an answer reaches the other side's system, but for remarks on cards of a whole list."""
    whole = QUERIES[code] | PAPERS_OF_A_QUERY if code in QUERIES else ANSWERS[code]
    data, sender, receiver = sent(code, whole)
    message = one(data, sender)
    assert message.warnings == ()
    checks.require_valid_record(message.message)
    back = bring_back(profile(receiver), message.message, CONTEXT)
    assert back.added == ()
    root = etree.fromstring(back.data)
    assert (root.tag, root.findtext("Head/TxCode")) == ("Response", ("1" if code in QUERIES else "2") + code)
    expected = bare(whole)
    if code == "00310":
        assert back.loss == ("account_remarks[0]", "account_remarks[1]")
        for card in expected["AccountsList"]["Accounts"]:
            del card["Remark"]
    else:
        assert back.loss == ()
    assert body_of(back.data) == expected


def test_a_query_walks_to_the_bank_and_its_answer_to_the_police():
    """200301 is a query, which the bank's core reads as 100301; its 100302 is a trace, which the police read as 200302."""
    query = one(tree_record("200301", QUERIES["00301"] | PAPERS_OF_A_QUERY), "tfms-police").message
    assert query.DESCRIPTOR.name == "TransactionQuery"
    assert (query.account.number, query.inquiry_mode.code, query.bank.code) == (ACCOUNT, "03", "310000000002")
    asked = etree.fromstring(render(profile("tfms-bank"), query, CONTEXT).data)
    number = asked.findtext("Body/ApplicationID") or ""
    trace = one(tree_record("100302", {**ANSWERS["00302"], "ApplicationID": number}), "tfms-bank").message
    assert trace.application_id == query.application_id == number
    back = bring_back(profile("tfms-police"), trace, {**CONTEXT, "sender": "bank-b"})
    assert (back.loss, back.added) == ((), ())
    assert etree.fromstring(back.data).findtext("Head/TxCode") == "200302"
    assert body_of(back.data) == bare({**ANSWERS["00302"], "ApplicationID": number})


def test_a_trace_keeps_each_movement_with_its_account():
    """Two accounts of one card: balances and movements stay with their own, whatever their order, and go back so."""
    trace = one(tree_record("100302", ANSWERS["00302"]), "tfms-bank").message
    assert [item.account.number for item in trace.accounts] == ["310000000000001", "310000000000002"]
    assert [(item.account.number, item.amount.currency) for item in trace.balances] == [
        ("310000000000001", "CNY"),
        ("310000000000002", "USD"),
    ]
    moved = [(item.account.number, item.amount.minor_units, item.direction) for item in trace.transactions]
    assert moved == [("310000000000001", 100_005, 2), ("310000000000001", 200_005, 1), ("310000000000002", 300_005, 2)]
    first = trace.transactions[0]
    assert (first.counterparty.number, first.counterparty_id.id_number, first.ip, first.mac) == (
        NEXT,
        IDENTITY,
        "192.0.2.7",
        "00-00-5E-00-53-01",
    )
    assert (first.merchant_name, first.slip_number, first.teller) == ("演示商户", "S0001", "G001")
    last = trace.balances.pop(0)
    trace.balances.append(last)
    accounts = body_of(render(profile("tfms-police"), trace, CONTEXT).data)["Accounts"]["Account"]
    assert [(item["AccountNumber"], item["Currency"]) for item in accounts] == [
        ("310000000000001", "CNY"),
        ("310000000000002", "USD"),
    ]


def test_sub_accounts_of_one_number_keep_their_own_movements():
    """One account number with two serial numbers is two accounts, and each movement goes back to its own."""
    both = [
        account(AccountSerial=serial, Currency=currency, Transactions={"Transaction": [movement(1, Currency=currency)]})
        for serial, currency in (("1", "CNY"), ("2", "USD"))
    ]
    body = {**ANSWERS["00302"], "Accounts": {"CardNumber": ACCOUNT, "Account": both}}
    trace = one(tree_record("100302", body), "tfms-bank").message
    assert [item.account_serial for item in trace.transactions] == ["1", "2"]
    back = bring_back(profile("tfms-police"), trace, CONTEXT)
    assert (back.loss, back.added) == ((), ())
    assert body_of(back.data) == bare(body)


def test_two_equal_movements_are_two():
    """Two withdrawals that no text tells apart are both read and both written."""
    body = {
        **ANSWERS["00302"],
        "Accounts": {"CardNumber": ACCOUNT, "Account": [account(Transactions={"Transaction": [movement(1)] * 2})]},
    }
    trace = one(tree_record("100302", body), "tfms-bank").message
    assert trace.transactions[0] == trace.transactions[1]
    written = body_of(render(profile("tfms-police"), trace, CONTEXT).data)
    assert len(written["Accounts"]["Account"]["Transactions"]["Transaction"]) == 2


def test_a_trace_of_more_movements_than_a_message_takes_is_several():
    """1030 movements become two messages, each with the answer's head, and none is lost."""
    many = {"Transaction": [movement(number % 60, TransactionSerial=str(number)) for number in range(1030)]}
    body = {**ANSWERS["00302"], "Accounts": {"CardNumber": ACCOUNT, "Account": [account(Transactions=many)]}}
    outcomes = [outcome.message for outcome in read(tree_record("100302", body), "tfms-bank")]
    assert [len(message.transactions) for message in outcomes] == [1024, 6]
    assert {message.application_id for message in outcomes} == {ANSWERS["00302"]["ApplicationID"]}
    serials = [item.reference for message in outcomes for item in message.transactions]
    assert serials == [str(number) for number in range(1030)]


def test_an_answer_without_accounts_is_an_answer():
    """A query that found nothing is answered with its code; the card that was asked for is still there."""
    body = {**ANSWERS["00302"], "Result": "0300", "Accounts": {"CardNumber": ACCOUNT, "AccountOpenTime": "20200105"}}
    trace = one(tree_record("100302", body), "tfms-bank").message
    assert (trace.result.code, trace.card.number, len(trace.transactions)) == ("0300", ACCOUNT, 0)
    assert trace.accounts[0].opened_at.precision == common_pb2.TIME_PRECISION_DAY
    assert bring_back(profile("tfms-police"), trace, CONTEXT).loss == ()


def test_the_holder_of_a_card_is_told_whole():
    """Agent, employer, legal representative, tax numbers and the end of the document: each in a field that says what it is."""
    holder = one(tree_record("100304", ANSWERS["00304"]), "tfms-bank").message
    party = holder.holder
    assert (party.person.id_number, party.person.id_type, party.person.id_type_raw) == (IDENTITY, "GB11643", "01")
    assert (party.phones[0].e164, party.home_phone.e164) == ("+8619900000101", "+8619900000102")
    assert (party.employer.name, party.employer_address.text) == ("演示公司", "演示路2号")
    assert party.organisation.representative.name == "演示法人"
    assert [(paper.type_raw, paper.number) for paper in party.documents] == [
        ("StateTaxSerial", "G0001"),
        ("LocalTaxSerial", "D0001"),
        ("AccountCredential", ""),
    ]
    assert party.documents[2].expires_at.raw == "20300101"
    assert holder.agent.id_type == "PASSPORT"


def test_an_answer_without_content_goes_back_under_its_own_code():
    """A holder query and a query for all accounts that both failed are told apart, though neither has any content."""
    for code in ("00304", "00310"):
        body = {"ApplicationID": "1", "Result": "0100"}
        message = one(tree_record(f"1{code}", body), "tfms-bank").message
        data = render(profile("tfms-police"), message, CONTEXT).data
        assert etree.fromstring(data).findtext("Head/TxCode") == f"2{code}"


def test_measures_and_rights_of_others_are_kept():
    """A court's freeze and another's pledge come with authority, term, amount and obligee; the misspelt serial too."""
    answer = one(tree_record("100310", ANSWERS["00310"]), "tfms-bank").message
    (measure,), (right,) = answer.measures, answer.rights
    assert (measure.kind.scheme, measure.kind.code, measure.authority) == (
        "tfms.measure-type",
        "1001",
        "演示区人民法院",
    )
    assert (measure.amount.minor_units, measure.expires_at.raw) == (320_000, "20270101000000")
    assert (right.serial, right.obligee.name, right.amount.minor_units) == ("1", "演示权利人", 50_000)
    assert right.amount.currency_assumed
    assert [item.card.number for item in answer.accounts] == [ACCOUNT, ACCOUNT, NEXT]


def test_monitoring_is_ordered_answered_reported_and_ended():
    """Order, answer, event and end are messages of their own; 00306 without movements is the answer."""
    order = one(tree_record("200305", QUERIES["00305"]), "tfms-police").message
    end = one(tree_record("200307", QUERIES["00307"]), "tfms-police").message
    assert (order.kind, order.monitoring_id) == (monitoring_pb2.MONITORING_KIND_START, "310000202611200009")
    assert (end.kind, end.original_application_id) == (monitoring_pb2.MONITORING_KIND_END, "310000202611190009")
    event = one(tree_record("100306", ANSWERS["00306"]), "tfms-bank").message
    assert (event.DESCRIPTOR.name, len(event.transactions)) == ("MonitoringEvent", 2)
    body = {name: text for name, text in ANSWERS["00306"].items() if name != "Transactions"}
    answer = one(tree_record("100306", body), "tfms-bank").message
    assert (answer.DESCRIPTOR.name, answer.kind) == ("MonitoringAnswer", monitoring_pb2.MONITORING_KIND_START)
    assert body_of(render(profile("tfms-police"), answer, CONTEXT).data) == bare(body)
    ended = one(tree_record("100308", ANSWERS["00308"]), "tfms-bank").message
    assert (ended.kind, ended.reason) == (monitoring_pb2.MONITORING_KIND_END, "监控结束")


def test_a_query_of_another_dialect_becomes_the_record_that_loses_least():
    """A query for an account is 100303, one for a person 100309, wherever it came from."""
    asked = {"application_id": "Q1", "bank": {"scheme": "CNAPS", "code": "310000000002"}}
    queries = {
        "100303": account_pb2.AccountQuery(**asked, account={"number": ACCOUNT}, person={"name": "演示户"}),
        "100309": account_pb2.AccountQuery(**asked, person={"name": "演示户", "id_number": IDENTITY}),
    }
    codes = {
        code: etree.fromstring(render(profile("tfms-bank"), query, CONTEXT).data).findtext("Head/TxCode")
        for code, query in queries.items()
    }
    assert codes == {code: code for code in queries}


@pytest.mark.parametrize(
    ("code", "changes", "refusal"),
    [
        ("200305", {"InterceptionEndTime": "123"}, "LF-ROW-DATE"),
        ("200301", {"InquiryPeriodEnd": "20160603330909"}, "LF-ROW-DATE"),
        ("200301", {"CardNumber": ""}, "LF-ROW-MISSING"),
        ("200303", {"CardNumber": "6.22848E+18"}, "LF-ROW-LOSSY-NUMBER"),
        ("200309", {"ApplicationID": ""}, "LF-ROW-MISSING"),
        ("100302", {"Result": "成功"}, "LF-ROW-PATTERN"),
    ],
)
def test_what_cannot_be_read_for_certain_is_held_back(code, changes, refusal):
    """An end of three digits, an hour 33, no card, a ruined number: held back with the element, never with the value."""
    outcome = held(tree_record(code, {**{**QUERIES, **ANSWERS}[code[1:]], **changes}), f"tfms-{_side(code)}")
    (name, value), *_ = changes.items()
    assert (outcome.code, outcome.column) == (refusal, name)
    assert outcome.cure
    assert not value or value not in outcome.cause


def _side(code: str) -> str:
    return "police" if code[0] == "2" else "bank"


def test_one_movement_that_cannot_be_read_names_its_element():
    """An unknown sign of a movement holds the answer back: which way money went is never guessed."""
    many = {"Transaction": [movement(1), movement(2, BorrowingSigns="借")]}
    body = {**ANSWERS["00302"], "Accounts": {"CardNumber": ACCOUNT, "Account": [account(Transactions=many)]}}
    outcome = held(tree_record("100302", body), "tfms-bank")
    assert (outcome.code, outcome.column) == ("LF-ROW-CODE", "BorrowingSigns")


def test_odd_codes_are_kept_and_noted():
    """InquiryMode 03 of a query for accounts is known; a mode, a subject and a measure that no list has are noted."""
    query = one(tree_record("200309", {**QUERIES["00309"], "InquiryMode": "03"}), "tfms-police")
    assert (query.message.inquiry_mode.code, query.warnings) == ("03", ())
    odd = one(tree_record("200309", {**QUERIES["00309"], "InquiryMode": "07", "SubjectType": "person"}), "tfms-police")
    assert [note.field for note in odd.warnings] == ["subject_type", "inquiry_mode"]
    assert odd.message.inquiry_mode.code == "07"


def test_the_code_decides_and_neither_root_nor_file_name():
    """A 200305 under another root, in a file that says 200309, is an order to monitor; without a code nothing is read."""
    order = one(tree_record("200305", QUERIES["00305"], root="Response"), "tfms-police").message
    assert order.DESCRIPTOR.name == "MonitoringOrder"
    for code in ("", "200999", "100301"):
        with pytest.raises(FileRefused) as refused:
            convert(profile("tfms-police"), tree_record(code, QUERIES["00301"]))
        assert refused.value.code == "LF-XML-CODE"


def test_every_message_seen_in_the_field_is_read_or_refused_for_what_is_wrong_with_it():
    """Developers' messages, where they are on this machine: a date that never was is the one thing that holds one back."""
    paths = sorted((SAMPLES / "cn-tfms").glob("*.xml"))
    if not paths:
        pytest.skip("the messages are not on this machine")
    for path in paths:
        data = path.read_bytes()
        code = etree.fromstring(data).findtext("Head/TxCode") or ""
        outcomes = list(read_written(profile(f"tfms-{_side(code)}"), data))
        assert outcomes, path.name
        assert {outcome.code for outcome in outcomes if isinstance(outcome, HeldBack)} <= {"LF-ROW-DATE"}, path.name


def _names(element: etree._Element, above: str = "") -> list[str]:
    path = f"{above}/{element.tag}" if above else str(element.tag)
    if not len(element):
        return [path]
    return [name for child in element for name in _names(child, path)]


@pytest.mark.parametrize("code", [*FROM_POLICE, *FROM_BANK])
def test_every_element_of_the_interface_is_in_its_place(code):
    """What is written has the elements of the interface's own list, in its order, papers apart."""
    path = SAMPLES / "cn-tfms" / "element-paths.tsv"
    if not path.exists():
        pytest.skip("the list of elements is not on this machine")
    with path.open(encoding="utf-8") as file:
        rows = [
            row["path"].replace("[]", "")
            for row in csv.DictReader(file, delimiter="\t")
            if row["tx_code"] == f"1{code}"
        ]
    wanted = [row for row in dict.fromkeys(rows) if row.startswith("/Body/") and not row.startswith("/Body/Attach")]
    if code in ("00404", "00405"):
        wanted = [row for row in wanted if row.rpartition("/")[2] not in NOT_IN_A_NOTICE]
    data, sender, receiver = sent(code, {**FROM_POLICE, **FROM_BANK}[code])
    message = read(data, sender)[0].message
    root = etree.fromstring(render(profile(receiver), message, CONTEXT).data)
    body = root.find("Body")
    assert body is not None
    written = [f"/{name}" for name in dict.fromkeys(_names(body)) if not name.startswith("Body/Attach")]
    assert written == (wanted or [f"/Body/{name}" for name in FROM_BANK[code]])


def test_both_sides_read_and_write_every_code():
    """What one side reads the other writes, twenty-nine codes in all."""
    bank, police = profile("tfms-bank").file, profile("tfms-police").file
    assert bank.writing is not None
    assert police.writing is not None
    assert {f"1{code}" for code in FROM_BANK} == set(bank.source.reads)
    assert {f"2{code}" for code in FROM_POLICE} == set(police.source.reads)
    assert {f"2{code}" for code in FROM_BANK} == set(police.writing.writes)
    assert {f"1{code}" for code in FROM_POLICE} == set(bank.writing.writes)
    assert len(FROM_BANK) + len(FROM_POLICE) == 29
