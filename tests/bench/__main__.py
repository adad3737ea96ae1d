"""Runs every benchmark, prints a table, and writes it as JSON when all ran. `python -m tests.bench [NAME …]`.

A benchmark is tests/bench/bench_<name>.py with `run() -> list[dict]`. Both sides of a ratio are measured in one run, so that a
slow machine slows both. A row: name; ours and rival_value in the same unit; rival (what it is); ratio (ours against the rival,
more is better); goal (the least ratio wanted). Nothing here fails for being slow: figures are read by people.
"""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

KEYS = ("name", "ours", "rival", "rival_value", "unit", "ratio", "goal")
RESULT = Path(".lianfang/bench/latest.json")


def names() -> list[str]:
    """Return the benchmarks there are."""
    return sorted(path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py"))


def measured(name: str) -> list[dict[str, Any]]:
    """Run one benchmark; its rows have all keys and no other."""
    rows: list[dict[str, Any]] = importlib.import_module(f"tests.bench.bench_{name}").run()
    for row in rows:
        if set(row) != set(KEYS):
            raise ValueError(f"bench_{name}: a row has {sorted(row)}, expected {sorted(KEYS)}")
    return rows


def line(row: dict[str, Any]) -> str:
    """Return a row as people read it."""
    mark = " " if row["ratio"] >= row["goal"] else "below the goal"
    return (
        f"{row['name']:<44} {row['ours']:>12,.1f} {row['unit']:<14} {row['rival_value']:>12,.1f} {row['rival']:<36.36} "
        f"{row['ratio']:>7.2f} {row['goal']:>7.2f} {mark}"
    ).rstrip()


def main(wanted: list[str]) -> int:
    """Run the wanted benchmarks, or all."""
    if unknown := set(wanted) - set(names()):
        print(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(names())}", file=sys.stderr)
        return 2
    print(f"{'':<44} {'ours':>12} {'':<14} {'rival':>12} {'':<36} {'ratio':>7} {'goal':>7}")
    rows = []
    for name in wanted or names():
        for row in measured(name):
            rows.append(row)
            print(line(row), flush=True)
    if not wanted:
        RESULT.parent.mkdir(parents=True, exist_ok=True)
        RESULT.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
