"""Signed notes, checkpoints and cosignatures in the C2SP formats, unchanged, so that foreign tools verify them.

- signed-note: text, a blank line, signature lines `— name base64(key id || signature)`
- tlog-checkpoint: origin, size, base64 root, one a line
- tlog-cosignature v1: `cosignature/v1\\ntime N\\n` and the checkpoint text, signed; 8 bytes of time before the signature
Keys are Ed25519 (type 0x01 logs, 0x04 witnesses) and verified with libsodium, which refuses small-order keys.
"""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from audit.errors import NoteRefused

LOG_KEY_TYPE = 0x01
WITNESS_KEY_TYPE = 0x04
_DASH = "\u2014 "
_NOTE_BYTES_MAX = 65536
_SIGNATURE_BYTES = 64
Sign = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Verifier:
    """A public key with the name it signs under (C2SP signed-note verifier key)."""

    name: str
    key_type: int
    public_key: bytes

    @property
    def key_id(self) -> bytes:
        """First 4 bytes of SHA-256(name || 0x0A || type || key)."""
        return sha256(self.name.encode() + b"\n" + bytes([self.key_type]) + self.public_key).digest()[:4]

    @property
    def text(self) -> str:
        """The vkey text: name+hex key id+base64(type || key)."""
        body = base64.b64encode(bytes([self.key_type]) + self.public_key).decode()
        return f"{self.name}+{self.key_id.hex()}+{body}"

    @classmethod
    def parse(cls, text: str) -> "Verifier":
        """Read a vkey. NoteRefused when it is malformed or its key id does not fit."""
        try:
            name, key_id, body = text.strip().split("+", 2)
            raw = base64.b64decode(body, validate=True)
        except (ValueError, binascii.Error):
            raise NoteRefused("a verifier key is name+id+key", cure="copy it whole") from None
        verifier = cls(name, raw[0] if raw else 0, raw[1:])
        if len(verifier.public_key) != 32 or verifier.key_id.hex() != key_id or not name or " " in name:  # noqa: PLR2004 - Ed25519
            raise NoteRefused("the verifier key's id does not fit its key", cure="copy it whole")
        return verifier

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Say whether the signature holds."""
        try:
            VerifyKey(self.public_key).verify(message, signature)
        except (BadSignatureError, ValueError):
            return False
        return True


@dataclass(frozen=True)
class Checkpoint:
    """What a log says of itself, with its note as signed."""

    origin: str
    size: int
    root: bytes
    note: bytes

    @property
    def text(self) -> bytes:
        """The signed text, final newline included."""
        return checkpoint_text(self.origin, self.size, self.root)


def checkpoint_text(origin: str, size: int, root: bytes) -> bytes:
    """Return the text of a checkpoint."""
    return f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n".encode()


def sign_checkpoint(origin: str, size: int, root: bytes, verifier: Verifier, sign: Sign) -> bytes:
    """Return a checkpoint note signed by the log."""
    text = checkpoint_text(origin, size, root)
    return text + b"\n" + signature_line(verifier, sign(text))


def signature_line(verifier: Verifier, signature: bytes) -> bytes:
    """Return one signature line."""
    body = base64.b64encode(verifier.key_id + signature).decode()
    return f"{_DASH}{verifier.name} {body}\n".encode()


def split_note(note: bytes) -> tuple[bytes, list[tuple[str, bytes, bytes]]]:
    """Return a note's text and its (name, key id, signature) lines. NoteRefused unless it is exactly in form."""
    try:
        if len(note) > _NOTE_BYTES_MAX or not note.endswith(b"\n"):
            raise ValueError
        head, tail = note[:-1].rsplit(b"\n\n", 1)
        lines = []
        for line in tail.decode().split("\n"):
            if not line.startswith(_DASH):
                raise ValueError
            name, body = line.removeprefix(_DASH).split(" ")
            raw = base64.b64decode(body, validate=True)
            if not name or len(raw) < 5 or base64.b64encode(raw).decode() != body:  # noqa: PLR2004 - key id and a signature
                raise ValueError
            lines.append((name, raw[:4], raw[4:]))
    except (ValueError, binascii.Error):
        raise NoteRefused("the note is not in the signed-note format", cure="take it again from its source") from None
    return head + b"\n", lines


def parse_checkpoint(note: bytes) -> Checkpoint:
    """Read a checkpoint without believing it. NoteRefused unless it is exactly in form."""
    text, _ = split_note(note)
    try:
        origin, size, root = text.decode().removesuffix("\n").split("\n")
        if not size.isdecimal() or str(int(size)) != size or not origin:
            raise ValueError
        raw = base64.b64decode(root, validate=True)
        if len(raw) != 32 or base64.b64encode(raw).decode() != root:  # noqa: PLR2004 - SHA-256
            raise ValueError
    except (ValueError, binascii.Error):
        raise NoteRefused("the note is no checkpoint", cure="take it again from its source") from None
    return Checkpoint(origin, int(size), raw, note)


def checkpoint_size(note: bytes) -> int:
    """Return the size that a checkpoint names."""
    return parse_checkpoint(note).size


def verify_checkpoint(note: bytes, log: Verifier) -> Checkpoint:
    """Return the checkpoint if the log's own key signed it under its own name. NoteRefused otherwise."""
    checkpoint = parse_checkpoint(note)
    text, lines = split_note(note)
    if checkpoint.origin != log.name:
        raise NoteRefused("the checkpoint is of another log", cure="compare its first line with the key's name")
    if not any(
        name == log.name and key_id == log.key_id and log.verify(text, signature) for name, key_id, signature in lines
    ):
        raise NoteRefused(
            "the log's own key did not sign the checkpoint", cure="take the key from the member directory"
        )
    return checkpoint


def cosign(text: bytes, witness: Verifier, sign: Sign, now_ms: int) -> bytes:
    """Return a witness's cosignature line over a checkpoint's text (tlog-cosignature v1)."""
    seconds = now_ms // 1000
    signature = sign(_cosigned(text, seconds))
    return signature_line(witness, seconds.to_bytes(8, "big") + signature)


def cosignature_time_s(note: bytes, witness: Verifier) -> int | None:
    """Return when this witness cosigned the note's checkpoint, or None when it did not."""
    text, lines = split_note(note)
    for name, key_id, body in lines:
        if name != witness.name or key_id != witness.key_id or len(body) != 8 + _SIGNATURE_BYTES:
            continue
        seconds = int.from_bytes(body[:8], "big")
        if witness.verify(_cosigned(text, seconds), body[8:]):
            return seconds
    return None


def cosigned_by(note: bytes, witnesses: Sequence[Verifier]) -> tuple[str, ...]:
    """Return the names of the witnesses whose cosignature the note carries."""
    return tuple(witness.name for witness in witnesses if cosignature_time_s(note, witness) is not None)


def _cosigned(text: bytes, seconds: int) -> bytes:
    return f"cosignature/v1\ntime {seconds}\n".encode() + text
