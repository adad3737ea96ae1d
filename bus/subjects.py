"""Finding a subject in the logs of all agencies without reading it.

The auditor names a message and a field. Every node answers with its own keyed value of what stands there, made in its
key service; the agency that sent the message passes the subject, sealed, to those that policy lets hold it, and they
answer too. The values are useless to anyone but the log they are the key to.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.message import Message
from sqlalchemy import select

from audit import review
from bus import leaves, limits, questions, store
from bus.errors import NotFound, Retry
from bus.opening import Opening
from bus.outbound import Draft, Outbound, require_sent
from bus.oversight import Oversight
from bus.parts import Actor, Parts, Statement
from bus.randomness import uuid7
from schemas import registry
from schemas.field_classes import field_class
from schemas.v1 import common_pb2, oversight_pb2

SUBJECT = Actor("svc-subject", service=True)
_AUDIT = Statement("audit", "ATF5")
_QUERY = "lianfang.v1.SubjectQuery"
_STATUS_SCHEME = "iso20022.InvestigationStatus"
_VALUES_MAX = 64
"""Values in one answer, newest quarter first; the schema takes no more (16 years of one account)."""


class Subjects:
    """Asks for and answers with keyed values of subjects."""

    def __init__(self, parts: Parts, opening: Opening, outbound: Outbound, oversight: Oversight) -> None:
        self._parts = parts
        self._opening = opening
        self._outbound = outbound
        self._oversight = oversight

    def ask(self, message_id: bytes, field: str, actor: Actor, statement: Statement) -> bytes:
        """Ask every other agency for its value of a subject; return the query's id. Refused when policy denies."""
        query_id = uuid7(self._parts.clock.now_ms(), self._parts.randomness)
        self.require_search(actor, statement, message_id)
        others = tuple(name for name in self._parts.directory.agencies() if name != self._parts.agency)
        body = oversight_pb2.SubjectQuery(query_id=query_id, message_id=message_id, field=field)
        for outcome in self._outbound.send(
            [Draft(body, part, "normal") for part in limits.in_parts(others)], actor, statement
        ):
            require_sent(outcome)
        return query_id

    def require_search(self, actor: Actor, statement: Statement, exchange: bytes = b"") -> None:
        """Put on record that somebody searches the logs. Refused, on record too, when policy denies it."""
        request = questions.policy_request(
            self._parts,
            questions.Ask(
                point="effect",
                action="search",
                message_type="SubjectQuery",
                sender=self._parts.agency,
                statement=statement,
                actor=actor,
            ),
        )
        decision = self._parts.bundle.decide(request)
        if decision.permitted:
            leaf = leaves.log_read(self._parts, "SEARCH", actor, statement, exchange)
        else:
            leaf = leaves.denial(
                self._parts,
                action="SEARCH",
                message_type="lianfang.v1.SubjectQuery",
                peers=(),
                actor=actor,
                statement=statement,
                decision=decision,
                exchange=exchange,
            )
        with self._parts.log.transaction(self._parts.append_deadline_s) as transaction:
            index = transaction.append(leaf)
        if not decision.permitted:
            questions.refuse(decision, index)

    def result(self, query_id: bytes, waiting_for: Sequence[str]) -> dict[str, Any]:
        """Return who looked, by agency, as far as the answers and the mirrored logs go, and who has not answered."""
        answers = self._oversight.answers(query_id)
        looks: list[dict[str, Any]] = []
        for agency, (_, values) in answers.items():
            wanted = frozenset(bytes.fromhex(value) for held in values.values() for value in held)
            mirror = self._oversight.mirror(agency)
            found = review.who(enumerate(mirror.leaves(0, mirror.size)), wanted) if wanted else []
            looks += [{"agency": agency, **look.as_dict()} for look in found]
        return {
            "answers": {agency: status for agency, (status, _) in sorted(answers.items())},
            "silent": [agency for agency in waiting_for if agency not in answers],
            "looks": sorted(looks, key=lambda look: (look["at_ms"], look["agency"], look["entry"])),
        }

    def answer_query(self, message_id: bytes) -> None:
        """Answer an auditor's query, and pass the subject on where it came from here."""
        opened = self._opening.open(message_id, ("CASE_META",), SUBJECT, _AUDIT)
        query = opened.message
        assert isinstance(query, oversight_pb2.SubjectQuery)
        asker = opened.envelope.header.sender
        try:
            envelope, _ = self._opening.look(query.message_id)
        except NotFound:
            self._answer(asker, query.query_id, message_id, {})
            return
        values = self._parts.keys.subject_values(envelope.payload, query.field)
        self._answer(asker, query.query_id, message_id, values)
        if envelope.header.sender == self._parts.agency:
            self._forward(query, message_id, envelope.header.type, asker)

    def answer_forward(self, message_id: bytes) -> None:
        """Answer the asker with our value of a subject that its holder passed to us; the subject itself is not read.

        The asker is who sent us the question that the forward follows from: no member makes us answer where no auditor
        asked, or somebody whom it names itself.
        """
        envelope, _ = self._opening.look(message_id)
        asker = self._asker(envelope.header.causation_id)
        opened = self._opening.open(message_id, ("CASE_META",), SUBJECT, _AUDIT)
        forward = opened.message
        assert isinstance(forward, oversight_pb2.SubjectForward)
        values = self._parts.keys.subject_values(envelope.payload, "account")
        self._answer(asker, forward.query_id, message_id, values)

    def _asker(self, query_message_id: bytes) -> str:
        """Return who sent us a question. Retry while there is none: the forward may have overtaken it."""
        table = store.messages
        query = select(table.c.sender).where(
            table.c.message_id == query_message_id, table.c.direction == "in", table.c.type == _QUERY
        )
        with self._parts.engine.connect() as connection:
            row = connection.execute(query).first()
        if row is None:
            raise Retry(
                "the question that this subject was passed on for has not arrived",
                cure="nothing to do; it is put aside when none comes",
                code="LF-SUBJECT-NO-QUERY",
            )
        return str(row.sender)

    def keep_answer(self, message_id: bytes) -> None:
        """Keep an agency's answer."""
        _, inspection = self._opening.look(message_id)
        opened = self._opening.open(message_id, inspection.classes, SUBJECT, _AUDIT)
        answer = opened.message
        assert isinstance(answer, oversight_pb2.SubjectAnswer)
        values: dict[str, list[str]] = {}
        for value in answer.values:
            values.setdefault(value.quarter, []).append(value.value.hex())
        self._oversight.keep_answer(answer.query_id, opened.envelope.header.sender, answer.status.code, values)

    def _answer(self, asker: str, query_id: bytes, causation_id: bytes, values: Mapping[str, Sequence[bytes]]) -> None:
        pairs = [(quarter, value) for quarter in sorted(values, reverse=True) for value in values[quarter]]
        body = oversight_pb2.SubjectAnswer(
            query_id=query_id,
            values=[oversight_pb2.SubjectValue(quarter=quarter, value=value) for quarter, value in pairs[:_VALUES_MAX]],
            status=common_pb2.CodedValue(scheme=_STATUS_SCHEME, code="FOUN" if pairs else "NFOU"),
        )
        fingerprint = self._parts.keys.fingerprint([b"subject-answer" + causation_id])[0]
        outcome = self._outbound.send(
            [Draft(body, (asker,), "normal", causation_id=causation_id, fingerprint=fingerprint)], SUBJECT, _AUDIT
        )[0]
        require_sent(outcome)

    def _forward(self, query: oversight_pb2.SubjectQuery, query_message_id: bytes, type_name: str, asker: str) -> None:
        field = registry.descriptor_of(type_name).fields_by_name.get(query.field)
        if field is None or field_class(field) != "ACCOUNT_ID":
            return  # nothing to pass on; that nothing was found has been answered
        opened = self._opening.open(query.message_id, ("ACCOUNT_ID",), SUBJECT, _AUDIT)
        held = getattr(opened.message, query.field)
        items = [held] if isinstance(held, Message | str) else list(held)
        accounts = [item for item in items if isinstance(item, common_pb2.AccountRef)]
        holders = tuple(
            name
            for name in self._parts.directory.agencies()
            if name not in (self._parts.agency, asker) and questions.may_hold_accounts(self._parts, name, _AUDIT)
        )
        for number, account in enumerate(accounts):
            body = oversight_pb2.SubjectForward(query_id=query.query_id, asker=asker, account=account)
            record = b"subject-forward" + query_message_id + number.to_bytes(4, "big")
            draft = Draft(
                body,
                holders,
                "normal",
                causation_id=query_message_id,
                fingerprint=self._parts.keys.fingerprint([record])[0],
            )
            require_sent(self._outbound.send([draft], SUBJECT, _AUDIT)[0])
