"""`lianfang map docs` and `schema`: what is written of profiles, for people and for editors."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from bus.cli import show
from bus.cli.desk import Desk, desk
from bus.cli.map_files import profile_named


@click.command()
@click.argument("profile", required=False)
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="The directory for the pages."
)
@desk
def docs(desk: Desk, profile: str | None, out: Path) -> None:
    """Write a page per profile, or the page of PROFILE alone."""
    from adapters import profiles  # noqa: PLC0415 - lazy: help must not pay for it
    from adapters.pages import index, page  # noqa: PLC0415 - lazy

    if profile is None:
        known = profiles()
        texts = {"README.md": index(known), **{f"{name}.md": page(one) for name, one in known.items()}}
    else:
        chosen = profile_named(profile)
        texts = {f"{chosen.name}.md": page(chosen)}
    out.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (out / name).write_text(text, "utf-8")
    desk.answer({"files": [str(out / name) for name in texts]}, _written)


def _written(answer: dict[str, Any]) -> Iterator[str]:
    yield from answer["files"]


@click.command()
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write it to this file.")
@desk
def schema(desk: Desk, out: Path | None) -> None:
    """Print the JSON Schema of a profile's file, for editors."""
    from adapters.schema import text  # noqa: PLC0415 - lazy: help must not pay for it

    if out is None:
        show.emit(json.loads(text()))
        return
    out.write_text(text(), "utf-8")
    desk.answer({"files": [str(out)]}, _written)
