"""XML in pieces: a survey by the parser that reads whole files, with the same doors shut, and beside it one for bytes.

- The parser tells where elements of a name begin and end in the tree; the scan, where in the file. They go side by side.
- What is in a piece is dropped as soon as the piece is closed, so memory holds what is outside, and one stretch of the file.
- A window is parsed again, in an element that declares the namespaces which are in force there.
"""

import re
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple
from xml.sax.saxutils import quoteattr

from lxml import etree

from adapters import pieces, read_xml
from adapters.errors import FileRefused
from adapters.pieces import CannotCut, Matches, Surveyed, Window, Windows, marked
from adapters.source_file import Given, changed, chunks_of, head_of, ranges_held
from adapters.tree import UNKNOWN, Element

_HEAD_BYTES = 4096
_STEP_BYTES = 64 * 1024
_DECLARED = re.compile(rb"(?:\xef\xbb\xbf)?\s*<\?xml[^>]*?encoding\s*=\s*[\"']([A-Za-z0-9._-]+)")
_DOORS = (b"<!DOCTYPE", b"<!ENTITY")
_ELEMENT_BYTES_MIN = 4
_GAP = b"<x/>"
"""Stands for a run of pieces in what is kept of the file."""


class Tag(NamedTuple):
    """One beginning or end of an element, as the scan finds it."""

    start: int
    end: int
    closes: bool
    line: int


class Scan:
    """Finds the tags of some names in bytes that come in stretches, where they stand and in which line.

    Only what the parser takes is believed: in well-formed XML a < begins a tag everywhere but in comments, instructions and
    CDATA, which are passed over.
    """

    def __init__(self, names: frozenset[str], encoding: str) -> None:
        some = b"|".join(re.escape(name.encode(encoding)) for name in sorted(names))
        begun = rb"<!--|<!\[CDATA\[|<\?|</?(?:[^\s<>/:\"'=]+:)?(?:" + some + rb")(?=[\s/>])"
        self._pattern = re.compile(
            rb"<!--.*?-->|<!\[CDATA\[.*?\]\]>|<\?.*?\?>"
            rb"|<(?P<closes>/?)(?:[^\s<>/:\"'=]+:)?(?:" + some + rb")(?=[\s/>])"
            rb"(?:[^\"'<>/]++|\"[^\"<]*\"|'[^'<]*'|/(?!>))*+(?P<empty>/?)>"
            rb"|(?P<cut>" + begun + rb")",
            re.DOTALL,
        )
        self._rest, self._place, self._line = b"", 0, 1
        self._gb18030 = encoding == "gb18030"
        self.tags: deque[Tag] = deque()
        self.seen = 0
        """How many bytes were given."""

    def feed(self, data: bytes) -> None:
        """Take the next stretch. CannotCut when something in it does not end for too long."""
        self.seen += len(data)
        data = self._rest + data
        if any(door in data for door in _DOORS):
            raise read_xml.refused("the XML has a document type or entities", "LF-XML-DTD")
        if self._gb18030 and b"<![CDATA[" in data:  # whose end may be half of a character
            raise CannotCut
        counted = stop = 0
        for found in self._pattern.finditer(data):
            start, end = found.span()
            if found["cut"] is not None:
                stop = start
                break
            stop = end
            if found["closes"] is None:
                continue
            self._line += data.count(b"\n", counted, start)
            counted, at = start, self._place + start
            self.tags.append(Tag(at, self._place + end, bool(found["closes"]), self._line))
            if found["empty"]:
                self.tags.append(Tag(at, self._place + end, True, self._line))
        else:
            opened = data.rfind(b"<", stop)
            stop = len(data) if opened < 0 or b">" in data[opened:] else opened
        self._line += data.count(b"\n", counted, stop)
        self._rest, self._place = data[stop:], self._place + stop
        if len(self._rest) > pieces.PIECE_BYTES_MAX:
            raise CannotCut(_too_large())


def survey(given: Given, matches: Matches, names: frozenset[str], watched: frozenset[str]) -> Surveyed:
    """Go through a file whose pieces `matches` knows by the names above them; `names` are their own.

    FileRefused when the file is not well-formed or hostile; CannotCut when it cannot be read in these pieces.
    """
    head = head_of(given, _HEAD_BYTES)
    declared = _DECLARED.match(head)
    label = declared[1].decode().upper() if declared else "UTF-8"
    if not read_xml.seems(head) or label not in read_xml.ENCODINGS:
        raise CannotCut
    try:
        return _Surveyor(matches, names, watched, label).over(given)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise read_xml.not_well_formed(error) from error


class _Surveyor:
    """Goes through one file."""

    def __init__(self, matches: Matches, names: frozenset[str], watched: frozenset[str], label: str) -> None:
        self._matches, self._watched, self._label = matches, watched, label
        self._scan = Scan(names | watched, read_xml.ENCODINGS[label])
        tags = [f"{{*}}{name}" for name in sorted(names | watched)]
        self._parser = etree.XMLPullParser(("start", "end"), tag=tags, **read_xml.SHUT)
        self._windows = Windows()
        self._piece: Any = None
        self._began = Tag(0, 0, False, 1)
        self._pending: Any = None
        self._marks: list[Any] = []
        self._kept: list[tuple[int, int]] = []
        """What stands outside of the pieces: byte ranges, each but the last with a run of pieces behind it."""
        self._kept_bytes = self._kept_from = 0
        self._known: dict[str, tuple[Any, int]] = {}
        """By name: the parent last asked of, and how deep its children are where they are pieces; else 0."""
        self._too_deep: dict[int, etree.XPath] = {}

    def over(self, given: Given) -> Surveyed:
        """Go through the file."""
        for chunk in chunks_of(given):
            for place in range(0, len(chunk), _STEP_BYTES):
                self._feed(chunk[place : place + _STEP_BYTES])
        root = self._parser.close()
        self._take_events()
        self._drop_pending()
        if self._scan.tags or self._piece is not None:
            raise CannotCut
        self._kept.append((self._kept_from, self._scan.seen))
        return self._found(given, root)

    def _feed(self, data: bytes) -> None:
        self._scan.feed(data)
        self._parser.feed(data)
        self._take_events()
        if self._piece is not None:
            if self._scan.seen - self._began.start > pieces.PIECE_BYTES_MAX + _STEP_BYTES:
                raise CannotCut(_too_large())
        elif self._kept_bytes + self._scan.seen - self._kept_from > pieces.KEPT_BYTES_MAX + _STEP_BYTES:
            raise CannotCut(_too_much())

    def _take_events(self) -> None:
        tags = self._scan.tags
        event: str
        node: Any  # the stubs know more kinds of events than are asked for
        for event, node in self._parser.read_events():
            if not tags or tags[0].closes != (event == "end"):
                raise CannotCut  # the scan has read the file otherwise than the parser: it is not for cutting
            tag = tags.popleft()
            if self._piece is None:
                if event == "start" and self._depth(node):
                    self._piece, self._began = node, tag
            elif node is self._piece:
                self._take(node, tag)
            elif etree.QName(node).localname in self._watched:
                raise CannotCut

    def _depth(self, node: Any) -> int:
        """Return how deep an element stands that is a piece; 0 for one that is none."""
        parent, name = node.getparent(), node.tag
        if parent is None:
            return 0
        asked, depth = self._known.get(name, (None, 0))
        if asked is not parent:
            chain = [etree.QName(one).localname for one in node.iterancestors()][::-1]
            depth = len(chain) + 1 if self._matches((*chain, etree.QName(node).localname)) else 0
            self._known[name] = (parent, depth)
        return depth

    def _take(self, node: Any, tag: Tag) -> None:
        """Take a piece that is complete, and drop what is in it."""
        self._check(node, tag.end - self._began.start)
        self._drop_pending()
        if self._marks and node.getprevious() is self._marks[-1]:
            self._pending = node
        else:
            self._marks.append(node)
            self._kept.append((self._kept_from, self._began.start))
            self._kept_bytes += self._began.start - self._kept_from
            if self._kept_bytes > pieces.KEPT_BYTES_MAX or len(self._kept) > pieces.KEPT_ELEMENTS_MAX:
                raise CannotCut(_too_much())
        node.clear(keep_tail=True)
        self._windows.add(len(self._marks) - 1, self._began.start, tag.end, self._began.line)
        self._kept_from, self._piece = tag.end, None

    def _drop_pending(self) -> None:
        """Take the last piece out of the tree, now that it is known what text stands behind it."""
        node, self._pending = self._pending, None
        if node is None:
            return
        tail, mark = (node.tail or "").strip(), self._marks[-1]
        if tail:
            mark.tail = f"{(mark.tail or '').strip()} {tail}".strip()
        node.getparent().remove(node)

    def _check(self, node: Any, size: int) -> None:
        if size > pieces.PIECE_BYTES_MAX:
            raise CannotCut(_too_large())
        may_have_many = size > _ELEMENT_BYTES_MIN * pieces.PIECE_ELEMENTS_MAX
        if may_have_many and node.xpath("count(descendant-or-self::*)") > pieces.PIECE_ELEMENTS_MAX:
            raise CannotCut(_too_many())
        below = read_xml.DEPTH_MAX - self._depth(node) + 1
        if below < 1:
            raise read_xml.too_deep()
        deeper = self._too_deep.get(below)
        if deeper is None:
            deeper = self._too_deep[below] = etree.XPath(f"boolean({'/'.join('*' * below)})")
        if deeper(node):
            raise read_xml.too_deep()

    def _found(self, given: Given, root: Any) -> Surveyed:
        """Return what was found, once the file is at its end."""
        read_xml.require_plain(root)
        nodes = list(root.iter())
        if len(nodes) > pieces.KEPT_ELEMENTS_MAX:
            raise CannotCut(_too_much())
        runs = _Runs(self._marks, self._label)
        for mark in self._marks:
            mark.text = None
        tree = read_xml.element(root, "", 1)
        placed = dict(zip(map(id, nodes), read_xml.in_order(tree), strict=True))
        found = marked(tree, [placed[id(mark)] for mark in self._marks])
        kept = _Outside(given, self._kept, tree)
        return Surveyed(
            tree, found, tuple(self._windows.found), self._windows.pieces, runs.read, runs.ranges, kept.range_of
        )


class _Runs:
    """Reads windows, each as if it stood in its own place in the document."""

    def __init__(self, marks: Sequence[Any], label: str) -> None:
        self._label = label
        parents = [mark.getparent() for mark in marks]
        self._in = [(_opening(parent, label), *_around(parent)) for parent in parents]

    def read(self, window: Window, data: bytes) -> list[Element]:
        """Return the pieces of a window. FileRefused when the file is no longer what was surveyed."""
        opening, space, depth = self._in[window.run]
        try:
            root = etree.fromstring(b"%b%b</w>" % (opening, data), read_xml.PARSER)
        except (etree.XMLSyntaxError, ValueError) as error:
            raise changed() from error
        return [read_xml.element(node, space, depth + 1, window.line - 1) for node in root]

    def ranges(self, window: Window, data: bytes, found: Sequence[Element]) -> dict[int, tuple[int, int]]:
        """Return the byte range of each element of a window, by id."""
        opening = self._in[window.run][0]
        shift = window.start - len(opening)
        whole = read_xml.ranges(b"%b%b</w>" % (opening, data), Element("w", "", list(found)))
        return {place: (start + shift, end + shift) for place, (start, end) in whole.items()}


def _opening(parent: Any, label: str) -> bytes:
    """Return what stands in front of a window so that it can be parsed: the encoding, and the namespaces in force."""
    spaces = "".join(
        f" {f'xmlns:{prefix}' if prefix else 'xmlns'}={quoteattr(space)}" for prefix, space in parent.nsmap.items()
    )
    return f'<?xml version="1.0" encoding="{label}"?><w{spaces}>'.encode(read_xml.ENCODINGS[label], "xmlcharrefreplace")


def _around(parent: Any) -> tuple[str, int]:
    """Return the namespace of an element, as elements know it, and how deep it stands."""
    tag = parent.tag
    return tag.rpartition("}")[0] if tag[0] == "{" else "", sum(1 for _ in parent.iterancestors()) + 1


class _Outside:
    """Knows where in the file the elements stand that are in no piece."""

    def __init__(self, given: Given, kept: Sequence[tuple[int, int]], tree: Element) -> None:
        self._bytes = _GAP.join(ranges_held(given, kept))
        self._kept, self._tree = kept, tree

    @cached_property
    def _found(self) -> dict[int, tuple[int, int]]:
        return read_xml.ranges(self._bytes, self._tree)

    @cached_property
    def _places(self) -> list[int]:
        """Where each range begins in what is kept."""
        places, at = [], 0
        for start, end in self._kept:
            places.append(at)
            at += end - start + len(_GAP)
        return places

    def range_of(self, element: Element) -> tuple[int, int]:
        """Return the byte range of an element; (-1, -1) of one that is not here."""
        if id(element) not in self._found:
            return UNKNOWN, UNKNOWN
        start, end = self._found[id(element)]
        return self._in_file(start), self._in_file(end - 1) + 1

    def _in_file(self, place: int) -> int:
        number = bisect_right(self._places, place) - 1
        return self._kept[number][0] + place - self._places[number]


def text_at(given: Given, names: tuple[str, ...]) -> str:
    """Return the text of an element near the beginning of a file, by the names below the root; empty where there is none."""
    parser = etree.XMLPullParser(("end",), tag=f"{{*}}{names[-1]}", **read_xml.SHUT)
    try:
        parser.feed(head_of(given, _STEP_BYTES))
        node: Any
        for _, node in parser.read_events():
            if tuple(etree.QName(one).localname for one in (node, *node.iterancestors()))[-2::-1] == names:
                return (node.text or "").strip()
    except (etree.XMLSyntaxError, ValueError):
        return ""
    return ""


def _too_large() -> FileRefused:
    return read_xml.refused(f"the XML has a record of more than {pieces.PIECE_BYTES_MAX} bytes", "LF-XML-SIZE")


def _too_many() -> FileRefused:
    return read_xml.refused(
        f"the XML has a record of more than {pieces.PIECE_ELEMENTS_MAX} elements", "LF-XML-ELEMENTS"
    )


def _too_much() -> FileRefused:
    return read_xml.refused(
        f"the XML has more than {pieces.KEPT_BYTES_MAX} bytes or {pieces.KEPT_ELEMENTS_MAX} elements outside of its records",
        "LF-XML-SIZE",
    )
