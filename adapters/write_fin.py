"""SWIFT FIN, written: one message for each tree, as an input message that the bank's interface takes and numbers.

- Sender and receiver, by their BIC, make blocks 1 and 2; without both only the text block is written.
- What is written is read again before it leaves: a text that would come back as another is refused, and so is one that
  SWIFT has no characters, lines or room for. Nothing is cut, wrapped or transliterated.
"""

import re
from collections.abc import Mapping, Sequence

from adapters.errors import FileRefused, RowRefused
from adapters.fin_fields import HEAD_OFFICE, Slice, element
from adapters.profile import Writing
from adapters.tree import Element

_BLOCKS = frozenset({"type", "sender", "receiver", "user"})
_CHARACTERS = re.compile(r"[0-9A-Za-z/\-?:().,'+ \n=!\"%&*<>;@#_]*")
"""SWIFT's character set z, without the braces that end a block."""

_BIC = re.compile(r"[A-Z]{6}[A-Z0-9]{2}(?:[A-Z0-9]{3})?")
_WIDTHS = {"79": (50, 35), "76": (35, 6), "20": (16, 1), "21": (16, 1), "50K": (35, 5), "59": (35, 5)}
"""Characters of a line, and lines; for all others 35 and 6."""

_WIDTH = (35, 6)


def write(roots: Sequence[Element], _: Writing) -> bytes:
    """Write messages, behind one another. FileRefused when SWIFT cannot carry a text."""
    return "".join(map(_message, roots)).encode("ascii")


def _refused(tag: str, why: str) -> FileRefused:
    return FileRefused(
        f"field {tag} cannot be written as SWIFT has it: {why}",
        cure="shorten or reword it in the message; what SWIFT cannot carry goes by another way",
        code="LF-FIN-WRITE",
    )


def _message(root: Element) -> str:
    texts = {child.name: child.text for child in root.children}
    fields = "".join(f":{child.name}:{_field(child)}\r\n" for child in root.children if child.name not in _BLOCKS)
    return f"{_head(root, texts)}{{4:\r\n{fields}-}}"


def _head(root: Element, texts: Mapping[str, str]) -> str:
    """Return blocks 1 to 3; nothing when neither side is named."""
    sender, receiver = texts.get("sender", ""), texts.get("receiver", "")
    user = [f"{{{tag.name}:{tag.text}}}" for child in root.children if child.name == "user" for tag in child.children]
    if not sender and not receiver and not user:
        return ""
    for tag, bic in (("1", sender), ("2", receiver)):
        if not _BIC.fullmatch(bic):
            raise _refused(tag, "sender and receiver must both be named by their BIC")
    here, there = (f"{bic[:8]}{mark}{bic[8:] or HEAD_OFFICE}" for bic, mark in ((sender, "A"), (receiver, "X")))
    block_3 = f"{{3:{''.join(user)}}}" if user else ""
    return f"{{1:F01{here}0000000000}}{{2:I{texts['type']}{there}N}}{block_3}"


def _field(field: Element) -> str:
    """Return the text of a field. FileRefused when it cannot be written, or would be read as something else."""
    parts = {child.name: child.text for child in field.children}
    text = _composed(field.name, parts) if parts else field.text
    if not _CHARACTERS.fullmatch(text):
        raise _refused(field.name, "it has characters that SWIFT has not")
    lines = text.split("\n")
    width, lines_max = _WIDTHS.get(field.name, _WIDTH)
    if len(lines) > lines_max or any(len(line) > width for line in lines):
        raise _refused(field.name, f"there is room for {lines_max} lines of {width} characters")
    if (
        any(line[:1] in (":", "-") for line in lines[1:])
        or any(line != line.rstrip() for line in lines)
        or not lines[-1]
    ):
        raise _refused(field.name, "a line begins or ends as no line may")
    try:
        back = element(text, Slice(field.name, 0, len(text), 1), lambda start, end: text[start:end])
    except RowRefused as error:
        raise _refused(field.name, "it is not in the field's form") from error
    if {child.name: child.text for child in back.children} != {name: part for name, part in parts.items() if part}:
        raise _refused(field.name, "it would be read as something else")
    return text.replace("\n", "\r\n")


def _composed(tag: str, parts: Mapping[str, str]) -> str:
    """Return the text of a field that holds several things."""
    if tag in ("76", "79"):
        code = f"/{parts['code']}/" if parts.get("code") else ""
        reason = f"{parts['reason']}/" if parts.get("reason") else ""
        return f"{code}{reason}{parts.get('text', '')}"
    if tag in ("11S", "11R"):
        return "\n".join(parts[name] for name in ("type", "date", "session") if parts.get(name))
    if tag in ("59", "50K"):
        account = f"/{parts['account']}" if parts.get("account") else ""
        return "\n".join(text for text in (account, parts.get("name", ""), parts.get("address", "")) if text)
    return "".join(parts.get(name, "") for name in ("date", "currency", "amount", "bic"))
