"""--json on every command, whatever becomes of it."""

import json
from pathlib import Path

import click
import pytest

from tests.cli.commands import walk
from tests.cli.conftest import lianfang

STARTS_PROCESSES = {"lianfang demo", "lianfang broker start"}
VALUES = {
    "AGENCY": "bank-z",
    "PROFILE": "no-such-profile",
    "FILE": "missing.csv",
    "DIR": "missing",
    "DIR|PROOF": "missing",
    "MESSAGE_ID": "0" * 32,
    "ENTRY": "0",
    "KIND": "policy",
    "BODY": "missing",
    "SIGNATURES": "missing",
    "ROWS": "missing",
    "OUT": "/dev/null",
    "BEFORE": "missing.toml",
    "AFTER": "missing.toml",
    "MESSAGES": "missing.jsonl",
    "ID": "0" * 16,
    "ID...": "0" * 16,
    "WHAT": "prekeys",
}
"""A value for every argument that a command must have."""


def typed(command: click.Command) -> list[str]:
    """Return what must be typed after a command: its arguments and the options that it requires."""
    words: list[str] = []
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            words.append(VALUES[parameter.metavar or str(parameter.name).upper()])
        elif parameter.required:
            words += [parameter.opts[0], "x"]
    return words


@pytest.mark.parametrize(
    ("path", "command"), [pytest.param(*it, id=it[0]) for it in walk() if it[0] not in STARTS_PROCESSES]
)
def test_every_command_prints_exactly_one_json_value(path: str, command: click.Command, tmp_path: Path) -> None:
    """In an empty directory, each command prints one JSON value on standard output and nothing on standard error."""
    words = path.split()[1:] + typed(command) + ["--dir", str(tmp_path / "here"), "--json"]
    done = lianfang(*words)
    value = json.loads(done.out)
    assert done.err == ""
    if done.code:
        assert value["ok"] is False
    if done.code and path != "lianfang node doctor":
        assert value["exit"] == done.code
        assert {"code", "cause", "cure"} <= set(value)
        assert value["code"] != "LF-CLI-FAULT"


@pytest.mark.parametrize(("path", "command"), [pytest.param(*it, id=it[0]) for it in walk()])
def test_every_usage_error_is_one_json_value_too(path: str, command: click.Command) -> None:
    """An option that does not exist is told as one JSON value when --json is given."""
    done = lianfang(*path.split()[1:], "--json", "--no-such-option")
    assert (done.code, done.err) == (2, "")
    assert done.value["code"] == "LF-CLI-USAGE"
