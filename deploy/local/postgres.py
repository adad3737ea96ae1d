"""A private PostgreSQL cluster for tests and trials: own directory, own Unix socket, no network, gone when it is stopped.

It runs under an account without rights, ends with the process that started it, and never touches a cluster that is already
on the machine. When PostgreSQL is missing it is installed from the distribution; neither its service nor its default cluster
comes into being.
"""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy.engine import URL

from deploy.local.packages import PackageMissing, installing

HOME_VARIABLE = "LIANFANG_POSTGRES_HOME"
_HOMES = Path("/usr/lib/postgresql")
_CREATE_CLUSTER = Path("/etc/postgresql-common/createcluster.conf")
_ACCOUNTS = ("postgres", "nobody")
_START_SECONDS_MAX = 30
_STOP_SECONDS_MAX = 20
_LEFT_SECONDS_MIN = 3600
_PLACE = "/tmp"  # noqa: S108 - mkdtemp makes what lies there ours alone
# Its data need not survive the machine, only the processes: no fsync, and an end without a last checkpoint.
_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "60",
    "shared_buffers": "16MB",
    "fsync": "off",
    "full_page_writes": "off",
}


class PostgresMissing(Exception):
    """PostgreSQL is not here, cannot be installed by us, or does not start."""

    code = "LF-POSTGRES-MISSING"

    def __init__(self, cause: str, *, cure: str) -> None:
        super().__init__(f"{cause}; {cure}")
        self.cause = cause
        self.cure = cure


def find() -> Path | None:
    """Return the folder with `initdb` and `postgres` of the newest PostgreSQL here, or None."""
    named = os.environ.get(HOME_VARIABLE)
    homes = [Path(named)] if named else sorted(_HOMES.glob("*/bin"), key=lambda path: float(path.parent.name))
    return next((home for home in reversed(homes) if (home / "initdb").exists() and (home / "postgres").exists()), None)


def ensure() -> Path:
    """Return `find()`, installing the distribution's package when there is none. PostgresMissing when that cannot be."""
    found = find()
    if found is not None:
        return found
    try:
        with installing("postgresql") as apt:
            if find() is None:  # somebody else may have installed it while we waited
                apt.install("postgresql-common")
                with _no_default_cluster(apt.become_root):
                    apt.install("postgresql")
    except PackageMissing as error:
        raise PostgresMissing(
            error.cause, cure=f"{error.cure}, or name its folder of programs with {HOME_VARIABLE}"
        ) from error
    found = find()
    if found is None:
        raise PostgresMissing(
            f"apt installed postgresql, but {_HOMES} has no initdb", cure=f"say where it is with {HOME_VARIABLE}"
        )
    return found


@contextmanager
def _no_default_cluster(become_root: list[str]) -> Iterator[None]:
    """Keep the package from making its default cluster meanwhile (postgresql-common, createcluster.conf)."""
    before = _CREATE_CLUSTER.read_text(encoding="utf-8") if _CREATE_CLUSTER.exists() else None
    put = f"umask 022; mkdir -p {_CREATE_CLUSTER.parent} && printf '%s' \"$1\" > {_CREATE_CLUSTER}"
    none = f"{before or ''}\ncreate_main_cluster = false\n"
    subprocess.run([*become_root, "sh", "-c", put, "sh", none], check=True)
    try:
        yield
    finally:
        back = ["rm", "-f", str(_CREATE_CLUSTER)] if before is None else ["sh", "-c", put, "sh", before]
        subprocess.run([*become_root, *back], check=False)


@dataclass(frozen=True)
class Account:
    """Who runs the cluster."""

    name: str
    uid: int
    gid: int


def _account() -> Account:
    """Return ourselves, or, for root, an account without rights: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        found = pwd.getpwuid(os.geteuid())
        return Account(found.pw_name, found.pw_uid, found.pw_gid)
    for name in _ACCOUNTS:
        with contextlib.suppress(KeyError):
            found = pwd.getpwnam(name)
            return Account(found.pw_name, found.pw_uid, found.pw_gid)
    raise PostgresMissing("there is no account without rights to run PostgreSQL", cure="add the account postgres")


def _sweep(account: Account) -> None:
    """Remove what clusters left whose starter was killed: their server has ended by itself, their directory has not."""
    for left in Path(_PLACE).glob("lf-pg-*"):
        with contextlib.suppress(OSError):
            found = left.lstat()
            is_old = found.st_uid == account.uid and time.time() - found.st_mtime > _LEFT_SECONDS_MIN
            if is_old and not left.is_symlink() and not any(left.glob(".s.PGSQL.*")):
                shutil.rmtree(left, ignore_errors=True)


class Cluster:
    """A running cluster; a context manager that stops it and removes its directory."""

    def __init__(self) -> None:
        """Start it. PostgresMissing when it cannot be installed or does not start."""
        self._home = ensure()
        self._account = _account()
        _sweep(self._account)
        # Not under the project: its account could not reach it there, and a socket's path has at most 107 bytes.
        self.directory = Path(tempfile.mkdtemp(prefix="lf-pg-", dir=_PLACE))
        self._databases = 0
        self._process: subprocess.Popen[bytes] | None = None
        try:
            os.chown(self.directory, self._account.uid, self._account.gid)
            self._initialise()
            self._process = self._start()
            self._wait_ready(self._process)
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Self:
        """Return the cluster."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the cluster and remove its directory."""
        self.stop()

    @property
    def pid(self) -> int:
        """Process id of the server."""
        return self._process.pid if self._process is not None else 0

    def _command(self, program: str, *arguments: str) -> list[str]:
        become: Sequence[str] = ()
        if os.geteuid() == 0:
            become = (f"--reuid={self._account.uid}", f"--regid={self._account.gid}", "--clear-groups")
        # The server gets SIGQUIT, an immediate shutdown, when whoever started it is gone.
        return ["setpriv", *become, "--pdeathsig=QUIT", str(self._home / program), *arguments]

    def _initialise(self) -> None:
        arguments = (
            "-D",
            str(self.directory / "data"),
            "-A",
            "trust",
            "-U",
            "lianfang",
            "-E",
            "UTF8",
            "--no-locale",
            "-N",
        )
        done = subprocess.run(
            self._command("initdb", *arguments), check=False, capture_output=True, text=True, cwd=self.directory
        )
        if done.returncode != 0:
            raise PostgresMissing(f"initdb failed: {done.stderr.strip()[-300:]}", cure="see what it says")

    def _start(self) -> "subprocess.Popen[bytes]":
        settings = {**_SETTINGS, "unix_socket_directories": str(self.directory)}
        arguments = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (self.directory / "server.log").open("wb") as log:
            return subprocess.Popen(
                self._command("postgres", "-D", str(self.directory / "data"), *arguments),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
            )

    def _wait_ready(self, process: "subprocess.Popen[bytes]") -> None:
        asking = [str(self._home / "pg_isready"), "-q", "-h", str(self.directory), "-d", "postgres", "-U", "lianfang"]
        until = time.monotonic() + _START_SECONDS_MAX
        while subprocess.run(asking, check=False).returncode != 0:
            if process.poll() is not None or time.monotonic() > until:
                said = (self.directory / "server.log").read_text(errors="replace").strip()[-500:]
                raise PostgresMissing(f"PostgreSQL did not start: {said}", cure="see what it says")
            time.sleep(0.05)

    def url(self, database: str = "postgres") -> str:
        """Return SQLAlchemy's address of a database, over the Unix socket."""
        made = URL.create("postgresql+psycopg", "lianfang", database=database, query={"host": str(self.directory)})
        return made.render_as_string(hide_password=False)

    def new_database(self) -> str:
        """Create an empty database; return its address."""
        self._databases += 1
        name = f"t{self._databases}"
        self.sql("postgres", f"CREATE DATABASE {name}")
        return self.url(name)

    def sql(self, database: str, statement: str) -> str:
        """Run one statement as the cluster's owner; return what psql prints."""
        command = [str(self._home / "psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", str(self.directory)]
        done = subprocess.run(
            [*command, "-U", "lianfang", "-d", database, "-c", statement], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def stop(self) -> None:
        """Stop the server and remove its directory; safe to call again."""
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGQUIT)
            try:
                process.wait(_STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)
