"""What a value hangs on beside its own text, for lineage: cells that a condition looked at, a currency, a sign, a year.

A constant under a condition, and a value that `choose` chose, have no text of their own: an auditor is led to the cells
that the condition looked at. A constant without a condition hangs on nothing in the file.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from adapters.conditions import condition
from adapters.kinds import tidy
from adapters.profile import Mapping_, When
from adapters.tree import texts_of

Cells = Sequence[str]

LOOK = "look at"
"""Verb of a cell that was looked at, and of which nothing was taken."""


class Ground(NamedTuple):
    """One thing that a value hangs on."""

    verb: str
    part: str
    """Which part of the field, with a dot before it; empty for the whole."""
    asked: Callable[[Cells], tuple[int, ...]]
    """Places of the cells that were looked at in a record."""
    alone: bool = True
    """Whether it matters also where all those cells are empty: that is what the condition saw."""


def grounds_of(verbs: Mapping_, columns: Mapping[str, int]) -> tuple[Ground, ...]:
    """Return what a field hangs on beside its own cells."""
    found = []
    fixed = bool(verbs.const or verbs.choose)
    if fixed and verbs.when is not None:
        found.append(Ground("when", "", _always(_columns_of(verbs.when), columns)))
    if verbs.choose:
        return (*found, Ground("choose", "", _of_choice(verbs, columns)))
    if not fixed:
        parse = verbs.parse
        sign = parse.negative.source if parse.negative is not None else ""
        for verb, part, name in (
            ("currency", ".currency", parse.currency_from),
            ("sign", "", sign),
            ("year", "", parse.year_from),
            ("order", "", verbs.numbered),
        ):
            if name in columns:
                found.append(Ground(verb, part, _always((name,), columns), alone=False))
    return tuple(found)


def names_asked(verbs: Mapping_) -> tuple[str, ...]:
    """Return the columns or paths that the cases of a choice ask for."""
    return tuple(dict.fromkeys(name for choice in verbs.choose for name in condition(choice.condition).names))


def _columns_of(when: When | str) -> tuple[str, ...]:
    return condition(when).names if isinstance(when, str) else (when.source,)


def _always(names: Sequence[str], columns: Mapping[str, int]) -> Callable[[Cells], tuple[int, ...]]:
    places = _places(names, columns)
    return lambda _: places


def _places(names: Sequence[str], columns: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(columns[name] for name in names if name in columns))


def _of_choice(verbs: Mapping_, columns: Mapping[str, int]) -> Callable[[Cells], tuple[int, ...]]:
    """Return what tells the cells of the condition that held; of all of them where it was the last: it stands for the rest."""
    cases = [condition(choice.condition) for choice in verbs.choose]
    names = names_asked(verbs)
    every, absent = _places(names, columns), dict.fromkeys(names, "")
    asked = [(name, columns[name]) for name in names if name in columns]

    def places(cells: Cells) -> tuple[int, ...]:
        row = {**absent, **{name: tidy(cells[place]) for name, place in asked}}
        held = next((case for case in cases if case.holds(row)), None)
        return every if held is None or held is cases[-1] else _places(held.names, columns)

    return places


def with_text(places: tuple[int, ...], cells: Cells, nulls: frozenset[str]) -> tuple[int, ...]:
    """Return the places whose cells say something."""
    return tuple(place for place in places if tidy(cells[place]) not in nulls)


def taken_from(verbs: Mapping_, places: tuple[int, ...], cells: Cells, nulls: frozenset[str]) -> frozenset[int]:
    """Return the places of which something was taken: all, but where a pattern takes a part of several joined cells."""
    if not verbs.take or len(places) == 1:
        return frozenset(places)
    texts = [(place, text) for place in places for one in texts_of(cells[place]) if (text := tidy(one)) not in nulls]
    found = re.compile(verbs.take, re.DOTALL).fullmatch(verbs.join.join(text for _, text in texts))
    if found is None:
        return frozenset(places)
    (first, end), at = found.span(1), 0
    taken = set()
    for place, text in texts:
        if at < end and first < at + len(text):
            taken.add(place)
        at += len(text) + len(verbs.join)
    return frozenset(taken)
