"""STIX 2.1 bundles → trees: JSON in which what points at an indicator stands beneath it.

A profile reads one element at a time, and in a bundle what belongs together is tied by ids. So, for each indicator,
observed-data and observable that nothing observes, this is put beneath it, each with the place that it has in the file:
- `@says`: each value that the pattern gives a property, or that the observable has: `path` and the property itself;
- `@tlp`: the Traffic Light label of its markings, by the ids that the standard fixes (STIX 2.1 section 7.2.1.4; TLP 2.0); a
  part of it, or what is put beneath it, may be marked more strictly: the strictest counts;
- `@creator`, `@sighting`, `@points-to`, `@pointed-at-by`: the objects that it names or that name it;
- `@seen`: of all its sightings, the first and the last time, and how often, where each says so.
What has been put somewhere no longer stands among the `objects`; all else stays there, to be listed as not carried.
"""

import re
from collections.abc import Iterator, Sequence

from adapters import read_json
from adapters.errors import FileRefused, RowRefused
from adapters.profile import Source
from adapters.stix_pattern import comparisons
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
_STRICT = ("CLEAR", "GREEN", "AMBER", "AMBER+STRICT", "RED")
_REF = "object_marking_refs"
_CARRIED = ("@object", "@sighting", "@points-to", "@pointed-at-by")
"""Objects beneath another of which a message carries something."""
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
PLACED_MAX = 400_000
"""Most elements that are put beneath others, each as often as it is put there."""
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
    if text_of(root, "type") != "bundle":
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
        self._elements, self._sizes = 0, dict[int, int]()
        self._by_id = {text_of(one, "id"): one for one in objects}
        self._observed = {
            ref.text
            for one in objects
            if text_of(one, "type") == "observed-data"
            for ref in one.children
            if ref.name == "object_refs"
        }
        self._sightings: dict[str, list[Element]] = {}
        self._relations: dict[str, list[tuple[str, Element]]] = {}
        for one in objects:
            if text_of(one, "type") == "sighting":
                self._sightings.setdefault(text_of(one, "sighting_of_ref"), []).append(one)
            if text_of(one, "type") == "relationship":
                self._relations.setdefault(text_of(one, "source_ref"), []).append(("@points-to", one))
                self._relations.setdefault(text_of(one, "target_ref"), []).append(("@pointed-at-by", one))

    def is_record(self, one: Element) -> bool:
        """Say whether an object is one that becomes a message."""
        kind = text_of(one, "type")
        return kind in ("indicator", "observed-data") or (kind in OBSERVED and text_of(one, "id") not in self._observed)

    def tied(self, one: Element) -> Element:
        """Return an object with what belongs to it beneath it."""
        own = text_of(one, "id")
        sightings = self._sightings.get(own, [])
        more = [self._place("@sighting", sighting) for sighting in sightings]
        more += [_seen(sightings)] if sightings else []
        more += [self._place(name, relation) for name, relation in self._relations.get(own, [])]
        creator = self._by_id.get(text_of(one, "created_by_ref"))
        if creator is not None:
            more.append(self._place("@creator", creator))
        labels = [tlp for child in one.children if (tlp := self._tlp(child)) is not None]
        children = list(one.children)
        kind = text_of(one, "type")
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
        inner = [tlp for part in (*children, *more) for tlp in self._inner_labels(part)]
        return one._replace(children=[*children, *more, *_strictest(labels, inner)])

    def _inner_labels(self, part: Element) -> Iterator[Element]:
        """Yield the labels of a part of an object, or of an object that stands beneath it."""
        if part.name == "granular_markings":
            refs = [child._replace(name=_REF) for child in part.children if child.name == "marking_ref"]
        elif part.name in _CARRIED:
            granular = [
                inner for child in part.children if child.name == "granular_markings" for inner in child.children
            ]
            refs = [child for child in part.children if child.name == _REF]
            refs += [child._replace(name=_REF) for child in granular if child.name == "marking_ref"]
        else:
            refs = []
        yield from (tlp for ref in refs if (tlp := self._tlp(ref)) is not None)

    def _place(self, name: str, one: Element) -> Element:
        """Put an object beneath another. FileRefused when the bundle ties so much together that it grows out of bounds."""
        self.placed.add(id(one))
        if id(one) not in self._sizes:
            self._sizes[id(one)] = _size(one)
        self._elements += self._sizes[id(one)]
        if self._elements > PLACED_MAX:
            raise FileRefused(
                f"what the bundle ties to its indicators has more than {PLACED_MAX} elements",
                cure="split it",
                code="LF-JSON-ELEMENTS",
            )
        return _with_digests(one)._replace(name=name)

    def _tlp(self, ref: Element) -> Element | None:
        if ref.name != _REF:
            return None
        label = TLP.get(ref.text, "")
        definition = self._by_id.get(ref.text)
        if definition is not None and not label:
            for child in definition.children:
                if child.name == "definition" and text_of(child, "tlp"):
                    label = {"WHITE": "CLEAR"}.get(text_of(child, "tlp").upper(), text_of(child, "tlp").upper())
        if definition is not None and label:
            self.placed.add(id(definition))
        return Element("@tlp", label, (), ref.line, ref.start, ref.end) if label else None


def _strictest(own: Sequence[Element], inner: Sequence[Element]) -> Sequence[Element]:
    """Return an object's label, or that of a part of it where that is stricter; two of its own stay two, and are refused."""
    if not inner or len(own) > 1:
        return own
    return [max((*own, *inner), key=lambda tlp: _STRICT.index(tlp.text) if tlp.text in _STRICT else len(_STRICT))]


def _size(element: Element) -> int:
    return 1 + sum(_size(child) for child in element.children)


def text_of(element: Element, name: str) -> str:
    """Return the text of a member; empty where it has none."""
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
    if pattern is None or text_of(one, "pattern_type") not in ("", "stix"):
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
    kind = text_of(one, "type")
    return [
        _says(f"{kind}:{child.name}", child)
        for child in one.children
        if child.name in OBSERVED.get(kind, ()) and child.text
    ]


def _with_digests(one: Element) -> Element:
    """Return a file with each of its hashes as algorithm, colon, hexadecimal."""
    if text_of(one, "type") != "file":
        return one
    children: list[Element] = []
    for child in one.children:
        if child.name == "hashes":
            children += [inner._replace(name="hashes", text=f"{inner.name}:{inner.text}") for inner in child.children]
        else:
            children.append(child)
    return one._replace(children=children)
