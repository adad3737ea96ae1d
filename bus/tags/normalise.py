"""One writing for one value: what differs only in how it was typed gets the same tag. Pure.

- Rules per kind; `normalisation.json` beside this file holds what each makes of what, for tests and for other
  implementers. A change of a rule changes tags: it begins with a new epoch, and RULES rises.
- A value that is masked, mutilated or fails its own check digit is refused: a tag of it would match what it is not.
- Never done: to guess (a missing digit, a likely region), to translate (traditional characters stay), to shorten.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from urllib.parse import urlsplit

from adapters.errors import AdapterError
from adapters.phones import phone as read_phone
from bus.tags.errors import TagRefused

RULES = 1
"""Version of the rules; stands in what is hashed."""
VALUE_BYTES_MAX = 512

_MASKS = re.compile(r"[*?•●█]|[Xx]{3,}")
_NAME_MASKS = re.compile(r"[*?●█某]|•{2,}|[Xx]{3,}")  # one bullet is how some systems write the middle dot
_BLANK = re.compile(r"[\s\u200b-\u200f\u2060\ufeff]+")
_DASHES = re.compile(r"[-\u2010-\u2015\u2212\ufe58\ufe63\u30fc]")
_RUINED = re.compile(r"[0-9](\.[0-9]*)?[eE]\+?[0-9]+")
_DOTS = re.compile(r"[\u00b7\u2022\u2027\u2219\u22c5\u30fb\u318d\u0387\u2e31\ufe52]")
_HAN = "\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_BESIDE_HAN = re.compile(rf"(?<=[{_HAN}·]) +| +(?=[{_HAN}·])")
_STOP_IN_HAN = re.compile(rf"(?<=[{_HAN}])[.](?=[{_HAN}])")
_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_ID_CHECKS = "10X98765432"
_CENTENARIAN_ORDERS = ("996", "997", "998", "999")
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Value:
    """A value in its one writing."""

    kind: str
    text: str


def normalise(kind: str, text: str, region: str = "CN") -> Value:
    """Return a value in its one writing. TagRefused, without the value, when it has none.

    `region` (ISO 3166) is that of a telephone number that names no country.
    """
    if kind not in KINDS:
        raise TagRefused(
            f"there is no kind {kind[:32]}", code="LF-TAG-KIND", cure=f"the kinds are {', '.join(sorted(KINDS))}"
        )
    if len(text.encode("utf-8", "replace")) > VALUE_BYTES_MAX:
        raise _refused(kind, "is too long")
    plain = unicodedata.normalize("NFKC", text).strip()
    if not plain:
        raise _refused(kind, "is empty")
    made = _phone(plain, region) if kind == "phone" else KINDS[kind](plain)
    return Value(kind, made)


def _phone(text: str, region: str) -> str:
    """E.164. The country is the number's own or the region's; an extension is left out."""
    _require_whole("phone", text)
    bare = _BLANK.sub("", _DASHES.sub("-", text))
    try:
        found = read_phone(bare, region)
    except AdapterError:
        raise _ruined("phone") from None
    if not found.get("e164"):
        raise _refused("phone", "is no full telephone number")
    return str(found["e164"])


def _account(text: str) -> str:
    """Digits as they are, leading zeros too; an IBAN in capitals, with its check digits right."""
    _require_whole("account", text)
    bare = _squeezed(text).upper()
    if re.fullmatch(r"[0-9]{6,34}", bare):
        return bare
    if re.fullmatch(r"[A-Z]{2}[0-9]{2}[0-9A-Z]{11,30}", bare):
        digits = "".join(str(int(character, 36)) for character in bare[4:] + bare[:4])
        if int(digits) % 97 == 1:
            return bare
        raise _check_digit("account")
    raise _refused("account", "is no account or card number")


def _resident_id(text: str) -> str:
    """18 places of GB 11643; the 15 places of before 1999 get their century and their check digit."""
    _require_whole("id", text)
    bare = _squeezed(text).upper()
    if re.fullmatch(r"[0-9]{15}", bare):
        century = "18" if bare[12:] in _CENTENARIAN_ORDERS else "19"
        body = bare[:6] + century + bare[6:]
        bare = body + _id_check(body)
    if not re.fullmatch(r"[1-9][0-9]{16}[0-9X]", bare):
        raise _refused("id", "is no resident identity number of 15 or 18 places")
    try:
        date(int(bare[6:10]), int(bare[10:12]), int(bare[12:14]))
    except ValueError:
        raise _refused("id", "has no day of birth that there was") from None
    if _id_check(bare[:17]) != bare[17]:
        raise _check_digit("id")
    return bare


def _name(text: str) -> str:
    """NFKC, one kind of middle dot, no blanks beside Chinese characters, capitals elsewhere; characters stay as written."""
    _require_whole("name", text)
    spaced = _BLANK.sub(" ", text).strip()
    dotted = _STOP_IN_HAN.sub("·", _DOTS.sub("·", spaced))
    made = unicodedata.normalize("NFKC", _BESIDE_HAN.sub("", dotted).upper())
    if len(made) < 2 or any(character.isdecimal() for character in made):  # noqa: PLR2004 - a surname alone names nobody
        raise _refused("name", "is no full name")
    return made


def _email(text: str) -> str:
    """Small letters; the domain in its ASCII form. Dots and +tags of a provider stay: not every provider ignores them."""
    _require_whole("email", text)
    local, at, domain = text.removeprefix("mailto:").rpartition("@")
    if not at or not re.fullmatch(r"[^\s@\"(),:;<>\[\\\]]{1,64}", local):
        raise _refused("email", "is no e-mail address")
    return f"{unicodedata.normalize('NFKC', local.lower())}@{_host('email', domain)}"


def _domain(text: str) -> str:
    return _host("domain", text)


def _url(text: str) -> str:
    """Scheme and host in small letters and ASCII, without default port, fragment and a bare final slash; the rest as written."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise _refused("url", "is no web address") from None
    if parts.scheme.lower() not in _DEFAULT_PORTS or not parts.hostname or parts.username is not None:
        raise _refused("url", "is no web address, or has a user's name in it")
    shown = "" if port in (None, _DEFAULT_PORTS[parts.scheme.lower()]) else f":{port}"
    query = f"?{parts.query}" if parts.query else ""
    path = "" if parts.path == "/" and not query else parts.path
    return f"{parts.scheme.lower()}://{_host('url', parts.hostname)}{shown}{path}{query}"


def _wallet(text: str) -> str:
    """An address of a ledger: hexadecimal and Bech32 in small letters, Base58 as written with its checksum right."""
    if re.fullmatch(r"0[xX][0-9a-fA-F]{40}|(?i:(bc|tb|ltc)1)[0-9a-zA-Z]{8,87}", text):
        lower = text.lower()
        if lower.startswith("0x") or text in (lower, text.upper()):
            return lower
    elif re.fullmatch(rf"[{_BASE58}]{{26,35}}", text):
        if _base58_holds(text):
            return text
        raise _check_digit("wallet")
    raise _refused("wallet", "is no address of a ledger that this release knows")


def _token(text: str) -> str:
    """A digest or a random id of at least 128 bits, hexadecimal: small letters, without hyphens."""
    bare = _squeezed(text).lower()
    if not re.fullmatch(r"[0-9a-f]{32,128}", bare):
        raise _refused("token", "is no digest or random id of at least 32 hexadecimal digits")
    return bare


KINDS: dict[str, Callable[[str], str]] = {
    "account": _account,
    "domain": _domain,
    "email": _email,
    "id": _resident_id,
    "name": _name,
    "phone": lambda text: _phone(text, "CN"),
    "token": _token,
    "url": _url,
    "wallet": _wallet,
}
HIGH_ENTROPY = frozenset({"token", "wallet"})
"""Kinds whose values nobody can list: the only ones that a plain keyed hash may hide, and only inside one agency."""


def _squeezed(text: str) -> str:
    return _DASHES.sub("", _BLANK.sub("", text))


def _host(kind: str, text: str) -> str:
    try:
        host = text.strip(".").encode("idna").decode("ascii").lower()
    except UnicodeError:
        raise _refused(kind, "has no host that there can be") from None
    if not re.fullmatch(r"(?=.{4,253}\Z)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z0-9-]{2,63}", host):
        raise _refused(kind, "has no host that there can be")
    return host


def _id_check(body: str) -> str:
    return _ID_CHECKS[sum(int(digit) * weight for digit, weight in zip(body, _ID_WEIGHTS, strict=True)) % 11]


def _base58_holds(text: str) -> bool:
    number = 0
    for character in text:
        number = number * 58 + _BASE58.index(character)
    if number.bit_length() > 25 * 8:
        return False
    data = number.to_bytes(25, "big")
    return sha256(sha256(data[:-4]).digest()).digest()[:4] == data[-4:]


def _require_whole(kind: str, text: str) -> None:
    if (_NAME_MASKS if kind == "name" else _MASKS).search(text):
        raise TagRefused(
            f"a value of kind {kind} is masked",
            code="LF-TAG-MASKED",
            cure="nothing to do; a tag of it would match whoever is masked alike",
            reason="masked",
        )
    if kind != "name" and _RUINED.fullmatch(text.replace(" ", "")):
        raise _ruined(kind)


def _ruined(kind: str) -> TagRefused:
    return TagRefused(
        f"a value of kind {kind} is a number in scientific notation: digits are lost",
        code="LF-TAG-VALUE",
        cure="export it again with the column as text",
        reason="ruined",
    )


def _check_digit(kind: str) -> TagRefused:
    return TagRefused(
        f"a value of kind {kind} fails its own check digits",
        code="LF-TAG-CHECK-DIGIT",
        cure="correct it at the source; it is left out of matching until then",
        reason="check digit",
    )


def _refused(kind: str, why: str) -> TagRefused:
    return TagRefused(
        f"a value of kind {kind} {why}",
        code="LF-TAG-VALUE",
        cure="correct it at the source; it is left out of matching until then",
        reason="form",
    )
