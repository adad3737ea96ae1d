"""What a refusal says: in the words of whoever made the file, and with a cure that helps."""

import pytest

from adapters.model import HeldBack
from tests.adapters.files import read
from tests.adapters.test_lineage import CHOICE, ICBC
from tests.adapters.trees import held, made


@pytest.mark.parametrize(
    "row", ["2026-11-02,a,b,CHN,钞,,,人民币,-,-,人民币,1.00,x", "2026-11-02,a,b,CHN,钞,,,人民币,,,人民币,1.00,x"]
)
def test_a_choice_that_cannot_be_made_names_the_columns_of_the_file(row):
    """Whoever mends the file reads its own headers, not a path of the message."""
    (found,) = read((ICBC + row + "\n").encode(), "icbc-debit-csv")
    assert isinstance(found, HeldBack)
    faults = {found.code: (found.cause, found.column), **{one.code: (one.cause, one.column) for one in found.others}}
    cause, column = faults["LF-ROW-CASE"]
    assert column == "记账金额(收入) + 记账金额(支出)"
    assert cause == f"column {column} is in none of the cases that the profile knows"


def test_a_choice_of_a_tree_that_cannot_be_made_names_the_paths():
    """Of a tree, the paths that the conditions ask for are named."""
    found = held(
        made(CHOICE.replace('[record.field."narrative"]', 'check = { required = true }\n[record.field."narrative"]')),
        "<r><No>123456</No><Kind>X</Kind></r>",
    )
    assert (found.code, found.column) == ("LF-ROW-CASE", "Kind + Tax")
    assert found.cause.startswith("element Kind + Tax is in none")


@pytest.mark.parametrize(
    ("amount", "says", "cure"),
    [
        ("-7.00", "has a minus or brackets", "what it means"),
        ("(7.00)", "has a minus or brackets", "what it means"),
        ("7.00－", "has a minus or brackets", "what it means"),
    ],
)
def test_a_sign_beside_a_column_for_each_way_is_told_as_what_it_is(amount, says, cure):
    """Nobody is told to correct a number that may be right: what is not known is what the sign means."""
    (found,) = read((ICBC + f"2026-11-02,a,b,CHN,钞,,,人民币,{amount},,人民币,1.00,x\n").encode(), "icbc-debit-csv")
    assert isinstance(found, HeldBack)
    assert found.code == "LF-ROW-PATTERN"
    assert says in found.cause
    assert cure in found.cure


@pytest.mark.parametrize(
    ("number", "code", "says"),
    [
        ("12.345.678", "LF-ROW-ACCOUNT", "points between"),
        ("1.2.3", "LF-ROW-ACCOUNT", "points between"),
        ("12345678.0", "LF-ROW-LOSSY-NUMBER", "decimal number"),
    ],
)
def test_an_account_with_points_is_told_from_a_decimal_number(number, code, says):
    """One point makes a decimal number, which a spreadsheet made; several make groups of digits."""
    found = held(made(CHOICE), f"<r><No>{number}</No><Kind>P</Kind></r>")
    assert (found.code, says in found.cause) == (code, True)
