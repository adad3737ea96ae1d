"""A table of 180,000 rows in GB18030, read, checked and made into messages, against what people use instead.

Every side reads the same file from disk in a process of its own: CPU seconds of that process, imports apart, and its peak memory.
- ours: `map check`, all of it: encoding, header, mapping, every check of the shared language.
- pandas: `read_csv` with texts, then a loop written by hand for this dialect alone, which makes the same checks (check digits,
  dates, amounts, telephone numbers, code table) and the same protobuf messages. It names no row and keeps no lineage.
- frictionless: validation alone, against a schema of the same types and patterns. It makes nothing of the rows.
A rival that is not installed is said to be missing, and left out.
"""

import importlib.util
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from schemas.v1 import notice_pb2
from tests.bench.bench_adapters import WIDE, _account, _money, _wide, file_of
from tests.bench.bench_adapters import _instant as instant_of

ROWS = 180_000
FLOOR, AIM, MEMORY_MAX_MIB = 20_000.0, 50_000.0, 150.0
_AMOUNT = re.compile(r"-?[0-9]{1,16}(?:\.[0-9]{1,2})?")
_PHONE = re.compile(r"1[3-9][0-9]{9}")
_CARD = re.compile(r"[0-9]{16,19}")
_CODE = re.compile(r"[0-9]{4}(?:;[0-9]{4})*")
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


def ours(path: Path) -> tuple[int, float]:
    """Check the file as `lianfang map check` does; return its messages and the CPU seconds."""
    from adapters import profiles, summary  # noqa: PLC0415 - each side pays for its own imports
    from adapters.convert import convert  # noqa: PLC0415
    from adapters.source_file import file_given  # noqa: PLC0415

    profile = profiles()["bank-notice-csv"]
    begin = time.process_time()
    tally = summary.Tally()
    for _ in tally.over(convert(profile, file_given(path))):
        pass
    return tally.messages, time.process_time() - begin


def by_pandas(path: Path) -> tuple[int, float]:
    """Read with pandas, and check and build row by row."""
    import pandas as pd  # noqa: PLC0415 - as above

    begin, good = time.process_time(), 0
    frame = pd.read_csv(path, encoding="gb18030", dtype=str, keep_default_na=False)
    for row in frame.to_dict("records"):
        if _sound(row):
            message = notice_pb2.SuspiciousAccountNotice()
            _account(message.account, row["账号"])
            message.holder.name = row["户名"].strip()
            for code in row["可疑特征"].split(";"):
                message.features.add(scheme="tfms.feature", code=code.strip())
            _money(message.balance, row["余额"])
            instant_of(message.opened_at, row["开户日期"], "%Y-%m-%d")
            _wide(message, row)
            good += 1
    return good, time.process_time() - begin


def _sound(row: dict[str, Any]) -> bool:
    return bool(
        all(_CARD.fullmatch(row[name]) and _luhn(row[name]) for name in ("账号", "下一跳账号"))
        and _identity(row["证件号码"])
        and _PHONE.fullmatch(row["手机号"])
        and _CODE.fullmatch(row["可疑特征"])
        and all(_AMOUNT.fullmatch(row[name]) for name in ("余额", "交易金额"))
        and row["收付标志"] in ("支出", "收入")
        and len(row["户名"].encode()) <= 256
    )


def _luhn(number: str) -> bool:
    doubled = (int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(number)))
    return sum(value // 10 + value % 10 for value in doubled) % 10 == 0


def _identity(number: str) -> bool:
    total = sum(int(digit) * weight for digit, weight in zip(number, _WEIGHTS, strict=False))
    return len(number) == 18 and "10X98765432"[total % 11] == number[-1]


def by_frictionless(path: Path) -> tuple[int, float]:
    """Validate with frictionless; return the rows that are valid."""
    import frictionless as fl  # noqa: PLC0415 - as above

    form = {
        "账号": _CARD, "证件号码": re.compile(r"[0-9]{17}[0-9X]"), "手机号": _PHONE, "可疑特征": _CODE, "余额": _AMOUNT,
        "交易金额": _AMOUNT, "收付标志": re.compile("支出|收入"), "下一跳账号": _CARD,
    }  # fmt: skip
    dates = {"开户日期": "%Y-%m-%d", "交易时间": "%Y-%m-%d %H:%M:%S"}
    fields = [
        {"name": name, "type": "date" if name == "开户日期" else "datetime", "format": dates[name]}
        if name in dates
        else {"name": name, "type": "string", "constraints": {"pattern": form[name].pattern} if name in form else {}}
        for name in WIDE
    ]
    begin = time.process_time()
    schema = fl.Schema.from_descriptor({"fields": fields})
    resource_ = fl.Resource(path=path.name, basepath=str(path.parent), schema=schema, encoding="gb18030", format="csv")
    report = resource_.validate(limit_errors=1_000_000)
    bad = {error.to_dict().get("rowNumber") for task in report.tasks for error in task.errors}
    return report.tasks[0].stats["rows"] - len(bad), time.process_time() - begin


def peak_kib() -> int:
    """Return the peak memory of this process; what the kernel counts for a child begins with its parent's."""
    status = Path("/proc/self/status").read_text("ascii")
    return int(re.findall(r"VmHWM:\s+([0-9]+) kB", status)[0])


SIDES: dict[str, Callable[[Path], tuple[int, float]]] = {
    "ours": ours,
    "pandas": by_pandas,
    "frictionless": by_frictionless,
}


def measured(side: str, path: Path) -> tuple[float, float]:
    """Run one side in a process of its own; return rows a second of CPU, and peak memory in MiB."""
    command = [sys.executable, "-m", "tests.bench.bench_tables", side, str(path)]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    if found["rows"] != ROWS:
        raise ValueError(f"{side} took {found['rows']} rows of {ROWS}: the sides do not do the same")
    return ROWS / found["seconds"], found["peak_kib"] / 1024


def run() -> list[dict[str, Any]]:
    """Measure each side once on one file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        path.write_bytes(file_of(WIDE, ROWS))
        rate, peak = measured("ours", path)
        rows = [
            _row("tables: 180,000 rows, against the floor", rate, "the floor", FLOOR, "rows/s/core"),
            _row("tables: 180,000 rows, against the aim", rate, "the aim", AIM, "rows/s/core"),
            _row("tables: room left of the memory allowed", MEMORY_MAX_MIB, "peak", peak, "MiB"),
        ]
        for side, what in (("pandas", "pandas, checks by hand"), ("frictionless", "frictionless, validation")):
            if importlib.util.find_spec(side) is None:
                print(f"bench_tables: {side} is not installed (make bench installs it): left out", file=sys.stderr)
                continue
            other, others_peak = measured(side, path)
            rows.append(_row("tables: 180,000 rows, 11 columns", rate, what, other, "rows/s/core"))
            rows.append(_row("tables: peak memory, less is more", others_peak, what, peak, "MiB"))
    return rows


def _row(name: str, ours_value: float, rival: str, rival_value: float, unit: str) -> dict[str, Any]:
    return {
        "name": name,
        "ours": round(ours_value, 1),
        "rival": rival,
        "rival_value": round(rival_value, 1),
        "unit": unit,
        "ratio": round(ours_value / rival_value, 3),
        "goal": 1.0,
    }


if __name__ == "__main__":
    if sys.argv[1:]:
        count, seconds = SIDES[sys.argv[1]](Path(sys.argv[2]))
        memory = peak_kib()
        print(json.dumps({"rows": count, "seconds": seconds, "peak_kib": memory}))
    else:
        for line in run():
            print(line)
