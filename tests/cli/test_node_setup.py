"""A node made and enrolled by hand, as an agency and the centre do it."""

import base64
import json
from pathlib import Path

import pytest

from bus import enrolment
from tests.cli.conftest import lianfang
from tests.cli.enrolling import documents


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """Three nodes, made and not enrolled."""
    for agency in ("bank-a", "centre", "auditor"):
        done = lianfang("node", "init", agency, "--dir", tmp_path / agency, "--role", "analyst,auditor", "--json")
        assert done.code == 0, done
        assert done.value["agency"] == agency
    return tmp_path


AGENCIES = {"bank-a": "bank", "centre": "centre", "auditor": "auditor"}


def test_a_node_is_made_made_known_and_enrolled(made: Path) -> None:
    """From `node init` over the centre's documents to `node enrol`, each step finds what the one before left."""
    directory, policy = documents(made, AGENCIES, ("centre", "auditor"))
    done = lianfang("node", "enrol", "--dir", made / "bank-a", "--directory", directory, "--policy", policy, "--json")
    assert (done.code, done.value["agency"]) == (0, "bank-a")
    again = lianfang("node", "enrol", "--dir", made / "bank-a", "--directory", directory, "--policy", policy, "--json")
    assert (again.code, again.value["code"]) == (2, "LF-ENROL-TWICE")
    found = lianfang("node", "doctor", "--dir", made / "bank-a", "--json").value["findings"]
    assert {item["name"]: item["ok"] for item in found}["enrolment"]


def test_one_signature_is_not_enough(made: Path) -> None:
    """Documents that one agency alone signed are refused, and nothing is laid in."""
    directory, policy = documents(made, AGENCIES, ("centre",))
    done = lianfang("node", "enrol", "--dir", made / "bank-a", "--directory", directory, "--policy", policy, "--json")
    assert (done.code, done.value["code"]) == (2, "LF-DIRECTORY-SIGNATURES")
    assert not [name for name in enrolment.DOCUMENTS.values() if (made / "bank-a" / name).exists()]


def test_a_directory_with_other_keys_for_us_is_refused(made: Path, tmp_path: Path) -> None:
    """A centre that gives an agency keys of its own making is found out when that agency enrols."""
    lianfang("node", "init", "bank-a", "--dir", tmp_path / "forged")
    own = (made / "bank-a" / "member.json").read_text()
    (made / "bank-a" / "member.json").write_text((tmp_path / "forged" / "member.json").read_text())
    directory, policy = documents(made, AGENCIES, ("centre", "auditor"))
    (made / "bank-a" / "member.json").write_text(own)
    done = lianfang("node", "enrol", "--dir", made / "bank-a", "--directory", directory, "--policy", policy, "--json")
    assert (done.code, done.value["code"]) == (2, "LF-ENROL-OTHER-KEYS")


def test_a_configuration_can_be_given_and_must_hold(tmp_path: Path) -> None:
    """`node init --config` takes the whole node.toml; one that is wrong leaves nothing behind."""
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text('agency = "bank-a"\nlog_level = "debug"\n')
    bad.write_text('agency = "bank-a"\nlog_levle = "debug"\n')
    wrong = lianfang("node", "init", "bank-a", "--dir", tmp_path / "n", "--config", bad, "--json")
    assert (wrong.code, wrong.value["code"]) == (2, "LF-CONFIG-UNKNOWN-KEY")
    assert "did you mean log_level?" in wrong.value["cure"]
    assert lianfang("node", "init", "bank-a", "--dir", tmp_path / "n", "--config", good).code == 0
    shown = lianfang("config", "show", "--dir", tmp_path / "n", "--json", "--origin").value
    assert {"key": "log_level", "value": "debug", "origin": "node.toml"} in shown
    other = lianfang("node", "init", "bank-b", "--dir", tmp_path / "m", "--config", good, "--json")
    assert other.code == 2


def test_private_keys_are_for_their_owner_alone(made: Path) -> None:
    """No file of a new node's keys can be read by others, and the doctor sees it when one can."""
    doctor = ("node", "doctor", "--dir", made / "bank-a", "--json")
    assert {item["name"]: item["ok"] for item in lianfang(*doctor).value["findings"]}["keys"]
    next(path for path in (made / "bank-a" / "keys").iterdir() if path.is_file()).chmod(0o644)
    keys = next(item for item in lianfang(*doctor).value["findings"] if item["name"] == "keys")
    assert keys["code"] == "LF-DOCTOR-KEYS-OPEN"


def test_what_an_agency_makes_known_holds_no_private_key(made: Path) -> None:
    """member.json has public keys only: no byte string of it opens or signs anything of the vault."""
    facts = json.loads((made / "bank-a" / "member.json").read_text())
    assert set(facts) == {
        "agency",
        "signing_key",
        "signing_key_sm2",
        "signing_key_ml_dsa_65",
        "prekey",
        "prekey_x_wing",
        "prekey_not_before_ms",
        "prekey_not_after_ms",
        "prekey_signature",
        "log_vkey",
        "witness_vkey",
    }
    wrapped = json.loads((made / "bank-a" / "keys" / "kek.json").read_text())["wrapped"]
    assert base64.b64decode(wrapped).hex() not in json.dumps(facts)
