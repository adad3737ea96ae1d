"""An exhibit: one compartment of one message, checked from a file alone. Pure; needs no node and no key.

What `check` establishes, in this order, and nothing more:
(1) the member directory in the file was signed by its registrars; whose it is, its SHA-256 must be compared elsewhere
(2) the sender signed the envelope, with a key that the directory gives it for that moment
(3) the same sender signed the grant, which says who may read the compartment and commits to its class key
(4) the disclosing agency, a recipient or the sender, signed what it discloses: this message, this compartment, this key
(5) the key opens that box, bound to the signed header and public body, and what is in it is of the compartment's classes

That the message key comes from the class key that the grant commits to is the disclosing agency's word (4); only who holds
the class key can say otherwise. A wrong key for a box that the sender closed properly is as hard to find as to guess.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from google.protobuf.json_format import MessageToDict

from bus.directory import Directory, DirectoryRefused
from bus.errors import CheckFailed
from bus.sealing import boxes, split
from bus.sealing.batch import key_id, signature_holds
from bus.sealing.envelope import ParsedEnvelope, strict
from bus.sealing.errors import SealingError
from bus.sealing.signatures import all_hold, keys_of
from bus.sealing.verify import check_public_body, verify_stored
from schemas import registry
from schemas.errors import UnknownType
from schemas.v1 import evidence_pb2, federation_pb2

FILE_BYTES_MAX = 4 * 1024 * 1024
_DOMAIN = b"lianfang/1 disclosure\x00"


@dataclass(frozen=True)
class Exhibit:
    """What a file proves. `fields` are those of the compartment and those that were public."""

    envelope: ParsedEnvelope
    directory: Directory
    body: evidence_pb2.DisclosureBody
    classes: tuple[str, ...]
    audience: tuple[str, ...]
    fields: Mapping[str, Any]


def signed_bytes(body: bytes) -> bytes:
    """Return what the disclosing agency signs."""
    return _DOMAIN + sha256(body).digest()


def check(data: bytes) -> Exhibit:
    """Return what a file proves. CheckFailed, with the step that does not hold."""
    try:
        outer = strict(evidence_pb2.Disclosure, data, FILE_BYTES_MAX)
        body = strict(evidence_pb2.DisclosureBody, outer.body, FILE_BYTES_MAX)
        directory = _directory(outer.directory, body)  # (1)
        parsed = verify_stored(outer.envelope, directory)  # (2)
        check_public_body(parsed)
        grant = _grant(outer.grant, parsed, directory)  # (3)
        _check_attestation(outer, body, parsed, grant, directory)  # (4)
        return _opened(body, parsed, grant, directory)  # (5)
    except SealingError as error:
        raise _failed(error.cause, error.code) from error
    except (DirectoryRefused, UnknownType) as error:
        raise _failed(error.cause, error.code) from error


def _directory(document: bytes, body: evidence_pb2.DisclosureBody) -> Directory:
    return Directory.load(document, pinned=None, now_ms=body.at_ms)


def _grant(document: bytes, parsed: ParsedEnvelope, directory: Directory) -> boxes.Grant:
    grant, header = boxes.parse_grant(document), parsed.header
    if boxes.why_not(header, grant) or len(parsed.boxes) != len(grant.body.compartments):
        raise _failed("the grant is not the one that the message was sealed under", "LF-EVIDENCE-GRANT")
    key = directory.signing_key_ever(header.sender, header.sender_key_id, grant.body.not_before_ms)
    if key is None or not all_hold(
        grant.suite,
        keys_of(grant.suite, directory.member(header.sender), header.sender_key_id, key),
        boxes.grant_signed_bytes(grant.body_bytes, grant.wraps, grant.suite),
        grant.signatures,
    ):
        raise _failed("the grant is not its sender's", "LF-EVIDENCE-GRANT")
    return grant


def _check_attestation(
    outer: evidence_pb2.Disclosure,
    body: evidence_pb2.DisclosureBody,
    parsed: ParsedEnvelope,
    grant: boxes.Grant,
    directory: Directory,
) -> None:
    signature = outer.signature
    key = directory.signing_key_ever(body.agency, signature.key_id, body.at_ms)
    if (
        signature.agency != body.agency
        or key is None
        or not signature_holds(key, signed_bytes(outer.body), signature.signature)
    ):
        raise _failed("the disclosing agency did not sign it", "LF-EVIDENCE-SIGNATURE")
    may_hold_it = {parsed.header.sender, *_audience(grant, body.compartment)}
    if body.payload_sha256 != parsed.payload_sha256 or body.agency not in may_hold_it:
        raise _failed("what the agency disclosed is not this compartment of this message", "LF-EVIDENCE-OTHER")


def _opened(
    body: evidence_pb2.DisclosureBody, parsed: ParsedEnvelope, grant: boxes.Grant, directory: Directory
) -> Exhibit:
    header = parsed.header
    place = boxes.Place(parsed.header_bytes, parsed.public_body, header.salt, header.sequence, grant.suite)
    classes = boxes.classes_of(grant, body.compartment)
    plain = boxes.open_with_message_key(body.message_key, body.compartment, place, dict(parsed.boxes)[body.compartment])
    if not split.is_canonical(header.type, classes, plain, header.class_plan):
        raise _failed("the box holds what is not of its compartment", "LF-EVIDENCE-BOX")
    message = split.join(registry.body_type(header.type), parsed.public_body, {classes: plain})
    fields = MessageToDict(message, preserving_proto_field_name=True)
    return Exhibit(parsed, directory, body, classes, _audience(grant, body.compartment), fields)


def _audience(grant: boxes.Grant, compartment: int) -> tuple[str, ...]:
    return next((tuple(item.audience) for item in grant.body.compartments if item.compartment == compartment), ())


def put_together(
    envelope: bytes, grant: bytes, body: bytes, agency: str, public_key: bytes, signature: bytes, directory: bytes
) -> bytes:
    """Return an exhibit's file."""
    return evidence_pb2.Disclosure(
        envelope=envelope,
        grant=grant,
        body=body,
        signature=federation_pb2.DocumentSignature(agency=agency, key_id=key_id(public_key), signature=signature),
        directory=directory,
    ).SerializeToString(deterministic=True)


def _failed(cause: str, code: str) -> CheckFailed:
    return CheckFailed(
        cause,
        code=code,
        cure="do not rely on it; ask the agency that disclosed it, and the sender, for theirs",
    )
