"""The member directory: who takes part, with which keys. A decision object without I/O.

- Signed by two different agencies, by keys of the directory pinned before it, so that the centre alone can substitute none.
- The serial rises by one and names its predecessor's digest: no rollback, no gap, no second history.
- A member and a signing key, once in, stay in: suspended or revoked, never gone, never unrevoked, never stretched.
- Keys of small order and keys in another than their canonical encoding are refused here, once, for all later uses; so is
  one key under two names, which would count twice.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256

from google.protobuf.message import DecodeError
from nacl.bindings import crypto_core_ed25519_is_valid_point, crypto_scalarmult
from nacl.exceptions import RuntimeError as SodiumError

from audit.checkpoint import LOG_KEY_TYPE, WITNESS_KEY_TYPE, Verifier
from audit.errors import AuditError
from bus import documents, limits
from bus.sealing.batch import key_id, signature_holds
from bus.sealing.envelope import strict
from bus.sealing.errors import EnvelopeRefused
from schemas.v1 import federation_pb2

DOMAIN = "directory"
DOCUMENT_BYTES_MAX = 1024 * 1024
MEMBERS_MAX = 4096
KEYS_MAX = 16
_TYPE_PREFIX = "AGENCY_TYPE_"
_AGENCY = re.compile(r"(?=.{1,32}\Z)[a-z][a-z0-9]*(-[a-z0-9]+)*\Z")


class DirectoryRefused(Exception):
    """A directory that is not the pinned one's proper successor, or holds a key that may not be used."""

    def __init__(self, cause: str, *, code: str, cure: str) -> None:
        super().__init__(cause)
        self.cause = cause
        self.code = code
        self.cure = cure


@dataclass(frozen=True)
class Prekey:
    """An agency's HPKE key."""

    key_id: bytes
    public_key: bytes


@dataclass(frozen=True)
class _Validity:
    """A signing key and when it holds."""

    public_key: bytes
    not_before_ms: int
    not_after_ms: int
    revoked: bool


class Directory:
    """A directory that holds. Make one with `Directory.load`."""

    def __init__(self, body: federation_pb2.DirectoryBody, digest: bytes) -> None:
        self._body = body
        self._members = {member.agency: member for member in body.members}
        self._keys = {
            (member.agency, bytes(key.key_id)): _Validity(
                bytes(key.public_key), key.not_before_ms, key.not_after_ms, key.revoked
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

        Without a pinned one this is the enrolment: the document came by hand, and two of its own members must have
        signed it.
        """
        outer, body = _parse(document)
        made = cls(body, sha256(outer.body).digest())
        keys = (pinned or made).document_keys(body.issued_at_ms)
        signed = documents.signers(DOMAIN, outer.body, outer.signatures, keys)
        if len(signed) < documents.SIGNERS_NEEDED:
            raise _refused(f"{len(signed)} of {documents.SIGNERS_NEEDED} agencies have signed it", "SIGNATURES")
        if pinned is not None:
            _check_succession(pinned, body)
        if body.issued_at_ms > now_ms + limits.CLOCK_SKEW_MS_MAX:
            raise _refused("the directory was issued in the future", "NOT-YET")
        if body.expires_at_ms < now_ms:
            raise _refused("the directory has expired", "EXPIRED")
        _check_members(body)
        return made

    @classmethod
    def pinned(cls, document: bytes) -> "Directory":
        """Return the directory of a document that was loaded before and kept where nobody else writes."""
        outer, body = _parse(document)
        return cls(body, sha256(outer.body).digest())

    @classmethod
    def again(cls, document: bytes, now_ms: int) -> "Directory":
        """Return the directory that was pinned before a restart. DirectoryRefused once it has expired."""
        directory = cls.pinned(document)
        if directory.expires_at_ms < now_ms:
            raise _refused("the directory has expired", "EXPIRED")
        return directory

    @property
    def previous_sha256(self) -> bytes:
        """The digest of the body that this one follows; empty in the first."""
        return bytes(self._body.previous_sha256)

    def is_document(self, document: bytes) -> bool:
        """Say whether these bytes are this very directory."""
        return body_digest(document) == self.sha256

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

    def signing_key(self, agency: str, wanted: bytes, at_ms: int) -> bytes | None:
        """Return the agency's signing key of that id if it was valid at that moment and is not revoked."""
        key = self._keys.get((agency, wanted))
        holds = key is not None and not key.revoked and key.not_before_ms <= at_ms <= key.not_after_ms
        return key.public_key if key is not None and holds else None

    def signing_key_ever(self, agency: str, wanted: bytes, at_ms: int) -> bytes | None:
        """Return the agency's signing key of that id if it was valid at that moment, even if it was revoked since."""
        key = self._keys.get((agency, wanted))
        return key.public_key if key is not None and key.not_before_ms <= at_ms <= key.not_after_ms else None

    def prekey(self, agency: str, at_ms: int) -> Prekey | None:
        """Return the agency's newest HPKE key valid at that moment; None for a stranger."""
        member = self._members.get(agency)
        prekeys = member.prekeys if member is not None else ()
        valid = [key for key in prekeys if key.not_before_ms <= at_ms <= key.not_after_ms]
        if not valid:
            return None
        newest = max(valid, key=lambda key: key.not_before_ms)
        return Prekey(bytes(newest.key_id), bytes(newest.public_key))

    def document_keys(self, at_ms: int | None = None) -> Mapping[str, Mapping[bytes, bytes]]:
        """Return the keys with which active members sign documents: {agency: {key id: public key}}.

        With a moment: only those valid then.
        """
        return {
            agency: {
                bytes(key.key_id): bytes(key.public_key)
                for key in member.signing_keys
                if not key.revoked and (at_ms is None or key.not_before_ms <= at_ms <= key.not_after_ms)
            }
            for agency, member in self._members.items()
            if member.status == federation_pb2.MEMBER_STATUS_ACTIVE
        }

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


def prekey_signed_bytes(agency: str, public_key: bytes, not_before_ms: int, not_after_ms: int) -> bytes:
    """Return what an agency signs for a prekey."""
    return (
        b"lianfang/1 prekey\x00"
        + agency.encode()
        + b"\x00"
        + public_key
        + not_before_ms.to_bytes(8, "big")
        + not_after_ms.to_bytes(8, "big")
    )


def _parse(document: bytes) -> tuple[federation_pb2.Directory, federation_pb2.DirectoryBody]:
    try:
        outer = strict(federation_pb2.Directory, document, DOCUMENT_BYTES_MAX)
        return outer, strict(federation_pb2.DirectoryBody, outer.body, DOCUMENT_BYTES_MAX)
    except EnvelopeRefused as error:
        raise _refused(f"the directory is not in form: {error.cause}", "FORM") from None


def _check_succession(pinned: Directory, body: federation_pb2.DirectoryBody) -> None:
    if body.serial != pinned.serial + 1 or body.previous_sha256 != pinned.sha256:
        raise _refused(f"serial {body.serial} does not follow the pinned {pinned.serial}", "SUCCESSION")
    members = {member.agency: member for member in body.members}
    for agency in pinned.agencies():
        after = members.get(agency)
        if after is None or after.type != pinned.member(agency).type:
            raise _refused(f"{agency} is gone or has become another kind of agency", "SUCCESSION")
        keys = {key.key_id: key for key in after.signing_keys}
        for before in pinned.member(agency).signing_keys:
            if not _may_follow(before, keys.get(before.key_id)):
                raise _refused(f"a signing key of {agency} is gone, unrevoked or stretched", "SUCCESSION")


def _may_follow(before: federation_pb2.SigningKey, after: federation_pb2.SigningKey | None) -> bool:
    return (
        after is not None
        and after.not_before_ms == before.not_before_ms
        and after.not_after_ms <= before.not_after_ms
        and (after.revoked or not before.revoked)
    )


def _check_members(body: federation_pb2.DirectoryBody) -> None:
    names = [member.agency for member in body.members]
    if not 0 < len(names) <= MEMBERS_MAX or names != sorted(set(names)):
        raise _refused("the members are not in ascending order", "FORM")
    for member in body.members:
        if _AGENCY.match(member.agency) is None or max(len(member.signing_keys), len(member.prekeys)) > KEYS_MAX:
            raise _refused("a member's id or number of keys is not in form", "FORM")
        _check_keys(member)
        _check_log_keys(member)
    if not _all_different(_public_keys(body)):
        raise _refused("one key stands in two places", "SHARED-KEY")


def _check_keys(member: federation_pb2.Member) -> None:
    for key in member.signing_keys:
        # libsodium's check covers canonical encoding, small order and the prime-order subgroup.
        if key.key_id != key_id(key.public_key) or not _is_sound_signing_key(key.public_key):
            raise _refused(f"{member.agency} has a signing key that may not be used", "WEAK-KEY")
    for prekey in member.prekeys:
        if prekey.key_id != key_id(prekey.public_key) or not _is_sound_prekey(prekey.public_key):
            raise _refused(f"{member.agency} has a prekey that may not be used", "WEAK-KEY")
        if min(prekey.not_before_ms, prekey.not_after_ms) < 0:
            raise _refused(f"{member.agency} has a prekey from before time", "FORM")
        signed = prekey_signed_bytes(member.agency, prekey.public_key, prekey.not_before_ms, prekey.not_after_ms)
        if not any(
            signature_holds(key.public_key, signed, prekey.signature) for key in member.signing_keys if not key.revoked
        ):
            raise _refused(f"{member.agency} did not sign a prekey given as its own", "PREKEY")


def _check_log_keys(member: federation_pb2.Member) -> None:
    try:
        log, witness = Verifier.parse(member.log_vkey), Verifier.parse(member.witness_vkey)
    except AuditError:
        raise _refused(f"{member.agency} has a log or witness key that does not parse", "FORM") from None
    sound = _is_sound_signing_key(log.public_key) and _is_sound_signing_key(witness.public_key)
    if (log.key_type, witness.key_type) != (LOG_KEY_TYPE, WITNESS_KEY_TYPE) or not sound:
        raise _refused(f"{member.agency} has a log or witness key that may not be used", "WEAK-KEY")
    if (log.name, witness.name) != (log_origin(member.agency), witness_name(member.agency)):
        raise _refused(f"{member.agency} has a log or witness key of another name", "FORM")


def log_origin(agency: str) -> str:
    """Return the name of an agency's log, the first line of its checkpoints."""
    return f"lianfang/audit/{agency}"


def witness_name(agency: str) -> str:
    """Return the name under which an agency cosigns."""
    return f"lianfang/witness/{agency}"


def _public_keys(body: federation_pb2.DirectoryBody) -> Iterable[bytes]:
    for member in body.members:
        yield from (bytes(key.public_key) for key in member.signing_keys)
        yield from (bytes(key.public_key) for key in member.prekeys)
        yield Verifier.parse(member.log_vkey).public_key
        yield Verifier.parse(member.witness_vkey).public_key


def _all_different(keys: Iterable[bytes]) -> bool:
    listed = list(keys)
    return len(listed) == len(set(listed))


def _is_sound_signing_key(public_key: bytes) -> bool:
    return len(public_key) == 32 and crypto_core_ed25519_is_valid_point(public_key)  # noqa: PLR2004 - Ed25519


def _is_sound_prekey(public_key: bytes) -> bool:
    # A small-order X25519 point gives the all-zero secret for every scalar, which libsodium refuses (RFC 7748 section 6.1).
    if len(public_key) != 32 or int.from_bytes(public_key, "little") >= 2**255 - 19:  # noqa: PLR2004 - X25519
        return False
    try:
        crypto_scalarmult(b"\x08" + b"\x00" * 30 + b"\x40", public_key)
    except SodiumError:
        return False
    return True


def _refused(cause: str, code: str) -> DirectoryRefused:
    return DirectoryRefused(
        cause,
        code=f"LF-DIRECTORY-{code}",
        cure="the pinned directory stays in force; ask the co-ordinating centre and the auditor what happened",
    )
