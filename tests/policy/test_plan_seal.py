"""Who may read what of a message: ceiling and floor."""

import pytest

from bus.policy.bundle import plan_seal
from bus.policy.vocabulary import message_classes
from tests.policy.federation import NOW_MS, bundle

ORDER = {
    "message_type": "StopPaymentOrder",
    "purpose": "stop_payment",
    "legal_basis": "ATF20",
    "sender": "police-1",
    "sender_type": "police",
    "recipients": {"bank-1": "bank"},
    "present_classes": frozenset({"CASE_META", "ACCOUNT_ID", "IDENTITY", "MONEY_FLOW"}),
}
NOTICE = {
    "message_type": "SuspiciousAccountNotice",
    "purpose": "early_warning",
    "legal_basis": "ATF18",
    "sender": "bank-1",
    "sender_type": "bank",
    "recipients": {"police-1": "police", "centre-1": "centre"},
    "present_classes": frozenset({"CASE_META", "RISK", "ACCOUNT_ID", "IDENTITY", "BALANCE"}),
}


def plan(facts, **changed):
    return plan_seal(bundle(), **{"now_ms": NOW_MS} | facts | changed)


def reasons(result):
    return [(refusal.code, refusal.reason.split(":")[0]) for refusal in result.refusals]


def test_different_eyes_see_different_classes():
    """The police read whose account it is; the centre reads that there is a risk."""
    result = plan(NOTICE)
    both, police = frozenset({"police-1", "centre-1"}), frozenset({"police-1"})
    assert result.refusals == ()
    assert result.audiences == {
        "CASE_META": both,
        "RISK": both,
        "ACCOUNT_ID": police,
        "IDENTITY": police,
        "BALANCE": police,
    }


def test_open_fields_have_no_audience():
    assert plan(NOTICE, present_classes=NOTICE["present_classes"] | {"OPEN"}) == plan(NOTICE)


def test_a_surplus_class_is_refused_by_name():
    """Nothing is dropped in silence: the sender corrects the message."""
    result = plan(ORDER, present_classes=ORDER["present_classes"] | {"BALANCE", "CONTACT"})
    assert result.audiences == {}
    assert reasons(result) == [
        ("LF-POLICY-CEILING", "no recipient of this StopPaymentOrder may read BALANCE"),
        ("LF-POLICY-CEILING", "no recipient of this StopPaymentOrder may read CONTACT"),
    ]


def test_a_withheld_class_is_refused_by_name():
    result = plan(ORDER, present_classes=frozenset({"CASE_META", "ACCOUNT_ID"}))
    assert reasons(result) == [
        ("LF-POLICY-FLOOR", "IDENTITY must not be withheld from StopPaymentOrder"),
        ("LF-POLICY-FLOOR", "MONEY_FLOW must not be withheld from StopPaymentOrder"),
    ]


def test_a_lift_needs_less():
    """Relief is as easy as the measure, or easier."""
    present = frozenset({"CASE_META", "ACCOUNT_ID"})
    assert not plan(ORDER, present_classes=present, kind="lift").refusals
    assert bundle().floor("FreezeOrder", "release") == present
    assert bundle().floor("FreezeOrder", "extend") == bundle().floor("FreezeOrder")
    assert bundle().floor("Receipt") == frozenset()


def test_the_extension_of_a_stop_needs_no_amount():
    """The platform's own record of an extension (100105) has none, so a floor with one would forbid every extension."""
    present = frozenset({"CASE_META", "ACCOUNT_ID", "IDENTITY"})
    assert not plan(ORDER, present_classes=present, kind="extend").refusals
    assert plan(ORDER, present_classes=present, kind="stop").refusals
    assert plan(ORDER, present_classes=present - {"IDENTITY"}, kind="extend").refusals


def test_a_class_that_only_an_unfit_recipient_would_get_breaks_the_floor():
    """A notice to the centre alone withholds the account from everybody."""
    result = plan(
        NOTICE, recipients={"centre-1": "centre"}, present_classes=frozenset({"CASE_META", "RISK", "ACCOUNT_ID"})
    )
    assert ("LF-POLICY-FLOOR", "ACCOUNT_ID must not be withheld from SuspiciousAccountNotice") in reasons(result)


def test_a_recipient_who_may_read_nothing_is_refused():
    result = plan(NOTICE, recipients=NOTICE["recipients"] | {"telecom-1": "telecom"})
    assert reasons(result) == [("LF-POLICY-NO-READER", "telecom-1 may read nothing of this SuspiciousAccountNotice")]


def test_an_unknown_class_is_refused():
    result = plan(NOTICE, present_classes=NOTICE["present_classes"] | {"NEW_CLASS"})
    assert reasons(result) == [("LF-POLICY-CEILING", "unknown class NEW_CLASS")]


def test_an_open_message_needs_no_plan():
    result = plan(ORDER, message_type="Receipt", present_classes=frozenset({"OPEN"}))
    assert (result.audiences, result.refusals) == ({}, ())


def test_without_recipients_nothing_is_sealed():
    assert plan(NOTICE, recipients={}).refusals


def test_an_expired_bundle_seals_nothing():
    result = plan(ORDER, now_ms=bundle().not_after_ms + 1)
    assert result.audiences == {}
    assert {refusal.code for refusal in result.refusals} == {
        "LF-POLICY-EXPIRED",
        "LF-POLICY-NO-READER",
        "LF-POLICY-FLOOR",
    }


def test_no_telecom_and_no_auditor_ever_gets_an_account_number():
    """Whatever the message, purpose and basis."""
    words = bundle().vocabulary
    for message in message_classes():
        for purpose, meaning in words.purposes.items():
            for basis in meaning.bases:
                for kind in ("telecom", "auditor"):
                    result = plan(
                        NOTICE, message_type=message, purpose=purpose, legal_basis=basis, recipients={"x-1": kind},
                        sender_type="police", present_classes=frozenset({"ACCOUNT_ID"}),
                    )  # fmt: skip
                    assert result.audiences == {}


@pytest.mark.parametrize("message", ["StopPaymentOrder", "FreezeResult", "SpoofedCallReport", "SubjectQuery"])
def test_clocks_belong_to_someone(message):
    owner = bundle().owner(message)
    assert owner is not None
    assert 0 < owner.accept_s <= owner.done_s
    assert bundle().owner("Receipt") is None
