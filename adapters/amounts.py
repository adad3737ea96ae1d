"""Amounts: text ⇄ whole minor units. No float ever holds money."""

import re
from typing import Any

from adapters.kinds import LOSSY, Notes, Read, Setting, identifier, refuse
from adapters.profile import Mapping_

_GROUPED = re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+")
_SCIENTIFIC = re.compile(r"[+-]?[0-9.]+[eE][+-]?[0-9]+")
_DOLLARS = (
    "USD",
    "HKD",
    "AUD",
    "CAD",
    "SGD",
    "TWD",
    "NZD",
    "MXN",
    "ARS",
    "CLP",
    "COP",
    "BRL",
    "JMD",
    "TTD",
    "BBD",
    "FJD",
)
_SIGNS = {"¥": ("CNY", "JPY"), "￥": ("CNY", "JPY"), "$": _DOLLARS, "€": ("EUR",), "£": ("GBP",)}
"""Signs before an amount, with the currencies that they can mean."""
_SIGN_MARKS = "".join(_SIGNS)
_MINOR_UNITS_MAX = 2**63 - 1
_PLAIN_DIGITS = 19
_MINOR_DIGITS = {
    **dict.fromkeys(
        ("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV"), 0
    ),
    **dict.fromkeys(("XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}
"""ISO 4217: decimal places of the minor unit, of currencies that have not two."""
_OWN_CURRENCY = re.compile(r"([A-Z]{3}) ?(?=[-+0-9.])")
"""An amount may name its currency itself: CNY 12.50."""
_BAD = ("LF-ROW-AMOUNT", "does not hold an amount", "correct it at the source, for example 1234.56")


def decimals_of(verbs: Mapping_, currency: str) -> int:
    """Return the decimal places of an amount's minor unit: the profile's word, else the currency's own (ISO 4217)."""
    return verbs.scale if "scale" in verbs.model_fields_set else _MINOR_DIGITS.get(currency, verbs.scale)


def minor_units(text: str, decimals: int) -> int:
    """Return an amount in minor units. RowRefused when the text is no amount or has more decimal places than that."""
    whole, _, part = text.partition(".")
    digits = whole + part.ljust(decimals, "0")
    if whole and len(part) <= decimals and len(digits) < _PLAIN_DIGITS and digits.isascii() and digits.isdecimal():
        return int(digits)
    return _written_otherwise(identifier(text), decimals)


def _written_otherwise(text: str, decimals: int) -> int:
    negative = False
    if text[:1] == "(" and text[-1:] == ")":
        negative, text = True, text[1:-1]
    elif text[:1] in "+-":
        negative, text = text[:1] == "-", text[1:]
    text = text.strip(_SIGN_MARKS).removesuffix("元").strip()
    if text[:1] == "-" and not negative:
        negative, text = True, text[1:]
    whole, _, part = text.partition(".")
    if "," in whole:
        if not _GROUPED.fullmatch(whole):
            raise refuse(_BAD)
        whole = whole.replace(",", "")
    if len(part) > decimals:
        part = part[:decimals] + part[decimals:].rstrip("0")
    digits = whole + part.ljust(decimals, "0")
    if len(part) > decimals or not whole or not (digits.isascii() and digits.isdecimal()):
        raise refuse(LOSSY if _SCIENTIFIC.fullmatch(text) else _BAD)
    amount = int(digits) if len(digits) < 20 else _MINOR_UNITS_MAX + 1  # noqa: PLR2004 - more digits than int64 has
    if amount > _MINOR_UNITS_MAX:
        raise refuse(_BAD)
    return -amount if negative else amount


def read_money(setting: Setting) -> Read:
    """A Money in the profile's currency, marked as assumed; `currency_from` overrides it where the record names one."""
    currency = setting.profile.source.currency
    decimals = decimals_of(setting.verbs, currency)
    comma = setting.verbs.parse.decimal == ","

    def read(text: str, _: Notes) -> dict[str, Any]:
        if comma:
            text = _with_point(text)
        own = _OWN_CURRENCY.match(text) if "A" <= text < "[" else None  # it begins with a capital letter
        if not text.isascii() or "$" in text:
            _check_sign(text, own[1] if own else currency)
        if own is not None:
            return {
                "minor_units": minor_units(text[own.end() :], decimals_of(setting.verbs, own[1])),
                "currency": own[1],
            }
        return {"minor_units": minor_units(text, decimals), "currency": currency, "currency_assumed": True}

    return read


def _with_point(text: str) -> str:
    """Return an amount whose decimal mark is a comma with a point. RowRefused when the comma may be anything else."""
    if "." in text or text.count(",") > 1:
        raise refuse(_BAD)
    return text.replace(",", ".")


def _check_sign(text: str, currency: str) -> None:
    """RowRefused when a sign stands there that the currency has not."""
    if any(currency not in _SIGNS[mark] for mark in text if mark in _SIGNS):
        raise refuse(TWO_CURRENCIES)


TWO_CURRENCIES = (
    "LF-ROW-CURRENCY",
    "names another currency than the record or the profile",
    "correct it at the source, or have the profile read the currency from where it stands",
)
_HIDDEN_SIGN = (
    "LF-ROW-AMOUNT",
    "is negative in a form that the direction is not read from",
    "write a minus in front of it, as in -1234.56",
)


def read_magnitude(setting: Setting) -> Read:
    """A Money without its sign, where the sign says which way the money went and the direction is read from it.

    That direction is read from a minus in front; any other form of a negative amount is refused. Where the profile says
    which direction a minus may stand with, that is checked beside the amount (adapters/verbs.py).
    """
    read = read_money(setting)
    if setting.verbs.parse.negative is not None:
        return read

    def read_unsigned(text: str, notes: Notes) -> dict[str, Any]:
        money = read(text, notes)
        if money["minor_units"] < 0 and text[:1] != "-":
            raise refuse(_HIDDEN_SIGN)
        return {**money, "minor_units": abs(money["minor_units"])}

    return read_unsigned


def read_currency(setting: Setting, text: str) -> str:
    """Return the ISO 4217 code for a currency as a record names it. RowRefused when it is none."""
    name = identifier(text)
    code = setting.profile.source.currencies.get(name, name.upper())
    if not re.fullmatch(r"[A-Z]{3}", code):
        raise refuse(("LF-ROW-CURRENCY", "does not hold a currency", "use the ISO 4217 code, for example CNY"))
    return code


def write_money(decimals: int, value: Any, decimal: str = ".") -> str:
    """Return an amount with its decimal places. A comma always stands, as SWIFT demands, a point only where it must."""
    sign = "-" if value.minor_units < 0 else ""
    digits = str(abs(value.minor_units)).rjust(decimals + 1, "0")
    whole = f"{sign}{digits[:-decimals]}" if decimals else f"{sign}{digits}"
    part = digits[-decimals:] if decimals else ""
    return f"{whole}{decimal}{part}" if part or decimal == "," else whole
