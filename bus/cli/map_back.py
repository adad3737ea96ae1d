"""`lianfang map back`: messages go back into a local format, and what it cannot carry is named."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from bus.cli import show
from bus.cli.desk import SOME_FAILED, Desk, desk
from bus.cli.map_files import file_at, profile_named, require_apart
from bus.errors import Usage

_TABLE = "csv"


@click.command()
@click.argument("profile")
@click.argument("messages", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file.")
@click.option("--sender", default="", metavar="AGENCY", help="Who the messages are from, where the format says it.")
@desk
def back(desk: Desk, profile: str, messages: Path, out: Path | None, sender: str) -> None:
    """Turn MESSAGES, one JSON object a line, into the local format PROFILE.

    Without --out the result goes to standard output, and the report to standard error.
    """
    require_apart(out, messages)
    chosen = profile_named(profile)
    _require_writing(chosen)
    written, report = _all(chosen, messages.read_text("utf-8"), sender)
    files = _files(chosen, written, out, desk)
    answer = {
        "profile": chosen.name,
        "messages": len(report),
        "written": len(written),
        "files": [str(path) for path, _ in files if path],
        "report": report,
    }
    for path, data in files:
        if path is not None:
            with file_at(path) as file:
                file.write(data)
        elif not desk.as_json:
            sys.stdout.flush()
            sys.stdout.buffer.write(data)
    if desk.as_json:
        show.emit(answer)
    else:
        for line in _told(answer):
            show.note(line)
    raise click.exceptions.Exit(SOME_FAILED if len(written) < len(report) else 0)


def _require_writing(profile: Any) -> None:
    """Refuse a dialect that is only read, at once: not message by message."""
    from adapters.render import writer_of  # noqa: PLC0415 - lazy: help must not pay for it

    writer_of(profile)


def _all(profile: Any, text: str, sender: str) -> tuple[list[bytes], list[dict[str, Any]]]:
    from adapters.back import bring_back, message_of  # noqa: PLC0415 - lazy: help must not pay for it
    from adapters.errors import FileRefused  # noqa: PLC0415 - lazy

    written, report = [], []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        item: dict[str, Any] = {"line": number, "loss": [], "added": []}
        try:
            message = message_of(profile, line)
            found = bring_back(profile, message, {"message_id": f"{number:x}", "sender": sender, "agency": ""})
            written.append(found.data)
            item |= {"loss": list(found.loss), "added": list(found.added)}
        except FileRefused as error:
            item |= {"code": error.code, "cause": error.cause, "cure": error.cure}
        report.append(item)
    return written, report


def _files(profile: Any, written: list[bytes], out: Path | None, desk: Desk) -> list[tuple[Path | None, bytes]]:
    """Return what is written where: a table is one file, of records each has its own."""
    from adapters.write_table import joined  # noqa: PLC0415 - lazy: help must not pay for it

    if written and profile.file.source.format == _TABLE:
        written = [joined(profile, written)]
    if len(written) <= 1:
        return [(out, data) for data in written]
    if out is None and not desk.as_json:
        raise Usage("a file of this format holds one record, and there are several", cure="give --out FILE")
    return [(out and out.with_name(f"{out.stem}-{number}{out.suffix}"), data) for number, data in enumerate(written, 1)]


def _told(answer: dict[str, Any]) -> Iterator[str]:
    yield f"{answer['profile']}: {show.count(answer['messages'], 'message')}, {answer['written']} written"
    for item in answer["report"]:
        if "code" in item:
            yield from show.wrapped(f"line {item['line']}: not written: {item['code']}: {item['cause']}", "  ")
            yield from show.wrapped(f"cure: {item['cure']}", "      ")
        for word, fields in (("not carried", item["loss"]), ("added by the format", item["added"])):
            if fields:
                yield from show.wrapped(f"line {item['line']}: {word}: {', '.join(fields)}", "  ")
