"""From values to tags: what is hashed, what of a message is tagged, and how an evaluated batch becomes tags. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from google.protobuf.message import Message

from bus.tags import group, voprf
from bus.tags.epochs import KeySet
from bus.tags.errors import TagRefused
from bus.tags.normalise import HIGH_ENTROPY, RULES, Value, normalise
from bus.tags.voprf import Blinded, Evaluation
from schemas import field_classes
from schemas.v1 import common_pb2, match_pb2

TAG_BYTES = 16
FIELD = "match_tags"
"""The field of a message that holds its tags."""
VALUES_MAX = 32
"""Values of one message that get tags: two epochs of them fill the field."""
_DOMAIN = b"lianfang/1 match tag\0"
_TAGGED_CLASSES = ("ACCOUNT_ID", "PHONE_ID", "IDENTITY")
"""Never VICTIM: that two agencies know the same victim is not for a third to see."""


def prf_input(value: Value, epoch: str) -> bytes:
    """Return what is hashed for a value in an epoch: each part with its length, so that no two run together."""
    parts = (value.kind.encode(), epoch.encode(), value.text.encode())
    return _DOMAIN + bytes([RULES]) + b"".join(len(part).to_bytes(2, "big") + part for part in parts)


def takes_tags(message: Message) -> bool:
    """Say whether a message has a field for tags."""
    return FIELD in message.DESCRIPTOR.fields_by_name


def values_of(message: Message) -> tuple[Value, ...]:
    """Return the accounts, numbers and identity numbers at the top of a message, each once; what has no one writing is left out."""
    found: dict[Value, None] = {}
    for field, held in message.ListFields():
        if field_classes.field_class(field) in _TAGGED_CLASSES:
            for item in held if field.is_repeated else [held]:
                for kind, text in _texts(item):
                    try:
                        found[normalise(kind, text)] = None
                    except TagRefused:
                        continue
    return tuple(found)[:VALUES_MAX]


def _texts(item: object) -> Iterator[tuple[str, str]]:
    if isinstance(item, common_pb2.PhoneRef) and item.e164:
        yield "phone", item.e164
    elif isinstance(item, common_pb2.AccountRef) and item.number and not item.masked:
        yield ("wallet" if item.scheme == "WALLET" else "account"), item.number
    elif isinstance(item, common_pb2.PersonRef) and item.id_number and item.id_type in ("GB11643", ""):
        yield "id", item.id_number


def make_tags(
    blinded: Sequence[tuple[Value, Blinded]], held: KeySet, evaluations: Mapping[str, Evaluation]
) -> dict[Value, match_pb2.MatchTag]:
    """Return the tags of a batch: each authority's proof is checked under its pinned key, then the shares are joined.

    TagRefused, naming the authority, when one's answer does not hold.
    """
    sent = [item.element for _, item in blinded]
    for authority, key in held.keys:
        try:
            voprf.verify(key, sent, evaluations[authority])
        except TagRefused as error:
            raise TagRefused(
                f"{authority}: {error.cause}", code=error.code, cure=error.cure, authority=authority
            ) from error
    (one, _), (other, _) = held.keys
    whole = voprf.joined(evaluations[one].elements, evaluations[other].elements)
    return {
        value: match_pb2.MatchTag(
            kind=value.kind,
            epoch=held.epoch,
            key_set=held.id,
            value=voprf.finalize(item, evaluated)[:TAG_BYTES],
        )
        for (value, item), evaluated in zip(blinded, whole, strict=True)
    }


def require_high_entropy(value: Value) -> None:
    """Refuse a kind whose values can be listed: a plain keyed hash of them hides nothing from who has the key."""
    if value.kind not in HIGH_ENTROPY:
        raise TagRefused(
            f"values of kind {value.kind} can be listed, so a keyed hash of them hides nothing from whoever has the key",
            code="LF-TAG-LOW-ENTROPY",
            cure=f"send it with match tags; a local tag is for {' and '.join(sorted(HIGH_ENTROPY))}",
        )


def local_input(value: Value) -> bytes:
    """Return what the key service fingerprints for a tag of this agency alone. TagRefused for a kind that can be listed."""
    require_high_entropy(value)
    return b"lianfang/1 local tag\0" + prf_input(value, "")


def print_input(tag: match_pb2.MatchTag) -> bytes:
    """Return what the key service fingerprints for the index: kind, epoch and keys go in, so that only like meets like."""
    return b"lianfang/1 tag print\0" + tag.SerializeToString(deterministic=True)


def parsed(answer: match_pb2.TagAnswer) -> Evaluation:
    """Return an answer's evaluation. TagRefused when it holds what is no element."""
    return Evaluation(tuple(group.element(item) for item in answer.elements), bytes(answer.proof))
