"""The member directory: two agencies' signatures, one history, sound keys; a lying centre is caught."""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256

import pytest

from bus import directory_rules, documents, enrolment, limits
from bus.directory import Directory, DirectoryRefused, prekey_signed_bytes
from bus.sealing.batch import key_id
from bus.sealing.errors import EnvelopeRefused
from bus.sealing.verify import verify, verify_stored
from schemas.v1 import federation_pb2
from tests.keyservice.house import NOW_MS, House, seal_request

Change = Callable[[list[federation_pb2.Member]], object]


def _member(members: list[federation_pb2.Member], agency: str) -> federation_pb2.Member:
    return next(item for item in members if item.agency == agency)


def _load(house: House, document: bytes, pinned: Directory | None = None) -> Directory:
    return Directory.load(document, pinned=pinned, now_ms=house.clock.at_ms)


def _code(house: House, document: bytes, pinned: Directory | None = None) -> str:
    with pytest.raises(DirectoryRefused) as caught:
        _load(house, document, pinned)
    return caught.value.code.removeprefix("LF-DIRECTORY-")


def _successor(
    house: House, change: Change | None = None, *signers: str, serial: int = 2, previous: bytes = b""
) -> bytes:
    body = house.body(serial, previous or house.directory.sha256, change)
    return house.sign("directory", body, *(signers or ("centre", "police-a")))


def test_a_successor_that_two_agencies_signed_is_taken(house: House):
    """The next serial, naming its predecessor's digest, with two agencies' signatures, comes into force."""
    assert _load(house, _successor(house), house.directory).serial == 2


@pytest.mark.parametrize("signers", [("centre",), ("centre", "centre"), ()])
def test_the_centre_alone_changes_nothing(house: House, signers: tuple[str, ...]):
    """One agency's signature, however often, is not two agencies'."""
    body = house.body(2, house.directory.sha256)
    assert _code(house, house.sign("directory", body, *signers), house.directory) == "SIGNATURES"


def _with_new_key(house: House, agency: str) -> tuple[bytes, bytes]:
    """The lying centre: puts a key of its own making in for another agency and signs with both."""
    made = house.services["bank-b"]  # a key that is not the agency's
    added = federation_pb2.SigningKey(
        key_id=key_id(b"x" * 32), public_key=b"x" * 32, not_before_ms=NOW_MS, not_after_ms=NOW_MS + 1000
    )
    fake = made._witness.public_key().public_bytes_raw()
    added.key_id, added.public_key = key_id(fake), fake
    body = house.body(2, house.directory.sha256, lambda members: _member(members, agency).signing_keys.append(added))
    signature = made._witness.sign(documents.signed_bytes("directory", body))
    forged = federation_pb2.DocumentSignature(agency=agency, key_id=added.key_id, signature=signature)
    return enrolment.put_together(
        "directory", body, [enrolment.sign(house.services["centre"], "directory", body), forged]
    ), body


def test_a_key_that_the_new_directory_brings_does_not_sign_for_it(house: House, monkeypatch):
    """A centre that adds a key for police-a and signs with it as police-a is caught: only pinned keys count."""
    document, body = _with_new_key(house, "police-a")
    assert _code(house, document, house.directory) == "SIGNATURES"
    with monkeypatch.context() as weakened:
        brought = Directory(federation_pb2.DirectoryBody.FromString(body), b"").document_keys()
        weakened.setattr(Directory, "document_keys", lambda *_: brought)
        # The shared witness key is refused by itself; without that check too, the forgery would stand.
        weakened.setattr(directory_rules, "_all_different", lambda _: True)
        assert _load(house, document, house.directory).serial == 2


def test_a_key_of_another_agency_does_not_sign_in_ones_name(house: House):
    """bank-b's signature under the name of police-a counts for neither."""
    body = house.body(2, house.directory.sha256)
    stolen = enrolment.sign(house.services["bank-b"], "directory", body)
    stolen.agency = "police-a"
    document = enrolment.put_together(
        "directory", body, [enrolment.sign(house.services["centre"], "directory", body), stolen]
    )
    assert _code(house, document, house.directory) == "SIGNATURES"


def test_a_signature_under_another_kind_of_document_does_not_count(house: House):
    """Signed as a policy bundle, the same body is no directory."""
    body = house.body(2, house.directory.sha256)
    signatures = [enrolment.sign(house.services[name], "policy", body) for name in ("centre", "police-a")]
    assert _code(house, enrolment.put_together("directory", body, signatures), house.directory) == "SIGNATURES"


@pytest.mark.parametrize(("serial", "previous"), [(1, b""), (3, b""), (2, bytes(32)), (2, b"short")])
def test_there_is_no_rollback_no_gap_and_no_second_history(house: House, serial: int, previous: bytes):
    """Another serial than the next, or another predecessor, is refused though two agencies signed it."""
    assert _code(house, _successor(house, serial=serial, previous=previous), house.directory) == "SUCCESSION"


def _revoke(members: list[federation_pb2.Member], agency: str = "bank-b") -> None:
    _member(members, agency).signing_keys[0].revoked = True
    _member(members, agency).ClearField("prekeys")


def _without(members: list[federation_pb2.Member]) -> list[federation_pb2.Member]:
    return [item for item in members if item.agency != "bank-b"]


SUCCESSIONS: dict[str, Change] = {
    "a member gone": _without,
    "another kind of agency": lambda members: setattr(
        _member(members, "bank-b"), "type", federation_pb2.AGENCY_TYPE_POLICE
    ),
    "a key stretched": lambda members: setattr(_member(members, "bank-b").signing_keys[0], "not_after_ms", 2**62),
    "a key from earlier": lambda members: setattr(_member(members, "bank-b").signing_keys[0], "not_before_ms", 1),
}


@pytest.mark.parametrize("name", SUCCESSIONS)
def test_members_and_keys_once_in_stay_in(house: House, name: str):
    """No member or key vanishes, and no key grows older or younger, by two signatures alone."""
    assert _code(house, _successor(house, SUCCESSIONS[name]), house.directory) == "SUCCESSION"


def test_a_revoked_key_stays_revoked(house: House):
    """What one directory revoked its successor cannot give back."""
    second = _load(house, _successor(house, _revoke), house.directory)
    assert _code(house, _successor(house, None, serial=3, previous=second.sha256), second) == "SUCCESSION"


def test_an_agency_whose_key_was_revoked_or_who_is_suspended_signs_no_more(house: House):
    """Signatures of a revoked key or a suspended member do not count towards two."""

    def suspend(members: list[federation_pb2.Member]) -> None:
        _member(members, "bank-b").status = federation_pb2.MEMBER_STATUS_SUSPENDED

    for change in (_revoke, suspend):
        second = _load(house, _successor(house, change), house.directory)
        document = _successor(house, change, "centre", "bank-b", serial=3, previous=second.sha256)
        assert _code(house, document, second) == "SIGNATURES"


def test_a_directory_expires_and_is_not_from_the_future(house: House):
    """At its last moment it is taken, after that not; issued later than clocks may differ it is not either."""
    house.clock.at_ms = house.directory.expires_at_ms
    assert house.directory.serial == 1
    house.clock.at_ms += 1
    assert _code(house, house.document) == "EXPIRED"
    house.clock.at_ms = NOW_MS - limits.CLOCK_SKEW_MS_MAX - 1
    assert _code(house, house.document) == "NOT-YET"


SMALL_ORDER = [
    bytes(32),
    b"\x01" + bytes(31),
    b"\xec" + b"\xff" * 30 + b"\x7f",
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    b"\xed" + b"\xff" * 30 + b"\x7f",
    b"\xee" + b"\xff" * 30 + b"\x7f",
    b"\x01" + bytes(30) + b"\x80",
    b"\xff" * 32,
    b"x" * 31,
]


@pytest.mark.parametrize("weak", SMALL_ORDER, ids=lambda key: key.hex()[:8])
def test_weak_signing_keys_are_refused_at_enrolment(house: House, weak: bytes):
    """Keys of small order, in another encoding, off the curve or of another length never come into force."""

    def add(members: list[federation_pb2.Member]) -> None:
        _member(members, "bank-b").signing_keys.add(
            key_id=key_id(weak), public_key=weak, not_before_ms=NOW_MS, not_after_ms=NOW_MS + 1
        )

    assert _code(house, _successor(house, add), house.directory) == "WEAK-KEY"


WEAK_PREKEYS = [
    bytes(32),
    b"\x01" + bytes(31),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    b"\xec" + b"\xff" * 30 + b"\x7f",
    b"\xed" + b"\xff" * 30 + b"\x7f",
    b"\xee" + b"\xff" * 30 + b"\x7f",
    b"\x09" + bytes(30) + b"\x80",
    b"x" * 31,
]


@pytest.mark.parametrize("weak", WEAK_PREKEYS, ids=lambda key: key.hex()[:8])
def test_weak_prekeys_are_refused_even_when_their_owner_signed_them(house: House, weak: bytes):
    """A prekey of small order or in another encoding is refused, though its agency signed it."""

    def add(members: list[federation_pb2.Member]) -> None:
        signed = prekey_signed_bytes("bank-b", weak, NOW_MS, NOW_MS + 1)
        _member(members, "bank-b").prekeys.add(
            key_id=key_id(weak),
            public_key=weak,
            not_before_ms=NOW_MS,
            not_after_ms=NOW_MS + 1,
            signature=house.services["bank-b"]._signing.sign(signed),
        )

    assert _code(house, _successor(house, add), house.directory) == "WEAK-KEY"


def _steal_prekey(members: list[federation_pb2.Member]) -> None:
    _member(members, "bank-b").prekeys[0].CopyFrom(_member(members, "centre").prekeys[0])


OUT_OF_FORM: dict[str, tuple[str, Change]] = {
    "a prekey that its agency did not sign": ("PREKEY", _steal_prekey),
    "a prekey's validity stretched": (
        "PREKEY",
        lambda members: setattr(_member(members, "bank-b").prekeys[0], "not_after_ms", 2**60),
    ),
    "a key id of another key": (
        "WEAK-KEY",
        lambda members: setattr(_member(members, "bank-b").prekeys[0], "key_id", bytes(8)),
    ),
    "one signing key under two names": (
        "SHARED-KEY",
        lambda members: _member(members, "bank-b").signing_keys.append(_member(members, "centre").signing_keys[0]),
    ),
    "a member twice": ("FORM", lambda members: [*members, members[0]]),
    "a name with a zero byte": (
        "FORM",
        lambda members: setattr(_member(members, "police-b"), "agency", "police-b\x00"),
    ),
    "a name with a line end": ("FORM", lambda members: setattr(_member(members, "police-b"), "agency", "police-b\n")),
    "a name of 33": ("FORM", lambda members: setattr(_member(members, "police-b"), "agency", "q" * 33)),
    "another's log": (
        "FORM",
        lambda members: setattr(_member(members, "bank-b"), "log_vkey", _member(members, "centre").log_vkey),
    ),
    "a log key that is none": ("FORM", lambda members: setattr(_member(members, "bank-b"), "log_vkey", "x")),
    "too many keys": (
        "FORM",
        lambda members: _member(members, "bank-b").signing_keys.extend([federation_pb2.SigningKey()] * 16),
    ),
}


@pytest.mark.parametrize("name", OUT_OF_FORM)
def test_members_out_of_form_are_refused(house: House, name: str):
    """Each is refused at enrolment already, with a code that says what it was."""
    code, change = OUT_OF_FORM[name]
    document = house.sign("directory", house.body(1, b"", change), "centre", "police-a")
    assert _code(house, document) == code


def test_a_directory_has_one_serialisation(house: House):
    """Unknown fields in the document or its body are refused."""
    assert _code(house, house.document + b"\xfa\x01\x01x") == "FORM"
    body = house.body(2, house.directory.sha256) + b"\xfa\x01\x01x"
    assert _code(house, house.sign("directory", body, "centre", "police-a"), house.directory) == "FORM"
    assert _code(house, b"\xff") == "FORM"


def _after(house: House, change: Change) -> Directory:
    return _load(house, _successor(house, change), house.directory)


def test_a_revoked_key_sends_no_more_and_is_believed_for_what_was_stored(house: House):
    """A message under a key that was revoked is refused on arrival; one that had arrived before still verifies."""
    envelope = house.services["bank-a"].seal([seal_request()])[0]
    revoked = _after(house, lambda members: _revoke(members, "bank-a"))
    with pytest.raises(EnvelopeRefused) as caught:
        verify(envelope, revoked, NOW_MS)
    assert caught.value.code == "LF-SEAL-UNKNOWN-KEY"
    assert verify_stored(envelope, revoked).header.sender == "bank-a"


def test_a_suspended_member_sends_no_more(house: House):
    """A message of a member who does not take part is refused, and named as that."""
    envelope = house.services["bank-a"].seal([seal_request()])[0]

    def suspend(members: list[federation_pb2.Member]) -> None:
        _member(members, "bank-a").status = federation_pb2.MEMBER_STATUS_SUSPENDED

    suspended = _after(house, suspend)
    with pytest.raises(EnvelopeRefused) as caught:
        verify(envelope, suspended, NOW_MS)
    assert caught.value.code == "LF-SEAL-SENDER-SUSPENDED"
    assert verify_stored(envelope, suspended)


def test_a_key_is_good_in_its_time_only(house: House):
    """Before its first moment and after its last a signing key is not found; at both it is."""
    directory = house.directory
    key = directory.member("bank-a").signing_keys[0]
    for at_ms, found in (
        (key.not_before_ms - 1, False),
        (key.not_before_ms, True),
        (key.not_after_ms, True),
        (key.not_after_ms + 1, False),
    ):
        assert (directory.signing_key("bank-a", key.key_id, at_ms) is not None) == found
    assert directory.signing_key("stranger", key.key_id, NOW_MS) is None
    assert directory.prekey("stranger", NOW_MS) is None
    assert replace(directory.prekey("bank-a", NOW_MS)).key_id == key_id(
        directory.member("bank-a").prekeys[0].public_key
    )
    assert sha256(b"").digest() != directory.sha256
