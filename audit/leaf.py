"""An entry's bytes: a prefix and a canonically serialised Leaf. Hashed as written, never re-serialised."""

from google.protobuf.message import DecodeError

from audit.errors import LeafRefused
from audit.v1.leaf_pb2 import KIND_UNSPECIFIED, Leaf

PREFIX = b"busaudit/v1\n"
LEAF_BYTES_MAX = 4096


def encode(leaf: Leaf) -> bytes:
    """Return the bytes of an entry. LeafRefused when it has no kind or is too large."""
    data = PREFIX + leaf.SerializeToString(deterministic=True)
    if leaf.kind == KIND_UNSPECIFIED or len(data) > LEAF_BYTES_MAX:
        raise LeafRefused(
            f"an entry needs a kind and at most {LEAF_BYTES_MAX} bytes; this one has {len(data)}",
            cure="put long lists into the encrypted detail and their digest into the entry",
        )
    return data


def decode(data: bytes) -> Leaf:
    """Return the entry of these bytes. LeafRefused for a wrong prefix, unknown fields or another serialisation."""
    if not data.startswith(PREFIX) or len(data) > LEAF_BYTES_MAX:
        raise LeafRefused("the bytes are no entry of this format", cure="the log is of another version or was changed")
    try:
        leaf = Leaf.FromString(data[len(PREFIX) :])
    except DecodeError:
        raise LeafRefused(
            "the entry does not parse", cure="the log was changed; find the last good checkpoint"
        ) from None
    plain = Leaf()
    plain.CopyFrom(leaf)
    plain.DiscardUnknownFields()
    if plain.SerializeToString(deterministic=True) != data[len(PREFIX) :]:
        raise LeafRefused("the entry is not in its one canonical form", cure="the log was written by something else")
    return leaf
