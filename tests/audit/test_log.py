"""The log on SQLite and PostgreSQL: what is acknowledged is there, what is not is not, and nothing goes back."""

import shutil
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from audit import store, tiles, tree
from audit.checkpoint import cosign, sign_checkpoint, verify_checkpoint
from audit.errors import AuditUnavailable, CommitUnknown, LeafRefused, LogFrozen, NoteRefused
from audit.log import AuditLog
from audit.verify import verify_directory, verify_proof
from tests.audit.logs import (
    AUDITOR,
    LOG,
    NOW_MS,
    SECOND,
    WITNESS,
    Signer,
    append,
    backup,
    engine,
    entries,
    open_log,
    take_out,
    witness,
)


@pytest.fixture
def log(url):
    """An empty log with a table of state beside it."""
    made = open_log(url)
    with made.transaction() as transaction:
        transaction.connection.execute(text("CREATE TABLE state (id INTEGER PRIMARY KEY, note VARCHAR(20))"))
    return made


def states(log):
    with log._engine.connect() as connection:
        return connection.execute(text("SELECT COUNT(*) FROM state")).scalar()


def write(log, leaves, *, fault=None):
    """Write one row of state and these entries in one transaction, with a fault before its end."""
    with log.transaction() as transaction:
        transaction.connection.execute(text("INSERT INTO state VALUES (1, 'x')"))
        for leaf in leaves:
            transaction.append(leaf)
        if fault:
            fault()


def root(leaves):
    return tree.root_of([tree.leaf_hash(leaf) for leaf in leaves])


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 700])
def test_what_is_appended_is_there_after_reopening(log, url, count):
    """Entries, root and index survive the process, at and around the edges of tiles."""
    leaves = entries(count)
    assert append(log, leaves[: count // 2]) + append(log, leaves[count // 2 :]) == list(range(count))
    again = open_log(url)
    assert again.size == log.size == count
    assert list(again.leaves(0, count + 10)) == leaves
    assert again.root_at(count) == root(leaves)
    assert append(again, entries(1, count)) == [count]
    assert again.root_at(count + 1) == root(entries(count + 1))


def test_state_and_entry_are_one(log):
    """An error inside the block leaves neither state nor entry; the next transaction goes on as if nothing was."""

    def stumble():
        raise KeyError

    with pytest.raises(KeyError):
        write(log, entries(1), fault=stumble)
    assert (states(log), log.size) == (0, 0)
    write(log, entries(1))
    assert (states(log), log.size) == (1, 1)
    with pytest.raises(IntegrityError):
        write(log, entries(1, 1))
    assert (states(log), log.size, append(log, entries(1, 1))) == (1, 1, [1])


def test_bytes_that_are_no_entry_are_not_appended(log):
    """What has not the form of an entry is refused and leaves nothing."""
    with pytest.raises(LeafRefused):
        append(log, [*entries(1), b"Zhang Wei"])
    assert log.size == 0


COLUMNS = {"entries": "leaf", "tiles": "data", "checkpoints": "note", "cosignatures": "line", "misbehaviour": "note_a"}


def changes(dialect, table):
    """The statements that would change what was written."""
    yield f"UPDATE {table} SET {COLUMNS[table]} = {COLUMNS[table]}"
    yield f"DELETE FROM {table}"
    if dialect == "postgresql":
        yield f"TRUNCATE {table}"
    elif table != "misbehaviour":  # which has no key to replace by
        yield f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}"


@pytest.mark.parametrize("table", COLUMNS)
def test_rows_are_write_once(log, table):
    """The database itself refuses to change, remove, replace or truncate what was written."""
    append(log, entries(256))
    witness(log)
    with log.transaction() as transaction:
        transaction.connection.execute(store.misbehaviour.insert(), {"note_a": b"a", "note_b": b"b"})
    for statement in changes(log._engine.dialect.name, table):
        with pytest.raises(DBAPIError, match="write-once"), log._engine.begin() as connection:
            connection.execute(text(statement))
    assert set(COLUMNS) == set(store.metadata.tables)


def test_the_writers_place_is_waited_for_and_no_longer(log):
    """A second thread gets AuditUnavailable within its deadline, and the place once it is free."""
    with log.transaction():
        started = time.monotonic()
        failures = []

        def attempt():
            try:
                with log.transaction(0.2):
                    pass
            except AuditUnavailable as error:
                failures.append(error)

        thread = threading.Thread(target=attempt)
        thread.start()
        thread.join(5)
        assert failures
        assert 0.15 < time.monotonic() - started < 2
        assert "0.2 s" in failures[0].cause
    assert append(log, entries(1)) == [0]


def test_a_held_database_refuses_in_time(log, url):
    """Another process in the middle of writing means AuditUnavailable within the deadline, never a hang."""
    other = engine(url)
    with store.writer(other, 1) as connection, connection.begin():
        started = time.monotonic()
        with pytest.raises(AuditUnavailable) as refused, log.transaction(0.3):
            pass
        assert time.monotonic() - started < 2
        assert refused.value.cure
    assert append(log, entries(1)) == [0]


def test_a_stopped_database_is_unavailable(postgres_cluster, postgres_url):
    """When the server cuts every connection the append is refused, and the next one works."""
    log = open_log(postgres_url)
    append(log, entries(3))
    database = postgres_url.rsplit("/", 1)[1].split("?")[0]
    cut = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"
    with log.transaction() as transaction:
        transaction.connection.execute(text("CREATE TABLE state (id INTEGER PRIMARY KEY, note VARCHAR(20))"))
    with pytest.raises(AuditUnavailable):
        write(log, entries(1, 3), fault=lambda: postgres_cluster.sql("postgres", cut))
    assert append(log, entries(1, 3)) == [3]


def test_a_commit_that_failed_is_unknown_and_left_nothing(log):
    """Reported failed and failed: CommitUnknown, no entry, and the tree goes on from the disk."""
    append(log, entries(300))

    def fail(connection):
        raise sqlite3.OperationalError("disk I/O error")

    event.listen(log._engine, "commit", fail)
    with pytest.raises(CommitUnknown) as unknown:
        write(log, entries(1, 300))
    assert unknown.value.cure
    event.remove(log._engine, "commit", fail)
    assert (log.size, states(log)) == (300, 0)
    assert append(log, entries(1, 300)) == [300]
    assert log.root_at(301) == root(entries(301))


def test_a_commit_that_happened_but_reported_failure_is_found(log, url):
    """Happened but reported failed: CommitUnknown, and the tree has the entries."""
    append(log, entries(255))

    def happen_and_fail(connection):
        connection.connection.dbapi_connection.commit()
        raise sqlite3.OperationalError("connection lost")

    event.listen(log._engine, "commit", happen_and_fail)
    with pytest.raises(CommitUnknown):
        write(log, entries(2, 255))
    event.remove(log._engine, "commit", happen_and_fail)
    assert (log.size, states(log)) == (257, 1)
    assert append(log, entries(1, 257)) == [257]
    assert open_log(url).root_at(258) == log.root_at(258) == root(entries(258))


def test_a_commit_unknown_with_the_database_gone_is_settled_later(log, monkeypatch):
    """When not even reading works after the failed commit, the next transaction reads first."""
    append(log, entries(3))

    def happen_and_fail(connection):
        connection.connection.dbapi_connection.commit()
        raise sqlite3.OperationalError("connection lost")

    def gone(*_):
        raise DBAPIError("connect", {}, Exception("gone"))

    event.listen(log._engine, "commit", happen_and_fail)
    with monkeypatch.context() as patched:
        with pytest.raises(CommitUnknown):
            write(log, entries(1, 3), fault=lambda: patched.setattr(store, "writer", gone))
        with pytest.raises(AuditUnavailable), log.transaction():
            pass
    event.remove(log._engine, "commit", happen_and_fail)
    assert append(log, entries(1, 4)) == [4]
    assert log.root_at(5) == root(entries(5))


def test_a_server_that_dies_in_the_commit(postgres_cluster, postgres_url):
    """A real fault: the server ends our backend just before the commit; nothing was written and the log goes on."""
    log = open_log(postgres_url)
    append(log, entries(3))

    def cut(connection):
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
        postgres_cluster.sql("postgres", f"SELECT pg_terminate_backend({pid})")

    event.listen(log._engine, "commit", cut)
    with pytest.raises(CommitUnknown), log.transaction() as transaction:
        transaction.append(entries(1, 3)[0])
    event.remove(log._engine, "commit", cut)
    assert log.size == 3
    assert append(log, entries(1, 3)) == [3]


def test_a_full_database_refuses_and_keeps_what_it_has(sqlite_url):
    """A real fault: at max_page_count SQLite takes no more; the append is refused, and works again with room."""
    log = open_log(sqlite_url)
    append(log, entries(100))
    with log._engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()

    def limit(connection, _):
        connection.execute(f"PRAGMA max_page_count={pages + 2}")

    event.listen(log._engine, "connect", limit)
    log._engine.dispose()
    with pytest.raises(AuditUnavailable, match="the disk is full"):
        append(log, entries(1000, 100))
    assert log.size == 100
    event.remove(log._engine, "connect", limit)
    log._engine.dispose()
    assert append(log, entries(1000, 100))[-1] == 1099
    assert log.root_at(1100) == root(entries(1100))


def drop_guards(log):
    """What a person with the database's password can do."""
    with log._engine.begin() as connection:
        if connection.dialect.name == "sqlite":
            names = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'").scalars().all()
            for name in names:
                connection.exec_driver_sql(f"DROP TRIGGER {name}")
        else:
            for table in store.metadata.tables:
                connection.exec_driver_sql(f"DROP TRIGGER {table}_write_once ON {table}")


@pytest.mark.parametrize("where", ["idx = 9", "idx >= 4", "idx >= 0"])
def test_a_truncated_log_does_not_open(log, url, where, monkeypatch):
    """Entries removed from the end, by someone who dropped the triggers: frozen; without the check it would open."""
    append(log, entries(10))
    log.checkpoint(LOG.sign)
    drop_guards(log)
    with log._engine.begin() as connection:
        connection.exec_driver_sql(f"DELETE FROM entries WHERE {where}")
    with pytest.raises(LogFrozen, match="signed a checkpoint of 10"):
        open_log(url)
    with pytest.raises(LogFrozen), log.transaction():
        pass
    take_out(
        monkeypatch,
        AuditLog,
        "_require_extension",
        "signed.size > stored.size or self.root_at(signed.size) != signed.root",
    )
    assert open_log(url).size < 10


def test_changed_tiles_do_not_open(log, url):
    """A tile that does not hash to what was signed freezes the log."""
    append(log, entries(300))
    log.checkpoint(LOG.sign)
    drop_guards(log)
    with log._engine.begin() as connection:
        connection.execute(store.full_tiles.update().values(data=bytes(8192)))
    with pytest.raises(LogFrozen):
        open_log(url)


def test_a_missing_entry_or_tile_is_named(log, url):
    """Reading over a hole is LogFrozen, not a shorter log."""
    append(log, entries(300))
    drop_guards(log)
    with log._engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM entries WHERE idx = 7")
        connection.exec_driver_sql("DELETE FROM tiles")
    with pytest.raises(LogFrozen, match="1 are missing"):
        list(log.leaves(0, 300))
    with pytest.raises(LogFrozen, match="tiles 0 to 0"):
        open_log(url)


def test_a_database_that_went_back_freezes_the_running_log(log):
    """A restore under the running node is found at the next transaction, before anything is written, and stays found."""
    append(log, entries(10))
    drop_guards(log)
    with log._engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM entries WHERE idx = 9")
    for _ in range(2):
        with pytest.raises(LogFrozen) as frozen:
            append(log, entries(1, 10))
        assert "restored" in frozen.value.cure
    with pytest.raises(LogFrozen):
        log.checkpoint(LOG.sign)
    assert log.latest_checkpoint() is None


@pytest.mark.parametrize("gone", [True, False])
def test_a_replaced_file_freezes_the_running_log(sqlite_url, tmp_path, gone):
    """The database file removed, or another put in its place: no entry is acknowledged into a file nobody sees."""
    log = open_log(sqlite_url)
    append(log, entries(2))
    path = tmp_path / "node.db"
    shutil.copy(path, tmp_path / "copy.db")
    path.unlink()
    if not gone:
        (tmp_path / "copy.db").rename(path)
    with pytest.raises(LogFrozen, match="replaced or removed"):
        append(log, entries(1, 2))


def test_a_restored_backup_is_told_by_what_others_hold(sqlite_url, tmp_path, monkeypatch):
    """A whole older copy agrees with itself; a checkpoint that its witness kept freezes it. Without the check it would not."""
    log = open_log(sqlite_url)
    append(log, entries(5))
    witness(log)
    backup(tmp_path / "node.db", tmp_path / "backup.db")
    append(log, entries(5, 5))
    kept = witness(log)
    restored = open_log(f"sqlite:///{tmp_path / 'backup.db'}")
    append(restored, entries(7, 100))  # what is written after the restore is another history
    with monkeypatch.context() as patched:
        take_out(
            patched,
            AuditLog,
            "_require_extension",
            "signed.size > stored.size or self.root_at(signed.size) != signed.root",
        )
        restored.confront(kept)
    with pytest.raises(LogFrozen):
        restored.confront(kept)
    with pytest.raises(LogFrozen):
        append(restored, entries(1, 200))
    log.confront(kept)
    assert append(log, entries(1, 10)) == [10]


def test_a_stranger_cannot_freeze_a_log(log):
    """A note that the log did not sign is refused and changes nothing."""
    append(log, entries(2))
    stranger = Signer(LOG.verifier.name, 1, "stranger")
    with pytest.raises(NoteRefused):
        log.confront(sign_checkpoint(LOG.verifier.name, 9, bytes(32), stranger.verifier, stranger.sign))
    assert append(log, entries(1, 2)) == [2]


def test_checkpoints_are_signed_once_for_each_size(log):
    """An empty log has none; growth makes a new one; standing still does not."""
    assert log.checkpoint(LOG.sign) is None
    append(log, entries(3))
    first = log.checkpoint(LOG.sign)
    assert log.checkpoint(LOG.sign) == first == log.latest_checkpoint()
    assert verify_checkpoint(first.note, LOG.verifier).root == root(entries(3))
    append(log, entries(1, 3))
    assert log.checkpoint(LOG.sign).size == 4


def test_a_wrong_key_does_not_sign(log):
    """A signature that does not fit the log's key is found before the checkpoint is stored."""
    append(log, entries(1))
    with pytest.raises(NoteRefused):
        log.checkpoint(Signer("other", 1).sign)
    assert log.latest_checkpoint() is None


def test_cosignatures_are_kept_when_they_verify(log):
    """Lines of another checkpoint, size or key are refused; the first good one holds; sizes are by witness."""
    append(log, entries(3))
    old = log.checkpoint(LOG.sign)
    append(log, entries(2, 3))
    new = log.checkpoint(LOG.sign)
    vkey = AUDITOR.verifier.text
    line = cosign(old.text, AUDITOR.verifier, AUDITOR.sign, NOW_MS)
    for size, other, key in ((5, line, vkey), (4, line, vkey), (3, line, SECOND.verifier.text), (3, b"", vkey)):
        with pytest.raises(NoteRefused):
            log.add_cosignature(WITNESS, key, size, other)
    own = cosign(old.text, LOG.verifier, LOG.sign, NOW_MS)
    with pytest.raises(NoteRefused, match="no witness of itself"):
        log.add_cosignature(WITNESS, LOG.verifier.text, 3, own)
    assert log.cosigned_checkpoint() is None
    assert log.prove(0) is None
    for _ in range(2):
        log.add_cosignature(WITNESS, vkey, 3, line)
    assert (log.cosigned_size(WITNESS), log.cosigned_size("police-a")) == (3, 0)
    log.add_cosignature("police-a", SECOND.verifier.text, 5, cosign(new.text, SECOND.verifier, SECOND.sign, NOW_MS))
    assert log.cosigned_checkpoint().size == 5
    assert log.cosigned_checkpoint([WITNESS]).size == 3
    assert log.cosigned_checkpoint([WITNESS, "police-a"]) is None
    log.add_cosignature(WITNESS, vkey, 5, cosign(new.text, AUDITOR.verifier, AUDITOR.sign, NOW_MS))
    assert log.cosigned_checkpoint([WITNESS, "police-a"]).size == 5


def test_every_entry_is_proved_under_a_cosigned_checkpoint(log):
    """The proof of each entry verifies from its bytes and the keys alone; entries after the checkpoint have none yet."""
    leaves = entries(300)
    append(log, leaves[:290])
    witness(log)
    append(log, leaves[290:])
    for index in (0, 1, 255, 256, 289):
        proof = log.prove(index)
        assert verify_proof(proof, log.leaf(index), LOG.verifier.text, [AUDITOR.verifier.text]).size == 290
        with pytest.raises(NoteRefused):
            verify_proof(proof, leaves[290], LOG.verifier.text, [AUDITOR.verifier.text])
        with pytest.raises(NoteRefused):
            verify_proof(proof, log.leaf(index), LOG.verifier.text, [AUDITOR.verifier.text, SECOND.verifier.text])
    assert log.prove(290) is None
    assert log.prove(-1) is None
    with pytest.raises(KeyError):
        log.leaf(300)
    for old, new in ((0, 300), (1, 290), (256, 300), (257, 299), (300, 300)):
        assert tree.verify_consistency(old, new, log.consistency(old, new), log.root_at(old), log.root_at(new))
    for wrong in (lambda: log.consistency(2, 301), lambda: log.root_at(301), lambda: log.root_at(-1)):
        with pytest.raises(ValueError, match="300 entries"):
            wrong()


def test_an_export_needs_its_checkpoint_and_grows(log, tmp_path):
    """Nothing cosigned by all, nothing exported; a later export into the same directory verifies too."""
    witnesses = {WITNESS: AUDITOR.verifier.text}
    with pytest.raises(AuditUnavailable):
        log.export(tmp_path / "out", witnesses)
    for count in (3, 254, 300):
        append(log, entries(count, log.size))
        witness(log)
        assert log.export(tmp_path / "out", witnesses) == log.size
        report = verify_directory(tmp_path / "out", LOG.verifier.text, [AUDITOR.verifier.text])
        assert (report.ok, report.entries, report.cosigned) == (True, log.size, (AUDITOR.verifier.name,))
    with pytest.raises(AuditUnavailable):
        log.export(tmp_path / "other", {**witnesses, "police-a": SECOND.verifier.text})
    assert not list((tmp_path / "out").rglob("*.new"))


def test_readers_see_one_tree_while_a_writer_appends(log):
    """Proofs and exports taken while entries come in always verify."""
    append(log, entries(200))
    witness(log)
    done = threading.Event()

    def grow():
        while not done.is_set() and log.size < 2000:
            append(log, entries(20, log.size))
            witness(log)

    with ThreadPoolExecutor(1) as pool:
        growing = pool.submit(grow)
        for number in range(60):
            verify_proof(log.prove(number), log.leaf(number), LOG.verifier.text, [AUDITOR.verifier.text])
        done.set()
        growing.result(30)
    assert log.root_at(log.size) == root(entries(log.size))


def test_tiles_have_the_paths_of_c2sp():
    """Three digits a group, all but the last with an x before it; partial tiles say their width."""
    assert tiles.tile_path(0, 0) == "tile/0/000"
    assert tiles.tile_path(1, 1234067, 8) == "tile/1/x001/x234/067.p/8"
    assert tiles.tile_path("entries", 1000) == "tile/entries/x001/000"
    assert list(tiles.tile_shapes(257)) == [(0, 0, 256), (0, 1, 1), (1, 0, 1)]
    assert list(tiles.tile_shapes(0)) == []
