"""The key service's socket: where it may lie, who may connect, and how long a caller waits.

- Its directory is the service's own and closed to others, or, for a node under another user, to all but one group, which may
  look at it and no more. Wider is refused at the start.
- Who connects is asked of the kernel (SO_PEERCRED); a user that is not named is turned away unheard.
"""

import grp
import os
import pwd
import select
import socket
import stat
import struct
from dataclasses import dataclass
from pathlib import Path

from bus.config import Apart
from bus.control import listen_for_owner
from bus.errors import Usage

_PEER_FORMAT = "3i"


@dataclass(frozen=True)
class Door:
    """Where a key service listens, which users it hears, and, where they are others, the group that may reach it."""

    path: Path
    users: frozenset[int]
    group: int | None = None

    def listen(self, listener: socket.socket) -> None:
        """Listen. Usage when the directory lets others in."""
        self._require_closed()
        listen_for_owner(listener, self.path)
        if self.group is not None:
            os.chown(self.path, -1, self.group, follow_symlinks=False)
            self.path.chmod(0o660)

    def hears(self, connection: socket.socket) -> bool:
        """Say whether the kernel names the peer as one of the users."""
        return peer(connection) in self.users

    def _require_closed(self) -> None:
        status = self.path.parent.lstat()
        mode = stat.S_IMODE(status.st_mode)
        is_ours = status.st_uid == os.getuid() and stat.S_ISDIR(status.st_mode)
        is_closed = mode & 0o077 == 0 if self.group is None else mode & 0o027 == 0 and status.st_gid == self.group
        if not (is_ours and is_closed):
            wanted = "0700" if self.group is None else "0750, of the group in [keys.apart]"
            raise Usage(
                f"the directory of the key service's socket, {self.path.parent.name}, is not closed to others",
                cure=f"give it to the user who runs the key service, mode {wanted}; then ask who could reach it",
                code="LF-KEYS-SOCKET-OPEN",
            )


def own(path: Path) -> Door:
    """Return the door of a key service that runs under the same user as its node."""
    return Door(path, frozenset({os.getuid()}))


def between(apart: Apart) -> Door:
    """Return the door of a key service that runs under a user of its own. Usage when it runs under the node's or root's."""
    me, node = user_id(apart.user), user_id(apart.node_user)
    if me != os.getuid() or me in (node, 0):
        raise Usage(
            f"[keys.apart] has the key service run as {apart.user}, beside a node that runs as {apart.node_user}",
            cure="start it as that user, and take two users for the two, neither of them root",
            code="LF-KEYS-USER",
        )
    return Door(Path(apart.socket), frozenset({node}), _group_id(apart.group))


def user_id(name: str) -> int:
    """Return a user's id; a number stands for itself. Usage for a name that the machine does not know."""
    if name.isdecimal():
        return int(name)
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        raise _unknown("user", name) from None


def _group_id(name: str) -> int:
    if name.isdecimal():
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise _unknown("group", name) from None


def peer(connection: socket.socket) -> int:
    """Return the user id at the other end, as the kernel has it."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize(_PEER_FORMAT))
    return int(struct.unpack(_PEER_FORMAT, raw)[1])


def has_left(connection: socket.socket) -> bool:
    """Say whether the peer is gone already: nothing is done for whoever does not wait for it any more."""
    waiting = select.poll()
    waiting.register(connection, select.POLLIN)
    if not waiting.poll(0):
        return False  # not recv alone: on a socket with a timeout it would wait that long
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except OSError:
        return True


def _unknown(kind: str, name: str) -> Usage:
    return Usage(
        f"[keys.apart] names the {kind} {name}, which this machine does not know",
        cure=f"make it, or name another; docs/operating.md has the commands for {kind}s",
        code="LF-KEYS-USER",
    )
