"""An urgent order, end to end, while bulk lies in the way: its p99 beside that of a bus at rest.

End to end: an order file given to police-a's node → sealed, RabbitMQ, bank-b's node → its core system, a process of its
own, decides → the result lies in police-a's handover folder. Orders go one after another. In the way: a full queue of a
bank's notices, which the same node of police-a takes in, commits and receipts all the while; an order counts as long as
some of it is left when its result arrives.
"""

import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deploy.demo.federation import CASE
from deploy.demo.police_system import CaseSystem, Target
from tests.bench.bench_adapters import WIDE, file_of
from tests.bench.stage import DIRECTORY, EARLY_WARNING, Stage, standing, until
from tests.faults.house import CoreProcess

NOTICES = 10_000
"""Not the design's 100,000: they alone would take minutes, and what is ahead in the queue matters, not how much behind."""
ORDERS = 60
GOAL = 1 / 3
POLICE, BANK, REPORTING = "police-a", "bank-b", "bank-a"
_STOP = {"purpose": "stop_payment", "legal_basis": "ATF20", "case": CASE}
_JPEG = bytes.fromhex("ffd8ffe000104a46494600010100000100010000ffd9")
_PDF = b"%PDF-1.4\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF\n"


def order_files(stage: Stage, core: CoreProcess) -> Iterator[bytes]:
    """Yield orders, each for an account of its own that the bank has."""
    papers = [DIRECTORY / name for name in ("01-a.jpg", "01-b.jpg", "03-form.pdf")]
    for path, content in zip(papers, (_JPEG, _JPEG + b"\n", _PDF), strict=True):
        path.write_bytes(content)
    targets = [
        Target(f"6217000{number:011d}7", f"李{number}", "500.00", "102100099996", "演示银行")
        for number in range(2 * ORDERS)
    ]
    accounts = [{"account": item.account, "holder": item.holder, "balance_fen": 100_000} for item in targets]
    core.balances.write_text(json.dumps({"accounts": accounts}, ensure_ascii=False), encoding="utf-8")
    system = CaseSystem(stage.directory(POLICE) / "handover", CASE)
    for target in targets:
        yield system.stop(system.application_id(), target, papers)


def one_order(stage: Stage, order: bytes) -> float:
    """Return the milliseconds from the order file to the result file."""
    out = stage.directory(POLICE) / "handover" / "out"
    before = _results(out)
    started = time.perf_counter()
    stage.send(POLICE, BANK, "tfms-police", order, _STOP)
    until(lambda: _results(out) > before, "the result arrives", 60.0)
    return (time.perf_counter() - started) * 1000


def _results(out: Path) -> int:
    return sum(1 for _ in out.glob("*.xml"))


def queue_notices(stage: Stage) -> None:
    """Fill police-a's queue while its node is down."""
    stage.start(REPORTING)
    for first in range(0, NOTICES, NOTICES // 4):
        data = file_of(WIDE, NOTICES // 4, first)
        stage.send(REPORTING, POLICE, "bank-notice-csv", data, EARLY_WARNING)
    waiting = "select count(*) from outbox where state = 'waiting'"
    until(lambda: stage.rows(REPORTING, waiting)[0][0] == 0, "all notices are in the queue")
    stage.nodes[REPORTING].stop()


def run() -> list[dict[str, Any]]:
    """Return the p99 of orders with notices in the way, beside that without."""
    with standing(("auditor", REPORTING, BANK, "centre", POLICE)) as stage:
        core = CoreProcess(stage.directory(BANK) / "handover", DIRECTORY / "core")
        orders = order_files(stage, core)
        first = next(orders)
        core.start()
        try:
            stage.start(BANK)
            stage.start(POLICE)
            one_order(stage, first)  # keys are made and delivered
            idle = [one_order(stage, next(orders)) for _ in range(ORDERS - 1)]
            stage.nodes[POLICE].stop()
            queue_notices(stage)
            stage.start(POLICE)
            return [_row(idle, _while_queued(stage, orders))]
        finally:
            core.stop()


def _while_queued(stage: Stage, orders: Iterator[bytes]) -> list[float]:
    taken: list[float] = []
    notices = "select count(*) from inbox where sender = ?"
    for order in orders:
        last = one_order(stage, order)
        if stage.rows(POLICE, notices, (REPORTING,))[0][0] >= NOTICES:
            break
        taken.append(last)
    assert taken, "the notices were gone before the first order"
    return taken


def _row(idle: list[float], loaded: list[float]) -> dict[str, Any]:
    before, after = _p99(idle), _p99(loaded)
    return {
        "name": f"urgent order, p99, {NOTICES:,} notices queued",
        "ours": round(after, 1),
        "rival": f"idle ({len(idle)} orders; queued: {len(loaded)})",
        "rival_value": round(before, 1),
        "unit": "ms",
        "ratio": round(before / after, 3),
        "goal": round(GOAL, 3),
    }


def _p99(values: list[float]) -> float:
    return sorted(values)[math.ceil(0.99 * len(values)) - 1]


if __name__ == "__main__":
    print(json.dumps(run(), indent=1))
