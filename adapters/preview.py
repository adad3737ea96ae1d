"""One record seen through a profile: its cells, each field that is made of them and how, and what is left over.

What it returns holds values of classed fields: it is for the person whose file it is, never for a log.
"""

from collections.abc import Mapping
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from adapters.cells import source_cells
from adapters.convert import Outcome, convert
from adapters.errors import FileRefused
from adapters.kinds import tidy
from adapters.model import Converted, Lineage
from adapters.paths import pattern
from adapters.profile import Profile
from adapters.readers import READERS
from adapters.summary import Tally
from adapters.tree_cells import Cell
from adapters.words import counted
from adapters.write import value_at

_NO_COMPANIONS: Mapping[str, bytes] = {}


def preview(
    profile: Profile, data: bytes, row: int, companions: Mapping[str, bytes] = _NO_COMPANIONS
) -> dict[str, Any]:
    """Return what becomes of one record, counted from 1. FileRefused when the file has no such record."""
    count = 0
    for outcome in convert(profile, data, companions):
        count = outcome.record
        if count == row:
            return _seen(profile, data, outcome, companions)
    raise FileRefused(
        f"the file has {counted(count, 'row')}, and no row {row}", cure="rows are counted from 1", code="LF-MAP-NO-ROW"
    )


def _seen(profile: Profile, data: bytes, outcome: Outcome, companions: Mapping[str, bytes]) -> dict[str, Any]:
    cells, looked = source_cells(profile, data, outcome, companions)
    tally = Tally()
    list(tally.over(iter([outcome])))
    lineage = outcome.lineage if isinstance(outcome, Converted) else ()
    return {
        "profile": profile.name,
        "version": profile.version,
        "row": outcome.record,
        "line": outcome.line,
        "type": outcome.message.DESCRIPTOR.full_name if isinstance(outcome, Converted) else None,
        "cells": [cell._asdict() for cell in cells],
        "fields": [_field(outcome, item) for item in lineage],
        "not_carried": _left(profile, cells, lineage, looked) if isinstance(outcome, Converted) else [],
        "refused": tally.refused[0] if tally.refused else None,
        "warnings": tally.warnings,
    }


def _field(outcome: Outcome, item: Lineage) -> dict[str, Any]:
    assert isinstance(outcome, Converted), "only a message has lineage"
    where = {key: value for key, value in item.as_json().items() if key != "record"}
    return {**where, "value": plain(value_at(outcome.message, item.field))}


def plain(value: Any) -> Any:
    """Return a value of a message as JSON has it: messages as protobuf JSON, bytes in hexadecimal."""
    if isinstance(value, Message):
        return MessageToDict(value, preserving_proto_field_name=True)
    if isinstance(value, bytes):
        return value.hex()
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return [plain(item) for item in value]


def _inside(path: str) -> str:
    """Return a path without the root that it begins with."""
    return path.split("/", 2)[-1] if path.startswith("/") else path


def _names(column: str) -> list[str]:
    """Return what lineage calls a column, and each of several that became one text, with the sheet before it."""
    sheet, mark, headers = column.rpartition("!")
    return [column, *column.split(" + "), *(f"{sheet}{mark}{header}" for header in headers.split(" + "))]


def _left(
    profile: Profile, cells: list[Cell], lineage: tuple[Lineage, ...], looked: frozenset[str]
) -> list[dict[str, Any]]:
    """Return the cells that hold something of which nothing is in the message, each with the reason."""
    source = profile.file.source
    carried = {(item.line, name) for item in lineage for name in _names(item.column)}
    known = {spelling for spellings in source.columns.values() for spelling in spellings}
    patterns = [pattern(text) for text in source.ignore] if source.format in READERS else []
    left = []
    for cell in cells:
        if tidy(cell.text) in source.null or cell.column in looked or (cell.line, cell.column) in carried:
            continue
        header = cell.column.partition("!")[2] if source.sheet else cell.column
        if header in source.ignore or any(one.fullmatch(_inside(cell.column)) for one in patterns):
            why = "the profile ignores it"
        elif header in known:
            why = "nothing could be made of it, or another line of the same message has it already"
        else:
            why = "the message has no place for it"
        left.append({"line": cell.line, "column": cell.column, "why": why})
    return left
