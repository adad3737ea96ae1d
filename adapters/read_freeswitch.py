"""Call detail records of FreeSWITCH (mod_json_cdr): JSON in which every variable may be URL-encoded, or none.

The switch encodes the variables of a record all alike (`encode-values`, on by default), so they are decoded as a whole: where
each text could be the work of its encoder, and one has an escape. What stands in `callflow` is decoded by the same rule, apart.
A record of a version that writes the key `callflow` several times is ambiguous JSON and is refused as such.
"""

import re
from collections.abc import Iterator
from urllib.parse import unquote

from adapters import read_json
from adapters.profile import Source
from adapters.tree import Broken, Element

_ENCODED = re.compile(r"""(?:[^\x00-\x20\x7f-\U0010ffff"#%&+:;<=>?@\[\\\]^`{|}]|%[0-9A-Fa-f]{2})*""")
"""What the switch's encoder can have written: it leaves none of these characters as they are."""
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_MARKS = (b'"callflow"', b'"variables"')
_DECODED = ("variables", "callflow")


def seems(data: bytes) -> bool:
    """Say whether a file begins as JSON and has what such a record has."""
    return read_json.seems(data) and all(mark in data for mark in _MARKS)


def read(data: bytes, source: Source) -> Iterator[Element | Broken]:
    """Read records. FileRefused when the file is no JSON."""
    return (piece if isinstance(piece, Broken) else _plain(piece) for piece in read_json.read(data, source))


def _plain(root: Element) -> Element:
    children = []
    for child in root.children:
        texts = list(_texts(child)) if child.name in _DECODED else []
        encoded = any(_ESCAPE.search(text) for text in texts) and all(_ENCODED.fullmatch(text) for text in texts)
        children.append(_decoded(child) if encoded else child)
    return root._replace(children=children)


def _texts(element: Element) -> Iterator[str]:
    if element.text:
        yield element.text
    for child in element.children:
        yield from _texts(child)


def _decoded(element: Element) -> Element:
    """Return an element with its texts as they were; one that is no UTF-8 stays as it is written."""
    text = element.text
    if "%" in text:
        try:
            text = unquote(text, errors="strict")
        except UnicodeDecodeError:
            text = element.text
    return element._replace(text=text, children=[_decoded(child) for child in element.children])
