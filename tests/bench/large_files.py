"""Files of any size that are trees, written piece by piece: a bank's statement (camt.053), payments (pacs.008), cases (JSON)."""

from collections.abc import Iterator
from pathlib import Path

_SPACE = "urn:iso:std:iso:20022:tech:xsd"
_STATEMENT = f"""<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="{_SPACE}:camt.053.001.08">
<BkToCstmrStmt>
<GrpHdr><MsgId>DEMO-1</MsgId><CreDtTm>2026-03-02T12:00:00Z</CreDtTm></GrpHdr>
<Stmt>
<Id>STMT-1</Id><ElctrncSeqNb>7</ElctrncSeqNb><CreDtTm>2026-03-02T12:00:00Z</CreDtTm>
<Acct><Id><IBAN>NL91ABNA0417164300</IBAN></Id><Ccy>EUR</Ccy><Ownr><Nm>Demo Owner</Nm></Ownr></Acct>
<Bal><Tp><CdOrPrtry><Cd>CLBD</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">10.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>2026-03-02</Dt></Dt></Bal>
"""
_ENTRY = """<Ntry>
<NtryRef>{n}</NtryRef><Amt Ccy="EUR">{n}.{c:02d}</Amt><CdtDbtInd>{way}</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts>
<BookgDt><Dt>2026-03-{d:02d}</Dt></BookgDt><ValDt><Dt>2026-03-{d:02d}</Dt></ValDt><AcctSvcrRef>REF{n:09d}</AcctSvcrRef>
<BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>RCDT</Cd><SubFmlyCd>ESCT</SubFmlyCd></Fmly></Domn></BkTxCd>
<NtryDtls><TxDtls><Refs><EndToEndId>E2E{n:09d}</EndToEndId></Refs><Amt Ccy="EUR">{n}.{c:02d}</Amt><CdtDbtInd>{way}</CdtDbtInd>
<RltdPties><Dbtr><Pty><Nm>Demo Payer {n}</Nm></Pty></Dbtr><DbtrAcct><Id><IBAN>DE89370400440532013000</IBAN></Id></DbtrAcct></RltdPties>
<RmtInf><Ustrd>invoice {n}</Ustrd></RmtInf></TxDtls></NtryDtls>
</Ntry>
"""
_STATEMENT_END = "<AddtlStmtInf>end of statement</AddtlStmtInf>\n</Stmt>\n</BkToCstmrStmt>\n</Document>\n"
_PAYMENTS = f"""<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="{_SPACE}:pacs.008.001.08">
<FIToFICstmrCdtTrf>
<GrpHdr><MsgId>DEMO-2</MsgId><CreDtTm>2026-03-02T12:00:00Z</CreDtTm><SttlmInf><SttlmMtd>CLRG</SttlmMtd></SttlmInf></GrpHdr>
"""
_PAYMENT = """<CdtTrfTxInf>
<PmtId><InstrId>I{n}</InstrId><EndToEndId>E2E{n:09d}</EndToEndId><TxId>T{n:09d}</TxId></PmtId>
<IntrBkSttlmAmt Ccy="EUR">{n}.{c:02d}</IntrBkSttlmAmt><IntrBkSttlmDt>2026-03-{d:02d}</IntrBkSttlmDt><ChrgBr>SLEV</ChrgBr>
<Dbtr><Nm>Demo Payer {n}</Nm></Dbtr><DbtrAcct><Id><IBAN>DE89370400440532013000</IBAN></Id></DbtrAcct>
<DbtrAgt><FinInstnId><BICFI>DEUTDEFF</BICFI></FinInstnId></DbtrAgt><CdtrAgt><FinInstnId><BICFI>ABNANL2A</BICFI></FinInstnId></CdtrAgt>
<Cdtr><Nm>Demo Payee {n}</Nm></Cdtr><CdtrAcct><Id><IBAN>NL91ABNA0417164300</IBAN></Id></CdtrAcct>
<RmtInf><Ustrd>invoice {n}</Ustrd></RmtInf>
</CdtTrfTxInf>
"""
_PAYMENTS_END = "</FIToFICstmrCdtTrf>\n</Document>\n"
_CASE = """{{"case_number": "A-{n:09d}", "status": "open", "reported_at": "2026-03-{d:02d} 10:00:00",
"victim": {{"name": "Demo Victim {n}", "phone": "139{n:08d}"}}, "total_loss": {{"amount": "{n}.{c:02d}", "currency": "CNY"}},
"losses": [{{"at": "2026-03-{d:02d} 09:00:00", "amount": "{n}.{c:02d}", "currency": "CNY", "from_account": "6299990000000000{c:02d}",
"to_account": "NL91ABNA0417164300", "to_name": "Demo Suspect", "channel": "app", "reference": "R{n}"}}],
"suspects": [{{"name": "Demo Suspect", "phones": ["139{n:08d}"]}}], "narrative": "演示案件 {n}"}}"""
KINDS = {
    "camt.053": ("iso20022-statement", _STATEMENT, _ENTRY, "", _STATEMENT_END),
    "pacs.008": ("iso20022-payment", _PAYMENTS, _PAYMENT, "", _PAYMENTS_END),
    "cases": ("case-json", '{"system": "demo",\n"cases": [\n', _CASE, ",\n", '\n],\n"exported_at": "2026-03-02"}\n'),
}
"""By what is in the file: its profile, what stands before the records, one of them, what parts them, what stands behind."""


def pieces(kind: str, count: int) -> Iterator[str]:
    """Yield a file of so many entries, payments or cases."""
    _, head, one, mark, tail = KINDS[kind]
    yield head
    for n in range(1, count + 1):
        yield one.format(n=n, c=n % 100, d=1 + n % 28, way="DBIT" if n % 2 else "CRDT") + (mark if n < count else "")
    yield tail


def write(path: Path, kind: str, count: int) -> None:
    """Write such a file."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(pieces(kind, count))
