"""Finds RabbitMQ, or installs the distribution's own package without letting the package start anything.

- `LIANFANG_RABBITMQ_HOME` names another installation (the folder with rabbitmq-server in it).
- Debian starts what it installs; that is prevented (packages.py). The service is not left enabled either: the next boot
  would open port 5672 to the network.
- What the package started all the same is stopped, by process id; whatever ran before is left alone.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bus.errors import Broken, BusError
from deploy.local.packages import PackageMissing, installing

HOME_VARIABLE = "LIANFANG_RABBITMQ_HOME"
_HOME = Path("/usr/lib/rabbitmq/bin")
_PACKAGE = "rabbitmq-server"
_UNITS = ("rabbitmq-server.service", "epmd.service", "epmd.socket")


class RabbitMissing(BusError):
    """RabbitMQ is not here and cannot be installed by us; the caller may fall back to the memory transport."""

    code = "LF-BROKER-MISSING"


@dataclass(frozen=True)
class Installation:
    """A RabbitMQ on this machine: the folder of its scripts, its version, and Erlang's port mapper."""

    home: Path
    version: tuple[int, int, int]
    epmd: Path

    @property
    def server(self) -> Path:
        """The script that runs a node in the foreground."""
        return self.home / "rabbitmq-server"


def find() -> Installation | None:
    """Return the RabbitMQ of this machine, or None."""
    home = Path(os.environ.get(HOME_VARIABLE, _HOME))
    epmd = shutil.which("epmd") or next((str(path) for path in Path("/usr/lib/erlang").glob("erts-*/bin/epmd")), None)
    if not (home / "rabbitmq-server").exists() or epmd is None:
        return None
    library = (home / "rabbitmq-server").resolve().parent.parent
    names = sorted(path.name for path in (library / "plugins").glob("rabbit-[0-9]*"))
    found = re.match(r"rabbit-(\d+)\.(\d+)\.(\d+)", names[-1]) if names else None
    if found is None:
        raise Broken(
            f"{library} has a rabbitmq-server, but not its plugins",
            cure=f"install the package again: apt-get install --reinstall {_PACKAGE}",
            code="LF-BROKER-INCOMPLETE",
        )
    return Installation(home, (int(found[1]), int(found[2]), int(found[3])), Path(epmd))


def ensure() -> Installation:
    """Return the RabbitMQ of this machine, installing it when there is none. RabbitMissing when that cannot be done."""
    found = find()
    if found is not None:
        return found
    try:
        with installing(_PACKAGE) as apt:
            before, enabled = _erlang_processes(), _enabled_units()
            if find() is None:  # somebody else may have installed it while we waited
                apt.install(_PACKAGE)
            _disable_new(enabled, apt.become_root)
            _stop_new(before, apt.become_root)
    except PackageMissing as error:
        raise RabbitMissing(error.cause, cure=f"{error.cure}, or go on with --transport memory") from error
    found = find()
    if found is None:
        raise RabbitMissing(
            f"apt installed {_PACKAGE}, but {_HOME}/rabbitmq-server is not there",
            cure=f"say where it is with {HOME_VARIABLE}",
        )
    return found


def _enabled_units() -> set[str]:
    """Return which of the package's services the next boot would start. Works without a running systemd."""
    if shutil.which("systemctl") is None:
        return set()
    states = {
        unit: subprocess.run(["systemctl", "is-enabled", unit], check=False, capture_output=True, text=True).stdout
        for unit in _UNITS
    }
    return {unit for unit, state in states.items() if state.strip() == "enabled"}


def _disable_new(enabled_before: set[str], become_root: list[str]) -> None:
    """Undo that the package enabled its service, or Erlang's port mapper, for the next boot."""
    for unit in _enabled_units() - enabled_before:
        subprocess.run([*become_root, "systemctl", "disable", unit], check=False, capture_output=True)


def _erlang_processes() -> dict[int, str]:
    """Return the command line of every Erlang virtual machine and port mapper, by process id."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended meanwhile
        if words[0].rsplit(b"/", 1)[-1] in (b"beam.smp", b"epmd"):
            found[int(process.name)] = b" ".join(words).decode(errors="replace")
    return found


def _stop_new(before: dict[int, str], become_root: list[str]) -> None:
    """Stop what the package started all the same."""
    for pid, command in _erlang_processes().items():
        if _is_ours_to_stop(pid, command, before):
            subprocess.run([*become_root, "kill", f"-{signal.SIGTERM}", str(pid)], check=False, capture_output=True)


def _is_ours_to_stop(pid: int, command: str, before: dict[int, str]) -> bool:
    """Say whether it is new, and the package's own node or a port mapper on the usual port: not somebody's private one."""
    is_package_node = "rabbit@" in command and "/var/lib/rabbitmq" in command
    is_usual_epmd = command.split(" ", 1)[0].endswith("epmd") and "-port" not in command
    return pid not in before and (is_package_node or is_usual_epmd)


def main() -> int:
    """Install RabbitMQ when it is missing, and say what there is."""
    try:
        found = ensure()
    except BusError as error:
        print(f"lianfang: {error.cause}\n  cure: {error.cure}\n  code: {error.code}", file=sys.stderr)
        return error.exit_code
    print(f"RabbitMQ {'.'.join(map(str, found.version))} in {found.home}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
