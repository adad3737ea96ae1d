"""Suites: what each seals opens, nobody is talked into a weaker one, and both signatures of suite 2 count."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM
from cryptography.hazmat.primitives.hpke import Suite as Hpke

from bus.errors import Retry, Usage
from bus.keyservice import grants
from bus.keyservice.signer import Signer
from bus.sealing import boxes, kem, signatures, sm2, suites, verify
from bus.sealing.batch import sign_batch
from bus.sealing.envelope import parse_header
from bus.sealing.errors import EnvelopeRefused, GrantRefused, SealingError
from bus.sealing.split import join
from bus.sealing.suites import SUITES
from schemas.v1 import envelope_pb2, federation_pb2, notice_pb2
from tests.keyservice.house import NOW_MS, House, notice, seal_request
from tests.sealing.attacker import change_envelope, change_header, sealed_of
from tests.sealing.with_suites import take, use_suite

OTHERS = Path(__file__).parents[3] / "shared" / "vectors"
NUMBERS = sorted(SUITES)


def _others(name: str):
    path = OTHERS / name
    if not path.exists():
        pytest.skip(f"{name} is not beside the repository")
    return json.loads(path.read_text())


@pytest.mark.parametrize("number", NUMBERS)
def test_what_a_suite_seals_opens_to_the_message(house: House, number: int):
    """Under each suite a batch of three is verified, taken in, and opens to the very messages."""
    use_suite(house, number)
    messages = [notice(f"62284{at}") for at in range(3)]
    envelopes = house.services["bank-a"].seal([seal_request(at, message) for at, message in enumerate(messages)])
    for envelope, message in zip(envelopes, messages, strict=True):
        parsed = take(house, envelope)
        assert parsed.header.suite == parsed.suite.number == number
        contents = house.services["police-a"]._grants.open(parsed)
        assert join(notice_pb2.SuspiciousAccountNotice, parsed.public_body, contents.plains) == message
        assert set(house.services["centre"].inspect(parsed.payload).classes) < set(
            house.services["police-a"].inspect(parsed.payload).classes
        )


@pytest.mark.parametrize("number", [2, 3, 4])
def test_no_single_bit_of_an_envelope_may_flip_under_any_suite(house: House, number: int):
    """No envelope with one bit flipped is taken, whatever the suite (suite 1: test_envelope.py)."""
    use_suite(house, number)
    service = house.services["bank-a"]
    take(house, service.seal([seal_request(1)])[0])
    envelope = service.seal([seal_request(2, inline_grant=False)])[0]
    take(house, envelope)
    for at in range(0, len(envelope) * 8, 97):
        flipped = bytearray(envelope)
        flipped[at // 8] ^= 1 << at % 8
        with pytest.raises(SealingError):
            take(house, bytes(flipped))


@pytest.mark.parametrize("number", [2, 3, 4])
def test_no_single_bit_of_a_grant_may_flip_under_any_suite(house: House, number: int):
    """No grant with one bit flipped is taken, whatever the suite (suite 1: test_grants.py)."""
    use_suite(house, number)
    document = sealed_of(house.services["bank-a"].seal([seal_request(1)])[0]).inline_grant
    for at in range(0, len(document) * 8, 211):
        flipped = bytearray(document)
        flipped[at // 8] ^= 1 << at % 8
        with pytest.raises(GrantRefused):
            house.services["police-a"].accept_grant(bytes(flipped))


def test_a_suite_that_policy_does_not_allow_is_refused(house: House):
    """Where policy allows suite 2 alone, a message under suite 1 is refused, and so is a grant; allowed, both are taken."""
    envelope = house.services["bank-a"].seal([seal_request(1)])[0]
    use_suite(house, 2, agencies=("police-a", "centre", "police-b"))
    parsed = verify.verify(envelope, house.directory, NOW_MS)
    for ask in (
        lambda: house.services["police-a"].admit(parsed.payload),
        lambda: house.services["police-a"].accept_grant(parsed.inline_grant),
    ):
        with pytest.raises(SealingError) as caught:
            ask()
        assert caught.value.code == "LF-SEAL-SUITE-NOT-ALLOWED"
    # The attack with the check taken out: whoever breaks what suite 1 stands on is believed again.
    weaker = grants.Admission(house.directory, {1, 2}, NOW_MS)
    assert house.services["police-a"]._grants.admit(parsed, weaker) == ""


def test_two_allowed_suites_let_members_change_one_after_the_other(house: House):
    """While policy allows both, senders of the old and of the new suite are taken; each message has its own grant."""
    old = house.services["bank-a"].seal([seal_request(1)])[0]
    use_suite(house, 2, 1)
    new = house.services["bank-a"].seal([seal_request(2, inline_grant=False)])[0]
    for envelope, number in ((old, 1), (new, 2)):
        assert take(house, envelope).header.suite == number
    assert parse_header(new).inline_grant, "a grant of another suite is another grant"


def test_a_grant_of_another_suite_than_its_message_is_refused(house: House, monkeypatch):
    """A sender who seals under a stronger suite with a weaker grant's keys, or the other way round, is refused by name."""
    use_suite(house, 2, 1)
    envelope = house.services["bank-a"].seal([seal_request(1)])[0]
    attack = change_header(sealed_of(envelope), lambda header: setattr(header, "suite", 1))
    payload = attack.SerializeToString(deterministic=True)
    with pytest.raises(GrantRefused) as caught:
        house.services["police-a"].admit(payload)
    assert caught.value.code == "LF-SEAL-GRANT-SUITE"


FORGED: dict[str, Callable[[envelope_pb2.Envelope, envelope_pb2.Envelope], None]] = {
    "no ML-DSA signature": lambda mine, _: mine.ClearField("ml_dsa_65_signature"),
    "an ML-DSA signature of zeros": lambda mine, _: setattr(mine, "ml_dsa_65_signature", bytes(3309)),
    "the ML-DSA signature of another batch": lambda mine, other: setattr(
        mine, "ml_dsa_65_signature", other.ml_dsa_65_signature
    ),
    "the Ed25519 signature of another batch": lambda mine, other: setattr(mine, "signature", other.signature),
    "a shorter ML-DSA signature": lambda mine, _: setattr(mine, "ml_dsa_65_signature", mine.ml_dsa_65_signature[:-1]),
}


@pytest.mark.parametrize("name", FORGED)
def test_both_signatures_must_hold(house: House, name: str):
    """In suite 2 neither signature alone is enough, nor one that belongs to another batch."""
    use_suite(house, 2)
    mine, other = (house.services["bank-a"].seal([seal_request(at)])[0] for at in (1, 2))
    take(house, other)
    attack = change_envelope(mine, lambda outer: FORGED[name](outer, envelope_pb2.Envelope.FromString(other)))
    with pytest.raises(EnvelopeRefused):
        take(house, attack)


def _forge(house: House, ed25519: Ed25519PrivateKey, ml_dsa_65: MLDSA65PrivateKey) -> bytes:
    """A message of bank-a, signed anew by whoever holds these two keys."""
    payload = sealed_of(house.services["bank-a"].seal([seal_request(1)])[0]).SerializeToString(deterministic=True)
    place = sign_batch("bank-a", [payload], ed25519.sign, SUITES[2], ml_dsa_65.sign)[0]
    return envelope_pb2.Envelope(
        payload=payload, signature=place.signature, batch_size=1, ml_dsa_65_signature=place.second
    ).SerializeToString(deterministic=True)


@pytest.mark.parametrize("broken", ["Ed25519", "ML-DSA-65"])
def test_who_breaks_one_signature_forges_nothing(house: House, monkeypatch, broken: str):
    """With the sender's key of one kind (a quantum computer, or a flaw of a young algorithm) no message is forged.

    Where only that kind was looked at it would be.
    """
    use_suite(house, 2)
    service = house.services["bank-a"]
    stranger = (Ed25519PrivateKey.from_private_bytes(bytes(32)), MLDSA65PrivateKey.from_seed_bytes(bytes(32)))
    held = (service._signing, stranger[1]) if broken == "Ed25519" else (stranger[0], service._life.signer().ml_dsa_65)
    attack = _forge(house, *held)
    looked_past = "ml_dsa_65_holds" if broken == "Ed25519" else "signature_holds"
    with monkeypatch.context() as weakened:
        weakened.setattr(signatures, looked_past, lambda *_: True)
        take(house, attack)
    with pytest.raises(EnvelopeRefused) as caught:
        take(house, attack)
    assert caught.value.code == "LF-SEAL-SIGNATURE"


def test_a_grant_of_suite_2_has_both_signatures_too(house: House):
    """A grant whose ML-DSA signature is another's is refused, though its Ed25519 signature holds."""
    use_suite(house, 2)
    document = sealed_of(house.services["bank-a"].seal([seal_request(1)])[0]).inline_grant
    outer = envelope_pb2.Grant.FromString(document)
    outer.ml_dsa_65_signature = MLDSA65PrivateKey.from_seed_bytes(bytes(32)).sign(b"other")
    with pytest.raises(GrantRefused) as caught:
        house.services["police-a"].accept_grant(outer.SerializeToString(deterministic=True))
    assert caught.value.code == "LF-SEAL-GRANT-SIGNATURE"


def test_a_second_signature_where_the_suite_has_none_is_refused(house: House):
    """Bytes that no check would look at do not travel: a suite 1 envelope or grant with a second signature is not in form."""
    envelope = house.services["bank-a"].seal([seal_request(1)])[0]
    with pytest.raises(EnvelopeRefused) as caught:
        parse_header(change_envelope(envelope, lambda outer: setattr(outer, "ml_dsa_65_signature", bytes(3309))))
    assert caught.value.code == "LF-SEAL-FORM"
    outer = envelope_pb2.Grant.FromString(sealed_of(envelope).inline_grant)
    outer.ml_dsa_65_signature = bytes(3309)
    with pytest.raises(GrantRefused):
        boxes.parse_grant(outer.SerializeToString(deterministic=True))


def test_a_batch_costs_one_signature_and_every_message_carries_it(house: House, monkeypatch):
    """In suite 2 ML-DSA is made once a batch and verified once, and each message of the batch verifies alone."""
    use_suite(house, 2)
    made: list[bytes] = []
    sign = Signer.sign
    monkeypatch.setattr(Signer, "sign", lambda *given: made.append(given[2]) or sign(*given))
    service = house.services["bank-a"]
    envelopes = service.seal([seal_request(at) for at in range(8)])
    assert len(made) == 2, "the grant and the batch"
    signatures.ml_dsa_65_holds.cache_clear()
    for envelope in envelopes:
        take(house, envelope)
    assert signatures.ml_dsa_65_holds.cache_info().misses == 2
    assert len({envelope_pb2.Envelope.FromString(item).ml_dsa_65_signature for item in envelopes}) == 1
    signatures.ml_dsa_65_holds.cache_clear()
    take(house, envelopes[5])


def _strip(house: House, agency: str, *names: str) -> House:
    """A directory in which an agency has not the keys of some suites."""

    def change(members: list[federation_pb2.Member]) -> None:
        member = next(item for item in members if item.agency == agency)
        for key in (*member.signing_keys, *member.prekeys):
            for name in names:
                if name in key.DESCRIPTOR.fields_by_name:
                    key.ClearField(name)
        if "x_wing" in names:
            key = member.prekeys[0]
            signed = verify_bytes(member.agency, key)
            key.signature = house.services[agency]._signing.sign(signed)

    document = house.sign("directory", house.body(1, b"", change), "centre", "police-a")
    house.document = document
    for service in list(house.services.values()):
        service._pins._directory = house.directory
    return house


def verify_bytes(agency: str, key: federation_pb2.Prekey) -> bytes:
    return (
        b"lianfang/1 prekey\x00"
        + agency.encode()
        + b"\x00"
        + key.public_key
        + key.not_before_ms.to_bytes(8, "big")
        + key.not_after_ms.to_bytes(8, "big")
    )


def test_a_recipient_without_keys_of_the_suite_is_named_and_nothing_weaker_is_sealed(house: House):
    """Where a recipient has no X-Wing key the message waits, with its name: it is not sealed under another suite."""
    use_suite(house, 2, 1)
    _strip(house, "police-b", "x_wing")
    with pytest.raises(Retry) as caught:
        house.services["bank-a"].seal([seal_request(1)])
    assert caught.value.code == "LF-SEAL-SUITE-RECIPIENT"
    assert "police-b" in caught.value.cause


@pytest.mark.parametrize(("number", "name"), [(2, "ml_dsa_65"), (4, "sm2")])
def test_a_sender_without_keys_of_the_suite_is_refused(house: House, number: int, name: str):
    """Where the directory has no key of the suite for us, nothing is sealed that nobody could verify; and nobody is believed."""
    use_suite(house, number, 1)
    envelope = house.services["bank-a"].seal([seal_request(1)])[0]
    _strip(house, "bank-a", name)
    with pytest.raises(Usage) as caught:
        house.services["bank-a"].seal([seal_request(2)])
    assert caught.value.code == "LF-SEAL-SUITE-KEY"
    with pytest.raises(EnvelopeRefused) as refused:
        take(house, envelope)
    assert refused.value.code == "LF-SEAL-SIGNATURE"


def test_without_its_provider_suite_4_is_refused_by_name(house: House, monkeypatch):
    """A node without the SM2 provider refuses to seal under suite 4 and to take what is sealed under it, with a cure."""
    use_suite(house, 4, 1)
    envelope = house.services["bank-a"].seal([seal_request(1)])[0]
    sm2.holds.cache_clear()
    monkeypatch.setitem(sys.modules, "gmssl_pyx", None)
    with pytest.raises(Usage) as caught:
        house.services["bank-a"].seal([seal_request(2)])
    with pytest.raises(EnvelopeRefused) as refused:
        take(house, envelope)
    assert caught.value.code == refused.value.code == "LF-SEAL-SUITE-PROVIDER"
    assert "lianfang[sm2]" in caught.value.cure


def test_suites_do_not_pass_for_one_another(house: House):
    """Commitment, grant id and message key of one class key differ between the hash functions; a box of one opens in none other."""
    place = boxes.Place(b"header", b"", bytes(16), 1)
    for one in SUITES.values():
        for other in SUITES.values():
            ciphertext = boxes.close(bytes(32), 1, boxes.Place(b"h", b"", bytes(16), 1, one), b"plain")
            if one.aead is other.aead:
                continue
            assert boxes.commitment(1, bytes(32), one) != boxes.commitment(1, bytes(32), other)
            assert boxes.grant_id(b"body", one) != boxes.grant_id(b"body", other)
            with pytest.raises(SealingError):
                boxes.open_box(bytes(32), 1, boxes.Place(b"h", b"", bytes(16), 1, other), ciphertext)
    assert place.suite is suites.CLASSICAL


def test_sm2_signs_as_the_standard_says():
    """Key pair and signature of the example in GB/T 32918.5 (message digest, default id)."""
    private = 0x3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8
    pair = sm2.pair_of((private - 1).to_bytes(sm2.NOISE_BYTES, "big"))
    assert sm2.public_of(pair).hex().upper() == (
        "0409F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF356F35020"
        "CCEA490CE26775A52DC6EA718CC1AA600AED05FBF35E084A6632F6072DA9AD13"
    )
    signature = bytes.fromhex(
        "F5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3"
        "B1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA"
    )
    public = sm2.public_of(pair)
    assert sm2.holds(public, b"message digest", signature)
    assert sm2.holds(public, b"other", sm2.sign(pair, b"other"))
    wrong = [
        (public, b"message digesu", signature),
        (public, b"message digest", signature[:-1]),
        (public, b"message digest", signature[32:] + signature[:32]),
        (public, b"message digest", bytes(64)),
        (public, b"message digest", b"\xff" * 64),
        (public[:-1] + b"\x00", b"message digest", signature),
        (b"", b"message digest", signature),
        (bytes(65), b"message digest", signature),
    ]
    assert not any(sm2.holds(*case) for case in wrong)


def test_wycheproof_sm4_gcm():
    """SM4-GCM as suites 3 and 4 call it decides every Wycheproof case with a 12-byte nonce as it should be."""
    seen = 0
    for group in _others("wycheproof/sm4_gcm_test.json")["testGroups"]:
        if (group["ivSize"], group["tagSize"]) != (96, 128):
            continue
        for case in group["tests"]:
            raw = {name: bytes.fromhex(case[name]) for name in ("key", "iv", "aad", "msg", "ct", "tag")}
            key = raw["key"] + raw["iv"] + bytes(4)
            try:
                opened: bytes | None = SUITES[3].aead(key).decrypt(b"", raw["ct"] + raw["tag"], raw["aad"])
            except InvalidTag:
                opened = None
            assert opened == (raw["msg"] if case["result"] == "valid" else None), case["tcId"]
            if opened is not None:
                assert SUITES[3].aead(key).encrypt(b"", raw["msg"], raw["aad"]) == raw["ct"] + raw["tag"]
            seen += 1
    assert seen > 50


def test_wycheproof_hmac_sm3():
    """HMAC-SM3 written out decides every full-length Wycheproof case with a key of at most one block as it should be."""
    for group in _others("wycheproof/hmac_sm3_test.json")["testGroups"]:
        for case in group["tests"]:
            key = bytes.fromhex(case["key"])
            if len(key) > 64 or group["tagSize"] != 256:
                continue
            holds = suites.hmac_sm3(key, bytes.fromhex(case["msg"])) == bytes.fromhex(case["tag"])
            assert holds == (case["result"] == "valid"), case["tcId"]


def test_wycheproof_ml_dsa_65():
    """Our verifier decides every Wycheproof ML-DSA-65 case with an empty context as it should be."""
    wrong = [
        case["tcId"]
        for group in _others("wycheproof/mldsa_65_verify_test.json")["testGroups"]
        for case in group["tests"]
        if "ctx" not in case
        and signatures.ml_dsa_65_holds(
            bytes.fromhex(group["publicKey"]), bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"])
        )
        != (case["result"] == "valid")
    ]
    assert wrong == []


def test_our_x_wing_keys_are_those_of_the_draft():
    """The seed of the HPKE vectors gives their X-Wing public key, and its private key opens their first encryption."""
    vectors = [
        item
        for item in _others("hpke/HPKE_hpke-pq-test-vectors.json")
        if (item["kem_id"], item["kdf_id"]) == (0x647A, 1)
    ]
    assert vectors
    for vector in vectors:
        seed = bytes.fromhex(vector["skRm"])
        assert kem.x_wing_public(seed).hex() == vector["pkRm"]
        assert vector["aead_id"] == 3
        hpke, first = Hpke(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305), vector["encryptions"][0]
        if first["aad"]:
            continue  # this library's single shot has none
        sealed = bytes.fromhex(vector["enc"] + first["ct"])
        assert hpke.decrypt(sealed, kem.x_wing_private(seed), bytes.fromhex(vector["info"])).hex() == first["pt"]


def test_x_wing_needs_both_halves(house: House):
    """A class key sealed with X-Wing opens neither with the X25519 half of another nor with the ML-KEM half of another."""
    mine, other = (kem._x_wing_halves(bytes([at]) * 32) for at in (1, 2))
    sealed = kem.seal(SUITES[2], kem.x_wing_public(bytes([1]) * 32), b"key", b"info")
    assert kem.open_sealed(SUITES[2], kem.x_wing_private(bytes([1]) * 32), sealed, b"info") == b"key"
    for halves in ((mine[0], other[1]), (other[0], mine[1])):
        with pytest.raises(InvalidTag):
            kem.open_sealed(SUITES[2], kem.MLKEM768X25519PrivateKey(*halves), sealed, b"info")


def test_grants_are_refused_by_name(house: House):
    """A grant of a suite that nobody knows is refused as that."""
    document = sealed_of(house.services["bank-a"].seal([seal_request(1)])[0]).inline_grant
    outer = envelope_pb2.Grant.FromString(document)
    body = envelope_pb2.GrantBody.FromString(outer.body)
    body.suite = 9
    outer.body = body.SerializeToString(deterministic=True)
    with pytest.raises(GrantRefused) as caught:
        house.services["police-a"].accept_grant(outer.SerializeToString(deterministic=True))
    assert caught.value.code == "LF-SEAL-SUITE"
    assert grants.SUITE_NOT_ALLOWED == "LF-SEAL-SUITE-NOT-ALLOWED"
