"""Making the body of a member directory: who drafts one hands it to the registrars, who look at it and sign."""

from collections.abc import Iterable
from dataclasses import dataclass

from bus.directory_rules import RECOVERY_WAIT_MS
from bus.directory_rules import registrars as named_registrars
from bus.documents import SIGNERS_NEEDED
from schemas.v1 import federation_pb2

DIRECTORY_LIFETIME_MS = 90 * 86_400_000


@dataclass(frozen=True)
class Registrars:
    """Who signs the next directory and policy bundle, and how many of them must."""

    agencies: tuple[str, ...] = ()
    quorum: int = SIGNERS_NEEDED


BY_TYPE = Registrars()
"""Nobody is named: the members that are centre or auditor, or whom the directory before had."""


def directory_body(
    members: Iterable[federation_pb2.Member],
    serial: int,
    previous: bytes,
    now_ms: int,
    registrars: Registrars = BY_TYPE,
) -> bytes:
    """Return a directory's body. `previous` is the SHA-256 of its predecessor's body, empty for the first.

    Where no registrars are named, they are the members that are centre or auditor.
    """
    body = federation_pb2.DirectoryBody(
        serial=serial,
        previous_sha256=previous,
        issued_at_ms=now_ms,
        expires_at_ms=now_ms + DIRECTORY_LIFETIME_MS,
        members=sorted(members, key=lambda item: item.agency),
        quorum=registrars.quorum if registrars.quorum != SIGNERS_NEEDED else 0,
    )
    body.registrars.extend(sorted(registrars.agencies or named_registrars(body)))
    return body.SerializeToString(deterministic=True)


def following(old: federation_pb2.Member | None, new: federation_pb2.Member, now_ms: int) -> federation_pb2.Member:
    """Return a member's entry after its old one: what registrars say of it stays, and so do its keys.

    With its consent it has the keys that it asks for. Without, it has lost them: the old ones are revoked, and the new ones
    begin when everybody has had time to see it (bus/directory_rules.py, rule 5).
    """
    if old is None:
        return new
    made = federation_pb2.Member()
    made.CopyFrom(old)
    made.log_vkey, made.witness_vkey = new.log_vkey, new.witness_vkey
    made.consent, made.consent_key_id = new.consent, new.consent_key_id
    if new.consent:
        del made.signing_keys[:]
        made.signing_keys.extend(new.signing_keys)
        return made
    for key in made.signing_keys:
        key.revoked = True
    for key in new.signing_keys:
        key.not_before_ms = max(key.not_before_ms, now_ms + RECOVERY_WAIT_MS)
    made.signing_keys.extend(new.signing_keys)
    del made.prekeys[:]
    made.prekeys.extend(new.prekeys)
    return made
