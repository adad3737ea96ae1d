"""An entry's bytes: a prefix and a canonically serialised Leaf. Hashed as written, never re-serialised.

Entries outlive everything and go to witnesses, so `encode` lets no words through: what is not a number or a digest must
look like the code it is said to be, and nothing may hold seven digits in a row, as every account, phone and identity number
does. A name of Latin letters can look like a code: callers take their words from the policy's vocabulary.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

from google.protobuf.message import DecodeError

from audit.errors import LeafRefused
from audit.v1.leaf_pb2 import KIND_UNSPECIFIED, Leaf, Subject

PREFIX = b"busaudit/v1\n"
LEAF_BYTES_MAX = 4096

_AGENCY = re.compile(r"(?=.{1,32}\Z)[a-z][a-z0-9]*(-[a-z0-9]+)*")
_WORD = re.compile(r"[a-z][a-z0-9]{0,15}(_[a-z0-9]{1,16}){0,5}")
_CODE = re.compile(r"[A-Z0-9]{1,24}([-_.][A-Z0-9]{1,24}){0,7}")
_LONG_NUMBER = re.compile(r"[0-9]{7}")
PATTERNS = {
    "message_type": re.compile(r"([a-z][a-z0-9]{0,31}\.){0,4}[A-Z][A-Za-z0-9]{0,63}"),
    "agency": _AGENCY,
    "peers": _AGENCY,
    "actor_roles": _WORD,
    "system": re.compile(r"svc(-[a-z0-9]{1,16}){1,4}"),
    "classes_requested": re.compile(r"[A-Z]{1,16}(_[A-Z]{1,16}){0,3}"),
    "classes_released": re.compile(r"[A-Z]{1,16}(_[A-Z]{1,16}){0,3}"),
    "purpose": _WORD,
    "legal_basis": re.compile(r"[A-Z]{1,8}[0-9]{0,4}(-[A-Z0-9]{1,8}){0,3}"),
    "rule_ids": re.compile(r"[A-Z]{2,8}(-[A-Z0-9]{1,16}){1,5}"),
    "reason_codes": _CODE,
    "missing": re.compile(r"([A-Z]{2}-[0-9]{2,3}:)?[a-z][a-z0-9]{0,15}([_-][a-z0-9]{1,16}){0,11}"),
    "subjects.kind": re.compile(r"account|phone|person|case"),
    "subjects.field": re.compile(r"[a-z][a-z0-9]{0,31}([_.][a-z0-9]{1,31}){0,7}"),
}
"""What each text of a Leaf must look like, whole. A text without a pattern cannot be written: the tests see to it."""
BYTES = {
    "exchange": 16,
    "correlation": 16,
    "message_digest": 32,
    "actor": 16,
    "case": 16,
    "policy_digest": 32,
    "context_digest": 32,
    "token_digest": 32,
    "file_digest": 32,
    "subjects.value": 16,
}
"""How long each bytes field is when it is not empty: an id, a blind value or a digest, never text."""


def encode(leaf: Leaf) -> bytes:
    """Return the bytes of an entry. LeafRefused when it has no kind, is too large, or holds what is no code."""
    for name, value in (
        *_texts("", leaf),
        *(pair for subject in leaf.subjects for pair in _texts("subjects.", subject)),
    ):
        _require_code(name, value)
    data = PREFIX + leaf.SerializeToString(deterministic=True)
    if leaf.kind == KIND_UNSPECIFIED:
        raise LeafRefused("an entry needs a kind", cure="say at which point of the exchange it is written")
    require_form(data)
    return data


def _texts(prefix: str, message: Leaf | Subject) -> Iterable[tuple[str, str | bytes]]:
    for field, value in message.ListFields():
        name = prefix + field.name
        if isinstance(value, str | bytes):
            yield name, value
        elif name in PATTERNS:  # repeated
            for one in value:
                yield name, one


@lru_cache(maxsize=4096)
def is_code(name: str, value: str) -> bool:
    """Say whether a text may stand in this field of an entry."""
    is_agency = PATTERNS[name] is _AGENCY  # named in the directory; may hold a bank's code
    return PATTERNS[name].fullmatch(value) is not None and (is_agency or not _LONG_NUMBER.search(value))


def _require_code(name: str, value: str | bytes) -> None:
    held = len(value) == BYTES[name] if isinstance(value, bytes) else is_code(name, value)
    if not held:
        # The value is not shown: it may be just what must not leak.
        raise LeafRefused(
            f"{name} of an entry holds something that is no code",
            cure="write a word of the vocabulary, a code, or a blind value; nothing else belongs into a log",
        )


def require_form(data: bytes) -> None:
    """Raise LeafRefused unless the bytes have the prefix and the size of an entry."""
    if not data.startswith(PREFIX):
        raise LeafRefused("the bytes are no entry of this format", cure="the log is of another version or was changed")
    if len(data) > LEAF_BYTES_MAX:
        raise LeafRefused(
            f"an entry has at most {LEAF_BYTES_MAX} bytes; this one has {len(data)}",
            cure="name fewer peers, classes or subjects in one entry",
        )


def decode(data: bytes) -> Leaf:
    """Return the entry of these bytes. LeafRefused for a wrong prefix, unknown fields or another serialisation."""
    require_form(data)
    try:
        leaf = Leaf.FromString(data[len(PREFIX) :])
    except DecodeError:
        raise LeafRefused(
            "the entry does not parse", cure="the log was changed; find the last good checkpoint"
        ) from None
    # Without its unknown fields it serialises to the same bytes only if it had none.
    leaf.DiscardUnknownFields()
    if leaf.SerializeToString(deterministic=True) != data[len(PREFIX) :]:
        raise LeafRefused("the entry is not in its one canonical form", cure="the log was written by something else")
    return leaf
