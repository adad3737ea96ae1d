"""Field 86 of a statement: free text, or one of the structures that banks put into it.

- German banks: a three-digit business code, then ?NN parts (or >NN), cut at 27 characters without regard to words.
- Dutch banks (SWIFT structured): /CODE/text/CODE/text.
- Everything is also kept as one text. Of lines that a structure broke, the breaks are taken out.
"""

import re
from collections.abc import Iterator

_CODED = re.compile(r"(?P<code>[0-9]{3})(?P<mark>[?>])(?=[0-9]{2})")
_WORDS = ("EREF", "KREF", "MREF", "CRED", "DEBT", "SVWZ", "ABWA", "ABWE")
_WORD = re.compile(rf"({'|'.join(_WORDS)})\+")
_SLASHED = re.compile(
    r"/(EREF|KREF|MARF|CSID|TRTP|RTRN|CNTP|REMI|BENM|ORDP|NAME|ISDT|PREF|SVCL|TRCD|IBAN|BIC|ULTD|ULTB|PURP|RREF)(?=/)"
)
_PARTS = {"00": "booking_text", "10": "prima_nota", "30": "bank", "31": "account", "34": "reason", "38": "iban"}
_PURPOSE = {*range(20, 30), *range(60, 64)}
_NAME = {32, 33}
_LINE_BREAKS = re.compile(r"\r?\n")


def details(text: str) -> Iterator[tuple[str, str]]:
    """Yield what is told apart in a field 86: names and texts, each name once. The first is always the whole text."""
    if not text.strip():
        return
    yield "text", text
    coded = _CODED.match(text)
    if coded is not None:
        yield "code", coded["code"]
        yield from _coded(_LINE_BREAKS.sub("", text[coded.end("code") :]), coded["mark"])
    elif _SLASHED.match(text):
        yield from _slashed(_LINE_BREAKS.sub("", text))


def _coded(text: str, mark: str) -> Iterator[tuple[str, str]]:
    pieces = re.split(rf"{re.escape(mark)}([0-9]{{2}})", text)
    gathered: dict[str, str] = {}
    for number, part in zip(pieces[1::2], pieces[2::2], strict=True):
        if int(number) in _PURPOSE:
            name = "purpose"
        elif int(number) in _NAME:
            name = "name"
        else:
            name = _PARTS.get(number, f"part_{number}")
        gathered[name] = gathered.get(name, "") + part
    yield from ((name, part) for name, part in gathered.items() if part.strip())
    words = _WORD.split(gathered.get("purpose", ""))
    seen = set()
    for word, part in zip(words[1::2], words[2::2], strict=True):
        if word not in seen and part.strip():
            seen.add(word)
            yield word.lower(), part.strip()


def _slashed(text: str) -> Iterator[tuple[str, str]]:
    pieces = _SLASHED.split(text)
    seen = set()
    for word, part in zip(pieces[1::2], pieces[2::2], strict=True):
        if word not in seen and part.strip("/ "):
            seen.add(word)
            yield word.lower(), part.strip("/ ")
