"""Which keys are in use when."""

import pytest

from bus.tags import epochs, group
from bus.tags.epochs import OVERLAP_MS, KeySet

DAY_MS = 86_400_000


def held(epoch: str, begins: int, ends: int, key: int = 1) -> KeySet:
    element = group.times_base(group.scalar(key.to_bytes(32, "little")))
    return KeySet(epoch, (("auditor", element), ("centre", element)), begins, ends)


@pytest.mark.parametrize(
    ("at_ms", "name"),
    [(0, "1970Q1"), (1_790_812_799_999, "2026Q3"), (1_790_812_800_000, "2026Q4"), (1_798_761_600_000, "2027Q1")],
)
def test_a_moment_has_its_quarter(at_ms: int, name: str) -> None:
    """A quarter begins with its first millisecond in UTC."""
    assert epochs.quarter(at_ms) == name


@pytest.mark.parametrize("name", ["2026Q1", "2026Q2", "2026Q3", "2026Q4", "2026Q4-3"])
def test_a_quarter_and_its_overlap(name: str) -> None:
    """An epoch's shares live from the quarter's first moment to two weeks past its last, whichever epoch of it."""
    begins, ends = epochs.span(name)
    assert epochs.quarter(begins) == name[:6] != epochs.quarter(begins - 1)
    assert epochs.quarter(ends - OVERLAP_MS - 1) == name[:6] != epochs.quarter(ends - OVERLAP_MS)


def test_two_epochs_are_in_use_during_the_overlap_and_one_after_it() -> None:
    """For two weeks values get the new tag and the old; then the new alone; before it began, the old alone."""
    old, new = held("2026Q3", 0, 100 * DAY_MS), held("2026Q4", 86 * DAY_MS, 190 * DAY_MS, 2)

    def names(day: float) -> list[str]:
        return [found.epoch for found in epochs.in_use([old, new], int(day * DAY_MS))]

    assert names(85.9) == ["2026Q3"]
    assert names(86) == ["2026Q4", "2026Q3"]
    assert names(99.9) == ["2026Q4", "2026Q3"]
    assert names(100.1) == ["2026Q4"]
    assert names(191) == []


def test_a_second_epoch_of_a_quarter_goes_before_the_first() -> None:
    """After a share may have been lost the second epoch is in use at once, the first beside it for two weeks."""
    first, second = held("2026Q4", 0, 100 * DAY_MS), held("2026Q4-2", 20 * DAY_MS, 100 * DAY_MS, 2)
    assert [found.epoch for found in epochs.in_use([first, second], 21 * DAY_MS)] == ["2026Q4-2", "2026Q4"]
    assert [found.epoch for found in epochs.in_use([first, second], 35 * DAY_MS)] == ["2026Q4-2"]
    assert (epochs.successor("2026Q4"), epochs.successor("2026Q4-2")) == ("2026Q4-2", "2026Q4-3")


def test_a_key_set_is_named_by_epoch_and_both_keys() -> None:
    """Another epoch, another key or another authority is another set; the order of the two is none."""
    one, two = (group.times_base(group.scalar(number.to_bytes(32, "little"))) for number in (3, 4))
    names = {
        KeySet(epoch, keys, 0, 1).id
        for epoch, keys in (
            ("2026Q4", (("auditor", one), ("centre", two))),
            ("2026Q4", (("centre", two), ("auditor", one))),
            ("2027Q1", (("auditor", one), ("centre", two))),
            ("2026Q4", (("auditor", two), ("centre", one))),
            ("2026Q4", (("auditor", one), ("police-a", two))),
        )
    }
    assert len(names) == 4
