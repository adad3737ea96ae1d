"""An order made from what a person types, for desks without a system of their own.

- Papers are given as files; what each is comes from the person (police-id, form, instrument), not from a file's name.
- Whatever the bank's dialect has an element for can be said: officers and organisation, kind of case, urgency, the
  transfer that the order is about.
- What an order of a kind cannot do without is asked for at once, by the option that gives it.
"""

import base64
from hashlib import sha256
from typing import Any

from google.protobuf.message import Message

from adapters.papers import PAPER_BYTES_MAX, media_type
from bus.errors import Usage
from bus.parts import Statement
from schemas.v1 import common_pb2, freeze_pb2, stop_payment_pb2

KINDS = ("stop", "lift", "stop-extend", "freeze", "release", "freeze-extend")

_STOP = {
    "stop": stop_payment_pb2.STOP_PAYMENT_KIND_STOP,
    "lift": stop_payment_pb2.STOP_PAYMENT_KIND_LIFT,
    "stop-extend": stop_payment_pb2.STOP_PAYMENT_KIND_EXTEND,
}
_FREEZE = {
    "freeze": freeze_pb2.FREEZE_KIND_FREEZE,
    "release": freeze_pb2.FREEZE_KIND_RELEASE,
    "freeze-extend": freeze_pb2.FREEZE_KIND_EXTEND,
}
_PAPERS = {
    "police-id": common_pb2.ATTACHMENT_KIND_POLICE_ID,
    "form": common_pb2.ATTACHMENT_KIND_STOP_PAYMENT_FORM,
    "instrument": common_pb2.ATTACHMENT_KIND_FREEZE_INSTRUMENT,
    "other": common_pb2.ATTACHMENT_KIND_OTHER,
}
_COMMANDS = {
    "stop": "stop",
    "lift": "lift",
    "stop-extend": "extend-stop",
    "freeze": "freeze",
    "release": "release",
    "freeze-extend": "extend-freeze",
}
"""What a person typed for each kind."""

_NEEDED = {
    "stop": ("holder", "amount"),
    "lift": ("original_application_id", "reason"),
    "stop-extend": ("original_application_id", "holder"),
    "freeze": ("holder",),
    "release": ("original_application_id", "reason"),
    "freeze-extend": ("original_application_id", "holder"),
}
"""Beside number and account: the bank compares name and amount before it acts (Yinfa 2016 no. 86), and a change names
what it changes."""

_ACCOUNT_KINDS = {
    "": common_pb2.ACCOUNT_KIND_PERSONAL,
    "personal": common_pb2.ACCOUNT_KIND_PERSONAL,
    "corporate": common_pb2.ACCOUNT_KIND_CORPORATE,
}
_CODES = {
    "application_type": "tfms.application-type",
    "case_type": "tfms.case-type",
    "emergency": "tfms.emergency-level",
}
"""Fields that hold a code of the platform's lists, with the scheme of the list."""

_OFFICER = ("name", "id_type", "id_number", "phone")
_STAFF = {"organisation": ("code", "name"), "requester": _OFFICER, "second": _OFFICER}
"""What a staff file may say, table by table."""

_STOP_MS = 48 * 3600 * 1000
_FREEZE_MS = 183 * 86400 * 1000


def compose(arguments: dict[str, Any], now_ms: int) -> tuple[Message, Statement]:
    """Return the order and the statement that goes with it. Usage when something needed is missing or contradicts."""
    kind = arguments.get("kind")
    if kind not in KINDS:
        raise Usage(f"an order is one of {', '.join(KINDS)}", cure="name one of them", code="LF-ORDER-KIND")
    _require(kind, arguments)
    order: Message
    if kind in _STOP:
        order = stop_payment_pb2.StopPaymentOrder(kind=_STOP[kind])
        statement = Statement("stop_payment", "ATF20", arguments.get("case") or "")
        _set_transfer(order, arguments)
        lasts_ms = _STOP_MS
    else:
        order = freeze_pb2.FreezeOrder(kind=_FREEZE[kind])
        relief = kind == "release"  # after a review: an appeal's purpose, with its own legal basis
        statement = Statement(
            "appeal" if relief else "freeze", "CPL145" if relief else "CPL144", arguments.get("case") or ""
        )
        if not relief:
            order.mode = freeze_pb2.FREEZE_MODE_LIMITED if arguments.get("amount") else freeze_pb2.FREEZE_MODE_FULL
        _set_amount(order, "amount", arguments)
        lasts_ms = _FREEZE_MS
    _fill(order, arguments, now_ms)
    if kind not in ("lift", "release"):
        order.starts_at.CopyFrom(_instant(now_ms))
        order.expires_at.CopyFrom(_instant(now_ms + lasts_ms))
    return order, statement


def _require(kind: str, arguments: dict[str, Any]) -> None:
    needed = ("application_id", "account", *_NEEDED[kind])
    missing = [name for name in needed if not arguments.get(name)]
    if missing:
        options = " and ".join(f"--{name.replace('_', '-')}" for name in missing)
        raise Usage(
            f"the order ({_COMMANDS[kind]}) lacks its {' and '.join(name.replace('_', ' ') for name in missing)}",
            cure=f"give {options}",
            code=_missing_code(missing),
        )
    if "*" in arguments["account"]:
        raise Usage(
            "the account is masked", cure="an order needs the whole number", code="StopPaymentOrder.target.masked"
        )


def _missing_code(missing: list[str]) -> str:
    if "original_application_id" in missing:
        return "LF-ORDER-NO-ORIGINAL"
    return "LF-ORDER-NO-REASON" if missing == ["reason"] else "LF-ORDER-INCOMPLETE"


def _fill(order: Any, arguments: dict[str, Any], now_ms: int) -> None:
    order.application_id = arguments["application_id"]
    order.original_application_id = arguments.get("original_application_id") or ""
    order.target.CopyFrom(_account(arguments["account"], arguments.get("bank"), arguments.get("bank_name")))
    order.target.kind = _account_kind(arguments.get("account_kind") or "")
    if arguments.get("holder"):
        order.target_holder.name = arguments["holder"]
    order.reason = arguments.get("reason") or ""
    order.remark = arguments.get("remark") or ""
    for name, scheme in _CODES.items():
        if arguments.get(name):
            getattr(order, name).CopyFrom(common_pb2.CodedValue(scheme=scheme, code=arguments[name]))
    _set_staff(order.staff, arguments.get("staff") or {})
    order.applied_at.CopyFrom(_instant(now_ms))
    order.attachments.extend(map(_paper, arguments.get("papers", [])))


def _paper(paper: dict[str, str]) -> common_pb2.Attachment:
    """Return a paper as it travels. Usage when it is empty, or larger than the banks' dialect takes."""
    content = base64.b64decode(paper["content"])
    if not 0 < len(content) <= PAPER_BYTES_MAX:
        raise Usage(
            f"a paper ({paper['kind']}) has {len(content)} bytes; it needs 1 to {PAPER_BYTES_MAX}",
            cure="scan it smaller, or name the right file",
            code="LF-ORDER-PAPER",
        )
    return common_pb2.Attachment(
        kind=_PAPERS.get(paper["kind"], common_pb2.ATTACHMENT_KIND_OTHER),
        sha256=sha256(content).digest(),
        media_type=media_type(content),
        filename=paper["name"],
        content=content,
    )


def _account(text: str, bank: str | None, bank_name: str | None) -> common_pb2.AccountRef:
    """Return an account as typed; what follows an underscore is its sub-account, as in the platform's files."""
    number, _, sub_account = text.replace(" ", "").partition("_")
    account = common_pb2.AccountRef(scheme="ACCOUNT", number=number, sub_account=sub_account)
    if bank:
        account.bank.CopyFrom(common_pb2.BankRef(scheme="CNAPS", code=bank))
    if bank_name:
        account.bank.name = bank_name
    return account


def _account_kind(word: str) -> Any:
    if word not in _ACCOUNT_KINDS:
        raise Usage(f"{word} is no kind of account", cure="use personal or corporate", code="LF-ORDER-ACCOUNT-KIND")
    return _ACCOUNT_KINDS[word]


def _set_transfer(order: Any, arguments: dict[str, Any]) -> None:
    """Say which transfer the stop is about: its amount, and the account that the money came from."""
    _set_amount(order, "transfer_amount", arguments)
    if arguments.get("source_account"):
        order.source_account.CopyFrom(_account(arguments["source_account"], arguments.get("source_bank"), None))
    order.source_holder_name = arguments.get("source_holder") or ""


def _set_staff(staff: Any, said: Any) -> None:
    """Fill in officers and organisation. Usage when the file says something that an order has no place for."""
    for table, values in said.items() if isinstance(said, dict) else [("", None)]:
        known = _STAFF.get(table)
        if known is None or not isinstance(values, dict):
            raise _staff_wrong(f"{table or 'it'} is none of {', '.join(_STAFF)}")
        for name, text in values.items():
            if name not in known or not isinstance(text, str):
                raise _staff_wrong(
                    f"{table} has {', '.join(known)}, each a text in quotation marks; not {name} as given"
                )
    for name, text in said.get("organisation", {}).items():
        setattr(staff, f"organisation_{name}", text)
    for officer in ("requester", "second"):
        if said.get(officer):
            getattr(staff, officer).CopyFrom(common_pb2.StaffRef(**said[officer]))


def _staff_wrong(why: str) -> Usage:
    return Usage(
        f"the staff file is not as it should be: {why}",
        cure="tables [organisation], [requester] and [second]; docs/cli.md has an example",
        code="LF-ORDER-STAFF",
    )


def _set_amount(order: Any, field: str, arguments: dict[str, Any]) -> None:
    text = arguments.get("amount")
    if not text:
        return
    whole, _, cents = str(text).partition(".")
    if not whole.isdecimal() or (cents and not cents.isdecimal()) or len(cents) > 2:  # noqa: PLR2004 - two decimals
        raise Usage(
            "the amount is not a number with at most two decimals", cure="for example 5000.00", code="LF-ORDER-AMOUNT"
        )
    money = getattr(order, field)
    money.minor_units = int(whole) * 100 + int(cents.ljust(2, "0") or "0")
    money.currency = arguments.get("currency") or "CNY"


def _instant(at_ms: int) -> common_pb2.Instant:
    """Return an instant to the second: the platform's dialect has no finer one, and a person needs none."""
    return common_pb2.Instant(
        utc_ms=at_ms - at_ms % 1000,
        precision=common_pb2.TIME_PRECISION_SECOND,
        zone_source=common_pb2.ZONE_SOURCE_VALUE,
        zone="UTC",
    )
