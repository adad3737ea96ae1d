"""STIX patterns (STIX 2.1 section 9): text → the comparisons that it makes, when it is a pattern at all.

The grammar is read whole, and strictly, so that half a pattern is never taken for one; what is handed on is only what a
field can hold: which property of which object is compared with what. How comparisons hang together, and when they must
be seen, stays in the pattern's own text, which the message keeps as it came.
"""

import re
from typing import NamedTuple

from adapters.errors import RowRefused
from adapters.kinds import Notes, Read, Setting

PATTERN_BYTES_MAX = 8192
DEPTH_MAX = 16
COMPARISONS_MAX = 256

_TOKEN = re.compile(
    r"\s*(?:"
    r"(?P<path>[a-z0-9]+(?:-[a-z0-9]+)*:(?:[A-Za-z0-9_-]+|'(?:[^'\\]|\\.)+')"
    r"(?:\.(?:[A-Za-z0-9_-]+|'(?:[^'\\]|\\.)+')|\[(?:[0-9]+|\*)\])*)"
    r"|(?P<typed>[bht]'[^'\\]*')"
    r"|(?P<string>'(?:[^'\\]|\\['\\])*')"
    r"|(?P<number>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?![A-Za-z0-9_.]))"
    r"|(?P<sign>!=|<>|<=|>=|==|[=<>\[\](),])"
    r"|(?P<word>[A-Za-z]+)"
    r")"
)
_ESCAPED = re.compile(r"\\(['\\])")
_SIGNS = frozenset({"=", "==", "!=", "<>", "<", ">", "<=", ">="})
_WORDS = frozenset({"LIKE", "MATCHES", "ISSUBSET", "ISSUPERSET"})
_TEXTS = frozenset({"string", "typed"})
_END = ("end", "")


class Comparison(NamedTuple):
    """One comparison of a pattern."""

    path: str
    """Object and property, for example domain-name:value."""
    operator: str
    """As it is written; == and <> as = and !=."""
    values: tuple[str, ...]
    """What is compared with, without quotes; several for IN."""
    negated: bool = False


def comparisons(pattern: str) -> tuple[Comparison, ...]:
    """Return the comparisons of a pattern, in its order. RowRefused when it is no pattern."""
    if len(pattern.encode()) > PATTERN_BYTES_MAX:
        raise _refused(f"is a pattern of more than {PATTERN_BYTES_MAX} bytes")
    return _Pattern(_tokens(pattern)).read()


def read_pattern(_: Setting) -> Read:
    """A pattern, as given."""

    def read(text: str, _notes: Notes) -> str:
        comparisons(text)
        return text

    return read


def written(path: str, value: str) -> str:
    """Return the pattern that says that a property has a value."""
    text = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"[{path} = '{text}']"


def _refused(cause: str) -> RowRefused:
    return RowRefused(
        cause,
        cure="have the sending system write a pattern as STIX 2.1 section 9 says, such as [domain-name:value = 'x']",
        code="LF-ROW-STIX-PATTERN",
    )


def _tokens(pattern: str) -> list[tuple[str, str]]:
    found, place, text = [], 0, pattern.rstrip()
    while place < len(text):
        token = _TOKEN.match(text, place)
        if token is None:
            raise _refused(f"is no STIX pattern, from its character {place + 1} on")
        kind = token.lastgroup or ""
        found.append((kind, token[kind]))
        place = token.end()
    return found


class _Pattern:
    """Reads one pattern: observations, in them comparisons, in them values."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._place = 0
        self._found: list[Comparison] = []

    def read(self) -> tuple[Comparison, ...]:
        self._observations(1)
        if self._peek() != _END:
            raise self._wrong()
        return tuple(self._found)

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._place] if self._place < len(self._tokens) else _END

    def _take(self, text: str) -> bool:
        """Take a sign or a word, when it comes next."""
        kind, found = self._peek()
        if kind not in ("sign", "word") or found != text:
            return False
        self._place += 1
        return True

    def _need(self, text: str) -> None:
        if not self._take(text):
            raise self._wrong()

    def _one_of(self, kinds: frozenset[str]) -> str:
        kind, text = self._peek()
        if kind not in kinds:
            raise self._wrong()
        self._place += 1
        return text

    def _wrong(self) -> RowRefused:
        return _refused(f"is no STIX pattern, from its piece {self._place + 1} on")

    def _observations(self, depth: int) -> None:
        if depth > DEPTH_MAX:
            raise _refused(f"is a pattern nested deeper than {DEPTH_MAX}")
        while True:
            if self._take("("):
                self._observations(depth + 1)
                self._need(")")
            else:
                self._need("[")
                self._comparisons(depth + 1)
                self._need("]")
            self._qualifiers()
            if not any(self._take(word) for word in ("AND", "OR", "FOLLOWEDBY")):
                return

    def _qualifiers(self) -> None:
        while True:
            if self._take("WITHIN"):
                self._one_of(frozenset({"number"}))
                self._need("SECONDS")
            elif self._take("REPEATS"):
                self._one_of(frozenset({"number"}))
                self._need("TIMES")
            elif self._take("START"):
                self._one_of(_TEXTS)
                self._need("STOP")
                self._one_of(_TEXTS)
            else:
                return

    def _comparisons(self, depth: int) -> None:
        if depth > DEPTH_MAX:
            raise _refused(f"is a pattern nested deeper than {DEPTH_MAX}")
        while True:
            negated = self._take("NOT")
            if self._take("("):
                before = len(self._found)
                self._comparisons(depth + 1)
                self._need(")")
                if negated:
                    self._found[before:] = [one._replace(negated=not one.negated) for one in self._found[before:]]
            elif self._take("EXISTS"):
                self._keep(Comparison(self._one_of(frozenset({"path"})), "EXISTS", (), negated))
            else:
                self._comparison(negated=negated)
            if not (self._take("AND") or self._take("OR")):
                return

    def _comparison(self, *, negated: bool) -> None:
        path = self._one_of(frozenset({"path"}))
        negated ^= self._take("NOT")
        if self._take("IN"):
            self._keep(Comparison(path, "IN", self._set(), negated))
            return
        kind, operator = self._peek()
        if operator not in (_SIGNS if kind == "sign" else _WORDS):
            raise self._wrong()
        self._place += 1
        operator = {"==": "=", "<>": "!="}.get(operator, operator)
        self._keep(Comparison(path, operator, (self._value(),), negated))

    def _keep(self, comparison: Comparison) -> None:
        if len(self._found) == COMPARISONS_MAX:
            raise _refused(f"is a pattern of more than {COMPARISONS_MAX} comparisons")
        self._found.append(comparison)

    def _set(self) -> tuple[str, ...]:
        self._need("(")
        values = [self._value()]
        while self._take(","):
            values.append(self._value())
        self._need(")")
        return tuple(values)

    def _value(self) -> str:
        kind, text = self._peek()
        self._place += 1
        if kind == "string":
            return _ESCAPED.sub(r"\1", text[1:-1])
        if kind == "typed":
            return text[2:-1]
        if kind == "number" or (kind == "word" and text.lower() in ("true", "false")):
            return text
        self._place -= 1
        raise self._wrong()
