"""Call detail records of FreeSWITCH: whose call it was, and values that are URL-encoded or plain."""

import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import read_freeswitch
from adapters.errors import FileRefused
from adapters.model import Converted, HeldBack
from adapters.profile import Source
from schemas import checks
from schemas.v1 import telecom_pb2
from tests.adapters.files import profile, read

NAME = "freeswitch-cdr"
VARIABLES = {
    "direction": "inbound",
    "start_stamp": "2026-11-20 10:00:01",
    "start_epoch": "1795140001",
    "billsec": "65",
    "hangup_cause": "NORMAL_CLEARING",
    "sip_gateway_name": "carrier a+b",
}
CALLER = {"caller_id_number": "+8619900000101", "destination_number": "95588", "caller_id_name": "Demo Caller"}


def record(*, encoded: bool = False, callflow: object = None, **changes: object) -> bytes:
    """Return a record, its variables encoded as the switch does it or not, named ones changed; None takes one out."""
    variables = {key: text for key, text in {**VARIABLES, **changes}.items() if text is not None}
    if encoded:
        variables = {key: quote(str(text), safe="/!$'()*,-._~") for key, text in variables.items()}
    whole = {"core-uuid": "x", "variables": variables, "callflow": callflow or [{"caller_profile": CALLER}]}
    return json.dumps(whole).encode()


def only(data: bytes) -> telecom_pb2.CallDetailAnswer:
    """Return the message of a record."""
    (found,) = read(data, NAME)
    assert isinstance(found, Converted), found
    checks.require_valid_record(found.message)
    return found.message


@pytest.mark.parametrize("encoded", [False, True])
def test_a_record_means_the_same_encoded_and_plain(encoded):
    """Encoded variables and plain ones give one message, though the call flow beside them is never encoded."""
    message = only(record(encoded=encoded))
    (call,) = message.calls
    assert (message.number.e164, call.calling.e164, call.called.raw) == ("+8619900000101", "+8619900000101", "95588")
    assert (call.started_at.utc_ms, call.duration_s, call.cause) == (1795140001000, 65, "NORMAL_CLEARING")
    assert call.trunk == "carrier a+b"
    assert call.direction == telecom_pb2.CALL_DIRECTION_OUTGOING


def test_an_escape_in_a_plain_record_stays():
    """A percent sign in a record that is not encoded is a percent sign."""
    assert only(record(sip_gateway_name="100%41 external")).calls[0].trunk == "100%41 external"


@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=12),
        min_size=1,
        max_size=4,
    )
)
def test_what_was_encoded_is_decoded_and_what_was_not_is_not_touched(texts):
    """Whatever the variables hold: encoded they come back as they were, and plain they stay, where the two can be told apart."""
    plain = {f"v{number}": text for number, text in enumerate([*texts, "2026-11-20 10:00:01"])}
    coded = {key: quote(text, safe="/!$'()*,-._~") for key, text in plain.items()}
    for given_texts in (plain, coded):
        data = json.dumps({"variables": given_texts}).encode()
        (root,) = read_freeswitch.read(data, Source(format="freeswitch"))
        assert {child.name: child.text for child in root.children[0].children} == plain


def test_the_leg_says_whose_call_it_was():
    """A leg that the switch made belongs to the number that it called, for which the call came in."""
    message = only(
        record(direction="outbound", callflow=[{"caller_profile": {**CALLER, "destination_number": "+8619900000102"}}])
    )
    assert message.number.e164 == "+8619900000102"
    assert message.calls[0].direction == telecom_pb2.CALL_DIRECTION_INCOMING
    assert message.calls[0].calling.e164 == "+8619900000101"


def test_a_withheld_number_is_no_number():
    """An anonymous caller's leg out is still the called one's; his own leg has no number and is held back."""
    flow = [{"caller_profile": {"caller_id_number": "anonymous", "destination_number": "+8619900000102"}}]
    assert not only(record(direction="outbound", callflow=flow)).calls[0].HasField("calling")
    (found,) = read(record(callflow=flow), NAME)
    assert isinstance(found, HeldBack)
    assert found.code == "LF-ROW-MISSING"


def test_of_a_call_that_was_passed_on_the_last_state_is_read():
    """Earlier states of the call flow are listed as not carried."""
    flow = [{"caller_profile": CALLER}, {"caller_profile": {**CALLER, "destination_number": "400"}}]
    (found,) = read(record(callflow=flow), NAME)
    assert found.message.calls[0].called.raw == "95588"
    assert "element callflow/caller_profile/destination_number has no place in the message" in [
        warning.cause for warning in found.warnings
    ]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"start_epoch": None}, "LF-ROW-MISSING"),
        ({"start_epoch": "soon"}, "LF-ROW-DATE"),
        ({"billsec": "-1"}, "LF-ROW-DURATION"),
        ({"direction": "sideways"}, "LF-ROW-KIND"),
        ({"direction": None}, "LF-ROW-KIND"),
    ],
)
def test_a_record_that_cannot_be_meant_is_held_back(changes, code):
    """No time, no such time, less than no time, and a leg that goes nowhere."""
    (found,) = read(record(**changes), NAME)
    assert isinstance(found, HeldBack), found
    assert found.code == code


def test_a_key_that_stands_twice_is_refused():
    """Old versions write `callflow` once for each state, and readers of JSON take any of them: such a file is refused."""
    twice = b'{"variables": {"direction": "inbound"}, "callflow": {"a": "1"}, "callflow": {"a": "2"}}'
    with pytest.raises(FileRefused) as error:
        read(twice, profile(NAME).name)
    assert error.value.code == "LF-JSON-REPEATED"
