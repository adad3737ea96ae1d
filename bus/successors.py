"""What is believed once the member directory's time is over: its registrars, for the next directory, and nothing else.

Then no sender can be verified, so nothing that arrives is taken; the broker keeps it. A directory is its own proof: it is
looked for in what arrives, whoever brought it, and taken if the one that is over names its signers. All else is then looked
at by the new one. What is no proper successor stays where it is and is refused, on record, once there is a directory again.
"""

from collections.abc import Iterator, Sequence

from bus.directory import Directory, DirectoryRefused
from bus.errors import Refused, Retry
from bus.parts import Parts
from bus.pinned import Pinned
from bus.sealing.envelope import parse_header
from bus.sealing.errors import SealingError
from bus.transport import Delivery
from schemas import registry

_DIRECTORY = registry.short_name("lianfang.v1.Directory")


def take_successors(parts: Parts, pinned: Pinned, deliveries: Sequence[Delivery]) -> bool:
    """Take the directories among these that follow one that is over, in order; say whether one is in force now."""
    waiting = list(_documents(deliveries))
    while parts.directory.is_over(parts.clock.now_ms()):
        following = next((document for document in waiting if _follows(parts, document)), None)
        if following is None:
            return False
        try:
            pinned.take_directory(following)
        except (Refused, Retry):
            return False
    return True


def _documents(deliveries: Sequence[Delivery]) -> Iterator[bytes]:
    for delivery in deliveries:
        if delivery.type_short == _DIRECTORY and not delivery.fault:
            try:
                yield parse_header(delivery.body).public_body
            except SealingError:
                continue


def _follows(parts: Parts, document: bytes) -> bool:
    try:
        Directory.load(document, pinned=parts.directory, now_ms=parts.clock.now_ms())
    except DirectoryRefused:
        return False
    return True
