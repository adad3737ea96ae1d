"""One signature over a batch: each payload's place is proved, and no other place, size, sender or payload passes."""

from hashlib import sha256

import pytest
from nacl.signing import SigningKey

from audit import tree
from bus.sealing import batch, verify
from bus.sealing.batch import BatchPlace, payload_hash, root_of, sign_batch, signature_holds, signed_bytes
from bus.sealing.errors import EnvelopeRefused
from schemas.v1 import envelope_pb2
from tests.keyservice.house import NOW_MS, House, seal_request
from tests.sealing.attacker import change_envelope, change_header, resign, sealed_of

KEY = SigningKey(sha256(b"batch").digest())
PUBLIC = bytes(KEY.verify_key)


def _sign(message: bytes) -> bytes:
    return KEY.sign(message).signature


def _payloads(count: int) -> list[bytes]:
    return [b"payload %d" % number for number in range(count)]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 8, 9, 31, 63, 64])
def test_every_place_of_a_batch_is_proved_and_no_other(size: int):
    """For every size each payload verifies at its own place, agrees with RFC 9162, and at no other index or size."""
    payloads = _payloads(size)
    places = sign_batch("bank-a", payloads, _sign)
    for number, (payload, place) in enumerate(zip(payloads, places, strict=True)):
        root = root_of(payload, place)
        assert root is not None
        assert signature_holds(PUBLIC, signed_bytes("bank-a", size, root), place.signature)
        steps = [place.proof[at : at + 32] for at in range(0, len(place.proof), 32)]
        assert tree.verify_inclusion(payload_hash(payload), number, size, steps, root)
        for index in range(size + 1):
            for other in (size - 1, size, size + 1, 2 * size):
                moved = root_of(payload, BatchPlace(place.signature, index, other, place.proof))
                if (index, other) != (number, size) and moved is not None:
                    assert not signature_holds(PUBLIC, signed_bytes("bank-a", other, moved), place.signature)


def test_a_proof_is_neither_longer_nor_shorter():
    """A step more, a step less, half a step: no root."""
    payloads = _payloads(5)
    place = sign_batch("bank-a", payloads, _sign)[1]
    for proof in (place.proof[:-32], place.proof + bytes(32), place.proof[:-1], b""):
        assert root_of(payloads[1], BatchPlace(place.signature, 1, 5, proof)) is None


def test_an_inner_node_is_no_payload():
    """A node's two children as a payload do not hash to that node (second preimage)."""
    payloads = _payloads(2)
    place = sign_batch("bank-a", payloads, _sign)[0]
    children = payload_hash(payloads[0]) + payload_hash(payloads[1])
    root = root_of(children, BatchPlace(place.signature, 0, 1, b""))
    assert root is not None
    assert not signature_holds(PUBLIC, signed_bytes("bank-a", 1, root), place.signature)


def test_a_last_payload_twice_makes_another_root():
    """A batch of three and the same with its last payload twice have different roots (CVE-2012-2459)."""
    three = sign_batch("bank-a", _payloads(3), _sign)[0]
    four = sign_batch("bank-a", [*_payloads(3), b"payload 2"], _sign)[0]
    assert root_of(b"payload 0", three) != root_of(b"payload 0", four)


def test_nothing_is_signed_for_no_payloads():
    """An empty batch asks for no signature."""
    assert sign_batch("bank-a", [], lambda _: pytest.fail("signed")) == []


def test_a_remembered_signature_says_nothing_of_another():
    """After one signature was found good, another under the same root and key is still checked."""
    message = b"message"
    good = _sign(message)
    assert signature_holds(PUBLIC, message, good)
    assert not signature_holds(PUBLIC, message, good[:-1] + bytes([good[-1] ^ 1]))
    assert not signature_holds(bytes(SigningKey.generate().verify_key), message, good)


def test_a_small_order_key_verifies_nothing():
    """With the neutral point as key, R neutral and S zero, every message would pass a lax verifier; here none does."""
    neutral = b"\x01" + bytes(31)
    assert not signature_holds(neutral, b"any message", neutral + bytes(32))


def test_a_key_or_signature_of_another_length_is_refused_not_raised():
    """Wrong lengths are just signatures that do not hold."""
    for key, signature in ((b"", b""), (PUBLIC, b"x"), (PUBLIC + b"x", bytes(64)), (PUBLIC, bytes(65))):
        assert not signature_holds(key, b"m", signature)


@pytest.fixture
def envelopes(house: House) -> list[bytes]:
    return house.services["bank-a"].seal([seal_request(number) for number in range(5)])


def test_a_proof_of_another_payload_of_the_same_batch_is_refused(house: House, envelopes: list[bytes]):
    """A payload under the place of its neighbour in the same signed batch is refused."""
    donor = envelope_pb2.Envelope.FromString(envelopes[1])

    def steal(outer: envelope_pb2.Envelope) -> None:
        outer.leaf_index, outer.proof = donor.leaf_index, donor.proof

    with pytest.raises(EnvelopeRefused) as caught:
        verify.verify(change_envelope(envelopes[2], steal), house.directory, NOW_MS)
    assert caught.value.code == "LF-SEAL-SIGNATURE"


@pytest.mark.parametrize("signer", ["bank-b", "police-a"])
def test_another_members_signature_is_not_the_senders(house: House, envelopes: list[bytes], signer: str):
    """A member, a recipient too, who signs in the sender's name is refused, with the sender's key id or his own."""
    sealed = sealed_of(envelopes[0])
    own = house.services[signer]._sealer._key_id
    for attack in (
        resign(house, sealed, agency=signer),
        resign(house, change_header(sealed, lambda header: setattr(header, "sender_key_id", own)), agency=signer),
    ):
        with pytest.raises(EnvelopeRefused) as caught:
            verify.verify(attack, house.directory, NOW_MS)
        assert caught.value.code in ("LF-SEAL-SIGNATURE", "LF-SEAL-UNKNOWN-KEY")


def test_the_signature_check_is_what_stops_a_forger(house: House, envelopes: list[bytes], monkeypatch):
    """Without the check of the root's signature a recipient's forgery in the sender's name is taken."""
    attack = resign(house, sealed_of(envelopes[0]), agency="police-a")
    with monkeypatch.context() as weakened:
        weakened.setattr(verify, "all_hold", lambda *_: True)
        assert verify.verify(attack, house.directory, NOW_MS).header.sender == "bank-a"
    with pytest.raises(EnvelopeRefused):
        verify.verify(attack, house.directory, NOW_MS)


def test_the_sender_is_part_of_what_is_signed(house: House, envelopes: list[bytes]):
    """A recipient cannot take a sender's payload and have it pass as his own by signing it: the header names the sender."""
    sealed = sealed_of(envelopes[0])
    with pytest.raises(EnvelopeRefused):
        verify.verify(resign(house, sealed, agency="police-a", sender="police-a"), house.directory, NOW_MS)


def test_signed_bytes_of_different_batches_differ():
    """Sender, size and root each change what is signed."""
    made = {signed_bytes(*args) for args in (("a", 1, bytes(32)), ("b", 1, bytes(32)), ("a", 2, bytes(32)))}
    assert len(made) == 3
    assert batch.key_id(PUBLIC) == sha256(PUBLIC).digest()[:8]
