"""Conditions in profiles, in CEL (Common Expression Language): over `row`, a map from column or path to its text.

A condition is compiled and type-checked when its profile is loaded: it must give true or false, and every column it asks
for must be there. CEL has no loops and no side effects, so a profile cannot hang or reach anything.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from adapters.errors import ProfileRefused

_WORDS = re.compile(r"""\brow\s*\[\s*(?:"([^"\\]*)"|'([^'\\]*)')\s*\]|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|(\brow\b)""")
"""`row["name"]`, or a text in which the word row means nothing, or a row without a name."""
_KNOWN_MAX = 256
_CODE_CHARACTERS_MAX = 4


class Condition:
    """A compiled condition."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.names = _names(text)
        """Columns or paths that it asks for."""
        self._expression = _compiled(text)
        self._known: dict[tuple[str, ...], bool] = {}
        """What it says of short texts, as codes are: they come again and again."""

    def holds(self, row: Mapping[str, str]) -> bool:
        """Say whether it holds for a record; `row` has every one of `names`."""
        texts = tuple([row[name] for name in self.names])
        known = self._known.get(texts)
        if known is None:
            known = bool(self._expression.eval(data={"row": dict(row)}).value())
            if len(self._known) < _KNOWN_MAX and all(len(text) <= _CODE_CHARACTERS_MAX for text in texts):
                self._known[texts] = known
        return known


@cache
def condition(text: str) -> Condition:
    """Compile a condition, once for each text. ProfileRefused when it is none."""
    return Condition(text)


def _names(text: str) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for word in _WORDS.finditer(text):
        if word[3]:
            raise _refused(text, "row stands without the name of a column", 'write row["name"]')
        name = word[1] if word[1] is not None else word[2]
        if name is not None:
            found[name] = None
    if not found:
        raise _refused(text, "it asks for no column", 'write row["name"]')
    return tuple(found)


@cache
def _environment() -> Any:
    from cel_expr_python import cel  # type: ignore[import-untyped]  # noqa: PLC0415 - has no stubs; slow to load, seldom needed

    return cel.NewEnv(variables={"row": cel.Type.Map(cel.Type.STRING, cel.Type.STRING)}), cel.Type.BOOL


def _compiled(text: str) -> Any:
    environment, boolean = _environment()
    try:
        found = environment.compile(text)
    except RuntimeError as error:
        cause = str(error).partition("ERROR: ")[2].splitlines()[0] or str(error)
        raise _refused(text, cause, "see the language reference in docs/adding-a-format.md") from error
    if found.return_type() != boolean:
        raise _refused(text, "it gives no yes or no", "compare what it gives with something")
    return found


def _refused(text: str, why: str, cure: str) -> ProfileRefused:
    return ProfileRefused(f"the condition {text} cannot be used: {why}", cure=cure, code="LF-MAP-PROFILE-CONDITION")
