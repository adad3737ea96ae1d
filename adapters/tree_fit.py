"""How well a tree-shaped file fits a dialect: whether its records are there, and how many of the paths have text."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice

from adapters.document import Document, matched
from adapters.errors import FileRefused, RowRefused
from adapters.model import Fit
from adapters.paths import Chain
from adapters.profile import Profile
from adapters.readers import READERS
from adapters.tree import Broken, Element
from adapters.tree_map import kinds_read, read_part
from adapters.tree_plan import Kind

LOOKED_AT_MAX = 16
"""Most documents of a file, and records of each, that are looked at."""
_MISSING = "LF-ROW-MISSING"
_SURE_WITHOUT = 0.5
"""Which part of a record the dialect must know that lacks what a record must have."""
_BASE, _CODE, _NAMESPACE = 1000, 1000, 500


class Looks:
    """The documents of one file, parsed once for each format."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._refused: FileRefused | None = None
        self._roots: dict[tuple[str, bool, bool], list[Element]] = {}

    def fit(self, profile: Profile) -> Fit | None:
        """Say how a file fits a dialect."""
        best: Fit | None = None
        for root in self._documents(profile):
            found = _fit(profile, Document(root, self._data, profile.file.source.format))
            if found is not None and (best is None or found.score > best.score):
                best = found
        return best

    def _documents(self, profile: Profile) -> list[Element]:
        source = profile.file.source
        key = (source.format, source.lines, source.document_type)
        if key not in self._roots:
            self._roots[key] = []
            form = READERS[source.format]
            if form.seems(self._data):
                try:
                    pieces = list(islice(form.read(self._data, source), LOOKED_AT_MAX))
                    self._roots[key] = [piece for piece in pieces if isinstance(piece, Element)]
                    self._refused = self._refused or next(map(_as_file, pieces), None)
                except FileRefused as error:
                    self._refused = self._refused or error
        return self._roots[key]

    @property
    def refused(self) -> FileRefused | None:
        """Why the file cannot be read in the format that it seems to be in; None where one of them reads it."""
        return None if any(self._roots.values()) else self._refused


def _as_file(piece: Element | Broken) -> FileRefused | None:
    if isinstance(piece, Element):
        return None
    return FileRefused(piece.refused.cause, cure=piece.refused.cure, code=piece.refused.code)


def _fit(profile: Profile, document: Document) -> Fit | None:
    source = profile.file.source
    groups = [group for group in matched(document, profile, kinds_read(profile)) if group[1]]
    if not groups:
        return None
    have, whole = 0, bool(source.code_from or source.namespace)
    for chain, kinds in groups[:LOOKED_AT_MAX]:
        for kind in kinds:
            try:
                read_part(kind.part, document, chain, [])
                whole = True
            except RowRefused as error:  # a record that is held back fits, unless it has not what a record must have
                whole = whole or error.code != _MISSING
                document.read.update(_found(kind, document, chain))
            have = max(have, len(document.read))
    texts = _texts(groups[0][0][-1])
    sure = min(1.0, len(document.read) / texts) if texts else 0.0
    if not whole and sure < _SURE_WITHOUT:
        return None
    chain, kinds = groups[0]
    why = [f"it is {source.format.upper()}, and its element {chain[-1].name} is a record {kinds[0].record.label}"]
    if source.code_from:
        why = [f"it is {source.format.upper()}, and its code is one that the dialect reads: {kinds[0].record.label}"]
    if source.namespace:
        why.append("its namespace is one that the dialect reads")
    score = _BASE + have + (_CODE if source.code_from else 0) + (_NAMESPACE if source.namespace else 0)
    return Fit(profile.name, score, 1.0 if source.code_from else round(sure, 2), tuple(why))


def _found(kind: Kind, document: Document, chain: Chain) -> Iterator[int]:
    """Yield what the paths of a record lead to that could not be read, by id."""
    with suppress(RowRefused):
        for elements in kind.part.cells(document.finder, chain)[1]:
            yield from map(id, elements)


def _texts(element: Element) -> int:
    own = bool(element.text) and not element.text.isspace()
    return own + sum(_texts(child) for child in element.children)
