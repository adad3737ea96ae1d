"""Attacks on grants: their body, their signature, their wraps, and the keys in them; the sender may be the attacker."""

import hmac

import pytest

from bus import limits
from bus.sealing import boxes, suites
from bus.sealing.errors import GrantRefused
from schemas.v1 import envelope_pb2
from tests.keyservice.house import NOW_MS, House, prekey_of, seal_request
from tests.sealing.attacker import admit, change_grant, change_header, copy, sealed_of, sign_grant


@pytest.mark.parametrize("key_bytes", [0, 1, 32, 63, 64])
@pytest.mark.parametrize("message_bytes", [0, 1, 48, 55, 56, 64, 200])
def test_the_hmac_written_out_is_the_one_of_the_library(key_bytes: int, message_bytes: int):
    """Message keys come from HMAC-SHA256, byte for byte as the standard library makes it."""
    key, message = bytes(range(key_bytes)), bytes(range(message_bytes))
    assert suites.hmac_sha256(key, message) == hmac.digest(key, message, "sha256")


def test_a_grant_of_another_message_does_not_serve(house: House, pair):
    """A message that carries another valid grant of its sender than the one it names is refused."""
    other = sealed_of(
        house.services["bank-a"].seal(
            [seal_request(5, recipients=("centre", "police-a", "police-b"), policy_serial=2)]
        )[0]
    )
    attack = copy(pair[0])
    attack.inline_grant = other.inline_grant
    with pytest.raises(GrantRefused) as caught:
        admit(house, attack)
    assert caught.value.code == "LF-SEAL-GRANT-OTHER"
    named = change_header(
        pair[0], lambda header: setattr(header, "grant_id", boxes.parse_grant(other.inline_grant).grant_id)
    )
    named.inline_grant = other.inline_grant
    with pytest.raises(GrantRefused):
        admit(house, named)


def test_a_message_without_its_grant_waits(house: House, pair):
    """A message whose grant is not here is not refused but asks for it, and is taken once it came."""
    bare = copy(pair[0])
    bare.ClearField("inline_grant")
    # The inline grant is outside the header, so that it can be left out; the payload is signed with it or without.
    assert admit(house, bare) == "LF-IN-GRANT-UNKNOWN"
    house.services["police-a"].accept_grant(pair[0].inline_grant)
    assert admit(house, bare) == ""


def _move(body: envelope_pb2.GrantBody, later_ms: int) -> None:
    body.not_before_ms += later_ms
    body.not_after_ms += later_ms


CHANGED_GRANTS = {
    "sender": lambda body: setattr(body, "sender", "bank-b"),
    "sender key": lambda body: setattr(body, "sender_key_id", bytes(8)),
    "version": lambda body: setattr(body, "version", 2),
    "suite": lambda body: setattr(body, "suite", 2),
    "recipients out of order": lambda body: body.recipients.reverse(),
    "nobody in an audience": lambda body: body.compartments[0].ClearField("audience"),
    "an audience outside the recipients": lambda body: body.compartments[0].audience.append("zz"),
    "an audience more": lambda body: body.compartments[2].audience.append("police-b"),
    "class twice": lambda body: body.compartments[0].classes.append(body.compartments[1].classes[0]),
    "class OPEN": lambda body: body.compartments[0].classes.insert(0, 1),
    "unknown class": lambda body: body.compartments[0].classes.append(999),
    "no class": lambda body: body.compartments[0].ClearField("classes"),
    "compartment left out": lambda body: body.compartments.pop(0),
    "no compartments": lambda body: body.ClearField("compartments"),
    "short commitment": lambda body: setattr(body.compartments[0], "commitment", b"x"),
    "another commitment": lambda body: setattr(body.compartments[0], "commitment", bytes(32)),
    "no nonce": lambda body: body.ClearField("nonce"),
    "for longer than an hour": lambda body: setattr(body, "not_after_ms", body.not_after_ms + 1),
    "begins when clocks could not differ so much": lambda body: _move(body, limits.CLOCK_SKEW_MS_MAX + 1),
    "an unknown suite": lambda body: setattr(body, "suite", 9),
    "ends before it begins": lambda body: setattr(body, "not_after_ms", 1),
    "before its key": lambda body: setattr(body, "not_before_ms", 1),
}


IN_FORM = {
    "sender": "GRANT-UNKNOWN-KEY",
    "sender key": "GRANT-UNKNOWN-KEY",
    "before its key": "GRANT-LONG",
    "for longer than an hour": "GRANT-LONG",
    "begins when clocks could not differ so much": "GRANT-NOT-YET",
    "version": "VERSION",
    "an unknown suite": "SUITE",
    "another commitment": "GRANT-WRAP",
    "an audience more": "GRANT-WRAP",
}
"""Changes that leave a grant in form, and what refuses it then."""


@pytest.mark.parametrize("name", CHANGED_GRANTS)
def test_a_grant_changed_and_signed_anew_is_refused(house: House, pair, name: str):
    """No change of a grant's body passes, though its own sender signed it: it is out of form, or the wraps are bound."""
    document = change_grant(house, pair[0].inline_grant, CHANGED_GRANTS[name])
    with pytest.raises(GrantRefused) as caught:
        house.services["police-a"].accept_grant(document)
    assert caught.value.code == f"LF-SEAL-{IN_FORM.get(name, 'GRANT-FORM')}"


def test_a_grant_may_begin_as_far_ahead_as_clocks_may_differ(house: House, pair):
    """At the limit of clock skew a grant is taken as far as its time goes; one millisecond beyond it is refused by name."""
    for later_ms, code in (
        (limits.CLOCK_SKEW_MS_MAX, "LF-SEAL-GRANT-WRAP"),
        (limits.CLOCK_SKEW_MS_MAX + 1, "LF-SEAL-GRANT-NOT-YET"),
    ):
        document = change_grant(house, pair[0].inline_grant, lambda body, later_ms=later_ms: _move(body, later_ms))
        with pytest.raises(GrantRefused) as caught:
            house.services["police-a"].accept_grant(document)
        assert caught.value.code == code  # a body that was changed fits its wraps no more


def test_a_grant_is_its_senders(house: House, pair):
    """A grant that another member signed, or whose signature or wraps were changed, is refused."""
    document = pair[0].inline_grant
    forged = change_grant(house, document, lambda _: None, agency="bank-b")
    outer = envelope_pb2.Grant.FromString(document)
    outer.wraps[0].recipient_key_id = bytes(8)
    for attack in (forged, outer.SerializeToString(deterministic=True), document[:-64] + bytes(64)):
        with pytest.raises(GrantRefused) as caught:
            house.services["police-a"].accept_grant(attack)
        assert caught.value.code == "LF-SEAL-GRANT-SIGNATURE"


def test_a_wrap_for_another_recipient_does_not_open(house: House, pair):
    """Wraps swapped between two recipients, key ids too, are refused: the recipient is bound into each."""
    outer = envelope_pb2.Grant.FromString(pair[0].inline_grant)
    wraps = {item.recipient: item for item in outer.wraps}
    wraps["police-a"].sealed_keys, wraps["police-b"].sealed_keys = (
        wraps["police-b"].sealed_keys,
        wraps["police-a"].sealed_keys,
    )
    with pytest.raises(GrantRefused) as caught:
        house.services["police-a"].accept_grant(sign_grant(house, outer))
    assert caught.value.code == "LF-SEAL-GRANT-WRAP"


def test_a_wrap_to_another_prekey_is_refused_by_name(house: House, pair):
    """A wrap that names a prekey which is not ours is refused as that."""
    outer = envelope_pb2.Grant.FromString(pair[0].inline_grant)
    for item in outer.wraps:
        item.recipient_key_id = bytes(8)
    with pytest.raises(GrantRefused) as caught:
        house.services["police-a"].accept_grant(sign_grant(house, outer))
    assert caught.value.code == "LF-SEAL-GRANT-PREKEY"


def test_a_recipients_forwarded_wrap_is_bound_to_its_grant(house: House, pair, monkeypatch):
    """A wrap of one grant does not open in another grant with the same prekey; with an empty info it would."""
    prekey = prekey_of(house, "police-a")
    grant = boxes.parse_grant(pair[0].inline_grant)
    other = boxes.parse_grant(change_grant(house, pair[0].inline_grant, lambda body: setattr(body, "nonce", b"n" * 16)))
    with pytest.raises(GrantRefused):
        boxes.unwrap(grant.wraps["police-a"][1], "police-a", prekey, other)
    keys = boxes.unwrap(grant.wraps["police-a"][1], "police-a", prekey, grant)
    with monkeypatch.context() as weakened:
        weakened.setattr(boxes, "_info", lambda *_: b"")
        public = house.directory.prekey("police-a", NOW_MS).public_key
        weak = boxes.wrap(keys, "police-a", public, grant.body_bytes)
        assert boxes.unwrap(weak, "police-a", prekey, other) == keys


def _two_faced(house: House, sealed: envelope_pb2.Sealed) -> bytes:
    """A grant that gives police-b other keys than police-a for the same compartments."""
    outer = envelope_pb2.Grant.FromString(sealed.inline_grant)
    grant = boxes.parse_grant(sealed.inline_grant)
    for item in outer.wraps:
        if item.recipient == "police-b":
            ours = [part.compartment for part in grant.body.compartments if "police-b" in part.audience]
            public = house.directory.prekey("police-b", NOW_MS).public_key
            item.sealed_keys = boxes.wrap(dict.fromkeys(ours, b"k" * 32), "police-b", public, grant.body_bytes)
    return sign_grant(house, outer)


def test_all_recipients_hold_the_same_keys(house: House, pair, monkeypatch):
    """A sender who gives recipients different keys, to show them different plaintexts, is refused by the commitment."""
    attack = _two_faced(house, pair[0])
    with pytest.raises(GrantRefused) as caught:
        house.services["police-b"].accept_grant(attack)
    assert caught.value.code == "LF-SEAL-GRANT-COMMITMENT"
    with monkeypatch.context() as weakened:
        weakened.setattr(
            boxes, "commitment", lambda number, *_: boxes.parse_grant(attack).body.compartments[number - 1].commitment
        )
        house.services["police-b"].accept_grant(attack)
    assert house.services["police-b"]._grants.held(boxes.parse_grant(attack).grant_id).keys[2] == b"k" * 32


def test_a_wrap_holds_exactly_the_keys_of_its_recipient(house: House, pair):
    """A wrap with a key too many, too few or twice is refused."""
    grant = boxes.parse_grant(pair[0].inline_grant)
    held = house.services["bank-a"]._grants.held(grant.grant_id)
    public = house.directory.prekey("police-b", NOW_MS).public_key
    ours = {number: key for number, key in held.keys.items() if number in (2, 4)}
    for keys in (held.keys, {2: held.keys[2]}, {}, {9: bytes(32)}):
        sealed = boxes.wrap(keys, "police-b", public, grant.body_bytes)
        with pytest.raises(GrantRefused) as caught:
            boxes.unwrap(sealed, "police-b", prekey_of(house, "police-b"), grant)
        assert caught.value.code == "LF-SEAL-GRANT-KEYS"
    assert (
        ours.keys() == boxes.unwrap(grant.wraps["police-b"][1], "police-b", prekey_of(house, "police-b"), grant).keys()
    )


def test_a_grant_is_for_its_recipients(house: House, pair):
    """An agency outside the recipients takes no grant in."""
    with pytest.raises(GrantRefused) as caught:
        house.services["bank-b"].accept_grant(pair[0].inline_grant)
    assert caught.value.code == "LF-SEAL-GRANT-NOT-OURS"


def test_no_single_bit_of_a_grant_may_flip(house: House, pair):
    """No grant with one bit flipped is taken."""
    document = pair[0].inline_grant
    for at in range(0, len(document) * 8, 3):
        flipped = bytearray(document)
        flipped[at // 8] ^= 1 << at % 8
        with pytest.raises(GrantRefused):
            house.services["police-a"].accept_grant(bytes(flipped))
