"""A first profile for a table that nobody knows yet: what is sure is written, what is a guess is commented out with its reason.

- Encoding, delimiter and header line come from the bytes.
- A column is sure when its header is one that a known profile of the same message has (or the field's own name), and its
  values read as that field's kind; values alone never make a column sure, they only make a proposal.
- A zone, a currency and a country are nowhere in such a file: whoever asks states them, or the fields that need them wait.
- No value of the file is written into the profile or the report.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from adapters.decode import encoding_of
from adapters.errors import FileRefused
from adapters.kinds import identifier, tidy
from adapters.known import Known, Vocabulary, plain, vocabulary
from adapters.lines import Row, rows_of
from adapters.looks import Look, look_at
from adapters.profile import Mapping_, Source
from adapters.source_file import Given, head_of, size_of, whole
from adapters.workbook_file import MARK_BYTES, is_workbook, sheets_of

SAMPLE_ROWS_MAX = 2_000
SAMPLE_BYTES_MAX = 4 * 1024 * 1024
SURE = 0.95
REASONS_MAX = 12
_DELIMITERS = ",\t;|"
_DELIMITER_ROWS = 200
_NULLS = ("-", "--", "\\N", "NULL", "null", "N/A")
_WIDTH_MIN = 2
WORKBOOK = "workbook"
"""What is said of a workbook in place of an encoding."""
_SPACES = re.compile(r"\s+")
_ISO_LETTERS = 3


@dataclass(frozen=True)
class Stated:
    """What the person states, because no file says it. Empty: not stated."""

    zone: str = ""
    currency: str = ""
    region: str = ""


@dataclass(frozen=True)
class Guess:
    """What one column is taken for."""

    header: str
    known: Known | None
    sure: float
    """From 0 to 1; written as it stands only from `SURE` on."""
    why: str
    formats: tuple[str, ...] = ()
    is_currency: bool = False

    @property
    def written(self) -> bool:
        """Whether it stands in the profile, or only in a comment."""
        return (self.known is not None or self.is_currency) and self.sure >= SURE


@dataclass(frozen=True)
class Proposal:
    """A profile, with how sure each part of it is."""

    toml: str
    encoding: str
    delimiter: str
    header_line: int
    guesses: tuple[Guess, ...]

    def as_json(self) -> dict[str, Any]:
        """Return what is told of it."""
        return {
            "encoding": self.encoding,
            "delimiter": self.delimiter,
            "header_line": self.header_line,
            "columns": [
                {
                    "column": guess.header,
                    "field": guess.known.path if guess.known else None,
                    "sure": guess.sure,
                    "written": guess.written,
                    "why": guess.why,
                }
                for guess in self.guesses
            ],
        }


def infer(data: Given, message: str, name: str, stated: Stated) -> Proposal:
    """Propose a profile for a table. FileRefused when it is none, or nothing in it is sure."""
    workbook = is_workbook(head_of(data, MARK_BYTES))
    encoding = WORKBOOK if workbook else encoding_of(data, ["utf-8-sig", "gb18030"])
    delimiter, rows = (",", _sheet(data)) if workbook else _rows(data, encoding)
    place = _header(rows)
    headers = [
        _SPACES.sub(" ", name) if workbook else name for cell in rows[place] for name in [identifier(tidy(cell))]
    ]
    below = [row for row in rows[place + 1 :] if len(row) == len(headers)]
    known = vocabulary(message)
    asked = _Asked(known, stated, _has_currency(headers, below, known))
    guesses = _settled([_guess(header, [row[at] for row in below], asked) for at, header in enumerate(headers)])
    if not any(guess.written and guess.known for guess in guesses):
        reasons = "; ".join(f"{guess.header}: {guess.why}" for guess in guesses[:REASONS_MAX])
        raise FileRefused(
            f"nothing in the file is surely a field of {message}: {reasons}",
            cure="begin with the profile nearest to it and name the columns yourself",
            code="LF-MAP-NOTHING-SURE",
        )
    nulls = ["", *(word for word in _NULLS if any(tidy(cell) == word for row in below for cell in row))]
    footers = [
        word for word in known.footers if any(row and tidy(row[0]).startswith(word) for row in rows[place + 1 :])
    ]
    written = {"utf-8": "utf-8-sig"}.get(encoding, encoding)
    head = _Head(name, message, written, delimiter, place, nulls, footers, asked)
    return Proposal("\n".join(_toml(head, guesses)) + "\n", encoding, delimiter, place + 1, tuple(guesses))


def _rows(given: Given, encoding: str) -> tuple[str, list[list[str]]]:
    """Return the delimiter and the first rows, cut as they will be when the profile reads them; none of what cannot be."""
    start = head_of(given, SAMPLE_BYTES_MAX)
    if len(start) < size_of(given):
        start = start[: start.rfind(b"\n") + 1]
    delimiter = _delimiter(start, encoding)
    return delimiter, [row.cells for row in islice(_cut(start, encoding, delimiter), SAMPLE_ROWS_MAX)]


def _sheet(given: Given) -> list[list[str]]:
    """Return the first rows of a workbook's only sheet with rows. FileRefused when there are several: which one, nobody says."""
    sheets = sheets_of(whole(given))
    if len(sheets) != 1:
        names = ", ".join(sheet.name for sheet in sheets) or "none"
        raise FileRefused(
            f"a profile is proposed for one sheet, and these hold rows: {names}",
            cure="leave one sheet in a copy of the workbook; a profile names further ones with [[source.sheet]]",
            code="LF-FILE-SHEET",
        )
    return sheets[0].rows[:SAMPLE_ROWS_MAX]


def _cut(data: bytes, encoding: str, delimiter: str) -> Iterator[Row]:
    return rows_of(data, encoding, Source(format="csv", delimiter=delimiter))


def _delimiter(data: bytes, encoding: str) -> str:
    scores = {}
    for mark in _DELIMITERS:
        widths = Counter(len(row.cells) for row in islice(_cut(data, encoding, mark), _DELIMITER_ROWS))
        width, count = max(
            ((w, n) for w, n in widths.items() if w >= _WIDTH_MIN), key=lambda one: one[1], default=(0, 0)
        )
        scores[mark] = (count, width)
    return max(scores, key=lambda mark: scores[mark])


def _header(rows: list[list[str]]) -> int:
    """Return the place of the header: the first row of the usual width whose cells are all words, and all different."""
    widths = Counter(len(row) for row in rows if len(row) >= _WIDTH_MIN)
    usual = widths.most_common(1)[0][0] if widths else 0
    for place, row in enumerate(rows):
        cells = [tidy(cell) for cell in row if tidy(cell)]
        words = [cell for cell in cells if any(character.isalpha() for character in cell)]
        if usual and len(row) == usual and len(words) == len(cells) == len(set(cells)) >= _WIDTH_MIN:
            return place
    raise FileRefused(
        "the file has no line that could be a table's header",
        cure="check that it is a table with a header line",
        code="LF-FILE-NO-HEADER",
    )


@dataclass(frozen=True)
class _Asked:
    """What a column is compared with."""

    known: Vocabulary
    stated: Stated
    has_currency: bool
    """Whether a column of its own names the currency of every row."""


def _has_currency(headers: list[str], rows: list[list[str]], known: Vocabulary) -> bool:
    places = [place for place, header in enumerate(headers) if plain(header) in known.currency_headers]
    names = {*known.currencies, *known.currencies.values()}
    return (
        len(places) == 1
        and bool(rows)
        and all(
            (text := tidy(row[places[0]])) in names or (text.isascii() and text.isupper() and len(text) == _ISO_LETTERS)
            for row in rows
        )
    )


def _guess(header: str, cells: list[str], asked: _Asked) -> Guess:
    values = [text for cell in cells if (text := tidy(cell)) and text not in _NULLS]
    look = look_at(values)
    known = asked.known.fields
    if not header:
        return Guess("", None, 0.0, "it has no header")
    if plain(header) in asked.known.currency_headers:
        if asked.has_currency:
            return Guess(header, None, 1.0, "it names the currency of every row", is_currency=True)
        return Guess(header, None, 0.5, "it does not name a currency in every row", is_currency=True)
    named = [field for field in known if plain(header) in field.headers]
    paths = dict.fromkeys(field.path for field in named)
    if len(paths) > 1:
        return Guess(header, None, 0.0, f"the header is known for several fields: {', '.join(paths)}")
    if not named:
        return _by_values(header, look, known)
    return max((_tested(header, field, values, look, asked) for field in named), key=lambda guess: guess.sure)


def _by_values(header: str, look: Look, known: tuple[Known, ...]) -> Guess:
    """Propose a field for a header that nobody knows, from what its values look like; never sure."""
    fits = [field for field in known if field.verbs.parse.kind == look.kind]
    if not look.kind or not fits:
        return Guess(header, None, 0.0, "the header is not known, and the values do not show what they are")
    others = ", ".join(dict.fromkeys(field.path for field in fits if field.path != fits[0].path))
    others = f"; it could also be {others}" if others else ""
    why = f"the header is not known; {look.share:.0%} of the values look like {look.words}{others}"
    return Guess(header, fits[0], round(look.share / 2, 2), why, look.formats)


def _tested(header: str, field: Known, values: list[str], look: Look, asked: _Asked) -> Guess:
    stated = asked.stated
    kind = field.verbs.parse.kind
    if not values:
        return Guess(header, field, 0.5, "the header is known, but the column is empty in this file")
    for needed, given, option in (("instant", stated.zone, "zone"), ("phone", stated.region, "region")):
        if kind == needed and not given:
            return Guess(
                header, field, 0.5, f"the header is known; state the {option}, which no cell says", look.formats
            )
    if kind == "money" and not (stated.currency or asked.has_currency):
        return Guess(header, field, 0.5, "the header is known; state the currency, which no cell says")
    if kind == "instant" and (look.kind != "instant" or look.ambiguous):
        why = "day and month could be either way about" if look.ambiguous else "the values are not all dates"
        return Guess(header, field, 0.5, f"the header is known; {why}", look.formats)
    if kind == "text" and not field.verbs.map and look.kind in ("id", "account"):
        return Guess(header, field, 0.3, f"the header is known, but the values look like {look.words}")
    share = field.share_read(values, look.formats, stated.zone, stated.region)
    why = f"the header is known, and {share:.0%} of {len(values)} values read as {kind}"
    return Guess(header, field, round(share, 2) if share < 1 else 1.0, why, look.formats)


def _settled(guesses: list[Guess]) -> list[Guess]:
    """Make unsure what two columns claim."""
    claims = Counter(guess.known.path for guess in guesses if guess.known and guess.written)
    return [
        Guess(guess.header, guess.known, 0.5, "another column claims the same field", guess.formats)
        if guess.known and guess.written and claims[guess.known.path] > 1
        else guess
        for guess in guesses
    ]


@dataclass(frozen=True)
class _Head:
    """What stands above the columns."""

    name: str
    message: str
    encoding: str
    delimiter: str
    preamble: int
    nulls: list[str]
    footers: list[str]
    asked: _Asked


def _toml(head: _Head, guesses: list[Guess]) -> Iterator[str]:
    sure = [guess for guess in guesses if guess.written]
    needed = [guess for guess in sure if guess.known and guess.known.verbs.check.required] or sure
    yield from (
        "#:schema ./profile.schema.json",
        "# Proposed by `lianfang map infer`. What is commented out is not sure.",
    )
    yield from ("[profile]", f"name = {_text(head.name)}", 'version = "1"', f"title = {_text(head.name)}", "")
    if head.encoding == WORKBOOK:
        yield from ("[source]", 'format = "xlsx"')
    else:
        yield from ("[source]", 'format = "csv"', f"encodings = [{_text(head.encoding)}]")
        yield f"delimiter = {_text(head.delimiter)}"
    yield f"null = {_text(head.nulls)}"
    if head.footers:
        yield f"footer = {_text(head.footers)}  # a row that begins so, and lacks what is required, is no record"
    for key in ("zone", "currency", "region"):
        given = getattr(head.asked.stated, key)
        yield f"{key} = {_text(given)}" if given else f"# {key} = ?  # no cell says it"
    if head.asked.has_currency and head.asked.known.currencies:
        pairs = (f"{_text(name)} = {_text(code)}" for name, code in head.asked.known.currencies.items())
        yield f"currencies = {{ {', '.join(pairs)} }}"
    yield from ("", "[source.header]", f"required = {_text([_column(guess) for guess in needed])}")
    yield from (f"lines_before_max = {head.preamble}", "", "[source.columns]")
    for guess in guesses:
        mark = "" if guess.written else "# "
        yield f"{mark}{_column(guess)} = [{_text(guess.header)}]  # {guess.sure:.0%} sure: {guess.why}"
    yield from ("", "[target]", f"message = {_text(head.message)}", "version = 1")
    for guess in guesses:
        if guess.known is not None:
            mark = "" if guess.written else "# "
            yield from ("", *(f"{mark}{line}" for line in _verbs(guess, guess.known, head.asked)))
    tables = {guess.known.verbs.map.table: guess.known.table for guess in sure if guess.known and guess.known.verbs.map}
    for name, table in tables.items():
        yield from ("", f"[table.{name}]", *(f"{_text(word)} = {_text(code)}" for word, code in table.items()))


def _column(guess: Guess) -> str:
    """Return our name of a column, made of the field's path: a key that TOML takes bare."""
    if guess.known is None:
        return "currency" if guess.is_currency else "unknown"
    return guess.known.path.replace("[0]", "").replace(".", "_")


def _verbs(guess: Guess, field: Known, asked: _Asked) -> Iterator[str]:
    verbs: Mapping_ = field.verbs
    yield from (f"[field.{_text(field.path)}]", f"from = {_text(_column(guess))}")
    if verbs.split:
        part = "" if verbs.split.part is None else f", part = {verbs.split.part}"
        yield f"split = {{ at = {_text(verbs.split.at)}{part} }}"
    formats = f", formats = {_text(list(guess.formats))}" if verbs.parse.kind == "instant" else ""
    scheme = f", scheme = {_text(verbs.parse.scheme)}" if verbs.parse.scheme else ""
    currency = ', currency_from = "currency"' if verbs.parse.kind == "money" and asked.has_currency else ""
    yield f"parse = {{ as = {_text(verbs.parse.kind)}{formats}{scheme}{currency} }}"
    if verbs.parse.kind == "money":
        yield f"scale = {verbs.scale}"
    if verbs.map:
        yield f"map = {{ table = {_text(verbs.map.table)}, unknown = {_text(verbs.map.unknown)} }}"
    if verbs.check.required:
        yield "check = { required = true }"


def _text(value: Any) -> str:
    """Return a text, or a list of texts, as TOML has it: JSON is TOML here, but for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
