"""`lianfang config`: the settings of a node, and where each came from."""

from collections.abc import Callable, Iterator
from typing import Any

import click

from bus.cli import show
from bus.cli.desk import Desk, desk


@click.group()
def config() -> None:
    """Show the node's settings and where each came from."""


@config.command("show")
@click.option("--origin", is_flag=True, help="Say where each value came from.")
@desk
def show_config(desk: Desk, *, origin: bool) -> None:
    """Print every setting; passwords are masked."""
    from bus import config as configuration  # noqa: PLC0415 - lazy: help must not pay for it

    rows = configuration.shown(*configuration.load(desk.directory))
    desk.answer([_as_dict(row, with_origin=origin) for row in rows], _settings(with_origin=origin))


def _as_dict(row: tuple[str, str, str], *, with_origin: bool) -> dict[str, str]:
    key, value, origin = row
    return {"key": key, "value": value} | ({"origin": origin} if with_origin else {})


def _settings(*, with_origin: bool) -> Callable[[list[dict[str, Any]]], Iterator[str]]:
    columns = ("key", "origin", "value") if with_origin else ("key", "value")

    def lines(rows: list[dict[str, Any]]) -> Iterator[str]:
        yield from show.table(columns, ([row[column] for column in columns] for row in rows))

    return lines
