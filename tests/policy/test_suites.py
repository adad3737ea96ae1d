"""sealing.yaml: which suites a bundle allows, and which one it uses."""

import shutil
from pathlib import Path

import pytest

from bus.policy.author import build_body
from bus.policy.bundle import Bundle
from bus.policy.errors import PolicyError
from schemas.v1 import federation_pb2
from tests.policy.federation import FROM_MS, UNTIL_MS

ROWS = Path(__file__).parents[2] / "deploy" / "policy"


def _suites(place: Path, text: str | None) -> tuple[int, frozenset[int]]:
    shutil.copytree(ROWS, place / "rows")
    file = place / "rows" / "sealing.yaml"
    if text is None:
        file.unlink()
    else:
        file.write_text(text)
    body = build_body(place / "rows", 1, b"", FROM_MS, UNTIL_MS)
    suites = Bundle(federation_pb2.PolicyBundleBody.FromString(body), b"").suites
    return suites.use, suites.allowed


def test_a_bundle_says_which_suites_it_allows(tmp_path: Path) -> None:
    """The suite to use, and those that are taken."""
    assert _suites(tmp_path, "use: 2\nallowed: [1, 2]\nwhy: members change over\n") == (2, {1, 2})


def test_a_bundle_without_the_file_has_the_first_suite_alone(tmp_path: Path) -> None:
    """Who says nothing allows nothing beside suite 1."""
    assert _suites(tmp_path, None) == (1, {1})


@pytest.mark.parametrize(
    "text",
    [
        "use: 2\nallowed: [1]\nwhy: it is not allowed\n",
        "use: 1\nallowed: [1, 5]\nwhy: there is no fifth\n",
        "use: 1\nallowed: [1, 1]\nwhy: twice\n",
        "use: 2\nallowed: [2, 1]\nwhy: not ascending\n",
        "use: 1\nallowed: []\nwhy: none\n",
        "use: 1\nallowed: [1]\n",
        "use: '1'\nallowed: [1]\nwhy: a text\n",
        "use: true\nallowed: [1]\nwhy: no number\n",
        "use: 1\nallowed: [1]\nwhy: more\nprefer: 2\n",
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, text: str) -> None:
    """A suite that is unknown, not allowed, given twice or without a reason: no bundle comes of it."""
    with pytest.raises(PolicyError) as refused:
        _suites(tmp_path, text)
    assert "sealing.yaml" in refused.value.cause
