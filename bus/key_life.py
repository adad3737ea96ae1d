"""Own keys at a running node: followed by the next ones in time, and what an operator asks.

- Prekeys by themselves: the next one well before the last one's end, told to every member, the old ones destroyed after
  their grace. Members that come later are told when they come.
- What an operator asks (`lianfang keys`) is asked of policy first (SD-43), then logged, then done. Each step is done once:
  whoever died between two steps asks again and goes on.
- Told is told once for each member: the state table has who has been told of which notice.
"""

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import structlog
from sqlalchemy import select

from bus import key_notices, leaves, limits, questions, store
from bus.control import Operations
from bus.errors import Usage
from bus.keyservice.protocol import KeyState
from bus.outbound import Draft, Outbound, require_sent
from bus.parts import Actor, Parts, Statement
from bus.pinned import Pinned
from schemas.v1 import federation_pb2

_log = structlog.get_logger(__name__)
_NODE = Actor("svc-node", service=True)
_NOTHING = Statement("", "")
_TOLD = "notice-told"
_CHECK_EVERY_MS = 60_000
_KINDS = ("prekeys", "identity", "epochs")


@dataclass(frozen=True)
class KeyTimes:
    """How long keys live, in milliseconds."""

    prekey_ms: int
    grace_ms: int
    overlap_ms: int

    @property
    def rotate_after_ms(self) -> int:
        """The age at which a prekey is followed by the next: two days of seven are left for the notice to get about."""
        return self.prekey_ms * 5 // 7


class KeyLife:
    """Looks after the keys of one agency."""

    def __init__(self, parts: Parts, outbound: Outbound, pinned: Pinned, times: KeyTimes) -> None:
        self._parts = parts
        self._outbound = outbound
        self._pinned = pinned
        self._times = times
        self._next_ms = 0

    def operations(self) -> Operations:
        """Return what may be asked over the control socket."""
        return {
            "keys.list": self._list_asked,
            "keys.rotate": self._rotate_asked,
            "keys.revoke": self._revoke_asked,
            "keys.retire": self._retire_asked,
        }

    def take_notice(self, document: bytes) -> None:
        """Take what an agency says of its own keys."""
        self._pinned.take_notice(document)

    def run_due(self) -> int:
        """Do what the clock asks; return how much was done. Looks once a minute."""
        now = self._parts.clock.now_ms()
        if now < self._next_ms or self._parts.directory.is_over(now):
            return 0
        self._next_ms = now + _CHECK_EVERY_MS
        if not self._parts.directory.is_active(self._parts.agency):
            return 0
        done = 0
        if self._is_due(now):
            self._parts.keys.next_prekey(self._times.prekey_ms)
            self._take_own(())
            done += 1
        done += self._tell()
        if self._parts.directory.notices.get(self._parts.agency) is not None:
            done += len(self._sweep())
        return done

    def _is_due(self, now: int) -> bool:
        """Say whether the newest prekey that others know of should be followed, or is signed by a key no more in force."""
        own = self._parts.directory.notices.get(self._parts.agency)
        listed = own.prekeys if own is not None else ()
        known = listed or self._parts.directory.member(self._parts.agency).prekeys
        newest = max((int(key.not_before_ms) for key in known), default=0)
        serves = self._parts.directory.prekey(self._parts.agency, now + self._times.prekey_ms // 7) is not None
        return now >= newest + self._times.rotate_after_ms or not serves

    def _take_own(self, revoke: Sequence[bytes]) -> bytes:
        document = self._parts.keys.own_notice(list(revoke), self._times.prekey_ms)
        with self._parts.steps("keys.noticed"):
            self.take_notice(document)
        return document

    def _own(self) -> bytes:
        for document in self._parts.keys.notices():
            if key_notices.read(document)[1].agency == self._parts.agency:
                return document
        return b""

    def _tell(self) -> int:
        """Send our notice to every member that has not been sent it; return to how many."""
        if self._parts.directory.notices.get(self._parts.agency) is None:
            return 0
        document = self._own()
        digest = key_notices.digest(document).hex()
        told = self._told(digest)
        missing = [
            name
            for name in self._parts.directory.agencies()
            if name != self._parts.agency and name not in told and self._parts.directory.is_active(name)
        ]
        if not missing:
            return 0
        message = federation_pb2.KeyNotice.FromString(document)
        for part in limits.in_parts(missing):
            text = b"notice" + document + " ".join(part).encode()
            fingerprint = self._parts.keys.fingerprint([text])[0]
            draft = Draft(message, part, "urgent", fingerprint=fingerprint)
            with self._parts.steps("keys.told"):
                require_sent(self._outbound.send([draft], _NODE, _NOTHING)[0])
            told = sorted({*told, *part})
            self._note_told(digest, told)
        return len(missing)

    def _told(self, digest: str) -> list[str]:
        with self._parts.engine.connect() as connection:
            row = connection.execute(select(store.state.c.value).where(store.state.c.name == _TOLD)).first()
        held = json.loads(row.value) if row is not None else {}
        return list(held["to"]) if held.get("digest") == digest else []

    def _note_told(self, digest: str, to: Sequence[str]) -> None:
        value = json.dumps({"digest": digest, "to": list(to)}).encode()
        with self._parts.write() as connection:
            connection.execute(store.state.delete().where(store.state.c.name == _TOLD))
            connection.execute(store.state.insert(), {"name": _TOLD, "value": value})

    def _sweep(self) -> list[bytes]:
        gone = self._parts.keys.sweep_keys(self._times.prekey_ms, self._times.grace_ms)
        if gone:
            self._record("KEY", ["DESTROYED", *_named(gone)], _NODE)
            _log.info("keys.destroyed", count=len(gone))
        return gone

    def _record(self, kind: str, codes: Sequence[str], actor: Actor) -> None:
        entry = leaves.keys_changed(self._parts, kind, self._parts.agency, codes[:16], actor)
        with self._parts.log.transaction(self._parts.append_deadline_s) as transaction:
            transaction.append(entry)

    def _require_permitted(self, actor: Actor) -> None:
        """Refused, on record, for whom policy does not let look after keys."""
        ask = questions.Ask(
            point="effect",
            action="send",
            message_type="KeyNotice",
            sender=self._parts.agency,
            statement=_NOTHING,
            actor=actor,
        )
        decision = self._parts.bundle.decide(questions.policy_request(self._parts, ask))
        if decision.permitted:
            return
        leaf = leaves.denial(
            self._parts,
            action="ADMIN",
            message_type="lianfang.v1.KeyNotice",
            peers=(),
            actor=actor,
            statement=_NOTHING,
            decision=decision,
        )
        with self._parts.log.transaction(self._parts.append_deadline_s) as transaction:
            index = transaction.append(leaf)
        questions.refuse(decision, index)

    def _list_asked(self, _: Actor, __: dict[str, Any]) -> list[dict[str, Any]]:
        now = self._parts.clock.now_ms()
        return [_shown(state, now) for state in self._parts.keys.key_states()]

    def _rotate_asked(self, actor: Actor, arguments: dict[str, Any]) -> dict[str, Any]:
        """Make what is asked for the next: prekeys, the identity, epochs."""
        what = arguments["what"]
        if what not in _KINDS:
            raise Usage(f"{what} is nothing that is rotated", cure=f"name {', '.join(_KINDS)}", code="LF-KEYS-KIND")
        self._require_permitted(actor)
        rotate: Callable[[Actor, bool], dict[str, Any]] = {
            "prekeys": self._rotate_prekeys,
            "identity": self._rotate_identity,
            "epochs": self._rotate_epochs,
        }[what]
        is_rehearsal = bool(arguments.get("dry_run"))
        return {"what": what, "dry_run": is_rehearsal} | rotate(actor, is_rehearsal)

    def _rotate_prekeys(self, actor: Actor, is_rehearsal: bool) -> dict[str, Any]:  # noqa: FBT001 - one table of three
        """Make, announce, tell. Where the last time was cut off before all were told, that is finished instead."""
        others = [name for name in self._parts.directory.agencies() if name != self._parts.agency]
        if is_rehearsal:
            return {"key_id": "", "tells": len(others)}
        if not self._unfinished():
            self._record("KEY", ["ROTATE", "PREKEYS"], actor)
            with self._parts.steps("keys.made"):
                self._parts.keys.next_prekey(self._times.prekey_ms)
        self._take_own(())
        self._tell()
        own = self._parts.directory.notices[self._parts.agency]
        return {"key_id": own.prekeys[-1].key_id.hex() if own.prekeys else "", "tells": len(others)}

    def _unfinished(self) -> bool:
        """Say whether a notice of ours is under way to some, or was begun by a service that knew more than this node."""
        document = self._own()
        if not document:
            return False
        told = self._told(key_notices.digest(document).hex())
        active = [name for name in self._parts.directory.agencies() if self._parts.directory.is_active(name)]
        return any(name not in told for name in active if name != self._parts.agency)

    def _rotate_identity(self, actor: Actor, is_rehearsal: bool) -> dict[str, Any]:  # noqa: FBT001 - one table of three
        """Make the next signing key and our entry with it, for the registrars to put into the next directory."""
        if is_rehearsal:
            return {"key_id": "", "entry": ""}
        self._record("KEY", ["ROTATE", "IDENTITY"], actor)
        with self._parts.steps("keys.made"):
            entry = self._parts.keys.next_identity(self._times.overlap_ms)
        key = federation_pb2.Member.FromString(entry).signing_keys[-1]
        return {"key_id": key.key_id.hex(), "entry": base64.b64encode(entry).decode()}

    def _rotate_epochs(self, actor: Actor, is_rehearsal: bool) -> dict[str, Any]:  # noqa: FBT001 - one table of three
        states = [state for state in self._parts.keys.key_states() if (state.kind, state.state) == ("epoch", "current")]
        if is_rehearsal:
            return {"ended": len(states)}
        self._record("KEY", ["ROTATE", "EPOCHS"], actor)
        return {"ended": self._parts.keys.end_epochs()}

    def _revoke_asked(self, actor: Actor, arguments: dict[str, Any]) -> dict[str, Any]:
        """Revoke keys of our own, here at once, and tell all. Once revoked, only the telling is left to do."""
        self._require_permitted(actor)
        wanted = [_key_id(text) for text in arguments["key_ids"]]
        states = {state.key_id: state for state in self._parts.keys.key_states()}
        for item in wanted:
            if item not in states or states[item].kind not in ("identity", "prekey"):
                raise Usage(
                    f"{item.hex()} is no signing key and no prekey of this agency",
                    cure="`lianfang keys list` has them",
                    code="LF-KEYS-NO-SUCH-KEY",
                )
        self._require_another(wanted, list(states.values()), is_meant=bool(arguments.get("last")))
        is_rehearsal = bool(arguments.get("dry_run"))
        if not is_rehearsal:
            self._record("REVOKE", ["ASKED", *_named(wanted)], actor)
            with self._parts.steps("keys.revoked"):
                self._take_own(wanted)
            self._tell()
        tells = len(self._parts.directory.agencies()) - 1
        return {"revoked": [item.hex() for item in wanted], "dry_run": is_rehearsal, "tells": tells}

    def _require_another(self, wanted: Sequence[bytes], states: Sequence[KeyState], *, is_meant: bool) -> None:
        """Refuse to revoke the last signing key unless that is what is meant: this agency could say nothing after it."""
        good = [state.key_id for state in states if state.kind == "identity" and state.state in ("current", "former")]
        if good and set(good) <= set(wanted) and not is_meant:
            raise Usage(
                "that is the last signing key: after it this agency can say nothing until registrars give it another",
                cure="rotate the identity first, or repeat with --last",
                code="LF-KEYS-LAST",
            )

    def _retire_asked(self, actor: Actor, arguments: dict[str, Any]) -> dict[str, Any]:
        """Destroy the private part of a key that is no more in force."""
        self._require_permitted(actor)
        wanted = _key_id(arguments["key_id"])
        if not arguments.get("dry_run"):
            self._record("KEY", ["RETIRE", *_named([wanted])], actor)
            with self._parts.steps("keys.retired"):
                self._parts.keys.retire_key(wanted)
        return {"key_id": wanted.hex(), "dry_run": bool(arguments.get("dry_run"))}


def _key_id(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise Usage(
            "that is no key id", cure="16 hexadecimal digits; `lianfang keys list` has them", code="LF-KEYS-NO-SUCH-KEY"
        ) from None


def _named(key_ids: Sequence[bytes]) -> list[str]:
    return [f"KID-{item.hex().upper()}" for item in key_ids]


def _shown(state: KeyState, now_ms: int) -> dict[str, Any]:
    """Return a key's state as people and programs read it; its age counts from when it began to hold."""
    age_ms = max(0, now_ms - state.not_before_ms) if state.not_before_ms else 0
    return asdict(state) | {"key_id": state.key_id.hex(), "age_s": age_ms // 1000}
