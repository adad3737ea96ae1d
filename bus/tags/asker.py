"""How messages get their tags: they wait, for a few seconds, while both authorities evaluate their blinded values.

(1) which messages take tags, and which of their recipients may have them; all others go at once, as ever
(2) the values, each once; what was asked for in this epoch already is remembered, in memory alone
(3) blinded, with a fresh factor each; drafts and factors are kept encrypted at rest
(4) one request to each authority, for each epoch in use
(5) both answers: proofs checked under the pinned keys, shares joined, tags made
(6) the messages go out with their tags, as their actor's, decided on anew

A warning does not hang on its tags: when an authority refuses, answers wrongly or not at all in time, the messages go
without, and `lianfang tags status` says why.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import select, update

from bus import leaves, questions, store
from bus.opening import Opening
from bus.outbound import Draft, NotSent, Outbound, Outcome, Sent, require_sent
from bus.parts import Actor, Parts, Statement
from bus.randomness import uuid7
from bus.tags import epochs, group, keyring, pending, voprf
from bus.tags.batches import batch_digest
from bus.tags.epochs import KeySet
from bus.tags.errors import TagRefused
from bus.tags.matches import Matches
from bus.tags.normalise import Value
from bus.tags.pending import Batch
from bus.tags.settings import SERVICE, TagSettings
from bus.tags.tables import REFUSED, TAGGED, UNTAGGED, WAITING, tag_batches, tag_questions
from bus.tags.tag import FIELD, make_tags, parsed, prf_input, takes_tags, values_of
from bus.tags.voprf import BATCH_MAX, Blinded, Evaluation
from schemas.v1 import match_pb2

_REMEMBERED_MAX = 8192
_NO_ANSWER = "LF-TAG-NO-ANSWER"
_NOTHING = Statement("", "")


class Asker:
    """Sends messages with tags where they take any; the same call as Outbound's."""

    def __init__(
        self, parts: Parts, opening: Opening, outbound: Outbound, matches: Matches, settings: TagSettings
    ) -> None:
        self._parts = parts
        self._opening = opening
        self._outbound = outbound
        self._matches = matches
        self._settings = settings
        self._remembered: OrderedDict[tuple[bytes, Value], match_pb2.MatchTag] = OrderedDict()

    def send(self, drafts: Sequence[Draft], actor: Actor, statement: Statement) -> list[Outcome]:
        """Send drafts; those that wait for tags are told as sent under the id that they will have."""
        parts = self._parts
        sets = epochs.in_use(keyring.key_sets(parts.engine, self._settings.authorities), parts.clock.now_ms())
        hearing = questions.Hearing(parts, actor)
        wanted: dict[int, _Wanted] = {}
        if sets:
            for number, draft in enumerate(drafts):
                found = self._wanted(draft, hearing, statement)  # (1) (2)
                if found is not None:
                    wanted[number] = found
        rest = [number for number in range(len(drafts)) if number not in wanted]
        gone = self._outbound.send([drafts[number] for number in rest], actor, statement)
        outcomes = dict(zip(rest, gone, strict=True))
        for numbers in _in_batches(wanted):
            made = self._hold([wanted[number] for number in numbers], sets, actor)
            outcomes |= dict(zip(numbers, made, strict=True))
        return [outcomes[number] for number in range(len(drafts))]

    def keep_answer(self, message_id: bytes) -> None:
        """Keep an authority's answer; when it is the last of its batch, the batch goes out."""
        opened = self._opening.open(message_id, ("CASE_META",), SERVICE, _NOTHING)
        answer, header = opened.message, opened.envelope.header
        assert isinstance(answer, match_pb2.TagAnswer)
        table = tag_questions
        asked = (table.c.request_id == header.causation_id) & (table.c.authority == header.sender)
        with self._parts.write() as connection:
            row = connection.execute(select(table).where(asked)).first()
            if row is None or row.epoch != answer.epoch:
                return  # nobody here asked that of this authority
            answer.ClearField("case_context")
            data = answer.SerializeToString(deterministic=True)
            connection.execute(update(table).where(asked, table.c.answer == b"").values(answer=data))
            open_ones = select(table.c.request_id).where(table.c.batch_id == row.batch_id, table.c.answer == b"")
            is_complete = connection.execute(open_ones).first() is None
        if is_complete:
            self._finish(bytes(row.batch_id))

    def run_due(self) -> int:
        """Send what has waited long enough, without tags; return how many batches."""
        table, now = tag_batches, self._parts.clock.now_ms()
        query = select(table.c.batch_id).where(table.c.state == WAITING, table.c.deadline_ms <= now).limit(16)
        with self._parts.engine.connect() as connection:
            due = [bytes(row.batch_id) for row in connection.execute(query)]
        for batch_id in due:
            self._finish(batch_id)
        return len(due)

    def _wanted(self, draft: Draft, hearing: questions.Hearing, statement: Statement) -> "_Wanted | None":
        """Return what of a draft is to be tagged; None where it takes no tags, or may not go, or not with tags."""
        if not takes_tags(draft.message) or getattr(draft.message, FIELD) or self._was_sent(draft):
            return None
        values = values_of(draft.message)
        if not values:
            return None
        filled, stated = questions.with_context(_with_tags(draft, [_PLACEHOLDER]).message, statement)
        asking, _ = questions.with_context(match_pb2.TagRequest(), stated)
        verdicts = (
            hearing.verdict(filled, draft.recipients, stated),
            hearing.verdict(asking, self._settings.authorities, stated),
        )
        return None if any(verdict.refusal for verdict in verdicts) else _Wanted(draft, values, stated)

    def _was_sent(self, draft: Draft) -> bool:
        if not draft.fingerprint:
            return False
        table = store.fingerprints
        query = select(table.c.message_id).where(table.c.fingerprint == draft.fingerprint)
        with self._parts.engine.connect() as connection:
            return connection.execute(query).first() is not None

    def _hold(self, wanted: list["_Wanted"], sets: list[KeySet], actor: Actor) -> list[Outcome]:
        """Ask for the tags of some drafts; where all are remembered, send them at once."""
        parts, now = self._parts, self._parts.clock.now_ms()
        every = dict.fromkeys(value for item in wanted for value in item.values)
        known = {
            (held.epoch, value): tag
            for held in sets
            for value in every
            if (tag := self._remembered.get((held.id, value))) is not None
        }
        blinded = {
            held.epoch: [
                (value, voprf.blind(prf_input(value, held.epoch), group.random_scalar(parts.randomness)))  # (3)
                for value in every
                if (held.epoch, value) not in known
            ]
            for held in sets
        }
        batch = Batch(
            parts.randomness.bytes(16),
            tuple(replace(item.draft, message_id=uuid7(now, parts.randomness)) for item in wanted),
            tuple(item.values for item in wanted),
            actor,
            wanted[0].stated,
            blinded,
            tuple((value, tag) for (_, value), tag in known.items()),
        )
        if not any(blinded.values()):
            return self._release(batch, TAGGED, "", {})
        index = self._ask(batch)
        return [Sent(draft.message_id, index) for draft in batch.drafts]

    def _ask(self, batch: Batch) -> int:
        """Write the batch down and ask both authorities (4); return the entry that says so."""
        parts, now = self._parts, self._parts.clock.now_ms()
        requests = [
            (authority, epoch, uuid7(now, parts.randomness), [item.element for _, item in pairs])
            for epoch, pairs in batch.blinded.items()
            if pairs
            for authority in self._settings.authorities
        ]
        sealed = parts.keys.protect(_context(batch.batch_id), pending.pack(batch))
        with parts.log.transaction(parts.append_deadline_s) as transaction:
            for authority, epoch, request_id, elements in requests:
                leaf = leaves.tags(
                    parts,
                    "INTENT",
                    peers=(authority,),
                    count=len(elements),
                    digest=batch_digest(epoch, elements),
                    actor=batch.actor,
                    statement=batch.statement,
                    exchange=request_id,
                    codes=("TAGS", epoch.upper()),
                )
                index = transaction.append(leaf)
                transaction.connection.execute(
                    tag_questions.insert(),
                    {
                        "request_id": request_id,
                        "batch_id": batch.batch_id,
                        "authority": authority,
                        "epoch": epoch,
                        "answer": b"",
                    },
                )
            transaction.connection.execute(
                tag_batches.insert(),
                {
                    "batch_id": batch.batch_id,
                    "state": WAITING,
                    "code": "",
                    "entry_count": sum(len(elements) for _, _, _, elements in requests),
                    "created_ms": now,
                    "deadline_ms": now + self._settings.wait_ms,
                    "sealed": sealed,
                },
            )
        for authority, epoch, request_id, elements in requests:
            request = match_pb2.TagRequest(epoch=epoch, elements=elements)
            draft = Draft(request, (authority,), "normal", message_id=request_id)
            require_sent(self._outbound.send([draft], batch.actor, batch.statement)[0])
        return index

    def _finish(self, batch_id: bytes) -> None:
        """Send a batch's messages with what tags there are (5) (6); once, however often it is called."""
        parts, table = self._parts, tag_batches
        with parts.engine.connect() as connection:
            row = connection.execute(
                select(table).where(table.c.batch_id == batch_id, table.c.state == WAITING)
            ).first()
            asked = connection.execute(select(tag_questions).where(tag_questions.c.batch_id == batch_id)).all()
        if row is None:
            return
        batch = pending.unpack(batch_id, parts.keys.unprotect(_context(batch_id), bytes(row.sealed)))
        answers = {(item.epoch, item.authority): match_pb2.TagAnswer.FromString(bytes(item.answer)) for item in asked}
        empty = {(item.epoch, item.authority) for item in asked if not item.answer}
        sets = keyring.key_sets(parts.engine, self._settings.authorities)
        tags: dict[Value, list[match_pb2.MatchTag]] = {}
        codes: list[str] = []
        for held in sets:
            pairs = batch.blinded.get(held.epoch, [])
            if pairs:
                try:
                    made = self._made(held, pairs, answers, empty)
                except TagRefused as error:
                    codes.append(error.code)
                    self._note(error, batch)
                    continue
                for value, tag in made.items():
                    tags.setdefault(value, []).append(tag)
                    self._remember(held.id, value, tag)
        self._release(batch, UNTAGGED if codes else TAGGED, codes[0] if codes else "", tags)

    def _made(
        self,
        held: KeySet,
        pairs: list[tuple[Value, Blinded]],
        answers: dict[tuple[str, str], match_pb2.TagAnswer],
        empty: set[tuple[str, str]],
    ) -> dict[Value, match_pb2.MatchTag]:
        evaluations: dict[str, Evaluation] = {}
        for authority, _ in held.keys:
            place = held.epoch, authority
            if place in empty or place not in answers:
                raise TagRefused(f"{authority} has not answered in time", code=_NO_ANSWER, authority=authority)
            if answers[place].refusal:
                raise TagRefused(
                    f"{authority} refused", code=leaves.code_or_withheld(answers[place].refusal), authority=authority
                )
            evaluations[authority] = parsed(answers[place])
        return make_tags(pairs, held, evaluations)

    def _release(
        self, batch: Batch, state: str, code: str, tags: dict[Value, list[match_pb2.MatchTag]]
    ) -> list[Outcome]:
        """Send a batch's messages and settle it."""
        for value, tag in batch.known:
            tags.setdefault(value, []).append(tag)
        drafts = [
            _with_tags(draft, [tag for value in values for tag in tags.get(value, [])])
            for draft, values in zip(batch.drafts, batch.values, strict=True)
        ]
        before = self._gone([draft.message_id for draft in drafts])
        drafts = [draft for draft in drafts if draft.message_id not in before]
        outcomes = self._outbound.send(drafts, batch.actor, batch.statement)
        for draft, outcome in zip(drafts, outcomes, strict=True):
            if isinstance(outcome, Sent):
                self._matches.note(
                    outcome.message_id,
                    self._parts.agency,
                    draft.message.DESCRIPTOR.full_name,
                    getattr(draft.message, FIELD),
                )
        refused = next((outcome.code for outcome in outcomes if isinstance(outcome, NotSent)), "")
        with self._parts.write() as connection:
            connection.execute(
                update(tag_batches)
                .where(tag_batches.c.batch_id == batch.batch_id)
                .values(state=REFUSED if refused else state, code=refused or code, sealed=b"")
            )
            connection.execute(tag_questions.delete().where(tag_questions.c.batch_id == batch.batch_id))
        return outcomes

    def _note(self, error: TagRefused, batch: Batch) -> None:
        """Put on record which authority did not do its part."""
        leaf = leaves.tags(
            self._parts,
            "OUTCOME",
            peers=tuple(name for name in (error.facts.get("authority", ""),) if name),
            count=len(batch.drafts),
            digest=b"",
            actor=SERVICE,
            statement=batch.statement,
            codes=("TAGS", error.code),
        )
        with self._parts.log.transaction(self._parts.append_deadline_s) as transaction:
            transaction.append(leaf)

    def _remember(self, key_set: bytes, value: Value, tag: match_pb2.MatchTag) -> None:
        self._remembered[key_set, value] = tag
        while len(self._remembered) > _REMEMBERED_MAX:
            self._remembered.popitem(last=False)

    def _gone(self, message_ids: Sequence[bytes]) -> set[bytes]:
        """Return which of these were sent before a crash."""
        table = store.messages
        query = select(table.c.message_id).where(table.c.message_id.in_(message_ids))
        with self._parts.engine.connect() as connection:
            return {bytes(row.message_id) for row in connection.execute(query)}


@dataclass(frozen=True)
class _Wanted:
    """A draft that gets tags: of which values, and what its actor states."""

    draft: Draft
    values: tuple[Value, ...]
    stated: Statement


_PLACEHOLDER = match_pb2.MatchTag(kind="token", epoch="2026Q1", key_set=bytes(8), value=bytes(16))
"""Stands for tags where policy is asked about them before there are any."""


def _with_tags(draft: Draft, tags: Sequence[match_pb2.MatchTag]) -> Draft:
    message = type(draft.message)()
    message.CopyFrom(draft.message)
    getattr(message, FIELD).extend(tags)
    return replace(draft, message=message)


def _in_batches(wanted: Mapping[int, _Wanted]) -> list[list[int]]:
    """Return the numbers of drafts in batches that one request holds; one batch has one statement."""
    batches: list[tuple[Statement, list[int], set[Value]]] = []
    for number, item in wanted.items():
        last = batches[-1] if batches else None
        if last is None or last[0] != item.stated or len(last[2] | set(item.values)) > BATCH_MAX:
            last = (item.stated, [], set())
            batches.append(last)
        last[1].append(number)
        last[2].update(item.values)
    return [numbers for _, numbers, _ in batches]


def _context(batch_id: bytes) -> bytes:
    return b"tag-batch" + batch_id
