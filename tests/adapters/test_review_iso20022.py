"""ISO 20022, read by a stranger: whose account stands on which side of what is reversed or returned."""

import pytest

from adapters.back import bring_back
from adapters.catalogue import profiles
from adapters.moments import write_instant
from schemas.v1 import common_pb2
from tests.adapters.trees import held, one

OWN, OTHER = "DE89370400440532013000", "FR1420041010050500013M02606"


def account(iban):
    """Return an account, or none."""
    return f"<Id><IBAN>{iban}</IBAN></Id>"


def movement(mark, debtor, creditor, *, reversal="", returned=""):
    """Return the one movement of a statement of the own account, with its parties."""
    sides = "".join(
        f"<{tag}><Nm>{name}</Nm></{tag}>" + (f"<{tag}Acct>{account(iban)}</{tag}Acct>" if iban else "")
        for tag, (name, iban) in {"Dbtr": debtor, "Cdtr": creditor}.items()
    )
    data = (
        '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.02"><BkToCstmrStmt><GrpHdr><MsgId>M</MsgId></GrpHdr>'
        f"<Stmt><Id>S</Id><Acct>{account(OWN)}</Acct><Ntry><Amt Ccy='EUR'>25.50</Amt><CdtDbtInd>{mark}</CdtDbtInd>{reversal}"
        f"<Sts>BOOK</Sts><NtryDtls><TxDtls><RltdPties>{sides}</RltdPties>{returned}</TxDtls></NtryDtls></Ntry></Stmt>"
        "</BkToCstmrStmt></Document>"
    )
    (item,) = one(profiles()["iso20022-statement"], data).message.transactions
    return item


@pytest.mark.parametrize(
    "back",
    [
        {"reversal": "<RvslInd>true</RvslInd>"},
        {"returned": "<RtrInf><Rsn><Cd>AC04</Cd></Rsn></RtrInf>"},
        {},
    ],
)
def test_a_payment_that_comes_back_is_from_whom_it_went_to(back):
    """A credit that undoes an own payment keeps its parties: the other side is the creditor, never the own account."""
    item = movement("CRDT", ("Own Firm", OWN), ("Other Firm", OTHER), **back)
    assert (item.counterparty.number, item.counterparty_name) == (OTHER, "Other Firm")


def test_a_collection_that_comes_back_is_to_whom_it_came_from():
    """A debit that undoes a collection keeps its parties: the other side is the debtor."""
    item = movement("DBIT", ("Payer", ""), ("Own Firm", ""), returned="<RtrInf><Rsn><Cd>MD06</Cd></Rsn></RtrInf>")
    assert item.counterparty_name == "Payer"


def test_roles_that_a_bank_has_turned_round_already_are_left():
    """Where the only account is that of the creditor of a returned debit, and it is another's, that is the other side."""
    item = movement("DBIT", ("Own Firm", ""), ("Other", OTHER), returned="<RtrInf><Rsn><Cd>FR01</Cd></Rsn></RtrInf>")
    assert (item.counterparty.number, item.counterparty_name) == (OTHER, "Other")


@pytest.mark.parametrize(("mark", "name"), [("CRDT", "Payer"), ("DBIT", "Payee")])
def test_the_other_side_of_a_plain_movement_is_told_by_its_mark(mark, name):
    """The debtor of a credit, and the creditor of a debit."""
    assert movement(mark, ("Payer", ""), ("Payee", "")).counterparty_name == name


BANK = "<{0}><Agt><FinInstnId><BICFI>{1}</BICFI></FinInstnId></Agt></{0}>"
RECALL_OF_ALL = (
    '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.056.001.08"><FIToFIPmtCxlReq><Assgnmt><Id>A1</Id>'
    f"{BANK.format('Assgnr', 'AAAAFRPP')}{BANK.format('Assgne', 'BBBBDEFF')}<CreDtTm>2026-05-02T09:00:00Z</CreDtTm></Assgnmt>"
    "<Undrlyg><OrgnlGrpInfAndCxl><GrpCxlId>G1</GrpCxlId><OrgnlMsgId>M7</OrgnlMsgId><OrgnlMsgNmId>pacs.008</OrgnlMsgNmId>"
    "<CxlRsnInf><Rsn><Cd>FRAD</Cd></Rsn></CxlRsnInf></OrgnlGrpInfAndCxl></Undrlyg></FIToFIPmtCxlReq></Document>"
)


def test_a_recall_of_a_whole_message_is_a_recall():
    """A request that names no payment asks for all of a message, and goes back as one."""
    recall = profiles()["iso20022-camt-056"]
    message = one(recall, RECALL_OF_ALL).message
    assert (message.recall_id, message.original.message_id, message.reason.code) == ("G1", "M7", "FRAD")
    back = bring_back(recall, message, {"message_id": "A1", "sender": "", "agency": "", "serial": "1", "code": ""})
    assert b"<OrgnlGrpInfAndCxl>" in back.data
    assert b"<TxInf>" not in back.data


def test_the_parties_of_a_return_are_named_in_every_version():
    """Later versions put a party's name a level deeper."""
    data = (
        '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pacs.004.001.09"><PmtRtr><GrpHdr><MsgId>M</MsgId></GrpHdr><TxInf>'
        '<RtrId>R</RtrId><RtrdIntrBkSttlmAmt Ccy="EUR">95.00</RtrdIntrBkSttlmAmt><OrgnlTxRef><Dbtr><Pty><Nm>Payer</Nm></Pty></Dbtr>'
        "<Cdtr><Pty><Nm>Payee</Nm></Pty></Cdtr></OrgnlTxRef></TxInf></PmtRtr></Document>"
    )
    message = one(profiles()["iso20022-return"], data).message
    assert (message.from_holder.name, message.to_holder.name) == ("Payee", "Payer")


@pytest.mark.parametrize(
    ("day", "utc_ms", "zone"),
    [
        ("2026-05-01+02:00", 1777586400000, "+02:00"),
        ("2026-05-01Z", 1777593600000, "UTC"),
        ("2026-05-01", 1777593600000, "UTC"),
    ],
)
def test_a_day_may_carry_its_offset(day, utc_ms, zone):
    """An XML date with an offset is a day of that zone, and is written again as it was."""
    data = (
        '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.02"><BkToCstmrStmt><GrpHdr><MsgId>M</MsgId></GrpHdr>'
        f"<Stmt><Id>S</Id><Acct>{account(OWN)}</Acct><Bal><Tp><CdOrPrtry><Cd>PRCD</Cd></CdOrPrtry></Tp><Amt Ccy='EUR'>1</Amt>"
        f"<CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>{day}</Dt></Dt></Bal></Stmt></BkToCstmrStmt></Document>"
    )
    (balance,) = one(profiles()["iso20022-statement"], data).message.balances
    assert (balance.at.utc_ms, balance.at.zone, balance.at.raw) == (utc_ms, zone, day)
    assert balance.at.precision == common_pb2.TIME_PRECISION_DAY
    assert write_instant("iso8601", "UTC", balance.at).startswith(day if len(day) > 10 else "2026-05-01T")


def test_a_day_that_never_was_is_refused_with_an_offset_too():
    """An offset makes no day of the thirtieth of February."""
    data = (
        '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.02"><BkToCstmrStmt><GrpHdr><MsgId>M</MsgId></GrpHdr>'
        f"<Stmt><Id>S</Id><Acct>{account(OWN)}</Acct><Bal><Tp><CdOrPrtry><Cd>PRCD</Cd></CdOrPrtry></Tp><Amt Ccy='EUR'>1</Amt>"
        "<CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>2026-02-30Z</Dt></Dt></Bal></Stmt></BkToCstmrStmt></Document>"
    )
    assert held(profiles()["iso20022-statement"], data).code == "LF-ROW-DATE"
