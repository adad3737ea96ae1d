"""Where records come from, and what becomes of those that cannot be used."""

from typing import Any

from adapters.errors import RowRefused
from adapters.model import HeldBack
from adapters.profile import Profile
from adapters.source_file import Given, digest_of


def origin(profile: Profile, given: Given) -> dict[str, Any]:
    """Return the part of the provenance that all records of a file share."""
    return {
        "profile": profile.name,
        "profile_version": profile.version,
        "source_sha256": digest_of(given),
    }


def held_back(error: RowRefused, record: int, line: int, raw: bytes) -> HeldBack:
    """Return the outcome of a record that cannot be used."""
    return HeldBack(record, line, error.code, error.cause, error.cure, raw, error.column)
