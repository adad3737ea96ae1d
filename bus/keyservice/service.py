"""The key service itself.

What it gives out, and when:
- envelopes and signatures in its own agency's name;
- blind values and workflow codes of messages it can open, never a classed value;
- plaintext of one message's classes, once, for a leaf that it has itself found committed in the audit log and that says
  so: same message, same classes, same token, same context, no older than five seconds, and policy decides the same again
  (redeem.py). The redemption is on disk before the plaintext leaves.
No call returns a key. The directory and the bundle it judges by it has pinned itself: the node's database is not believed.
"""

import hmac
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from audit import blind as blinding
from audit.checkpoint import LOG_KEY_TYPE, WITNESS_KEY_TYPE, Verifier
from bus import documents
from bus.clock import Clock
from bus.directory import log_origin, witness_name
from bus.errors import Retry, Usage
from bus.keyservice import attesting, redeem
from bus.keyservice.grants import Admission, Contents, Grants
from bus.keyservice.identities import Identities, public_parts
from bus.keyservice.lifecycle import Lifecycle
from bus.keyservice.pins import Pins
from bus.keyservice.prekeys import Prekeys
from bus.keyservice.protocol import Inspection, KeyState, OpenRequest, PublicKeys, SealRequest, SubjectValue
from bus.keyservice.providers import Provider
from bus.keyservice.sealer import Sealer
from bus.keyservice.tags import TagShares
from bus.keyservice.vault import Vault
from bus.randomness import Randomness
from bus.sealing import sm2
from bus.sealing.envelope import ParsedEnvelope, parse_header, parse_payload
from bus.sealing.errors import CannotOpen, SealingError
from bus.sealing.split import classes_present
from bus.sealing.suites import SUITES
from bus.subject_fields import subjects_of
from schemas import registry

_BLIND = "blind/"
_SHIPMENT = "lianfang.v1.Checkpoint"
_REST = b"lianfang/1 at rest\x00"
_ZERO_NONCE = bytes(12)
_COSIGNED = b"cosignature/v1\ntime "
_SALT_BYTES = 16
OPENS_PER_SECOND_MAX = 2000
"""Openings in one second: far above what people and hand-overs need, and a bound on what a stolen node can pour out."""
ReadLeaf = Callable[[int], bytes | None]
"""Reads a committed entry of the audit log by its index, from the database itself."""


class KeyService:
    """Holds the keys of one agency."""

    def __init__(
        self,
        directory: Path,
        clock: Clock,
        randomness: Randomness,
        read_leaf: ReadLeaf,
        opens_per_second_max: int = OPENS_PER_SECOND_MAX,
        guards: Sequence[Provider] = (),
    ) -> None:
        self._vault = Vault(directory, randomness, guards)
        try:
            self._clock = clock
            self._randomness = randomness
            self._read_leaf = read_leaf
            self._agency = self._must("agency").decode()
            self._log = Ed25519PrivateKey.from_private_bytes(self._must("log"))
            self._witness = Ed25519PrivateKey.from_private_bytes(self._must("witness"))
            self._fingerprint = self._vault.get_or_make("fingerprint")
            self._rest = self._vault.get_or_make("at-rest")
            self._blind_keys: dict[str, bytes] = {}
            self._pins = Pins(self._vault, clock)
            self._prekeys, identities = Prekeys(self._vault, randomness), Identities(self._vault, randomness)
            self._life = Lifecycle(self._agency, self._vault, self._pins, (self._prekeys, identities), clock)
            self._sealer = Sealer(self._agency, self._vault, self._life.signer(), randomness)
            self._grants = Grants(self._agency, self._vault, self._prekeys)
            self._tags = TagShares(self._vault, clock, randomness, read_leaf)
            self._opens_per_second_max = opens_per_second_max
            self._second, self._opens = 0, 0
        except BaseException:
            self._vault.close()
            raise

    @staticmethod
    def create(
        directory: Path, agency: str, clock: Clock, randomness: Randomness, guard: Provider | None = None
    ) -> None:
        """Make an agency's keys. Usage when there are some already."""
        made = {name: randomness.bytes(32) for name in ("signing", "log", "witness", "prekey")}
        made |= {"prekey-from": clock.now_ms().to_bytes(8, "big"), "agency": agency.encode()}
        made |= {name: randomness.bytes(32) for name in ("signing-ml-dsa-65", "prekey-x-wing")}
        made |= {"signing-sm2": sm2.pair_of(randomness.bytes(sm2.NOISE_BYTES))}
        Vault.create(directory, randomness, made, guard)

    def close(self) -> None:
        """Let go of the database and of the lock on the keys."""
        self._vault.close()

    def _must(self, name: str) -> bytes:
        secret = self._vault.get(name)
        if secret is None:
            raise Usage(f"the vault has no {name}", cure="make keys with `lianfang node init`", code="LF-KEYS-MISSING")
        return secret

    @property
    def _signing(self) -> Ed25519PrivateKey:
        """The Ed25519 key in force."""
        return self._life.signer().ed25519

    def public_keys(self) -> PublicKeys:
        """Return the agency's public keys."""
        signer = self._life.signer()
        keys, prekey = public_parts(signer), self._life.signed(self._prekeys.newest(), signer)
        return PublicKeys(
            agency=self._agency,
            signing_key=keys.public_key,
            prekey=prekey.public_key,
            prekey_not_before_ms=prekey.not_before_ms,
            prekey_not_after_ms=prekey.not_after_ms,
            prekey_signature=prekey.signature,
            log_vkey=Verifier(log_origin(self._agency), LOG_KEY_TYPE, _raw(self._log)).text,
            witness_vkey=Verifier(witness_name(self._agency), WITNESS_KEY_TYPE, _raw(self._witness)).text,
            signing_key_ml_dsa_65=keys.ml_dsa_65,
            signing_key_sm2=keys.sm2,
            prekey_x_wing=prekey.x_wing,
        )

    def seal(self, requests: Sequence[SealRequest]) -> list[bytes]:
        """Seal messages under one signature, by the suite that policy uses."""
        self._sealer.use(self._life.signer())
        return self._sealer.seal(requests, self._pins.directory(), SUITES[self._pins.bundle().suites.use])

    def sign(self, purpose: Literal["log", "witness", "directory", "policy"], message: bytes) -> bytes:
        """Sign a checkpoint's text with the log key, a cosignature with the witness key, a document with the signing key."""
        match purpose:
            case "log" if message.startswith(log_origin(self._agency).encode() + b"\n"):
                return self._log.sign(message)
            case "witness" if message.startswith(_COSIGNED):
                return self._witness.sign(message)
            case "directory" | "policy":
                return self._signing.sign(documents.signed_bytes(purpose, message))
            case _:
                raise Usage(
                    "there is no key for that purpose and text",
                    cure="use the node of this release",
                    code="LF-KEYS-PURPOSE",
                )

    def admit(self, payload: bytes) -> str:
        """Take in a message's inline grant, and see that message and grant belong together and that it opens."""
        return self._grants.admit(parse_payload(payload), self._admission())

    def _admission(self) -> Admission:
        return Admission(self._pins.directory(), self._pins.bundle().suites.allowed, self._clock.now_ms())

    def admit_all(self, payloads: Sequence[bytes]) -> list[str]:
        """Take in many messages; a refusal is its code, in the message's place."""
        return [self._admitted(payload) for payload in payloads]

    def _admitted(self, payload: bytes) -> str:
        try:
            return self.admit(payload)
        except SealingError as error:
            return error.code

    def accept_grant(self, document: bytes) -> None:
        """Take in a grant: signed by its sender, for us, with the keys it commits to."""
        self._grants.accept(document, self._admission())

    def grant(self, grant_id: bytes) -> bytes:
        """Return a grant of our own."""
        held = self._grants.held(grant_id)
        if held is None or held.grant.body.sender != self._agency:
            raise Usage(
                "no such grant of this agency", cure="the message is older than its keys", code="LF-KEYS-NO-GRANT"
            )
        return held.grant.document

    def inspect(self, payload: bytes) -> Inspection:
        """Say what may be known of a message without opening it."""
        parsed = parse_payload(payload)
        contents = self._grants.open(parsed)
        message = contents.message()
        context = _context(message)
        case_ref = context.case_ref if context is not None else ""
        at_ms = self._clock.now_ms()
        return Inspection(
            purpose=context.purpose if context is not None else "",
            legal_basis=context.legal_basis if context is not None else "",
            case_present=bool(case_ref),
            case=self.blind("case", [case_ref], at_ms)[0] if case_ref else b"",
            mandate_present=context is not None and bool(context.mandate),
            classes=classes_present(message),
            withheld=contents.withheld,
            subjects=tuple(self._blinded(message, at_ms)),
            compartments=tuple(" ".join(sorted(names)) for names in contents.carried() if names),
        )

    def open(self, request: OpenRequest) -> dict[str, bytes]:
        """Give plaintext for a committed entry, once."""
        parsed = parse_payload(request.payload)
        contents, _ = self._judged(request, parsed, redeem.OPENING)
        fragments = contents.fragments(request.classes)
        if set(fragments) != set(request.classes):
            raise CannotOpen("a class is not here", code="LF-OPEN-NO-SUCH-CLASS")
        if not self._vault.use_entry(request.log_index, sha256(request.token).digest()):
            raise CannotOpen("the entry has been redeemed before", code="LF-OPEN-USED")
        return fragments

    def disclose(self, envelope: bytes, request: OpenRequest) -> bytes:
        """Give the key of one box of one message, attested and with what it takes to check it, for a committed entry, once.

        The classes asked for must be all that the box holds. The only key that ever leaves: it opens nothing else.
        """
        parsed = parse_header(envelope)
        if parsed.payload != request.payload:
            raise CannotOpen("the entry is for another opening", code="LF-OPEN-OTHER-ENTRY")
        contents, leaf = self._judged(request, parsed, redeem.DISCLOSING)
        held = self._grants.held(parsed.header.grant_id)
        if held is None:
            raise CannotOpen("a class is not here", code="LF-OPEN-NO-SUCH-CLASS")
        directory, serial = self._pins.directory_document(), self._pins.bundle().serial
        by = attesting.Attester(self._agency, self._signing, directory, serial, self._clock.now_ms())
        return attesting.disclose(self._vault, by, request, (envelope, parsed, contents, held), leaf)

    def _judged(self, request: OpenRequest, parsed: ParsedEnvelope, act: redeem.Act) -> tuple[Contents, bytes]:
        """Return a message's contents and the entry that entitles to them; CannotOpen where none does."""
        self._limit_rate()
        contents = self._grants.open(parsed)
        judge = redeem.Judge(self._agency, self._pins.directory(), self._pins.bundle(), self._clock.now_ms(), act)
        context = _context(contents.message())
        leaf = self._read_leaf(request.log_index)
        redeem.check(judge, request, parsed, leaf, context.purpose if context is not None else "")
        assert leaf is not None, "checked"
        return contents, leaf

    def _limit_rate(self) -> None:
        second = int(self._clock.monotonic_s())
        if second != self._second:
            self._second, self._opens = second, 0
        self._opens += 1
        if self._opens > self._opens_per_second_max:
            raise Retry(
                f"more than {self._opens_per_second_max} openings in one second", cure="wait", code="LF-KEYS-RATE"
            )

    def open_shipment(self, payload: bytes) -> bytes:
        """Return the sealed half of a log shipment; no other type is given without an entry."""
        parsed = parse_payload(payload)
        if parsed.header.type != _SHIPMENT:
            raise CannotOpen("only log shipments are given without an entry")
        return b"".join(self._grants.open(parsed).plains.values())

    def _blind_key(self, at_ms: int) -> bytes:
        quarter = blinding.quarter(at_ms)
        key = self._blind_keys.get(quarter)
        if key is None:
            key = self._blind_keys[quarter] = self._vault.get_or_make(f"{_BLIND}{quarter}")
        return key

    def blind(self, kind: str, values: Sequence[str], at_ms: int) -> list[bytes]:
        """Return the blind value of each under the key of that moment's quarter."""
        key = self._blind_key(at_ms)
        return [blinding.blind(key, kind, value) for value in values]

    def blind_messages(
        self, type_names: Sequence[str], bodies: Sequence[bytes], at_ms: int
    ) -> list[list[SubjectValue]]:
        """Return the blind values of the subjects in each message of our own."""
        return [
            self._blinded(registry.body_type(name).FromString(body), at_ms)
            for name, body in zip(type_names, bodies, strict=True)
        ]

    def subject_values(self, payload: bytes, field: str) -> dict[str, list[bytes]]:
        """Return the blind values of what stands in a field of a message, by quarter: each quarter with a key here."""
        self._blind_key(self._clock.now_ms())  # the present quarter has one from its first question on
        message = self._grants.open(parse_payload(payload)).message()
        found = [(kind, value) for kind, name, value in subjects_of(message) if name == field]
        return {
            secret.removeprefix(_BLIND): [
                blinding.blind(self._vault.get_or_make(secret), kind, value) for kind, value in found
            ]
            for secret in self._vault.names(_BLIND)
        }

    def _blinded(self, message: object, at_ms: int) -> list[SubjectValue]:
        key = self._blind_key(at_ms)
        return [
            SubjectValue(kind, field, blinding.blind(key, kind, value)) for kind, field, value in subjects_of(message)
        ]

    def fingerprint(self, records: Sequence[bytes]) -> list[bytes]:
        """Return a keyed fingerprint of each record."""
        return [hmac.digest(self._fingerprint, record, "sha256") for record in records]

    def protect(self, context: bytes, data: bytes) -> bytes:
        """Encrypt data at rest: a key of its own for each, so that no number of them wears a key out."""
        salt = self._randomness.bytes(_SALT_BYTES)
        return salt + self._rest_key(salt).encrypt(_ZERO_NONCE, data, context)

    def protect_all(self, contexts: Sequence[bytes], datas: Sequence[bytes]) -> list[bytes]:
        """Encrypt many pieces of data at rest."""
        return [self.protect(context, data) for context, data in zip(contexts, datas, strict=True)]

    def unprotect(self, context: bytes, data: bytes) -> bytes:
        """Decrypt data at rest."""
        try:
            return self._rest_key(data[:_SALT_BYTES]).decrypt(_ZERO_NONCE, data[_SALT_BYTES:], context)
        except (InvalidTag, ValueError):
            raise CannotOpen("the data at rest were changed or belong elsewhere") from None

    def _rest_key(self, salt: bytes) -> AESGCM:
        return AESGCM(hmac.digest(self._rest, _REST + salt, "sha256"))

    def install_directory(self, document: bytes) -> None:
        """Hold to this directory: the same again, or the present one's successor."""
        self._pins.install_directory(document, self._life.check_own)

    def install_policy(self, document: bytes) -> None:
        """Hold to this bundle: the same again, or the present one's successor."""
        self._pins.install_policy(document)

    def tag_key(self, epoch: str) -> bytes:
        """Return the public key of our share of an epoch's tag key."""
        return self._tags.key(epoch)

    def tag_evaluate(self, epoch: str, elements: Sequence[bytes], log_index: int) -> list[bytes]:
        """Return blinded elements evaluated under our share and, last, the proof, once for a committed entry."""
        return self._tags.evaluate(epoch, elements, log_index)

    def tag_destroy(self, epoch: str) -> None:
        """Destroy our share of an epoch."""
        self._tags.destroy(epoch)

    def install_notice(self, document: bytes) -> None:
        """Hold to what an agency says of its own keys."""
        self._pins.install_notice(document)

    def notices(self) -> list[bytes]:
        """Return every notice that is held."""
        return self._pins.notices()

    def key_states(self) -> list[KeyState]:
        """Return every key of this agency and how it stands."""
        return self._life.states()

    def next_prekey(self, lifetime_ms: int) -> bytes:
        """Make the next prekey, or take up one that nobody was told of yet."""
        return self._life.next_prekey(lifetime_ms)

    def own_notice(self, revoke: Sequence[bytes], lifetime_ms: int) -> bytes:
        """Return the notice of this agency's keys, with these revoked too, once it is in force here."""
        return self._life.notice(revoke, lifetime_ms)

    def next_identity(self, overlap_ms: int) -> bytes:
        """Return this agency's entry for the next directory, with the next signing key and its consent."""
        return self._life.next_identity(overlap_ms)

    def end_epochs(self) -> int:
        """Seal nothing more under the grants of now."""
        self._sealer.forget()
        return self._vault.end_own_grants(self._clock.now_ms())

    def retire_key(self, wanted: bytes) -> None:
        """Destroy a key that is no more in force."""
        self._life.retire(wanted)

    def sweep_keys(self, lifetime_ms: int, grace_ms: int) -> list[bytes]:
        """Destroy keys whose time and grace are over."""
        return self._life.sweep(lifetime_ms, grace_ms)


def _context(message: object) -> Any:
    """Return a message's case context; None for a type that has none."""
    return getattr(message, "case_context", None)


def _raw(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()
