"""Which offsets a micro-batch holds."""

from __future__ import annotations

from contextlib import suppress

import pytest

from processing.errors import ProcessError, Superseded
from processing.plan import FOLDER, SUMMED_UP, Landed, Plans, Range, next_ranges
from processing.topic import Split, splits
from tests.support import MemoryLake


@pytest.mark.parametrize(
    ("held", "start", "most", "expected"),
    [
        ({0: (0, 10), 1: (0, 0)}, {}, 100, {0: (0, 10), 1: (0, 0)}),
        ({0: (0, 10), 1: (0, 8)}, {0: 4, 1: 8}, 100, {0: (4, 10), 1: (8, 8)}),
        ({0: (0, 100), 1: (0, 100)}, {}, 60, {0: (0, 30), 1: (0, 30)}),
        ({0: (5, 10)}, {0: 5}, 100, {0: (5, 10)}),
        ({0: (0, 10), 1: (0, 3)}, {0: 10}, 100, {0: (10, 10), 1: (0, 3)}),
    ],
)
def test_next_ranges(held: dict[int, Range], start: dict[int, int], most: int, expected: dict[int, Range]) -> None:
    assert next_ranges(held, start, most) == expected


def test_messages_that_were_removed_before_they_were_read_stop_the_run() -> None:
    with pytest.raises(ProcessError, match="7 messages were removed"):
        next_ranges({0: (12, 20)}, {0: 5}, 100)


def test_a_topic_that_was_made_anew_stops_the_run() -> None:
    with pytest.raises(ProcessError, match="made anew"):
        next_ranges({0: (0, 3)}, {0: 5}, 100)


def test_splits_cover_ranges_once() -> None:
    assert splits({0: (0, 10), 1: (5, 5), 2: (3, 6)}, 4) == [
        Split(0, 0, 3),
        Split(0, 3, 6),
        Split(0, 6, 10),
        Split(2, 3, 6),
    ]


def landed(*buckets: int) -> Landed:
    return Landed(len(buckets), 0, dict.fromkeys(buckets, 1))


def with_batches(count: int) -> MemoryLake:
    """A lake whose batch N holds the offsets from N - 1 to N of one partition, for bucket N."""
    lake = MemoryLake()
    plans = Plans(lake)
    for number in range(1, count + 1):
        plans.mark_done(plans.add({0: (number - 1, number)}, 8), landed(number))
    return lake


def test_batches_that_are_summed_up_say_what_they_said_before() -> None:
    lake = with_batches(5)
    before = Plans(lake)
    before.sum_up(3)
    after = Plans(lake)
    for plans in (before, after):
        assert plans.last_done == 5
        assert plans.buckets() == 8
        assert plans.next_offsets() == {0: 5}
        assert plans.touched_since(3) == {4, 5}
        assert plans.touched_since(0) == {1, 2, 3, 4, 5}
    names = lake.sizes(FOLDER)
    assert [name.removeprefix(FOLDER) for name in names if name != SUMMED_UP] == [
        "000004.done.json",
        "000004.json",
        "000005.done.json",
        "000005.json",
    ]


def test_a_lake_whose_batches_are_all_summed_up_goes_on_with_the_next() -> None:
    lake = with_batches(2)
    Plans(lake).sum_up(2)
    plans = Plans(lake)
    assert (plans.last_done, plans.next_offsets(), plans.unfinished()) == (2, {0: 2}, None)
    assert plans.add({0: (2, 4)}, 8).number == 3
    assert Plans(lake).unfinished() is not None


@pytest.mark.parametrize("writes", range(7))
def test_summing_up_may_stop_anywhere(writes: int) -> None:
    lake = with_batches(3)
    lake.stop_after(writes)
    with suppress(InterruptedError):
        Plans(lake).sum_up(3)
    lake.stop_after(None)
    plans = Plans(lake)
    assert (plans.last_done, plans.next_offsets(), plans.touched_since(0)) == (3, {0: 3}, {1, 2, 3})
    plans.sum_up(3)
    assert list(lake.sizes(FOLDER)) == [SUMMED_UP]


def test_a_run_that_slept_while_batches_were_summed_up_plans_none_of_them_again() -> None:
    lake = with_batches(1)
    slept = Plans(lake)
    awake = Plans(lake)
    awake.mark_done(awake.add({0: (1, 2)}, 8), landed(1))
    awake.sum_up(2)
    with pytest.raises(Superseded):
        slept.add({0: (1, 2)}, 8)
    assert Plans(lake).unfinished() is None
    assert Plans(lake).last_done == 2
