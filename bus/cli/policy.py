"""`lianfang policy`: the rules in force, in sentences, and what they decide for the person who asks."""

import json
from collections.abc import Iterator
from typing import Any

import click

from bus.cli import show
from bus.cli.desk import Desk, desk, message_id, names, statement


@click.group()
def policy() -> None:
    """Show the rules in force, and what they decide for you."""


@policy.command("show")
@desk
def show_policy(desk: Desk) -> None:
    """Print the bundle in force, one sentence per row."""
    desk.answer(desk.ask("policy.show"), _bundle)


@policy.command()
@click.argument("message", callback=message_id, metavar="MESSAGE_ID")
@click.option(
    "--field", "fields", multiple=True, callback=names, metavar="A,B", help="These fields; all when left out."
)
@statement
@desk
def explain(desk: Desk, message: str, fields: tuple[str, ...], statement: dict[str, str]) -> None:
    """Say what you may open of a message, and why; opens nothing."""
    decided = desk.ask("policy.explain", message_id=message, fields=list(fields), **statement)
    desk.answer(decided, _decisions)


def _bundle(bundle: dict[str, Any]) -> Iterator[str]:
    yield f"Policy bundle {bundle['serial']}, SHA-256 {bundle['sha256']}"
    yield "What no row permits is refused."
    for row in bundle["rows"]:
        yield from show.wrapped(row)
    yield ""
    yield "Purposes to state with --purpose, and the legal bases of each for --legal-basis:"
    yield from show.facts((f"  {name}", ", ".join(bases)) for name, bases in bundle["purposes"].items())
    yield "Legal bases:"
    yield from show.facts((f"  {name}", text) for name, text in bundle["bases"].items())


def _decisions(decided: dict[str, Any]) -> Iterator[str]:
    """Say each decision once, with all the fields that it is about."""
    about: dict[str, list[str]] = {}
    for name, decision in decided["decisions"].items():
        about.setdefault(json.dumps(decision), []).append(name)
    for text, fields in about.items():
        decision = json.loads(text)
        verb = "permitted" if decision["permitted"] else "refused"
        rules = f" by {', '.join(decision['rules'])}" if decision["rules"] else ""
        yield from show.wrapped(f"{', '.join(fields)}: {verb}{rules}: {decision['reason']}")
        if decision["missing"]:
            yield from show.wrapped(f"missing: {'; '.join(decision['missing'])}", "    ")
        if decision["next_step"]:
            yield from show.wrapped(f"next: {decision['next_step']}", "    ")
