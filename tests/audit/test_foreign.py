"""A verifier that nobody here wrote agrees with ours, and refuses a flipped byte of each thing it reads."""

import subprocess
import sys
from pathlib import Path

import pytest
from proofbundle.checkpoint import verify_checkpoint, verify_cosignature
from proofbundle.merkle import verify_consistency
from proofbundle.tlogproof import parse_tlog_proof, verify_tlog_proof

from audit.verify import verify_directory
from deploy.demo import foreign_verifier
from tests.audit import make_golden
from tests.audit.logs import AUDITOR, LOG, SECOND, STRANGER, WITNESS, append, entries, exported, open_log, witness

VKEY, WITNESS_VKEY = LOG.verifier.text, AUDITOR.verifier.text


@pytest.mark.parametrize("count", [1, 2, 255, 256, 300])
def test_proofbundle_accepts_an_export(sqlite_url, tmp_path, count):
    """The whole static directory, at and around the edge of a tile."""
    ok, text = foreign_verifier.verify_export(exported(tmp_path / "out", sqlite_url, count))
    assert ok, text
    assert f"{count} entries hash to the signed root" in text


def test_proofbundle_refuses_a_flipped_bit_of_every_file_it_reads(sqlite_url, tmp_path):
    """Whatever bit of checkpoint, entries or keys is flipped, neither verifier accepts."""
    directory = exported(tmp_path / "out", sqlite_url, 5)
    for name in ("checkpoint", "tile/entries/000.p/5", "vkey", "witnesses"):
        path = directory / name
        good = path.read_bytes()
        for at in range(0, len(good) - 1, 7):
            path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
            ok, _ = foreign_verifier.verify_export(directory)
            assert not ok, (name, at)
            assert not verify_directory(directory).ok, (name, at)
        path.write_bytes(good)
    assert foreign_verifier.verify_export(directory)[0]


def test_proofbundle_reads_our_proofs_and_notes(sqlite_url):
    """Checkpoint, cosignature, tlog-proof and consistency proof, each by proofbundle's own reader."""
    log = open_log(sqlite_url)
    append(log, entries(300))
    witness(log)
    note = witness(log, SECOND, "police-a").decode()
    assert verify_checkpoint(note, VKEY)["ok"]
    assert verify_cosignature(note, WITNESS_VKEY)["ok"]
    assert verify_cosignature(note, SECOND.verifier.text)["ok"]
    assert not verify_cosignature(note, STRANGER.verifier.text)["ok"]
    for index in (0, 255, 256, 299):
        proof = log.prove(index).decode()
        assert parse_tlog_proof(proof)["index"] == index
        keys = [WITNESS_VKEY, SECOND.verifier.text]
        assert verify_tlog_proof(proof, log.leaf(index), VKEY, keys, threshold=2)["ok"]
        assert not verify_tlog_proof(proof, log.leaf(index) + b"\x00", VKEY, keys, threshold=2)["ok"]
        assert not verify_tlog_proof(proof, log.leaf(index), VKEY, [*keys, STRANGER.verifier.text], threshold=3)["ok"]
    for old in (1, 255, 256, 257, 299):
        assert verify_consistency(old, 300, log.consistency(old, 300), log.root_at(old), log.root_at(300))
    assert log.cosigned_size(WITNESS) == 300


def test_proofbundle_accepts_the_golden_proof():
    """The committed proof verifies with the committed entry and keys."""
    entry = list(make_golden.leaves().values())[3]
    proof = (make_golden.GOLDEN / "3.tlog-proof").read_text()
    vkey, witness_vkey = ((make_golden.GOLDEN / name).read_text().strip() for name in ("vkey", "witnesses"))
    assert verify_tlog_proof(proof, entry, vkey, [witness_vkey], threshold=1)["ok"]


def test_the_foreign_verifier_uses_none_of_our_code():
    """Running it loads no module of ours but the folder it lies in."""
    code = (
        "import sys, deploy.demo.foreign_verifier;"
        "print([n for n in sys.modules if n.split('.')[0] in ('audit', 'bus', 'schemas', 'adapters', 'sqlalchemy')])"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_the_foreign_verifier_says_what_is_wrong(sqlite_url, tmp_path, capsys):
    """A removed entry, a witness that did not sign, an export without witnesses or files: each is refused in words."""
    directory = exported(tmp_path / "out", sqlite_url, 3)
    assert foreign_verifier.main([str(directory)]) == 0
    ok, text = foreign_verifier.verify_export(directory, VKEY, [WITNESS_VKEY, SECOND.verifier.text])
    assert (ok, "all its witnesses" in text) == (False, True)
    (directory / "witnesses").write_text("")
    assert "no witness" in foreign_verifier.verify_export(directory)[1]
    (directory / "tile/entries/000.p/3").unlink()
    assert foreign_verifier.main([str(directory)]) == 7
    assert foreign_verifier.main([]) == 2
    assert "cannot be checked" in capsys.readouterr().out
