"""Grants and boxes: how class keys are delivered, and how one message's compartments are closed and opened. Pure.

Message key = HMAC(class key, domain || compartment || sequence || salt), over the suite's hash; used once, so AES-256-GCM has
a zero nonce.
Salt and sequence each keep it unique alone: the salt against a vault restored from backup, the sequence against a bad
random generator. The whole header and the public body are associated data: a box opens only in the message, and at the
place, it was made for.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import MLKEM768X25519PrivateKey

from bus.sealing import kem
from bus.sealing.envelope import BOXES_MAX, RECIPIENTS_MAX, VERSION, Header, strict
from bus.sealing.errors import EnvelopeRefused, GrantRefused, cannot_open
from bus.sealing.signatures import Signatures
from bus.sealing.signatures import in_form as second_in_form
from bus.sealing.suites import CLASSICAL, SUITES, Suite
from schemas import field_classes
from schemas.v1 import envelope_pb2

_MESSAGE_KEY = b"lianfang/1 message key\x00"
_BOX = b"lianfang/1 box\x00"
_COMMITMENT = b"lianfang/1 commitment\x00"
_WRAP = b"lianfang/1 wrap\x00"
_GRANT = b"lianfang/1 grant\x00"
_ZERO_NONCE = bytes(12)
KEY_BYTES = 32
EPOCH_MS_MAX = 3_600_000
"""How long class keys are used: no grant is for longer."""
GRANT_BYTES_MAX = 256 * 1024
_COMMITMENT_BYTES = 32
_NONCE_BYTES = 16
_SIGNATURE_BYTES = 64
_KEY_ID_BYTES = 8
_SEALABLE = frozenset(field_classes.class_number(name) for name in field_classes.CLASSES) - {
    field_classes.class_number(field_classes.OPEN)
}


@dataclass(frozen=True)
class Grant:
    """A grant in form; `body` says what it delivers."""

    grant_id: bytes
    body: envelope_pb2.GrantBody
    body_bytes: bytes
    wraps: Mapping[str, tuple[bytes, bytes]]
    signature: bytes
    document: bytes
    terms: tuple[object, ...]
    second: bytes = b""

    @property
    def suite(self) -> Suite:
        """The suite that it is for."""
        return SUITES[self.body.suite]

    @property
    def signatures(self) -> Signatures:
        """What its sender signed it with."""
        return Signatures(self.signature, self.second)


def commitment(compartment: int, key: bytes, suite: Suite = CLASSICAL) -> bytes:
    """Return the commitment to a class key: all recipients provably hold the same one."""
    return suite.hash(_COMMITMENT + bytes([compartment]) + key)


def grant_id(body: bytes, suite: Suite = CLASSICAL) -> bytes:
    """Return a grant's id."""
    return suite.hash(body)[:16]


def grant_signed_bytes(body: bytes, wraps: Mapping[str, tuple[bytes, bytes]], suite: Suite = CLASSICAL) -> bytes:
    """Return what the sender signs for a grant: the body and every wrap."""
    parts = [part for recipient in sorted(wraps) for part in (recipient.encode(), *wraps[recipient])]
    listed = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return _GRANT + suite.hash(body) + suite.hash(listed)


def wrap(keys: Mapping[int, bytes], recipient: str, prekey: bytes, body: bytes, suite: Suite = CLASSICAL) -> bytes:
    """Return a recipient's class keys, HPKE-sealed to its prekey and bound to this grant and this recipient."""
    plain = envelope_pb2.ClassKeys(compartments=sorted(keys), keys=b"".join(keys[number] for number in sorted(keys)))
    return kem.seal(suite, prekey, plain.SerializeToString(deterministic=True), _info(recipient, body, suite))


def unwrap(
    sealed: bytes, recipient: str, private_key: X25519PrivateKey | MLKEM768X25519PrivateKey, grant: Grant
) -> dict[int, bytes]:
    """Return our class keys. GrantRefused unless they are exactly those that the signed body commits to for us."""
    try:
        data = kem.open_sealed(grant.suite, private_key, sealed, _info(recipient, grant.body_bytes, grant.suite))
        plain = strict(envelope_pb2.ClassKeys, data, GRANT_BYTES_MAX)
    except (InvalidTag, ValueError, EnvelopeRefused):
        raise GrantRefused("the wrap does not open for this agency", code="LF-SEAL-GRANT-WRAP") from None
    ours = {item.compartment: item for item in grant.body.compartments if recipient in item.audience}
    if list(plain.compartments) != sorted(ours) or len(plain.keys) != KEY_BYTES * len(ours):
        raise GrantRefused("the wrap holds other keys than the grant says", code="LF-SEAL-GRANT-KEYS")
    keys = {number: plain.keys[at * KEY_BYTES : (at + 1) * KEY_BYTES] for at, number in enumerate(sorted(ours))}
    if any(commitment(number, key, grant.suite) != ours[number].commitment for number, key in keys.items()):
        raise GrantRefused("a class key is not the one committed to", code="LF-SEAL-GRANT-COMMITMENT")
    return keys


def _info(recipient: str, body: bytes, suite: Suite) -> bytes:
    return _WRAP + suite.hash(body) + recipient.encode()


def parse_grant(document: bytes) -> Grant:
    """Parse a grant strictly. GrantRefused when it is not in form."""
    try:
        outer = strict(envelope_pb2.Grant, document, GRANT_BYTES_MAX)
        body = strict(envelope_pb2.GrantBody, outer.body, GRANT_BYTES_MAX)
    except EnvelopeRefused as error:
        raise GrantRefused("the grant is not in form", code="LF-SEAL-GRANT-FORM") from error
    if body.version != VERSION:
        raise GrantRefused("the grant is in another version of the sealing format", code="LF-SEAL-VERSION")
    if body.suite not in SUITES:
        raise GrantRefused("the grant is for a suite that is unknown", code="LF-SEAL-SUITE")
    suite = SUITES[body.suite]
    wraps = {item.recipient: (item.recipient_key_id, item.sealed_keys) for item in outer.wraps}
    in_form = (
        _body_in_form(body)
        and _compartments_in_form(body)
        # Exactly those who may read something have a wrap, once.
        and [item.recipient for item in outer.wraps]
        == sorted({name for item in body.compartments for name in item.audience})
        and all(len(wrap_key_id) == _KEY_ID_BYTES for wrap_key_id, _ in wraps.values())
        and len(outer.signature) == _SIGNATURE_BYTES
        and second_in_form(suite, outer.ml_dsa_65_signature)
    )
    if not in_form:
        raise GrantRefused("the grant is not in form", code="LF-SEAL-GRANT-FORM")
    return Grant(
        grant_id(outer.body, suite),
        body,
        outer.body,
        wraps,
        outer.signature,
        document,
        _terms(grant_id(outer.body, suite), body),
        outer.ml_dsa_65_signature,
    )


def _terms(grant_id_: bytes, body: envelope_pb2.GrantBody) -> tuple[object, ...]:
    return (
        grant_id_,
        body.suite,
        body.sender,
        body.sender_key_id,
        body.type,
        tuple(body.recipients),
        body.policy_serial,
    )


def _body_in_form(body: envelope_pb2.GrantBody) -> bool:
    return (
        0 < len(body.recipients) <= RECIPIENTS_MAX
        and list(body.recipients) == sorted(set(body.recipients))
        and 0 < body.not_before_ms < body.not_after_ms
        and len(body.nonce) == _NONCE_BYTES
    )


def _compartments_in_form(body: envelope_pb2.GrantBody) -> bool:
    numbers = [item.compartment for item in body.compartments]
    classes = [number for item in body.compartments for number in item.classes]
    return (
        0 < len(numbers) <= BOXES_MAX
        and numbers == list(range(1, len(numbers) + 1))
        and len(classes) == len(set(classes))
        and set(classes) <= _SEALABLE
        and all(
            item.classes
            and list(item.classes) == sorted(item.classes)
            and item.audience
            and list(item.audience) == sorted(set(item.audience))
            and set(item.audience) <= set(body.recipients)
            and len(item.commitment) == _COMMITMENT_BYTES
            for item in body.compartments
        )
    )


def why_not(header: Header, grant: Grant) -> str:
    """Return "" where a message may have been sealed under a grant, or the code of what keeps them apart.

    Same suite, type, sender, recipients and policy, and sent in the grant's time. All of it stands in the clear.
    """
    body = grant.body
    said = (
        header.grant_id,
        header.suite,
        header.sender,
        header.sender_key_id,
        header.type,
        header.recipients,
        header.policy_serial,
    )
    if said == grant.terms:
        in_time = body.not_before_ms <= header.sent_at_ms <= body.not_after_ms
        return "" if in_time else "LF-SEAL-GRANT-EPOCH"
    if header.suite != body.suite:
        return "LF-SEAL-GRANT-SUITE"
    return "LF-SEAL-GRANT-TYPE" if header.type != body.type else "LF-SEAL-GRANT-OTHER"


def classes_of(grant: Grant, compartment: int) -> tuple[str, ...]:
    """Return the classes in a compartment."""
    for item in grant.body.compartments:
        if item.compartment == compartment:
            return tuple(field_classes.class_name(number) for number in item.classes)
    return ()


@dataclass(slots=True)
class Place:
    """The message that a box belongs to: its header as carried, its public body, and what its key is derived from.

    `bound` is what every box of the message is bound to, `keyed` what every key of it is derived from but the compartment.
    Nobody changes one; it is not frozen because one is made for each message, and freezing costs as much as a box's hash.
    """

    header: bytes
    public_body: bytes
    salt: bytes
    sequence: int
    suite: Suite = CLASSICAL
    bound: bytes = field(init=False)
    keyed: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.bound = len(self.header).to_bytes(4, "big") + self.header + self.public_body
        self.keyed = self.sequence.to_bytes(8, "big") + self.salt


def close(key: bytes, compartment: int, place: Place, plain: bytes) -> bytes:
    """Return a box's ciphertext."""
    return place.suite.aead(message_key(key, compartment, place)).encrypt(
        _ZERO_NONCE, plain, _associated(compartment, place)
    )


def open_box(key: bytes, compartment: int, place: Place, ciphertext: bytes) -> bytes:
    """Return a box's plaintext. CannotOpen, always the same, when anything is not as it was sealed."""
    try:
        return place.suite.aead(message_key(key, compartment, place)).decrypt(
            _ZERO_NONCE, ciphertext, _associated(compartment, place)
        )
    except InvalidTag:
        raise cannot_open() from None


def open_with_message_key(key: bytes, compartment: int, place: Place, ciphertext: bytes) -> bytes:
    """Return a box's plaintext by the key of that box alone, as it is disclosed to a court. CannotOpen likewise."""
    if len(key) != KEY_BYTES:
        raise cannot_open()
    try:
        return place.suite.aead(key).decrypt(_ZERO_NONCE, ciphertext, _associated(compartment, place))
    except InvalidTag:
        raise cannot_open() from None


def message_key(key: bytes, compartment: int, place: Place) -> bytes:
    """Return the key of one box of one message. Disclosed, it opens that box and no other."""
    return place.suite.derive(key, b"%b%c%b" % (_MESSAGE_KEY, compartment, place.keyed))


def _associated(compartment: int, place: Place) -> bytes:
    return b"%b%c%b" % (_BOX, compartment, place.bound)
