"""The examples of every profile become the messages that were reviewed."""

import pytest

import adapters
from tests.adapters.make_golden import FOLDER, golden, text


@pytest.mark.parametrize("name", sorted(adapters.profiles()))
def test_a_profiles_example_is_what_was_reviewed(name):
    """Messages, refusals, lineage: all as in the golden file; `python -m tests.adapters.make_golden` writes it anew."""
    assert text(golden()[name]) == (FOLDER / f"{name}.json").read_text(encoding="utf-8")
