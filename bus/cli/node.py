"""`lianfang node`: make a node, enrol it, run it, and say how it is."""

import getpass
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from bus.cli import show
from bus.cli.desk import Desk, desk, names

_UNHEALTHY = 1


@click.group()
def node() -> None:
    """Make, enrol, run and examine this agency's node."""


@node.command()
@click.argument("agency")
@click.option("--config", "toml", type=click.File(encoding="utf-8"), help="Take node.toml from this file.")
@click.option("--identity", default="", help="How this agency knows you; your login name when left out.")
@click.option(
    "--role", "roles", multiple=True, callback=names, metavar="A,B", help="Your roles, in the policy's words."
)
@desk
def init(desk: Desk, agency: str, toml: Any, identity: str, roles: tuple[str, ...]) -> None:
    """Make a node for AGENCY: its directory, keys and node.toml.

    Without --config, node.toml names you as its only operator. Keys are never overwritten.
    """
    from bus.clock import SystemClock  # noqa: PLC0415 - lazy: help must not pay for it
    from bus.enrolment import MEMBER_FILE, init_node  # noqa: PLC0415 - lazy
    from bus.randomness import SystemRandomness  # noqa: PLC0415 - lazy

    text = toml.read() if toml is not None else _starter(agency, identity or getpass.getuser(), roles)
    public = init_node(desk.directory, agency, text, SystemClock(), SystemRandomness())
    member = desk.directory / MEMBER_FILE
    desk.answer(
        {"agency": agency, "directory": str(desk.directory), "member": str(member), "log_vkey": public.log_vkey},
        lambda value: [
            f"The node of {agency} stands in {value['directory']}; its private keys never leave it.",
            f"Next: give {value['member']} to the centre, and lay in what comes back with `lianfang node enrol`.",
        ],
    )


def _starter(agency: str, identity: str, roles: tuple[str, ...]) -> str:
    """Return a first node.toml. Strings are written as JSON, which is TOML as well."""
    return (
        f"agency = {json.dumps(agency)}\n\n"
        f"[[operators]]\nuid = {os.getuid()}\nidentity = {json.dumps(identity)}\nroles = {json.dumps(list(roles))}\n"
    )


@node.command()
@click.option("--directory", "members", type=click.Path(path_type=Path), required=True, help="The signed directory.")
@click.option("--policy", type=click.Path(path_type=Path), required=True, help="The signed policy bundle.")
@desk
def enrol(desk: Desk, members: Path, policy: Path) -> None:
    """Lay the first signed directory and policy bundle into the node."""
    from bus.clock import SystemClock  # noqa: PLC0415 - lazy: help must not pay for it
    from bus.enrolment import enrol as lay_in  # noqa: PLC0415 - lazy

    config = lay_in(desk.directory, members.read_bytes(), policy.read_bytes(), SystemClock())
    desk.answer(
        {"agency": config.agency, "directory": str(desk.directory)},
        lambda value: [f"{value['agency']} is enrolled. Next: `lianfang node run`."],
    )


@node.command()
@desk
def run(desk: Desk) -> None:
    """Be the node until SIGTERM or Ctrl-C; prints `ready` once it answers."""
    from bus.process import run_node  # noqa: PLC0415 - lazy: help must not pay for it

    def ready() -> None:
        desk.answer({"ready": True, "pid": os.getpid(), "dir": str(desk.directory)}, lambda _: ["ready"])
        sys.stdout.flush()

    run_node(desk.directory, ready)


@node.command()
@desk
def status(desk: Desk) -> None:
    """Say how the running node is."""
    desk.answer(desk.ask("status"), _status)


def _status(status: dict[str, Any]) -> Iterator[str]:
    log = status["log"]
    cosigned = ", ".join(f"{name} {size}" for name, size in log["cosigned"].items()) or "no witness"
    yield from show.facts(
        (
            ("agency", status["agency"]),
            ("directory", f"serial {status['directory_serial']}"),
            ("policy", f"serial {status['policy_serial']}"),
            ("log", f"{log['origin']}, {log['entries']} entries; cosigned: {cosigned}"),
            ("outgoing", _counts(status["outbox"])),
            ("incoming", _counts(status["inbox"])),
            ("transport", _transport(status["transport"])),
        )
    )


def _transport(health: dict[str, Any]) -> str:
    connected = health["connected"]
    return f"{health['kind']}, {sum(map(bool, connected.values()))} of {len(connected)} connections up"


def _counts(counts: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in counts.items()) or "nothing"


@node.command()
@desk
def doctor(desk: Desk) -> None:
    """Examine the node and what it needs; say what is wrong and what helps."""
    from bus.cli.doctor import examine  # noqa: PLC0415 - lazy: help must not pay for it

    findings = examine(desk)
    value = {"ok": all(item.ok for item in findings), "findings": [vars(item) for item in findings]}
    desk.answer(value, _findings)
    raise click.exceptions.Exit(0 if value["ok"] else _UNHEALTHY)


def _findings(value: dict[str, Any]) -> Iterator[str]:
    for item in value["findings"]:
        mark = "WRONG" if not item["ok"] else "WARN " if item["cure"] else "ok   "
        yield from show.wrapped(f"{mark} {item['name']}: {item['cause']}")
        if item["cure"]:
            yield from show.wrapped(f"cure: {item['cure']}", "      ")
    yield "All is well." if value["ok"] else "Something is wrong; begin with the first."
