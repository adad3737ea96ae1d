"""What a column or an element is taken for, and how sure that is: a guess is never written as sure."""

import json
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from adapters.known import Known, Vocabulary
from adapters.looks import Look

SURE = 0.95
NULLS = ("-", "--", "\\N", "NULL", "null", "N/A")


@dataclass(frozen=True)
class Stated:
    """What the person states, because no file says it. Empty: not stated."""

    zone: str = ""
    currency: str = ""
    region: str = ""


@dataclass(frozen=True)
class Guess:
    """What one column is taken for."""

    header: str
    known: Known | None
    sure: float
    """From 0 to 1; written as it stands only from `SURE` on."""
    why: str
    formats: tuple[str, ...] = ()
    is_currency: bool = False

    @property
    def written(self) -> bool:
        """Whether it stands in the profile, or only in a comment."""
        return (self.known is not None or self.is_currency) and self.sure >= SURE


class Verdict(NamedTuple):
    """What is thought of a sheet."""

    sheet: str
    sure: float
    written: bool
    """Whether it stands in the profile, or only in a comment."""
    why: str


class Lack(NamedTuple):
    """A field that the message demands and nothing in the file surely is."""

    field: str
    cause: str
    cure: str
    kind: str
    """What `parse` says of it in a profile; empty for words."""
    proposed: bool
    """Whether something is commented out that may be it."""


@dataclass(frozen=True)
class Proposal:
    """A profile, with how sure each part of it is."""

    toml: str
    encoding: str
    delimiter: str
    header_line: int
    guesses: tuple[Guess, ...]
    form: str = "csv"
    """As [source] format says it."""
    at: str = ""
    """Trees: where the records stand."""
    sheets: tuple[Verdict, ...] = ()
    """Workbooks of several sheets: what is thought of each."""
    lacks: tuple[Lack, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return what is told of it."""
        return {
            "format": self.form,
            "at": self.at,
            "sheets": [sheet._asdict() for sheet in self.sheets],
            "encoding": self.encoding,
            "delimiter": self.delimiter,
            "header_line": self.header_line,
            "columns": [
                {
                    "column": guess.header,
                    "field": guess.known.path if guess.known else None,
                    "sure": guess.sure,
                    "written": guess.written,
                    "why": guess.why,
                }
                for guess in self.guesses
            ],
            "lacking": [{"field": lack.field, "cause": lack.cause, "cure": lack.cure} for lack in self.lacks],
        }


@dataclass(frozen=True)
class Asked:
    """What a column is compared with."""

    known: Vocabulary
    stated: Stated
    has_currency: bool
    """Whether a column or element of its own names the currency of every amount."""
    noun: str = "header"
    """What a column or element is known by."""
    place: str = "column"


def by_values(header: str, look: Look, known: tuple[Known, ...], noun: str = "header") -> Guess:
    """Propose a field for a header that nobody knows, from what its values look like; never sure."""
    fits = [field for field in known if field.verbs.parse.kind == look.kind]
    if not look.kind or not fits:
        return Guess(header, None, 0.0, f"the {noun} is not known, and the values do not show what they are")
    others = ", ".join(dict.fromkeys(field.path for field in fits if field.path != fits[0].path))
    others = f"; it could also be {others}" if others else ""
    why = f"the {noun} is not known; {look.share:.0%} of the values look like {look.words}{others}"
    return Guess(header, fits[0], round(look.share / 2, 2), why, look.formats)


def tested(header: str, field: Known, values: list[str], look: Look, asked: Asked) -> Guess:
    """Say how sure it is that a field stands under a header that is known for it, by reading its values."""
    stated, known = asked.stated, f"the {asked.noun} is known"
    kind = field.verbs.parse.kind
    if not values:
        return Guess(header, field, 0.5, f"{known}, but the {asked.place} is empty in this file")
    needs = {
        "zone": kind == "instant" and not (stated.zone or look.zoned),
        "region": kind == "phone" and not (stated.region or all(value.startswith("+") for value in values)),
    }
    for option, missing in needs.items():
        if missing:
            return Guess(header, field, 0.5, f"{known}; state the {option}, which no cell says", look.formats)
    if kind == "money" and not (stated.currency or asked.has_currency):
        return Guess(header, field, 0.5, f"{known}; state the currency, which no cell says")
    if kind == "instant" and (look.kind != "instant" or look.ambiguous):
        why = "day and month could be either way about" if look.ambiguous else "the values are not all dates"
        return Guess(header, field, 0.5, f"{known}; {why}", look.formats)
    if kind == "text" and not field.verbs.map and look.kind in ("id", "account"):
        return Guess(header, field, 0.3, f"{known}, but the values look like {look.words}")
    share = field.share_read(values, look.formats, stated.zone, stated.region)
    why = f"{known}, and {share:.0%} of {len(values)} values read as {kind}"
    return Guess(header, field, round(share, 2) if share < 1 else 1.0, why, look.formats)


def settled(guesses: list[Guess], place: str = "column") -> list[Guess]:
    """Make unsure what two columns claim."""
    claims = Counter(guess.known.path for guess in guesses if guess.known and guess.written)
    return [
        replace(guess, sure=0.5, why=f"another {place} claims the same field")
        if guess.known and guess.written and claims[guess.known.path] > 1
        else guess
        for guess in guesses
    ]


def toml_text(value: Any) -> str:
    """Return a text, or a list of texts, as TOML has it: JSON is TOML here, but for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
