"""What policy is asked: requests made from trusted facts, and what follows from a denial.

Every fact comes from a verified header, the key service, the socket's peer or the agency's own register of cases; only
purpose, legal basis, case and mandate are what a person states, and case and mandate count only as the register has them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from google.protobuf.message import Message

from bus.errors import Refused, Usage
from bus.parts import Actor, Parts, Statement
from bus.policy.bundle import plan_seal
from bus.policy.model import Decision, Point, Request, SealPlan
from bus.sealing.envelope import Header
from bus.sealing.plan import Compartment, compartments
from bus.sealing.split import classes_present
from schemas import registry


@dataclass(frozen=True)
class Ask:
    """One question about something that somebody does here."""

    point: Point
    action: str
    message_type: str
    sender: str
    statement: Statement
    actor: Actor
    sealed_purpose: str = ""
    field_class: str = ""
    attachments: tuple[str, ...] = ()
    kind: str = ""
    case_present: bool = False


def policy_request(parts: Parts, ask: Ask) -> Request:
    """Return the request for a question, with what the own register says of the case and the mandate."""
    stated = ask.statement
    case = parts.case(stated.case_ref)
    return Request(
        point=ask.point,
        action=ask.action,
        agency=parts.agency,
        agency_type=parts.directory.agency_type(parts.agency),
        sender=ask.sender,
        sender_type=parts.directory.agency_type(ask.sender),
        message_type=ask.message_type,
        now_ms=parts.clock.now_ms(),
        field_class=ask.field_class,
        purpose=stated.purpose,
        legal_basis=stated.legal_basis,
        sealed_purpose=ask.sealed_purpose,
        kind=ask.kind,
        roles=() if ask.actor.service else ask.actor.roles,
        service=ask.actor.identity if ask.actor.service else "",
        case_present=bool(stated.case_ref) or ask.case_present,
        case_status=case.status if case is not None else "",
        mandate=case is not None and bool(stated.mandate) and stated.mandate in case.mandates,
        on_team=case is not None and ask.actor.identity in case.team,
        attachments=ask.attachments,
        bundle_serial=parts.bundle.serial,
    )


def accept_request(parts: Parts, header: Header) -> Request:
    """Return the question whether a verified message of this kind is taken from its sender."""
    return Request(
        point="accept",
        action="accept",
        agency=parts.agency,
        agency_type=parts.directory.agency_type(parts.agency),
        sender=header.sender,
        sender_type=parts.directory.agency_type(header.sender),
        message_type=registry.bare_name(header.type),
        now_ms=parts.clock.now_ms(),
    )


def send_request(parts: Parts, message: Message, actor: Actor, stated: Statement) -> Request:
    """Return the question whether this actor may send this message."""
    return policy_request(
        parts,
        Ask(
            point="effect",
            action="send",
            message_type=message.DESCRIPTOR.name,
            sender=parts.agency,
            statement=stated,
            actor=actor,
            sealed_purpose=stated.purpose,
            kind=order_kind(message),
        ),
    )


def seal_plan(parts: Parts, message: Message, recipients: Sequence[str], stated: Statement) -> SealPlan:
    """Return which recipient may read which class of a message, or why it may not be sent."""
    return plan_seal(
        parts.bundle,
        message_type=message.DESCRIPTOR.name,
        purpose=stated.purpose,
        legal_basis=stated.legal_basis,
        sender=parts.agency,
        sender_type=parts.directory.agency_type(parts.agency),
        recipients={name: parts.directory.agency_type(name) for name in recipients},
        present_classes=frozenset(classes_present(message)),
        now_ms=parts.clock.now_ms(),
        kind=order_kind(message),
    )


def with_context(message: Message, statement: Statement) -> tuple[Message, Statement]:
    """Return a copy of the message with the sealed half of its header filled in, and the statement that then holds.

    A record that says for itself why it was made (an order from the police system) is believed only where the actor
    stated nothing else; a contradiction is refused, for the purpose binds every later reading.
    """
    if "case_context" not in message.DESCRIPTOR.fields_by_name:
        return message, statement
    copy = type(message)()
    copy.CopyFrom(message)
    context = copy.case_context  # type: ignore[attr-defined]  # looked up in the descriptor above
    for name in ("purpose", "legal_basis", "case_ref", "mandate"):
        stated, carried = getattr(statement, name), getattr(context, name)
        if stated and carried and stated != carried:
            raise Usage(
                f"the record names another {name.replace('_', ' ')} than the sender stated",
                cure="state the record's own, or leave it out",
                code="LF-SEND-CONTRADICTION",
            )
        setattr(context, name, carried or stated)
    filled = Statement(context.purpose, context.legal_basis, context.case_ref, context.mandate)
    return copy, filled


@dataclass(frozen=True)
class Verdict:
    """What policy says of a message that is to be sent: `refusal` is None when it may go, in these compartments."""

    decision: Decision
    refusal: Decision | None
    compartments: tuple[Compartment, ...]


@dataclass
class Hearing:
    """Verdicts on the messages of one batch: what is the same question is asked once. It ends with the batch."""

    parts: Parts
    actor: Actor
    _verdicts: dict[tuple[object, ...], Verdict] = field(default_factory=dict)

    def verdict(self, message: Message, recipients: tuple[str, ...], stated: Statement) -> Verdict:
        """Return whether the actor may send it, and which recipient may read which class."""
        question = (message.DESCRIPTOR.name, order_kind(message), classes_present(message), recipients, stated)
        found = self._verdicts.get(question)
        if found is None:
            decision = self.parts.bundle.decide(send_request(self.parts, message, self.actor, stated))
            plan = seal_plan(self.parts, message, recipients, stated)
            refusal = decision if not decision.permitted else next(iter(plan.refusals), None)
            found = self._verdicts[question] = Verdict(decision, refusal, compartments(plan.audiences))
        return found


def may_hold_accounts(parts: Parts, agency: str, stated: Statement) -> bool:
    """Say whether policy lets an agency be given an account number for an auditor's question."""
    decision = parts.bundle.decide(
        Request(
            point="seal",
            action="seal",
            agency=agency,
            agency_type=parts.directory.agency_type(agency),
            sender=parts.agency,
            sender_type=parts.directory.agency_type(parts.agency),
            message_type="SubjectForward",
            now_ms=parts.clock.now_ms(),
            field_class="ACCOUNT_ID",
            purpose=stated.purpose,
            legal_basis=stated.legal_basis,
        )
    )
    return decision.permitted


def first_denied(decisions: Sequence[Decision]) -> Decision:
    """Return the first denial, or a permit that names every row that permitted."""
    denied = next((decision for decision in decisions if not decision.permitted), None)
    if denied is not None:
        return denied
    rules = tuple(dict.fromkeys(rule for decision in decisions for rule in decision.rule_ids))
    return Decision(True, rules, decisions[0].reason if decisions else "")


def refuse(decision: Decision, entry: int) -> NoReturn:
    """Raise the refusal that a denial is, with its rules and the entry that records it."""
    raise Refused(
        decision.reason,
        cure=decision.next_step,
        code=decision.code,
        rules=list(decision.rule_ids),
        missing=list(decision.missing),
        entry=entry,
    )


def order_kind(message: Message) -> str:
    """Return what an order asks for (stop, lift, extend, freeze, release), or nothing for any other message."""
    field = message.DESCRIPTOR.fields_by_name.get("kind")
    if field is None or field.enum_type is None:
        return ""
    name = field.enum_type.values_by_number[message.kind].name.rsplit("_", 1)[-1].lower()  # type: ignore[attr-defined]  # looked up above
    return "" if name == "unspecified" else str(name)
