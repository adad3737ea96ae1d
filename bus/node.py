"""One agency's node: the only place where things are put together.

Threads: the transport's own, one worker (hand-over, answers, timers), one shipper (log to witnesses), the control socket.
A simulation makes a Node without threads and calls `step`.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import update
from sqlalchemy.engine import Engine

from audit.checkpoint import Verifier
from audit.errors import AuditError
from audit.log import AuditLog
from audit.mirror import Mirror
from audit.store import engine as make_engine
from bus import config as configuration
from bus import leaves, store
from bus.clock import Clock, SystemClock
from bus.disclosing import Disclosing
from bus.errors import BusError, NoAnswer
from bus.handover import Handover, LocalSystem
from bus.inbound import Inbound
from bus.intake import FileIntake
from bus.key_life import KeyLife, KeyTimes
from bus.keyservice.protocol import Keys
from bus.opening import Opening
from bus.outbound import Outbound
from bus.oversight import Oversight
from bus.parts import Actor, Case, Parts, Steps, no_faults
from bus.passing import Passing
from bus.pinned import Pinned
from bus.publishing import Publishing
from bus.queue import Queue
from bus.randomness import Randomness, SystemRandomness
from bus.subjects import Subjects
from bus.tags.service import Tags
from bus.tags.settings import TagSettings
from bus.transport import Transport

_log = structlog.get_logger(__name__)

_WORK_EVERY_S = 0.05
_EXPIRE_EVERY_S = 10.0
_TURN = 8


@dataclass(frozen=True)
class Seams:
    """Where time, randomness and faults enter."""

    clock: Clock
    randomness: Randomness
    steps: Steps = no_faults


def system_seams() -> Seams:
    """Return the machine's own clock and randomness, and no faults."""
    return Seams(SystemClock(), SystemRandomness())


class Node:
    """A node with all its rooms. Make one with `Node.open`."""

    def __init__(self, directory: Path, config: configuration.NodeConfig, parts: Parts, pinned: Pinned) -> None:
        self.directory = directory
        self.config = config
        self.parts = parts
        self.pinned = pinned
        self.outbound = Outbound(parts)
        self.opening = Opening(parts)
        self.disclosing = Disclosing(parts, self.opening)
        self.oversight = Oversight(parts, self.outbound, self._open_mirror)
        self.subjects = Subjects(parts, self.opening, self.outbound, self.oversight)
        self.inbound = Inbound(parts, Passing(parts, self.outbound, self.oversight), pinned)
        self.tags = Tags(parts, self.opening, self.outbound, _tag_settings(config.tags))
        self.intake = FileIntake(parts, self.tags)
        self.publishing = Publishing(parts, self.outbound, pinned)
        self.key_life = KeyLife(parts, self.outbound, pinned, _key_times(config.keys))
        self.queue = Queue(parts, _receipt_waits_ms(config))
        self.handover = Handover(parts, self.opening, self.outbound, self._local_system(), self._handlers())
        self._transport: Transport | None = None
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._threads: list[threading.Thread] = []
        self._expire_at_s = 0.0
        self._engines = [parts.engine]

    @classmethod
    def open(cls, directory: Path, keys: Keys, seams: Seams | None = None) -> "Node":
        """Open the node in `directory`. Usage when configuration, directory or bundle are missing or do not hold."""
        seams = seams or system_seams()
        config, _ = configuration.load(directory)
        engine = make_engine(configuration.database_url(config, directory))
        try:
            return cls._opened(directory, config, engine, keys, seams)
        except BaseException:
            engine.dispose()
            raise

    @classmethod
    def _opened(
        cls, directory: Path, config: configuration.NodeConfig, engine: Engine, keys: Keys, seams: Seams
    ) -> "Node":
        store.create_tables(engine)
        store.claim(engine, config.agency)
        pinned = Pinned(engine, directory, keys, seams.clock)
        members = pinned.load_directory()
        bundle = pinned.load_bundle(members)
        log = AuditLog.open(engine, Verifier.parse(members.member(config.agency).log_vkey))
        parts = Parts(
            agency=config.agency,
            engine=engine,
            log=log,
            keys=keys,
            clock=seams.clock,
            randomness=seams.randomness,
            directory=members,
            bundle=bundle,
            cases={
                case.reference: Case(case.reference, case.status, case.team, case.mandates) for case in config.cases
            },
            steps=seams.steps,
            local_system=config.local_system.profile if config.local_system else "",
            witnesses=config.oversight.witnesses,
            append_deadline_s=config.timers.append_deadline_s,
        )
        pinned.parts = parts
        with log.transaction(parts.append_deadline_s) as transaction:
            transaction.append(leaves.started(parts))
        return cls(directory, config, parts, pinned)

    def actors(self) -> dict[int, Actor]:
        """Return who may act here, by user id."""
        return {person.uid: Actor(person.identity, person.roles) for person in self.config.operators}

    def attach(self, transport: Transport) -> None:
        """Connect the node to a transport; `start` or `step` then makes it work."""
        self._transport = transport
        self.parts.wake = self._awake

    def start(self) -> None:
        """Start working in threads of its own."""
        assert self._transport is not None
        self._transport.start(self.queue, self.inbound)
        for name, work in (("worker", self._work), ("shipper", self._ship)):
            thread = threading.Thread(target=work, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Finish what is under way and stop."""
        self._stopping.set()
        self._wake.set()
        if self._transport is not None:
            self._transport.stop()
        for thread in self._threads:
            thread.join(timeout=10)
        self.close()

    def close(self) -> None:
        """Let go of every database."""
        for engine in self._engines:
            engine.dispose()

    def transport_health(self) -> dict[str, Any]:
        """Say how the transport is."""
        return self._transport.health() if self._transport is not None else {"kind": "none", "connected": {}}

    def wait_cosigned(self, size: int, timeout_s: float) -> None:
        """Wait until every witness has cosigned at least `size` entries. NoAnswer when it does not happen in time."""
        log, clock = self.parts.log, self.parts.clock
        until = clock.monotonic_s() + timeout_s
        while any(log.cosigned_size(witness) < size for witness in self.parts.witnesses):
            if clock.monotonic_s() >= until:
                raise NoAnswer(
                    f"the witnesses have not cosigned {size} entries within {timeout_s:g} s",
                    cure="see that the auditor's node and the broker run; then ask again",
                    code="LF-AUDIT-NOT-COSIGNED",
                )
            self._stopping.wait(0.05)

    def step(self) -> int:
        """Do what is due once, without threads; return how much was done. For simulations."""
        done = self.handover.run_due() + self.handover.poll() + self.queue.expire()
        return done + self.oversight.ship() + self.tags.run_due() + self.key_life.run_due()

    def _awake(self) -> None:
        self._wake.set()
        if self._transport is not None:
            self._transport.wake()

    def _work(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(_WORK_EVERY_S)
            self._wake.clear()
            self._guarded("work", self._work_once)

    def _work_once(self) -> None:
        # By turns: whoever sends us orders without end does not keep back the answers to those we have.
        while self.handover.run_due(_TURN) + self.handover.poll(_TURN) and not self._stopping.is_set():
            pass
        self.tags.run_due()
        self.key_life.run_due()
        now = self.parts.clock.monotonic_s()
        if now >= self._expire_at_s:
            self._expire_at_s = now + _EXPIRE_EVERY_S
            self.queue.expire()

    def _ship(self) -> None:
        while not self._stopping.wait(self.config.oversight.ship_every_s):
            self._guarded("ship", self.oversight.ship)

    def _guarded(self, operation: str, work: Callable[[], object]) -> None:
        """Run one round of a thread; a dependency that is down is waited for, anything else is said and tried again."""
        try:
            work()
        except (AuditError, BusError) as error:
            _log.warning("node.later", operation=operation, code=error.code)
            self._stopping.wait(0.2)
        except Exception as error:  # noqa: BLE001 - a thread's edge: the node lives on and the log says what happened
            _log.exception("node.fault", operation=operation, error_type=type(error).__name__)
            self._stopping.wait(1.0)

    def _open_mirror(self, agency: str, origin: str, vkey: str) -> Mirror:
        path = self.directory / "mirrors" / f"{agency}.db"
        path.parent.mkdir(exist_ok=True, mode=0o700)
        engine = make_engine(f"sqlite:///{path.resolve()}")
        self._engines.append(engine)
        return Mirror.open(engine, origin, vkey)

    def _local_system(self) -> LocalSystem | None:
        local = self.config.local_system
        if local is None:
            return None
        directory = self.directory / local.directory
        for name in ("in", "out"):
            (directory / name).mkdir(parents=True, exist_ok=True, mode=0o700)
        return LocalSystem(local.profile, local.service, directory)

    def _handlers(self) -> dict[str, Callable[[bytes], None]]:
        return {
            "lianfang.v1.SubjectQuery": self.subjects.answer_query,
            "lianfang.v1.SubjectForward": self.subjects.answer_forward,
            "lianfang.v1.SubjectAnswer": self.subjects.keep_answer,
            "lianfang.v1.Grant": self._take_grant,
            "lianfang.v1.Directory": self._take_directory,
            "lianfang.v1.PolicyBundle": self._take_bundle,
            "lianfang.v1.KeyNotice": lambda message_id: self.key_life.take_notice(self._body(message_id)),
            **self.tags.handlers(),
        }

    def _body(self, message_id: bytes) -> bytes:
        envelope, _ = self.opening.look(message_id)
        return envelope.public_body

    def _take_grant(self, message_id: bytes) -> None:
        self.parts.keys.accept_grant(self._body(message_id))
        # Messages that came before their grant are due again.
        table = store.messages
        with self.parts.write() as connection:
            connection.execute(
                update(table).where(table.c.handover == "pending").values(handover_after_ms=self.parts.clock.now_ms())
            )

    def _take_directory(self, message_id: bytes) -> None:
        self.pinned.take_directory(self._body(message_id))
        # A bundle that came before the keys under which it is signed has its turn again.
        table = store.messages
        refused = (table.c.handover == "failed", table.c.type == "lianfang.v1.PolicyBundle")
        with self.parts.write() as connection:
            connection.execute(update(table).where(*refused).values(handover="pending"))

    def _take_bundle(self, message_id: bytes) -> None:
        self.parts.bundle = self.pinned.take_bundle(self._body(message_id))


def _tag_settings(tags: configuration.Tags) -> TagSettings:
    return TagSettings(tags.authorities, int(tags.wait_s * 1000), {"hour": tags.hourly_max, "day": tags.daily_max})


def _key_times(keys: configuration.Keys) -> KeyTimes:
    return KeyTimes(*(round(days * 86_400_000) for days in (keys.prekey_days, keys.grace_days, keys.overlap_days)))


def _receipt_waits_ms(config: configuration.NodeConfig) -> dict[str, int]:
    return {lane: int(wait_s * 1000) for lane, wait_s in config.timers.receipt_waits_s().items()}
