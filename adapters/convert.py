"""A local file becomes messages: bytes → records → mapping → shared messages.

Every record has exactly one outcome, Converted or HeldBack, and comes out in the order of the file. What is wrong with
the file as a whole is found before the first record comes out.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from adapters import tree_stream
from adapters.errors import RowRefused
from adapters.faults import other_faults
from adapters.footers import Footers
from adapters.groups import grouped
from adapters.lines import UNENDED, Row, is_unended
from adapters.model import Converted, HeldBack, Lineage, RowWarning
from adapters.plan import Plan, compile_plan
from adapters.profile import Profile
from adapters.provenance import held_back, origin
from adapters.readers import READERS
from adapters.source_file import Given, whole
from adapters.strangers import strangers_of
from adapters.table import Likeness, Table, above_of, of_sheet, ranges_of, with_preamble
from adapters.twins import copies_of, noted
from adapters.workbook import open_table

Outcome = Converted | HeldBack
_LINE_FEED = b"\n"
_NO_COMPANIONS: Mapping[str, bytes] = {}


def convert(profile: Profile, data: Given, companions: Mapping[str, bytes] = _NO_COMPANIONS) -> Iterator[Outcome]:
    """Return the records of a file, one after the other.

    A table that is given as a file on disk is read in pieces, and so is XML and JSON where its profile allows it
    (adapters/tree_stream.py); other formats are held whole. `companions` are files that belong to it, by name: the
    certificate of a token. FileRefused when the file as a whole cannot be read; that is said at
    once, not at the first record.
    """
    form = profile.file.source.format
    if form in ("csv", "xlsx"):
        return _table(profile, data)
    if form in READERS:
        return tree_stream.read(profile, data)
    from adapters import passport  # noqa: PLC0415 - lazy: what reads tokens is slow to load

    return passport.read(profile, whole(data), companions)


def _table(profile: Profile, given: Given) -> Iterator[Outcome]:
    opened = open_table(given, profile.file.source)
    copies = copies_of(profile, opened)
    table = with_preamble(opened, profile.file.source)
    assert profile.file.target is not None, "checked with the profile"
    plan = compile_plan(profile, profile.file.target.message, profile.file.field, table.columns, table.headers)
    rows = grouped if profile.file.source.group_as else _rows
    footers = Footers(table, profile.file.source) if profile.file.source.footer_check else None
    found = rows(profile, footers.table if footers else table, plan, origin(profile, given))
    found = footers.over(found) if footers else found
    return noted(found, copies) if copies else found


def _rows(profile: Profile, table: Table, plan: Plan, base: dict[str, Any]) -> Iterator[Outcome]:
    message, values_of = plan.message, plan.values
    strangers = strangers_of(profile, table, plan)
    like_of, lineage_of = Likeness(table).of, partial(_lineage, plan, table)
    new = tuple.__new__
    for record, row in enumerate(table.rows, 1):
        line, raw, cells, refused, _, sheet = row
        sheets = ((sheet, line),) if sheet else ()
        notes: list[RowWarning] = []
        if refused is not None:
            yield held_back(refused, record, line, raw)._replace(sheets=sheets)
            continue
        try:
            values = values_of(cells, notes)
        except RowRefused as error:
            held = held_back(error, record, line, raw)
            yield held._replace(others=other_faults(plan, cells), like=partial(like_of, cells), sheets=sheets)
            continue
        if strangers:
            notes += strangers.of(cells)
        if raw[-1:] != _LINE_FEED and is_unended(line, raw):
            notes.append(UNENDED)
        provenance = {**base, "record": record, "line": line}
        if notes:
            provenance["warnings"] = list(dict.fromkeys(note.code for note in notes))
        values["provenance"] = provenance
        trace, like = partial(lineage_of, row, record), partial(like_of, cells)
        found = (message(**values), record, line, raw, tuple(notes), trace, b"", like, sheets, values)
        yield new(Converted, found)


def _lineage(plan: Plan, table: Table, row: Row, record: int) -> tuple[Lineage, ...]:
    return of_sheet(
        table, row.sheet, plan.lineage(row.cells, record, row.line, ranges_of(table, row), above_of(table, row))
    )
