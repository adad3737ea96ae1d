"""`lianfang tags`: match tags at this node: their state, an authority's quotas and keys, and what has matched."""

import sys
from collections.abc import Iterator
from typing import Any

import click

from bus.cli import show
from bus.cli.desk import Desk, desk, statement
from bus.cli.lists import limit_option
from bus.errors import Usage

_VALUE_BYTES_MAX = 4096


@click.group()
def tags() -> None:
    """Find that others hold the same value, without reading it."""


@tags.command()
@desk
def status(desk: Desk) -> None:
    """Say which keys are in use, and what became of the messages that waited for tags."""
    desk.answer(desk.ask("tags.status"), _status)


@tags.command()
@desk
def quota(desk: Desk) -> None:
    """At an authority: how many values each member has had evaluated this hour and this day."""
    desk.answer(desk.ask("tags.quota"), _quota)


@tags.command()
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@desk
def rotate(desk: Desk, *, dry_run: bool) -> None:
    """At an authority: begin a second epoch of this quarter, for when a share may be lost.

    Each quarter has an epoch of its own by itself; nobody calls this for that. The other authority must call it too: until
    both have, the former epoch stays in use.
    """
    desk.answer(desk.ask("tags.rotate", dry_run=dry_run), _rotated)


@tags.command()
@limit_option
@statement
@desk
def matches(desk: Desk, limit: int, statement: dict[str, str]) -> None:
    """List messages that hold the same value, sent or received; the values stay closed. It is logged."""
    desk.answer(desk.ask("tags.matches", limit=limit, **statement), _matches)


@tags.command()
@click.argument("kind", metavar="KIND")
@desk
def local(desk: Desk, kind: str) -> None:
    """Tag a value of KIND token or wallet for use inside this agency alone.

    The value is read from standard input. The tag is a plain keyed hash: it is refused for phones, accounts, names and whatever else can be listed.
    """
    value = sys.stdin.read(_VALUE_BYTES_MAX + 1)
    if len(value) > _VALUE_BYTES_MAX:
        raise Usage(f"a value has at most {_VALUE_BYTES_MAX} characters", cure="give one value")
    desk.answer(desk.ask("tags.local", kind=kind, value=value), lambda told: iter([f"{told['kind']} {told['tag']}"]))


def _status(value: dict[str, Any]) -> Iterator[str]:
    if not value["on"]:
        yield "Match tags are off: node.toml names no authorities ([tags] authorities)."
        return
    here = ", of which this node is one" if value["authority"] else ""
    yield f"authorities: {' and '.join(value['authorities'])}{here}"
    for epoch in value["epochs"]:
        state = "in use" if epoch["in_use"] else "not in use"
        yield f"{epoch['epoch']}: {state}, keys {epoch['key_set']}, until {show.when(epoch['not_after_ms'])}"
    if not value["epochs"]:
        yield "No epoch has both authorities' keys yet: messages go without tags."
    for key in value["keys"]:
        yield f"    {key['epoch']} {key['authority']}{': share destroyed' if key['destroyed'] else ''}"
    for batch in value["batches"]:
        yield f"{show.count(batch['count'], 'request')} {batch['state']} {batch['code']}".rstrip()


def _quota(value: dict[str, Any]) -> Iterator[str]:
    most = value["maxima"]
    for agency, used in sorted(value["used"].items()):
        yield f"{agency}: {used['hour']} of {most['hour']} this hour, {used['day']} of {most['day']} this day"


def _rotated(value: dict[str, Any]) -> Iterator[str]:
    yield f"{'Began' if value['done'] else 'Would begin'} epoch {value['to']} after {value['from']}."
    yield f"It comes into use when {value['other_authority']} begins it too; until then {value['from']} stays in use."
    yield f"The share of {value['from']} is destroyed two weeks later, not before {show.when(value['old_share_destroyed_at_ms'])}."


def _matches(groups: list[dict[str, Any]]) -> Iterator[str]:
    if not groups:
        yield "No messages hold the same value, as far as their tags tell."
        return
    for group in groups:
        yield f"{show.when(group['seen_ms'])}  the same {group['kind']} in {show.count(len(group['messages']), 'message')}"
        for message in group["messages"]:
            yield f"    {message['type'].rpartition('.')[2]} from {message['sender']}  id {message['message_id']}"
