"""The stop-payment platform's XML as a bank's core system meets it: orders come as Response, answers leave as Request.

Strict about what can hurt (no document type, no entities, a size limit) and about what it needs; element order and
names are the platform's, misspellings included.
"""

from hashlib import sha256

from lxml import etree

from deploy.demo.core_decisions import Answer, Order, fen

ORDER_BYTES_MAX = 8 * 1024 * 1024

_ANSWER_ELEMENTS = {
    "100102": "CardNumber AccountBalance StartTime ExpireTime",
    "100104": "CardNumber WithdrawalTime",
    "100106": "CardNumber AccountBalance StartTime ExpireTime",
    "100202": "CardNumber AppliedBalance FrozedBalance Currency AccountBalance StartTime ExpireTime FailureCause"
    " FormerApplicationDepartment FormerFrozenCurrency FormerFrozenBalance FormerFrozenExpireTime"
    " AccountAvaiableBalance",
    "100204": "CardNumber AppliedBalance UnfreezeBalance AccountBalance WithdrawalTime",
    "100206": "CardNumber AppliedBalance FrozedBalance Currency AccountBalance StartTime ExpireTime",
}
_FEEDBACK = {"FeedbackOrgName": "演示银行B", "OperatorName": "值班柜员", "OperatorPhoneNumber": "01000000000"}
_AMOUNT_OF = {"100101": "TransferAmount", "100201": "Balance", "100205": "Balance"}
_STARTS_OF = {
    "100101": "StartTime",
    "100105": "PostponeStartTime",
    "100201": "FreezeStartTime",
    "100205": "PostponeStartTime",
}


class Unreadable(Exception):
    """The file is no order that can be answered."""


def read_order(data: bytes) -> Order:
    """Return the order in a file. Unreadable when it is none, or has no number under which it could be answered."""
    root = _parse(data)
    if root.tag != "Response":
        raise Unreadable("the root is not Response")
    tx_code = _text(root, "Head/TxCode")
    application = _text(root, "Body/ApplicationID")
    if not application:
        raise Unreadable("there is no Body/ApplicationID")
    named = _text(root, "Body/AccountNumber")
    amount = fen(_text(root, f"Body/{_AMOUNT_OF[tx_code]}")) if tx_code in _AMOUNT_OF else None
    return Order(
        tx_code=tx_code,
        application_id=application,
        original_id=_text(root, "Body/OriginalApplicationID"),
        account=named.partition("_")[0],
        named=named,
        account_type=_text(root, "Body/AccountType"),
        holder=_text(root, "Body/AccountName"),
        amount_fen=amount,
        freeze_type=_text(root, "Body/FreezeType"),
        starts=_text(root, f"Body/{_STARTS_OF[tx_code]}") if tx_code in _STARTS_OF else "",
        expires=_text(root, "Body/ExpireTime"),
        authority=_text(root, "Body/ApplicationOrgName"),
        reply_to=_text(root, "Head/MessageFrom"),
        papers=tuple(name.text or "" for name in root.iterfind("Body/Attachments/Attachment/Filename")),
        digest=_digest(root),
    )


def write_answer(order: Order, answer: Answer, organisation: str) -> bytes:
    """Return the answer to an order; the same order and answer give the same bytes, so a repeat is recognised."""
    code = str(int(order.tx_code) + 1)
    root = etree.Element("Request")
    head = etree.SubElement(root, "Head")
    digits = int.from_bytes(sha256(f"{code} {order.application_id}".encode()).digest()[:10], "big")
    for name, text in (
        ("Mode", "01"),
        ("To", order.reply_to),
        ("FromTGOrganizationId", ""),
        ("TxCode", code),
        ("TransSerialNumber", f"{organisation}_{digits:024d}"),
    ):
        etree.SubElement(head, name).text = text
    body = etree.SubElement(root, "Body")
    values = {
        "ApplicationID": order.application_id,
        "Result": answer.result,
        "AccountType": order.account_type,
        "AccountNumber": order.named,
        **{name: answer.elements.get(name, "") for name in _ANSWER_ELEMENTS.get(code, "").split()},
    }
    values.setdefault("FailureCause", "")
    values |= {"FeedbackRemark": answer.remark, **_FEEDBACK}
    for name, text in values.items():
        etree.SubElement(body, name).text = text
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def _parse(data: bytes) -> etree._Element:
    if len(data) > ORDER_BYTES_MAX:
        raise Unreadable("the file is too large")
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        raise Unreadable("the file is not XML") from error
    if root.getroottree().docinfo.internalDTD is not None:
        raise Unreadable("a document type is not taken")
    return root


def _text(root: etree._Element, path: str) -> str:
    return (root.findtext(path) or "").strip()


def _digest(root: etree._Element) -> str:
    """Return a digest of everything in the body, so that a number used again for another order is noticed."""
    digest = sha256()
    body = root.find("Body")
    for element in () if body is None else body.iter():
        digest.update(f"{element.tag}={(element.text or '').strip()}\n".encode())
    return digest.hexdigest()
