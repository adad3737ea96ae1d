"""Orders in the platform's XML, made here from the lists of elements, and a small bank to give them to."""

import json
from pathlib import Path
from xml.sax.saxutils import escape

PAPERS = ("01-police-id-1.jpg", "01-police-id-2.jpg", "03-form.pdf")
FREEZE_PAPERS = ("01-police-id-1.jpg", "01-police-id-2.jpg", "02-instrument.pdf")
NOW = "20261124120000"


def order_xml(tx_code: str, application_id: str, papers: tuple[str, ...] = (), **body: str) -> bytes:
    """Return an order as a bank receives it."""
    elements = "".join(f"<{name}>{escape(text)}</{name}>" for name, text in body.items())
    attachments = "".join(
        f"<Attachment><Filename>{name}</Filename><Content>AA==</Content></Attachment>" for name in papers
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><Response><Head>'
        f"<TxCode>{tx_code}</TxCode><MessageFrom>110000000000</MessageFrom>"
        "<TransSerialNumber>110000000000_000000000000000000000001</TransSerialNumber></Head>"
        f"<Body><ApplicationID>{application_id}</ApplicationID>{elements}"
        f"<Attachments>{attachments}</Attachments></Body></Response>"
    ).encode()


def stop_xml(application_id: str, **changes: str) -> bytes:
    """Return an order to stop 8,000.00 yuan on the account of the small bank, lawful for 48 hours."""
    body = {
        "AccountNumber": "6217000000000000017",
        "AccountName": "赵甲",
        "AccountType": "01",
        "TransferAmount": "8000.00",
        "StartTime": NOW,
        "ExpireTime": "20261126120000",
        "ApplicationOrgName": "演示市公安局",
    }
    return order_xml("100101", application_id, PAPERS, **(body | changes))


def freeze_xml(application_id: str, **changes: str) -> bytes:
    """Return an order to freeze 20,000.00 yuan for half a year."""
    body = {
        "AccountNumber": "6217000000000000017",
        "AccountName": "赵甲",
        "AccountType": "01",
        "FreezeType": "01",
        "Balance": "20000.00",
        "FreezeStartTime": NOW,
        "ExpireTime": "20270524120000",
        "ApplicationOrgName": "演示市公安局",
    }
    return order_xml("100201", application_id, FREEZE_PAPERS, **(body | changes))


def balances(path: Path, *, balance_fen: int = 500_000, freezes: tuple[dict[str, object], ...] = ()) -> Path:
    """Write the balance file of a bank with one account, and return its path."""
    account = {
        "account": "6217000000000000017",
        "holder": "赵甲",
        "balance_fen": balance_fen,
        "card": "6217000000000000017",
        "freezes": list(freezes),
    }
    path.write_text(json.dumps({"accounts": [account]}, ensure_ascii=False), encoding="utf-8")
    return path
