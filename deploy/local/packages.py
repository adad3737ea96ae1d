"""Installs packages of the distribution for what is run here privately, without letting them start anything.

Debian starts what it installs. A policy-rc.d that says no prevents it; one that is already there is left as it is, ours is
taken away again. Whoever installs meanwhile waits: apt knows one at a time.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_POLICY = Path("/usr/sbin/policy-rc.d")
_POLICY_TEXT = "#!/bin/sh\n# Put here by lianfang while it installs a package, and taken away after.\nexit 101\n"
_LOCK = "lianfang-packages.lock"
_SECONDS_MAX = 900


class PackageMissing(Exception):
    """A package is not here and cannot be installed by us."""

    def __init__(self, cause: str, *, cure: str) -> None:
        super().__init__(f"{cause}; {cure}")
        self.cause = cause
        self.cure = cure


def ensure_program(program: str, package: str) -> Path:
    """Return where a program is, installing its package when it is missing. PackageMissing when that cannot be done."""
    if found := shutil.which(program):
        return Path(found)
    with installing(package) as apt:
        if not shutil.which(program):  # somebody else may have installed it while we waited
            apt.install(package)
    if found := shutil.which(program):
        return Path(found)
    raise PackageMissing(f"apt installed {package}, but {program} is not found", cure="look at what the package holds")


class Apt:
    """The distribution's package manager, run by root."""

    def __init__(self, package: str) -> None:
        self.become_root = _become_root(package)
        self._package = package

    def install(self, *packages: str) -> None:
        """Install packages with what they need, without what they recommend. PackageMissing when it fails."""
        self._run("update", "-qq")
        self._run("install", "-y", "-qq", "--no-install-recommends", *packages)

    def _run(self, *arguments: str) -> None:
        command = [*self.become_root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", *arguments]
        try:
            done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_SECONDS_MAX)
        except subprocess.TimeoutExpired as error:
            raise PackageMissing(
                f"apt-get {arguments[0]} did not end within {_SECONDS_MAX} s",
                cure="look whether another apt holds the lock, and run again",
            ) from error
        if done.returncode != 0:
            words = (done.stderr.strip() or done.stdout.strip()).splitlines() or [f"exit code {done.returncode}"]
            raise PackageMissing(
                f"apt-get {arguments[0]} failed: {words[-1]}",
                cure=f"run `apt-get install {self._package}` by hand and mend what it says",
            )


@contextmanager
def installing(package: str) -> Iterator[Apt]:
    """Give apt to one at a time on this machine, with services kept from starting. PackageMissing when nobody here may."""
    apt = Apt(package)
    with (Path(tempfile.gettempdir()) / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        print(f"lianfang: installing {package} from the distribution; no service is started", file=sys.stderr)
        with no_service_start(apt.become_root):
            yield apt


def _become_root(package: str) -> list[str]:
    """Return what to put before a command so that root runs it."""
    if shutil.which("apt-get") is None:
        raise PackageMissing(
            f"{package} is not installed, and this system has no apt-get", cure=f"install {package} by hand"
        )
    if os.geteuid() == 0:
        return []
    if (
        shutil.which("sudo")
        and subprocess.run(["sudo", "-n", "true"], check=False, capture_output=True).returncode == 0
    ):
        return ["sudo", "-n"]
    raise PackageMissing(
        f"{package} is not installed; installing it needs root, or sudo without a password",
        cure=f"run `sudo apt-get install {package}`",
    )


@contextmanager
def no_service_start(become_root: list[str]) -> Iterator[None]:
    """Keep packages from starting services meanwhile. A policy-rc.d that somebody else put there is left alone."""
    if _POLICY.exists() and _POLICY.read_text(encoding="utf-8", errors="replace") != _POLICY_TEXT:
        yield
        return
    put = f"umask 022; printf '%s' \"$1\" > {_POLICY} && chmod 755 {_POLICY}"
    subprocess.run([*become_root, "sh", "-c", put, "sh", _POLICY_TEXT], check=True)
    try:
        yield
    finally:
        subprocess.run([*become_root, "rm", "-f", str(_POLICY)], check=False)
