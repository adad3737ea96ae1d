"""The timeline: what people read fits, and no more of a number is shown than its end."""

import pytest

from deploy.demo.timeline import COLUMNS, LABELS, Refusal, Step, Timeline, masked


@pytest.fixture
def lines() -> list[str]:
    """What was told."""
    return []


@pytest.mark.parametrize("name", sorted(LABELS))
def test_every_step_fits_on_a_line(name: str, lines: list[str]) -> None:
    """A step of the longest names, time and entry takes one line of at most 100 columns."""
    timeline = Timeline(lines.append)
    timeline.step(Step(name, "platform-d", "police-a, centre, platform-d", 999_999, 99_999))
    assert len(lines) == 1
    assert len(lines[0]) <= COLUMNS
    assert "police-a and 2" in lines[0]
    assert "#99999" in lines[0]


def test_a_step_within_an_agency_has_no_arrow(lines: list[str]) -> None:
    """What an agency does alone goes to nobody."""
    Timeline(lines.append).step(Step("notice-opened", "police-a", "police-a", 1, 2))
    assert "→" not in lines[0]


def test_notes_are_wrapped(lines: list[str]) -> None:
    """A long reason takes several lines, each of which fits."""
    timeline = Timeline(lines.append)
    timeline.refused(Refusal("bank-b", "FB-06", "word " * 60))
    assert len(lines) > 1
    assert all(len(line) <= COLUMNS for line in lines)
    assert timeline.facts()["refusals"] == [{"agency": "bank-b", "rule": "FB-06", "reason": "word " * 60}]


def test_colour_is_only_for_terminals(lines: list[str]) -> None:
    """Without a terminal there is no escape in any line; with one, a problem stands out."""
    Timeline(lines.append).problem("x")
    assert "\033" not in lines[0]
    Timeline(lines.append, colour=True).problem("x")
    assert "\033" in lines[1]


@pytest.mark.parametrize(
    ("number", "shown"),
    [("6217009182736455", "•••• 6455"), ("123456789", "•••• 6789"), ("12345678", "••••"), ("", "••••")],
)
def test_numbers_are_masked(number: str, shown: str) -> None:
    """Only the last four characters of a long number are shown, and nothing of a short one."""
    assert masked(number) == shown
