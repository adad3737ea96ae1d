"""What the audit tests share: keys, entries, logs, a witness, and the taking away of a single check."""

import inspect
import sqlite3
import textwrap
from contextlib import closing
from hashlib import sha256
from pathlib import Path

from nacl.signing import SigningKey
from sqlalchemy.engine import Engine

from audit import store
from audit.checkpoint import LOG_KEY_TYPE, WITNESS_KEY_TYPE, Verifier, cosign
from audit.leaf import encode
from audit.log import AuditLog
from audit.v1 import leaf_pb2

NOW_MS = 1_800_000_000_000
AGENCY = "bank-a"
WITNESS = "auditor"


class Signer:
    """A key pair under a name."""

    def __init__(self, name: str, key_type: int, seed: str = "") -> None:
        self.key = SigningKey(sha256((seed or name).encode()).digest())
        self.verifier = Verifier(name, key_type, bytes(self.key.verify_key))

    def sign(self, message: bytes) -> bytes:
        return self.key.sign(message).signature


LOG = Signer("lianfang/audit/bank-a", LOG_KEY_TYPE)
AUDITOR = Signer("lianfang/witness/auditor", WITNESS_KEY_TYPE)
SECOND = Signer("lianfang/witness/police-a", WITNESS_KEY_TYPE)
STRANGER = Signer("lianfang/witness/stranger", WITNESS_KEY_TYPE)


def entry(number: int, **fields) -> bytes:
    """Return an entry that differs by its number."""
    values = {
        "at_ms": NOW_MS + number,
        "kind": leaf_pb2.KIND_RECEIPT,
        "action": leaf_pb2.ACTION_OPEN,
        "decision": leaf_pb2.DECISION_PERMIT,
        "exchange": number.to_bytes(16, "big"),
        "message_type": "lianfang.v1.SuspiciousAccountNotice",
        "agency": AGENCY,
        "purpose": "investigate",
        "classes_released": ["ACCOUNT_ID"],
        "rule_ids": ["OP-02"],
    }
    return encode(leaf_pb2.Leaf(**(values | fields)))


def entries(count: int, start: int = 0) -> list[bytes]:
    return [entry(number) for number in range(start, start + count)]


ENGINES: list[Engine] = []
"""Engines made by a test; its fixtures dispose of them."""


def engine(url: str) -> Engine:
    ENGINES.append(store.engine(url))
    return ENGINES[-1]


def open_log(url: str, signer: Signer = LOG) -> AuditLog:
    return AuditLog.open(engine(url), signer.verifier)


def append(log: AuditLog, leaves) -> list[int]:
    with log.transaction() as transaction:
        return [transaction.append(leaf) for leaf in leaves]


def backup(source: Path, target: Path) -> None:
    """Copy a SQLite database as a backup does, while it is in use."""
    with closing(sqlite3.connect(source)) as connection:
        connection.execute(f"VACUUM INTO '{target}'")


def witness(log: AuditLog, witness=AUDITOR, agency: str = WITNESS) -> bytes:
    """Sign a checkpoint and have it cosigned, without a mirror; return the note."""
    checkpoint = log.checkpoint(LOG.sign)
    line = cosign(checkpoint.text, witness.verifier, witness.sign, NOW_MS)
    log.add_cosignature(agency, witness.verifier.text, checkpoint.size, line)
    return log.latest_checkpoint().note


def exported(directory, url: str, count: int):
    """Make a log of that many entries, have it cosigned, and export it."""
    log = open_log(url)
    append(log, entries(count))
    witness(log)
    log.export(directory, {WITNESS: AUDITOR.verifier.text})
    return directory


def take_out(monkeypatch, owner, name: str, check: str, instead: str = "False") -> None:
    """Put a copy of a function in place in which one check, given by its text, is taken out."""
    function = getattr(owner, name)
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(check) == 1, f"{check!r} stands {source.count(check)} times in {name}"
    space = dict(function.__globals__)
    exec(source.replace(check, instead), space)
    monkeypatch.setattr(owner, name, space[name])
