"""A federation in memory with real control sockets, and a way to type at it."""

import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bus.cli import main
from deploy.demo.federation import wait_until

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Typed:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def value(self) -> Any:
        """The one JSON value on standard output; fails when there is anything else."""
        return json.loads(self.out)


def lianfang(*arguments: object, stdin: str = "") -> Typed:
    """Type a command, in this process."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2)]
    before, sys.stdin = sys.stdin, io.StringIO(stdin)
    try:
        with redirect_stdout(streams[0]), redirect_stderr(streams[1]):
            code = main([str(argument) for argument in arguments])
    finally:
        sys.stdin = before
    out, err = (stream.buffer.getvalue().decode() for stream in streams)  # type: ignore[attr-defined]  # a BytesIO
    return Typed(code, out, err)


@dataclass(frozen=True)
class Desks:
    """The nodes, by agency, and commands typed at them."""

    root: Path

    def at(self, agency: str, *arguments: object, stdin: str = "") -> Typed:
        """Type a command at an agency's desk."""
        return lianfang(*arguments, "--dir", self.root / agency, stdin=stdin)

    def json(self, agency: str, *arguments: object) -> Any:
        """Type a command that must succeed, and return its JSON."""
        typed = self.at(agency, *arguments, "--json")
        assert typed.code == 0, typed
        assert typed.err == ""
        return typed.value

    def wait(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds."""
        assert wait_until(holds, 30.0)


@pytest.fixture(scope="package")
def desks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desks]:
    """A running federation for all tests of the command line, in a process of its own."""
    root = tmp_path_factory.mktemp("federation")
    with (root / "said").open("wb") as said:
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.cli.federation_process", str(root)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
        )
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == b"ready\n", (root / "said").read_text()
            yield Desks(root)
        finally:
            child.communicate(timeout=60)
    assert child.returncode == 0
