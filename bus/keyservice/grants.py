"""Grants that others gave us and that we gave: taken in once, verified; then the boxes that their keys open.

What was taken in is remembered, parsed and with its keys, so that a message costs no database read.
"""

from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType
from typing import NamedTuple

from google.protobuf.message import Message

from bus import limits
from bus.directory import Directory
from bus.keyservice.prekeys import Prekeys
from bus.keyservice.vault import Vault
from bus.sealing import boxes, split
from bus.sealing.envelope import ParsedEnvelope
from bus.sealing.errors import EnvelopeRefused, GrantRefused, cannot_open
from bus.sealing.signatures import all_hold, keys_of
from bus.subject_fields import subjects_of
from schemas import registry

_REMEMBERED_MAX = 512
GRANT_UNKNOWN = "LF-IN-GRANT-UNKNOWN"
_NOT_TOGETHER = {
    "LF-SEAL-GRANT-SUITE": "the message is of another suite than its grant",
    "LF-SEAL-GRANT-TYPE": "the grant is for another type of message",
    "LF-SEAL-GRANT-EPOCH": "the message was sent outside the hour of its grant",
    "LF-SEAL-GRANT-OTHER": "the message was not sealed under this grant",
}
SUITE_NOT_ALLOWED = "LF-SEAL-SUITE-NOT-ALLOWED"


@dataclass(frozen=True)
class Admission:
    """What grants and messages are taken in by: the directory, the suites that policy allows, and the moment."""

    directory: Directory
    suites: Collection[int]
    now_ms: int


@dataclass(frozen=True)
class Held:
    """A grant that we hold: the keys that it gave us, and the classes of each of its compartments."""

    grant: boxes.Grant
    keys: Mapping[int, bytes]
    classes: Mapping[int, tuple[str, ...]]
    numbers: Mapping[tuple[str, ...], int]

    def place(self, parsed: ParsedEnvelope) -> boxes.Place:
        """Return what a message's boxes are bound to."""
        header = parsed.header
        return boxes.Place(parsed.header_bytes, parsed.public_body, header.salt, header.sequence, self.grant.suite)


class Contents(NamedTuple):
    """What we can read of a message: the plaintext of each compartment that is ours, and the classes withheld from us."""

    type_name: str
    plains: Mapping[tuple[str, ...], bytes]
    withheld: tuple[str, ...]
    numbers: Mapping[tuple[str, ...], int] = MappingProxyType({})

    def carried(self) -> list[set[str]]:
        """Return the classes of which something is set, compartment by compartment, in the order of `plains`."""
        body = registry.body_type(self.type_name)
        return [set(split.classes_present(body.FromString(plain))) for plain in self.plains.values()]

    def number_of(self, wanted: Collection[str]) -> int:
        """Return the number of the compartment that holds these classes and no other; 0 where none does."""
        for classes, held in zip(self.plains, self.carried(), strict=True):
            if held and held == set(wanted):
                return self.numbers[classes]
        return 0

    def message(self) -> Message:
        """Return the message as far as we can read it; what is withheld, and what is public, is absent."""
        return split.join(registry.body_type(self.type_name), b"", self.plains)

    def fragments(self, wanted: Collection[str]) -> dict[str, bytes]:
        """Return {class: fragment} of the wanted classes that the message carries for us.

        By the classes that fields have here: in a message of an older release one may stand in a lower class's compartment.
        """
        found = {
            name: b"".join(split.fragment(self.type_name, (name,), plain) for plain in self.plains.values())
            for name in wanted
        }
        return {name: data for name, data in found.items() if data}


class Grants:
    """The grants of one agency."""

    def __init__(self, agency: str, vault: Vault, prekeys: Prekeys) -> None:
        self._agency = agency
        self._vault = vault
        self._prekeys = prekeys
        self._remembered: OrderedDict[bytes, Held] = OrderedDict()

    def held(self, grant_id: bytes) -> Held | None:
        """Return a grant that we hold, or None."""
        found = self._remembered.get(grant_id)
        if found is not None:
            self._remembered.move_to_end(grant_id)
            return found
        document = self._vault.grant(grant_id) if grant_id else None
        if document is None:
            return None
        grant = boxes.parse_grant(document)
        keys = {item.compartment: self._vault.class_key(grant_id, item.compartment) for item in grant.body.compartments}
        return self._remember(grant, {number: key for number, key in keys.items() if key is not None})

    def _remember(self, grant: boxes.Grant, keys: Mapping[int, bytes]) -> Held:
        classes = {item.compartment: boxes.classes_of(grant, item.compartment) for item in grant.body.compartments}
        held = self._remembered[grant.grant_id] = Held(
            grant, keys, classes, {names: number for number, names in classes.items()}
        )
        if len(self._remembered) > _REMEMBERED_MAX:
            self._remembered.popitem(last=False)
        return held

    def accept(self, document: bytes, by: Admission) -> bytes:
        """Take in a grant and return its id.

        GrantRefused unless it is of an allowed suite, for a time that has come, and its sender signed it, for us, with the
        keys it commits to.
        """
        grant = boxes.parse_grant(document)
        if grant.body.suite not in by.suites:
            raise GrantRefused("the grant is for a suite that policy does not allow", code=SUITE_NOT_ALLOWED)
        if self.held(grant.grant_id) is not None:
            return grant.grant_id
        body = grant.body
        if self._agency not in body.recipients:
            raise GrantRefused("the grant is not for this agency", code="LF-SEAL-GRANT-NOT-OURS")
        if body.not_after_ms - body.not_before_ms > boxes.EPOCH_MS_MAX:
            raise GrantRefused("the grant is for longer than class keys may be used", code="LF-SEAL-GRANT-LONG")
        if body.not_before_ms > by.now_ms + limits.CLOCK_SKEW_MS_MAX:
            raise GrantRefused("the grant's hour has not come", code="LF-SEAL-GRANT-NOT-YET")
        if not by.directory.is_active(body.sender):
            raise GrantRefused("the grant's sender does not take part", code="LF-SEAL-SENDER-SUSPENDED")
        self._refuse_revoked(grant, by.directory)
        key = by.directory.signing_key(body.sender, body.sender_key_id, body.not_before_ms)
        if key is None:
            raise GrantRefused(
                "the key that signed the grant is not in the member directory", code="LF-SEAL-GRANT-UNKNOWN-KEY"
            )
        if not all_hold(
            grant.suite,
            keys_of(grant.suite, by.directory.member(body.sender), body.sender_key_id, key),
            boxes.grant_signed_bytes(grant.body_bytes, grant.wraps, grant.suite),
            grant.signatures,
        ):
            raise GrantRefused("the grant is not its sender's", code="LF-SEAL-GRANT-SIGNATURE")
        keys = self._unwrap(grant)
        self._vault.keep_grant(grant.grant_id, b"", document, body.not_after_ms, keys)
        self._remember(grant, keys)
        return grant.grant_id

    def _refuse_revoked(self, grant: boxes.Grant, directory: Directory) -> None:
        """Nothing comes in under a grant that a revoked key has signed or that is wrapped to one. What came before stays."""
        body, (wrap_key_id, _) = grant.body, grant.wraps.get(self._agency, (b"", b""))
        if directory.is_revoked(body.sender, bytes(body.sender_key_id)) or directory.is_revoked(
            self._agency, bytes(wrap_key_id)
        ):
            raise GrantRefused("the grant names a key that was revoked", code="LF-SEAL-GRANT-REVOKED")

    def _unwrap(self, grant: boxes.Grant) -> dict[int, bytes]:
        if self._agency not in grant.wraps:
            return {}  # a recipient for whom nothing is sealed
        wrap_key_id, sealed = grant.wraps[self._agency]
        private_key = self._prekeys.private(bytes(wrap_key_id), x_wing=grant.suite.wraps_with_x_wing)
        return boxes.unwrap(sealed, self._agency, private_key, grant)

    def admit(self, parsed: ParsedEnvelope, by: Admission) -> str:
        """Take in a message's inline grant, and see that the message was sealed under its grant and opens.

        Returns "" or, where its grant is not here, LF-IN-GRANT-UNKNOWN. SealingError when it will never open.
        """
        if parsed.header.suite not in by.suites:
            raise EnvelopeRefused(
                "the message is sealed under a suite that policy does not allow", code=SUITE_NOT_ALLOWED
            )
        wanted = parsed.header.grant_id
        held = self._remembered.get(wanted)
        is_known = held is not None and held.grant.document == parsed.inline_grant  # the very bytes taken in before
        if parsed.inline_grant and not is_known and self.accept(parsed.inline_grant, by) != wanted:
            raise GrantRefused("the message carries another grant than its own", code="LF-SEAL-GRANT-OTHER")
        found = self.held(wanted)
        if wanted and found is None:
            return GRANT_UNKNOWN
        if found is not None:
            self._refuse_revoked(found.grant, by.directory)
        self.open(parsed)
        return ""

    def open(self, parsed: ParsedEnvelope) -> Contents:
        """Open every box that we hold the key of.

        SealingError when message and grant do not belong together, a box does not open, or it names more subjects than the
        entry of its opening could; nothing at all where the grant is not here.
        """
        header = parsed.header
        held = self.held(header.grant_id)
        if held is None:
            return Contents(header.type, {}, ())
        apart = boxes.why_not(header, held.grant)
        if apart:
            raise GrantRefused(_NOT_TOGETHER[apart], code=apart)
        if len(parsed.boxes) != len(held.classes):
            raise EnvelopeRefused("the message has not the compartments of its grant", code="LF-SEAL-COMPARTMENT")
        place = held.place(parsed)
        plains: dict[tuple[str, ...], bytes] = {}
        withheld: list[str] = []
        for number, ciphertext in parsed.boxes:
            classes, key = held.classes[number], held.keys.get(number)
            if key is None:
                withheld += classes
                continue
            plains[classes] = boxes.open_box(key, number, place, ciphertext)
            if not split.is_canonical(header.type, classes, plains[classes], header.class_plan):
                raise cannot_open()  # a field outside its classes, or one that could be read in two ways
        contents = Contents(header.type, plains, tuple(withheld), held.numbers)
        if next(islice(subjects_of(contents.message()), limits.SUBJECTS_MAX, None), None) is not None:
            raise EnvelopeRefused("it names more subjects than a log entry holds", code="LF-SEAL-SUBJECTS")
        return contents
