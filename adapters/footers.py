"""What a table says of itself above or below its rows: how many they are, or what a column comes to. It is counted again.

- Rows count whether they become messages or are held back: the figure is the sender's, of what was sent.
- What does not agree is said with the last message; where no row became one, with what is wrong with the last row.
- A file that says that it holds rows, and holds none, is refused.
- Of counts both figures are told. Amounts may be classed, so of sums it is only told that they differ.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import NamedTuple

from adapters.errors import FileRefused
from adapters.kinds import identifier, tidy
from adapters.lines import Cells, Row
from adapters.model import Converted, Fault, HeldBack, RowWarning
from adapters.profile import ROWS, FooterCheck, Source
from adapters.table import Table
from adapters.words import counted

MISMATCH = "footer_mismatch"
WAITING_MAX = 4096
"""Most rows that are kept back until it is known whether a message follows them."""
_FIGURE = re.compile(r"[¥￥$]?([+-]?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,30})(?:\.[0-9]{1,10})?)")
_CURE = "the file may be cut off, or rows were taken out of it or added: export it again"
_MARK = "\t"
"""Stands between the cells of a row below the others, where a pattern is tried on it."""

Outcome = Converted | HeldBack


class _Told(NamedTuple):
    """What one line says."""

    check: FooterCheck
    figure: Decimal


class _Count:
    """What the rows come to, for one check."""

    def __init__(self, check: FooterCheck, table: Table) -> None:
        self._only = check.only
        self._at = None if check.counts == ROWS else table.columns[check.counts]
        self._asked = table.columns[check.only.source] if check.only is not None else None
        self._total = Decimal(0)
        self._rows = 0
        self.unread = 0
        """Rows of which nobody knows what they add."""

    def add(self, row: Row, nulls: frozenset[str]) -> None:
        """Take one more row."""
        if self._at is None and self._only is None:
            self._rows += 1
        elif row.refused is not None:
            self.unread += 1
            self._rows += self._at is None
        elif self._only is None or self._asked is None or tidy(row.cells[self._asked]) in self._only.among:
            if self._at is None:
                self._rows += 1
                return
            text = tidy(row.cells[self._at])
            figure = figure_of(text) if text not in nulls else Decimal(0)
            self._total += figure or 0
            self.unread += figure is None

    @property
    def total(self) -> Decimal:
        """What the rows came to so far."""
        return self._total + self._rows


class Footers:
    """Counts the rows of a table while they pass, and compares."""

    def __init__(self, table: Table, source: Source) -> None:
        self._sums = table.sums
        self._nulls = frozenset(source.null)
        self._columns = table.columns
        checks = [check for check in source.footer_check if _asked_of(check) <= table.columns.keys()]
        self._checks = [(check, re.compile(check.pattern), _Count(check, table)) for check in checks]
        lines = [tidy(line).rstrip(",") for line in table.preamble]
        self._above = [told for line in lines for told in self._told(line, [])]
        self.table = replace(table, rows=self._counted(table.rows))

    def over(self, outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
        """Yield the outcomes, the last message with what does not agree. FileRefused when rows are told of and there are none."""
        waiting: list[Outcome] = []
        for outcome in outcomes:
            if isinstance(outcome, Converted) or len(waiting) == WAITING_MAX:
                yield from waiting
                waiting.clear()
            waiting.append(outcome)
        notes = self._notes()
        if notes and not waiting:
            raise FileRefused(notes[0].cause, cure=_CURE, code="LF-FILE-NO-ROWS")
        if notes:
            place = next((at for at, outcome in enumerate(waiting) if isinstance(outcome, Converted)), -1)
            waiting[place] = with_notes(waiting[place], notes, _CURE)
        yield from waiting

    def _counted(self, rows: Iterator[Row]) -> Iterator[Row]:
        counts = [count for _, _, count in self._checks]
        for row in rows:
            for count in counts:
                count.add(row, self._nulls)
            yield row

    def _told(self, line: str, cells: Cells) -> Iterator[_Told]:
        for check, pattern, _ in self._checks:
            found = pattern.fullmatch(line)
            if found is None or (not pattern.groups and not cells):
                continue
            text = found[1] if pattern.groups else tidy(cells[self._columns[check.counts]])
            figure = figure_of(text or "")
            if figure is not None:
                yield _Told(check, figure)

    def _notes(self) -> list[RowWarning]:
        width = max(self._columns.values()) + 1
        below = [
            told
            for cells in self._sums
            for told in self._told(_MARK.join(map(tidy, cells)).rstrip(), [*cells, *[""] * (width - len(cells))])
        ]
        counts = {id(check): count for check, _, count in self._checks}
        notes = [note for told in (*self._above, *below) for note in _compared(told, counts[id(told.check)])]
        return list(dict.fromkeys(notes))


def is_told(line: str, source: Source) -> bool:
    """Say whether a line above the header says what the rows come to: of a part of the rows it is not true."""
    return any(re.fullmatch(check.pattern, tidy(line).rstrip(",")) for check in source.footer_check)


def figure_of(text: str) -> Decimal | None:
    """Return the number that a text is; None when it is none."""
    found = _FIGURE.fullmatch(identifier(text.replace(" ", "")))
    return Decimal(found[1].replace(",", "")) if found is not None else None


def _asked_of(check: FooterCheck) -> set[str]:
    return {*([check.counts] if check.counts != ROWS else []), *([check.only.source] if check.only is not None else [])}


def _compared(told: _Told, count: _Count) -> Iterable[RowWarning]:
    if told.check.counts != ROWS:
        if count.unread:
            cause = f"the sum of {told.check.counts} that the file states cannot be compared: rows of it cannot be read"
            return [RowWarning(MISMATCH, "", cause)]
        cause = f"the sum of {told.check.counts} that the file states is another than that of its rows"
        return [RowWarning(MISMATCH, "", cause)] if count.total != told.figure else []
    which = (
        f" with {told.check.only.source} {' or '.join(told.check.only.among)}" if told.check.only is not None else ""
    )
    cause = f"the file states {counted(told.figure, 'row')}{which}, and holds {count.total}"
    if told.check.only is not None and count.unread and count.total != told.figure:
        cause = f"{cause}; {counted(count.unread, 'row')} cannot be read"
    return [RowWarning(MISMATCH, "", cause)] if count.total != told.figure else []


def with_notes(outcome: Outcome, notes: list[RowWarning], cure: str) -> Outcome:
    """Return an outcome that also says what is odd about its file as a whole."""
    if isinstance(outcome, HeldBack):
        return outcome._replace(others=(*outcome.others, *(Fault(note.code, note.cause, cure, "") for note in notes)))
    known = outcome.message.provenance.warnings  # type: ignore[attr-defined]  # every message that adapters make has one
    known.extend(code for code in dict.fromkeys(note.code for note in notes) if code not in known)
    return outcome._replace(warnings=(*outcome.warnings, *notes), made_of=None)
