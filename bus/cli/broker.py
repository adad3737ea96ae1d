"""`lianfang broker`: the private broker of demo and tests. It never touches a RabbitMQ that is already on the machine."""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from bus.cli import show
from bus.cli.desk import Command, Desk, names

_DIRECTORY = Path(".lianfang/broker")
_PKI = "pki"


@click.group()
def broker() -> None:
    """Start, stop and look at the private broker."""


def _desk(command: Command) -> Command:
    """Add --dir and --json; here the directory is the broker's own."""

    @click.option(
        "--dir",
        "directory",
        type=click.Path(path_type=Path, file_okay=False),
        default=_DIRECTORY,
        show_default=True,
        help="The broker's directory.",
    )
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON value and nothing else.")
    @functools.wraps(command)
    def with_desk(*, directory: Path, as_json: bool, **options: Any) -> Any:
        return command(desk=Desk(directory, as_json), **options)

    return with_desk


def _local(desk: Desk) -> Any:
    from deploy.local.broker import LocalBroker  # noqa: PLC0415 - lazy: help must not pay for it

    return LocalBroker(desk.directory)


@broker.command()
@click.option(
    "--agency", "agencies", multiple=True, callback=names, metavar="A,B", help="Its agencies; the demo's seven."
)
@_desk
def start(desk: Desk, agencies: tuple[str, ...]) -> None:
    """Start it, or add agencies to the one that runs; returns once it answers."""
    local = _local(desk)
    desk.answer(local.start(agencies) if agencies else local.start(), _status)


@broker.command()
@_desk
def stop(desk: Desk) -> None:
    """Stop it and its port mapper, by process id."""
    stopped = _local(desk).stop()
    desk.answer(
        {"stopped": stopped}, lambda value: ["The broker is stopped." if value["stopped"] else "No broker was running."]
    )


@broker.command()
@_desk
def status(desk: Desk) -> None:
    """Say whether it runs, on which ports, for which agencies."""
    desk.answer(_local(desk).status(), _status)


@broker.command()
@click.option("--lines", type=click.IntRange(1, 10_000), default=40, show_default=True, help="How many.")
@_desk
def logs(desk: Desk, lines: int) -> None:
    """Print the last lines of its log."""
    text = _local(desk).logs(lines)
    desk.answer({"lines": text.splitlines()}, lambda value: value["lines"])


def _status(status: dict[str, Any]) -> Iterator[str]:
    yield from show.facts(
        (
            ("running", f"yes, process {status['pid']}" if status["running"] else "no"),
            ("node", status["node"]),
            ("version", status["version"]),
            ("ports", ", ".join(f"{name} {port}" for name, port in status["ports"].items())),
            ("agencies", ", ".join(status["agencies"]) or "none"),
            ("directory", status["directory"]),
            (
                "certificates",
                f"{_PKI}/ca.pem, {_PKI}/agencies/NAME/cert.pem and key.pem below it; a node has them in tls/",
            ),
        )
    )
