"""What the key service signs and blinds, and what it never gives."""

import pytest

from audit.checkpoint import Verifier, checkpoint_text
from bus.directory import log_origin
from bus.errors import Usage
from tests.keyservice.house import NOW_MS, House

QUARTER_MS = 92 * 86_400_000


def test_each_purpose_has_its_own_key(house: House):
    """A checkpoint is signed by the log key, a cosignature by the witness key, and neither holds under the other."""
    service = house.services["bank-a"]
    public = service.public_keys()
    log, witness = Verifier.parse(public.log_vkey), Verifier.parse(public.witness_vkey)
    text = checkpoint_text(log_origin("bank-a"), 3, bytes(32))
    cosigned = b"cosignature/v1\ntime 1\n" + text
    assert log.verify(text, service.sign("log", text))
    assert witness.verify(cosigned, service.sign("witness", cosigned))
    assert not witness.verify(text, service.sign("log", text))
    assert len({public.signing_key, log.public_key, witness.public_key, public.prekey}) == 4


@pytest.mark.parametrize(
    ("purpose", "text"),
    [
        ("log", b"anything"),
        ("log", b"lianfang/audit/bank-b\n1\nAAAA\n"),
        ("log", b"cosignature/v1\ntime 1\n"),
        ("witness", b"lianfang/audit/bank-a\n1\nAAAA\n"),
        ("prekey", b""),
        ("", b""),
    ],
)
def test_a_key_signs_only_what_it_is_for(house: House, purpose: str, text: bytes):
    """The log key signs the own log's checkpoints and the witness key cosignatures, and there are no other purposes."""
    with pytest.raises(Usage) as caught:
        house.services["bank-a"].sign(purpose, text)
    assert caught.value.code == "LF-KEYS-PURPOSE"


def test_blind_values_are_one_agencys_for_one_quarter(house: House):
    """The same number has the same value within a quarter, another in the next, and another at every other agency."""
    service = house.services["bank-a"]
    value = service.blind("phone", ["+86 138 0013 8000"], NOW_MS)[0]
    assert service.blind("phone", ["+8613800138000"], NOW_MS)[0] == value
    assert service.blind("phone", ["+8613800138000"], NOW_MS + QUARTER_MS)[0] != value
    assert service.blind("account", ["+8613800138000"], NOW_MS)[0] != value
    assert house.services["bank-b"].blind("phone", ["+8613800138000"], NOW_MS)[0] != value
    assert house.start("bank-a").blind("phone", ["+8613800138000"], NOW_MS)[0] == value


def test_fingerprints_are_keyed(house: House):
    """A record's fingerprint is the same after a restart and different at another agency."""
    made = house.services["bank-a"].fingerprint([b"row", b"row", b"other"])
    assert made[0] == made[1] != made[2]
    assert house.start("bank-a").fingerprint([b"row"]) == made[:1]
    assert house.services["bank-b"].fingerprint([b"row"]) != made[:1]


def test_a_vault_without_a_key_does_not_serve(house: House):
    """A vault that lacks one of the agency's keys says so."""
    with pytest.raises(Usage) as caught:
        house.services["bank-a"]._must("no such key")
    assert caught.value.code == "LF-KEYS-MISSING"


def test_agencies_share_no_public_key(house: House):
    """No two agencies have a public key in common."""
    made = [house.services[name].public_keys() for name in ("bank-a", "bank-b", "centre")]
    keys = {key for item in made for key in (item.signing_key, item.prekey, item.log_vkey, item.witness_vkey)}
    assert len(keys) == 12
