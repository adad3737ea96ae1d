"""Telephone numbers: text → PhoneRef. What is no number is kept as raw, never guessed at."""

from functools import lru_cache
from typing import Any

import phonenumbers

from adapters.kinds import LOSSY, Notes, Read, Setting, identifier, refuse
from schemas.v1 import common_pb2

_E164 = common_pb2.PHONE_KIND_E164
_SHORT = common_pb2.PHONE_KIND_SHORT
_OTHER = common_pb2.PHONE_KIND_OTHER
_RAW_BYTES_MAX = 128
CHINESE_DIGITS = 11
"""Digits of a Chinese mobile number."""


def read_phone(setting: Setting) -> Read:
    """A PhoneRef. Chinese mobile numbers take a short way; the rest goes through libphonenumber."""
    region = setting.profile.source.region
    chinese = region == "CN"

    def read(text: str, _: Notes) -> dict[str, Any]:
        found = chinese_mobile(text) if chinese and len(text) == CHINESE_DIGITS else None
        return found or dict(phone(text, region))

    return read


def chinese_mobile(text: str) -> dict[str, Any] | None:
    """Return the PhoneRef of eleven digits that are a Chinese mobile number; None for anything else of that length."""
    if text.isascii() and text.isdecimal() and "13" <= text[:2] <= "19":
        return {"e164": f"+86{text}", "raw": text, "kind": _E164, "region_assumed": True}
    return None


def read_tn(setting: Setting) -> Read:
    """A PhoneRef from a PASSporT's tn, which has its country code and no plus sign (RFC 8225 section 5.2.1).

    Some providers write national numbers all the same; then the profile's region is assumed.
    """
    region = setting.profile.source.region

    def read(text: str, _: Notes) -> dict[str, Any]:
        digits = text.removeprefix("+")
        if digits.isascii() and digits.isdecimal() and not digits.startswith("0"):
            try:
                if phonenumbers.is_valid_number(phonenumbers.parse(f"+{digits}")):
                    return {"e164": f"+{digits}", "raw": text, "kind": _E164}
            except phonenumbers.NumberParseException:
                pass
        return dict(phone(text, region))

    return read


@lru_cache(maxsize=4096)
def phone(text: str, region: str) -> dict[str, Any]:
    """Return the parts of a PhoneRef for a number as written. RowRefused when a spreadsheet has ruined it."""
    raw = text
    if len(raw.encode()) > _RAW_BYTES_MAX:
        raise refuse(("LF-ROW-PHONE", "is longer than any telephone number", "correct it at the source"))
    number = _bare(identifier(text), region)
    if _is_ruined(number):
        raise refuse(LOSSY)
    if number.isdecimal() and len(number) <= 6 and region:  # noqa: PLR2004 - short codes have three to six digits
        return {"raw": raw, "kind": _SHORT, "region_assumed": True}
    try:
        parsed = phonenumbers.parse(number, region or None)
    except phonenumbers.NumberParseException:
        return {"raw": raw, "kind": _OTHER}
    assumed = not number.startswith("+")
    # A number that names its country need only be possible; one whose country is assumed must exist there.
    if not (phonenumbers.is_valid_number if assumed else phonenumbers.is_possible_number)(parsed):
        return {"raw": raw, "kind": _OTHER}
    e164 = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    return {"e164": e164, "raw": raw, "kind": _E164, "region_assumed": assumed}


def _bare(number: str, region: str) -> str:
    """Take the wrapping off: sip: and tel: addresses, 0086 and 86 before a Chinese number, 086- for a trunk prefix."""
    lower = number.lower()
    for scheme in ("sip:", "sips:", "tel:"):
        if lower.startswith(scheme):
            number = number[len(scheme) :].split("@", 1)[0].split(";", 1)[0]
    if number.startswith("00") and number[2:3] not in ("", "0"):
        return f"+{number[2:]}"
    if region == "CN":
        digits = number.replace("-", "").replace(" ", "")
        if digits.startswith("086") or (digits.startswith("86") and len(digits) == CHINESE_DIGITS + 2):
            rest = digits.removeprefix("0").removeprefix("86")
            return f"+86{rest.removeprefix('0')}"
    return number


def _is_ruined(number: str) -> bool:
    mantissa, mark, exponent = number.upper().partition("E+")
    return bool(mark) and exponent.isdecimal() and mantissa.replace(".", "", 1).isdecimal()
