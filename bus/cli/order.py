"""`lianfang order`: stop or freeze an account, lift, release, extend; and the list of orders.

Each order needs its papers (`--paper KIND=FILE`); a bank refuses an order without them. Release asks for a reason, and
is otherwise as short as freeze.
"""

import base64
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from bus.cli import show
from bus.cli.desk import Command, Desk, desk, named_files, names
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
        click.option(
            "--holder", default="", callback=_typed_or_read, help="The holder's name; - reads it from standard input."
        ),
        click.option("--amount", default="", help="Limit to this amount, for example 5000.00."),
        click.option("--currency", default="", help="Of the amount; CNY when left out."),
        click.option("--reason", default="", help="Why; a lift or a release needs it."),
        click.option("--case", default="", help="Under which case of your own register."),
        click.option("--paper", multiple=True, metavar="KIND=FILE", help=f"A paper: {', '.join(_PAPERS)}."),
    )[::-1]:
        command = option(command)
    return command


def _command(name: str, kind: str, summary: str) -> click.Command:
    @_options
    @desk
    def send_order(desk: Desk, to: tuple[str, ...], paper: tuple[str, ...], **said: str) -> None:
        papers = [_paper(paper_kind, path) for paper_kind, path in named_files(paper, "--paper")]
        result = desk.ask("order", _TIMEOUT_S, kind=kind, to=list(to), papers=papers, **said)
        desk.answer(result, _ordered(name))

    return click.command(name, help=summary)(send_order)


def _paper(kind: str, path: Path) -> dict[str, str]:
    if kind not in _PAPERS:
        raise Usage(f"{kind} is no kind of paper", cure=f"use one of {', '.join(_PAPERS)}", code="LF-CLI-PAPER")
    return {"kind": kind, "name": path.name, "content": base64.b64encode(path.read_bytes()).decode()}


def _ordered(name: str) -> Callable[[dict[str, Any]], Iterator[str]]:
    def lines(result: dict[str, Any]) -> Iterator[str]:
        if result["already_sent"]:
            yield f"This order was sent before, as {result['message_id']}; nothing was sent again."
        else:
            yield f"Order {name} sent as {result['message_id']}, log entry {result['entry']}."
        yield "`lianfang order list` shows when it is answered."

    return lines


for _name, (_kind, _summary) in _ORDERS.items():
    order.add_command(_command(_name, _kind, _summary))


@order.command("list")
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True, help="Rows at most.")
@desk
def list_orders(desk: Desk, limit: int) -> None:
    """List orders issued and received, with their state."""
    desk.answer(desk.ask("orders", limit=limit), _orders)


def _orders(rows: list[dict[str, Any]]) -> Iterator[str]:
    if not rows:
        yield "There are no orders."
        return
    yield from show.table(
        ("made", "order", "side", "with", "message id", "state"),
        (
            (
                show.when(row["created_ms"])[:16],
                row["type"].removesuffix("Order"),
                row["side"],
                row["peer"],
                row["message_id"],
                row["state"],
            )
            for row in rows
        ),
    )
