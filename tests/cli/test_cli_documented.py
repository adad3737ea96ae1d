"""docs/cli.md against the commands."""

import re
from pathlib import Path

import click

from tests.cli.commands import walk

TEXT = (Path(__file__).resolve().parents[2] / "docs/cli.md").read_text(encoding="utf-8")
SHARED = {"--dir", "--json", "--help", "-h", "--purpose", "--legal-basis", "--case", "--mandate"}


def sections() -> dict[str, str]:
    """Return the text under each `### lianfang …` heading, orders with what all orders share."""
    parts = re.split(r"^### `(lianfang [^`]+)`$", TEXT, flags=re.MULTILINE)
    found = dict(zip(parts[1::2], (part.split("\n## ")[0] for part in parts[2::2]), strict=True))
    orders = re.search(r"^## Orders\n(.*?)^### ", TEXT, re.MULTILINE | re.DOTALL)
    assert orders
    return {name: text + (orders[1] if name.startswith("lianfang order ") else "") for name, text in found.items()}


def test_every_command_has_a_section_and_no_section_is_stale() -> None:
    """docs/cli.md has a section for each command that there is, and for no other."""
    assert sorted(sections()) == sorted(path for path, _ in walk())


def test_every_option_is_named_in_its_section() -> None:
    """Every option that is not shared by all commands is named in its command's section."""
    text = sections()
    for path, command in walk():
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not set(parameter.opts) & SHARED:
                assert any(re.search(rf"{option}\b", text[path]) for option in parameter.opts), (path, parameter.opts)


def test_shared_options_are_explained_once() -> None:
    """What all commands share stands in the tables at the top."""
    top = TEXT.split("\n## Trying it")[0]
    assert all(f"`{option}" in top for option in SHARED)


def test_every_command_and_option_says_what_it_does() -> None:
    """Every command has a summary that fits its line, and every option a help text."""
    for path, command in walk():
        assert command.get_short_help_str(200).endswith("."), path
        assert len(command.get_short_help_str(200)) <= 90, path
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, (path, parameter.opts)


def test_every_command_takes_json_and_a_directory() -> None:
    """Every command takes --json and --dir."""
    for path, command in walk():
        options = {option for parameter in command.params for option in parameter.opts}
        assert {"--json", "--dir"} <= options, path
