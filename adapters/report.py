"""What became of a file's rows, as one page of HTML: counts by cause, then each row. It holds no values, no script, no link."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Any

from adapters.words import counted

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#1a1a1a}"
    "table{border-collapse:collapse;width:100%;margin:1rem 0}caption{text-align:left;font-weight:600}"
    "th,td{border-bottom:1px solid #bbb;padding:.35rem .6rem;text-align:left;vertical-align:top}"
)
ROWS_SHOWN_MAX = 10_000
"""Most rows on one page; the counts are of all."""


def html(found: dict[str, Any], file_name: str) -> str:
    """Return the page for what `lianfang map check` found."""
    rows, messages = counted(found["rows_in"], "row"), counted(found["messages"], "message")
    title = f"{file_name}: {rows}, {messages}, {found['refused_count']} refused"
    return "\n".join(_lines(found, title)) + "\n"


def _lines(found: dict[str, Any], title: str) -> Iterator[str]:
    refused, warnings = found["refused"], found["warnings"]
    of_file = [(item["code"], item["cause"]) for item in found.get("of_file", [])]
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>"
    yield f"<h1>{escape(title)}</h1>\n<p>Read as {escape(found['profile'])}.</p>"
    yield from _table("The whole file", ("code", "cause"), of_file)
    for name, items in (("Refused", refused), ("Warnings", warnings)):
        counts = Counter((item["code"], item["cause"]) for item in items)
        causes = [(code, cause, count) for (code, cause), count in counts.most_common()]
        yield from _table(f"{name}, by cause", ("code", "cause", "rows"), causes)
    for name, keys, items in (
        ("Rows that were refused", ("row", "line", "column", "code", "cause", "cure"), refused),
        ("Rows with warnings", ("row", "line", "field", "code", "cause"), warnings),
    ):
        yield from _table(name, keys, [[item[key] for key in keys] for item in items[:ROWS_SHOWN_MAX]])
    if max(len(refused), len(warnings)) >= ROWS_SHOWN_MAX:
        yield f"<p>Of each, the first {ROWS_SHOWN_MAX} rows are shown.</p>"
    if not_carried := [(item["cause"], item["rows"]) for item in found["not_carried"]]:
        yield from _table("What the message has no place for", ("what", "rows"), not_carried)
    yield "</main>\n</body>\n</html>"


def _table(caption: str, headings: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    cells = [list(row) for row in rows]
    if not cells:
        return
    yield f"<table>\n<caption>{escape(caption)}</caption>"
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in headings)
    yield f"<thead><tr>{heads}</tr></thead>\n<tbody>"
    for row in cells:
        yield "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>"
    yield "</tbody>\n</table>"
