"""Tables whose lines belong together: the lines of one subject, or of a whole file, become one message.

- A record is all readable lines of one subject, up to the most that a message holds; then the next record begins.
- A line that cannot be read, or that the message's list does not take, is a record of its own, held back; it costs its
  neighbours nothing.
- At most `BUFFERED_MAX` lines wait for their like; then the oldest subject's record is finished, so memory stays flat.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

from adapters.errors import RowRefused
from adapters.faults import other_faults
from adapters.kinds import tidy
from adapters.lines import UNENDED, Cells, Row, is_unended
from adapters.model import Converted, HeldBack, Lineage, RowWarning
from adapters.plan import Plan
from adapters.profile import Profile
from adapters.provenance import held_back
from adapters.strangers import Strangers, strangers_of
from adapters.table import Likeness, Table, above_of, of_sheet, ranges_of
from schemas import checks

BUFFERED_MAX = 65_536
_SHORT_CHARACTERS = 20
"""A text of so many characters, in UTF-8, fits every field that holds texts."""


@dataclass
class _Group:
    """The lines of one subject so far."""

    values: dict[str, Any]
    lines: list[Row] = field(default_factory=list)
    notes: list[RowWarning] = field(default_factory=list)
    strange: dict[RowWarning, None] = field(default_factory=dict)
    """Columns that are not carried and hold something in one of the lines: each once."""

    def add(self, gathered: str, row: Row, values: dict[str, Any], notes: list[RowWarning]) -> None:
        """Take one more line."""
        self.values[gathered] += values.get(gathered, [])
        self.lines.append(row)
        self.notes += notes

    def note_strange(self, strangers: Strangers, cells: Cells) -> None:
        """Note the columns that are not carried, where a line has something there."""
        self.strange.update(dict.fromkeys(strangers.of(cells)))


def grouped(profile: Profile, table: Table, plan: Plan, base: dict[str, Any]) -> Iterator[Converted | HeldBack]:
    """Yield one message for each subject's lines; held-back lines come out where they stand."""
    source = profile.file.source
    place = table.columns[source.group_by] if source.group_by else None
    parted = place is None and "part" in plan.message.DESCRIPTOR.fields_by_name
    part = 0
    likeness, strangers = Likeness(table), strangers_of(profile, table, plan)
    open_groups: dict[str, _Group] = {}
    records = count(1)
    waiting = 0
    for row in table.rows:
        notes: list[RowWarning] = []
        try:
            values = _values(plan, source.group_as, row, notes)
        except RowRefused as error:
            held = held_back(error, next(records), row.line, row.raw)._replace(sheets=_sheets((row,)))
            if row.refused is None:
                held = held._replace(others=other_faults(plan, row.cells), like=partial(likeness.of, row.cells))
            yield held
            continue
        subject = tidy(row.cells[place]) if place is not None else ""
        if is_unended(row.line, row.raw):
            notes.append(UNENDED)
        group = open_groups.setdefault(subject, _Group({**values, source.group_as: []}))
        group.add(source.group_as, row, values, notes)
        group.note_strange(strangers, row.cells)
        waiting += 1
        full = subject if len(group.lines) == source.group_max else None
        if full is None and waiting == BUFFERED_MAX:
            full = next(iter(open_groups))
        if full is not None:
            waiting -= len(open_groups[full].lines)
            part += 1
            if parted:
                open_groups[full].values["part"] = part
            yield _finished(open_groups.pop(full), plan, table, base, next(records))
    for group in open_groups.values():
        if parted and part:
            group.values["part"] = group.values["parts"] = part + 1
        yield _finished(group, plan, table, base, next(records))


def _values(plan: Plan, gathered: str, row: Row, notes: list[RowWarning]) -> dict[str, Any]:
    """Return what a line says. RowRefused."""
    if row.refused is not None:
        raise row.refused
    values = plan.values(row.cells, notes)
    if max(map(len, row.cells)) > _SHORT_CHARACTERS:
        _require_fitting(plan, gathered, values)
    return values


def _require_fitting(plan: Plan, gathered: str, values: dict[str, Any]) -> None:
    """Check a line's element of the list before it joins its group, as the whole message will be checked. RowRefused."""
    for broken in checks.violations(plan.message(**{gathered: values.get(gathered, [])})):
        if broken.path.startswith(f"{gathered}["):
            raise RowRefused(broken.cause, cure=broken.cure, code=broken.rule)


def _finished(group: _Group, plan: Plan, table: Table, base: dict[str, Any], record: int) -> Converted:
    line, lines = group.lines[0].line, tuple(group.lines)
    notes = (*group.notes, *group.strange)
    codes = list(dict.fromkeys(note.code for note in notes))
    group.values["provenance"] = {**base, "record": record, "line": line, "warnings": codes}
    trace, like = partial(_lineage, plan, table, lines, record), partial(_likeness, table, lines)
    raw = b"".join(row.raw for row in lines)
    message = plan.message(**group.values)
    return Converted(message, record, line, raw, notes, trace, b"", like, _sheets(lines), group.values)


def _sheets(lines: tuple[Row, ...]) -> tuple[tuple[str, int], ...]:
    return tuple((row.sheet, row.line) for row in lines if row.sheet)


def _likeness(table: Table, lines: tuple[Row, ...]) -> bytes:
    likeness = Likeness(table)
    return b"\n".join(likeness.of(row.cells) for row in lines)


def _lineage(plan: Plan, table: Table, lines: tuple[Row, ...], record: int) -> tuple[Lineage, ...]:
    found: list[Lineage] = []
    for number, row in enumerate(lines):
        for item in of_sheet(
            table, row.sheet, plan.lineage(row.cells, record, row.line, ranges_of(table, row), above_of(table, row))
        ):
            inside = "[0]" in item.field
            if inside or number == 0:
                found.append(item._replace(field=item.field.replace("[0]", f"[{number}]", 1)))
    return tuple(found)
