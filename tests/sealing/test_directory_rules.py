"""By what rules one directory follows another: who signs, whose keys may change, and what two registrars cannot do alone.

Each attack is played twice: against the rules, and against the rules with one taken out, where it succeeds.
"""

from collections.abc import Callable
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bus import directory_rules as rules
from bus import enrolment
from bus.directory import Directory, DirectoryRefused
from bus.enrolment import Registrars
from bus.policy.author import build_body
from bus.policy.errors import PolicyError
from bus.sealing.batch import key_id
from schemas.v1 import federation_pb2
from tests.keyservice.house import AGENCIES, NOW_MS, POLICY, House

Change = Callable[[list[federation_pb2.Member]], object]
Patch = pytest.MonkeyPatch
HOUR_MS = 3_600_000


def _member(members: list[federation_pb2.Member], agency: str) -> federation_pb2.Member:
    return next(item for item in members if item.agency == agency)


def _load(house: House, document: bytes, pinned: Directory | None = None) -> Directory:
    return Directory.load(document, pinned=pinned or house.directory, now_ms=house.clock.at_ms)


def _code(house: House, document: bytes, pinned: Directory | None = None) -> str:
    with pytest.raises(DirectoryRefused) as caught:
        _load(house, document, pinned)
    return caught.value.code.removeprefix("LF-DIRECTORY-")


def _next(house: House, change: Change | None = None, *signers: str, registrars: Registrars | None = None) -> bytes:
    members = [enrolment.member(house.services[name].public_keys(), kind) for name, kind in AGENCIES.items()]
    if change is not None:
        change(members)
    named = registrars or Registrars(("centre", "police-a"))
    body = enrolment.directory_body(members, 2, house.directory.sha256, house.clock.at_ms, named)
    return house.sign("directory", body, *(signers or ("centre", "police-a")))


def _key(at_ms: int = NOW_MS, private: Ed25519PrivateKey | None = None) -> federation_pb2.SigningKey:
    public = (private or Ed25519PrivateKey.generate()).public_key().public_bytes_raw()
    return federation_pb2.SigningKey(
        key_id=key_id(public), public_key=public, not_before_ms=at_ms, not_after_ms=at_ms + 1000 * HOUR_MS
    )


def _slip_in(agency: str, at_ms: int = NOW_MS) -> Change:
    return lambda members: _member(members, agency).signing_keys.append(_key(at_ms))


def test_two_members_that_are_no_registrars_sign_nothing(house: House, monkeypatch: Patch):
    """Two banks, or a bank and one registrar, cannot make a directory: it is the registrars' list that stops them."""
    alone = _next(house, None, "bank-a", "bank-b")
    assert _code(house, alone) == "SIGNATURES"
    assert _code(house, _next(house, None, "bank-a", "centre")) == "SIGNATURES"
    monkeypatch.setattr(rules, "registrars", lambda _: frozenset(AGENCIES))
    assert _load(house, alone).serial == 2


def test_two_members_cannot_name_themselves_registrars(house: House):
    """Who signs is said by the directory before: the one that names other registrars is signed by the old ones."""
    banks = Registrars(("bank-a", "bank-b"))
    assert _code(house, _next(house, None, "bank-a", "bank-b", registrars=banks)) == "SIGNATURES"


def test_other_registrars_need_the_new_ones_too(house: House):
    """The old registrars cannot hand over to whom has not agreed; with a quorum of both the change holds."""
    banks = Registrars(("bank-a", "bank-b"))
    assert _code(house, _next(house, None, registrars=banks)) == "SIGNATURES"
    held = _load(house, _next(house, None, "centre", "police-a", "bank-a", "bank-b", registrars=banks))
    assert set(held.registrar_keys()) == {"bank-a", "bank-b"}


def test_a_larger_quorum_needs_as_many_signatures(house: House):
    """Where three must sign, two are too few, and three registrars are needed at the least."""
    three = Registrars(("bank-a", "centre", "police-a"), 3)
    assert _code(house, _next(house, None, registrars=three)) == "SIGNATURES"
    held = _load(house, _next(house, None, "centre", "police-a", "bank-a", registrars=three))
    assert _code(house, _third(house, held, "centre", "police-a"), held) == "SIGNATURES"
    assert _code(house, _next(house, None, registrars=Registrars(("centre", "police-a"), 3))) == "REGISTRARS"


def _third(house: House, second: Directory, *signers: str) -> bytes:
    body = federation_pb2.DirectoryBody()
    body.CopyFrom(second.body)
    body.serial, body.previous_sha256 = 3, second.sha256
    return house.sign("directory", body.SerializeToString(deterministic=True), *signers)


@pytest.mark.parametrize(
    ("names", "quorum"), [(("centre", "nobody"), 2), (("centre", "centre"), 2), (("police-a", "centre"), 2)]
)
def test_registrars_out_of_form_are_refused(house: House, names: tuple[str, ...], quorum: int):
    """Registrars are members, each named once, in order."""
    body = federation_pb2.DirectoryBody.FromString(house.body(2, house.directory.sha256))
    del body.registrars[:]
    body.registrars.extend(names)
    body.quorum = quorum
    document = house.sign("directory", body.SerializeToString(deterministic=True), "centre", "police-a")
    assert _code(house, document) == "FORM"


def test_a_quorum_below_two_is_two(house: House):
    """No directory lets one agency sign its successor, whatever it says."""
    body = federation_pb2.DirectoryBody.FromString(house.body(2, house.directory.sha256))
    body.quorum = 1
    document = house.sign("directory", body.SerializeToString(deterministic=True), "centre", "police-a")
    second = _load(house, document)
    assert _code(house, _third(house, second, "centre"), second) == "SIGNATURES"


def test_those_whose_entries_change_do_not_sign_for_it_among_themselves(house: House, monkeypatch: Patch):
    """Where every signer changes an entry of its own, nobody else has looked: refused, whatever each consents to."""

    def both(members: list[federation_pb2.Member]) -> None:
        for agency in ("centre", "police-a"):
            _member(members, agency).signing_keys.append(_key())

    document = _next(house, both)
    assert _code(house, document) == "SUBJECTS"
    assert _load(house, _next(house, _slip_in("centre"))).serial == 2, "one of them may change: the other has looked"
    with monkeypatch.context() as weakened:
        weakened.setattr(rules, "registrars", lambda body: frozenset({"centre", "police-a", "bank-b"}))
        assert _code(house, document) == "SUBJECTS"
        assert _load(house, _next(house, both, "centre", "police-a", "bank-b")).serial == 2


def test_two_registrars_cannot_slip_a_key_in_for_a_third(house: House, monkeypatch: Patch):
    """A key that a member did not consent to is refused though both registrars signed: it is the consent that is missing."""
    document = _next(house, _slip_in("bank-b"))
    assert _code(house, document) == "CONSENT"
    with monkeypatch.context() as weakened:
        weakened.setattr(rules, "_check_consent", lambda *_: None)
        assert "bank-b" in _load(house, document).document_keys()
        assert len(_load(house, document).document_keys()["bank-b"]) == 2


def test_two_registrars_cannot_put_in_another_log_key(house: House):
    """Nor can they give a third another log or witness key."""
    own = house.directory.member("centre")

    def swap(members: list[federation_pb2.Member]) -> None:
        name, _, _ = _member(members, "bank-b").log_vkey.partition("+")
        public = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
        _member(members, "bank-b").log_vkey = rules.Verifier(name, rules.LOG_KEY_TYPE, public).text

    assert own.log_vkey
    assert _code(house, _next(house, swap)) == "CONSENT"


def _consented(house: House, agency: str, signer: Ed25519PrivateKey | None = None) -> Change:
    def change(members: list[federation_pb2.Member]) -> None:
        entry = _member(members, agency)
        entry.signing_keys.append(_key())
        key = signer or house.services[agency]._signing
        entry.consent_key_id = key_id(key.public_key().public_bytes_raw())
        entry.consent = key.sign(rules.consent_signed_bytes(entry))

    return change


def test_with_a_members_consent_its_key_changes(house: House):
    """Signed by a key that the pinned directory has for it, a member's new key comes in beside the old one."""
    held = _load(house, _next(house, _consented(house, "bank-b")))
    assert len(held.document_keys()["bank-b"]) == 2


def test_consent_is_for_these_keys_and_by_an_old_one(house: House):
    """Consent to other keys, or by the new key itself, or by another member, is none."""
    fresh = Ed25519PrivateKey.generate()

    def itself(members: list[federation_pb2.Member]) -> None:
        entry = _member(members, "bank-b")
        entry.signing_keys.append(_key(private=fresh))
        entry.consent_key_id = entry.signing_keys[-1].key_id
        entry.consent = fresh.sign(rules.consent_signed_bytes(entry))

    def one_more(members: list[federation_pb2.Member]) -> None:
        _consented(house, "bank-b")(members)
        _member(members, "bank-b").signing_keys.append(_key())

    for change in (itself, one_more, _consented(house, "bank-b", house.services["bank-a"]._signing)):
        assert _code(house, _next(house, change)) == "CONSENT"


def _recover(wait_ms: int, revoke: bool = True) -> Change:
    def change(members: list[federation_pb2.Member]) -> None:
        entry = _member(members, "bank-b")
        entry.signing_keys[0].revoked = revoke
        entry.ClearField("prekeys")
        entry.signing_keys.append(_key(NOW_MS + wait_ms))

    return change


def test_who_lost_its_keys_gets_new_ones_a_day_later_and_loses_the_old_at_once(house: House):
    """Without consent registrars can only replace all of a member's keys, in sight of all, and the new ones wait a day."""
    held = _load(house, _next(house, _recover(rules.RECOVERY_WAIT_MS)))
    new = held.member("bank-b").signing_keys[1]
    assert "bank-b" not in held.document_keys(NOW_MS)
    assert held.signing_key("bank-b", new.key_id, NOW_MS + rules.RECOVERY_WAIT_MS - 1) is None
    assert held.signing_key("bank-b", new.key_id, NOW_MS + rules.RECOVERY_WAIT_MS) == new.public_key
    assert _code(house, _next(house, _recover(rules.RECOVERY_WAIT_MS - 1))) == "CONSENT"
    assert _code(house, _next(house, _recover(rules.RECOVERY_WAIT_MS, revoke=False))) == "CONSENT"


def test_a_registrar_that_lost_its_keys_needs_two_others(house: House):
    """One registrar alone cannot give the other new keys; two others can."""

    def change(members: list[federation_pb2.Member]) -> None:
        entry = _member(members, "police-a")
        entry.signing_keys[0].revoked = True
        entry.ClearField("prekeys")
        entry.signing_keys.append(_key(NOW_MS + rules.RECOVERY_WAIT_MS))

    assert _code(house, _next(house, change, "centre")) == "SIGNATURES"
    three = Registrars(("bank-a", "centre", "police-a"))
    held = _load(house, _next(house, None, "centre", "police-a", "bank-a", registrars=three))
    body = federation_pb2.DirectoryBody()
    body.CopyFrom(held.body)
    body.serial, body.previous_sha256 = 3, held.sha256
    change(list(body.members))
    document = house.sign("directory", body.SerializeToString(deterministic=True), "centre", "bank-a")
    assert _load(house, document, held).serial == 3


def test_keys_beside_a_signing_key_do_not_change_under_its_id(house: House):
    """Another ML-DSA key under an old id is refused: the id is that of the Ed25519 key alone."""

    def change(members: list[federation_pb2.Member]) -> None:
        _member(members, "bank-b").signing_keys[0].ml_dsa_65 = b"k" * 1952

    assert _code(house, _next(house, change)) == "SUCCESSION"


def test_a_directory_is_not_issued_before_the_one_it_follows(house: House):
    """Time goes on from one to the next: keys are judged at the moment that a directory was issued."""
    house.clock.at_ms += 1000
    second = _load(house, _next(house))
    body = federation_pb2.DirectoryBody.FromString(house.body(3, second.sha256))
    body.issued_at_ms -= 1
    document = house.sign("directory", body.SerializeToString(deterministic=True), "centre", "police-a")
    assert _code(house, document, second) == "SUCCESSION"


def test_a_successor_that_is_over_is_a_step_and_no_more(house: House):
    """Who was away takes an expired directory on the way to its successor; nothing else is believed from it."""
    pinned, document = house.directory, _next(house)
    house.clock.at_ms = pinned.expires_at_ms + 1000
    second = _load(house, document, pinned)
    assert second.is_over(house.clock.at_ms)
    with pytest.raises(DirectoryRefused):
        Directory.load(house.document, pinned=None, now_ms=house.clock.at_ms)


def test_a_policy_is_signed_by_registrars_too(house: House, monkeypatch: Patch):
    """Two banks cannot sign a bundle that gives them what they want: what counts is whom the directory names."""
    now = house.clock.at_ms
    old = federation_pb2.PolicyBundle.FromString(house.policy).body
    body = build_body(POLICY, 2, sha256(old).digest(), now - 1000, now + HOUR_MS)
    document = house.sign("policy", body, "bank-a", "bank-b")
    with pytest.raises(PolicyError) as refused:
        house.services["police-b"].install_policy(document)
    assert refused.value.code == "LF-POLICY-SIGNATURES"
    monkeypatch.setattr(Directory, "registrar_keys", Directory.document_keys)
    house.services["police-b"].install_policy(document)
    assert house.services["police-b"]._pins.bundle().serial == 2
