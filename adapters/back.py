"""A message goes back into a dialect, is read again, and everything that did not come back equal is named.

- `loss`: fields of the message that the local format does not carry, or carries otherwise.
- `added`: fields that only the local format would give, such as a serial number that every record must have.
- What would be written and could not be read again is not written.
- `provenance` says where a message came from; it is the record's own each time and counts for neither.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from google.protobuf import json_format
from google.protobuf.message import Message

from adapters import tree_map
from adapters.convert import Outcome, convert
from adapters.errors import FileRefused
from adapters.model import HeldBack
from adapters.profile import Profile
from adapters.readers import READERS
from adapters.render import render
from schemas import registry

_PROVENANCE = "provenance"


class Returned(NamedTuple):
    """A message in a local format."""

    data: bytes
    loss: tuple[str, ...]
    added: tuple[str, ...]


def bring_back(profile: Profile, message: Message, context: Mapping[str, str]) -> Returned:
    """Write one message in a dialect and prove it by reading it again. FileRefused when it cannot be written."""
    rendered = render(profile, message, context)
    read = list(_READ_AGAIN[profile.file.source.format](profile, rendered.data))
    if len(read) != 1 or isinstance(read[0], HeldBack):
        why = read[0].cause if read and isinstance(read[0], HeldBack) else "it would not be one record"
        raise FileRefused(
            f"what would be written could not be read again: {why}",
            cure="the message does not fit the dialect; send it in another, or have the sender complete it",
            code="LF-RENDER-UNREADABLE",
        )
    before, after = leaves(message), leaves(read[0].message)
    loss = tuple(path for path, value in before.items() if after.get(path) != value)
    return Returned(rendered.data, loss, tuple(path for path in after if path not in before))


def message_of(profile: Profile, line: str) -> Message:
    """Read a message from a line of JSON, as `lianfang map convert` writes it, with lineage or without.

    FileRefused when it is none that the profile speaks of, or when it could be several.
    """
    try:
        whole = json.loads(line)
        names = list(dict.fromkeys(profile.message.split(", ")))
        if isinstance(whole, dict) and "message" in whole and "type" in whole:
            kind = str(whole["type"]).rpartition(".")[2]
            if kind not in names:
                raise _not_spoken_of(profile, kind, names)
            whole, names = whole["message"], [kind]
    except ValueError as error:
        raise _no_message("the line is not JSON") from error
    found = [message for name in names if (message := _parsed(whole, name)) is not None]
    if len(found) == 1:
        return found[0]
    raise _no_message(f"the line could be {len(found)} kinds of message" if found else "the line is no message of it")


def _parsed(whole: Any, name: str) -> Message | None:
    try:
        return json_format.ParseDict(whole, registry.body_type(name)())
    except json_format.ParseError:
        return None


def _not_spoken_of(profile: Profile, kind: str, names: list[str]) -> FileRefused:
    known = any(kind == registry.bare_name(name) for name in registry.bodies())
    return FileRefused(
        f"the line holds {kind if known else 'no message of the shared language'}, and the dialect {profile.name} "
        f"speaks of {', '.join(names)}",
        cure="name a profile that speaks of it and writes; `lianfang map list --json` says what each speaks of",
        code="LF-MAP-NO-MESSAGE",
    )


def _no_message(why: str) -> FileRefused:
    return FileRefused(
        f"{why} that the dialect speaks of",
        cure="give messages as `lianfang map convert --lineage` writes them, one a line",
        code="LF-MAP-NO-MESSAGE",
    )


def leaves(message: Message) -> dict[str, Any]:
    """Return every value that is set in a message, by path; elements of lists by their number."""
    return dict(_leaves(message, ""))


def _leaves(message: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for field, value in message.ListFields():
        path = f"{prefix}{field.name}"
        if path == _PROVENANCE:
            continue
        items = [(f"{path}[{number}]", item) for number, item in enumerate(value)] if field.is_repeated else None
        for where, item in items if items is not None else [(path, value)]:
            if field.message_type is None:
                yield where, item
            else:
                yield from _leaves(item, f"{where}.")


def _read_again(profile: Profile, data: bytes) -> Iterator[Outcome]:
    return convert(profile, data)


_READ_AGAIN: dict[str, Callable[[Profile, bytes], Iterator[Outcome]]] = {
    "csv": _read_again,
    **dict.fromkeys(READERS, tree_map.read_written),
}
