"""An authority's shares of the tag keys: made here, used here for a committed entry, destroyed here; they never leave.

- A batch is evaluated for an entry in the log that names how many elements and which (by digest), once.
- A day's evaluations are bounded here too, on disk: a node whose quotas were taken out gives out no more than that.
- A destroyed share is gone from the vault and its epoch never gets another: tags of it can be made by nobody.
"""

import re
from collections.abc import Callable, Sequence
from hashlib import sha256

from audit import leaf as leaf_format
from audit.errors import AuditError
from audit.v1 import leaf_pb2
from bus import limits
from bus.clock import Clock
from bus.errors import Refused, Retry, Usage
from bus.keyservice.vault import Vault
from bus.randomness import Randomness
from bus.tags import group, voprf
from bus.tags.batches import batch_digest
from bus.tags.epochs import PATTERN

EVALUATIONS_PER_DAY_MAX = 1_000_000
"""Values evaluated for all members together in one UTC day."""
_DAY_MS = 86_400_000
_DESTROYED = b"destroyed"
_SPENT = "tags-spent"


class TagShares:
    """The shares of one authority. `read_leaf` reads a committed entry from the database itself."""

    def __init__(
        self,
        vault: Vault,
        clock: Clock,
        randomness: Randomness,
        read_leaf: Callable[[int], bytes | None],
        per_day_max: int = EVALUATIONS_PER_DAY_MAX,
    ) -> None:
        self._vault = vault
        self._clock = clock
        self._randomness = randomness
        self._read_leaf = read_leaf
        self._per_day_max = per_day_max

    def key(self, epoch: str) -> bytes:
        """Return the public key of an epoch's share, made on first use. Refused when the share was destroyed."""
        _require_epoch(epoch)
        held = self._vault.pinned(_name(epoch))
        if held is None:
            held = group.random_scalar(self._randomness)
            self._vault.pin(_name(epoch), held)
        return voprf.public_key(_alive(held))

    def evaluate(self, epoch: str, elements: Sequence[bytes], log_index: int) -> list[bytes]:
        """Return the evaluated elements and, last, the proof. Refused without a fresh entry for this very batch."""
        _require_epoch(epoch)
        blinded = [group.element(item) for item in elements]
        held = self._vault.pinned(_name(epoch))
        if held is None:
            raise Refused("there is no share of that epoch", cure="take the epoch in force", code="LF-TAG-EPOCH")
        share = _alive(held)
        digest = batch_digest(epoch, elements)
        self._require_entry(self._read_leaf(log_index), digest, len(elements))
        self._spend(len(elements))
        # The same batch may come again, after a crash, under another entry: a token is a batch under its entry.
        if not self._vault.use_entry(log_index, sha256(log_index.to_bytes(8, "big") + digest).digest()):
            raise Refused("that entry has been used before", cure="ask anew", code="LF-TAG-USED")
        made = voprf.evaluate(share, blinded, self._randomness)
        return [*made.elements, made.proof]

    def destroy(self, epoch: str) -> None:
        """Destroy an epoch's share, for good."""
        _require_epoch(epoch)
        self._vault.pin(_name(epoch), _DESTROYED)

    def _require_entry(self, data: bytes | None, digest: bytes, count: int) -> None:
        """Check that a committed entry says so, so that no value is evaluated off the record."""
        try:
            entry = leaf_format.decode(data or b"")
        except AuditError:
            raise _unrecorded() from None
        bound = (
            entry.kind == leaf_pb2.KIND_RELEASE
            and entry.action == leaf_pb2.ACTION_SEARCH
            and entry.record_count == count
            and entry.context_digest == digest
            and len(entry.peers) == 1
        )
        if not bound or not 0 <= self._clock.now_ms() - entry.at_ms <= limits.TOKEN_LIFETIME_MS:
            raise _unrecorded()

    def _spend(self, count: int) -> None:
        day = self._clock.now_ms() // _DAY_MS
        held = self._vault.pinned(_SPENT) or bytes(16)
        spent = int.from_bytes(held[8:], "big") if int.from_bytes(held[:8], "big") == day else 0
        if spent + count > self._per_day_max:
            raise Retry(
                f"{self._per_day_max} values have been evaluated today",
                cure="wait for the next UTC day, and look in the log who asked for so many",
                code="LF-TAG-KEYS-QUOTA",
            )
        self._vault.pin(_SPENT, day.to_bytes(8, "big") + (spent + count).to_bytes(8, "big"))


def _name(epoch: str) -> str:
    return f"tag/{epoch}"


def _alive(held: bytes) -> group.Scalar:
    if held == _DESTROYED:
        raise Refused(
            "the share of that epoch is destroyed",
            cure="take the epoch in force; old tags stay as they are",
            code="LF-TAG-EPOCH",
        )
    return group.scalar(held)


def _require_epoch(epoch: str) -> None:
    if not re.fullmatch(PATTERN, epoch):
        raise Usage("an epoch is a quarter, such as 2026Q4 or 2026Q4-2", cure="name one", code="LF-TAG-EPOCH")


def _unrecorded() -> Refused:
    return Refused(
        "no fresh entry of the log is for this batch",
        cure="the node writes it first; call the auditor if this goes on",
        code="LF-TAG-NO-ENTRY",
    )
