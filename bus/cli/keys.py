"""`lianfang keys`: what becomes of this agency's keys."""

from collections.abc import Iterator
from typing import Any

import click

from bus.cli.desk import Desk, desk


@click.group()
def keys() -> None:
    """Look after this agency's keys."""


@keys.command()
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@desk
def rekey(desk: Desk, *, dry_run: bool) -> None:
    """Encrypt the vault under a new key, guarded as [keys] of node.toml now says.

    Stop the node first. What guards the old key must still be reachable: where it is another than [keys] names, name it
    under [keys.former]. A crash at any moment leaves a vault that opens; calling it again finishes it.
    """
    from bus.config import load  # noqa: PLC0415 - lazy: help must not pay for it
    from bus.randomness import SystemRandomness  # noqa: PLC0415 - lazy

    config, _ = load(desk.directory)
    from bus.keyservice.rekey import rekey as begin  # noqa: PLC0415 - lazy

    done = begin(desk.directory, config.keys, SystemRandomness(), dry_run=dry_run)
    desk.answer(vars(done), _rekeyed)


def _rekeyed(value: dict[str, Any]) -> Iterator[str]:
    what = f"{value['secrets']} secrets under key {value['generation']}, guarded by {value['provider']}"
    if value["dry_run"]:
        yield f"Would encrypt {what} (now: {value['former_provider']}). Nothing was done."
        return
    yield f"Encrypted {what} (before: {value['former_provider']})."
    yield "Next: remove [keys.former] from node.toml if it is there, start the node, and destroy what guarded the old key."
