"""Where a document may be cut into pieces that are read one after the other: worked out from what a profile's paths can reach.

- A piece is a record, or an element of the list over which a record is spread. What is not in a piece is kept for all of them.
- Nothing may lead from a piece, or from what is kept, into another piece. That is judged by names, and in doubt against it:
  a profile that cannot be cut is read whole, as long as the file is small enough for that.
- The first piece of a record may be asked for by its number, `Ntry[1]/Amt`: it is there when the record's own fields are read.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import NamedTuple

from adapters.paths import Path, alternatives
from adapters.profile import Profile
from adapters.tree_map import kinds_read
from adapters.tree_plan import Kind, List, Part
from adapters.tree_sums import Whole

CUT_FORMATS = ("xml", "json")


class Cut(NamedTuple):
    """Elements at which a document is cut."""

    names: tuple[str, ...]
    """Local names down to them: from the root on where `root` is set, else from below it, or from any depth."""
    deep: bool
    root: bool

    def matches(self, chain: Sequence[str]) -> bool:
        """Say whether an element with these names above it, its own the last, is one of them."""
        if self.deep:
            if self.names[0] not in chain:
                return False
            first = list(chain).index(self.names[0])  # the outermost, as paths have it
            return tuple(chain[first:]) == self.names
        return tuple(chain if self.root else chain[1:]) == self.names


class Cuts(NamedTuple):
    """One way to cut the documents of a profile."""

    at: tuple[Cut, ...]
    kinds: tuple[Kind, ...]
    spread: bool
    """Whether pieces are elements of the list that a record is spread over; else they are records."""
    watched: frozenset[str]
    """Names that must not be in a piece: paths look for them at any depth of the document."""

    def matches(self, chain: Sequence[str]) -> bool:
        """Say whether an element with these names above it is a piece."""
        return any(one.matches(chain) for one in self.at)


class _No(Exception):
    """Why a document cannot be cut there; for people."""


class Ways(NamedTuple):
    """The ways to cut, the finest first, and why there is none of them."""

    cuts: tuple[Cuts, ...]
    why: str


@cache
def ways(profile: Profile, label: str = "") -> Ways:
    """Return the ways in which documents can be cut; those of one code, where the profile goes by codes."""
    source = profile.file.source
    kinds = tuple(kind for kind in kinds_read(profile) if not label or kind.record.label == label)
    if source.format not in CUT_FORMATS or source.lines:
        return Ways((), "its format is read whole")
    if source.xsd:
        return Ways((), "a document is held against its schema as a whole")
    if source.document_type:
        return Ways((), "it begins with a document type")
    if source.code_from and not label:
        return Ways((), "which records a document has is not known before its code is")
    found, why = [], ""
    for way in (_spread_cuts, _record_cuts):
        try:
            found.append(way(profile, kinds))
        except _No as no:
            why = str(no)
    return Ways(tuple(found), "" if found else why)


def _record_cuts(profile: Profile, kinds: tuple[Kind, ...]) -> Cuts:
    """Cut at the records; at the outer ones where one stands in another."""
    all_cuts = [_at(kind) for kind in kinds]
    outer = tuple(dict.fromkeys(cut for cut in all_cuts if not any(_stands_in(cut, other) for other in all_cuts)))
    names = frozenset(cut.names[-1] for cut in outer)
    for kind, cut in zip(kinds, all_cuts, strict=True):
        around = next(one for one in outer if one == cut or _stands_in(cut, one))
        if kind.at is not None and any(step.only or step.number for step in kind.at.steps[: len(around.names)][:-1]):
            raise _No("where a record stands depends on what stands around it")
        _check_part(kind.part, len(cut.names) - len(around.names), names)
        _check_paths(_paths(kind.only.names if kind.only else ()), len(cut.names) - len(around.names), names)
    _check_code(profile, names)
    return Cuts(outer, kinds, spread=False, watched=_watched(kinds))


def _at(kind: Kind) -> Cut:
    if kind.at is None:
        raise _No("a record is the whole document")
    return _cut(kind.at, ())


def _cut(at: Path | None, below: tuple[str, ...]) -> Cut:
    """Return the cut of what stands below a record."""
    if at is None:
        return Cut(below, deep=False, root=False)
    names = (*(step.name for step in at.steps), *below)
    if at.up or "*" in names or not names or at.steps[-1].number:
        raise _No("where a record stands is said by a number or a wildcard")
    if at.absolute and not at.deep and len(names) == 1:
        raise _No("a record is the whole document")
    if at.deep and any(step.only for step in at.steps[:1]) and len(names) > 1:
        raise _No("where a record stands depends on what stands around it")
    return Cut(names, at.deep, at.absolute)


def _stands_in(cut: Cut, other: Cut) -> bool:
    """Say whether elements of one cut stand in elements of another."""
    same = cut.deep == other.deep and cut.root == other.root
    return same and len(other.names) < len(cut.names) and cut.names[: len(other.names)] == other.names


def _spread_cuts(profile: Profile, kinds: tuple[Kind, ...]) -> Cuts:
    """Cut at the elements of the lists that records are spread over."""
    found = []
    for kind in kinds:
        if kind.spread is None:
            raise _No("a record is the whole document" if kind.at is None else "a record is not spread over messages")
        if kind.at is not None and any(step.number or step.only for step in kind.at.steps):
            raise _No("where a record stands depends on what stands in it or around it")
        found.append((kind, below_of(kind)))
    names = frozenset(below[-1] for _, below in found)
    for kind, below in found:
        _check_spread(kind, below, names)
    _check_code(profile, names)
    cuts = dict.fromkeys(_cut(kind.at, below) for kind, below in found)
    if any(_stands_in(cut, other) for cut in cuts for other in cuts):
        raise _No("records stand in records")
    return Cuts(tuple(cuts), kinds, spread=True, watched=_watched(kinds))


def _lists(kind: Kind) -> list[List]:
    return [one for one in kind.part.lists if kind.spread is not None and one.name == kind.spread.name]


def below_of(kind: Kind) -> tuple[str, ...]:
    """Return the names down from a record to the elements at which the list is cut: as far as its lists go together."""
    ways_down = []
    for one in _lists(kind):
        if len(one.over) > 1 or one.once:
            raise _No("which elements the list is read from depends on all of them")
        (path,) = one.over
        plain = path.steps and not (path.up or path.absolute or path.deep)
        if not plain or any(step.name == "*" or step.number for step in path.steps):
            raise _No("the list is found by a number or a wildcard")
        ways_down.append(tuple(step.name for step in path.steps))
    common = []
    for together in zip(*ways_down, strict=False):
        if len(set(together)) > 1:
            break
        common.append(together[0])
    if not common:
        raise _No("the list is read from several places")
    return tuple(common)


def _check_spread(kind: Kind, below: tuple[str, ...], names: frozenset[str]) -> None:
    """Check a record that is spread: nothing but the list leads into the pieces."""
    depth = len(below)
    for one in _lists(kind):
        steps = one.over[0].steps
        if any(step.only for step in steps[: depth - 1]):
            raise _No("which elements the list is read from depends on all of them")
        _check_list(one, len(steps) - depth, names)
    around = names | frozenset(below[:-1])
    _check_paths(_paths(kind.only.names if kind.only else ()), -1, around)
    fields = (path for source in kind.part.sources for path in source.paths)
    _check_paths((path for path in fields if not _is_first(path, below)), -1, names)
    for one in kind.part.lists:
        if kind.spread is None or one.name != kind.spread.name:
            _check_list_of(one, -1, names)
    inside = sums_in(kind.part, below)
    for whole in kind.part.sums:
        _check_sums(whole, depth if whole in inside else 0, names)


def _check_sums(whole: Whole, depth: int, names: frozenset[str]) -> None:
    """Check what must add up in the pieces, which stand so deep in a record; 0 where it must outside of them."""
    for path in whole.over:
        if not depth:
            _check_path(path, -1, names)
        _check_sum(whole, len(path.steps) - depth if depth else -1, names)


def _check_sum(whole: Whole, depth: int, names: frozenset[str]) -> None:
    """Check what must add up in an element that stands so deep in a piece."""
    if whole.only is not None:
        _check_paths(_paths(whole.only.names), depth, names)
    _check_part(whole.total, depth, names)
    for paths, part in ((whole.of, whole.amount), *((one, whole.beside) for one in whole.besides)):
        for path in paths:
            _check_path(path, depth, names)
            _check_part(part, _depth(path, depth), names)


def sums_in(part: Part, below: tuple[str, ...]) -> tuple[Whole, ...]:
    """Return what of a record that is spread must add up in one piece, or in an element of it."""
    return tuple(one for one in part.sums if all(_leads_into(path, below) for path in one.over))


def _leads_into(path: Path, below: tuple[str, ...]) -> bool:
    return path.downward and tuple(step.name for step in path.steps[: len(below)]) == below


def _is_first(path: Path, below: tuple[str, ...]) -> bool:
    """Say whether a path from a record leads into the first piece, and no other."""
    if path.up or path.absolute or path.deep or len(below) != 1 or len(path.steps) < 1:
        return False
    first = path.steps[0]
    rest = {step.name for step in path.steps[1:]}
    return first.name == below[0] and first.number == 1 and not first.only and "*" not in rest


def _check_code(profile: Profile, names: frozenset[str]) -> None:
    if profile.file.source.code_from:
        _check_paths(alternatives(profile.file.source.code_from), -1, names)


def _check_part(part: Part, depth: int, names: frozenset[str]) -> None:
    """Check what is read from an element that stands so deep in a piece; -1 for one that stands in none."""
    for source in part.sources:
        _check_paths(source.paths, depth, names)
    for one in part.lists:
        _check_list_of(one, depth, names)
    for whole in part.sums:
        for path in whole.over:
            _check_path(path, depth, names)
            _check_sum(whole, _depth(path, depth), names)


def _check_list_of(one: List, depth: int, names: frozenset[str]) -> None:
    _check_paths(one.over, depth, names)
    inner = [_depth(path, depth) for path in one.over]
    _check_list(one, min(inner), names)


def _depth(path: Path, depth: int) -> int:
    """Return how deep in a piece an element at least stands that a path leads to; -1 for outside of it."""
    if depth < 0 or path.absolute or path.up > depth:
        return -1
    return depth - path.up + (1 if path.deep else len(path.steps))


def _check_list(one: List, depth: int, names: frozenset[str]) -> None:
    """Check the elements of a list, which stand so deep in a piece."""
    if one.only is not None:
        _check_paths(_paths(one.only.names), depth, names)
    _check_part(one.part, depth, names)


def _paths(texts: Iterable[str]) -> Iterator[Path]:
    for text in texts:
        yield from alternatives(text)


def _check_paths(paths: Iterable[Path], depth: int, names: frozenset[str]) -> None:
    for path in paths:
        _check_path(path, depth, names)


def _check_path(path: Path, depth: int, names: frozenset[str]) -> None:
    """Check that a path from an element that stands so deep in a piece leads into no other piece."""
    if depth >= 0 and not path.absolute and path.up <= depth:
        return  # it stays in the piece
    met = {name for step in path.steps for name in (step.name, *(one for only in step.only for one in only.inside))}
    if "*" in met or met & names or (path.deep and not path.absolute):
        raise _No(f"the path {path.text} may lead from one record into another")


def _watched(kinds: Iterable[Kind]) -> frozenset[str]:
    """Return the names that paths look for at any depth from the root."""
    return frozenset(
        path.steps[0].name for kind in kinds for path in _of_part(kind.part) if path.deep and path.absolute
    )


def _of_part(part: Part) -> Iterator[Path]:
    """Yield every path of a part and of its lists."""
    for source in part.sources:
        yield from source.paths
    for one in part.lists:
        yield from one.over
        yield from _paths(one.only.names if one.only is not None else ())
        yield from _of_part(one.part)
    for whole in part.sums:
        yield from (*whole.over, *whole.of, *(path for paths in whole.besides for path in paths))
        yield from _paths(whole.only.names if whole.only is not None else ())
        for inner in (whole.total, whole.amount, whole.beside):
            yield from _of_part(inner)
