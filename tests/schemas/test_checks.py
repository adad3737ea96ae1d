"""What the checks of the shared language refuse."""

import re
from hashlib import sha256

import pytest

from schemas import checks, registry, rules
from schemas.errors import MessageRefused
from schemas.v1 import (
    account_pb2,
    case_pb2,
    freeze_pb2,
    indicator_pb2,
    monitoring_pb2,
    notice_pb2,
    number_pb2,
    recall_pb2,
    stop_payment_pb2,
    transaction_pb2,
    workflow_pb2,
)

CONTEXT = {"purpose": "stop_payment", "legal_basis": "ATF20"}
STOP = {
    "case_context": CONTEXT,
    "application_id": "A1",
    "target": {"scheme": "CARD", "number": "6299990000001000011"},
    "kind": stop_payment_pb2.STOP_PAYMENT_KIND_STOP,
}
FREEZE = {
    "case_context": {"purpose": "freeze", "legal_basis": "CPL144"},
    "application_id": "F1",
    "target": {"number": "6299990000001000011"},
    "kind": freeze_pb2.FREEZE_KIND_FREEZE,
    "mode": freeze_pb2.FREEZE_MODE_FULL,
}
NOTICE = {
    "case_context": {"purpose": "early_warning", "legal_basis": "ATF18"},
    "account": {"number": "1"},
    "features": [{"scheme": "tfms.feature", "code": "3006"}],
}


def rules_of(message) -> list[str]:
    return [violation.rule for violation in checks.violations(message)]


def stop(**changes):
    return stop_payment_pb2.StopPaymentOrder(**{**STOP, **changes})


def freeze(**changes):
    return freeze_pb2.FreezeOrder(**{**FREEZE, **changes})


def notice(**changes):
    return notice_pb2.SuspiciousAccountNotice(**{**NOTICE, **changes})


@pytest.mark.parametrize("message", [stop(), freeze(), notice()], ids=lambda message: message.DESCRIPTOR.name)
def test_a_whole_message_breaks_nothing(message):
    """A message with all that is required breaks no check."""
    checks.require_valid(message)


BROKEN = [
    (stop(case_context=None), "StopPaymentOrder.case_context.required"),
    (stop(case_context={"purpose": "Stop", "legal_basis": "ATF20"}), "CaseContext.purpose.pattern"),
    (stop(application_id=""), "StopPaymentOrder.application_id.required"),
    (stop(application_id="A 1"), "StopPaymentOrder.application_id.pattern"),
    (stop(kind=0), "StopPaymentOrder.kind.required"),
    (stop(target={"number": "62*1", "masked": True}), "StopPaymentOrder.target.masked"),
    (stop(target={"number": "621", "masked": True}), "StopPaymentOrder.target.masked"),
    (stop(target={"number": "6 1"}), "AccountRef.number.pattern"),
    (stop(target={"number": "1", "scheme": "BANKBOOK"}), "AccountRef.scheme.pattern"),
    (stop(kind=2, reason="x"), "StopPaymentOrder.original_application_id.required"),
    (stop(kind=3), "StopPaymentOrder.original_application_id.required"),
    (stop(kind=2, original_application_id="A0"), "StopPaymentOrder.reason.required"),
    (stop(starts_at={"utc_ms": 5}, expires_at={"utc_ms": 5}), "StopPaymentOrder.expires_at.order"),
    (stop(transfer_amount={"minor_units": -1, "currency": "CNY"}), "StopPaymentOrder.transfer_amount.negative"),
    (stop(transfer_amount={"minor_units": 1}), "Money.currency.required"),
    (stop(transfer_amount={"minor_units": 1, "currency": "cny"}), "Money.currency.pattern"),
    (freeze(target={"number": "6*", "masked": True}), "FreezeOrder.target.masked"),
    (freeze(mode=0), "FreezeOrder.mode.required"),
    (freeze(mode=1), "FreezeOrder.amount.required"),
    (freeze(amount={"minor_units": -1, "currency": "CNY"}), "FreezeOrder.amount.negative"),
    (freeze(kind=2, original_application_id="F0"), "FreezeOrder.reason.required"),
    (freeze(kind=3), "FreezeOrder.original_application_id.required"),
    (freeze(starts_at={"utc_ms": 6}, expires_at={"utc_ms": 5}), "FreezeOrder.expires_at.order"),
    (notice(features=[]), "SuspiciousAccountNotice.features.required"),
    (notice(score=101), "SuspiciousAccountNotice.score.max"),
    (notice(account={"number": "62*"}), "AccountRef.masked.number"),
    (notice(holder_phone={"e164": "+8613800138000"}), "PhoneRef.e164.kind"),
    (notice(holder_phone={"kind": 1}), "PhoneRef.e164.kind"),
    (notice(transactions=[{"amount": {"minor_units": -5, "currency": "CNY"}}]), "TransactionRecord.amount.negative"),
    (notice(provenance={"source_sha256": b"short"}), "Provenance.source_sha256.length"),
    (stop(attachments=[{"sha256": bytes(32), "content": b"x"}]), "Attachment.sha256.content"),
    (stop(attachments=[{"sha256": sha256(b"").digest()}]), "Attachment.content.required"),
    (workflow_pb2.Acknowledgement(), "Acknowledgement.message_id.required"),
    (account_pb2.AccountQuery(), "AccountQuery.account.required"),
    (account_pb2.AccountQuery(period_start={"utc_ms": 2}, period_end={"utc_ms": 1}), "AccountQuery.period_end.order"),
    (
        transaction_pb2.TransactionQuery(period_start={"utc_ms": 2}, period_end={"utc_ms": 1}),
        "TransactionQuery.period_end.order",
    ),
    (transaction_pb2.TransactionQuery(account={"number": "62*1", "masked": True}), "TransactionQuery.account.masked"),
    (monitoring_pb2.MonitoringOrder(account={"number": "621", "masked": True}), "MonitoringOrder.account.masked"),
    (monitoring_pb2.MonitoringOrder(kind=2), "MonitoringOrder.original_application_id.required"),
    (
        monitoring_pb2.MonitoringOrder(starts_at={"utc_ms": 5}, expires_at={"utc_ms": 5}),
        "MonitoringOrder.expires_at.order",
    ),
    (number_pb2.NumberActionOrder(number={"kind": 3, "raw": "anonymous"}), "NumberActionOrder.number.kind"),
    (
        number_pb2.NumberActionOrder(starts_at={"utc_ms": 6}, expires_at={"utc_ms": 5}),
        "NumberActionOrder.expires_at.order",
    ),
    (indicator_pb2.WatchCheck(check_id="1"), "WatchCheck.account.required"),
    (recall_pb2.FundsReturn(amount={"minor_units": -1, "currency": "EUR"}), "FundsReturn.amount.negative"),
    (recall_pb2.PaymentRecall(amount={"minor_units": -1, "currency": "EUR"}), "PaymentRecall.amount.negative"),
    (case_pb2.Feedback(verdict=case_pb2.FEEDBACK_VERDICT_DUPLICATE), "Feedback.duplicate_of.required"),
    *(
        (notice(transactions=[{}, {field: value}]), "SuspiciousAccountNotice.transactions.apart")
        for field, value in {
            "balance_after": {"minor_units": 1, "currency": "CNY"},
            "counterparty_balance_after": {"minor_units": 1, "currency": "CNY"},
            "ip": "192.0.2.1",
            "mac": "00-00-5E-00-53-01",
            "device": "d",
            "teller": "7",
        }.items()
    ),
]


@pytest.mark.parametrize(("message", "rule"), BROKEN, ids=lambda value: value if isinstance(value, str) else "")
def test_a_broken_rule_is_named(message, rule):
    """Each rule is broken alone by the message made to break it, and its id is an error code people can look up."""
    assert rule in rules_of(message)
    assert rule in checks.rule_ids(registry.descriptor_of(message.DESCRIPTOR.full_name))
    with pytest.raises(MessageRefused) as refused:
        checks.require_valid(message)
    assert refused.value.cure


def test_every_rule_across_fields_is_played():
    """No rule across fields stands without a message that breaks it."""
    assert {rule.id for rule in rules.RULES} <= {rule for _, rule in BROKEN}


def test_rule_ids_have_one_form():
    """A rule's id is Message.field.member, for every body of the language."""
    for name in registry.bodies():
        for rule in checks.rule_ids(registry.descriptor_of(name)):
            assert re.fullmatch(r"[A-Z][A-Za-z]+\.[a-z0-9_]+\.[a-z0-9_]+", rule), rule


def test_the_path_leads_to_the_place():
    """A violation deep in a message says where, with the number of the element."""
    message = notice(transactions=[{}, {"counterparty": {"number": "a b"}}])
    (violation,) = checks.violations(message)
    assert violation.path == "transactions[1].counterparty.number"
    assert violation.rule == "AccountRef.number.pattern"


def test_no_violation_carries_the_value():
    """What breaks a check may be classed, so no cause and no cure repeats it."""
    secret = "6299990000001000011 SECRET"
    message = notice(account={"number": secret, "bank": {"scheme": secret}}, narrative=secret * 400)
    found = checks.violations(message)
    assert {violation.rule for violation in found} == {
        "AccountRef.number.pattern",
        "BankRef.scheme.pattern",
        "SuspiciousAccountNotice.narrative.max_bytes",
    }
    assert "SECRET" not in repr(found)


@pytest.mark.parametrize(("length", "rules"), [(256, []), (257, ["PersonRef.name.max_bytes"])])
def test_bytes_are_counted_not_characters(length, rules):
    """A name of 256 bytes passes and one of 257 does not, whatever script they are written in."""
    name = "张" * (length // 3) + "x" * (length % 3)
    assert len(name.encode()) == length
    assert rules_of(notice(holder={"name": name})) == rules


@pytest.mark.parametrize(("count", "rules"), [(64, []), (65, ["SuspiciousAccountNotice.next_hops.max_items"])])
def test_lists_have_a_limit(count, rules):
    """As many elements as the language allows pass, one more does not."""
    assert rules_of(notice(next_hops=[{"number": "1"}] * count)) == rules


def test_a_record_is_checked_without_its_context():
    """A record read from a file lacks only what the sender states later; whatever else is wrong is still refused."""
    checks.require_valid_record(notice(case_context=None))
    with pytest.raises(MessageRefused):
        checks.require_valid_record(notice(case_context=None, account=None))


def test_a_checked_record_is_refused_for_its_context_alone():
    """What was checked as a record is not looked at again; its context is, where it is missing and where it is wrong."""
    checks.require_valid_context(notice(account=None))
    for context in (None, {**CONTEXT, "purpose": ""}):
        with pytest.raises(MessageRefused) as caught:
            checks.require_valid_context(notice(case_context=context))
        assert rules_of(notice(case_context=context)) == [item.rule for item in caught.value.violations]


def test_a_result_needs_only_what_it_must_say():
    """An answer without a balance is an answer; one without a result code is none."""
    result = stop_payment_pb2.StopPaymentResult(
        case_context=CONTEXT, application_id="A1", kind=1, result={"scheme": "tfms.result", "code": "1200"}
    )
    assert rules_of(result) == []
    result.ClearField("result")
    assert rules_of(result) == ["StopPaymentResult.result.required"]
