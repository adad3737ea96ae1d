"""A witness's copy of another agency's log: nothing is stored that its log did not sign and that does not extend the rest.

What does not extend it is kept with both notes: that is the evidence of a split view or of a restored backup.
"""

from collections.abc import Iterator, Sequence

from sqlalchemy import insert, select
from sqlalchemy.engine import Engine

from audit import leaf as leaf_format
from audit import store
from audit.checkpoint import Checkpoint, Sign, Verifier, cosign, parse_checkpoint, verify_checkpoint
from audit.errors import AuditError, ForkDetected, NoteRefused
from audit.log import AuditLog, LogTransaction, insert_checkpoint

_EVIDENCE_MAX = 1000
"""Pairs of notes kept of one log: the first is proof enough, and a log must not fill its witness's disk."""


class _NoExtension(Exception):
    """What is shown does not extend what is held."""


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
        """Take in the entries from `start` that the note covers. All or nothing is stored, before anything is cosigned.

        NoteRefused when the note is not the log's own; LeafRefused for bytes that are no entry; AuditError when a part is
        missing; ForkDetected, with the evidence kept, when the note does not extend what was mirrored. Entries already held
        are not read again: what is held is what counts.
        """
        shown = verify_checkpoint(note, self._verifier)
        try:
            with self._log.transaction() as transaction:
                self._extend(transaction, start, leaves, shown)
        except _NoExtension:
            self._fork(shown)

    def _extend(self, transaction: LogTransaction, start: int, leaves: Sequence[bytes], shown: Checkpoint) -> None:
        have = transaction.frontier.size
        if shown.size <= have:  # a late one of the same history, or another history
            if self._log.root_at(shown.size) != shown.root:
                raise _NoExtension
            return
        if start > have or start + len(leaves) < shown.size:
            raise AuditError(
                f"the entries {have} to {shown.size - 1} are not all there", cure="ship from what was cosigned"
            )
        for leaf in leaves[have - start : shown.size - start]:
            leaf_format.decode(leaf)
            transaction.append(leaf)
        if transaction.frontier.root() != shown.root:
            raise _NoExtension
        insert_checkpoint(transaction.connection, shown)

    def _fork(self, shown: Checkpoint) -> None:
        known = self.newest()
        known_note = known.note if known is not None else b""
        pair = {"note_a": known_note, "note_b": shown.note}
        with self._log.transaction() as transaction:
            held = self.evidence()
            if tuple(pair.values()) not in held and len(held) < _EVIDENCE_MAX:
                transaction.connection.execute(insert(store.misbehaviour), pair)
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
