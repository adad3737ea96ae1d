"""Which messages hold the same value, by their tags: ours and those we received, compared where their tags may be opened.

- A named service opens the tags of each message that arrives, with an entry, like anyone who opens anything.
- What is kept are keyed prints: a stolen database tells which messages agree, and nothing that meets anybody else's tags.
- Prints go when their epoch is over: no tag of it will be made again, so nothing new can meet them.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.engine import Connection

from bus import leaves, limits, questions, store
from bus.errors import Refused
from bus.opening import Opening
from bus.parts import Actor, Parts, Statement
from bus.policy.model import Decision
from bus.tags import epochs
from bus.tags.settings import MATCHER
from bus.tags.tables import tag_looked, tag_prints
from bus.tags.tag import FIELD, print_input
from schemas import registry
from schemas.v1 import match_pb2

_TAG_CLASS = "MATCH_TAG"
_PURPOSE = "early_warning"
_NOTHING = Statement("", "")


def tagged_types() -> tuple[str, ...]:
    """Return the types of messages that have tags."""
    return tuple(name for name in registry.bodies() if FIELD in registry.descriptor_of(name).fields_by_name)


class Matches:
    """The index of tags."""

    def __init__(self, parts: Parts, opening: Opening) -> None:
        self._parts = parts
        self._opening = opening
        self._types = tagged_types()
        self._pruned_ms = 0

    def note(self, message_id: bytes, sender: str, type_name: str, tags: Sequence[match_pb2.MatchTag]) -> None:
        """Take a message's tags into the index; a second time changes nothing."""
        with self._parts.write() as connection:
            self._insert(connection, message_id, sender, type_name, tags)

    def run_due(self, limit: int = 16) -> int:
        """Look at the tags of messages that have arrived; return how many were looked at."""
        messages, looked = store.messages, tag_looked
        query = (
            select(messages.c.message_id, messages.c.sender, messages.c.type)
            .select_from(messages.outerjoin(looked, looked.c.message_id == messages.c.message_id))
            .where(messages.c.direction == "in", messages.c.type.in_(self._types), looked.c.message_id.is_(None))
            .order_by(messages.c.received_at_ms)
            .limit(limit)
        )
        with self._parts.engine.connect() as connection:
            rows = connection.execute(query).all()
        for row in rows:
            tags = self._opened(bytes(row.message_id))
            with self._parts.write() as connection:
                self._insert(connection, bytes(row.message_id), row.sender, row.type, tags)
                connection.execute(looked.insert(), {"message_id": bytes(row.message_id)})
        self._prune()
        return len(rows)

    def listing(self, actor: Actor, statement: Statement, limit: int) -> list[dict[str, Any]]:
        """Return groups of messages that hold the same value, newest first: only those whose tags this actor may open.

        Refused, on record, when policy lets the actor see none that there are; each listing is on record.
        """
        parts, shown = self._parts, min(limit, limits.INBOX_PAGE_MAX)
        groups = self._groups(shown)
        decisions = {
            place: self._decide(actor, statement, *place)
            for place in {(row["type"], row["sender"]) for found in groups for row in found["messages"]}
        }
        denied = next((decision for decision in decisions.values() if not decision.permitted), None)
        seen = [
            found
            for found in groups
            if all(decisions[row["type"], row["sender"]].permitted for row in found["messages"])
        ]
        is_refused = denied is not None and not seen
        if denied is not None and is_refused:
            leaf = leaves.denial(
                parts,
                action="SEARCH",
                message_type="",
                peers=(),
                actor=actor,
                statement=statement,
                decision=denied,
                classes=(_TAG_CLASS,),
            )
        else:
            leaf = leaves.log_read(parts, "SEARCH", actor, statement)
        with parts.log.transaction(parts.append_deadline_s) as transaction:
            index = transaction.append(leaf)
        if denied is not None and is_refused:
            questions.refuse(denied, index)
        return seen

    def _opened(self, message_id: bytes) -> Sequence[match_pb2.MatchTag]:
        """Return a message's tags; none where it has none for us or policy does not let them be compared."""
        _, inspection = self._opening.look(message_id)
        if _TAG_CLASS not in inspection.classes:
            return ()
        try:
            opened = self._opening.open(
                message_id, (_TAG_CLASS,), MATCHER, Statement(inspection.purpose, inspection.legal_basis)
            )
        except Refused:
            return ()  # the denial is on record
        return list(getattr(opened.message, FIELD))

    def _insert(
        self,
        connection: Connection,
        message_id: bytes,
        sender: str,
        type_name: str,
        tags: Sequence[match_pb2.MatchTag],
    ) -> None:
        if not tags:
            return
        prints = dict(zip(self._parts.keys.fingerprint([print_input(tag) for tag in tags]), tags, strict=True))
        known = select(tag_prints.c.print).where(tag_prints.c.message_id == message_id)
        held = {bytes(row.print) for row in connection.execute(known)}
        new = [
            {
                "print": mark,
                "message_id": message_id,
                "sender": sender,
                "type": type_name,
                "kind": tag.kind,
                "epoch": tag.epoch,
                "seen_ms": self._parts.clock.now_ms(),
            }
            for mark, tag in prints.items()
            if mark not in held
        ]
        if new:
            connection.execute(tag_prints.insert(), new)

    def _groups(self, limit: int) -> list[dict[str, Any]]:
        """Return messages by the print that they share, where two or more do; a value's two epochs are one group."""
        one, other = tag_prints.alias(), tag_prints.alias()
        query = (
            select(one)
            .where(
                select(other.c.row_id)
                .where(other.c.print == one.c.print, other.c.message_id != one.c.message_id)
                .exists()
            )
            .order_by(one.c.row_id.desc())
            .limit(limit * 8)
        )
        with self._parts.engine.connect() as connection:
            rows = connection.execute(query).all()
        by_print: dict[bytes, list[Any]] = {}
        for row in rows:
            by_print.setdefault(bytes(row.print), []).append(row)
        groups: dict[tuple[str, tuple[bytes, ...]], dict[str, Any]] = {}
        for found in by_print.values():
            if len(found) > 1:
                ids = tuple(sorted(bytes(row.message_id) for row in found))
                groups.setdefault((found[0].kind, ids), _group(found))
        return list(groups.values())[:limit]

    def _decide(self, actor: Actor, statement: Statement, type_name: str, sender: str) -> Decision:
        request = questions.policy_request(
            self._parts,
            questions.Ask(
                point="open",
                action="open",
                message_type=registry.bare_name(type_name),
                sender=sender,
                statement=statement,
                sealed_purpose=_PURPOSE,
                actor=actor,
                field_class=_TAG_CLASS,
            ),
        )
        return self._parts.bundle.decide(request)

    def _prune(self) -> None:
        """Forget the prints of epochs that are over. Looks once an hour."""
        now = self._parts.clock.now_ms()
        if now < self._pruned_ms + _PRUNE_EVERY_MS:
            return
        self._pruned_ms = now
        with self._parts.engine.connect() as connection:
            held = [row.epoch for row in connection.execute(select(tag_prints.c.epoch).distinct())]
        over = [epoch for epoch in held if epochs.span(epoch)[1] < now]
        if over:
            with self._parts.write() as connection:
                connection.execute(delete(tag_prints).where(tag_prints.c.epoch.in_(over)))


_PRUNE_EVERY_MS = 3_600_000


def _group(rows: Sequence[Any]) -> dict[str, Any]:
    return {
        "kind": rows[0].kind,
        "seen_ms": max(int(row.seen_ms) for row in rows),
        "messages": [
            {"message_id": bytes(row.message_id).hex(), "type": row.type, "sender": row.sender}
            for row in sorted(rows, key=lambda row: row.row_id)
        ],
    }
