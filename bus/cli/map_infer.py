"""`lianfang map infer`: a first profile for a file that nobody knows yet."""

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from bus.cli import show
from bus.cli.desk import Desk, desk
from bus.cli.map_files import file_at, given_at, refusals, require_apart
from bus.errors import Usage

_HEAD_BYTES = 1024
_TREES = {b"<": "XML", b"{": "JSON", b"[": "JSON"}


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--to", "message", required=True, metavar="MESSAGE", help="What a record becomes, as SuspiciousAccountNotice."
)
@click.option(
    "-o", "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The profile to write."
)
@click.option("--zone", default="", help="The zone of times, as Asia/Shanghai; no cell says it.")
@click.option("--currency", default="", help="The currency of amounts, as CNY, where no column says it.")
@click.option("--region", default="", help="The country of telephone numbers, as CN; no cell says it.")
@desk
def infer(desk: Desk, file: Path, message: str, out: Path, zone: str, currency: str, region: str) -> None:
    """Propose a profile for a table, XML or JSON; what is not sure is commented out with its reason."""
    from adapters.catalogue import load  # noqa: PLC0415 - lazy: help must not pay for it
    from adapters.guesses import Stated  # noqa: PLC0415 - lazy
    from adapters.infer import infer as propose  # noqa: PLC0415 - lazy

    require_apart(out, file)
    given = given_at(file)
    _require_table(given)
    with refusals():
        proposal = propose(given, message, out.stem, Stated(zone, currency, region))
        load(proposal.toml, {}, out.name)
    with file_at(out) as profile:
        profile.write(proposal.toml.encode())
    desk.answer({"profile": str(out), **proposal.as_json()}, _told)


def _require_table(given: Any) -> None:
    """Refuse what begins as a document does: it has no header that could say what its paths mean."""
    from adapters.source_file import head_of  # noqa: PLC0415 - lazy: help must not pay for it

    kind = _TREES.get(head_of(given, _HEAD_BYTES).removeprefix(codecs.BOM_UTF8).lstrip()[:1])
    if kind is not None:
        raise Usage(
            f"a profile is proposed for tables alone, and the file begins as {kind} does",
            cure="begin with a profile of one field: `lianfang map check` and `map preview` then name every path; "
            'docs/adding-a-format.md leads through it ("A format that nobody prepared")',
            code="LF-MAP-NO-TABLE",
        )


def _told(answer: dict[str, Any]) -> Iterator[str]:
    yield f"{answer['profile']}: {_read_as(answer)}"
    for sheet in answer["sheets"]:
        yield f"sheet {sheet['sheet']}: {'written' if sheet['written'] else 'commented'}, {sheet['why']}"
    yield from show.table(
        ("column or path", "field", "sure", "", "why"),
        [
            (
                item["column"],
                item["field"] or "-",
                f"{item['sure']:.0%}",
                "written" if item["written"] else "commented",
                item["why"],
            )
            for item in answer["columns"]
        ],
    )


def _read_as(answer: dict[str, Any]) -> str:
    if answer["header_line"]:
        return f"{answer['encoding']}, header in line {answer['header_line']}"
    return f"{answer['format']}, records at {answer['at'] or 'the root'}"
