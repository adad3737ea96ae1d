"""Blind values: a keyed hash stands in an entry where a person, account, number or case would.

value = HMAC-SHA256(key, kind || 0x00 || normalised)[:16]. The key is one agency's for one quarter, so nobody without it
can test a guess (phone and account numbers can all be tried), and agencies cannot test each other's logs. Within a
quarter the same subject has the same value: frequency shows, and that is what makes the log searchable.
"""

import hmac
import unicodedata
from datetime import UTC, datetime

VALUE_BYTES = 16


def normalise(kind: str, value: str) -> str:
    """Return the form of a value under which it is the same everywhere.

    account: letters and digits, upper case; phone: digits and a leading plus; anything else: NFKC, upper case, no blanks.
    """
    text = unicodedata.normalize("NFKC", value).strip()
    if kind == "account":
        return "".join(sign for sign in text.upper() if sign.isalnum())
    if kind == "phone":
        return ("+" if text.startswith("+") else "") + "".join(sign for sign in text if sign.isdecimal())
    return "".join(text.upper().split())


def blind(key: bytes, kind: str, value: str) -> bytes:
    """Return the 16-byte blind value."""
    return hmac.digest(key, kind.encode() + b"\x00" + normalise(kind, value).encode(), "sha256")[:VALUE_BYTES]


def quarter(at_ms: int) -> str:
    """Return the quarter of a moment, for example 2026Q4."""
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    return f"{moment.year}Q{(moment.month - 1) // 3 + 1}"
