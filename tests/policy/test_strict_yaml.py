"""YAML as the policy reads it: what PyYAML's safe loader makes of it, and less of it is allowed."""

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.policy.files import NAMES
from bus.policy.strict_yaml import DEPTH_MAX, read_yaml

_FOLDER = Path(__file__).parent.parent.parent / "deploy" / "policy"
_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.dates(min_value=dt.date(1000, 1, 1)),
    st.text(),
    st.sampled_from(
        ["no", "yes", "~", "null", "<<", "=", "0600", "0x1F", "1e3", "12:30", "2026-11-25", "", "- a", "#"]
    ),
)
_VALUES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)


@pytest.mark.parametrize("name", NAMES)
def test_says_of_our_own_bundle_what_pyyaml_says(name: str) -> None:
    """Each file of the bundle that comes with the product has the values that the safe loader reads."""
    text = (_FOLDER / name).read_text("utf-8")
    assert read_yaml(text) == yaml.safe_load(text)


@settings(max_examples=200, deadline=None)
@given(_VALUES, st.booleans())
def test_says_of_any_values_what_pyyaml_says(value: Any, flow: bool) -> None:
    """What is written by PyYAML is read as it was, whatever the words look like."""
    text = yaml.safe_dump(value, allow_unicode=True, default_flow_style=flow)
    found, expected = read_yaml(text), yaml.safe_load(text)
    assert (found, repr(found)) == (expected, repr(expected))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: 1\nb: 2\na: 1\n", "key a twice"),
        ("a: 1\n'a': 1\n", "key a twice"),
        ("x: {a: 1, a: 2}\n", "key a twice"),
        ("no: 1\n", "no plain text"),
        ("1: 1\n", "no plain text"),
        ("<<: {a: 1}\n", "no plain text"),
        ("? [a]\n: 1\n", "no plain text"),
        ("a: &x 1\nb: *x\n", "an alias is not allowed"),
        ("&x a: 1\n*x : 2\n", "an alias is not allowed"),
        ("a: !!python/object/apply:os.system [id]\n", "a tag is not allowed"),
        ("a: !!str 1\n", "a tag is not allowed"),
        ("!!set {a, b}\n", "a tag is not allowed"),
        ("a: 1\n---\na: 2\n", "a second document"),
    ],
)
def test_refuses_what_may_be_read_in_two_ways(text: str, why: str) -> None:
    """What another reader could take for something else is refused, with its line."""
    with pytest.raises(yaml.MarkedYAMLError, match=why) as refusal:
        read_yaml(text)
    assert refusal.value.problem_mark is not None


@pytest.mark.parametrize("text", ["a: [", "a: 'x", "\t- a", "a: b: c", "a: \x07"])
def test_refuses_what_is_no_yaml(text: str) -> None:
    """A text that libyaml does not take is refused as it refuses it."""
    with pytest.raises(yaml.YAMLError):
        read_yaml(text)


def test_refuses_depth_before_it_costs_anything() -> None:
    """Sixteen collections in one another are read, seventeen refused, and so are a million, without a stack of their own."""
    assert read_yaml("[" * DEPTH_MAX + "]" * DEPTH_MAX) is not None
    with pytest.raises(RecursionError):
        read_yaml("[" * (DEPTH_MAX + 1))
    with pytest.raises((RecursionError, yaml.YAMLError)):  # libyaml has a limit of its own
        read_yaml("[" * 1_000_000)


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n"])
def test_nothing_is_none(text: str) -> None:
    """A file without a document, or with an empty one, says nothing."""
    assert read_yaml(text) is None
