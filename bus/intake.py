"""A local file becomes messages: bytes → rows → mapping → shared messages → the way out.

Every row has exactly one outcome: sent, sent before, held back by the profile, or refused by policy. Held-back rows are
kept, encrypted at rest, with cause and cure; lineage goes with each sent message, encrypted at rest too.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice
from typing import Any, Protocol

from sqlalchemy import select

import adapters
from adapters.convert import convert
from adapters.errors import FileRefused
from adapters.model import Converted, HeldBack, Lineage
from bus import leaves, limits, store
from bus.errors import Usage
from bus.outbound import AlreadySent, Draft, NotSent, Outcome, Sent
from bus.parts import Actor, Parts, Statement
from schemas import checks
from schemas.errors import MessageRefused

_LANES = {
    "urgent": (
        "StopPaymentOrder",
        "StopPaymentResult",
        "FreezeOrder",
        "FreezeResult",
        "MonitoringOrder",
        "MonitoringAnswer",
        "MonitoringEvent",
        "NumberActionOrder",
        "NumberActionResult",
        "PaymentRecall",
        "PaymentRecallAnswer",
        "VictimAlert",
        "VictimAlertOutcome",
        "WatchCheck",
        "WatchCheckAnswer",
    ),
    "normal": (
        "SuspiciousAccountNotice",
        "SuspiciousActivityReport",
        "VictimCaseReport",
        "AccountQuery",
        "AccountAnswer",
        "TransactionQuery",
        "FundsReturn",
        "FraudNumberReport",
        "SpoofedCallReport",
        "NumberStatusQuery",
        "NumberStatusAnswer",
        "CallDetailRequest",
        "ThreatIndicator",
        "CaseReferral",
        "Feedback",
        "Appeal",
        "AppealDecision",
        "Acknowledgement",
    ),
    "bulk": (
        "TransactionTrace",
        "CallDetailAnswer",
        "WatchlistUpdate",
    ),
}
LANE_OF = {name: lane for lane, names in _LANES.items() for name in names}
"""The lane of every message that a file may become. Urgent is what has a running clock; bulk is what may be long."""
_BATCH = 512


@dataclass
class Intake:
    """What became of a file."""

    rows_in: int = 0
    sent: list[dict[str, Any]] = field(default_factory=list)
    already_sent: list[dict[str, Any]] = field(default_factory=list)
    held_back: list[dict[str, Any]] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[dict[str, Any]] = field(default_factory=list)


class Sender(Protocol):
    """Whatever sends messages: Outbound, or what gives them match tags first."""

    def send(self, drafts: Sequence[Draft], actor: Actor, statement: Statement) -> list[Outcome]:
        """Send each draft; the outcomes stand in the same order."""
        ...


class FileIntake:
    """Takes files in."""

    def __init__(self, parts: Parts, outbound: Sender) -> None:
        self._parts = parts
        self._outbound = outbound

    def take(
        self,
        data: bytes,
        profile_name: str,
        recipients: tuple[str, ...],
        actor: Actor,
        statement: Statement,
        companions: Mapping[str, bytes],
    ) -> Intake:
        """Send every good row of a file. Usage when the file as a whole cannot be read; nothing is sent then."""
        if len(data) > limits.SEND_FILE_BYTES_MAX:
            raise Usage(
                f"the file has {len(data)} bytes, more than {limits.SEND_FILE_BYTES_MAX}",
                cure="split it; every part needs the header line",
                code="LF-SEND-FILE-TOO-LARGE",
            )
        intake = Intake()
        digest = sha256(data).digest()
        try:
            name = adapters.detect(data) if profile_name == "auto" else profile_name
            if name not in adapters.profiles():
                raise Usage(f"no profile {name}", cure="`lianfang map list` names them", code="LF-MAP-UNKNOWN-PROFILE")
            rows = convert(adapters.profiles()[name], data, companions=companions)
            while batch := list(islice(rows, _BATCH)):
                self._take_batch(batch, name, digest, recipients, actor, statement, intake)
        except FileRefused as error:
            raise Usage(error.cause, cure=error.cure, code=error.code, rows_in=intake.rows_in) from error
        return intake

    def _take_batch(
        self,
        batch: list[Converted | HeldBack],
        profile: str,
        digest: bytes,
        recipients: tuple[str, ...],
        actor: Actor,
        statement: Statement,
        intake: Intake,
    ) -> None:
        intake.rows_in += len(batch)
        prints = self._parts.keys.fingerprint([profile.encode() + b"\0" + row.identity for row in batch])
        drafts: list[Draft] = []
        rows: list[Converted] = []
        held: list[tuple[HeldBack, bytes]] = []
        for row, fingerprint in zip(batch, prints, strict=True):
            good = _checked(row)
            if isinstance(good, HeldBack):
                held.append((good, fingerprint))
                continue
            draft = Draft(
                good.message,
                recipients,
                LANE_OF[good.message.DESCRIPTOR.name],
                fingerprint=fingerprint,
                lineage=lineage_bytes(good.lineage),
                checked_record=True,  # by _checked
            )
            drafts.append(draft)
            rows.append(good)
        self._keep_held_back(held, profile, digest, actor, intake)
        for row, outcome in zip(rows, self._outbound.send(drafts, actor, statement), strict=True):
            _report(row, outcome, intake)

    def _keep_held_back(
        self, held: list[tuple[HeldBack, bytes]], profile: str, digest: bytes, actor: Actor, intake: Intake
    ) -> None:
        if not held:
            return
        intake.held_back += [
            {"row": row.record, "line": row.line, "code": row.code, "cause": row.cause, "cure": row.cure}
            for row, _ in held
        ]
        table = store.held_back
        with self._parts.engine.connect() as connection:
            wanted = [fingerprint for _, fingerprint in held]
            known = {
                row.fingerprint
                for row in connection.execute(select(table.c.fingerprint).where(table.c.fingerprint.in_(wanted)))
            }
        new = {fingerprint: row for row, fingerprint in held if fingerprint not in known}
        if not new:
            return
        sealed = self._parts.keys.protect_all(
            [b"held-back" + fingerprint for fingerprint in new], [row.raw for row in new.values()]
        )
        now, rows = self._parts.clock.now_ms(), store.Rows()
        with self._parts.log.transaction(self._parts.append_deadline_s) as transaction:
            for (fingerprint, row), data in zip(new.items(), sealed, strict=True):
                rows.add(
                    table,
                    fingerprint=fingerprint,
                    received_at_ms=now,
                    profile=profile,
                    source_sha256=digest,
                    record=row.record,
                    line=row.line,
                    code=row.code,
                    cause=store.text(row.cause, table.c.cause),
                    cure=store.text(row.cure, table.c.cure),
                    sealed_raw=data,
                )
                transaction.append(leaves.held_back(self._parts, row.code, digest, actor))
            rows.flush(transaction.connection)


def _checked(row: Converted | HeldBack) -> Converted | HeldBack:
    """Return the row, held back when its message breaks a check: one bad record stops no other."""
    if isinstance(row, HeldBack):
        return row
    try:
        checks.require_valid_record(row.message, row.made_of)
    except MessageRefused as error:
        return HeldBack(row.record, row.line, error.violations[0].rule, error.cause, error.cure, row.raw)
    return row


def _report(row: Converted, outcome: Outcome, intake: Intake) -> None:
    where = {"row": row.record, "line": row.line}
    for warning in row.warnings:
        intake.warnings.append({**where, "code": warning.code, "field": warning.field, "cause": warning.cause})
    match outcome:
        case Sent():
            intake.sent.append({**where, "message_id": outcome.message_id.hex(), "entry": outcome.log_index})
        case AlreadySent():
            intake.already_sent.append({**where, "message_id": outcome.message_id.hex()})
        case NotSent():
            intake.refused.append(
                {
                    **where,
                    "code": outcome.code,
                    "rules": list(outcome.rule_ids),
                    "cause": outcome.reason,
                    "cure": outcome.next_step,
                    "missing": list(outcome.missing),
                    "entry": outcome.log_index,
                }
            )


def lineage_bytes(lineage: tuple[Lineage, ...]) -> bytes:
    """Return lineage as JSON; it is encrypted before it is stored."""
    return json.dumps([[*item] for item in lineage], ensure_ascii=False).encode()
