"""`lianfang map test` and `diff`: profiles against the rows that were reviewed, and against each other."""

from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import click

from bus.cli import show
from bus.cli.desk import Desk, desk
from bus.cli.map_files import companions_of, is_path, profile_named, refusals
from bus.errors import Usage

_FAILED = 1


@click.command()
@click.argument("profile", required=False)
@click.option("--all", "every", is_flag=True, help="Test every profile that comes with the product.")
@click.option("--write", is_flag=True, help="Write what the files become now as what is expected; review it.")
@desk
def test(desk: Desk, profile: str | None, *, every: bool, write: bool) -> None:
    """Convert the golden rows beside PROFILE and compare them with what was reviewed."""
    tested = [_tested(name, write=write) for name in _names(profile, every=every)]
    desk.answer({"ok": all(item["ok"] for item in tested), "profiles": tested}, _told)
    raise click.exceptions.Exit(0 if all(item["ok"] for item in tested) else _FAILED)


def _names(profile: str | None, *, every: bool) -> list[str]:
    from adapters import profiles  # noqa: PLC0415 - lazy: help must not pay for it

    if every == (profile is not None):
        raise Usage("neither one profile nor all are named", cure="give PROFILE or --all, not both")
    return list(profiles()) if profile is None else [profile]


def _folder(name: str) -> Any:
    if is_path(name):
        return Path(name).with_suffix(".golden")
    return resources.files("adapters") / "profiles" / f"{name}.golden"


def _tested(name: str, *, write: bool) -> dict[str, Any]:
    from adapters import golden  # noqa: PLC0415 - lazy: help must not pay for it

    profile, folder = profile_named(name), _folder(name)
    cases = golden.cases_in(folder)
    if not cases:
        raise Usage(
            f"the profile {profile.name} has no golden rows",
            cure=f"put files in its dialect, of invented data, into {folder.name} beside it",
            code="LF-MAP-NO-GOLDEN",
        )
    if write:
        for case in cases:
            made = golden.text(golden.outcomes(profile, case))
            Path(str(folder / f"{case.name}{golden.EXPECTED}")).write_text(made, "utf-8")
        cases = golden.cases_in(folder)
    verdicts = [golden.judge(profile, case) for case in cases]
    return {
        "profile": profile.name,
        "version": profile.version,
        "ok": not any(verdict.differences for verdict in verdicts),
        "cases": [verdict._asdict() for verdict in verdicts],
    }


def _told(answer: dict[str, Any]) -> Iterator[str]:
    for item in answer["profiles"]:
        rows = sum(case["rows"] for case in item["cases"])
        yield (
            f"{item['profile']} {item['version']}: {'ok' if item['ok'] else 'NOT as reviewed'}, "
            f"{show.count(len(item['cases']), 'file')}, {show.count(rows, 'row')}"
        )
        for case in item["cases"]:
            for difference in case["differences"]:
                yield from show.wrapped(f"{case['case']}: {difference}", "  ")


@click.command()
@click.argument("before")
@click.argument("after")
@click.option(
    "--on", "file", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The file to read with both."
)
@click.option("--companion", multiple=True, metavar="NAME=FILE", help="A file that belongs to it.")
@desk
def diff(desk: Desk, before: str, after: str, file: Path, companion: tuple[str, ...]) -> None:
    """Read one file with the profiles BEFORE and AFTER, and say which rows and fields change."""
    from adapters.compare import differences  # noqa: PLC0415 - lazy: help must not pay for it

    data = file.read_bytes()
    one, other = profile_named(before, data), profile_named(after, data)
    with refusals():
        found = differences(one, other, data, companions_of(companion))
    desk.answer({"before": one.name, "after": other.name, **found}, _compared)
    raise click.exceptions.Exit(_FAILED if found["changed"] else 0)


def _compared(found: dict[str, Any]) -> Iterator[str]:
    yield f"{found['before']} and {found['after']}: {show.count(found['rows'], 'row')}, {len(found['changed'])} come out otherwise"
    for row in found["changed"]:
        words = "; ".join(f"{change['field']}: {change['change']}" for change in row["changes"])
        yield from show.wrapped(f"row {row['row']}, line {row['line']}: {words}", "  ")
