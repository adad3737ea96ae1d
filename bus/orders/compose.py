"""An order made from what a person types, for desks without a system of their own.

Papers are given as files; what each is comes from the person (police-id, form, instrument), not from a file's name.
"""

import base64
from hashlib import sha256
from typing import Any

from google.protobuf.message import Message

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
_STOP_MS = 48 * 3600 * 1000
_FREEZE_MS = 183 * 86400 * 1000


def compose(arguments: dict[str, Any], now_ms: int) -> tuple[Message, Statement]:
    """Return the order and the statement that goes with it. Usage when something needed is missing or contradicts."""
    kind = arguments.get("kind")
    if kind not in KINDS:
        raise Usage(f"an order is one of {', '.join(KINDS)}", cure="name one of them", code="LF-ORDER-KIND")
    for name in ("application_id", "account"):
        if not arguments.get(name):
            raise Usage(f"the order has no {name.replace('_', ' ')}", cure=f"give --{name.replace('_', '-')}")
    if "*" in arguments["account"]:
        raise Usage(
            "the account is masked", cure="an order needs the whole number", code="StopPaymentOrder.target.masked"
        )
    if kind not in ("stop", "freeze") and not arguments.get("original_application_id"):
        raise Usage(
            f"a {kind} names the order that it changes",
            cure="give that order's number with --original-application-id",
            code="LF-ORDER-NO-ORIGINAL",
        )
    if kind in ("lift", "release") and not arguments.get("reason"):
        raise Usage(f"a {kind} gives its reason", cure="give --reason", code="LF-ORDER-NO-REASON")
    order: Message
    if kind in _STOP:
        order = stop_payment_pb2.StopPaymentOrder(kind=_STOP[kind])
        statement = Statement("stop_payment", "ATF20", arguments.get("case") or "")
        _set_amount(order, "transfer_amount", arguments)
        lasts_ms = _STOP_MS
    else:
        order = freeze_pb2.FreezeOrder(kind=_FREEZE[kind])
        relief = kind == "release"  # after a review: an appeal's purpose, with its own legal basis
        statement = Statement(
            "appeal" if relief else "freeze", "CPL145" if relief else "CPL144", arguments.get("case") or ""
        )
        order.mode = freeze_pb2.FREEZE_MODE_LIMITED if arguments.get("amount") else freeze_pb2.FREEZE_MODE_FULL
        _set_amount(order, "amount", arguments)
        lasts_ms = _FREEZE_MS
    _fill(order, arguments, now_ms, lasts_ms)
    return order, statement


def _fill(order: Any, arguments: dict[str, Any], now_ms: int, lasts_ms: int) -> None:
    order.application_id = arguments["application_id"]
    order.original_application_id = arguments.get("original_application_id") or ""
    order.target.CopyFrom(
        common_pb2.AccountRef(
            scheme="ACCOUNT",
            number=arguments["account"],
            kind=common_pb2.ACCOUNT_KIND_PERSONAL,
            bank=common_pb2.BankRef(scheme="CNAPS", code=arguments.get("bank") or ""),
        )
    )
    if arguments.get("holder"):
        order.target_holder.name = arguments["holder"]
    order.reason = arguments.get("reason") or ""
    order.applied_at.CopyFrom(_instant(now_ms))
    order.starts_at.CopyFrom(_instant(now_ms))
    order.expires_at.CopyFrom(_instant(now_ms + lasts_ms))
    for paper in arguments.get("papers", []):
        content = base64.b64decode(paper["content"])
        order.attachments.append(
            common_pb2.Attachment(
                kind=_PAPERS.get(paper["kind"], common_pb2.ATTACHMENT_KIND_OTHER),
                sha256=sha256(content).digest(),
                filename=paper["name"],
                content=content,
            )
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
    return common_pb2.Instant(
        utc_ms=at_ms,
        precision=common_pb2.TIME_PRECISION_MILLISECOND,
        zone_source=common_pb2.ZONE_SOURCE_VALUE,
        zone="UTC",
    )
