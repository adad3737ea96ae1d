"""The words that rows and requests may use. Anything else is refused.

- What the shared language defines (agency types, message types, field classes, kinds of papers and orders) comes from
  its descriptors, so that a bundle cannot speak of a field that does not exist.
- Roles, services, purposes and legal bases come from the bundle's vocabulary.yaml.
"""

import difflib
import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256

import schemas.v1
from schemas import field_classes, registry
from schemas.v1 import common_pb2, federation_pb2

ACTIONS: Mapping[str, str] = {
    "seal": "seal",
    "accept": "accept",
    "open": "open",
    "disclose": "open",
    "send": "effect",
    "hand_over": "effect",
    "search": "effect",
    "sign": "effect",
}
"""Actions, with the point at which each is decided. A new action is code, for somebody must ask."""

CLASS_ACTIONS = frozenset({"seal", "open", "disclose"})
"""Actions decided class by class."""

ACTOR_ACTIONS = frozenset({"open", "disclose", "send", "hand_over", "search", "sign"})
"""Actions done by a person or a named service."""

CASE_STATUSES = frozenset({"", "filed", "closed"})
CLASSES = frozenset(field_classes.CLASSES) - {field_classes.OPEN}


def _words(names: Iterable[str], prefix: str) -> frozenset[str]:
    return frozenset(name.removeprefix(prefix).lower() for name in names if not name.endswith("UNSPECIFIED"))


AGENCY_TYPES = _words(federation_pb2.AgencyType.keys(), "AGENCY_TYPE_")
PAPERS = _words(common_pb2.AttachmentKind.keys(), "ATTACHMENT_KIND_")


def _kinds() -> frozenset[str]:
    """Return the last words of every kind that a body may be of: stop, lift, freeze, restore and so on."""
    fields = (registry.descriptor_of(name).fields_by_name.get("kind") for name in registry.bodies())
    enums = [field.enum_type for field in fields if field is not None and field.enum_type is not None]
    return frozenset({""}).union(
        *({value.name.rsplit("_", 1)[-1].lower() for value in enum.values if value.number} for enum in enums)
    )


KINDS = _kinds()
RELIEVING = frozenset({"lift", "release", "end", "restore"})
"""Kinds that take a measure back: they need less than the measure, and stay open when the case is closed."""


@cache
def message_classes() -> Mapping[str, frozenset[str]]:
    """Return the sealed classes of every body type, by short name."""
    return {
        registry.bare_name(name): frozenset(field_classes.fields_by_class(registry.descriptor_of(name))) & CLASSES
        for name in registry.bodies()
    }


@cache
def messages_with_purpose() -> frozenset[str]:
    """Return the body types that carry their purpose inside, sealed."""
    return frozenset(
        name for name in message_classes() if "case_context" in registry.descriptor_of(name).fields_by_name
    )


@cache
def descriptors_sha256() -> bytes:
    """Return the digest of the schema descriptors, by ascending module name: what the rows of a bundle speak about."""
    digest = sha256()
    for name in sorted(module.name for module in pkgutil.iter_modules(schemas.v1.__path__)):
        if name.endswith("_pb2"):
            digest.update(importlib.import_module(f"schemas.v1.{name}").DESCRIPTOR.serialized_pb)
    return digest.digest()


@dataclass(frozen=True)
class Purpose:
    """Why something is done, on what bases, and for which purposes a message sealed for it may be opened."""

    says: str
    bases: frozenset[str]
    opens_for: frozenset[str]


@dataclass(frozen=True)
class Vocabulary:
    """The words of one bundle, each with what it means."""

    roles: Mapping[str, str]
    services: Mapping[str, str]
    purposes: Mapping[str, Purpose]
    bases: Mapping[str, str]
    classes: Mapping[str, str]
    agency_types: Mapping[str, str]
    never_sealed: Mapping[str, str]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a hint for a word that is not known: the nearest one, or all there are."""
    words = sorted(known)
    near = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(filter(None, words))}"
