"""MT940 and MT942: messages become statements, and a statement whose numbers do not add up is refused.

- Field 86 belongs to the field 61 in front of it, or to the statement where it stands behind the closing balance.
- A statement that goes on over several messages (closing balance 62M, opening balance 60M) becomes one.
- Opening balance and movements must give the closing balance; counts and sums of an MT942 (90D, 90C) must be right.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import suppress
from decimal import Decimal
from itertools import groupby

from adapters.errors import RowRefused
from adapters.fin_details import details
from adapters.fin_fields import Slice, full_date
from adapters.tree import Broken, Element

STATEMENTS = frozenset({"MT940", "MT942", "940", "942"})
PAGES_MAX = 10_000
"""Most messages of one statement."""

_CURE = "have the bank send the whole statement again; nothing of it was used"
_OPENING, _CLOSING = ("60F", "60M"), ("62F", "62M")


def _refused(cause: str, code: str) -> RowRefused:
    return RowRefused(cause, cure=_CURE, code=code)


def check_flow(fields: Sequence[Slice]) -> None:
    """RowRefused when a statement lacks a field that makes it one, or has its fields in the wrong order."""
    tags = [field.tag for field in fields]
    interim = "34F" in tags and not any(tag in tags for tag in (*_OPENING, *_CLOSING))
    needed = (("20",), ("25", "25P"), ("28C", "28")) + ((("34F",),) if interim else (_OPENING, _CLOSING))
    for one in needed:
        count = sum(tags.count(tag) for tag in one)
        if count == 0 or (count > 1 and one != ("34F",)):
            often = "no" if count == 0 else "more than one"
            raise _refused(f"the statement has {often} field {' or '.join(one)}", "LF-FIN-STATEMENT")
    if not interim:
        moves = [place for place, tag in enumerate(tags) if tag == "61"]
        first = next(place for place, tag in enumerate(tags) if tag in _OPENING)
        last = next(place for place, tag in enumerate(tags) if tag in _CLOSING)
        if first > last or any(not first < place < last for place in moves):
            raise _refused("a movement does not stand between the balances of its statement", "LF-FIN-STATEMENT")


class Statements:
    """Puts messages together. What is no statement passes through."""

    def __init__(self) -> None:
        self._pages: list[Element] = []

    def take(self, outcome: Element | Broken) -> Iterator[Element | Broken]:
        """Take the next message of the file, and yield what is complete."""
        if isinstance(outcome, Broken) or outcome.name not in STATEMENTS:
            yield from self.rest()
            yield outcome
            return
        page = outcome
        try:
            continues = self._check(page)
        except RowRefused as refused:
            begin = self._pages[0] if self._pages and _follows(self._pages[-1], page) else page
            if begin is page:
                yield from self.rest()
            self._pages.clear()
            yield Broken(begin.line, begin.start, page.end, refused)
            return
        if not continues:
            yield from self.rest()
        self._pages.append(page)
        if _child(page, "62M") is None:
            yield _joined(self._pages)
            self._pages = []

    def rest(self) -> Iterator[Broken]:
        """Yield what waits for a message that does not come."""
        if self._pages:
            first, last = self._pages[0], self._pages[-1]
            self._pages = []
            refused = _refused("the statement goes on in a message that does not follow", "LF-FIN-PAGE")
            yield Broken(first.line, first.start, last.end, refused)

    def _check(self, page: Element) -> bool:
        """Say whether a message goes on with the statement before it. RowRefused when its numbers do not add up."""
        _check_sums(page)
        if _child(page, "60M") is None:
            return False
        if not self._pages or not _follows(self._pages[-1], page):
            raise _refused("the statement begins in a message that is not in front of this one", "LF-FIN-PAGE")
        if len(self._pages) >= PAGES_MAX:
            raise _refused(f"the statement has more than {PAGES_MAX} messages", "LF-FIN-SIZE")
        return True


def _child(element: Element, *names: str) -> Element | None:
    return next((child for child in element.children if child.name in names), None)


def _text(element: Element | None, name: str) -> str:
    found = _child(element, name) if element is not None else None
    return found.text if found is not None else ""


def _decimal(amount: str) -> Decimal:
    return Decimal(amount.replace(",", "."))


def _balance(element: Element | None) -> tuple[str, Decimal]:
    """Return the currency and the signed amount of a balance."""
    amount = _decimal(_text(element, "amount"))
    return _text(element, "currency"), -amount if _text(element, "mark") == "D" else amount


def signed(move: Element) -> Decimal:
    """Return what a movement does to the balance: a reversal of a credit takes away, one of a debit gives back."""
    amount = _decimal(_text(move, "amount"))
    return amount if _text(move, "mark") in ("C", "RD", "EC") else -amount


def _check_sums(page: Element) -> None:
    moves = [child for child in page.children if child.name == "61"]
    opening, closing = _child(page, *_OPENING), _child(page, *_CLOSING)
    if opening is not None and closing is not None:
        (currency, before), (same, after) = _balance(opening), _balance(closing)
        if currency != same:
            raise _refused("the balances of the statement are in two currencies", "LF-FIN-BALANCE")
        if before + sum(map(signed, moves), Decimal(0)) != after:
            raise _refused(
                "opening balance and movements do not give the closing balance: a movement is missing or wrong",
                "LF-FIN-BALANCE",
            )
    for tag, plus in (("90D", False), ("90C", True)):
        total = _child(page, tag)
        if total is None:
            continue
        those = [signed(move) for move in moves if (signed(move) > 0) == plus]
        if int(_text(total, "count")) != len(those) or _decimal(_text(total, "amount")) != abs(sum(those, Decimal(0))):
            raise _refused(f"number or sum of the movements is not what field {tag} says", "LF-FIN-BALANCE")


def _follows(before: Element, page: Element) -> bool:
    """Say whether a message goes on where another ended: same account, same number, same balance."""
    return (
        _text(_child(before, "25", "25P"), "account") == _text(_child(page, "25", "25P"), "account")
        and _text(_child(before, "28C", "28"), "number") == _text(_child(page, "28C", "28"), "number")
        and _child(before, "62M") is not None
        and _balance(_child(before, "62M")) == _balance(_child(page, "60M"))
    )


def gathered(message: Element) -> Element:
    """Return a statement's message with each field 86 inside the field 61 that it explains.

    Some banks write each line of the details as a field 86 of its own: those behind one another are one.
    """
    found: list[Element] = []
    for explained, group in groupby(message.children, key=lambda child: child.name == "86"):
        if not explained:
            found += [_booked(child) if child.name == "61" else child for child in group]
            continue
        details_of = _explained(list(group))
        before = found[-1] if found else None
        if before is not None and before.name == "61":
            found[-1] = before._replace(children=[*before.children, details_of], end=details_of.end)
        else:
            found.append(details_of)
    return message._replace(children=found)


def _booked(move: Element) -> Element:
    """Return a movement whose entry date has its year: the one that brings it nearest to the value date."""
    entry = _child(move, "entry_date")
    if entry is None or not entry.text.strip():
        return move
    value = full_date(_text(move, "value_date"))
    near = []
    for year in (value.year - 1, value.year, value.year + 1):
        with suppress(ValueError):
            near.append(dt.date(year, int(entry.text[:2]), int(entry.text[2:])))
    if not near:
        raise _refused("field 61 holds an entry date that does not exist", "LF-FIN-DATE")
    booked = min(near, key=lambda day: abs(day - value))
    return move._replace(children=[*move.children, entry._replace(name="booking_date", text=f"{booked:%y%m%d}")])


def _explained(fields: Sequence[Element]) -> Element:
    first, last = fields[0], fields[-1]
    text = "\n".join(field.text for field in fields if field.text)
    children = [Element(name, part, (), first.line, first.start, last.end) for name, part in details(text)]
    return Element("86", "", children, first.line, first.start, last.end)


def _joined(pages: Sequence[Element]) -> Element:
    """Return the messages of one statement as one: what the first says of it, all movements, and how it ends."""
    first, last = pages[0], pages[-1]
    if first is last:
        return first
    closing = next(place for place, child in enumerate(last.children) if child.name in _CLOSING)
    begin = [child for child in first.children if child.name not in ("61", "62M", "86", "64", "65")]
    moves = [child for page in pages for child in page.children if child.name == "61"]
    return first._replace(children=[*begin, *moves, *last.children[closing:]], end=last.end)
