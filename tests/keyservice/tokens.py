"""Tokens of SoftHSM for tests: in a directory of the session's own, made before the module is first loaded."""

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pkcs11

from deploy.local import softhsm

PIN = "19283746"
LABELS = ("agency", "locked", "last-try")
_FLAGS = struct.pack(">QQ", 0x8000534B, 2)
"""How SoftHSM 2.6 writes a token's flags into token.object: attribute, kind, and then the value."""


@dataclass(frozen=True)
class Tokens:
    """The module, and the tokens that it finds: `agency` serves, `locked` and `last-try` are as after wrong PINs."""

    module: Path
    configuration: Path

    def flags(self, label: str) -> int:
        """Return a token's flags as its module gives them."""
        return int(pkcs11.lib(str(self.module)).get_token(token_label=label).flags)


@contextmanager
def made(directory: Path) -> Iterator[Tokens]:
    """Make the tokens, and name them to SoftHSM for as long as the process loads it."""
    hsm = softhsm.ensure()
    for label in LABELS:
        configuration = hsm.make_token(directory, label, PIN)
    for path in directory.glob("tokens/*/token.object"):
        data = path.read_bytes()
        extra = 0x40000 if b"locked " in data else 0x20000 if b"last-try " in data else 0
        at = data.index(_FLAGS) + len(_FLAGS)
        (flags,) = struct.unpack_from(">Q", data, at)
        path.write_bytes(data[:at] + struct.pack(">Q", flags | extra) + data[at + 8 :])
    before = os.environ.get("SOFTHSM2_CONF")
    os.environ["SOFTHSM2_CONF"] = str(configuration)
    try:
        _make_keys(hsm.module)
        yield Tokens(hsm.module, configuration)
    finally:
        pkcs11.unload(str(hsm.module))
        os.environ.pop("SOFTHSM2_CONF")
        if before is not None:
            os.environ["SOFTHSM2_CONF"] = before


def _make_keys(module: Path) -> None:
    with pkcs11.lib(str(module)).get_token(token_label="agency").open(rw=True, user_pin=PIN) as session:
        for label in ("kek", "other", "twice", "twice"):
            session.generate_key(pkcs11.KeyType.AES, 256, label=label, store=True)
        loose = {pkcs11.Attribute.EXTRACTABLE: True, pkcs11.Attribute.SENSITIVE: False}
        session.generate_key(pkcs11.KeyType.AES, 256, label="extractable", store=True, template=loose)
