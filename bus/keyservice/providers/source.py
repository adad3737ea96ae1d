"""Where a passphrase, a PIN or a token comes from: `credential:NAME`, `file:PATH`, `descriptor:NUMBER` or `prompt`.

Never from an argument: every user of the machine can list those (/proc/PID/cmdline). Never from a variable: children
inherit it, crash reports and `systemctl show` print it, and /proc/PID/environ keeps it as long as the process lives. And
never as a value in node.toml, which is backed up and shown to people.

- `credential:NAME`: what systemd laid into $CREDENTIALS_DIRECTORY (LoadCredential=, LoadCredentialEncrypted=).
- `file:PATH`: of root or of this user, for nobody else to read, and no link.
- `descriptor:NUMBER`: inherited from whoever starts the process; a node hands it on to its key service. A pipe gives its
  content once, so a key service that died cannot be started again by itself; an open file or memfd gives it again.
- `prompt`: asked on the terminal. A key service that a node starts has none.
"""

import getpass
import os
import stat
from collections.abc import Callable
from pathlib import Path

from bus.errors import Usage

SECRET_BYTES_MAX = 4096
_CREDENTIALS = "CREDENTIALS_DIRECTORY"


class Source:
    """Gives one secret. `what` names it for people: passphrase, PIN, token."""

    def __init__(self, text: str, directory: Path, what: str) -> None:
        self._kind, _, self._name = text.partition(":")
        self._directory = directory
        self._what = what
        self._once: bytes | None = None

    def read(self, *, is_new: bool = False) -> bytes:
        """Return the secret without the line's end. Usage when the source does not give one; `is_new` asks twice."""
        match self._kind:
            case "credential":
                where = os.environ.get(_CREDENTIALS)
                if where is None:
                    raise self._missing("systemd gave this process no credentials")
                found = self._file(Path(where) / self._name)
            case "file":
                found = self._file(self._directory / self._name)
            case "descriptor":
                found = self._kept(self._descriptor)
            case _:
                found = self._kept(lambda: self._asked(is_new=is_new))
        secret = found.removesuffix(b"\n").removesuffix(b"\r")
        if not secret or len(found) > SECRET_BYTES_MAX:
            raise self._missing(f"it is empty, or longer than {SECRET_BYTES_MAX} bytes")
        return secret

    def text(self) -> str:
        """Return the secret as printable ASCII, which PINs and tokens are; Usage when it is not."""
        secret = self.read().decode("ascii", errors="replace")
        if not (secret.isascii() and secret.isprintable()):
            raise self._missing("it has other signs than printable ASCII")
        return secret

    def _kept(self, read: Callable[[], bytes]) -> bytes:
        """Keep what cannot be read twice, for as long as the provider lives: that is while a process starts."""
        if self._once is None:
            self._once = read()
        return self._once

    def _file(self, path: Path) -> bytes:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise self._missing(f"{path.name} cannot be read: {(error.strerror or '').lower()}") from None
        try:
            status = os.fstat(descriptor)
            is_private = status.st_uid in (0, os.getuid()) and not stat.S_IMODE(status.st_mode) & 0o077
            if not is_private or not stat.S_ISREG(status.st_mode):
                raise Usage(
                    f"the {self._what}'s file {path.name} can be read or changed by others",
                    cure="chmod 0400, and give it to root or to the user who runs the key service",
                    code="LF-KEYS-SECRET-OPEN",
                )
            return os.read(descriptor, SECRET_BYTES_MAX + 1)
        finally:
            os.close(descriptor)

    def _descriptor(self) -> bytes:
        number = int(self._name)
        try:
            if stat.S_ISREG(os.fstat(number).st_mode):
                return os.pread(number, SECRET_BYTES_MAX + 1, 0)  # also for the next process that inherits it
            with os.fdopen(number, "rb") as file:
                return file.read(SECRET_BYTES_MAX + 1)
        except OSError:
            raise self._missing(f"descriptor {self._name} is not open, or was read before") from None

    def _asked(self, *, is_new: bool) -> bytes:
        try:
            terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError:
            raise self._missing("there is no terminal to ask on") from None
        os.close(terminal)
        given = getpass.getpass(f"{self._what} of the key service: ")
        if is_new and getpass.getpass("once more: ") != given:
            raise self._missing("the two were not the same")
        return given.encode()

    def _missing(self, why: str) -> Usage:
        return Usage(
            f"the key service's {self._what} is not to be had: {why}",
            cure="see the source in [keys] of node.toml: credential:NAME, file:PATH, descriptor:NUMBER or prompt",
            code="LF-KEYS-NO-SECRET",
        )
