"""Local files for the tests, all invented."""

import base64
from pathlib import Path

import adapters
from adapters.convert import convert
from adapters.model import Converted, HeldBack
from adapters.profile import Profile

DEMO = Path(__file__).parents[2] / "deploy" / "demo" / "files"
SAMPLES = Path(__file__).parents[3] / "shared" / "samples"
ACCOUNT, NEXT, IDENTITY = "6299990000001000011", "6299990000009000013", "110000197102111017"
NOTICE_HEADER = (
    "账号",
    "户名",
    "证件号码",
    "手机号",
    "可疑特征",
    "余额",
    "开户日期",
    "交易时间",
    "交易金额",
    "收付标志",
    "下一跳账号",
)
NOTICE_ROW = (ACCOUNT, "演示户", IDENTITY, "19900000101", "3006", "1234.56", "2026-01-05", "2026-11-20 10:00:01", "8000.00", "支出", NEXT)  # fmt: skip
PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==")
CONTEXT = {"message_id": "0190a0" + "0" * 25 + "7", "sender": "police-a", "agency": "bank-b"}


def profile(name: str) -> Profile:
    """Return a profile by name."""
    return adapters.profiles()[name]


def notice(*rows: tuple[str, ...] | str, **changes: str) -> bytes:
    """Return a bank's export: given rows, or one good row with named cells changed; UTF-8."""
    if not rows:
        cells = dict(zip(NOTICE_HEADER, NOTICE_ROW, strict=True)) | changes
        rows = (tuple(cells[name] for name in NOTICE_HEADER),)
    lines = [row if isinstance(row, str) else ",".join(row) for row in (NOTICE_HEADER, *rows)]
    return "".join(f"{line}\n" for line in lines).encode()


def read(
    data: bytes, name: str = "bank-notice-csv", companions: dict[str, bytes] | None = None
) -> list[Converted | HeldBack]:
    """Return every outcome of a file."""
    return list(convert(profile(name), data, companions or {}))


def one(data: bytes, name: str = "bank-notice-csv") -> Converted:
    """Return the message of a file of one good record."""
    (outcome,) = read(data, name)
    assert isinstance(outcome, Converted), outcome
    return outcome


def held(data: bytes, name: str = "bank-notice-csv") -> HeldBack:
    """Return the outcome of a file of one record that cannot be used."""
    (outcome,) = read(data, name)
    assert isinstance(outcome, HeldBack), outcome
    return outcome


ORDER_100101 = {
    "ApplicationID": "310000202611200001",
    "ApplicationType": "00",
    "OriginalApplicationID": "310000202611190009",
    "CaseNumber": "A3100001",
    "CaseType": "0001",
    "EmergencyLevel": "02",
    "TransferOutBankID": "310000000003",
    "TransferOutBankName": "演示银行丙",
    "TransferOutAccountName": "演示受害人",
    "TransferOutAccountNumber": "6299990000005000017",
    "Currency": "CNY",
    "TransferAmount": "8000.05",
    "TransferTime": "20261120101500",
    "BankID": "310000000002",
    "BankName": "演示银行乙",
    "AccountType": "01",
    "AccountName": "演示户",
    "AccountNumber": f"{ACCOUNT}_001",
    "Reason": "涉嫌电信网络诈骗",
    "Remark": "第一次",
    "StartTime": "20261120102000",
    "ExpireTime": "20261122102000",
    "ApplicationTime": "20261120101800",
    "ApplicationOrgID": "310000000000",
    "ApplicationOrgName": "演示市公安局",
    "OperatorIDType": "08",
    "OperatorIDNumber": "P001",
    "OperatorName": "演示警官甲",
    "OperatorPhoneNumber": "19900000001",
    "InvestigatorIDType": "08",
    "InvestigatorIDNumber": "P002",
    "InvestigatorName": "演示警官乙",
}
_LIFT = {
    **{
        name: ORDER_100101[name]
        for name in ORDER_100101
        if not name.startswith("TransferOut")
        and name
        not in (
            "ApplicationType",
            "Currency",
            "TransferAmount",
            "TransferTime",
            "Reason",
            "Remark",
            "StartTime",
            "ExpireTime",
        )
    },
}
_FREEZE_ID = {"IDType": "01", "IDNumber": IDENTITY}
ORDERS = {
    "00101": ORDER_100101,
    "00103": {**_LIFT, "WithdrawalRemark": "账户无关"},
    "00105": {**_LIFT, "PostponeStartTime": "20261122102000", "ExpireTime": "20261124102000", "ExtendRemark": "继续"},
    "00201": {
        **{name: text for name, text in _LIFT.items() if name != "OriginalApplicationID"},
        **_FREEZE_ID,
        "ApplicationType": "00",
        "Reason": "依法冻结",
        "Remark": "",
        "FreezeType": "01",
        "Balance": "50000.00",
        "Currency": "CNY",
        "FreezeStartTime": "20261121000000",
        "ExpireTime": "20270521000000",
    },
    "00203": {**_LIFT, **_FREEZE_ID, "WithdrawalRemark": "查明无关"},
    "00205": {
        **_LIFT,
        **_FREEZE_ID,
        "FreezeType": "02",
        "Balance": "",
        "Currency": "",
        "PostponeStartTime": "20270521000000",
        "ExpireTime": "20271121000000",
        "ExtendRemark": "案件未结",
    },
}
_ANSWER = {
    "ApplicationID": "310000202611200001",
    "Result": "1200",
    "AccountType": "01",
    "AccountNumber": ACCOUNT,
    "CardNumber": NEXT,
    "FailureCause": "",
    "FeedbackRemark": "余额不足",
    "FeedbackOrgName": "演示银行乙",
    "OperatorName": "演示柜员",
    "OperatorPhoneNumber": "19900000009",
}
_TERM = {"StartTime": "20261120102000", "ExpireTime": "20261122102000"}
RESULTS = {
    "00102": {**_ANSWER, **_TERM, "AccountBalance": "12.50"},
    "00104": {**_ANSWER, "Result": "0000", "WithdrawalTime": "20261121090000"},
    "00106": {**_ANSWER, **_TERM, "AccountBalance": "0.00"},
    "00202": {
        **_ANSWER,
        **_TERM,
        "Result": "0000",
        "AppliedBalance": "50000.00",
        "FrozedBalance": "12.00",
        "Currency": "CNY",
        "AccountBalance": "3212.00",
        "FormerApplicationDepartment": "演示区人民法院",
        "FormerFrozenCurrency": "CNY",
        "FormerFrozenBalance": "3200.00",
        "FormerFrozenExpireTime": "20270101000000",
        "AccountAvaiableBalance": "0.00",
    },
    "00204": {
        **_ANSWER,
        "Result": "0000",
        "AppliedBalance": "50000.00",
        "AccountBalance": "3212.00",
        "WithdrawalTime": "20261121090000",
    },
    "00206": {
        **_ANSWER,
        **_TERM,
        "Result": "0000",
        "AppliedBalance": "1.00",
        "FrozedBalance": "1.00",
        "Currency": "CNY",
        "AccountBalance": "2.00",
    },
}
PAPERS = (("01-police-id-1.png", PNG), ("01-police-id-2.png", PNG), ("03-form.pdf", b"%PDF-1.4\n%%EOF"))


def record(code: str, body: dict[str, str], papers: tuple[tuple[str, bytes], ...] = (), root: str = "Request") -> bytes:
    """Return a record of the platform as an institution sends it."""
    head = f"<Mode>01</Mode><To>x</To><TxCode>{code}</TxCode><TransSerialNumber>310000_{code:0>24}</TransSerialNumber>"
    texts = "".join(f"<{name}>{text}</{name}>" for name, text in body.items())
    if papers:
        inside = "".join(
            f"<Attachment><Filename>{name}</Filename><Content>{base64.b64encode(content).decode()}</Content></Attachment>"
            for name, content in papers
        )
        texts += f"<Attachments>{inside}</Attachments>"
    xml = f'<?xml version="1.0" encoding="UTF-8"?><{root}><Head>{head}</Head><Body>{texts}</Body></{root}>'
    return xml.encode()


BODY_FIELDS = (
    "Reason",
    "Remark",
    "AccountName",
    "BankName",
    "WithdrawalRemark",
    "ExtendRemark",
    "OperatorName",
    "CaseNumber",
)
"""Elements of an order that hold free text."""
