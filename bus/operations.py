"""What a person or a program may ask of a running node over its control socket: one function per operation.

Each takes the actor (from the socket's peer) and the arguments, and returns what JSON can carry. Arguments never name
an actor. Decisions are made by the rooms, not here.
"""

import base64
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict
from sqlalchemy import func, select
from sqlalchemy.engine import Connection

from bus import health, leaves, limits, store
from bus.control import Operations
from bus.errors import Broken, NoAnswer, NotFound, Usage
from bus.node import Node
from bus.opening import classes_of_fields, fields_of, require_classes
from bus.orders.compose import compose
from bus.outbound import AlreadySent, Draft, require_sent
from bus.parts import Actor, Statement
from bus.policy.render import render
from bus.refusals import meaning
from schemas import field_classes, registry
from schemas.errors import MessageRefused

_STATED = ("case_context.purpose", "case_context.legal_basis")


class NodeOperations:
    """The operations of one node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._parts = node.parts

    def table(self) -> Operations:
        """Return the operations by name."""
        return {
            "status": self.status,
            "health": lambda _, __: health.report(self._parts, self._node.config.timers.receipt_waits_s()),
            "send": self.send,
            "order": self.order,
            "orders": self.orders,
            "inbox": self.inbox,
            "sent": self.sent,
            "open": self.open,
            "evidence.disclose": self.disclose,
            "held_back": self.held_back,
            "quarantine": self.quarantine,
            "audit.ask": self.audit_ask,
            "audit.answers": self.audit_answers,
            "audit.prove": self.audit_prove,
            "audit.export": self.audit_export,
            "audit.leaf": self.audit_leaf,
            "policy.show": self.policy_show,
            "policy.explain": self.policy_explain,
            **self._node.publishing.operations(),
            **self._node.key_life.operations(),
            **self._node.tags.operations(),
        }

    def status(self, _: Actor, __: dict[str, Any]) -> dict[str, Any]:
        """Say how the node is."""
        parts, table = self._parts, store.outbox
        with parts.engine.connect() as connection:
            rows = connection.execute(select(table.c.state, func.count()).group_by(table.c.state)).all()
            pending = connection.execute(
                select(store.messages.c.handover, func.count())
                .where(store.messages.c.direction == "in")
                .group_by(store.messages.c.handover)
            ).all()
        return {
            "agency": parts.agency,
            "directory_serial": parts.directory.serial,
            "policy_serial": parts.bundle.serial,
            "log": {
                "origin": parts.log.origin,
                "entries": parts.log.size,
                "cosigned": {witness: parts.log.cosigned_size(witness) for witness in parts.witnesses},
            },
            "outbox": {state: int(count) for state, count in rows},
            "inbox": {handover: int(count) for handover, count in pending},
            "transport": self._node.transport_health(),
        }

    def send(self, actor: Actor, arguments: dict[str, Any]) -> dict[str, Any]:
        """Send a local file."""
        data = base64.b64decode(arguments["data"])
        companions = {name: base64.b64decode(text) for name, text in arguments.get("companions", {}).items()}
        recipients, statement = self._recipients(arguments), _statement(arguments)
        try:
            intake = self._node.intake.take(
                data, arguments.get("profile") or "auto", recipients, actor, statement, companions
            )
        except MessageRefused as error:
            if any(violation.path in _STATED for violation in error.violations):
                raise Usage(
                    f"the file does not say what it is sent for, and nobody stated it: {error.cause}",
                    cure="state --purpose and --legal-basis; `lianfang policy show` names those that go together",
                    code="LF-SEND-NO-PURPOSE",
                ) from error
            raise
        return vars(intake)

    def order(self, actor: Actor, arguments: dict[str, Any]) -> dict[str, Any]:
        """Send an order made from plain arguments."""
        message, statement = compose(arguments, self._parts.clock.now_ms())
        outcome = self._node.outbound.send(
            [
                Draft(
                    message,
                    self._recipients(arguments),
                    "urgent",
                    fingerprint=self._parts.keys.fingerprint([b"order" + message.application_id.encode()])[0],  # type: ignore[attr-defined]  # every order has it
                )
            ],
            actor,
            statement,
        )[0]
        sent = require_sent(outcome)
        if isinstance(sent, AlreadySent):
            return {"message_id": sent.message_id.hex(), "already_sent": True}
        return {"message_id": sent.message_id.hex(), "already_sent": False, "entry": sent.log_index}

    def orders(self, _: Actor, arguments: dict[str, Any]) -> list[dict[str, Any]]:
        """List orders issued and received, with their state."""
        table = store.orders
        query = select(table).order_by(table.c.created_ms.desc()).limit(_limit(arguments))
        with self._parts.engine.connect() as connection:
            rows = connection.execute(query).all()
            codes = self._ended(connection, [row.message_id for row in rows if row.side == "issued"])
        return [
            {
                "message_id": row.message_id.hex(),
                "side": row.side,
                "peer": row.peer,
                "type": registry.bare_name(row.type),
                "state": row.state,
                "result_message_id": row.result_message_id.hex(),
                "created_ms": row.created_ms,
                "deadline_ms": row.deadline_ms,
                **_told(codes.get(row.message_id, "")),
            }
            for row in rows
        ]

    def _ended(self, connection: Connection, message_ids: list[bytes]) -> dict[bytes, str]:
        """Return under which code messages of ours were refused or expired."""
        table = store.outbox
        ended = table.c.message_id.in_(message_ids), table.c.state.in_(("refused", "expired"))
        rows = connection.execute(select(table.c.message_id, table.c.code).where(*ended))
        return {row.message_id: row.code for row in rows}

    def inbox(self, _: Actor, arguments: dict[str, Any]) -> list[dict[str, Any]]:
        """List what has arrived, newest first. Shows what each message has for this agency, and opens nothing."""
        return self._messages("in", arguments)

    def sent(self, _: Actor, arguments: dict[str, Any]) -> list[dict[str, Any]]:
        """List what was sent, newest first, with each recipient's receipt."""
        table = store.outbox
        listed = self._messages("out", arguments)
        ids = [bytes.fromhex(item["message_id"]) for item in listed]
        with self._parts.engine.connect() as connection:
            rows = connection.execute(select(table).where(table.c.message_id.in_(ids))).all()
        for item in listed:
            item["deliveries"] = {
                row.recipient: {"state": row.state, "attempts": row.attempts, **_told(row.code)}
                for row in rows
                if row.message_id.hex() == item["message_id"]
            }
        return listed

    def _messages(self, direction: str, arguments: dict[str, Any]) -> list[dict[str, Any]]:
        table = store.messages
        query = select(table).where(table.c.direction == direction)
        if arguments.get("type"):
            query = query.where(table.c.type == registry.descriptor_of(arguments["type"]).full_name)
        query = query.order_by(table.c.received_at_ms.desc(), table.c.message_id.desc()).limit(_limit(arguments))
        with self._parts.engine.connect() as connection:
            rows = connection.execute(query).all()
        return [self._listed(row) for row in rows]

    def _listed(self, row: Any) -> dict[str, Any]:
        shown = {
            "message_id": row.message_id.hex(),
            "type": registry.bare_name(row.type),
            "sender": row.sender,
            "recipients": row.recipients.split(),
            "lane": row.lane,
            "received_at_ms": row.received_at_ms,
            "deadline_ms": row.deadline_ms,
            "owner": row.owner,
            "state": row.handover,
            "correlation_id": row.correlation_id.hex(),
            "causation_id": row.causation_id.hex(),
            "entry": row.log_index,
        }
        try:
            _, inspection = self._node.opening.look(row.message_id)
        except Broken as error:  # one bad message must not hide the others
            return shown | {"purpose": "", "classes": [], "withheld": [], "fields": {}, "problem": error.code}
        return shown | {
            "purpose": inspection.purpose,
            "classes": list(inspection.classes),
            "withheld": list(inspection.withheld),
            "fields": fields_of(row.type, inspection.classes),
            "problem": "",
        }

    def open(self, actor: Actor, arguments: dict[str, Any]) -> dict[str, Any]:
        """Open fields of a message for a stated purpose; the leaf is written first."""
        message_id = _message_id(arguments)
        envelope, _ = self._node.opening.look(message_id)
        fields = classes_of_fields(envelope.header.type, arguments.get("fields", []))
        require_classes(envelope.header.type, arguments.get("classes", []))
        classes = tuple(set(fields.values()) | set(arguments.get("classes", [])) - {field_classes.OPEN})
        opened = self._node.opening.open(message_id, classes, actor, _statement(arguments))
        whole = MessageToDict(opened.message, preserving_proto_field_name=True)
        wanted = set(fields) or {
            field.name
            for name, group in field_classes.fields_by_class(opened.message.DESCRIPTOR).items()
            for field in group
            if name in classes
        }
        return {
            "message_id": message_id.hex(),
            "fields": {name: value for name, value in whole.items() if name in wanted},
            "withheld": list(opened.withheld),
            "entry": opened.log_index,
        }

    def disclose(self, actor: Actor, arguments: dict[str, Any]) -> dict[str, Any]:
        """Disclose one compartment of a message as evidence; the leaf is written first."""
        message_id = _message_id(arguments)
        envelope, _ = self._node.opening.look(message_id)
        require_classes(envelope.header.type, arguments["classes"])
        made = self._node.disclosing.disclose(message_id, arguments["classes"], actor, _statement(arguments))
        return {
            "message_id": message_id.hex(),
            "classes": list(made.classes),
            "entry": made.log_index,
            "exhibit": base64.b64encode(made.exhibit).decode(),
        }

    def held_back(self, _: Actor, arguments: dict[str, Any]) -> list[dict[str, Any]]:
        """List rows that could not be sent, with the reason; the rows themselves stay encrypted."""
        table = store.held_back
        query = select(table).order_by(table.c.received_at_ms.desc()).limit(_limit(arguments))
        with self._parts.engine.connect() as connection:
            rows = connection.execute(query).all()
        return [
            {
                "row": row.record,
                "line": row.line,
                "profile": row.profile,
                "file_sha256": row.source_sha256.hex(),
                "code": row.code,
                "cause": row.cause,
                "cure": row.cure,
                "received_at_ms": row.received_at_ms,
            }
            for row in rows
        ]

    def quarantine(self, _: Actor, arguments: dict[str, Any]) -> list[dict[str, Any]]:
        """List what was refused on arrival."""
        table = store.quarantine
        query = select(table).order_by(table.c.row_id.desc()).limit(_limit(arguments))
        with self._parts.engine.connect() as connection:
            rows = connection.execute(query).all()
        return [
            {
                "sender": row.sender,
                **_told(row.code),
                "sha256": row.sha256.hex(),
                "received_at_ms": row.received_at_ms,
                "entry": row.log_index,
            }
            for row in rows
        ]

    def audit_ask(self, actor: Actor, arguments: dict[str, Any]) -> dict[str, Any]:
        """Ask every agency for its keyed value of a subject."""
        query_id = self._node.subjects.ask(
            _message_id(arguments), arguments.get("field") or "account", actor, _statement(arguments)
        )
        return {"query_id": query_id.hex()}

    def audit_answers(self, actor: Actor, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return who looked at the subject, as far as answers and mirrored logs go."""
        self._node.subjects.require_search(actor, _statement(arguments), bytes.fromhex(arguments["query_id"]))
        others = [name for name in self._parts.directory.agencies() if name != self._parts.agency]
        return self._node.subjects.result(bytes.fromhex(arguments["query_id"]), others)

    def audit_prove(self, _: Actor, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the C2SP proof of one entry of the own log."""
        index = int(arguments["index"])
        if not 0 <= index < self._parts.log.size:
            raise NotFound(f"the log has no entry {index}", cure=f"it has the entries 0 to {self._parts.log.size - 1}")
        proof = self._parts.log.prove(index)
        if proof is None:
            raise NoAnswer(f"no cosigned checkpoint covers entry {index} yet", cure="ask again in a few seconds")
        return {
            "index": index,
            "leaf": base64.b64encode(self._parts.log.leaf(index)).decode(),
            "proof": proof.decode(),
        }

    def audit_export(self, actor: Actor, arguments: dict[str, Any]) -> dict[str, Any]:
        """Write the log as a C2SP static directory that verifies from its files alone."""
        leaf = leaves.log_read(self._parts, "EXPORT", actor, Statement("", ""))
        with self._parts.log.transaction(self._parts.append_deadline_s) as transaction:
            transaction.append(leaf)
        if arguments.get("wait", True):
            self._node.wait_cosigned(self._parts.log.size, timeout_s=float(arguments.get("timeout_s", 20)))
        target = Path(arguments["directory"])
        witnesses = {name: self._parts.directory.member(name).witness_vkey for name in self._parts.witnesses}
        size = self._parts.log.export(target, witnesses)
        return {"directory": str(target), "entries": size, "origin": self._parts.log.origin}

    def audit_leaf(self, _: Actor, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return one entry of the own log, decoded."""
        index = int(arguments["index"])
        if not 0 <= index < self._parts.log.size:
            raise NotFound(f"the log has no entry {index}", cure=f"it has the entries 0 to {self._parts.log.size - 1}")
        return leaves.as_dict(self._parts.log.leaf(index))

    def policy_show(self, _: Actor, __: dict[str, Any]) -> dict[str, Any]:
        """Return the bundle in force, one sentence per row."""
        bundle = self._parts.bundle
        words = bundle.vocabulary
        return {
            "serial": bundle.serial,
            "sha256": bundle.sha256.hex(),
            "rows": render(bundle),
            "purposes": {name: sorted(purpose.bases) for name, purpose in words.purposes.items()},
            "bases": dict(words.bases),
        }

    def policy_explain(self, actor: Actor, arguments: dict[str, Any]) -> dict[str, Any]:
        """Say what the bundle decides for this actor about a field of a message, and why; opens nothing."""
        message_id = _message_id(arguments)
        decisions = self._node.opening.explain(message_id, arguments.get("fields", []), actor, _statement(arguments))
        return {
            "decisions": {
                name: {
                    "permitted": decision.permitted,
                    "rules": list(decision.rule_ids),
                    "reason": decision.reason,
                    "missing": list(decision.missing),
                    "next_step": decision.next_step,
                }
                for name, decision in decisions.items()
            }
        }

    def _recipients(self, arguments: dict[str, Any]) -> tuple[str, ...]:
        recipients = tuple(arguments.get("to", ()))
        if not recipients:
            raise Usage("no recipient was named", cure="name agencies with --to", code="LF-SEND-NO-RECIPIENT")
        for name in recipients:
            if name not in self._parts.directory.agencies() or name == self._parts.agency:
                raise Usage(
                    f"{name} is no other member of the federation",
                    cure=f"members: {', '.join(self._parts.directory.agencies())}",
                    code="LF-SEND-UNKNOWN-RECIPIENT",
                )
        return recipients


def _told(code: str) -> dict[str, str]:
    cause, cure = meaning(code)
    return {"code": code, "cause": cause, "cure": cure}


def _statement(arguments: dict[str, Any]) -> Statement:
    return Statement(
        arguments.get("purpose") or "",
        arguments.get("legal_basis") or "",
        arguments.get("case") or "",
        arguments.get("mandate") or "",
    )


def _message_id(arguments: dict[str, Any]) -> bytes:
    try:
        message_id = bytes.fromhex(arguments["message_id"])
    except (KeyError, ValueError):
        message_id = b""
    if len(message_id) != 16:  # noqa: PLR2004 - a UUID
        raise Usage("a message id is 32 hexadecimal digits", cure="copy it from `lianfang inbox`")
    return message_id


def _limit(arguments: dict[str, Any]) -> int:
    return max(1, min(int(arguments.get("limit") or 50), limits.INBOX_PAGE_MAX))
