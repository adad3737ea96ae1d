"""Queries, answers and reports of the risk-event platform, every element filled; all invented."""

import base64
from typing import Any
from xml.sax.saxutils import escape

from tests.adapters.files import ACCOUNT, IDENTITY, NEXT, ORDER_100101, PAPERS

VICTIM = "6299990000005000017"
_WHO = (
    "ApplicationID",
    "CaseNumber",
    "CaseType",
    "EmergencyLevel",
    "BankID",
    "BankName",
    "Reason",
    "Remark",
    "ApplicationTime",
    "ApplicationOrgID",
    "ApplicationOrgName",
    "OperatorIDType",
    "OperatorIDNumber",
    "OperatorName",
    "OperatorPhoneNumber",
    "InvestigatorIDType",
    "InvestigatorIDNumber",
    "InvestigatorName",
)
_QUERY = {**{name: ORDER_100101[name] for name in _WHO}, "SubjectType": "1"}
_OF_CARD = {"AccountName": "演示户", "CardNumber": ACCOUNT}
_ANSWER = {
    "ApplicationID": ORDER_100101["ApplicationID"],
    "Result": "0000",
    "OperatorName": "演示柜员",
    "OperatorPhoneNumber": "19900000009",
    "FeedbackOrgName": "演示银行乙",
    "FeedbackRemark": "查询成功",
}
_REPORTER = {"ReportOrgName": "演示银行乙", "OperatorName": "演示柜员", "OperatorPhoneNumber": "19900000009"}


def movement(number: int = 1, merchant: str = "merchant", **changes: str) -> dict[str, str]:
    """Return one movement, every element filled; `merchant` is how the interface spells the merchant's elements there."""
    return {
        "TransactionType": "网银转账",
        "BorrowingSigns": "0",
        "Currency": "CNY",
        "TransactionAmount": f"{number}000.05",
        "AccountBalance": f"{number}2.50",
        "TransactionTime": f"202611201015{number:02}",
        "TransactionSerial": f"T{number:020}",
        "OpponentName": "演示下家",
        "OpponentAccountNumber": NEXT,
        "OpponentCredentialNumber": IDENTITY,
        "OpponentDepositBankID": "310000000003",
        "TransactionRemark": "货款",
        "TransactionBranchName": "演示支行",
        "TransactionBranchCode": "B0001",
        "LogNumber": "L0001",
        "SummonsNumber": "S0001",
        "VoucherType": "01",
        "VoucherCode": "V0001",
        "CashMark": "1",
        "TerminalNumber": "ATM0001",
        "TransactionStatus": "0",
        "TransactionAddress": "演示路1号",
        f"{merchant}Name": "演示商户",
        f"{merchant}Code": "M0001",
        "IPAddress": "192.0.2.7",
        "MAC": "00-00-5E-00-53-01",
        "TellerCode": "G001",
        "Remark": "备注",
    } | changes


def account(number: str = "310000000000001", **more: Any) -> dict[str, Any]:
    """Return one account of a card, every element filled."""
    return {
        "AccountNumber": number,
        "AccountSerial": "1",
        "AccountType": "活期",
        "AccountStatus": "正常",
        "Currency": "CNY",
        "CashRemit": "1",
        "AccountBalance": "12.50",
        "AvailableBalance": "10.00",
        "LastTransactionTime": "20261120101502",
    } | more


def _card(**more: Any) -> dict[str, Any]:
    return {
        **_OF_CARD,
        "DepositBankBranch": "演示支行",
        "DepositBankBranchCode": "310000000102",
        "AccountOpenTime": "20200105093000",
        "AccountCancellationTime": "20261121093000",
        "AccountCancellationBranch": "演示二支行",
        "Remark": "卡备注",
    } | more


_PERIOD = {"InquiryPeriodStart": "20261101000000", "InquiryPeriodEnd": "20261120235959"}
_REPORTED_ACCOUNT = {
    name: text
    for name, text in account().items()
    if name not in ("AccountBalance", "AvailableBalance", "LastTransactionTime")
}
QUERIES: dict[str, dict[str, Any]] = {
    "00301": {**_QUERY, **_OF_CARD, "InquiryMode": "03", **_PERIOD},
    "00303": {**_QUERY, **_OF_CARD},
    "00305": {
        **_QUERY,
        **_OF_CARD,
        "InterceptionOrderId": "310000202611200009",
        "InterceptionStartTime": "20261120110000",
        "InterceptionEndTime": "20261127110000",
    },
    "00307": {
        **_QUERY,
        **_OF_CARD,
        "OriginalApplicationID": "310000202611190009",
        "InterceptionEndTime": "20261125110000",
    },
    "00309": {
        **_QUERY,
        "AccountCredentialType": "01",
        "AccountCredentialNumber": IDENTITY,
        "AccountSubjectName": "演示户",
        "InquiryMode": "01",
    },
}
"""What the police ask: 2xxxxx from their system, 1xxxxx to the bank's."""
ANSWERS: dict[str, dict[str, Any]] = {
    "00302": {
        **_ANSWER,
        "Accounts": _card(
            Account=[
                account(Transactions={"Transaction": [movement(1), movement(2, BorrowingSigns="1")]}),
                account("310000000000002", Currency="USD", Transactions={"Transaction": [movement(3, Currency="USD")]}),
            ]
        ),
    },
    "00304": {
        **_ANSWER,
        "AccountCredentialType": "01",
        "AccountCredentialNumber": IDENTITY,
        "AccountSubjectName": "演示户",
        "TelNumber": "19900000101",
        "CardOperatorName": "演示代办人",
        "CardOperatorCredentialType": "03",
        "CardOperatorCredentialNumber": "E00000001",
        "ResidentAddress": "演示路1号",
        "ResidentTelNumber": "19900000102",
        "WorkCompanyName": "演示公司",
        "WorkAddress": "演示路2号",
        "WorkTelNumber": "19900000103",
        "EmailAddress": "someone@example.com",
        "ArtificialPersonRep": "演示法人",
        "ArtificialPersonRepCredentialType": "03",
        "ArtificialPersonRepCredentialNumber": "E00000002",
        "BusinessLicenseNumber": "310000000000009",
        "StateTaxSerial": "G0001",
        "LocalTaxSerial": "D0001",
        "CredentialExpiryDate": "20300101",
        "Remark": "备注",
    },
    "00306": {**_ANSWER, "AccountName": "演示户", "AccountNumber": "310000000000001", "CardNumber": ACCOUNT}
    | {"Transactions": {"Transaction": [movement(1), movement(2, BorrowingSigns="1")]}},
    "00308": {
        **{name: text for name, text in _ANSWER.items() if name != "FeedbackOrgName"},
        **_OF_CARD,
        **{name: ORDER_100101[name] for name in ("CaseNumber", "ApplicationOrgID", "ApplicationOrgName")},
        **{name: ORDER_100101[name] for name in ("ApplicationTime", "BankID", "BankName")},
        "WithdrawalRemark": "监控结束",
    },
    "00310": {
        **_ANSWER,
        "AccountsList": {
            "Accounts": [
                _card(Account=[account(), account("310000000000002", Currency="USD")]),
                _card(CardNumber=NEXT, Account=[account("310000000000003")]),
            ]
        },
        "Measures": {
            "Measure": [
                {
                    "FreezeSerial": "1",
                    "AccountNumber": "310000000000001",
                    "CardNumber": ACCOUNT,
                    "FreezeStartTime": "20260701000000",
                    "FreezeEndTime": "20270101000000",
                    "FreezeDeptName": "演示区人民法院",
                    "Currency": "CNY",
                    "FreezeBalance": "3200.00",
                    "Remark": "轮候",
                    "FreezeType": "1001",
                }
            ]
        },
        "Priorities": {
            "Priority": [
                {
                    "PriortySerial": "1",
                    "AccountNumber": "310000000000001",
                    "CardNumber": ACCOUNT,
                    "CredentialType": "01",
                    "CredentialNumber": IDENTITY,
                    "RightsType": "质押",
                    "ObligeeName": "演示权利人",
                    "RightsBalance": "500.00",
                    "ObligeeAddress": "演示路3号",
                    "ObligeeContactInfo": "19900000104",
                }
            ]
        },
    },
}
"""What the bank answers: 1xxxxx from its system, 2xxxxx to the police's."""


def loss(number: int = 1, **changes: str) -> dict[str, str]:
    """Return one transfer of a victim, every element filled."""
    return {
        "ID": f"C{number:020}",
        "Time": f"202611201015{number:02}",
        "Type": "网银转账",
        "Currency": "CNY",
        "TransferAmount": f"{number}000.05",
        "TransferOutBankID": "310000000003",
        "TransferOutBankName": "演示银行丙",
        "TransferOutAccountName": "演示受害人",
        "TransferOutAccountNumber": VICTIM,
        "TransferInBankID": "310000000002",
        "TransferInBankName": "演示银行乙",
        "TransferInAccountName": "演示户",
        "TransferInAccountNumber": ACCOUNT,
        "IP": "192.0.2.7",
        "MAC": "00-00-5E-00-53-01",
        "DeviceID": "D0001",
        "Place": "演示路1号",
        "Remark": "备注",
        "IsCeased": "1",
    } | changes


REPORTS: dict[str, dict[str, Any]] = {
    "00401": {
        "ApplicationID": "310000202611200002",
        "ApplicationType": "02",
        "ReportEndTime": "20261120103000",
        "VictimName": "演示受害人",
        "VictimPhoneNumber": "19900000105",
        "VictimIDType": "01",
        "VictimIDNumber": IDENTITY,
        "AccidentDescription": "冒充客服",
        **_REPORTER,
        "TransactionList": {"Transaction": [loss(1), loss(2, IsCeased="0")]},
    },
    "00403": {
        "ApplicationID": "310000202611200003",
        "FeatureCode": "1001",
        "BankID": "310000000002",
        "IDType": "01",
        "IDNumber": IDENTITY,
        "IDName": "演示户",
        "AccountsList": {
            "Accounts": [
                {"CardNumber": ACCOUNT, "AccountOpenTime": "20261119093000", "AccountOpenPlace": "演示支行"},
                {"CardNumber": NEXT, "AccountOpenTime": "20261120093000", "AccountOpenPlace": "演示二支行"},
            ]
        },
        **_REPORTER,
    },
    "00404": {
        "ApplicationID": "310000202611200004",
        "FeatureCode": "2001",
        "BankID": "310000000002",
        **_OF_CARD,
        "IDType": "01",
        "IDNumber": IDENTITY,
        "PhoneNumber": "19900000101",
        "Address": "演示路1号",
        "PostCode": "310000",
        "AccountOpenPlace": "演示支行",
        **_REPORTER,
        "AccountList": {
            "Account": [
                _REPORTED_ACCOUNT
                | {"TransactionList": {"Transaction": [movement(1, "Merchant"), movement(2, "Merchant")]}},
                _REPORTED_ACCOUNT
                | {
                    "AccountNumber": "310000000000002",
                    "TransactionList": {"Transaction": [movement(3, "Merchant")]},
                },
            ]
        },
    },
    "00405": {
        "ApplicationID": "310000202611200005",
        "BankID": "310000000002",
        **{name: text for name, text in _REPORTER.items() if name != "ReportOrgName"},
        "List": {
            "Accounts": [
                {
                    **_OF_CARD,
                    "Remark": "卡备注",
                    "Account": [
                        _REPORTED_ACCOUNT
                        | {
                            "TransactionList": {
                                "Transaction": [
                                    {"FeatureCode": "3006", **movement(1, "Merchant")},
                                    {"FeatureCode": "3007", **movement(2, "Merchant")},
                                ]
                            }
                        }
                    ],
                },
                {
                    "AccountName": "演示户二",
                    "CardNumber": NEXT,
                    "Remark": "",
                    "Account": [
                        _REPORTED_ACCOUNT
                        | {
                            "AccountNumber": "310000000000003",
                            "TransactionList": {"Transaction": [{"FeatureCode": "9999", **movement(3, "Merchant")}]},
                        }
                    ],
                },
            ]
        },
    },
    "00501": {"ListSource": "01", "DataType": "01", "Data": ACCOUNT},
    "00503": {"ListSource": "01", "DataType": "01", "Data": ACCOUNT, "AccountName": "演示户"},
}
"""What the bank reports or asks: 1xxxxx from its system."""
REPORT_ANSWERS: dict[str, dict[str, Any]] = {
    "00402": {
        "ApplicationID": "310000202611200002",
        "ApplicationType": "02",
        "ReportEndTime": "20261120103000",
        "Result": "0000",
        "OperatorName": "演示警官甲",
        "OperatorPhoneNumber": "19900000001",
        "FeedbackOrgName": "演示市公安局",
        "FeedbackRemark": "已受理",
    },
}
"""What the police answer to a report: 2xxxxx from their system."""
PAPERS_OF_A_QUERY = {
    "Attachments": {
        "Attachment": [{"Filename": name, "Content": base64.b64encode(content).decode()} for name, content in PAPERS]
    }
}


def xml(name: str, content: Any) -> str:
    """Return an element: a text, or a dict of elements, in which a list is the element over and over."""
    if isinstance(content, list):
        return "".join(xml(name, item) for item in content)
    if isinstance(content, dict):
        return f"<{name}>{''.join(xml(inner, item) for inner, item in content.items())}</{name}>"
    return f"<{name}>{escape(content)}</{name}>"


def tree_record(code: str, body: dict[str, Any], root: str = "Request", head: dict[str, str] | None = None) -> bytes:
    """Return a record of the platform with lists in it, as an institution sends it."""
    heads = {"Mode": "01", "To": "x", "TxCode": code, "TransSerialNumber": f"310000_{code:0>24}"} | (head or {})
    return f'<?xml version="1.0" encoding="UTF-8"?>{xml(root, {"Head": heads, "Body": body})}'.encode()
