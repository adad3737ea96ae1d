"""The police's case system, simulated: orders in the platform's police dialect (2001xx, 2002xx), and the answers to them.

It knows nothing of the bus: an order is a file that somebody sends, an answer is a file in the handover folder. What it
sends is Request, what it receives is Response; the body elements are those of the bank side.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from pathlib import Path

from lxml import etree

TIME_FORMAT = "%Y%m%d%H%M%S"
_ZONE = timezone(timedelta(hours=8))
_STOP_LASTS = timedelta(hours=48)
_FREEZE_LASTS = timedelta(days=180)
_ORGANISATION = {"ApplicationOrgID": "310100000000", "ApplicationOrgName": "演示市公安局反诈中心"}
_OFFICERS = {
    "OperatorIDType": "08",
    "OperatorIDNumber": "DEMO0001",
    "OperatorName": "演示警官甲",
    "OperatorPhoneNumber": "01000000001",
    "InvestigatorIDType": "08",
    "InvestigatorIDNumber": "DEMO0002",
    "InvestigatorName": "演示警官乙",
}


@dataclass(frozen=True)
class Target:
    """The account an order is about, as the investigator read it. `amount` is yuan with two decimals."""

    account: str
    holder: str
    amount: str
    bank_id: str
    bank_name: str = ""


@dataclass(frozen=True)
class Result:
    """An answer as the police receive it."""

    tx_code: str
    application_id: str
    code: str
    elements: Mapping[str, str] = field(default_factory=dict)


class CaseSystem:
    """Writes orders for one case and reads what comes back into its handover folder."""

    def __init__(self, handover: Path, case: str, now: datetime | None = None) -> None:
        self._out = handover / "out"
        self._case = case
        self._now = (now or datetime.now(_ZONE)).astimezone(_ZONE)
        self._number = 0

    def application_id(self) -> str:
        """Return a number for a new order: the moment, and a count."""
        self._number += 1
        return f"31{self._now:%Y%m%d%H%M%S}{self._now.microsecond:06d}{self._number:04d}"

    def stop(self, application_id: str, target: Target, papers: Sequence[Path]) -> bytes:
        """Return an order to stop payments from an account for 48 hours (200101)."""
        body = {
            "ApplicationType": "00",
            "OriginalApplicationID": "",
            **self._case_elements(),
            "Currency": "CNY",
            "TransferAmount": target.amount,
            **_bank(target),
            "Reason": "涉嫌电信网络诈骗，资金转入该账户",
            "Remark": "",
            "StartTime": self._time(),
            "ExpireTime": self._time(_STOP_LASTS),
        }
        return self._order("200101", application_id, target, body, papers)

    def freeze(self, application_id: str, target: Target, papers: Sequence[Path]) -> bytes:
        """Return an order to freeze an amount on an account for 180 days (200201)."""
        body = {
            "ApplicationType": "00",
            **self._case_elements(),
            "Reason": "涉嫌电信网络诈骗，依法冻结",
            "Remark": "",
            **_bank(target),
            "FreezeType": "01",
            "Balance": target.amount,
            "Currency": "CNY",
            "FreezeStartTime": self._time(),
            "ExpireTime": self._time(_FREEZE_LASTS),
        }
        return self._order("200201", application_id, target, body, papers)

    def release(self, application_id: str, original: str, target: Target, reason: str) -> bytes:
        """Return an order to end an earlier freeze, with its reason (200203)."""
        body = {
            **self._case_elements(),
            "OriginalApplicationID": original,
            **_bank(target),
            "WithdrawalRemark": reason,
        }
        return self._order("200203", application_id, target, body, ())

    def _case_elements(self) -> dict[str, str]:
        return {"CaseNumber": self._case, "CaseType": "0001", "EmergencyLevel": "02"}

    def _time(self, later: timedelta = timedelta(0)) -> str:
        return (self._now + later).strftime(TIME_FORMAT)

    def _order(
        self, tx_code: str, application_id: str, target: Target, body: Mapping[str, str], papers: Sequence[Path]
    ) -> bytes:
        root = etree.Element("Request")
        digits = int.from_bytes(sha256(f"{tx_code} {application_id}".encode()).digest()[:10], "big")
        head = {
            "Mode": "01",
            "To": target.bank_id,
            "FromTGOrganizationId": "",
            "TxCode": tx_code,
            "TransSerialNumber": f"{_ORGANISATION['ApplicationOrgID']}_{digits:024d}",
        }
        elements = {"ApplicationID": application_id, **body, "ApplicationTime": self._time()}
        _add(root, "Head", head)
        below = _add(root, "Body", {**elements, **_ORGANISATION, **_OFFICERS})
        if papers:
            attachments = etree.SubElement(below, "Attachments")
            for paper in papers:
                content = base64.b64encode(paper.read_bytes()).decode()
                _add(attachments, "Attachment", {"Filename": paper.name, "Content": content})
        return etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)

    def results(self) -> list[Result]:
        """Return every answer that has come."""
        return [read_result(path.read_bytes()) for path in sorted(self._out.glob("*.xml"))]


def read_result(data: bytes) -> Result:
    """Return the answer in a file that the node handed over."""
    root = etree.fromstring(data, etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False))
    body = root.find("Body")
    elements = {str(item.tag): (item.text or "").strip() for item in (() if body is None else body)}
    return Result(
        tx_code=(root.findtext("Head/TxCode") or "").strip(),
        application_id=elements.get("ApplicationID", ""),
        code=elements.get("Result", ""),
        elements=elements,
    )


def _bank(target: Target) -> dict[str, str]:
    return {
        "BankID": target.bank_id,
        "BankName": target.bank_name,
        "AccountType": "01",
        "AccountName": target.holder,
        "AccountNumber": target.account,
    }


def _add(parent: etree._Element, name: str, values: Mapping[str, str]) -> etree._Element:
    below = etree.SubElement(parent, name)
    for tag, text in values.items():
        etree.SubElement(below, tag).text = text
    return below
