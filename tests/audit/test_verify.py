"""The verifier: what it demands, and that no bit of an export can be changed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from audit import checkpoint as notes
from audit import tiles, tree, verify
from audit.checkpoint import Verifier, cosign, sign_checkpoint
from audit.errors import NoteRefused
from tests.audit.logs import (
    AUDITOR,
    LOG,
    NOW_MS,
    SECOND,
    STRANGER,
    WITNESS,
    Signer,
    append,
    entries,
    entry,
    exported,
    open_log,
    take_out,
    witness,
)

VKEY, WITNESS_VKEY = LOG.verifier.text, AUDITOR.verifier.text
ROOT = Path(__file__).parents[2]


@pytest.fixture
def directory(sqlite_url, tmp_path):
    return exported(tmp_path / "out", sqlite_url, 300)


def check(directory):
    return verify.verify_directory(directory, VKEY, [WITNESS_VKEY])


def write_tree(directory, leaves, note=None):
    """Write the export of another tree, whole and consistent, under a note (the one there, when none is given)."""
    note = note or (directory / "checkpoint").read_bytes()
    shutil.rmtree(directory)
    rows = [[tree.leaf_hash(leaf) for leaf in leaves]]
    while len(rows[-1]) > 1:
        rows.append([tree.node_hash(rows[-1][at], rows[-1][at + 1]) for at in range(0, len(rows[-1]) - 1, 2)])
    frontier = tree.Frontier()
    for hashed in rows[0]:
        frontier.append(hashed)
    unfinished = {
        level: rows[8 * level][len(leaves) >> 8 * (level + 1) << 8 :] for level in range((len(rows) + 7) // 8)
    }
    stored = tiles.StoredTree(
        frontier, unfinished, lambda level, number: tiles.expand(rows[8 * level][number * 256 : number * 256 + 256])
    )
    shown = notes.Checkpoint(LOG.verifier.name, len(leaves), b"", note)
    tiles.write_directory(directory, shown, stored, leaves, (VKEY, [WITNESS_VKEY]))


def test_a_good_export_verifies(directory):
    """Nothing to complain of, and the facts are those of the log."""
    report = check(directory)
    assert (report.ok, report.problems, report.first_bad) == (True, (), None)
    assert (report.origin, report.entries, report.cosigned) == (LOG.verifier.name, 300, (AUDITOR.verifier.name,))
    assert report.root == tree.root_of([tree.leaf_hash(leaf) for leaf in entries(300)])
    assert verify.verify_directory(directory).ok


def test_an_empty_log_verifies_when_it_was_signed(tmp_path):
    """A tree of no entries is a tree; its root is that of the empty string."""
    note = sign_checkpoint(LOG.verifier.name, 0, tree.EMPTY_ROOT, LOG.verifier, LOG.sign)
    text = note[: note.rindex(b"\n\n") + 1]
    (tmp_path / "out").mkdir()
    write_tree(tmp_path / "out", [], note + cosign(text, AUDITOR.verifier, AUDITOR.sign, NOW_MS))
    assert check(tmp_path / "out").ok


def test_no_bit_of_an_export_can_be_flipped(sqlite_url, tmp_path):
    """Every byte of every file of a small export, each with one bit flipped: none verifies; the entry is named."""
    directory = exported(tmp_path / "out", sqlite_url, 3)
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        good = path.read_bytes()
        if path.name in ("vkey", "witnesses"):
            continue  # taken from the directory of members, not from the export
        for at in range(len(good)):
            path.write_bytes(good[:at] + bytes([good[at] ^ 1 << at % 8]) + good[at + 1 :])
            assert not check(directory).ok, (path, at)
        path.write_bytes(good)
    assert check(directory).ok


@pytest.mark.parametrize("index", [0, 255, 256, 299])
def test_the_first_bad_entry_is_named(directory, index):
    """A changed entry in an otherwise consistent export is pointed at by its number."""
    bundle = directory / tiles.tile_path("entries", index // 256, 256 if index < 256 else 44)
    leaves = tiles.unbundle(bundle.read_bytes())
    leaves[index % 256] = entry(index, purpose="freeze")
    bundle.write_bytes(tiles.bundle(leaves))
    assert check(directory).first_bad == index


@pytest.mark.parametrize(
    "file",
    ["checkpoint", "tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1", "tile/entries/000", "tile/entries/001.p/44"],
)
@pytest.mark.parametrize("how", ["gone", "cut", "longer", "empty", "a directory"])
def test_a_damaged_export_is_reported_not_raised(directory, file, how):
    """Missing, cut, padded or strange files give a report with its cause."""
    path = directory / file
    data = path.read_bytes()
    path.unlink()
    if how == "a directory":
        path.mkdir()
    elif how != "gone":
        path.write_bytes({"cut": data[:-1], "longer": data + b"\n", "empty": b""}[how])
    report = check(directory)
    assert not report.ok
    assert all(report.problems)


def test_the_witnesses_are_demanded(directory, sqlite_url, monkeypatch):
    """A log that one demanded witness has not cosigned does not verify; without the check it would."""
    both = [WITNESS_VKEY, SECOND.verifier.text]
    assert verify.verify_directory(directory, VKEY, both).problems == (
        f"witness {SECOND.verifier.name} has not cosigned the checkpoint",
    )
    (directory / "witnesses").write_text("")
    assert "names no witness" in verify.verify_directory(directory, VKEY).problems[0]
    assert verify.verify_directory(directory, VKEY, []).cosigned == ()
    take_out(monkeypatch, verify, "verify_directory", "witness.name not in cosigned")
    assert verify.verify_directory(directory, VKEY, both).ok


@pytest.mark.parametrize(
    "keys",
    [
        [WITNESS_VKEY, WITNESS_VKEY],
        [Verifier("lianfang/witness/log", 4, LOG.verifier.public_key).text],
        [VKEY],
        ["nonsense"],
        [WITNESS_VKEY, Verifier("lianfang/witness/twin", 4, AUDITOR.verifier.public_key).text],
    ],
)
def test_witnesses_are_different_keys_and_not_the_log(directory, keys):
    """One key under two names is one witness; the log is none."""
    assert not verify.verify_directory(directory, VKEY, keys).ok
    with pytest.raises(NoteRefused):
        verify.verify_proof(tiles.proof_text(0, [], (directory / "checkpoint").read_bytes()), b"", VKEY, keys)


def test_another_key_than_the_exports_own_is_what_counts(directory):
    """Keys got elsewhere decide: an export that brings its own forged key is refused."""
    other = Signer(LOG.verifier.name, 1, "another")
    assert "did not sign" in verify.verify_directory(directory, other.verifier.text, [WITNESS_VKEY]).problems[0]


def test_the_verifier_imports_neither_sql_nor_bus():
    """An auditor's reading list stays short: no database, no bus, no schemas, no network."""
    code = "import sys, audit.verify; print(sorted(n for n in sys.modules if n in sys.stdlib_module_names or '.' not in n))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    loaded = done.stdout
    for name in ("sqlalchemy", "bus", "schemas", "adapters", "pika", "socket", "sqlite3", "psycopg"):
        assert f"'{name}'" not in loaded
    code = "import sys, audit.verify; print(*(n for n in sys.modules if n.startswith('audit.')))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    ours = set(done.stdout.split())
    assert ours == {
        f"audit.{name}" for name in ("checkpoint", "errors", "leaf", "tiles", "tree", "v1", "v1.leaf_pb2", "verify")
    }
    files = [ROOT / (name.replace(".", os.sep) + ".py") for name in ours - {"audit.v1", "audit.v1.leaf_pb2"}]
    assert sum(len(path.read_text().splitlines()) for path in files) < 1000


# The attacks, each with the one check that stops it.


def changed_entry(directory):
    """The owner changes an entry and all tiles with it; the signed checkpoint stays."""
    write_tree(directory, [entry(0, purpose="freeze"), *entries(299, 1)])


def reordered(directory):
    """The owner exchanges two entries and writes the tiles anew."""
    leaves = entries(300)
    leaves[10], leaves[20] = leaves[20], leaves[10]
    write_tree(directory, leaves)


def changed_tile(directory):
    """Someone changes a hash in a tile, so that proofs made from it would not verify."""
    path = directory / "tile/0/000"
    path.write_bytes(bytes(32) + path.read_bytes()[32:])


def removed_last(directory):
    """The owner removes the last entry, writes tiles and a checkpoint to match, and keeps the old signatures."""
    note = (directory / "checkpoint").read_bytes()
    root = tree.root_of([tree.leaf_hash(leaf) for leaf in entries(299)])
    text = notes.checkpoint_text(LOG.verifier.name, 299, root)
    write_tree(directory, entries(299), text + note[note.rindex(b"\n\n") + 1 :])


def free_text(directory):
    """The owner logs bytes of another form; everything is signed and cosigned."""
    leaves = [*entries(1), b"Zhang Wei"]
    root = tree.root_of([tree.leaf_hash(leaf) for leaf in leaves])
    note = sign_checkpoint(LOG.verifier.name, 2, root, LOG.verifier, LOG.sign)
    text = notes.checkpoint_text(LOG.verifier.name, 2, root)
    write_tree(directory, leaves, note + cosign(text, AUDITOR.verifier, AUDITOR.sign, NOW_MS))


def resign(directory, text, line):
    note = text + b"\n" + notes.signature_line(LOG.verifier, LOG.sign(text)) + line
    (directory / "checkpoint").write_bytes(note)


def text_of(directory):
    note = (directory / "checkpoint").read_bytes()
    return note[: note.rindex(b"\n\n") + 1]


def borrowed_cosignature(directory):
    """The owner puts the witness's line of an older checkpoint under a new one."""
    older = notes.checkpoint_text(LOG.verifier.name, 7, bytes(32))
    resign(directory, text_of(directory), cosign(older, AUDITOR.verifier, AUDITOR.sign, NOW_MS))


def later_cosignature(directory):
    """Someone moves the time of a cosignature."""
    line = cosign(text_of(directory), AUDITOR.verifier, AUDITOR.sign, NOW_MS)
    raw = bytearray(notes.split_note(text_of(directory) + b"\n" + line)[1][0][2])
    raw[7] ^= 1
    resign(directory, text_of(directory), notes.signature_line(AUDITOR.verifier, bytes(raw)))


def wrong_key_id(directory):
    """The right signature under another key's id: a tool that looks keys up by id would blame the other key."""
    line = cosign(text_of(directory), AUDITOR.verifier, AUDITOR.sign, NOW_MS)
    body = notes.split_note(text_of(directory) + b"\n" + line)[1][0][2]
    stranger = Verifier(AUDITOR.verifier.name, 4, STRANGER.verifier.public_key)
    resign(directory, text_of(directory), notes.signature_line(stranger, body))


def another_origin(directory):
    """An agency with two logs under one key shows the other log's checkpoint, with a signature line of this one."""
    text = text_of(directory).replace(b"bank-a", b"bank-b")
    resign(directory, text, cosign(text, AUDITOR.verifier, AUDITOR.sign, NOW_MS))


SIGNATURE = (
    notes.Verifier,
    "verify",
    "except (BadSignatureError, ValueError):\n        return False",
    "except (BadSignatureError, ValueError):\n        return True",
)
ATTACKS = {
    changed_entry: [(verify, "_check_entries", "tree.root_of(hashed, rows) != checkpoint.root", "False")],
    reordered: [(verify, "_check_entries", "tree.root_of(hashed, rows) != checkpoint.root", "False")],
    changed_tile: [
        (verify, "_check_tiles", 'data != b"".join(rows[level * tiles.TILE_BITS][first : first + width])', "False")
    ],
    removed_last: [SIGNATURE],
    free_text: [(verify, "_check_entries", "leaf_format.decode(entry)", "pass")],
    borrowed_cosignature: [SIGNATURE],
    later_cosignature: [SIGNATURE],
    wrong_key_id: [
        (notes, "_signatures_of", "name == verifier.name and key_id == verifier.key_id", "name == verifier.name")
    ],
    another_origin: [(notes, "verify_checkpoint", "checkpoint.origin != log.name", "False")],
}


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_an_attack_succeeds_only_without_its_check(directory, attack, monkeypatch):
    """Each attack on an export is found, and would not be with its one check taken out."""
    attack(directory)
    assert not check(directory).ok
    for owner, name, text, instead in ATTACKS[attack]:
        take_out(monkeypatch, owner, name, text, instead)
        if owner is notes and name == "verify_checkpoint":
            monkeypatch.setattr(verify, name, getattr(notes, name))
    assert check(directory).ok


def test_a_small_order_key_signs_nothing(monkeypatch):
    """Under the key of order one a fixed signature fits any text: refused; a lax verifier would take it."""
    identity = bytes([1]) + bytes(31)
    log = Verifier(LOG.verifier.name, 1, identity)
    text = notes.checkpoint_text(log.name, 5, bytes(32))
    note = text + b"\n" + notes.signature_line(log, identity + bytes(32))
    with pytest.raises(NoteRefused):
        notes.verify_checkpoint(note, log)

    def lax(self, message, signature):
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - the lax rival of this one test
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415 - likewise

        try:
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(signature, message)
        except InvalidSignature:
            return False
        return True

    monkeypatch.setattr(Verifier, "verify", lax)
    assert notes.verify_checkpoint(note, log).size == 5


def proof_parts(sqlite_url):
    log = open_log(sqlite_url)
    append(log, entries(9))
    witness(log, agency=WITNESS)
    return log.prove(4), log.leaf(4)


def test_no_byte_of_a_proof_can_be_changed(sqlite_url):
    """Every byte of a tlog-proof and of its entry, each with one bit flipped: refused; what parses writes back the same."""
    proof, leaf = proof_parts(sqlite_url)
    assert tiles.proof_text(*tiles.parse_proof(proof)) == proof
    for at in range(len(proof)):
        changed = proof[:at] + bytes([proof[at] ^ 1 << at % 8]) + proof[at + 1 :]
        with pytest.raises(NoteRefused):
            verify.verify_proof(changed, leaf, VKEY, [WITNESS_VKEY])
    for at in range(len(leaf)):
        with pytest.raises(NoteRefused):
            verify.verify_proof(proof, leaf[:at] + bytes([leaf[at] ^ 1]) + leaf[at + 1 :], VKEY, [WITNESS_VKEY])


@pytest.mark.parametrize(
    "change",
    [
        lambda proof: b"",
        lambda proof: proof.replace(b"@v1", b"@v2"),
        lambda proof: proof.replace(b"index 4", b"index 04"),
        lambda proof: proof.replace(b"index 4", b"4"),
        lambda proof: proof.replace(b"index 4", b"index 99"),
        lambda proof: proof.replace(b"index 4", b"index 5"),
        lambda proof: proof.replace(b"index 4\n", b"index 4\n" + b"AAAA\n" * 65),
        lambda proof: proof.replace(b"\n\n", b"\n", 1),
        lambda proof: proof.replace(b"index", "ïndex".encode("latin-1")),
    ],
)
def test_malformed_proofs_are_refused(sqlite_url, change):
    """Another version, padded or missing numbers, too many steps or strange bytes are no proof."""
    proof, leaf = proof_parts(sqlite_url)
    with pytest.raises(NoteRefused):
        verify.verify_proof(change(proof), leaf, VKEY, [WITNESS_VKEY])


def test_a_proof_needs_every_check(sqlite_url, monkeypatch):
    """A proof for another entry is refused, and would pass without the path's check; likewise a missing witness."""
    proof, leaf = proof_parts(sqlite_url)
    with pytest.raises(NoteRefused, match="does not lead"):
        verify.verify_proof(proof, entries(1)[0], VKEY, [WITNESS_VKEY])
    with pytest.raises(NoteRefused, match="has not cosigned"):
        verify.verify_proof(proof, leaf, VKEY, [SECOND.verifier.text])
    with monkeypatch.context() as patched:
        take_out(patched, verify, "verify_proof", "len(cosigned_by(note, demanded)) != len(demanded)")
        assert verify.verify_proof(proof, leaf, VKEY, [SECOND.verifier.text]).size == 9
    take_out(
        monkeypatch,
        verify,
        "verify_proof",
        "not tree.verify_inclusion(tree.leaf_hash(entry), index, checkpoint.size, path, checkpoint.root)",
    )
    assert verify.verify_proof(proof, entries(1)[0], VKEY, [WITNESS_VKEY]).size == 9


@pytest.mark.parametrize("data", [b"\x00", b"\x00\x05ab", b"\x00\x01a\x00"])
def test_a_cut_bundle_is_refused(data):
    """A bundle that ends inside a length or an entry is no bundle."""
    with pytest.raises(NoteRefused):
        tiles.unbundle(data)
