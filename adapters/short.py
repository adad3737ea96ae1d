"""The short way of reading a cell: how nearly all cells of a table are written, read without the steps that the others need.

- The short way is given a cell as it stands. It gives what reading the cell the long way (adapters/fills.py) gives, without
  a note; where it is not certain of that it gives None, and the long way is taken. It never refuses.
- It is there where a field hangs on one cell alone. Words of a code table are read once, the long way, and remembered.
- No text is remembered that is not in the profile.
"""

import re
from collections.abc import Callable
from typing import Any

from adapters.amounts import decimals_of
from adapters.errors import RowRefused
from adapters.kinds import ACCOUNT_MAX, CARD_DIGITS, Notes, Setting, id_checksum_valid, luhn_valid
from adapters.phones import CHINESE_DIGITS, chinese_mobile
from adapters.verbs import Fill

Short = Callable[[str], Any]

_PLAIN_DIGITS = 19
"""An amount of so many digits may be too large."""
_ID_DIGITS = 17
_ANY_BUT = re.compile(r"\[\^([^]\[\\0-9.]*)\]\+")
"""A pattern that takes any text of characters but some, none of which a plain amount has."""


def short_of(kind: str, setting: Setting, fill: Fill, place: int, again: Short | None, *, shares: bool) -> Short | None:
    """Return the short way of a field that hangs on one cell alone; None where there is none.

    `again` is that of instants, which learn it while they are read. `shares`: whether values that are dicts or lists may be given again and again; whoever takes them must not change them.
    """
    if setting.verbs.map is not None:
        return _words(setting, fill, place, shares=shares)
    verbs = setting.verbs
    cut = bool(verbs.take or verbs.split or verbs.joins)
    if cut or any(character.isdecimal() for word in setting.profile.source.null for character in word):
        return None
    if kind in _PATTERNED and _takes_plain(verbs.check.pattern):
        return _PATTERNED[kind](setting)
    if verbs.check.pattern:
        return None
    return _SHORT[kind](setting) if kind in _SHORT else again


def _words(setting: Setting, fill: Fill, place: int, *, shares: bool) -> Short | None:
    """Return what knows the words of the field's code table."""
    known = {}
    cells = [""] * (place + 1)
    for word in setting.table:
        cells[place] = word
        notes: Notes = []
        try:
            found = fill(cells, notes)
        except RowRefused:
            continue
        if found is not None and not notes and (shares or isinstance(found, str | int)):
            known[word] = found
    return known.get if known else None


def _takes_plain(pattern: str) -> bool:
    """Say whether a pattern takes every amount that is digits with or without a point."""
    found = _ANY_BUT.fullmatch(pattern)
    return not pattern or (found is not None and "-" not in found[1][1:-1])


def _account(_: Setting) -> Short:
    def short(text: str) -> dict[str, Any] | None:
        if not text.isdecimal() or not text.isascii():
            return None
        if len(text) in CARD_DIGITS:
            return {"scheme": "CARD", "number": text} if luhn_valid(text) else None
        return {"scheme": "ACCOUNT", "number": text} if len(text) <= ACCOUNT_MAX else None

    return short


def _id(_: Setting) -> Short:
    def short(text: str) -> dict[str, Any] | None:
        stem = text[:_ID_DIGITS]
        if len(text) == _ID_DIGITS + 1 and text.isascii() and stem.isdecimal() and id_checksum_valid(text):
            return {"id_number": text, "id_type": "GB11643"}
        return None

    return short


def _phone(setting: Setting) -> Short | None:
    if setting.profile.source.region != "CN":
        return None

    def short(text: str) -> dict[str, Any] | None:
        return chinese_mobile(text) if len(text) == CHINESE_DIGITS else None

    return short


def _money(setting: Setting) -> Short | None:
    currency = setting.profile.source.currency
    decimals = decimals_of(setting.verbs, currency)
    if setting.verbs.parse.decimal == ",":
        return None

    def short(text: str) -> dict[str, Any] | None:
        whole, _, part = text.partition(".")
        digits = whole + part.ljust(decimals, "0")
        if not (whole and len(part) <= decimals and len(digits) < _PLAIN_DIGITS and digits.isdecimal()):
            return None
        if not text.isascii():
            return None
        return {"minor_units": int(digits), "currency": currency, "currency_assumed": True}

    return short


_SHORT: dict[str, Callable[[Setting], Short | None]] = {"account": _account, "id": _id, "phone": _phone}
_PATTERNED: dict[str, Callable[[Setting], Short | None]] = {"money": _money, "magnitude": _money}
"""Kinds whose short way may be taken where the text must have a form."""
