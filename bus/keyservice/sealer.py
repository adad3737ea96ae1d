"""Sealing: grants are issued when none fits, sequence numbers are reserved durably, payloads are signed together."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bus.directory import Directory
from bus.errors import Retry
from bus.keyservice.protocol import SealRequest
from bus.keyservice.vault import Vault
from bus.randomness import Randomness
from bus.sealing import boxes, split
from bus.sealing.batch import key_id, sign_batch
from bus.sealing.envelope import LANE_NUMBERS, SUITE, VERSION
from bus.sealing.plan import Compartment
from schemas import field_classes, registry
from schemas.v1 import envelope_pb2

_EPOCH_MS = 3_600_000
_MESSAGES_MAX = 1 << 24
_RESERVE = 1024
_GRANTS_HELD_MAX = 1024


@dataclass
class _Issued:
    """A grant of our own, in use."""

    grant_id: bytes
    document: bytes
    not_after_ms: int
    keys: dict[int, bytes]
    used: int
    reserved: int


class Sealer:
    """Seals in the name of one agency."""

    def __init__(self, agency: str, vault: Vault, signing: Ed25519PrivateKey, randomness: Randomness) -> None:
        self._agency = agency
        self._vault = vault
        self._signing = signing
        self._key_id = key_id(signing.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
        self._randomness = randomness
        self._issued: dict[bytes, _Issued] = {}

    def seal(self, requests: Sequence[SealRequest], directory: Directory) -> list[bytes]:
        """Seal messages under one signature; return the envelopes in the same order."""
        payloads = [self._payload(request, directory) for request in requests]
        places = sign_batch(self._agency, payloads, self._signing.sign)
        return [
            envelope_pb2.Envelope(
                payload=payload,
                signature=place.signature,
                leaf_index=place.index,
                batch_size=place.size,
                proof=place.proof,
            ).SerializeToString(deterministic=True)
            for payload, place in zip(payloads, places, strict=True)
        ]

    def _payload(self, request: SealRequest, directory: Directory) -> bytes:
        grant: _Issued | None = None
        fresh = False
        if request.compartments:
            grant, fresh = self._grant_for(request, directory)
            grant.used += 1
        salt = self._randomness.bytes(16)
        header = self._header(request, salt, grant).SerializeToString(deterministic=True)
        public = split.public_body(request.type_name, request.body)
        sealed = envelope_pb2.Sealed(header=header, public_body=public)
        if grant is not None:
            for compartment in request.compartments:
                plain = split.fragment(request.type_name, compartment.classes, request.body)
                sealed.boxes.add(
                    compartment=compartment.number,
                    ciphertext=boxes.close(
                        grant.keys[compartment.number], compartment.number, header, public, plain, salt
                    ),
                )
            if fresh or request.inline_grant:
                sealed.inline_grant = grant.document
        return sealed.SerializeToString(deterministic=True)

    def _header(self, request: SealRequest, salt: bytes, grant: _Issued | None) -> envelope_pb2.Header:
        return envelope_pb2.Header(
            version=VERSION,
            suite=SUITE,
            salt=salt,
            message_id=request.message_id,
            type=request.type_name,
            type_version=registry.TYPE_VERSION,
            sender=self._agency,
            sender_key_id=self._key_id,
            recipients=sorted(request.recipients),
            lane=LANE_NUMBERS[request.lane],
            sent_at_ms=request.sent_at_ms,
            expires_at_ms=request.expires_at_ms,
            grant_id=grant.grant_id if grant is not None else b"",
            sequence=grant.used if grant is not None else 0,
            policy_serial=request.policy_serial,
            correlation_id=request.correlation_id,
            causation_id=request.causation_id,
        )

    def _grant_for(self, request: SealRequest, directory: Directory) -> tuple[_Issued, bool]:
        plan = _plan_digest(request)
        grant = self._issued.get(plan) or self._stored(plan, request.sent_at_ms)
        fresh = False
        if grant is None or grant.not_after_ms <= request.sent_at_ms or grant.used >= _MESSAGES_MAX:
            grant, fresh = self._issue(request, plan, directory), True
        if grant.used >= grant.reserved:
            grant.reserved = grant.used + _RESERVE
            self._vault.reserve(grant.grant_id, grant.reserved)
        if len(self._issued) >= _GRANTS_HELD_MAX:
            self._issued.clear()
        self._issued[plan] = grant
        return grant, fresh

    def _stored(self, plan: bytes, now_ms: int) -> _Issued | None:
        """Take up a grant from before a restart, after the sequence numbers that may have been used."""
        found = self._vault.own_grant(plan, now_ms)
        document = self._vault.grant(found[0]) if found is not None else None
        if found is None or document is None:
            return None
        grant = boxes.parse_grant(document)
        keys: dict[int, bytes] = {}
        for item in grant.body.compartments:
            secret = self._vault.get(f"class/{found[0].hex()}/{item.compartment}")
            if secret is None:
                return None
            keys[item.compartment] = secret
        return _Issued(found[0], document, grant.body.not_after_ms, keys, found[1], found[1])

    def _issue(self, request: SealRequest, plan: bytes, directory: Directory) -> _Issued:
        keys = {item.number: self._randomness.bytes(boxes.KEY_BYTES) for item in request.compartments}
        body = envelope_pb2.GrantBody(
            version=VERSION,
            suite=SUITE,
            sender=self._agency,
            sender_key_id=self._key_id,
            type=request.type_name,
            recipients=sorted(request.recipients),
            policy_serial=request.policy_serial,
            retention_bucket=_bucket(request.type_name, request.sent_at_ms),
            not_before_ms=request.sent_at_ms,
            not_after_ms=request.sent_at_ms + _EPOCH_MS,
            compartments=[
                envelope_pb2.GrantCompartment(
                    compartment=item.number,
                    classes=[field_classes.class_number(name) for name in item.classes],  # type: ignore[misc]  # enum numbers
                    commitment=boxes.commitment(item.number, keys[item.number]),
                    audience=list(item.audience),
                )
                for item in request.compartments
            ],
            nonce=self._randomness.bytes(16),
        ).SerializeToString(deterministic=True)
        wraps = {
            recipient: self._wrap(recipient, request.compartments, keys, body, directory, request.sent_at_ms)
            for recipient in sorted({name for item in request.compartments for name in item.audience})
        }
        document = envelope_pb2.Grant(
            body=body,
            wraps=[
                envelope_pb2.GrantWrap(recipient=name, recipient_key_id=wrap[0], sealed_keys=wrap[1])
                for name, wrap in sorted(wraps.items())
            ],
            signature=self._signing.sign(boxes.grant_signed_bytes(body, wraps)),
        ).SerializeToString(deterministic=True)
        grant_id = boxes.grant_id(body)
        for number, secret in keys.items():
            self._vault.put(f"class/{grant_id.hex()}/{number}", secret)
        self._vault.keep_grant(grant_id, plan, document, request.sent_at_ms + _EPOCH_MS)
        return _Issued(grant_id, document, request.sent_at_ms + _EPOCH_MS, keys, 0, 0)

    def _wrap(
        self,
        recipient: str,
        compartments: tuple[Compartment, ...],
        keys: dict[int, bytes],
        body: bytes,
        directory: Directory,
        at_ms: int,
    ) -> tuple[bytes, bytes]:
        prekey = directory.prekey(recipient, at_ms)
        if prekey is None:
            raise Retry(
                f"{recipient} has no valid prekey in the member directory",
                cure="it must publish a new one; ask the co-ordinating centre",
                code="LF-SEAL-NO-PREKEY",
            )
        held = {item.number: keys[item.number] for item in compartments if recipient in item.audience}
        return prekey.key_id, boxes.wrap(held, recipient, prekey.public_key, body)


def _plan_digest(request: SealRequest) -> bytes:
    """Digest everything that a grant is for; each part has its length before it."""
    digest = sha256()
    parts = [request.type_name, *sorted(request.recipients), str(request.policy_serial)]
    parts += [_bucket(request.type_name, request.sent_at_ms)]
    for item in request.compartments:
        parts += [str(item.number), *item.classes, "|", *item.audience]
    for part in parts:
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(4, "big") + encoded)
    return digest.digest()


def _bucket(type_name: str, at_ms: int) -> str:
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    return f"{registry.retention_class(type_name).lower()}/{moment.year}-{moment.month:02d}"
