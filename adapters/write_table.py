"""A message becomes a row of a table: the columns that [writing] names, in its order, each under the first of its headers.

Cells are written as they are, never guarded or padded: what is written is read again by the same profile.
"""

import csv
import io
from collections.abc import Iterable, Mapping

from google.protobuf.message import Message

from adapters.errors import FileRefused
from adapters.model import Rendered
from adapters.profile import Profile
from adapters.write import Carrier


def write(profile: Profile, message: Message, _: Mapping[str, str]) -> Rendered:
    """Write a table of one row. FileRefused when the dialect has no row for this message."""
    file = profile.file
    assert file.writing is not None, "asked by render"
    assert file.target is not None, "checked with the profile"
    if message.DESCRIPTOR.name != file.target.message:
        raise FileRefused(
            f"the dialect {profile.name} has no row for a {message.DESCRIPTOR.name}",
            cure=f"it writes {file.target.message}",
            code="LF-RENDER-NO-RECORD",
        )
    columns = file.writing.columns
    const = {path: verbs.const for path, verbs in file.field.items() if verbs.const and verbs.when is None}
    written = Carrier(file, file.field, columns, const).write(message)
    return Rendered(_table(profile, [[written.texts.get(name, "") for name in columns]]), written.loss)


def joined(profile: Profile, tables: Iterable[bytes]) -> bytes:
    """Return tables of one row each as one table."""
    header = _table(profile, [])
    return header + b"".join(table.removeprefix(header) for table in tables)


def _table(profile: Profile, rows: list[list[str]]) -> bytes:
    file = profile.file
    assert file.writing is not None, "asked by render"
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=file.source.delimiter)
    writer.writerow([file.source.columns[name][0] for name in file.writing.columns])
    writer.writerows(rows)
    try:
        return out.getvalue().encode(file.source.encodings[0])
    except UnicodeEncodeError as error:
        raise FileRefused(
            "the message holds characters that the dialect's encoding has not",
            cure="the sender must correct its text; the message can be read with `lianfang open`",
            code="LF-RENDER-CONTROL",
        ) from error
