"""What a text can be: the verb parse, forwards and backwards.

- Each kind is a builder: given the field and what the profile knows, it returns a function of one text, or of a value.
- Readers refuse (RowRefused) what they cannot read for certain and note what is odd but readable; they never repair.
- Writers are the inverse; where a value has no form in the dialect they return None and the loss is named.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from adapters.errors import RowRefused
from adapters.model import RowWarning
from adapters.profile import Mapping_, ProfileFile

Notes = list[RowWarning]
Read = Callable[[str, Notes], Any]
Write = Callable[[Any], str]

_SCIENTIFIC = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?[eE][+-]?[0-9]+")
_ACCOUNT = re.compile(r"[0-9A-Za-z*@.+-]{1,64}")
_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")
GROUPED = re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+")
"""Digits with a comma between each three of them."""
_ID18 = re.compile(r"[0-9]{17}[0-9X]")
_ID15 = re.compile(r"[0-9]{15}")
_USCC = re.compile(r"[0-9A-HJ-NP-RTUW-Y]{2}[0-9]{6}[0-9A-HJ-NP-RTUW-Y]{10}")
_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad"))
_READ_BACK = re.compile(rb"(?:[\x00-\x7f]*[\xe4-\xe9][\x80-\xbf]{2})+[\x00-\x7f]*")
_READ_BACK_LEADS = range(0xE4, 0xEA)
_MOJIBAKE_MIN = 1
_GUARDS = "`'\""
_EXCEL_DIGITS = 15
CARD_DIGITS = range(16, 20)
ACCOUNT_MAX = 64
"""Most characters of an account number: the language's limit."""
_SHEETS = ("csv", "xlsx")
"""Formats that may have been through a spreadsheet, which keeps 15 digits of a number."""
_LUHN_DOUBLED = bytes.maketrans(b"0123456789", b"0246813579")
_LUHN_BASE = 11
"""Read in this base, a number leaves the same rest by ten as the sum of its digits: the base itself leaves one."""
_ID_BASE = 13
"""Read in this base, a number leaves the same rest by eleven as the sum of its digits with their weights, each twice the next."""
_ID_CHECKS = "1X864209753"

LOSSY = (
    "LF-ROW-LOSSY-NUMBER",
    "holds a number in scientific notation: a spreadsheet has thrown digits away",
    "export it again with the column as text; the digits cannot be recovered",
)


@dataclass(frozen=True)
class Setting:
    """What a builder knows: the field, its verbs, and the profile around it."""

    path: str
    verbs: Mapping_
    profile: ProfileFile

    @property
    def table(self) -> Mapping[str, str]:
        """The field's code table; empty when it has none."""
        return self.profile.table[self.verbs.map.table] if self.verbs.map else {}


def refuse(reason: tuple[str, str, str]) -> RowRefused:
    """Return the refusal for a (code, cause, cure)."""
    code, cause, cure = reason
    return RowRefused(cause, cure=cure, code=code)


def tidy(text: str) -> str:
    """Return a text without the blanks around it and the invisible characters in it."""
    text = text.strip()
    return text if text.isprintable() else text.translate(_INVISIBLE).strip()


def identifier(text: str) -> str:
    """Return an identifier without Excel's guards (="…", a leading ' or `), in half-width characters."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    if text[:1] == "=" and text[1:2] == '"' == text[-1:]:
        text = text[2:-1].strip()
    return text.strip(_GUARDS).strip() if text[:1] in _GUARDS or text[-1:] in _GUARDS else text


def done_to(raw: str, kind: str, verb: str) -> str:
    """Return what reading did to a text, in words, for lineage: `verb`, and before it what was taken off."""
    if raw.isascii() and raw.isprintable() and raw[:1].isalnum() and raw[-1:].isalnum():
        return verb
    steps = []
    tidied = tidy(raw)
    if raw.strip() != raw:
        steps.append("trim")
    if tidied != raw.strip():
        steps.append("remove invisible")
    if kind not in _AS_GIVEN:
        bare = identifier(tidied)
        if bare != tidied:
            steps.append("unguard" if bare in tidied else "half-width")
    return ", ".join((*steps, verb))


def luhn_valid(number: str) -> bool:
    """Say whether a number of decimal digits passes the Luhn check (ISO/IEC 7812-1 annex B)."""
    digits = b"00" + number.encode()
    doubled = digits[-2::-2].translate(_LUHN_DOUBLED)
    return not (int(digits[-1::-2], _LUHN_BASE) + int(doubled, _LUHN_BASE)) % 10


def id_checksum_valid(number: str) -> bool:
    """Say whether an 18-place citizen number passes its checksum (GB 11643-1999, ISO 7064 MOD 11-2)."""
    return _ID_CHECKS[int(number[:17], _ID_BASE) % 11] == number[17]


def read_text(setting: Setting) -> Read:
    """Text, as given; with a code table, the table's word for it."""
    if setting.verbs.map:
        return _read_mapped(setting)

    def read(text: str, _: Notes) -> str:
        if not text.isprintable():
            _refuse_controls(text)
        if not text.isascii() and _may_begin_mojibake(text[0]) and _is_mojibake(text):
            raise refuse(
                (
                    "LF-ROW-MOJIBAKE",
                    "was read in the wrong encoding before it came here; characters are lost",
                    "export it again from the source system in UTF-8 or GB18030",
                )
            )
        return text

    return read


def _refuse_controls(text: str) -> None:
    if any(unicodedata.category(character) == "Cc" and character not in "\t\r\n" for character in text):
        raise refuse(("LF-ROW-CONTROL", "holds control characters", "export it again; the record is damaged"))


@lru_cache(maxsize=4096)
def _may_begin_mojibake(character: str) -> bool:
    """Say whether a text that was read in the wrong encoding can begin so: spares most texts the way back to bytes."""
    try:
        return character.isascii() or character.encode("gb18030")[0] in _READ_BACK_LEADS
    except UnicodeEncodeError:
        return False


def _is_mojibake(text: str) -> bool:
    """Say whether a text is UTF-8 that something read as GBK: read back, it is Chinese throughout."""
    try:
        found = _READ_BACK.fullmatch(text.encode("gb18030"))
    except UnicodeEncodeError:
        return False
    return found is not None and len(text) > _MOJIBAKE_MIN


def _read_mapped(setting: Setting) -> Read:
    table, unknown = setting.table, setting.verbs.map and setting.verbs.map.unknown
    path = setting.path

    def read(text: str, notes: Notes) -> str | None:
        word = table.get(text)
        if word is None and unknown == "hold":
            raise refuse(_not_in_list(setting))
        if word is None:
            notes.append(RowWarning("code_unknown", path, "the code is not in the profile's list"))
        return word

    return read


def _not_in_list(setting: Setting) -> tuple[str, str, str]:
    assert setting.verbs.map is not None
    return (
        "LF-ROW-CODE",
        f"holds a code that is not in the list {setting.verbs.map.table}",
        "correct the code, or add it to the profile's table",
    )


def read_code(setting: Setting) -> Read:
    """A CodedValue; with a code table, words become codes and the word is kept as raw."""
    scheme, table, path = setting.verbs.parse.scheme, setting.table, setting.path
    hold = setting.verbs.map is not None and setting.verbs.map.unknown == "hold"
    known = frozenset(table.values())

    def read(text: str, notes: Notes) -> dict[str, Any]:
        code = table.get(text)
        if code is not None:
            return {"scheme": scheme, "code": code, "raw": text} if code != text else {"scheme": scheme, "code": code}
        if not text.isprintable():
            _refuse_controls(text)
        if table and text not in known:
            if hold:
                raise refuse(_not_in_list(setting))
            notes.append(RowWarning("code_unknown", path, "the code is not in the profile's list"))
        return {"scheme": scheme, "code": text}

    return read


def read_account(setting: Setting) -> Read:
    """An AccountRef: blanks out, sub-account apart, masked and ruined numbers seen."""
    path, sheet = setting.path, setting.profile.source.format in _SHEETS

    def read(text: str, notes: Notes) -> dict[str, Any]:
        if text.isascii() and text.isdecimal():  # as nearly every number is
            return _digits_account(text, path, notes, sheet=sheet)
        number = identifier(text)
        if " " in number:
            number = number.replace(" ", "")
        number, _, sub = number.partition("_")
        if number.isascii() and number.isdecimal():
            found = _digits_account(number, path, notes, sheet=sheet)
        else:
            found = _other_account(number)
        if sub:
            found["sub_account"] = sub
        return found

    return read


def _digits_account(number: str, path: str, notes: Notes, *, sheet: bool) -> dict[str, Any]:
    digits = len(number)
    if digits > ACCOUNT_MAX:
        raise refuse(_NO_ACCOUNT)
    if digits not in CARD_DIGITS:
        return {"scheme": "ACCOUNT", "number": number}
    if luhn_valid(number):
        return {"scheme": "CARD", "number": number}
    if sheet and not number[_EXCEL_DIGITS:].strip("0"):
        raise refuse(
            (
                "LF-ROW-LOSSY-NUMBER",
                "holds a number that a spreadsheet cut to 15 digits and filled up with zeros",
                LOSSY[2],
            )
        )
    if number.startswith("62"):
        notes.append(RowWarning("card_checksum_bad", path, "the card number fails the Luhn check"))
        return {"scheme": "CARD", "number": number}
    return {"scheme": "ACCOUNT", "number": number}


_GROUPED_ACCOUNT = (
    "LF-ROW-ACCOUNT",
    "holds digits with points between them: whether the points belong to the account is not known",
    "have it written without the points, or as its bank writes it in payments",
)
_NO_ACCOUNT = (
    "LF-ROW-ACCOUNT",
    "does not hold an account number",
    "correct it at the source: digits and letters, at most 64",
)


def _other_account(number: str) -> dict[str, Any]:
    if _SCIENTIFIC.fullmatch(number):
        raise refuse(LOSSY)
    if not _ACCOUNT.fullmatch(number):
        raise refuse(_NO_ACCOUNT)
    if "*" in number:
        return {"scheme": "ACCOUNT", "number": number, "masked": True}
    if "." in number and number.replace(".", "").isdecimal():
        if number.count(".") > 1:
            raise refuse(_GROUPED_ACCOUNT)
        raise refuse(
            (
                "LF-ROW-LOSSY-NUMBER",
                "holds a decimal number: a spreadsheet took the account for an amount",
                LOSSY[2],
            )
        )
    upper = number.upper()
    if _IBAN.fullmatch(upper):
        return {"scheme": "IBAN", "number": upper}
    return {"scheme": "WALLET" if "@" in number else "ACCOUNT", "number": number}


def write_account(value: Any) -> str:
    """Return main_sub."""
    return f"{value.number}_{value.sub_account}" if value.sub_account else str(value.number)


def read_bank(setting: Setting) -> Read:
    """A BankRef: of the scheme that the profile names; else twelve digits are a CNAPS number, anything else is local."""
    scheme = setting.verbs.parse.scheme

    def read(text: str, _notes: Notes) -> dict[str, Any]:
        code = identifier(text)
        if not code.isprintable():
            _refuse_controls(code)
        if _SCIENTIFIC.fullmatch(code):
            raise refuse(LOSSY)
        if len(code) > 35:  # noqa: PLR2004 - the language's limit
            raise refuse(("LF-ROW-BANK", "does not hold an institution's number", "correct it at the source"))
        if scheme:
            return {"scheme": scheme, "code": code}
        is_cnaps = len(code) == 12 and code.isdecimal()  # noqa: PLR2004 - CNAPS has twelve digits
        return {"scheme": "CNAPS" if is_cnaps else "LOCAL", "code": code}

    return read


def read_id(setting: Setting) -> Read:
    """The part of a PersonRef that is an identity document. A bad checksum is noted, never repaired or refused."""
    path = setting.path

    def read(text: str, notes: Notes) -> dict[str, Any]:
        plain = text.isascii() and text.isdecimal()
        number = text if plain else identifier(text).replace(" ", "").upper()
        if _ID18.fullmatch(number):
            if id_checksum_valid(number):
                return {"id_number": number, "id_type": "GB11643"}
            notes.append(
                RowWarning("id_checksum_bad", f"{path}.id_number", "the identity number fails its checksum (GB 11643)")
            )
            return {"id_number": number, "id_type": "GB11643", "id_checksum_bad": True}
        if _SCIENTIFIC.fullmatch(number):
            raise refuse(LOSSY)
        if not number or len(number) > 64:  # noqa: PLR2004 - the language's limit
            raise refuse(("LF-ROW-ID", "does not hold an identity number", "correct it at the source"))
        if _ID15.fullmatch(number):
            notes.append(
                RowWarning(
                    "id_15_digits", f"{path}.id_number", "an identity number of the old form, without a checksum"
                )
            )
            return {"id_number": number, "id_type": "GB11643"}
        return {"id_number": number, "id_type": "GB32100" if _USCC.fullmatch(number) else "OTHER"}

    return read


def read_integer(_: Setting) -> Read:
    """A whole number that is not negative."""

    def read(text: str, _notes: Notes) -> int:
        digits = identifier(text)
        if "," in digits and GROUPED.fullmatch(digits):
            digits = digits.replace(",", "")
        if not (digits.isascii() and digits.isdecimal()) or len(digits) > 9:  # noqa: PLR2004 - fits uint32
            raise refuse(("LF-ROW-INTEGER", "does not hold a whole number", "correct it at the source"))
        return int(digits)

    return read


def read_boolean(_: Setting) -> Read:
    """True or false, as JSON and XML write them."""

    def read(text: str, _notes: Notes) -> bool:
        if text not in _BOOLEANS:
            raise refuse(("LF-ROW-BOOLEAN", "is neither true nor false", "correct it at the source"))
        return _BOOLEANS[text]

    return read


def read_hex(_: Setting) -> Read:
    """Bytes, written as hexadecimal digits."""

    def read(text: str, _notes: Notes) -> bytes:
        try:
            return bytes.fromhex(text)
        except ValueError as error:
            raise refuse(("LF-ROW-HEX", "does not hold hexadecimal digits", "correct it at the source")) from error

    return read


_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
_AS_GIVEN = ("text", "code", "paper")
