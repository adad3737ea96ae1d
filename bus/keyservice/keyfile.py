"""kek.json: a vault's key-encryption key as its guard has wrapped it, and which guard that was.

- What is wrapped is bound to vault, generation, guard and parameters: a key file of another vault, or an older one of this
  vault, does not pass for it.
- Strict: what parses is written back as the same bytes. Bounds on what a guard's parameters may ask for are the guard's own.
- Written whole or not at all: a temporary name, fsync, rename, fsync of the directory.
"""

import base64
import binascii
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bus.errors import Broken

NAME, NEXT_NAME = "kek.json", "kek.next.json"
"""The key file in force, and one that a rekeying has made and not yet put in its place."""
KEK_BYTES = 32
VAULT_ID_BYTES = 16
_VERSION = 1
_FILE_BYTES_MAX = 64 * 1024
_CONTEXT = b"lianfang/1 key-encryption key\x00"
_FIELDS = {"version": int, "vault": str, "generation": int, "provider": str, "parameters": dict, "wrapped": str}
Parameters = dict[str, int | str]


@dataclass(frozen=True)
class KeyFile:
    """A wrapped key-encryption key. `vault` is the id of the database it belongs to, `generation` counts its rekeyings."""

    vault: bytes
    generation: int
    provider: str
    parameters: Parameters
    wrapped: bytes = b""

    @property
    def context(self) -> bytes:
        """Everything but the wrapped key, as bytes that the guard binds it to."""
        return _CONTEXT + _text(replace(self, wrapped=b""))

    def write(self, path: Path) -> None:
        """Put the file in its place, durably."""
        made = path.with_name(f".{path.name}.new")
        made.unlink(missing_ok=True)  # what a crash has left
        descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(_text(self))
            file.flush()
            os.fsync(file.fileno())
        made.replace(path)
        sync(path.parent)


def read(path: Path) -> KeyFile:
    """Read a key file. Broken when it is not one; FileNotFoundError when there is none."""
    with path.open("rb") as file:
        data = file.read(_FILE_BYTES_MAX + 1)
    try:
        values = json.loads(data)
        found = _parsed(values)
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error):
        raise _no_key_file(path) from None
    if len(data) > _FILE_BYTES_MAX or _text(found) != data:
        raise _no_key_file(path)
    return found


def sync(directory: Path) -> None:
    """Make a directory's names durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _parsed(values: Any) -> KeyFile:
    wrong = [name for name, kind in _FIELDS.items() if type(values[name]) is not kind]
    if wrong or set(values) != set(_FIELDS) or values["version"] != _VERSION:
        raise ValueError("fields of another form")
    if any(type(value) not in (int, str) for value in values["parameters"].values()):
        raise ValueError("a parameter of another kind")
    vault = bytes.fromhex(values["vault"])
    if len(vault) != VAULT_ID_BYTES or values["generation"] < 1:
        raise ValueError("no vault, or no generation")
    wrapped = base64.b64decode(values["wrapped"], validate=True)
    return KeyFile(vault, values["generation"], values["provider"], values["parameters"], wrapped)


def _text(file: KeyFile) -> bytes:
    values = {
        "version": _VERSION,
        "vault": file.vault.hex(),
        "generation": file.generation,
        "provider": file.provider,
        "parameters": file.parameters,
        "wrapped": base64.b64encode(file.wrapped).decode(),
    }
    return json.dumps(values, indent=2, sort_keys=True).encode() + b"\n"


def _no_key_file(path: Path) -> Broken:
    return Broken(
        f"{path.name} is damaged, or no key file of this release",
        cure="restore kek.json from the backup that was made after the last `lianfang keys rekey`",
        code="LF-KEYS-KEYFILE",
    )
