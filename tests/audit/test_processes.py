"""Real processes: killed at random moments, two at once, and on a full disk."""

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from audit import tree
from audit.verify import verify_directory
from tests.audit.logs import AUDITOR, LOG, WITNESS, append, engine, entries, open_log, witness

ROOT = Path(__file__).parents[2]
KILLS = 6
SEED = 20_261_124


def start(url, how):
    return subprocess.Popen(
        [sys.executable, "-m", "tests.audit.writer", url, how],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def end(process):
    """Return what a process that has ended, or is killed now, still said."""
    process.kill()
    said, _ = process.communicate()
    return said.split()


def verifies(log, directory):
    """Check the log from its files alone."""
    witness(log)
    log.export(directory, {WITNESS: AUDITOR.verifier.text})
    report = verify_directory(directory, LOG.verifier.text, [AUDITOR.verifier.text])
    assert report.problems == ()
    return report.entries


def test_what_was_acknowledged_survives_kill_minus_nine(url, tmp_path):
    """Killed at random moments, again and again: no acknowledged entry lost, state and entries in step, the tree verifies."""
    chance = random.Random(SEED)
    log = open_log(url)
    with log.transaction() as transaction:
        transaction.connection.execute(text("CREATE TABLE state (start INTEGER PRIMARY KEY)"))
    acknowledged = 0
    for kill in range(KILLS):
        process = start(url, "batches")
        assert process.stdout.readline().strip().isdecimal()
        wait_s = chance.uniform(0, 0.15)
        time.sleep(wait_s)
        said = end(process)
        acknowledged = max([acknowledged, *(int(word) for word in said)])
        again = open_log(url)
        print(f"seed {SEED} kill {kill} after {wait_s * 1000:.0f} ms: acknowledged {acknowledged}, found {again.size}")
        assert again.size >= acknowledged
        with again._engine.connect() as connection:
            starts = [row.start for row in connection.execute(text("SELECT start FROM state ORDER BY start"))]
        ends = [*starts[1:], again.size]
        assert [after - before for before, after in zip(starts, ends, strict=True)] == [1 + at % 40 for at in starts]
        assert again.root_at(again.size) == tree.root_of([tree.leaf_hash(leaf) for leaf in entries(again.size)])
    assert verifies(open_log(url), tmp_path / "out") == again.size


def test_two_writers_cannot_be(url, tmp_path):
    """A second real process on the same log: one goes on, the other is frozen, and the tree has just what was acknowledged."""
    append(open_log(url), entries(10))
    processes = [start(url, "once") for _ in range(2)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate(timeout=60)[0].split() for process in processes]
    frozen = [words for words in said if words[-1:] == ["LF-AUDIT-FROZEN"]]
    assert len(frozen) >= 1, said
    acknowledged = [int(word) for words in said for word in words if word.isdecimal()]
    assert sorted(acknowledged) == list(range(11, 11 + len(acknowledged)))
    log = open_log(url)
    assert list(log.leaves(0, log.size)) == entries(10 + len(acknowledged))
    assert verifies(log, tmp_path / "out") == 10 + len(acknowledged)


def test_a_full_disk_is_reported_and_loses_nothing(sqlite_url, tmp_path):
    """A real limit on file size: appends fail with a code, memory and disk agree, and with room again the log goes on."""
    process = start(sqlite_url, "full")
    said, _ = process.communicate(timeout=60)
    found = json.loads(said)
    assert found["codes"]
    assert set(found["codes"]) <= {"LF-AUDIT-UNAVAILABLE", "LF-AUDIT-COMMIT-UNKNOWN"}
    assert found["after"] == found["size"] + 20
    log = open_log(sqlite_url)
    assert list(log.leaves(0, log.size)) == entries(found["after"])
    assert verifies(log, tmp_path / "out") == found["after"]


def test_a_frozen_second_writer_stays_out(url):
    """Two logs opened in one place: after the first has written, the second refuses for good and writes nothing."""
    first, second = open_log(url), open_log(url)
    append(first, entries(3))
    for _ in range(2):
        with pytest.raises(Exception, match="is not what this process left"):
            append(second, entries(5))
    assert append(first, entries(1, 3)) == [3]
    with engine(url).connect() as connection:
        assert connection.execute(text("SELECT COUNT(*) FROM entries")).scalar() == 4
