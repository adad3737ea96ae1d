"""The log travels to its witnesses; the auditor mirrors, cosigns, and finds a subject without reading it.

- Each node ships new leaves with the checkpoint that covers them; the witness checks that they extend what it has,
  stores them and answers with a cosignature. A witness that sees no extension keeps both notes and says so.
- A subject is found by keyed values: every node answers with its own, made inside its key service; the asker never
  reads the subject. The agency that sent the message passes the subject, sealed, to those who may hold it too.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from google.protobuf.message import DecodeError
from sqlalchemy import select

from audit.checkpoint import Verifier, checkpoint_size
from audit.errors import AuditError, ForkDetected, LogFrozen
from audit.mirror import Mirror
from bus import limits, store
from bus.outbound import Draft, NotSent, Outbound, Outcome
from bus.parts import Actor, Parts, Statement
from bus.sealing.verify import VerifiedEnvelope
from schemas.v1 import oversight_pb2

_log = structlog.get_logger(__name__)

WITNESS = Actor("svc-witness", service=True)
_AUDIT = Statement("audit", "ATF5")
_SHIP_AGAIN_MS = 5_000
_REFUSED_AGAIN_MS = 60_000
_NOTE_BYTES_MAX = 4096
"""As schemas/v1/oversight.proto has it: each note is kept, so a padded one would fill the mirror."""

_LINE_BYTES_MAX = 1024
_SIZE_MAX = 2**63 - 1


@dataclass
class _Shipped:
    size: int = 0
    at_ms: int = 0


class Oversight:
    """Ships, mirrors and cosigns."""

    def __init__(self, parts: Parts, outbound: Outbound, open_mirror: Callable[[str, str, str], Mirror]) -> None:
        """`open_mirror(agency, origin, vkey)` opens the mirror of another agency's log."""
        self._parts = parts
        self._outbound = outbound
        self._open_mirror = open_mirror
        self._mirrors: dict[str, Mirror] = {}
        self._parts_waiting: dict[str, tuple[int, list[bytes]]] = {}
        self._shipped = {witness: _Shipped() for witness in parts.witnesses}
        self._refused_until_ms = 0

    def ship(self) -> int:
        """Send what each witness has not cosigned yet; return the number of messages sent. Call about once a second."""
        log = self._parts.log
        if self._parts.clock.now_ms() < self._refused_until_ms:
            return 0  # each refusal is an entry, which would be shipped, and refused: a log must come to rest
        log.checkpoint(lambda text: self._parts.keys.sign("log", text))
        newest = log.latest_checkpoint()
        if newest is None:
            return 0
        sent = 0
        for witness, shipped in self._shipped.items():
            cosigned = log.cosigned_size(witness)
            now = self._parts.clock.now_ms()
            if cosigned >= newest.size or (shipped.size >= newest.size and now - shipped.at_ms < _SHIP_AGAIN_MS):
                continue
            start = cosigned if now - shipped.at_ms >= _SHIP_AGAIN_MS else max(cosigned, shipped.size)
            covering = log.checkpoint_after(start, limits.SHIPMENT_STRETCH_MAX) or newest
            outcomes = self._ship_to(witness, start, covering.size, covering.note)
            if any(isinstance(outcome, NotSent) for outcome in outcomes):
                self._refused_until_ms = now + _REFUSED_AGAIN_MS
                _log.error("ship.refused", peer=witness, code=next(o.code for o in outcomes if isinstance(o, NotSent)))
                return sent
            sent += len(outcomes)
            self._shipped[witness] = _Shipped(covering.size, now)
        return sent

    def _ship_to(self, witness: str, start: int, size: int, note: bytes) -> list[Outcome]:
        """Send leaves start..size in as many messages as limits demand; only the last carries a note that covers it."""
        drafts = []
        position = start
        while position < size:
            stop, taken = position, 0
            leaves: list[bytes] = []
            for leaf in self._parts.log.leaves(position, min(size, position + limits.SHIPMENT_LEAVES_MAX)):
                if leaves and taken + len(leaf) > limits.SHIPMENT_BYTES_MAX:
                    break
                leaves.append(leaf)
                taken += len(leaf)
                stop += 1
            body = oversight_pb2.Checkpoint(origin=self._parts.log.origin, start=position, leaves=leaves, note=note)
            drafts.append(Draft(body, (witness,), "bulk"))
            position = stop
        return self._outbound.send(drafts, WITNESS, _AUDIT)

    def mirror(self, agency: str) -> Mirror:
        """Return the mirror of an agency's log, opened once."""
        if agency not in self._mirrors:
            vkey = self._parts.directory.member(agency).log_vkey
            self._mirrors[agency] = self._open_mirror(agency, vkey.split("+", 1)[0], vkey)
        return self._mirrors[agency]

    def take_checkpoint(self, envelope: VerifiedEnvelope) -> None:
        """Extend the sender's mirror and answer with a cosignature, or with the code of the refusal."""
        agency = envelope.header.sender
        try:
            body = self._shipment(envelope)
            mirror = self.mirror(agency)
            if body.origin != mirror.origin or len(body.note) > _NOTE_BYTES_MAX:
                return
            covered = self._extend(agency, mirror, body)
        except ForkDetected as error:
            _log.error("witness.fork", peer=agency, code=error.code)
            # What we have kept goes back: the log's owner can see by its own signature that its history is another.
            # A note that its owner has padded beyond what travels stays in the evidence, where a person finds it.
            kept = error.known_note if len(error.known_note) <= _LINE_BYTES_MAX else b""
            refusal = oversight_pb2.Cosignature(origin=error.origin, refusal=error.code, line=kept)
            self._answer(envelope, refusal)
            return
        except (AuditError, DecodeError):
            return  # an earlier shipment is missing; the sender ships again from what we have cosigned
        if covered:
            line = mirror.cosign(
                self.witness, lambda text: self._parts.keys.sign("witness", text), self._parts.clock.now_ms()
            )
            self._answer(envelope, oversight_pb2.Cosignature(origin=mirror.origin, size=mirror.size, line=line))

    def _extend(self, agency: str, mirror: Mirror, body: oversight_pb2.Checkpoint) -> bool:
        """Add a shipment to the mirror; True once the mirror has reached the size that the note signs.

        A long shipment comes in parts under one note; parts wait in memory until the last, for nothing is stored that
        no signature covers. A lost part costs nothing: the sender ships again from what was cosigned.
        """
        start, leaves = int(body.start), list(body.leaves)
        size = checkpoint_size(body.note)
        if start + len(leaves) == size and start <= mirror.size:
            mirror.accept(start, leaves, body.note)
            self._parts_waiting.pop(agency, None)
            return True
        first, waiting = self._parts_waiting.get(agency, (start, []))
        if start != first + len(waiting):
            first, waiting = start, []
        waiting += leaves
        if sum(map(len, waiting)) > limits.SHIPMENT_WAITING_BYTES_MAX:
            self._parts_waiting.pop(agency, None)
            _log.warning("witness.shipment_too_long", peer=agency, size=size)
            return False
        self._parts_waiting[agency] = (first, waiting)
        if first > mirror.size or first + len(waiting) != size:
            return False
        del self._parts_waiting[agency]
        mirror.accept(first, waiting, body.note)
        return True

    @property
    def witness(self) -> Verifier:
        """The key with which this agency cosigns."""
        return Verifier.parse(self._parts.directory.member(self._parts.agency).witness_vkey)

    def _shipment(self, envelope: VerifiedEnvelope) -> oversight_pb2.Checkpoint:
        """Return the shipment in clear.

        The one body whose sealed half the key service gives without a leaf: it speaks of no person, and a witness that
        logged each shipment would never come to rest.
        """
        body = oversight_pb2.Checkpoint.FromString(envelope.public_body)
        body.MergeFromString(self._parts.keys.open_shipment(envelope.payload))
        return body

    def _answer(self, envelope: VerifiedEnvelope, body: oversight_pb2.Cosignature) -> None:
        self._outbound.send(
            [Draft(body, (envelope.header.sender,), "bulk", causation_id=envelope.header.message_id)],
            WITNESS,
            Statement("", ""),
        )

    def take_cosignature(self, envelope: VerifiedEnvelope) -> None:
        """Keep a cosignature of our log, if it verifies under the witness's key in the directory."""
        body = oversight_pb2.Cosignature.FromString(envelope.public_body)
        witness = envelope.header.sender
        if body.origin != self._parts.log.origin or witness not in self._shipped or body.size > _SIZE_MAX:
            return
        if body.refusal:
            self._confront(witness, body)
            return
        vkey = self._parts.directory.member(witness).witness_vkey
        try:
            self._parts.log.add_cosignature(witness, vkey, int(body.size), body.line)
        except AuditError:
            return  # not for a checkpoint of ours: it proves nothing, and the next shipment asks again

    def _confront(self, witness: str, body: oversight_pb2.Cosignature) -> None:
        """Hold our log against the checkpoint that a witness has kept; it freezes when our own signature convicts it."""
        try:
            self._parts.log.confront(body.line)
        except LogFrozen as error:
            _log.error("log.frozen", peer=witness, code=error.code, cause=error.cause, cure=error.cure)
        except AuditError as error:
            _log.warning("witness.refusal", peer=witness, code=error.code)

    def keep_answer(self, query_id: bytes, agency: str, status: str, values: dict[str, list[str]]) -> None:
        """Keep an agency's answer to a subject query, with what it answered before: no later value hides an earlier one.

        An agency answers for the message and again for each account that its sender passed on, in any order.
        """
        table = store.subject_answers
        which = (table.c.query_id == query_id, table.c.agency == agency)
        status = store.text(status, table.c.status)
        with self._parts.write() as connection:
            known = connection.execute(select(table.c.status, table.c["values"]).where(*which)).first()
            merged = _merged(json.loads(known.values) if known is not None else {}, values)
            found = {
                "status": known.status if known is not None and known.status == "FOUN" else status,
                "values": json.dumps(merged, sort_keys=True).encode(),
            }
            if known is None:
                connection.execute(table.insert(), {"query_id": query_id, "agency": agency, **found})
            else:
                connection.execute(table.update().where(*which).values(**found))

    def answers(self, query_id: bytes) -> dict[str, tuple[str, dict[str, list[str]]]]:
        """Return {agency: (status, {quarter: [hex value]})} of a subject query so far."""
        table = store.subject_answers
        with self._parts.engine.connect() as connection:
            rows = connection.execute(select(table).where(table.c.query_id == query_id)).all()
        return {row.agency: (row.status, json.loads(row.values)) for row in rows}


def _merged(held: dict[str, list[str]], added: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return the values of both, by quarter; an agency that answers without end is heard up to a limit, in order."""
    merged = {quarter: list(values) for quarter, values in held.items()}
    count = sum(map(len, merged.values()))
    for quarter, values in added.items():
        for value in values:
            if count < limits.SUBJECT_VALUES_MAX and value not in merged.setdefault(quarter, []):
                merged[quarter].append(value)
                count += 1
    return merged
