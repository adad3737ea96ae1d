"""Which field a leaf of an unknown tree is, by its path and then by its values.

- It is sure only where its path is one that a known profile has for the field, or is the field's own name, one field alone is
  meant, and the values read as that field's kind.
- The end of a path alone, below elements that nobody knows, makes a guess: what it stands in may change its meaning.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from adapters.guesses import Asked, Guess, by_values, settled, tested
from adapters.known import SKIPPED, Vocabulary
from adapters.known_paths import Name, Paths, Place, word
from adapters.looks import look_at
from adapters.tree_shape import ANY, Leaf, Steps

EXACT, ENDING, LAST = 3, 2, 1
_SMALL_UNITS = ("cent", "fen", "minor", "分")
_NOTHING = Vocabulary((), frozenset(), {}, ())
_CURRENCY_LETTERS = 3
_SAYS_LITTLE = frozenset({"id", "uuid", "key", "value", "type", "code"})
HALF = 0.5
"""How sure at most what there is a doubt about is."""
_MARKS = frozenset(
    {"CRDT", "DBIT", "CR", "DR", "C", "D", "CREDIT", "DEBIT", "+", "-", "借", "贷", "IN", "OUT", "收", "支", "RC", "RD"}
)


class Scope(NamedTuple):
    """What is looked for in one element: a record, or an item of a list."""

    places: "Index"
    repeated: frozenset[str]
    asked: Asked
    known: Paths


@dataclass(frozen=True)
class Found:
    """A leaf with what it is taken for."""

    path: str
    """From the element, as the profile says it."""
    guess: Guess
    leaf: Leaf
    place: Place | None = None
    strength: int = 0
    currency: str = ""
    """Path of the currency of the amount."""


class Index:
    """Places by the names under which they are known."""

    def __init__(self, places: Iterable[Place]) -> None:
        self.places = tuple(places)
        self._whole: dict[Name, list[tuple[bool, Place]]] = {}
        self._ends: dict[Name, list[tuple[bool, Place]]] = {}
        for place in self.places:
            for name in place.names | place.also:
                entry = (name in place.names, place)
                self._whole.setdefault(name, []).append(entry)
                for cut in range(1, len(name)):
                    self._ends.setdefault(name[cut:], []).append(entry)

    def match(self, path: Steps) -> tuple[int, list[Place]]:
        """Return the places that a path may be, one for each field and way of reading, and how strongly it says so."""
        name = tuple(map(word, path))
        joined = ("".join(name),)
        tries: list[tuple[int, list[tuple[bool, Place]]]] = [(EXACT, self._get(name) or self._get(joined))]
        tries += [(ENDING, self._get(name[cut:])) for cut in range(1, len(name) - 1)]
        if len(name) > 1:
            tries += [(ENDING, self._get(("".join(name[-2:]),))), (ENDING, self._ends.get(name, []))]
        tries += [(LAST, self._get(name[-1:])), (LAST, self._ends.get(name[-1:], []))]
        for strength, entries in tries:
            if entries:
                return strength, _meant(entries)
        return 0, []

    def _get(self, name: Name) -> list[tuple[bool, Place]]:
        return self._whole.get(name, [])


def _meant(entries: list[tuple[bool, Place]]) -> list[Place]:
    """Return the places for which a name stands in the first place; what a profile says goes before a field's own name."""
    kept = [place for first, place in entries if first] or [place for _, place in entries]
    kept = [place for place in kept if place.known.path.partition(".")[0] not in SKIPPED] or kept
    nearest = min(place.rank for place in kept)
    return [place for place in kept if place.rank == nearest]


def matched(
    leaves: Mapping[Steps, Leaf], scope: Scope, up: str = "", outer: Mapping[str, Leaf] | None = None
) -> list[Found]:
    """Return what each leaf is taken for. `up` stands in front of the paths; `outer` are leaves around the element."""
    found = [one for path, leaf in leaves.items() for one in _found(path, leaf, Around(leaves, outer or {}), scope, up)]
    return _signed(_settled(_currencies_used(found)))


class Around(NamedTuple):
    """The leaves among which one stands, and those around its element, by their paths from there."""

    leaves: Mapping[Steps, Leaf]
    outer: Mapping[str, Leaf]


def _found(path: Steps, leaf: Leaf, around: Around, scope: Scope, up: str) -> Iterator[Found]:
    text = up + "/".join(path)
    if ANY in path:
        yield Found(text, Guess(text, None, 0.0, "names that may be values of their own stand on the way to it"), leaf)
        return
    look = look_at(leaf.values)
    strength, places = scope.places.match(path)
    fields = dict.fromkeys(place.known.path for place in places)
    if word(path[-1]) in scope.known.currency_names and strength < ENDING:
        yield Found(text, Guess(text, None, 0.0, "it names a currency, but of which amount is not known"), leaf)
    elif not places:
        guess = by_values(text, look, tuple(place.known for place in scope.places.places), "path")
        yield Found(text, guess, leaf)
    elif len(fields) > 1 and not all(set(fields) <= {place.known.path, *place.beside} for place in places):
        guess = Guess(text, None, 0.0, f"the path is known for several fields: {', '.join(fields)}")
        yield Found(text, guess, leaf)
    else:
        for field in fields:
            yield _best(
                path, leaf, [place for place in places if place.known.path == field], strength, around, scope, up
            )


def _best(path: Steps, leaf: Leaf, places: list[Place], strength: int, around: Around, scope: Scope, up: str) -> Found:
    """Return a leaf as one field, read in the way in which most of its values read."""
    text, look = up + "/".join(path), look_at(leaf.values)
    is_money = places[0].known.verbs.parse.kind == "money"
    currency, unclear = _currency(path, leaf, around, scope) if is_money else ("", "")
    asked = replace(scope.asked, known=_NOTHING, has_currency=bool(currency), noun="path", place="element")
    tries = [(tested(text, place.known, leaf.values, look, asked), place) for place in places]
    guess, place = max(tries, key=lambda one: (one[0].sure, not one[1].under))
    doubt = unclear or _doubt(path, leaf, place, strength, scope, around.leaves)
    if unclear or (doubt and guess.sure > HALF):
        guess = replace(guess, sure=min(guess.sure, HALF), why=doubt)
    return Found(text, guess, leaf, place, strength, currency)


def _doubt(path: Steps, leaf: Leaf, place: Place, strength: int, scope: Scope, leaves: Iterable[Steps]) -> str:
    """Return why nobody can be sure of a field though its values read as it; empty when one can."""
    name = tuple(map(word, path))
    if strength == LAST and len(path) > 1:
        return "only the last word of the path is known, and what it stands in may change its meaning"
    if strength < EXACT:
        return "only the end of the path is known, and what it stands in, or does not, may change its meaning"
    if len(name) == 1 and name[0] in _SAYS_LITTLE:
        return "the word alone says too little to be sure"
    if name not in place.names and any(tuple(map(word, other)) in place.names for other in leaves):
        return "a known profile reads it only where another element is not, and that one is there"
    if place.under:
        return place.under
    if leaf.several and place.known.path not in scope.repeated:
        return "it stands several times in one element, and the message has one place for it"
    if place.known.verbs.parse.kind == "money" and any(one in word(path[-1]) for one in _SMALL_UNITS):
        return "its name says that it may count the minor unit, which the profile language does not read"
    return ""


def _currency(path: Steps, leaf: Leaf, around: Around, scope: Scope) -> tuple[str, str]:
    """Return the path of the currency of an amount, and why that is not sure: its attribute, its neighbour, or one around."""
    names, leaves = scope.known.currency_names, around.leaves
    own = word(path[-1]).replace("amount", "")
    beside = [one for one in leaves if one[:-1] == path[:-1] and one != path and not one[-1].startswith("@")]
    ways: tuple[list[Steps], ...] = (
        [one for one in leaves if one[:-1] == path and word(one[-1]) in names],
        [one for one in beside if own and word(one[-1]) in (f"{own}currency", f"{own}currencycode")],
        [one for one in beside if word(one[-1]) in names],
        [one for one in leaves if len(one) == 1 and word(one[-1]) in names],
    )
    way = next((one for one in ways if one), [])
    found: Mapping[str, Leaf] = {"/".join(one): leaves[one] for one in way}
    if not way:
        found = {one: here for one, here in around.outer.items() if word(one.rpartition("/")[2]) in names}
    if not way and any("currency" in word(one[-1]) or "币种" in one[-1] for one in beside):
        return "", "what stands beside it names a currency, perhaps of something else"
    if not found:
        return "", ""
    text, currency = next(iter(found.items()))
    if len(found) > 1 or currency.several or not _names_currencies(currency, scope.known):
        return "", "what stands beside it may be its currency, and does not say so for certain"
    if way and not leaf.inside <= currency.inside and not scope.asked.stated.currency:
        return text, "its currency does not stand beside every amount; state the currency of the others"
    return text, ""


def _names_currencies(leaf: Leaf, known: Paths) -> bool:
    names = {*known.currencies, *known.currencies.values()}
    return bool(leaf.values) and all(
        text in names or (text.isascii() and text.isalpha() and text.isupper() and len(text) == _CURRENCY_LETTERS)
        for text in leaf.values
    )


def _currencies_used(found: list[Found]) -> list[Found]:
    used = {one.currency for one in found if one.guess.written}
    return [
        replace(one, guess=replace(one.guess, sure=1.0, why="it names the currency of an amount", is_currency=True))
        if one.path in used and one.guess.known is None
        else one
        for one in found
    ]


def _settled(found: list[Found]) -> list[Found]:
    """Settle what several leaves claim: the stronger name has it; two forms of one place share it; else nobody does."""
    strongest: dict[str, int] = {}
    for one in found:
        if one.guess.written and one.guess.known:
            strongest[one.guess.known.path] = max(one.strength, strongest.get(one.guess.known.path, 0))
    kept = [
        replace(one, guess=replace(one.guess, sure=HALF, why="another element is known better for the same field"))
        if one.guess.written and one.guess.known and one.strength < strongest[one.guess.known.path]
        else one
        for one in found
    ]
    shared = _shared(kept)
    guesses = settled([one.guess for one in shared], "element")
    return [replace(one, guess=guess) for one, guess in zip(shared, guesses, strict=True)]


def _signed(found: list[Found]) -> list[Found]:
    """Make unsure the amounts beside or above which a mark of debit or credit stands that no field takes."""
    marks = [
        one.path
        for one in found
        if not one.guess.written and one.leaf.values and set(map(str.upper, one.leaf.values)) <= _MARKS
    ]
    out = []
    for one in found:
        near = [mark for mark in marks if one.path.startswith(mark[: mark.rfind("/") + 1])]
        if near and one.guess.written and one.guess.known and one.guess.known.verbs.parse.kind == "money":
            why = f"{near[0]} may be its sign, and nothing reads that"
            out.append(replace(one, guess=replace(one.guess, sure=HALF, why=why)))
        else:
            out.append(one)
    return out


def _shared(found: list[Found]) -> list[Found]:
    """Make one of leaves that are forms of one place, never both in one element: `from = "A | B"`."""
    out: list[Found] = []
    for one in found:
        place = next(
            (
                at
                for at, other in enumerate(out)
                if one.guess.written
                and other.guess.written
                and one.place is not None
                and one.place is other.place
                and one.currency == other.currency
                and not one.leaf.inside & other.leaf.inside
            ),
            None,
        )
        if place is None:
            out.append(one)
            continue
        other = out[place]
        formats = tuple(dict.fromkeys((*other.guess.formats, *one.guess.formats)))
        path = f"{other.path} | {one.path}"
        leaf = Leaf([*other.leaf.values, *one.leaf.values], other.leaf.inside | one.leaf.inside)
        out[place] = replace(other, path=path, guess=replace(other.guess, header=path, formats=formats), leaf=leaf)
    return out
