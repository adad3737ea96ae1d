"""What goes out because somebody asked is logged as a release, and nothing else is."""

import re

import pytest

from audit.v1 import leaf_pb2
from bus import leaves
from bus.orders.states import ORDER_OF, RESULT_OF, UNASKED
from schemas import registry

_NAMED_SO = re.compile(r"\w+(?:Answer|Result|Decision|Outcome)")
BODIES = {registry.bare_name(name) for name in registry.bodies()}


def test_every_type_that_answers_is_known_with_what_it_answers() -> None:
    """All types that are named as answers, and all that carry out an order, are in the table; both sides of it travel."""
    named = {name for name in BODIES if _NAMED_SO.fullmatch(name)}
    carried_out = {registry.bare_name(result): registry.bare_name(order) for result, order in ORDER_OF.items()}
    assert set(leaves.ANSWERS) == named | set(carried_out)
    assert carried_out.items() <= leaves.ANSWERS.items()
    assert set(leaves.ANSWERS.values()) <= BODIES


@pytest.mark.parametrize("name", sorted(registry.bodies()))
def test_the_entry_before_an_answer_is_a_release(name: str) -> None:
    """Of a type that also travels unasked, it depends on whether the message names the question."""
    answers = registry.bare_name(name) in leaves.ANSWERS
    expected = leaf_pb2.KIND_RELEASE if answers else leaf_pb2.KIND_INTENT
    assert leaves.kind_of(name, b"i" * 16) == expected
    assert leaves.kind_of(name, b"") == (leaf_pb2.KIND_INTENT if name in UNASKED else expected)


def test_an_order_and_a_query_are_no_answers() -> None:
    """What is asked is an intent, whatever it follows."""
    for asked in RESULT_OF:
        assert leaves.kind_of(asked, b"i" * 16) == leaf_pb2.KIND_INTENT
