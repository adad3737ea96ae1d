"""Compartments: classes that the same agencies may read share one box. Computed from policy's audiences, pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from schemas import field_classes


@dataclass(frozen=True)
class Compartment:
    """One box: the classes in it, by ascending number, and the agencies that may read it, ascending."""

    number: int
    classes: tuple[str, ...]
    audience: tuple[str, ...]


def compartments(audiences: Mapping[str, frozenset[str]]) -> tuple[Compartment, ...]:
    """Return the compartments for {class: agencies}. A class that nobody may read has no place here: ValueError."""
    by_audience: dict[tuple[str, ...], list[str]] = {}
    for name in sorted(audiences, key=field_classes.class_number):
        if not audiences[name]:
            raise ValueError(f"class {name} has no reader")
        by_audience.setdefault(tuple(sorted(audiences[name])), []).append(name)
    return tuple(
        Compartment(number, tuple(classes), audience)
        for number, (audience, classes) in enumerate(by_audience.items(), start=1)
    )
