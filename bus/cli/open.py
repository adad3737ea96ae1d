"""`lianfang open`: read fields of a message. The node decides and writes its log before it shows anything."""

import json
from collections.abc import Iterator
from typing import Any

import click

from bus.cli import show
from bus.cli.desk import Desk, desk, message_id, names, statement
from bus.errors import Usage

_SHOWN_CHARACTERS_MAX = 2000
"""Of one field, on a screen: a scanned paper in base64 fills it a hundred times."""


@click.command("open")
@click.argument("message", callback=message_id, metavar="MESSAGE_ID")
@click.option("--field", "fields", multiple=True, callback=names, metavar="A,B", help="Fields to open.")
@click.option("--class", "classes", multiple=True, callback=names, metavar="A,B", help="Whole classes to open.")
@statement
@desk
def open_(
    desk: Desk, message: str, fields: tuple[str, ...], classes: tuple[str, ...], statement: dict[str, str]
) -> None:
    """Open fields of a message for a stated purpose; it is logged first.

    `lianfang inbox` says which classes and fields a message holds for you. A refusal is logged too.
    """
    if not fields and not classes:
        raise Usage("nothing to open was named", cure="name fields with --field, or classes with --class")
    opened = desk.ask("open", message_id=message, fields=list(fields), classes=list(classes), **statement)
    desk.answer(opened, _opened)


def _opened(opened: dict[str, Any]) -> Iterator[str]:
    yield from show.facts((name, _text(value)) for name, value in opened["fields"].items())
    if opened["withheld"]:
        yield f"withheld from you: {', '.join(opened['withheld'])}"
    yield f"This opening is entry {opened['entry']} of your log."


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if len(text) <= _SHOWN_CHARACTERS_MAX:
        return text
    return f"{text[:_SHOWN_CHARACTERS_MAX]}… ({len(text)} characters; --json has them all)"
