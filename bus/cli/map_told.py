"""What `lianfang map check` and `convert` tell a person of a file: counts by cause, then the rows, then what is not carried."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from bus.cli import show

ROWS_TOLD_MAX = 20
"""Most refused rows told one by one; the counts are of all that are kept."""
_NO_PLACE = " has no place in the message"
_NO_PLACES = " have no place in the message"


def told(found: dict[str, Any]) -> Iterator[str]:
    """Return the lines for what became of a file's rows."""
    refused = found["refused"]
    yield (
        f"{found['profile']}: {show.count(found['rows_in'], 'row')}, {show.count(found['messages'], 'message')}, "
        f"{found['refused_count']} refused"
    )
    for item in found.get("of_file", []):
        yield from show.wrapped(f"THE WHOLE FILE: {item['code']}: {item['cause']}", "  ")
    causes = Counter((row["code"], row["cause"]) for row in refused)
    if len(causes) < len(refused):
        for (code, cause), rows in causes.most_common():
            yield from show.wrapped(f"{show.count(rows, 'row')}: {code}: {cause}", "  ")
    for row in refused[:ROWS_TOLD_MAX]:
        yield from _row(row)
    if found["refused_count"] > ROWS_TOLD_MAX:
        yield from show.wrapped(
            f"the first {ROWS_TOLD_MAX} of {found['refused_count']} are told; --html and --json tell of "
            f"{len(refused)}, --rows-out writes the rows of a table",
            "  ",
        )
    yield from _warnings(found)
    if found["refused_count"] and (rows_out := found.get("rows_out")):
        yield from show.wrapped(
            f"the rows that failed stand in {rows_out}: mend them there, then `lianfang send {rows_out} --profile "
            f"{found['profile']}`",
            "  ",
        )


def _row(row: dict[str, Any]) -> Iterator[str]:
    yield from show.wrapped(f"row {row['row']}, line {row['line']}: {row['code']}: {row['cause']}", "  ")
    if row["cure"]:
        yield from show.wrapped(f"cure: {row['cure']}", "      ")
    for other in row["others"]:
        yield from show.wrapped(f"also {other['code']}: {other['cause']}", "      ")
        yield from show.wrapped(f"cure: {other['cure']}", "      ")


def _warnings(found: dict[str, Any]) -> Iterator[str]:
    not_carried = {item["cause"]: item["rows"] for item in found["not_carried"]}
    of_file = {item["cause"] for item in found.get("of_file", [])}
    seen: dict[tuple[str, str, str], set[int]] = {}
    for item in found["warnings"]:
        if item["cause"] not in not_carried and item["cause"] not in of_file:
            seen.setdefault((item["code"], item["field"], item["cause"]), set()).add(item["row"])
    for (code, name, cause), rows in seen.items():
        where = f", {name}" if name else ""
        yield from show.wrapped(f"warning {code}{where}, in {show.count(len(rows), 'row')}: {cause}", "  ")
    if not_carried:
        yield "  not carried, for no field of the profile takes it:"
    for cause, rows_with in not_carried.items():
        what = cause.removesuffix(_NO_PLACE).removesuffix(_NO_PLACES)
        yield from show.wrapped(f"{what}, in {show.count(rows_with, 'row')}", "      ")
