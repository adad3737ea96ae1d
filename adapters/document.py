"""One document of a tree-shaped file: which of its elements are records, and what in it nobody has read."""

from collections.abc import Collection, Sequence
from functools import cached_property
from itertools import islice

from adapters.errors import FileRefused, RowRefused
from adapters.model import RowWarning
from adapters.paths import Chain, Finder, alternatives, escaped, in_order, pattern
from adapters.profile import Profile
from adapters.read_xml import ATTRIBUTE_NAMESPACE
from adapters.readers import READERS
from adapters.tree import UNKNOWN, Element
from adapters.tree_plan import Kind, find, holds

Group = tuple[Chain, list[Kind]]
"""An element that is a record, and the kinds that take it."""
LISTED_MAX = 64
"""Most paths that are listed as not carried for one record."""


_MARKS_MAX = 16
"""Most bytes of marks (tags of sub-fields, line breaks) that stand among the pieces of a text."""
_ESCAPED = frozenset({"xml", "json", "freeswitch"})
"""Formats whose readers only undo escapes: a text is what the file says, in other letters."""


_ENCODINGS = ("utf-8", "gb18030", "latin-1")


def _decoded(held: bytes, encoding: str) -> str | None:
    """Return bytes as text; None where they are not written so. Latin-1 fits all bytes."""
    try:
        return held.decode(encoding)
    except UnicodeDecodeError:
        return None


class Document:
    """A document's root, what has been found and read in it, and where its elements stand in the file."""

    def __init__(self, root: Element, data: bytes, form: str) -> None:
        self.root = root
        self.finder = Finder()
        self.read = self.finder.looked
        """Elements, by id, that a path has read, or has looked at."""
        self.whole = form == "xml" or (root.start, root.end) in ((UNKNOWN, UNKNOWN), (0, len(data)))
        """Whether it is the whole file."""
        self.groups: list[Group] | None = None
        self._data, self._form = data, form
        self._ranges: dict[int, tuple[int, int]] | None = None
        self._places: dict[int, int] | None = None

    @cached_property
    def records(self) -> frozenset[int]:
        """The elements that are records, by id, once it is known which are."""
        return frozenset(id(chain[-1]) for chain, _ in self.groups or ())

    def place_of(self, element: Element) -> int:
        """Return which element it is, counted from the root in the order of the document."""
        if self._places is None:
            self._places = {id(one): place for place, one in enumerate(in_order(self.root))}
        return self._places[id(element)]

    def range_of(self, element: Element) -> tuple[int, int]:
        """Return the byte range of an element; (-1, -1) where the format does not tell."""
        if element.start != UNKNOWN:
            return element.start, element.end
        ranges = READERS[self._form].ranges
        if self._ranges is None:
            self._ranges = ranges(self._data, self.root) if ranges is not None else {}
        return self._ranges.get(id(element), (UNKNOWN, UNKNOWN))

    def original(self, element: Element, start: int, end: int) -> str:
        """Return what the file has for a text: the text itself, or what its reader worked it out from (a year, a sum, BCD).

        Bytes that are no text are given as hexadecimal digits. What only undoes a format's escapes is the text itself;
        so is a text for which the reader knows no narrower place than one that holds other values too: those have
        classes of their own.
        """
        held = self._data[start:end]
        if self._form == "stix" and element.name == "@tlp":
            return held.decode("utf-8").strip('"')
        if start == UNKNOWN or self._form in _ESCAPED or end - start > 2 * len(element.text.encode()) + _MARKS_MAX:
            return element.text
        if self._form == "ber":
            return held.hex()
        texts = [text for name in _ENCODINGS if (text := _decoded(held, name)) is not None]
        return element.text if any(element.text.strip() in text for text in texts) else texts[0]


def matched(document: Document, profile: Profile, kinds: Sequence[Kind]) -> list[Group]:
    """Return the elements that are records, in the order of the document, each with the kinds whose condition holds."""
    if document.groups is None:
        document.groups = _matched(document, profile, kinds)
    return document.groups


def _matched(document: Document, profile: Profile, kinds: Sequence[Kind]) -> list[Group]:
    source = profile.file.source
    if source.code_from:
        code = code_of(document, source.code_from)
        kinds = [kind for kind in kinds if f"{profile.file.code_prefix}{kind.record.label}" == code]
    groups: dict[int, Group] = {}
    for kind in kinds:
        for chain in kind.chains(document.finder, document.root):
            if source.namespace and not _is_in(chain, source.namespace):
                continue
            group = groups.setdefault(id(chain[-1]), (chain, []))
            if kind.only is None or _fits(kind, document, chain):
                group[1].append(kind)
    if len(kinds) == 1 or len(groups) == 1:
        return list(groups.values())
    return [groups[id(element)] for element in in_order(document.root) if id(element) in groups]


def _fits(kind: Kind, document: Document, chain: Chain) -> bool:
    assert kind.only is not None, "asked before"
    document.read.update(
        id(element) for name in kind.only.names for element in find(alternatives(name), document.finder, chain)
    )
    try:
        return holds(kind.only, document.finder, chain)
    except RowRefused:
        return False


def code_of(document: Document, path: str) -> str:
    """Return the text that says what kind of record a document is; empty when it does not say, or says two things."""
    found = find(alternatives(path), document.finder, (document.root,))
    document.read.update(map(id, found))
    return found[0].text.strip() if len(found) == 1 else ""


def _is_in(chain: Chain, accepted: list[str]) -> bool:
    space = next(
        (child.text for element in reversed(chain) for child in element.children if child.name == ATTRIBUTE_NAMESPACE),
        "",
    )
    return any(space == one or (one.endswith("*") and space.startswith(one[:-1])) for one in accepted)


def no_record(document: Document, profile: Profile) -> FileRefused:
    """Return the refusal of a document in which there is nothing that the dialect reads."""
    source = profile.file.source
    if source.code_from and not profile.file.source.namespace:
        reads = source.reads or [f"{profile.file.code_prefix}{record.label}" for record in profile.file.record]
        return FileRefused(
            f"the dialect {profile.name} does not read records of this code",
            cure=f"it reads {', '.join(reads)}; `lianfang map list` names the others",
            code="LF-XML-CODE",
        )
    places = dict.fromkeys(record.at or f"the root, {document.root.name}" for record in profile.file.record)
    spaces = f" in the namespace {', '.join(source.namespace)}" if source.namespace else ""
    return FileRefused(
        f"the file has no record of the dialect {profile.name}",
        cure=f"its records stand at {', '.join(places)}{spaces}; `lianfang map identify` says what the file is",
        code="LF-FILE-NO-RECORD",
    )


def leftovers(document: Document, profile: Profile, chain: Chain | None = None) -> list[RowWarning]:
    """Return a warning for each path at which there is text that nothing has read: in a record, else outside of all."""
    if chain is None and id(document.root) in document.records:
        return []
    return not_carried(unread_paths(document, profile, chain or (document.root,), 0 if chain is None else len(chain)))


def not_carried(paths: Collection[str]) -> list[RowWarning]:
    """Return a warning for each path that has no place in the message, up to a limit."""
    causes = [f"element {path}" for path in islice(paths, LISTED_MAX)]
    more = [f"and {len(paths) - LISTED_MAX} more elements"] if len(paths) > LISTED_MAX else []
    return [
        *(RowWarning("element_not_carried", "", f"{cause} has no place in the message") for cause in causes),
        *(RowWarning("element_not_carried", "", f"{cause} have no place in the message") for cause in more),
    ]


def unread_paths(document: Document, profile: Profile, chain: Chain, record: int) -> dict[str, None]:
    """Return the paths of texts in an element that nothing has read, nothing ignores, and no record in it holds.

    They are told from the record that the element stands in, which is the one at that place of the chain, counted from 1;
    with 0 it stands in none, and they are told from the root.
    """
    unread: list[Chain] = []
    _unread(document.read, (chain[-1],), document.records, unread)
    if not unread:
        return {}
    ignored = [pattern(text) for text in profile.file.source.ignore]
    above = [escaped(element.name) for element in chain[1:]]
    found: dict[str, None] = {}
    for names in dict.fromkeys(tuple(escaped(element.name) for element in below[1:]) for below in unread):
        full = "/".join((*above, *names)) or "."
        path = ("/".join([*above, *names][record - 1 :]) or ".") if record else full
        if not any(one.fullmatch(path) or one.fullmatch(full) for one in ignored):
            found[path if record else f"/{escaped(chain[0].name)}/{full}"] = None
    return found


def _unread(read: set[int], below: Chain, passed: frozenset[int], unread: list[Chain]) -> None:
    element = below[-1]
    if element.text and id(element) not in read and not element.text.isspace() and element.name != ATTRIBUTE_NAMESPACE:
        unread.append(below)
    for child in element.children:
        if (child.children or (child.text and id(child) not in read)) and id(child) not in passed:
            _unread(read, (*below, child), passed, unread)
