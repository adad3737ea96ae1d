"""How things look: one JSON value for programs, tables and sentences of at most 100 columns for people.

- What comes from other agencies is printed without control characters, so that no message can drive a terminal.
- A Chinese character takes two columns.
"""

import json
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

COLUMNS = 100
_GAP = "  "
_NARROWEST = 12
_DELETE = "\x7f"


def emit(value: Any) -> None:
    """Print one JSON value."""
    emit_text(json.dumps(value, ensure_ascii=False))


def emit_text(text: str) -> None:
    """Print JSON on a line, with everything escaped that a terminal would obey or the output cannot carry."""
    carries_all = _speaks_unicode()

    def shown(character: str) -> str:
        if character == _DELETE:  # the one control character that JSON leaves as it is
            return f"\\u{ord(_DELETE):04x}"
        if character.isascii() or (carries_all and _is_seen(character)):
            return character
        return json.dumps(character)[1:-1]

    is_plain = text.isascii() and _DELETE not in text
    sys.stdout.write((text if is_plain else "".join(map(shown, text))) + "\n")


def say(lines: Iterable[str]) -> None:
    """Print lines for people."""
    for line in lines:
        sys.stdout.write(_sayable(plain(line)) + "\n")


def note(text: str) -> None:
    """Print lines beside the result, on standard error."""
    sys.stdout.flush()
    for line in text.splitlines() or [""]:
        sys.stderr.write(plain(line) + "\n")
    sys.stderr.flush()


def _speaks_unicode() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


def _sayable(line: str) -> str:
    return line if _speaks_unicode() else line.encode("ascii", "backslashreplace").decode()


def _is_seen(character: str) -> bool:
    """Say whether a character only shows: control, format, separator and half characters do something else."""
    return unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp")


def plain(text: object) -> str:
    """Return text without anything that a terminal would obey; it is escaped."""
    return "".join(
        character if _is_seen(character) else character.encode("unicode_escape", "surrogatepass").decode()
        for character in str(text)
    )


def count(number: int, noun: str) -> str:
    """Return a number with its noun: 1 row, 2 rows."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def when(at_ms: int) -> str:
    """Return an instant in UTC, to the second."""
    return datetime.fromtimestamp(at_ms / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M:%SZ") if at_ms else "-"


def wrapped(text: str, indent: str = "") -> Iterator[str]:
    """Yield a sentence in lines that fit."""
    yield from (indent + piece for piece in _pieces(plain(text), COLUMNS - len(indent)))


def width(text: str) -> int:
    """Return how many columns a text takes."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Yield a table; its last column is wrapped when the whole is too wide."""
    cells = [list(headings), *([plain(value) for value in row] for row in rows)]
    widths = [max(width(row[column]) for row in cells) for column in range(len(headings))]
    before = sum(widths[:-1]) + len(_GAP) * (len(widths) - 1)
    room = max(COLUMNS - before, _NARROWEST)
    for row in cells:
        front = _GAP.join(_padded(text, size) for text, size in zip(row[:-1], widths, strict=False))
        for number, piece in enumerate(_pieces(row[-1], room)):
            lead = front if number == 0 else " " * (before - len(_GAP))
            yield (f"{lead}{_GAP}{piece}" if len(row) > 1 else piece).rstrip()


def facts(pairs: Iterable[tuple[str, object]]) -> Iterator[str]:
    """Yield names and values, one pair a line, the values in one column."""
    known = [(name, plain(value)) for name, value in pairs]
    size = max((width(name) for name, _ in known), default=0)
    for name, value in known:
        for number, piece in enumerate(_pieces(value, max(COLUMNS - size - len(_GAP), _NARROWEST))):
            yield f"{_padded(name if number == 0 else '', size)}{_GAP}{piece}".rstrip()


def _padded(text: str, size: int) -> str:
    return text + " " * (size - width(text))


def _pieces(text: str, room: int) -> list[str]:
    """Cut a text into pieces that fit, between words where there are any."""
    if width(text) <= room:
        return [text]
    pieces: list[str] = [""]
    for word in text.split(" "):
        joined = f"{pieces[-1]} {word}" if pieces[-1] else word
        if width(joined) <= room:
            pieces[-1] = joined
            continue
        if pieces[-1]:
            pieces.append("")
        for character in word:
            if width(pieces[-1] + character) > room:
                pieces.append("")
            pieces[-1] += character
    return pieces
