"""Fields of a message become elements of a record, by the same mapping that reads them; what is left over is the loss.

- A value that the dialect has no form for is not written and is named: a code of another list, an enumeration it lacks.
- `provenance` says where a message came from and is replaced by the record's own; it is no loss.
- A constant of the record (why an order is made, where its code implies it) is carried by the code.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message

from adapters.amounts import decimals_of, write_money
from adapters.errors import RowRefused
from adapters.kinds import Setting, read_id, write_account
from adapters.moments import read_instant, write_instant
from adapters.plan import ITSELF
from adapters.profile import Mapping_, ProfileFile, When
from schemas.v1 import common_pb2

_CARRIES: dict[str, frozenset[str]] = {
    "account": frozenset({"scheme", "number", "sub_account", "masked"}),
    "bank": frozenset({"scheme", "code"}),
    "id": frozenset({"id_number", "id_checksum_bad"}),
    "id of its form": frozenset({"id_number", "id_checksum_bad", "id_type"}),
    "money": frozenset({"minor_units", "currency", "currency_assumed"}),
    "magnitude": frozenset({"minor_units", "currency", "currency_assumed"}),
    "instant": frozenset({"utc_ms", "precision", "zone_source", "zone", "raw"}),
    "code": frozenset({"scheme", "code", "raw"}),
    "phone": frozenset({"e164", "raw", "kind", "region_assumed"}),
    "tn": frozenset({"e164", "raw", "kind", "region_assumed"}),
    "paper": frozenset({"kind", "sha256", "media_type", "filename", "content"}),
}
"""Which parts of a shared type each kind of text holds."""
TABLES = ("csv", "xlsx")
_MONEY = ("money", "magnitude")
_SKIPPED = frozenset({"provenance"})


@dataclass
class Written:
    """What a message gives to a record."""

    texts: dict[str, str] = field(default_factory=dict)
    several: dict[str, list[str]] = field(default_factory=dict)
    """Texts of paths at which an element stands for each."""
    carried: dict[str, str] = field(default_factory=dict)
    """Paths of the message that were written, with the kind of text."""
    inexact: list[str] = field(default_factory=list)
    """Paths of which a part was lost."""
    loss: tuple[str, ...] = ()


class Carrier:
    """Writes the messages of one kind of record: the fields that are given, into the columns or paths of its layout."""

    def __init__(
        self, file: ProfileFile, fields: Mapping[str, Mapping_], layout: Sequence[str], const: Mapping[str, str]
    ) -> None:
        self._file = file
        self._layout = frozenset(layout)
        self._const = const
        self._fields = [
            (path, verbs, slots)
            for path, verbs in fields.items()
            if (slots := [self._slot(source) for source in verbs.sources])
            and (slots[0] or (verbs.parse.kind == "paper" and any(slots)))
        ]

    def _slot(self, source: str) -> str:
        """Return the column or path of the layout into which a `from` is written; empty when there is none."""
        return next((one for one in (source, *source.split(" | ")) if one in self._layout), "")

    def write(self, message: Message) -> Written:
        """Return the texts of the record and the fields that it cannot carry."""
        written = self.fill(message)
        written.loss = (*left_over(message, written.carried), *written.inexact)
        return written

    def fill(self, message: Any) -> Written:
        """Return the texts of the record, or of an element of a list, and what of it they carry."""
        written = Written()
        for path, verbs, slots in self._fields:
            value = value_at(message, path)
            if value is None or value == []:
                continue
            if verbs.parse.kind == "paper":
                written.texts.update(
                    (slot, text) for slot, text in zip(slots, self._paper(value, verbs), strict=False) if slot
                )
                written.carried[path] = "paper"
            elif self._fits_beside(value, verbs, written) and self._put(value, verbs, slots[0], written):
                told = verbs.parse.kind == "id" and _type_is_told(value, verbs, self._file)
                written.carried[path] = "id of its form" if told else verbs.parse.kind
                if verbs.parse.kind == "instant" and value.utc_ms % 1000 and not _has_parts(verbs, value, self._file):
                    written.inexact.append(f"{path}.utc_ms")
        for path, text in self._const.items():
            if value_as_text(message, path) == text:
                written.carried[path] = "text"
        return written

    def _fits_beside(self, value: Any, verbs: Mapping_, written: Written) -> bool:
        """Write what must stand beside a value, its currency or the word that tells whose it is, and say whether it may."""
        if verbs.parse.kind in _MONEY and not self._currency_fits(value, verbs, written):
            return False
        if verbs.parse.kind == "magnitude" and value.minor_units < 0:
            return False
        sign = verbs.parse.negative
        if verbs.parse.kind == "money" and sign is not None and value.minor_units < 0:
            return written.texts.setdefault(sign.source, sign.among[0]) in sign.among and sign.source in self._layout
        if isinstance(verbs.when, When) and verbs.when.source in self._layout:
            return written.texts.setdefault(verbs.when.source, verbs.when.among[0]) in verbs.when.among
        return True

    def _put(self, value: Any, verbs: Mapping_, slot: str, written: Written) -> bool:
        if verbs.split is None and not isinstance(value, str | Message | int | float | bytes):
            texts = [self._text(item, verbs) for item in value]
            if any(text is None for text in texts):
                return False
            return written.several.setdefault(slot, kept := [text for text in texts if text is not None]) is kept
        text = self._text(value, verbs) if verbs.split is None else self._joined(value, verbs)
        if text is None:
            return False
        if verbs.joins and len(verbs.sources) == 1 and verbs.join and verbs.join in text:
            written.several[slot] = text.split(verbs.join)
            return True
        return written.texts.setdefault(slot, text) == text or bool(verbs.map)

    def _currency_fits(self, value: Any, verbs: Mapping_, written: Written) -> bool:
        """Write an amount's currency, and say whether the amount may stand there: amounts that share the element agree."""
        element, usual = verbs.parse.currency_from, self._file.source.currency
        if element not in self._layout:
            return bool(value.currency == usual)
        if self._file.source.format in TABLES:
            implied = value.currency_assumed and value.currency == usual
            written_one = written.texts.setdefault(element, "" if implied else value.currency)
            return bool((written_one or usual) == value.currency)
        return bool(written.texts.setdefault(element, value.currency) == value.currency)

    def _text(self, value: Any, verbs: Mapping_) -> str | None:
        if verbs.map and verbs.parse.kind == "text":
            return _unmapped(value, self._file.table[verbs.map.table])
        return _FORMS[verbs.parse.kind](value, verbs, self._file)

    def _joined(self, values: Any, verbs: Mapping_) -> str | None:
        """Return a list as one text; None when one of its elements has no form, or holds what would cut it."""
        assert verbs.split is not None, "asked before"
        texts = [self._text(value, verbs) for value in values] if verbs.split.part is None else [None]
        marks = verbs.split.at
        if any(text is None or any(mark in text for mark in marks) for text in texts):
            return None
        return marks[0].join(text for text in texts if text is not None)

    def _paper(self, paper: Any, verbs: Mapping_) -> tuple[str, str]:
        """Return a paper's name, which begins with what it is, and its content."""
        kind = common_pb2.AttachmentKind.Name(paper.kind)
        prefix = next((mark for mark, name in verbs.parse.prefixes.items() if name == kind), "")
        name = paper.filename or "paper"
        return (name if name.startswith(prefix) else f"{prefix}-{name}"), base64.b64encode(paper.content).decode()


def _type_is_told(value: Any, verbs: Mapping_, file: ProfileFile) -> bool:
    """Say whether an identity number's form tells its type: who reads it finds the same."""
    try:
        return bool(read_id(Setting("", verbs, file))(value.id_number, [])["id_type"] == value.id_type)
    except RowRefused:
        return False


def _unmapped(value: Any, table: Mapping[str, str]) -> str | None:
    return next((code for code, word in table.items() if word == value), None)


def _moment(value: Any, verbs: Mapping_, file: ProfileFile) -> str | None:
    if value.raw and _reads_as(value, verbs, file):
        return str(value.raw)
    try:
        return write_instant(verbs.parse.formats[0], file.source.zone, value)
    except (ValueError, OverflowError, OSError):
        return None  # a moment that no calendar has


def _has_parts(verbs: Mapping_, value: Any, file: ProfileFile) -> bool:
    """Say whether an instant is written with its parts of a second: as its own text, which reads as the same moment."""
    return bool(value.raw) and _reads_as(value, verbs, file)


def _reads_as(value: Any, verbs: Mapping_, file: ProfileFile) -> bool:
    """Say whether an instant's own text, as its source had it, means the same in this dialect."""
    try:
        return bool(common_pb2.Instant(**read_instant(Setting("", verbs, file))(value.raw, [])) == value)
    except RowRefused:
        return False


def _is_written(account: Any, verbs: Mapping_) -> bool:
    """Say whether an account may stand where the profile says which scheme is written."""
    return not verbs.parse.scheme or account.scheme == verbs.parse.scheme


def _is_of_scheme(value: Any, verbs: Mapping_) -> bool:
    return value.scheme in ((verbs.parse.scheme,) if verbs.parse.scheme else ("CNAPS", "LOCAL", ""))


def _amount(value: Any, verbs: Mapping_, _: ProfileFile) -> str:
    text = write_money(decimals_of(verbs, value.currency), value, verbs.parse.decimal)
    return text.removeprefix("-") if verbs.parse.negative is not None else text


def _code(value: Any, verbs: Mapping_, file: ProfileFile) -> str | None:
    if value.scheme != verbs.parse.scheme:
        return None
    table = file.table[verbs.map.table] if verbs.map else {}
    return str(value.raw if value.raw and table.get(value.raw) == value.code else value.code)


_FORMS: dict[str, Callable[[Any, Mapping_, ProfileFile], str | None]] = {
    "text": lambda value, _verbs, _file: str(value),
    "integer": lambda value, _verbs, _file: str(value),
    "account": lambda value, verbs, _file: write_account(value) or None if _is_written(value, verbs) else None,
    "bank": lambda value, verbs, _file: value.code if value.code and _is_of_scheme(value, verbs) else None,
    "id": lambda value, _verbs, _file: value.id_number or None,
    "phone": lambda value, _verbs, _file: value.raw or value.e164 or None,
    "money": _amount,
    "magnitude": _amount,
    "instant": _moment,
    "code": _code,
    "tn": lambda value, _verbs, _file: value.raw or value.e164 or None,
    "duration": lambda value, _verbs, _file: str(value),
    "boolean": lambda value, _verbs, _file: "true" if value else "false",
    "stix-pattern": lambda value, _verbs, _file: str(value),
    "hex": lambda value, _verbs, _file: value.hex(),
}


def value_at(message: Any, path: str) -> Any:
    """Return what stands at a path; None when it is not set. An enumeration comes as its name."""
    value = message
    for piece in path.split(".") if path != ITSELF else ():
        name, _, index = piece.rstrip("]").partition("[")
        descriptor = value.DESCRIPTOR.fields_by_name[name]
        if descriptor.is_repeated:
            items = getattr(value, name)
            if index:
                if len(items) <= int(index):
                    return None
                value = items[int(index)]
                continue
            return items if len(items) else None
        if descriptor.has_presence and not value.HasField(name):
            return None
        value = getattr(value, name)
        if descriptor.enum_type is not None:
            return descriptor.enum_type.values_by_number[value].name if value else None
        if value is False and not descriptor.has_presence:
            return None
    return value if isinstance(value, Message) or value != "" else None


def value_as_text(message: Message, path: str) -> str:
    """Return what stands at a path as a profile writes it as a constant; empty when it is not set."""
    value = value_at(message, path)
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def left_over(message: Any, carried: Mapping[str, str]) -> list[str]:
    """Return the paths of what is set and was not written."""
    return _left_over(message, "", "", carried)


def _left_over(message: Any, prefix: str, kind: str, carried: Mapping[str, str]) -> list[str]:
    lost: list[str] = []
    for descriptor, value in message.ListFields():
        path = f"{prefix}{descriptor.name}"
        if path in _SKIPPED or descriptor.name in _CARRIES.get(kind, ()):
            continue
        if descriptor.message_type is None:
            if path not in carried:
                lost.append(path)
        elif descriptor.is_repeated:
            for number, item in enumerate(value):
                element = f"{path}[{number}]"
                lost += _left_over(item, f"{element}.", carried.get(element, carried.get(path, "")), carried)
        else:
            lost += _left_over(value, f"{path}.", carried.get(path, ""), carried)
    return lost
