"""How fast tables become messages. `python -m tests.bench.bench_adapters` prints it.

The rival is what one writes by hand for one dialect and no other: csv.DictReader and the same protobuf messages, amounts
split at the point, times through datetime. It decodes the file, finds no header, keeps no lineage, names no row and
refuses nothing. Both sides read the same bytes in one run, in CPU seconds of this process; the better of three counts.
"""

import csv
import datetime as dt
import io
import time
import zoneinfo
from collections.abc import Callable
from typing import Any

import adapters
from adapters.convert import convert
from adapters.model import Converted
from schemas.v1 import notice_pb2

ROWS = 20_000
_ZONE = zoneinfo.ZoneInfo("Asia/Shanghai")
_DIRECTIONS = {"支出": notice_pb2.TRANSACTION_DIRECTION_OUT, "收入": notice_pb2.TRANSACTION_DIRECTION_IN}
SIMPLE = ("账号", "户名", "可疑特征", "余额", "开户日期")
WIDE = (*SIMPLE, "证件号码", "手机号", "交易时间", "交易金额", "收付标志", "下一跳账号")


def file_of(columns: tuple[str, ...], rows: int = ROWS, first: int = 0) -> bytes:
    """Return an export with these columns, GB18030. Another `first` gives other rows."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(columns)
    for number in range(first, first + rows):
        cells = {
            "账号": _card(100_000_000 + number),
            "户名": f"演示户{number}",
            "可疑特征": "3006",
            "余额": f"{number}.{number % 100:02d}",
            "开户日期": f"2024-{1 + number % 12:02d}-{1 + number % 28:02d}",
            "证件号码": "110000197102111017",
            "手机号": f"199{number:08d}",
            "交易时间": f"2026-11-{1 + number % 28:02d} {number % 24:02d}:{number % 60:02d}:{number * 7 % 60:02d}",
            "交易金额": f"{number + 5}.00",
            "收付标志": "支出",
            "下一跳账号": _card(200_000_000 + number),
        }
        writer.writerow([cells[name] for name in columns])
    return out.getvalue().encode("gb18030")


def _card(number: int) -> str:
    stem = f"629999{number:012d}"
    doubled = [int(digit) * (2 - place % 2) for place, digit in enumerate(reversed(stem))]
    return stem + str(-sum(value // 10 + value % 10 for value in doubled) % 10)


def ours(data: bytes) -> int:
    """Read through the profile; return how many messages came of it."""
    return sum(isinstance(outcome, Converted) for outcome in convert(adapters.profiles()["bank-notice-csv"], data))


def ours_with_lineage(data: bytes) -> int:
    """The same, with the lineage of every field worked out, as a node does that sends it."""
    profile = adapters.profiles()["bank-notice-csv"]
    return sum(bool(outcome.lineage) for outcome in convert(profile, data) if isinstance(outcome, Converted))


def by_hand(data: bytes) -> int:
    """Read by hand; return how many messages came of it."""
    count = 0
    for row in csv.DictReader(io.StringIO(data.decode("gb18030"))):
        message = notice_pb2.SuspiciousAccountNotice()
        _account(message.account, row["账号"])
        message.holder.name = row["户名"].strip()
        for code in row["可疑特征"].split(";"):
            message.features.add(scheme="tfms.feature", code=code.strip())
        _money(message.balance, row["余额"])
        _instant(message.opened_at, row["开户日期"], "%Y-%m-%d")
        if "证件号码" in row:
            _wide(message, row)
        count += 1
    return count


def _wide(message: notice_pb2.SuspiciousAccountNotice, row: dict[str, str]) -> None:
    message.holder.id_number = row["证件号码"].strip()
    message.holder.id_type = "GB11643"
    message.holder_phone.e164 = f"+86{row['手机号'].strip()}"
    message.holder_phone.raw = row["手机号"]
    transaction = message.transactions.add(direction=_DIRECTIONS[row["收付标志"]])
    _money(transaction.amount, row["交易金额"])
    _instant(transaction.at, row["交易时间"], "%Y-%m-%d %H:%M:%S")
    _account(message.next_hops.add(), row["下一跳账号"])


def _account(account: Any, text: str) -> None:
    account.scheme, account.number = "CARD", text.strip()


def _money(money: Any, text: str) -> None:
    whole, _, part = text.strip().partition(".")
    money.minor_units = int(whole) * 100 + int(part.ljust(2, "0") or 0)
    money.currency, money.currency_assumed = "CNY", True


def _instant(instant: Any, text: str, form: str) -> None:
    moment = dt.datetime.strptime(text.strip(), form).replace(tzinfo=_ZONE)
    instant.utc_ms = int(moment.timestamp()) * 1000
    instant.zone, instant.raw = "Asia/Shanghai", text


def rows_a_second(read: Callable[[bytes], int], data: bytes) -> float:
    """Return the best of three."""
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        assert read(data) == ROWS
        best = min(best, time.process_time() - start)
    return ROWS / best


AIM = 50_000
"""Simple rows a second and core that the design asks for."""


def run() -> list[dict[str, Any]]:
    """Measure, against the design's aim and against the rival."""
    simple, wide = file_of(SIMPLE), file_of(WIDE)
    rate = rows_a_second(ours, simple)
    rows = [_row("adapters: simple rows, against the aim", rate, "the design's aim", AIM)]
    for name, read, data in (
        ("adapters: simple rows, 5 columns", ours, simple),
        ("adapters: rows of 11 columns", ours, wide),
        ("adapters: 11 columns with lineage", ours_with_lineage, wide),
    ):
        rows.append(
            _row(name, rows_a_second(read, data), "csv.DictReader, protobuf by hand", rows_a_second(by_hand, data))
        )
    return rows


def _row(name: str, ours_value: float, rival: str, rival_value: float) -> dict[str, Any]:
    return {
        "name": name,
        "ours": round(ours_value, 1),
        "rival": rival,
        "rival_value": round(rival_value, 1),
        "unit": "rows/s/core",
        "ratio": round(ours_value / rival_value, 3),
        "goal": 1.0,
    }


if __name__ == "__main__":
    for row in run():
        print(row)
