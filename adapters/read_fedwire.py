"""Fedwire funds transfers in the old tagged format (FAIM 3): {nnnn} and what stands behind it, to the next tag.

- A document is one message, from {1500} to the next {1500}; its children are its tags, taken apart where their form is known.
- A test message moved no money, and is refused as such; so is one without the tags that every transfer has.
- The amount of {2000} is cents without a decimal point.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from adapters.errors import FileRefused, RowRefused
from adapters.profile import Source
from adapters.tree import Broken, Element

FILE_BYTES_MAX = 64 * 1024 * 1024
MESSAGE_BYTES_MAX = 256 * 1024
MESSAGES_MAX = 250_000
TAGS_MAX = 512

_TAG = re.compile(r"\{([0-9]{4})\}")
_START = re.compile(r"\{1500\}")
_NEEDED = ("1500", "1510", "1520", "2000", "3100", "3400", "3600")
_CURE = "have the bank send the message again; nothing of it was used"


class Form(NamedTuple):
    """How a tag is written: parts of fixed width (a pattern each), then parts that end with an asterisk."""

    fixed: tuple[tuple[str, str], ...] = ()
    starred: tuple[str, ...] = ()


_BANK = Form((("routing_number", r"[0-9]{9}"),), ("name",))
_PARTY = Form((("id_code", r"[A-Z0-9 ]"),), ("identifier", "name", "address_1", "address_2", "address_3"))
_LINES = Form((), ("line_1", "line_2", "line_3", "line_4", "line_5", "line_6"))
_REFERENCE = Form((), ("text",))

FORMS: dict[str, Form] = {
    "1500": Form(
        (("version", r".{2}"), ("correlation", r".{8}"), ("environment", r"[TP]"), ("duplication", r"[ PR]?"))
    ),
    "1510": Form((("type", r"[0-9]{2}"), ("subtype", r"[0-9]{2}"))),
    "1520": Form((("cycle_date", r"[0-9]{8}"), ("source", r"[A-Za-z0-9 ]{8}"), ("sequence", r"[0-9]{6}"))),
    "2000": Form((("amount", r"[0-9]{12}"),)),
    "3100": _BANK,
    "3400": _BANK,
    "3320": _REFERENCE,
    "3500": Form((("previous_message", r".{22}"),)),
    "3600": Form((("business_function", r"[A-Z]{3}"), ("transaction_type", r"[A-Z0-9 ]{0,3}")), ("more",)),
    "3610": Form((("code", r"[A-Z0-9]{4}"),), ("proprietary",)),
    "3620": Form((("indicator", r"[0-9]"),), ("electronic_address", "name", "phone", "mobile", "fax", "end_to_end_id")),
    "3700": Form((("bearer", r"[A-Z]"),), ("amount_1", "amount_2", "amount_3", "amount_4")),
    "3710": Form((("currency", r"[A-Z]{3}"),), ("amount",)),
    "3720": Form((), ("rate",)),
    **dict.fromkeys(("4000", "4100", "4200", "4400", "5000", "5100", "5200", "5400"), _PARTY),
    "4320": _REFERENCE,
    "5010": Form((), ("identifier", "name", "line_1", "line_2", "line_3")),
    **dict.fromkeys(("6000", "6100", "6200", "6300", "6400", "6500"), _LINES),
    **dict.fromkeys(("6110", "6210", "6310", "6410"), Form((("code", r"[A-Z]{3}"),), _LINES.starred)),
    "7033": Form((), ("tag", "amount")),
    "1120": Form((("cycle_date", r"[0-9]{8}"), ("destination", r".{8}"), ("sequence", r"[0-9]{6}")), ("received",)),
}
"""By tag; a tag that is not listed stays one text."""


def seems(data: bytes) -> bool:
    """Say whether a file begins with the tag of every Fedwire message."""
    return (
        _TAG.match(data[:64].removeprefix(b"\xef\xbb\xbf").decode("latin-1").lstrip()) is not None and b"{1510}" in data
    )


def read(data: bytes, source: Source) -> Iterator[Element | Broken]:
    """Read every message. FileRefused when the file is too large or holds none."""
    del source
    if len(data) > FILE_BYTES_MAX:
        raise FileRefused(f"the file has more than {FILE_BYTES_MAX} bytes", cure="split it", code="LF-FEDWIRE-SIZE")
    structure = data.decode("latin-1")
    starts = [found.start() for found in _START.finditer(structure)]
    if not starts:
        raise FileRefused(
            "the file holds no Fedwire message", cure="give the file as the bank sent it", code="LF-FEDWIRE-NO-MESSAGE"
        )
    if len(starts) > MESSAGES_MAX:
        raise FileRefused(f"the file has more than {MESSAGES_MAX} messages", cure="split it", code="LF-FEDWIRE-SIZE")
    return _messages(data, structure, starts)


def _messages(data: bytes, structure: str, starts: list[int]) -> Iterator[Element | Broken]:
    line, counted = 1, 0
    lead = structure[: starts[0]].removeprefix("\xef\xbb\xbf")
    if lead.strip():
        yield Broken(1, 0, starts[0], _refused("text stands before the first message", "LF-FEDWIRE-TAG"))
    for start, end in zip(starts, [*starts[1:], len(structure)], strict=True):
        line, counted = line + structure.count("\n", counted, start), start
        try:
            yield _message(data, structure, start, end, line)
        except RowRefused as refused:
            yield Broken(line, start, end, refused)


def _refused(cause: str, code: str) -> RowRefused:
    return RowRefused(cause, cure=_CURE, code=code)


def _message(data: bytes, structure: str, start: int, end: int, line: int) -> Element:
    if end - start > MESSAGE_BYTES_MAX:
        raise _refused(f"the message has more than {MESSAGE_BYTES_MAX} bytes", "LF-FEDWIRE-SIZE")
    marks = list(_TAG.finditer(structure, start, end))
    if len(marks) > TAGS_MAX:
        raise _refused(f"the message has more than {TAGS_MAX} tags", "LF-FEDWIRE-SIZE")
    children, seen, counted = [], set(), start
    for mark, following in zip(marks, [*marks[1:], None], strict=True):
        line, counted = line + structure.count("\n", counted, mark.start()), mark.start()
        stop = following.start() if following else end
        if mark[1] in seen:
            raise _refused(f"tag {mark[1]} stands twice in the message", "LF-FEDWIRE-TAG")
        seen.add(mark[1])
        children.append(_element(data, structure, mark, stop, line))
    for tag in _NEEDED:
        if tag not in seen:
            raise _refused(f"tag {tag} is missing: the message is cut off, or no transfer", "LF-FEDWIRE-TAG")
    if any(child.name == "environment" and child.text == "T" for child in children[0].children):
        raise RowRefused(
            "it is a test message ({1500}): no money moved",
            cure="leave it out; only messages of production tell of movements",
            code="LF-FEDWIRE-TEST",
        )
    return Element("fedwire", "", children, children[0].line, start, end)


def _element(data: bytes, structure: str, mark: re.Match[str], stop: int, line: int) -> Element:
    """Return a tag with its parts. RowRefused when it is not in its form."""
    tag, place = mark[1], mark.end()
    while stop > place and structure[stop - 1] in "\r\n\x00\x1a":
        stop -= 1
    form = FORMS.get(tag)

    if form is None:
        return _leaf(data, tag, place, stop, line)
    begin, children = mark.start(), []
    for name, pattern in form.fixed:
        found = re.compile(pattern).match(structure, place, stop)
        if found is None:
            raise _not_in_form(tag)
        children.append(_leaf(data, name, *found.span(), line))
        place = found.end()
    for name in form.starred:
        if place >= stop:
            break
        cut = structure.find("*", place, stop)
        if cut < 0:
            raise _refused(f"tag {tag} is cut off: its last part has no asterisk", "LF-FEDWIRE-CUT")
        children.append(_leaf(data, name, place, cut, line))
        place = cut + 1
    if structure[place:stop].strip("* "):
        raise _not_in_form(tag)
    return Element(tag, "", [child for child in children if child.text], line, begin, stop)


def _leaf(data: bytes, name: str, start: int, end: int, line: int) -> Element:
    try:
        text = data[start:end].decode()
    except UnicodeDecodeError:
        text = data[start:end].decode("latin-1")
    return Element(name, text.strip(), (), line, start, end)


def _not_in_form(tag: str) -> RowRefused:
    refused = _refused(f"tag {tag} is not in the form that Fedwire gives it", "LF-FEDWIRE-FIELD")
    refused.column = tag
    return refused
