"""The command line `lianfang`: one module per group of commands, imported only when the command is called.

- Nothing heavy is imported here: `lianfang --help` answers in the time that click takes to load.
- Every command takes --json, and then prints exactly one JSON value on standard output, errors included.
- What a command does stands in its module; what becomes of an error stands in `bus.cli.edge`; how things look on a
  screen stands in `bus.cli.show`. Commands decide nothing: they ask the node, or read files.
"""

import sys
from collections.abc import Sequence

import click

from bus.cli.edge import run
from bus.cli.lazy import LazyGroup

COMMANDS = {
    "demo": ("bus.cli.demo:demo", "Play the whole story on this machine, with seven agencies."),
    "node": ("bus.cli.node:node", "Make, enrol, run and examine this agency's node."),
    "keys": ("bus.cli.keys:keys", "Look after this agency's keys."),
    "config": ("bus.cli.config:config", "Show the node's settings and where each came from."),
    "map": ("bus.cli.map:map_", "Read files in local formats and turn them into shared messages."),
    "send": ("bus.cli.send:send", "Send a local FILE, row by row, to other agencies."),
    "inbox": ("bus.cli.lists:inbox", "List what has arrived; opens nothing."),
    "sent": ("bus.cli.lists:sent", "List what was sent, with each recipient's receipt."),
    "held-back": ("bus.cli.lists:held_back", "List rows that could not be sent, with cause and cure."),
    "quarantine": ("bus.cli.lists:quarantine", "List what was refused on arrival."),
    "open": ("bus.cli.open:open_", "Open fields of a message for a stated purpose; it is logged first."),
    "evidence": ("bus.cli.evidence:evidence", "Open one compartment of one message to a court, and check such a file."),
    "order": ("bus.cli.order:order", "Stop or freeze an account, lift, release, extend, and list orders."),
    "tags": ("bus.cli.tags:tags", "Find that others hold the same value, without reading it."),
    "audit": ("bus.cli.audit:audit", "Verify logs, ask who looked, prove and export entries."),
    "policy": ("bus.cli.policy:policy", "Show the rules in force, and what they decide for you."),
    "document": ("bus.cli.document:document", "Draft, sign, join, look at and publish the directory and the policy."),
    "broker": ("bus.cli.broker:broker", "Start, stop and look at the private broker."),
}
"""Every top-level command: where it stands, and what `lianfang --help` says of it."""

lianfang = LazyGroup(
    "lianfang",
    places=COMMANDS,
    help=(
        "Lianfang: police, banks, telecoms, platforms and auditors share what they know about fraud, "
        "each seeing only what policy gives it."
    ),
    epilog=(
        "Exit codes: 0 ok, 1 failed, 2 usage, 3 some rows failed, 4 refused by policy, 5 not found, "
        "6 no answer in time, 7 audit check failed, 75 try again later, 130 interrupted."
    ),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

click.version_option(package_name="lianfang", message="%(prog)s %(version)s")(lianfang)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    return run(lianfang, sys.argv[1:] if arguments is None else arguments)
