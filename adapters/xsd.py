"""Validation against an XML schema (XSD 1.0), with errors that say where and which rule, and never the text at fault.

- Schemas lie in adapters/profiles/xsd; what may not be redistributed is not there, and its dialect is read without one.
- A schema speaks of one namespace: the outermost elements of that namespace are validated, in whatever wrapper they stand.
- A schema is compiled when it is first needed, and kept. It is our own file; the document that it is held against is not,
  and has been parsed with every door shut (adapters/read_xml.py).
"""

import re
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

from lxml import etree

from adapters.errors import FileRefused, ProfileRefused

FAULTS_MAX = 5
"""Most faults that are told of one document: the first is what people mend."""

_XS = "{http://www.w3.org/2001/XMLSchema}"
_TYPE = re.compile(r"atomic type '(?:\{[^}]*\})?([A-Za-z0-9_.:-]+)'\.\Z")
_EXPECTED = re.compile(r"Expected is (?:one of )?\( ([^()]*) \)\.\Z")
_LIMIT = re.compile(r"'([0-9]+)'\.\Z")
_PLAIN = {
    "SCHEMAV_CVC_ELT_1": "the schema has no such element at the top",
    "SCHEMAV_CVC_ENUMERATION_VALID": "its text is none of the words that the schema lists",
    "SCHEMAV_CVC_PATTERN_VALID": "its text has not the form that the schema demands",
    "SCHEMAV_CVC_MININCLUSIVE_VALID": "its number is too small",
    "SCHEMAV_CVC_MAXINCLUSIVE_VALID": "its number is too large",
    "SCHEMAV_CVC_MINEXCLUSIVE_VALID": "its number is too small",
    "SCHEMAV_CVC_MAXEXCLUSIVE_VALID": "its number is too large",
    "SCHEMAV_CVC_FRACTIONDIGITS_VALID": "its number has too many decimal places",
    "SCHEMAV_CVC_TOTALDIGITS_VALID": "its number has too many digits",
    "SCHEMAV_CVC_COMPLEX_TYPE_2_1": "it must be empty",
    "SCHEMAV_CVC_COMPLEX_TYPE_2_2": "it may hold no elements, only text",
    "SCHEMAV_CVC_COMPLEX_TYPE_2_3": "text stands where only elements may",
    "SCHEMAV_CVC_COMPLEX_TYPE_3_2_1": "it has an attribute that the schema has not",
    "SCHEMAV_CVC_COMPLEX_TYPE_3_2_2": "it has an attribute that the schema has not",
    "SCHEMAV_CVC_COMPLEX_TYPE_4": "an attribute that it must have is missing",
    "SCHEMAV_CVC_IDC": "a value stands twice that must be unique",
    "SCHEMAV_CVC_ELT_3_1": "it is declared empty, and may not be",
    "SCHEMAV_CVC_ELT_5_2_2_2_2": "its text is not the one that the schema fixes",
}
"""What libxml2's rules mean, where no more than that is known."""


class Fault(NamedTuple):
    """One place at which a document does not fit its schema."""

    line: int
    element: str
    """Names from the validated element down to the one at fault."""
    rule: str
    """What the schema demands; never the text that is there."""


def require(root: etree._Element, name: str) -> None:
    """Refuse a document that does not fit the schema. FileRefused, with the first faults."""
    if not holds(root, name):
        raise FileRefused(
            f"nothing in the XML is in the namespace of the schema {name}, {_schema(name)[0]}",
            cure="have the sending system write the namespace of its elements; nothing of it was used",
            code="LF-XML-SCHEMA",
        )
    found = faults(root, name)
    if found:
        more = f", and {len(found) - 1} more" if len(found) > 1 else ""
        first = found[0]
        raise FileRefused(
            f"the XML does not fit the schema {name}: line {first.line}, element {first.element}: {first.rule}{more}",
            cure="have the sending system write it as the schema demands; nothing of it was used",
            code="LF-XML-SCHEMA",
        )


def faults(root: etree._Element, name: str) -> tuple[Fault, ...]:
    """Return where the elements of a schema's namespace do not fit it, the first ones. ProfileRefused: no such schema."""
    namespace, schema = _schema(name)
    found: list[Fault] = []
    for element in _outermost(root, namespace):
        top = element if element is root else deepcopy(element)  # it is validated as if it stood alone; lines stay
        if not schema.validate(top):
            log: Any = schema.error_log  # the stubs do not know that it can be walked
            found += [_fault(top, entry) for entry in log]
    return tuple(found[:FAULTS_MAX])


def holds(root: etree._Element, name: str) -> bool:
    """Say whether a document has anything that the schema speaks of."""
    return next(_outermost(root, _schema(name)[0]), None) is not None


def schemas() -> tuple[str, ...]:
    """Return the names of the schemas that are here."""
    return tuple(sorted(item.name for item in _folder().iterdir() if item.name.endswith(".xsd")))


@cache
def _schema(name: str) -> tuple[str, etree.XMLSchema]:
    if name not in schemas():
        raise ProfileRefused(
            f"there is no schema {name}",
            cure=f"there are {', '.join(schemas())}; one that may not be redistributed is not among them",
            code="LF-MAP-PROFILE-WORD",
        )
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    tree = etree.fromstring((_folder() / name).read_bytes(), parser)
    return str(tree.get("targetNamespace") or ""), etree.XMLSchema(tree)


def _folder() -> Any:
    return resources.files("adapters") / "profiles" / "xsd"


def _outermost(element: etree._Element, namespace: str) -> Iterator[etree._Element]:
    """Yield the outermost elements of a namespace, those first that stand first."""
    if etree.QName(element).namespace == namespace:
        yield element
        return
    for child in element:
        yield from _outermost(child, namespace)


def _fault(top: etree._Element, entry: Any) -> Fault:
    return Fault(entry.line, _place(top, entry.path), _rule(entry.type_name, entry.message))


def _place(top: etree._Element, path: str | None) -> str:
    """Return the names on the way to an element, from libxml2's path to it: /*/*[2]/p:Name."""
    prefixes = {prefix: space for node in top.iter("*") for prefix, space in node.nsmap.items() if prefix}
    found: Any = top.getroottree().xpath(path, namespaces=prefixes) if path else []
    element = found[0] if found else top
    names = [etree.QName(node).localname for node in (element, *element.iterancestors())]
    return "/".join(reversed(names))


def _rule(kind: str, message: str) -> str:
    """Return what the schema demands. Of the message only its end is used, which the schema alone fills."""
    if kind in _PLAIN:
        return _PLAIN[kind]
    if kind in ("SCHEMAV_ELEMENT_CONTENT", "SCHEMAV_CVC_COMPLEX_TYPE_2_4"):
        expected = _EXPECTED.search(message)
        wanted = re.sub(r"\{[^}]*\}", "", expected[1]).replace("##other", "another namespace's") if expected else ""
        begins = "something is missing in it" if "Missing child" in message else "it may not stand here"
        return f"{begins}; the schema expects {wanted}" if wanted else begins
    if kind in ("SCHEMAV_CVC_MAXLENGTH_VALID", "SCHEMAV_CVC_MINLENGTH_VALID", "SCHEMAV_CVC_LENGTH_VALID"):
        limit = _LIMIT.search(message)
        which = {"X": "longer than", "N": "shorter than"}.get(kind[len("SCHEMAV_CVC_MA")], "not as long as")
        return f"its text is {which} {limit[1]} characters" if limit else "its text has not the length it must have"
    datatype = _TYPE.search(message)
    return f"its text is no {datatype[1].removeprefix('xs:')}" if datatype else "it is not as the schema demands"
