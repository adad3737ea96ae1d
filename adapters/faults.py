"""What else is wrong with a row that is held back: its owner mends all of it at once."""

from adapters.errors import RowRefused
from adapters.model import Fault
from adapters.plan import Plan
from adapters.verbs import Cells


def other_faults(plan: Plan, cells: Cells) -> tuple[Fault, ...]:
    """Return every fault of a row after the first, in the order of the profile; each column once."""
    found: dict[str, Fault] = {}
    for step in plan.steps:
        where = step.column or step.path
        try:
            step.fill(cells, [])
        except RowRefused as error:
            found.setdefault(where, Fault(error.code, f"{plan.noun} {where} {error.cause}", error.cure, where))
    return tuple(found.values())[1:]
