"""Profiles of tree-shaped formats for the tests, made of a few lines each."""

from adapters.catalogue import load
from adapters.convert import convert
from adapters.model import Converted, HeldBack
from adapters.profile import Profile

HEAD = """
[profile]
name = "t"
version = "1"
title = "t"
[source]
format = "{form}"
zone = "UTC"
currency = "EUR"
{source}
"""


def made(body: str, form: str = "xml", source: str = "") -> Profile:
    """Return a checked profile."""
    return load(HEAD.format(form=form, source=source) + body)


def read(profile: Profile, data: bytes | str) -> list[Converted | HeldBack]:
    """Return every outcome of a file."""
    return list(convert(profile, data.encode() if isinstance(data, str) else data))


def one(profile: Profile, data: bytes | str) -> Converted:
    """Return the message of a file of one good record."""
    (outcome,) = read(profile, data)
    assert isinstance(outcome, Converted), outcome
    return outcome


def held(profile: Profile, data: bytes | str) -> HeldBack:
    """Return the outcome of a file of one record that cannot be used."""
    (outcome,) = read(profile, data)
    assert isinstance(outcome, HeldBack), outcome
    return outcome


def not_carried(outcome: Converted) -> list[str]:
    """Return the paths that are listed as not carried."""
    return [note.cause.split()[1] for note in outcome.warnings if note.code == "element_not_carried"]
