"""Which encoding a text file has: strict UTF-8 (with or without a byte order mark), else strict GB18030.

Short UTF-8 texts can pass as GB18030, never the other way about, so the order decides. Nothing is ever replaced: a file
that is neither is refused with the offset at which each reading failed. The file is read in pieces, once for each encoding.
"""

import codecs

from adapters.errors import FileRefused
from adapters.source_file import CHUNK_BYTES, Given, chunks_of, head_of, require_size, size_of

ROWS_MAX = 16_777_216
"""Most lines of a table."""

_PYTHON_NAME = {"utf-8-sig": "utf-8", "gb18030": "gb18030", "iso-8859-1": "iso-8859-1"}
_WORKBOOK_MARKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
"""How a .xlsx (a ZIP archive) and an old .xls begin, whatever the file is called."""

_WIDE_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def encoding_of(given: Given, allowed: list[str]) -> str:
    """Return the name of the first allowed encoding in which all of a file can be read. FileRefused when none can."""
    require_size(given)
    _require_lines(given)
    head = head_of(given, 8)
    if head.startswith(_WORKBOOK_MARKS):
        raise FileRefused(
            "the file is a spreadsheet's workbook or an archive, whatever its name says",
            cure="export it from the system as CSV; what a spreadsheet saves as CSV may have lost digits",
            code="LF-FILE-WORKBOOK",
        )
    if head.startswith(_WIDE_MARKS):
        raise FileRefused("the file is UTF-16", cure="save it as UTF-8 or GB18030", code="LF-FILE-ENCODING")
    offsets = []
    for name in allowed:
        offset = _first_bad_byte(given, _PYTHON_NAME[name])
        if offset is None:
            return _PYTHON_NAME[name]
        offsets.append(f"{name} fails at byte {offset}")
    raise FileRefused(
        f"the file is in none of the encodings of this dialect: {', '.join(offsets)}",
        cure="export it again as UTF-8 or GB18030; do not open and save it with another program",
        code="LF-FILE-ENCODING",
    )


def body_of(data: bytes, encoding: str) -> bytes:
    """Return a file without its byte order mark. In GB18030 the same three bytes are letters, and stay."""
    return data.removeprefix(codecs.BOM_UTF8) if encoding == "utf-8" else data


def body_start(given: Given, encoding: str) -> int:
    """Return where a file's text begins, after its byte order mark."""
    mark = codecs.BOM_UTF8
    return len(mark) if encoding == "utf-8" and head_of(given, len(mark)) == mark else 0


def _require_lines(given: Given) -> None:
    """Refuse a file of blanks, and one of more lines than any has."""
    lines, blank = 0, True
    for chunk in chunks_of(given):
        lines += chunk.count(b"\n")
        blank = blank and chunk.isspace()
        if lines > ROWS_MAX:
            raise FileRefused(
                f"the file has more than {ROWS_MAX} lines",
                cure="split it, with the header in each part",
                code="LF-FILE-ROWS",
            )
    if blank:
        raise FileRefused("the file is empty", cure="export it again", code="LF-FILE-EMPTY")


def _first_bad_byte(given: Given, name: str) -> int | None:
    decoder = codecs.getincrementaldecoder(name)("strict")
    start, size = 0, size_of(given)
    for chunk in chunks_of(given):
        held = len(decoder.getstate()[0])
        try:
            decoder.decode(chunk, final=start + CHUNK_BYTES >= size)
        except UnicodeDecodeError as error:
            return max(0, start - held + error.start)
        start += len(chunk)
    return None
