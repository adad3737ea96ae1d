"""YAML, strictly and in one pass: each event of libyaml becomes a value at once.

- Refused: a key given twice or that is no plain text (`<<`, `no:`), an alias, a tag, a second document, nesting deeper than
  `DEPTH_MAX`.
- What a plain word means (a number, true, a day) is PyYAML's own answer (its safe loader), asked once for each word.
"""

from typing import Any, NamedTuple

import yaml
from yaml.constructor import SafeConstructor
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    MappingStartEvent,
    ScalarEvent,
)
from yaml.nodes import ScalarNode
from yaml.resolver import Resolver

DEPTH_MAX = 16
_TEXT = "tag:yaml.org,2002:str"


class _Reader:
    """Puts the values of one document together."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        """The document's value, once it has been read."""
        self._open: list[tuple[Any, bool]] = []
        """The collections that are still open, innermost last, and whether each is a mapping."""
        self._keys: list[str | None] = []
        """Of each the key that waits for its value."""
        self._tags: dict[str, str] = {}
        """Plain words, and what kind of value each is."""
        self._meanings: dict[str, Any] = {}
        """Plain words that are no texts, and what each means."""

    def take(self, event: yaml.Event) -> None:
        """Take the next event. yaml.YAMLError, ValueError or RecursionError."""
        if isinstance(event, ScalarEvent):
            if event.tag is not None:
                raise _refused("a tag is not allowed", event)
            self._put(event.value if self._is_text(event) else _Plain(event), event)
        elif isinstance(event, CollectionStartEvent):
            if event.tag is not None:
                raise _refused("a tag is not allowed", event)
            mapping = isinstance(event, MappingStartEvent)
            value: Any = {} if mapping else []
            self._put(value, event)
            self._open.append((value, mapping))
            self._keys.append(None)
            if len(self._open) > DEPTH_MAX:
                raise RecursionError
        elif isinstance(event, CollectionEndEvent):
            self._open.pop()
            self._keys.pop()
        elif isinstance(event, AliasEvent):
            raise _refused("an alias is not allowed", event)
        elif isinstance(event, DocumentStartEvent) and self.values:
            raise _refused("a second document", event)

    def _put(self, value: Any, event: yaml.Event) -> None:
        """Put a value, or the key of the next one, where it belongs."""
        inside: Any = self._open[-1][0] if self._open else self.values
        mapping = bool(self._open) and self._open[-1][1]
        if not mapping:
            inside.append(self._read(value))
            return
        key = self._keys[-1]
        if key is not None:
            inside[key] = self._read(value)
            self._keys[-1] = None
        elif not isinstance(value, str):
            raise _refused("a key is no plain text", event)
        elif value in inside:
            raise _refused(f"key {value} twice", event)
        else:
            self._keys[-1] = value

    def _is_text(self, event: ScalarEvent) -> bool:
        if not event.implicit[0]:
            return True
        tag = self._tags.get(event.value)
        if tag is None:
            tag = self._tags[event.value] = _tag_of(event.value)
        return tag == _TEXT

    def _read(self, value: Any) -> Any:
        """Return what a plain word means; anything else as it is."""
        if not isinstance(value, _Plain):
            return value
        word, start, end = value.event.value, value.event.start_mark, value.event.end_mark
        if word not in self._meanings:
            node = ScalarNode(self._tags[word], word, start, end)  # type: ignore[arg-type]  # libyaml marks have the same face
            self._meanings[word] = SafeConstructor().construct_document(node)
        return self._meanings[word]


class _Plain(NamedTuple):
    """A plain word that is no text."""

    event: ScalarEvent


def _tag_of(word: str) -> str:
    tag: str = Resolver().resolve(ScalarNode, word, (True, False))  # type: ignore[no-untyped-call]
    return tag


def read_yaml(text: str) -> Any:
    """Return the value of a document; None where there is none. yaml.YAMLError, ValueError, or RecursionError where it is too deep."""
    reader = _Reader()
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        reader.take(event)
    return reader.values[0] if reader.values else None


def _refused(why: str, event: yaml.Event) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, why, event.start_mark)  # type: ignore[arg-type]  # libyaml marks have the same face
