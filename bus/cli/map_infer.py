"""`lianfang map infer`: a first profile for a file that nobody knows yet."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from bus.cli import show
from bus.cli.desk import Desk, desk
from bus.cli.map_files import file_at, given_at, refusals, require_apart


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
    """Propose a profile for a table, XML or JSON; what is not sure is commented out."""
    from adapters.catalogue import load  # noqa: PLC0415 - lazy: help must not pay for it
    from adapters.guesses import Stated  # noqa: PLC0415 - lazy
    from adapters.infer import infer as propose  # noqa: PLC0415 - lazy

    require_apart(out, file)
    given = given_at(file)
    with refusals():
        proposal = propose(given, message, out.stem, Stated(zone, currency, region))
        load(proposal.toml, {}, out.name)
    with file_at(out) as profile:
        profile.write(proposal.toml.encode())
    desk.answer({"profile": str(out), **proposal.as_json()}, _told)


def _told(answer: dict[str, Any]) -> Iterator[str]:
    yield f"{answer['profile']}: {_read_as(answer)}"
    for sheet in answer["sheets"]:
        yield f"sheet {sheet['sheet']}: {'written' if sheet['written'] else 'commented'}, {sheet['why']}"
    columns = answer["columns"]
    for item in sorted((item for item in columns if item["field"]), key=lambda item: not item["written"]):
        state = "written" if item["written"] else "commented"
        yield from show.wrapped(
            f"{item['column']}: {item['field']}, {item['sure']:.0%} sure, {state}: {item['why']}", "  "
        )
    for item in answer["lacking"]:
        yield from show.wrapped(f"LACKING: {item['field']}, which the message demands: {item['cure']}", "  ")
    unknown: dict[str, list[str]] = {}
    for item in columns:
        if not item["field"]:
            unknown.setdefault(item["why"], []).append(item["column"])
    for why, names in unknown.items():
        yield from show.wrapped(f"{len(names)} of which nothing is proposed, for {why}:", "  ")
        for name in names:
            yield from show.wrapped(name, "      ")


def _read_as(answer: dict[str, Any]) -> str:
    if answer["header_line"]:
        return f"{answer['encoding']}, header in line {answer['header_line']}"
    return f"{answer['format']}, records at {answer['at'] or 'the root'}"
