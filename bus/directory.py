"""The member directory: who takes part, with which keys. A decision object without I/O.

- Signed by a quorum of the registrars that its predecessor names, by keys of that predecessor (bus/directory_rules.py):
  the centre alone can substitute no key, members that are no registrars none at all.
- Between two directories each agency says for itself which prekeys it has and which keys it has revoked
  (bus/key_notices.py); what a directory answers takes that into account.
- Once its time is over it is good for one thing: its registrars sign the next one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256

from google.protobuf.message import DecodeError

from bus import directory_rules as rules
from bus import documents, limits
from bus.directory_rules import DirectoryRefused as DirectoryRefused  # noqa: PLC0414 - who loads one catches this
from bus.directory_rules import log_origin as log_origin  # noqa: PLC0414 - the names of a member's keys
from bus.directory_rules import prekey_signed_bytes as prekey_signed_bytes  # noqa: PLC0414 - likewise
from bus.directory_rules import refused
from bus.directory_rules import witness_name as witness_name  # noqa: PLC0414 - likewise
from bus.sealing.batch import signature_holds
from schemas.v1 import federation_pb2

DOMAIN = "directory"
_TYPE_PREFIX = "AGENCY_TYPE_"


@dataclass(frozen=True)
class Prekey:
    """What grants for an agency are sealed to: its X25519 key and, where it takes part in suite 2, its X-Wing key."""

    key_id: bytes
    public_key: bytes
    x_wing: bytes = b""


@dataclass(frozen=True)
class Notice:
    """What an agency said of its own keys after the directory: its prekeys, and the keys that it has revoked."""

    agency: str
    issued_at_ms: int
    prekeys: tuple[federation_pb2.Prekey, ...] = ()
    revoked: frozenset[bytes] = field(default=frozenset())


@dataclass(frozen=True)
class _Validity:
    """A signing key and when it holds."""

    public_key: bytes
    not_before_ms: int
    not_after_ms: int
    revoked: bool

    def holds(self, at_ms: int) -> bool:
        return not self.revoked and self.not_before_ms <= at_ms <= self.not_after_ms


class Directory:
    """A directory that holds. Make one with `Directory.load`."""

    def __init__(
        self, body: federation_pb2.DirectoryBody, digest: bytes, notices: Mapping[str, Notice] | None = None
    ) -> None:
        self._body = body
        self._notices = dict(notices or {})
        self._members = {member.agency: member for member in body.members}
        self._keys = {
            (member.agency, bytes(key.key_id)): _Validity(
                bytes(key.public_key),
                key.not_before_ms,
                key.not_after_ms,
                key.revoked or self.has_revoked(member.agency, bytes(key.key_id)),
            )
            for member in body.members
            for key in member.signing_keys
        }
        self._active = frozenset(
            member.agency for member in body.members if member.status == federation_pb2.MEMBER_STATUS_ACTIVE
        )
        self.serial = int(body.serial)
        self.sha256 = digest
        self.expires_at_ms = int(body.expires_at_ms)

    @classmethod
    def load(cls, document: bytes, *, pinned: "Directory | None", now_ms: int) -> "Directory":
        """Return the directory if it may follow the pinned one. DirectoryRefused otherwise.

        Without a pinned one this is the enrolment: the document came by hand, and a quorum of its own registrars must have
        signed it. A successor may be over its time: whoever was away needs it as the step to its own successor.
        """
        outer, body = rules.parse(document)
        made = cls(body, sha256(outer.body).digest(), pinned.notices if pinned is not None else None)
        judge = pinned or made
        rules.check_registrars(body)
        keys = judge.document_keys(body.issued_at_ms)
        signed = documents.signers(DOMAIN, outer.body, outer.signatures, keys)
        rules.check_quorum(judge.body, signed)
        rules.check_members(body)
        if pinned is not None:
            rules.check_succession(rules.Pin(pinned.body, pinned.sha256, keys), body, signed)
        if body.issued_at_ms > now_ms + limits.CLOCK_SKEW_MS_MAX:
            raise refused("the directory was issued in the future", "NOT-YET")
        if pinned is None and body.expires_at_ms < now_ms:
            raise refused("the directory has expired", "EXPIRED")
        return made

    @classmethod
    def pinned(cls, document: bytes) -> "Directory":
        """Return the directory of a document that was loaded before and kept where nobody else writes."""
        outer, body = rules.parse(document)
        return cls(body, sha256(outer.body).digest())

    def with_notices(self, notices: Mapping[str, Notice]) -> "Directory":
        """Return this directory with what its members have said of their keys since."""
        return Directory(self._body, self.sha256, notices)

    @property
    def notices(self) -> Mapping[str, Notice]:
        """The notices taken into account, by agency."""
        return self._notices

    @property
    def body(self) -> federation_pb2.DirectoryBody:
        """The signed part, to be read only."""
        return self._body

    @property
    def previous_sha256(self) -> bytes:
        """The digest of the body that this one follows; empty in the first."""
        return bytes(self._body.previous_sha256)

    @cached_property
    def state_sha256(self) -> bytes:
        """A digest that changes with the directory and with each key revoked since: what grants are made for."""
        revoked = sorted((agency, key_id) for agency, notice in self._notices.items() for key_id in notice.revoked)
        if not revoked:
            return self.sha256
        digest = sha256(self.sha256)
        for agency, key_id in revoked:
            digest.update(agency.encode() + b"\x00" + key_id)
        return digest.digest()

    def is_document(self, document: bytes) -> bool:
        """Say whether these bytes are this very directory."""
        return body_digest(document) == self.sha256

    def is_over(self, at_ms: int) -> bool:
        """Say whether the directory's time is over: then nothing is believed from it but its registrars for the next."""
        return self.expires_at_ms < at_ms

    def agencies(self) -> tuple[str, ...]:
        """Return the agencies, ascending."""
        return tuple(sorted(self._members))

    def member(self, agency: str) -> federation_pb2.Member:
        """Return a member. KeyError when there is none."""
        return self._members[agency]

    def agency_type(self, agency: str) -> str:
        """Return police, bank, payment, telecom, platform, centre or auditor; KeyError for a stranger."""
        return federation_pb2.AgencyType.Name(self._members[agency].type).removeprefix(_TYPE_PREFIX).lower()

    def is_active(self, agency: str) -> bool:
        """Say whether the agency takes part."""
        return agency in self._active

    def has_revoked(self, agency: str, wanted: bytes) -> bool:
        """Say whether the agency has revoked its key of that id since the directory was made."""
        notice = self._notices.get(agency)
        return notice is not None and wanted in notice.revoked

    def is_revoked(self, agency: str, wanted: bytes) -> bool:
        """Say whether a key of that agency, signing key or prekey, is revoked, here or since."""
        key = self._keys.get((agency, wanted))
        return self.has_revoked(agency, wanted) or (key is not None and key.revoked)

    def signing_key(self, agency: str, wanted: bytes, at_ms: int) -> bytes | None:
        """Return the agency's signing key of that id if it was valid at that moment and is not revoked."""
        key = self._keys.get((agency, wanted))
        return key.public_key if key is not None and key.holds(at_ms) else None

    def signing_key_ever(self, agency: str, wanted: bytes, at_ms: int) -> bytes | None:
        """Return the agency's signing key of that id if it was valid at that moment, even if it was revoked since."""
        key = self._keys.get((agency, wanted))
        return key.public_key if key is not None and key.not_before_ms <= at_ms <= key.not_after_ms else None

    def prekey(self, agency: str, at_ms: int) -> Prekey | None:
        """Return the agency's newest prekey valid at that moment; None for a stranger, or where none is valid.

        Those of its own notice go before those of the directory. One that is revoked is none, nor is one whose signer is
        revoked or over its time.
        """
        member, notice = self._members.get(agency), self._notices.get(agency)
        for prekeys in (notice.prekeys if notice is not None else (), member.prekeys if member is not None else ()):
            valid = [key for key in prekeys if self._serves(agency, key, at_ms)]
            if valid:
                newest = max(valid, key=lambda key: key.not_before_ms)
                return Prekey(bytes(newest.key_id), bytes(newest.public_key), bytes(newest.x_wing))
        return None

    def _serves(self, agency: str, key: federation_pb2.Prekey, at_ms: int) -> bool:
        if not key.not_before_ms <= at_ms <= key.not_after_ms or self.has_revoked(agency, bytes(key.key_id)):
            return False
        signed = rules.signed_bytes_of(agency, key)
        signers = (self._keys[agency, bytes(item.key_id)] for item in self._members[agency].signing_keys)
        return any(held.holds(at_ms) and signature_holds(held.public_key, signed, key.signature) for held in signers)

    def document_keys(self, at_ms: int | None = None) -> Mapping[str, Mapping[bytes, bytes]]:
        """Return the keys with which active members sign: {agency: {key id: public key}}.

        With a moment: only those valid then.
        """
        found: dict[str, dict[bytes, bytes]] = {}
        for (agency, wanted), key in self._keys.items():
            if agency in self._active and not key.revoked and (at_ms is None or key.holds(at_ms)):
                found.setdefault(agency, {})[wanted] = key.public_key
        return found

    def registrar_keys(self) -> Mapping[str, Mapping[bytes, bytes]]:
        """Return the keys of those who sign what binds all: {agency: {key id: public key}} of the active registrars."""
        registrars = rules.registrars(self._body)
        return {agency: keys for agency, keys in self.document_keys().items() if agency in registrars}

    def document_keys_ever(self) -> Mapping[str, Mapping[bytes, bytes]]:
        """Return the keys with which members have signed documents, also those revoked and of those suspended since."""
        return {
            agency: {bytes(key.key_id): bytes(key.public_key) for key in member.signing_keys}
            for agency, member in self._members.items()
        }


def body_digest(document: bytes) -> bytes:
    """Return the SHA-256 of a directory's signed part; empty for what is no directory."""
    try:
        return sha256(federation_pb2.Directory.FromString(document).body).digest()
    except DecodeError:
        return b""
