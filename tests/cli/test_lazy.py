"""What it costs to ask the command line for help."""

import subprocess
import sys

import click
import pytest

from bus.cli import COMMANDS, lianfang

HEAVY = ("sqlalchemy", "pika", "cryptography", "pydantic", "lxml", "google.protobuf", "nacl", "structlog", "yaml")


def modules_after(code: str) -> set[str]:
    """Return the modules that a fresh interpreter has loaded after running the code."""
    program = f"import sys\n{code}\nprint('\\n'.join(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stderr.splitlines())


def heavy(modules: set[str]) -> set[str]:
    return {name for name in modules if any(name == it or name.startswith(f"{it}.") for it in HEAVY)}


@pytest.mark.parametrize(
    "arguments",
    [["--help"], *[[name, "--help"] for name in ("demo", "node", "map", "send", "open", "order", "audit", "broker")]],
    ids=" ".join,
)
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    """Help of any command loads no database, network, cryptography or parser."""
    assert heavy(modules_after(f"from bus.cli import main\nassert main({arguments!r}) == 0")) == set()


def test_importing_the_command_line_imports_no_command() -> None:
    """`import bus.cli` loads the edge and the table, and not one command's module."""
    ours = {name for name in modules_after("import bus.cli") if name.startswith("bus")}
    assert ours == {"bus", "bus.cli", "bus.cli.edge", "bus.cli.lazy", "bus.cli.show", "bus.errors"}


def test_a_command_that_needs_the_database_does_load_it() -> None:
    """The test above can fail: a command that reads the configuration loads what that needs."""
    assert "pydantic" in modules_after("from bus.cli import main\nmain(['config', 'show'])")


def test_help_takes_less_than_300_milliseconds_of_our_own() -> None:
    """`lianfang --help` spends under 0.3 s of processor time beyond an empty interpreter's."""
    program = (
        "import time; a = time.process_time()\nfrom bus.cli import main\nmain(['--help'])\nb = time.process_time()\n"
    )
    program += "import sys; print(b - a, file=sys.stderr)"
    runs = [
        float(
            subprocess.run(
                [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
            ).stderr
        )
        for _ in range(3)
    ]
    assert min(runs) < 0.3


def test_the_table_says_what_the_commands_say() -> None:
    """A summary in the table of commands is the command's own."""
    context = click.Context(lianfang)
    for name, (_, summary) in COMMANDS.items():
        command = lianfang.get_command(context, name)
        assert command is not None
        assert command.get_short_help_str(200) == summary
