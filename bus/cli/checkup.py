"""The parts of `lianfang node doctor` that judge: certificates, database, directory, and what the running node reports."""

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bus.config import NodeConfig, database_url
from bus.errors import BusError

_CERTIFICATE_DAYS_MIN = 30
_KEY_DAYS_MIN = 14
_DAYS_MIN = {"prekey": 1}
"""A prekey is followed by the next one two days before its end; what has not been by then is not any more by itself."""
_DAY_MS = 86_400_000
_UNCOSIGNED_S_MAX = 60.0
_AHEAD_MS_MAX = 30_000


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `code` is empty when it is well; `cure` then says at most where to see more."""

    name: str
    ok: bool
    cause: str
    cure: str = ""
    code: str = ""


def wrong(name: str, code: str, cause: str, cure: str) -> Finding:
    """Return what is not well."""
    return Finding(name, ok=False, cause=cause, cure=cure, code=code)


def permissions(config: NodeConfig, directory: Path) -> Finding:
    """The directory holds logs, the database and what is handed over: none of it is for others.

    A key service under a user of its own goes through it to read node.toml and the database: its group may, and no more.
    """
    closed = 0o077 if config.keys.apart is None else 0o067
    if stat.S_IMODE(directory.stat().st_mode) & closed:
        cure = f"chmod go= {directory}; then ask who could read what lies in it"
        return wrong("permissions", "LF-DOCTOR-DIRECTORY-OPEN", "the node's directory is open to other users", cure)
    return Finding("permissions", ok=True, cause="the directory is for its owner alone")


def key_guard(config: NodeConfig) -> Finding:
    """Say who guards the key-encryption key; nobody is a warning, and not for real data."""
    keys = config.keys
    if keys.provider == "unprotected-file":
        return Finding(
            "key guard",
            ok=True,
            cause="none: whoever can read keys/ opens everything",
            cure="for real data name a guard under [keys] of node.toml, then `lianfang keys rekey`",
        )
    if keys.former is not None:
        return Finding(
            "key guard",
            ok=True,
            cause=f"{keys.provider}; node.toml still has the one before under [keys.former]",
            cure="`lianfang keys rekey`, then remove [keys.former]",
        )
    return Finding("key guard", ok=True, cause=keys.provider)


def key_service(config: NodeConfig, directory: Path) -> Iterator[Finding]:
    """Ask the key service how its process is protected; there is none where node and key service are one process."""
    from bus.process import key_client  # noqa: PLC0415 - lazy: help must not pay for it

    client = key_client(config.keys, directory)
    if not client.path.exists():
        return
    try:
        yield _protection(client.state())
    except BusError as error:
        yield wrong("key service", error.code, error.cause, error.cure)
    finally:
        client.close()


def _protection(state: dict[str, str]) -> Finding:
    if not state:  # one that runs inside another process, as in trials
        return Finding("key service", ok=True, cause="answers; says nothing of how its process is protected")
    open_ways = [name for name in ("core", "trace") if state[name] != "off"]
    if open_ways:
        return wrong(
            "key service",
            "LF-DOCTOR-KEYS-MEMORY",
            f"its memory can be read by others: {' and '.join(open_ways)} could not be switched off",
            "see what keeps it from that on this system",
        )
    if state["memory"] != "locked":
        cause = f"answers; its memory may be written to swap: {state['memory']}"
        cure = "or encrypt the swap, or have none"
        return Finding("key service", ok=True, cause=cause, cure=cure)
    return Finding("key service", ok=True, cause="answers; no core dump, no tracing, memory locked")


def database(config: NodeConfig, directory: Path) -> Finding:
    """Ask the database, as the node does at its start; one that is not there yet is made then."""
    from sqlalchemy import inspect  # noqa: PLC0415 - lazy: help must not pay for it
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415 - lazy

    from audit.errors import AuditUnavailable  # noqa: PLC0415 - lazy
    from audit.store import engine, in_words  # noqa: PLC0415 - lazy

    try:
        made = engine(database_url(config, directory))
    except BusError as error:
        return wrong("database", error.code, error.cause, error.cure)
    kind, file = made.dialect.name, made.url.database
    try:
        if kind == "sqlite" and not Path(str(file)).exists():
            return Finding("database", ok=True, cause="there is none yet; the node makes it at its first start")
        tables = len(inspect(made).get_table_names())
    except (AuditUnavailable, DBAPIError) as error:
        cause = f"{kind} does not serve this node ({in_words(error.__cause__ or error)})"
        return wrong("database", "LF-DOCTOR-DATABASE", cause, "start it, or mend `database` in node.toml")
    finally:
        made.dispose()
    return Finding("database", ok=True, cause=f"{kind} answers; {tables} tables")


def certificates(config: NodeConfig, directory: Path, now: datetime | None = None) -> Iterator[Finding]:
    """Say of each certificate of [broker] until when it holds; one that is not there is told by the broker's finding."""
    from cryptography import x509  # noqa: PLC0415 - lazy: help must not pay for it

    at = now or datetime.now(UTC)  # noqa: TID251 - certificates hold by the machine's own clock, as TLS judges them
    for name, file in (("certificate", config.broker.certificate_file), ("authority", config.broker.ca_file)):
        try:
            held = x509.load_pem_x509_certificates((directory / file).read_bytes())
            until = min(certificate.not_valid_after_utc for certificate in held)
        except (OSError, ValueError):
            continue
        left = (until - at).days
        text = f"{file} holds until {until:%Y-%m-%d}"
        if left < _CERTIFICATE_DAYS_MIN:
            text = f"{file} ended on {until:%Y-%m-%d}" if until < at else f"{text}, {left} days from now"
            cure = "have a new one made by the broker's authority, put it in its place and restart the node"
            yield wrong(name, "LF-DOCTOR-CERTIFICATE-ENDS", text, cure)
        else:
            yield Finding(name, ok=True, cause=text)


def health(report: dict[str, Any]) -> Iterator[Finding]:
    """Judge what the running node reports of itself (bus/health.py)."""
    late = {name: age for name, age in report["uncosigned_s"].items() if age > _UNCOSIGNED_S_MAX}
    if late:
        text = ", ".join(f"{name} is {age:.0f} s behind" for name, age in late.items())
        cure = "see that the auditor's node and the broker run; an export is refused until it has cosigned"
        yield wrong("witness lag", "LF-DOCTOR-WITNESS-LATE", text, cure)
    yield _overdue(report["overdue_receipts"])
    yield _put_aside("quarantine", report["quarantine"], "`lianfang quarantine` says why each was refused")
    yield _put_aside("held back", report["held_back"], "`lianfang held-back` says what to mend")
    yield _numbers(report["gaps"], report["repeated_numbers"])
    yield _ends(report["ends_ms"], report["at_ms"])
    yield _handover(report["handover"])
    yield _clock(report["clock"])


def _overdue(overdue: dict[str, int]) -> Finding:
    if not overdue:
        return Finding("receipts", ok=True, cause="none is overdue")
    text = ", ".join(f"{name}: {count}" for name, count in sorted(overdue.items()))
    cure = "see that those nodes run; messages are sent again by themselves until they expire"
    return wrong("receipts", "LF-DOCTOR-RECEIPTS-OVERDUE", f"overdue from {text}", cure)


def _put_aside(name: str, found: dict[str, int], cure: str) -> Finding:
    """Count what was put aside: the node did right, and somebody should look."""
    if not found:
        return Finding(name, ok=True, cause="nothing within a day")
    text = ", ".join(f"{why}: {count}" for why, count in sorted(found.items()))
    return Finding(name, ok=True, cause=f"within a day {text}", cure=cure)


def _numbers(gaps: dict[str, int], repeated: dict[str, int]) -> Finding:
    """Judge the numbers under which senders' messages came (bus/sequences.py): a gap is told, a number twice is wrong."""
    if repeated:
        text = ", ".join(f"{name}: {count}" for name, count in sorted(repeated.items()))
        cure = "ask that agency whether its keys were restored from a backup; if not, somebody else may hold them"
        return wrong("numbers", "LF-DOCTOR-NUMBER-TWICE", f"message numbers came twice from {text}", cure)
    if gaps:
        text = ", ".join(f"{name}: {count}" for name, count in sorted(gaps.items()))
        cure = "ask that agency to compare `lianfang sent`; a key service that starts anew skips numbers too"
        return Finding("numbers", ok=True, cause=f"within a day did not come from {text}", cure=cure)
    return Finding("numbers", ok=True, cause="none is missing")


def _ends(ends_ms: dict[str, int], now_ms: int) -> Finding:
    """Judge until when the node's keys in the directory, and the policy, hold."""
    until = {name: datetime.fromtimestamp(ms / 1000, UTC) for name, ms in ends_ms.items()}
    text = ", ".join(f"{name} until {at:%Y-%m-%d}" for name, at in until.items())
    if any(ends - now_ms < _DAYS_MIN.get(name, _KEY_DAYS_MIN) * _DAY_MS for name, ends in ends_ms.items()):
        cure = "have the centre publish a directory with new keys, or a new policy bundle, before that day"
        return wrong("validity", "LF-DOCTOR-VALIDITY-ENDS", text, cure)
    return Finding("validity", ok=True, cause=text)


def _handover(handover: dict[str, int]) -> Finding:
    if not any(handover.values()):
        return Finding("hand-over", ok=True, cause="nothing waits")
    text = f"{handover['pending']} wait longer than a minute, {handover['failed']} were given up within a day"
    cure = "see the local system's directory and the node's log; `lianfang inbox` shows which"
    return wrong("hand-over", "LF-DOCTOR-HANDOVER", text, cure)


def _clock(clock: dict[str, Any]) -> Finding:
    if clock["refused_by"]:
        text = f"{', '.join(clock['refused_by'])} refused messages of ours as coming from the future"
        return wrong("clock", "LF-DOCTOR-CLOCK", text, "set this machine's clock (NTP), then send them anew")
    ahead = {name: ms for name, ms in clock["ahead_ms"].items() if ms > _AHEAD_MS_MAX}
    if ahead:
        text = ", ".join(f"{name} is {ms // 1000} s ahead of us" for name, ms in sorted(ahead.items()))
        return wrong(
            "clock", "LF-DOCTOR-CLOCK", text, "see whose clock is wrong (NTP); beyond five minutes messages are refused"
        )
    return Finding("clock", ok=True, cause="no sender's clock is far ahead of ours")
