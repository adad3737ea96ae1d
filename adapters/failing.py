"""The rows of a table that failed, as a table to mend and drop again.

- The header line and the rows are the file's own bytes, so a row that is mended here and one that is mended in the original
  have one fingerprint, and go out once.
- Above each row stands a line that begins with `table.NOTE`: row, code, cause, cure. It is no record and may stay there.
- No workbook is written: programs that open one turn account numbers into numbers and lose digits.
"""

import codecs
import csv
import io
from typing import Any

from adapters.convert import Outcome
from adapters.decode import body_of, encoding_of
from adapters.errors import FileRefused
from adapters.profile import Profile
from adapters.table import NOTE, read_table


class FailingRows:
    """Gathers the rows of a file that fail. FileRefused when it is no table."""

    def __init__(self, profile: Profile, data: bytes) -> None:
        source = profile.file.source
        if source.format != "csv":
            raise FileRefused(
                f"the dialect {profile.name} is no table, so its failing rows make none",
                cure="mend the record at its source; `lianfang map check` says what is wrong with it",
                code="LF-MAP-NO-TABLE",
            )
        self._encoding = encoding_of(data, list(source.encodings))
        self._delimiter = source.delimiter
        header = read_table(data, source).header
        self._end = b"\r\n" if header.endswith(b"\r\n") else b"\n"
        mark = codecs.BOM_UTF8 if len(body_of(data, self._encoding)) < len(data) else b""
        self._parts = [mark + self._whole(header)]

    def add(self, outcome: Outcome, why: dict[str, Any]) -> None:
        """Take a row that failed, with what is said of it."""
        out = io.StringIO(newline="")
        words = [NOTE, f"row {why['row']}", why["code"], why["cause"], why["cure"]]
        csv.writer(out, delimiter=self._delimiter, lineterminator="").writerow(words)
        self._parts += [out.getvalue().encode(self._encoding) + self._end, self._whole(outcome.raw)]

    def data(self) -> bytes:
        """Return the table."""
        return b"".join(self._parts)

    def _whole(self, line: bytes) -> bytes:
        return line if line.endswith(b"\n") else line + self._end
