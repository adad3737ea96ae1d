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
from adapters.detect import Identified, identify, identify_beginning
from adapters.errors import FileRefused
from adapters.model import Converted, Fault, HeldBack
from adapters.profile import Profile
from adapters.source_file import Given, head_of, size_of, whole
from schemas import checks
from schemas.errors import MessageRefused

AUTO = "auto"
DETECTED_WHOLE_MAX = 1 << 24
"""Largest file that is looked at whole at once to find what it is."""
TREE_BYTES_MAX = 1 << 26
"""Largest file that is looked at whole when its beginning is in no known dialect: no larger one is read but tables."""
SHOWN_MAX = 10_000
"""Most refusals, and most warnings, that are kept one by one; all are counted."""
FILE_WIDE = ("footer_mismatch", "unended_last_line", "sheet_repeated")
"""Warnings of the file as a whole, which one of its records carries."""
NOT_CARRIED = ("column_not_carried", "element_not_carried")
_NO_COMPANIONS: Mapping[str, bytes] = {}


def detect_in(given: Given) -> str:
    """Return the name of the profile that a file fits. FileRefused when none does, or several do equally well."""
    found = identify_in(given)
    if found.refused is not None:
        raise found.refused
    return found.fits[0].profile


def identify_in(given: Given) -> Identified:
    """Say what a file fits and why. Of a large table, XML or JSON the beginning says it; a workbook must be seen whole."""
    found = identify_beginning(given)
    if found is not None:
        return found
    size = size_of(given)
    if size > DETECTED_WHOLE_MAX:
        head = head_of(given, DETECTED_WHOLE_MAX)
        found = identify(head[: head.rfind(b"\n") + 1] or head)
        if found.chosen is not None or size > TREE_BYTES_MAX:
            return found
    return identify(whole(given))


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


def profile_for(name: str, data: Given) -> Profile:
    """Return a profile by name, or for `auto` the one that fits the file. FileRefused when there is none."""
    wanted = detect_in(data) if name == AUTO else name
    try:
        return profiles()[wanted]
    except KeyError:
        raise FileRefused(
            f"no profile {wanted}", cure="`lianfang map list` names them", code="LF-MAP-UNKNOWN-PROFILE"
        ) from None


@dataclass
class Tally:
    """Counts what becomes of a file's records while they pass. Of refusals and warnings the first `SHOWN_MAX` are kept."""

    rows_in: int = 0
    messages: int = 0
    refused: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[dict[str, Any]] = field(default_factory=list)

    on_refused: Callable[[Outcome, dict[str, Any]], None] = lambda _outcome, _why: None
    """Is given each record that became no message, with what is said of it."""
    counts: Counter[str] = field(default_factory=Counter)
    """How many refusals and warnings have each code."""
    not_carried: Counter[str] = field(default_factory=Counter)
    """Of what the message has no place for: how many rows have it."""
    refused_count: int = 0
    of_file: dict[tuple[str, str], None] = field(default_factory=dict)
    """What is odd about the file as a whole: codes and causes."""

    def over(self, outcomes: Iterator[Outcome]) -> Iterator[Converted]:
        """Yield the records that became messages, and count all."""
        require_valid = checks.require_valid_record
        for outcome in outcomes:
            self.rows_in += 1
            if isinstance(outcome, HeldBack):
                self._refuse(outcome, Fault(outcome.code, outcome.cause, outcome.cure, outcome.column), outcome.others)
                continue
            if outcome.warnings:
                self._warn(outcome)
            try:
                require_valid(outcome.message, outcome.made_of)
            except MessageRefused as error:
                self._refuse(outcome, Fault(error.violations[0].rule, error.cause, error.cure, ""), ())
                continue
            self.messages += 1
            yield outcome

    def _refuse(self, outcome: Outcome, fault: Fault, others: tuple[Fault, ...]) -> None:
        why = {
            "row": outcome.record,
            "line": outcome.line,
            **fault._asdict(),
            "others": [one._asdict() for one in others],
        }
        self.of_file.update({(one.code, one.cause): None for one in others if one.code in FILE_WIDE})
        self.refused_count += 1
        self.counts[fault.code] += 1
        if len(self.refused) < SHOWN_MAX:
            self.refused.append(why)
        self.on_refused(outcome, why)

    def _warn(self, outcome: Converted) -> None:
        for note in outcome.warnings:
            self.counts[note.code] += 1
            if note.code in FILE_WIDE:
                self.of_file[note.code, note.cause] = None
            if note.code in NOT_CARRIED:
                self.not_carried[note.cause] += 1
            if len(self.warnings) < SHOWN_MAX:
                where = {"row": outcome.record, "line": outcome.line}
                self.warnings.append({**where, "code": note.code, "field": note.field, "cause": note.cause})

    def as_json(self) -> dict[str, Any]:
        """Return the result as `lianfang map convert --json` prints it, with the warnings and counts by code beside it."""
        return {
            "rows_in": self.rows_in,
            "messages": self.messages,
            "refused_count": self.refused_count,
            "refused": self.refused,
            "warnings": self.warnings,
            "not_carried": [{"cause": cause, "rows": rows} for cause, rows in sorted(self.not_carried.items())],
            "of_file": [{"code": code, "cause": cause} for code, cause in self.of_file],
            "counts": dict(sorted(self.counts.items())),
        }


def check(name: str, data: Given, companions: Mapping[str, bytes] = _NO_COMPANIONS) -> dict[str, Any]:
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
        "lineage": [item.as_json() for item in converted.lineage],
        "warnings": [note._asdict() for note in converted.warnings],
    }
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":"))
