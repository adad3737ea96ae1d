"""Prekeys over their lives: what a stolen vault opens, and what it does not; and what others believe of an agency's keys.

Forward secrecy is played with copies of a vault: the thief has its files whole, key-encryption key included.
"""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import delete

from bus import documents, key_notices
from bus.directory import Directory, DirectoryRefused
from bus.errors import Usage
from bus.key_notices import NoticeOlder, NoticeRefused
from bus.keyservice.prekeys import Prekeys
from bus.keyservice.service import KeyService
from bus.keyservice.vault_tables import grants_table, secrets_table
from bus.sealing import boxes
from bus.sealing.batch import key_id
from bus.sealing.envelope import parse_header
from bus.sealing.errors import CannotOpen, GrantRefused
from schemas.v1 import federation_pb2
from tests.keyservice.house import NOW_MS, House, SeededRandomness, seal_request
from tests.sealing.with_suites import use_suite

DAY_MS = 86_400_000
WEEK_MS = 7 * DAY_MS
Patch = pytest.MonkeyPatch


def _announce(house: House, agency: str) -> bytes:
    """The agency makes its next prekey and tells everyone."""
    house.clock.at_ms += 1000
    service = house.services[agency]
    service.next_prekey(WEEK_MS)
    document = service.own_notice([], WEEK_MS)
    for other in ("bank-a", "police-a", "police-b", "centre"):
        house.services[other].install_notice(document)
    return document


def _stolen(house: House, agency: str, name: str) -> Path:
    """Copy an agency's vault, whole, as a thief or a backup does."""
    house.services[agency].close()
    del house.services[agency]
    copy = house.root / name
    shutil.copytree(house.root / agency, copy)
    house.start(agency)
    return copy


def _thief(house: House, copy: Path) -> KeyService:
    return KeyService(copy, house.clock, SeededRandomness("thief"), lambda _: None)


def _sealed(house: House, number: int) -> bytes:
    request = seal_request(
        number,
        sent_at_ms=house.clock.at_ms,
        expires_at_ms=house.clock.at_ms + DAY_MS,
        recipients=("centre", "police-a", "police-b"),
    )
    return house.services["bank-a"].seal([request])[0]


def test_a_vault_copied_today_opens_nothing_sealed_to_next_weeks_prekey(house: House) -> None:
    """The next prekey is new random bytes: who has the vault of before has not got it. With them the same grant opens."""
    copy = _stolen(house, "police-a", "today")
    house.clock.at_ms += 6 * DAY_MS
    _announce(house, "police-a")
    payload = parse_header(_sealed(house, 1)).payload
    thief = _thief(house, copy)
    with pytest.raises(GrantRefused) as refused:
        thief.admit(payload)
    assert refused.value.code == "LF-SEAL-GRANT-PREKEY"
    own = house.services["police-a"]._prekeys
    thief._prekeys._held[own.newest().key_id] = own.newest()
    assert thief.admit(payload) == ""
    thief.close()


def _weeks_on(house: House, weeks: int) -> None:
    for _ in range(weeks):
        house.clock.at_ms += WEEK_MS
        _announce(house, "police-a")
        house.services["police-a"].sweep_keys(WEEK_MS, WEEK_MS)


def test_a_vault_copied_next_week_opens_nothing_recorded_three_weeks_ago(house: House) -> None:
    """Prekey destroyed and class keys erased: a recorded grant opens for nobody. With the prekey kept it would."""
    _announce(house, "police-a")
    recorded = parse_header(_sealed(house, 1)).payload
    before = house.services["police-a"]._prekeys.newest()
    assert house.services["police-a"].admit(recorded) == ""
    _weeks_on(house, 3)
    with house.services["police-a"]._vault._engine.begin() as connection:  # as the end of their retention does
        connection.execute(delete(secrets_table).where(secrets_table.c.name.startswith("class/")))
        connection.execute(delete(grants_table))
    copy = _stolen(house, "police-a", "later")
    thief = _thief(house, copy)
    with pytest.raises(GrantRefused) as refused:
        thief.admit(recorded)
    assert refused.value.code == "LF-SEAL-GRANT-PREKEY-DESTROYED"
    thief._prekeys._held[before.key_id] = before
    assert thief.admit(recorded) == "", "it is the destroyed key that was missing"
    thief.close()


def test_what_was_taken_in_stays_readable_after_its_prekey_is_gone(house: House) -> None:
    """Class keys of a grant that came in time are kept by themselves, across a restart."""
    _announce(house, "police-a")
    recorded = parse_header(_sealed(house, 1)).payload
    assert house.services["police-a"].admit(recorded) == ""
    used = house.services["police-a"]._prekeys.newest().key_id
    _weeks_on(house, 3)
    assert used in {prekey.key_id for prekey in house.services["police-a"]._prekeys.gone()}
    house.start("police-a")
    assert "ACCOUNT_ID" in house.services["police-a"].inspect(recorded).classes


def test_a_destroyed_prekey_is_in_no_file_of_the_vault(house: House) -> None:
    """Its ciphertext is overwritten in database and journal: not even with the key-encryption key is it there any more."""
    _announce(house, "police-a")
    service = house.services["police-a"]
    name = f"prekey/{service._prekeys.newest().key_id.hex()}"
    with service._vault._engine.connect() as connection:
        row = connection.execute(secrets_table.select().where(secrets_table.c.name == name)).one()
    sealed = bytes(row.sealed)

    def found() -> bool:
        return any(sealed in path.read_bytes() for path in (house.root / "police-a").iterdir() if path.is_file())

    assert found()
    _weeks_on(house, 3)
    assert not found()


def test_a_prekey_lives_until_its_grace_is_over_and_not_longer(house: House) -> None:
    """One lifetime after its successor came, and the grace: at that moment it is here, the moment after it is due."""
    prekeys: Prekeys = house.services["police-a"]._prekeys
    first = prekeys.newest().key_id
    house.clock.at_ms += WEEK_MS
    second = prekeys.make(house.clock.at_ms, WEEK_MS)
    last = second.not_before_ms + 2 * WEEK_MS
    assert prekeys.due(last, WEEK_MS, WEEK_MS) == []
    assert prekeys.due(last + 1, WEEK_MS, WEEK_MS) == [first]
    assert prekeys.due(10**15, WEEK_MS, WEEK_MS) == [first], "the newest is never due"


def test_a_key_in_force_is_not_retired_and_a_stranger_is_none(house: House) -> None:
    """Neither the newest prekey nor the signing key in force goes; what is not ours is named as that."""
    service = house.services["police-a"]
    signing = key_id(service.public_keys().signing_key)
    for item, code in (
        (service._prekeys.newest().key_id, "LF-KEYS-IN-FORCE"),
        (signing, "LF-KEYS-IN-FORCE"),
        (b"stranger", "LF-KEYS-NO-SUCH-KEY"),
    ):
        with pytest.raises(Usage) as told:
            service.retire_key(item)
        assert told.value.code == code


def _notice(house: House, agency: str, change, signer: Ed25519PrivateKey | None = None, name: str = "") -> bytes:
    """A notice of the agency's own, changed and signed anew."""
    held = house.services[agency].own_notice([], WEEK_MS)
    body = federation_pb2.KeyNoticeBody.FromString(federation_pb2.KeyNotice.FromString(held).body)
    body.issued_at_ms += 1
    change(body)
    data = body.SerializeToString(deterministic=True)
    key = signer or house.services[agency]._signing
    signature = federation_pb2.DocumentSignature(
        agency=name or agency,
        key_id=key_id(key.public_key().public_bytes_raw()),
        signature=key.sign(documents.signed_bytes(key_notices.DOMAIN, data)),
    )
    return federation_pb2.KeyNotice(body=data, signature=signature).SerializeToString(deterministic=True)


def _lengthen(body: federation_pb2.KeyNoticeBody) -> None:
    body.prekeys[0].not_after_ms += 91 * DAY_MS


def _weaken(body: federation_pb2.KeyNoticeBody) -> None:
    body.prekeys[0].public_key, body.prekeys[0].key_id = bytes(32), key_id(bytes(32))


REFUSED = {
    "another agency's name": ("SIGNATURE", lambda body: setattr(body, "agency", "bank-b")),
    "a stranger's name": ("STRANGER", lambda body: setattr(body, "agency", "nobody")),
    "ids out of order": ("FORM", lambda body: body.revoked_key_ids.extend([b"z" * 8, b"a" * 8])),
    "an id too short": ("FORM", lambda body: body.revoked_key_ids.append(b"short")),
    "from the future": ("NOT-YET", lambda body: setattr(body, "issued_at_ms", body.issued_at_ms + DAY_MS)),
    "a prekey that lives too long": ("LIFETIME", _lengthen),
}


@pytest.mark.parametrize("name", REFUSED)
def test_notices_that_do_not_hold_are_refused(house: House, name: str) -> None:
    """Each is refused by name, though the agency's own key signed it."""
    code, change = REFUSED[name]
    _announce(house, "police-a")
    with pytest.raises(NoticeRefused) as refused:
        house.services["bank-a"].install_notice(_notice(house, "police-a", change))
    assert refused.value.code == f"LF-NOTICE-{code}"


def test_a_weak_or_foreign_prekey_in_a_notice_is_refused(house: House) -> None:
    """A prekey of small order, and one that the agency did not sign, come into force through no notice."""
    _announce(house, "police-a")
    for change, code in ((_weaken, "WEAK-KEY"), (lambda body: setattr(body.prekeys[0], "not_after_ms", 1), "PREKEY")):
        with pytest.raises(DirectoryRefused) as refused:
            house.services["bank-a"].install_notice(_notice(house, "police-a", change))
        assert refused.value.code == f"LF-DIRECTORY-{code}"


def test_a_notice_needs_the_agencys_own_signature(house: House, monkeypatch: Patch) -> None:
    """A node that makes up a notice of another agency's keys is caught by its own key service: only the signature stops it."""
    _announce(house, "police-a")
    forged = _notice(
        house, "police-a", lambda body: body.revoked_key_ids.append(b"r" * 8), house.services["bank-b"]._signing
    )
    with pytest.raises(NoticeRefused) as refused:
        house.services["bank-a"].install_notice(forged)
    assert refused.value.code == "LF-NOTICE-SIGNATURE"
    real = Directory.signing_key
    with monkeypatch.context() as weakened:
        weakened.setattr(key_notices, "signature_holds", lambda *_: True)
        weakened.setattr(
            Directory,
            "signing_key",
            lambda self, agency, wanted, at_ms: (
                real(self, agency, wanted, at_ms) or real(self, "bank-b", wanted, at_ms)
            ),
        )
        house.services["bank-a"].install_notice(forged)
    assert house.services["bank-a"]._pins.directory().is_revoked("police-a", b"r" * 8)


def test_nothing_is_unrevoked_and_no_older_notice_comes_back(house: House) -> None:
    """A later notice must revoke all that was revoked; an earlier one changes nothing; neither does the same again."""
    first = _announce(house, "police-a")
    service, other = house.services["police-a"], house.services["bank-a"]
    old = service._prekeys.held()[0].key_id
    second = service.own_notice([old], WEEK_MS)
    other.install_notice(second)
    other.install_notice(second)
    with pytest.raises(NoticeOlder):
        other.install_notice(first)
    with pytest.raises(NoticeRefused) as refused:
        other.install_notice(_notice(house, "police-a", lambda body: body.ClearField("revoked_key_ids")))
    assert refused.value.code == "LF-NOTICE-UNREVOKED"
    house.start("bank-a")
    assert house.services["bank-a"]._pins.directory().is_revoked("police-a", old)


def test_a_revoked_signing_key_signs_no_notice_and_no_prekey_any_more(house: House) -> None:
    """After its last word, that it is revoked, a key says nothing: a thief of it brings no prekey of his own in."""
    _announce(house, "police-a")
    service, other = house.services["police-a"], house.services["bank-a"]
    own = key_id(service.public_keys().signing_key)
    other.install_notice(service.own_notice([own], WEEK_MS))
    assert other._pins.directory().prekey("police-a", house.clock.at_ms) is None
    with pytest.raises(NoticeRefused) as refused:
        other.install_notice(_thiefs_notice(house))
    assert refused.value.code == "LF-NOTICE-SIGNATURE"


def _thiefs_notice(house: House) -> bytes:
    key = house.services["police-a"]._signing  # the stolen key
    own = key_id(key.public_key().public_bytes_raw())
    body = federation_pb2.KeyNoticeBody(agency="police-a", issued_at_ms=NOW_MS + 1000, revoked_key_ids=[own])
    data = body.SerializeToString(deterministic=True)
    signature = federation_pb2.DocumentSignature(
        agency="police-a", key_id=own, signature=key.sign(documents.signed_bytes(key_notices.DOMAIN, data))
    )
    return federation_pb2.KeyNotice(body=data, signature=signature).SerializeToString(deterministic=True)


def test_the_wrap_of_a_sealed_grant_names_the_newest_prekey(house: House) -> None:
    """Senders use what the notice says, not what the directory had; once it is over, there is none to seal to but that."""
    _announce(house, "police-a")
    newest = house.services["police-a"]._prekeys.newest()
    grant = boxes.parse_grant(parse_header(_sealed(house, 1)).inline_grant)
    assert bytes(grant.wraps["police-a"][0]) == newest.key_id
    directory = house.services["bank-a"]._pins.directory()
    later = directory.prekey("police-a", newest.not_after_ms + 1)
    assert later is not None
    assert later.key_id != newest.key_id


def test_a_directory_that_gives_us_keys_we_did_not_make_is_refused_here(house: House, monkeypatch: Patch) -> None:
    """Registrars who replace an agency's keys are found out by the agency at once: its own key service holds to the old one."""
    thief = Ed25519PrivateKey.generate().public_key().public_bytes_raw()

    def replace_keys(members: list[federation_pb2.Member]) -> None:
        entry = next(item for item in members if item.agency == "bank-b")
        entry.signing_keys[0].revoked = True
        entry.ClearField("prekeys")
        begins = NOW_MS + 25 * 3_600_000
        entry.signing_keys.add(
            key_id=key_id(thief), public_key=thief, not_before_ms=begins, not_after_ms=begins + WEEK_MS
        )

    document = house.sign("directory", house.body(2, house.directory.sha256, replace_keys), "centre", "police-a")
    with pytest.raises(DirectoryRefused) as refused:
        house.services["bank-b"].install_directory(document)
    assert refused.value.code == "LF-DIRECTORY-OTHER-KEYS"
    house.services["bank-a"].install_directory(document)
    monkeypatch.setattr(house.services["bank-b"]._life, "check_own", lambda _: None)
    house.services["bank-b"].install_directory(document)


def test_a_destroyed_prekeys_refusal_tells_no_key(house: House) -> None:
    """The refusal has a code of its own and no key in it; an opening that needs the class key stays the one opaque error."""
    _announce(house, "police-a")
    recorded = parse_header(_sealed(house, 1)).payload
    _weeks_on(house, 3)
    with pytest.raises(GrantRefused) as refused:
        house.services["police-a"].admit(recorded)
    assert refused.value.code == "LF-SEAL-GRANT-PREKEY-DESTROYED"
    assert not issubclass(GrantRefused, CannotOpen)
    assert replace(house.services["police-a"]._prekeys.gone()[0]).secret == b""


def test_the_x_wing_key_follows_with_the_prekey(house: House) -> None:
    """Under suite 2 a grant is sealed to the new X-Wing key; the one of before does not open it."""
    use_suite(house, 2)
    before = house.services["police-a"]._prekeys.newest()
    _announce(house, "police-a")
    payload = parse_header(_sealed(house, 1)).payload
    service = house.services["police-a"]
    newest = service._prekeys.newest()
    assert newest.x_wing != before.x_wing
    assert house.services["bank-a"]._pins.directory().prekey("police-a", house.clock.at_ms).x_wing == newest.x_wing
    service._prekeys._held[newest.key_id] = replace(newest, x_wing_seed=before.x_wing_seed)
    with pytest.raises(GrantRefused):
        service.admit(payload)
    service._prekeys._held[newest.key_id] = newest
    service._prekeys._private.clear()
    assert service.admit(payload) == ""
