"""XML ⇄ a tree of elements, with every door shut that hostile XML comes through.

- No DTD, no entities, no network, no external file; limits on size, depth and number of elements.
- An element is named by its local name; where its namespace is another than its parent's, it has a child `@xmlns`.
- Text that stands between elements is a child `#text`, so that it is seen.
- Byte ranges are found by a second pass over the tags, only when somebody asks where a value stands.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from lxml import etree

from adapters.errors import FileRefused
from adapters.profile import Source, Writing
from adapters.tree import UNKNOWN, Element

XML_BYTES_MAX = 32 * 1024 * 1024
DEPTH_MAX = 32
ELEMENTS_MAX = 400_000
ATTRIBUTE_NAMESPACE = "@xmlns"
BETWEEN = "#text"
ENCODINGS = {
    "UTF-8": "utf-8", "UTF8": "utf-8", "GB18030": "gb18030", "GBK": "gb18030", "GB2312": "gb18030",
    "US-ASCII": "ascii", "ASCII": "ascii", "ISO-8859-1": "latin-1",
}  # fmt: skip
_TAG = re.compile(
    r"<!--.*?-->|<!DOCTYPE[^>]*>|<\?.*?\?>|<!\[CDATA\[.*?\]\]>|<(/?)[^\s/>\"']+(?:[^\"'>]|\"[^\"]*\"|'[^']*')*?(/?)>",
    re.DOTALL,
)
_DOCUMENT_TYPE = re.compile(rb"\A((?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*\?>)?\s*)<!DOCTYPE\s+[A-Za-z_][\w.-]*\s*>")
"""A document type at the beginning that names the root and declares nothing."""
SHUT: dict[str, Any] = {
    "resolve_entities": False,
    "no_network": True,
    "load_dtd": False,
    "dtd_validation": False,
    "huge_tree": False,
    "recover": False,
    "remove_comments": True,
    "remove_pis": True,
}
"""How a parser is made that keeps every door shut."""
PARSER = etree.XMLParser(**SHUT)
_CURE = "have the sending system write the record again; nothing of it was used"


def seems(data: bytes) -> bool:
    """Say whether a file begins as XML does."""
    return data[:64].removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"<"


def read(data: bytes, source: Source) -> Iterator[Element]:
    """Read one document. FileRefused when it is not well-formed, hostile, or too large."""
    root = parse(data, document_type=source.document_type)
    return iter((element(root, "", 1),))


def parse(data: bytes, *, document_type: bool = False) -> etree._Element:
    """Parse one document, for schema validation and reading. FileRefused.

    `document_type`: the dialect's files begin with a document type. One that declares nothing is passed over, unread.
    """
    if len(data) > XML_BYTES_MAX:
        raise refused(f"the XML has more than {XML_BYTES_MAX} bytes", "LF-XML-SIZE")
    if data.count(b"<") > 2 * ELEMENTS_MAX:
        raise refused(f"the XML has more than {ELEMENTS_MAX} elements", "LF-XML-ELEMENTS")
    bare = _DOCUMENT_TYPE.sub(rb"\1", data, count=1) if document_type else data
    if b"<!DOCTYPE" in bare or b"<!ENTITY" in bare:
        raise refused("the XML has a document type or entities", "LF-XML-DTD")
    try:
        root = etree.fromstring(data, PARSER)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise not_well_formed(error) from error
    require_plain(root, document_type=document_type)
    if data.count(b"<") > ELEMENTS_MAX and sum(1 for _ in root.iter()) > ELEMENTS_MAX:
        raise refused(f"the XML has more than {ELEMENTS_MAX} elements", "LF-XML-ELEMENTS")
    return root


def require_plain(root: etree._Element, *, document_type: bool = False) -> None:
    """Check of a parsed document that it has no document type, and an encoding that we know. FileRefused."""
    info: Any = root.getroottree().docinfo  # the stubs know half of it
    if not document_type and (info.doctype or info.internalDTD is not None):
        raise refused("the XML has a document type", "LF-XML-DTD")
    if (info.encoding or "UTF-8").upper() not in ENCODINGS:
        raise refused("the XML is in an encoding that this dialect has not", "LF-XML-ENCODING")


def refused(cause: str, code: str) -> FileRefused:
    """Return the refusal of a document as a whole."""
    return FileRefused(cause, cure=_CURE, code=code)


def not_well_formed(error: Exception) -> FileRefused:
    """Return the refusal of what the parser does not take."""
    line = getattr(error, "lineno", None) or 1
    return refused(f"the XML is not well-formed or cut off, at line {line}", "LF-XML-SYNTAX")


def too_deep() -> FileRefused:
    """Return the refusal of a document with elements in elements without end."""
    return refused(f"the XML is nested deeper than {DEPTH_MAX}", "LF-XML-DEPTH")


def element(node: Any, above: str, depth: int, lines: int = 0) -> Element:
    """Return what the parser found as an element; `above` is its parent's namespace, `lines` stand in front of what was parsed."""
    if depth > DEPTH_MAX:
        raise too_deep()
    tag, line, inner, attributes = node.tag, node.sourceline + lines, list(node), node.items()
    space, _, name = tag.rpartition("}") if tag[0] == "{" else ("", "", tag)
    text = node.text or ""
    if not inner and not attributes and space == above:  # as most are
        return _made(Element, (name, text, (), line, UNKNOWN, UNKNOWN))
    children = [Element(ATTRIBUTE_NAMESPACE, space[1:], (), line)] if space != above else []
    children += [Element(f"@{key.rpartition('}')[2]}", text, (), line) for key, text in attributes]
    if inner:
        children += [element(child, space, depth + 1, lines) for child in inner]
        between = [piece for piece in (text, *[child.tail for child in inner]) if piece and not piece.isspace()]
        if between:
            children.append(Element(BETWEEN, " ".join(map(str.strip, between))))
        text = ""
    return _made(Element, (name, text, children, line, UNKNOWN, UNKNOWN))


_made = tuple.__new__
"""Makes an element of its parts, without the keywords that cost half of the time."""


def ranges(data: bytes, root: Element) -> dict[int, tuple[int, int]]:
    """Return the byte range of every element, by its id: from its first < to behind its last >. An attribute has its tag's."""
    declared = re.match(rb"\s*<\?xml[^>]*?encoding\s*=\s*[\"']([A-Za-z0-9._-]+)", data.removeprefix(b"\xef\xbb\xbf"))
    encoding = ENCODINGS[declared[1].decode().upper() if declared else "UTF-8"]
    found: dict[int, tuple[int, int]] = {}
    waiting = in_order(root)
    open_: list[tuple[Element, int]] = []
    for start, end, closes, empty in _tags(data.decode(encoding), encoding):
        if closes:
            element, begun = open_.pop()
            found[id(element)] = (begun, end)
            continue
        element = next(waiting)
        found.update((id(child), (start, end)) for child in element.children if child.name[:1] == "@")
        if empty:
            found[id(element)] = (start, end)
        else:
            open_.append((element, start))
    return found


def _tags(text: str, encoding: str) -> Iterator[tuple[int, int, bool, bool]]:
    """Yield the byte range of every tag, whether it closes an element, and whether the element is empty."""
    plain = text.isascii()
    place = byte = 0
    for tag in _TAG.finditer(text):
        start, end = tag.span()
        byte += start - place if plain else len(text[place:start].encode(encoding))
        width = end - start if plain else len(tag[0].encode(encoding))
        if tag[1] is not None:
            yield byte, byte + width, bool(tag[1]), bool(tag[2])
        place, byte = end, byte + width


def in_order(top: Element) -> Iterator[Element]:
    """Yield an element and those in it that have tags of their own, in the order of the document."""
    yield top
    for child in top.children:
        if child.name[:1] not in ("@", "#"):
            yield from in_order(child)


def write(roots: Sequence[Element], _: Writing) -> bytes:
    """Write one document. FileRefused when a text holds characters that XML cannot."""
    (root,) = roots
    try:
        top = _node(root, "", None)
    except ValueError as error:
        raise FileRefused(
            "the message holds control characters, which XML cannot carry",
            cure="the sender must correct its text; the message can be read with `lianfang open`",
            code="LF-RENDER-CONTROL",
        ) from error
    return etree.tostring(top, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def _node(element: Element, above: str, parent: etree._Element | None) -> etree._Element:
    space = next((child.text for child in element.children if child.name == ATTRIBUTE_NAMESPACE), above)
    tag = f"{{{space}}}{element.name}" if space else element.name
    spaces: Any = {None: space} if space and space != above else None  # the stubs know no default namespace
    node = etree.Element(tag, nsmap=spaces) if parent is None else etree.SubElement(parent, tag, nsmap=spaces)
    node.text = element.text
    for child in element.children:
        if child.name == ATTRIBUTE_NAMESPACE:
            continue
        if child.name[:1] == "@":
            node.set(child.name[1:], child.text)
        else:
            node.text = None
            _node(child, space, node)
    return node
