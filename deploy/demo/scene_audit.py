"""Scene 6: the auditor asks who looked, and every log is verified from its files alone, by us and by a stranger."""

import shutil
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit.verify import verify_directory
from bus.directory import Directory
from deploy.demo.foreign_verifier import verify_export
from deploy.demo.scenes import Stopwatch, Trace
from deploy.demo.stage import Stage, wait_for
from deploy.demo.timeline import Step, Timeline

_AUDIT = {"purpose": "audit", "legal_basis": "ATF5"}
_AUDIT_SERVICE = "svc-subject"
_EXPORT_S = 120


@dataclass(frozen=True)
class Log:
    """One exported log."""

    agency: str
    entries: int
    verified: bool
    export: str


class AuditScene:
    """The auditor's part."""

    def __init__(self, stage: Stage, timeline: Timeline) -> None:
        self._stage = stage
        self._timeline = timeline
        self._entry = 0
        self._directory = Directory.pinned((stage.node("auditor") / "directory.bin").read_bytes())

    def who_looked(self, order_id: str, expected: Collection[Trace]) -> None:
        """Ask who looked at the account of an order, and wait until every expected look and refusal has been found.

        The auditor names a message and a field. It holds no key that opens either.
        """
        start = self._stage.entries("auditor")
        watch = Stopwatch()
        query = self._stage.call("auditor", "audit.ask", message_id=order_id, field="target", **_AUDIT)["query_id"]

        def answered() -> dict[str, Any] | None:
            answers: dict[str, Any] = self._stage.call("auditor", "audit.answers", query_id=query, **_AUDIT)
            found = {(look["agency"], int(look["entry"])) for look in answers["looks"]}
            return answers if not answers["silent"] and found >= set(expected) else None

        answers = wait_for("the looks that the auditor asked for", answered)
        self._entry = self._stage.find_entry("auditor", start, action="ACTION_SEARCH")
        self._step("who-looked", watch, *_told(answers))

    def logs(self) -> list[Log]:
        """Export every log, verify each from its files, let a stranger verify them, and flip a byte in a copy."""
        start = self._stage.entries("auditor")
        watch = Stopwatch()
        exports = self._export()
        self._entry = self._stage.find_entry("auditor", start, action="ACTION_EXPORT")
        self._step("logs-exported", watch)
        watch = Stopwatch()
        logs = [self._verified(agency, path) for agency, path in exports.items()]
        said = ", ".join(f"{log.agency} {log.entries}" for log in logs)
        self._step("logs-verified", watch, f"entries: {said}")
        self._foreign(exports)
        self._flipped(exports["police-a"])
        return logs

    def _export(self) -> dict[str, Path]:
        """Write every log below exports/, all at the same time: each waits for its witness."""

        def export(agency: str) -> Path:
            target = self._stage.directory / "exports" / agency
            self._stage.call(agency, "audit.export", directory=str(target), timeout_s=_EXPORT_S)
            return target

        agencies = self._stage.federation.agencies
        with ThreadPoolExecutor(len(agencies)) as pool:
            return dict(zip(agencies, pool.map(export, agencies), strict=True))

    def _verified(self, agency: str, export: Path) -> Log:
        """Verify an export under the keys of the members' directory."""
        log_key, witnesses = self._keys(agency)
        report = verify_directory(export, log_key, witnesses)
        for problem in report.problems:
            self._timeline.problem(f"the log of {agency}: {problem}")
        if not witnesses:
            self._timeline.problem(f"the log of {agency} has no witness")
        return Log(agency, report.entries, report.ok and bool(witnesses), str(export))

    def _keys(self, agency: str) -> tuple[str, list[str]]:
        """Return a log's key and its witnesses' from the members' directory, not those that lie beside the log."""
        witnesses = self._stage.call(agency, "status")["log"]["cosigned"]
        member = self._directory.member
        return member(agency).log_vkey, [member(name).witness_vkey for name in witnesses]

    def _foreign(self, exports: dict[str, Path]) -> None:
        watch = Stopwatch()
        words = ""
        for agency, path in exports.items():
            good, words = verify_export(path, *self._keys(agency))
            if not good:
                self._timeline.problem(f"the foreign verifier rejects the log of {agency}: {words}")
        self._step("foreign-verified", watch, words)

    def _flipped(self, export: Path) -> None:
        """Flip one byte of an entry in a copy: both verifiers must reject it."""
        watch = Stopwatch()
        copy = self._stage.directory / "flipped" / export.name
        shutil.copytree(export, copy)
        bundle = next(path for path in sorted((copy / "tile" / "entries").rglob("*")) if path.is_file())
        data = bytearray(bundle.read_bytes())
        data[len(data) // 2] ^= 1
        bundle.chmod(0o600)
        bundle.write_bytes(data)
        report = verify_directory(copy)
        good, words = verify_export(copy)
        if report.ok:
            self._timeline.problem("our verifier accepts a log with a flipped byte")
        if good:
            self._timeline.problem("the foreign verifier accepts a log with a flipped byte")
        ours = f"ours: {report.problems[0]}" if report.problems else "ours: nothing found"
        self._step("flipped-byte-rejected", watch, ours, f"the stranger: {words}")

    def _step(self, name: str, watch: Stopwatch, *notes: str) -> None:
        """Keep a step of the auditor's; what is done with the files belongs to the entry of their export."""
        self._timeline.step(Step(name, "auditor", "auditor", watch.ms(), self._entry), *notes)


def _told(answers: dict[str, Any]) -> list[str]:
    """Return what the auditor learns, one line an agency: how often it was opened, handed over and refused."""
    looks = [look for look in answers["looks"] if look["system"] != _AUDIT_SERVICE]
    lines = []
    for agency in sorted({look["agency"] for look in looks}):
        own = [look for look in looks if look["agency"] == agency]
        refused = [look for look in own if look["decision"] == "DENY"]
        opened = [look for look in own if look not in refused and look["action"] == "OPEN"]
        handed = [look for look in own if look not in refused and look["action"] == "HAND_OVER"]
        entries = ", ".join(f"#{look['entry']}" for look in own)
        lines.append(
            f"{agency}: {len(opened)} opened by a person, {len(handed)} handed to its own system, "
            f"{len(refused)} refused (entries {entries})"
        )
    others = len(answers["looks"]) - len(looks)
    lines.append(f"found by keyed values, the account itself was not read; looks by this audit's own service: {others}")
    return lines
