"""`lianfang map identify`: which format a file is in, by its content alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from bus.cli import show
from bus.cli.desk import Desk, desk

_NOT_FOUND = 5


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@desk
def identify(desk: Desk, file: Path) -> None:
    """Name the format of FILE by its content, never by its name: how sure, and why."""
    from adapters.detect import identify as look  # noqa: PLC0415 - lazy: help must not pay for it

    found = look(file.read_bytes())
    chosen, refused = found.chosen, found.refused
    answer: dict[str, Any] = {
        "profile": chosen.profile if chosen else None,
        "sure": chosen.sure if chosen else 0.0,
        "why": list(chosen.why) if chosen else [],
        "fits": [fit._asdict() for fit in found.fits],
    }
    if refused is not None:
        answer |= {"code": refused.code, "why": [refused.cause], "cure": refused.cure}
    desk.answer(answer, _identified)
    raise click.exceptions.Exit(0 if chosen else _NOT_FOUND)


def _identified(answer: dict[str, Any]) -> Iterator[str]:
    if answer["profile"]:
        yield f"{answer['profile']}, sure to {answer['sure']:.0%}"
    else:
        yield f"no format: {answer['code']}"
    for reason in answer["why"]:
        yield from show.wrapped(reason, "  ")
    if "cure" in answer:
        yield from show.wrapped(f"cure: {answer['cure']}", "  ")
    for fit in answer["fits"][1 if answer["profile"] else 0 :]:
        yield from show.wrapped(f"it would also fit {fit['profile']}: {'; '.join(fit['why'])}", "  ")
