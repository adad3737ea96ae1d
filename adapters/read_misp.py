"""MISP events ⇄ trees: JSON in which each attribute says beneath itself, or its object, what kind of value it has.

A profile finds elements by where they stand, and in MISP the kind of a value is a word beside it; so beneath each attribute
of an event, and beneath each object, this is put, each with the place that it has in the file:
- `@says`: a value of a kind that indicators have a place for: `path` says which, `value` is the value;
- `@other`: an attribute of any other kind, so that it is carried as it stands;
- `@tlp`: its Traffic Light label, else the event's; the strictest, where it has several (FIRST, TLP 2.0).
"""

import re
from collections.abc import Iterator, Sequence
from uuid import NAMESPACE_URL, UUID, uuid5

from adapters import read_json
from adapters.profile import Source, Writing
from adapters.tree import Broken, Element

KINDS = {
    **dict.fromkeys(("ip-src", "ip-dst", "domain", "hostname", "mac-address", "mac-eui-64"), "network"),
    **dict.fromkeys(("url", "uri"), "url"),
    **dict.fromkeys(("email", "email-src", "email-dst", "email-reply-to", "target-email"), "email"),
    **dict.fromkeys(("phone-number", "whois-registrant-phone"), "phone"),
    **dict.fromkeys(("bank-account-nr", "iban", "cc-number"), "account"),
    **dict.fromkeys(("btc", "xmr", "dash"), "crypto"),
    **dict.fromkeys(("md5", "sha1", "sha224", "sha256", "sha384", "sha512", "ssdeep", "tlsh", "imphash"), "hash"),
    **dict.fromkeys(("text", "comment", "other"), "text"),
}
"""Types of attributes, and the kind of value that they have. Of a composite type, such as filename|sha256, each half."""
CLAIMED = {
    "bank-account": {"swift", "institution-name", "account-name", "balance", "currency-code", "date-balance", "opened", "closed",
                     "status-code", "personal-account-type", "beneficiary"},
    "person": {"first-name", "middle-name", "last-name", "full-name", "alias", "date-of-birth", "place-of-birth", "nationality",
               "passport-number", "occupation"},
}  # fmt: skip
"""Objects of which a profile reads single attributes by their relation, and those relations."""
LABELS = {
    "tlp:red": "RED",
    "tlp:amber+strict": "AMBER+STRICT",
    "tlp:amber": "AMBER",
    "tlp:green": "GREEN",
    "tlp:clear": "CLEAR",
    "tlp:white": "CLEAR",
}
"""Tags of the taxonomy tlp, the strictest first."""
_TEXT_OBJECTS = ("transaction",)
_IP = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9A-Fa-f]*:[0-9A-Fa-f:]*:[0-9A-Fa-f.:]*")
_MAC = re.compile(r"[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}")
_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")
_WRITTEN = {"url": "url", "email": "email", "phone": "phone-number", "crypto": "btc", "text": "text"}
_MARKS = (b'"Event"', b'"Object"')
_LOOKED_AT_BYTES = 4096


def seems(data: bytes) -> bool:
    """Say whether a file begins as an event does, or a list of them, or an object."""
    return read_json.seems(data) and any(mark in data[:_LOOKED_AT_BYTES] for mark in _MARKS)


def read(data: bytes, source: Source) -> Iterator[Element | Broken]:
    """Read events. FileRefused when the file is no JSON."""
    for piece in read_json.read(data, source):
        yield piece if isinstance(piece, Broken) else _event(piece, ())


def _event(element: Element, tags: Sequence[Element]) -> Element:
    """Return an element with the attributes and objects in it told apart; `tags` are the event's."""
    if element.name == "Event":
        tags = [child for child in element.children if child.name == "Tag"]
    children = []
    for child in element.children:
        if child.name == "Object" and any(inner.name == "Attribute" for inner in child.children):
            children.append(_object(child, tags))
        elif child.name == "Attribute" and element.name == "Event":
            children.append(_attribute(child, tags))
        elif child.children and child.name in ("Event", "response", "item"):
            children.append(_event(child, tags))
        else:
            children.append(child)
    return element._replace(children=children)


def _text(element: Element, name: str) -> str:
    return next((child.text for child in element.children if child.name == name), "")


def _attribute(one: Element, tags: Sequence[Element]) -> Element:
    said = _said(one)
    more = said or [one._replace(name="@other", children=_parts(one))]
    return one._replace(children=[*one.children, *more, *_tlp(one, tags)])


def _object(one: Element, tags: Sequence[Element]) -> Element:
    name, more = _text(one, "name"), list[Element]()
    for child in one.children:
        if (
            child.name != "Attribute"
            or name in _TEXT_OBJECTS
            or _text(child, "object_relation") in CLAIMED.get(name, ())
        ):
            continue
        said = [item for item in _said(child) if _text(item, "path") != "text"]
        more += said or [child._replace(name="@other", children=_parts(child))]
    return one._replace(children=[*one.children, *more, *_tlp(one, tags)])


def _parts(one: Element) -> list[Element]:
    return [
        child for child in one.children if child.name in ("uuid", "type", "object_relation", "value") and child.text
    ]


def _said(one: Element) -> list[Element]:
    """Return the values of an attribute of which the kind is known; none when half of a composite is of no such kind."""
    value = next((child for child in one.children if child.name == "value"), None)
    if value is None or not value.text:
        return []
    kinds = _text(one, "type").split("|")
    texts = value.text.split("|") if len(kinds) > 1 else [value.text]
    if len(texts) != len(kinds) or not any(kind in KINDS for kind in kinds):
        return []
    place = (value.line, value.start, value.end)
    said = []
    for kind, text in zip(kinds, texts, strict=True):
        group = KINDS.get(kind, "text")
        part = value if len(kinds) == 1 and group != "hash" else value._replace(text=text)
        if group == "hash":
            part = value._replace(text=f"{kind}:{text}")
        said.append(Element("@says", "", [Element("path", group, (), *place), part], *place))
    return said


def _tlp(one: Element, tags: Sequence[Element]) -> list[Element]:
    for group in ([child for child in one.children if child.name == "Tag"], tags):
        found = {_text(tag, "name").lower(): tag for tag in group}
        for tag, label in LABELS.items():
            if tag in found:
                return [Element("@tlp", label, (), found[tag].line, found[tag].start, found[tag].end)]
    return []


def write(roots: Sequence[Element], writing: Writing) -> bytes:
    """Write events."""
    return read_json.write([_whole(root) for root in roots], writing)


def _whole(element: Element) -> Element:
    """Return an element in which attributes are what MISP has, and nothing is that it has not."""
    children: list[Element] = []
    for child in element.children:
        if child.name == "Event":
            children.append(_whole(child))
        elif child.name in ("Attribute", "Object"):
            children.append(_written_attribute(child) if child.name == "Attribute" else _written_object(child))
        elif child.name == "uuid":
            children.append(child._replace(text=_uuid(child.text)))
        else:
            children.append(child)
    return element._replace(children=children)


def _written_object(one: Element) -> Element:
    own = _uuid(_text(one, "uuid"))
    kept = [child for child in one.children if child.name[:1] != "@" and child.name != "uuid"]
    made = [
        _made(child, f"{own}/{number}")
        for number, child in enumerate(one.children)
        if child.name in ("@says", "@other")
    ]
    return one._replace(children=[Element("uuid", own), *kept, *made, *_tags(one)])


def _written_attribute(one: Element) -> Element:
    made = next((_made(child, "") for child in one.children if child.name in ("@says", "@other")), None)
    kept = [child for child in one.children if child.name[:1] != "@" and child.name != "uuid"]
    names = {child.name for child in kept}
    more = (
        [child for child in made.children if child.name in ("type", "value") and child.name not in names]
        if made
        else []
    )
    return one._replace(children=[Element("uuid", _uuid(_text(one, "uuid"))), *kept, *more, *_tags(one)])


def _made(child: Element, seed: str) -> Element:
    """Return an attribute of a value of a kind."""
    value = _text(child, "value")
    kind, relation = _text(child, "type"), _text(child, "object_relation")
    if child.name == "@says":
        kind, value = _type_of(_text(child, "path"), value)
    own = _text(child, "uuid") or str(uuid5(NAMESPACE_URL, seed))
    facts = {"uuid": own, "type": kind or "text", "object_relation": relation or kind, "value": value}
    return Element("Attribute", "", [Element(name, text) for name, text in facts.items() if text])


def _type_of(path: str, value: str) -> tuple[str, str]:
    if path == "hash":
        algorithm, _, digest = value.partition(":")
        return algorithm.lower().replace("-", ""), digest
    if path == "account":
        return ("iban" if _IBAN.fullmatch(value) else "bank-account-nr"), value
    if path == "network":
        return ("ip-dst" if _IP.fullmatch(value) else "mac-address" if _MAC.fullmatch(value) else "domain"), value
    return _WRITTEN[path], value


def _tags(one: Element) -> list[Element]:
    """Return the tag of a label that no other tag says."""
    label = _text(one, "@tlp")
    names = [_text(child, "name").lower() for child in one.children if child.name == "Tag"]
    said = [word for tag, word in LABELS.items() if tag in names]
    tag = next((tag for tag, word in LABELS.items() if word == label), "")
    return [Element("Tag", "", [Element("name", tag)])] if tag and label not in said else []


def _uuid(text: str) -> str:
    """Return the UUID that an id is, or ends in; of an id that has none, the one that stands for it from now on."""
    try:
        return str(UUID(text.rpartition("--")[2]))
    except ValueError:
        return str(uuid5(NAMESPACE_URL, text))
