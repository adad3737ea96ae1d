"""`lianfang send`: a local file goes out, row by row; each row has one outcome, and each is told."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from bus import limits
from bus.cli import show
from bus.cli.desk import SOME_FAILED, Desk, desk, named_files, names, statement
from bus.errors import Refused, Usage

_TIMEOUT_S = 900.0
_ROWS_SHOWN_MAX = 20


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--to", multiple=True, callback=names, metavar="A,B", help="The agencies that should have it.")
@click.option("--profile", default="auto", show_default=True, help="The file's format (see `lianfang map list`).")
@click.option("--companion", multiple=True, metavar="NAME=FILE", help="A file that belongs to it, under its name.")
@statement
@desk
def send(
    desk: Desk, file: Path, to: tuple[str, ...], profile: str, companion: tuple[str, ...], statement: dict[str, str]
) -> None:
    """Send a local FILE, row by row, to other agencies.

    Dropping the same file twice sends nothing twice. Rows that cannot be sent are held back with cause and cure.
    """
    if (size := file.stat().st_size) > limits.SEND_FILE_BYTES_MAX:
        raise Usage(
            f"the file has {size} bytes, more than {limits.SEND_FILE_BYTES_MAX}",
            cure="split it; every part needs the header line",
            code="LF-SEND-FILE-TOO-LARGE",
        )
    result = desk.ask(
        "send",
        _TIMEOUT_S,
        data=_base64(file),
        to=list(to),
        profile=profile,
        companions={name: _base64(path) for name, path in named_files(companion, "--companion")},
        **statement,
    )
    desk.answer(result, _told)
    raise click.exceptions.Exit(_exit_code(result))


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _exit_code(result: dict[str, Any]) -> int:
    """3 when some rows failed, 4 when policy refused every row, 0 otherwise."""
    if result["refused"] and not (result["sent"] or result["already_sent"] or result["held_back"]):
        return Refused.exit_code
    return SOME_FAILED if result["refused"] or result["held_back"] else 0


def _told(result: dict[str, Any]) -> Iterator[str]:
    yield (
        f"{show.count(result['rows_in'], 'row')}: {len(result['sent'])} sent, {len(result['already_sent'])} sent before, "
        f"{len(result['held_back'])} held back, {len(result['refused'])} refused by policy"
    )
    for row in result["sent"][:_ROWS_SHOWN_MAX]:
        yield f"  row {row['row']}: sent as {row['message_id']}, log entry {row['entry']}"
    if len(result["sent"]) > _ROWS_SHOWN_MAX:
        yield f"  and {len(result['sent']) - _ROWS_SHOWN_MAX} more; `lianfang sent` lists them"
    for row in result["held_back"] + result["refused"]:
        yield from show.wrapped(f"row {row['row']}: {row['code']}: {row['cause']}", "  ")
        if row["cure"]:
            yield from show.wrapped(f"cure: {row['cure']}", "      ")
    seen: dict[tuple[str, str], set[int]] = {}
    for warning in result["warnings"]:
        seen.setdefault((warning["code"], warning["cause"]), set()).add(warning["row"])
    for (code, cause), rows in seen.items():
        yield from show.wrapped(f"warning {code} in {show.count(len(rows), 'row')}: {cause}", "  ")
