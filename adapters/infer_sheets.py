"""Which sheet of a workbook is the table that a profile is proposed for; what the others are, a person must say.

A sheet that no rule names refuses the file when the profile reads it, so an unanswered question loses no row.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from adapters.errors import FileRefused
from adapters.guesses import Verdict, toml_text

_SPACES = re.compile(r"\s+")


class Part(NamedTuple):
    """A sheet with rows."""

    name: str
    headers: tuple[str, ...]
    """Empty where it has no header line."""
    fields: frozenset[str]
    """The message's fields that its columns surely are."""


def choose(parts: Sequence[Part]) -> tuple[int, tuple[Verdict, ...]]:
    """Return the place of the sheet that is the table, and what is thought of each. FileRefused when there is no telling."""
    best = max((len(part.fields) for part in parts), default=0)
    fit = [place for place, part in enumerate(parts) if best and len(part.fields) == best]
    if not fit or len({parts[place].headers for place in fit}) > 1:
        names = ", ".join(part.name for place, part in enumerate(parts) if place in fit or not fit) or "none"
        raise FileRefused(
            f"no one sheet is the table: {'these fit equally well' if fit else 'none of these fits'}: {names}",
            cure="leave one sheet in a copy of the workbook, and name the others in the profile with [[source.sheet]]",
            code="LF-FILE-SHEET",
        )
    chosen = parts[fit[0]]
    return fit[0], tuple(_verdict(part, chosen, len(parts)) for part in parts)


def _verdict(part: Part, chosen: Part, sheets: int) -> Verdict:
    if part is chosen:
        why = f"{len(part.fields)} of its columns are known" + (", more than of any other" if sheets > 1 else "")
        return Verdict(part.name, 1.0, written=True, why=why)
    if part.headers == chosen.headers:
        return Verdict(part.name, 0.5, written=False, why="it has the same header: a further part of it, or a copy?")
    if part.fields & chosen.fields:
        return Verdict(part.name, 0.3, written=False, why="some of its columns are known: records of another kind?")
    return Verdict(part.name, 0.0, written=False, why="it holds rows: are they records, or may they be left out?")


def sheet_lines(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Yield the rules: one for the table, and for every other sheet a question."""
    for verdict in verdicts:
        name = toml_text(re.escape(_SPACES.sub(" ", verdict.sheet.strip())))
        if verdict.written:
            yield from ("", "[[source.sheet]]", f"name = {name}  # {verdict.sure:.0%} sure: {verdict.why}")
            continue
        yield from ("", f"# {verdict.sure:.0%} sure: {verdict.why} Until a rule says so, the file is refused.")
        yield from ("# [[source.sheet]]", f"# name = {name}", "# ignore = true")
