"""What a node needs to know of match tags, from its configuration."""

from dataclasses import dataclass

from bus.parts import Actor

SERVICE = Actor("svc-tags", service=True)
"""Evaluates at an authority, makes tags of the answers elsewhere."""
MATCHER = Actor("svc-match", service=True)
"""Compares tags."""


@dataclass(frozen=True)
class TagSettings:
    """Who the two authorities are, how long a message waits for its tags, and what an authority gives each member."""

    authorities: tuple[str, ...]
    wait_ms: int
    maxima: dict[str, int]
