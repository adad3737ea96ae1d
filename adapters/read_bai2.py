"""BAI2 cash-management files: records of fields with commas, ended by a slash or by the line, continued by records 88.

- A document is one account (03 to 49), with its file's header in `file` and its group's in `group`.
- Several records may stand on one line; a line that begins with no record code is damage, and refuses its account.
- Control totals and numbers of records of accounts, groups and files are checked. An amount has no decimal point: it is
  in the minor units of its currency.
- A type code says whether a movement is a credit, a debit or neither (BAI2 Technical Reference Guide, appendix A).
"""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from adapters.bai2_types import FUNDS, NOT_BOOKED, OTHER_SIDE, UPDATE, kind_of
from adapters.errors import FileRefused, RowRefused
from adapters.profile import Source
from adapters.tree import Broken, Element

FILE_BYTES_MAX = 64 * 1024 * 1024
LINES_MAX = 1_000_000
RECORDS_MAX = 200_000
"""Most records of one account, continuations included."""

_START = re.compile(r"01,[^,/\r\n]*,[^,/\r\n]*,[0-9]{6},")
_RECORD = re.compile(r"(01|02|03|16|49|88|98|99),")
_SPLIT = re.compile(r"/[ \t]+(?=(?:01|02|03|16|49|88|98|99),)")
_AMOUNT = re.compile(r"[+-]?[0-9]{1,18}")
_TYPE = re.compile(r"[0-9]{3}")
_KEYED = re.compile(r"([A-Z]{4}): (.+)")
_FILE = ("sender", "receiver", "created_date", "created_time", "file_id", "record_length", "block_size", "version")
_GROUP = ("receiver", "originator", "status", "as_of_date", "as_of_time", "currency", "as_of_modifier")
_DISTRIBUTIONS_MAX = 64
_CURE = "have the bank send the file again; nothing of this account was used"


class _Record(NamedTuple):
    """One record without its code and end."""

    code: str
    text: str
    line: int
    start: int
    """Where its text begins."""
    end: int


class _Field(NamedTuple):
    text: str
    start: int


def seems(data: bytes) -> bool:
    """Say whether a file begins with a file header."""
    return _START.match(data[:256].removeprefix(b"\xef\xbb\xbf").decode("latin-1").lstrip()) is not None


def read(data: bytes, source: Source) -> Iterator[Element | Broken]:
    """Read every account. FileRefused when the file is too large or does not begin with a file header."""
    del source
    if len(data) > FILE_BYTES_MAX:
        raise FileRefused(f"the file has more than {FILE_BYTES_MAX} bytes", cure="split it", code="LF-BAI2-SIZE")
    if data.count(b"\n") > LINES_MAX:
        raise FileRefused(f"the file has more than {LINES_MAX} lines", cure="split it", code="LF-BAI2-SIZE")
    if not seems(data):
        raise FileRefused(
            "the file does not begin with a BAI2 file header (01)",
            cure="give the file as the bank sent it",
            code="LF-BAI2-HEADER",
        )
    return _File(data).accounts()


def _refused(cause: str, code: str) -> RowRefused:
    return RowRefused(cause, cure=_CURE, code=code)


def _records(data: bytes) -> Iterator[_Record | Broken]:
    """Yield the records of a file. Where a line begins with none, it is Broken."""
    place = 0
    for line, raw in enumerate(data.splitlines(keepends=True), 1):
        start, place = place, place + len(raw)
        text = raw.decode("latin-1").rstrip(" \r\n\t\x1a\x00")
        cuts = [0, *(found.end() for found in _SPLIT.finditer(text)), len(text)]
        for begin, end in pairwise(cuts):
            piece = text[begin:end].rstrip()
            skipped = len(piece) - len(piece.lstrip("\xef\xbb\xbf \t"))
            if not piece.strip():
                continue
            code = _RECORD.match(piece, skipped)
            if code is None:
                refused = _refused("a line begins with no BAI2 record code", "LF-BAI2-RECORD")
                yield Broken(line, start + begin, start + end, refused)
                continue
            body = piece[code.end() :].removesuffix("/")
            at = start + begin + code.end()
            yield _Record(code[1], body, line, at, at + len(body))


class _Cursor:
    """Takes the fields out of a record and its continuations, one after the other."""

    def __init__(self, parts: Sequence[_Record], encoding: str) -> None:
        self._parts, self._encoding = parts, encoding
        self._part, self._place = 0, 0

    def _decoded(self, text: str) -> str:
        return text if text.isascii() else text.encode("latin-1").decode(self._encoding)

    def next(self) -> _Field | None:
        """Return the next field, without the blanks around it; None behind the last."""
        while self._part < len(self._parts) and self._place > len(self._parts[self._part].text):
            self._part, self._place = self._part + 1, 0
        if self._part == len(self._parts):
            return None
        part = self._parts[self._part]
        comma = part.text.find(",", self._place)
        end = len(part.text) if comma < 0 else comma
        raw = part.text[self._place : end]
        start = part.start + self._place + len(raw) - len(raw.lstrip())
        self._place = end + 1
        return _Field(self._decoded(raw.strip()), start)

    def rest(self) -> tuple[str, int, int]:
        """Return what is left, as lines, and where it stands."""
        texts, start, end = [], -1, -1
        while self._part < len(self._parts):
            part = self._parts[self._part]
            if self._place <= len(part.text):
                texts.append(self._decoded(part.text[self._place :].strip()))
                start = start if start >= 0 else part.start + self._place
                end = part.end
            self._part, self._place = self._part + 1, 0
        return "\n".join(texts).strip(), start, end


def _leaf(name: str, field: _Field | None, line: int) -> list[Element]:
    if field is None or not field.text:
        return []
    return [Element(name, field.text, (), line, field.start, field.start + len(field.text))]


def _number(field: _Field | None, what: str) -> int:
    if field is None or not _AMOUNT.fullmatch(field.text):
        raise _refused(f"{what} is no whole number", "LF-BAI2-FIELD")
    return int(field.text)


def _funds(cursor: _Cursor, line: int) -> list[Element]:
    """Return a funds type with what follows it."""
    kind = cursor.next()
    found = _leaf("funds_type", kind, line)
    word = kind.text.upper() if kind else ""
    if word not in ("", "Z", "0", "1", "2", "S", "V", "D"):
        raise _refused("a funds type is none of BAI2", "LF-BAI2-FIELD")
    for name in FUNDS.get(word, ()):
        found += _leaf(name, cursor.next(), line)
    if word == "D":
        count = _number(cursor.next(), "the number of distributions")
        if not 0 <= count <= _DISTRIBUTIONS_MAX:
            raise _refused(f"an amount is distributed over more than {_DISTRIBUTIONS_MAX} days", "LF-BAI2-SIZE")
        for _ in range(count):
            pair = [*_leaf("days", cursor.next(), line), *_leaf("amount", cursor.next(), line)]
            found.append(Element("distribution", "", pair, line))
    return found


class _Account:
    """Gathers the records of one account, the first refusal included."""

    def __init__(self, around: Sequence[Element], encoding: str) -> None:
        self._children, self._encoding = list(around), encoding
        self.total, self.records = 0, 0
        self.refused: RowRefused | None = None
        self.line = self.start = self.end = 0
        self.trailer: tuple[int, int] | None = None

    def take(self, parts: Sequence[_Record]) -> None:
        """Take a record with its continuations."""
        first = parts[0]
        if not self.records:
            self.line, self.start = first.line, first.start - 3
        self.records += len(parts)
        self.end = parts[-1].end
        try:
            if self.records > RECORDS_MAX:
                raise _refused(f"the account has more than {RECORDS_MAX} records", "LF-BAI2-SIZE")
            cursor = _Cursor(parts, self._encoding)
            if first.code == "03":
                self._identify(cursor, first)
            elif first.code == "16":
                self._children.append(self._movement(cursor, first))
            else:
                self._finish(cursor)
        except RowRefused as refused:
            self.refused = self.refused or refused

    def refuse(self, broken: Broken) -> None:
        """Refuse the account for a line that is no record."""
        self.end = broken.end
        self.refused = self.refused or broken.refused

    def _identify(self, cursor: _Cursor, first: _Record) -> None:
        number, currency = cursor.next(), cursor.next()
        self._children += [*_leaf("number", number, first.line), *_leaf("currency", currency, first.line)]
        while (code := cursor.next()) is not None:
            amount, count = cursor.next(), cursor.next()
            if not code.text and not (amount and amount.text):
                _funds(cursor, first.line)
                continue
            if not _TYPE.fullmatch(code.text):
                raise _refused("the type code of a summary is no three digits", "LF-BAI2-FIELD")
            if amount is not None and amount.text:
                self.total += _number(amount, "the amount of a summary")
            parts = [*_leaf("type", code, first.line), *_leaf("amount", amount, first.line)]
            parts += [*_leaf("count", count, first.line), *_funds(cursor, first.line)]
            self._children.append(Element("summary", "", parts, first.line, code.start))

    def _movement(self, cursor: _Cursor, first: _Record) -> Element:
        code, amount = cursor.next(), cursor.next()
        kind = kind_of(code.text if code else "")
        if amount is not None and amount.text:
            self.total += (value := _number(amount, "the amount of a movement"))
            if value < 0:
                raise _refused("a movement is negative, and its type says which way the money went", "LF-BAI2-FIELD")
        children = _leaf("type", code, first.line)
        children += [one._replace(name="kind", text=kind) for one in children] or [
            Element("kind", kind, (), first.line)
        ]
        children += [*_leaf("amount", amount, first.line), *_funds(cursor, first.line)]
        children += _leaf("bank_reference", cursor.next(), first.line)
        children += _leaf("customer_reference", cursor.next(), first.line)
        text, start, end = cursor.rest()
        if text:
            children.append(Element("text", text, (), first.line, start, end))
            children += _keyed(text, kind, first.line, start, end)
        return Element("movement", "", children, first.line, first.start - 3, self.end)

    def _finish(self, cursor: _Cursor) -> None:
        total = _number(cursor.next(), "the control total of the account")
        count = _number(cursor.next(), "the number of records of the account")
        self.trailer = (total, count)
        if total != self.total:
            raise _refused("the control total of the account is not the sum of its amounts", "LF-BAI2-TOTAL")
        if count != self.records:
            raise _refused("the account has not as many records as its trailer says", "LF-BAI2-TOTAL")

    def outcome(self) -> Element | Broken:
        """Return the account, or why it is none."""
        if self.trailer is None:
            self.refused = self.refused or _refused("the account has no trailer (49)", "LF-BAI2-CUT")
        if self.refused is not None:
            return Broken(self.line, self.start, self.end, self.refused)
        return Element("account", "", self._children, self.line, self.start, self.end)


def _keyed(text: str, kind: str, line: int, start: int, end: int) -> list[Element]:
    """Return what some banks write as `EREF: …` on continuation lines, each key once; and who the other side is.

    Of a credit that is the debtor (DBNM, DACT…), of a debit the creditor (CRNM, CACT…).
    """
    found: dict[str, str] = {}
    for one in text.splitlines():
        keyed = _KEYED.fullmatch(one)
        if keyed is not None and keyed[2].strip():
            found.setdefault(keyed[1], keyed[2].strip())
    for name, key in OTHER_SIDE.get(kind, ()):
        if key in found:
            found.setdefault(name, found[key])
    return [Element(key, value, (), line, start, end) for key, value in found.items()]


class _Sum:
    """What the trailer of a group or a file is checked against."""

    def __init__(self) -> None:
        self.total = self.parts = self.records = 0
        self.whole = True


class _File:
    """Goes through a file once."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        try:
            data.decode()
            self._encoding = "utf-8"
        except UnicodeDecodeError:
            self._encoding = "latin-1"
        self._around: dict[str, Element] = {}
        self._account: _Account | None = None
        self._group, self._file = _Sum(), _Sum()
        self._unmeant: RowRefused | None = None
        """Why the accounts of the group are not to be taken as booked."""

    def accounts(self) -> Iterator[Element | Broken]:
        """Yield accounts in the order of the file."""
        waiting: list[_Record] = []
        for record in _records(self._data):
            if isinstance(record, _Record) and record.code == "88" and waiting:
                waiting.append(record)
                continue
            if waiting:
                yield from self._take(waiting)
            waiting = [record] if isinstance(record, _Record) else []
            if isinstance(record, Broken):
                yield from self._broken(record)
        if waiting:
            yield from self._take(waiting)
        yield from self._unfinished()
        if self._group.parts or self._group.records:
            yield self._no_trailer()

    def _no_trailer(self) -> Broken:
        end = len(self._data)
        refused = _refused("the file ends without the trailers of its group and file (98, 99)", "LF-BAI2-CUT")
        return Broken(self._data.count(b"\n") + 1, end, end, refused)

    def _broken(self, record: Broken) -> Iterator[Broken]:
        self._group.whole = self._file.whole = False
        if self._account is None:
            yield record
        else:
            self._account.refuse(record)

    def _take(self, parts: Sequence[_Record]) -> Iterator[Element | Broken]:
        first = parts[0]
        if first.code in ("16", "49") and self._account is not None:
            self._account.take(parts)
            if first.code == "49":
                yield from self._done(self._account)
                self._account = None
        elif first.code == "03":
            yield from self._unfinished()
            self._account = _Account(list(self._around.values()), self._encoding)
            self._account.refused = self._unmeant
            self._account.take(parts)
        elif first.code in ("16", "49", "88"):
            broken = _refused("a record stands outside an account", "LF-BAI2-RECORD")
            yield Broken(first.line, first.start - 3, parts[-1].end, broken)
            self._group.whole = self._file.whole = False
        else:
            yield from self._unfinished()
            yield from self._frame(parts)

    def _done(self, account: _Account) -> Iterator[Element | Broken]:
        if account.refused is not None or account.trailer is None:
            self._group.whole = self._file.whole = False
        else:
            self._group.total += account.trailer[0]
            self._group.records += account.trailer[1]
        self._group.parts += 1
        yield account.outcome()

    def _unfinished(self) -> Iterator[Broken]:
        """Yield an account whose trailer did not come."""
        if self._account is not None:
            outcome = self._account.outcome()
            self._account = None
            self._group.whole = self._file.whole = False
            if isinstance(outcome, Broken):
                yield outcome

    def _frame(self, parts: Sequence[_Record]) -> Iterator[Broken]:
        """Take a header or trailer of a file or group."""
        first, cursor = parts[0], _Cursor(parts, self._encoding)
        try:
            if first.code in ("01", "02"):
                name, names = ("file", _FILE) if first.code == "01" else ("group", _GROUP)
                children = [leaf for one in names for leaf in _leaf(one, cursor.next(), first.line)]
                status = next((child.text for child in children if child.name == "status"), UPDATE)
                self._unmeant = NOT_BOOKED.get(status) if first.code == "02" else None
                children = [child for child in children if (child.name, child.text) != ("status", UPDATE)]
                self._around[name] = Element(name, "", children, first.line, first.start - 3, parts[-1].end)
                if first.code == "01":
                    self._file = _Sum()
                self._group = _Sum()
                self._group.records = len(parts) if first.code == "02" else 0
                self._file.records += len(parts) if first.code == "01" else 0
            elif first.code == "98":
                group, self._group = self._group, _Sum()
                self._file.total += group.total
                self._file.parts += 1
                self._file.records += group.records + len(parts)
                self._check(group, cursor, len(parts), "group")
            else:
                self._check(self._file, cursor, len(parts), "file")
        except RowRefused as refused:
            yield Broken(first.line, first.start - 3, parts[-1].end, refused)

    def _check(self, found: _Sum, cursor: _Cursor, own: int, what: str) -> None:
        """RowRefused when a trailer does not fit what stands in front of it; known damage has been told already."""
        says = [_number(cursor.next(), f"the trailer of the {what}") for _ in range(3)]
        if found.whole and says != [found.total, found.parts, found.records + own]:
            raise _refused(
                f"the trailer of the {what} does not fit what is in it: something is missing", "LF-BAI2-TOTAL"
            )
