"""The XML of a workbook's members, parsed for where its cells and texts stand, not for what they come to."""

import re
from collections.abc import Mapping
from typing import NamedTuple
from xml.parsers import expat

START_TAG = re.compile(rb"""<(?:[^>"']|"[^"]*"|'[^']*')*>""")
_REFERENCE = re.compile(r"([A-Za-z]{1,3})([0-9]{1,7})")
_PLAIN_TEXT = re.compile(rb"<((?:[A-Za-z]+:)?)si><\1t(?: xml:space=\"preserve\")?>([^<&\r]*)</\1t></\1si>")
"""A shared text as nearly all are: without runs, escapes and attributes of its own."""
_A = ord("A") - 1
_LETTERS = 26


class Stop(Exception):
    """No more is looked at."""


class Cell(NamedTuple):
    """A cell as its member has it."""

    start: int
    end: int
    text: str
    """Its own text, or its number as written; of a shared text the index."""
    kind: str
    """The attribute `t`: s, str, inlineStr, b, e, n, d; n where there is none."""


def parser_of(encoding: str = "utf-8") -> expat.XMLParserType:
    """Return a parser that stops at a document type: no entity of the file's own is ever taken for text."""
    parser = expat.ParserCreate(encoding)
    parser.buffer_text = True

    def stop(*_: object) -> None:
        raise Stop

    parser.StartDoctypeDeclHandler = stop
    return parser


def parsed(parser: expat.XMLParserType, content: bytes) -> bool:
    """Parse; say whether all of it could be."""
    try:
        parser.Parse(content, True)
    except (Stop, expat.ExpatError, LookupError, ValueError):  # the last two: an encoding that nobody knows
        return False
    return True


def encoding_in(content: bytes) -> str:
    """Return the encoding that a member says it is in."""
    found = re.match(rb"""\s*<\?xml[^>]*?encoding\s*=\s*["']([A-Za-z0-9._-]+)""", content.removeprefix(b"\xef\xbb\xbf"))
    return found[1].decode() if found else "utf-8"


def local(name: str) -> str:
    """Return a name without its prefix."""
    return name.rpartition(":")[2] if ":" in name else name


def end_of(content: bytes, start: int, closing: int) -> int:
    """Return where an element ends that begins at `start` and whose end the parser told of at `closing`."""
    tag = START_TAG.match(content, start)
    if tag is not None and tag[0].endswith(b"/>"):
        return tag.end()
    return content.index(b">", closing) + 1


def _column(attributes: Mapping[str, str], row: int, before: int) -> int:
    """Return a cell's column from 0; it follows the one before where it does not say; -1 when it says that it is of another row."""
    given = attributes.get("r", "")
    if not given:
        return before + 1
    found = _REFERENCE.fullmatch(given)
    if found is None or int(found[2]) != row:
        return -1
    column = 0
    for letter in found[1].upper():
        column = column * _LETTERS + ord(letter) - _A
    return column - 1


def cells_of(piece: bytes, offset: int, row: int, encoding: str) -> Mapping[int, Cell]:
    """Cut a row into cells; what follows the row in the piece is not looked at."""
    found: dict[int, Cell] = {}
    twice: set[int] = set()
    texts: list[str] = []
    begin, column, kind, taken, depth, aside = 0, -1, "n", False, 0, 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal begin, column, kind, taken, depth, aside
        depth += 1
        bare = local(name)
        if bare == "c":
            begin, kind = parser.CurrentByteIndex, attributes.get("t", "n")
            column = _column(attributes, row, column)
            texts.clear()
        aside += bare == "rPh"
        taken = bare in ("v", "t") and not aside

    def end(name: str) -> None:
        nonlocal taken, depth, aside
        depth -= 1
        bare = local(name)
        taken = False
        aside -= bare == "rPh"
        if bare == "c" and column >= 0:
            if column in found:
                twice.add(column)
            closing = end_of(piece, begin, parser.CurrentByteIndex)
            found[column] = Cell(offset + begin, offset + closing, "".join(texts), kind)
        if not depth:
            raise Stop

    def text(letters: str) -> None:
        if taken:
            texts.append(letters)

    parser = parser_of(encoding)
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text
    parsed(parser, piece)
    return {column: cell for column, cell in found.items() if column not in twice} if not depth else {}


def texts_of(piece: bytes, encoding: str) -> list[str]:
    """Return the pieces of a shared text, without those that say how it is pronounced."""
    plain = _PLAIN_TEXT.fullmatch(piece) if encoding.lower() == "utf-8" else None
    if plain is not None:
        return [plain[2].decode("utf-8", "replace")]
    texts: list[str] = []
    taken, aside = False, 0

    def start(name: str, _: dict[str, str]) -> None:
        nonlocal taken, aside
        aside += local(name) == "rPh"
        taken = local(name) == "t" and not aside

    def end(name: str) -> None:
        nonlocal taken, aside
        aside -= local(name) == "rPh"
        taken = False

    def text(letters: str) -> None:
        if taken:
            texts.append(letters)

    parser = parser_of(encoding)
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text
    return texts if parsed(parser, piece) else []
