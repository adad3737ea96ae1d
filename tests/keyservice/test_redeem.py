"""Plaintext is given once, for a committed entry that says so, and policy decides the same again."""

from dataclasses import replace
from hashlib import sha256

import pytest

from audit.v1 import leaf_pb2
from bus import limits
from bus.errors import Retry
from bus.keyservice import redeem
from bus.keyservice.protocol import OpenRequest
from bus.policy.canonical import canonical
from bus.sealing.envelope import ParsedEnvelope
from bus.sealing.errors import CannotOpen, GrantRefused
from bus.sealing.verify import verify
from schemas.v1 import notice_pb2, oversight_pb2
from tests.keyservice.house import NOW_MS, House, ask, seal_request, ticket

CLASSES = ("ACCOUNT_ID", "IDENTITY")


@pytest.fixture
def parsed(house: House) -> ParsedEnvelope:
    """A notice from bank-a, taken in by police-a."""
    envelope = house.services["bank-a"].seal([seal_request()])[0]
    made = verify(envelope, house.directory, NOW_MS)
    assert house.services["police-a"].admit(made.payload) == ""
    return made


def _refused(house: House, request: OpenRequest) -> str:
    with pytest.raises(CannotOpen) as caught:
        house.services["police-a"].open(request)
    return caught.value.code


def test_a_committed_entry_gives_the_classes_it_names_and_no_more(house: House, parsed: ParsedEnvelope):
    """The two classes that the entry names are given, each as its own fragment, and nothing else of the message."""
    made = ticket(house, parsed, CLASSES)
    house.commit("police-a", made.entry)
    given = house.services["police-a"].open(made.request)
    assert set(given) == set(CLASSES)
    message = notice_pb2.SuspiciousAccountNotice.FromString(b"".join(given.values()))
    assert message.account.number == "622848001"
    assert {field.name for field, _ in message.ListFields()} == {"account", "holder", "next_hops"}


def test_a_token_is_good_once_even_after_a_restart(house: House, parsed: ParsedEnvelope):
    """The second redemption of an entry is refused, and is refused still by a service started anew."""
    made = ticket(house, parsed, CLASSES)
    house.commit("police-a", made.entry)
    house.services["police-a"].open(made.request)
    assert _refused(house, made.request) == "LF-OPEN-USED"
    house.start("police-a")
    assert _refused(house, made.request) == "LF-OPEN-USED"


def test_the_durable_note_is_what_stops_a_second_redemption(house: House, parsed: ParsedEnvelope, monkeypatch):
    """Without the note of used entries the same token opens twice."""
    made = ticket(house, parsed, CLASSES)
    house.commit("police-a", made.entry)
    service = house.services["police-a"]
    with monkeypatch.context() as weakened:
        weakened.setattr(type(service._vault), "use_entry", lambda *_: True)
        assert service.open(made.request) == service.open(made.request)
    service.open(made.request)
    assert _refused(house, made.request) == "LF-OPEN-USED"


def test_a_token_under_a_second_entry_is_refused(house: House, parsed: ParsedEnvelope):
    """One token redeemed under one entry is not redeemed under another that names it too."""
    made = ticket(house, parsed, CLASSES)
    first, second = house.commit("police-a", made.entry), house.commit("police-a", made.entry)
    house.services["police-a"].open(made.request)
    assert first != second
    assert _refused(house, replace(made.request, log_index=second)) == "LF-OPEN-USED"


def test_an_entry_that_is_not_committed_opens_nothing(house: House, parsed: ParsedEnvelope):
    """Before its leaf is in the log a token is worth nothing."""
    made = ticket(house, parsed, CLASSES)
    assert _refused(house, made.request) == "LF-OPEN-NO-ENTRY"
    house.logs["police-a"].append(b"busaudit/v1\nno leaf")
    assert _refused(house, made.request) == "LF-OPEN-NO-ENTRY"


def test_an_entry_is_good_for_five_seconds(house: House, parsed: ParsedEnvelope):
    """At the limit an entry is redeemed, a millisecond later or before its own time it is not."""
    made = ticket(house, parsed, CLASSES)
    house.commit("police-a", made.entry)
    for at_ms in (NOW_MS + limits.TOKEN_LIFETIME_MS + 1, NOW_MS - 1):
        house.clock.at_ms = at_ms
        assert _refused(house, made.request) == "LF-OPEN-LATE"
    house.clock.at_ms = NOW_MS + limits.TOKEN_LIFETIME_MS
    assert house.services["police-a"].open(made.request)


ENTRIES = {
    "kind": lambda entry: setattr(entry, "kind", leaf_pb2.KIND_DENIAL),
    "action": lambda entry: setattr(entry, "action", leaf_pb2.ACTION_SEND),
    "denied": lambda entry: setattr(entry, "decision", leaf_pb2.DECISION_DENY),
    "another agency": lambda entry: setattr(entry, "agency", "police-b"),
    "another exchange": lambda entry: setattr(entry, "exchange", b"x" * 16),
    "another type": lambda entry: setattr(entry, "message_type", "lianfang.v1.StopPaymentOrder"),
    "another message": lambda entry: setattr(entry, "message_digest", bytes(32)),
    "another bundle": lambda entry: setattr(entry, "policy_digest", bytes(32)),
    "another serial": lambda entry: setattr(entry, "policy_serial", 2),
    "a class fewer requested": lambda entry: entry.classes_requested.pop(),
    "a class fewer released": lambda entry: entry.classes_released.pop(),
    "a class more": lambda entry: entry.classes_released.append("NARRATIVE"),
    "another token": lambda entry: setattr(entry, "token_digest", bytes(32)),
    "no token": lambda entry: entry.ClearField("token_digest"),
    "another context": lambda entry: setattr(entry, "context_digest", bytes(32)),
}


@pytest.mark.parametrize("name", ENTRIES)
def test_an_entry_for_another_opening_opens_nothing(house: House, parsed: ParsedEnvelope, name: str):
    """An entry that differs in one point from the opening asked for is refused, though it is committed and fresh."""
    made = ticket(house, parsed, CLASSES)
    ENTRIES[name](made.entry)
    house.commit("police-a", made.entry)
    assert _refused(house, made.request) == "LF-OPEN-OTHER-ENTRY"


def test_the_binding_is_what_stops_a_token_for_another_message(house: House, parsed: ParsedEnvelope, monkeypatch):
    """Without the comparison of entry and request an entry about one message opens another."""
    other = verify(house.services["bank-a"].seal([seal_request(2)])[0], house.directory, NOW_MS)
    house.services["police-a"].admit(other.payload)
    made = ticket(house, parsed, CLASSES)
    house.commit("police-a", made.entry)
    attack = replace(made.request, payload=other.payload)
    with monkeypatch.context() as weakened:
        weakened.setattr(redeem, "_check_binding", lambda *_: None)
        weakened.setattr(type(house.services["police-a"]._vault), "use_entry", lambda *_: True)
        given = house.services["police-a"].open(attack)
        assert b"622848002" in given["ACCOUNT_ID"]
    assert _refused(house, attack) == "LF-OPEN-OTHER-ENTRY"


def test_more_or_other_classes_than_the_entry_names_are_refused(house: House, parsed: ParsedEnvelope):
    """A request for other classes than the entry's, none, or one twice is refused."""
    made = ticket(house, parsed, CLASSES)
    house.commit("police-a", made.entry)
    for classes in (("NARRATIVE",), (*CLASSES, "NARRATIVE"), ("IDENTITY",), (), ("IDENTITY", "IDENTITY")):
        assert _refused(house, replace(made.request, classes=classes)) == "LF-OPEN-OTHER-ENTRY"


def test_a_guessed_token_opens_nothing(house: House, parsed: ParsedEnvelope):
    """Knowing the entry and its digest is not enough: the token itself is asked for."""
    made = ticket(house, parsed, CLASSES)
    house.commit("police-a", made.entry)
    for token in (b"", made.entry.token_digest, b"t" * 31, b"t" * 33):
        assert _refused(house, replace(made.request, token=token)) == "LF-OPEN-OTHER-ENTRY"


CONTEXTS = {
    "agency": {"agency": "police-b"},
    "agency type": {"agency_type": "bank"},
    "sender": {"sender": "bank-b"},
    "sender type": {"sender_type": "telecom"},
    "message type": {"message_type": "StopPaymentOrder"},
    "sealed purpose": {"sealed_purpose": "stop_payment"},
    "purpose": {"purpose": "investigate"},
    "legal basis": {"legal_basis": "CPL54"},
    "roles": {"roles": ("investigator", "supervisor")},
    "service": {"service": "svc-police-system"},
    "point": {"point": "effect"},
    "action": {"action": "send"},
    "bundle": {"bundle_serial": 0},
    "earlier": {"now_ms": NOW_MS - 2 * limits.TOKEN_LIFETIME_MS - 1},
    "later": {"now_ms": NOW_MS + 1},
}


@pytest.mark.parametrize("name", CONTEXTS)
def test_a_context_about_another_opening_opens_nothing(house: House, parsed: ParsedEnvelope, name: str):
    """A question to policy that names other facts than message, directory and entry do is refused, though the entry binds it."""
    made = ticket(house, parsed, CLASSES, **CONTEXTS[name])
    house.commit("police-a", made.entry)
    assert _refused(house, made.request) == "LF-OPEN-CONTEXT"


def test_the_context_cannot_be_changed_after_the_entry(house: House, parsed: ParsedEnvelope):
    """A context other than the one whose digest is in the log is refused."""
    made = ticket(house, parsed, CLASSES)
    house.commit("police-a", made.entry)
    changed = canonical([ask(parsed, name, mandate=True) for name in CLASSES])
    assert _refused(house, replace(made.request, context=changed)) == "LF-OPEN-OTHER-ENTRY"


@pytest.mark.parametrize("context", [b"", b"[]", b"{}", b"null", b"[{}]", b"[" * 2000, b"\xff"])
def test_a_context_out_of_form_opens_nothing(house: House, parsed: ParsedEnvelope, context: bytes):
    """A context that is no list of questions is refused, not raised."""
    made = ticket(house, parsed, CLASSES)
    made.entry.context_digest = sha256(context).digest()
    house.commit("police-a", made.entry)
    assert _refused(house, replace(made.request, context=context)) == "LF-OPEN-CONTEXT"


def test_policy_is_asked_again_and_can_say_no(house: House, parsed: ParsedEnvelope):
    """A class that policy gives nobody in that role is refused at the key service, whatever the node decided."""
    made = ticket(house, parsed, ("BALANCE",))
    house.commit("police-a", made.entry)
    assert _refused(house, made.request) == "LF-OPEN-POLICY"


def test_the_re_check_is_what_stops_a_node_that_does_not_ask(house: House, parsed: ParsedEnvelope, monkeypatch):
    """Without the second decision a node that skips its own gives out the balance."""
    made = ticket(house, parsed, ("BALANCE",))
    house.commit("police-a", made.entry)
    bundle = house.services["police-a"]._pins.bundle()
    with monkeypatch.context() as weakened:
        permitted = bundle.decide(ask(parsed, "ACCOUNT_ID"))
        assert permitted.permitted
        weakened.setattr(type(bundle), "decide", lambda *_: permitted)
        assert b"CNY" in house.services["police-a"].open(made.request)["BALANCE"]
    again = ticket(house, parsed, ("BALANCE",), token=b"u" * 32)
    house.commit("police-a", again.entry)
    assert _refused(house, again.request) == "LF-OPEN-POLICY"


def test_without_a_bundle_nothing_opens(house: House, parsed: ParsedEnvelope):
    """A key service that holds no bundle gives nothing out."""
    made = ticket(house, parsed, CLASSES)
    house.commit("police-a", made.entry)
    house.services["police-a"]._pins._bundle = None
    assert _refused(house, made.request) == "LF-OPEN-NO-POLICY"


def test_a_class_that_is_not_there_spends_no_token(house: House):
    """Asked for a class without a field in the message, the service refuses and the entry is not used up."""
    message = notice_pb2.SuspiciousAccountNotice.FromString(seal_request().body)
    message.ClearField("holder")
    envelope = house.services["bank-a"].seal([seal_request(3, message)])[0]
    parsed = verify(envelope, house.directory, NOW_MS)
    house.services["police-a"].admit(parsed.payload)
    made = ticket(house, parsed, CLASSES)
    house.commit("police-a", made.entry)
    for _ in range(2):
        assert _refused(house, made.request) == "LF-OPEN-NO-SUCH-CLASS"


def test_openings_are_limited_by_the_second(house: House, parsed: ParsedEnvelope):
    """Up to the limit of a second's openings are answered, the next is put off, and the next second has room again."""
    service = house.services["police-a"]
    service._opens_per_second_max = 3
    made = ticket(house, parsed, CLASSES)
    for _ in range(3):
        assert _refused(house, made.request) == "LF-OPEN-NO-ENTRY"
    with pytest.raises(Retry) as caught:
        service.open(made.request)
    assert caught.value.code == "LF-KEYS-RATE"
    house.clock.at_ms += 1000
    assert _refused(house, made.request) == "LF-OPEN-NO-ENTRY"


def test_inspection_gives_no_classed_value(house: House, parsed: ParsedEnvelope):
    """What is said of a message without an entry holds codes, class names and blind values, and none of its values."""
    seen = house.services["police-a"].inspect(parsed.payload)
    text = repr(seen)
    assert (seen.purpose, seen.legal_basis) == ("early_warning", "ATF18")
    assert {(item.kind, item.field) for item in seen.subjects} >= {("account", "account"), ("phone", "holder_phone")}
    for value in ("622848001", "110101199003070011", "13800138000", "Changsha", "story"):
        assert value not in text


def test_only_a_log_shipment_is_given_without_an_entry(house: House, parsed: ParsedEnvelope):
    """A log shipment's sealed half is given without an entry; a notice's is not."""
    with pytest.raises(CannotOpen):
        house.services["police-a"].open_shipment(parsed.payload)
    body = oversight_pb2.Checkpoint(origin="lianfang/audit/bank-a", start=1, leaves=[b"leaf"], note=b"note")
    compartment = replace(seal_request().compartments[0], classes=("CASE_META",), audience=("police-a",))
    request = seal_request(
        7,
        type_name="lianfang.v1.Checkpoint",
        recipients=("police-a",),
        body=body.SerializeToString(),
        compartments=(compartment,),
    )
    shipped = verify(house.services["bank-a"].seal([request])[0], house.directory, NOW_MS)
    house.services["police-a"].admit(shipped.payload)
    assert b"note" in house.services["police-a"].open_shipment(shipped.payload)


def test_a_message_for_others_does_not_open(house: House, parsed: ParsedEnvelope):
    """An agency that is no recipient cannot take the message in at all."""
    with pytest.raises(GrantRefused):
        house.services["bank-b"].admit(parsed.payload)


def test_data_at_rest_open_only_under_their_context(house: House):
    """Protected data come back under the same context, and under no other, of no other agency, and not altered."""
    service = house.services["bank-a"]
    kept = service.protect(b"lineage 1", b"row with 622848001")
    assert service.unprotect(b"lineage 1", kept) == b"row with 622848001"
    assert b"622848001" not in kept
    assert service.protect(b"lineage 1", b"row with 622848001") != kept
    for attempt in (
        lambda: service.unprotect(b"lineage 2", kept),
        lambda: service.unprotect(b"lineage 1", kept[:-1] + bytes([kept[-1] ^ 1])),
        lambda: service.unprotect(b"lineage 1", b""),
        lambda: house.services["bank-b"].unprotect(b"lineage 1", kept),
    ):
        with pytest.raises(CannotOpen):
            attempt()
