"""Collects tests/transcripts/*.txt: what a person types at a shell, and what is seen, exactly.

- `$ command` is run by sh in a directory of the transcript's own; `> ` continues it. What follows is what it prints on
  standard output and standard error. `[exit 2]` ends it when the code is not 0.
- `…` stands for any text within a line, and a line of `…` alone for any lines.
- A line that begins with `# ` before a command says what is true; other text is not allowed.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ANY = "…"
TIMEOUT_S = 60


@dataclass
class Exchange:
    """One command and what is expected of it."""

    line: int
    command: str
    expected: list[str] = field(default_factory=list)
    code: int = 0


def exchanges(text: str) -> Iterator[Exchange]:
    """Yield the commands of a transcript."""
    current: Exchange | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("$ "):
            if current:
                yield current
            current = Exchange(number, line[2:])
        elif line.startswith("# "):
            if current:
                yield current
            current = None
        elif current is None:
            assert not line.strip(), f"line {number} belongs to no command"
        elif line.startswith("> ") and not current.expected:
            current.command += "\n" + line[2:]
        elif found := re.fullmatch(r"\[exit (\d+)\]", line):
            current.code = int(found[1])
        else:
            current.expected.append(line)
    if current:
        yield current


def pattern(expected: list[str]) -> re.Pattern[str]:
    """Return what the output must match."""
    while expected and not expected[-1].strip():
        expected = expected[:-1]
    parts = []
    for line in expected:
        if line == ANY:
            parts.append(r"(?:[^\n]*\n)*")
        else:
            parts.append(r"[^\n]*".join(re.escape(piece) for piece in line.split(ANY)) + r"\n")
    return re.compile("".join(parts))


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Take every .txt file of this directory as a transcript."""
    if file_path.suffix == ".txt" and file_path.parent == Path(__file__).parent:
        return TranscriptFile.from_parent(parent, path=file_path)
    return None


class TranscriptFile(pytest.File):
    """One transcript."""

    def collect(self) -> Iterator[pytest.Item]:
        """Yield the transcript as one test: its commands build on each other."""
        yield Transcript.from_parent(self, name=self.path.stem)


class Transcript(pytest.Item):
    """Runs a transcript."""

    def runtest(self) -> None:
        """Type every command and compare what is seen."""
        factory = self.config._tmp_path_factory  # type: ignore[attr-defined]  # pytest gives items no fixture
        directory = factory.mktemp(self.name)
        for exchange in exchanges(self.path.read_text(encoding="utf-8")):
            self._check(exchange, directory)

    def _check(self, exchange: Exchange, directory: Path) -> None:
        done = subprocess.run(
            ["/bin/sh", "-c", exchange.command],
            cwd=_work(directory),
            env=_environment(directory),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TIMEOUT_S,
            check=False,
        )
        seen = done.stdout.decode()
        place = f"{self.path.name}:{exchange.line}: $ {exchange.command}"
        assert pattern(exchange.expected).fullmatch(seen), (
            f"{place}\nexpected:\n" + "\n".join(exchange.expected) + f"\nseen:\n{seen}"
        )
        assert done.returncode == exchange.code, f"{place}\nexit {done.returncode}, not {exchange.code}\n{seen}"

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: object = None) -> str:
        """Show what was expected and seen, without our own frames."""
        return str(excinfo.value) if excinfo.errisinstance(AssertionError) else str(super().repr_failure(excinfo))

    def reportinfo(self) -> tuple[Path, int, str]:
        """Name the transcript."""
        return self.path, 0, self.name


def _work(directory: Path) -> Path:
    work = directory / "work"
    work.mkdir(exist_ok=True)
    return work


def _environment(directory: Path) -> dict[str, str]:
    """Return an environment with our command first in PATH, and nothing of the tester's."""
    commands = directory / "bin"
    commands.mkdir(exist_ok=True)
    script = commands / "lianfang"
    if not script.exists():
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m bus "$@"\n')
        script.chmod(0o755)
    return {
        "PATH": f"{commands}{os.pathsep}{os.defpath}",
        "HOME": str(directory),
        "LANG": "C.UTF-8",
        "COLUMNS": "102",
        "PYTHONPATH": str(ROOT),
        "SHARED": str(ROOT.parent / "shared"),
        "ROOT": str(ROOT),
    }
