"""Verbs that stand round the reading of a text: take, choose, when, the sign of an amount, the year of a day that has none."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from adapters.conditions import condition
from adapters.kinds import Notes, Read, refuse, tidy
from adapters.model import RowWarning
from adapters.profile import Mapping_

Cells = Sequence[str]
Fill = Callable[[Cells, Notes], Any]

FORM = (
    "LF-ROW-PATTERN",
    "has not the form it must have",
    "correct it at the source; where it is right as it stands, correct the form in the profile",
)
_NO_CASE = (
    "LF-ROW-CASE",
    "is in none of the cases that the profile knows",
    "correct it at the source, or add the case to the profile",
)
_MONTH = re.compile(r"([0-9]{4})[^0-9]{0,3}(0?[1-9]|1[0-2])(?:[^0-9].*)?")
_DAY = re.compile(r"(0?[1-9]|1[0-2])[^0-9].*")
_NO_YEAR = (
    "LF-ROW-DATE",
    "holds a day without a year, and the file does not say of which month it is",
    "keep the lines above the header: they name the month",
)


def taken(read: Read, verbs: Mapping_) -> Read:
    """The verb take: what the pattern's first group catches is read; a text of another form is refused."""
    if not verbs.take:
        return read
    take = re.compile(verbs.take, re.DOTALL).fullmatch

    def read_taken(text: str, notes: Notes) -> Any:
        found = take(text)
        if found is None:
            raise refuse(FORM)
        part = (found[1] or "").strip()
        return read(part, notes) if part else None

    return read_taken


def chosen(verbs: Mapping_, constant: Callable[[str], Any], columns: Mapping[str, int]) -> Fill:
    """The verb choose: the first value whose condition holds."""
    cases = [(condition(choice.condition), constant(choice.const)) for choice in verbs.choose]
    names = sorted({name for holds, _ in cases for name in holds.names})
    asked = [(name, columns[name]) for name in names if name in columns]
    absent = dict.fromkeys(names, "")

    def fill(cells: Cells, _: Notes) -> Any:
        row = {**absent, **{name: tidy(cells[place]) for name, place in asked}}
        for holds, value in cases:
            if holds.holds(row):
                return value
        if verbs.check.required:
            raise refuse(_NO_CASE)
        return None

    return fill


def with_year(fill: Fill, place: int, month: int, path: str) -> Fill:
    """Return what reads a day after its year is written before it, and a stroke.

    A statement of a month lists days up to that month and none a year before it: a later month is of the year before.
    """

    def fill_day(cells: Cells, notes: Notes) -> Any:
        day = _DAY.fullmatch(tidy(cells[place]))
        if day is None:
            return fill(cells, notes)
        until = _MONTH.fullmatch(tidy(cells[month]))
        if until is None:
            raise refuse(_NO_YEAR)
        year = int(until[1]) - (int(day[1]) > int(until[2]))
        dated = list(cells)
        dated[place] = f"{year}/{day[0]}"
        found = fill(dated, notes)
        notes.append(
            RowWarning("year_assumed", path, "the day carries no year; it is taken from the month of the bill")
        )
        return {**found, "raw": day[0]}

    return fill_day


def signed(fill: Fill, place: int, negative: frozenset[str]) -> Fill:
    """Return what fills an amount whose sign stands in another cell. An amount that has one of its own must agree."""

    def fill_signed(cells: Cells, notes: Notes) -> Any:
        money = fill(cells, notes)
        if money is None or tidy(cells[place]) not in negative:
            return money
        if money["minor_units"] < 0:
            raise refuse(("LF-ROW-AMOUNT", "is negative, and its mark says so too", "correct it at the source"))
        return {**money, "minor_units": -money["minor_units"]}

    return fill_signed


def unsigned(fill: Fill, place: int, outgoing: frozenset[str]) -> Fill:
    """Return what fills an amount without its sign, where another cell says which way the money went: they must agree."""

    def fill_unsigned(cells: Cells, notes: Notes) -> Any:
        money = fill(cells, notes)
        if money is None or money["minor_units"] >= 0:
            return money
        if tidy(cells[place]) not in outgoing:
            raise refuse(("LF-ROW-AMOUNT", "is negative, and its direction says otherwise", "correct it at the source"))
        return {**money, "minor_units": -money["minor_units"]}

    return fill_unsigned


def when(fill: Fill, verbs: Mapping_, columns: Mapping[str, int]) -> Fill:
    """The verb when: the field is filled only where another cell says so, or a condition holds."""
    if verbs.when is None:
        return fill
    if isinstance(verbs.when, str):
        holds = condition(verbs.when)
        asked = [(name, columns[name]) for name in holds.names if name in columns]
        absent = dict.fromkeys(holds.names, "")
        return lambda cells, notes: (
            fill(cells, notes)
            if holds.holds({**absent, **{name: tidy(cells[place]) for name, place in asked}})
            else None
        )
    if verbs.when.source not in columns:
        return lambda _cells, _notes: None
    return partial(_fill_when, fill, columns[verbs.when.source], frozenset(verbs.when.among))


def _fill_when(fill: Fill, place: int, among: frozenset[str], cells: Cells, notes: Notes) -> Any:
    return fill(cells, notes) if tidy(cells[place]) in among else None
