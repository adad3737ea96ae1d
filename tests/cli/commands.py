"""The tree of commands, for tests that walk it."""

from collections.abc import Iterator

import click

from bus.cli import lianfang


def walk(command: click.Command = lianfang, path: str = "lianfang") -> Iterator[tuple[str, click.Command]]:
    """Yield every command that does something, with its full name."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from walk(found, f"{path} {name}")
