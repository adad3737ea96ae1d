"""NACHA ACH files: 94 columns a record, batches of entries with addenda, control totals that must be right.

- A document is one batch, with what the file header says of the whole file in `file`.
- A line may lack its trailing blanks, or have more than it should; a file may have no line breaks at all. Anything else
  that is not 94 columns wide is damaged, and its batch is refused: cut columns would be wrong numbers.
- File header and control may be missing (returns are sent so); those of a batch may not.
- Amounts are cents without a decimal point. Entry counts, entry hash and sums of every batch are checked against its
  control; those of the file against the controls of its batches.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from adapters import nacha_records as records
from adapters.errors import FileRefused, RowRefused
from adapters.nacha_records import Layout
from adapters.profile import Source
from adapters.tree import Broken, Element

FILE_BYTES_MAX = 64 * 1024 * 1024
LINES_MAX = 1_000_000
ENTRIES_MAX = 100_000
"""Most entries and addenda of one batch."""

WIDTH = 94
_HASH_DIGITS = 10**10
_CURE = "have the bank send the file again; nothing of this batch was used"
_CLASSES = frozenset(
    (
        "ACK",
        "ADV",
        "ARC",
        "ATX",
        "BOC",
        "CCD",
        "CIE",
        "COR",
        "CTX",
        "DNE",
        "ENR",
        "IAT",
        "MTE",
        "POP",
        "POS",
        "PPD",
        "RCK",
        "SHR",
        "TEL",
        "TRC",
        "TRX",
        "WEB",
        "XCK",
    )
)
"""Standard entry classes. Another word in their columns means that the columns have moved."""

_DATE = re.compile(r"[0-9]{6}|")
_CREDITS = frozenset("1234")
"""Second digits of a transaction code that is a credit (22, 32, 42, 52 and their returns and prenotes)."""
_ADVICE_CREDITS = frozenset("1357")
"""The same for accounting advices (81 to 88)."""


class _Record(NamedTuple):
    """One record of 94 columns."""

    text: str
    line: int
    start: int
    end: int


def seems(data: bytes) -> bool:
    """Say whether a file begins with a file header or a batch header."""
    line = data.lstrip()[: 2 * WIDTH].decode("latin-1").splitlines()[:1]
    if not line:
        return False
    text = line[0]
    header = text.startswith("101") and text[34:37] == "094"
    batch = text[:1] == "5" and text[1:4] in ("200", "220", "225", "280") and text[50:53].isalpha()
    return len(text) > 53 and (header or batch)  # noqa: PLR2004 - up to the class of entries


def read(data: bytes, source: Source) -> Iterator[Element | Broken]:
    """Read every batch. FileRefused when the file is too large or holds no record."""
    del source
    if len(data) > FILE_BYTES_MAX:
        raise FileRefused(f"the file has more than {FILE_BYTES_MAX} bytes", cure="split it", code="LF-NACHA-SIZE")
    if data.count(b"\n") > LINES_MAX:
        raise FileRefused(f"the file has more than {LINES_MAX} lines", cure="split it", code="LF-NACHA-SIZE")
    if not data.strip():
        raise FileRefused("the file is empty", cure="export it again", code="LF-FILE-EMPTY")
    return _File(data).batches()


def _refused(cause: str, code: str) -> RowRefused:
    return RowRefused(cause, cure=_CURE, code=code)


def _records(data: bytes) -> Iterator[_Record | Broken]:
    """Yield the records, filled up to 94 columns. Lines that are no record are Broken."""
    encoding = "utf-8" if _is_utf8(data) else "latin-1"
    place = 0
    for line, raw in enumerate(data.splitlines(keepends=True), 1):
        start, place = place, place + len(raw)
        text = raw.decode(encoding).rstrip(" \r\n\t\x1a\x00")
        if not text:
            continue
        end = start + len(text.encode(encoding))
        if len(text) > WIDTH and not (len(text) % WIDTH == 0 or len(raw.rstrip(b"\r\n")) % WIDTH == 0):
            yield Broken(line, start, end, _refused("the record is longer than 94 columns", "LF-NACHA-WIDTH"))
            continue
        at = start
        for cut in range(0, len(text), WIDTH):
            piece = text[cut : cut + WIDTH]
            yield _Record(piece.ljust(WIDTH), line, at, at + len(piece.encode(encoding)))
            at += len(piece.encode(encoding))


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _parts(record: _Record, layout: Layout) -> list[Element]:
    """Return a record's fields. RowRefused when one that must be digits is not."""
    found = []
    for column in layout:
        raw = record.text[column.first - 1 : column.last]
        text = raw.strip()
        if column.digits and not (raw.isascii() and raw.isdecimal()):
            refused = _refused(
                f"{column.name} in columns {column.first} to {column.last} of the record is no number", "LF-NACHA-FIELD"
            )
            refused.column = column.name
            raise refused
        if text:
            start, end = record.start, record.end
            if record.text.isascii():
                start += column.first - 1 + len(raw) - len(raw.lstrip())
                end = start + len(text)
            found.append(Element(column.name, text, (), record.line, start, end))
    return found


def _value(elements: Sequence[Element], name: str) -> str:
    return next((child.text for child in elements if child.name == name), "")


class _Totals:
    """What a control record is checked against."""

    def __init__(self) -> None:
        self.count = self.hash = self.debit = self.credit = 0

    def entry(self, parts: Sequence[Element], *, advice: bool) -> None:
        """Count an entry."""
        self.count += 1
        self.hash += int(_value(parts, "receiving_bank"))
        code, amount = _value(parts, "transaction_code"), int(_value(parts, "amount"))
        if code[1] in (_ADVICE_CREDITS if advice else _CREDITS):
            self.credit += amount
        else:
            self.debit += amount

    def control(self, parts: Sequence[Element]) -> None:
        """Count a batch by its control record."""
        self.count += int(_value(parts, "entry_addenda_count"))
        self.hash += int(_value(parts, "entry_hash"))
        self.debit += int(_value(parts, "total_debit"))
        self.credit += int(_value(parts, "total_credit"))

    def check(self, parts: Sequence[Element], what: str) -> None:
        """RowRefused when a control record says otherwise."""
        found = {
            "entry_addenda_count": self.count,
            "entry_hash": self.hash % _HASH_DIGITS,
            "total_debit": self.debit,
            "total_credit": self.credit,
        }
        for name, value in found.items():
            if int(_value(parts, name)) != value:
                raise _refused(f"{name} in the control of the {what} is not that of its records", "LF-NACHA-TOTAL")


class _Batch:
    """Gathers the records of one batch, the first refusal included."""

    def __init__(self, record: _Record, header: Element | None) -> None:
        self.line, self.start, self.end = record.line, record.start, record.end
        self.kind = record.text[50:53]
        self.refused: RowRefused | None = None
        self.totals = _Totals()
        self._last: list[Element] = []
        """Children of the last entry, where its addenda go."""
        self._children: list[Element] = [header] if header else []
        layout = records.BATCH_HEADER_IAT if self.kind == "IAT" else records.BATCH_HEADER
        self._try(record, lambda: self._children.extend(self._header(record, layout)))

    def _header(self, record: _Record, layout: Layout) -> list[Element]:
        parts = _parts(record, layout)
        if self.kind not in _CLASSES or not _DATE.fullmatch(_value(parts, "effective_date")):
            raise _refused("the columns of the batch's header have moved: no entry class, or no date", "LF-NACHA-FIELD")
        return parts

    def _try(self, record: _Record, step: Callable[[], None]) -> None:
        self.end = record.end
        try:
            step()
        except RowRefused as refused:
            self.refused = self.refused or refused

    def refuse(self, broken: Broken) -> None:
        """Refuse the batch for a line that is no record."""
        self.end = broken.end
        self.refused = self.refused or broken.refused

    def entry(self, record: _Record) -> None:
        """Take an entry."""

        def step() -> None:
            if self.totals.count >= ENTRIES_MAX:
                raise _refused(f"the batch has more than {ENTRIES_MAX} entries and addenda", "LF-NACHA-SIZE")
            parts = _parts(record, records.ENTRIES.get(self.kind, records.ENTRY))
            self.totals.entry(parts, advice=self.kind == "ADV")
            self._last = parts
            self._children.append(Element("entry", "", self._last, record.line, record.start, record.end))

        self._try(record, step)

    def addenda(self, record: _Record) -> None:
        """Take an addenda record: it belongs to the entry in front of it."""

        def step() -> None:
            self.totals.count += 1
            kind, before = record.text[1:3], self._children[-1] if self._children else None
            if before is None or before.name != "entry":
                raise _refused("an addenda record stands without an entry", "LF-NACHA-ORDER")
            if kind not in records.ADDENDA:
                raise _refused("an addenda record has a type that NACHA has not", "LF-NACHA-FIELD")
            parts = [Element("type", kind, (), record.line, record.start + 1, record.start + 3)]
            parts += _parts(record, records.ADDENDA[kind])
            one = Element(f"addenda{kind}", "", parts, record.line, record.start, record.end)
            self._last.append(one)

        self._try(record, step)

    def control(self, record: _Record, file: _Totals) -> None:
        """Take the control record, and check what it says."""

        def step() -> None:
            layout = records.BATCH_CONTROL_ADV if self.kind == "ADV" else records.BATCH_CONTROL
            parts = _parts(record, layout)
            file.control(parts)
            if _value(parts, "batch_number") != _value(self._children, "batch_number"):
                raise _refused("the control of the batch has another number than its header", "LF-NACHA-ORDER")
            self.totals.check(parts, "batch")
            self._children.append(Element("control", "", parts, record.line, record.start, record.end))

        self._try(record, step)

    def outcome(self) -> Element | Broken:
        """Return the batch, or why it is none."""
        if self.refused is not None:
            return Broken(self.line, self.start, self.end, self.refused)
        return Element("batch", "", self._children, self.line, self.start, self.end)


class _File:
    """Goes through a file once."""

    def __init__(self, data: bytes) -> None:
        self._records = _records(data)
        self._header: Element | None = None
        self._batch: _Batch | None = None
        self._totals, self._batches = _Totals(), 0
        self._whole = True
        self._advice = False

    def batches(self) -> Iterator[Element | Broken]:
        """Yield batches in the order of the file."""
        for record in self._records:
            if isinstance(record, Broken):
                if self._batch is None:
                    yield record
                else:
                    self._batch.refuse(record)
                self._whole = False
            else:
                yield from self._take(record)
        yield from self._unfinished()

    def _take(self, record: _Record) -> Iterator[Element | Broken]:
        kind = record.text[0]
        if kind == "5":
            yield from self._unfinished()
            self._batch = _Batch(record, self._header)
            self._advice = self._advice or self._batch.kind == "ADV"
        elif kind in "678" and self._batch is not None:
            if kind == "6":
                self._batch.entry(record)
            elif kind == "7":
                self._batch.addenda(record)
            else:
                self._batch.control(record, self._totals)
                self._batches += 1
                yield self._batch.outcome()
                self._batch = None
        elif kind in "19":
            yield from self._unfinished()
            yield from self._frame(record)
        else:
            what = "a batch's record stands outside a batch" if kind in "678" else "the record is of no kind of NACHA"
            yield Broken(record.line, record.start, record.end, _refused(what, "LF-NACHA-ORDER"))
            self._whole = False

    def _frame(self, record: _Record) -> Iterator[Broken]:
        """Take the file's header or control; what fills the last block up says nothing."""
        if record.text == "9" * WIDTH:
            return
        try:
            if record.text[0] == "1":
                parts = _parts(record, records.FILE_HEADER)
                self._header = Element("file", "", parts, record.line, record.start, record.end)
                self._totals, self._batches, self._whole = _Totals(), 0, True
            else:
                self._check(_parts(record, records.FILE_CONTROL_ADV if self._advice else records.FILE_CONTROL))
        except RowRefused as refused:
            yield Broken(record.line, record.start, record.end, refused)

    def _check(self, parts: Sequence[Element]) -> None:
        """RowRefused when the file's control does not fit its batches; known damage has been told already."""
        if not self._whole:
            return
        if int(_value(parts, "batch_count")) != self._batches:
            raise _refused("batch_count in the control of the file is not that of its batches", "LF-NACHA-TOTAL")
        self._totals.check(parts, "file")

    def _unfinished(self) -> Iterator[Broken]:
        """Yield a batch whose control did not come."""
        if self._batch is not None:
            self._batch.refused = self._batch.refused or _refused("the batch has no control record", "LF-NACHA-CUT")
            outcome = self._batch.outcome()
            self._batch, self._whole = None, False
            if isinstance(outcome, Broken):
                yield outcome
