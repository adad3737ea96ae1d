"""What a node's rooms share: who it is, its database and log, its keys, what it has pinned, and the seams for faults.

Wired once in bus/node.py; every room gets this in its constructor and holds no global.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol

from sqlalchemy.engine import Connection, Engine

from audit.log import AuditLog
from bus.clock import Clock
from bus.directory import Directory
from bus.keyservice.protocol import Keys
from bus.policy.bundle import Bundle
from bus.randomness import Randomness


class Steps(Protocol):
    """Brackets each step that can fail. A simulation raises before it (failed) or after it (happened, reported failed)."""

    def __call__(self, name: str) -> AbstractContextManager[None]:
        """Enter the step called `name`."""
        ...


def no_faults(name: str) -> AbstractContextManager[None]:  # noqa: ARG001 - the seam's signature
    """Let every step pass."""
    return nullcontext()


@dataclass(frozen=True)
class Actor:
    """Who acts: a person with roles, or a named service. Comes from the socket's peer, never from an argument."""

    identity: str
    roles: tuple[str, ...] = ()
    service: bool = False


@dataclass(frozen=True)
class Case:
    """A case in the agency's own register."""

    reference: str
    status: str
    team: tuple[str, ...] = ()
    mandates: tuple[str, ...] = ()


@dataclass(frozen=True)
class Statement:
    """What the actor states: why, on what legal basis, under which case and mandate."""

    purpose: str
    legal_basis: str
    case_ref: str = ""
    mandate: str = ""


@dataclass
class Parts:
    """The parts of one node."""

    agency: str
    engine: Engine
    log: AuditLog
    keys: Keys
    clock: Clock
    randomness: Randomness
    directory: Directory
    bundle: Bundle
    cases: dict[str, Case] = field(default_factory=dict)
    steps: Steps = no_faults
    wake: Callable[[], None] = lambda: None
    local_system: str = ""
    witnesses: tuple[str, ...] = ()
    append_deadline_s: float = 2.0
    blinds: dict[tuple[str, str, str], bytes] = field(default_factory=dict)

    def case(self, reference: str) -> Case | None:
        """Return a case of the own register, or None."""
        return self.cases.get(reference) if reference else None

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Write to the node's tables where no leaf is due; one writer at a time, like everything that does write leaves."""
        with self.log.transaction(self.append_deadline_s) as transaction:
            yield transaction.connection
