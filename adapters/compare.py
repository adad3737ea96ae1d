"""What a change of profile changes: the same file through two profiles, record by record, field by field.

Values are shown to nobody: a difference is a row, a path and what happened to it. Provenance names the profile and counts
for nothing.
"""

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any

from adapters.back import leaves
from adapters.convert import Outcome, convert
from adapters.profile import Profile
from adapters.summary import Tally

_NO_COMPANIONS: Mapping[str, bytes] = {}
_REFUSED = "refused"


def differences(
    one: Profile, other: Profile, data: bytes, companions: Mapping[str, bytes] = _NO_COMPANIONS
) -> dict[str, Any]:
    """Return which rows and fields come out otherwise. FileRefused when one of the profiles cannot read the file."""
    rows = 0
    changed: list[dict[str, Any]] = []
    for before, after in zip_longest(convert(one, data, companions), convert(other, data, companions)):
        rows += 1
        found = list(_changes(before, after))
        if found:
            line = (before or after).line
            changed.append({"row": rows, "line": line, "changes": found})
    return {"rows": rows, "changed": changed, "counts": _counts(changed)}


def _changes(before: Outcome | None, after: Outcome | None) -> Iterator[dict[str, str]]:
    one, other = _values(before), _values(after)
    for path in dict.fromkeys((*one, *other)):
        if path not in other:
            yield {"field": path, "change": "gone"}
        elif path not in one:
            yield {"field": path, "change": "new"}
        elif one[path] != other[path]:
            yield {"field": path, "change": "another value"}


def _values(outcome: Outcome | None) -> dict[str, Any]:
    """Return a record's values by path; for a refused one its code, under the path `refused`."""
    if outcome is None:
        return {}
    tally = Tally()
    for good in tally.over(iter([outcome])):
        warnings = {f"warning {note.code} {note.field}".strip(): True for note in good.warnings}
        return {"message": good.message.DESCRIPTOR.name, **leaves(good.message), **warnings}
    return {_REFUSED: tally.refused[0]["code"]}


def _counts(changed: list[dict[str, Any]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in changed:
        for change in row["changes"]:
            key = f"{change['field']}: {change['change']}"
            counts[key] = counts.get(key, 0) + 1
    return counts
