"""What a node may ask of its key service. KeyService itself and the socket client both answer to this."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from bus.errors import Retry
from bus.sealing.plan import Compartment


class KeyServiceUnavailable(Retry):
    """The key service does not answer: nothing was opened or sealed."""

    code = "LF-KEYS-UNAVAILABLE"


@dataclass(frozen=True)
class PublicKeys:
    """An agency's public keys, as they go into the member directory. Those of suites 2 and 4 may be empty."""

    agency: str
    signing_key: bytes
    prekey: bytes
    prekey_not_before_ms: int
    prekey_not_after_ms: int
    prekey_signature: bytes
    log_vkey: str
    witness_vkey: str
    signing_key_ml_dsa_65: bytes = b""
    signing_key_sm2: bytes = b""
    prekey_x_wing: bytes = b""


@dataclass(frozen=True)
class SealRequest:
    """A message to seal. `body` is the whole serialised message."""

    message_id: bytes
    type_name: str
    recipients: tuple[str, ...]
    lane: str
    sent_at_ms: int
    expires_at_ms: int
    policy_serial: int
    correlation_id: bytes
    causation_id: bytes
    body: bytes
    compartments: tuple[Compartment, ...]
    inline_grant: bool


@dataclass(frozen=True)
class SubjectValue:
    """The blind value of one subject in a message."""

    kind: str
    field: str
    value: bytes


@dataclass(frozen=True)
class KeyState:
    """A key of the agency and how it stands. Times are 0 where a key has none.

    `uses`: grants that it signed or opened; of an epoch, how many messages it may have sealed at most.
    """

    key_id: bytes
    kind: str
    suites: str
    state: str
    not_before_ms: int
    not_after_ms: int
    uses: int


@dataclass(frozen=True)
class Inspection:
    """What may be known of a sealed message without opening it: workflow codes, blind values, and which classes we hold."""

    purpose: str
    legal_basis: str
    case_present: bool
    case: bytes
    mandate_present: bool
    classes: tuple[str, ...]
    withheld: tuple[str, ...]
    subjects: tuple[SubjectValue, ...]
    compartments: tuple[str, ...] = ()

    @property
    def together(self) -> tuple[tuple[str, ...], ...]:
        """The classes that share a box, box by box; only those that we hold and that have a field set."""
        return tuple(tuple(text.split()) for text in self.compartments)


@dataclass(frozen=True)
class OpenRequest:
    """A request for plaintext: the message, the classes, and the entry under which it may be given."""

    payload: bytes
    classes: tuple[str, ...]
    log_index: int
    token: bytes
    context: bytes


class Keys(Protocol):
    """The key service."""

    def public_keys(self) -> PublicKeys:
        """Return the agency's public keys."""
        ...

    def seal(self, requests: Sequence[SealRequest]) -> list[bytes]:
        """Seal messages under one signature; return the envelopes."""
        ...

    def sign(self, purpose: Literal["log", "witness", "directory", "policy"], message: bytes) -> bytes:
        """Sign a checkpoint, a cosignature, or the body of a document."""
        ...

    def admit(self, payload: bytes) -> str:
        """Take in a message's inline grant; return "" or, when its grant is not here, LF-IN-GRANT-UNKNOWN.

        GrantRefused when grant or message do not hold together.
        """
        ...

    def admit_all(self, payloads: Sequence[bytes]) -> list[str]:
        """Take in many messages as `admit` does; a refusal is its code, in the message's place."""
        ...

    def accept_grant(self, document: bytes) -> None:
        """Take in a grant. GrantRefused when it does not hold."""
        ...

    def grant(self, grant_id: bytes) -> bytes:
        """Return a grant of our own, to send it again."""
        ...

    def inspect(self, payload: bytes) -> Inspection:
        """Say what may be known of a message without opening it."""
        ...

    def open(self, request: OpenRequest) -> dict[str, bytes]:
        """Return {class: fragment}, once, for a committed entry. CannotOpen otherwise."""
        ...

    def disclose(self, envelope: bytes, request: OpenRequest) -> bytes:
        """Return an exhibit that opens one compartment of one message, once, for a committed entry. CannotOpen otherwise."""
        ...

    def open_shipment(self, payload: bytes) -> bytes:
        """Return the sealed half of a Checkpoint message; CannotOpen for any other type."""
        ...

    def blind(self, kind: str, values: Sequence[str], at_ms: int) -> list[bytes]:
        """Return the blind value of each."""
        ...

    def subject_values(self, payload: bytes, field: str) -> dict[str, list[bytes]]:
        """Return the blind values of what stands in a field of a message, by quarter: each quarter with a key here."""
        ...

    def blind_messages(
        self, type_names: Sequence[str], bodies: Sequence[bytes], at_ms: int
    ) -> list[list[SubjectValue]]:
        """Return the blind values of the subjects in each message of our own."""
        ...

    def fingerprint(self, records: Sequence[bytes]) -> list[bytes]:
        """Return a keyed fingerprint of each record."""
        ...

    def protect(self, context: bytes, data: bytes) -> bytes:
        """Encrypt data at rest, bound to a context."""
        ...

    def protect_all(self, contexts: Sequence[bytes], datas: Sequence[bytes]) -> list[bytes]:
        """Encrypt many pieces of data at rest, each bound to its own context."""
        ...

    def unprotect(self, context: bytes, data: bytes) -> bytes:
        """Decrypt data at rest. CannotOpen when context or data are others."""
        ...

    def install_directory(self, document: bytes) -> None:
        """Hold to this directory from now on, if it may follow the present one."""
        ...

    def install_policy(self, document: bytes) -> None:
        """Hold to this policy bundle from now on, if it may follow the present one."""
        ...

    def tag_key(self, epoch: str) -> bytes:
        """Return the public key of our share of an epoch's tag key; an authority's alone asks."""
        ...

    def tag_evaluate(self, epoch: str, elements: Sequence[bytes], log_index: int) -> list[bytes]:
        """Return blinded elements evaluated under our share and, last, the proof, once for a committed entry."""
        ...

    def tag_destroy(self, epoch: str) -> None:
        """Destroy our share of an epoch."""
        ...

    def install_notice(self, document: bytes) -> None:
        """Hold to what an agency says of its own keys. NoticeRefused when it does not hold, NoticeOlder when overtaken."""
        ...

    def notices(self) -> list[bytes]:
        """Return every notice that is held."""
        ...

    def key_states(self) -> list[KeyState]:
        """Return every key of this agency and how it stands."""
        ...

    def next_prekey(self, lifetime_ms: int) -> bytes:
        """Make the next prekey, or take up one that nobody was told of yet; return its id."""
        ...

    def own_notice(self, revoke: Sequence[bytes], lifetime_ms: int) -> bytes:
        """Return the notice of this agency's keys, with these revoked too, once it is in force here."""
        ...

    def next_identity(self, overlap_ms: int) -> bytes:
        """Return this agency's entry for the next directory, with the next signing key and its consent."""
        ...

    def end_epochs(self) -> int:
        """Seal nothing more under the grants of now; return how many there were."""
        ...

    def retire_key(self, wanted: bytes) -> None:
        """Destroy a key that is no more in force."""
        ...

    def sweep_keys(self, lifetime_ms: int, grace_ms: int) -> list[bytes]:
        """Destroy keys whose time and grace are over; return their ids."""
        ...
