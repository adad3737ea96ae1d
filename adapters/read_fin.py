"""SWIFT FIN: files of messages with blocks 1 to 5, bulk files (RJE), and bare text blocks as banks export MT940.

- Each message becomes a tree MTnnn: type, basic, application, user, trailer, and a child for each field of block 4.
- An acknowledgement (a service message F21 in front) is a child `ack`; a message that the network refused is refused.
- MT940 and MT942 are put together to statements: see adapters/fin_statement.py.
- A message that cannot be read costs its neighbours nothing; the next one is sought at the next block 1.
- Structure is read on bytes, so what a byte range says is true in every encoding that keeps ASCII as it is.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from adapters.errors import FileRefused, RowRefused
from adapters.fin_fields import HEAD_OFFICE, Slice, Text, element
from adapters.fin_statement import STATEMENTS, Statements, check_flow, gathered
from adapters.profile import Source
from adapters.tree import Broken, Element

FILE_BYTES_MAX = 64 * 1024 * 1024
MESSAGE_BYTES_MAX = 4 * 1024 * 1024
MESSAGES_MAX = 250_000
FIELDS_MAX = 100_000
"""Most fields of one message; a real MT940 has at most some 2000 characters, exports of banks have more."""

_LOOK_BYTES = 4096
_BLOCK_1 = re.compile(
    r"\{1:(?P<application>[FAL])(?P<service>[0-9]{2})(?P<terminal>[A-Z0-9]{12})(?P<session>[0-9]{4})(?P<sequence>[0-9]{6})\}"
)
_BLOCK_2 = re.compile(
    r"\{2:(?:(?P<input>I)(?P<type>[0-9]{3})(?P<receiver>[A-Z0-9]{12})(?P<priority>[SUN])?(?P<monitoring>[123])?(?P<obsolescence>[0-9]{3})?"
    r"|(?P<output>O)(?P<type_out>[0-9]{3})(?P<input_time>[0-9]{4})(?P<input_date>[0-9]{6})(?P<sender>[A-Z0-9]{12})"
    r"(?P<input_session>[0-9]{4})(?P<input_sequence>[0-9]{6})(?P<output_date>[0-9]{6})(?P<output_time>[0-9]{4})(?P<priority_out>[SUN])?)\}"
)
_TAGGED = re.compile(r"\{([A-Z0-9]{3}):([^{}]*)\}")
_BLOCK_4_END = re.compile(r"\r?\n-\}")
_FIELD = re.compile(r"^:([0-9]{2}[A-Z]?|NS|940|942):", re.MULTILINE)
_STATEMENT_END = re.compile(r"^:(?:62[FM]|34F):", re.MULTILINE)
_BARE_START = re.compile(r"^:(?:20|940|942):|^\{4:", re.MULTILINE)
_BARE_END = re.compile(r"^-(?:\}|\x03)?[ \t\x03$]*\r?$", re.MULTILINE)
_BETWEEN = re.compile(r"[\s$\x01\x03\x00\x1a]*")
_STATEMENT_TAGS = frozenset(
    (
        "20",
        "21",
        "25",
        "25P",
        "28",
        "28C",
        "13D",
        "34F",
        "60F",
        "60M",
        "61",
        "86",
        "62F",
        "62M",
        "64",
        "65",
        "90D",
        "90C",
        "NS",
        "940",
        "942",
    )
)
"""NS, 940 and 942 are of banks, not of SWIFT: a structure of its own, and what the file begins with."""

_TYPES = (
    ("103", {"23B", "32A"}),
    ("192", {"11S", "79"}),
    ("196", {"76"}),
    ("199", {"79"}),
)
"""Types of bare messages, by the fields that no other type of this list has together."""

_CURE = "have the bank send the message again; nothing of it was used"


class _Message(NamedTuple):
    """Where a message stands, and where its blocks do."""

    start: int
    end: int
    head: list[Element]
    type: str
    text: tuple[int, int]


def seems(data: bytes) -> bool:
    """Say whether a file begins as FIN does, or holds the first fields of a bare message near its beginning."""
    begin = data[:_LOOK_BYTES].removeprefix(b"\xef\xbb\xbf").decode("latin-1")
    begin = begin[_matched(_BETWEEN, begin, 0) :]
    return _BLOCK_1.match(begin) is not None or begin.startswith("{4:") or _FIELD.match(begin) is not None


def _matched(pattern: re.Pattern[str], text: str, place: int) -> int:
    found = pattern.match(text, place)
    return found.end() if found else place


def read(data: bytes, source: Source) -> Iterator[Element | Broken]:
    """Read every message. FileRefused when the file is too large, in no known encoding, or holds none."""
    if len(data) > FILE_BYTES_MAX:
        raise FileRefused(f"the file has more than {FILE_BYTES_MAX} bytes", cure="split it", code="LF-FIN-SIZE")
    encoding = _encoding(data, source)
    structure = data.decode("latin-1")

    def text(start: int, end: int) -> str:
        return data[start:end].decode(encoding).replace("\r\n", "\n")

    begin = len(b"\xef\xbb\xbf") if data.startswith(b"\xef\xbb\xbf") else 0
    bare = "{1:" not in structure
    if bare and _BARE_START.search(structure, begin) is None and _FIELD.search(structure, begin) is None:
        raise FileRefused(
            "the file holds no SWIFT message", cure="give the file as the bank sent it", code="LF-FIN-NO-MESSAGE"
        )
    if max(structure.count("{1:"), structure.count("\n-"), structure.count("\n:20:")) > MESSAGES_MAX:
        raise FileRefused(f"the file has more than {MESSAGES_MAX} messages", cure="split it", code="LF-FIN-SIZE")
    return _File(structure, text, begin, bare=bare).documents()


def _encoding(data: bytes, source: Source) -> str:
    for name in source.encodings:
        try:
            data.decode(name)
        except UnicodeDecodeError:
            continue
        return "utf-8" if name == "utf-8-sig" else name
    raise FileRefused(
        "the file is in none of the encodings of this dialect",
        cure="export it again as UTF-8; do not open and save it with another program",
        code="LF-FILE-ENCODING",
    )


def _refused(cause: str, code: str) -> RowRefused:
    return RowRefused(cause, cure=_CURE, code=code)


class _File:
    """Goes through a file once."""

    def __init__(self, structure: str, text: Text, begin: int, *, bare: bool) -> None:
        self._structure, self._text, self._begin = structure, text, begin
        self._bare = bare
        self._line, self._counted = 1, 0

    def documents(self) -> Iterator[Element | Broken]:
        """Yield messages and statements, in the order of the file."""
        statements = Statements()
        for found in self._bare_messages() if self._bare else self._messages():
            yield from statements.take(found if isinstance(found, Broken) else self._document(found))
        yield from statements.rest()

    def _line_at(self, place: int) -> int:
        """Return the line of a byte; cheap, for it only ever goes on."""
        if place > self._counted:
            self._line += self._structure.count("\n", self._counted, place)
            self._counted = place
        return self._line

    def _document(self, message: _Message) -> Element | Broken:
        line = self._line_at(message.start)
        try:
            return self._tree(message, line)
        except RowRefused as refused:
            return Broken(line, message.start, message.end, refused)

    def _tree(self, message: _Message, line: int) -> Element:
        if message.end - message.start > MESSAGE_BYTES_MAX:
            raise _refused(f"the message has more than {MESSAGE_BYTES_MAX} bytes", "LF-FIN-SIZE")
        fields = self._fields(message)
        tags = {field.tag for field in fields}
        kind = message.type or _guess(tags)
        head = [Element("type", kind, (), line), *message.head, *_ends(message.head)]
        if kind in STATEMENTS:
            fields = _rejoined(fields)
            check_flow(fields)
        children = [element(self._structure, field, self._text) for field in fields]
        root = Element(f"MT{kind}", "", [*head, *children], line, message.start, message.end)
        return gathered(root) if kind in STATEMENTS else root

    def _fields(self, message: _Message) -> list[Slice]:
        """Return the fields of a text block. RowRefused when text stands before the first."""
        start, end = message.text
        marks = list(_FIELD.finditer(self._structure, start, end))
        lead = self._structure[start : marks[0].start() if marks else end]
        if lead.strip():
            raise _refused("text stands before the first field of the message", "LF-FIN-BLOCK")
        if not marks:
            raise _refused("the message has no fields", "LF-FIN-EMPTY")
        if len(marks) > FIELDS_MAX:
            raise _refused(f"the message has more than {FIELDS_MAX} fields", "LF-FIN-SIZE")
        line = self._line_at(message.start) + self._structure.count("\n", message.start, start)
        found, counted = [], start
        for mark, following in zip(marks, [*marks[1:], None], strict=True):
            stop = following.start() if following else end
            line += self._structure.count("\n", counted, mark.start())
            counted = mark.start()
            while stop > mark.end() and self._structure[stop - 1] in "\r\n":
                stop -= 1
            found.append(Slice(mark[1], mark.end(), stop, line))
        return found

    def _messages(self) -> Iterator[_Message | Broken]:
        """Yield the messages of a file with blocks."""
        place = self._begin
        acknowledged: list[Element] | None = None
        while (place := _matched(_BETWEEN, self._structure, place)) < len(self._structure):
            following = self._structure.find("{1:", place + 1)
            end = following if following > 0 else len(self._structure)
            try:
                message = self._blocks(place, end)
            except RowRefused as refused:
                yield Broken(self._line_at(place), place, end, refused)
                acknowledged = None
            else:
                if message.type == _ACKNOWLEDGEMENT:
                    acknowledged = message.head
                elif acknowledged is not None:
                    yield self._acknowledged(message, acknowledged)
                    acknowledged = None
                else:
                    yield message
            place = end

    def _acknowledged(self, message: _Message, tags: list[Element]) -> _Message | Broken:
        """Return a message with its acknowledgement; a message that the network refused never reached anybody."""
        if any(tag.name == "451" and tag.text != "0" for tag in tags):
            refused = RowRefused(
                "the network refused the message (field 451), so it reached nobody",
                cure="nothing is to be done: the message has no effect",
                code="LF-FIN-NAK",
            )
            return Broken(self._line_at(message.start), message.start, message.end, refused)
        return message._replace(head=[*message.head, Element("ack", "", tags, tags[0].line if tags else 1)])

    def _blocks(self, start: int, end: int) -> _Message:
        """Take a message apart. RowRefused when a block is missing, damaged or cut off."""
        basic = _BLOCK_1.match(self._structure, start, end)
        if basic is None:
            raise _refused("something that is no block 1 of a SWIFT message stands here", "LF-FIN-BLOCK")
        line = self._line_at(start)
        head = [self._named("basic", basic, line)]
        if basic["service"] == _SERVICE_ACKNOWLEDGEMENT:
            tags, place = self._tagged(basic.end(), end, "{4:", line)
            self._nothing_more(place, end)
            return _Message(start, place, tags, _ACKNOWLEDGEMENT, (place, place))
        application = _BLOCK_2.match(self._structure, basic.end(), end)
        if application is None:
            raise _refused("block 2 is missing or not in its form", "LF-FIN-BLOCK")
        head.append(self._named("application", application, line))
        place = application.end()
        if self._structure.startswith("{3:", place):
            tags, place = self._tagged(place, end, "{3:", line)
            head.append(Element("user", "", tags, line))
        if not self._structure.startswith("{4:", place):
            raise _refused("block 4 is missing", "LF-FIN-BLOCK")
        closing = _BLOCK_4_END.search(self._structure, place, end)
        if closing is None:
            raise _refused("block 4 is cut off", "LF-FIN-CUT")
        text, place = (place + 3, closing.start()), closing.end()
        for name in ("{5:", "{S:"):
            if self._structure.startswith(name, place):
                tags, place = self._tagged(place, end, name, line)
                head.append(Element("trailer", "", tags, line))
        self._nothing_more(place, end)
        return _Message(start, place, head, application["type"] or application["type_out"], text)

    def _nothing_more(self, place: int, end: int) -> None:
        if _matched(_BETWEEN, self._structure, place) < end:
            raise _refused("the message is damaged or cut off after its text", "LF-FIN-CUT")

    def _named(self, name: str, found: re.Match[str], line: int) -> Element:
        """Return a block of fixed form; the two forms of block 2 share their names."""
        children = [
            Element(part.removesuffix("_out"), found[part], (), line, *found.span(part))
            for part in found.re.groupindex
            if found[part]
        ]
        return Element(name, "", children, line, found.start(), found.end())

    def _tagged(self, place: int, end: int, opening: str, line: int) -> tuple[list[Element], int]:
        """Return what a block of {tag:text} holds, and where it ends."""
        if not self._structure.startswith(opening, place):
            raise _refused(f"block {opening[1]} is missing", "LF-FIN-BLOCK")
        place += len(opening)
        found = []
        while tag := _TAGGED.match(self._structure, place, end):
            found.append(Element(tag[1], self._text(*tag.span(2)), (), line, *tag.span(2)))
            place = tag.end()
        if not self._structure.startswith("}", place) or place >= end:
            raise _refused(f"block {opening[1]} is damaged or cut off", "LF-FIN-CUT")
        return found, place + 1

    def _bare_messages(self) -> Iterator[_Message | Broken]:
        """Yield the messages of a file of text blocks alone: each begins with field 20, or ends with a line `-`."""
        cuts = self._cuts()
        for start, end in zip(cuts, [*cuts[1:], len(self._structure)], strict=True):
            start = _matched(_BETWEEN, self._structure, start)  # noqa: PLW2901 - what separates messages is no part of one
            if start >= end:
                continue
            closing = _BARE_END.search(self._structure, start, end)
            stop = closing.start() if closing else end
            if closing is None and end == len(self._structure) and self._may_be_cut(start):
                refused = _refused(
                    "the file ends without the end of its last message, which may be cut off", "LF-FIN-CUT"
                )
                yield Broken(self._line_at(start), start, end, refused)
                continue
            begin = start + 3 if self._structure.startswith("{4:", start) else start
            yield _Message(start, end, [], "", (begin, stop))

    def _may_be_cut(self, start: int) -> bool:
        """Say whether a last message that no line `-` ends may lack something: only statements tell their end otherwise."""
        return not self._structure.endswith("\n") or _STATEMENT_END.search(self._structure, start) is None

    def _cuts(self) -> list[int]:
        """Return where bare messages begin."""
        found, marked = [self._begin], False
        marks = sorted(
            [(mark.end(), True) for mark in _BARE_END.finditer(self._structure)]
            + [(mark.start(), False) for mark in _BARE_START.finditer(self._structure)]
        )
        for place, ends in marks:
            if ends:
                found.append(place)
                marked = False
            else:
                alone = self._structure.startswith((":940:", ":942:", "{4:"), place)
                if not marked:
                    found.append(place)
                marked = alone
        return found


_ACKNOWLEDGEMENT, _SERVICE_ACKNOWLEDGEMENT = "ack", "21"


def _ends(head: list[Element]) -> Iterator[Element]:
    """Yield who sent a message and who gets it, by their BIC: blocks 1 and 2 tell, by the side that wrote the file."""
    blocks = {block.name: {part.name: part for part in block.children} for block in head}
    here = blocks.get("basic", {}).get("terminal")
    there = blocks.get("application", {})
    pairs = (("sender", there.get("sender", here)), ("receiver", there.get("receiver", here)))
    for name, terminal in pairs:
        if terminal is not None and there:
            bic = terminal.text[:8] + terminal.text[9:].replace(HEAD_OFFICE, "")
            yield terminal._replace(name=name, text=bic)


def _guess(tags: set[str]) -> str:
    """Return the type of a bare message. RowRefused when its fields do not tell."""
    if tags & {"942", "34F", "90D", "90C"}:
        return "942"
    if tags & {"940", "60F", "60M", "61", "62F", "62M"} or tags == {"86"}:
        return "940"
    for kind, needed in _TYPES:
        if needed <= tags:
            return kind
    raise _refused("the message has no block 2, and its fields do not tell of which type it is", "LF-FIN-TYPE")


def _rejoined(fields: list[Slice]) -> list[Slice]:
    """Return a statement's fields: a line of details that begins like a tag (a wrapped time :26:37) is none."""
    found: list[Slice] = []
    for field in fields:
        if field.tag not in _STATEMENT_TAGS and found and found[-1].tag in ("86", "61"):
            found[-1] = found[-1]._replace(end=field.end)
        else:
            found.append(field)
    return found
