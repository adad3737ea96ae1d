"""`lianfang map identify` and `preview`: which format a file is in, and one row of it seen through a profile."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from bus.cli import show
from bus.cli.desk import SOME_FAILED, Desk, desk
from bus.cli.map_files import companions_of, given_at, profile_named, refusals, source
from bus.errors import NotFound


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@desk
def identify(desk: Desk, file: Path) -> None:
    """Name the format of FILE by its content, never by its name: how sure, and why."""
    from adapters.summary import identify_in  # noqa: PLC0415 - lazy: help must not pay for it

    with refusals():
        found = identify_in(given_at(file))
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
    raise click.exceptions.Exit(0 if chosen else NotFound.exit_code)


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


@click.command()
@source
@click.option("--row", type=click.IntRange(1), required=True, help="Which row, counted from 1.")
@desk
def preview(desk: Desk, profile: str, file: Path, companion: tuple[str, ...], row: int) -> None:
    """Show one row of FILE: its cells, each field made of them and how, and what is not carried.

    It shows what the file holds, so it is for whoever may read the file.
    """
    from adapters.preview import preview as look  # noqa: PLC0415 - lazy: help must not pay for it

    data = file.read_bytes()
    chosen = profile_named(profile, data)
    with refusals():
        seen = look(chosen, data, row, companions_of(companion))
    desk.answer(seen, _previewed)
    raise click.exceptions.Exit(SOME_FAILED if seen["refused"] else 0)


def _previewed(seen: dict[str, Any]) -> Iterator[str]:
    kind = (seen["type"] or "no message").rpartition(".")[2]
    yield f"{seen['profile']} {seen['version']}, row {seen['row']}, line {seen['line']}: {kind}"
    yield from show.table(
        ("line", "column", "in the file"), [(cell["line"], cell["column"], cell["text"]) for cell in seen["cells"]]
    )
    if seen["fields"]:
        yield ""
        yield from show.table(
            ("field", "verb", "column", "value"),
            [(item["field"], item["verb"], item["column"] or "-", _value(item["value"])) for item in seen["fields"]],
        )
        placed = [(item["field"], place) for item in seen["fields"] if (place := _place(item))]
        yield from ["", *show.table(("field", "where it stands in the file"), placed)] if placed else []
    for item in seen["not_carried"]:
        yield from show.wrapped(f"not carried: column {item['column']}, line {item['line']}: {item['why']}")
    for item in seen["warnings"]:
        yield from show.wrapped(f"warning {item['code']}, {item['field']}: {item['cause']}")
    if refused := seen["refused"]:
        yield from show.wrapped(f"refused: {refused['code']}: {refused['cause']}")
        yield from show.wrapped(f"cure: {refused['cure']}")


def _place(item: dict[str, Any]) -> str:
    """Return where a field's text stands, as an auditor looks it up: of a workbook in which member, and in which cell."""
    names = f"{item.get('part', '')} {item.get('cell', '')}".strip()
    where = ", ".join(word for word in (names, _bytes(item)) if word)
    if shared := item.get("shared"):
        return f"{where}; {shared['part']} text {shared['number']}, {_bytes(shared)}"
    return where


def _bytes(item: dict[str, Any]) -> str:
    return f"bytes {item['start']} to {item['end']}" if item["start"] >= 0 else ""


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
