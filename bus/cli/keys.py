"""`lianfang keys`: what becomes of this agency's keys."""

import base64
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from bus.cli import show
from bus.cli.desk import Desk, desk
from bus.errors import Usage

_rehearse = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
_DAY_S = 86_400


@click.group()
def keys() -> None:
    """Look after this agency's keys."""


@keys.command("list")
@desk
def list_(desk: Desk) -> None:
    """List this agency's keys: id, kind, suites, state, age, until when, uses. No key is shown, only its id.

    Uses are grants that a key signed or opened; of an epoch, how many messages it may have sealed at most.
    """
    desk.answer(desk.ask("keys.list"), _listed)


def _listed(states: Sequence[dict[str, Any]]) -> Iterator[str]:
    columns = ("id", "kind", "suites", "state", "age", "until", "uses")
    yield from show.table(columns, (_row(state) for state in states))


def _row(state: dict[str, Any]) -> list[str]:
    days, rest = divmod(int(state["age_s"]), _DAY_S)
    age = f"{days} d {rest // 3600} h" if state["not_before_ms"] else ""
    until = show.when(state["not_after_ms"]) if state["not_after_ms"] else ""
    return [state["key_id"], state["kind"], state["suites"], state["state"], age, until, str(state["uses"])]


@keys.command()
@click.argument("what", type=click.Choice(["prekeys", "identity", "epochs"]))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Where the entry goes; identity only.")
@_rehearse
@desk
def rotate(desk: Desk, what: str, out: Path | None, *, dry_run: bool) -> None:
    """Have keys followed by the next ones. Cut off anywhere and called again, it goes on.

    prekeys: make the next one and tell every member (the node does so by itself, too). epochs: seal nothing more under the
    class keys of now. identity: make the next signing key and write this agency's entry with it, and its consent, to --out;
    it serves once registrars have put it into a directory, and both keys hold for a while.
    """
    if (what == "identity") != (out is not None):
        raise Usage("--out goes with identity, and identity needs it", cure="name a file for the entry with --out FILE")
    if out is not None and out.exists() and not dry_run:
        raise Usage(f"{out} exists already", cure="name another file", code="LF-DOCUMENT-EXISTS")
    result = desk.ask("keys.rotate", what=what, dry_run=dry_run)
    entry = result.pop("entry", "")
    if out is not None and entry:
        out.write_bytes(base64.b64decode(entry))
    desk.answer(result | ({"entry": str(out)} if out is not None else {}), _rotated)


def _rotated(value: dict[str, Any]) -> Iterator[str]:
    done = "Would be" if value["dry_run"] else "Was"
    match value["what"]:
        case "prekeys":
            yield f"{done} made: the next prekey {value['key_id']}".rstrip() + f"; told to {value['tells']} members."
        case "epochs":
            yield f"{value['ended']} epochs {'would end' if value['dry_run'] else 'ended'}: the next message begins another."
        case _ if value["dry_run"]:
            yield "Would make the next signing key and write the entry with it. Nothing was done."
        case _:
            yield f"The next signing key is {value['key_id']}; it signs once a directory has it."
            yield f"Next: give {value['entry']} to the registrars (`lianfang document draft-directory --entry`)."


@keys.command()
@click.argument("key_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--last", is_flag=True, help="Even the last signing key: after it this agency can say nothing.")
@_rehearse
@desk
def revoke(desk: Desk, key_ids: tuple[str, ...], *, last: bool, dry_run: bool) -> None:
    """Revoke signing keys or prekeys of this agency, here and at every member.

    Here at once, and there when the notice comes, within seconds. Nothing comes in any more that a revoked key signed, or under a grant that names one. A revoked prekey is followed by
    another. What was revoked stays revoked. Cut off anywhere and called again, it goes on.
    """
    result = desk.ask("keys.revoke", key_ids=[text.lower() for text in key_ids], last=last, dry_run=dry_run)
    desk.answer(result, _revoked)


def _revoked(value: dict[str, Any]) -> Iterator[str]:
    done = "Would be revoked, and nothing was done" if value["dry_run"] else "Revoked here"
    yield f"{done}: {', '.join(value['revoked'])}; {value['tells']} members are told."
    if not value["dry_run"]:
        yield "`lianfang sent --type KeyNotice` shows each member's receipt."


@keys.command()
@click.argument("key_id", metavar="ID")
@_rehearse
@desk
def retire(desk: Desk, key_id: str, *, dry_run: bool) -> None:
    """Destroy the private part of a key that is no more in force, before its grace is over.

    What arrived stays readable; what is on its way under a grant for it is refused. One that is in force is not retired.
    """
    result = desk.ask("keys.retire", key_id=key_id.lower(), dry_run=dry_run)
    desk.answer(
        result,
        lambda value: [f"{value['key_id']} {'would be' if value['dry_run'] else 'is'} destroyed."],
    )


@keys.command()
@_rehearse
@desk
def rekey(desk: Desk, *, dry_run: bool) -> None:
    """Encrypt the vault under a new key, guarded as [keys] of node.toml now says.

    Stop the node first. What guards the old key must still be reachable: where it is another than [keys] names, name it
    under [keys.former]. A crash at any moment leaves a vault that opens; calling it again finishes it.
    """
    from bus.config import load  # noqa: PLC0415 - lazy: help must not pay for it
    from bus.randomness import SystemRandomness  # noqa: PLC0415 - lazy

    config, _ = load(desk.directory)
    from bus.keyservice.rekey import rekey as begin  # noqa: PLC0415 - lazy

    done = begin(desk.directory, config.keys, SystemRandomness(), dry_run=dry_run)
    desk.answer(vars(done), _rekeyed)


def _rekeyed(value: dict[str, Any]) -> Iterator[str]:
    what = f"{value['secrets']} secrets under key {value['generation']}, guarded by {value['provider']}"
    if value["dry_run"]:
        yield f"Would encrypt {what} (now: {value['former_provider']}). Nothing was done."
        return
    yield f"Encrypted {what} (before: {value['former_provider']})."
    yield "Next: remove [keys.former] from node.toml if it is there, start the node, and destroy what guarded the old key."
