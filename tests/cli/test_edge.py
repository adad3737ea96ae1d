"""What becomes of an error, of whatever kind, at the edge of the command line."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

import click
import pytest
import sqlalchemy.exc

from audit.errors import AuditUnavailable, NoteRefused
from bus import errors
from bus.cli import main
from bus.cli.edge import explained, run
from bus.keyservice.protocol import KeyServiceUnavailable
from schemas.errors import UnknownType

PLANTED = "6222021234567890128"


def failing(error: BaseException) -> click.Command:
    """Return a command that meets an error."""

    @click.command()
    @click.option("--json", "as_json", is_flag=True)
    def command(*, as_json: bool) -> NoReturn:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code", "exit_code"),
    [
        (errors.Retry("x"), "LF-BUS-RETRY", 75),
        (errors.Refused("x", rules=["OP-1"]), "LF-POLICY-DENIED", 4),
        (errors.NotFound("x"), "LF-BUS-NOT-FOUND", 5),
        (errors.NoAnswer("x"), "LF-BUS-NO-ANSWER", 6),
        (errors.Usage("x"), "LF-BUS-USAGE", 2),
        (errors.Broken("x"), "LF-BUS-BROKEN", 1),
        (click.UsageError("x"), "LF-CLI-USAGE", 2),
        (click.BadParameter("x"), "LF-CLI-USAGE", 2),
        (click.FileError("x"), "LF-CLI-NO-FILE", 5),
        (OSError(errno.ENOSPC, "no space", "x"), "LF-CLI-DISK-FULL", 75),
        (PermissionError(errno.EACCES, "denied", "x"), "LF-CLI-PERMISSION", 1),
        (FileNotFoundError(errno.ENOENT, "none", "x"), "LF-CLI-NO-FILE", 5),
        (OSError(errno.EIO, "input/output error", "x"), "LF-CLI-SYSTEM", 1),
        (UnicodeDecodeError("utf-8", PLANTED.encode(), 3, 4, "x"), "LF-CLI-ENCODING", 2),
        (NoteRefused("x"), "LF-AUDIT-NOTE", 7),
        (AuditUnavailable("x"), "LF-AUDIT-UNAVAILABLE", 75),
        (KeyServiceUnavailable("x"), "LF-KEYS-UNAVAILABLE", 75),
        (UnknownType("x"), "LF-SCHEMA-UNKNOWN-TYPE", 1),
        (sqlalchemy.exc.OperationalError("INSERT", {"account": PLANTED}, Exception(PLANTED)), "LF-CLI-DATABASE", 75),
        (ValueError(PLANTED), "LF-CLI-FAULT", 1),
        (KeyError(PLANTED), "LF-CLI-FAULT", 1),
        (RecursionError(PLANTED), "LF-CLI-FAULT", 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_every_kind_of_error_has_its_code_and_exit_code(
    error: Exception, code: str, exit_code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each kind of error ends the command with its exit code and is told once, in either form, without any value."""
    assert run(failing(error), []) == exit_code
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(f"error {code}: ")
    assert run(failing(error), ["--json"]) == exit_code
    as_json = capsys.readouterr()
    facts = json.loads(as_json.out)
    assert (facts["ok"], facts["code"], facts["exit"]) == (False, code, exit_code)
    assert as_json.err == ""
    assert PLANTED not in told.err + as_json.out
    assert "Traceback" not in told.err


def test_a_fault_names_the_place_in_our_code_and_a_cure(capsys: pytest.CaptureFixture[str]) -> None:
    """An error of our own names its type and the last line of ours that it passed."""
    run(failing(ValueError(PLANTED)), [])
    assert "ValueError at tests/cli/test_edge.py:" in capsys.readouterr().err


def test_a_refusal_names_its_rules_and_what_was_missing(capsys: pytest.CaptureFixture[str]) -> None:
    """A refusal by policy shows the rows and what was missing, under cause and cure."""
    error = errors.Refused("no row permits it", cure="ask your supervisor", rules=["OP-02"], missing=["a mandate"])
    assert run(failing(error), []) == 4
    assert capsys.readouterr().err.splitlines() == [
        "error LF-POLICY-DENIED: no row permits it",
        "cure: ask your supervisor",
        "rules: OP-02",
        "missing: a mandate",
    ]


def test_words_of_others_cannot_drive_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Control characters in a cause are shown, not sent."""
    run(failing(errors.Usage("\x1b[2Jhe\u202ello")), [])
    assert capsys.readouterr().err == "error LF-BUS-USAGE: \\x1b[2Jhe\\u202ello\n"


def test_an_interrupt_ends_with_130() -> None:
    """Ctrl-C ends a command with 130 and no traceback, as shells expect."""
    assert run(failing(KeyboardInterrupt()), []) == 130


def test_our_errors_keep_their_facts() -> None:
    """Facts of an error, such as the log entry of a refusal, reach the reader of the JSON."""
    assert explained(errors.Refused("x", entry=7))["entry"] == 7


@pytest.mark.parametrize("arguments", [["--help"], ["map", "list"], ["map", "list", "--json"]], ids=" ".join)
def test_a_closed_pipe_ends_quietly_with_141(arguments: list[str]) -> None:
    """When the reader of the output is gone, the command ends with 141 and says nothing."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "bus", *arguments], stdout=writer, stderr=subprocess.PIPE, check=False, timeout=60
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("json_option", [[], ["--json"]], ids=["people", "json"])
@pytest.mark.parametrize("arguments", [["map", "list"], ["inbox", "--dir", "nowhere"]], ids=" ".join)
def test_a_full_disk_under_the_output_is_told_on_standard_error(arguments: list[str], json_option: list[str]) -> None:
    """When standard output cannot be written, the command does not end well, and standard error says why."""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "bus", *arguments, *json_option],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
            timeout=60,
        )
    assert done.returncode == 75
    assert done.stderr.startswith(b"error LF-")
    assert b"Traceback" not in done.stderr
    assert b"Exception" not in done.stderr


def test_a_closed_standard_output_is_no_error() -> None:
    """`>&-` throws the output away; the command does its work."""
    done = subprocess.run(
        ["/bin/sh", "-c", f"'{sys.executable}' -m bus map list >&-"], stderr=subprocess.PIPE, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_ctrl_c_at_a_waiting_command_ends_it_with_130(tmp_path: Path) -> None:
    """SIGINT to a command that waits on a pipe ends it with 130, and nothing but an empty line is said."""
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    child = subprocess.Popen(
        [sys.executable, "-m", "bus", "map", "check", "auto", str(pipe)], stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        descriptor = _opened_when_read(pipe)
        time.sleep(0.2)
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=30)
        os.close(descriptor)
    finally:
        child.kill()
    assert child.returncode == 130
    assert said.strip() == b""


def _opened_when_read(pipe: Path) -> int:
    """Open the writing end as soon as somebody reads."""
    for _ in range(300):
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            time.sleep(0.1)
    raise AssertionError("nobody opened the pipe")


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["inbx"], "'inbox'"),
        (["audit", "verfy", "x"], "'verify'"),
        (["inbox", "--jsn"], "--json"),
    ],
)
def test_a_mistyped_word_is_answered_with_the_nearest(
    arguments: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unknown command or option names the one that was probably meant, and where to read on."""
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert hint in said
    assert "--help` shows how it is used" in said


def test_no_command_at_all_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    """`lianfang` alone shows its commands, on standard error, with exit code 2."""
    assert main([]) == 2
    assert "Commands:" in capsys.readouterr().err
