"""The key service itself.

What it gives out, and when:
- envelopes and signatures in its own agency's name;
- blind values and workflow codes of messages it can open, never a classed value;
- plaintext of one message's classes, once, for a leaf that it has itself found committed in the audit log and that says
  so: same message, same classes, same token, same context, no older than five seconds, and policy decides the same again.
No call returns a key.
"""

import hmac
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from audit import blind as blinding
from audit import leaf as leaf_format
from audit.checkpoint import LOG_KEY_TYPE, WITNESS_KEY_TYPE, Verifier
from audit.errors import AuditError
from audit.v1 import leaf_pb2
from bus import documents, limits
from bus.clock import Clock
from bus.directory import Directory, prekey_signed_bytes
from bus.errors import Usage
from bus.keyservice.protocol import Inspection, OpenRequest, PublicKeys, SealRequest, SubjectValue
from bus.keyservice.sealer import Sealer
from bus.keyservice.vault import Vault
from bus.policy.bundle import Bundle
from bus.policy.canonical import parse_canonical
from bus.randomness import Randomness
from bus.sealing import boxes, split
from bus.sealing.batch import key_id, signature_holds
from bus.sealing.envelope import ParsedEnvelope, parse_payload
from bus.sealing.errors import CannotOpen, GrantRefused
from bus.subject_fields import subjects_of
from schemas import registry

_PREKEY_LIFETIME_MS = 400 * 86400 * 1000
_SHIPMENT = "lianfang.v1.Checkpoint"
ReadLeaf = Callable[[int], bytes | None]
"""Reads a committed entry of the audit log by its index, from the database itself."""


class KeyService:
    """Holds the keys of one agency."""

    def __init__(self, directory: Path, clock: Clock, randomness: Randomness, read_leaf: ReadLeaf) -> None:
        self._vault = Vault(directory, randomness)
        self._clock = clock
        self._randomness = randomness
        self._read_leaf = read_leaf
        self._agency = self._must("agency").decode()
        self._signing = Ed25519PrivateKey.from_private_bytes(self._must("signing"))
        self._log = Ed25519PrivateKey.from_private_bytes(self._must("log"))
        self._witness = Ed25519PrivateKey.from_private_bytes(self._must("witness"))
        self._prekey = X25519PrivateKey.from_private_bytes(self._must("prekey"))
        self._fingerprint = self._vault.get_or_make("fingerprint")
        self._rest = self._vault.get_or_make("at-rest")
        self._directory: Directory | None = None
        self._bundle: Bundle | None = None
        self._sealer = Sealer(self._agency, self._vault, self._signing, randomness)

    @staticmethod
    def create(directory: Path, agency: str, clock: Clock, randomness: Randomness) -> None:
        """Make an agency's keys. Usage when there are some already."""
        vault = Vault.create(directory, randomness)
        for name in ("signing", "log", "witness", "prekey"):
            vault.put(name, randomness.bytes(32))
        vault.put("prekey-from", clock.now_ms().to_bytes(8, "big"))
        vault.put("agency", agency.encode())
        vault.engine.dispose()

    def close(self) -> None:
        """Let go of the database."""
        self._vault.engine.dispose()

    def _must(self, name: str) -> bytes:
        secret = self._vault.get(name)
        if secret is None:
            raise Usage(f"the vault has no {name}", cure="make keys with `lianfang node init`", code="LF-KEYS-MISSING")
        return secret

    def public_keys(self) -> PublicKeys:
        """Return the agency's public keys."""
        begins = int.from_bytes(self._must("prekey-from"), "big")
        ends = begins + _PREKEY_LIFETIME_MS
        prekey = _raw(self._prekey)
        return PublicKeys(
            agency=self._agency,
            signing_key=_raw(self._signing),
            prekey=prekey,
            prekey_not_before_ms=begins,
            prekey_not_after_ms=ends,
            prekey_signature=self._signing.sign(prekey_signed_bytes(self._agency, prekey, begins, ends)),
            log_vkey=Verifier(f"lianfang/audit/{self._agency}", LOG_KEY_TYPE, _raw(self._log)).text,
            witness_vkey=Verifier(f"lianfang/witness/{self._agency}", WITNESS_KEY_TYPE, _raw(self._witness)).text,
        )

    def seal(self, requests: Sequence[SealRequest]) -> list[bytes]:
        """Seal messages under one signature."""
        return self._sealer.seal(requests, self._held_directory())

    def sign(self, purpose: Literal["log", "witness", "directory", "policy"], message: bytes) -> bytes:
        """Sign a checkpoint's text with the log key, a cosignature with the witness key, a document with the signing key."""
        match purpose:
            case "log":
                return self._log.sign(message)
            case "witness":
                return self._witness.sign(message)
            case "directory" | "policy":
                return self._signing.sign(documents.signed_bytes(purpose, message))

    def admit(self, payload: bytes) -> str:
        """Take in a message's inline grant, and see that message and grant belong together."""
        parsed = parse_payload(payload)
        if parsed.inline_grant:
            self.accept_grant(parsed.inline_grant)
        grant = self._grant(parsed.header.grant_id)
        if grant is None:
            return "LF-IN-GRANT-UNKNOWN"
        if not boxes.fits(parsed.header, grant):
            raise GrantRefused("the message was not sealed under this grant", code="LF-SEAL-GRANT-OTHER")
        return ""

    def accept_grant(self, document: bytes) -> None:
        """Take in a grant: signed by its sender, for us, with the keys it commits to."""
        grant = boxes.parse_grant(document)
        if self._vault.grant(grant.grant_id) is not None:
            return
        body = grant.body
        key = self._held_directory().signing_key(body.sender, body.sender_key_id, body.not_before_ms)
        if key is None or not signature_holds(key, boxes.grant_signed_bytes(grant.body_bytes, grant.wraps), grant.signature):
            raise GrantRefused("the grant is not its sender's", code="LF-SEAL-GRANT-SIGNATURE")
        if self._agency in grant.wraps:
            wrap_key_id, sealed = grant.wraps[self._agency]
            if wrap_key_id != key_id(_raw(self._prekey)):
                raise GrantRefused("the grant is wrapped to a prekey that is not ours", code="LF-SEAL-GRANT-PREKEY")
            for number, secret in boxes.unwrap(sealed, self._agency, self._prekey, grant).items():
                self._vault.put(f"class/{grant.grant_id.hex()}/{number}", secret)
        self._vault.keep_grant(grant.grant_id, b"", document, body.not_after_ms)

    def _grant(self, wanted: bytes) -> boxes.Grant | None:
        document = self._vault.grant(wanted) if wanted else None
        return None if document is None else boxes.parse_grant(document)

    def grant(self, grant_id: bytes) -> bytes:
        """Return a grant of our own."""
        grant = self._grant(grant_id)
        if grant is None or grant.body.sender != self._agency:
            raise Usage("no such grant of this agency", cure="the message is older than its keys")
        return grant.document

    def _open_boxes(self, payload: bytes) -> tuple[ParsedEnvelope, dict[str, bytes], tuple[str, ...]]:
        """Return the message, {class: fragment} of what we hold keys for, and the classes withheld from us."""
        parsed = parse_payload(payload)
        if not parsed.header.grant_id:
            return parsed, {}, ()
        grant = self._grant(parsed.header.grant_id)
        if grant is None:
            return parsed, {}, ()
        if not boxes.fits(parsed.header, grant):
            raise CannotOpen("the message was not sealed under this grant")
        fragments: dict[str, bytes] = {}
        withheld: list[str] = []
        for number, ciphertext in parsed.boxes:
            classes = boxes.classes_of(grant, number)
            secret = self._vault.get(f"class/{grant.grant_id.hex()}/{number}")
            if secret is None:
                withheld += classes
                continue
            plain = boxes.open_box(
                secret, number, parsed.header_bytes, parsed.public_body, ciphertext, parsed.header.salt
            )
            fragments |= split.by_class(parsed.header.type, classes, plain)
        return parsed, {name: data for name, data in fragments.items() if data}, tuple(withheld)

    def inspect(self, payload: bytes) -> Inspection:
        """Say what may be known of a message without opening it."""
        parsed, fragments, withheld = self._open_boxes(payload)
        message = split.join(registry.body_type(parsed.header.type), b"", fragments)
        context = getattr(message, "case_context", None)
        case_ref = context.case_ref if context is not None else ""
        at_ms = self._clock.now_ms()
        return Inspection(
            purpose=context.purpose if context is not None else "",
            legal_basis=context.legal_basis if context is not None else "",
            case_present=bool(case_ref),
            case=self.blind("case", [case_ref], at_ms)[0] if case_ref else b"",
            mandate_present=bool(context.mandate) if context is not None else False,
            classes=tuple(sorted(fragments)),
            withheld=withheld,
            subjects=tuple(self._blinded(message, at_ms)),
        )

    def open(self, request: OpenRequest) -> dict[str, bytes]:
        """Give plaintext for a committed entry, once."""
        parsed, fragments, _ = self._open_boxes(request.payload)
        self._check_entry(request, parsed)
        self._check_policy(request, parsed)
        if not self._vault.use_entry(request.log_index):
            raise CannotOpen("the entry has been redeemed before", code="LF-OPEN-USED")
        if not set(request.classes) <= set(fragments):
            raise CannotOpen("a class is not here")
        return {name: fragments[name] for name in request.classes}

    def _check_entry(self, request: OpenRequest, parsed: ParsedEnvelope) -> None:
        data = self._read_leaf(request.log_index)
        if data is None:
            raise CannotOpen("there is no such entry in the log", code="LF-OPEN-NO-ENTRY")
        try:
            entry = leaf_format.decode(data)
        except AuditError:
            raise CannotOpen("the entry is no entry", code="LF-OPEN-NO-ENTRY") from None
        if (
            entry.kind != leaf_pb2.KIND_RECEIPT
            or entry.decision != leaf_pb2.DECISION_PERMIT
            or entry.message_digest != parsed.payload_sha256
            or not set(request.classes) <= set(entry.classes_released)
            or not hmac.compare_digest(entry.token_digest, sha256(request.token).digest())
            or entry.context_digest != sha256(request.context).digest()
        ):
            raise CannotOpen("the entry is for another opening", code="LF-OPEN-OTHER-ENTRY")
        if not 0 <= self._clock.now_ms() - entry.at_ms <= limits.TOKEN_LIFETIME_MS:
            raise CannotOpen("the entry is too old", code="LF-OPEN-LATE")

    def _check_policy(self, request: OpenRequest, parsed: ParsedEnvelope) -> None:
        """Decide again, from the context that the entry is bound to and from what the message itself says."""
        if self._bundle is None:
            raise CannotOpen("the key service has no policy bundle", code="LF-OPEN-NO-POLICY")
        inspection = self.inspect(request.payload)
        asked = parse_canonical(request.context)
        short = parsed.header.type.rsplit(".", 1)[-1]
        for item in asked:
            if (
                item.point != "open"
                or item.agency != self._agency
                or item.message_type != short
                or item.sender != parsed.header.sender
                or item.sealed_purpose != inspection.purpose
                or not self._bundle.decide(item).permitted
            ):
                raise CannotOpen("policy does not permit it", code="LF-OPEN-POLICY")
        if {item.field_class for item in asked} != set(request.classes):
            raise CannotOpen("policy was asked about other classes", code="LF-OPEN-POLICY")

    def open_shipment(self, payload: bytes) -> bytes:
        """Return the sealed half of a log shipment; no other type is given without an entry."""
        parsed = parse_payload(payload)
        if parsed.header.type != _SHIPMENT:
            raise CannotOpen("only log shipments are given without an entry")
        return b"".join(self._open_boxes(payload)[1].values())

    def _blind_key(self, at_ms: int) -> bytes:
        return self._vault.get_or_make(f"blind/{blinding.quarter(at_ms)}")

    def blind(self, kind: str, values: Sequence[str], at_ms: int) -> list[bytes]:
        """Return the blind value of each under the key of that moment's quarter."""
        key = self._blind_key(at_ms)
        return [blinding.blind(key, kind, value) for value in values]

    def blind_message(self, type_name: str, message: bytes, at_ms: int) -> list[SubjectValue]:
        """Return the blind values of the subjects in a message of our own."""
        return self._blinded(registry.body_type(type_name).FromString(message), at_ms)

    def _blinded(self, message: object, at_ms: int) -> list[SubjectValue]:
        key = self._blind_key(at_ms)
        return [
            SubjectValue(kind, field, blinding.blind(key, kind, value)) for kind, field, value in subjects_of(message)
        ]

    def fingerprint(self, records: Sequence[bytes]) -> list[bytes]:
        """Return a keyed fingerprint of each record."""
        return [hmac.digest(self._fingerprint, record, "sha256") for record in records]

    def protect(self, context: bytes, data: bytes) -> bytes:
        """Encrypt data at rest."""
        return self._vault.seal(b"rest\x00" + self._rest + context, data)

    def unprotect(self, context: bytes, data: bytes) -> bytes:
        """Decrypt data at rest."""
        try:
            return self._vault.unseal(b"rest\x00" + self._rest + context, data)
        except InvalidTag:
            raise CannotOpen("the data at rest were changed or belong elsewhere") from None

    def _held_directory(self) -> Directory:
        if self._directory is None:
            raise Usage("the key service has no member directory yet", cure="enrol the node", code="LF-KEYS-NO-DIRECTORY")
        return self._directory

    def install_directory(self, document: bytes) -> None:
        """Hold to this directory: the same again, or the present one's successor."""
        if self._directory is not None and self._directory.is_document(document):
            return
        self._directory = Directory.load(document, pinned=self._directory, now_ms=self._clock.now_ms())

    def install_policy(self, document: bytes) -> None:
        """Hold to this bundle: the same again, or the present one's successor."""
        if self._bundle is not None and self._bundle.is_document(document):
            return
        self._bundle = Bundle.load(
            document,
            signer_keys=self._held_directory().document_keys(),
            pinned=self._bundle,
            now_ms=self._clock.now_ms(),
        )


def _raw(key: Ed25519PrivateKey | X25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
