"""By what rules one member directory follows another, and what a directory must be like. Pure.

(1) A quorum of the registrars that the pinned directory names has signed, by keys pinned there.
(2) The serial rises by one and names its predecessor's digest: no rollback, no gap, no second history.
(3) A member and a signing key, once in, stay in: suspended or revoked, never gone, never unrevoked, never stretched.
(4) Not all who signed are agencies whose own entries change: somebody else has looked at it.
(5) A member gets other signing, log or witness keys only with its consent: it has signed the directory, or its own entry, by
    a key pinned before. Without it (it has lost them) all its old keys go at once and the new ones count a day later: nobody
    slips a key in beside those that a member has.
(6) Other registrars, or another quorum, need a quorum of the new ones too.
(7) Every key is sound (bus/sealing/sound_keys.py) and stands in one place only.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256

from audit.checkpoint import LOG_KEY_TYPE, WITNESS_KEY_TYPE, Verifier
from audit.errors import AuditError
from bus import documents
from bus.sealing import sound_keys
from bus.sealing.batch import key_id, signature_holds
from bus.sealing.envelope import strict
from bus.sealing.errors import EnvelopeRefused
from schemas.v1 import federation_pb2

DOCUMENT_BYTES_MAX = 1024 * 1024
MEMBERS_MAX = 4096
KEYS_MAX = 16
REGISTRARS_MAX = 16
RECOVERY_WAIT_MS = 24 * 3600 * 1000
"""How long a key that its agency did not consent to waits until it counts: time for that agency, and the auditor, to see it."""
_AGENCY = re.compile(r"(?=.{1,32}\Z)[a-z][a-z0-9]*(-[a-z0-9]+)*\Z")
_REGISTRAR_TYPES = (federation_pb2.AGENCY_TYPE_CENTRE, federation_pb2.AGENCY_TYPE_AUDITOR)


class DirectoryRefused(Exception):
    """A directory that is not the pinned one's proper successor, or holds a key that may not be used."""

    def __init__(self, cause: str, *, code: str, cure: str) -> None:
        super().__init__(cause)
        self.cause = cause
        self.code = code
        self.cure = cure


@dataclass(frozen=True)
class Pin:
    """What a successor is judged by: the pinned body, its digest, and the keys that its members sign with."""

    body: federation_pb2.DirectoryBody
    sha256: bytes
    keys: Mapping[str, Mapping[bytes, bytes]]


def refused(cause: str, code: str) -> DirectoryRefused:
    """Return the refusal of a directory."""
    return DirectoryRefused(
        cause,
        code=f"LF-DIRECTORY-{code}",
        cure="the pinned directory stays in force; ask the co-ordinating centre and the auditor what happened",
    )


def parse(document: bytes) -> tuple[federation_pb2.Directory, federation_pb2.DirectoryBody]:
    """Read a document strictly. DirectoryRefused when it is not in form."""
    try:
        outer = strict(federation_pb2.Directory, document, DOCUMENT_BYTES_MAX)
        return outer, strict(federation_pb2.DirectoryBody, outer.body, DOCUMENT_BYTES_MAX)
    except EnvelopeRefused as error:
        raise refused(f"the directory is not in form: {error.cause}", "FORM") from None


def registrars(body: federation_pb2.DirectoryBody) -> frozenset[str]:
    """Return who signs the next directory: those named, or the members that are centre or auditor."""
    return frozenset(body.registrars) or frozenset(
        member.agency for member in body.members if member.type in _REGISTRAR_TYPES
    )


def quorum(body: federation_pb2.DirectoryBody) -> int:
    """Return how many of them must sign; never fewer than two."""
    return max(int(body.quorum), documents.SIGNERS_NEEDED)


def check_registrars(body: federation_pb2.DirectoryBody) -> None:
    """Refuse a directory that names as registrars whom it has not, or fewer than must sign."""
    named, members = list(body.registrars), {member.agency for member in body.members}
    if named != sorted(set(named)) or len(named) > REGISTRARS_MAX or not set(named) <= members:
        raise refused("the registrars are not members in ascending order", "FORM")
    if len(registrars(body)) < quorum(body):
        raise refused("there are fewer registrars than must sign", "REGISTRARS")


def check_quorum(body: federation_pb2.DirectoryBody, signed: Collection[str]) -> None:
    """Rule 1: refuse what fewer than a quorum of a body's registrars have signed."""
    held = registrars(body) & set(signed)
    if len(held) < quorum(body):
        raise refused(f"{len(held)} of {quorum(body)} registrars have signed it", "SIGNATURES")


def check_succession(pinned: Pin, body: federation_pb2.DirectoryBody, signed: Collection[str]) -> None:
    """Rules 2 to 6. `signed`: the agencies whose signature under the document holds, by pinned keys."""
    before = {member.agency: member for member in pinned.body.members}
    after = {member.agency: member for member in body.members}
    if body.serial != pinned.body.serial + 1 or body.previous_sha256 != pinned.sha256:
        raise refused(f"serial {body.serial} does not follow the pinned {pinned.body.serial}", "SUCCESSION")
    if body.issued_at_ms < pinned.body.issued_at_ms:
        raise refused("it was issued before the directory that it follows", "SUCCESSION")
    for agency, member in before.items():
        _check_stays(member, after.get(agency))
    changed = {agency for agency, member in after.items() if member != before.get(agency)}
    if registrars(pinned.body) & set(signed) <= changed:
        raise refused("everyone who signed it changes an entry of its own", "SUBJECTS")
    for agency, member in before.items():
        if not _keeps_identity(member, after[agency]):
            _check_consent(pinned, member, after[agency], body.issued_at_ms, signed)
    if (registrars(body), quorum(body)) != (registrars(pinned.body), quorum(pinned.body)):
        check_quorum(body, signed)


def _check_stays(before: federation_pb2.Member, after: federation_pb2.Member | None) -> None:
    """Rule 3."""
    if after is None or after.type != before.type:
        raise refused(f"{before.agency} is gone or has become another kind of agency", "SUCCESSION")
    keys = {key.key_id: key for key in after.signing_keys}
    for key in before.signing_keys:
        if not _may_follow(key, keys.get(key.key_id)):
            raise refused(f"a signing key of {before.agency} is gone, changed, unrevoked or stretched", "SUCCESSION")


def _may_follow(before: federation_pb2.SigningKey, after: federation_pb2.SigningKey | None) -> bool:
    return (
        after is not None
        and after.not_before_ms == before.not_before_ms
        and after.not_after_ms <= before.not_after_ms
        and (after.revoked or not before.revoked)
        # The id is that of the Ed25519 key alone.
        and (after.ml_dsa_65, after.sm2) == (before.ml_dsa_65, before.sm2)
    )


def _keeps_identity(before: federation_pb2.Member, after: federation_pb2.Member) -> bool:
    ids = {key.key_id for key in before.signing_keys}
    return (
        all(key.key_id in ids for key in after.signing_keys)
        and (before.log_vkey, before.witness_vkey) == (after.log_vkey, after.witness_vkey)
    )  # fmt: skip


def _check_consent(
    pinned: Pin, before: federation_pb2.Member, after: federation_pb2.Member, issued_at_ms: int, signed: Collection[str]
) -> None:
    """Rule 5."""
    key = pinned.keys.get(after.agency, {}).get(after.consent_key_id)
    consents = key is not None and signature_holds(key, consent_signed_bytes(after), after.consent)
    if consents or after.agency in signed:
        return
    if len(registrars(pinned.body) & set(signed) - {after.agency}) < quorum(pinned.body):
        raise refused(f"{after.agency} has not consented to its keys, and too few others vouch for them", "CONSENT")
    old = {key.key_id for key in before.signing_keys}
    if not all(
        key.revoked if key.key_id in old else key.not_before_ms >= issued_at_ms + RECOVERY_WAIT_MS
        for key in after.signing_keys
    ):
        raise refused(
            f"{after.agency} has not consented to its keys, and keeps old ones or gets them at once", "CONSENT"
        )


def consent_signed_bytes(member: federation_pb2.Member) -> bytes:
    """Return what an agency signs for the signing, log and witness keys that its entry is to have."""
    keys = []
    for key in member.signing_keys:
        keys.append(federation_pb2.SigningKey())
        keys[-1].CopyFrom(key)
        keys[-1].ClearField("revoked")  # that is nobody's consent to give
    identity = federation_pb2.Member(
        agency=member.agency, signing_keys=keys, log_vkey=member.log_vkey, witness_vkey=member.witness_vkey
    )
    return b"lianfang/1 consent\x00" + sha256(identity.SerializeToString(deterministic=True)).digest()


def check_members(body: federation_pb2.DirectoryBody) -> None:
    """Rule 7, and the form of each entry."""
    names = [member.agency for member in body.members]
    if not 0 < len(names) <= MEMBERS_MAX or names != sorted(set(names)):
        raise refused("the members are not in ascending order", "FORM")
    for member in body.members:
        if _AGENCY.match(member.agency) is None or max(len(member.signing_keys), len(member.prekeys)) > KEYS_MAX:
            raise refused("a member's id or number of keys is not in form", "FORM")
        for key in member.signing_keys:
            if not _is_sound(key):
                raise refused(f"{member.agency} has a signing key that may not be used", "WEAK-KEY")
        check_prekeys(
            member.agency, member.prekeys, [bytes(k.public_key) for k in member.signing_keys if not k.revoked]
        )
        _check_log_keys(member)
    if not _all_different(_public_keys(body)):
        raise refused("one key stands in two places", "SHARED-KEY")


def _is_sound(key: federation_pb2.SigningKey) -> bool:
    return (
        key.key_id == key_id(key.public_key)
        and sound_keys.ed25519(key.public_key)
        and (not key.ml_dsa_65 or sound_keys.ml_dsa_65(key.ml_dsa_65))
        and (not key.sm2 or sound_keys.sm2(key.sm2))
    )


def check_prekeys(agency: str, prekeys: Iterable[federation_pb2.Prekey], signers: Collection[bytes]) -> None:
    """Refuse prekeys that are not sound, or that none of these signing keys of the agency has signed."""
    for prekey in prekeys:
        sound = sound_keys.x25519(prekey.public_key) and (not prekey.x_wing or sound_keys.x_wing(prekey.x_wing))
        if prekey.key_id != key_id(prekey.public_key) or not sound:
            raise refused(f"{agency} has a prekey that may not be used", "WEAK-KEY")
        if min(prekey.not_before_ms, prekey.not_after_ms) < 0:
            raise refused(f"{agency} has a prekey from before time", "FORM")
        signed = signed_bytes_of(agency, prekey)
        if not any(signature_holds(key, signed, prekey.signature) for key in signers):
            raise refused(f"{agency} did not sign a prekey given as its own", "PREKEY")


def signed_bytes_of(agency: str, prekey: federation_pb2.Prekey) -> bytes:
    """Return what an agency signs for a prekey in a document."""
    return prekey_signed_bytes(
        agency, prekey.public_key, prekey.not_before_ms, prekey.not_after_ms, bytes(prekey.x_wing)
    )


def prekey_signed_bytes(
    agency: str, public_key: bytes, not_before_ms: int, not_after_ms: int, x_wing: bytes = b""
) -> bytes:
    """Return what an agency signs for a prekey. The X-Wing key is last, as all before it has one length for each agency."""
    return (
        b"lianfang/1 prekey\x00"
        + agency.encode()
        + b"\x00"
        + public_key
        + not_before_ms.to_bytes(8, "big")
        + not_after_ms.to_bytes(8, "big")
        + x_wing
    )


def _check_log_keys(member: federation_pb2.Member) -> None:
    try:
        log, witness = Verifier.parse(member.log_vkey), Verifier.parse(member.witness_vkey)
    except AuditError:
        raise refused(f"{member.agency} has a log or witness key that does not parse", "FORM") from None
    sound = sound_keys.ed25519(log.public_key) and sound_keys.ed25519(witness.public_key)
    if (log.key_type, witness.key_type) != (LOG_KEY_TYPE, WITNESS_KEY_TYPE) or not sound:
        raise refused(f"{member.agency} has a log or witness key that may not be used", "WEAK-KEY")
    if (log.name, witness.name) != (log_origin(member.agency), witness_name(member.agency)):
        raise refused(f"{member.agency} has a log or witness key of another name", "FORM")


def log_origin(agency: str) -> str:
    """Return the name of an agency's log, the first line of its checkpoints."""
    return f"lianfang/audit/{agency}"


def witness_name(agency: str) -> str:
    """Return the name under which an agency cosigns."""
    return f"lianfang/witness/{agency}"


def _public_keys(body: federation_pb2.DirectoryBody) -> Iterable[bytes]:
    for member in body.members:
        for key in member.signing_keys:
            yield from filter(None, (bytes(key.public_key), bytes(key.ml_dsa_65), bytes(key.sm2)))
        for prekey in member.prekeys:
            yield from filter(None, (bytes(prekey.public_key), bytes(prekey.x_wing)))
        yield Verifier.parse(member.log_vkey).public_key
        yield Verifier.parse(member.witness_vkey).public_key


def _all_different(keys: Iterable[bytes]) -> bool:
    listed = list(keys)
    return len(listed) == len(set(listed))
