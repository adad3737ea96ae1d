"""XML records: bytes ⇄ elements, with every door shut that hostile XML comes through.

- No DTD, no entities, no network, no external file; limits on size, depth and number of elements.
- An element is named by its local name; prefixes and namespaces mean nothing here.
- A leaf that stands twice is ambiguous and refuses the file; lists are read only where the dialect has them.
- Papers become one text, `name U+0002 base64`, joined by U+0003: characters that XML cannot hold.
"""

from dataclasses import dataclass
from typing import Any

from lxml import etree

from adapters.errors import FileRefused

XML_BYTES_MAX = 8 * 1024 * 1024
DEPTH_MAX = 32
ELEMENTS_MAX = 20_000
NAME_END = "\u0002"
PAPER_END = "\u0003"
PAPERS = "Attachments"
CODE = "Head/TxCode"
_ENCODINGS = frozenset({"UTF-8", "UTF8", "GB18030", "GBK", "GB2312", "US-ASCII", "ASCII"})
_MARKUP_CURE = "have the sending system write the record again; nothing of it was used"


@dataclass(frozen=True)
class Parsed:
    """One record: its leaves by path below the root (Body/ left off), in the order in which they stand."""

    root: str
    texts: dict[str, str]

    @property
    def code(self) -> str:
        """What kind of record it is; empty when it does not say."""
        return self.texts.get(CODE, "").strip()


def parse(data: bytes) -> Parsed:
    """Read one record. FileRefused when it is not well-formed, hostile, or too large."""
    root = _tree(data)
    texts: dict[str, str] = {}
    papers: list[str] = []
    for top in root:
        _leaves(top, "" if _name(top) == "Body" else f"{_name(top)}/", texts, papers)
    if papers:
        texts[PAPERS] = PAPER_END.join(papers)
    return Parsed(_name(root), texts)


def _tree(data: bytes) -> etree._Element:
    if len(data) > XML_BYTES_MAX:
        raise _refused(f"the XML has more than {XML_BYTES_MAX} bytes", "LF-XML-SIZE")
    if data.count(b"<") > 2 * ELEMENTS_MAX:
        raise _refused(f"the XML has more than {ELEMENTS_MAX} elements", "LF-XML-ELEMENTS")
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise _refused("the XML has a document type or entities", "LF-XML-DTD")
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        recover=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        raise _refused(f"the XML is not well-formed or cut off, at line {line}", "LF-XML-SYNTAX") from error
    info: Any = root.getroottree().docinfo  # the stubs know half of it
    if info.doctype or info.internalDTD is not None:
        raise _refused("the XML has a document type", "LF-XML-DTD")
    if (info.encoding or "UTF-8").upper() not in _ENCODINGS:
        raise _refused("the XML is in an encoding that this dialect has not", "LF-XML-ENCODING")
    return root


def _refused(cause: str, code: str) -> FileRefused:
    return FileRefused(cause, cure=_MARKUP_CURE, code=code)


def _name(element: etree._Element) -> str:
    return etree.QName(element).localname


def _leaves(
    element: etree._Element,
    prefix: str,
    texts: dict[str, str],
    papers: list[str],
    depth: int = 1,
) -> None:
    if depth > DEPTH_MAX:
        raise _refused(f"the XML is nested deeper than {DEPTH_MAX}", "LF-XML-DEPTH")
    for child in element:
        name = _name(child)
        path = f"{prefix}{name}"
        if path == PAPERS:
            papers.extend(_paper(paper) for paper in child)
        elif len(child):
            _leaves(child, f"{path}/", texts, papers, depth + 1)
        elif path in texts:
            raise _refused(f"the element {path} stands twice", "LF-XML-REPEATED")
        else:
            texts[path] = child.text or ""


def _paper(element: etree._Element) -> str:
    texts = {_name(child): child.text or "" for child in element}
    return f"{texts.get('Filename', '').strip()}{NAME_END}{texts.get('Content', '')}"


def build(root: str, head: dict[str, str], body: list[tuple[str, str]], papers: list[tuple[str, str]] | None) -> bytes:
    """Write one record. FileRefused when a text holds characters that XML cannot."""
    top = etree.Element(root)
    try:
        for part, texts in (("Head", list(head.items())), ("Body", body)):
            element = etree.SubElement(top, part)
            for name, text in texts:
                if name == PAPERS:
                    _add_papers(element, papers or [])
                else:
                    etree.SubElement(element, name).text = text
    except ValueError as error:
        raise FileRefused(
            "the message holds control characters, which XML cannot carry",
            cure="the sender must correct its text; the message can be read with `lianfang open`",
            code="LF-RENDER-CONTROL",
        ) from error
    return etree.tostring(top, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def _add_papers(body: etree._Element, papers: list[tuple[str, str]]) -> None:
    holder = etree.SubElement(body, PAPERS)
    for name, content in papers:
        paper = etree.SubElement(holder, "Attachment")
        etree.SubElement(paper, "Filename").text = name
        etree.SubElement(paper, "Content").text = content
