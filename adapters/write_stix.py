"""Trees → STIX 2.1 bundles: what stands beneath an indicator becomes an object of its own again (adapters/read_stix.py).

- What the standard demands and the message has is put where it belongs: ids, times, a pattern made of the values.
- What the standard demands and the message has not is not invented: then nothing is written.
"""

import re
from collections.abc import Sequence
from uuid import NAMESPACE_URL, UUID, uuid5

from adapters import read_json
from adapters.errors import FileRefused
from adapters.profile import Writing
from adapters.read_stix import OBSERVED, TLP, text_of
from adapters.stix_pattern import written
from adapters.tree import Element

_REF = re.compile(r"[a-z0-9-]+--([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})")
_NETWORK = {
    "ipv4-addr:value": re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?:/[0-9]{1,2})?"),
    "mac-addr:value": re.compile(r"[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}"),
    "ipv6-addr:value": re.compile(r"[0-9A-Fa-f]*:[0-9A-Fa-f:.]*(?:/[0-9]{1,3})?"),
    "domain-name:value": re.compile(r".+"),
}
"""Kinds of network addresses, by their form; tried in order."""


def write(roots: Sequence[Element], writing: Writing) -> bytes:
    """Write bundles. FileRefused when an object has not what the standard demands."""
    return read_json.write([_loose(root) for root in roots], writing)


def _loose(root: Element) -> Element:
    """Return a bundle in which what stands beneath an indicator is an object of its own again."""
    children: list[Element] = []
    for child in root.children:
        if child.name == "id":
            children.append(child._replace(text=f"bundle--{_uuid(child.text)}"))
        else:
            children += _objects(child) if child.name == "objects" else [child]
    return root._replace(children=children)


def _objects(one: Element) -> list[Element]:
    fields = {child.name: child for child in one.children if child.name[:1] != "@"}
    beneath = [_network(child) for child in one.children if child.name[:1] == "@"]
    own = f"indicator--{_uuid(text_of(one, 'id'))}"
    made = next((fields[name].text for name in ("created", "modified", "valid_from") if name in fields), "")
    pattern = fields["pattern"].text if "pattern" in fields else _pattern(beneath)
    observables = [] if made else _observables(text_of(one, "id"), beneath)
    if observables:
        return observables
    if not made or not pattern:
        raise FileRefused(
            "the message has not what a STIX indicator must have: a time at which it was made, and a value",
            cure="have the sender complete it, or send it in another format",
            code="LF-RENDER-INCOMPLETE",
        )
    must = {
        "id": own,
        "created": made,
        "modified": made,
        "valid_from": made,
        "pattern": pattern,
        "pattern_type": "stix",
    }
    marks = [child.text for child in one.children if child.name == "object_marking_refs"]
    labels = [label for child in beneath if child.name == "@tlp" and (label := _label_ref(child.text, marks))]
    head = [Element("type", "indicator"), Element("spec_version", "2.1"), Element("id", own)]
    given = [child for child in one.children if child.name[:1] != "@" and child.name not in _HEAD]
    added = [Element(name, text) for name, text in must.items() if name not in fields]
    whole = one._replace(children=[*head, *given, *added, *(Element("object_marking_refs", ref) for ref in labels)])
    base = {"own": own, "created": fields["created"].text if "created" in fields else made}
    beside = [_beside(child, number, base) for number, child in enumerate(_sighted(beneath)) if child.name in _BESIDE]
    return [_with_creator(whole, made), *_creators(whole, made), *beside]


def _network(child: Element) -> Element:
    """Return a value of a network address as the kind that it is: a message keeps all of them in one list."""
    if child.name != "@says" or text_of(child, "path") not in _NETWORK:
        return child
    value = text_of(child, "value")
    kind = next((kind for kind, form in _NETWORK.items() if form.fullmatch(value)), "domain-name:value")
    return child._replace(
        children=[inner._replace(text=kind) if inner.name == "path" else inner for inner in child.children]
    )


def _observables(own: str, beneath: Sequence[Element]) -> list[Element]:
    """Return what was seen as objects of their own: they need no time, as an indicator does."""
    found = []
    for child in beneath:
        kind, _, name = text_of(child, "path").partition(":")
        if child.name == "@says" and kind in OBSERVED:
            value = next(inner for inner in child.children if inner.name != "path")
            is_own = own.startswith(f"{kind}--") and _REF.fullmatch(own)
            ref = own if is_own else f"{kind}--{uuid5(NAMESPACE_URL, value.text)}"
            algorithm, _, digest = value.text.partition(":")
            said = Element(name, "", [Element(algorithm, digest)]) if name == "hashes" else value
            head = [Element("type", kind), Element("spec_version", "2.1"), Element("id", ref)]
            found.append(Element("objects", "", [*head, said]))
    return found


_HEAD = ("type", "spec_version", "id")


def _sighted(beneath: Sequence[Element]) -> list[Element]:
    """Return what stands beneath, the times of the sightings put into the first of them; one is made where there is none."""
    seen = [child for child in beneath if child.name == "@seen"]
    if not seen:
        return list(beneath)
    sightings = [child for child in beneath if child.name == "@sighting"]
    rest = [child for child in beneath if child.name not in ("@seen", "@sighting")]
    if not sightings:
        return [*rest, seen[0]._replace(name="@sighting")]
    times = [child for child in seen[0].children if child.name != "count"]
    return [*rest, sightings[0]._replace(children=[*sightings[0].children, *times]), *sightings[1:]]


def _creators(one: Element, made: str) -> list[Element]:
    """Return the identity of a creator of whom the message has a name, not an id."""
    name = text_of(one, "created_by_ref")
    if not name or _REF.fullmatch(name):
        return []
    facts = {
        "type": "identity",
        "spec_version": "2.1",
        "id": f"identity--{_uuid(name)}",
        "created": made,
        "modified": made,
    }
    return [Element("objects", "", [Element(key, text) for key, text in {**facts, "name": name}.items()])]


def _with_creator(one: Element, made: str) -> Element:
    named = [text_of(identity, "id") for identity in _creators(one, made)]
    return one._replace(
        children=[
            child._replace(text=named[0]) if named and child.name == "created_by_ref" else child
            for child in one.children
        ]
    )


_BESIDE = {"@sighting": "sighting", "@points-to": "relationship", "@pointed-at-by": "relationship"}


def _beside(child: Element, number: int, base: dict[str, str]) -> Element:
    kind = _BESIDE[child.name]
    named = {inner.name: inner.text for inner in child.children}
    own = named.pop("id", "") or f"{kind}--{uuid5(NAMESPACE_URL, '/'.join((base['own'], kind, str(number))))}"
    ends = {"@sighting": "sighting_of_ref", "@points-to": "source_ref", "@pointed-at-by": "target_ref"}
    whole = {
        "type": kind,
        "spec_version": "2.1",
        "id": own,
        "created": base["created"],
        "modified": base["created"],
        **named,
        ends[child.name]: base["own"],
    }
    return Element("objects", "", [Element(name, text) for name, text in whole.items()])


def _uuid(text: str) -> str:
    """Return the UUID in an id; of an id that has none, the one that stands for it from now on."""
    found = _REF.fullmatch(text)
    if found:
        return found[1]
    try:
        return str(UUID(text))
    except ValueError:
        return str(uuid5(NAMESPACE_URL, text))


def _label_ref(label: str, marks: Sequence[str]) -> str:
    """Return the id of a label, unless one of the markings says it already."""
    refs = [ref for ref, word in TLP.items() if word == label]
    return "" if not refs or any(ref in marks for ref in refs) else refs[-1]


def _pattern(beneath: Sequence[Element]) -> str:
    """Return a pattern that holds where one of the values is seen."""
    found = []
    for child in beneath:
        if child.name == "@says":
            path = text_of(child, "path")
            value = next(inner.text for inner in child.children if inner.name != "path")
            if path == "file:hashes":
                algorithm, _, value = value.partition(":")
                path = f"file:hashes.'{algorithm}'"
            found.append(written(path, value))
    return " OR ".join(found)
