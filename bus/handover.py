"""Handing messages over: to the agency's own system through an adapter, or to the node's own handlers.

A message waits with handover = pending until it has been handed over, and is handed over again after a crash; so what
follows must bear repetition: files have the message's id as their name, results are fingerprinted, and the local system
is told the requester's own number of the order.

The local system's actor is a named service: it opens like anyone else, with leaves.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from google.protobuf.message import Message
from sqlalchemy import select, update

import adapters
from adapters.convert import convert
from adapters.errors import FileRefused
from adapters.model import Converted
from adapters.render import render
from audit.errors import AuditError, AuditUnavailable, CommitUnknown, LogFrozen
from bus import leaves, limits, questions, store
from bus.directory import DirectoryRefused
from bus.errors import BusError, NotFound, Refused, Retry
from bus.intake import LANE_OF
from bus.keyservice.protocol import KeyServiceUnavailable
from bus.local_files import put_aside, read_whole, write_whole
from bus.opening import Opening
from bus.orders import states
from bus.orders.refusal import refusal
from bus.outbound import Draft, Outbound, require_sent
from bus.parts import Actor, Parts, Statement
from bus.passing import move_order
from bus.policy.errors import PolicyError
from bus.policy.model import Decision
from bus.sealing.errors import SealingError
from schemas import checks, registry
from schemas.errors import SchemaError
from schemas.v1 import common_pb2

_log = structlog.get_logger(__name__)

_RETRY_MS = 500
_RETRY_MS_MAX = 60_000
_UNMATCHED_MS_MAX = 10 * 60 * 1000

Refusal = BusError | SealingError | SchemaError | AuditError | FileRefused | DirectoryRefused | PolicyError
_REFUSALS = (BusError, SealingError, SchemaError, AuditError, FileRefused, DirectoryRefused, PolicyError)
"""What one message, or one file, may bring about: it is put aside with its code, and the next one has its turn."""
_LOG_IS_DOWN = (AuditUnavailable, CommitUnknown, LogFrozen)


@dataclass(frozen=True)
class LocalSystem:
    """The agency's own system: the dialect it speaks, the service that acts for it, and the folder where they meet.

    `directory/out` holds what we give it, `directory/in` what it gives us; both belong to the node's owner.
    """

    profile: str
    service: str
    directory: Path


class Handover:
    """Works off what is pending."""

    def __init__(
        self,
        parts: Parts,
        opening: Opening,
        outbound: Outbound,
        system: LocalSystem | None,
        handlers: dict[str, Callable[[bytes], None]],
    ) -> None:
        self._parts = parts
        self._opening = opening
        self._outbound = outbound
        self._system = system
        self._handlers = handlers
        self._waits: dict[bytes, int] = {}

    def run_due(self, limit: int = 64) -> int:
        """Hand over what is due; return how many were done. What fails is tried again, ever more slowly."""
        now = self._parts.clock.now_ms()
        table = store.messages
        query = (
            select(table.c.message_id, table.c.type, table.c.lane, table.c.received_at_ms)
            .where(table.c.handover == "pending", table.c.handover_after_ms <= now)
            .order_by(table.c.handover_after_ms)
            .limit(limit)
        )
        with self._parts.engine.connect() as connection:
            rows = connection.execute(query).all()
        done = 0
        for row in rows:
            try:
                with self._parts.steps("handover"):
                    self._hand_over(row.message_id, row.type)
                done += 1
            except _LOG_IS_DOWN:
                raise  # for every message
            except Retry as error:
                self._later(row, error.code)
            except _REFUSALS as error:
                self._fail(row.message_id, error)
            except Exception as error:  # noqa: BLE001 - one message's edge: no sender may stop what others have sent
                _log.error("handover.fault", message_id=row.message_id.hex(), error_type=type(error).__name__)
                self._later(row, "LF-NODE-FAULT")
        return done

    def _hand_over(self, message_id: bytes, type_name: str) -> None:
        handler = self._handlers.get(type_name)
        if handler is not None:
            handler(message_id)
        elif type_name in states.RESULT_OF:
            self._hand_over_order(message_id, type_name)
        else:
            self._hand_over_result(message_id)
        self._settle(message_id, "done")

    def _settle(self, message_id: bytes, handover: str) -> None:
        table = store.messages
        with self._parts.write() as connection:
            connection.execute(update(table).where(table.c.message_id == message_id).values(handover=handover))
        self._waits.pop(message_id, None)

    def _later(self, row: Any, code: str) -> None:
        message_id, table = row.message_id, store.messages
        if self._parts.clock.now_ms() - row.received_at_ms > limits.LIFETIME_MS[row.lane]:
            cure = "ask its sender to send it anew, if it still matters"
            self._fail(message_id, Retry("what it waits for has not come within its lifetime", cure=cure, code=code))
            return
        wait = min(self._waits.get(message_id, _RETRY_MS // 2) * 2, _RETRY_MS_MAX)
        self._waits[message_id] = wait
        _log.warning("handover.later", message_id=message_id.hex(), code=code, wait_ms=wait)
        with self._parts.write() as connection:
            connection.execute(
                update(table)
                .where(table.c.message_id == message_id)
                .values(handover_after_ms=self._parts.clock.now_ms() + wait)
            )

    def _fail(self, message_id: bytes, error: Refusal) -> None:
        """A person must look at it: it goes to the inbox, where its clock runs on."""
        _log.error("handover.failed", message_id=message_id.hex(), code=error.code, cause=error.cause, cure=error.cure)
        self._settle(message_id, "failed")

    def _open_all(self, message_id: bytes) -> Message:
        assert self._system is not None
        actor = Actor(self._system.service, service=True)
        _, inspection = self._opening.look(message_id)
        if not inspection.classes:
            raise Retry(
                "the grant that opens this message has not arrived",
                cure="it was asked for with the receipt; nothing to do",
                code="LF-HANDOVER-NO-GRANT",
            )
        opened = self._opening.open(
            message_id,
            inspection.classes,
            actor,
            Statement(inspection.purpose, inspection.legal_basis),
            action="HAND_OVER",
        )
        if not inspection.withheld or opened.envelope.header.type in states.RESULT_OF:
            checks.require_valid(opened.message)  # its sender's node has checked it, if it did not cheat
        return opened.message

    def _hand_over_order(self, message_id: bytes, type_name: str) -> None:
        assert self._system is not None
        order = self._open_all(message_id)
        decision = self._number(order, message_id, type_name) or self._effect(order, message_id)
        if not decision.permitted:
            self._refuse_order(message_id, order, decision)
            return
        self._write(message_id, order)
        with self._parts.log.transaction(self._parts.append_deadline_s) as transaction:
            move_order(transaction, message_id, states.HANDED_OVER, self._parts.clock.now_ms())

    def _number(self, order: Message, message_id: bytes, type_name: str) -> Decision | None:
        """Note the order's number; a denial where it is another agency's, which would be given the answer to that order."""
        application, table = self._application(order), store.orders
        sender = select(table.c.peer).where(table.c.message_id == message_id).scalar_subquery()
        taken = select(table.c.peer).where(
            table.c.application == application,
            table.c.type == type_name,
            table.c.side == "received",
            table.c.peer != sender,
        )
        with self._parts.write() as connection:
            if connection.execute(taken).first() is not None:
                return Decision(False, (), "an order of this number came from another agency; use another number")
            connection.execute(update(table).where(table.c.message_id == message_id).values(application=application))
        return None

    def _application(self, message: Message) -> bytes:
        """Return the blind value of an order's number, from the order or its result."""
        return self._parts.keys.blind("application", [message.application_id], 0)[0]  # type: ignore[attr-defined]  # each has it

    def _effect(self, order: Message, message_id: bytes) -> Decision:
        """Decide whether the order may take effect here: its papers must be with it (result 0600 without them)."""
        assert self._system is not None
        envelope, inspection = self._opening.look(message_id)
        kinds = tuple(
            common_pb2.AttachmentKind.Name(paper.kind).removeprefix("ATTACHMENT_KIND_").lower()
            for paper in order.attachments  # type: ignore[attr-defined]  # every order has them
        )
        request = questions.policy_request(
            self._parts,
            questions.Ask(
                point="effect",
                action="hand_over",
                message_type=registry.bare_name(envelope.header.type),
                sender=envelope.header.sender,
                statement=Statement(inspection.purpose, inspection.legal_basis),
                sealed_purpose=inspection.purpose,
                actor=Actor(self._system.service, service=True),
                attachments=kinds,
                kind=questions.order_kind(order),
                case_present=inspection.case_present,
            ),
        )
        decision = self._parts.bundle.decide(request)
        if not decision.permitted:
            leaf = leaves.denial(
                self._parts,
                action="HAND_OVER",
                message_type=envelope.header.type,
                peers=(envelope.header.sender,),
                actor=Actor(self._system.service, service=True),
                statement=Statement(inspection.purpose, inspection.legal_basis),
                decision=decision,
                subjects=inspection.subjects,
                envelope=envelope,
            )
            with self._parts.log.transaction(self._parts.append_deadline_s) as transaction:
                transaction.append(leaf)
        return decision

    def _refuse_order(self, message_id: bytes, order: Message, decision: Decision) -> None:
        body = refusal(order, decision)
        self._send_result(message_id, body, self._parts.keys.fingerprint([b"refusal" + message_id])[0], states.REFUSED)

    def _send_result(self, order_id: bytes, body: Message, fingerprint: bytes, via: str) -> None:
        assert self._system is not None
        table = store.messages
        with self._parts.engine.connect() as connection:
            order = connection.execute(select(table).where(table.c.message_id == order_id)).first()
        assert order is not None
        _, inspection = self._opening.look(order_id)
        outcome = self._outbound.send(
            [
                Draft(
                    body,
                    (order.sender,),
                    LANE_OF[body.DESCRIPTOR.name],
                    correlation_id=order.correlation_id,
                    causation_id=order_id,
                    fingerprint=fingerprint,
                )
            ],
            Actor(self._system.service, service=True),
            Statement(inspection.purpose, inspection.legal_basis),
        )[0]
        sent = require_sent(outcome)
        now = self._parts.clock.now_ms()
        with self._parts.log.transaction(self._parts.append_deadline_s) as transaction:
            if via == states.REFUSED:
                move_order(transaction, order_id, states.REFUSED, now)
            else:
                move_order(transaction, order_id, states.HANDED_OVER, now)
            move_order(transaction, order_id, states.ANSWERED, now, sent.message_id)

    def _hand_over_result(self, message_id: bytes) -> None:
        result = self._open_all(message_id)
        self._require_answer(message_id, result)
        self._write(message_id, result)

    def _require_answer(self, message_id: bytes, result: Message) -> None:
        """Refuse a result that answers no order of ours, sent to that very agency, under that very number."""
        envelope, _ = self._opening.look(message_id)
        orders, messages = store.orders, store.messages
        query = (
            select(messages.c.recipients)
            .join_from(messages, orders, orders.c.message_id == messages.c.message_id)
            .where(
                orders.c.message_id == envelope.header.causation_id,
                orders.c.side == "issued",
                orders.c.type == states.ORDER_OF[envelope.header.type],
                orders.c.application == self._application(result),
            )
        )
        with self._parts.engine.connect() as connection:
            row = connection.execute(query).first()
        if row is None or envelope.header.sender not in row.recipients.split():
            raise Refused(
                "the result answers no order that was sent to its sender",
                cure="ask the sender; the message can be read with `lianfang open`",
                code="LF-HANDOVER-NO-ORDER",
            )

    def _write(self, message_id: bytes, message: Message) -> None:
        """Write the message in the local dialect, whole or not at all."""
        assert self._system is not None
        envelope, _ = self._opening.look(message_id)
        profile = adapters.profiles()[self._system.profile]
        rendered = render(
            profile,
            message,
            {"message_id": message_id.hex(), "sender": envelope.header.sender, "agency": self._parts.agency},
        )
        if rendered.loss:
            _log.info("handover.loss", message_id=message_id.hex(), fields=list(rendered.loss))
        with self._parts.steps("handover.write"):
            write_whole(self._system.directory / "out" / f"{message_id.hex()}{profile.suffix}", rendered.data)

    def poll(self, limit: int = 64) -> int:
        """Take the local system's files; return how many were dealt with. A file that cannot be read goes to failed/."""
        if self._system is None:
            return 0
        dealt = 0
        suffix = adapters.profiles()[self._system.profile].suffix
        for path in sorted((self._system.directory / "in").glob(f"*{suffix}")):
            if dealt >= limit:
                break
            try:
                with self._parts.steps("handover.poll"):
                    dealt += self._take_answer(path)
            except KeyServiceUnavailable:
                raise  # it is down for every file; the node's thread says so once and looks again
            except _LOG_IS_DOWN:
                raise
            except Retry as error:
                _log.warning("answer.later", file=path.name, code=error.code)
            except _REFUSALS as error:
                _log.error("answer.failed", file=path.name, code=error.code, cause=error.cause, cure=error.cure)
                put_aside(path, "failed")
            except Exception as error:  # noqa: BLE001 - one file's edge: it stops neither the others nor the worker
                _log.error("answer.failed", file=path.name, code="LF-NODE-FAULT", error_type=type(error).__name__)
                put_aside(path, "failed")
        return dealt

    def _take_answer(self, path: Path) -> bool:
        assert self._system is not None
        data = read_whole(path)
        rows = list(convert(adapters.profiles()[self._system.profile], data))
        for row in rows:
            if not isinstance(row, Converted):
                raise Refused(row.cause, cure=row.cure, code=row.code)
        for row in rows:
            assert isinstance(row, Converted)
            if row.message.DESCRIPTOR.full_name not in states.ORDER_OF:
                raise Refused(
                    "the record answers nothing: it is a message of its own",
                    cure="have the local system's operator send it with `lianfang send`, which names its addressees",
                    code="LF-ANSWER-NONE",
                )
            order_id = self._order_of(row.message)
            if order_id is None:
                age_ms = self._parts.clock.now_ms() - int(path.stat().st_mtime * 1000)
                if age_ms < _UNMATCHED_MS_MAX:
                    return False  # the order may be on its way; look again
                raise NotFound(
                    "the answer names an order that was never received here",
                    cure="compare its ApplicationID with `lianfang order list`",
                    code="LF-ANSWER-UNMATCHED",
                )
            self._send_result(
                order_id, row.message, self._parts.keys.fingerprint([row.raw + row.context])[0], states.ANSWERED
            )
        put_aside(path, "done")
        return True

    def _order_of(self, result: Message) -> bytes | None:
        table = store.orders
        query = (
            select(table.c.message_id)
            .where(
                table.c.application == self._application(result),
                table.c.type == states.ORDER_OF[result.DESCRIPTOR.full_name],
                table.c.side == "received",
            )
            .order_by(table.c.created_ms.desc())
        )
        with self._parts.engine.connect() as connection:
            row = connection.execute(query).first()
        return None if row is None else bytes(row.message_id)
