"""A tree of named texts: what every tree-shaped format (XML, JSON, SWIFT FIN, NACHA, BER…) is read into and written from."""

from typing import NamedTuple, Self

from adapters.errors import RowRefused

UNKNOWN = -1
"""A place in the file that the reader does not know."""


class Element(NamedTuple):
    """One node: a leaf with a text, or an inner node with children. XML attributes are children named @name."""

    name: str
    """Local name, key, tag or record type."""
    text: str = ""
    """The exact text of a leaf; empty for inner nodes."""
    children: tuple["Element", ...] | list["Element"] = ()
    line: int = 1
    """Line of the source at which it begins, from 1."""
    start: int = UNKNOWN
    """First byte of it in the source."""
    end: int = UNKNOWN
    """One past its last byte in the source."""


class Broken(NamedTuple):
    """A piece of the source that cannot be read, and costs its neighbours nothing."""

    line: int
    start: int
    end: int
    refused: RowRefused


class Several(str):
    """The text of a cell for which several elements were found: what it shows is for people, `texts` are the elements'."""

    __slots__ = ("texts",)
    texts: tuple[str, ...]

    def __new__(cls, texts: tuple[str, ...]) -> Self:
        """Return a cell of these texts."""
        cell = super().__new__(cls, ", ".join(texts))
        cell.texts = texts
        return cell


def texts_of(cell: str) -> tuple[str, ...]:
    """Return the texts of a cell: one, or several."""
    return cell.texts if isinstance(cell, Several) else (cell,)
