"""Class plans: which class each field of a message had in which release, so that old and new nodes read one another.

- A message says by which plan of its type it was split (`Header.class_plan`): 0 is the first that was released, and what was
  never released before has only that one.
- A field may rise in class and never fall: `python -m schemas.plans --check` holds the schemas to what was released.
- `python -m schemas.plans` takes the present plans as released (`make baseline` calls it); plans are only ever added.
"""

import json
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from schemas import field_classes, registry
from schemas.errors import UnknownType

Plan = Mapping[int, str]
"""{field number: class}."""
FILE = Path(__file__).with_name("plans.json")

_RANKS: tuple[tuple[str, ...], ...] = (
    ("OPEN",),
    ("MATCH_TAG", "CASE_META", "RISK"),
    ("ACCOUNT_ID", "PHONE_ID", "DEVICE_NET", "MONEY_FLOW", "BALANCE", "COMM_META"),
    ("IDENTITY", "CONTACT", "VICTIM", "NARRATIVE", "STAFF"),
)
"""From what everybody may read, over what names nobody and what leads to somebody, to what names somebody or may."""
RANK: Mapping[str, int] = {name: rank for rank, names in enumerate(_RANKS) for name in names}
assert set(RANK) == set(field_classes.CLASSES), "every class has a rank"


def may_become(before: str, after: str) -> bool:
    """Say whether a field of one class may be of another from now on: the same, or one that stands strictly higher."""
    return before == after or RANK[after] > RANK[before]


@cache
def current(type_name: str) -> Plan:
    """Return the plan of this installation. UnknownType for a type that it does not know."""
    return {field.number: field_classes.field_class(field) for field in registry.descriptor_of(type_name).fields}


@cache
def _released() -> Mapping[str, tuple[Plan, ...]]:
    held: dict[str, list[dict[str, str]]] = json.loads(FILE.read_text(encoding="utf-8"))
    return {
        name: tuple({int(number): held_class for number, held_class in plan.items()} for plan in plans)
        for name, plans in held.items()
    }


def released(type_name: str) -> tuple[Plan, ...]:
    """Return the plans of a type that were released, oldest first."""
    return _released().get(type_name, ())


@cache
def number(type_name: str) -> int:
    """Return the number of this installation's plan of a type: of the newest released one, or of the next if it differs."""
    plans = released(type_name)
    return len(plans) - 1 if plans and plans[-1] == current(type_name) else len(plans)


def plan(type_name: str, wanted: int) -> Plan | None:
    """Return a plan by its number; None for one that this installation does not know, so for one of a later release."""
    plans = released(type_name)
    if wanted < len(plans):
        return plans[wanted]
    return current(type_name) if wanted == number(type_name) else None


def fallen() -> list[str]:
    """Return what has fallen, or has moved sideways, in class since the last release: one line for each field."""
    found = []
    for type_name, plans in sorted(_released().items()):
        try:
            now = current(type_name)
        except UnknownType:
            continue  # a type that is gone is the breaking-change check's to find
        for at, before in sorted(plans[-1].items()):
            after = now.get(at, before)
            if not may_become(before, after):
                found.append(f"{type_name}, field {at}: {after} does not stand above {before}")
    return found


def _release() -> None:
    held = {name: [dict(item) for item in plans] for name, plans in _released().items()}
    for name in registry.bodies():
        plans = held.setdefault(name, [])
        if not plans or plans[-1] != dict(current(name)):
            plans.append(dict(current(name)))
    FILE.write_text(json.dumps(held, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Check, or take the present plans as released; return 1 when a field has fallen."""
    if arguments not in ([], ["--check"]):
        print("usage: python -m schemas.plans [--check]", file=sys.stderr)  # noqa: T201 - a command
        return 2
    wrong = fallen()
    for line in wrong:
        print(f"{line}: a field may rise in class, never fall")  # noqa: T201 - a command
    if not wrong and not arguments:
        _release()
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
