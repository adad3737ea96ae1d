"""ISO 20022: queries, answers, payments, statements, returns and recalls, in whatever wrapper, checked against independent readings."""

from decimal import Decimal
from pathlib import Path

import pytest
from lxml import etree

from adapters import xsd
from adapters.back import bring_back
from adapters.convert import convert
from adapters.detect import identify
from adapters.errors import FileRefused, ProfileRefused
from adapters.model import Converted, HeldBack
from schemas import checks
from schemas.v1 import notice_pb2
from tests.adapters.files import CONTEXT, SAMPLES, one, profile, read

GOLDEN = Path(__file__).parents[2] / "adapters" / "profiles"
ISO = SAMPLES / "iso20022"
STATEMENT, QUERY, ANSWER = "iso20022-statement", "iso20022-auth-001", "iso20022-auth-002"
DIGITS = {"JPY": 0, "KWD": 3}
IN, OUT = notice_pb2.TRANSACTION_DIRECTION_IN, notice_pb2.TRANSACTION_DIRECTION_OUT

NO_DIALECT = "LF-FILE-UNKNOWN"
OF_SAMPLES = {
    "200519_camt054-returns_p_ch2909000000250094239_1109800798_0_2019052023472022.xml": (STATEMENT, 1),
    "200924_camt.054_P_CH2909000000250094239_1110092703_0_2019042423412214.xml": (STATEMENT, 1),
    "FI_camt_052_sample.xml.xml": (STATEMENT, 2),
    "FI_camt_054_sample.xml.xml": (STATEMENT, 1),
    "International_payment_RUB_naujas_1.xml": ("iso20022-payment", 1),
    "camt.053_P_CH2909000000250094239_1110092698_0_2020112503071366.xml": (STATEMENT, 1),
    "gistfile1.xml": ("iso20022-payment", 3),
    "sepa_payment_naujas_1.xml": ("iso20022-payment", 1),
    "statement_1.xml": (STATEMENT, 1),
    "camt.053.001.07.xml": (STATEMENT, 1),
    "pain001_001_08.xml": ("iso20022-payment", 1),
}
"""Samples that a dialect reads, with the number of their records; all others are in none."""


def golden(name, case):
    """Return a golden file."""
    return (GOLDEN / f"{name}.golden" / f"{case}.xml").read_bytes()


def samples():
    """Return the XML samples, where they are."""
    return sorted(ISO.rglob("*.xml")) if ISO.is_dir() else []


def texts(element, path):
    """Return the texts at a path of local names, found by lxml's own XPath."""
    steps = "/".join(f"*[local-name()='{step}']" for step in path.split("/"))
    return [found.text for found in element.xpath(f"./{steps}")]


def elements(element, path):
    """Return the elements at a path of local names."""
    return element.xpath("./" + "/".join(f"*[local-name()='{step}']" for step in path.split("/")))


def amounts_of(statement):
    """Return the signed amounts that a statement tells, in order: an independent reading of the standard."""
    found = []
    for entry in elements(statement, "Ntry"):
        details = elements(entry, "NtryDtls/TxDtls")
        own = [elements(one, "Amt") or elements(one, "AmtDtls/TxAmt/Amt") for one in details]
        if len(details) < 2 or not own[0]:
            found.append((elements(entry, "Amt")[0], texts(entry, "CdtDbtInd")[0]))
            continue
        marks = [(texts(one, "CdtDbtInd") or texts(entry, "CdtDbtInd"))[0] for one in details]
        found += [(amounts[0], mark) for amounts, mark in zip(own, marks, strict=True)]
    return [(Decimal(amount.text) * (1 if mark == "CRDT" else -1), amount.get("Ccy")) for amount, mark in found]


def signed(message):
    """Return the signed amounts of a trace's movements, in order."""
    return [
        (
            Decimal(item.amount.minor_units).scaleb(-DIGITS.get(item.amount.currency, 2))
            * {IN: 1, OUT: -1}[item.direction],
            item.amount.currency,
        )
        for item in message.transactions
    ]


def statement(*entries, acct="<Id><Othr><Id>000123456789</Id></Othr></Id>"):
    """Return a statement of given entries."""
    return (
        '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.02"><BkToCstmrStmt><GrpHdr><MsgId>M</MsgId></GrpHdr>'
        f"<Stmt><Id>S</Id><Acct>{acct}</Acct>{''.join(entries)}</Stmt></BkToCstmrStmt></Document>"
    ).encode()


def entry(amount="1.00", mark="CRDT", currency="EUR", details=""):
    """Return one entry."""
    return (
        f'<Ntry><Amt Ccy="{currency}">{amount}</Amt><CdtDbtInd>{mark}</CdtDbtInd><Sts>BOOK</Sts>'
        f"<BookgDt><Dt>2026-03-02</Dt></BookgDt><NtryDtls>{details}</NtryDtls></Ntry>"
    )


@pytest.mark.parametrize("path", samples(), ids=lambda path: path.name)
def test_every_sample_converts_or_is_in_no_dialect(path):
    """Each sample is in the dialect that it should be in, and every record of it becomes a message that may be sent."""
    data = path.read_bytes()
    found = identify(data)
    if path.name not in OF_SAMPLES:
        assert found.refused is not None
        assert found.refused.code == NO_DIALECT
        return
    name, records = OF_SAMPLES[path.name]
    assert found.chosen is not None
    assert found.chosen.profile == name
    outcomes = read(data, name)
    assert len(outcomes) == records
    for outcome in outcomes:
        assert isinstance(outcome, Converted)
        checks.require_valid_record(outcome.message)


@pytest.mark.parametrize(
    "path",
    [path for path in samples() if OF_SAMPLES.get(path.name, "")[:1] == (STATEMENT,)],
    ids=lambda path: path.name,
)
def test_the_amounts_of_a_sample_are_those_of_an_independent_reading(path):
    """Every amount of every statement comes out with its sign, its currency and in its order; none more, none less."""
    root = etree.parse(str(path)).getroot()
    statements = root.xpath("//*[local-name()='Stmt' or local-name()='Rpt' or local-name()='Ntfctn']")
    assert [signed(outcome.message) for outcome in read(path.read_bytes(), STATEMENT)] == [
        amounts_of(one) for one in statements
    ]


def test_the_amounts_of_our_own_statements_are_those_of_an_independent_reading():
    """The same of the golden file, which has a batch, a reversal, other currencies and an entry alone."""
    data = golden(STATEMENT, "statement")
    (found,) = etree.fromstring(data).xpath("//*[local-name()='Stmt']")
    message = one(data, STATEMENT).message
    assert signed(message) == amounts_of(found)
    assert message.opening_balance.minor_units == -10000
    assert message.closing_balance.minor_units == 127550
    assert sum(amount for amount, _ in signed(message)) == Decimal("1375.50")


def test_entries_come_in_the_order_of_the_statement():
    """Single entries, batches and entries without details are not sorted by their kind."""
    batch = '<TxDtls><Amt Ccy="EUR">2.00</Amt></TxDtls><TxDtls><Amt Ccy="EUR">3.00</Amt></TxDtls>'
    data = statement(
        entry("1.00", details="<TxDtls/>"), entry("5.00", details=batch), entry("4.00", "DBIT"), entry("6.00")
    )
    assert [str(amount) for amount, _ in signed(one(data, STATEMENT).message)] == [
        "1.00",
        "2.00",
        "3.00",
        "-4.00",
        "6.00",
    ]


def test_a_batch_without_amounts_is_one_movement():
    """Where the transactions of a batch have no amounts, the entry's counts once, and their details are listed as not carried."""
    details = "<TxDtls><Refs><EndToEndId>A</EndToEndId></Refs></TxDtls><TxDtls><Refs><EndToEndId>B</EndToEndId></Refs></TxDtls>"
    outcome = one(statement(entry("5.00", details=details)), STATEMENT)
    assert [str(amount) for amount, _ in signed(outcome.message)] == ["5.00"]
    assert any("EndToEndId" in note.cause for note in outcome.warnings)


def test_a_batch_with_a_missing_amount_is_held_back():
    """A batch of which one transaction has no amount does not add up: nothing is guessed."""
    details = '<TxDtls><Amt Ccy="EUR">2.00</Amt></TxDtls><TxDtls><Refs><EndToEndId>B</EndToEndId></Refs></TxDtls>'
    (outcome,) = read(statement(entry("5.00", details=details)), STATEMENT)
    assert isinstance(outcome, HeldBack)
    assert outcome.code == "LF-ROW-MISSING"


@pytest.mark.parametrize(
    ("amount", "currency", "minor", "code"),
    [
        ("5000", "JPY", 5000, ""),
        ("5000.00", "JPY", 5000, ""),
        ("12.50", "JPY", 0, "LF-ROW-AMOUNT"),
        ("1.250", "KWD", 1250, ""),
        ("1.7", "EUR", 170, ""),
        ("1.234", "EUR", 0, "LF-ROW-AMOUNT"),
        ("1E3", "EUR", 0, "LF-ROW-LOSSY-NUMBER"),
    ],
)
def test_the_currency_says_how_many_decimal_places_there_are(amount, currency, minor, code):
    """A yen has none, a Kuwaiti dinar three (ISO 4217); what does not fit is refused, never rounded."""
    (outcome,) = read(statement(entry(amount, currency=currency)), STATEMENT)
    if code:
        assert isinstance(outcome, HeldBack)
        assert outcome.code == code
        return
    assert isinstance(outcome, Converted)
    assert outcome.message.transactions[0].amount.minor_units == minor


@pytest.mark.parametrize("mark", ["", "CREDIT"])
def test_an_entry_without_a_direction_is_held_back(mark):
    """Whether money came or went is never guessed."""
    (outcome,) = read(statement(entry(mark=mark)), STATEMENT)
    assert isinstance(outcome, HeldBack)
    assert outcome.code in {"LF-ROW-CODE", "LF-ROW-MISSING"}


def test_a_statement_of_many_entries_is_spread_over_messages():
    """1,500 entries are more than one message takes: two messages, nothing lost, each with its own lineage."""
    data = statement(*(entry(f"{number}.00") for number in range(1, 1501)))
    first, second = read(data, STATEMENT)
    assert isinstance(first, Converted)
    assert isinstance(second, Converted)
    assert (len(first.message.transactions), len(second.message.transactions)) == (1024, 476)
    assert sum(amount for part in (first, second) for amount, _ in signed(part.message)) == 1500 * 1501 // 2
    item = next(item for item in second.lineage if item.field == "transactions[0].amount")
    assert data[item.start : item.end] == b'<Amt Ccy="EUR">1025.00</Amt>'


def test_the_signed_bytes_are_kept_in_whatever_wrapper():
    """A query in SOAP is found, and its bytes, and those of each value, can be shown as they were signed."""
    data = golden(QUERY, "account-in-soap")
    found = one(data, QUERY)
    assert found.raw == data
    assert found.message.source_serial == "QRY-2026-000017"
    item = next(item for item in found.lineage if item.field == "account")
    assert data[item.start : item.end] == b"<a:IBAN>DE75512108001245126199</a:IBAN>"
    assert found.message.confidential
    assert [section.code for section in found.message.sections] == ["supl.027.001.01", "fin.002.001.03"]
    assert (found.message.staff.requester.id_number, found.message.staff.second.id_number) == ("OFF-1", "SUP-9")


LOSSES = {
    (QUERY, "account-in-soap"): {"staff.requester.id_number", "staff.second.id_number", "source_serial"},
    (QUERY, "customer"): set(),
    (QUERY, "card"): set(),
    (QUERY, "other-account"): set(),
    (ANSWER, "not-found"): set(),
    ("iso20022-camt-056", "fraud"): set(),
    ("iso20022-camt-056", "first-version"): {"recall_case_id", "creditor_account.scheme", "creditor_account.number"},
    ("iso20022-camt-029", "rejected"): set(),
}


@pytest.mark.parametrize(("name", "case"), LOSSES)
def test_what_is_written_reads_the_same(name, case):
    """Message → XML → message is equal, but for what the loss report names; queries and answers fit the official schema."""
    for outcome in read(golden(name, case), name):
        assert isinstance(outcome, Converted)
        returned = bring_back(profile(name), outcome.message, CONTEXT)
        assert set(returned.loss) == LOSSES[name, case]
        assert returned.added == ()
        schema = f"{name.removeprefix('iso20022-').replace('-', '.', 1)}.001.01.xsd"
        if schema in xsd.schemas():
            assert xsd.holds(etree.fromstring(returned.data), schema)
            assert xsd.faults(etree.fromstring(returned.data), schema) == ()


def test_an_answer_with_results_names_what_it_cannot_carry():
    """The national results are read and not written: the loss report names accounts and parties, and nothing else."""
    (outcome,) = read(golden(ANSWER, "found"), ANSWER)
    assert isinstance(outcome, Converted)
    returned = bring_back(profile(ANSWER), outcome.message, CONTEXT)
    assert {path.partition("[")[0] for path in returned.loss} == {"accounts", "parties"}
    assert [(item.section.code, item.status.code) for item in outcome.message.findings] == [
        ("supl.027.001.01", "FOUN"),
        ("fin.002.001.03", "NFOU"),
    ]


def test_a_code_that_is_new_is_kept_and_noted():
    """The code sets grow each quarter: an unknown reason is no ground to refuse a recall."""
    known, unknown = read(golden("iso20022-camt-056", "fraud"), "iso20022-camt-056")
    assert isinstance(known, Converted)
    assert isinstance(unknown, Converted)
    assert (known.message.reason.code, [note.code for note in known.warnings]) == ("FRAD", [])
    assert (unknown.message.reason.code, [note.code for note in unknown.warnings]) == ("ZZZZ", ["code_unknown"])


BREAKS = {
    "no legal basis": ("<LglMndtBsis><Prgrph>Section 20</Prgrph></LglMndtBsis>", "", 5, "CnfdtltySts", "expects LglMndtBsis"),
    "a bad account": ("<IBAN>DE", "<IBAN>D3", 8, "SchCrit/Acct/Id/Id/IBAN", "form"),
    "a long number": ("CASE-1", "CASE-1" + "0" * 40, 4, "InvstgtnId", "longer than 35"),
    "a bad day": ("2026-01-01", "2026-13-01", 7, "InvstgtnPrd/Dt/FrDt", "no ISODate"),
    "a bad word": (">ALLP<", ">SECRET<", 8, "SchCrit/Acct/InvstgtdPties/Cd", "lists"),
    "an unknown element": ("<DueDt>", "<Secret>9</Secret><DueDt>", 6, "Secret", "may not stand here"),
}  # fmt: skip
PLAIN = """<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:auth.001.001.01">
<InfReqOpng>
<InvstgtnId>CASE-1</InvstgtnId><LglMndtBsis><Prgrph>Section 20</Prgrph></LglMndtBsis>
<CnfdtltySts>true</CnfdtltySts>
<DueDt><DueDt>2026-03-09</DueDt></DueDt>
<InvstgtnPrd><Dt><FrDt>2026-01-01</FrDt><ToDt>2026-03-01</ToDt></Dt></InvstgtnPrd>
<SchCrit><Acct><Id><Id><IBAN>DE75512108001245126199</IBAN></Id></Id><InvstgtdPties><Cd>ALLP</Cd></InvstgtdPties><AuthrtyReqTp><MsgNmId>x</MsgNmId></AuthrtyReqTp></Acct></SchCrit>
</InfReqOpng>
</Document>
"""


@pytest.mark.parametrize("broken", BREAKS)
def test_a_schema_error_says_where_and_which_rule_and_no_value(broken):
    """Line, element and rule are named; the text at fault, which may be classed, is not."""
    right, wrong, line, element, rule = BREAKS[broken]
    assert right in PLAIN
    with pytest.raises(FileRefused) as refused:
        list(convert(profile(QUERY), PLAIN.replace(right, wrong, 1).encode()))
    assert refused.value.code == "LF-XML-SCHEMA"
    cause = refused.value.cause
    assert f"line {line}, element Document/InfReqOpng/{element}:" in cause
    assert rule in cause
    assert not any(text in cause for text in ("D375512108001245126199", "CASE-1", "2026-13-01", "SECRET"))


def test_a_schema_that_is_not_here_is_named():
    """A profile cannot name a schema that may not be passed on."""
    with pytest.raises(ProfileRefused, match=r"there is no schema goaml\.xsd"):
        xsd.faults(etree.fromstring(b"<a/>"), "goaml.xsd")


@pytest.mark.parametrize(
    "path", sorted((ISO / "schemas-auth").glob("auth*.xsd")) if ISO.is_dir() else [], ids=lambda path: path.name
)
def test_our_schemas_are_the_published_ones(path):
    """The schemas that we pass on are unchanged, byte for byte."""
    assert (GOLDEN / "xsd" / path.name).read_bytes() == path.read_bytes()
