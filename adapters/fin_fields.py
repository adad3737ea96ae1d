"""The fields of SWIFT FIN messages that hold several things: what stands where (SWIFT User Handbook, categories 1 and 9).

- A field whose form is known and that is not in it refuses its message: half an amount is worse than none.
- A field whose form is not listed here stays one text.
- Amounts keep their comma and dates their two-digit year; what they mean is the profile's to say.
"""

import datetime as dt
import re
from collections.abc import Callable
from typing import NamedTuple

from adapters.errors import RowRefused
from adapters.tree import Element

HEAD_OFFICE = "X" * 3
"""The branch in the terminal of a BIC of eight (ISO 9362): the head office."""
CENTURY_FROM = 80
"""Two-digit years from here on are of the 1900s, those before of the 2000s (SWIFT User Handbook, formats)."""

_NL = r"\r?\n"
_DATE = r"(?P<date>[0-9]{6})"
_AMOUNT = r"(?P<currency>[A-Z]{3})(?P<amount>[0-9]{1,15},[0-9]{0,4})"
_LINE = r"[^\r\n]+"
_ACCOUNT = rf"(?:/(?P<account>{_LINE}){_NL})?(?!/)"
_BIC = r"(?P<bic>[A-Z0-9]{6}[A-Z0-9]{2}(?:[A-Z0-9]{3})?)"
_NAME = rf"(?P<name>{_LINE})(?:{_NL}(?P<address>{_LINE}(?:{_NL}{_LINE})*))?"
_PARTY = rf"(?:/(?:(?P<kind>[A-Z])/)?(?:/(?P<clearing>[^\r\n]+)|(?P<account>[^\r\n]+))(?:{_NL}|\Z))?"
_BALANCE = rf"(?P<mark>[DC]){_DATE}{_AMOUNT}"
_ORIGINAL = rf"(?P<type>[0-9]{{3}}){_NL}{_DATE}(?:(?:{_NL})?(?P<session>[0-9]{{10}}))?"
_CODED = rf"(?:/(?P<code>[A-Z0-9]{{4}})/(?:{_NL})?)?(?P<text>.*)"
_ANSWER = rf"(?:/(?P<code>[A-Z0-9]{{4}})/(?:(?P<reason>[A-Z0-9]{{4}})(?=[/\r\n]|\Z)/?)?(?:{_NL})?)?(?P<text>.*)"
_ACCOUNT_25 = r"(?:(?P<bic>[A-Z]{6}[A-Z0-9]{2}(?:[A-Z0-9]{3})?)/|(?P<bank_code>[0-9A-Za-z]+)/)?(?P<account>[^\r\n]+)"
_NUMBERED_LINE = rf"[1-8]/{_LINE}"
_NUMBERED = (
    rf"(?:/(?P<account>{_LINE}){_NL}|(?!{_NUMBERED_LINE})(?P<identity>{_LINE}){_NL})?"
    rf"(?P<lines>{_NUMBERED_LINE}(?:{_NL}{_NUMBERED_LINE})*)"
)
_LINE_61 = (
    r"(?P<value_date>[0-9]{6})(?P<entry_date>[0-9]{4}| {4})?(?P<mark>[RE]?[DC])(?P<funds>[A-Z])?"
    r"(?P<amount>[0-9]{1,15},[0-9]{0,4})(?P<type>[NFS][A-Z0-9]{3})"
    rf"(?P<customer_reference>(?:(?!//)[^\r\n])*)(?://(?P<bank_reference>[^\r\n]*))?"
    rf"(?:{_NL}(?P<supplementary>.*))?"
)

FORMS: dict[str, re.Pattern[str]] = {
    tag: re.compile(form, re.DOTALL)
    for tags, form in (
        ("32A 32C 32D 30D", _DATE + _AMOUNT),
        ("32B 33B 71F 71G", _AMOUNT),
        ("50A 59A", rf"{_ACCOUNT}{_BIC}"),
        ("50K 59", rf"{_ACCOUNT}{_NAME}"),
        ("50F 59F", _NUMBERED),
        ("51A 52A 53A 54A 55A 56A 57A", rf"{_PARTY}{_BIC}"),
        ("52D 53D 54D 55D 56D 57D", rf"{_PARTY}{_NAME}"),
        ("53B 54B 55B 57B", rf"{_PARTY}(?P<location>{_LINE})?"),
        ("11S 11R", _ORIGINAL),
        ("60F 60M 62F 62M 64 65", _BALANCE),
        ("28C 28", r"(?P<number>[0-9]{1,5})(?:/(?P<page>[0-9]{1,5}))?"),
        ("34F", r"(?P<currency>[A-Z]{3})(?P<mark>[DC])?(?P<amount>[0-9]{1,15},[0-9]{0,4})"),
        ("90D 90C", rf"(?P<count>[0-9]{{1,5}}){_AMOUNT}"),
        ("61", _LINE_61),
        ("13D", r"(?P<at>(?P<date>[0-9]{6})(?P<time>[0-9]{4})(?P<offset>[+-][0-9]{4}))"),
        ("25", _ACCOUNT_25),
        ("25P", rf"(?P<account>{_LINE}){_NL}{_BIC}"),
        ("79", _CODED),
        ("76", _ANSWER),
    )
    for tag in tags.split()
}
"""By tag. A named part becomes a child of the field's element."""

_NUMBERS = {
    "1": "name",
    "2": "address",
    "3": "country_and_town",
    "4": "birth_date",
    "5": "birth_place",
    "6": "customer",
}
"""Lines of a party in the numbered form (options 50F and 59F)."""


class Slice(NamedTuple):
    """A field of a message: its tag and where its text stands."""

    tag: str
    start: int
    end: int
    line: int


Text = Callable[[int, int], str]
"""Gives the text between two bytes."""


def element(structure: str, field: Slice, text: Text) -> Element:
    """Return a field as an element. RowRefused when it is not in its form."""
    form = FORMS.get(field.tag)
    if form is None:
        return Element(field.tag, text(field.start, field.end), (), field.line, field.start, field.end)
    found = form.fullmatch(structure, field.start, field.end)
    if found is None:
        raise not_in_form(field.tag)
    children: list[Element] = []
    for name in form.groupindex:
        start, end = found.span(name)
        if start < 0 or start == end:
            continue
        line = field.line + structure.count("\n", field.start, start)
        if name == "lines":
            children += _numbered(structure, start, end, line, text)
            continue
        if name in ("date", "value_date"):
            check_date(found[name], field.tag)
        children.append(Element(name, _moment(found) if name == "at" else text(start, end), (), line, start, end))
    return Element(field.tag, "", children, field.line, field.start, field.end)


def _moment(found: re.Match[str]) -> str:
    """Return a date, a time and its offset as ISO 8601 writes them."""
    check_date(found["date"], "13D")
    day, time, offset = full_date(found["date"]), found["time"], found["offset"]
    return f"{day:%Y-%m-%d}T{time[:2]}:{time[2:]}:00{offset[:3]}:{offset[3:]}"


def not_in_form(tag: str) -> RowRefused:
    """Return the refusal of a field that is not in its form."""
    refused = RowRefused(
        f"field {tag} is not in the form that SWIFT gives it",
        cure="have the bank send the message again; nothing of it was used",
        code="LF-FIN-FIELD",
    )
    refused.column = tag
    return refused


def check_date(digits: str, tag: str) -> None:
    """RowRefused when six digits are no day of the calendar."""
    try:
        full_date(digits)
    except ValueError as error:
        refused = RowRefused(
            f"field {tag} holds a date that does not exist", cure="have the bank correct it", code="LF-FIN-DATE"
        )
        refused.column = tag
        raise refused from error


def full_date(digits: str) -> dt.date:
    """Return the day that six digits mean. ValueError when there is none."""
    year = int(digits[:2])
    return dt.date(year + (1900 if year >= CENTURY_FROM else 2000), int(digits[2:4]), int(digits[4:6]))


def _numbered(structure: str, start: int, end: int, line: int, text: Text) -> list[Element]:
    """Return the numbered lines of a party; those of one number belong together."""
    gathered: dict[str, list[tuple[int, int]]] = {}
    for found in re.compile(r"([1-8])/([^\r\n]+)").finditer(structure, start, end):
        gathered.setdefault(_NUMBERS.get(found[1], f"line_{found[1]}"), []).append(found.span(2))
    return [
        Element(
            name, "\n".join(text(*span) for span in spans), (), _line_at(structure, start, line, spans), *_whole(spans)
        )
        for name, spans in gathered.items()
    ]


def _line_at(structure: str, start: int, line: int, spans: list[tuple[int, int]]) -> int:
    return line + structure.count("\n", start, spans[0][0])


def _whole(spans: list[tuple[int, int]]) -> tuple[int, int]:
    return spans[0][0], spans[-1][1]
