"""`lianfang order`: stop or freeze an account, lift, release, extend; and the list of orders.

A measure and its extension need their papers (`--paper KIND=FILE`); a bank refuses them without. Relief needs no papers:
a lift or a release names the order that it ends, and the reason.
"""

import base64
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from bus.cli import show
from bus.cli.desk import Command, Desk, desk, named_files, names
from bus.cli.lists import limit_option, why
from bus.errors import Usage

_PAPERS = ("police-id", "form", "instrument", "other")
_TIMEOUT_S = 120.0

_ORDERS = {
    "stop": ("stop", "Stop payments out of an account for 48 hours."),
    "lift": ("lift", "Lift a stop before it ends; give the reason."),
    "extend-stop": ("stop-extend", "Extend a stop by another 48 hours."),
    "freeze": ("freeze", "Freeze an account, or --amount of it, for six months."),
    "release": ("release", "Release a freeze; give the reason."),
    "extend-freeze": ("freeze-extend", "Extend a freeze by another six months."),
}
"""Every kind of order: its name on the socket, and what it does."""


@click.group()
def order() -> None:
    """Stop or freeze an account, lift, release, extend, and list orders."""


def _typed_or_read(_: click.Context, __: click.Parameter, given: str) -> str:
    """Read a value from standard input when it is given as `-`: the list of processes shows arguments to everybody."""
    return sys.stdin.readline().strip() if given == "-" else given


def _options(command: Command) -> Command:
    """Add what every kind of order may say."""
    for option in (
        click.option("--to", multiple=True, required=True, callback=names, metavar="AGENCY", help="Who holds it."),
        click.option(
            "--account",
            required=True,
            callback=_typed_or_read,
            help="The whole number; - reads it from standard input.",
        ),
        click.option("--application-id", required=True, help="Your number of this application."),
        click.option("--original-application-id", default="", help="The order that this one lifts or extends."),
        click.option("--bank", default="", help="The bank's CNAPS code."),
        click.option("--bank-name", default="", help="The bank's name."),
        click.option(
            "--account-kind",
            type=click.Choice(("personal", "corporate")),
            default="personal",
            show_default=True,
            help="Whose account it is.",
        ),
        click.option(
            "--holder", default="", callback=_typed_or_read, help="The holder's name; - reads it from standard input."
        ),
        click.option("--amount", default="", help="Of the transfer, or to freeze, for example 5000.00."),
        click.option("--currency", default="", help="Of the amount; CNY when left out."),
        click.option("--reason", default="", help="Why; a lift or a release needs it."),
        click.option("--remark", default="", help="Anything else."),
        click.option("--case", default="", help="Under which case of your own register."),
        click.option("--case-type", default="", help="Kind of case, a code of the platform's list."),
        click.option("--emergency", default="", help="01 normal, 02 urgent."),
        click.option("--application-type", default="", help="Kind of application, a code of the platform's list."),
        click.option(
            "--staff",
            type=click.Path(path_type=Path, dir_okay=False),
            help="A TOML file with the officers and the organisation that ask.",
        ),
        click.option("--paper", multiple=True, metavar="KIND=FILE", help=f"A paper: {', '.join(_PAPERS)}."),
    )[::-1]:
        command = option(command)
    return command


def _transfer(command: Command) -> Command:
    """Add what only a stop says: where the money came from."""
    for option in (
        click.option(
            "--source-account",
            default="",
            callback=_typed_or_read,
            help="Where the money came from; - reads it from standard input.",
        ),
        click.option("--source-bank", default="", help="The CNAPS code of that account's bank."),
        click.option(
            "--source-holder",
            default="",
            callback=_typed_or_read,
            help="That account's holder; - reads it from standard input.",
        ),
    )[::-1]:
        command = option(command)
    return command


def _command(name: str, kind: str, summary: str) -> click.Command:
    @_options
    @desk
    def send_order(desk: Desk, to: tuple[str, ...], paper: tuple[str, ...], staff: Path | None, **said: str) -> None:
        papers = [_paper(paper_kind, path) for paper_kind, path in named_files(paper, "--paper")]
        officers = {} if staff is None else _staff(staff)
        result = desk.ask("order", _TIMEOUT_S, kind=kind, to=list(to), papers=papers, staff=officers, **said)
        desk.answer(result, _ordered(name, named=bool(officers)))

    return click.command(name, help=summary)(_transfer(send_order) if kind == "stop" else send_order)


def _staff(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise Usage(f"{path} is not TOML: {error}", cure="mend the line it names", code="LF-ORDER-STAFF") from None


def _paper(kind: str, path: Path) -> dict[str, str]:
    if kind not in _PAPERS:
        raise Usage(f"{kind} is no kind of paper", cure=f"use one of {', '.join(_PAPERS)}", code="LF-CLI-PAPER")
    return {"kind": kind, "name": path.name, "content": base64.b64encode(path.read_bytes()).decode()}


def _ordered(name: str, *, named: bool) -> Callable[[dict[str, Any]], Iterator[str]]:
    def lines(result: dict[str, Any]) -> Iterator[str]:
        if result["already_sent"]:
            yield from show.wrapped(
                f"An order of that number was sent before, as {result['message_id']}; nothing was sent again. Another order "
                "needs another --application-id."
            )
        else:
            yield f"Order {name} sent as {result['message_id']}, log entry {result['entry']}."
            if not named:
                yield "It names no officers and no organisation (--staff); a bank's system may ask for them."
        yield "`lianfang order list` shows when it is answered."

    return lines


for _name, (_kind, _summary) in _ORDERS.items():
    order.add_command(_command(_name, _kind, _summary))


@order.command("list")
@limit_option
@desk
def list_orders(desk: Desk, limit: int) -> None:
    """List orders issued and received, with their state."""
    desk.answer(desk.ask("orders", limit=limit), _orders)


def _orders(rows: list[dict[str, Any]]) -> Iterator[str]:
    if not rows:
        yield "There are no orders."
        return
    for row in rows:
        way = f"to {row['peer']}" if row["side"] == "issued" else f"from {row['peer']}"
        yield f"{show.when(row['created_ms'])}  {row['type']} {way}  [{row['state']}]"
        yield f"    id {row['message_id']}"
        yield from why(row, "    ")
        if row["deadline_ms"]:
            yield f"    to be answered by {show.when(row['deadline_ms'])}"
        if row["result_message_id"]:
            yield f"    answer {row['result_message_id']}; `lianfang open` it with --class RISK,NARRATIVE"
