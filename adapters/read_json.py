"""JSON and JSON lines ⇄ trees of elements. Numbers keep the digits that they have in the file.

- Objects become elements with a child for each key, arrays repeated children of the same name; null is an empty text.
- A key that stands twice in one object is ambiguous and refuses the document, as do NaN and Infinity (RFC 8259).
- In JSON lines each line is a document; a line that cannot be read costs its neighbours nothing.
- The reader is our own, for the standard one tells no byte ranges.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from adapters.errors import FileRefused, RowRefused
from adapters.paths import escaped, pattern
from adapters.profile import Source, Writing
from adapters.tree import Broken, Element

JSON_BYTES_MAX = 32 * 1024 * 1024
LINE_BYTES_MAX = 1024 * 1024
DEPTH_MAX = 32
ELEMENTS_MAX = 400_000
ROOT, ITEM = "$", "item"
TOKEN = re.compile(
    rb"[ \t\r\n]*(?:([{}\[\],:])"
    rb'|("(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*")'
    rb"|(-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![0-9A-Za-z.+-]))"
    rb"|(true|false|null)(?![0-9A-Za-z]))"
)
_BEGINS = re.compile(rb'(?:\xef\xbb\xbf)?[ \t\r\n]*(?:\{[ \t\r\n]*["}]|\[)')
_END = re.compile(rb"[ \t\r\n]*\Z")
_LITERAL = re.compile(r"|true|false|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_made = tuple.__new__
"""Makes an element of its parts, without the keywords that cost half of the time."""
_CURE = "have the sending system write it again; nothing of it was used"


class Bad(Exception):
    """A document that is not JSON, or too much of it."""

    def __init__(self, cause: str, code: str) -> None:
        super().__init__(cause)
        self.cause, self.code = cause, code


def seems(data: bytes) -> bool:
    """Say whether a file begins as JSON does."""
    return _BEGINS.match(data) is not None


def read(data: bytes, source: Source) -> Iterator[Element | Broken]:
    """Read one document, or with `lines` one a line. FileRefused when the file is too large or no UTF-8."""
    if len(data) > JSON_BYTES_MAX:
        raise refused(f"the JSON has more than {JSON_BYTES_MAX} bytes", "LF-JSON-SIZE")
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise refused("the JSON is not in UTF-8", "LF-JSON-ENCODING") from error
    begin = 3 if data.startswith(b"\xef\xbb\xbf") else 0
    if source.lines:
        return _lines(data, begin)
    try:
        return iter((Reading(data, begin, len(data), 1).root(),))
    except Bad as bad:
        raise refused(bad.cause, bad.code) from bad


def refused(cause: str, code: str) -> FileRefused:
    """Return the refusal of a document as a whole."""
    return FileRefused(cause, cure=_CURE, code=code)


def _lines(data: bytes, place: int) -> Iterator[Element | Broken]:
    line = 1
    while place < len(data):
        cut = data.find(b"\n", place)
        end = len(data) if cut < 0 else cut
        if data[place:end].strip():
            try:
                yield _line(data, place, end, line)
            except Bad as bad:
                yield Broken(line, place, end, RowRefused(bad.cause, cure=_CURE, code=bad.code))
        place, line = end + 1, line + 1


def _line(data: bytes, place: int, end: int, line: int) -> Element:
    if end - place > LINE_BYTES_MAX:
        raise Bad(f"the line has more than {LINE_BYTES_MAX} bytes", "LF-JSON-SIZE")
    return Reading(data, place, end, line).root()


class Reading:
    """Reads one document from a part of the file; `base` bytes of the file stand in front of `data`."""

    def __init__(self, data: bytes, start: int, end: int, line: int, base: int = 0) -> None:
        self._data, self._place, self._end = data, start, end
        self._line, self._counted = line, start
        self._base = base
        self.elements_max = ELEMENTS_MAX
        self._elements = 0

    def root(self) -> Element:
        """Return the whole document."""
        token = self._next()
        if token in (b"[", b"{"):
            root = self._value(token, ROOT, 1)[0] if token == b"{" else self._array_root()
        else:
            raise self._bad("the JSON is neither an object nor an array")
        if not self._is_at_end():
            raise self._bad("something stands behind the JSON")
        return root

    def items(self, name: str, depth: int) -> list[Element]:
        """Return the rest of an array, behind its bracket."""
        return list(self._items(name, depth))

    def _is_at_end(self) -> bool:
        return _END.match(self._data, self._place, self._end) is not None

    def _array_root(self) -> Element:
        start, line = self._base + self._place - 1, self._line_at(self._place - 1)
        return Element(ROOT, "", list(self._items(ITEM, 1)), line, start, self._base + self._place)

    def _next(self) -> bytes:
        found = TOKEN.match(self._data, self._place, self._end)
        if found is None:
            raise self._bad("the JSON is not well-formed or cut off")
        self._place = found.end()
        return found[found.lastindex or 0]

    def _bad(self, cause: str, code: str = "LF-JSON-SYNTAX") -> Bad:
        return Bad(f"{cause}, at line {self._line_at(self._place)}", code)

    def _line_at(self, place: int) -> int:
        self._line += self._data.count(b"\n", self._counted, place)
        self._counted = max(place, self._counted)
        return self._line

    def _value(self, token: bytes, name: str, depth: int) -> list[Element]:
        """Return the elements that a value becomes: one, or one for each of an array."""
        if depth > DEPTH_MAX:
            raise self._bad(f"the JSON is nested deeper than {DEPTH_MAX}", "LF-JSON-DEPTH")
        self._elements += 1
        if self._elements > self.elements_max:
            raise self._bad(f"the JSON has more than {self.elements_max} values", "LF-JSON-ELEMENTS")
        if token == b"[":
            return list(self._items(name, depth))
        at = self._place - len(token)
        start, line = self._base + at, self._line_at(at)
        if token == b"{":
            children = self._members(depth)
            return [_made(Element, (name, "", children, line, start, self._base + self._place))]
        if token in (b"}", b"]", b",", b":"):
            raise self._bad("the JSON is not well-formed")
        text = self._string(token) if token[:1] == b'"' else "" if token == b"null" else token.decode()
        return [_made(Element, (name, text, (), line, start, self._base + self._place))]

    def _members(self, depth: int) -> list[Element]:
        found: list[Element] = []
        names: set[str] = set()
        token = self._next()
        while token != b"}":
            if token[:1] != b'"':
                raise self._bad("the JSON is not well-formed")
            name = self._string(token)
            if name in names:
                raise self._bad("the JSON names a key twice in one object", "LF-JSON-REPEATED")
            names.add(name)
            if self._next() != b":":
                raise self._bad("the JSON is not well-formed")
            found += self._value(self._next(), name, depth + 1)
            token = self._separator(b"}")
        return found

    def _items(self, name: str, depth: int) -> Iterator[Element]:
        token = self._next()
        while token != b"]":
            yield from self._nested(name, depth) if token == b"[" else self._value(token, name, depth + 1)
            token = self._separator(b"]")

    def _nested(self, name: str, depth: int) -> list[Element]:
        """Return what an array in an array becomes."""
        start, line = self._base + self._place - 1, self._line_at(self._place - 1)
        inner = self._value(b"[", ITEM, depth + 1)
        return [Element(name, "", inner, line, start, self._base + self._place)]

    def _separator(self, closing: bytes) -> bytes:
        token = self._next()
        if token == closing:
            return token
        if token != b",":
            raise self._bad("the JSON is not well-formed")
        token = self._next()
        if token == closing:
            raise self._bad("the JSON is not well-formed")
        return token

    def _string(self, token: bytes) -> str:
        if b"\\" not in token:  # as in most
            return token[1:-1].decode()
        text: str = json.loads(token)
        if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
            raise self._bad("the JSON holds half a character", "LF-JSON-ENCODING")
        return text


def write(roots: Sequence[Element], writing: Writing) -> bytes:
    """Write documents, one after the other. What has no text is left out; where a literal would stand, it is null."""
    forms = _Forms(tuple(map(pattern, writing.literals)), tuple(map(pattern, writing.arrays)))
    return "".join(f"{_written(root, forms, '', 0)}\n" for root in roots).encode()


class _Forms(NamedTuple):
    """Which paths are not texts."""

    literals: tuple[re.Pattern[str], ...]
    arrays: tuple[re.Pattern[str], ...]


def _written(element: Element, forms: _Forms, path: str, depth: int) -> str:
    """Return the JSON that a tree is, numbers with the digits that they have; the inverse of reading."""
    if not element.children:
        is_literal = _is(forms.literals, path) and _LITERAL.fullmatch(element.text)
        return (element.text or "null") if is_literal else json.dumps(element.text, ensure_ascii=False)
    within, end = "\n" + "  " * (depth + 1), "\n" + "  " * depth
    several: dict[str, list[str]] = {"#text": [json.dumps(element.text, ensure_ascii=False)]} if element.text else {}
    for child in element.children:
        below = f"{path}/{escaped(child.name)}".removeprefix("/")
        if child.children or child.text or _is(forms.literals, below):
            several.setdefault(child.name, []).append(_written(child, forms, below, depth + 1))
    if element.name == ROOT and list(several) == [ITEM]:
        return f"[{within}{f',{within}'.join(several[ITEM])}{end}]"
    members = []
    for name, values in several.items():
        is_array = len(values) > 1 or _is(forms.arrays, f"{path}/{escaped(name)}".removeprefix("/"))
        members.append(f"{json.dumps(name, ensure_ascii=False)}: {_array(values) if is_array else values[0]}")
    return f"{{{within}{f',{within}'.join(members)}{end}}}" if members else "{}"


def _array(values: list[str]) -> str:
    return f"[{', '.join(values)}]"


def _is(patterns: tuple[re.Pattern[str], ...], path: str) -> bool:
    return any(one.fullmatch(path) for one in patterns)
