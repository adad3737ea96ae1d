"""The golden rows of every profile become the messages that were reviewed."""

import json
from importlib import resources

import pytest
from google.protobuf.message import Message

import adapters
from adapters.catalogue import load
from adapters.convert import convert
from adapters.errors import FileRefused
from adapters.golden import EXPECTED, Case, cases_in, judge
from adapters.model import Converted, HeldBack
from tests.adapters.files import notice, profile

FOLDER = resources.files("adapters") / "profiles"


@pytest.mark.parametrize("name", sorted(adapters.profiles()))
def test_a_profiles_golden_rows_are_what_was_reviewed(name):
    """Messages, refusals, lineage, warnings: all as reviewed; `lianfang map test NAME --write` writes them anew."""
    cases = cases_in(FOLDER / f"{name}.golden")
    assert len(cases) > 1
    assert {verdict.case: verdict.differences for verdict in (judge(profile(name), case) for case in cases)} == {
        case.name: () for case in cases
    }


@pytest.mark.parametrize("name", sorted(adapters.profiles()))
def test_golden_rows_show_each_kind_of_outcome(name):
    """Each profile has a record that is refused or warned of beside one that is not."""
    texts = [case.expected for case in cases_in(FOLDER / f"{name}.golden")]
    rows = [row for text in texts if text for row in json.loads(text)]
    assert any(row.get("refused") or row.get("warnings") for row in rows)
    assert any(row.get("type") for row in rows)


def empty_in(message: Message, path: str = "") -> list[str]:
    """Return the paths of the messages in a message in which nothing is set."""
    found = []
    for field, value in message.ListFields():
        for inner in (value if field.is_repeated else [value]) if field.message_type is not None else ():
            where = f"{path}{field.name}"
            found += empty_in(inner, f"{where}.") if inner.ListFields() else [where]
    return found


@pytest.mark.parametrize("name", sorted(adapters.profiles()))
def test_no_message_in_a_message_is_empty(name):
    """A sub-message in which nothing stands would say that something is known."""
    cases = cases_in(FOLDER / f"{name}.golden")
    assert [
        row for case in cases for row in made_of(name, case) if isinstance(row, Converted) and empty_in(row.message)
    ] == []


def made_of(name: str, case: Case) -> list[Converted | HeldBack]:
    """Return what becomes of a case; nothing where its file is refused."""
    try:
        return list(convert(profile(name), case.data, case.companions))
    except FileRefused:
        return []


def test_every_field_and_table_of_the_bank_notice_is_in_its_golden_rows():
    """No field of the profile goes without a golden row."""
    rows = [row for case in cases_in(FOLDER / "bank-notice-csv.golden") for row in json.loads(case.expected or "[]")]
    seen = {line.partition(" | ")[0].removesuffix(".currency") for row in rows for line in row.get("lineage", [])}
    assert seen == set(profile("bank-notice-csv").file.field)


def test_a_changed_profile_is_caught_and_the_place_is_named():
    """With two places more or less in an amount, or a field left out, the case fails and says where, without values."""
    text = (FOLDER / "bank-notice-csv.toml").read_text("utf-8")
    (case, *_) = cases_in(FOLDER / "bank-notice-csv.golden")
    scaled = judge(load(text.replace("scale = 2", "scale = 3")), case)
    assert "record 1: message.balance.minor_units is another" in scaled.differences
    fewer = judge(load(text.replace('[field."holder.name"]\nfrom = "holder"\n', "")), case)
    assert "record 1: message.holder.name is missing" in fewer.differences


def test_a_lost_row_and_a_missing_expectation_are_differences():
    """A row fewer, and a file for which nothing is written, do not pass."""
    known = Case("x", notice(), {}, "[]")
    assert judge(profile("bank-notice-csv"), known).differences == ("there are 1 records, and 0 were expected",)
    assert judge(profile("bank-notice-csv"), known._replace(expected=None)).differences
    refused = Case("x", b"a,b\n", {}, '[{"file_refused": "LF-FILE-NO-HEADER"}]')
    assert judge(profile("bank-notice-csv"), refused).differences == ()


def test_companions_stand_beside_their_case():
    """The token's certificates are read from the folder of its own case, and no other case has them."""
    found = {case.name: set(case.companions) for case in cases_in(FOLDER / "shaken-passport.golden")}
    assert found == {"signed": {"cert", "ca"}, "without-certificate": set()}
    assert EXPECTED.endswith(".json")
