"""`lianfang evidence`: open one compartment of one message to a court, and check such a file, offline, from it alone."""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from bus.cli.desk import Desk, desk, message_id, names, statement
from bus.errors import CheckFailed, NotFound, Usage

_LIMIT_TEXT = "its directory is in it: compare that SHA-256 with the one that two members tell you"


@click.group()
def evidence() -> None:
    """Open one compartment of one message to a court, and check such a file."""


@evidence.command()
@click.argument("message", callback=message_id, metavar="MESSAGE_ID")
@click.option("--class", "classes", multiple=True, required=True, callback=names, metavar="A,B", help="The classes.")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="FILE", help="Where to write it.")
@statement
@desk
def disclose(desk: Desk, message: str, classes: tuple[str, ...], out: Path, statement: dict[str, str]) -> None:
    """Write an exhibit of the compartment that holds these classes; it is logged first.

    A compartment is disclosed whole: name all classes that it holds. FILE shows its plaintext to whoever has it.
    """
    if out.exists():
        raise Usage(
            f"{out} is there already", cure="name a new file: no exhibit is overwritten", code="LF-EVIDENCE-EXISTS"
        )
    made = desk.ask("evidence.disclose", message_id=message, classes=list(classes), **statement)
    with open(out, "xb", opener=_private) as file:
        file.write(base64.b64decode(made.pop("exhibit")))
    desk.answer(made | {"file": str(out)}, _disclosed)


def _private(path: str, flags: int) -> int:
    import os  # noqa: PLC0415 - lazy, with the rest

    return os.open(path, flags, 0o600)


def _disclosed(made: dict[str, Any]) -> Iterator[str]:
    yield f"{made['file']} shows {', '.join(made['classes'])} of message {made['message_id']} to whoever has it."
    yield f"This disclosure is entry {made['entry']} of your log; `lianfang audit prove {made['entry']}` proves it."


@evidence.command()
@click.argument("exhibit", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--directory-sha256", default="", metavar="HEX", help="The SHA-256 of the directory that you trust.")
@desk
def check(desk: Desk, exhibit: Path, directory_sha256: str) -> None:
    """Check an exhibit, and show what it proves; needs no node and no network.

    Without --directory-sha256 the keys come from the file itself, and the answer says so.
    """
    from bus.evidence import FILE_BYTES_MAX  # noqa: PLC0415 - lazy: help must not pay for it
    from bus.evidence import check as check_file  # noqa: PLC0415 - likewise

    try:
        with exhibit.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError:
        raise NotFound(f"there is no file {exhibit}", cure="name what `lianfang evidence disclose` wrote") from None
    found = check_file(data)
    digest = found.directory.sha256.hex()
    if directory_sha256 and directory_sha256.lower() != digest:
        raise CheckFailed(
            f"its member directory is another one: {digest}",
            code="LF-EVIDENCE-DIRECTORY",
            cure="ask the co-ordinating centre which directory was in force on that day",
        )
    header, body = found.envelope.header, found.body
    value = {
        "ok": True,
        "message_id": header.message_id.hex(),
        "type": header.type,
        "sender": header.sender,
        "recipients": list(header.recipients),
        "sent_at_ms": header.sent_at_ms,
        "suite": header.suite,
        "payload_sha256": found.envelope.payload_sha256.hex(),
        "classes": list(found.classes),
        "readers": list(found.audience),
        "disclosed_by": body.agency,
        "disclosed_at_ms": body.at_ms,
        "policy_serial": body.policy_serial,
        "entry": body.log_index,
        "leaf_hash": body.leaf_hash.hex(),
        "directory_serial": found.directory.serial,
        "directory_sha256": digest,
        "keys_from_file": not directory_sha256,
        "fields": dict(found.fields),
    }
    desk.answer(value, _checked)


def _checked(value: dict[str, Any]) -> Iterator[str]:
    sent, disclosed = (
        f"{datetime.fromtimestamp(value[name] / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
        for name in ("sent_at_ms", "disclosed_at_ms")
    )
    yield f"{value['sender']} signed message {value['message_id']} ({value['type']}) at {sent}"
    yield f"for {', '.join(value['recipients'])}; {', '.join(value['classes'])} for {', '.join(value['readers'])}"
    yield f"disclosed by {value['disclosed_by']} at {disclosed}, entry {value['entry']} of its log"
    for name, field in value["fields"].items():
        yield f"{name}: {field if isinstance(field, str) else json.dumps(field, ensure_ascii=False)}"
    yield f"member directory {value['directory_serial']}, SHA-256 {value['directory_sha256']}"
    if value["keys_from_file"]:
        yield f"The keys were taken from the file itself; {_LIMIT_TEXT}."
