"""Paths into a tree of elements, as profiles write them: what stands where, and what is its parent.

- `A/B` goes down, `@x` is an attribute, `..` (in front) goes up, `/Root/A` begins at the root, `**/A` is A at any depth.
- `A[B=text]` keeps those with such a child, `A[B]` those with any, `A[!B]` those with none, `A[2]` the second; `*` is any child; `A | B` is A, or B where A has no text.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import NamedTuple

from adapters.errors import ProfileRefused
from adapters.tree import Element

Chain = tuple[Element, ...]
"""An element with all its parents, the root first."""

_PIECE = re.compile(r"((?:\[[^\]]*\]|[^/\[\]])+)(/|\Z)")
_STEP = re.compile(r"([^\[\]|]+)((?:\[[^\]]+\])*)")
_NAMES = re.compile(r"@?[A-Za-z_%][\w.%-]*(/@?[A-Za-z_%][\w.%-]*)*")
_ESCAPE = re.compile(r"%([0-9A-F]{2})")
_MEANS_SOMETHING = re.compile(r"""[/\[\]|*"'\\\x00-\x1f\x7f]|^\s|\s$|^\.{1,2}$|^!|%(?=[0-9A-F]{2})""")
"""What in a name would be read as a part of a path, of a condition or of a pattern."""
_NONE: list[Element] = []
"""Nothing found; never added to."""
_BASES_MAX = 64
"""Most elements of which it is remembered where paths from them lead."""
_NOTHING: dict[str, list[Element]] = {}
"""The same, by name."""
_OR = re.compile(r"\s\|\s(?![^\[]*\])")


def escaped(name: str) -> str:
    """Return an element's name as a path says it: what would mean something else there as % and its code, as in URLs."""
    if name.isidentifier():
        return name
    return _MEANS_SOMETHING.sub(lambda found: "".join(f"%{ord(character):02X}" for character in found[0]), name)


def unescaped(name: str) -> str:
    """Return the name that a path says."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), name) if "%" in name else name


class Only(NamedTuple):
    """What a step demands of an element: a text at a path inside it."""

    inside: tuple[str, ...]
    text: str | None
    """None: it is enough that it is there."""
    absent: bool = False
    """Whether it must not be there."""


class Step(NamedTuple):
    """One step down."""

    name: str
    only: tuple[Only, ...] = ()
    number: int = 0
    """Which of those that are left, from 1; 0 for all."""


@dataclass(frozen=True)
class Path:
    """One path, taken apart."""

    text: str
    steps: tuple[Step, ...]
    up: int = 0
    absolute: bool = False
    deep: bool = False

    @cached_property
    def trail(self) -> "Trail | None":
        """Its steps, the last one first; paths that begin alike share them. None where it has none."""
        trail = None
        for step in self.steps:
            trail = _trail(trail, step)
        return trail

    @cached_property
    def plain(self) -> str:
        """The name that is all there is to the path: most paths are one step without a demand."""
        alone = len(self.steps) == 1 and not (self.steps[0].only or self.steps[0].number)
        return self.steps[0].name if alone else ""

    @cached_property
    def downward(self) -> bool:
        """Whether it only goes down, by names, without a demand."""
        plain = all(step.name != "*" and not (step.only or step.number) for step in self.steps)
        return bool(self.steps) and plain and not (self.up or self.absolute or self.deep)

    @cached_property
    def first(self) -> str:
        """The child without which it leads nowhere; empty where it begins elsewhere, or with any child."""
        here = self.steps and not (self.up or self.absolute or self.deep or self.steps[0].name == "*")
        return self.steps[0].name if here else ""


@dataclass(frozen=True, eq=False)
class Trail:
    """One step with the steps before it."""

    before: "Trail | None"
    step: Step
    name: str
    """The step's name, where that is all there is to it."""


@cache
def _trail(before: Trail | None, step: Step) -> Trail:
    demands = step.only or step.number or step.name == "*"
    return Trail(before, step, "" if demands else step.name)


@cache
def alternatives(text: str) -> tuple[Path, ...]:
    """Take a path apart at its bars. ProfileRefused when it is no path."""
    return tuple(_path(piece.strip()) for piece in _OR.split(text))


def _path(text: str) -> Path:
    rest, up = text, 0
    absolute = rest.startswith("/")
    rest = rest.removeprefix("/")
    deep = rest.startswith("**/")
    rest = rest.removeprefix("**/")
    while rest == ".." or rest.startswith("../"):
        rest, up = rest[3:], up + 1
    if rest in ("", "."):
        if text in ("", "/") or not (up or text == "."):
            raise _no_path(text)
        return Path(text, (), up, absolute, deep)
    steps, place = [], 0
    while place < len(rest):
        piece = _PIECE.match(rest, place)
        if piece is None or (piece[2] and piece.end() == len(rest)):
            raise _no_path(text)
        steps.append(_step(piece[1], text))
        place = piece.end()
    return Path(text, tuple(steps), up, absolute, deep)


def _step(piece: str, text: str) -> Step:
    found = _STEP.fullmatch(piece)
    if found is None or found[1] in ("..", ".", "**"):
        raise _no_path(text)
    only, number = [], 0
    for inside in re.findall(r"\[([^\]]+)\]", found[2]):
        where, equals, wanted = inside.partition("=")
        if equals and where:
            only.append(Only(_inside(where.strip()), unescaped(wanted.strip().strip("\"'"))))
        elif inside.isdecimal() and int(inside) and not number:
            number = int(inside)
        elif _NAMES.fullmatch(inside.removeprefix("!")):
            only.append(Only(_inside(inside.removeprefix("!")), None, inside.startswith("!")))
        else:
            raise _no_path(text)
    return Step(unescaped(found[1].strip()), tuple(only), number)


def _inside(path: str) -> tuple[str, ...]:
    return tuple(unescaped(name) for name in path.split("/"))


def _no_path(text: str) -> ProfileRefused:
    return ProfileRefused(
        f"{text or '(empty)'} is no path",
        cure="a path is like A/B, A/@x, ../A, /Root/A, **/A, A[B=text]/C or A[2], with ` | ` between alternatives; in a name "
        "%2F stands for /, %5B and %5D for [ and ], %7C for |, %25 for %",
        code="LF-MAP-PROFILE-PATH",
    )


class Finder:
    """Finds elements of one document. Children are looked up by name, in an index made when it is first needed."""

    def __init__(self) -> None:
        self._index: dict[int, dict[str, list[Element]]] = {}
        self._inside: dict[int, frozenset[str]] = {}
        self.told: dict[int, dict[str, str]] = {}
        """What paths have told conditions, by the element that was asked and the path."""
        self._led: dict[int, dict[Trail, list[Element]]] = {}
        """Where paths from an element have led, of the elements last asked."""
        self.looked: set[int] = set()
        """Elements, by id, that a demand in brackets has looked at."""

    def named(self, element: Element, name: str) -> list[Element]:
        """Return the children of that name; with *, all but attributes."""
        if name == "*":
            return [child for child in element.children if child.name[:1] != "@"]
        return self.below(element).get(name, _NONE)

    def below(self, element: Element) -> dict[str, list[Element]]:
        """Return the children of an element by name."""
        if not element.children:
            return _NOTHING
        index = self._index.get(id(element))
        if index is None:
            index = self._index[id(element)] = {}
            for child in element.children:
                index.setdefault(child.name, []).append(child)
        return index

    def inside(self, element: Element) -> frozenset[str]:
        """Return every name at any depth in an element, its own among them."""
        names = self._inside.get(id(element))
        if names is None:
            names = self._inside[id(element)] = frozenset(one.name for one in in_order(element))
        return names

    def elements(self, path: Path, chain: Chain) -> list[Element]:
        """Return what a path leads to from an element."""
        if path.absolute or path.deep:
            return [found[-1] for found in self.chains(path, chain)]
        if path.up >= len(chain):
            return []
        if path.plain:
            return self.named(chain[-1 - path.up], path.plain)
        base = chain[-1 - path.up]
        if path.trail is None:
            return [base]
        led = self._led.get(id(base))
        if led is None:
            if len(self._led) == _BASES_MAX:
                self._led.clear()
            led = self._led[id(base)] = {}
        return self._at_end(path.trail, base, led)

    def _at_end(self, trail: "Trail", base: Element, led: "dict[Trail, list[Element]]") -> list[Element]:
        """Return what a trail leads to; `led` remembers where the trails from this element lead."""
        found = led.get(trail)
        if found is None:
            here = [base] if trail.before is None else self._at_end(trail.before, base, led)
            if len(here) == 1 and trail.name:  # no list is made as long as one leads to one
                found = self.below(here[0]).get(trail.name, _NONE)
            else:
                found = [child for element in here for child in self._down(element, trail.step)] if here else _NONE
            led[trail] = found
        return found

    def chains(self, path: Path, chain: Chain) -> list[Chain]:
        """Return what a path leads to, each with its parents."""
        steps = path.steps
        if path.up >= len(chain) or (path.first and path.first not in self.below(chain[-1])):
            return []
        start = chain[: len(chain) - path.up]
        if path.deep:
            top = start[:1] if path.absolute else start
            if steps[0].name != "*" and steps[0].name not in self.inside(top[-1]):
                return []
            here = list(self._deep(top, steps[0], itself=len(top) == 1))
        elif path.absolute:
            here = [start[:1]] if self._keeps(start[0], steps[0]) else []
        else:
            here = [start]
        for step in steps[1:] if path.deep or path.absolute else steps:
            here = [(*found, child) for found in here for child in self._down(found[-1], step)]
        return here

    def _deep(self, chain: Chain, step: Step, *, itself: bool) -> Iterator[Chain]:
        """Yield the outermost elements that a step keeps, at any depth; the start itself where it is a root."""
        if itself and self._keeps(chain[-1], step):
            yield chain
            return
        kept = self._down(chain[-1], step)
        for child in chain[-1].children:
            if kept and any(child is one for one in kept):
                yield (*chain, child)
            elif child.children and (len(chain) > 1 or step.name == "*" or step.name in self.inside(child)):
                yield from self._deep((*chain, child), step, itself=False)

    def _down(self, element: Element, step: Step) -> list[Element]:
        found = self.named(element, step.name)
        if step.only:
            found = [child for child in found if all(self._has(child, only) for only in step.only)]
        return found[step.number - 1 : step.number] if step.number else found

    def _keeps(self, element: Element, step: Step) -> bool:
        return step.name in ("*", element.name) and all(self._has(element, only) for only in step.only)

    def _has(self, element: Element, only: Only) -> bool:
        here = [element]
        for name in only.inside:
            here = [child for one in here for child in self.named(one, name)]
        if only.text is None:
            return bool(here) != only.absent
        kept = [one for one in here if one.text.strip() == only.text]
        self.looked.update(map(id, kept))
        return bool(kept)


def in_order(root: Element) -> Iterator[Element]:
    """Yield an element and all that is in it, in the order of the document."""
    coming = [root]
    while coming:
        element = coming.pop()
        yield element
        if element.children:
            coming += reversed(element.children)


def leaves(chain: Chain, inside: str = "") -> Iterator[tuple[str, Element]]:
    """Yield every leaf with text below an element, and itself where it has one, with its path from there."""
    element = chain[-1]
    if element.text.strip():
        yield inside or ".", element
    prefix = f"{inside}/" if inside else ""
    for child in element.children:
        yield from leaves((child,), f"{prefix}{escaped(child.name)}")


@cache
def pattern(text: str) -> re.Pattern[str]:
    """Return what matches the paths that a pattern means: * is any name, **/ any parents, /** everything below.

    The paths are those of `escaped` names.
    """
    pieces = re.split(r"(\*\*/|/\*\*|\*)", text.removeprefix("/"))
    meaning = {"**/": "(?:.*/)?", "/**": "(?:/.*)?", "*": "[^/]*"}
    return re.compile("".join(meaning.get(piece, re.escape(piece)) for piece in pieces))
