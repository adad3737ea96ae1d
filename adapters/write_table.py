"""A message becomes a row of a table: the columns that [writing] names, in its order, each under the first of its headers.

Where a profile gathers rows into one message, each element of the list that it gathers them in becomes a row again.

Cells are written as they are, never guarded or padded: what is written is read again by the same profile.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping

from google.protobuf.message import Message

from adapters.errors import FileRefused
from adapters.model import Rendered
from adapters.profile import Profile
from adapters.write import Carrier


def write(profile: Profile, message: Message, _: Mapping[str, str]) -> Rendered:
    """Write a table of one row, or of a row for each element of the list. FileRefused when the dialect has no row for this message."""
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
    carrier = Carrier(file, file.field, columns, const)
    rows, loss = [], dict[str, None]()
    for number, one in enumerate(_lines(message, file.source.group_as)):
        written = carrier.write(one)
        rows.append([written.texts.get(name, "") for name in columns])
        loss.update(dict.fromkeys(path.replace("[0]", f"[{number}]", 1) for path in written.loss))
    return Rendered(_table(profile, rows), tuple(loss))


def _lines(message: Message, gathered: str) -> Iterator[Message]:
    """Yield the message once for each element of the list that gathers rows, with that element alone."""
    if not gathered or len(getattr(message, gathered)) <= 1:
        yield message
        return
    alone = type(message)()
    alone.CopyFrom(message)
    for element in getattr(message, gathered):
        alone.ClearField(gathered)
        getattr(alone, gathered).append(element)
        yield alone


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
