"""The witness: it stores only what the log signed and what extends the rest, and keeps the evidence of what does not."""

import pytest

from audit import tree
from audit.checkpoint import sign_checkpoint, verify_checkpoint
from audit.errors import AuditError, ForkDetected, LeafRefused, NoteRefused
from audit.leaf import PREFIX
from audit.mirror import Mirror
from tests.audit.logs import (
    AUDITOR,
    LOG,
    NOW_MS,
    STRANGER,
    WITNESS,
    Signer,
    append,
    backup,
    engine,
    entries,
    open_log,
    take_out,
)


def note_of(leaves, signer=LOG) -> bytes:
    root = tree.root_of([tree.leaf_hash(leaf) for leaf in leaves])
    return sign_checkpoint(signer.verifier.name, len(leaves), root, signer.verifier, signer.sign)


@pytest.fixture
def mirror(url):
    return Mirror.open(engine(url), LOG.verifier.name, LOG.verifier.text)


def test_a_log_is_mirrored_and_cosigned(mirror, tmp_path):
    """From shipment to a cosignature that the log keeps and that verifies; shipped again, nothing changes."""
    log = open_log(f"sqlite:///{tmp_path / 'log.db'}")
    for count in (1, 300, 5):
        append(log, entries(count, log.size))
        newest = log.checkpoint(LOG.sign)
        start = log.cosigned_size(WITNESS)
        for _ in range(2):
            mirror.accept(start, list(log.leaves(start, newest.size)), newest.note)
        line = mirror.cosign(AUDITOR.verifier, AUDITOR.sign, NOW_MS)
        log.add_cosignature(WITNESS, AUDITOR.verifier.text, mirror.size, line)
        assert mirror.size == log.size == log.cosigned_size(WITNESS)
    assert list(mirror.leaves(0, 306)) == entries(306)
    assert mirror.evidence() == []


def test_a_mirror_survives_reopening(url):
    """What was mirrored is there for the next process, which goes on from it."""
    Mirror.open(engine(url), LOG.verifier.name, LOG.verifier.text).accept(0, entries(3), note_of(entries(3)))
    again = Mirror.open(engine(url), LOG.verifier.name, LOG.verifier.text)
    again.accept(3, entries(2, 3), note_of(entries(5)))
    assert (again.size, again.newest().size) == (5, 5)


def test_overlap_and_surplus_are_harmless(mirror):
    """Entries held already are not taken from the shipment; entries that the note does not cover are not taken at all."""
    mirror.accept(0, entries(5), note_of(entries(5)))
    mirror.accept(2, entries(7, 2), note_of(entries(8)))
    assert mirror.size == 8
    mirror.accept(0, [b"whatever"] * 8 + entries(1, 8), note_of(entries(9)))
    assert list(mirror.leaves(0, 9)) == entries(9)
    mirror.accept(0, entries(3), note_of(entries(3)))
    assert (mirror.size, mirror.newest().size, mirror.evidence()) == (9, 9, [])


def test_missing_parts_are_asked_for_and_are_no_fork(mirror):
    """A gap before, or too few entries for the note, is an error that leaves nothing and accuses nobody."""
    mirror.accept(0, entries(3), note_of(entries(3)))
    for start, count in ((4, 6), (3, 6), (0, 9)):
        with pytest.raises(AuditError, match="not all there") as missing:
            mirror.accept(start, entries(count, start), note_of(entries(10)))
        assert not isinstance(missing.value, ForkDetected)
    assert (mirror.size, mirror.evidence()) == (3, [])


@pytest.mark.parametrize("bad", ["another log", "another key", "unsigned"])
def test_what_the_log_did_not_sign_is_refused(mirror, bad):
    """Entries under a note of another log, another key or none are not stored."""
    note = {
        "another log": note_of(entries(2), Signer("lianfang/audit/bank-b", 1)),
        "another key": note_of(entries(2), Signer(LOG.verifier.name, 1, "another")),
        "unsigned": note_of(entries(2))[:-90],
    }[bad]
    with pytest.raises(NoteRefused):
        mirror.accept(0, entries(2), note)
    assert (mirror.size, mirror.newest()) == (0, None)
    with pytest.raises(AuditError, match="nothing to cosign"):
        mirror.cosign(AUDITOR.verifier, AUDITOR.sign, NOW_MS)


def test_bytes_that_are_no_entry_are_not_witnessed(mirror):
    """A log that signs free text gets no cosignature for it."""
    leaves = [*entries(1), PREFIX + b"Zhang Wei"]
    with pytest.raises(LeafRefused):
        mirror.accept(0, leaves, note_of(leaves))
    assert mirror.size == 0


def test_the_mirror_has_the_key_of_its_log(url):
    """A key of another name is refused at the door."""
    with pytest.raises(NoteRefused):
        Mirror.open(engine(url), "lianfang/audit/bank-b", LOG.verifier.text)
    with pytest.raises(NoteRefused):
        Mirror.open(engine(url), STRANGER.verifier.name, "nonsense")


CHANGED = [*entries(4), *entries(1, 99)]
FORKS = {
    "same size, another root": (0, CHANGED, CHANGED),
    "back-dated: smaller, another root": (0, entries(3, 50), entries(3, 50)),
    "larger, another past": (5, entries(3, 5), [*CHANGED, *entries(3, 5)]),
    "larger, other entries than signed": (5, entries(2, 70), entries(7)),
    "empty after five": (0, [], []),
}


@pytest.mark.parametrize("name", FORKS)
def test_a_second_history_is_refused_with_both_notes(mirror, name):
    """Every shipment that does not extend what is held is a fork; both signed notes are kept, once."""
    mirror.accept(0, entries(5), note_of(entries(5)))
    start, shipped, signed = FORKS[name]
    if not signed:
        signed_note = sign_checkpoint(LOG.verifier.name, 0, bytes(32), LOG.verifier, LOG.sign)
    else:
        signed_note = note_of(signed)
    for _ in range(3):
        with pytest.raises(ForkDetected) as fork:
            mirror.accept(start, shipped, signed_note)
    assert (fork.value.known_note, fork.value.shown_note) == (note_of(entries(5)), signed_note)
    assert mirror.evidence() == [(note_of(entries(5)), signed_note)]
    for evidence in mirror.evidence()[0]:
        verify_checkpoint(evidence, LOG.verifier)
    assert (mirror.size, mirror.newest().size) == (5, 5)
    mirror.accept(5, entries(1, 5), note_of(entries(6)))
    assert mirror.size == 6


def test_split_views_succeed_only_without_the_checks(mirror, monkeypatch):
    """With either comparison taken out, the witness would cosign, or swallow, the second history."""
    mirror.accept(0, entries(5), note_of(entries(5)))
    with monkeypatch.context() as patched:
        take_out(patched, Mirror, "_extend", "self._log.root_at(shown.size) != shown.root")
        mirror.accept(0, CHANGED, note_of(CHANGED))  # swallowed: no refusal, no evidence
    assert mirror.evidence() == []
    longer = [*CHANGED, *entries(3, 5)]
    with monkeypatch.context() as patched:
        take_out(patched, Mirror, "_extend", "transaction.frontier.root() != shown.root")
        mirror.accept(5, longer[5:], note_of(longer))
        line = mirror.cosign(AUDITOR.verifier, AUDITOR.sign, NOW_MS)
        assert mirror.newest().root == verify_checkpoint(note_of(longer) + line, LOG.verifier).root


def test_a_restored_backup_shows_at_the_witness(mirror, tmp_path):
    """A log that went back and wrote on is refused by its witness, however it continues."""
    log = open_log(f"sqlite:///{tmp_path / 'log.db'}")
    append(log, entries(5))
    backup(tmp_path / "log.db", tmp_path / "backup.db")
    append(log, entries(5, 5))
    mirror.accept(0, entries(10), log.checkpoint(LOG.sign).note)
    restored = open_log(f"sqlite:///{tmp_path / 'backup.db'}")
    for count in (2, 10):
        append(restored, entries(count, 100 + count))
        newest = restored.checkpoint(LOG.sign)
        with pytest.raises(ForkDetected):
            mirror.accept(10, list(restored.leaves(10, newest.size)), newest.note)
    assert len(mirror.evidence()) == 2
