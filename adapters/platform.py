"""Records of the risk-event platform, both ways: XML ⇄ message, by the profile's record for the code."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from google.protobuf.message import Message

from adapters import markup
from adapters.errors import FileRefused
from adapters.model import Rendered
from adapters.profile import Profile, Record
from adapters.tree_plan import fields_of, lists_of
from adapters.write import Carrier

SERIAL = "../Head/TransSerialNumber"


@dataclass(frozen=True)
class _Compiled:
    """One kind of record, ready for both ways."""

    record: Record
    carrier: Carrier


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
    head = {name.removeprefix("Head/"): text.format_map(facts) for name, text in file.writing.head.items()}
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


def _compile(profile: Profile, record: Record) -> _Compiled:
    fields = fields_of(profile, record)
    papers = lists_of(profile, record).get("attachments")
    if papers is not None:
        fields["attachments"] = papers.field["."].model_copy(update={"source": "Attachments"})
    return _Compiled(record, Carrier(profile.file, fields, (SERIAL, *record.layout), record.const))
