"""A first profile for XML or JSON that nobody knows yet: what is sure is written, what is a guess is commented out.

- The record is the element in which the message finds most of its fields and lists; of several equally good ones the innermost.
- An element that repeats within the record is a list when its name, or what stands in it, is that of a repeated field.
- No value of the file is written into the profile or the report.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple

from adapters.errors import FileRefused
from adapters.guesses import NULLS, Asked, Guess, Proposal, Stated
from adapters.infer_lacks import lack_lines, lacks_of
from adapters.infer_toml import Written, lines_of
from adapters.kinds import tidy
from adapters.known import Vocabulary, vocabulary
from adapters.known_paths import ListPlace, Paths, paths_known, word
from adapters.profile import Source
from adapters.readers import READERS
from adapters.source_file import Given, whole
from adapters.tree import Element
from adapters.tree_match import EXACT, HALF, Found, Index, Scope, matched
from adapters.tree_shape import ANY, Leaf, Steps, chains_at, leaves_of, namespace_of, paths_of

RECORDS_MAX = 2_000
"""Most records that are looked at."""
_TRIED_MAX = 24
_TRIED_RECORDS = 100
_REASONS_MAX = 12
_MOVEMENT = "lianfang.v1.TransactionRecord"
_PARTY = "lianfang.v1.Party"
_BALANCES = ("balance", "余额")
_LOOKS = {_MOVEMENT: {"amount"}, _PARTY: {"person.name", "name", "person"}}
"""By what items are known as such where their name says nothing: one of these fields, and another."""
_FEW = 2


@dataclass(frozen=True)
class Items:
    """A list that was found in the record."""

    over: str
    place: ListPlace
    found: tuple[Found, ...]
    doubt: str
    """Why it is not sure that it is this list; empty when it is."""

    @property
    def written(self) -> bool:
        """Whether it stands in the profile: it must be the list, and hold something that is sure."""
        return not self.doubt and any(one.guess.written and one.guess.known for one in self.found)


def seems_tree(head: bytes) -> bool:
    """Say whether a file begins as XML or JSON does."""
    return READERS["xml"].seems(head) or READERS["json"].seems(head)


def infer_tree(given: Given, message: str, name: str, stated: Stated) -> Proposal:
    """Propose a profile for XML or JSON. FileRefused when it is neither, or nothing in it is sure."""
    source, roots = _documents(whole(given))
    known = paths_known(message)
    asked = Asked(Vocabulary((), frozenset(), {}, ()), stated, has_currency=False)
    shapes = paths_of(roots)
    at = _record(roots, shapes, known)
    chains = list(islice(chains_at(roots, at), RECORDS_MAX))
    scope = Scope(Index(known.fields), known.repeated, asked, known)
    lists = _lists(at, chains, shapes, known, scope)
    stops = [tuple(items.over.split("/")) for items in lists]
    found = matched(leaves_of([chain[-1] for chain in chains], stops), scope)
    around = _around(at, chains, scope, {one.guess.known.path for one in found if one.guess.known and one.place})
    fields = [*_apart(found, lists), *around]
    written = Written(
        name=name,
        message=message,
        source=source,
        stated=stated,
        at="/".join(at),
        namespaces=_namespaces(source, chains),
        nulls=["", *_nulls(roots)],
        currencies=known.currencies,
        fields=fields,
        lists=lists,
    )
    guesses = tuple(_told(fields, lists))
    if not any(guess.written and guess.known for guess in guesses):
        reasons = "; ".join(f"{guess.header}: {guess.why}" for guess in guesses[:_REASONS_MAX]) or "it holds no texts"
        raise FileRefused(
            f"nothing in the file is surely a field of {message}: {reasons}",
            cure="begin with the profile nearest to it and name the paths yourself",
            code="LF-MAP-NOTHING-SURE",
        )
    lacks = lacks_of(message, guesses, vocabulary(message), "path")
    return Proposal(
        "\n".join([*lines_of(written), *lack_lines(lacks, "record.field")]) + "\n",
        "utf-8" if source.format == "json" else "",
        "",
        0,
        guesses,
        source.format,
        "/".join(at),
        lacks=lacks,
    )


def _documents(data: bytes) -> tuple[Source, list[Element]]:
    """Return how a file is read, and its documents. FileRefused, for the first way of reading that it seemed to be in."""
    form = "xml" if READERS["xml"].seems(data) else "json"
    other = {"document_type": True} if form == "xml" else {"lines": True}
    refused: FileRefused | None = None
    for options in ({}, other):
        source = Source.model_validate({"format": form, **options})
        try:
            pieces = list(islice(READERS[form].read(data, source), RECORDS_MAX))
        except FileRefused as error:
            refused = refused or error
            continue
        roots = [piece for piece in pieces if isinstance(piece, Element)]
        if 2 * len(roots) > len(pieces):
            return source, roots
    assert refused is not None, "one document is read, or refused"
    raise refused


def _record(roots: Sequence[Element], shapes: dict[Steps, int], known: Paths) -> Steps:
    """Return the path of the element that is one record.

    A list alone is no record where an element has fields of its own. Tried are the root, what repeats, and what is around that;
    where the message finds nothing in these, every other element.
    """
    repeated = [path for path, most in shapes.items() if path and most > 1]
    first = {(): None, **{path[:cut]: None for path in repeated for cut in range(1, len(path) + 1)}}
    others = [path for path in sorted(shapes, key=len) if path not in first]
    index = Index(known.fields)
    items = {place.path: Index(place.items) for place in known.lists}
    chosen: Steps = ()
    best: tuple[bool, int, int] = (False, 0, 0)
    for path in islice(first, _TRIED_MAX):
        worth = _worth(path, list(islice(chains_at(roots, path), _TRIED_RECORDS)), shapes, known, index, items)
        found = worth.own + worth.lists + worth.around
        key = worth.own > 0, found, len(path)
        if found and 2 * worth.own >= worth.around and key > best:
            best, chosen = key, path
    for path in islice(others, 0 if best[1] else _TRIED_MAX):
        worth = _worth(path, list(islice(chains_at(roots, path), _TRIED_RECORDS)), shapes, known, index, items)
        key = worth.own > 0, worth.own + worth.lists, -len(path)
        if worth.own + worth.lists and key > best:
            best, chosen = key, path
    return chosen


class _Worth(NamedTuple):
    """How many fields a message finds if an element is the record."""

    own: int
    lists: int
    around: int
    """Of those that it does not hold itself."""


def _worth(
    path: Steps,
    chains: list[tuple[Element, ...]],
    shapes: dict[Steps, int],
    known: Paths,
    index: Index,
    items: dict[str, Index],
) -> _Worth:
    inner = _inner(path, chains, shapes, known, index)
    own = _named(index, leaves_of([chain[-1] for chain in chains], inner))
    outside = _named(index, {steps: leaf for _, steps, leaf in _outside(path, chains)})
    count = 0
    for over in inner:
        named = _by_name(over, known)
        if named:
            count += len(_named(items[named[0].path], _leaves_at(chains, over)))
        else:
            count += max((len(_looks(place, items, chains, over)) for place in known.lists), default=0)
    return _Worth(len(own), count, len(outside - own))


def _looks(place: ListPlace, items: dict[str, Index], chains: list[tuple[Element, ...]], over: Steps) -> set[str]:
    """Return the fields that items have by their names, where those show what they are; empty where they do not."""
    wanted = _LOOKS.get(place.type)
    if not wanted or any(one in word(over[-1]) for one in _BALANCES):
        return set()
    names = _named(items[place.path], _leaves_at(chains, over))
    return names if wanted & names and len(names) >= _FEW else set()


def _leaves_at(chains: list[tuple[Element, ...]], over: Steps) -> dict[Steps, Leaf]:
    return leaves_of([one[-1] for one in chains_at([chain[-1] for chain in chains], over)])


def _named(index: Index, leaves: dict[Steps, Leaf]) -> set[str]:
    """Return the fields that leaves have by their names."""
    found: set[str] = set()
    for path in leaves:
        strength, places = index.match(path)
        if strength == EXACT and ANY not in path:
            found.update(place.known.path for place in places)
    return found


def _inner(
    record: Steps, chains: list[tuple[Element, ...]], shapes: dict[Steps, int], known: Paths, index: Index
) -> list[Steps]:
    """Return the outermost elements within a record that repeat, or bear a list's name and nothing of the record itself."""
    leaves = leaves_of([chain[-1] for chain in chains])
    own = [
        path for path in leaves for strength, places in [index.match(path)] if strength == EXACT and places[0].rank == 0
    ]
    below = sorted((path for path in shapes if path[: len(record)] == record and path != record), key=len)
    kept: list[Steps] = []
    for path in below:
        over = path[len(record) :]
        is_part = any(one[: len(over)] == over for one in own)
        is_list = shapes[path] > 1 or (_by_name(over, known) and not is_part)
        if is_list and not any(over[: len(one)] == one for one in kept):
            kept.append(over)
    return kept


def _by_name(over: Steps, known: Paths) -> list[ListPlace]:
    """Return the lists that an element is one of by its path; the whole path goes before its last word."""
    name = tuple(map(word, over))
    whole = [place for place in known.lists if name in place.names]
    return whole or [place for place in known.lists if name[-1:] in place.names]


def _lists(
    record: Steps, chains: list[tuple[Element, ...]], shapes: dict[Steps, int], known: Paths, scope: Scope
) -> list[Items]:
    """Return the lists of the record, each with what its items hold."""
    items = {place.path: Index(place.items) for place in known.lists}
    outer = leaves_of([chain[-1] for chain in chains])
    whole = {
        "/".join(path): leaf for path, leaf in outer.items() if len(leaf.inside) == len(chains) and ANY not in path
    }
    found = []
    for over in _inner(record, chains, shapes, known, scope.places):
        named = _by_name(over, known)
        alike = [place for place in known.lists if _looks(place, items, chains, over)]
        places = named or alike
        if not places or ANY in over:
            continue
        doubt = "" if len(places) == 1 else f"it could be any of {', '.join(place.path for place in places)}"
        place, leaves = places[0], _leaves_at(chains, over)
        up = "../" * len(over)
        around = {f"{up}{path}": leaf for path, leaf in whole.items()}
        inside = Scope(items[place.path], place.repeated, scope.asked, known)
        lines = matched(leaves, inside, outer=around)
        found.append(Items("/".join(over), place, tuple(lines), doubt))
    claimed = [one.place.path for one in found if one.written]
    return [
        replace(one, doubt="another element claims the same list") if claimed.count(one.place.path) > 1 else one
        for one in found
    ]


def _apart(found: list[Found], lists: list[Items]) -> list[Found]:
    """Make unsure the fields that a list fills already."""
    filled = {items.place.path for items in lists if items.written}
    return [
        replace(one, guess=replace(one.guess, sure=HALF, why="a list of the record claims the same field"))
        if one.guess.written and one.guess.known and re.split(r"[.\[]", one.guess.known.path)[0] in filled
        else one
        for one in found
    ]


def _outside(at: Steps, chains: list[tuple[Element, ...]]) -> Iterator[tuple[str, Steps, Leaf]]:
    """Yield the leaves of a record's parents that do not repeat: how far up, the path from there, the leaf."""
    for depth in range(len(at) - 1, -1, -1):
        parents = list({id(chain[depth]): chain[depth] for chain in chains}.values())
        for path, leaf in leaves_of(parents, [at[depth : depth + 1]]).items():
            yield "../" * (len(at) - depth), path, leaf


def _around(at: Steps, chains: list[tuple[Element, ...]], scope: Scope, have: set[str]) -> list[Found]:
    """Return what stands around the records. A field that a record has itself is taken from there."""
    out: list[Found] = []
    for up, path, leaf in _outside(at, chains):
        for one in matched({path: leaf}, scope, up):
            known = one.guess.known
            if one.guess.written and (one.currency or (known and known.path in have)):
                guess = replace(one.guess, sure=HALF, why="it stands outside of the record, which has the field itself")
                out.append(replace(one, guess=guess, currency=""))
                continue
            out.append(one)
            have |= {known.path} if one.guess.written and known else set()
    return out


def _namespaces(source: Source, chains: list[tuple[Element, ...]]) -> list[str]:
    spaces = dict.fromkeys(namespace_of(chain) for chain in chains) if source.format == "xml" else {}
    return [] if "" in spaces else list(spaces)


def _nulls(roots: Sequence[Element]) -> list[str]:
    """Return the words for nothing that stand in the file."""
    seen: set[str] = set()
    waiting = list(roots)
    while waiting:
        element = waiting.pop()
        waiting += element.children
        if element.text and len(element.text) < 10:  # noqa: PLR2004 - longer than each of them
            seen.add(tidy(element.text))
    return [text for text in NULLS if text in seen]


def _told(fields: list[Found], lists: list[Items]) -> Iterator[Guess]:
    """Yield the guesses with paths from the record, and fields from the message."""
    for one in fields:
        yield one.guess
    for items in lists:
        for one in items.found:
            known = one.guess.known
            field = replace(known, path=f"{items.place.path}[].{known.path}".removesuffix("..")) if known else None
            guess = replace(one.guess, header=f"{items.over}/{one.path}", known=field)
            if items.doubt and guess.written:
                guess = replace(guess, sure=HALF, why=items.doubt)
            yield guess
