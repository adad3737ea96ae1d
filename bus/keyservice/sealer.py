"""Sealing: grants are issued when none fits, sequence numbers are reserved durably, payloads are signed together.

Nothing leaves here that a receiver would refuse: what does not fit is refused to the caller, by name. The caller's bytes
are read, never changed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256

from bus import limits
from bus.directory import Directory, Prekey
from bus.errors import Retry, Usage
from bus.keyservice.protocol import SealRequest
from bus.keyservice.signer import Signer
from bus.keyservice.vault import Vault
from bus.randomness import Randomness
from bus.sealing import boxes, split
from bus.sealing.batch import BatchPlace, key_id, sign_batch
from bus.sealing.envelope import BOXES_MAX, LANE_NUMBERS, MESSAGES_MAX, VERSION, header_in_form
from bus.sealing.plan import Compartment
from bus.sealing.signatures import keys_of
from bus.sealing.suites import CLASSICAL, Suite
from schemas import field_classes, plans, registry
from schemas.v1 import envelope_pb2

_OVERLAP_MS = 5 * 60 * 1000
"""How long before its end a grant is followed by the next one: what is dated a little back still has the one before."""
_RESERVE = 1024
_SALT_BYTES = 16
_GRANTS_HELD_MAX = 1024
_SEALABLE = frozenset(field_classes.CLASSES) - {field_classes.OPEN}
_Plan = tuple[int, str, tuple[str, ...], int, str, bytes, tuple[tuple[int, tuple[str, ...], tuple[str, ...]], ...]]


@dataclass
class _Issued:
    """A grant of our own, in use, and its suite. `used` is the last sequence number given out, `reserved` the last one noted on disk."""

    grant_id: bytes
    document: bytes
    not_before_ms: int
    not_after_ms: int
    keys: dict[int, bytes]
    used: int
    reserved: int
    suite: Suite
    before: "_Issued | None" = None

    def is_due(self, at_ms: int) -> bool:
        """Say whether the next epoch begins: by time, with an overlap, or by count."""
        return at_ms > self.not_after_ms - _OVERLAP_MS or self.used >= MESSAGES_MAX

    def serves(self, at_ms: int) -> bool:
        return self.not_before_ms <= at_ms <= self.not_after_ms and self.used < MESSAGES_MAX


class Sealer:
    """Seals in the name of one agency."""

    def __init__(self, agency: str, vault: Vault, signer: Signer, randomness: Randomness) -> None:
        self._agency = agency
        self._vault = vault
        self._signer = signer
        self._key_id = key_id(signer.ed25519.public_key().public_bytes_raw())
        self._randomness = randomness
        self._issued: dict[_Plan, _Issued] = {}

    def use(self, signer: Signer) -> None:
        """Seal with these signing keys from now on; grants that others have signed are not taken up again."""
        if signer is not self._signer:
            self._signer, self._key_id = signer, key_id(signer.ed25519.public_key().public_bytes_raw())
            self._issued.clear()

    def forget(self) -> None:
        """Let go of the grants in use: the next message begins another."""
        self._issued.clear()

    def seal(self, requests: Sequence[SealRequest], directory: Directory, suite: Suite = CLASSICAL) -> list[bytes]:
        """Seal messages of one suite under one signature; return the envelopes in the same order.

        Usage when one of them cannot be sealed as asked, Retry when a recipient takes no part or has no prekey now.
        """
        if len(requests) > limits.SEAL_BATCH_MAX:
            raise Usage(
                f"a batch has at most {limits.SEAL_BATCH_MAX} messages", cure="send fewer", code="LF-SEAL-BATCH"
            )
        self._require_own_keys(directory, suite)
        payloads = [self._payload(request, directory, suite) for request in requests]
        places = self._places(payloads, suite)
        envelopes = [
            envelope_pb2.Envelope(
                payload=payload,
                signature=place.signature,
                leaf_index=place.index,
                batch_size=place.size,
                proof=place.proof,
                ml_dsa_65_signature=place.second,
            ).SerializeToString(deterministic=True)
            for payload, place in zip(payloads, places, strict=True)
        ]
        if any(len(envelope) > limits.ENVELOPE_BYTES_MAX for envelope in envelopes):
            raise Usage(
                f"a sealed message has at most {limits.ENVELOPE_BYTES_MAX} bytes",
                cure="send smaller attachments",
                code="LF-SEAL-TOO-LARGE",
            )
        return envelopes

    def _require_own_keys(self, directory: Directory, suite: Suite) -> None:
        """What nobody could verify is not sealed: the directory must have our keys of the suite."""
        if not (suite.signs_with_sm2 or suite.signs_with_ml_dsa_65_too):
            return
        own = keys_of(suite, directory.member(self._agency), self._key_id, b"")
        if not (own.sm2 if suite.signs_with_sm2 else own.ml_dsa_65):
            raise Usage(
                f"the member directory has no key of this agency for sealing suite {suite.number}, which policy uses",
                cure="have it added to the directory, or have policy use another suite",
                code="LF-SEAL-SUITE-KEY",
            )

    def _places(self, payloads: Sequence[bytes], suite: Suite) -> list[BatchPlace]:
        if suite is CLASSICAL:
            return sign_batch(self._agency, payloads, self._signer.ed25519.sign)
        made: list[bytes] = []  # the second signature: both are made of the same bytes, at one call

        def sign(message: bytes) -> bytes:
            signatures = self._signer.sign(suite, message)
            made.append(signatures.second)
            return signatures.first

        return sign_batch(self._agency, payloads, sign, suite, lambda _: made[0])

    def _payload(self, request: SealRequest, directory: Directory, suite: Suite) -> bytes:
        grant: _Issued | None = None
        fresh = False
        if request.compartments:
            grant, fresh = self._grant_for(request, directory, suite)
        else:
            _check_recipients(request, directory)
        public, plains = _split(request)
        if grant is not None:
            grant.used += 1
        header = self._header(request, grant, suite)
        if not header_in_form(header):
            raise Usage(
                "the header is not one that a receiver takes", cure="see bus/sealing/envelope.py", code="LF-SEAL-FORM"
            )
        header_bytes = header.SerializeToString(deterministic=True)
        sealed = envelope_pb2.Sealed(header=header_bytes, public_body=public)
        if grant is not None:
            place = boxes.Place(header_bytes, public, header.salt, grant.used, suite)
            for number, plain in enumerate(plains, start=1):
                sealed.boxes.add(compartment=number, ciphertext=boxes.close(grant.keys[number], number, place, plain))
            if fresh or request.inline_grant:
                sealed.inline_grant = grant.document
        return sealed.SerializeToString(deterministic=True)

    def _header(self, request: SealRequest, grant: _Issued | None, suite: Suite) -> envelope_pb2.Header:
        return envelope_pb2.Header(
            version=VERSION,
            suite=suite.number,
            salt=self._randomness.bytes(_SALT_BYTES),
            message_id=request.message_id,
            type=request.type_name,
            type_version=registry.TYPE_VERSION,
            sender=self._agency,
            sender_key_id=self._key_id,
            recipients=sorted(request.recipients),
            lane=LANE_NUMBERS.get(request.lane, envelope_pb2.LANE_UNSPECIFIED),
            sent_at_ms=request.sent_at_ms,
            expires_at_ms=request.expires_at_ms,
            grant_id=grant.grant_id if grant is not None else b"",
            sequence=grant.used if grant is not None else 0,
            policy_serial=request.policy_serial,
            correlation_id=request.correlation_id,
            causation_id=request.causation_id,
            class_plan=plans.number(request.type_name),
        )

    def _grant_for(self, request: SealRequest, directory: Directory, suite: Suite) -> tuple[_Issued, bool]:
        wanted, at_ms = _plan(request, directory, suite), request.sent_at_ms
        grant, fresh = self._issued.get(wanted), False
        if grant is not None and grant.before is not None and at_ms < grant.not_before_ms:
            grant = grant.before  # dated before the present epoch began, in that of before
        if grant is None or not grant.serves(at_ms) or (grant.is_due(at_ms) and grant is self._issued[wanted]):
            # What stands in a plan has to be sound only once: it is the same for every message after.
            _check_compartments(request)
            _check_recipients(request, directory)
            plan, before = _digest(wanted, self._key_id), self._issued.get(wanted)
            grant = self._stored(plan, at_ms)
            if grant is None or not grant.serves(at_ms) or grant.is_due(at_ms):
                grant, fresh = self._issue(request, plan, directory, suite), True
            if before is not None and before.serves(at_ms) and before.grant_id != grant.grant_id:
                before.before, grant.before = None, before
            if len(self._issued) >= _GRANTS_HELD_MAX:
                self._issued.clear()  # each is taken up again from the vault, after the numbers reserved for it
            self._issued[wanted] = grant
        if grant.used >= grant.reserved:
            self._vault.reserve(grant.grant_id, grant.used + _RESERVE)
            grant.reserved = grant.used + _RESERVE
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
            secret = self._vault.class_key(found[0], item.compartment)
            if secret is None:
                return None
            keys[item.compartment] = secret
        body = grant.body
        return _Issued(found[0], document, body.not_before_ms, body.not_after_ms, keys, found[1], found[1], grant.suite)

    def _issue(self, request: SealRequest, plan: bytes, directory: Directory, suite: Suite) -> _Issued:
        prekeys = _prekeys(request, directory, suite)
        keys = {item.number: self._randomness.bytes(boxes.KEY_BYTES) for item in request.compartments}
        body = envelope_pb2.GrantBody(
            version=VERSION,
            suite=suite.number,
            sender=self._agency,
            sender_key_id=self._key_id,
            type=request.type_name,
            recipients=sorted(request.recipients),
            policy_serial=request.policy_serial,
            retention_bucket=_bucket(request.type_name, request.sent_at_ms),
            not_before_ms=request.sent_at_ms,
            not_after_ms=request.sent_at_ms + boxes.EPOCH_MS_MAX,
            compartments=[
                envelope_pb2.GrantCompartment(
                    compartment=item.number,
                    classes=sorted(field_classes.class_number(name) for name in item.classes),  # type: ignore[misc]  # enum numbers
                    commitment=boxes.commitment(item.number, keys[item.number], suite),
                    audience=sorted(item.audience),
                )
                for item in request.compartments
            ],
            nonce=self._randomness.bytes(16),
        ).SerializeToString(deterministic=True)
        wraps = {
            recipient: (prekey.key_id, _wrap(recipient, prekey, request.compartments, keys, body, suite))
            for recipient, prekey in prekeys.items()
        }
        signatures = self._signer.sign(suite, boxes.grant_signed_bytes(body, wraps, suite))
        document = envelope_pb2.Grant(
            body=body,
            wraps=[
                envelope_pb2.GrantWrap(recipient=name, recipient_key_id=wrap[0], sealed_keys=wrap[1])
                for name, wrap in sorted(wraps.items())
            ],
            signature=signatures.first,
            ml_dsa_65_signature=signatures.second,
        ).SerializeToString(deterministic=True)
        grant_id = boxes.grant_id(body, suite)
        begins, ends = request.sent_at_ms, request.sent_at_ms + boxes.EPOCH_MS_MAX
        self._vault.keep_grant(grant_id, plan, document, ends, keys)
        return _Issued(grant_id, document, begins, ends, keys, 0, 0, suite)


def _prekeys(request: SealRequest, directory: Directory, suite: Suite) -> dict[str, Prekey]:
    """Return the prekey of everyone who reads something. Retry where one has none, or none for the suite."""
    found: dict[str, Prekey] = {}
    for recipient in sorted({name for item in request.compartments for name in item.audience}):
        prekey = directory.prekey(recipient, request.sent_at_ms)
        if prekey is None:
            raise Retry(
                f"{recipient} has no valid prekey in the member directory",
                cure="it must publish a new one; ask the co-ordinating centre",
                code="LF-SEAL-NO-PREKEY",
            )
        if suite.wraps_with_x_wing and not prekey.x_wing:
            raise Retry(
                f"{recipient} has no prekey for sealing suite {suite.number}, which policy uses",
                cure="it must publish one; until then policy must use a suite that every recipient has keys for",
                code="LF-SEAL-SUITE-RECIPIENT",
            )
        found[recipient] = prekey
    return found


def _wrap(
    recipient: str,
    prekey: Prekey,
    compartments: tuple[Compartment, ...],
    keys: dict[int, bytes],
    body: bytes,
    suite: Suite,
) -> bytes:
    held = {item.number: keys[item.number] for item in compartments if recipient in item.audience}
    public_key = prekey.x_wing if suite.wraps_with_x_wing else prekey.public_key
    return boxes.wrap(held, recipient, public_key, body, suite)


def _split(request: SealRequest) -> tuple[bytes, list[bytes]]:
    """Return the public body and each compartment's fragment. Usage unless they are the whole body, each part once."""
    public, *plains = split.fragments(request.type_name, _parts(request.compartments), request.body)
    # Fragments hold different fields of one serialisation, so they are the whole of it exactly when the lengths add up.
    if len(public) + sum(map(len, plains)) != len(request.body):
        raise Usage(
            "the message has fields that no compartment covers",
            cure="give every class of the message a compartment",
            code="LF-SEAL-UNCOVERED",
        )
    return public, plains


def _check_compartments(request: SealRequest) -> None:
    classes = [name for item in request.compartments for name in item.classes]
    sound = (
        len(request.compartments) <= BOXES_MAX
        and [item.number for item in request.compartments] == list(range(1, len(request.compartments) + 1))
        and len(classes) == len(set(classes))
        and set(classes) <= _SEALABLE
        and all(item.classes and item.audience for item in request.compartments)
        and all(list(item.audience) == sorted(set(item.audience)) for item in request.compartments)
        and all(
            list(item.classes) == sorted(item.classes, key=field_classes.class_number) for item in request.compartments
        )
        and all(set(item.audience) <= set(request.recipients) for item in request.compartments)
    )
    if not sound:
        raise Usage("the compartments do not fit the message", cure="make them with plan.py", code="LF-SEAL-PLAN")


def _check_recipients(request: SealRequest, directory: Directory) -> None:
    for recipient in request.recipients:
        if not directory.is_active(recipient):
            raise Retry(
                f"{recipient} does not take part now",
                cure="wait until it does again, or leave it out",
                code="LF-SEAL-RECIPIENT-SUSPENDED",
            )


def _plan(request: SealRequest, directory: Directory, suite: Suite) -> _Plan:
    """Return everything that a grant is for, in one form: two forms of one plan would be two counters under one grant.

    The directory belongs to it, and what was revoked since: another one means other prekeys and members.
    """
    bucket = _bucket(request.type_name, request.sent_at_ms)
    return (
        suite.number,
        request.type_name,
        tuple(sorted(request.recipients)),
        request.policy_serial,
        bucket,
        directory.state_sha256,
        tuple([(item.number, item.classes, item.audience) for item in request.compartments]),
    )


def _digest(plan: _Plan, sender_key_id: bytes) -> bytes:
    """Digest a plan, under which its grant is found again after a restart; each part has its length before it."""
    suite, type_name, recipients, policy_serial, bucket, directory, compartments = plan
    parts = [str(suite), type_name, *recipients, str(policy_serial), bucket, sender_key_id.hex(), directory.hex()]
    for number, classes, audience in compartments:
        parts += [str(number), *classes, "|", *audience]
    digest = sha256()
    for part in parts:
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(4, "big") + encoded)
    return digest.digest()


def _parts(compartments: tuple[Compartment, ...]) -> tuple[tuple[str, ...], ...]:
    return ((field_classes.OPEN,), *(item.classes for item in compartments))


def _bucket(type_name: str, at_ms: int) -> str:
    return _bucket_of_hour(type_name, at_ms // boxes.EPOCH_MS_MAX)


@lru_cache(maxsize=1024)
def _bucket_of_hour(type_name: str, hour: int) -> str:
    moment = datetime.fromtimestamp(hour * boxes.EPOCH_MS_MAX / 1000, UTC)
    return f"{registry.retention_class(type_name).lower()}/{moment.year}-{moment.month:02d}"
