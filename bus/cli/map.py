"""`lianfang map`: local formats, read on this machine alone. Nothing is sent, no node is asked.

A row is a record as the profile defines it; each has exactly one outcome: a message, or a refusal with cause and cure.
Wherever a profile is asked, its name, the path of its TOML file or `auto` will do.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from bus.cli import show
from bus.cli.desk import SOME_FAILED, Desk, desk
from bus.cli.map_back import back
from bus.cli.map_docs import docs, schema
from bus.cli.map_files import companions_of, file_at, given_at, lines_to, profile_named, refusals, require_apart, source
from bus.cli.map_infer import infer
from bus.cli.map_look import identify, preview
from bus.cli.map_profiles import diff, test
from bus.cli.map_progress import progress_of
from bus.cli.map_rows_out import Failing, failing_at
from bus.cli.map_told import told


@click.group()
def map_() -> None:
    """Read files in local formats and turn them into shared messages."""


@map_.command("list")
@desk
def list_profiles(desk: Desk) -> None:
    """List the formats that are known."""
    from adapters.summary import listed  # noqa: PLC0415 - lazy: help must not pay for it

    desk.answer(listed(), _listed)


def _listed(profiles: list[dict[str, Any]]) -> Iterator[str]:
    yield from show.table(
        ("profile", "format", "what it is"),
        (
            (item["name"], f"{item['format']}, {'read and written' if item['writes'] else 'read'}", item["title"])
            for item in profiles
        ),
    )


@map_.command()
@source
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Write what was found as a page.")
@click.option(
    "--rows-out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the failing rows, to mend; .xlsx is a workbook.",
)
@desk
def check(
    desk: Desk, profile: str, file: Path, companion: tuple[str, ...], html: Path | None, rows_out: Path | None
) -> None:
    """Read FILE in the format PROFILE (or `auto`) and say what would become of each row."""
    require_apart(html, file)
    require_apart(rows_out, file)
    with failing_at(rows_out) as failing:
        found = _read(profile, file, companion, lambda _: None, failing)
    if rows_out is not None:
        found["rows_out"] = str(rows_out)
    if html is not None:
        from adapters import report  # noqa: PLC0415 - lazy: help must not pay for it

        with file_at(html) as page:
            page.write(report.html(found, file.name).encode())
    desk.answer(found, told)
    raise click.exceptions.Exit(_exit_code(found))


@map_.command()
@source
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the messages to this file.")
@click.option("--lineage", is_flag=True, help="With each message its type, where each field came from, and warnings.")
@click.option("--progress/--no-progress", default=None, help="Say how far it is; on a terminal that is the default.")
@desk
def convert(
    desk: Desk,
    profile: str,
    file: Path,
    companion: tuple[str, ...],
    out: Path | None,
    *,
    lineage: bool,
    progress: bool | None,
) -> None:
    """Turn FILE in the format PROFILE (or `auto`) into messages, one JSON object a line.

    Without --out they go to standard output, unless --json asks for the counts there.
    """
    require_apart(out, file)
    with lines_to(out, desk) as write:
        shown = progress_of(desk, wanted=progress)
        found = _read(profile, file, companion, lambda row: write(_line(row, lineage=lineage)), progress=shown)
    if desk.as_json:
        show.emit(found)
    else:
        for line in told(found):
            show.note(line)
    raise click.exceptions.Exit(_exit_code(found))


for _command in (identify, preview, test, diff, back, docs, schema, infer):
    map_.add_command(_command)


def _exit_code(found: dict[str, Any]) -> int:
    return SOME_FAILED if found["refused_count"] else 0


def _read(
    name: str,
    file: Path,
    companion: tuple[str, ...],
    write: Callable[[Any], None],
    failing: Failing | None = None,
    progress: Callable[[Any, Any], Iterator[Any]] = lambda rows, _: rows,
) -> dict[str, Any]:
    """Read a file, give every row that became a message to `write`, and return what became of all."""
    from adapters import convert, summary  # noqa: PLC0415 - lazy: help must not pay for it
    from adapters.failing import failing_rows  # noqa: PLC0415 - lazy

    given = given_at(file)
    profile = profile_named(name, given)
    tally = summary.Tally()
    with refusals():
        rows = failing_rows(profile, given, failing.file, workbook=failing.workbook) if failing else None
        if rows is not None:
            tally.on_refused = rows.add
        for row in tally.over(progress(convert.convert(profile, given, companions_of(companion)), given)):
            write(row)
        if rows is not None:
            rows.close()
    return {"profile": profile.name, **tally.as_json()}


def _line(row: Any, *, lineage: bool) -> str:
    from google.protobuf.json_format import MessageToJson  # noqa: PLC0415 - lazy: help must not pay for it

    from adapters.summary import json_line  # noqa: PLC0415 - lazy

    if lineage:
        return json_line(row)
    return MessageToJson(row.message, indent=None, preserving_proto_field_name=True, ensure_ascii=False)
