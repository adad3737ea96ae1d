"""A first profile for a file that nobody knows yet (trees: adapters/infer_tree.py): what is sure is written, what is a guess is commented out with its reason.

- Encoding, delimiter and header line come from the bytes.
- A column is sure when its header is one that a known profile of the same message has (or the field's own name), and its
  values read as that field's kind; values alone never make a column sure, they only make a proposal.
- A zone, a currency and a country are nowhere in such a file: whoever asks states them, or the fields that need them wait.
- No value of the file is written into the profile or the report.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from adapters.decode import encoding_of
from adapters.errors import FileRefused
from adapters.guesses import NULLS, Asked, Guess, Proposal, Stated, Verdict, by_values, settled, tested, toml_text
from adapters.infer_lacks import lack_lines, lacks_of
from adapters.infer_sheets import Part, choose, sheet_lines
from adapters.infer_tree import infer_tree, seems_tree
from adapters.kinds import identifier, tidy
from adapters.known import Known, Vocabulary, plain, vocabulary
from adapters.lines import Row, rows_of
from adapters.looks import look_at
from adapters.profile import Mapping_, Source
from adapters.source_file import Given, head_of, size_of, whole
from adapters.table import require_clean
from adapters.workbook_file import MARK_BYTES, is_workbook, sheets_of

SAMPLE_ROWS_MAX = 2_000
SAMPLE_BYTES_MAX = 4 * 1024 * 1024
REASONS_MAX = 12
HEAD_BYTES = 4096
"""How much of a file is looked at to see whether it is XML or JSON."""
_DELIMITERS = ",\t;|"
_DELIMITER_ROWS = 200
_WIDTH_MIN = 2
WORKBOOK = "workbook"
"""What is said of a workbook in place of an encoding."""
_SPACES = re.compile(r"\s+")
_ISO_LETTERS = 3


def infer(data: Given, message: str, name: str, stated: Stated) -> Proposal:
    """Propose a profile for a table, XML or JSON. FileRefused when it is none, or nothing in it is sure."""
    if not seems_tree(head_of(data, HEAD_BYTES)):
        return _infer_table(data, message, name, stated)
    try:
        return infer_tree(data, message, name, stated)
    except FileRefused as tree:
        try:
            return _infer_table(data, message, name, stated)
        except FileRefused:
            raise tree from None


def _infer_table(data: Given, message: str, name: str, stated: Stated) -> Proposal:
    known = vocabulary(message)
    verdicts: tuple[Verdict, ...] = ()
    if is_workbook(head_of(data, MARK_BYTES)):
        encoding, delimiter = WORKBOOK, ","
        table, verdicts = _sheet(data, known, stated)
    else:
        encoding = encoding_of(data, ["utf-8-sig", "gb18030"])
        delimiter, rows = _rows(data, encoding)
        table = _table(rows, known, stated)
    guesses, place = table.guesses, table.place
    if not any(guess.written and guess.known for guess in guesses):
        reasons = "; ".join(f"{guess.header}: {guess.why}" for guess in guesses[:REASONS_MAX])
        raise FileRefused(
            f"nothing in the file is surely a field of {message}: {reasons}",
            cure="begin with the profile nearest to it and name the columns yourself",
            code="LF-MAP-NOTHING-SURE",
        )
    below = table.rows[place + 1 :]
    cells = {tidy(cell) for row in below if len(row) == len(table.headers) for cell in row}
    nulls = ["", *(word for word in NULLS if word in cells)]
    footers = [word for word in known.footers if any(row and tidy(row[0]).startswith(word) for row in below)]
    written = {"utf-8": "utf-8-sig"}.get(encoding, encoding)
    lacks = lacks_of(message, guesses, known)
    head = _Head(name, message, written, delimiter, place, nulls, footers, table.asked, verdicts)
    form = "xlsx" if encoding == WORKBOOK else "csv"
    toml = "\n".join([*_toml(head, guesses), *lack_lines(lacks, "field")]) + "\n"
    return Proposal(toml, encoding, delimiter, place + 1, tuple(guesses), form, sheets=verdicts, lacks=lacks)


class _Table(NamedTuple):
    """Rows with their header found, and what its columns are taken for."""

    rows: list[list[str]]
    place: int
    headers: tuple[str, ...]
    guesses: list[Guess]
    asked: Asked


def _table(rows: list[list[str]], known: Vocabulary, stated: Stated, *, sheet: bool = False) -> _Table:
    place = _header(rows)
    cells = [identifier(tidy(cell)) for cell in rows[place]]
    headers = [_SPACES.sub(" ", cell) for cell in cells] if sheet else cells
    require_clean(headers, "the header line")
    below = [row for row in rows[place + 1 :] if len(row) == len(headers)]
    asked = Asked(known, stated, _has_currency(headers, below, known))
    guesses = settled([_guess(header, [row[at] for row in below], asked) for at, header in enumerate(headers)])
    return _Table(rows, place, tuple(headers), guesses, asked)


def _rows(given: Given, encoding: str) -> tuple[str, list[list[str]]]:
    """Return the delimiter and the first rows, cut as they will be when the profile reads them; none of what cannot be."""
    start = head_of(given, SAMPLE_BYTES_MAX)
    if len(start) < size_of(given):
        start = start[: start.rfind(b"\n") + 1]
    delimiter = _delimiter(start, encoding)
    return delimiter, [row.cells for row in islice(_cut(start, encoding, delimiter), SAMPLE_ROWS_MAX)]


def _sheet(given: Given, known: Vocabulary, stated: Stated) -> tuple[_Table, tuple[Verdict, ...]]:
    """Return the table of a workbook, and where it has several sheets with rows what is thought of each. FileRefused."""
    sheets = sheets_of(whole(given))
    if len(sheets) == 1:
        return _table(sheets[0].rows[:SAMPLE_ROWS_MAX], known, stated, sheet=True), ()
    tables: list[_Table | None] = []
    for sheet in sheets:
        try:
            tables.append(_table(sheet.rows[:SAMPLE_ROWS_MAX], known, stated, sheet=True))
        except FileRefused:
            tables.append(None)
    place, verdicts = choose([_part(sheet.name, table) for sheet, table in zip(sheets, tables, strict=True)])
    table = tables[place]
    assert table is not None, "a sheet that fits has a header"
    return table, verdicts


def _part(name: str, table: _Table | None) -> Part:
    if table is None:
        return Part(name, (), frozenset())
    known = frozenset(guess.known.path for guess in table.guesses if guess.written and guess.known)
    return Part(name, table.headers, known)


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


def _guess(header: str, cells: list[str], asked: Asked) -> Guess:
    values = [text for cell in cells if (text := tidy(cell)) and text not in NULLS]
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
        return by_values(header, look, known)
    return max((tested(header, field, values, look, asked) for field in named), key=lambda guess: guess.sure)


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
    asked: Asked
    sheets: tuple[Verdict, ...] = ()


def _toml(head: _Head, guesses: list[Guess]) -> Iterator[str]:
    sure = [guess for guess in guesses if guess.written]
    needed = [guess for guess in sure if guess.known and guess.known.verbs.check.required] or sure
    yield from (
        "#:schema ./profile.schema.json",
        "# Proposed by `lianfang map infer`. What is commented out is not sure.",
    )
    yield from ("[profile]", f"name = {toml_text(head.name)}", 'version = "1"', f"title = {toml_text(head.name)}", "")
    if head.encoding == WORKBOOK:
        yield from ("[source]", 'format = "xlsx"')
    else:
        yield from ("[source]", 'format = "csv"', f"encodings = [{toml_text(head.encoding)}]")
        yield f"delimiter = {toml_text(head.delimiter)}"
    yield f"null = {toml_text(head.nulls)}"
    if head.footers:
        yield f"footer = {toml_text(head.footers)}  # a row that begins so, and lacks what is required, is no record"
    for key in ("zone", "currency", "region"):
        given = getattr(head.asked.stated, key)
        yield f"{key} = {toml_text(given)}" if given else f"# {key} = ?  # no cell says it"
    if head.asked.has_currency and head.asked.known.currencies:
        pairs = (f"{toml_text(name)} = {toml_text(code)}" for name, code in head.asked.known.currencies.items())
        yield f"currencies = {{ {', '.join(pairs)} }}"
    yield from ("", "[source.header]", f"required = {toml_text([_column(guess) for guess in needed])}")
    yield from (f"lines_before_max = {head.preamble}", "", "[source.columns]")
    for guess in guesses:
        mark = "" if guess.written else "# "
        yield f"{mark}{_column(guess)} = [{toml_text(guess.header)}]  # {guess.sure:.0%} sure: {guess.why}"
    yield from sheet_lines(head.sheets)
    yield from ("", "[target]", f"message = {toml_text(head.message)}", "version = 1")
    for guess in guesses:
        if guess.known is not None:
            mark = "" if guess.written else "# "
            yield from ("", *(f"{mark}{line}" for line in _verbs(guess, guess.known, head.asked)))
    tables = {guess.known.verbs.map.table: guess.known.table for guess in sure if guess.known and guess.known.verbs.map}
    for name, table in tables.items():
        yield from ("", f"[table.{name}]", *(f"{toml_text(word)} = {toml_text(code)}" for word, code in table.items()))


def _column(guess: Guess) -> str:
    """Return our name of a column, made of the field's path: a key that TOML takes bare."""
    if guess.known is None:
        return "currency" if guess.is_currency else "unknown"
    return guess.known.path.replace("[0]", "").replace(".", "_")


def _verbs(guess: Guess, field: Known, asked: Asked) -> Iterator[str]:
    verbs: Mapping_ = field.verbs
    yield from (f"[field.{toml_text(field.path)}]", f"from = {toml_text(_column(guess))}")
    if verbs.split:
        part = "" if verbs.split.part is None else f", part = {verbs.split.part}"
        yield f"split = {{ at = {toml_text(verbs.split.at)}{part} }}"
    formats = f", formats = {toml_text(list(guess.formats))}" if verbs.parse.kind == "instant" else ""
    scheme = f", scheme = {toml_text(verbs.parse.scheme)}" if verbs.parse.scheme else ""
    currency = ', currency_from = "currency"' if verbs.parse.kind == "money" and asked.has_currency else ""
    yield f"parse = {{ as = {toml_text(verbs.parse.kind)}{formats}{scheme}{currency} }}"
    if verbs.parse.kind == "money":
        yield f"scale = {verbs.scale}"
    if verbs.map:
        yield f"map = {{ table = {toml_text(verbs.map.table)}, unknown = {toml_text(verbs.map.unknown)} }}"
    if verbs.check.required:
        yield "check = { required = true }"
