"""A witness's copy of another agency's log: nothing is stored that its log did not sign and that does not extend the rest.

What does not extend it is kept with both notes: that is the evidence of a split view or of a restored backup.
"""

from collections.abc import Iterator, Sequence

from sqlalchemy import insert, select
from sqlalchemy.engine import Engine

from audit import store, tree
from audit.checkpoint import Checkpoint, Sign, Verifier, cosign, parse_checkpoint, verify_checkpoint
from audit.errors import AuditError, ForkDetected, NoteRefused
from audit.log import AuditLog


class Mirror:
    """A copy of a log. Make one with `Mirror.open`."""

    def __init__(self, engine: Engine, verifier: Verifier, log: AuditLog) -> None:
        self._engine = engine
        self._verifier = verifier
        self._log = log

    @classmethod
    def open(cls, engine: Engine, origin: str, vkey: str) -> "Mirror":
        """Open the mirror of the log with this key."""
        verifier = Verifier.parse(vkey)
        if verifier.name != origin:
            raise NoteRefused("the key is of another log", cure="take it from the member directory")
        return cls(engine, verifier, AuditLog.open(engine, verifier))

    @property
    def origin(self) -> str:
        """The log's name."""
        return self._verifier.name

    @property
    def size(self) -> int:
        """Number of entries mirrored."""
        return self._log.size

    def leaves(self, start: int, stop: int) -> Iterator[bytes]:
        """Yield the entries start … stop − 1."""
        return self._log.leaves(start, stop)

    def newest(self) -> Checkpoint | None:
        """Return the newest checkpoint taken in."""
        return self._log.latest_checkpoint()

    def accept(self, start: int, leaves: Sequence[bytes], note: bytes) -> None:
        """Take in the entries from `start` that the note covers.

        NoteRefused when the note is not the log's own; AuditError when an earlier part is missing; ForkDetected, with
        the evidence kept, when the note does not extend what was mirrored. Entries already held must be the same.
        """
        shown = verify_checkpoint(note, self._verifier)
        have = self._log.size
        if start > have:
            raise AuditError(f"entries {have} to {start - 1} are missing", cure="ship from what was cosigned")
        self._compare_held(start, leaves, shown)
        new = list(leaves[have - start :])
        if shown.size != have + len(new):
            if shown.size < have and self._root_at(shown.size) == shown.root:
                return  # an older checkpoint of the same history, late
            self._fork(shown)
        frontier = tree.frontier_at(have, store.StoredHashes(self._engine))
        for leaf in new:
            frontier.append(tree.leaf_hash(leaf))
        if frontier.root() != shown.root:
            self._fork(shown)
        if not new:
            return
        with self._log.transaction() as transaction:
            for leaf in new:
                transaction.append(leaf)
            transaction.connection.execute(
                insert(store.checkpoints), {"size": shown.size, "root": shown.root, "note": note}
            )

    def _root_at(self, size: int) -> bytes:
        return tree.root_at(size, store.StoredHashes(self._engine))

    def _compare_held(self, start: int, leaves: Sequence[bytes], shown: Checkpoint) -> None:
        held = self._log.leaves(start, min(self._log.size, start + len(leaves)))
        if any(mine != theirs for mine, theirs in zip(held, leaves, strict=False)):
            self._fork(shown)

    def _fork(self, shown: Checkpoint) -> None:
        known = self.newest()
        known_note = known.note if known is not None else b""
        with self._log.transaction() as transaction:
            transaction.connection.execute(insert(store.misbehaviour), {"note_a": known_note, "note_b": shown.note})
        raise ForkDetected(self.origin, known_note, shown.note)

    def evidence(self) -> list[tuple[bytes, bytes]]:
        """Return the pairs of notes that show two histories."""
        with self._engine.connect() as connection:
            return [(bytes(row.note_a), bytes(row.note_b)) for row in connection.execute(select(store.misbehaviour))]

    def cosign(self, witness: Verifier, sign: Sign, now_ms: int) -> bytes:
        """Return our cosignature line for the newest checkpoint taken in."""
        newest = self.newest()
        if newest is None:
            raise AuditError("there is nothing to cosign yet", cure="wait for the first shipment")
        return cosign(parse_checkpoint(newest.note).text, witness, sign, now_ms)
