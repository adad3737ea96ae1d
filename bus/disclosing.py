"""Disclosing one compartment of one message as evidence: an opening whose plaintext goes to a court, so on record like one.

(1) trusted context, as for an opening (bus/opening.py)
(2) every class that the compartment holds must be named: what shares a box cannot be held back from who gets its key
(3) decide, class by class, on the action `disclose`; a refusal is a DENIAL entry with its rule
(4) the RECEIPT entry, durable; then the key service, which decides again and attests; then the OUTCOME entry

The exhibit opens that compartment alone. It is plaintext for whoever holds it: keep it as the case file is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bus import leaves, questions
from bus.errors import NotFound, Refused, Usage
from bus.keyservice.protocol import Inspection, OpenRequest
from bus.opening import Opening, stated
from bus.parts import Actor, Parts, Statement
from bus.policy.canonical import canonical
from bus.policy.model import Request
from bus.sealing.errors import SealingError
from bus.sealing.verify import VerifiedEnvelope
from schemas import registry

_ACTION = "DISCLOSE"


@dataclass(frozen=True)
class Disclosed:
    """An exhibit, and the entry under which it was made."""

    exhibit: bytes
    classes: tuple[str, ...]
    log_index: int


class Disclosing:
    """Makes exhibits of stored messages."""

    def __init__(self, parts: Parts, opening: Opening) -> None:
        self._parts = parts
        self._opening = opening

    def disclose(self, message_id: bytes, classes: Sequence[str], actor: Actor, statement: Statement) -> Disclosed:
        """Make an exhibit of the compartment that holds these classes.

        Refused (with the rule) when policy denies one of them, Usage when the compartment holds others too, NotFound for an
        unknown message or a class that it has not got for us.
        """
        envelope, data, inspection = self._opening.look_whole(message_id)  # (1)
        wanted = tuple(sorted(set(classes)))
        said = stated(statement, inspection)
        requests = [self._request(envelope, inspection, name, actor, said) for name in wanted]
        self._refuse_or_pass(envelope, inspection, requests, wanted, actor, said)  # (3)
        self._require_whole(inspection, wanted)  # (2)
        token = self._parts.randomness.bytes(32)
        leaf = leaves.opening(self._parts, envelope, inspection, wanted, actor, said, requests, token, _ACTION)
        with self._parts.log.transaction(self._parts.append_deadline_s) as transaction:
            index = transaction.append(leaf)  # (4)
        asked = OpenRequest(envelope.payload, wanted, index, token, canonical(requests))
        try:
            exhibit = self._parts.keys.disclose(data, asked)
        except SealingError as error:
            self._outcome(envelope, index, None, error.code)
            raise Refused(
                "the key service did not disclose it",
                cure="the reason stands in the log under this entry; ask the operator",
                code=error.code,
                entry=index,
            ) from error
        self._outcome(envelope, index, actor, "DISCLOSED")
        return Disclosed(exhibit, wanted, index)

    def _request(
        self, envelope: VerifiedEnvelope, inspection: Inspection, name: str, actor: Actor, said: Statement
    ) -> Request:
        return questions.policy_request(
            self._parts,
            questions.Ask(
                point="open",
                action="disclose",
                message_type=registry.bare_name(envelope.header.type),
                sender=envelope.header.sender,
                statement=said,
                sealed_purpose=inspection.purpose,
                actor=actor,
                field_class=name,
            ),
        )

    def _refuse_or_pass(
        self,
        envelope: VerifiedEnvelope,
        inspection: Inspection,
        requests: Sequence[Request],
        wanted: tuple[str, ...],
        actor: Actor,
        said: Statement,
    ) -> None:
        decision = questions.first_denied([self._parts.bundle.decide(request) for request in requests])
        if decision.permitted:
            return
        leaf = leaves.denial(
            self._parts,
            action=_ACTION,
            message_type=envelope.header.type,
            peers=(envelope.header.sender,),
            actor=actor,
            statement=said,
            decision=decision,
            subjects=inspection.subjects,
            envelope=envelope,
            classes=wanted,
        )
        with self._parts.log.transaction(self._parts.append_deadline_s) as transaction:
            index = transaction.append(leaf)
        questions.refuse(decision, index)

    def _require_whole(self, inspection: Inspection, wanted: tuple[str, ...]) -> None:
        missing = [name for name in wanted if name not in inspection.classes]
        if missing:
            raise NotFound(
                f"the message carries nothing of class {', '.join(missing)} for this agency",
                cure="`lianfang inbox` lists the classes that each message has for you",
                code="LF-OPEN-NO-SUCH-CLASS",
            )
        together = next((group for group in inspection.together if set(wanted) & set(group)), ())
        if set(together) != set(wanted):
            raise Usage(
                f"a compartment is disclosed whole; the one that holds {wanted[0]} holds {', '.join(together)}",
                cure="name exactly those classes, if all of them may go to the court",
                code="LF-EVIDENCE-COMPARTMENT",
            )

    def _outcome(self, envelope: VerifiedEnvelope, index: int, actor: Actor | None, code: str) -> None:
        leaf = leaves.opening_outcome(self._parts, envelope, index, actor, code, _ACTION)
        with self._parts.log.transaction(self._parts.append_deadline_s) as transaction:
            transaction.append(leaf)
