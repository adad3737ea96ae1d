"""Call records in BER (ITU-T X.690), as 3GPP TS 32.298 writes them: one record after the other, and 0x00 between and behind.

- A document is one record (moCallRecord, mtSMSRecord…); its children are its fields by the names of the specification.
- Lengths may be definite or indefinite; every length is checked against what is there before anything is used, so a
  record that is cut off by one byte is refused, and so is all that stands behind it: no one can say where it ends.
- Numbers, IMSI and IMEI (TBCD) and timestamps of nine bytes become text; a child `hex` of each keeps the bytes.
"""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from adapters.ber_names import GROUPS, LISTS, RECORDS, Field, Fields
from adapters.errors import FileRefused, RowRefused
from adapters.profile import Source
from adapters.tree import Broken, Element

FILE_BYTES_MAX = 64 * 1024 * 1024
RECORD_BYTES_MAX = 64 * 1024
RECORDS_MAX = 1_000_000
DEPTH_MAX = 16
ELEMENTS_MAX = 4096
"""Most elements of one record."""

_RECORD = re.compile(rb"[^\x00]")
_LENGTH_OCTETS_MAX = 4
_TAG_OCTETS_MAX = 4
_CONTEXT = 0b10
_DIGITS = "0123456789*#abc"
_FILLER = 0x0F
_STAMP_BYTES = 9
_INTEGER_BYTES_MAX = 8
_HEX_SHOWN_MAX = 1024
_CURE = "have the telecom write the file again; nothing of this record was used"


class _Node(NamedTuple):
    """One element: its tag and what is in it, with byte ranges."""

    tag_class: int
    constructed: bool
    number: int
    start: int
    begin: int
    """First byte of its content."""
    stop: int
    """One past the last byte of its content."""
    end: int
    """One past the element, its end-of-contents octets included."""
    children: list["_Node"]


def seems(data: bytes) -> bool:
    """Say whether a file begins with a record of TS 32.298: a known tag, and a length that the file can hold."""
    place = 0
    while place < min(len(data), RECORD_BYTES_MAX) and data[place] == 0:
        place += 1
    try:
        node = _Reader(data, place, len(data)).header()
    except (RowRefused, IndexError):
        return False
    known = node.tag_class == _CONTEXT and node.constructed and node.number in RECORDS
    return known and data[node.begin : node.begin + 1] in (b"\x80", b"\xa0", b"\xa1", b"\x30", b"\x31")


def read(data: bytes, source: Source) -> Iterator[Element | Broken]:
    """Read every record. FileRefused when the file is too large or does not begin with a record."""
    del source
    if len(data) > FILE_BYTES_MAX:
        raise FileRefused(f"the file has more than {FILE_BYTES_MAX} bytes", cure="split it", code="LF-BER-SIZE")
    if not data.strip(b"\x00"):
        raise FileRefused("the file holds no record", cure="give the file as the telecom wrote it", code="LF-BER-EMPTY")
    return _records(data)


def _records(data: bytes) -> Iterator[Element | Broken]:
    place = count = 0
    while (record := _RECORD.search(data, place)) is not None:
        place, count = record.start(), count + 1
        if count > RECORDS_MAX:
            refused = _refused(
                f"the file has more than {RECORDS_MAX} records; these and the rest were not read", "LF-BER-SIZE"
            )
            yield Broken(1, place, len(data), refused)
            return
        reader = _Reader(data, place, len(data))
        try:
            node = reader.element(1)
        except RowRefused as refused:
            yield Broken(1, place, len(data), refused)
            return
        try:
            yield _record(data, node)
        except RowRefused as refused:
            yield Broken(1, node.start, node.end, refused)
        place = node.end


def _refused(cause: str, code: str) -> RowRefused:
    return RowRefused(cause, cure=_CURE, code=code)


_CUT = "the record is cut off: its length says more than there is"


class _Reader:
    """Reads one element, its children included."""

    def __init__(self, data: bytes, place: int, end: int) -> None:
        self._data, self._place, self._end = data, place, end
        self._count = 0

    def _octet(self, end: int) -> int:
        if self._place >= end:
            raise _refused(_CUT, "LF-BER-CUT")
        self._place += 1
        return self._data[self._place - 1]

    def header(self, end: int | None = None) -> _Node:
        """Read a tag and a length; `stop` is -1 for an indefinite one."""
        limit = self._end if end is None else end
        start = self._place
        first = self._octet(limit)
        number = first & 0x1F
        if number == 0x1F:  # noqa: PLR2004 - X.690 8.1.2.4: the number follows
            number = self._long_number(limit)
        length = self._octet(limit)
        if length == 0x80:  # noqa: PLR2004 - X.690 8.1.3.6: indefinite
            stop = -1
        else:
            if length > 0x80:  # noqa: PLR2004 - X.690 8.1.3.5: long form
                length = self._long_length(length & 0x7F, limit)
            stop = self._place + length
            if stop > limit:
                raise _refused(_CUT, "LF-BER-CUT")
        return _Node(first >> 6, bool(first & 0x20), number, start, self._place, stop, stop, [])

    def _long_number(self, limit: int) -> int:
        number = 0
        for _ in range(_TAG_OCTETS_MAX):
            octet = self._octet(limit)
            number = number << 7 | octet & 0x7F
            if octet < 0x80:  # noqa: PLR2004 - X.690 8.1.2.4.2: the last octet
                return number
        raise _refused("a tag has too many octets", "LF-BER-TAG")

    def _long_length(self, octets: int, limit: int) -> int:
        if octets > _LENGTH_OCTETS_MAX:
            raise _refused("a length has too many octets", "LF-BER-LENGTH")
        length = 0
        for _ in range(octets):
            length = length << 8 | self._octet(limit)
        return length

    def element(self, depth: int, end: int | None = None) -> _Node:
        """Read an element and what is in it. RowRefused when it is cut off, too deep or too large."""
        limit = self._end if end is None else end
        if depth > DEPTH_MAX:
            raise _refused(f"the record is nested deeper than {DEPTH_MAX}", "LF-BER-DEPTH")
        self._count += 1
        if self._count > ELEMENTS_MAX:
            raise _refused(f"the record has more than {ELEMENTS_MAX} elements", "LF-BER-SIZE")
        node = self.header(limit)
        if node.stop >= 0 and node.stop - node.start > RECORD_BYTES_MAX:
            raise _refused(f"the record has more than {RECORD_BYTES_MAX} bytes", "LF-BER-SIZE")
        if node.stop < 0:
            return self._indefinite(node, depth, limit)
        if node.constructed:
            while self._place < node.stop:
                node.children.append(self.element(depth + 1, node.stop))
        self._place = node.stop
        return node

    def _indefinite(self, node: _Node, depth: int, limit: int) -> _Node:
        """Read children up to the end-of-contents octets (X.690 8.1.5)."""
        if not node.constructed:
            raise _refused("a simple element has no length of its own", "LF-BER-LENGTH")
        while True:
            if self._place + 2 > limit:
                raise _refused(_CUT, "LF-BER-CUT")
            if self._place - node.start > RECORD_BYTES_MAX:
                raise _refused(f"the record has more than {RECORD_BYTES_MAX} bytes", "LF-BER-SIZE")
            if self._data[self._place : self._place + 2] == b"\x00\x00":
                stop = self._place
                self._place += 2
                return node._replace(stop=stop, end=self._place)
            node.children.append(self.element(depth + 1, limit))


def _record(data: bytes, node: _Node) -> Element:
    if node.tag_class != _CONTEXT or node.number not in RECORDS or not node.constructed:
        raise _refused("the record is of no kind that TS 32.298 has for circuit-switched calls", "LF-BER-TAG")
    name, fields = RECORDS[node.number]
    inner = node
    if len(node.children) == 1 and node.children[0].tag_class == 0 and node.children[0].constructed:
        inner = node.children[0]  # tagged explicitly: some switches keep the SET inside the choice
    return Element(name, "", _children(data, inner, fields), 1, node.start, node.end)


def _children(data: bytes, node: _Node, fields: Fields) -> list[Element]:
    """Return the fields of a group. RowRefused when one stands twice in it."""
    found: list[Element] = []
    seen = set()
    for child in node.children:
        field = fields.get(child.number) if child.tag_class == _CONTEXT else None
        if field is None:
            field = Field(f"unknown{child.number}")
        elif field.name in seen:
            raise _refused(f"the field {field.name} stands twice in the record", "LF-BER-TAG")
        seen.add(field.name)
        found += _field(data, child, field)
    return found


def _field(data: bytes, node: _Node, field: Field) -> list[Element]:
    if field.kind in LISTS:
        kind, name = LISTS[field.kind]
        ones = [Element(name, "", _children(data, one, GROUPS[kind]), 1, one.start, one.end) for one in node.children]
        return [Element(field.name, "", ones, 1, node.start, node.end)]
    if field.kind in GROUPS:
        return [Element(field.name, "", _children(data, node, GROUPS[field.kind]), 1, node.start, node.end)]
    content = data[node.begin : node.stop]
    raw = content[:_HEX_SHOWN_MAX].hex()
    if field.kind == "hex" or node.constructed:
        return [Element(field.name, raw, (), 1, node.start, node.end)]
    try:
        texts = _TEXTS[field.kind](content)
    except ValueError as error:
        refused = _refused(f"the field {field.name} is not in the form of TS 32.298", "LF-BER-FIELD")
        refused.column = field.name
        raise refused from error
    if field.kind in ("integer", "string"):
        return [Element(field.name, texts["value"], (), 1, node.start, node.end)]
    parts = [Element(name, text, (), 1, node.start, node.end) for name, text in texts.items() if text]
    return [
        Element(field.name, "", [*parts, Element("hex", raw, (), 1, node.start, node.end)], 1, node.start, node.end)
    ]


def _tbcd(content: bytes) -> str:
    """Return the digits of a TBCD string (3GPP TS 29.002): low half first, 0xF fills up the last octet."""
    digits = []
    for place, octet in enumerate(content):
        low, high = octet & 0x0F, octet >> 4
        if low == _FILLER or (high == _FILLER and place != len(content) - 1):
            raise ValueError("a filler stands inside the digits")
        digits.append(_DIGITS[low])
        if high != _FILLER:
            digits.append(_DIGITS[high])
    return "".join(digits)


def _read_tbcd(content: bytes) -> dict[str, str]:
    return {"digits": _tbcd(content)}


_NATURES = {0: "unknown", 1: "international", 2: "national", 3: "network", 4: "subscriber", 6: "abbreviated"}


def _read_number(content: bytes) -> dict[str, str]:
    """Return an address: the nature and plan of the number in the first octet (TS 29.002 AddressString), then digits.

    CalledNumber and CallingNumber may carry a second octet for presentation and screening (TS 24.008 10.5.4.9).
    """
    if not content:
        return {"digits": ""}
    first, rest = content[0], content[1:]
    if not first & 0x80:
        if not rest:
            raise ValueError("the number is cut off")
        rest = rest[1:]
    nature = first >> 4 & 0x07
    if nature == 5:  # noqa: PLR2004 - TS 23.040 9.1.2.5: a name in the GSM alphabet
        return {"nature": "alphanumeric", "plan": str(first & 0x0F)}
    digits = _tbcd(rest)
    shown = f"+{digits}" if nature == 1 and digits else digits
    return {"digits": shown, "nature": _NATURES.get(nature, "reserved"), "plan": str(first & 0x0F)}


def _read_time(content: bytes) -> dict[str, str]:
    """Return a timestamp: YYMMDDhhmmss in BCD, the sign of the offset in ASCII, hhmm in BCD (TS 32.298 5.1.1)."""
    if len(content) != _STAMP_BYTES or content[6:7] not in (b"+", b"-"):
        raise ValueError("not a timestamp")
    digits = content[:6].hex() + content[7:].hex()
    if not digits.isdecimal():
        raise ValueError("not a timestamp")
    year, month, day, hour, minute, second, offset_h, offset_m = (digits[at : at + 2] for at in range(0, 16, 2))
    century = "19" if int(year) >= 80 else "20"  # noqa: PLR2004 - GSM began in the eighties
    local = f"{century}{year}-{month}-{day}T{hour}:{minute}:{second}"
    return {"at": f"{local}{content[6:7].decode()}{offset_h}:{offset_m}"}


def _read_integer(content: bytes) -> dict[str, str]:
    if not 0 < len(content) <= _INTEGER_BYTES_MAX:
        raise ValueError("not an integer")
    return {"value": str(int.from_bytes(content, "big", signed=True))}


def _read_string(content: bytes) -> dict[str, str]:
    return {"value": content.decode("latin-1")}


def _read_plmn(content: bytes) -> dict[str, str]:
    """Return country and network code (TS 24.008 10.5.1.3)."""
    if len(content) != 3:  # noqa: PLR2004 - the specification's length
        raise ValueError("not a network")
    halves = [half for octet in content for half in (octet & 0x0F, octet >> 4)]
    mcc, mnc = [*halves[:2], halves[2]], [halves[4], halves[5], halves[3]]
    if mnc[-1] == _FILLER:
        mnc.pop()
    if any(digit > 9 for digit in (*mcc, *mnc)):  # noqa: PLR2004 - decimal digits
        raise ValueError("not a network")
    return {"mcc": "".join(map(str, mcc)), "mnc": "".join(map(str, mnc))}


_TEXTS: dict[str, Callable[[bytes], dict[str, str]]] = {
    "tbcd": _read_tbcd,
    "number": _read_number,
    "time": _read_time,
    "integer": _read_integer,
    "string": _read_string,
    "plmn": _read_plmn,
}
