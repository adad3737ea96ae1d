"""A column that goes nowhere is named: where no field reads it, and in a row where no condition lets a field read it."""

from adapters.catalogue import load
from adapters.convert import convert
from adapters.model import Converted

PROFILE = """
[profile]
name = "guarded"
version = "1"
title = "A remark that is read of some rows only"

[source]
format = "csv"
zone = "Asia/Shanghai"

[source.header]
required = ["account", "features"]

[source.columns]
account = ["account"]
features = ["features"]
remark = ["remark"]

[target]
message = "SuspiciousAccountNotice"
version = 1

[field."account"]
from = "account"
parse = "account"
check = { required = true }

[field."features"]
from = "features"
split = { at = ";" }
parse = { as = "code", scheme = "tfms.feature" }
check = { required = true }

[field."narrative"]
from = "remark"
when = { from = "features", is = ["2001"] }
"""
HEADER = "account,features,remark,colour\n"


def said(rows: str) -> list[list[str]]:
    """Return what is said of each row."""
    found = list(convert(load(PROFILE), (HEADER + rows).encode()))
    assert all(isinstance(outcome, Converted) for outcome in found)
    return [[note.cause for note in outcome.warnings if note.code == "column_not_carried"] for outcome in found]


def test_a_cell_that_a_condition_leaves_out_is_named_in_that_row() -> None:
    """The remark of a row whose condition holds is carried; of another it is named; an empty one is nothing."""
    left_out = "column remark has no place in a message of such a row"
    assert said("12345678,2001,seen,\n12345678,1001,seen,\n12345678,1001,,\n") == [[], [left_out], []]


def test_a_column_that_no_field_reads_is_named_wherever_it_holds_anything() -> None:
    """A column that the profile does not know is named in the rows where it holds something."""
    assert said("12345678,2001,,red\n12345678,2001,,\n") == [["column colour has no place in the message"], []]
