"""What nearly every command needs: which node, in which form to answer, and what the person states.

`desk` adds --dir and --json and gives the command one `Desk`; `statement` adds purpose, legal basis, case and mandate.
Who is acting is no option anywhere: the node takes it from the socket's peer.
"""

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from bus.cli import show
from bus.errors import Usage

Command = Callable[..., Any]
SOME_FAILED = 3
"""The exit code where some rows failed and others did not."""


@dataclass(frozen=True)
class Desk:
    """One node's directory and the form in which the answer is wanted."""

    directory: Path
    as_json: bool

    def ask(self, operation: str, timeout_s: float = 60.0, /, **arguments: Any) -> Any:
        """Ask the running node. Retry when none answers; the node's own errors as they are."""
        from bus.control import call  # noqa: PLC0415 - lazy: help must not pay for it

        return call(self.directory, operation, arguments, timeout_s)

    def answer(self, value: Any, lines: Callable[[Any], Iterable[str]]) -> None:
        """Print a result: as JSON, or as the lines that `lines` makes of it."""
        if self.as_json:
            show.emit(value)
        else:
            show.say(lines(value))


def desk(command: Command) -> Command:
    """Add --dir and --json; the command gets them as `desk`."""

    @click.option(
        "--dir",
        "directory",
        type=click.Path(path_type=Path, file_okay=False),
        envvar="LIANFANG_DIR",
        default=Path(),
        show_default="LIANFANG_DIR, or the current directory",
        help="The node's directory.",
    )
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON value and nothing else.")
    @functools.wraps(command)
    def with_desk(*arguments: Any, directory: Path, as_json: bool, **options: Any) -> Any:
        return command(*arguments, desk=Desk(directory, as_json), **options)

    return with_desk


def statement(command: Command) -> Command:
    """Add what a person states; the command gets it as the dictionary `statement`."""

    @click.option("--purpose", default="", help="What for, in the policy's words (see `lianfang policy show`).")
    @click.option("--legal-basis", default="", help="On which article, for example ATF20.")
    @click.option("--case", default="", help="Under which case of your own register.")
    @click.option("--mandate", default="", help="Under which mandate, where one is needed.")
    @functools.wraps(command)
    def with_statement(*arguments: Any, purpose: str, legal_basis: str, case: str, mandate: str, **options: Any) -> Any:
        stated = {"purpose": purpose, "legal_basis": legal_basis, "case": case, "mandate": mandate}
        return command(*arguments, statement=stated, **options)

    return with_statement


def names(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    """Read a list: given several times, or once with commas."""
    return tuple(dict.fromkeys(name.strip() for text in given for name in text.split(",") if name.strip()))


def message_id(_: click.Context, __: click.Parameter, given: str) -> str:
    """Read a message id; a UUID may be written with its hyphens."""
    return given.replace("-", "").lower()


def named_files(given: Iterable[str], option: str) -> list[tuple[str, Path]]:
    """Read NAME=FILE pairs. Usage when one is not of that form."""
    pairs = []
    for text in given:
        name, sign, path = text.partition("=")
        if not (name and sign and path):
            raise Usage(f"{option} is not of the form NAME=FILE", cure=f"`--help` shows what {option} takes")
        pairs.append((name, Path(path)))
    return pairs
