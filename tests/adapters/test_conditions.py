"""Conditions in profiles."""

import pytest

from adapters.catalogue import load
from adapters.conditions import condition
from adapters.errors import ProfileRefused
from tests.adapters.trees import made, one, read

BODY = """
[[record]]
message = "SuspiciousAccountNotice"
[record.field."account"]
from = "No"
parse = "account"
[record.field."holder.name"]
from = "Name"
when = '{when}'
"""


@pytest.mark.parametrize(
    ("when", "kind", "read_it"),
    [
        ('row["Kind"] == "03"', "03", True),
        ('row["Kind"] == "03"', " 03 ", True),
        ('row["Kind"] == "03"', "04", False),
        ('row["Kind"] in ["01", "03"] && row["Name"] != ""', "01", True),
        ('row["Kind"].startsWith("0")', "04", True),
        ('!(row["Kind"].matches("^0[0-9]$"))', "04", False),
        ('row["Nothing/Here"] == ""', "x", True),
    ],
)
def test_a_condition_decides_whether_a_field_is_read(when, kind, read_it):
    """CEL over the record's texts, trimmed, and empty where there is no element."""
    data = f"<r><No>123456</No><Kind>{kind}</Kind><Name>N</Name></r>"
    assert one(made(BODY.format(when=when)), data).message.holder.name == ("N" if read_it else "")


def test_what_a_condition_leaves_out_is_listed():
    """A text that was not read because its condition did not hold is not carried, and that is said."""
    outcome = one(made(BODY.format(when='row["Kind"] == "1"')), "<r><No>123456</No><Kind>2</Kind><Name>N</Name></r>")
    assert [note.cause for note in outcome.warnings] == ["element Name has no place in the message"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('row["a"] ==', "Syntax error"),
        ('row["a"] == 1', "no matching overload"),
        ('row["a"]', "no yes or no"),
        ("true", "asks for no column"),
        ('other["a"] == ""', "asks for no column"),
        ('row["a"] == "" && other', "undeclared"),
        ("row.size() == 1", "without the name"),
        ('row["a"] == "" && row["b" + "c"] == ""', "without the name"),
    ],
)
def test_a_condition_that_cannot_be_used_is_refused_when_it_is_loaded(text, why):
    """Syntax, types, words that are none, and columns that nobody can name beforehand."""
    with pytest.raises(ProfileRefused, match=why) as refused:
        condition(text)
    assert refused.value.code == "LF-MAP-PROFILE-CONDITION"
    assert refused.value.cure


def test_the_word_row_in_a_text_is_no_row():
    """What stands between quotation marks is a text."""
    assert condition('row["a"] == "the row is \\" row"').names == ("a",)


def test_a_condition_works_in_tables_and_names_its_columns():
    """The same conditions stand in tables, by our names of the columns; a misspelt one is named with the nearest."""
    table = """
[profile]
name = "t"
version = "1"
title = "t"
[source]
format = "csv"
[source.header]
required = ["number"]
[source.columns]
number = ["No"]
kind = ["Kind"]
name = ["Name"]
[target]
message = "SuspiciousAccountNotice"
[field."account"]
from = "number"
parse = "account"
[field."holder.name"]
from = "name"
when = 'row["KIND"] == "b"'
"""
    with pytest.raises(ProfileRefused) as refused:
        load(table.replace("KIND", "kin"))
    assert (refused.value.code, refused.value.cure) == ("LF-MAP-PROFILE-WORD", "did you mean kind?")
    rows = read(load(table.replace("KIND", "kind")), "No,Kind,Name\n123456,a,N\n123457,b,M\n")
    assert [row.message.holder.name for row in rows] == ["", "M"]
