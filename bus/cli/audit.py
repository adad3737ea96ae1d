"""`lianfang audit`: logs are verified from files alone; who looked is asked of all agencies; entries are proved.

`verify` needs no node, no database and no network: a directory and, to prove more than that the directory agrees with
itself, the keys from somewhere else.
"""

import base64
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from bus.cli import show
from bus.cli.desk import Desk, desk, message_id, statement
from bus.errors import CheckFailed, NoAnswer, NotFound, Usage

_CURE = "keep these files as they are and ask the log's agency and the auditor for theirs"
_ASK_EVERY_S = 0.5
_SETTLE_S = 2.0
_FOUND = "FOUN"
_KEY_OPTIONS = {"log": "--vkey", "witnesses": "--witness"}


@click.group()
def audit() -> None:
    """Verify logs, ask who looked, prove and export entries."""


@audit.command()
@click.argument("exported", metavar="DIR|PROOF", type=click.Path(path_type=Path))
@click.option("--vkey", default="", metavar="KEY", help="The log's verifier key, or a file that holds it.")
@click.option("--witness", multiple=True, metavar="KEY", help="A witness that must have cosigned; repeatable.")
@click.option("--no-witness", is_flag=True, help="Demand no cosignature: nothing then speaks against a second history.")
@desk
def verify(desk: Desk, exported: Path, vkey: str, witness: tuple[str, ...], *, no_witness: bool) -> None:
    """Check an exported log in DIR, or the PROOF of one entry, from files alone.

    A proof needs --vkey, and --witness or --no-witness; the entry lies beside it, where `audit prove --out` put it.
    """
    from audit.verify import verify_directory  # noqa: PLC0415 - lazy: help must not pay for it

    if witness and no_witness:
        raise Usage("--witness and --no-witness contradict each other", cure="give one of them")
    demanded = [_key(text) for text in witness] if witness or no_witness else None
    if exported.is_file():
        desk.answer(_verify_proof(exported, _key(vkey), demanded), _proved)
        return
    if not exported.is_dir():
        raise NotFound(
            f"there is no directory {exported}", cure="name what `lianfang audit export` or `audit prove --out` wrote"
        )
    report = verify_directory(exported, _key(vkey), demanded)
    value = {
        "ok": report.ok,
        "origin": report.origin,
        "entries": report.entries,
        "root": report.root.hex(),
        "cosigned": list(report.cosigned),
        "first_bad": report.first_bad,
        "problems": list(report.problems),
        "keys_from_export": {"log": not vkey, "witnesses": demanded is None},
    }
    if not report.ok:
        value |= {"code": CheckFailed.code, "cause": _bad_place(value), "cure": _CURE, "exit": CheckFailed.exit_code}
    desk.answer(value, _verified)
    if not report.ok and not desk.as_json:
        show.note(f"error {value['code']}: {value['cause']}")
        show.note(f"cure: {value['cure']}")
    raise click.exceptions.Exit(0 if report.ok else CheckFailed.exit_code)


def _verify_proof(proof: Path, vkey: str, demanded: list[str] | None) -> dict[str, Any]:
    """Check the proof of one entry. CheckFailed when it does not hold, Usage when a key is left out."""
    from audit.errors import AuditError  # noqa: PLC0415 - lazy: help must not pay for it
    from audit.tiles import parse_proof  # noqa: PLC0415 - lazy
    from audit.verify import verify_proof  # noqa: PLC0415 - lazy
    from bus.leaves import as_dict  # noqa: PLC0415 - lazy

    if not vkey or demanded is None:
        raise Usage(
            "a proof holds no keys of its own",
            cure="give the log's key with --vkey and the witnesses' with --witness; both lie in an export of that log",
        )
    entry = _entry_beside(proof).read_bytes()
    text = proof.read_bytes()
    try:
        checkpoint = verify_proof(text, entry, vkey, demanded)
        return {
            "ok": True,
            "origin": checkpoint.origin,
            "index": parse_proof(text)[0],
            "entries": checkpoint.size,
            "root": checkpoint.root.hex(),
            "entry": as_dict(entry),
        }
    except AuditError as error:
        raise CheckFailed(f"the proof does not hold: {error.cause}", cure=error.cure) from error


def _entry_beside(proof: Path) -> Path:
    return proof.with_name(f"{proof.name}.entry")


def _proved(value: dict[str, Any]) -> Iterator[str]:
    yield f"entry {value['index']} stands in {value['origin']}, among {value['entries']} entries"
    yield f"root {value['root']}"
    yield from _entry(value["entry"])


def _key(text: str) -> str:
    """Read a verifier key: as it is, or out of a file. Usage when a file holds something else."""
    path = Path(text)
    if not text or "+" in text or not path.exists():
        return text
    try:
        return path.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError:
        raise Usage(f"{path} holds no verifier key", cure="name the file `vkey` of an export") from None


def _verified(value: dict[str, Any]) -> Iterator[str]:
    if value["ok"]:
        yield f"{value['origin']}: all {value['entries']} entries verify"
        yield f"root {value['root']}"
        yield from show.wrapped(f"cosigned by {', '.join(value['cosigned']) or 'no witness'}")
    for problem in value["problems"]:
        yield from show.wrapped(f"problem: {problem}")
    own = [option for what, option in _KEY_OPTIONS.items() if value["keys_from_export"][what]]
    if own:
        yield from show.wrapped(
            f"note: {' and '.join(own)} not given; keys from the export itself prove only that it agrees with itself"
        )


def _bad_place(value: dict[str, Any]) -> str:
    if value["first_bad"] is None:
        return "the log does not verify"
    return f"the log does not verify; the first bad entry is {value['first_bad']}"


@audit.command()
@click.argument("message", callback=message_id, metavar="MESSAGE_ID")
@click.option("--field", default="account", show_default=True, help="The field that names the subject.")
@click.option("--timeout", type=click.FloatRange(0, 3600), default=30.0, show_default=True, help="Seconds to wait.")
@statement
@desk
def who(desk: Desk, message: str, field: str, timeout: float, statement: dict[str, str]) -> None:
    """Ask every agency who looked at a subject, without reading it.

    The subject is the FIELD of a message. Every agency answers with its own keyed value of it, and its mirrored log is
    searched for that; openings and refusals are shown, and who has not answered.
    """
    query_id = desk.ask("audit.ask", message_id=message, field=field, **statement)["query_id"]
    result = {"query_id": query_id, **_wait(desk, query_id, timeout, statement)}
    if not result["answers"]:
        raise NoAnswer(
            f"no agency answered within {timeout:g} s",
            cure="see that their nodes and the broker run, and ask again with a longer --timeout",
            code="LF-AUDIT-NOBODY-ANSWERED",
            query_id=query_id,
            silent=result["silent"],
        )
    if not (result["silent"] or result["looks"] or _FOUND in result["answers"].values()):
        raise NotFound(
            f"no agency holds a subject {field} of message {message}",
            cure="take the id from `lianfang inbox` or `lianfang sent` of an agency that has it, and one of its fields "
            "that names an account, a person or a number",
            code="LF-AUDIT-NO-SUBJECT",
            query_id=query_id,
        )
    desk.answer(result, _looks)


def _wait(desk: Desk, query_id: str, timeout_s: float, statement: dict[str, str]) -> dict[str, Any]:
    """Ask until every agency has answered and its log had time to arrive, or until the time is up."""
    from bus.clock import SystemClock  # noqa: PLC0415 - lazy: help must not pay for it

    clock, pause = SystemClock(), threading.Event()
    until_s = clock.monotonic_s() + timeout_s
    settled = False
    while True:
        result: dict[str, Any] = desk.ask("audit.answers", query_id=query_id, **statement)
        left_s = until_s - clock.monotonic_s()
        if settled or left_s <= 0:
            return result
        settled = not result["silent"]
        pause.wait(min(_SETTLE_S if settled else _ASK_EVERY_S, left_s))


def _looks(result: dict[str, Any]) -> Iterator[str]:
    looks = result["looks"]
    if looks:
        yield from show.table(
            ("when", "agency", "entry", "outcome", "who: what, what for, by which rules"), map(_look, looks)
        )
    else:
        yield "Nobody has looked, and nobody tried, as far as the answers and the mirrored logs go."
    held = [agency for agency, status in result["answers"].items() if status == _FOUND]
    yield from show.wrapped(f"answered: {', '.join(result['answers'])}; it is held at: {', '.join(held) or 'none'}")
    if result["silent"]:
        yield from show.wrapped(f"silent: {', '.join(result['silent'])}; their looks are not in this table")


def _look(look: dict[str, Any]) -> tuple[object, ...]:
    who_ = look["system"] or f"{'/'.join(look['roles'])} {look['actor'][:8]}"
    what = f"{look['action'].lower().replace('_', ' ')} {'+'.join(look['classes'])}".rstrip()
    return (
        show.when(look["at_ms"]),
        look["agency"],
        look["entry"],
        look["outcome"].lower() or look["decision"].lower(),
        f"{who_}: {what}, {look['purpose'] or 'no purpose stated'}, {', '.join(look['rules']) or 'no rule'}",
    )


@audit.command()
@click.argument("index", type=click.IntRange(0), metavar="ENTRY")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the proof to this file.")
@desk
def prove(desk: Desk, index: int, out: Path | None) -> None:
    """Print the proof (C2SP tlog-proof) that ENTRY stands in this node's log."""
    proved = desk.ask("audit.prove", index=index)
    if out is not None:
        out.write_text(proved["proof"], encoding="utf-8")
        _entry_beside(out).write_bytes(base64.b64decode(proved["leaf"]))
    desk.answer(proved, lambda value: [*_proof_lines(value, out)])


def _proof_lines(value: dict[str, Any], out: Path | None) -> Iterator[str]:
    if out is not None:
        yield f"The proof of entry {value['index']} stands in {out}, the entry in {_entry_beside(out)}."
        yield f"check it with `lianfang audit verify {out} --vkey KEY --witness KEY`, with keys from an export of this log"
    else:
        yield from value["proof"].splitlines()


@audit.command()
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="The directory to write.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait until the witnesses have cosigned.")
@click.option("--timeout", type=click.FloatRange(0, 3600), default=20.0, show_default=True, help="Seconds to wait.")
@desk
def export(desk: Desk, out: Path, timeout: float, *, wait: bool) -> None:
    """Write this node's log as files that verify on their own."""
    target = str(out.resolve())
    result = desk.ask("audit.export", timeout + 60.0, directory=target, wait=wait, timeout_s=timeout)
    desk.answer(
        result,
        lambda value: [
            f"{value['origin']}: {value['entries']} entries written to {out}",
            f"check it with `lianfang audit verify {out}`",
        ],
    )


@audit.command()
@click.argument("index", type=click.IntRange(0), metavar="ENTRY")
@desk
def leaf(desk: Desk, index: int) -> None:
    """Print one entry of this node's log.

    Persons, cases and subjects stand in it as keyed values only.
    """
    desk.answer(desk.ask("audit.leaf", index=index), _entry)


def _entry(entry: dict[str, Any]) -> Iterator[str]:
    said = {name: _said(value) for name, value in entry.items()}
    yield from show.facts((said | {"at_ms": f"{entry['at_ms']} ({show.when(entry['at_ms'])})"}).items())


def _said(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_said, value))
    return " ".join(map(str, value.values())) if isinstance(value, dict) else str(value)
