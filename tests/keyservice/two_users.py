"""What a node under its own user does with a key service under another's: the node's half of a test, run by as_user.py.

`NODE SOCKET USER VAULT`: makes the node's database, says `ready`, and then, for each line on standard input, does what it
names and prints one JSON value.
"""

import base64
import json
import os
import socket
import sys
from pathlib import Path

from audit import store as log_store
from audit.store import engine
from bus import store
from bus.errors import BusError
from bus.keyservice.client import KeyClient
from bus.keyservice.protocol import OpenRequest
from bus.sealing.errors import SealingError


def main() -> None:
    """Be the node."""
    node, path, user, vault = sys.argv[1:5]
    os.umask(0o027)
    made = engine(f"sqlite:///{node}/node.db")
    store.create_tables(made)
    log_store.create_tables(made)
    with made.connect():  # a node has its database open: its shared memory is there to be read
        print("ready", flush=True)
        client = KeyClient(Path(path), deadline_s=30, user=int(user))
        for line in sys.stdin:
            word, *rest = json.loads(line)
            print(json.dumps(_did(word, rest, client, made, Path(vault))), flush=True)
        client.close()


def _did(word, rest, client, made, vault):
    try:
        if word == "agency":
            return client.public_keys().agency
        if word == "commit":
            with made.begin() as connection:
                connection.execute(log_store.entries.insert(), {"idx": rest[0], "leaf": base64.b64decode(rest[1])})
            return "committed"
        if word == "admit":
            return client.admit(base64.b64decode(rest[0]))
        if word == "open":
            payload, token, context = (base64.b64decode(text) for text in rest[:3])
            opened = client.open(OpenRequest(payload, tuple(rest[3]), rest[4], token, context))
            return {name: base64.b64encode(data).decode() for name, data in opened.items()}
        if word == "knock":
            with socket.socket(socket.AF_UNIX) as knocking:
                knocking.connect(str(client.path))
                knocking.sendall(b"\0\0\0\0")
                return knocking.recv(10).hex()
        return sorted(path.name for path in vault.iterdir() if path.read_bytes() is not None)
    except (BusError, SealingError) as error:
        return error.code
    except OSError as error:
        return type(error).__name__


if __name__ == "__main__":
    main()
