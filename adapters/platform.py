"""Records of the risk-event platform, both ways: XML ⇄ message, by the profile's record for the code."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from google.protobuf.message import Message

from adapters import markup
from adapters.errors import FileRefused, RowRefused
from adapters.model import Converted, Fit, HeldBack, Rendered, RowWarning
from adapters.plan import Plan, compile_plan
from adapters.profile import Mapping_, Profile, Record
from adapters.provenance import held_back, origin
from adapters.write import Carrier

SERIAL = "Head/TransSerialNumber"


@dataclass(frozen=True)
class _Compiled:
    """One kind of record, ready for both ways."""

    record: Record
    columns: dict[str, int]
    plan: Plan
    carrier: Carrier


def read(profile: Profile, data: bytes, _: Mapping[str, bytes]) -> Iterator[Converted | HeldBack]:
    """Read one record; the whole file is the record."""
    parsed = markup.parse(data)
    if parsed.code not in profile.file.source.reads:
        raise FileRefused(
            f"the dialect {profile.name} does not read records of this code",
            cure=f"it reads {', '.join(profile.file.source.reads)}; `lianfang map list` names the others",
            code="LF-XML-CODE",
        )
    return _one(profile, _compiled(profile)[parsed.code.removeprefix(profile.file.code_prefix)], parsed, data)


def read_written(profile: Profile, data: bytes) -> Iterator[Converted | HeldBack]:
    """Read a record that this dialect wrote, though it is the other side that reads it."""
    parsed = markup.parse(data)
    return _one(profile, _compiled(profile)[parsed.code.removeprefix(profile.file.code_prefix)], parsed, data)


def fit(profile: Profile, data: bytes) -> Fit | None:
    """Say whether a file is a record of this dialect: its code alone decides. FileRefused for XML that cannot be read."""
    if b"<" not in data[:16] or b"TxCode" not in data:
        return None
    code = markup.parse(data).code
    if code not in profile.file.source.reads:
        return None
    return Fit(profile.name, 1000, 1.0, (f"it is XML, and its code {code} is one that the dialect reads",))


def _one(profile: Profile, kind: _Compiled, parsed: markup.Parsed, data: bytes) -> Iterator[Converted | HeldBack]:
    cells = [parsed.texts.get(name, "") for name in kind.columns]
    notes: list[RowWarning] = []
    try:
        values = kind.plan.values(cells, notes)
    except RowRefused as error:
        yield held_back(error, 1, 1, data)
        return
    notes += [
        RowWarning("element_not_carried", "", f"element {path} has no place in the message")
        for path, text in parsed.texts.items()
        if text.strip() and path not in kind.carrier.elements and path not in profile.file.source.ignore
    ]
    values["provenance"] = {
        **origin(profile, data),
        "record": 1,
        "line": 1,
        "warnings": list(dict.fromkeys(note.code for note in notes)),
    }
    trace = partial(kind.plan.lineage, cells, 1, 1)
    yield Converted(kind.plan.message(**values), 1, 1, data, tuple(notes), trace)


def write(profile: Profile, message: Message, context: Mapping[str, str]) -> Rendered:
    """Write one record. FileRefused when the dialect has none for this message."""
    file = profile.file
    assert file.writing is not None, "asked by render"
    for code, kind in _compiled(profile).items():
        if f"{file.code_prefix}{code}" in file.writing.writes and _is_of(kind.record, message):
            break
    else:
        raise FileRefused(
            f"the dialect {profile.name} has no record for a {message.DESCRIPTOR.name} of this kind",
            cure=f"it writes {', '.join(file.writing.writes)}",
            code="LF-RENDER-NO-RECORD",
        )
    written = kind.carrier.write(message)
    facts = {
        "code": f"{file.code_prefix}{code}",
        "serial": _serial(message, context),
        "sender": context.get("sender", ""),
        "agency": context.get("agency", ""),
    }
    head = {name: text.format_map(facts) for name, text in file.writing.head.items()}
    body = [(name, written.texts.get(name, "")) for name in kind.record.layout]
    return Rendered(markup.build(file.writing.root, head, body, written.papers), written.loss)


def _serial(message: Message, context: Mapping[str, str]) -> str:
    """Return the record's own serial number, else one made of the message's id, which repeats when written again."""
    own = str(getattr(message, "source_serial", ""))
    return own or f"{context.get('sender', '')}_{int(context.get('message_id') or '0', 16):039d}"


def _is_of(record: Record, message: Message) -> bool:
    if record.message != message.DESCRIPTOR.name:
        return False
    kind = message.DESCRIPTOR.fields_by_name["kind"].enum_type
    assert kind is not None, "orders and results have a kind"
    return kind.values_by_number[message.kind].name == record.const["kind"]  # type: ignore[attr-defined]  # looked up above


@cache
def _compiled(profile: Profile) -> dict[str, _Compiled]:
    return {record.code: _compile(profile, record) for record in profile.file.record}


def fields_of(profile: Profile, record: Record) -> dict[str, Mapping_]:
    """Return the fields of one kind of record: its groups', and its own, which win."""
    fields: dict[str, Mapping_] = {}
    for group in record.use:
        fields |= profile.file.group[group]
    return fields | record.field


def _compile(profile: Profile, record: Record) -> _Compiled:
    fields = fields_of(profile, record)
    constants: dict[str, Any] = {path: Mapping_(const=text) for path, text in record.const.items()}
    columns = {name: place for place, name in enumerate((SERIAL, *record.layout))}
    plan = compile_plan(profile, record.message, constants | fields, columns, tuple(columns))
    return _Compiled(record, columns, plan, Carrier(profile.file, fields, (SERIAL, *record.layout), record.const))
