"""Several sheets of a workbook with the header of one table: copies are taken once, with a note; what differs refuses the file.

- A sheet is a copy when its rows, in the same order, become the same values, and say the same in the columns that the dialect
  does not read: an amount may be spelt ¥5.00 in one and 5 in the other. What cannot be read must stand there letter by letter.
- Which of two sheets that differ is right, nobody here knows; both together could count a movement twice.
"""

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from adapters.errors import FileRefused, RowRefused
from adapters.footers import Outcome, with_notes
from adapters.kinds import tidy
from adapters.lines import Cells
from adapters.model import RowWarning
from adapters.plan import Plan, compile_plan
from adapters.profile import Profile
from adapters.table import Likeness, Table, Twin, with_preamble

SHEET_REPEATED = "sheet_repeated"
_CURE = "keep the sheet that the system exported, and take the others out; send them as files of their own if they are other records"


def copies_of(profile: Profile, table: Table) -> list[RowWarning]:
    """Return what is said of sheets that repeat the table. FileRefused when one says something else."""
    if not table.twins:
        return []
    first, *others = table.twins
    for other in others:
        _require_copy(profile, first, other)
    names = ", ".join(other.sheet for other in others)
    return [
        RowWarning(SHEET_REPEATED, "", f"rows are read of the sheet {first.sheet} alone; these repeat them: {names}")
    ]


def noted(outcomes: Iterator[Outcome], notes: list[RowWarning]) -> Iterator[Outcome]:
    """Yield the outcomes, the first with what is said of the sheets."""
    for outcome in outcomes:
        yield with_notes(outcome, notes, _CURE)
        break
    yield from outcomes


def _require_copy(profile: Profile, first: Twin, other: Twin) -> None:
    rows = zip_longest(_said(profile, first.open()), _said(profile, other.open()), fillvalue=(0, None))
    for (line, one), (line_there, another) in rows:
        if one == another:
            continue
        where = (
            f"row {line} of the first and row {line_there} of the other"
            if line and line_there
            else "their number of rows"
        )
        raise FileRefused(
            f"the sheets {first.sheet} and {other.sheet} both have this dialect's header, and differ: in {where}",
            cure=_CURE,
            code="LF-FILE-SHEET",
        )


def _said(profile: Profile, table: Table) -> Iterator[tuple[int, Any]]:
    """Yield the line of each row, and what it says: values, and the texts of columns that no field reads."""
    whole = with_preamble(table, profile.file.source)
    assert profile.file.target is not None, "checked with the profile"
    plan = compile_plan(profile, profile.file.target.message, profile.file.field, whole.columns, whole.headers)
    names = {name for verbs in profile.file.field.values() for name in verbs.sources}
    read = {at for name, at in whole.columns.items() if name in names}
    others = [(header, at) for at, header in enumerate(whole.headers) if header and at not in read]
    likeness = Likeness(whole)
    for row in whole.rows:
        yield row.line, row.raw if row.refused else _values(plan, row.cells, others, likeness)


def _values(plan: Plan, cells: Cells, others: list[tuple[str, int]], likeness: Likeness) -> Any:
    try:
        values = plan.values(cells, [])
    except RowRefused:
        return likeness.of(cells)
    return values, sorted((header, text) for header, at in others if (text := tidy(cells[at])))
