"""MISP events ⇄ trees: JSON in which each attribute says beneath itself, or its object, what kind of value it has.

A profile finds elements by where they stand, and in MISP the kind of a value is a word beside it; so beneath each attribute
of an event, and beneath each object, this is put, each with the place that it has in the file:
- `@says`: a value of a kind that indicators have a place for: `path` says which, `value` is the value;
- `@other`: an attribute of any other kind, so that it is carried as it stands;
- `@tlp`: its Traffic Light label, else the event's; the strictest, where it has several, or an attribute of an object has
  a stricter one (FIRST, TLP 2.0).
"""

import re
from collections.abc import Iterator, Sequence
from uuid import NAMESPACE_URL, UUID, uuid5

from adapters import read_json
from adapters.errors import FileRefused
from adapters.profile import Source, Writing
from adapters.tree import Broken, Element

KINDS = {
    **dict.fromkeys(("ip", "ip-src", "ip-dst", "domain", "hostname", "mac-address", "mac-eui-64"), "network"),
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
_WHOLE = ("transaction",)
"""Objects of which a profile reads every attribute by its relation."""
_IP = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9A-Fa-f]*:[0-9A-Fa-f:]*:[0-9A-Fa-f.:]*")
_MAC = re.compile(r"[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}")
_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")
_TYPES = {"swift": "bic", "date": "datetime", "date-posting": "datetime", "date-balance": "datetime"}
_WRITTEN = {"url": "url", "email": "email", "phone": "phone-number", "crypto": "btc", "text": "text"}
TAGS_MAX = 256
"""Most tags of one event: each of its attributes has them all."""
_OTHER_BYTES_MAX = 2048
"""Longest text that goes along as it stands; a longer one is what the message tells in words."""
_MARKS = (b'"Event"', b'"Object"')
_LOOKED_AT_BYTES = 4096


def seems(data: bytes) -> bool:
    """Say whether a file begins as an event does, or a list of them, or an object."""
    return read_json.seems(data) and any(mark in data[:_LOOKED_AT_BYTES] for mark in _MARKS)


def read(data: bytes, source: Source) -> Iterator[Element | Broken]:
    """Read events. FileRefused when the file is no JSON."""
    for piece in read_json.read(data, source):
        yield piece if isinstance(piece, Broken) else _event(_wrapped(piece), ())


def _wrapped(root: Element) -> Element:
    """Return a root that holds an event, though the file holds objects or attributes alone."""
    names = {child.name for child in root.children}
    if "Event" in names or not names & {"Object", "Attribute"}:
        return root
    return root._replace(children=[root._replace(name="Event")])


def _event(element: Element, label: Sequence[Element]) -> Element:
    """Return an element with the attributes and objects in it told apart; `label` is the event's, where it has one."""
    if element.name == "Event":
        tags = [child for child in element.children if child.name == "Tag"]
        if len(tags) > TAGS_MAX:
            raise FileRefused(f"an event has more than {TAGS_MAX} tags", cure="split it", code="LF-JSON-ELEMENTS")
        label = _label(tags)
    children = []
    for child in element.children:
        if child.name == "Object" and any(inner.name == "Attribute" for inner in child.children):
            children.append(_object(child, label))
        elif child.name == "Attribute" and element.name == "Event":
            children.append(_attribute(child, label))
        elif child.children and child.name in ("Event", "response", "item"):
            children.append(_event(child, label))
        else:
            children.append(child)
    return element._replace(children=children)


def _text(element: Element, name: str) -> str:
    return next((child.text for child in element.children if child.name == name), "")


def _attribute(one: Element, label: Sequence[Element]) -> Element:
    said = _said(one)
    known = [item for item in said if item.name == "@says"]
    more = said if known else [one._replace(name="@other", children=_parts(one))]
    return one._replace(children=[*_but_for_value(one, said), *more, *_tlp(one, label)])


def _but_for_value(one: Element, said: Sequence[Element]) -> list[Element]:
    """Return the children without a value of which all halves are told apart."""
    told = [child for item in said for child in item.children]
    return [child for child in one.children if child.name != "value" or not said or child in told]


def _object(one: Element, label: Sequence[Element]) -> Element:
    name, children, more = _text(one, "name"), list[Element](), list[Element]()
    claimed: set[str] = CLAIMED.get(name, set())
    for child in one.children:
        if child.name != "Attribute" or name in _WHOLE or _text(child, "object_relation") in claimed:
            children.append(child)
            continue
        said = _said(child)
        children.append(child._replace(children=_but_for_value(child, said)))
        known = [item for item in said if item.name == "@says"]
        more += said if known else [child._replace(name="@other", children=_parts(child))]
    return one._replace(children=[*children, *more, *_tlp(one, label)])


def _parts(one: Element) -> list[Element]:
    return [
        child for child in one.children if child.name in ("uuid", "type", "object_relation", "value") and child.text
    ]


def _said(one: Element) -> list[Element]:
    """Return the value of an attribute, or its halves; nothing when the kind of none of them is known."""
    value = next((child for child in one.children if child.name == "value"), None)
    if value is None or not value.text:
        return []
    stated = next((child for child in one.children if child.name == "type"), value)
    kinds = _text(one, "type").split("|")
    texts = value.text.split("|") if len(kinds) > 1 else [value.text]
    if len(texts) != len(kinds) or not any(kind in KINDS for kind in kinds):
        return []
    if len(kinds) == 1:
        return [_half(kinds[0], value.text, value, stated)]
    return [_half(kind, text, value, stated) for kind, text in zip(kinds, texts, strict=True)]


def _half(kind: str, text: str, value: Element, stated: Element) -> Element:
    """Return a value of a known kind, or half of a composite one; the element of the file itself where it says it all."""
    place = (value.line, value.start, value.end)
    group = KINDS.get(kind)
    if group == "text" and len(text.encode()) <= _OTHER_BYTES_MAX:
        group = None
    text = f"{kind}:{text}" if group == "hash" else text
    part = value if text == value.text else value._replace(text=text)
    if group is None:
        return Element("@other", "", [stated._replace(name="type", text=kind, children=()), part], *place)
    return Element("@says", "", [Element("path", group, (), *place), part], *place)


def _tlp(one: Element, label: Sequence[Element]) -> Sequence[Element]:
    """Return the label of an attribute or an object, which carries its attributes: one of theirs may be stricter."""
    own = _label(_tag_elements(one)) or label
    inner = [found for child in one.children if child.name == "Attribute" for found in _label(_tag_elements(child))]
    order = tuple(LABELS.values())
    return [min((*own, *inner), key=lambda found: order.index(found.text))] if inner else own


def _tag_elements(one: Element) -> list[Element]:
    return [child for child in one.children if child.name == "Tag"]


def _label(tags: Sequence[Element]) -> list[Element]:
    """Return the strictest label among tags, if any."""
    found = {_text(tag, "name").lower(): tag for tag in tags}
    named = next((tag for tag in LABELS if tag in found), None)
    if named is None:
        return []
    return [Element("@tlp", LABELS[named], (), found[named].line, found[named].start, found[named].end)]


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
    if element.name == "Event" and not _text(element, "info"):
        children.append(Element("info", "(no title)"))
    return element._replace(children=children)


def _written_object(one: Element) -> Element:
    own, children = _uuid(_text(one, "uuid")), list[Element]()
    for number, child in enumerate(one.children):
        if child.name in ("@says", "@other"):
            children.append(_made(child, f"{own}/{number}"))
        elif child.name == "Attribute":
            relation = _text(child, "object_relation")
            facts = {"uuid": str(uuid5(NAMESPACE_URL, f"{own}/{number}")), "type": _TYPES.get(relation, "text")}
            children.append(child._replace(children=[*(Element(*fact) for fact in facts.items()), *child.children]))
        elif child.name[:1] != "@" and child.name != "uuid":
            children.append(child)
    return one._replace(children=[Element("uuid", own), *children, *_tags(one)])


def _written_attribute(one: Element) -> Element:
    said = [child for child in one.children if child.name in ("@says", "@other")]
    kept = [child for child in one.children if child.name[:1] != "@" and child.name != "uuid"]
    kinds = _text(one, "type").split("|")
    halves = [half for kind in kinds if (half := _taken(kind, said)) is not None]
    more = [Element("value", "|".join(halves))] if len(halves) == len(kinds) else []
    if not more and said:
        made = _made(said[0], "")
        kept = [child for child in kept if child.name != "type"]
        more = [child for child in made.children if child.name in ("type", "value")]
    if not said and not more:
        more = [child._replace(name="value") for child in kept if child.name == "comment"]
        kept = [child for child in kept if child.name != "comment"]
    return one._replace(children=[Element("uuid", _uuid(_text(one, "uuid"))), *kept, *more, *_tags(one)])


def _taken(kind: str, said: list[Element]) -> str | None:
    """Take the value that an attribute, or half of one, of a kind has out of those that are left."""
    for child in said:
        if (_text(child, "type") or KINDS.get(kind)) in (kind, _text(child, "path")):
            said.remove(child)
            value = _text(child, "value")
            return value.partition(":")[2] if _text(child, "path") == "hash" else value
    return None


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
