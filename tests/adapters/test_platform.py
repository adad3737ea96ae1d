"""The risk-event platform's records, both sides and both ways."""

import pytest
from lxml import etree

from adapters.convert import convert
from adapters.errors import FileRefused
from adapters.model import Converted
from adapters.render import render
from deploy.demo.core_wire import read_order
from deploy.demo.police_system import CaseSystem, Target
from schemas import checks
from schemas.v1 import common_pb2, freeze_pb2, stop_payment_pb2
from tests.adapters.files import (
    ACCOUNT,
    CONTEXT,
    DEMO,
    NEXT,
    ORDERS,
    PAPERS,
    RESULTS,
    held,
    one,
    profile,
    record,
)

BODIES = {**ORDERS, **RESULTS}


def elements(data: bytes) -> tuple[str, dict[str, str]]:
    """Return the code and the texts of a record's body."""
    root = etree.fromstring(data)
    body = root.find("Body")
    assert body is not None
    texts = {str(child.tag): child.text or "" for child in body if not len(child)}
    return root.findtext("Head/TxCode") or "", texts


@pytest.mark.parametrize("code", ORDERS)
def test_an_order_reaches_the_bank_as_the_police_wrote_it(code):
    """What leaves the police system as 2001xx or 2002xx lies before the bank's core system as 1001xx or 1002xx, every field."""
    read = one(record(f"2{code}", ORDERS[code], PAPERS), "tfms-police")
    checks.require_valid_record(read.message)
    rendered = render(profile("tfms-bank"), read.message, CONTEXT)
    assert rendered.loss == ()
    assert etree.fromstring(rendered.data).tag == "Response"
    got, texts = elements(rendered.data)
    assert got == f"1{code}"
    written = {name: text for name, text in texts.items() if text and name != "Attachments"}
    assert written == {name: text for name, text in ORDERS[code].items() if text}
    papers = [
        (paper.findtext("Filename"), paper.findtext("Content"))
        for paper in etree.fromstring(rendered.data).iter("Attachment")
    ]
    assert [name for name, _ in papers] == [name for name, _ in PAPERS]


@pytest.mark.parametrize("code", RESULTS)
def test_an_answer_reaches_the_police_as_the_bank_wrote_it(code):
    """What leaves the bank as 1001xx lies before the police as 2001xx, partial success and earlier freezes included."""
    read = one(record(f"1{code}", RESULTS[code]), "tfms-bank")
    rendered = render(profile("tfms-police"), read.message, {**CONTEXT, "sender": "bank-b"})
    assert rendered.loss == ()
    got, texts = elements(rendered.data)
    assert got == f"2{code}"
    assert {name: text for name, text in texts.items() if text} == {
        name: text for name, text in RESULTS[code].items() if text
    }


@pytest.mark.parametrize("code", BODIES)
def test_a_message_comes_back_equal(code):
    """Message, local record, message: equal but for where the second one came from."""
    side, name = ("2", "tfms-police") if code in ORDERS else ("1", "tfms-bank")
    first = one(record(f"{side}{code}", BODIES[code], PAPERS if code in ORDERS else ()), name)
    rendered = render(profile("tfms-bank" if name == "tfms-police" else "tfms-police"), first.message, CONTEXT)
    back = etree.fromstring(rendered.data)
    back.find("Head/TxCode").text = f"{side}{code}"  # type: ignore[union-attr]  # every record has one
    again = one(etree.tostring(back), name)
    for message in (first.message, again.message):
        message.ClearField("provenance")  # type: ignore[arg-type]  # every message has one
    assert again.message == first.message


def test_an_order_says_why_it_is_made():
    """A stop names its purpose and law, a freeze its own; a release leaves them to the sender, for two may hold."""
    contexts = {code: one(record(f"2{code}", ORDERS[code]), "tfms-police").message.case_context for code in ORDERS}
    stated = {code: (context.purpose, context.legal_basis, context.case_ref) for code, context in contexts.items()}
    stop, freeze = ("stop_payment", "ATF20", "A3100001"), ("freeze", "CPL144", "A3100001")
    assert stated == {
        "00101": stop,
        "00103": stop,
        "00105": stop,
        "00201": freeze,
        "00203": ("", "", "A3100001"),
        "00205": freeze,
    }


def test_papers_are_told_by_prefix_and_content():
    """What a paper is comes from its name's first digits, its media type from its bytes, and a path in a name is cut off."""
    papers = (*PAPERS, ("../../02-freeze.pdf", b"%PDF-1.7"), ("scan.exe", b"MZ"))
    read = one(record("200201", ORDERS["00201"], papers), "tfms-police")
    kinds = [
        common_pb2.AttachmentKind.Name(paper.kind).removeprefix("ATTACHMENT_KIND_")
        for paper in read.message.attachments
    ]
    assert kinds == ["POLICE_ID", "POLICE_ID", "STOP_PAYMENT_FORM", "FREEZE_INSTRUMENT", "OTHER"]
    assert [paper.media_type for paper in read.message.attachments] == [
        "image/png",
        "image/png",
        "application/pdf",
        "application/pdf",
        "application/octet-stream",
    ]
    assert read.message.attachments[3].filename == "02-freeze.pdf"
    assert {warning.code for warning in read.warnings} >= {
        "paper_name_path",
        "paper_kind_unknown",
        "paper_type_unknown",
    }


def test_the_lineage_of_papers_names_them_and_does_not_repeat_them():
    """Lineage keeps the names of the papers; the papers themselves are in the message."""
    read = one(record("200101", ORDERS["00101"], PAPERS), "tfms-police")
    items = [item for item in read.lineage if item.field.startswith("attachments")]
    assert [item.raw for item in items if item.raw] == ["01-police-id-1.png", "01-police-id-2.png", "03-form.pdf"]
    assert {item.field for item in items} == {"attachments[0]", "attachments[1]", "attachments[2]"}


def test_earlier_freezes_and_partial_success_are_kept():
    """A freeze that was there before keeps its authority, amount and end; a defective success keeps its own code."""
    result = one(record("100202", RESULTS["00202"]), "tfms-bank").message
    (earlier,) = result.earlier_measures
    assert (earlier.authority, earlier.amount.minor_units) == ("演示区人民法院", 320_000)
    assert earlier.expires_at.raw == "20270101000000"
    assert (result.requested.minor_units, result.frozen.minor_units, result.available.minor_units) == (
        5_000_000,
        1200,
        0,
    )
    stopped = one(record("100102", RESULTS["00102"]), "tfms-bank").message
    assert (stopped.result.scheme, stopped.result.code) == ("tfms.result", "1200")
    assert stopped.balance.minor_units == 1250
    assert stopped.balance.currency_assumed
    assert not result.frozen.currency_assumed


def test_what_a_release_sets_free_has_a_field():
    """UnfreezeBalance of a release reaches the police, in its own field and with its own meaning."""
    body = {**RESULTS["00204"], "UnfreezeBalance": "1200.50"}
    result = one(record("100204", body), "tfms-bank")
    assert result.warnings == ()
    assert (result.message.released.minor_units, result.message.released.currency) == (120_050, "CNY")
    assert not result.message.HasField("frozen")
    _, texts = elements(render(profile("tfms-police"), result.message, CONTEXT).data)
    assert texts["UnfreezeBalance"] == "1200.50"


def test_a_word_for_the_emergency_level_is_kept_and_noted():
    """EmergencyLevel "normal" is no code of the list: it is carried as it stands, and the record says so."""
    read = one(record("200101", {**ORDERS["00101"], "EmergencyLevel": "normal"}), "tfms-police")
    assert (read.message.emergency.code, [note.code for note in read.warnings]) == ("normal", ["code_unknown"])


def test_an_amount_in_yen_has_no_fen():
    """What a minor unit is comes from the currency: 10000.00 JPY are ten thousand yen, and half a yen is refused."""
    read = one(record("200101", {**ORDERS["00101"], "Currency": "JPY", "TransferAmount": "10000.00"}), "tfms-police")
    assert (read.message.transfer_amount.minor_units, read.message.transfer_amount.currency) == (10_000, "JPY")
    outcome = held(
        record("200101", {**ORDERS["00101"], "Currency": "JPY", "TransferAmount": "10000.50"}), "tfms-police"
    )
    assert outcome.code == "LF-ROW-AMOUNT"


def test_the_core_gets_the_same_bytes_twice():
    """Handing an order over again after a crash writes the same bytes, so the core system sees one order."""
    order = one(record("200101", ORDERS["00101"]), "tfms-police").message
    order.ClearField("source_serial")
    first, second = (render(profile("tfms-bank"), order, CONTEXT) for _ in range(2))
    assert first == second
    serial = etree.fromstring(first.data).findtext("Head/TransSerialNumber") or ""
    assert serial.startswith("police-a_")
    assert len(serial.removeprefix("police-a_")) == 39


def test_what_the_dialect_cannot_carry_is_named():
    """A deadline, a mandate, a second earlier freeze, a code of another list: each is in the loss, and nothing else is."""
    order = one(record("200101", ORDERS["00101"]), "tfms-police").message
    order.case_context.mandate = "M1"
    order.case_context.tlp = "RED"
    order.emergency.scheme = "iso20022.Priority2Code"
    order.target.bank.scheme = "BIC"
    order.starts_at.utc_ms += 5
    order.attachments.add(kind=4, content=b"x", sha256=bytes(32), issuer="X")
    loss = render(profile("tfms-bank"), order, CONTEXT).loss
    assert set(loss) == {
        "case_context.mandate",
        "case_context.tlp",
        "emergency.scheme",
        "emergency.code",
        "target.bank.scheme",
        "target.bank.code",
        "starts_at.utc_ms",
        "attachments[0].issuer",
    }
    result = one(record("100202", RESULTS["00202"]), "tfms-bank").message
    result.earlier_measures.add(authority="another")
    result.balance.currency = "USD"
    lost = render(profile("tfms-police"), result, CONTEXT).loss
    assert "earlier_measures[1].authority" in lost
    assert set(lost) == {"earlier_measures[1].authority", "balance.minor_units", "balance.currency"}


def test_a_lift_loses_what_it_has_no_element_for():
    """A lift with a remark and a term names both as lost."""
    order = stop_payment_pb2.StopPaymentOrder(
        kind=stop_payment_pb2.STOP_PAYMENT_KIND_LIFT,
        application_id="L1",
        target={"number": ACCOUNT},
        reason="r",
        remark="m",
        expires_at={"utc_ms": 1_800_000_000_000},
    )
    assert set(render(profile("tfms-bank"), order, CONTEXT).loss) == {"remark", "expires_at.utc_ms"}


def test_paper_names_begin_with_what_the_paper_is():
    """A paper whose name says nothing gets the prefix that the bank looks for."""
    order = freeze_pb2.FreezeOrder(kind=1, application_id="F1", target={"number": NEXT})
    order.attachments.add(kind=common_pb2.ATTACHMENT_KIND_FREEZE_INSTRUMENT, content=b"x", filename="paper.pdf")
    root = etree.fromstring(render(profile("tfms-bank"), order, CONTEXT).data)
    assert root.findtext("Body/Attachments/Attachment/Filename") == "02-paper.pdf"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"ExpireTime": "20160603330909"}, "LF-ROW-DATE"),
        ({"StartTime": "20260230101010"}, "LF-ROW-DATE"),
        ({"TransferAmount": "1.234"}, "LF-ROW-AMOUNT"),
        ({"Currency": "人民"}, "LF-ROW-CURRENCY"),
        ({"AccountNumber": ""}, "LF-ROW-MISSING"),
        ({"AccountNumber": "6.22848E+18"}, "LF-ROW-LOSSY-NUMBER"),
        ({"AccountType": "07"}, "LF-ROW-CODE"),
        ({"ApplicationID": " "}, "LF-ROW-MISSING"),
    ],
)
def test_an_order_that_cannot_be_read_for_certain_is_held_back(changes, code):
    """An hour 33, a 30 February, three decimals, a ruined number: held back, never guessed, and the value is not told."""
    outcome = held(record("200101", {**ORDERS["00101"], **changes}), "tfms-police")
    assert outcome.code == code
    assert outcome.cure
    value = next(iter(changes.values())).strip()
    assert not value or value not in outcome.cause


def test_a_result_code_has_four_digits():
    """A word instead of a result code is held back."""
    assert held(record("100102", {**RESULTS["00102"], "Result": "成功"}), "tfms-bank").code == "LF-ROW-PATTERN"


@pytest.mark.parametrize(
    ("content", "code"), [("***", "LF-ROW-PAPER"), ("", "LF-ROW-PAPER"), ("QUJD" * 90_000, "LF-ROW-PAPER-SIZE")]
)
def test_a_paper_that_is_none_is_held_back(content, code):
    """Papers that are empty, not base64 or too large hold the order back."""
    paper = f"<Attachments><Attachment><Filename>01a</Filename><Content>{content}</Content></Attachment></Attachments>"
    data = record("200101", ORDERS["00101"]).replace(b"</Body>", paper.encode() + b"</Body>")
    assert held(data, "tfms-police").code == code


def test_edge_values_seen_in_the_field_are_read_or_named():
    """RMB is CNY, a date alone is a day, stars are a name, an unknown element is named: as real records have them."""
    body = {**ORDERS["00101"], "Currency": "RMB", "TransferTime": "20261120", "AccountName": "******", "Extra": "x"}
    read = one(record("200101", body), "tfms-police")
    assert read.message.transfer_amount.currency == "CNY"
    assert read.message.transfer_time.precision == common_pb2.TIME_PRECISION_DAY
    assert read.message.target_holder.name == "******"
    assert [warning.cause for warning in read.warnings] == ["element Extra has no place in the message"]
    assert list(read.message.provenance.warnings) == ["element_not_carried"]


def test_the_code_decides_and_not_the_root():
    """A record under the other root is read all the same; a code of the other side is refused as a file."""
    assert isinstance(one(record("200101", ORDERS["00101"], root="Response"), "tfms-police"), Converted)
    with pytest.raises(FileRefused) as refused:
        convert(profile("tfms-bank"), record("200101", ORDERS["00101"]))
    assert refused.value.code == "LF-XML-CODE"


def test_a_message_without_a_record_is_refused():
    """The bank's dialect has no record for an answer, and a message with control characters is told, not altered."""
    result = one(record("100102", RESULTS["00102"]), "tfms-bank").message
    with pytest.raises(FileRefused) as refused:
        render(profile("tfms-bank"), result, CONTEXT)
    assert refused.value.code == "LF-RENDER-NO-RECORD"
    result.feedback_remark = "a\x01b"
    with pytest.raises(FileRefused) as refused:
        render(profile("tfms-police"), result, CONTEXT)
    assert refused.value.code == "LF-RENDER-CONTROL"
    with pytest.raises(FileRefused) as refused:
        render(profile("bank-notice-csv"), result, CONTEXT)
    assert refused.value.code == "LF-RENDER-NO-RECORD"
    with pytest.raises(FileRefused) as refused:
        render(profile("telecom-cdr-csv"), result, CONTEXT)
    assert refused.value.code == "LF-RENDER-READ-ONLY"


def test_both_sides_share_their_records():
    """The two profiles differ in codes and direction alone."""
    bank, police = profile("tfms-bank").file, profile("tfms-police").file
    assert bank.record == police.record
    assert {code[1:] for code in bank.source.reads} == {code[1:] for code in police.writing.writes}
    assert {code[1:] for code in bank.writing.writes} == {code[1:] for code in police.source.reads}


def test_the_demos_core_system_reads_what_we_write(tmp_path):
    """An order that the police's case system makes is understood by the bank's core system, which knows nothing of us."""
    papers = (DEMO / "01-police-id-1.jpg", DEMO / "01-police-id-2.jpg", DEMO / "03-stop-payment-form.pdf")
    target = Target(account=NEXT, holder="演示下家", amount="8500.00", bank_id="310000000002")
    read = one(CaseSystem(tmp_path, "A1").stop("S1", target, papers), "tfms-police")
    rendered = render(profile("tfms-bank"), read.message, CONTEXT)
    order = read_order(rendered.data)
    assert rendered.loss == ()
    assert (order.tx_code, order.application_id, order.account) == ("100101", "S1", NEXT)
    assert (order.holder, order.amount_fen, len(order.papers)) == ("演示下家", 850_000, 3)
    assert [paper.media_type for paper in read.message.attachments] == ["image/jpeg", "image/jpeg", "application/pdf"]
