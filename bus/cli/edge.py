"""The edge of the command line: the one place where an error becomes what a person or a program reads.

- Standard error gets `error CODE: cause` and `cure: …`; with --json, standard output gets the error as a JSON object
  with `ok` false.
- A foreign exception is never shown as a traceback: its own text may hold a value, so only its type and the place in
  our code are named.
- A closed pipe ends the command quietly with 141, an interrupt with 130, as shells expect.
"""

import contextlib
import errno
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import click

from bus.cli import show
from bus.errors import BusError

_INTERRUPTED = 130
_PIPE_CLOSED = 141
_OUR_PACKAGES = ("bus.", "schemas.", "adapters.", "audit.", "deploy.")
_EXIT_OF = {
    "LF-AUDIT-UNAVAILABLE": 75,
    "LF-AUDIT-COMMIT-UNKNOWN": 75,
    "LF-AUDIT-FORK": 7,
    "LF-AUDIT-FROZEN": 7,
    "LF-AUDIT-LEAF": 7,
    "LF-AUDIT-NOTE": 7,
    "LF-KEYS-UNAVAILABLE": 75,
}
"""Exit codes of errors from packages that know none; 1 for all others."""

_SYSTEM = {
    errno.ENOSPC: ("LF-CLI-DISK-FULL", "free some space and run the command again", 75),
    errno.EDQUOT: ("LF-CLI-DISK-FULL", "free some space and run the command again", 75),
    errno.EACCES: ("LF-CLI-PERMISSION", "run the command as the user who owns it", 1),
    errno.EPERM: ("LF-CLI-PERMISSION", "run the command as the user who owns it", 1),
    errno.EROFS: ("LF-CLI-PERMISSION", "name a directory that can be written to", 1),
    errno.ENOENT: ("LF-CLI-NO-FILE", "look at the path", 5),
    errno.ENOTDIR: ("LF-CLI-NO-FILE", "look at the path", 5),
    errno.EISDIR: ("LF-CLI-NO-FILE", "name a file, not a directory", 5),
}
"""What the operating system may say, as code, cure and exit code."""


def run(command: click.Command, arguments: Sequence[str]) -> int:
    """Run a command; return its exit code. Nothing is raised."""
    if sys.stdout is None:  # closed by the shell (>&-)
        with Path(os.devnull).open("w", encoding="utf-8") as nothing, contextlib.redirect_stdout(nothing):
            return run(command, arguments)
    try:
        return _run(command, arguments)
    except BrokenPipeError:
        _leave_quietly(sys.stdout)
        return _PIPE_CLOSED
    except (KeyboardInterrupt, click.Abort):
        return _INTERRUPTED


def _run(command: click.Command, arguments: Sequence[str]) -> int:
    try:
        with command.make_context("lianfang", list(arguments)) as context:
            code = _invoked(command, context)
        sys.stdout.flush()
    except click.exceptions.Exit as end:  # from --help
        code = end.exit_code
    except (BrokenPipeError, click.Abort):
        raise
    except click.exceptions.NoArgsIsHelpError as error:
        if "--json" not in arguments:
            show.note(error.format_message())
            return error.exit_code
        code = _report(error, as_json=True)
    except Exception as error:  # noqa: BLE001 - the edge: everything that can happen is told in our words
        code = _report(error, as_json="--json" in arguments)
    return code


def _invoked(command: click.Command, context: click.Context) -> int:
    """Invoke a command; a command that ends otherwise than well raises Exit with its code."""
    try:
        command.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code
    return 0


def _report(error: Exception, *, as_json: bool) -> int:
    facts = explained(error)
    try:
        if as_json:
            show.emit({"ok": False, **facts})
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError:  # standard output is on a full disk: then standard error has to do
        _leave_quietly(sys.stdout)
        as_json = False
    if not as_json:
        show.note(show.plain(f"error {facts['code']}: {facts['cause']}"))
        if facts["cure"]:
            show.note(show.plain(f"cure: {facts['cure']}"))
        for name in ("rules", "missing"):
            if facts.get(name):
                show.note(show.plain(f"{name}: {'; '.join(facts[name])}"))
    return int(facts["exit"])


def explained(error: Exception) -> dict[str, Any]:
    """Return any exception as code, cause, cure, exit code and further facts."""
    match error:
        case BusError():
            return error.as_dict()
        case click.UsageError():
            return _usage(error)
        case click.FileError():
            return _facts("LF-CLI-NO-FILE", f"{error.ui_filename} cannot be read", "look at the path", 5)
        case UnicodeDecodeError():
            cause = f"a file that should be text in UTF-8 is not (byte {error.start + 1})"
            return _facts("LF-CLI-ENCODING", cause, "save it as UTF-8", 2)
        case OSError() if error.errno is not None:
            return _system(error)
    if type(error).__module__.startswith(_OUR_PACKAGES) and hasattr(error, "code"):
        cause, cure = getattr(error, "cause", str(error)), getattr(error, "cure", "")
        return _facts(error.code, cause, cure, _EXIT_OF.get(error.code, 1))
    if type(error).__module__.startswith("sqlalchemy"):
        reason = type(getattr(error, "orig", None) or error).__name__
        return _facts(
            "LF-CLI-DATABASE",
            f"the node's database refused ({reason})",
            "see that the database of node.toml is there, has space, and that this user may write to it",
            75,
        )
    return _facts(
        "LF-CLI-FAULT",
        f"the command met an error of its own ({type(error).__name__} at {_place(error)})",
        "look whether it was done before you repeat it, and report this line",
        1,
    )


def _usage(error: click.UsageError) -> dict[str, Any]:
    cause = error.format_message().strip().rstrip(".").replace("\n", " ")
    path = error.ctx.command_path if error.ctx else "lianfang"
    return _facts("LF-CLI-USAGE", cause[:1].lower() + cause[1:], f"`{path} --help` shows how it is used", 2)


def _system(error: OSError) -> dict[str, Any]:
    code, cure, exit_code = _SYSTEM.get(error.errno or 0, ("LF-CLI-SYSTEM", "look at the path and at the disk", 1))
    what = (error.strerror or type(error).__name__).lower()
    return _facts(code, f"{error.filename}: {what}" if error.filename else what, cure, exit_code)


def _facts(code: str, cause: str, cure: str, exit_code: int) -> dict[str, Any]:
    return {"code": code, "cause": cause, "cure": cure, "exit": exit_code}


def _place(error: Exception) -> str:
    """Name the last place in our own code that the error passed, without any value."""
    root = Path(__file__).resolve().parents[2]
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).is_relative_to(root)]
    ours = [frame for frame in frames if "site-packages" not in frame.filename]
    return f"{Path(ours[-1].filename).relative_to(root)}:{ours[-1].lineno}" if ours else "an unknown place"


def _leave_quietly(stream: TextIO) -> None:
    """Point a broken standard output at nothing, so that the interpreter does not complain while it shuts down."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, stream.fileno())
    os.close(nothing)
