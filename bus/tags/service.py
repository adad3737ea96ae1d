"""Match tags at one node: everything that the node wires, and what may be asked over the control socket."""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import func, select

from bus.control import Operations
from bus.errors import NotFound, Refused, Usage
from bus.opening import Opening
from bus.outbound import Draft, Outbound, Outcome
from bus.parts import Actor, Parts, Statement
from bus.tags import epochs, keyring
from bus.tags.asker import Asker
from bus.tags.authority import Authority
from bus.tags.matches import Matches
from bus.tags.normalise import normalise
from bus.tags.settings import SERVICE, TagSettings
from bus.tags.tables import tag_batches, tag_keys
from bus.tags.tag import TAG_BYTES, local_input
from schemas.v1 import match_pb2


class Tags:
    """The room of match tags. Without two authorities in the configuration it does nothing but say so."""

    def __init__(self, parts: Parts, opening: Opening, outbound: Outbound, settings: TagSettings) -> None:
        self._parts = parts
        self._opening = opening
        self._outbound = outbound
        self._settings = settings
        self.matches = Matches(parts, opening)
        self.asker = Asker(parts, opening, outbound, self.matches, settings)
        mine = parts.agency in settings.authorities
        self.authority = Authority(parts, opening, outbound, settings) if mine else None

    @property
    def is_on(self) -> bool:
        """Say whether this node has been told who the authorities are."""
        return bool(self._settings.authorities)

    def send(self, drafts: Sequence[Draft], actor: Actor, statement: Statement) -> list[Outcome]:
        """Send drafts, with tags where they take any; the same call as Outbound's."""
        return (self.asker if self.is_on else self._outbound).send(drafts, actor, statement)

    def run_due(self) -> int:
        """Do what is due once; return how much."""
        if not self.is_on:
            return 0
        if self.authority is not None:
            return self.authority.housekeep()  # reads no tags
        return self.asker.run_due() + self.matches.run_due()

    def handlers(self) -> dict[str, Callable[[bytes], None]]:
        """Return what the node does with each type of message of this room."""
        return {
            "lianfang.v1.TagKey": self._take_key,
            "lianfang.v1.TagRequest": self._answer,
            "lianfang.v1.TagAnswer": self.asker.keep_answer,
        }

    def operations(self) -> Operations:
        """Return what may be asked over the control socket."""
        return {
            "tags.status": lambda _, __: self.status(),
            "tags.quota": lambda _, __: self._must_be_authority().usage(),
            "tags.rotate": lambda actor, asked: self._must_be_authority().rotate(
                actor, dry_run=bool(asked.get("dry_run"))
            ),
            "tags.matches": lambda actor, asked: self.matches.listing(
                actor, _statement(asked), int(asked.get("limit", 50))
            ),
            "tags.local": self._local,
        }

    def status(self) -> dict[str, Any]:
        """Say which epochs there are, which are in use, and what became of what was asked."""
        now, parts = self._parts.clock.now_ms(), self._parts
        sets = keyring.key_sets(parts.engine, self._settings.authorities)
        used = {held.epoch for held in epochs.in_use(sets, now)}
        with parts.engine.connect() as connection:
            keys = connection.execute(select(tag_keys).order_by(tag_keys.c.epoch, tag_keys.c.authority)).all()
            counted = connection.execute(
                select(tag_batches.c.state, tag_batches.c.code, func.count()).group_by(
                    tag_batches.c.state, tag_batches.c.code
                )
            ).all()
        return {
            "on": self.is_on,
            "authorities": list(self._settings.authorities),
            "authority": self.authority is not None,
            "epochs": [
                {
                    "epoch": held.epoch,
                    "in_use": held.epoch in used,
                    "key_set": held.id.hex(),
                    "not_before_ms": held.not_before_ms,
                    "not_after_ms": held.not_after_ms,
                }
                for held in sets
            ],
            "keys": [
                {"epoch": row.epoch, "authority": row.authority, "destroyed": bool(row.destroyed_ms)} for row in keys
            ],
            "batches": [{"state": state, "code": code, "count": int(count)} for state, code, count in counted],
        }

    def _take_key(self, message_id: bytes) -> None:
        envelope, _ = self._opening.look(message_id)
        if envelope.header.sender not in self._settings.authorities:
            raise Refused(
                f"{envelope.header.sender} is no authority of match tags here",
                cure="name the two authorities in node.toml, [tags] authorities, if it should be",
                code="LF-TAG-NO-AUTHORITY",
            )
        key = match_pb2.TagKey.FromString(envelope.public_body)
        keyring.keep(self._parts, envelope.header.sender, key, SERVICE)

    def _answer(self, message_id: bytes) -> None:
        self._must_be_authority().answer(message_id)

    def _must_be_authority(self) -> Authority:
        if self.authority is None:
            raise NotFound(
                "this node is no authority of match tags",
                cure="ask one of those that `lianfang tags status` names",
                code="LF-TAG-NO-AUTHORITY",
            )
        return self.authority

    def _local(self, _: Actor, asked: dict[str, Any]) -> dict[str, str]:
        """Return the tag of a value for this agency alone; the value is kept nowhere."""
        text = asked.get("value")
        if not isinstance(text, str):
            raise Usage("no value was given", cure="give it on standard input")
        value = normalise(str(asked.get("kind", "")), text)
        return {"kind": value.kind, "tag": self._parts.keys.fingerprint([local_input(value)])[0][:TAG_BYTES].hex()}


def _statement(asked: dict[str, Any]) -> Statement:
    return Statement(*(str(asked.get(name) or "") for name in ("purpose", "legal_basis", "case", "mandate")))
