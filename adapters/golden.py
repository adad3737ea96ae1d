"""Golden rows: files beside a profile, with the messages that were reviewed; a profile is right while it still makes them.

Beside `name.toml` stands the folder `name.golden`. In it, for each case:
- `case.csv` (or any other ending): the file in the dialect; invented data only;
- `case.expected.json`: what it becomes, as `lianfang map test --write` writes it: each record in order, with type, message,
  where each field came from, warnings, or the code for which it is refused;
- `case.companions/cert.pem`: files that belong to it, where it has any; their names without ending are the companions'.
"""

import json
from collections.abc import Iterator
from importlib.resources.abc import Traversable
from typing import Any, NamedTuple

from google.protobuf.json_format import MessageToDict

from adapters.convert import Outcome, convert
from adapters.errors import FileRefused
from adapters.profile import Profile
from adapters.summary import Tally

EXPECTED = ".expected.json"
_COMPANIONS = ".companions"


class Case(NamedTuple):
    """One file with what it must become."""

    name: str
    data: bytes
    companions: dict[str, bytes]
    expected: str | None
    """None when nobody has written it yet."""


class Verdict(NamedTuple):
    """How one case ended."""

    case: str
    rows: int
    differences: tuple[str, ...]
    """What is otherwise than expected: record and path, no values."""


def cases_in(folder: Traversable) -> list[Case]:
    """Return the cases of a folder, by name; none when there is no such folder."""
    if not folder.is_dir():
        return []
    items = {item.name: item for item in folder.iterdir()}
    found = []
    for name, item in sorted(items.items()):
        if item.is_dir() or name.endswith(EXPECTED):
            continue
        case = name.rpartition(".")[0]
        beside, companions = items.get(f"{case}{EXPECTED}"), items.get(f"{case}{_COMPANIONS}")
        given = {file.name.rpartition(".")[0]: file.read_bytes() for file in companions.iterdir()} if companions else {}
        found.append(Case(case, item.read_bytes(), given, beside.read_text("utf-8") if beside else None))
    return found


def judge(profile: Profile, case: Case) -> Verdict:
    """Convert a case's file and compare the outcomes with what was reviewed."""
    made = outcomes(profile, case)
    if case.expected is None:
        return Verdict(case.name, len(made), ("nothing says what is expected: look at it, and write it with --write",))
    expected = json.loads(case.expected)
    differences = []
    if len(made) != len(expected):
        differences.append(f"there are {len(made)} records, and {len(expected)} were expected")
    for number, (one, other) in enumerate(zip(made, expected, strict=False), 1):
        differences += [f"record {number}: {path}" for path in _differing(one, other, "")]
    return Verdict(case.name, len(made), tuple(differences))


def outcomes(profile: Profile, case: Case) -> list[dict[str, Any]]:
    """Return what becomes of a case's records, or of the file when it is refused as a whole."""
    try:
        return [_outcome(outcome) for outcome in convert(profile, case.data, case.companions)]
    except FileRefused as error:
        return [{"file_refused": error.code}]


def text(made: list[dict[str, Any]]) -> str:
    """Return outcomes as they stand in a file: lineage one field a line."""
    return json.dumps(made, ensure_ascii=False, indent=1) + "\n"


def _outcome(outcome: Outcome) -> dict[str, Any]:
    tally = Tally()
    for good in tally.over(iter([outcome])):
        return {
            "type": good.message.DESCRIPTOR.name,
            "message": MessageToDict(good.message, preserving_proto_field_name=True),
            "lineage": [" | ".join((item.field, str(item.line), item.column, item.verb)) for item in good.lineage],
            "warnings": [f"{note.code} {note.field}".strip() for note in good.warnings],
        }
    (refused,) = tally.refused
    return {"refused": refused["code"], "row": refused["row"], "line": refused["line"]}


def _differing(one: Any, other: Any, path: str) -> Iterator[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in (*one, *(key for key in other if key not in one)):
            where = f"{path}.{key}".lstrip(".")
            if key in one and key in other:
                yield from _differing(one[key], other[key], where)
            else:
                yield f"{where} {'is new' if key in one else 'is missing'}"
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for place, (mine, theirs) in enumerate(zip(one, other, strict=True)):
            yield from _differing(mine, theirs, f"{path}[{place}]")
    elif one != other:
        yield f"{path} is another"
