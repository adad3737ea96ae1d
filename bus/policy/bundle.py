"""A policy bundle in force: a signed document, its successor rules, and the questions one may ask it.

- Two agencies sign it; the serial rises by one and names its predecessor's digest: no rollback, no gap, no second history.
- Its rows speak about one version of the shared language; another installation's bundle is refused.
- Its golden decisions are run before it comes into force.
"""

from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Protocol

from google.protobuf.message import DecodeError

from bus import documents
from bus.policy import files
from bus.policy.errors import PolicyError
from bus.policy.model import Decision, Owner, Request, SealPlan
from bus.policy.table import DENIED, Table, failed_goldens
from bus.policy.vocabulary import CLASSES, RELIEVING, Vocabulary, descriptors_sha256
from schemas.v1 import federation_pb2

DOMAIN = "policy"
EXPIRED = "LF-POLICY-EXPIRED"
OTHER_BUNDLE = "LF-POLICY-OTHER-BUNDLE"
CEILING = "LF-POLICY-CEILING"
FLOOR = "LF-POLICY-FLOOR"
NO_READER = "LF-POLICY-NO-READER"
_EXTENSION = "extend"


class Pin(Protocol):
    """What a node remembers of the bundle in force; a Bundle is one."""

    @property
    def serial(self) -> int:
        """Its serial."""
        ...

    @property
    def sha256(self) -> bytes:
        """The digest of its body."""
        ...


class Bundle:
    """A bundle that holds. Make one with `Bundle.load`."""

    def __init__(self, body: federation_pb2.PolicyBundleBody, digest: bytes) -> None:
        contents = {file.name: file.content for file in body.files}
        if [file.name for file in body.files] != sorted(contents):
            raise PolicyError(
                "the files are not in ascending order", code="FORM", cure="build it with bus/policy/author.py"
            )
        held = files.read(contents)
        self.serial = int(body.serial)
        self.sha256 = digest
        self.not_before_ms = int(body.not_before_ms)
        self.not_after_ms = int(body.not_after_ms)
        self.rules = tuple(held.rules)
        self.goldens = tuple(held.tests)
        self.vocabulary: Vocabulary = files.vocabulary(held.vocabulary)
        self.suites = held.suites
        self._floors = held.floors
        self._owners = files.owners(held.owners)
        self._table = Table(self.rules, self.vocabulary)
        failed = failed_goldens(self._table, self.goldens)
        if failed:
            raise PolicyError(
                f"{len(failed)} golden decisions come out otherwise: {'; '.join(failed[:3])}",
                code="GOLDEN",
                cure="mend the rows, or tests.yaml if the new decision is meant",
            )

    @classmethod
    def load(
        cls,
        document: bytes,
        *,
        signer_keys: Mapping[str, Mapping[bytes, bytes]],
        pinned: Pin | None,
        now_ms: int,
    ) -> "Bundle":
        """Return the bundle if it may follow the pinned one. PolicyError otherwise.

        Signatures come first: what two agencies did not sign is not parsed as rows.
        """
        try:
            outer = federation_pb2.PolicyBundle.FromString(document)
            body = federation_pb2.PolicyBundleBody.FromString(outer.body)
        except DecodeError:
            raise _refused("the bundle does not parse", "FORM") from None
        signed = documents.signers(DOMAIN, outer.body, outer.signatures, signer_keys)
        if len(signed) < documents.SIGNERS_NEEDED:
            raise _refused(f"{len(signed)} of {documents.SIGNERS_NEEDED} agencies have signed it", "SIGNATURES")
        digest = sha256(outer.body).digest()
        _check_succession(body, pinned)
        _check_validity(body, now_ms)
        _check_descriptors(body)
        return _made(outer.body, digest)

    @classmethod
    def held(cls, document: bytes) -> "Bundle":
        """Return a bundle that was judged when it was taken in, as a restart finds it. PolicyError if it is unreadable."""
        body = federation_pb2.PolicyBundle.FromString(document).body
        return _made(body, sha256(body).digest())

    def is_document(self, document: bytes) -> bool:
        """Say whether these bytes are this very bundle."""
        try:
            outer = federation_pb2.PolicyBundle.FromString(document)
        except DecodeError:
            return False
        return sha256(outer.body).digest() == self.sha256

    def decide(self, request: Request) -> Decision:
        """Return the decision on one question. Never raises: what cannot be decided is denied."""
        decision = self._table.decide(request)
        if not decision.permitted:
            return decision
        if not self.not_before_ms <= request.now_ms <= self.not_after_ms:
            return Decision(
                False,
                (),
                "the policy bundle is not valid now",
                next_step="ask the centre for its successor",
                code=EXPIRED,
            )
        if request.bundle_serial not in (0, self.serial):
            return Decision(
                False,
                (),
                f"the question was asked of bundle {request.bundle_serial}; {self.serial} is in force",
                next_step="try again: the bundle has changed meanwhile",
                code=OTHER_BUNDLE,
            )
        return decision

    def floor(self, message_type: str, kind: str = "") -> frozenset[str]:
        """Return the classes that a message of that type must not withhold."""
        floor = self._floors.get(message_type)
        if floor is None:
            return frozenset()
        instead = floor.relief if kind in RELIEVING else floor.extension if kind == _EXTENSION else None
        return frozenset(floor.classes if instead is None else instead)

    def owner(self, message_type: str) -> Owner | None:
        """Return whose job a message is, or None where it is nobody's."""
        return self._owners.get(message_type)


@lru_cache(maxsize=8)
def _made(body: bytes, digest: bytes) -> Bundle:
    """Return the bundle of a checked body; the same bytes are read and compiled once, for a bundle never changes."""
    return Bundle(federation_pb2.PolicyBundleBody.FromString(body), digest)


def plan_seal(  # noqa: PLR0913 - each is one word of the question
    bundle: Bundle,
    *,
    message_type: str,
    purpose: str,
    legal_basis: str,
    sender: str,
    sender_type: str,
    recipients: Mapping[str, str],
    present_classes: frozenset[str],
    now_ms: int,
    kind: str = "",
) -> SealPlan:
    """Say which recipient may read which class: {agency: type} in, {class: agencies} out.

    Ceiling: a class that no recipient may read refuses the message by name. So does a recipient who could read nothing.
    Floor: a class that must not be withheld, and is not there or has no reader, refuses it by name.
    """
    wanted = sorted(present_classes & CLASSES)
    refusals = [_refusal(CEILING, f"unknown class {name}", "") for name in sorted(present_classes - CLASSES - {"OPEN"})]
    audiences: dict[str, frozenset[str]] = {}
    for name in wanted:
        decisions = {
            agency: bundle.decide(
                Request(
                    point="seal",
                    action="seal",
                    agency=agency,
                    agency_type=agency_type,
                    sender=sender,
                    sender_type=sender_type,
                    message_type=message_type,
                    now_ms=now_ms,
                    field_class=name,
                    purpose=purpose,
                    legal_basis=legal_basis,
                    kind=kind,
                )
            )
            for agency, agency_type in sorted(recipients.items())
        }
        readers = frozenset(agency for agency, decision in decisions.items() if decision.permitted)
        if readers:
            audiences[name] = readers
        else:
            refusals.append(_surplus(name, message_type, decisions))
    readable = frozenset().union(*audiences.values())
    if wanted:
        refusals += [
            _refusal(NO_READER, f"{agency} may read nothing of this {message_type}", "send it without that recipient")
            for agency in sorted(set(recipients) - readable)
        ]
    refusals += [
        _refusal(
            FLOOR,
            f"{name} must not be withheld from {message_type}",
            f"give the fields of class {name}, to a recipient who may read them",
        )
        for name in sorted(bundle.floor(message_type, kind) - set(audiences))
    ]
    return SealPlan({} if refusals else audiences, tuple(refusals))


def _surplus(name: str, message_type: str, decisions: Mapping[str, Decision]) -> Decision:
    first = next(iter(decisions.values()), None)
    why = f": {first.reason}" if first is not None else ""
    return Decision(
        False,
        tuple(sorted({rule for decision in decisions.values() for rule in decision.rule_ids})),
        f"no recipient of this {message_type} may read {name}{why}",
        tuple(sorted({text for decision in decisions.values() for text in decision.missing})),
        f"leave out the fields of class {name}, or state the purpose and basis that need them",
        CEILING if first is None or first.code == DENIED else first.code,
    )


def _refusal(code: str, reason: str, next_step: str) -> Decision:
    return Decision(False, (), reason, next_step=next_step, code=code)


def _check_succession(body: federation_pb2.PolicyBundleBody, pinned: Pin | None) -> None:
    if pinned is None:
        return
    if body.serial <= pinned.serial:
        raise _refused(f"serial {body.serial} does not rise above the pinned {pinned.serial}", "ROLLBACK")
    if body.serial != pinned.serial + 1:
        raise _refused(f"serial {body.serial} leaves a gap after the pinned {pinned.serial}", "GAP")
    if body.previous_sha256 != pinned.sha256:
        raise _refused(f"serial {body.serial} follows another bundle than the pinned one", "HISTORY")


def _check_validity(body: federation_pb2.PolicyBundleBody, now_ms: int) -> None:
    if now_ms < body.not_before_ms:
        raise _refused("the bundle is not valid yet", "NOT-YET")
    if now_ms > body.not_after_ms:
        raise _refused("the bundle has expired", "EXPIRED")


def _check_descriptors(body: federation_pb2.PolicyBundleBody) -> None:
    if body.descriptors_sha256 != descriptors_sha256():
        raise PolicyError(
            "the bundle's rows speak about another version of the shared language than this installation has",
            code="DESCRIPTORS",
            cure="bring this node to the release the bundle was made with, or have it made anew with this one",
        )


def _refused(cause: str, code: str) -> PolicyError:
    return PolicyError(
        cause,
        code=code,
        cure="the pinned bundle stays in force; ask the co-ordinating centre and the auditor what happened",
    )
