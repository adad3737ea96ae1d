"""The member directory: who takes part, with which keys. A decision object without I/O.

- Signed by two different agencies, by keys of the directory pinned before it, so that the centre alone can substitute none.
- The serial rises by one and names its predecessor's digest: no rollback, no gap, no second history.
- Keys of small order and keys in another than their canonical encoding are refused here, once, for all later uses.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from google.protobuf.message import DecodeError
from nacl.bindings import crypto_core_ed25519_is_valid_point, crypto_scalarmult
from nacl.exceptions import RuntimeError as SodiumError

from audit.checkpoint import LOG_KEY_TYPE, WITNESS_KEY_TYPE, Verifier
from audit.errors import AuditError
from bus import documents
from bus.sealing.batch import key_id, signature_holds
from schemas.v1 import federation_pb2

DOMAIN = "directory"
_TYPE_PREFIX = "AGENCY_TYPE_"


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


class Directory:
    """A directory that holds. Make one with `Directory.load`."""

    def __init__(self, body: federation_pb2.DirectoryBody, digest: bytes) -> None:
        self._members = {member.agency: member for member in body.members}
        self.serial = int(body.serial)
        self.sha256 = digest
        self.expires_at_ms = int(body.expires_at_ms)

    @classmethod
    def load(cls, document: bytes, *, pinned: "Directory | None", now_ms: int) -> "Directory":
        """Return the directory if it may follow the pinned one. DirectoryRefused otherwise.

        Without a pinned one this is the enrolment: the document came by hand, and two of its own members must have
        signed it.
        """
        try:
            outer = federation_pb2.Directory.FromString(document)
            body = federation_pb2.DirectoryBody.FromString(outer.body)
        except DecodeError:
            raise _refused("the directory does not parse", "FORM") from None
        made = cls(body, sha256(outer.body).digest())
        _check_members(body)
        if pinned is not None:
            if body.serial != pinned.serial + 1 or body.previous_sha256 != pinned.sha256:
                raise _refused(f"serial {body.serial} does not follow the pinned {pinned.serial}", "SUCCESSION")
        if body.expires_at_ms < now_ms:
            raise _refused("the directory has expired", "EXPIRED")
        signed = documents.signers(DOMAIN, outer.body, outer.signatures, (pinned or made).document_keys())
        if len(signed) < documents.SIGNERS_NEEDED:
            raise _refused(f"{len(signed)} of {documents.SIGNERS_NEEDED} agencies have signed it", "SIGNATURES")
        return made

    def is_document(self, document: bytes) -> bool:
        """Say whether these bytes are this very directory."""
        try:
            outer = federation_pb2.Directory.FromString(document)
        except DecodeError:
            return False
        return sha256(outer.body).digest() == self.sha256

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
        member = self._members.get(agency)
        return member is not None and member.status == federation_pb2.MEMBER_STATUS_ACTIVE

    def signing_key(self, agency: str, wanted: bytes, at_ms: int) -> bytes | None:
        """Return the agency's signing key of that id if it was valid at that moment and is not revoked."""
        member = self._members.get(agency)
        for key in member.signing_keys if member is not None else ():
            if key.key_id == wanted and not key.revoked and key.not_before_ms <= at_ms <= key.not_after_ms:
                return bytes(key.public_key)
        return None

    def prekey(self, agency: str, at_ms: int) -> Prekey | None:
        """Return the agency's newest HPKE key valid at that moment."""
        valid = [key for key in self._members[agency].prekeys if key.not_before_ms <= at_ms <= key.not_after_ms]
        if not valid:
            return None
        newest = max(valid, key=lambda key: key.not_before_ms)
        return Prekey(bytes(newest.key_id), bytes(newest.public_key))

    def document_keys(self) -> Mapping[str, Mapping[bytes, bytes]]:
        """Return the keys with which members sign documents: {agency: {key id: public key}}."""
        return {
            agency: {bytes(key.key_id): bytes(key.public_key) for key in member.signing_keys if not key.revoked}
            for agency, member in self._members.items()
            if member.status == federation_pb2.MEMBER_STATUS_ACTIVE
        }


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


def _check_members(body: federation_pb2.DirectoryBody) -> None:
    names = [member.agency for member in body.members]
    if names != sorted(set(names)) or not names:
        raise _refused("the members are not in ascending order", "FORM")
    for member in body.members:
        signing = {}
        for key in member.signing_keys:
            # libsodium's check covers canonical encoding, small order and the prime-order subgroup.
            if key.key_id != key_id(key.public_key) or not _is_sound_signing_key(key.public_key):
                raise _refused(f"{member.agency} has a signing key that may not be used", "WEAK-KEY")
            signing[bytes(key.key_id)] = bytes(key.public_key)
        for prekey in member.prekeys:
            signed = prekey_signed_bytes(member.agency, prekey.public_key, prekey.not_before_ms, prekey.not_after_ms)
            if not any(signature_holds(key, signed, prekey.signature) for key in signing.values()):
                raise _refused(f"{member.agency} did not sign a prekey given as its own", "PREKEY")
            if prekey.key_id != key_id(prekey.public_key) or not _is_sound_prekey(prekey.public_key):
                raise _refused(f"{member.agency} has a prekey that may not be used", "WEAK-KEY")
        _check_log_keys(member)


def _check_log_keys(member: federation_pb2.Member) -> None:
    try:
        log, witness = Verifier.parse(member.log_vkey), Verifier.parse(member.witness_vkey)
    except AuditError:
        raise _refused(f"{member.agency} has a log or witness key that does not parse", "FORM") from None
    sound = _is_sound_signing_key(log.public_key) and _is_sound_signing_key(witness.public_key)
    if (log.key_type, witness.key_type) != (LOG_KEY_TYPE, WITNESS_KEY_TYPE) or not sound:
        raise _refused(f"{member.agency} has a log or witness key that may not be used", "WEAK-KEY")


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
