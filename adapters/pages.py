"""A page per profile, generated from it: how the source is written, its columns, each field, code tables, what can go wrong."""

from collections.abc import Iterator, Mapping, Sequence

from adapters.page_legend import legend
from adapters.plan import ITSELF, field_at
from adapters.profile import ROWS, Each, FooterCheck, Mapping_, Profile, Record, Source
from adapters.readers import READERS
from adapters.tree_plan import constants, fields_of, lists_of, sums_of
from adapters.words import counted
from adapters.write import TABLES
from schemas import registry
from schemas.field_classes import INHERIT, field_class

_TEXT = ("LF-ROW-CONTROL", "LF-ROW-MOJIBAKE")
_LOSSY = "LF-ROW-LOSSY-NUMBER"
_REFUSALS: dict[str, tuple[str, ...]] = {
    "text": _TEXT,
    "account": ("LF-ROW-ACCOUNT", _LOSSY),
    "bank": ("LF-ROW-BANK", _LOSSY),
    "id": ("LF-ROW-ID", _LOSSY),
    "phone": ("LF-ROW-PHONE", _LOSSY),
    "tn": ("LF-ROW-PHONE", _LOSSY),
    "money": ("LF-ROW-AMOUNT", "LF-ROW-CURRENCY", _LOSSY),
    "magnitude": ("LF-ROW-AMOUNT", "LF-ROW-CURRENCY", _LOSSY),
    "instant": ("LF-ROW-DATE", _LOSSY),
    "integer": ("LF-ROW-INTEGER",),
    "boolean": ("LF-ROW-BOOLEAN",),
    "stix-pattern": ("LF-ROW-STIX-PATTERN",),
    "duration": ("LF-ROW-DURATION",),
    "hex": ("LF-ROW-HEX",),
    "paper": ("LF-ROW-PAPER", "LF-ROW-PAPER-SIZE"),
}
"""What a kind of text can be refused for; a test compares it with the code."""
_JSON = ("LF-JSON-DEPTH", "LF-JSON-ELEMENTS", "LF-JSON-ENCODING", "LF-JSON-REPEATED", "LF-JSON-SIZE", "LF-JSON-SYNTAX")
_FORMATS: dict[str, tuple[str, ...]] = {
    "csv": ("LF-ROW-QUOTE", "LF-ROW-SIZE", "LF-ROW-WIDTH", "LF-FILE-AMBIGUOUS-HEADER", "LF-FILE-COLUMNS", "LF-FILE-EMPTY",
            "LF-FILE-ENCODING", "LF-FILE-NO-HEADER", "LF-FILE-SIZE"),
    "xlsx": ("LF-ROW-QUOTE", "LF-ROW-SIZE", "LF-ROW-WIDTH", "LF-FILE-AMBIGUOUS-HEADER", "LF-FILE-COLUMNS", "LF-FILE-EMPTY",
             "LF-FILE-ENCODING", "LF-FILE-ENCRYPTED", "LF-FILE-NO-HEADER", "LF-FILE-SHEET", "LF-FILE-SIZE",
             "LF-FILE-WORKBOOK", "LF-FILE-WORKBOOK-DAMAGED", "LF-FILE-WORKBOOK-LIMIT"),
    "xml": ("LF-XML-DEPTH", "LF-XML-DTD", "LF-XML-ELEMENTS", "LF-XML-ENCODING", "LF-XML-SIZE", "LF-XML-SYNTAX"),
    "json": _JSON,
    "stix": _JSON,
    "misp": _JSON,
    "freeswitch": _JSON,
    "fin": ("LF-FILE-ENCODING", "LF-FIN-BALANCE", "LF-FIN-BLOCK", "LF-FIN-CUT", "LF-FIN-DATE", "LF-FIN-EMPTY", "LF-FIN-FIELD",
            "LF-FIN-NAK", "LF-FIN-NO-MESSAGE", "LF-FIN-PAGE", "LF-FIN-SIZE", "LF-FIN-STATEMENT", "LF-FIN-TYPE"),
    "nacha": ("LF-FILE-EMPTY", "LF-NACHA-CUT", "LF-NACHA-FIELD", "LF-NACHA-ORDER", "LF-NACHA-SIZE", "LF-NACHA-TOTAL",
              "LF-NACHA-WIDTH"),
    "bai2": ("LF-BAI2-CUT", "LF-BAI2-FIELD", "LF-BAI2-HEADER", "LF-BAI2-RECORD", "LF-BAI2-SIZE", "LF-BAI2-STATUS", "LF-BAI2-TOTAL"),
    "fedwire": ("LF-FEDWIRE-CUT", "LF-FEDWIRE-FIELD", "LF-FEDWIRE-NO-MESSAGE", "LF-FEDWIRE-SIZE", "LF-FEDWIRE-TAG", "LF-FEDWIRE-TEST"),
    "ber": ("LF-BER-CUT", "LF-BER-DEPTH", "LF-BER-EMPTY", "LF-BER-FIELD", "LF-BER-LENGTH", "LF-BER-SIZE", "LF-BER-TAG"),
    "passport": ("LF-ROW-TOKEN", "LF-FILE-CERTIFICATE", "LF-FILE-NO-TOKEN", "LF-FILE-SIZE"),
}  # fmt: skip


def page(profile: Profile) -> str:
    """Return the page of a profile, in Markdown."""
    return "\n".join(_lines(profile)) + "\n"


def index(profiles: Mapping[str, Profile]) -> str:
    """Return the page that lists the profiles."""
    rows = [
        (f"[{name}]({name}.md)", profile.file.source.format, _ways(profile), profile.message, profile.title)
        for name, profile in profiles.items()
    ]
    head = ["# Local formats", "", "Written by `lianfang map docs`; each page comes from its profile.", ""]
    table = _table(("profile", "format", "reads or writes", "messages", "what it is"), rows)
    return "\n".join([*head, *table, *legend()]) + "\n"


def _lines(profile: Profile) -> Iterator[str]:
    yield from (
        f"# {profile.name}",
        "",
        f"{profile.title}. Version {profile.version}. {_ways(profile).capitalize()}.",
        "",
    )
    for note in profile.notes:
        yield from (note, "")
    yield "Written by `lianfang map docs` from the profile; change that. [How to read it](README.md#how-to-read-a-page)."
    yield from ("", "## The source", "")
    yield from _table(("", ""), _facts(profile))
    yield from _sheets(profile)
    if profile.file.source.columns:
        yield from ("", "## Columns", "")
        header = profile.file.source.header
        required = header.required if header else []
        known_by = "cell of the row, from 1" if header and header.looks else "headers in files"
        yield from _table(
            ("column", known_by, "needed"),
            [
                (name, _code(*spellings), "yes" if name in required else "")
                for name, spellings in profile.file.source.columns.items()
            ],
        )
    if profile.file.source.preamble:
        yield from (
            "",
            "Above the header, each from a line that matches as a whole; its text is what the first group catches:",
            "",
        )
        rows = [(name, _code(pattern)) for name, pattern in profile.file.source.preamble.items()]
        yield from _table(("column", "pattern of the line"), rows)
    if profile.file.target is not None:
        yield from ("", f"## {profile.message}", "", *_fields(profile, profile.message, profile.file.field))
    for record in profile.file.record:
        yield from _record(profile, record)
    for name, table in profile.file.table.items():
        rows = [(_code(text), _code(word)) for text, word in table.items()]
        yield from ("", f"## Table {name}", "", *_table(("in the file", "becomes"), rows))
    yield from ("", "## What can go wrong", "", "Causes and cures: [errors.md](../errors.md).", "")
    yield from (f"- `{code}`" for code in refusals(profile))


def _record(profile: Profile, record: Record) -> Iterator[str]:
    """Yield what stands of one kind of record: where it is, its fields, and its lists."""
    source, code = profile.file.source, f"{profile.file.code_prefix}{record.label}"
    writes = profile.file.writing.writes if profile.file.writing is not None else []
    ways = [("read", not source.reads or code in source.reads), ("written", code in writes)]
    way = " and ".join(name for name, holds in ways if holds) or "read"
    named = f" ({record.name})" if record.code and record.name else ""
    yield from ("", f"## {code}: {record.message}, {way}{named}", "")
    yield f"It stands at {_code(record.at)}." if record.at else "It is the root."
    if record.condition:
        yield f"Only if {_code(record.condition)}."
    if record.spread:
        yield f"Where {_code(record.spread)} is longer than one message takes, it becomes several."
    yield ""
    if record.layout:
        yield from (f"Elements in order: {_code(*record.layout)}.", "")
    yield from _fields(profile, record.message, {**constants(record.const), **fields_of(profile, record)})
    yield from _lists(profile, record.message, lists_of(profile, record), "")
    for rule in sums_of(profile, record):
        only = f", if {_code(rule.condition)}" if rule.condition else ""
        yield from ("", f"The elements {_code(rule.of)} of {_code(rule.over)} must come to its amount{only}.")
        yield f"Each counts with {_signed(rule.amount)}; the amount is {_signed(rule.total)}."
        if rule.besides:
            yield f"What is missing, or too much, may be all that stands at one of {_code(*rule.besides)}."


def _signed(verbs: Mapping_) -> str:
    """Return where an amount stands, and what makes it negative."""
    sign = verbs.parse.negative
    return _from(verbs) + (f", negative where {_code(sign.source)} is {_code(*sign.among)}" if sign is not None else "")


def _lists(profile: Profile, message: str, lists: Mapping[str, Each], prefix: str) -> Iterator[str]:
    """Yield the lists of a record, or of an element of a list, each with its fields."""
    for name, each in lists.items():
        path = f"{prefix}{each.into or name}"
        only = f", if {_code(each.condition)}" if each.condition else ""
        yield from ("", f"`{path}`, an element for each {_code(each.over)}{only}:", "")
        if each.layout:
            yield from (f"Elements in order: {_code(*each.layout)}.", "")
        fields = {**constants(each.const), **fields_of(profile, each)}
        inside = {path if one == ITSELF else f"{path}.{one}": verbs for one, verbs in fields.items()}
        yield from _fields(profile, message, inside)
        yield from _lists(profile, message, lists_of(profile, each), f"{path}.")


def _ways(profile: Profile) -> str:
    return "read and written" if profile.file.writing is not None else "read"


def _facts(profile: Profile) -> list[tuple[str, ...]]:
    source, writing = profile.file.source, profile.file.writing
    known = {
        "format": source.format,
        "encodings": _code(*source.encodings) if source.format in TABLES else "",
        "delimiter": _code(source.delimiter) if source.format in TABLES else "",
        "the header stands within": counted(source.header.lines_before_max + 1, "line")
        if source.header and not source.header.looks
        else "",
        "words that mean nothing": _code(*(word or "(empty)" for word in source.null)),
        "times without a zone are of": source.zone,
        "amounts without a currency are in": source.currency,
        "other names of currencies": _code(*(f"{name} = {code}" for name, code in source.currencies.items())),
        "numbers without a country are of": source.region,
        "a row that begins so is no record": _code(*source.footer),
        "a line of types under the header": _code(source.under_header),
        "no header line; the first row must have": _looks(source),
        "figures that are counted again": "; ".join(map(_counted_again, source.footer_check)),
        "known, and carries nothing": _code(*source.ignore),
        "one message for": _gathered(source),
        "its code stands at": _code(source.code_from),
        "each line is a document": "yes" if source.lines else "",
        "a document type at the beginning": "passed over, where it declares nothing" if source.document_type else "",
        "namespaces": _code(*source.namespace),
        "must fit the schema": _code(source.xsd),
        "codes read": _code(*source.reads),
        "codes written": _code(*writing.writes) if writing else "",
        "columns written": _code(*writing.columns) if writing else "",
    }
    return [(name, text) for name, text in known.items() if text]


def _gathered(source: Source) -> str:
    if not source.group_as:
        return "each row" if source.format in TABLES else ""
    lines = f"at most {counted(source.group_max, 'line')}; then the next begins"
    return f"all rows of one {_code(source.group_by)}, {lines}" if source.group_by else f"all rows of the file, {lines}"


def _looks(source: Source) -> str:
    looks = source.header.looks if source.header else {}
    return ", ".join(f"{name} like {_code(pattern)}" for name, pattern in looks.items())


def _counted_again(check: FooterCheck) -> str:
    what = "the rows" if check.counts == ROWS else f"the sum of {_code(check.counts)}"
    only = f", of rows whose {_code(check.only.source)} is {_code(*check.only.among)}" if check.only is not None else ""
    return f"{_code(check.pattern)}: {what}{only}"


def _sheets(profile: Profile) -> Iterator[str]:
    """Yield the sheets of a workbook: how they are called, and what the sheet column says of their rows."""
    source = profile.file.source
    if not source.sheet:
        return
    yield from ("", "## Sheets", "", "A sheet with rows that none of these names refuses the whole file.", "")
    rows = [
        (
            _code(rule.name),
            "is passed over" if rule.ignore else f"{_code(source.sheet_column)} is {_code(rule.kind)}",
            ", ".join(rule.required),
        )
        for rule in source.sheet
    ]
    yield from _table(
        ("name, whatever the case", "its rows", "columns of its header, where they are not those below"), rows
    )


def _fields(profile: Profile, message: str, fields: Mapping[str, Mapping_]) -> Iterator[str]:
    rows = [
        (f"`{path}`", _class_of(profile, message, path), _from(verbs), _verbs(verbs)) for path, verbs in fields.items()
    ]
    yield from _table(("field", "class", "from", "how"), rows)


def _class_of(profile: Profile, message: str, path: str) -> str:
    descriptor, pieces, found = registry.descriptor_of(message), path.split("."), ""
    for end in range(1, len(pieces) + 1):
        name = field_class(field_at(descriptor, ".".join(pieces[:end]), profile))
        found = found if name == INHERIT else name
    return found


def _from(verbs: Mapping_) -> str:
    return (
        "the profile"
        if verbs.const or verbs.choose
        else _code(*([verbs.source] if isinstance(verbs.source, str) else verbs.source))
    )


def _verbs(verbs: Mapping_) -> str:
    if verbs.const:
        steps = [f"const {_code(verbs.const)}"]
    elif verbs.choose:
        steps = [f"{_code(choice.const)} if {_code(choice.condition)}" for choice in verbs.choose]
    else:
        steps = _reading(verbs)
    if verbs.map:
        other = {"hold": "other texts are held back", "warn": "other texts are kept as they stand, with a warning"}
        steps.append(f"by table {verbs.map.table}; {other[verbs.map.unknown]}")
    if isinstance(verbs.when, str):
        steps.append(f"when {_code(verbs.when)}")
    elif verbs.when:
        steps.append(f"when {_code(verbs.when.source)} is {_code(*verbs.when.among)}")
    if verbs.check.required:
        steps.append("required")
    if verbs.check.pattern:
        steps.append(f"pattern {_code(verbs.check.pattern)}")
    return "; ".join(steps)


def _reading(verbs: Mapping_) -> list[str]:
    """Return how a text is cut out and read."""
    parse, steps = verbs.parse, list[str]()
    if not isinstance(verbs.source, str):
        steps.append(f"join with {_code(verbs.join)}" if verbs.join else "join, with nothing between")
    if verbs.numbered:
        steps.append(f"in the order of {_code(verbs.numbered)}")
    if verbs.split:
        steps.append(
            f"split at {_code(verbs.split.at)}" + ("" if verbs.split.part is None else f", part {verbs.split.part}")
        )
    steps.append(f"parse {parse.kind}" + "".join(f" {_code(text)}" for text in (*parse.formats, parse.scheme) if text))
    if verbs.take:
        steps.insert(0, f"take {_code(verbs.take)}")
    if parse.year_from:
        steps.append(f"year from {_code(parse.year_from)}")
    if parse.kind in {"money", "magnitude"}:
        steps.append(_amount(verbs))
    if parse.negative:
        steps.append(f"negative where {_code(parse.negative.source)} is {_code(*parse.negative.among)}")
    return steps


def _amount(verbs: Mapping_) -> str:
    """Return in which unit an amount stands in the file, and of which currency it is."""
    parse = verbs.parse
    if "scale" not in verbs.model_fields_set:
        unit = "in the major unit, with the decimal places of its currency"
    elif verbs.scale:
        unit = f"in the major unit, {counted(verbs.scale, 'decimal place')} at most"
    else:
        unit = "in the minor unit"
    comma = ", with a decimal comma" if parse.decimal == "," else ""
    return f"{unit}{comma}" + (f"; currency from {_code(parse.currency_from)}" if parse.currency_from else "")


def _every_field(profile: Profile) -> Iterator[Mapping[str, Mapping_]]:
    """Yield all tables of fields that a profile uses, those of lists in lists too."""
    yield profile.file.field
    waiting: list[Record | Each] = [*profile.file.record]
    while waiting:
        holder = waiting.pop()
        yield fields_of(profile, holder)
        waiting += lists_of(profile, holder).values()


def refusals(profile: Profile) -> list[str]:
    """Return the codes with which a file of this dialect, or one of its records, can be refused."""
    file = profile.file
    found = set(_FORMATS[file.source.format])
    if file.source.format in READERS:
        found.update(("LF-FILE-NO-RECORD", "LF-ROW-KIND", "LF-ROW-LIST", "LF-ROW-REPEATED"))
        found.update({"LF-XML-CODE"} if file.source.code_from else ())
        found.update({"LF-XML-SCHEMA"} if file.source.xsd else ())
        found.update({"LF-ROW-SUM"} if any(sums_of(profile, record) for record in file.record) else ())
    for fields in _every_field(profile):
        for verbs in fields.values():
            if verbs.const:
                continue
            if verbs.choose:
                found.update({"LF-ROW-CASE"} if verbs.check.required else ())
                continue
            plain = not verbs.map or verbs.parse.kind not in ("text", "code")
            found.update(_REFUSALS.get(verbs.parse.kind, ()) if plain else ())
            found.update({"LF-ROW-CODE"} if verbs.map and verbs.map.unknown == "hold" else ())
            found.update({"LF-ROW-MISSING"} if verbs.check.required else ())
            found.update({"LF-ROW-PARTS"} if verbs.numbered else ())
            found.update({"LF-ROW-PATTERN"} if verbs.check.pattern or verbs.take else ())
    return sorted(found)


def _code(*texts: str) -> str:
    """Return texts as code; what Markdown or a terminal would not show is written out."""
    shown = (text.replace("|", "\\|") if text.isprintable() else repr(text)[1:-1] for text in texts if text)
    return ", ".join(f"`{text}`" for text in shown)


def _table(headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(headings)} |"
    yield "|" + "---|" * len(headings)
    yield from (f"| {' | '.join(row)} |" for row in rows)
