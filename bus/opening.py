"""Opening classed fields of a message: a separate act, in an order that a crash at any arrow leaves truthful.

(1) trusted context: the stored message, verified again; what it says of purpose and case, from the key service
(2) decide, class by class; a refusal is a DENIAL leaf with its rule, and nothing is opened
(3) the RECEIPT leaf, durable, with the digests of the token and of the context decided on
(4) the one-use token goes to the key service, which looks for that very leaf, decides again and gives plaintext
(5) the OUTCOME leaf

No plaintext without its leaf: step (4) is impossible before (3) is on disk, and the key service checks it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from google.protobuf.message import Message
from sqlalchemy import select

from bus import leaves, questions, store
from bus.errors import Broken, NotFound, Refused, Retry, Usage
from bus.keyservice.protocol import Inspection, OpenRequest
from bus.parts import Actor, Parts, Statement
from bus.policy.canonical import canonical
from bus.policy.model import Decision, Request
from bus.sealing.errors import SealingError
from bus.sealing.split import join
from bus.sealing.verify import VerifiedEnvelope, verify_stored
from schemas import field_classes, registry

TOO_LATE = "LF-OPEN-LATE"
"""Nothing is wrong with the message: the machine was slow, and a new entry opens it."""


@dataclass(frozen=True)
class Opened:
    """Plaintext of the classes asked for, and the leaf under which it was given."""

    message: Message
    classes: tuple[str, ...]
    withheld: tuple[str, ...]
    log_index: int
    envelope: VerifiedEnvelope


class Opening:
    """Opens fields of stored messages."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def open(
        self, message_id: bytes, classes: Sequence[str], actor: Actor, statement: Statement, *, action: str = "OPEN"
    ) -> Opened:
        """Open the fields of these classes.

        Refused (with the rule) when policy denies any of them, NotFound for an unknown message or a class that it has
        not got for us, Usage when none is named, Retry when key service or log do not answer.
        """
        wanted = tuple(sorted(set(classes)))
        if not wanted:
            raise Usage("no field or class was named", cure="name one with --field or --class")
        envelope, inspection = self.look(message_id)  # (1)
        said = stated(statement, inspection)
        requests = [self._request(envelope, inspection, name, actor, said) for name in wanted]
        self._refuse_or_pass(envelope, inspection, requests, wanted, actor, said)  # (2)
        missing = tuple(name for name in wanted if name not in inspection.classes)
        if missing:
            raise NotFound(
                f"the message carries nothing of class {', '.join(missing)} for this agency",
                cure="`lianfang inbox` lists the classes that each message has for you",
                code="LF-OPEN-NO-SUCH-CLASS",
            )
        token = self._parts.randomness.bytes(32)
        leaf = leaves.opening(self._parts, envelope, inspection, wanted, actor, said, requests, token, action)
        with self._parts.steps("open.leaf"), self._parts.log.transaction(self._parts.append_deadline_s) as transaction:
            index = transaction.append(leaf)  # (3)
        fragments = self._redeem(envelope, wanted, index, token, canonical(requests))  # (4)
        message = join(registry.body_type(envelope.header.type), envelope.public_body, fragments)
        self._outcome(envelope, index, actor, "OPENED")  # (5)
        return Opened(message, wanted, inspection.withheld, index, envelope)

    def look(self, message_id: bytes) -> tuple[VerifiedEnvelope, Inspection]:
        """Return a stored message, verified again, and what the key service says of it without opening it."""
        envelope, _, inspection = self.look_whole(message_id)
        return envelope, inspection

    def look_whole(self, message_id: bytes) -> tuple[VerifiedEnvelope, bytes, Inspection]:
        """Return the same, with the envelope's bytes between the two."""
        query = select(store.messages).where(store.messages.c.message_id == message_id)
        with self._parts.engine.connect() as connection:
            row = connection.execute(query).first()
        if row is None:
            raise NotFound(
                f"no message {message_id.hex()} here",
                cure="`lianfang inbox` lists what has arrived; a refused message is in quarantine",
            )
        try:
            envelope = verify_stored(row.envelope, self._parts.directory)
        except SealingError as error:
            raise Broken(
                "a stored message no longer verifies",
                cure="the database was changed behind the node's back: run `lianfang audit verify` and call the auditor",
                code=error.code,
            ) from error
        try:
            with self._parts.steps("open.inspect"):
                return envelope, bytes(row.envelope), self._parts.keys.inspect(envelope.payload)
        except SealingError as error:
            # Its sender signed boxes that do not open: possible only where the grant came after the message.
            raise Broken(
                "the message's sealed part does not open: its sender did not seal it properly",
                cure="tell the sender and the auditor; the signed envelope is the evidence",
                code=error.code,
            ) from error

    def explain(
        self, message_id: bytes, fields: Sequence[str], actor: Actor, statement: Statement
    ) -> dict[str, Decision]:
        """Return what policy would decide on each field for this actor now; opens nothing and leaves no entry."""
        envelope, inspection = self.look(message_id)
        said = stated(statement, inspection)
        wanted = classes_of_fields(envelope.header.type, fields or tuple(_fields(envelope.header.type)))
        return {
            name: self._parts.bundle.decide(self._request(envelope, inspection, field_class, actor, said))
            for name, field_class in wanted.items()
            if field_class != field_classes.OPEN
        }

    def _request(
        self, envelope: VerifiedEnvelope, inspection: Inspection, name: str, actor: Actor, stated: Statement
    ) -> Request:
        return questions.policy_request(
            self._parts,
            questions.Ask(
                point="open",
                action="open",
                message_type=registry.bare_name(envelope.header.type),
                sender=envelope.header.sender,
                statement=stated,
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
        stated: Statement,
    ) -> None:
        decision = questions.first_denied([self._parts.bundle.decide(request) for request in requests])
        if decision.permitted:
            return
        leaf = leaves.denial(
            self._parts,
            action="OPEN",
            message_type=envelope.header.type,
            peers=(envelope.header.sender,),
            actor=actor,
            statement=stated,
            decision=decision,
            subjects=inspection.subjects,
            envelope=envelope,
            classes=wanted,
        )
        with self._parts.steps("open.deny"), self._parts.log.transaction(self._parts.append_deadline_s) as transaction:
            index = transaction.append(leaf)
        questions.refuse(decision, index)

    def _redeem(
        self, envelope: VerifiedEnvelope, wanted: tuple[str, ...], index: int, token: bytes, context: bytes
    ) -> dict[str, bytes]:
        try:
            with self._parts.steps("open.redeem"):
                return self._parts.keys.open(
                    OpenRequest(payload=envelope.payload, classes=wanted, log_index=index, token=token, context=context)
                )
        except SealingError as error:
            self._outcome(envelope, index, None, error.code)
            if error.code == TOO_LATE:
                raise Retry(
                    "the key service came too late to open it: the entry had grown old",
                    cure="open it again; each try has an entry of its own",
                    code=TOO_LATE,
                    entry=index,
                ) from error
            raise Refused(
                "the key service did not open it",
                cure="the reason stands in the log under this entry; ask the operator",
                code=error.code,
                entry=index,
            ) from error

    def _outcome(self, envelope: VerifiedEnvelope, index: int, actor: Actor | None, code: str) -> None:
        leaf = leaves.opening_outcome(self._parts, envelope, index, actor, code)
        with (
            self._parts.steps("open.outcome"),
            self._parts.log.transaction(self._parts.append_deadline_s) as transaction,
        ):
            transaction.append(leaf)


def stated(statement: Statement, inspection: Inspection) -> Statement:
    """Return the statement; who states no purpose opens for the message's own."""
    return Statement(
        statement.purpose or inspection.purpose,
        statement.legal_basis or (inspection.legal_basis if not statement.purpose else ""),
        statement.case_ref,
        statement.mandate,
    )


def _fields(type_name: str) -> list[str]:
    return [field.name for field in registry.descriptor_of(type_name).fields]


def classes_of_fields(type_name: str, fields: Sequence[str]) -> dict[str, str]:
    """Return {field: class} of a message's fields. Usage for a field that the message has not got."""
    body = registry.descriptor_of(type_name)
    found: dict[str, str] = {}
    for name in fields:
        field = body.fields_by_name.get(name)
        if field is None:
            raise Usage(
                f"{type_name} has no field {name}",
                cure=f"its fields are {', '.join(sorted(body.fields_by_name))}",
            )
        found[name] = field_classes.field_class(field)
    return found


def require_classes(type_name: str, named: Sequence[str]) -> None:
    """Usage for a class that a message of that type has not got."""
    known = sorted(field_classes.fields_by_class(registry.descriptor_of(type_name)))
    for name in named:
        if name not in known:
            raise Usage(f"{type_name} has no class {name}", cure=f"its classes are {', '.join(known)}")


def fields_of(type_name: str, classes: tuple[str, ...]) -> dict[str, list[str]]:
    """Return {class: fields} of a type, for these classes."""
    by_class = field_classes.fields_by_class(registry.descriptor_of(type_name))
    return {name: [field.name for field in by_class.get(name, ())] for name in classes}
