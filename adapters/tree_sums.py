"""What must add up in a tree: the parts of a whole come to its amount, or a record is held back.

- All in one currency, and in minor units; an amount that is out of its currency is refused where it is read.
- A difference may be explained by what the whole itself names beside, such as charges: by all amounts at one of the paths.
  Then the record is taken, with a note.
- Where amounts are in several currencies nobody can tell; that is noted too.
- Amounts may be classed, so no refusal and no note tells one.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from adapters.conditions import Condition, condition
from adapters.errors import RowRefused
from adapters.model import RowWarning
from adapters.paths import Chain, Finder, Path, alternatives
from adapters.profile import Mapping_, Sum

if TYPE_CHECKING:
    from adapters.document import Document
    from adapters.tree_plan import Part

ITSELF = "."


class Amount(NamedTuple):
    """An amount of a document."""

    minor_units: int
    currency: str
    read: tuple[int, ...]
    """Elements, by id, in which it stands, its sign and its currency."""


@dataclass(frozen=True)
class Whole:
    """One rule, compiled."""

    rule: Sum
    over: tuple[Path, ...]
    only: Condition | None
    total: "Part"
    of: tuple[Path, ...]
    amount: "Part"
    besides: tuple[tuple[Path, ...], ...]
    beside: "Part"

    def chains(
        self, document: "Document", chain: Chain, holds: Callable[[Condition, Finder, Chain], bool]
    ) -> Iterator[Chain]:
        """Yield the elements whose parts must add up."""
        for one in _at(self.over, document.finder, chain):
            if self.only is None or holds(self.only, document.finder, one):
                yield one


def compiled(rule: Sum, part_of: Callable[[Mapping_], "Part"]) -> Whole:
    """Compile a rule; `part_of` makes what reads an amount. ProfileRefused."""
    only = condition(rule.condition) if rule.condition else None
    over, of = alternatives(rule.over), alternatives(rule.of)
    besides = tuple(alternatives(path) for path in rule.besides)
    return Whole(rule, over, only, part_of(rule.total), of, part_of(rule.amount), besides, part_of(rule.beside))


def add_up(whole: Whole, document: "Document", chain: Chain, notes: list[RowWarning]) -> None:
    """Check one element. RowRefused when its parts do not come to it, and nothing that it names explains why."""
    total = _amount(whole.total, document, chain)
    parts = _amounts(whole.of, whole.amount, document, chain)
    if total is None or not parts or None in parts:
        return  # an amount that must be there is asked for where the message is made
    known = [part for part in parts if part is not None]
    if {part.currency for part in known} != {total.currency}:
        notes.append(
            _note(whole, "sum_not_checked", "are in another currency: whether they come to its amount is not known")
        )
        return
    difference = abs(total.minor_units - sum(part.minor_units for part in known))
    if not difference:
        document.read.update(total.read)
        return
    explained = _explained(whole, document, chain, total.currency)
    if explained is None:
        notes.append(
            _note(whole, "sum_not_checked", "differ from its amount, and it names charges in another currency")
        )
    elif difference in explained:
        notes.append(
            _note(whole, "sum_with_charges", "come to its amount only together with the charges that it names")
        )
    else:
        raise _refused(whole, document, chain, len(known))


def _explained(whole: Whole, document: "Document", chain: Chain, currency: str) -> set[int] | None:
    """Return the differences that what stands beside explains; None where one of its amounts is in another currency."""
    found = set()
    for path in whole.besides:
        amounts = [one for one in _amounts(path, whole.beside, document, chain) if one is not None]
        if any(one.currency != currency for one in amounts):
            return None
        if amounts:
            found.add(abs(sum(one.minor_units for one in amounts)))
    return found


def _at(paths: tuple[Path, ...], finder: Finder, chain: Chain) -> list[Chain]:
    return next((found for path in paths if (found := finder.chains(path, chain))), [])


def _amounts(paths: tuple[Path, ...], part: "Part", document: "Document", chain: Chain) -> list[Amount | None]:
    return [_amount(part, document, one) for one in _at(paths, document.finder, chain)]


def _amount(part: "Part", document: "Document", chain: Chain) -> Amount | None:
    cells, found = part.cells(document.finder, chain)
    money = part.plan.values(cells, []).get(ITSELF)
    if money is None:
        return None
    read = tuple(id(element) for elements in found for element in elements)
    return Amount(money["minor_units"], money["currency"], read)


def _note(whole: Whole, code: str, said: str) -> RowWarning:
    return RowWarning(code, "", f"the elements {whole.rule.of} of element {whole.rule.over} {said}")


def _refused(whole: Whole, document: "Document", chain: Chain, parts: int) -> RowRefused:
    rule, element = whole.rule, chain[-1]
    start, _ = document.range_of(element)
    where = f"line {element.line}, byte {start}" if start >= 0 else f"line {element.line}"
    refused = RowRefused(
        f"element {rule.over} in {where} has {parts} elements {rule.of}, and they do not come to its amount",
        cure="have whoever sent it complete it; if it is right, nothing in it says why, and what explains the difference must be added",
        code="LF-ROW-SUM",
    )
    refused.column = f"{rule.over}/{rule.total.sources[0]}"
    return refused
