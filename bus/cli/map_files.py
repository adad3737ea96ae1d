"""What the commands of `lianfang map` share: which profile, which file, and where lines go."""

import contextlib
import difflib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import click

from bus.cli import show
from bus.cli.desk import Command, Desk, named_files
from bus.errors import Usage

AUTO = "auto"


def source(command: Command) -> Command:
    """Add PROFILE, FILE and --companion."""
    for option in (
        click.argument("profile"),
        click.argument("file", type=click.Path(path_type=Path, dir_okay=False)),
        click.option("--companion", multiple=True, metavar="NAME=FILE", help="A file that belongs to it."),
    )[::-1]:
        command = option(command)
    return command


def companions_of(given: tuple[str, ...]) -> dict[str, bytes]:
    """Read the files that --companion names."""
    return {key: path.read_bytes() for key, path in named_files(given, "--companion")}


def given_at(path: Path) -> Any:
    """Return a file as the adapters read it: in pieces, where its format allows that."""
    from adapters.source_file import file_given  # noqa: PLC0415 - lazy: help must not pay for it

    with refusals():
        return file_given(path)


def profile_named(name: str, data: Any = None) -> Any:
    """Return a profile: by name, by the path of its TOML file, or for `auto` the one that fits the file given."""
    from adapters import profiles  # noqa: PLC0415 - lazy: help must not pay for it
    from adapters.summary import detect_in  # noqa: PLC0415 - lazy

    with refusals():
        if is_path(name):
            return _from_file(Path(name))
        if name == AUTO and data is not None:
            name = detect_in(data)
        known = profiles()
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise Usage(
        f"there is no profile {name}", cure=f"{hint}`lianfang map list` names them", code="LF-MAP-UNKNOWN-PROFILE"
    )


def is_path(name: str) -> bool:
    """Say whether a profile is given as the path of its file: names hold neither points nor slashes."""
    return name.endswith(".toml") or "/" in name


def _from_file(path: Path) -> Any:
    from adapters.catalogue import load  # noqa: PLC0415 - lazy: help must not pay for it

    beside = {item.name: item.read_text("utf-8") for item in path.parent.glob("*.records.toml")}
    return load(path.read_text("utf-8"), beside, path.name)


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Turn what the adapters refuse as a whole into what the command line says."""
    from adapters.errors import AdapterError  # noqa: PLC0415 - lazy: help must not pay for it

    try:
        yield
    except AdapterError as error:
        raise Usage(error.cause, cure=error.cure, code=error.code) from error


@contextlib.contextmanager
def lines_to(out: Path | None, desk: Desk) -> Iterator[Callable[[str], None]]:
    """Give what writes a line: to a file that appears whole or not at all, to standard output, or nowhere."""
    if out is None:
        yield (lambda _: None) if desk.as_json else show.emit_text
        return
    with file_at(out) as file:
        yield lambda line: _write_line(file, line)


def require_apart(out: Path | None, read: Path) -> None:
    """Refuse to write what comes of a file over that file: what was not carried, and every good row, would be lost."""
    if out is not None and out.exists() and read.exists() and out.samefile(read):
        raise Usage(
            f"{out} is the file that is read, and it would be written over",
            cure="name another file",
            code="LF-CLI-SAME-FILE",
        )


@contextlib.contextmanager
def file_at(out: Path) -> Iterator[IO[bytes]]:
    """Give a file for its owner alone that appears whole or not at all."""
    part = out.with_name(f".{out.name}.part")
    if not out.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(out.parent))
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)


def _write_line(file: IO[bytes], line: str) -> None:
    file.write(line.encode() + b"\n")
