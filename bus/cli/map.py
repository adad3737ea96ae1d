"""`lianfang map`: local formats, read on this machine alone. Nothing is sent, no node is asked.

A row is a record as the profile defines it; each has exactly one outcome: a message, or a refusal with cause and cure.
"""

import contextlib
import difflib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import click

from bus.cli import show
from bus.cli.desk import Command, Desk, desk, named_files
from bus.errors import Usage

_SOME_FAILED = 3


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


def _file(command: Command) -> Command:
    for option in (
        click.argument("profile"),
        click.argument("file", type=click.Path(path_type=Path, dir_okay=False)),
        click.option("--companion", multiple=True, metavar="NAME=FILE", help="A file that belongs to it."),
    )[::-1]:
        command = option(command)
    return command


@map_.command()
@_file
@desk
def check(desk: Desk, profile: str, file: Path, companion: tuple[str, ...]) -> None:
    """Read FILE in the format PROFILE (or `auto`) and say what would become of each row."""
    found = _read(profile, file, companion, lambda _: None)
    desk.answer(found, _checked)
    raise click.exceptions.Exit(_exit_code(found))


@map_.command()
@_file
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the messages to this file.")
@click.option("--lineage", is_flag=True, help="With each message its type, where each field came from, and warnings.")
@desk
def convert(
    desk: Desk, profile: str, file: Path, companion: tuple[str, ...], out: Path | None, *, lineage: bool
) -> None:
    """Turn FILE in the format PROFILE (or `auto`) into messages, one JSON object a line.

    Without --out they go to standard output, unless --json asks for the counts there.
    """
    with _lines_to(out, desk) as write:
        found = _read(profile, file, companion, lambda row: write(_line(row, lineage=lineage)))
    if desk.as_json:
        show.emit(found)
    else:
        for line in _checked(found):
            show.note(line)
    raise click.exceptions.Exit(_exit_code(found))


def _exit_code(found: dict[str, Any]) -> int:
    return _SOME_FAILED if found["refused"] else 0


def _read(name: str, file: Path, companion: tuple[str, ...], write: Callable[[Any], None]) -> dict[str, Any]:
    """Read a file, give every row that became a message to `write`, and return what became of all."""
    from adapters import convert, summary  # noqa: PLC0415 - lazy: help must not pay for it
    from adapters.errors import FileRefused  # noqa: PLC0415 - lazy

    data = file.read_bytes()
    companions = {key: path.read_bytes() for key, path in named_files(companion, "--companion")}
    _require_known(name)
    tally = summary.Tally()
    try:
        profile = summary.profile_for(name, data)
        for row in tally.over(convert.convert(profile, data, companions)):
            write(row)
    except FileRefused as error:
        raise Usage(error.cause, cure=error.cure, code=error.code) from error
    return {"profile": profile.name, **tally.as_json()}


def _require_known(name: str) -> None:
    from adapters import profiles, summary  # noqa: PLC0415 - lazy: help must not pay for it

    known = profiles()
    if name in known or name == summary.AUTO:
        return
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise Usage(
        f"there is no profile {name}", cure=f"{hint}`lianfang map list` names them", code="LF-MAP-UNKNOWN-PROFILE"
    )


def _line(row: Any, *, lineage: bool) -> str:
    from google.protobuf.json_format import MessageToJson  # noqa: PLC0415 - lazy: help must not pay for it

    from adapters.summary import json_line  # noqa: PLC0415 - lazy

    if lineage:
        return json_line(row)
    return MessageToJson(row.message, indent=None, preserving_proto_field_name=True, ensure_ascii=False)


@contextlib.contextmanager
def _lines_to(out: Path | None, desk: Desk) -> Iterator[Callable[[str], None]]:
    """Give what writes a line: to a file that appears whole or not at all, to standard output, or nowhere."""
    if out is None:
        yield (lambda _: None) if desk.as_json else show.emit_text
        return
    part = out.with_name(f".{out.name}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            yield _writer(file)
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)


def _writer(file: IO[str]) -> Callable[[str], None]:
    def write(line: str) -> None:
        file.write(line + "\n")

    return write


def _checked(value: dict[str, Any]) -> Iterator[str]:
    yield f"{value['profile']}: {value['rows_in']} rows, {value['messages']} messages, {len(value['refused'])} refused"
    for row in value["refused"]:
        yield from show.wrapped(f"row {row['row']}: {row['code']}: {row['cause']}", "  ")
        if row["cure"]:
            yield from show.wrapped(f"cure: {row['cure']}", "      ")
    counts: dict[tuple[str, str, str], int] = {}
    for item in value["warnings"]:
        key = (item["code"], item["field"], item["cause"])
        counts[key] = counts.get(key, 0) + 1
    for (code, name, cause), count in counts.items():
        yield from show.wrapped(f"warning {code}, {name}, in {count} rows: {cause}", "  ")
