"""From cells to the text that is read: one cell, several joined, one cut up, every text of a repeated element."""

import re
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from adapters.kinds import Notes, Read, refuse, tidy
from adapters.profile import Mapping_
from adapters.tree import Several, texts_of
from adapters.verbs import FORM, Cells, Fill


def constant(text: str, leaf: FieldDescriptor) -> Any:
    """Return a fixed value as the field holds it."""
    if leaf.enum_type is not None:
        return leaf.enum_type.values_by_name[text].number
    if leaf.type == leaf.TYPE_BOOL:
        return text == "true"
    return text if leaf.type == leaf.TYPE_STRING else int(text)


def to_number(read: Read, leaf: FieldDescriptor) -> Read:
    """Return what reads the name of an enumeration's value, as its number."""
    assert leaf.enum_type is not None, "asked before"
    numbers = {name: value.number for name, value in leaf.enum_type.values_by_name.items()}

    def read_enum(text: str, notes: Notes) -> int | None:
        name = read(text, notes)
        return None if name is None else numbers[name]

    return read_enum


def checked(read: Read, verbs: Mapping_) -> Read:
    """The verb check: the text must have the form of the pattern."""
    if not verbs.check.pattern:
        return read
    matches = re.compile(verbs.check.pattern).fullmatch
    is_money = verbs.parse.kind in ("money", "magnitude")

    def read_checked(text: str, notes: Notes) -> Any:
        if matches(text) is None:
            without = _SIGNS.sub("", text)
            raise refuse(_SIGNED if is_money and without != text and matches(without) is not None else FORM)
        return read(text, notes)

    return read_checked


_SIGNS = re.compile("[-−－()（）]")
_SIGNED = (
    "LF-ROW-PATTERN",
    "has a minus or brackets, and something else says which way the money went: what the sign means is not known",
    "ask whoever made the file what it means, for example that a booking was taken back, and have the profile read it so",
)


_MISSING = ("LF-ROW-MISSING", "is empty, and it must not be", "fill it in at the source")


def missing(_cells: Cells, _notes: Notes) -> Any:
    """Refuse a record in which a field that it must have has no cell."""
    raise refuse(_MISSING)


def filled(read: Read, places: tuple[int, ...], verbs: Mapping_, nulls: frozenset[str]) -> Fill:
    """Return what reads one cell, several joined, or one that is cut."""
    required = verbs.check.required
    if len(places) > 1 or verbs.joins:
        return _joined(read, places, verbs, nulls)
    if verbs.split is not None:
        return _cut(read, places[0], verbs, nulls)
    place = places[0]

    def fill(cells: Cells, notes: Notes) -> Any:
        text = cells[place].strip()
        if not text.isprintable():
            text = tidy(text)
        if text not in nulls:
            return read(text, notes)
        if required:
            raise refuse(_MISSING)
        return None

    return fill


def _joined(read: Read, places: tuple[int, ...], verbs: Mapping_, nulls: frozenset[str]) -> Fill:
    in_full = verbs.parse.kind == "paper"  # a paper without a name is a paper all the same

    def fill(cells: Cells, notes: Notes) -> Any:
        every = [tidy(text) for place in places for text in texts_of(cells[place])]
        texts = [text for text in every if text not in nulls]
        if texts and in_full:
            return read(verbs.join.join(every), notes)
        if texts:
            return read(verbs.join.join(texts), notes)
        if verbs.check.required:
            raise refuse(_MISSING)
        return None

    return fill


def numbered(fill: Fill, place: int, numbers: int) -> Fill:
    """The verb numbered: the texts of a cell come in the order of their numbers, whatever their order in the file."""

    def fill_in_order(cells: Cells, notes: Notes) -> Any:
        texts, said = texts_of(cells[place]), [tidy(one) for one in texts_of(cells[numbers])]
        if len(texts) == 1 and said in ([""], ["1"]):
            return fill(cells, notes)
        if len(texts) != len(said) or not all(one.isascii() and one.isdecimal() for one in said):
            raise refuse((_PARTS, "stands in parts of which not each has its number", _WHOLE))
        order = [int(one) for one in said]
        if sorted(order) != list(range(1, len(order) + 1)):
            raise refuse((_PARTS, f"stands in {len(order)} numbered parts, and {_gap(order)}", _WHOLE))
        in_order = list(cells)
        in_order[place] = Several(tuple(text for _, text in sorted(zip(order, texts, strict=True))))
        return fill(in_order, notes)

    return fill_in_order


_PARTS = "LF-ROW-PARTS"
_WHOLE = "have whoever sent it send it again, with all parts of the text, each with its own number from 1 on"


def _gap(order: list[int]) -> str:
    """Return what is wrong with the numbers of parts."""
    twice = next((one for one in order if order.count(one) > 1), None)
    if twice is not None:
        return f"there are two of the number {twice}"
    return f"there is none of the number {next(one for one in range(1, len(order) + 1) if one not in order)}"


def several(read: Read, place: int, verbs: Mapping_, nulls: frozenset[str]) -> Fill:
    """Return what reads every text of a cell as an element of a list."""

    def fill(cells: Cells, notes: Notes) -> Any:
        texts = [text for one in texts_of(cells[place]) if (text := tidy(one)) not in nulls]
        if not texts and verbs.check.required:
            raise refuse(_MISSING)
        found = [value for text in texts if (value := read(text, notes)) is not None]
        return found or None

    return fill


def _cut(read: Read, place: int, verbs: Mapping_, nulls: frozenset[str]) -> Fill:
    assert verbs.split is not None, "asked before"
    cut, part = re.compile(f"[{re.escape(verbs.split.at)}]").split, verbs.split.part
    whole = frozenset(verbs.split.at).isdisjoint

    def fill(cells: Cells, notes: Notes) -> Any:
        texts = [text for one in texts_of(cells[place]) if (text := tidy(one)) not in nulls]
        pieces = texts if all(map(whole, texts)) else [piece for text in texts for piece in cut(text)]
        if part is not None:
            pieces = pieces[part : part + 1]
        found = [read(bare, notes) for piece in pieces if (bare := piece.strip()) not in nulls]
        if not found and verbs.check.required:
            raise refuse(_MISSING)
        if not found:
            return None
        return found if part is None else found[0]

    return fill
