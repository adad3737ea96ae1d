"""What stands on the pages of profiles, explained once: the words of their tables, and what each kind of text is read as."""

from collections.abc import Iterator

WORDS = (
    ("field", "path in the message; `[0]` is each element of a list, one for each line or element of the source"),
    ("class", "what the field is about; policy says by class who may read it ([messages.md](../messages.md))"),
    (
        "from",
        "our name of the column, or the path from the record's element; several are joined, and of paths parted by `|` the first with a text is taken",
    ),
    ("the profile", "no text of the file: a value that the profile states, or chooses by its conditions"),
    ("const", "always this value"),
    ("take", "the text must match this pattern; its first group is read"),
    ("split at", "the text is cut at any of these characters; with a part, that part alone is read, counted from 0"),
    (
        "by table",
        "the text is looked up in the table of that name further down; `held back` (`LF-ROW-CODE`) or `kept as it stands, with a warning` is what becomes of other texts",
    ),
    (
        "when, if",
        'a condition in [CEL](https://cel.dev); `row["x"]` is the text of the column or path x, empty where nothing stands. Where it does not hold, the field stays unset',
    ),
    ("required", "a row without it is held back (`LF-ROW-MISSING`)"),
    ("pattern", "the whole text must match this pattern, or the row is held back (`LF-ROW-PATTERN`)"),
    ("words that mean nothing", "a cell with one of these counts as empty"),
    ("pattern `[^-(（−－]+`", "an amount with a minus or in parentheses is held back: it has a direction beside it"),
    ("needed", "a line without this header is not the header line"),
    ("`\\x02`, `\\x03`", "marks of our own between texts, which no file can hold"),
    (
        "stands at",
        "the path of a record's element, from the root ([paths](../adding-a-format.md#trees)); `$` is the root of JSON",
    ),
    (
        "`yyyy-MM-dd HH:mm:ss`",
        "year, month, day, hour (00 to 23), minute, second, and `SSS` milliseconds, each with exactly so many digits; `M`, `d` and `H` have one or two; `yy` is of 1980 to 2079; `epoch_s` and `epoch_ms` count from 1970 in UTC; `iso8601` has a T between day and time, and may have an offset",
    ),
)
"""Words of the tables, with what they mean."""

KINDS = {
    "text": "text, without blanks, tabs and invisible characters around it",
    "integer": "a whole number that is not negative; thousands may be grouped by commas",
    "boolean": "true or false, as JSON and XML write them",
    "code": "a code of the list that is named behind it, kept as the file has it",
    "account": "an account or card number: full-width digits are made plain, blanks are taken out, what follows `_` is the sub-account; a wrong check digit of a card is a warning; `6226****5669` is marked as masked; scientific notation is held back",
    "bank": "a bank's number in the scheme that is named behind it (BIC of SWIFT, CNAPS of China, IFSC of India, ABA of the United States and so on)",
    "id": "the number of an identity document; those of Chinese citizens (GB 11643) are checked, and a wrong check digit is a warning",
    "phone": "a telephone number, made international (E.164) where it can be one; else kept as it stands",
    "tn": "a telephone number of a SHAKEN token: with its country code and without +",
    "duration": "a length of time: seconds, `1:02:03` or `1小时2分3秒`; the message holds seconds",
    "hex": "bytes as hexadecimal digits",
    "money": "an amount; the message holds it in minor units of its currency (cents, fen, paise) as a whole number",
    "magnitude": "an amount of which a minus says which way the money went; the message holds it without, and the direction beside it",
    "instant": "a moment, in one of the formats that follow; the message holds milliseconds since 1970 in UTC, how exact it is, whose zone was taken, and the text itself",
    "paper": "an attached paper: its file name, and its content in Base64",
    "stix-pattern": "a STIX pattern that compares one thing with one value",
}
"""What each kind of text is read as."""


def legend() -> Iterator[str]:
    """Yield the section that explains the pages."""
    yield from ("", "## How to read a page", "", "| on the page | means |", "|---|---|")
    yield from (f"| {_cell(word)} | {_cell(meaning)} |" for word, meaning in WORDS)
    yield from ("", "`parse` says as what a text is read:", "", "| parse | the text is |", "|---|---|")
    yield from (f"| {kind} | {_cell(meaning)} |" for kind, meaning in KINDS.items())
    yield ""
    yield "What is held back is lost to nobody: it is listed with its line, the cause and the cure, and kept, encrypted, until it is mended."


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
