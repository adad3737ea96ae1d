"""`lianfang map`: local formats, read on this machine alone. Nothing is sent, no node is asked.

A row is a record as the profile defines it; each has exactly one outcome: a message, or a refusal with cause and cure.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
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
    import adapters  # noqa: PLC0415 - lazy: help must not pay for it

    rows = [{"name": name, "title": profile.title} for name, profile in sorted(adapters.profiles().items())]
    desk.answer(rows, lambda rows: show.table(("profile", "what it is"), ((row["name"], row["title"]) for row in rows)))


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
    outcome = _read(profile, file, companion, lambda _: None)
    desk.answer({"profile": outcome.profile, **outcome.counted(), "warnings": outcome.warnings}, _checked)
    raise click.exceptions.Exit(outcome.exit_code)


@map_.command()
@_file
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the messages to this file.")
@desk
def convert(desk: Desk, profile: str, file: Path, companion: tuple[str, ...], out: Path | None) -> None:
    """Turn FILE in the format PROFILE (or `auto`) into messages, one JSON object a line.

    Without --out they go to standard output, unless --json asks for the counts there.
    """
    with _messages_to(out, desk) as write:
        outcome = _read(profile, file, companion, write)
    if desk.as_json:
        show.emit(outcome.counted())
    else:
        for line in _checked({"profile": outcome.profile, **outcome.counted(), "warnings": outcome.warnings}):
            show.note(line)
    raise click.exceptions.Exit(outcome.exit_code)


@dataclass
class _Outcome:
    """What became of a file."""

    profile: str
    messages: int = 0
    refused: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[dict[str, Any]] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """3 when some rows failed."""
        return _SOME_FAILED if self.refused else 0

    def counted(self) -> dict[str, Any]:
        """Return the counts; every row has one outcome."""
        return {"rows_in": self.messages + len(self.refused), "messages": self.messages, "refused": self.refused}


def _read(name: str, file: Path, companion: tuple[str, ...], write: Callable[[Any], None]) -> _Outcome:
    import adapters  # noqa: PLC0415 - lazy: help must not pay for it
    from adapters.convert import convert as rows_of  # noqa: PLC0415 - lazy
    from adapters.errors import FileRefused  # noqa: PLC0415 - lazy
    from adapters.model import HeldBack  # noqa: PLC0415 - lazy
    from schemas import checks  # noqa: PLC0415 - lazy
    from schemas.errors import MessageRefused  # noqa: PLC0415 - lazy

    data = file.read_bytes()
    companions = {key: path.read_bytes() for key, path in named_files(companion, "--companion")}
    try:
        outcome = _Outcome(adapters.detect(data) if name == "auto" else name)
        for row in rows_of(_profile(outcome.profile), data, companions=companions):
            if isinstance(row, HeldBack):
                outcome.refused.append({"row": row.record, "code": row.code, "cause": row.cause, "cure": row.cure})
                continue
            try:
                checks.require_valid_record(row.message)
            except MessageRefused as error:
                rule = error.violations[0].rule
                outcome.refused.append({"row": row.record, "code": rule, "cause": error.cause, "cure": error.cure})
                continue
            write(row.message)
            outcome.messages += 1
            outcome.warnings += [
                {"row": row.record, "code": item.code, "field": item.field, "cause": item.cause}
                for item in row.warnings
            ]
    except FileRefused as error:
        raise Usage(error.cause, cure=error.cure, code=error.code) from error
    return outcome


def _profile(name: str) -> Any:
    import difflib  # noqa: PLC0415 - lazy: only a wrong name pays for it

    import adapters  # noqa: PLC0415 - lazy

    known = adapters.profiles()
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise Usage(
        f"there is no profile {name}", cure=f"{hint}`lianfang map list` names them", code="LF-MAP-UNKNOWN-PROFILE"
    )


@contextlib.contextmanager
def _messages_to(out: Path | None, desk: Desk) -> Iterator[Callable[[Any], None]]:
    """Give what writes a message: to a file that appears whole or not at all, to standard output, or nowhere."""
    if out is None:
        yield (lambda _: None) if desk.as_json else (lambda message: show.say([_json(message)]))
        return
    part = out.with_name(f".{out.name}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            yield _writer(file)
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)


def _writer(file: IO[str]) -> Callable[[Any], None]:
    def write(message: Any) -> None:
        file.write(_json(message) + "\n")

    return write


def _json(message: Any) -> str:
    from google.protobuf.json_format import MessageToJson  # noqa: PLC0415 - lazy: help must not pay for it

    return MessageToJson(message, indent=None, preserving_proto_field_name=True, ensure_ascii=False)


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
