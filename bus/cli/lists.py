"""`lianfang inbox|sent|held-back|quarantine`: what came, went and stayed. Lists only; nothing is opened."""

from collections.abc import Iterator
from typing import Any

import click

from bus import limits
from bus.cli import show
from bus.cli.desk import Command, Desk, desk

_Rows = list[dict[str, Any]]
limit_option = click.option(
    "--limit", type=click.IntRange(1, limits.INBOX_PAGE_MAX), default=50, show_default=True, help="Rows at most."
)
_STATES = {"person": "for a person to read"}
"""States of handover that need more than their own word."""


def _type(command: Command) -> Command:
    return click.option(
        "--type", "type_name", default="", metavar="TYPE", help="Only messages of this type, e.g. StopPaymentOrder."
    )(command)


@click.command()
@limit_option
@_type
@desk
def inbox(desk: Desk, limit: int, type_name: str) -> None:
    """List what has arrived; opens nothing."""
    desk.answer(desk.ask("inbox", limit=limit, type=_full(type_name)), _inbox)


@click.command()
@limit_option
@_type
@desk
def sent(desk: Desk, limit: int, type_name: str) -> None:
    """List what was sent, with each recipient's receipt."""
    desk.answer(desk.ask("sent", limit=limit, type=_full(type_name)), _sent)


@click.command("held-back")
@limit_option
@desk
def held_back(desk: Desk, limit: int) -> None:
    """List rows that could not be sent, with cause and cure."""
    desk.answer(desk.ask("held_back", limit=limit), _held_back)


@click.command()
@limit_option
@desk
def quarantine(desk: Desk, limit: int) -> None:
    """List what was refused on arrival."""
    desk.answer(desk.ask("quarantine", limit=limit), _quarantine)


def _full(type_name: str) -> str:
    """Let a person leave out the package: StopPaymentOrder is lianfang.v1.StopPaymentOrder."""
    return f"lianfang.v1.{type_name}" if type_name and "." not in type_name else type_name


def _inbox(rows: _Rows) -> Iterator[str]:
    if not rows:
        yield "Nothing has arrived."
        return
    for row in rows:
        yield (
            f"{show.when(row['received_at_ms'])}  {row['type']} from {row['sender']}"
            f"  [{row['lane']}, {_STATES.get(row['state'], row['state']) or 'kept'}]"
        )
        yield f"    id {row['message_id']}  log entry {row['entry']}"
        yield from show.wrapped(f"for you: {_for_you(row)}", "    ")
        if row["withheld"]:
            yield from show.wrapped(f"withheld from you: {', '.join(row['withheld'])}", "    ")


def _for_you(row: dict[str, Any]) -> str:
    held = row.get("fields", {})
    return "; ".join(f"{name} ({', '.join(held.get(name, []))})" for name in row["classes"]) or "nothing sealed"


def _sent(rows: _Rows) -> Iterator[str]:
    if not rows:
        yield "Nothing was sent."
        return
    for row in rows:
        yield (f"{show.when(row['received_at_ms'])}  {row['type']} to {', '.join(row['recipients'])}  [{row['lane']}]")
        yield f"    id {row['message_id']}  log entry {row['entry']}"
        for recipient, delivery in sorted(row["deliveries"].items()):
            code = f" {delivery['code']}" if delivery["code"] else ""
            yield from show.wrapped(f"{recipient}: {delivery['state']}{code}, attempts {delivery['attempts']}", "    ")
            yield from why(delivery, "        ")


def _held_back(rows: _Rows) -> Iterator[str]:
    if not rows:
        yield "No row is held back."
        return
    for row in rows:
        yield (
            f"{show.when(row['received_at_ms'])}  {row['profile']}, row {row['row']} (line {row['line']}): {row['code']}"
        )
        yield f"    of the file with SHA-256 {row['file_sha256']}"
        yield from show.wrapped(f"cause: {row['cause']}", "    ")
        yield from show.wrapped(f"cure: {row['cure']}", "    ")


def _quarantine(rows: _Rows) -> Iterator[str]:
    if not rows:
        yield "Nothing was refused on arrival."
        return
    for row in rows:
        yield (
            f"{show.when(row['received_at_ms'])}  {row['code']} from {row['sender'] or 'nobody known'}"
            f"  log entry {row['entry']}, SHA-256 {row['sha256'][:16]}"
        )
        yield from why(row, "    ")


def why(row: dict[str, Any], indent: str) -> Iterator[str]:
    """Yield cause and cure of what was refused; nothing where nothing was."""
    for name in ("cause", "cure"):
        if row[name]:
            yield from show.wrapped(f"{name}: {row[name]}", indent)
