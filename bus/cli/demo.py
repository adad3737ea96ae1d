"""`lianfang demo`: the whole story on this machine."""

from pathlib import Path
from typing import Any

import click

from bus.cli import show


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value and nothing else.")
@click.option(
    "--transport",
    type=click.Choice(["rabbitmq", "memory"]),
    default="rabbitmq",
    show_default=True,
    help="A private RabbitMQ and seven processes, or one process.",
)
@click.option("--dir", "directory", type=click.Path(path_type=Path, file_okay=False), help="Where to put the agencies.")
@click.option(
    "--input", "notices", type=click.Path(path_type=Path, dir_okay=False), help="Your own bank CSV for step 1."
)
@click.option("--serve", is_flag=True, help="Leave everything running until Ctrl-C.")
def demo(**options: Any) -> None:
    """Play the whole story on this machine, with seven agencies."""
    from deploy.demo.story import run  # noqa: PLC0415 - lazy: help must not pay for it

    raise click.exceptions.Exit(run(options, show))
