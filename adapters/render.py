"""A shared message becomes a local record, for the agency's own system.

Every field of the message that the dialect cannot carry is named in `loss`: nothing is dropped in silence.
"""

from collections.abc import Callable, Mapping

from google.protobuf.message import Message

from adapters import write_table, write_tree
from adapters.errors import FileRefused
from adapters.model import Rendered
from adapters.profile import Profile
from adapters.readers import READERS

Writer = Callable[[Profile, Message, Mapping[str, str]], Rendered]
_WRITERS: dict[str, Writer] = {
    "csv": write_table.write,
    **{name: write_tree.write for name, form in READERS.items() if form.write is not None},
}


def render(profile: Profile, message: Message, context: Mapping[str, str]) -> Rendered:
    """Write one message in a dialect. `context` has message_id (hex), sender and agency.

    FileRefused when the dialect has no record for this message.
    """
    return writer_of(profile)(profile, message, context)


def writer_of(profile: Profile) -> Writer:
    """Return what writes a dialect. FileRefused, before anything is read, where it is only read."""
    writer = _WRITERS.get(profile.file.source.format)
    if writer is None or profile.file.writing is None:
        raise FileRefused(
            f"the dialect {profile.name} is only read, never written",
            cure="name a profile that writes for this agency's local system; `lianfang map list` says which do",
            code="LF-RENDER-READ-ONLY",
        )
    return writer
