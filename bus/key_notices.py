"""What an agency says of its own keys between two directories: how such a notice is read and when it holds. Pure.

(1) strict form; the agency is a member
(2) signed by the agency, by a key of the pinned directory that is valid and that it had not revoked before
(3) later than the one that is held, and not from the future
(4) every key that the held one revoked is revoked in it too: nothing is unrevoked
(5) its prekeys are sound, short-lived, and signed by keys of the agency that are not revoked (DirectoryRefused)

Only the agency itself is believed here. That others revoke its keys, or suspend it, is said by a directory.
"""

from hashlib import sha256

from bus import directory_rules as rules
from bus import documents, limits
from bus.directory import Directory, DirectoryRefused, Notice
from bus.sealing.batch import signature_holds
from bus.sealing.envelope import strict
from bus.sealing.errors import EnvelopeRefused
from schemas.v1 import federation_pb2

DOMAIN = "keys"
DOCUMENT_BYTES_MAX = 72 * 1024
PREKEY_LIFETIME_MS_MAX = 90 * 86_400_000
"""The longest life of a prekey in a notice: what is stolen with a vault is bounded by it."""
REVOKED_MAX = 256
_KEY_ID_BYTES = 8


class NoticeRefused(DirectoryRefused):
    """A notice that does not hold."""


class NoticeOlder(NoticeRefused):
    """A notice that was overtaken: a later one of its agency is held already."""


def read(document: bytes) -> tuple[federation_pb2.KeyNotice, federation_pb2.KeyNoticeBody]:
    """Read a notice strictly. NoticeRefused when it is not in form."""
    try:
        outer = strict(federation_pb2.KeyNotice, document, DOCUMENT_BYTES_MAX)
        body = strict(federation_pb2.KeyNoticeBody, outer.body, DOCUMENT_BYTES_MAX)
    except EnvelopeRefused as error:
        raise _refused(f"the notice is not in form: {error.cause}", "FORM") from None
    ids = list(body.revoked_key_ids)
    if (
        ids != sorted(set(ids))
        or len(ids) > REVOKED_MAX
        or any(len(item) != _KEY_ID_BYTES for item in ids)
        or len(body.prekeys) > rules.KEYS_MAX
        or body.issued_at_ms <= 0
    ):
        raise _refused("the notice is not in form", "FORM")
    return outer, body


def remembered(document: bytes) -> Notice:
    """Return a notice that was taken before and kept where nobody else writes."""
    _, body = read(document)
    return _notice(body)


def taken(document: bytes, directory: Directory, now_ms: int) -> Notice:
    """Return the notice if it holds beside this directory. NoticeRefused otherwise; NoticeOlder for one overtaken."""
    outer, body = read(document)  # (1)
    agency, held = body.agency, directory.notices.get(body.agency)
    if agency not in directory.agencies():
        raise _refused("the notice is of an agency that is no member", "STRANGER")
    key = directory.signing_key(agency, outer.signature.key_id, body.issued_at_ms)  # (2)
    signed = documents.signed_bytes(DOMAIN, outer.body)
    if outer.signature.agency != agency or key is None or not signature_holds(key, signed, outer.signature.signature):
        raise _refused(f"{agency} did not sign the notice, or by a key that does not hold", "SIGNATURE")
    if held is not None and body.issued_at_ms <= held.issued_at_ms:  # (3)
        raise NoticeOlder(
            f"a later notice of {agency} is held", code="LF-NOTICE-OLDER", cure="nothing to do: the later one says all"
        )
    if body.issued_at_ms > now_ms + limits.CLOCK_SKEW_MS_MAX:
        raise _refused("the notice is from the future", "NOT-YET")
    notice = _notice(body)
    if held is not None and not held.revoked <= notice.revoked:  # (4)
        raise _refused(f"{agency} leaves out a key that it had revoked", "UNREVOKED")
    _check_prekeys(notice, directory)  # (5)
    return notice


def _check_prekeys(notice: Notice, directory: Directory) -> None:
    agency = notice.agency
    if any(key.not_after_ms - key.not_before_ms > PREKEY_LIFETIME_MS_MAX for key in notice.prekeys):
        raise _refused(f"{agency} has a prekey that lives too long", "LIFETIME")
    signers = directory.document_keys_ever()[agency].items()
    rules.check_prekeys(
        agency,
        notice.prekeys,
        [
            public
            for key_id, public in signers
            if not directory.is_revoked(agency, key_id) and key_id not in notice.revoked
        ],
    )


def _notice(body: federation_pb2.KeyNoticeBody) -> Notice:
    return Notice(
        body.agency,
        int(body.issued_at_ms),
        tuple(body.prekeys),
        frozenset(bytes(item) for item in body.revoked_key_ids),
    )


def digest(document: bytes) -> bytes:
    """Return the SHA-256 of a notice as it stands."""
    return sha256(document).digest()


def _refused(cause: str, code: str) -> NoticeRefused:
    return NoticeRefused(
        cause, code=f"LF-NOTICE-{code}", cure="what was known of its keys stays in force; ask the agency what happened"
    )
