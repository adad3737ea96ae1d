"""STIX 2.1 bundles ⇄ trees: JSON in which what points at an indicator stands beneath it.

A profile reads one element at a time, and in a bundle what belongs together is tied by ids. So, for each indicator,
observed-data and observable that nothing observes, this is put beneath it, each with the place that it has in the file:
- `@says`: each value that the pattern gives a property, or that the observable has: `path` and the property itself;
- `@tlp`: the Traffic Light label of its markings, by the ids that the standard fixes (STIX 2.1 section 7.2.1.4; TLP 2.0);
- `@creator`, `@sighting`, `@points-to`, `@pointed-at-by`: the objects that it names or that name it;
- `@seen`: of all its sightings, the first and the last time, and how often, where each says so.
What has been put somewhere no longer stands among the `objects`; all else stays there, to be listed as not carried.
"""

import re
from collections.abc import Iterator, Sequence
from uuid import NAMESPACE_URL, UUID, uuid5

from adapters import read_json
from adapters.errors import FileRefused, RowRefused
from adapters.profile import Source, Writing
from adapters.stix_pattern import comparisons, written
from adapters.tree import Broken, Element

TLP = {
    "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9": "CLEAR",
    "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487": "CLEAR",
    "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da": "GREEN",
    "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb": "GREEN",
    "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82": "AMBER",
    "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421": "AMBER",
    "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003": "AMBER+STRICT",
    "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed": "RED",
    "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1": "RED",
}
"""Ids of the labels of TLP 1.0 (of which white is today's clear) and TLP 2.0; the last of each is the one written."""
OBSERVED = {
    "ipv4-addr": ("value",),
    "ipv6-addr": ("value",),
    "mac-addr": ("value",),
    "domain-name": ("value",),
    "url": ("value",),
    "email-addr": ("value",),
    "phone-number": ("number",),
    "bank-account": ("account_number", "iban"),
    "cryptocurrency-wallet": ("address",),
    "file": ("hashes", "name"),
}
"""Kinds of observables that an indicator can carry, and the properties that say what they are."""
_HASHES = re.compile(r"file:hashes\.'?([A-Za-z0-9-]+)'?")
_REF = re.compile(r"[a-z0-9-]+--([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})")
_NETWORK = {
    "ipv4-addr:value": re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?:/[0-9]{1,2})?"),
    "mac-addr:value": re.compile(r"[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}"),
    "ipv6-addr:value": re.compile(r"[0-9A-Fa-f]*:[0-9A-Fa-f:.]*(?:/[0-9]{1,3})?"),
    "domain-name:value": re.compile(r".+"),
}
"""Kinds of network addresses, by their form; tried in order."""
_MARK = b'"bundle"'
_LOOKED_AT_BYTES = 4096


def seems(data: bytes) -> bool:
    """Say whether a file begins, or ends, as a bundle does."""
    return read_json.seems(data) and (_MARK in data[:_LOOKED_AT_BYTES] or _MARK in data[-_LOOKED_AT_BYTES:])


def read(data: bytes, source: Source) -> Iterator[Element | Broken]:
    """Read a bundle. FileRefused when the file is no JSON."""
    return (piece if isinstance(piece, Broken) else _tied(piece) for piece in read_json.read(data, source))


def _tied(root: Element) -> Element:
    """Return a bundle with what belongs together under one element."""
    if _text(root, "type") != "bundle":
        return root
    objects = [child for child in root.children if child.name == "objects"]
    bundle = _Bundle(objects)
    tied = {id(one): bundle.tied(one) for one in objects if bundle.is_record(one)}
    kept = []
    for child in root.children:
        if id(child) in tied:
            kept.append(tied[id(child)])
        elif child.name != "objects" or id(child) not in bundle.placed:
            kept.append(child)
    return root._replace(children=kept)


class _Bundle:
    """The objects of a bundle, by id and by what they point at."""

    def __init__(self, objects: Sequence[Element]) -> None:
        self.placed: set[int] = set()
        """Objects, by id(), that stand beneath another now."""
        self._by_id = {_text(one, "id"): one for one in objects}
        self._observed = {
            ref.text
            for one in objects
            if _text(one, "type") == "observed-data"
            for ref in one.children
            if ref.name == "object_refs"
        }
        self._sightings: dict[str, list[Element]] = {}
        self._relations: dict[str, list[tuple[str, Element]]] = {}
        for one in objects:
            if _text(one, "type") == "sighting":
                self._sightings.setdefault(_text(one, "sighting_of_ref"), []).append(one)
            if _text(one, "type") == "relationship":
                self._relations.setdefault(_text(one, "source_ref"), []).append(("@points-to", one))
                self._relations.setdefault(_text(one, "target_ref"), []).append(("@pointed-at-by", one))

    def is_record(self, one: Element) -> bool:
        """Say whether an object is one that becomes a message."""
        kind = _text(one, "type")
        return kind in ("indicator", "observed-data") or (kind in OBSERVED and _text(one, "id") not in self._observed)

    def tied(self, one: Element) -> Element:
        """Return an object with what belongs to it beneath it."""
        own = _text(one, "id")
        sightings = self._sightings.get(own, [])
        more = [self._place("@sighting", sighting) for sighting in sightings]
        more += [_seen(sightings)] if sightings else []
        more += [self._place(name, relation) for name, relation in self._relations.get(own, [])]
        creator = self._by_id.get(_text(one, "created_by_ref"))
        if creator is not None:
            more.append(self._place("@creator", creator))
        more += [tlp for child in one.children if (tlp := self._tlp(child)) is not None]
        children = list(one.children)
        kind = _text(one, "type")
        if kind == "indicator":
            more += _said_by_pattern(one)
        elif kind == "observed-data":
            seen = [self._by_id[ref.text] for ref in children if ref.name == "object_refs" and ref.text in self._by_id]
            for observable in seen:
                placed = self._place("@object", observable)
                more += [placed, *_said_by(placed)]
        else:
            one = _with_digests(one)
            children = [*one.children, Element("@observable", "true", (), one.line, one.start, one.end)]
            more += _said_by(one)
        return one._replace(children=[*children, *more])

    def _place(self, name: str, one: Element) -> Element:
        self.placed.add(id(one))
        return _with_digests(one)._replace(name=name)

    def _tlp(self, ref: Element) -> Element | None:
        if ref.name != "object_marking_refs":
            return None
        label = TLP.get(ref.text, "")
        definition = self._by_id.get(ref.text)
        if definition is not None and not label:
            for child in definition.children:
                if child.name == "definition" and _text(child, "tlp"):
                    label = {"WHITE": "CLEAR"}.get(_text(child, "tlp").upper(), _text(child, "tlp").upper())
        if definition is not None and label:
            self.placed.add(id(definition))
        return Element("@tlp", label, (), ref.line, ref.start, ref.end) if label else None


def _text(element: Element, name: str) -> str:
    return next((child.text for child in element.children if child.name == name), "")


def _seen(sightings: Sequence[Element]) -> Element:
    times = [
        child for one in sightings for child in one.children if child.name in ("first_seen", "last_seen") and child.text
    ]
    firsts = [child for child in times if child.name == "first_seen"]
    found = [min(firsts, key=_moment)] if firsts else []
    lasts = [child for child in times if child.name == "last_seen"]
    found += [max(lasts, key=_moment)] if lasts else []
    counts = [child for one in sightings for child in one.children if child.name == "count"]
    if len(counts) == len(sightings) and all(child.text.isdecimal() for child in counts):
        total = sum(int(child.text) for child in counts)
        found.append(counts[0] if len(counts) == 1 else counts[0]._replace(text=str(total)))
    return sightings[0]._replace(name="@seen", children=found)


def _moment(child: Element) -> tuple[str, str]:
    """Return what moments are compared by; all of STIX are in UTC, with any number of decimal places."""
    whole, _, fraction = child.text.rstrip("Z").partition(".")
    return whole, fraction


def _said_by_pattern(one: Element) -> list[Element]:
    """Return the values that a pattern says a property has; none for a pattern that is none, which the record refuses."""
    pattern = next((child for child in one.children if child.name == "pattern"), None)
    if pattern is None or _text(one, "pattern_type") not in ("", "stix"):
        return []
    try:
        found = comparisons(pattern.text)
    except RowRefused:
        return []
    said = []
    for comparison in found:
        if comparison.negated or comparison.operator not in ("=", "IN"):
            continue
        digest = _HASHES.fullmatch(comparison.path)
        for value in comparison.values:
            text = f"{digest[1]}:{value}" if digest else value
            path = "file:hashes" if digest else comparison.path
            said.append(_says(path, pattern._replace(name=path.partition(":")[2], text=text, children=())))
    return said


def _says(path: str, value: Element) -> Element:
    place = (value.line, value.start, value.end)
    return Element("@says", "", [Element("path", path, (), *place), value], *place)


def _said_by(one: Element) -> list[Element]:
    kind = _text(one, "type")
    return [
        _says(f"{kind}:{child.name}", child)
        for child in one.children
        if child.name in OBSERVED.get(kind, ()) and child.text
    ]


def _with_digests(one: Element) -> Element:
    """Return a file with each of its hashes as algorithm, colon, hexadecimal."""
    if _text(one, "type") != "file":
        return one
    children: list[Element] = []
    for child in one.children:
        if child.name == "hashes":
            children += [inner._replace(name="hashes", text=f"{inner.name}:{inner.text}") for inner in child.children]
        else:
            children.append(child)
    return one._replace(children=children)


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
    own = f"indicator--{_uuid(_text(one, 'id'))}"
    made = next((fields[name].text for name in ("created", "modified", "valid_from") if name in fields), "")
    pattern = fields["pattern"].text if "pattern" in fields else _pattern(beneath)
    observables = [] if made else _observables(_text(one, "id"), beneath)
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
    if child.name != "@says" or _text(child, "path") not in _NETWORK:
        return child
    value = _text(child, "value")
    kind = next((kind for kind, form in _NETWORK.items() if form.fullmatch(value)), "domain-name:value")
    return child._replace(
        children=[inner._replace(text=kind) if inner.name == "path" else inner for inner in child.children]
    )


def _observables(own: str, beneath: Sequence[Element]) -> list[Element]:
    """Return what was seen as objects of their own: they need no time, as an indicator does."""
    found = []
    for child in beneath:
        kind, _, name = _text(child, "path").partition(":")
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
    name = _text(one, "created_by_ref")
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
    named = [_text(identity, "id") for identity in _creators(one, made)]
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
            path = _text(child, "path")
            value = next(inner.text for inner in child.children if inner.name != "path")
            if path == "file:hashes":
                algorithm, _, value = value.partition(":")
                path = f"file:hashes.'{algorithm}'"
            found.append(written(path, value))
    return " OR ".join(found)
