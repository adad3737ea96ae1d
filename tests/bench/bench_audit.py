"""What the audit log costs, each time beside a rival in the same run. `python -m tests.bench.bench_audit` prints it.

The rivals: the same rows in the same database without a tree; proofbundle, which rehashes; and pymerkle, where somebody has
installed it (its licence keeps it out of our dependencies). Rounds are interleaved and the median of the ratios is taken.
"""

import importlib.util
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from proofbundle.merkle import inclusion_proof, merkle_tree_hash
from proofbundle.tlogproof import verify_tlog_proof
from sqlalchemy import insert

from audit import store, tree
from audit.log import AuditLog
from audit.verify import verify_directory, verify_proof
from tests.audit.logs import AUDITOR, LOG, WITNESS, append, entries, witness

SIZE = 50_000
ROUNDS = 5
_BATCHES = {1: (60, 0.6), 128: (40, 0.7), 256: (40, 0.6)}
"""Entries in one transaction: (transactions a round, the least ratio wanted)."""


def run() -> list[dict[str, Any]]:
    """Return the rows: append, proofs and verification."""
    with tempfile.TemporaryDirectory() as directory:
        return [*_appending(Path(directory)), *_reading(Path(directory))]


def _row(
    name: str, unit: str, ours: float, rival: tuple[str, float], goal: float, ratio: float = 0.0
) -> dict[str, Any]:
    text, value = rival
    return {
        "name": f"audit: {name}",
        "ours": ours,
        "rival": text,
        "rival_value": value,
        "unit": unit,
        "ratio": ratio or ours / value,
        "goal": goal,
    }


def _rate(count: int, work, clock=time.perf_counter) -> float:
    started = clock()
    work()
    return count / (clock() - started)


def _cpu_rate(count: int, work) -> float:
    """Return the rate by the processor's time: what waits for nothing is measured alike on a busy machine."""
    return max(_rate(count, work, time.process_time) for _ in range(3))


class _Plain:
    """The same rows, the same database settings and the same writer's lock, without a tree."""

    def __init__(self, url: str) -> None:
        self._engine = store.engine(url)
        store.entries.create(self._engine)
        self._next = 0

    def append(self, leaves) -> None:
        rows = [{"idx": self._next + at, "leaf": leaf} for at, leaf in enumerate(leaves)]
        self._next += len(rows)
        with store.writer(self._engine, 2.0) as connection, connection.begin():
            connection.execute(insert(store.entries), rows)


def _appending(directory: Path):
    log = AuditLog.open(store.engine(f"sqlite:///{directory / 'tree.db'}"), LOG.verifier)
    plain = _Plain(f"sqlite:///{directory / 'plain.db'}")
    for batch, (times, goal) in _BATCHES.items():
        leaves = entries(batch)
        rates = []
        for _ in range(ROUNDS):
            ours = _rate(batch * times, lambda leaves=leaves, times=times: [append(log, leaves) for _ in range(times)])
            rival = _rate(
                batch * times, lambda leaves=leaves, times=times: [plain.append(leaves) for _ in range(times)]
            )
            rates.append((ours, rival))
        ours, rival = (statistics.median(rate[at] for rate in rates) for at in (0, 1))
        ratio = statistics.median(ours / rival for ours, rival in rates)
        yield _row(
            f"append, {batch} a transaction", "entries/s", ours, ("same rows without a tree", rival), goal, ratio
        )


def _reading(directory: Path):
    url = f"sqlite:///{directory / 'read.db'}"
    log = AuditLog.open(store.engine(url), LOG.verifier)
    leaves = entries(SIZE)
    for at in range(0, SIZE, 1000):
        append(log, leaves[at : at + 1000])
    witness(log)
    log.export(directory / "out", {WITNESS: AUDITOR.verifier.text})
    stored, indices = log._tree, range(0, SIZE, SIZE // 500)
    proving = _cpu_rate(len(indices), lambda: [tree.inclusion_proof(index, SIZE, stored) for index in indices])
    naive = _rate(2, lambda: [inclusion_proof(leaves, index) for index in (7, SIZE - 7)], time.process_time)
    yield _row("path of an entry among 50,000", "paths/s", proving, ("proofbundle, rehashing all", naive), 15)
    opening = _cpu_rate(1, lambda: AuditLog.open(store.engine(url), LOG.verifier))
    hashing = _cpu_rate(1, lambda: merkle_tree_hash(leaves))
    yield _row("open a log of 50,000", "opens/s", opening, ("proofbundle, hashing all", hashing), 1)
    full = _cpu_rate(SIZE, lambda: verify_directory(directory / "out"))
    yield _row("verify an export", "entries/s", full, ("proofbundle, the bare root", hashing * SIZE), 0.5)
    proof, leaf = log.prove(4242), log.leaf(4242)
    keys = LOG.verifier.text, [AUDITOR.verifier.text]
    ours = _cpu_rate(200, lambda: [verify_proof(proof, leaf, *keys) for _ in range(200)])
    text = proof.decode()
    rival = _cpu_rate(50, lambda: [verify_tlog_proof(text, leaf, *keys, threshold=1) for _ in range(50)])
    yield _row("verify a proof, both signatures", "proofs/s", ours, ("proofbundle", rival), 1)
    if importlib.util.find_spec("pymerkle"):
        yield from _pymerkle(directory, leaves, (proving, full))


def _pymerkle(directory: Path, leaves, ours: tuple[float, float]):
    from pymerkle import SqliteTree  # noqa: PLC0415 - only where somebody has installed it

    with SqliteTree(str(directory / "pymerkle.db")) as rival:
        rebuild = _rate(SIZE, lambda: (rival.append_entries(leaves, 1000), rival.get_root()), time.process_time)
        indices = range(1, SIZE, SIZE // 20)
        proofs = _cpu_rate(len(indices), lambda: [rival.prove_inclusion(index) for index in indices])
    yield _row("path of an entry among 50,000", "paths/s", ours[0], ("pymerkle", proofs), 15)
    yield _row("verify an export", "entries/s", ours[1], ("pymerkle, rebuilding the tree", rebuild), 4)


if __name__ == "__main__":
    for row in run():
        print(
            f"{row['name']:34} {row['ours']:12.1f} {row['unit']:10} {row['rival']:32} {row['rival_value']:12.1f} {row['ratio']:9.2f} {row['goal']:6.2f}"
        )
