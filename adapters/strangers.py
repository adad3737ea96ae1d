"""Columns of a table that no field reads and that the profile does not say to ignore: each is named where it holds anything."""

from adapters.kinds import Notes, tidy
from adapters.model import RowWarning
from adapters.profile import Profile
from adapters.table import NOTE, Table
from adapters.tree_plan import looked_at
from adapters.verbs import Cells

Strangers = list[tuple[int, RowWarning]]


def strangers_of(profile: Profile, table: Table) -> Strangers:
    """Return the columns that are not carried, each with what is said of a row that has something there."""
    source = profile.file.source
    read = {source.group_by, source.sheet_column}
    for verbs in profile.file.field.values():
        read.update(verbs.sources, looked_at(verbs))
    carried = {place for name, place in table.columns.items() if name in read}
    ignored = set(source.ignore)
    return [
        (place, RowWarning("column_not_carried", "", f"column {header} has no place in the message"))
        for place, header in enumerate(table.headers)
        if place not in carried and header and header not in ignored and not header.startswith(NOTE)
    ]


def note_strangers(strangers: Strangers, cells: Cells, notes: Notes, nulls: frozenset[str]) -> None:
    """Note the columns that hold something in a row and are not carried."""
    notes += [note for place, note in strangers if tidy(cells[place]) not in nulls]
