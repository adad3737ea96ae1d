"""`lianfang demo`: a bank's file becomes a stop-payment at another bank, and an auditor can prove who saw what.

Seven agencies, each with its own directory, database, key service, keys and certificate. The story drives them only
through control sockets and handover folders. `play` returns what programs read; `run` is the command behind it.
"""

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import adapters
from adapters.errors import FileRefused
from bus.errors import Usage
from deploy.demo.case_file import write_balances
from deploy.demo.scene_audit import AuditScene, Log
from deploy.demo.scenes import Scenes
from deploy.demo.stage import DEFAULT_DIRECTORY, Options, Stage, core_system, laid_out
from deploy.demo.timeline import Timeline

Result = dict[str, Any]
_COMMAND_COLUMNS = 64
_PREPARED = {
    "rabbitmq": "a private RabbitMQ, keys and certificates, seven nodes with their key services",
    "memory": "keys and certificates, seven nodes",
}


def run(options: Mapping[str, Any], show: Any) -> int:
    """Play the story as the command line asks; return the exit code: 0 when all was as it should be, 1 otherwise.

    `show` prints: `emit` one JSON value, `say` lines, `note` a line on standard error.
    """
    as_json = bool(options.get("as_json"))
    chosen = Options(
        transport=options.get("transport") or "rabbitmq",
        directory=Path(options.get("directory") or DEFAULT_DIRECTORY),
        notices=Path(options["notices"]) if options.get("notices") else Options.notices,
        serve=bool(options.get("serve")),
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what was started is stopped

    def line(text: str) -> None:
        show.say([text])
        sys.stdout.flush()

    def emit(result: Result) -> None:
        show.emit(result)
        sys.stdout.flush()

    say = _nothing if as_json else line
    timeline = Timeline(say, colour=not as_json and sys.stdout.isatty() and "NO_COLOR" not in os.environ)
    result = play(chosen, timeline, show.note if as_json else say, emit if as_json else _nothing)
    for problem in timeline.problems if as_json else ():
        show.note(f"not as it should be: {problem}")
    return 0 if result["ok"] else 1


def play(
    options: Options,
    timeline: Timeline,
    warn: Callable[[str], None],
    told: Callable[[Result], None] = lambda _: None,
) -> Result:
    """Play the story and return its result. `warn` is told what must be heard in any case, `told` gets the result.

    BusError when a step has no outcome in time or the input cannot be read; whatever was started is stopped first. With
    `serve`, `told` is called before waiting for SIGINT or SIGTERM, with everything still running.
    """
    _check_input(options.notices)
    started = time.monotonic()
    timeline.title("Lianfang: seven agencies, one story")
    timeline.say(f"   getting ready: {_PREPARED[options.transport]}")
    with laid_out(options, warn) as stage, ExitStack() as stack:
        timeline.say(f"   ready after {time.monotonic() - started:.1f} s: {_where(stage)}")
        held_back, logs = _scenes(stage, timeline, options.notices, stack)
        result = _result(stage, timeline, held_back, logs, started)
        _end(stage, timeline, result)
        stopping = _stop_signals() if options.serve else None
        told(result)
        if stopping is not None:
            _serve(stage, warn, stopping)
    return result


def _check_input(file: Path) -> None:
    """Look at the bank's file before anything is started. Usage when there is none, or it is in no known dialect."""
    if not file.is_file():
        raise Usage(f"there is no file {file}", cure="look at --input", code="LF-DEMO-NO-INPUT")
    try:
        adapters.detect(file.read_bytes())
    except FileRefused as error:
        raise Usage(error.cause, cure=error.cure, code=error.code) from error


def _scenes(stage: Stage, timeline: Timeline, notices: Path, stack: ExitStack) -> tuple[list[Any], list[Log]]:
    """Play the scenes; bank-b's core system stays up as long as the stage."""
    scenes, audit = Scenes(stage, timeline), AuditScene(stage, timeline)
    timeline.scene(1, "bank-a tells of suspicious accounts")
    played = scenes.notices(notices)
    timeline.scene(2, "telecom-c tells of a spoofed call")
    scenes.spoofed_call()
    if played is not None:
        balances = stage.directory / "bank-b-core-system" / "balances.json"
        write_balances(balances, played.target)
        stack.enter_context(core_system(stage, balances))
        timeline.scene(3, "police-a looks, and is refused what it may not have yet")
        target, traces = scenes.opening(played)
        timeline.scene(4, "police-a orders, bank-b's core system decides")
        order_id, refused = scenes.stop(target)
        timeline.scene(5, "a freeze behind an earlier one, and its release")
        scenes.freeze(target)
        timeline.scene(6, "the auditor asks who looked, and trusts no log unseen")
        audit.who_looked(order_id, traces | {("bank-b", refused)})
    else:
        timeline.scene(6, "the auditor trusts no log unseen")
    return scenes.held_back, audit.logs()


def _result(stage: Stage, timeline: Timeline, held_back: list[Any], logs: list[Log], started: float) -> Result:
    facts = timeline.facts()
    return {
        "ok": not timeline.problems and all(log.verified for log in logs),
        "transport": stage.transport,
        "duration_ms": round((time.monotonic() - started) * 1000),
        "dir": str(stage.directory),
        "nodes": [
            {"agency": agency, "pid": stage.pids[agency], "dir": str(stage.node(agency))}
            for agency in stage.federation.agencies
        ],
        "steps": facts["steps"],
        "refusals": facts["refusals"],
        "held_back": held_back,
        "logs": [asdict(log) for log in logs],
    }


def _end(stage: Stage, timeline: Timeline, result: Result) -> None:
    entries = sum(log["entries"] for log in result["logs"])
    rows = len(result["held_back"])
    counts = (
        f"{len(result['steps'])} steps, {len(result['refusals'])} refusals, {rows} row{'' if rows == 1 else 's'} held"
    )
    counts += f" back, {entries} log entries, {result['duration_ms'] / 1000:.1f} s"
    verify = all(log["verified"] for log in result["logs"])
    timeline.say("")
    timeline.verdict(f"{counts}; {'all logs verify' if verify else 'NOT ALL LOGS VERIFY'}", good=bool(result["ok"]))
    shown = _shown(stage.directory)
    timeline.say("")
    timeline.say("Try next:")
    for command, what in (
        (f"{_command()} audit verify {shown}/exports/police-a", "check a log from its files"),
        (f"{_command()} demo --input YOUR.csv", "play it with your own bank file"),
        ("make demo-serve", "leave it running, and then:"),
        (f"{_command()} inbox --dir {shown}/police-a", "what police-a has received"),
    ):
        if len(command) <= _COMMAND_COLUMNS:
            timeline.say(f"  {command:<{_COMMAND_COLUMNS}} {what}")
            continue
        timeline.say(f"  {what}:")
        timeline.say(f"      {command}")  # as long as the places are: a command in two lines is none


def _command() -> str:
    """Return what a person types here for the command: its name where the shell finds it, else its place."""
    return "lianfang" if shutil.which("lianfang") else _shown(Path(sys.executable).parent / "lianfang")


def _stop_signals() -> threading.Event:
    """Return what SIGINT and SIGTERM set from now on."""
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    return stopping


def _serve(stage: Stage, warn: Callable[[str], None], stopping: threading.Event) -> None:
    """Say where everything is, and wait until told to stop."""
    warn("")
    warn("Everything is still running; Ctrl-C ends it. The nodes:")
    for agency in stage.federation.agencies:
        warn(f"  {agency:<10} {_shown(stage.node(agency))}  (process {stage.pids[agency]})")
    stopping.wait()


def _where(stage: Stage) -> str:
    return "RabbitMQ, seven processes" if stage.transport == "rabbitmq" else "the transport in memory, one process"


def _shown(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _nothing(_: object) -> None:
    pass
