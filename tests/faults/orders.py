"""Many orders from police-a to bank-b, each a file of its own, and what must have come of them in the end."""

import base64
import json
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bus.errors import BusError
from deploy.demo.core_system import count_decisions, count_effects, count_repeats
from deploy.demo.federation import CASE, wait_until
from deploy.demo.police_system import CaseSystem, Target
from tests.faults.house import House

STOP = {"purpose": "stop_payment", "legal_basis": "ATF20", "case": CASE}
AGAIN = 75
"""The exit code that says: try again later (bus/errors.py)."""

_JPEG = bytes.fromhex("ffd8ffe000104a46494600010100000100010000ffd9")
_PDF = b"%PDF-1.4\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF\n"
_UNKNOWN_ACCOUNT_EVERY = 10
_PAUSE_S = 0.1


@dataclass(frozen=True)
class MadeOrder:
    """An order as the police's own system wrote it; `takes_effect` says whether the bank has such an account."""

    number: str
    data: bytes
    takes_effect: bool


def account(number: int) -> str:
    """Return the account number of the order's target: one account an order, so that each order can take effect."""
    return f"6217000{number:011d}7"


def make_orders(house: House, count: int) -> list[MadeOrder]:
    """Write bank-b's balance file and the orders; every tenth names an account that the bank has not got."""
    papers = []
    for name, content in (("01-a.jpg", _JPEG), ("01-b.jpg", _JPEG + b"\n"), ("03-form.pdf", _PDF)):
        path = house.directory / name
        path.write_bytes(content)
        papers.append(path)
    system = CaseSystem(house.node("police-a") / "handover", CASE)
    orders, accounts = [], []
    for number in range(count):
        target = Target(account(number), f"李{number}", "500.00", "102100099996", "演示银行")
        known = number % _UNKNOWN_ACCOUNT_EVERY != _UNKNOWN_ACCOUNT_EVERY - 1
        if known:
            accounts.append({"account": target.account, "holder": target.holder, "balance_fen": 100_000})
        application = system.application_id()
        orders.append(MadeOrder(application, system.stop(application, target, papers), known))
    house.core.balances.write_text(json.dumps({"accounts": accounts}, ensure_ascii=False), encoding="utf-8")
    return orders


def send(house: House, data: bytes) -> dict[str, Any]:
    """Send an order file once, as the police's own system does."""
    result: dict[str, Any] = house.call(
        "police-a",
        "send",
        data=base64.b64encode(data).decode(),
        to=[house.name("bank-b")],
        profile="tfms-police",
        companions={},
        **STOP,
    )
    return result


def is_taken(house: House, data: bytes) -> bool:
    """Send an order file; False when the node says: try again later."""
    try:
        send(house, data)
    except BusError as error:
        if error.exit_code != AGAIN:
            raise
        return False
    return True


@dataclass
class Senders:
    """Clients that send orders and, told to try again later, drop the same file again.

    They keep pace with the kills: `release` says how many orders may have been begun.
    """

    house: House
    orders: Sequence[MadeOrder]
    deadline_s: float
    tried_again: Counter[str] = field(default_factory=Counter)
    already_sent: int = 0
    sent: int = 0
    failures: list[str] = field(default_factory=list)
    _next: int = 0
    _released: int = 0
    _stopping: bool = False
    _condition: threading.Condition = field(default_factory=threading.Condition)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self, clients: int = 3) -> None:
        for number in range(clients):
            thread = threading.Thread(target=self._run, name=f"client-{number}")
            thread.start()
            self._threads.append(thread)

    def release(self, count: int) -> None:
        """Let the clients go on to this many orders."""
        with self._condition:
            self._released = max(self._released, min(count, len(self.orders)))
            self._condition.notify_all()

    def stop(self) -> None:
        """End the clients, whether they have sent everything or not."""
        with self._condition:
            self._stopping = True
            self._condition.notify_all()
        self.join()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while True:
            with self._condition:
                while self._next >= self._released and self._next < len(self.orders) and not self._stopping:
                    self._condition.wait()
                if self._stopping or self._next >= len(self.orders):
                    return
                order = self.orders[self._next]
                self._next += 1
            try:
                self._send_until_taken(order)
            except Exception as error:  # noqa: BLE001 - a client's edge: the test says what it was
                with self._condition:
                    self.failures.append(f"{order.number}: {type(error).__name__}: {error}")

    def _send_until_taken(self, order: MadeOrder) -> None:
        until = time.monotonic() + self.deadline_s
        while True:
            try:
                taken = send(self.house, order.data)
            except BusError as error:
                if error.exit_code != AGAIN or time.monotonic() > until or self._stopping:
                    raise
                with self._condition:
                    self.tried_again[error.code] += 1
                time.sleep(_PAUSE_S)
                continue
            if len(taken["sent"]) + len(taken["already_sent"]) != 1:
                raise AssertionError(f"not taken: {taken}")
            with self._condition:
                self.sent += len(taken["sent"])
                self.already_sent += len(taken["already_sent"])
            return


def answered(house: House) -> int:
    """Return how many orders have been answered, as police-a's node has it."""
    return int(house.rows("police-a", "select count(*) from orders where state = 'answered'")[0][0])


def is_at_rest(house: House) -> bool:
    """Say whether nothing waits any more: no order, no hand-over, no row that counts on a receipt."""
    for role in ("police-a", "bank-b"):
        outstanding = house.rows(
            role,
            "select (select count(*) from orders where state <> 'answered')"
            " + (select count(*) from messages where handover = 'pending')"
            " + (select count(*) from outbox where state in ('waiting', 'confirmed') and message_id in"
            "    (select message_id from messages))",
        )[0][0]
        if outstanding:
            return False
    return True


def wait_at_rest(house: House, timeout_s: float) -> None:
    """Wait until nothing waits any more; a failure with what still does, and everybody's last words."""
    assert wait_until(lambda: is_at_rest(house), timeout_s, 0.5), f"{_outstanding(house)}\n{house.said()}"


def _outstanding(house: House) -> str:
    queries = {
        "orders": "select state, count(*) from orders group by state",
        "hand-over": "select handover, count(*) from messages where direction = 'in' group by handover",
        "outbox": "select type || ' ' || state, count(*) from outbox group by type, state",
        "quarantine": "select code, count(*) from quarantine group by code",
    }
    return "\n".join(
        f"{role}: " + "; ".join(f"{name} {house.counts(role, query)}" for name, query in queries.items())
        for role in ("police-a", "bank-b")
    )


def answers_at_police(house: House) -> Counter[str]:
    """Count the answers that lie in police-a's hand-over folder, by the order's number."""
    return Counter(result.application_id for result in CaseSystem(house.node("police-a") / "handover", CASE).results())


def check_none_lost_none_twice(house: House, orders: Sequence[MadeOrder]) -> dict[str, int]:
    """Hold what came of the orders against what was sent; return the counts."""
    numbers = [order.number for order in orders]
    ledger = house.core.ledger
    assert count_decisions(ledger) == Counter(numbers), "each order is decided once"
    effects = count_effects(ledger)
    assert effects == Counter(order.number for order in orders if order.takes_effect), "each takes effect once"
    answers = answers_at_police(house)
    assert answers == Counter(numbers), "each has one answer at the police's own system"
    for role, side in (("police-a", "issued"), ("bank-b", "received")):
        states = house.counts(role, f"select state, count(*) from orders where side = '{side}' group by state")
        assert states == {"answered": len(orders)}, (role, states)
        handed = house.counts(role, "select handover, count(*) from messages where direction = 'in' group by handover")
        assert handed.get("failed", 0) == 0, (role, handed, house.said())
    for role in house.nodes:
        refused = house.counts(role, "select code, count(*) from quarantine group by code")
        assert not refused, (role, refused)
    for folder in (house.node("bank-b") / "handover" / "in" / "failed", house.node("bank-b") / "handover" / "out"):
        left = [path.name for path in folder.glob("*.xml")] if folder.exists() else []
        assert not left, (folder.name, left[:5])
    return {
        "orders": len(orders),
        "decisions": len(numbers),
        "effects": effects.total(),
        "answers": answers.total(),
        "repeats at the core system": count_repeats(ledger).total(),
    }


def sent_numbers(orders: Sequence[MadeOrder]) -> set[str]:
    """Return the orders' numbers."""
    return {order.number for order in orders}


def ledger_lines(path: Path) -> int:
    """Return how many lines a ledger has."""
    return len(path.read_bytes().splitlines()) if path.exists() else 0
