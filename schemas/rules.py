"""Rules across the fields of a message, each with what to say when it is broken. schemas/checks.py applies them.

A rule's id is `<Message>.<field>.<member>`; the message named in it is the one that declares the field.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from schemas.v1 import case_pb2, common_pb2, freeze_pb2, monitoring_pb2, stop_payment_pb2

_SHA256_BYTES = 32

Test = Callable[[Any], bool]


@dataclass(frozen=True)
class Rule:
    """A rule across fields: true when it is broken."""

    id: str
    broken: Test
    says: str
    cure: str

    @property
    def message(self) -> str:
        """The message that declares the field."""
        return self.id.split(".")[0]

    @property
    def field(self) -> str:
        """The field it speaks of."""
        return self.id.split(".")[1]


def _masked(field: str) -> Test:
    def masked(order: Any) -> bool:
        account = getattr(order, field)
        return bool(account.masked or "*" in account.number)

    return masked


def _ends_before_it_begins(order: Any) -> bool:
    return bool(
        order.HasField("starts_at")
        and order.HasField("expires_at")
        and order.expires_at.utc_ms <= order.starts_at.utc_ms
    )


def _negative(field: str) -> Test:
    return lambda message: getattr(message, field).minor_units < 0


def _needs_original(first_kind: int) -> Test:
    return lambda order: order.kind not in (0, first_kind) and not order.original_application_id


def _needs_reason(relief_kind: int) -> Test:
    return lambda order: order.kind == relief_kind and not order.reason


_STOP, _LIFT = stop_payment_pb2.STOP_PAYMENT_KIND_STOP, stop_payment_pb2.STOP_PAYMENT_KIND_LIFT
_FREEZE, _RELEASE = freeze_pb2.FREEZE_KIND_FREEZE, freeze_pb2.FREEZE_KIND_RELEASE
_START = monitoring_pb2.MONITORING_KIND_START
_WHOLE_NUMBER = "an order needs the whole account number; ask whoever reported it"
_NAME_IT = "give the number of the order that it changes"
_SAY_WHY = "say why the measure is no longer needed"
_DATES = "correct the dates"


def _limited_without_amount(order: Any) -> bool:
    return bool(
        order.mode == freeze_pb2.FREEZE_MODE_LIMITED and order.kind != _RELEASE and order.amount.minor_units <= 0
    )


def _ends_nothing(order: Any) -> bool:
    return order.kind not in (0, _START) and not (order.original_application_id or order.monitoring_id)


def _period_reversed(query: Any) -> bool:
    return bool(
        query.HasField("period_start")
        and query.HasField("period_end")
        and query.period_end.utc_ms < query.period_start.utc_ms
    )


def _asks_about_nothing(query: Any) -> bool:
    return not any(query.HasField(field) for field in ("account", "phone", "person", "organisation", "subject"))


def _checks_nothing(check: Any) -> bool:
    return not (check.address or any(check.HasField(field) for field in ("account", "phone", "person", "organisation")))


def _movement_tells_more(notice: Any) -> bool:
    """A movement of a notice opens for early warning; balances, devices and clerks do not."""
    for movement in notice.transactions:
        if (
            movement.HasField("balance_after")
            or movement.HasField("counterparty_balance_after")
            or movement.ip
            or movement.mac
            or movement.device
            or movement.teller
        ):
            return True
    return False


def _e164_disagrees(phone: Any) -> bool:
    return bool(phone.e164) is not (phone.kind == common_pb2.PHONE_KIND_E164)


RULES: tuple[Rule, ...] = (
    Rule("StopPaymentOrder.target.masked", _masked("target"), "is masked", _WHOLE_NUMBER),
    Rule("FreezeOrder.target.masked", _masked("target"), "is masked", _WHOLE_NUMBER),
    Rule("StopPaymentOrder.original_application_id.required", _needs_original(_STOP), "is missing", _NAME_IT),
    Rule("FreezeOrder.original_application_id.required", _needs_original(_FREEZE), "is missing", _NAME_IT),
    Rule("StopPaymentOrder.reason.required", _needs_reason(_LIFT), "is missing", _SAY_WHY),
    Rule("FreezeOrder.reason.required", _needs_reason(_RELEASE), "is missing", _SAY_WHY),
    Rule("StopPaymentOrder.expires_at.order", _ends_before_it_begins, "does not lie after starts_at", _DATES),
    Rule("FreezeOrder.expires_at.order", _ends_before_it_begins, "does not lie after starts_at", _DATES),
    Rule("StopPaymentOrder.transfer_amount.negative", _negative("transfer_amount"), "is negative", "give it unsigned"),
    Rule("FreezeOrder.amount.negative", _negative("amount"), "is negative", "give it unsigned"),
    Rule(
        "TransactionRecord.amount.negative",
        _negative("amount"),
        "is negative",
        "give it unsigned, with a direction",
    ),
    Rule(
        "FreezeOrder.mode.required",
        lambda order: order.kind == _FREEZE and order.mode == freeze_pb2.FREEZE_MODE_UNSPECIFIED,
        "is missing",
        "say whether an amount or the whole account is frozen",
    ),
    Rule(
        "FreezeOrder.amount.required",
        _limited_without_amount,
        "is missing, though the freeze is limited to an amount",
        "give the amount, or freeze the whole account",
    ),
    Rule(
        "AccountRef.masked.number",
        lambda account: "*" in account.number and not account.masked,
        "is false, though digits are hidden",
        "mark it as masked",
    ),
    Rule(
        "Acknowledgement.message_id.required",
        lambda answer: not (answer.message_id or answer.report_id),
        "is missing, and so is report_id",
        "say which message or report it answers",
    ),
    Rule("TransactionQuery.account.masked", _masked("account"), "is masked", _WHOLE_NUMBER),
    Rule("MonitoringOrder.account.masked", _masked("account"), "is masked", _WHOLE_NUMBER),
    Rule("MonitoringOrder.original_application_id.required", _ends_nothing, "is missing", _NAME_IT),
    Rule("MonitoringOrder.expires_at.order", _ends_before_it_begins, "does not lie after starts_at", _DATES),
    Rule("NumberActionOrder.expires_at.order", _ends_before_it_begins, "does not lie after starts_at", _DATES),
    Rule(
        "NumberActionOrder.number.kind",
        lambda order: order.number.kind == common_pb2.PHONE_KIND_OTHER,
        "is no number that can be acted on",
        "give the whole number",
    ),
    Rule("AccountQuery.period_end.order", _period_reversed, "lies before period_start", _DATES),
    Rule("TransactionQuery.period_end.order", _period_reversed, "lies before period_start", _DATES),
    Rule(
        "AccountQuery.account.required",
        _asks_about_nothing,
        "is missing, and so is every other subject",
        "say about which account, number, person or organisation it asks",
    ),
    Rule(
        "WatchCheck.account.required",
        _checks_nothing,
        "is missing, and so is everything else that could be looked up",
        "say which account, number, person, organisation or address to look up",
    ),
    Rule("FundsReturn.amount.negative", _negative("amount"), "is negative", "give it unsigned"),
    Rule("PaymentRecall.amount.negative", _negative("amount"), "is negative", "give it unsigned"),
    Rule(
        "Feedback.duplicate_of.required",
        lambda feedback: feedback.verdict == case_pb2.FEEDBACK_VERDICT_DUPLICATE and not feedback.duplicate_of,
        "is missing, though the verdict is duplicate",
        "name the earlier message",
    ),
    Rule(
        "SuspiciousAccountNotice.transactions.apart",
        _movement_tells_more,
        "carries a balance, a device or a clerk, which are read by fewer than movements are",
        "give balances in balance and devices in device_addresses, and leave the clerk out",
    ),
    Rule("PhoneRef.e164.kind", _e164_disagrees, "and kind contradict each other", "set both, or only raw"),
    Rule(
        "Attachment.sha256.content",
        lambda paper: bool(paper.content) and paper.sha256 != sha256(paper.content).digest(),
        "is not the SHA-256 of the content",
        "take the paper from its source again",
    ),
    Rule(
        "Provenance.source_sha256.length",
        lambda source: len(source.source_sha256) not in (0, _SHA256_BYTES),
        "has not the length of a SHA-256",
        "give the whole digest",
    ),
)
