"""The profile of a dialect: one TOML file in adapters/profiles, read strictly.

- [profile] names it, [source] says how the dialect is written, [target] what it becomes, [field."path"] how.
- The verbs of a field are a closed set: from, const, choose, take, join, split, parse, scale, map, when, check.
- Code tables stand in [table.name]; an unknown key anywhere is an error that names the nearest known one.
- Files `x.records.toml` hold what several profiles share; `include` in [profile] draws one or several in.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=64)]
Unknown = Literal["hold", "warn"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


class About(_Strict):
    """[profile]."""

    name: Name
    version: Annotated[str, StringConstraints(min_length=1, max_length=32)]
    title: Annotated[str, StringConstraints(min_length=1, max_length=120)]
    include: str | list[str] = ""
    """Files beside it that it draws in, in this order."""


class Header(_Strict):
    """[source.header]: how the header line of a table is found."""

    required: list[str] = Field(min_length=1)
    """Columns without which a line is not the header."""
    lines_before_max: int = Field(default=40, ge=0, le=1000)
    """Most lines of preamble before it."""
    looks: dict[str, str] = {}
    """For tables without a header line, whose columns are called 1, 2, 3 and so on: what cells of the first row must look like."""
    cells_min: int = Field(default=1, ge=1, le=256)
    """Fewest cells of a row of such a table; those that it lacks at its end are empty."""


class Sheet(_Strict):
    """[[source.sheet]]: one kind of sheet of a workbook."""

    name: str
    """Pattern of the sheet's whole name, whatever the case."""
    kind: str = ""
    """What the sheet column says of its rows."""
    required: list[str] = []
    """Columns without which a line is not its header, where they are not those of [source.header]."""
    ignore: bool = False
    """Whether it is known to hold no records."""


ROWS = "rows"


class FooterCheck(_Strict):
    """[[source.footer_check]]: a line above or below the rows that says how many they are, or what a column comes to."""

    pattern: str
    """Pattern of the whole line; its first group is the figure. Cells of a row below are parted by tabs. Without a group the
    figure is that row's own cell in the column that is counted."""
    counts: str = ROWS
    """`rows`, or the column whose sum it is."""
    only: "When | None" = None
    """Which rows are counted, where it is not all of them."""


class Source(_Strict):
    """[source]: how the dialect is written."""

    format: Literal[
        "csv", "xlsx", "xml", "json", "stix", "misp", "freeswitch", "fin", "nacha", "bai2", "fedwire", "ber", "passport"
    ]
    encodings: list[Literal["utf-8-sig", "gb18030", "iso-8859-1"]] = ["utf-8-sig", "gb18030"]
    delimiter: Annotated[str, StringConstraints(min_length=1, max_length=1)] = ","
    null: list[str] = [""]
    """Words that mean "nothing"."""
    zone: str = ""
    """IANA name of the zone of times that carry none."""
    currency: str = ""
    """ISO 4217 code of amounts that carry none."""
    currencies: dict[str, str] = {}
    """Other names of currencies, such as RMB."""
    region: str = ""
    """ISO 3166 code of the country of telephone numbers that carry none."""
    header: Header | None = None
    columns: dict[str, list[str]] = {}
    """Our name of a column: the headers it has in files."""
    preamble: dict[str, str] = {}
    """Our name of a column that stands above the header: a pattern of the whole line whose first group is its text."""
    padded: bool = False
    """Whether blanks and tabs may stand between a closing quotation mark and the delimiter."""
    under_header: str = ""
    """Pattern of the first cell of a line right under the header that is no record: a line of types."""
    ignore: list[str] = []
    """Headers, or paths with wildcards, that are known and carry nothing for the message."""
    footer: list[str] = []
    """First words of a row that is a sum or a note, not a record."""
    footer_check: list[FooterCheck] = []
    """What lines above and below the rows say of them."""
    record_lines_max: int = Field(default=16, ge=1, le=1024)
    """Most lines of one record (a quoted cell may hold line breaks)."""
    sheet: list[Sheet] = []
    """Workbooks: the sheets that are read, or known to hold nothing; without any, one sheet has the header."""
    sheet_column: str = ""
    """Workbooks: our name of the column that says of which kind a row's sheet is."""
    group_by: str = ""
    """Column whose value gathers lines into one message."""
    group_as: str = ""
    """Repeated field into which the lines of a group go."""
    group_max: int = Field(default=1024, ge=1, le=1024)
    """Most lines of one message."""
    lines: bool = False
    """JSON: each line is a document."""
    code_from: str = ""
    """Trees: path, from the root, of the text that says which [[record]] it is."""
    namespace: list[str] = []
    """XML: namespaces that a record's element may have; one may end in *."""
    document_type: bool = False
    """XML: files begin with a document type that declares nothing; it is passed over."""
    xsd: str = ""
    """XML: schema beside the profile that a document must fit."""
    reads: list[str] = []
    """Codes of the records that we read; all of them where none is named."""


class Target(_Strict):
    """[target]: what a record becomes."""

    message: str
    version: Literal[1] = 1


class Parse(_Strict):
    """The verb parse: what a text is, with what must be known to read it."""

    kind: str = Field(alias="as")
    formats: list[str] = []
    """For instants, tried in order; the first is the one written."""
    scheme: str = ""
    """Code list, for codes; kind of number, for banks (BIC, ABA and so on) and for accounts that are written."""
    currency_from: str = ""
    """Column with the currency of an amount."""
    year_from: str = ""
    """Column with the year and month up to which days that carry no year run."""
    negative: "When | None" = None
    """Where the mark stands that makes an amount negative; of a magnitude, with which a minus may stand."""
    decimal: Literal[".", ","] = "."
    """Mark in front of the decimal places of an amount. With a comma there is no point in it, and nothing is grouped."""
    prefixes: dict[str, str] = {}
    """First characters of a paper's file name: what the paper is."""


class Split(_Strict):
    """The verb split: cut a text at a mark; with part, keep that part alone."""

    at: str
    part: int | None = None


class Map(_Strict):
    """The verb map: look a text up in a code table."""

    table: str
    unknown: Unknown = "hold"


class When(_Strict):
    """The verb when: the field is read only where another column has one of these texts."""

    source: str = Field(alias="from")
    among: list[str] = Field(alias="is", min_length=1)


class Choice(_Strict):
    """One case of the verb choose."""

    condition: str = Field(alias="if")
    """CEL condition."""
    const: str


class Check(_Strict):
    """The verb check: what must hold of the text before it is parsed."""

    required: bool = False
    pattern: str = ""


class Mapping_(_Strict):  # noqa: N801 - Mapping is the abstract type
    """[field."path"]: how one field of the message is filled."""

    source: str | list[str] = Field(alias="from", default="")
    const: str = ""
    choose: list[Choice] = []
    """Fixed values, each with the condition under which it is taken; the first that holds."""
    take: str = ""
    """Pattern of the whole text; what its first group catches is read."""
    join: str = " "
    numbered: str = ""
    """Trees: path of the numbers of the texts that the first path finds: they are joined in that order, from 1 on."""
    split: Split | None = None
    parse: Parse = Parse.model_validate({"as": "text"})
    scale: int = Field(default=2, ge=0, le=4)
    """Decimal places of the minor unit of an amount."""
    map: Map | None = None
    when: When | str | None = None
    check: Check = Check()

    @property
    def sources(self) -> list[str]:
        """The columns or paths that it is filled from."""
        return [self.source] if isinstance(self.source, str) and self.source else list(self.source)

    @property
    def joins(self) -> bool:
        """Whether several texts become one, as the profile says in so many words."""
        return "join" in self.model_fields_set


class Each(_Strict):
    """[record.each."list"]: one element of a repeated field for every element of the source that is found."""

    over: str
    """Path of the elements, from the record's or the list's around it."""
    condition: str = Field(alias="if", default="")
    """CEL condition: elements for which it does not hold are passed over."""
    once: bool = False
    """Whether elements that become the same are taken once."""
    into: str = ""
    """The repeated field, where it is not the name in brackets: several lists may fill one."""
    use: list[str] = []
    """Groups of fields that it shares with others."""
    const: dict[str, str] = {}
    field: dict[str, Mapping_] = {}
    """By path from the element; "." is the element itself."""
    each: dict[str, "Each"] = {}
    layout: list[str] = []
    """Paths in the order in which they are written."""


class Sum(_Strict):
    """[[record.sum]]: parts of an element that must come to its amount."""

    over: str
    """Path of the elements, from the record's."""
    condition: str = Field(alias="if", default="")
    """CEL condition: of which elements it is asked."""
    total: Mapping_
    """The amount of one, by path from there."""
    of: str
    """Path of its parts, from there."""
    amount: Mapping_
    """The amount of a part, by path from the part."""
    besides: list[str] = []
    """Paths, from the element, of amounts that may explain a difference: all those at one of them."""
    beside: Mapping_ = Mapping_.model_validate({"from": ".", "parse": {"as": "money", "currency_from": "@Ccy"}})
    """How one of those is read, by path from it."""


class Record(_Strict):
    """[[record]]: one kind of record of a dialect that has several, both ways."""

    code: str = ""
    name: str = ""
    message: str
    at: str = ""
    """Path of the element that is one record, from the root; the root itself where it is empty."""
    condition: str = Field(alias="if", default="")
    """CEL condition: which of those elements are of this kind."""
    use: list[str] = []
    """Groups of fields and of lists that it shares with others."""
    const: dict[str, str] = {}
    field: dict[str, Mapping_] = {}
    each: dict[str, Each] = {}
    sum: list[Sum] = []
    spread: str = ""
    """The list of which a record may hold more than one message takes: it becomes several messages."""
    layout: list[str] = []
    """Paths in the order in which they are written."""

    @property
    def label(self) -> str:
        """What it is called."""
        return self.code or self.name or self.message


class Writing(_Strict):
    """[writing]: how messages leave. A table says its columns; records say root, codes and head."""

    root: str = ""
    """Name of the root element."""
    namespace: str = ""
    """XML: namespace of the root and of all below it."""
    writes: list[str] = []
    """Codes or names of the records that we write; all of them where none is named."""
    head: dict[str, str] = {}
    """Paths from the root: a text in which {code}, {serial}, {sender} and {agency} are filled in."""
    empty: bool = False
    """Whether elements without a text are written too."""
    literals: list[str] = []
    """JSON: paths from the root, with wildcards, of what is written as it stands: numbers, true and false."""
    arrays: list[str] = []
    """JSON: paths from the root, with wildcards, of what is an array even of one."""
    columns: list[str] = []
    """Columns of the table that we write, in order, by our names; each gets the first of its headers."""


class ProfileFile(_Strict):
    """A whole profile."""

    profile: About
    source: Source
    target: Target | None = None
    writing: Writing | None = None
    code_prefix: str = ""
    field: dict[str, Mapping_] = {}
    group: dict[str, dict[str, Mapping_]] = {}
    group_each: dict[str, dict[str, Each]] = {}
    """Lists that several records share, by the group's name."""
    group_sum: dict[str, list[Sum]] = {}
    """What must add up in several records, by the group's name."""
    record: list[Record] = []
    table: dict[str, dict[str, str]] = {}


@dataclass(frozen=True, eq=False)
class Profile:
    """A checked profile. Two are the same only when they are the same object, so plans can be kept for each."""

    file: ProfileFile
    notes: tuple[str, ...] = ()
    """What is said of the dialect above the first line of its file, and of those that it includes: a paragraph each."""

    @property
    def name(self) -> str:
        """Its name, as in file names and provenance."""
        return self.file.profile.name

    @property
    def version(self) -> str:
        """Its version, as in provenance."""
        return self.file.profile.version

    @property
    def suffix(self) -> str:
        """How names of files in this format end: .xml, .csv, or .txt for a token."""
        return {"passport": ".txt"}.get(self.file.source.format, f".{self.file.source.format}")

    @property
    def title(self) -> str:
        """What it reads, for people."""
        return self.file.profile.title

    @property
    def message(self) -> str:
        """Short names of what it makes, for people."""
        if self.file.target is not None:
            return self.file.target.message
        return ", ".join(dict.fromkeys(record.message for record in self.file.record))
