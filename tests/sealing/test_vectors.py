"""Known answers: our own, made again byte for byte and opened by a second implementation; and others' for what we call."""

import hmac
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bus.sealing import boxes
from bus.sealing.batch import signature_holds
from schemas.v1 import envelope_pb2, notice_pb2
from tests.keyservice.house import House, notice, prekey_of
from tests.vectors import generate

OTHERS = Path(__file__).parents[3] / "shared" / "vectors"


def _own(name: str) -> Any:
    return json.loads((generate.HERE / name).read_text())


def _others(name: str) -> Any:
    path = OTHERS / name
    if not path.exists():
        pytest.skip(f"{name} is not beside the repository")
    return json.loads(path.read_text())


def test_the_vectors_are_what_the_generator_makes():
    """Sealing the same messages under the same seeds gives the same bytes as when the vectors were made."""
    made = generate.generate()
    assert {name: (generate.HERE / name).read_text() == text for name, text in made.items()} == dict.fromkeys(
        made, True
    )


@pytest.mark.parametrize("number", range(5))
def test_a_second_implementation_opens_the_envelopes(number: int):
    """Opened with HMAC and AES-GCM alone, as the format's description says, each box gives the recorded plaintext."""
    vector = _own("open.json")[number]
    sealed = envelope_pb2.Sealed.FromString(envelope_pb2.Envelope.FromString(bytes.fromhex(vector["envelope"])).payload)
    header = envelope_pb2.Header.FromString(sealed.header)
    whole = sealed.public_body
    for box, expected in zip(sealed.boxes, vector["boxes"], strict=True):
        place = bytes([box.compartment])
        label = b"lianfang/1 message key\x00" + place + header.sequence.to_bytes(8, "big") + header.salt
        key = hmac.new(bytes.fromhex(expected["class_key"]), label, sha256).digest()
        assert key.hex() == expected["message_key"]
        bound = (
            b"lianfang/1 box\x00" + place + len(sealed.header).to_bytes(4, "big") + sealed.header + sealed.public_body
        )
        plain = AESGCM(key).decrypt(bytes(12), box.ciphertext, bound)
        assert plain.hex() == expected["plaintext"]
        whole += plain
        commitment = sha256(b"lianfang/1 commitment\x00" + place + bytes.fromhex(expected["class_key"])).digest()
        grant = envelope_pb2.GrantBody.FromString(envelope_pb2.Grant.FromString(bytes.fromhex(vector["grant"])).body)
        assert grant.compartments[box.compartment - 1].commitment == commitment
    if sealed.boxes:
        expected_notice = notice("6228489999" if number == 3 else f"62284800{number + 1}")
        assert notice_pb2.SuspiciousAccountNotice.FromString(whole) == expected_notice


def test_invalid_vectors_outnumber_valid_ones_and_name_their_failure():
    """Each attack has a name of its own and an error that refuses it."""
    invalid = _own("invalid.json")
    assert len(invalid) > 4 * len(_own("open.json"))
    assert len({vector["name"] for vector in invalid}) == len(invalid)
    assert all(vector["error"] and vector["code"].startswith("LF-SEAL-") for vector in invalid)


@pytest.mark.parametrize("vector", _own("invalid.json"), ids=lambda vector: vector["name"])
def test_every_invalid_vector_is_refused_as_recorded(house: House, vector: dict[str, str]):
    """The recorded attack, byte for byte, is refused with the recorded error."""
    assert house.document.hex() == _own("seal.json")["directory"]
    found = generate.refusal(house, bytes.fromhex(vector["envelope"]))
    assert found == {"error": vector["error"], "code": vector["code"]}


def test_every_valid_vector_is_taken(house: House):
    """The recorded envelopes are taken in by police-a, which reads every class of them."""
    for vector in _own("open.json"):
        assert generate.refusal(house, bytes.fromhex(vector["envelope"])) == {"error": "", "code": ""}


def _hpke_open(sealed: bytes, private: X25519PrivateKey, info: bytes, associated: bytes, aead_id: int) -> bytes:
    """RFC 9180 base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-GCM, first message: written from the RFC."""

    def extract(salt: bytes, suite: bytes, label: bytes, keying: bytes) -> bytes:
        return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + keying, "sha256")

    def expand(secret: bytes, suite: bytes, label: bytes, context: bytes, length: int) -> bytes:
        labelled = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + context
        return hmac.digest(secret, labelled + b"\x01", "sha256")[:length]

    enc, ciphertext = sealed[:32], sealed[32:]
    kem, suite = b"KEM" + b"\x00\x20", b"HPKE" + b"\x00\x20" + b"\x00\x01" + aead_id.to_bytes(2, "big")
    shared = private.exchange(X25519PublicKey.from_public_bytes(enc))
    public = private.public_key().public_bytes_raw()
    secret = expand(extract(b"", kem, b"eae_prk", shared), kem, b"shared_secret", enc + public, 32)
    context = b"\x00" + extract(b"", suite, b"psk_id_hash", b"") + extract(b"", suite, b"info_hash", info)
    scheduled = extract(secret, suite, b"secret", b"")
    key = expand(scheduled, suite, b"key", context, {1: 16, 2: 32}[aead_id])
    nonce = expand(scheduled, suite, b"base_nonce", context, 12)
    return AESGCM(key).decrypt(nonce, ciphertext, associated)


def test_the_second_hpke_agrees_with_rfc_9180():
    """Our own reading of RFC 9180 opens the first encryption of its appendix A.1.1."""
    sealed = bytes.fromhex(
        "37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431"
        "f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a9"
        "6d8770ac83d07bea87e13c512a"
    )
    private = X25519PrivateKey.from_private_bytes(
        bytes.fromhex("4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8")
    )
    plain = _hpke_open(sealed, private, b"Ode on a Grecian Urn", b"Count-0", aead_id=1)
    assert plain == b"Beauty is truth, truth beauty"


def test_the_wraps_of_a_grant_are_rfc_9180(house: House):
    """A second HPKE, written from the RFC, opens each recipient's wrap of the vectors' grant to its class keys."""
    grant = boxes.parse_grant(bytes.fromhex(_own("open.json")[0]["grant"]))
    known = {box["compartment"]: bytes.fromhex(box["class_key"]) for box in _own("open.json")[0]["boxes"]}
    for recipient, (_, sealed) in grant.wraps.items():
        info = b"lianfang/1 wrap\x00" + sha256(grant.body_bytes).digest() + recipient.encode()
        plain = _hpke_open(sealed, prekey_of(house, recipient), info, b"", aead_id=2)
        keys = envelope_pb2.ClassKeys.FromString(plain)
        assert keys.keys == b"".join(known[number] for number in keys.compartments)
        assert set(keys.compartments) == {
            item.compartment for item in grant.body.compartments if recipient in item.audience
        }


def test_wycheproof_ed25519():
    """Our verifier decides every Wycheproof Ed25519 case as it should be."""
    wrong = [
        case["tcId"]
        for group in _others("wycheproof/ed25519_test.json")["testGroups"]
        for case in group["tests"]
        if signature_holds(
            bytes.fromhex(group["publicKey"]["pk"]), bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"])
        )
        != (case["result"] == "valid")
    ]
    assert wrong == []


def test_no_low_order_ed25519_key_passes():
    """Of the CCTV corner cases our verifier takes none whose key is of low order."""
    taken = [
        case["flags"]
        for case in _others("cctv/ed25519/ed25519vectors.json")
        if signature_holds(bytes.fromhex(case["key"]), case["msg"].encode(), bytes.fromhex(case["sig"]))
    ]
    assert not [flags for flags in taken if "low_order_A" in (flags or ())]


def test_speccheck_small_order_and_non_canonical_keys_are_refused():
    """Of the twelve ed25519-speccheck cases only the one with a mixed-order key (3) passes, as libsodium documents."""
    taken = [
        number
        for number, case in enumerate(_others("ed25519/speccheck_cases.json"))
        if signature_holds(
            bytes.fromhex(case["pub_key"]), bytes.fromhex(case["message"]), bytes.fromhex(case["signature"])
        )
    ]
    assert taken == [3]


def test_wycheproof_aes_gcm():
    """AES-256-GCM with 12-byte nonces decides every Wycheproof case as it should be."""
    seen = 0
    for group in _others("wycheproof/aes_gcm_test.json")["testGroups"]:
        if (group["keySize"], group["ivSize"], group["tagSize"]) != (256, 96, 128):
            continue
        for case in group["tests"]:
            raw = {name: bytes.fromhex(case[name]) for name in ("key", "iv", "aad", "msg", "ct", "tag")}
            try:
                opened: bytes | None = AESGCM(raw["key"]).decrypt(raw["iv"], raw["ct"] + raw["tag"], raw["aad"])
            except InvalidTag:
                opened = None
            assert opened == (raw["msg"] if case["result"] == "valid" else None), case["tcId"]
            seen += 1
    assert seen > 50


def test_wycheproof_x25519():
    """X25519 gives every Wycheproof secret, and refuses those that would be zero."""
    for group in _others("wycheproof/x25519_test.json")["testGroups"]:
        for case in group["tests"]:
            private = X25519PrivateKey.from_private_bytes(bytes.fromhex(case["private"]))
            try:
                shared = private.exchange(X25519PublicKey.from_public_bytes(bytes.fromhex(case["public"]))).hex()
            except ValueError:
                shared = "00" * 32
            assert shared == case["shared"], case["tcId"]


def test_wycheproof_hmac_sha256():
    """HMAC-SHA256 decides every full-length Wycheproof case as it should be."""
    for group in _others("wycheproof/hmac_sha256_test.json")["testGroups"]:
        for case in group["tests"]:
            tag = hmac.digest(bytes.fromhex(case["key"]), bytes.fromhex(case["msg"]), "sha256")
            holds = hmac.compare_digest(tag[: group["tagSize"] // 8], bytes.fromhex(case["tag"]))
            assert holds == (case["result"] == "valid"), case["tcId"]
