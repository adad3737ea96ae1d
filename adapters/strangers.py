"""Columns of a table that go nowhere: each is named where it holds anything.

A column is a stranger when no field reads it and the profile does not say to ignore it; in a row, also when every field
that reads it does so under a condition, and no condition holds.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from adapters.kinds import tidy
from adapters.model import RowWarning
from adapters.plan import Plan
from adapters.profile import Profile
from adapters.table import NOTE, Table
from adapters.tree_plan import Guarded, guarded_by, looked_at, untaken
from adapters.verbs import Cells


@dataclass(frozen=True)
class Strangers:
    """What to say of the columns of a file that are not carried."""

    always: tuple[tuple[int, RowWarning], ...]
    guarded: Guarded
    headers: tuple[str, ...]
    nulls: frozenset[str]

    def __bool__(self) -> bool:
        """Say whether there may be anything to say."""
        return bool(self.always or self.guarded)

    def of(self, cells: Cells) -> Iterator[RowWarning]:
        """Yield what is said of a row."""
        for place, note in self.always:
            if tidy(cells[place]) not in self.nulls:
                yield note
        if self.guarded:
            for place in sorted(untaken(self.guarded, cells)):
                if tidy(cells[place]) not in self.nulls:
                    yield _note(f"column {self.headers[place]} has no place in a message of such a row")


def strangers_of(profile: Profile, table: Table, plan: Plan) -> Strangers:
    """Return the columns that are not carried, always or in some rows."""
    source = profile.file.source
    read = {source.group_by, source.sheet_column}
    for verbs in profile.file.field.values():
        read.update(verbs.sources, looked_at(verbs))
    carried = {place for name, place in table.columns.items() if name in read}
    ignored = set(source.ignore)
    always = tuple(
        (place, _note(f"column {header} has no place in the message"))
        for place, header in enumerate(table.headers)
        if place not in carried and header and header not in ignored and not header.startswith(NOTE)
    )
    return Strangers(always, guarded_by(profile.file.field, plan, table.columns), table.headers, plan.nulls)


def _note(cause: str) -> RowWarning:
    return RowWarning("column_not_carried", "", cause)
