"""A local file becomes messages: bytes → records → mapping → shared messages.

Every record has exactly one outcome, Converted or HeldBack, and comes out in the order of the file. What is wrong with
the file as a whole is found before the first record comes out.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from adapters import passport, tree_map
from adapters.errors import RowRefused
from adapters.groups import grouped
from adapters.model import Converted, HeldBack, RowWarning
from adapters.plan import Plan, compile_plan
from adapters.profile import Profile
from adapters.provenance import held_back, origin
from adapters.readers import READERS
from adapters.strangers import note_strangers, strangers_of
from adapters.table import Table, with_preamble
from adapters.workbook import open_table

Outcome = Converted | HeldBack
_NO_COMPANIONS: Mapping[str, bytes] = {}


def convert(profile: Profile, data: bytes, companions: Mapping[str, bytes] = _NO_COMPANIONS) -> Iterator[Outcome]:
    """Return the records of a file, one after the other.

    `companions` are files that belong to it, by name: the certificate of a token. FileRefused when the file as a whole
    cannot be read; that is said at once, not at the first record.
    """
    return _READERS[profile.file.source.format](profile, data, companions)


def _table(profile: Profile, data: bytes, _: Mapping[str, bytes]) -> Iterator[Outcome]:
    table = with_preamble(open_table(data, profile.file.source), profile.file.source)
    assert profile.file.target is not None, "checked with the profile"
    plan = compile_plan(profile, profile.file.target.message, profile.file.field, table.columns, table.headers)
    rows = grouped if profile.file.source.group_as else _rows
    return rows(profile, table, plan, origin(profile, data))


def _rows(profile: Profile, table: Table, plan: Plan, base: dict[str, Any]) -> Iterator[Outcome]:
    message, values_of, lineage = plan.message, plan.values, plan.lineage
    strangers, nulls = strangers_of(profile, table), plan.nulls
    for record, row in enumerate(table.rows, 1):
        line, raw, cells, refused = row[:4]
        notes: list[RowWarning] = []
        if refused is not None:
            yield held_back(refused, record, line, raw)
            continue
        try:
            values = values_of(cells, notes)
        except RowRefused as error:
            yield held_back(error, record, line, raw)
            continue
        note_strangers(strangers, cells, notes, nulls)
        provenance = {**base, "record": record, "line": line}
        if notes:
            provenance["warnings"] = list(dict.fromkeys(note.code for note in notes))
        values["provenance"] = provenance
        yield Converted(message(**values), record, line, raw, tuple(notes), partial(lineage, cells, record, line))


_READERS = {"csv": _table, "xlsx": _table, "passport": passport.read, **dict.fromkeys(READERS, tree_map.read)}
