"""Lineage gives what stands in the file, also where a reader works a text out: an auditor compares it with the bytes."""

from importlib import resources

import pytest

import adapters
from adapters.convert import convert
from adapters.golden import cases_in
from adapters.model import Converted, Lineage

WORKED_OUT = ("swift-mt940", "swift-mt103", "nacha", "bai2", "fedwire", "stix-bundle", "misp-event", "threegpp-cdr-ber")


def lineages(profile: str) -> list[tuple[bytes, Lineage]]:
    """Return every value of a profile's golden files with the file that it is from."""
    folder = resources.files("adapters") / "profiles"
    return [
        (case.data, found)
        for case in cases_in(folder / f"{profile}.golden")
        for outcome in convert(adapters.profiles()[profile], case.data, case.companions)
        if isinstance(outcome, Converted)
        for found in outcome.lineage
    ]


@pytest.mark.parametrize("profile", WORKED_OUT)
def test_what_lineage_gives_is_what_the_bytes_say(profile: str) -> None:
    """The raw text of a value is in its bytes, as they are or as hexadecimal digits, where its place is its own."""
    found = [(data[one.start : one.end], one) for data, one in lineages(profile) if one.start >= 0 and one.raw]
    own = [(held, one) for held, one in found if len(held) <= 2 * len(one.raw.encode()) + 16]
    assert len(own) > len(found) / 2
    encodings = ("utf-8", "latin-1")
    wrong = [
        one.field for held, one in own if all(one.raw.strip() not in held.decode(name, "replace") for name in encodings)
    ]
    assert [field for field in wrong if profile != "threegpp-cdr-ber"] == []
    if profile == "threegpp-cdr-ber":
        assert all(one.raw == held.hex() for held, one in own)


def test_a_year_that_the_reader_adds_is_not_said_to_stand_in_the_file() -> None:
    """The booking date of an MT940 movement is four digits in the file; the year is worked out, and lineage says so."""
    dates = [one for _, one in lineages("swift-mt940") if one.field.endswith("booked_at")]
    assert dates
    assert {len(one.raw) for one in dates} == {4}
    assert all(one.verb.startswith("decode") for one in dates)
