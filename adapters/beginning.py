"""The beginning of a large XML or JSON file as a document of its own: which dialect a file is in, its beginning says.

What was open where the beginning ends is closed there. Nothing is converted from it: what is wrong further on is found then.
"""

import re
from typing import Any

from lxml import etree

from adapters import read_json, read_xml
from adapters.source_file import Given, head_of, size_of

BEGINNING_BYTES = 1024 * 1024
"""Of a file that is larger, so much is looked at."""
_MARKS = re.compile(rb'"(?:[^"\\]|\\.)*+"|[{}\[\],]', re.DOTALL)
_CLOSING = {b"{": b"}", b"[": b"]"}


def beginning_of(given: Given) -> bytes | None:
    """Return a document that a file begins with; None where the file is small, or is not XML or JSON."""
    if size_of(given) <= BEGINNING_BYTES:
        return None
    head = head_of(given, BEGINNING_BYTES)
    if read_xml.seems(head):
        return _of_xml(head)
    return _of_json(head) if read_json.seems(head) else None


def _of_xml(head: bytes) -> bytes | None:
    """Return what is complete of the elements; None where a document type or a fault is in them."""
    if b"<!DOCTYPE" in head or b"<!ENTITY" in head:
        return None
    parser = etree.XMLPullParser(("start",), **read_xml.SHUT)
    try:
        parser.feed(head)
    except (etree.XMLSyntaxError, ValueError):
        return None
    node: Any  # the stubs know more kinds of events than are asked for
    last: Any = None
    for _, node in parser.read_events():
        last = node
    if last is None:
        return None
    root = last.getroottree().getroot()
    if last is not root:
        last.getparent().remove(last)  # perhaps its text is cut off
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def _of_json(head: bytes) -> bytes | None:
    """Return what stands before the last comma, with what is open there closed; None where there is none."""
    open_: list[bytes] = []
    cut, closing = 0, b""
    for found in _MARKS.finditer(head):
        mark = found[0]
        if mark in _CLOSING:
            open_.append(_CLOSING[mark])
        elif mark in (b"}", b"]"):
            if not open_ or open_.pop() != mark:
                return None
            if not open_:
                return None  # several documents
        elif mark == b",":
            cut, closing = found.start(), b"".join(reversed(open_))
    return head[:cut] + closing if cut else None
