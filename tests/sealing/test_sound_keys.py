"""Which public keys may come into force: none of small order, none with a second spelling, none that is no key of its kind.

Why it matters is played too: under a small-order key a signature holds for every message where a library does not look.
"""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from bus.sealing import kem, sm2, sound_keys
from bus.sealing.batch import signature_holds

VECTORS = Path(__file__).parents[3] / "shared" / "vectors"
P = 2**255 - 19
_TOP = 1 << 255
_Y8 = (
    0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD83D3D706A17C7,
    0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
)
LOW_ORDER_ED25519 = sorted(
    {y | sign for y in (0, 1, P - 1, *_Y8) for sign in (0, _TOP)} | {y | sign for y in (P, P + 1) for sign in (0, _TOP)}
)
"""Every spelling of the eight points of small order: y of each, both signs, and y + p where it still fits 255 bits."""
_X8 = (
    0x00B8495F16056286FDB1329CEB8D09DA6AC49FF1FAE35616AEB8413B7C7AEBE0,
    0x57119FD0DD4E22D8868E1C58C45C44045BEF839C55B1D0B1248C50A3BC959C5F,
)
LOW_ORDER_X25519 = sorted({u | top for u in (0, 1, P - 1, P, P + 1, *_X8) for top in (0, _TOP)})


def test_there_are_fourteen_spellings_of_small_order() -> None:
    """The eight points have fourteen spellings that one could take for keys; each is in the list below."""
    assert len(LOW_ORDER_ED25519) == 14


@pytest.mark.parametrize("value", LOW_ORDER_ED25519, ids=lambda value: f"{value:064x}"[:8])
def test_ed25519_keys_of_small_order_are_refused(value: int) -> None:
    """No spelling of a point of small order is a signing key, and none verifies anything here."""
    key = value.to_bytes(32, "little")
    assert not sound_keys.ed25519(key)
    forged = (1).to_bytes(32, "little") + bytes(32)
    assert not signature_holds(key, b"any message", forged)


def test_what_a_small_order_key_would_do_elsewhere() -> None:
    """OpenSSL takes R = identity, S = 0 under the identity for any message: that is why keys are looked at, and libsodium asked."""
    identity, forged = (1).to_bytes(32, "little"), (1).to_bytes(32, "little") + bytes(32)
    for message in (b"pay him", b"pay her"):
        Ed25519PublicKey.from_public_bytes(identity).verify(forged, message)
        assert not signature_holds(identity, message, forged)


@pytest.mark.parametrize("value", LOW_ORDER_X25519, ids=lambda value: f"{value:064x}"[:8])
def test_x25519_keys_of_small_order_are_refused(value: int) -> None:
    """No spelling of a point of small order is a prekey, alone or as the second half of an X-Wing key."""
    key = value.to_bytes(32, "little")
    assert not sound_keys.x25519(key)
    assert not sound_keys.x_wing(kem.x_wing_public(bytes(32))[:-32] + key)


def test_keys_as_they_are_made_are_sound() -> None:
    """What our own code makes passes every check."""
    assert sound_keys.ed25519(Ed25519PrivateKey.generate().public_key().public_bytes_raw())
    assert sound_keys.x25519(X25519PrivateKey.generate().public_key().public_bytes_raw())
    assert sound_keys.x_wing(kem.x_wing_public(b"s" * 32))
    assert sound_keys.sm2(sm2.public_of(sm2.pair_of(b"n" * sm2.NOISE_BYTES)))


@pytest.mark.parametrize("place", [0, 1, 767])
@pytest.mark.parametrize("value", [3329, 4095])
def test_an_ml_kem_key_that_is_not_reduced_is_refused(place: int, value: int) -> None:
    """FIPS 203 section 7.2: a coefficient of q or more, first or last, is refused, also inside X-Wing; q - 1 is not."""
    key = kem.x_wing_public(b"s" * 32)

    def spoilt(to: int) -> bytes:
        data, at = bytearray(key), place // 2 * 3
        if place % 2:
            data[at + 1], data[at + 2] = data[at + 1] & 15 | (to & 15) << 4, to >> 4
        else:
            data[at], data[at + 1] = to & 255, data[at + 1] & 240 | to >> 8
        return bytes(data)

    assert not sound_keys.x_wing(spoilt(value))
    assert sound_keys.x_wing(spoilt(3328))


@pytest.mark.parametrize("check", [sound_keys.ed25519, sound_keys.x25519, sound_keys.x_wing, sound_keys.ml_dsa_65])
def test_keys_of_another_length_are_none(check) -> None:
    """Empty, short and long ones are refused."""
    assert not any(check(b"\x09" * length) for length in (0, 31, 33, 1215, 1217, 1951, 1953))


def test_an_sm2_key_is_a_point_of_the_curve() -> None:
    """Off the curve, compressed, or with a coordinate that is not reduced: refused."""
    key = sm2.public_of(sm2.pair_of(b"n" * sm2.NOISE_BYTES))
    assert not sound_keys.sm2(key[:-1] + bytes([key[-1] ^ 1]))
    assert not sound_keys.sm2(b"\x02" + key[1:])
    assert not sound_keys.sm2(b"\x04" + b"\xff" * 64)
    assert not sound_keys.sm2(b"\x04" + bytes(64))


def _wycheproof(name: str) -> list[dict]:
    path = VECTORS / "wycheproof" / name
    if not path.exists():
        pytest.skip("the vectors are not here")
    return json.loads(path.read_text())["testGroups"]


def test_wycheproof_x25519_keys() -> None:
    """Every key that gives the all-zero secret or is not canonical is refused; every key of a valid case is taken."""
    zero = [
        case
        for group in _wycheproof("x25519_test.json")
        for case in group["tests"]
        if "ZeroSharedSecret" in case["flags"]
    ]
    assert len(zero) > 20
    assert not any(sound_keys.x25519(bytes.fromhex(case["public"])) for case in zero)
    valid = [case for group in _wycheproof("x25519_test.json") for case in group["tests"] if case["result"] == "valid"]
    assert all(sound_keys.x25519(bytes.fromhex(case["public"])) for case in valid)


def test_wycheproof_ed25519_signatures() -> None:
    """Each verifies exactly when it is said to: malleable, truncated and mixed-up ones do not."""
    cases = 0
    for group in _wycheproof("ed25519_test.json"):
        key = bytes.fromhex(group["publicKey"]["pk"])
        for case in group["tests"]:
            cases += 1
            holds = signature_holds(key, bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"]))
            assert holds == (case["result"] == "valid"), case["tcId"]
    assert cases > 100


def test_speccheck_and_cctv_take_no_low_order_key() -> None:
    """Of the corner cases of ed25519-speccheck and CCTV, none with a key of small order verifies or comes into force."""
    path = VECTORS / "ed25519" / "speccheck_cases.json"
    if not path.exists():
        pytest.skip("the vectors are not here")
    spec = [(case["pub_key"], case["message"], case["signature"], ()) for case in json.loads(path.read_text())]
    cctv = [
        (case["key"], case["msg"].encode().hex(), case["sig"], case["flags"] or ())
        for case in json.loads((VECTORS / "cctv" / "ed25519" / "ed25519vectors.json").read_text())
    ]
    low = 0
    for key, message, signature, flags in spec + cctv:
        public = bytes.fromhex(key)
        if int.from_bytes(public, "little") in LOW_ORDER_ED25519 or "low_order_A" in flags:
            low += 1
            assert not sound_keys.ed25519(public)
            assert not signature_holds(public, bytes.fromhex(message), bytes.fromhex(signature))
    assert low > 100
