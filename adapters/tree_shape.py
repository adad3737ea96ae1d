"""The shape of an unknown tree: which paths it has, how often, and what stands in them.

Names that may be data themselves, such as keys made of account numbers, count as `*`: no value gets into a path.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from adapters.guesses import NULLS
from adapters.kinds import tidy
from adapters.paths import escaped
from adapters.read_xml import ATTRIBUTE_NAMESPACE, BETWEEN
from adapters.tree import Element

Steps = tuple[str, ...]
"""Names from an element down, its own left out."""

ANY = "*"
_NAME = re.compile(r"@?[^\W\d][\w.:$/\[\]|%-]{0,63}")
_DIGITS_MAX = 4
"""A name with more digits may be a number of somebody."""


@dataclass
class Leaf:
    """What stands at one path, in all elements of a kind."""

    values: list[str] = field(default_factory=list)
    inside: set[int] = field(default_factory=set)
    """Places of the elements that have a text there."""
    several: bool = False
    """Whether one element has more than one."""


def name_of(element: Element) -> str:
    """Return an element's name as a path can say it."""
    name = element.name
    plain = _NAME.fullmatch(name) and sum(map(str.isdigit, name)) <= _DIGITS_MAX
    return escaped(name) if plain else ANY


def is_inner(element: Element) -> bool:
    """Say whether it holds more than a text and attributes."""
    return any(child.name[:1] not in ("@", "#") for child in element.children)


def paths_of(roots: Iterable[Element]) -> dict[Steps, int]:
    """Return the paths of all inner elements, each with the most that stand side by side."""
    found: dict[Steps, int] = {(): 0}
    for root in roots:
        found[()] += 1
        _count(root, (), found)
    return found


def _count(element: Element, above: Steps, found: dict[Steps, int]) -> None:
    beside = Counter(name_of(child) for child in element.children if is_inner(child))
    for name, times in beside.items():
        found[(*above, name)] = max(times, found.get((*above, name), 0))
    for child in element.children:
        if child.children and is_inner(child):
            _count(child, (*above, name_of(child)), found)


def chains_at(roots: Iterable[Element], path: Steps) -> Iterator[tuple[Element, ...]]:
    """Yield the inner elements at a path, each with its parents."""
    for root in roots:
        yield from _below((root,), path)


def _below(chain: tuple[Element, ...], path: Steps) -> Iterator[tuple[Element, ...]]:
    if not path:
        yield chain
        return
    for child in chain[-1].children:
        if child.children and name_of(child) == path[0] and is_inner(child):
            yield from _below((*chain, child), path[1:])


def leaves_of(elements: Sequence[Element], stops: Iterable[Steps] = ()) -> dict[Steps, Leaf]:
    """Return what stands below elements, but for what stands below the stops."""
    found: dict[Steps, Leaf] = {}
    kept = frozenset(stops)
    for place, element in enumerate(elements):
        seen: set[Steps] = set()
        for path, text in _texts(element, (), kept):
            leaf = found.setdefault(path, Leaf())
            leaf.several = leaf.several or path in seen
            seen.add(path)
            value = tidy(text)
            if value and value not in NULLS:
                leaf.values.append(value)
                leaf.inside.add(place)
    return found


def _texts(element: Element, path: Steps, stops: frozenset[Steps]) -> Iterator[tuple[Steps, str]]:
    for child in element.children:
        below = (*path, name_of(child))
        if child.name in (ATTRIBUTE_NAMESPACE, BETWEEN) or below in stops:
            continue
        if child.text and not child.text.isspace():
            yield below, child.text
        if child.children:
            yield from _texts(child, below, stops)


def namespace_of(chain: Sequence[Element]) -> str:
    """Return the namespace that an element is in; empty for none."""
    for element in reversed(chain):
        for child in element.children:
            if child.name == ATTRIBUTE_NAMESPACE:
                return child.text
    return ""
