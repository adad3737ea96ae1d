"""What the codes of BAI2 mean: types of movements, and the fields that follow a type of funds (BAI2 guide, appendix A)."""

import re

from adapters.errors import RowRefused

FUNDS: dict[str, tuple[str, ...]] = {
    "S": ("available_today", "available_next_day", "available_later"),
    "V": ("value_date", "value_time"),
}
"""Fields that follow a funds type. D is followed by a number and as many pairs."""

OTHER_SIDE = {
    "credit": (("other_name", "DBNM"), ("other_account", "DACT"), ("other_bank", "DBIC"), ("other_bank", "DABA")),
    "debit": (("other_name", "CRNM"), ("other_account", "CACT"), ("other_bank", "CBIC"), ("other_bank", "CABA")),
}
"""Which keys of a movement's text tell of the other side, by what it is; the first that is there counts."""

_TYPE = re.compile(r"[0-9]{3}")
_KINDS = (
    (range(100, 400), "credit"),
    (range(400, 700), "debit"),
    (range(700, 800), "loan"),
    (range(890, 891), "none"),
    (range(920, 960), "credit"),
    (range(960, 1000), "debit"),
)
"""Ranges of type codes of movements; from 900 on they are a bank's own."""

UPDATE = "1"
"""Status of a group that tells what was booked; 3 corrects what was told before."""
NOT_BOOKED = {
    status: RowRefused(f"the group of the account {what}", cure=cure, code="LF-BAI2-STATUS")
    for status, what, cure in (
        ("2", "takes back what was sent before (status 2)", "delete by hand what the bank names; it is nothing new"),
        ("4", "is a test (status 4)", "ask the bank for its live file"),
    )
}


def kind_of(code: str) -> str:
    """Return what a type code of a movement means for the account. RowRefused when it is no type of movement."""
    if _TYPE.fullmatch(code):
        for codes, kind in _KINDS:
            if int(code) in codes:
                return kind
    raise RowRefused(
        "the type code of a movement is none of BAI2",
        cure="have the bank send the file again; nothing of this account was used",
        code="LF-BAI2-FIELD",
    )
