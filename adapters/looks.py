"""What a column's values look like, told from the values alone."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from adapters.errors import RowRefused
from adapters.kinds import Setting, id_checksum_valid, identifier, luhn_valid
from adapters.moments import read_instant
from adapters.profile import Mapping_, ProfileFile

FORMATS = (
    "yyyy-M-d H:mm:ss",
    "yyyy/M/d H:mm:ss",
    "yyyyMMddHHmmss",
    "yyyy-M-d H:mm",
    "yyyy/M/d H:mm",
    "yyyy-M-d",
    "yyyy/M/d",
    "yyyyMMdd",
    "yyyy年M月d日",
    "d/M/yyyy H:mm:ss",
    "M/d/yyyy H:mm:ss",
    "d/M/yyyy",
    "M/d/yyyy",
    "iso8601",
)
_TWINS = (("d/M/yyyy", "M/d/yyyy"), ("d/M/yyyy H:mm:ss", "M/d/yyyy H:mm:ss"))
_MOST = 0.9
_CARD = re.compile(r"[0-9]{16,19}")
_ID = re.compile(r"[0-9]{17}[0-9X]")
_MOBILE = re.compile(r"(?:\+?86)?1[3-9][0-9]{9}|\+[1-9][0-9]{6,14}")
_EPOCH = {"epoch_s": re.compile(r"[0-9]{10}"), "epoch_ms": re.compile(r"[0-9]{13}")}
_EPOCH_S = range(946_684_800, 4_102_444_800)
"""From 2000 to 2099: what counts seconds outside of it is hardly a moment."""
_OFFSET = re.compile(r".*T.*(?:Z|[+-][0-9]{2}:[0-9]{2})", re.IGNORECASE | re.DOTALL)
_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")
_CNAPS = re.compile(r"[0-9]{12}")
_AMOUNT = re.compile(r"[+-]?[¥￥$€£]?(?:[0-9]+|[0-9]{1,3}(?:,[0-9]{3})+)\.[0-9]{1,2}")


def iban_valid(text: str) -> bool:
    """Say whether a text is an IBAN whose check digits are right (ISO 13616, ISO 7064 MOD 97-10)."""
    return bool(_IBAN.fullmatch(text)) and int("".join(str(int(one, 36)) for one in text[4:] + text[:4])) % 97 == 1


TESTS: tuple[tuple[str, str, Callable[[str], bool]], ...] = (
    ("id", "identity numbers (GB 11643)", lambda text: bool(_ID.fullmatch(text)) and id_checksum_valid(text)),
    ("phone", "telephone numbers (E.164)", lambda text: bool(_MOBILE.fullmatch(text))),
    ("account", "card numbers (Luhn)", lambda text: bool(_CARD.fullmatch(text)) and luhn_valid(text)),
    ("account", "account numbers (IBAN)", iban_valid),
    ("bank", "bank numbers (CNAPS)", lambda text: bool(_CNAPS.fullmatch(text))),
    ("money", "amounts", lambda text: bool(_AMOUNT.fullmatch(text))),
)


@dataclass(frozen=True)
class Look:
    """What most of the values are."""

    kind: str = ""
    words: str = ""
    share: float = 0.0
    formats: tuple[str, ...] = ()
    ambiguous: bool = False
    """Whether day and month could be either way about."""
    zoned: bool = False
    """Whether every moment carries its own zone."""


def look_at(values: list[str]) -> Look:
    """Return the first kind that at least nine of ten values are of; an empty one when there is none."""
    if not values:
        return Look()
    formats = [form for form in FORMATS if any(_reads(form, value) for value in values)]
    read = sum(any(_reads(form, value) for form in formats) for value in values) / len(values)
    ambiguous = any(one in formats and other in formats for one, other in _TWINS)
    if read >= _MOST:
        zoned = all(_OFFSET.fullmatch(value) for value in values)
        return Look("instant", "dates", read, tuple(formats), ambiguous, zoned)
    for form, digits in _EPOCH.items():
        if all(digits.fullmatch(value) and int(value[:10]) in _EPOCH_S for value in values):
            return Look("instant", "dates, as counts since 1970", 1.0, (form,), zoned=True)
    for kind, words, holds in TESTS:
        share = sum(holds(identifier(value).upper()) for value in values) / len(values)
        if share >= _MOST:
            return Look(kind, words, share)
    return Look()


def _reads(form: str, text: str) -> bool:
    try:
        return bool(_READERS[form](text, []))
    except RowRefused:
        return False


def _reader(form: str) -> Callable[..., object]:
    profile = ProfileFile.model_validate(
        {"profile": {"name": "x", "version": "1", "title": "x"}, "source": {"format": "csv"}}
    )
    return read_instant(Setting("", Mapping_.model_validate({"parse": {"as": "instant", "formats": [form]}}), profile))


_READERS = {form: _reader(form) for form in FORMATS}
