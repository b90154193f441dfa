"""One bucket's events as objects: each event once, whatever was joined or left behind."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processing import archive
from processing.archive import JOIN_AT, MOST_BYTES, Archive, to_join
from processing.parse import EVENT_SCHEMA
from tests.support import MemoryLake


def landed(*users: str, begin: int = 0) -> pl.DataFrame:
    """Events as they are landed, one for each user."""
    return pl.DataFrame(
        [
            {
                "event_id": f"{begin + place:032x}",
                "event_time": datetime(2020, 9, 24, 11, 57, 6, tzinfo=UTC),
                "event_type": "view",
                "price": Decimal(1),
                "user_id": user,
                "user_session": "s",
                "kafka_partition": 0,
                "kafka_offset": begin + place,
            }
            for place, user in enumerate(users)
        ],
        schema=EVENT_SCHEMA,
    )


def stored(lake: MemoryLake, name: str) -> pl.DataFrame:
    found = lake.get(name)
    assert found
    return pl.read_parquet(io.BytesIO(found[0]))


def test_the_same_events_in_any_order_are_the_same_bytes() -> None:
    lake = MemoryLake()
    events = landed("3", "1", "2", "1")
    Archive(lake, 7).write(12, events)
    first = lake.get("events/bucket=07/batch=000012.parquet")
    Archive(lake, 7).write(12, events.reverse())
    assert lake.get("events/bucket=07/batch=000012.parquet") == first
    assert list(lake.sizes("events/")) == ["events/bucket=07/batch=000012.parquet"]


def test_slices_hold_each_customer_once_and_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "SLICE_EVENTS", 4)
    lake = MemoryLake()
    users = [str(number % 7) for number in range(40)]
    for batch in (1, 2):
        Archive(lake, 0).write(batch, landed(*users, begin=100 * batch))
    found = Archive(lake, 0)
    wanted = pl.Series("user_id", ["0", "2", "3", "5", "nobody"])
    slices = list(found.slices(found.pieces(9), wanted))
    assert len(slices) > 2
    seen = [set(part["user_id"]) for part in slices]
    assert sum(len(part) for part in seen) == len(set().union(*seen)) == 4
    assert sum(part.height for part in slices) == 2 * sum(user in set(wanted) for user in users)


def test_small_objects_become_one_with_the_same_events() -> None:
    lake = MemoryLake()
    for batch in range(1, JOIN_AT + 2):
        Archive(lake, 0).write(batch, landed("1", "2", begin=10 * batch))
    before = pl.concat([stored(lake, name) for name in lake.sizes("events/")])
    assert Archive(lake, 0).join_small(through=JOIN_AT) == JOIN_AT
    names = list(lake.sizes("events/"))
    assert names == [
        f"events/bucket=00/batch=000001-{JOIN_AT:06d}.parquet",
        f"events/bucket=00/batch={JOIN_AT + 1:06d}.parquet",
    ]
    after = pl.concat([stored(lake, name) for name in names])
    assert after.sort("kafka_offset").equals(before.sort("kafka_offset"))
    assert Archive(lake, 0).join_small(through=JOIN_AT) == 0


@pytest.mark.parametrize("stop", range(JOIN_AT + 1))
def test_joining_may_stop_anywhere(stop: int) -> None:
    lake = MemoryLake()
    for batch in range(1, JOIN_AT + 1):
        Archive(lake, 0).write(batch, landed("1", begin=batch))
    lake.stop_after(stop)
    with pytest.raises(InterruptedError):
        Archive(lake, 0).join_small(through=JOIN_AT)
    lake.stop_after(None)
    found = Archive(lake, 0)
    (whole,) = found.slices(found.pieces(99), pl.Series("user_id", ["1"]))
    assert whole.height == JOIN_AT
    Archive(lake, 0).join_small(through=JOIN_AT)
    assert list(lake.sizes("events/")) == [f"events/bucket=00/batch=000001-{JOIN_AT:06d}.parquet"]


@pytest.mark.parametrize(
    ("sizes", "count"),
    [
        ([], 0),
        ([10] * (JOIN_AT - 1), 0),
        ([10] * JOIN_AT, JOIN_AT),
        ([1000] + [10] * JOIN_AT, JOIN_AT),
        ([100] + [10] * JOIN_AT, JOIN_AT + 1),
        ([10] * 3 + [1000] + [10] * 3, 0),
        ([MOST_BYTES // 2] * (2 * JOIN_AT), 0),
        ([MOST_BYTES] + [10] * JOIN_AT, JOIN_AT),
    ],
)
def test_objects_are_joined_to_others_of_their_size(sizes: list[int], count: int) -> None:
    assert to_join(sizes) == count


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 1000), min_size=300, max_size=600))
def test_objects_stay_few_and_are_seldom_written_again(batches: list[int]) -> None:
    sizes: list[int] = []
    written = 0
    for size in batches:
        sizes.append(size)
        if count := to_join(sizes):
            written += sum(sizes[-count:])
            sizes[-count:] = [sum(sizes[-count:])]
        assert len(sizes) < 4 * JOIN_AT
    assert sum(sizes) == sum(batches)
    assert written < 8 * sum(batches)
