"""`lianfang document`: the member directory and the policy bundle, from a draft over two signatures into force."""

import base64
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from bus.cli import show
from bus.cli.desk import Desk, desk, names
from bus.errors import Retry, Usage

_DAY_MS = 86_400_000
_KIND = click.Choice(["directory", "policy"])
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_OUT = click.Path(path_type=Path, dir_okay=False)
_after = click.option("--after", type=_FILE, help="The document in force that this one follows.")


@click.group()
def document() -> None:
    """Draft, sign, join, look at and publish the directory and the policy."""


@document.command("draft-directory")
@click.argument("out", type=_OUT)
@click.option("--member", "members", multiple=True, metavar="TYPE=FILE", help="A new member: its type and member.json.")
@click.option("--entry", "entries", multiple=True, type=_FILE, help="A member's entry of `keys rotate identity`.")
@click.option("--suspend", multiple=True, metavar="AGENCY", help="A member that takes part no more.")
@click.option(
    "--registrar", "registrars", multiple=True, callback=names, metavar="A,B", help="Who signs the next ones."
)
@click.option("--quorum", type=click.IntRange(2, 16), default=2, show_default=True, help="How many of them must.")
@_after
@desk
def draft_directory(desk: Desk, out: Path, after: Path | None, **given: Any) -> None:
    """Write the body of a member directory to OUT, for the registrars to sign.

    Registrars are those of the one before; in the first, where none are named, the centre and the auditor.
    """
    from bus import enrolment  # noqa: PLC0415 - lazy: help must not pay for it
    from bus.cli.desk import named_files  # noqa: PLC0415 - lazy
    from bus.clock import SystemClock  # noqa: PLC0415 - lazy

    new = [
        enrolment.member(enrolment.read_member(path), type_name)
        for type_name, path in named_files(given["members"], "--member")
    ] + [enrolment.read_entry(path) for path in given["entries"]]
    registrars = enrolment.Registrars(tuple(sorted(given["registrars"])), given["quorum"])
    now, previous = SystemClock().now_ms(), after.read_bytes() if after else b""
    body = enrolment.next_directory(previous, new, tuple(given["suspend"]), now, registrars)
    _write(desk, out, "directory", body)


@document.command("draft-policy")
@click.argument("rows", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("out", type=_OUT)
@click.option("--days", type=click.IntRange(1, 3650), default=90, show_default=True, help="How long it is in force.")
@_after
@desk
def draft_policy(desk: Desk, rows: Path, out: Path, days: int, after: Path | None) -> None:
    """Write the body of a policy bundle, made from the files in ROWS, to OUT.

    Unknown words are refused, and the golden decisions of tests.yaml are run first.
    """
    from bus import enrolment  # noqa: PLC0415 - lazy: help must not pay for it
    from bus.clock import SystemClock  # noqa: PLC0415 - lazy

    now = SystemClock().now_ms()
    body = enrolment.next_policy(after.read_bytes() if after else b"", rows, now, now + days * _DAY_MS)
    _write(desk, out, "policy", body)


@document.command()
@click.argument("kind", type=_KIND)
@click.argument("body", type=_FILE)
@click.argument("out", type=_OUT)
@desk
def sign(desk: Desk, kind: str, body: Path, out: Path) -> None:
    """Sign BODY as this agency; the signature goes to OUT. Look at it first with `document show`.

    A running node signs if policy lets you; where none runs yet, the keys are opened here by their owner.
    """
    from bus import enrolment  # noqa: PLC0415 - lazy: help must not pay for it

    data = body.read_bytes()
    enrolment.read_body(kind, data)
    try:
        answer = desk.ask("document.sign", kind=kind, body=base64.b64encode(data).decode())
        signature = base64.b64decode(answer["signature"])
    except Retry as error:
        if error.code != "LF-NODE-DOWN":
            raise
        signature = enrolment.sign_offline(desk.directory, kind, data)
    out.write_bytes(signature)
    desk.answer(
        {"kind": kind, "signature": str(out)}, lambda value: [f"Signed; the signature is in {value['signature']}."]
    )


@document.command()
@click.argument("kind", type=_KIND)
@click.argument("body", type=_FILE)
@click.argument("signatures", type=_FILE, nargs=-1, required=True)
@click.option("--out", type=_OUT, required=True, help="Where the document goes.")
@desk
def join(desk: Desk, kind: str, body: Path, signatures: Sequence[Path], out: Path) -> None:
    """Put BODY and its SIGNATURES together into a document."""
    from bus import enrolment  # noqa: PLC0415 - lazy: help must not pay for it

    data = body.read_bytes()
    enrolment.read_body(kind, data)
    held = [enrolment.read_signature(path) for path in signatures]
    out.write_bytes(enrolment.put_together(kind, data, held))  # type: ignore[arg-type]  # click has checked the kind
    desk.answer(
        {"kind": kind, "document": str(out), "signers": [item.agency for item in held]},
        lambda value: [f"{value['document']}, signed by {' and '.join(value['signers'])}."],
    )


@document.command("show")
@click.argument("kind", type=_KIND)
@click.argument("file", type=_FILE)
@desk
def show_document(desk: Desk, kind: str, file: Path) -> None:
    """Say what stands in a body or a document, before you sign it.

    Serial, digest, signers, validity; members with their signing keys, or the policy's files.
    """
    from bus import enrolment  # noqa: PLC0415 - lazy: help must not pay for it

    desk.answer(enrolment.described(kind, file.read_bytes()), _described)


@document.command()
@click.argument("kind", type=_KIND)
@click.argument("file", type=_FILE)
@desk
def publish(desk: Desk, kind: str, file: Path) -> None:
    """Bring a signed document into force at this node and send it to every other member."""
    result = desk.ask("document.publish", kind=kind, document=base64.b64encode(file.read_bytes()).decode())
    desk.answer(
        result,
        lambda value: [
            f"Serial {value['serial']} is in force here and on its way as message {value['message_id']};",
            "`lianfang sent` shows each member's receipt.",
        ],
    )


def _write(desk: Desk, out: Path, kind: str, body: bytes) -> None:
    from bus import enrolment  # noqa: PLC0415 - lazy: help must not pay for it

    if out.exists():
        raise Usage(f"{out} exists already", cure="name another file", code="LF-DOCUMENT-EXISTS")
    out.write_bytes(body)
    desk.answer(
        enrolment.described(kind, body) | {"body": str(out)},
        lambda value: [
            *_described(value),
            f"Next: two agencies sign it: `lianfang document sign {kind} {out} OUT`, then `document join`.",
        ],
    )


def _described(value: dict[str, Any]) -> Iterator[str]:
    signers = ", ".join(value["signers"]) or "nobody yet"
    yield f"Serial {value['serial']}, body SHA-256 {value['sha256']}, signed by {signers}"
    yield f"In force until {show.when(value['until_ms'])}"
    if value["members"]:
        columns = ("agency", "type", "status", "signing_key")
        rows = ([member[name] for name in columns] for member in value["members"])
        yield from show.table(("agency", "type", "status", "signing key"), rows)
        yield f"The next one is signed by {value['quorum']} of: {', '.join(value['registrars'])}"
    for name in value["files"]:
        yield f"  {name}"
