"""A bank's core system, as a process of its own that knows nothing of the bus: files in, files out, a ledger between.

    python -m deploy.demo.core_system --dir HANDOVER --balances FILE --ledger FILE [--until-stdin-ends]

It takes orders from HANDOVER/out, decides them by the balance file and the ledger, and answers into HANDOVER/in.

- An order is carried out once, whatever happens: its effect and its answer are one line of the ledger, on disk before
  the answer is written; after kill -9 the ledger is read again and an answer that is missing is written again.
- The same ApplicationID again gives the first answer again; the same number with other content is refused (0900).
- A file that cannot be answered goes to out/unreadable, a dealt-with one to out/taken.
- One process per ledger, held by a lock.
"""

import argparse
import csv
import fcntl
import json
import os
import re
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Self

from deploy.demo.core_decisions import TIME_FORMAT, Account, Answer, Freeze, Order, Stop, decide, known
from deploy.demo.core_wire import Unreadable, read_order, write_answer

ORGANISATION = "310000000002"
_LOOK_EVERY_S = 0.025
_ZONE = timezone(timedelta(hours=8))
_SAFE_NAME = re.compile(r"[0-9A-Za-z_-]{1,64}\Z")


def local_now() -> str:
    """Return the wall clock in the dialect's 14 digits, Beijing time."""
    return datetime.now(_ZONE).strftime(TIME_FORMAT)


@dataclass(frozen=True)
class Entry:
    """One line of the ledger: an order decided, or (repeat) seen again. `after` is the account as it then stood."""

    application_id: str
    tx_code: str
    digest: str
    answer: Answer
    after: Account | None
    at: str
    repeat: bool = False


class Ledger:
    """The core system's memory: one JSON line per decision, on disk before anything else knows of it.

    BlockingIOError when another process holds it.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise
        self._drop_torn_line()

    def _drop_torn_line(self) -> None:
        """A crash can leave half a line: it was never answered, so it is decided anew."""
        self._file.seek(0)
        data = self._file.read()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) != len(data):
            self._file.truncate(len(whole))

    def entries(self) -> Iterator[Entry]:
        """Yield every line."""
        self._file.seek(0)
        for line in self._file:
            yield _entry(json.loads(line))

    def append(self, entry: Entry) -> None:
        """Write a line, durably."""
        self._file.write(json.dumps(asdict(entry), ensure_ascii=False).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Give the ledger free for another process."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class CoreSystem:
    """Decides orders, once each."""

    def __init__(
        self, directory: Path, accounts: dict[str, Account], ledger: Ledger, now: Callable[[], str] = local_now
    ) -> None:
        self._out, self._in = directory / "out", directory / "in"
        self._accounts = dict(accounts)
        self._ledger = ledger
        self._now = now
        self._decided: dict[str, Entry] = {}
        for entry in ledger.entries():
            if not entry.repeat:
                self._remember(entry)

    def run_once(self) -> int:
        """Deal with every order that lies there; return how many."""
        dealt = 0
        for path in sorted(self._out.glob("*.xml")):
            try:
                self._deal(read_order(path.read_bytes()))
                _move(path, "taken")
            except Unreadable as error:
                print(f"core system: {path.name}: {error}", file=sys.stderr, flush=True)
                _move(path, "unreadable")
            dealt += 1
        return dealt

    def _deal(self, order: Order) -> None:
        before = self._decided.get(order.application_id)
        if before is None:
            answer, after = self._decide(order)
            entry = Entry(order.application_id, order.tx_code, order.digest, answer, after, self._now())
            self._ledger.append(entry)
            self._remember(entry)
        elif (before.tx_code, before.digest) == (order.tx_code, order.digest):
            answer = before.answer
            self._ledger.append(replace(before, repeat=True, after=None, at=self._now()))
        else:
            answer = Answer("0900", "已处理过的业务")
        if order.tx_code.isdecimal():
            self._write(order, answer)

    def _decide(self, order: Order) -> tuple[Answer, Account | None]:
        if not known(order.tx_code):
            return Answer("1000", "功能尚不支持"), None
        return decide(order, self._accounts.get(order.account), self._now())

    def _remember(self, entry: Entry) -> None:
        self._decided[entry.application_id] = entry
        if entry.after is not None:
            self._accounts[entry.after.number] = entry.after

    def _write(self, order: Order, answer: Answer) -> None:
        """Write the answer whole or not at all."""
        self._in.mkdir(parents=True, exist_ok=True, mode=0o700)
        name = order.application_id if _SAFE_NAME.match(order.application_id) else order.digest
        path = self._in / f"{name}-{int(order.tx_code) + 1}.xml"
        partial = path.with_suffix(".part")
        with partial.open("wb") as file:
            file.write(write_answer(order, answer, ORGANISATION))
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)


def count_effects(ledger: Path) -> Counter[str]:
    """Return how often each ApplicationID had an effect. More than one is a fault of the whole system."""
    return Counter(item["application_id"] for item in _lines(ledger) if item["answer"]["effect"] and not item["repeat"])


def count_decisions(ledger: Path) -> Counter[str]:
    """Return how often each ApplicationID was decided, refusals included."""
    return Counter(item["application_id"] for item in _lines(ledger) if not item["repeat"])


def count_repeats(ledger: Path) -> Counter[str]:
    """Return how often each ApplicationID came again after it had been decided."""
    return Counter(item["application_id"] for item in _lines(ledger) if item["repeat"])


def _lines(ledger: Path) -> Iterator[dict[str, Any]]:
    if not ledger.exists():
        return
    data = ledger.read_bytes()
    for line in data[: data.rfind(b"\n") + 1].splitlines():
        yield json.loads(line)


def _entry(item: dict[str, Any]) -> Entry:
    after = item["after"]
    if after is not None:
        stop = Stop(**after["stop"]) if after["stop"] else None
        after = Account(**{**after, "stop": stop, "freezes": tuple(Freeze(**each) for each in after["freezes"])})
    return Entry(**{**item, "answer": Answer(**item["answer"]), "after": after})


def read_balances(path: Path) -> dict[str, Account]:
    """Return the accounts of a balance file.

    JSON: {"accounts": [{"account", "holder", "balance_fen", "card", "freezes": [{"authority", "amount_fen",
    "expires"}]}]}; CSV: account, holder, balance_fen, authority, amount_fen, expires, one line per earlier freeze.
    `expires` has 14 digits; an amount_fen that is null or empty holds the whole account.
    """
    rows = _json_rows(path) if path.suffix == ".json" else _csv_rows(path)
    accounts: dict[str, Account] = {}
    for row, freezes in rows:
        known_before = accounts.get(row["account"])
        account = known_before or Account(row["account"], row["holder"], int(row["balance_fen"]), row.get("card") or "")
        first = len(account.freezes)
        queue = tuple(
            Freeze(
                f"earlier-{first + number}",
                item["authority"],
                None if item.get("amount_fen") in (None, "") else int(item["amount_fen"]),
                item["expires"],
            )
            for number, item in enumerate(freezes)
        )
        accounts[account.number] = replace(account, freezes=account.freezes + queue)
    return accounts


def _json_rows(path: Path) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    return [(row, row.get("freezes") or []) for row in json.loads(path.read_text(encoding="utf-8"))["accounts"]]


def _csv_rows(path: Path) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [(row, [row] if row.get("authority") else []) for row in csv.DictReader(file)]


def _move(path: Path, folder: str) -> None:
    target = path.parent / folder
    target.mkdir(exist_ok=True, mode=0o700)
    path.rename(target / path.name)


def _await_end(stopping: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    stopping.set()


def main(arguments: list[str] | None = None) -> int:
    """Run until told to stop."""
    parser = argparse.ArgumentParser(prog="core_system", description="a bank's core system, simulated")
    parser.add_argument("--dir", type=Path, required=True, help="the handover folder: orders in out/, answers in in/")
    parser.add_argument("--balances", type=Path, required=True, help="the accounts, JSON or CSV")
    parser.add_argument("--ledger", type=Path, required=True, help="what was decided, one JSON line each")
    parser.add_argument("--until-stdin-ends", action="store_true", help="end with whoever holds the other end of stdin")
    options = parser.parse_args(arguments)
    try:
        ledger = Ledger(options.ledger)
    except BlockingIOError:
        print("core system: another process holds this ledger", file=sys.stderr)
        return 1
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    if options.until_stdin_ends:
        threading.Thread(target=_await_end, args=(stopping,), daemon=True).start()
    with ledger:
        system = CoreSystem(options.dir, read_balances(options.balances), ledger)
        while not stopping.is_set():
            if not system.run_once():
                stopping.wait(_LOOK_EVERY_S)
    return 0


if __name__ == "__main__":
    sys.exit(main())
