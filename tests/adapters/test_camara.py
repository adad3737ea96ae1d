"""CAMARA bodies: requests and answers about a number, both ways, and which interface a body belongs to."""

import json

import pytest

from adapters import profiles
from adapters.back import bring_back
from adapters.convert import convert
from adapters.detect import identify
from adapters.errors import FileRefused
from adapters.model import Converted, HeldBack
from schemas import checks
from schemas.v1 import common_pb2, number_pb2
from tests.adapters.files import CONTEXT, SAMPLES, profile, read

NUMBER = "+8619900000101"
BODIES = [
    ("camara-sim-swap", {"phoneNumber": NUMBER, "maxAge": 2400}),
    ("camara-sim-swap", {"phoneNumber": NUMBER}),
    ("camara-sim-swap", {"swapped": True}),
    ("camara-sim-swap", {"swapped": False}),
    ("camara-sim-swap", {"latestSimChange": "2026-11-18T07:37:53.471829+08:00"}),
    ("camara-sim-swap", {"latestSimChange": None}),
    ("camara-sim-swap", {"latestSimChange": None, "monitoredPeriod": 120}),
    ("camara-sim-swap", {"status": 404, "code": "IDENTIFIER_NOT_FOUND", "message": "not here"}),
    ("camara-sim-swap", {"status": 403, "code": "PERMISSION_DENIED", "message": "no"}),
    ("camara-device-swap", {"latestDeviceChange": None, "monitoredPeriod": 90}),
    ("camara-device-swap", {"swapped": True}),
    ("camara-call-forwarding", {"active": True}),
    ("camara-call-forwarding", ["inactive"]),
    ("camara-call-forwarding", ["unconditional"]),
    ("camara-call-forwarding", ["unconditional", "conditional_busy"]),
    ("camara-number-verification", {"phoneNumber": NUMBER}),
    ("camara-number-verification", {"hashedPhoneNumber": "ab" * 32}),
    ("camara-number-verification", {"devicePhoneNumberVerified": False}),
    ("camara-number-verification", {"devicePhoneNumber": NUMBER}),
    ("camara-number-recycling", {"phoneNumber": NUMBER, "specifiedDate": "2026-01-05"}),
    ("camara-number-recycling", {"phoneNumberRecycled": True}),
    ("camara-tenure", {"phoneNumber": NUMBER, "tenureDate": "2026-01-05"}),
    ("camara-tenure", {"tenureDateCheck": True, "contractType": "PAYG"}),
    ("camara-tenure", {"tenureDateCheck": False}),
    ("camara-kyc-match", {"phoneNumber": NUMBER, "idDocument": "X1", "idDocumentType": "passport", "name": "Demo Hanako"}),
    ("camara-kyc-match", {"nameMatch": "true", "regionMatch": "not_available", "emailMatch": "false", "emailMatchScore": 87}),
]  # fmt: skip


def body(content: object, name: str) -> Converted | HeldBack:
    """Return the outcome of one body."""
    (found,) = read(json.dumps(content, ensure_ascii=False).encode(), name)
    return found


@pytest.mark.parametrize(("name", "content"), BODIES)
def test_a_body_comes_back_as_it_was(name, content):
    """Each body becomes a valid message, and that message the same body, number by number and null by null."""
    found = body(content, name)
    assert isinstance(found, Converted), found
    checks.require_valid_record(found.message)
    back = bring_back(profile(name), found.message, CONTEXT)
    assert json.loads(back.data) == content
    assert (back.loss, back.added) == ((), ())


def test_what_null_means_is_told_apart():
    """No date within a period is a no; no date at all is no answer; a date may be the activation's and claims nothing."""
    no, none, date = (
        body(content, "camara-sim-swap").message.checks[0]
        for content in (
            {"latestSimChange": None, "monitoredPeriod": 120},
            {"latestSimChange": None},
            {"latestSimChange": "2026-11-18T07:37:53Z"},
        )
    )
    assert (no.outcome, no.monitored_days) == (number_pb2.NUMBER_CHECK_OUTCOME_NO, 120)
    assert none.outcome == number_pb2.NUMBER_CHECK_OUTCOME_NOT_AVAILABLE
    assert date.outcome == number_pb2.NUMBER_CHECK_OUTCOME_UNSPECIFIED
    assert date.at.zone_source == common_pb2.ZONE_SOURCE_VALUE


@pytest.mark.parametrize(
    ("code", "status", "outcomes"),
    [
        ("IDENTIFIER_NOT_FOUND", 404, [number_pb2.NUMBER_CHECK_OUTCOME_NOT_AVAILABLE]),
        ("SERVICE_NOT_APPLICABLE", 422, [number_pb2.NUMBER_CHECK_OUTCOME_NOT_AVAILABLE]),
        ("NOT_IMPLEMENTED", 501, [number_pb2.NUMBER_CHECK_OUTCOME_NOT_AVAILABLE]),
        ("INVALID_ARGUMENT", 400, []),
        ("UNAUTHENTICATED", 401, []),
        ("TOO_MANY_REQUESTS", 429, []),
        ("KNOW_YOUR_CUSTOMER.INVALID_PARAM_COMBINATION", 400, []),
    ],
)
def test_an_error_is_no_answer_or_a_refusal(code, status, outcomes):
    """An error about the number says that there is no answer; one about the request says nothing of the number."""
    answer = body({"status": status, "code": code, "message": "why"}, "camara-tenure").message
    assert (answer.error.scheme, answer.error.code, answer.error_status) == ("camara.error", code, status)
    assert answer.error_note == "why"
    assert [check.outcome for check in answer.checks] == outcomes


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("camara-sim-swap", {"maxAge": 120}, "LF-ROW-MISSING"),
        ("camara-sim-swap", {"phoneNumber": NUMBER, "maxAge": 2401}, "LF-ROW-PATTERN"),
        ("camara-sim-swap", {"phoneNumber": NUMBER, "maxAge": 0}, "LF-ROW-PATTERN"),
        ("camara-sim-swap", {"phoneNumber": "19900000101"}, "LF-ROW-PATTERN"),
        ("camara-sim-swap", {"swapped": "perhaps"}, "LF-ROW-CODE"),
        ("camara-sim-swap", {"latestSimChange": "2026-02-30T00:00:00Z"}, "LF-ROW-DATE"),
        ("camara-sim-swap", {}, "LF-ROW-KIND"),
        ("camara-call-forwarding", ["inactive", "unconditional"], "LF-ROW-KIND"),
        ("camara-call-forwarding", ["unconditional", "sometimes"], "LF-ROW-PATTERN"),
        ("camara-number-verification", {"hashedPhoneNumber": "12345"}, "LF-ROW-PATTERN"),
        ("camara-number-recycling", {"phoneNumber": NUMBER, "specifiedDate": "2026-02-30"}, "LF-ROW-DATE"),
        ("camara-tenure", {"tenureDateCheck": True, "contractType": "Lease"}, "LF-ROW-PATTERN"),
        ("camara-tenure", {"status": 200, "code": "OK", "message": ""}, "LF-ROW-PATTERN"),
    ],
)
def test_a_body_that_cannot_be_meant_is_held_back(name, content, code):
    """A number that is only in the access token, an age beyond the interface's, two answers at once, a day that never was."""
    found = body(content, name)
    assert isinstance(found, HeldBack), found
    assert found.code == code
    assert NUMBER not in f"{found.cause}{found.cure}"


def test_names_stay_as_they_are_written():
    """Kana in half and in full width are two attributes, and neither is turned into the other."""
    half, full = "ｴﾝｼﾞ ﾊﾅｺ", "エンジ　ハナコ"
    found = body({"phoneNumber": NUMBER, "nameKanaHankaku": half, "nameKanaZenkaku": full}, "camara-kyc-match")
    assert {item.name: item.value for item in found.message.attributes} == {
        "nameKanaHankaku": half,
        "nameKanaZenkaku": full,
    }
    assert json.loads(bring_back(profile("camara-kyc-match"), found.message, CONTEXT).data)["nameKanaHankaku"] == half


def test_a_telecom_gets_no_account_number():
    """The number of a bank account in a request is named as not carried, and stands nowhere in the message."""
    found = body(
        {"phoneNumber": NUMBER, "name": "Demo", "bankAccountNumber": "IBAN:NL59ABNA0123456789"}, "camara-kyc-match"
    )
    assert [warning.cause for warning in found.warnings] == ["element bankAccountNumber has no place in the message"]
    assert b"NL59" not in found.message.SerializeToString()


@pytest.mark.parametrize(
    ("content", "among"),
    [
        ({"phoneNumber": NUMBER}, {"camara-sim-swap", "camara-device-swap", "camara-call-forwarding", "camara-number-verification"}),
        ({"phoneNumber": NUMBER, "maxAge": 24}, {"camara-sim-swap", "camara-device-swap"}),
        ({"swapped": True}, {"camara-sim-swap", "camara-device-swap"}),
        ({"status": 404, "code": "NOT_FOUND", "message": "x"}, {name for name in profiles() if name.startswith("camara-")}),
    ],
)  # fmt: skip
def test_a_body_that_two_interfaces_have_is_ambiguous(content, among):
    """Where the body does not say which interface it is of, identify says so and names those that it could be."""
    found = identify(json.dumps(content).encode())
    assert found.refused is not None
    assert found.refused.code == "LF-FILE-AMBIGUOUS"
    best = {fit.profile for fit in found.fits if fit.score == found.fits[0].score}
    assert best == among


PROFILE_OF = {
    "sim-swap": "camara-sim-swap",
    "sim-swap-subscriptions": "camara-sim-swap",
    "device-swap": "camara-device-swap",
    "call-forwarding-signal": "camara-call-forwarding",
    "number-verification": "camara-number-verification",
    "kyc-match": "camara-kyc-match",
    "number-recycling": "camara-number-recycling",
}
HELD = {
    "CHECK_3LEGS": "LF-ROW-MISSING",
    "RETRIEVE_3LEGS": "LF-ROW-KIND",
    "SUBSCRIPTIONS_3LEGS": "LF-ROW-KIND",
    "SUBSCRIPTION_REQUEST_3LEGS": "LF-ROW-KIND",
    "SUBSCRIPTION_RESPONSE_3LEGS": "LF-ROW-KIND",
    "SUBSCRIPTION_REQUEST": "LF-ROW-KIND",
    "SUBSCRIPTION_RESPONSE": "LF-ROW-KIND",
}
"""Samples that carry no answer, or whose number is only in the access token."""


def test_every_sample_converts_or_says_why_not():
    """All example bodies of the interfaces become valid messages and come back equal; the rest is held back as expected."""
    files = sorted((SAMPLES / "camara" / "examples").glob("*.json"))
    if not files:
        pytest.skip("the samples are not on this machine")
    tried = 0
    for file in files:
        interface, _, case = file.stem.partition("__")
        name = PROFILE_OF.get(interface)
        if name is None:
            continue
        tried += 1
        (found,) = convert(profile(name), file.read_bytes())
        if case in HELD:
            assert isinstance(found, HeldBack), file.name
            assert found.code == HELD[case], file.name
            continue
        assert isinstance(found, Converted), (file.name, found)
        checks.require_valid_record(found.message)
        if case != "SWAPPED":  # the event of a subscription is only read
            back = bring_back(profile(name), found.message, CONTEXT)
            left = {key: value for key, value in json.loads(file.read_bytes()).items() if key != "bankAccountNumber"}
            assert json.loads(back.data) == left, file.name
    assert tried > 0


@pytest.mark.parametrize(
    "content",
    [
        {"phoneNumber": NUMBER, "displayName": "Demo", "expiresAt": "2027-01-01"},
        {"phoneNumber": NUMBER, "maxAge": 24, "device": "x"},
        {"device": {"phoneNumber": NUMBER}, "queryType": "IMEIBIND"},
    ],
)
def test_a_request_with_a_member_too_many_is_none(content):
    """The interfaces take no member that they do not declare; neither is the body of another interface taken for theirs."""
    found = identify(json.dumps(content).encode())
    assert found.refused is not None
    assert found.refused.code == "LF-FILE-UNKNOWN"


@pytest.mark.parametrize(
    ("text", "utc_ms", "source", "precision"),
    [
        ("2026-11-18T07:37:53Z", 1794987473000, common_pb2.ZONE_SOURCE_VALUE, common_pb2.TIME_PRECISION_SECOND),
        ("2026-11-18T07:37:53.471829+08:00", 1794958673471, common_pb2.ZONE_SOURCE_VALUE, common_pb2.TIME_PRECISION_MILLISECOND),
        ("2026-11-18t07:37:53.5-02:30", 1794996473500, common_pb2.ZONE_SOURCE_VALUE, common_pb2.TIME_PRECISION_MILLISECOND),
        ("2026-11-18T07:37:53", 1794987473000, common_pb2.ZONE_SOURCE_PROFILE, common_pb2.TIME_PRECISION_SECOND),
    ],
)  # fmt: skip
def test_a_moment_keeps_its_offset_and_its_text(text, utc_ms, source, precision):
    """The offset that a moment has is counted in, one that it lacks is the profile's, and what is finer stays in the text."""
    moment = body({"latestSimChange": text}, "camara-sim-swap").message.checks[0].at
    assert (moment.utc_ms, moment.zone_source, moment.precision, moment.raw) == (utc_ms, source, precision, text)


@pytest.mark.parametrize(
    "text", ["2026-11-18T24:00:00Z", "2026-11-18T07:37Z", "2026-11-18T07:37:53+15:00", "2026-11-18T07:37:53+0800"]
)
def test_a_moment_that_never_was_is_refused(text):
    """No hour 24, no time without seconds, no offset beyond those on Earth, none without its colon."""
    found = body({"latestSimChange": text}, "camara-sim-swap")
    assert isinstance(found, HeldBack)
    assert found.code == "LF-ROW-DATE"


def test_the_body_of_another_interface_is_none():
    """What is no body of the interface is refused as a file or held back, never guessed at."""
    with pytest.raises(FileRefused) as error:
        convert(profile("camara-tenure"), b'"inactive"')
    assert error.value.code == "LF-JSON-SYNTAX"
    found = body({"bound": True}, "camara-tenure")
    assert isinstance(found, HeldBack)
    assert found.code == "LF-ROW-KIND"
