"""What a person or a command asks about a file: which profile, how many records, what is wrong with the others.

- A record counts as a message only when it also passes the checks of the shared language, as it must to be sent.
- Always: rows_in = messages + refused.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.json_format import MessageToDict

from adapters.catalogue import profiles
from adapters.convert import Outcome, convert
from adapters.detect import detect
from adapters.errors import FileRefused
from adapters.model import Converted, HeldBack
from adapters.profile import Profile
from schemas import checks
from schemas.errors import MessageRefused

AUTO = "auto"
_NO_COMPANIONS: Mapping[str, bytes] = {}


def listed() -> list[dict[str, Any]]:
    """Return every profile: name, version, title, format, messages, and whether it also writes."""
    return [
        {
            "name": profile.name,
            "version": profile.version,
            "title": profile.title,
            "format": profile.file.source.format,
            "messages": profile.message,
            "writes": profile.file.writing is not None,
        }
        for profile in profiles().values()
    ]


def profile_for(name: str, data: bytes) -> Profile:
    """Return a profile by name, or for `auto` the one that fits the file. FileRefused when there is none."""
    wanted = detect(data) if name == AUTO else name
    try:
        return profiles()[wanted]
    except KeyError:
        raise FileRefused(
            f"no profile {wanted}", cure="`lianfang map list` names them", code="LF-MAP-UNKNOWN-PROFILE"
        ) from None


@dataclass
class Tally:
    """Counts what becomes of a file's records while they pass."""

    rows_in: int = 0
    messages: int = 0
    refused: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[dict[str, Any]] = field(default_factory=list)

    on_refused: Callable[[Outcome, dict[str, Any]], None] = lambda _outcome, _why: None
    """Is given each record that became no message, with what is said of it."""

    def over(self, outcomes: Iterator[Outcome]) -> Iterator[Converted]:
        """Yield the records that became messages, and count all."""
        for outcome in outcomes:
            self.rows_in += 1
            match outcome:
                case HeldBack():
                    self._refuse(outcome, outcome.code, outcome.cause, outcome.cure, outcome.column)
                case Converted():
                    self._warn(outcome)
                    try:
                        checks.require_valid_record(outcome.message)
                    except MessageRefused as error:
                        self._refuse(outcome, error.violations[0].rule, error.cause, error.cure)
                        continue
                    self.messages += 1
                    yield outcome

    def _refuse(self, outcome: Outcome, code: str, cause: str, cure: str, column: str = "") -> None:
        where = {"row": outcome.record, "line": outcome.line}
        self.refused.append({**where, "code": code, "cause": cause, "cure": cure, "column": column})
        self.on_refused(outcome, self.refused[-1])

    def _warn(self, outcome: Converted) -> None:
        where = {"row": outcome.record, "line": outcome.line}
        self.warnings += [
            {**where, "code": note.code, "field": note.field, "cause": note.cause} for note in outcome.warnings
        ]

    def as_json(self) -> dict[str, Any]:
        """Return the result as `lianfang map convert --json` prints it, with the warnings and counts by code beside it."""
        return {
            "rows_in": self.rows_in,
            "messages": self.messages,
            "refused": self.refused,
            "warnings": self.warnings,
            "counts": dict(sorted(Counter(item["code"] for item in (*self.refused, *self.warnings)).items())),
        }


def check(name: str, data: bytes, companions: Mapping[str, bytes] = _NO_COMPANIONS) -> dict[str, Any]:
    """Read a whole file and keep nothing: what would become of it. FileRefused when it cannot be read."""
    profile = profile_for(name, data)
    tally = Tally()
    for _ in tally.over(convert(profile, data, companions)):
        pass
    return {"profile": profile.name, "version": profile.version, **tally.as_json()}


def json_line(converted: Converted) -> str:
    """Return a message with lineage and warnings as one line of JSON (protobuf JSON, fields by their own names)."""
    whole = {
        "type": converted.message.DESCRIPTOR.full_name,
        "message": MessageToDict(converted.message, preserving_proto_field_name=True),
        "lineage": [item._asdict() for item in converted.lineage],
        "warnings": [note._asdict() for note in converted.warnings],
    }
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":"))
