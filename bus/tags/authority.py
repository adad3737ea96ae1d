"""What an authority does: announce its keys, evaluate blinded values within quotas, on record, and destroy old shares.

It learns who asks, for what and how many; never a value, for they come blinded, and never a tag, for policy gives it none.

(1) the request is opened, as a named service
(2) each element is one of the group, and the epoch's share is alive
(3) quota and log entry, in one transaction
(4) the key service evaluates for that entry
(5) the answer
"""

import threading
from collections.abc import Sequence
from typing import Any

from sqlalchemy import select, update

from bus import leaves, limits, questions, store
from bus.errors import BusError, Usage
from bus.opening import Opening
from bus.outbound import Draft, Outbound, require_sent
from bus.parts import Actor, Parts, Statement
from bus.tags import epochs, group, keyring, quotas
from bus.tags.batches import batch_digest
from bus.tags.errors import TagRefused
from bus.tags.settings import SERVICE, TagSettings
from bus.tags.tables import tag_keys, tag_told
from schemas.v1 import match_pb2

QUOTA = "LF-TAG-QUOTA"
_NOTHING = Statement("", "")


class Authority:
    """One of the two holders of a share."""

    def __init__(self, parts: Parts, opening: Opening, outbound: Outbound, settings: TagSettings) -> None:
        self._parts = parts
        self._opening = opening
        self._outbound = outbound
        self._settings = settings
        self._looked_ms = 0
        self._keeping = threading.Lock()

    def housekeep(self) -> int:
        """Make and announce what is due, destroy what is over; return how much was done. Looks once a minute."""
        now = self._parts.clock.now_ms()
        if now < self._looked_ms + _LOOK_EVERY_MS:
            return 0
        self._looked_ms = now
        with self._keeping:
            plan = self.plan()
            for epoch in plan["make"]:
                self._make(epoch, epochs.span(epoch)[0], SERVICE)
            for epoch in plan["destroy"]:
                self._destroy(epoch)
            told = sum(self._announce(epoch, SERVICE) for epoch in self._alive())
        return len(plan["make"]) + len(plan["destroy"]) + told

    def plan(self) -> dict[str, list[str]]:
        """Return which epochs' shares are due to be made, and which to be destroyed."""
        now = self._parts.clock.now_ms()
        held = {row.epoch: row for row in self._rows()}
        wanted = dict.fromkeys((epochs.quarter(now), epochs.quarter(now + epochs.AHEAD_MS)))
        over = [epoch for epoch, row in held.items() if not row.destroyed_ms and self._is_over(epoch, row, now)]
        return {"make": [epoch for epoch in wanted if epoch not in held], "destroy": over}

    def rotate(self, actor: Actor, *, dry_run: bool) -> dict[str, Any]:
        """Begin a second epoch of this quarter, for when a share may be lost. Refused when policy does not let this actor."""
        now = self._parts.clock.now_ms()
        newest = max(row.epoch for row in self._rows() if row.not_before_ms <= now)
        following = epochs.successor(newest)
        told: dict[str, Any] = {
            "from": newest,
            "to": following,
            "old_share_destroyed_at_ms": now + epochs.OVERLAP_MS,
            "other_authority": next(name for name in self._settings.authorities if name != self._parts.agency),
            "done": not dry_run,
        }
        if following.endswith("-10"):
            raise Usage("a quarter has at most nine epochs", cure="wait for the next quarter", code="LF-TAG-EPOCH")
        if not dry_run:
            self._require_officer(actor)
            with self._keeping:
                self._make(following, now, actor)
                self._announce(following, actor)
        return told

    def usage(self) -> dict[str, Any]:
        """Return what each member has used of its quotas."""
        now, parts = self._parts.clock.now_ms(), self._parts
        others = [name for name in parts.directory.agencies() if name not in self._settings.authorities]
        with parts.engine.connect() as connection:
            used = {name: quotas.usage(connection, name, now) for name in others}
        return {"maxima": self._settings.maxima, "used": used}

    def answer(self, message_id: bytes) -> None:
        """Answer a request, once however often it is brought."""
        fingerprint = self._parts.keys.fingerprint([b"tag-answer" + message_id])[0]
        if self._is_answered(fingerprint):
            return
        opened = self._opening.open(message_id, ("CASE_META",), SERVICE, _NOTHING)  # (1)
        request = opened.message
        assert isinstance(request, match_pb2.TagRequest)
        header, stated = opened.envelope.header, request.case_context
        answer = self._evaluated(header.sender, message_id, request)
        draft = Draft(
            answer,
            (header.sender,),
            header.lane,
            correlation_id=header.correlation_id,
            causation_id=message_id,
            fingerprint=fingerprint,
        )
        require_sent(  # (5)
            self._outbound.send([draft], SERVICE, Statement(stated.purpose, stated.legal_basis))[0]
        )

    def _evaluated(self, asker: str, exchange: bytes, request: match_pb2.TagRequest) -> match_pb2.TagAnswer:
        fault = self._fault(request)  # (2)
        if fault:
            self._refuse(asker, exchange, request, fault)
            return match_pb2.TagAnswer(epoch=request.epoch, refusal=fault)
        index, over = self._charge(asker, exchange, request)  # (3)
        if over is not None:
            return match_pb2.TagAnswer(epoch=request.epoch, refusal=QUOTA, retry_at_ms=over.retry_at_ms)
        try:
            with self._parts.steps("tags.evaluate"):
                made = self._parts.keys.tag_evaluate(request.epoch, list(request.elements), index)  # (4)
        except BusError as error:
            if error.code not in _SAID:
                raise
            now = self._parts.clock.now_ms()
            later = quotas.begin("day", now) + quotas.WINDOWS_MS["day"]
            return match_pb2.TagAnswer(epoch=request.epoch, refusal=error.code, retry_at_ms=later)
        return match_pb2.TagAnswer(epoch=request.epoch, elements=made[:-1], proof=made[-1])

    def _fault(self, request: match_pb2.TagRequest) -> str:
        """Return the code of what is wrong with a request, or nothing."""
        if request.epoch not in self._alive():
            return "LF-TAG-EPOCH"
        try:
            for item in request.elements:
                group.element(item)
        except TagRefused as error:
            return error.code
        return ""

    def _charge(self, asker: str, exchange: bytes, request: match_pb2.TagRequest) -> tuple[int, quotas.Over | None]:
        parts, count = self._parts, len(request.elements)
        with parts.log.transaction(parts.append_deadline_s) as transaction:
            over = quotas.spend(transaction.connection, asker, count, self._settings.maxima, parts.clock.now_ms())
            kind, codes = ("RELEASE", ()) if over is None else ("DENIAL", (QUOTA, over.window.upper()))
            index = transaction.append(self._entry(kind, asker, exchange, request, codes))
        return index, over

    def _refuse(self, asker: str, exchange: bytes, request: match_pb2.TagRequest, code: str) -> None:
        with self._parts.log.transaction(self._parts.append_deadline_s) as transaction:
            transaction.append(self._entry("DENIAL", asker, exchange, request, (code,)))

    def _entry(
        self, kind: str, asker: str, exchange: bytes, request: match_pb2.TagRequest, codes: Sequence[str]
    ) -> bytes:
        stated = request.case_context
        return leaves.tags(
            self._parts,
            kind,
            peers=(asker,),
            count=len(request.elements),
            digest=batch_digest(request.epoch, request.elements),
            actor=SERVICE,
            statement=Statement(stated.purpose, stated.legal_basis, stated.case_ref),
            exchange=exchange,
            codes=("TAGS", request.epoch.upper(), *codes),
        )

    def _is_answered(self, fingerprint: bytes) -> bool:
        table = store.fingerprints
        query = select(table.c.message_id).where(table.c.fingerprint == fingerprint)
        with self._parts.engine.connect() as connection:
            return connection.execute(query).first() is not None

    def _rows(self) -> Sequence[Any]:
        query = select(tag_keys).where(tag_keys.c.authority == self._parts.agency).order_by(tag_keys.c.epoch)
        with self._parts.engine.connect() as connection:
            return connection.execute(query).all()

    def _alive(self) -> list[str]:
        now = self._parts.clock.now_ms()
        return [row.epoch for row in self._rows() if not row.destroyed_ms and now <= row.not_after_ms]

    def _is_over(self, epoch: str, row: Any, now: int) -> bool:
        """Say whether a share has had its time: its quarter and the overlap, or the overlap after a second epoch began."""
        sets = keyring.key_sets(self._parts.engine, self._settings.authorities)
        followed = [held.not_before_ms for held in sets if held.epoch > epoch and held.not_before_ms <= now]
        return now > row.not_after_ms or any(now > begins + epochs.OVERLAP_MS for begins in followed)

    def _make(self, epoch: str, not_before_ms: int, actor: Actor) -> None:
        parts = self._parts
        key = match_pb2.TagKey(
            epoch=epoch,
            public_key=parts.keys.tag_key(epoch),
            not_before_ms=not_before_ms,
            not_after_ms=epochs.span(epoch)[1],
        )
        with parts.log.transaction(parts.append_deadline_s) as transaction:
            transaction.append(leaves.tag_key(parts, ("TAG-KEY", "MADE", epoch.upper()), actor))
            keyring.insert(transaction.connection, parts.agency, key)

    def _destroy(self, epoch: str) -> None:
        parts = self._parts
        parts.keys.tag_destroy(epoch)
        with parts.log.transaction(parts.append_deadline_s) as transaction:
            transaction.append(leaves.tag_key(parts, ("TAG-KEY", "DESTROYED", epoch.upper()), SERVICE))
            mine = (tag_keys.c.epoch == epoch) & (tag_keys.c.authority == parts.agency)
            transaction.connection.execute(update(tag_keys).where(mine).values(destroyed_ms=parts.clock.now_ms()))

    def _announce(self, epoch: str, actor: Actor) -> int:
        """Send our key of an epoch to every active member that has not had it; return to how many."""
        parts = self._parts
        with parts.engine.connect() as connection:
            known = select(tag_told.c.agency).where(tag_told.c.epoch == epoch)
            told = {row.agency for row in connection.execute(known)}
        active = [name for name in parts.directory.agencies() if parts.directory.is_active(name)]
        missing = [name for name in active if name not in told and name != parts.agency]
        row = next(row for row in self._rows() if row.epoch == epoch)
        key = match_pb2.TagKey(
            epoch=epoch,
            public_key=bytes(row.public_key),
            not_before_ms=row.not_before_ms,
            not_after_ms=row.not_after_ms,
        )
        for part in limits.in_parts(missing):
            mark = parts.keys.fingerprint([b"tag-key" + epoch.encode() + " ".join(part).encode()])[0]
            require_sent(self._outbound.send([Draft(key, part, "normal", fingerprint=mark)], actor, _NOTHING)[0])
            with parts.write() as connection:
                connection.execute(tag_told.insert(), [{"epoch": epoch, "agency": name} for name in part])
        return len(missing)

    def _require_officer(self, actor: Actor) -> None:
        """Put on record and refuse whom policy does not let announce a key; nothing was made then."""
        parts = self._parts
        decision = parts.bundle.decide(questions.send_request(parts, match_pb2.TagKey(), actor, _NOTHING))
        if decision.permitted:
            return
        leaf = leaves.denial(
            parts,
            action="ADMIN",
            message_type="lianfang.v1.TagKey",
            peers=(),
            actor=actor,
            statement=_NOTHING,
            decision=decision,
        )
        with parts.log.transaction(parts.append_deadline_s) as transaction:
            index = transaction.append(leaf)
        questions.refuse(decision, index)


_LOOK_EVERY_MS = 60_000
_SAID = ("LF-TAG-KEYS-QUOTA", "LF-TAG-EPOCH")
"""Refusals of the key service that the asker is told."""
