"""From statistics to what checks look at: one value per day for each series."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

import polars as pl

from customer_profiles.contracts import EVENT_TYPES
from customer_profiles.quality import customers as lake
from customer_profiles.quality import statistics as topic

HALF_HOURS_A_DAY = 48
LASTING_DAYS = 14
"""Days with rows that make a source one that is missed. A file of one day is none."""
MEDIAN, TAIL = 0.5, 0.99
"""The quantiles of prices that are watched."""


class Series(NamedTuple):
    """What one check watches: a number for every day."""

    check: str
    """The id of the check in the contract."""
    field: str = ""
    """The column, type, category or reason; empty if there is only one."""
    source: str = ""
    """The source; empty for all sources together."""


class Observation(NamedTuple):
    """The value of a series on one day."""

    value: float
    rows: float
    """How many rows it is about: a share of few rows says little."""


@dataclass(frozen=True, slots=True)
class History:
    """All series, day by day."""

    series: Mapping[Series, Mapping[date, Observation]] = field(default_factory=dict)
    half_hours: Mapping[date, tuple[int, ...]] = field(default_factory=dict)
    """Rows by half-hour of the day."""

    @property
    def days(self) -> list[date]:
        """All days with an observation, in order."""
        return sorted({day for observed in self.series.values() for day in observed})


Rejected = Mapping[tuple[date, str], int]
"""Rejected rows by the day on which they were rejected and the reason."""
_Values = dict[Series, dict[date, Observation]]


def build_history(
    statistics: pl.DataFrame, customers: pl.DataFrame, rejected: Rejected | None = None
) -> History:
    """Turn statistics into series.

    Args:
        statistics: `statistics.STATISTICS_SCHEMA`, added up.
        customers: `customers.CUSTOMER_SCHEMA`, added up over all buckets.
        rejected: rejected rows by day and reason.
    """
    values: _Values = defaultdict(dict)
    numbers = _Numbers(statistics)
    _add_volumes(values, numbers)
    _add_shares(values, numbers)
    _add_rejected(values, numbers, rejected or {})
    _add_prices(values, statistics)
    _add_customers(values, customers)
    half_hours: dict[date, list[int]] = defaultdict(lambda: [0] * HALF_HOURS_A_DAY)
    for day, key, rows in numbers.of(topic.HALF_HOURS):
        half_hours[day][int(key)] += rows
    return History(dict(values), {day: tuple(bins) for day, bins in half_hours.items()})


class _Numbers:
    """Statistics by metric, over all partitions."""

    def __init__(self, statistics: pl.DataFrame) -> None:
        summed = statistics.filter(pl.col("metric") != topic.PRICES)
        self._by_source = summed.group_by("metric", "day", "source", "key").agg(
            pl.col("value").sum()
        )
        self._total = self._by_source.group_by("metric", "day", "key").agg(pl.col("value").sum())
        self.rows = {day: rows for day, _, rows in self.of(topic.ROWS)}

    def of(self, metric: str) -> Iterator[tuple[date, str, int]]:
        """Yield day, key and value over all sources."""
        chosen = self._total.filter(pl.col("metric") == metric)
        yield from chosen.select("day", "key", "value").iter_rows()

    def by_source(self, metric: str) -> Iterator[tuple[date, str, int]]:
        """Yield day, source and value over all keys."""
        chosen = self._by_source.filter(pl.col("metric") == metric)
        yield from chosen.select("day", "source", "value").iter_rows()


def _add_volumes(values: _Values, numbers: _Numbers) -> None:
    for day, rows in numbers.rows.items():
        values[Series("volume")][day] = Observation(rows, rows)
    sources: dict[str, dict[date, int]] = defaultdict(dict)
    for day, source, rows in numbers.by_source(topic.ROWS):
        sources[source][day] = rows
    lasting = {name: days for name, days in sources.items() if len(days) >= LASTING_DAYS}
    for source, by_day in lasting.items() if len(sources) > 1 else ():
        first = min(by_day)
        for day in numbers.rows:
            # A source without rows has a volume of 0 from its first day on.
            if day >= first:
                rows = by_day.get(day, 0)
                values[Series("source_volume", source=source)][day] = Observation(rows, rows)


def _add_shares(values: _Values, numbers: _Numbers) -> None:
    shares = {
        "null_share": (topic.NULLS, topic.NULLABLE),
        "event_type_share": (topic.TYPES, EVENT_TYPES),
        "late_share": (topic.LATE, ("",)),
    }
    for check, (metric, fields) in shares.items():
        counted: dict[tuple[date, str], int] = {
            (day, key): rows for day, key, rows in numbers.of(metric)
        }
        for name in {*fields, *(key for _, key in counted)}:
            for day, rows in numbers.rows.items():
                share = counted.get((day, name), 0) / rows
                values[Series(check, name)][day] = Observation(share, rows)
    new: dict[tuple[date, str], int] = defaultdict(int)
    for day, key, rows in numbers.of(topic.FIRST_SEEN):
        new[day, key.split("|", 1)[0]] += rows
    for column in topic.CATALOGUED:
        for day, rows in numbers.rows.items():
            share = new[day, column] / rows
            values[Series("unknown_share", column)][day] = Observation(share, rows)


def _add_rejected(values: _Values, numbers: _Numbers, rejected: Rejected) -> None:
    arrived: dict[date, int] = defaultdict(int)
    for day, _, rows in numbers.of(topic.ARRIVED):
        arrived[day] += rows
    total: dict[date, int] = defaultdict(int)
    for (day, _), rows in rejected.items():
        total[day] += rows
    for reason in {reason for _, reason in rejected}:
        for day in {*arrived, *total}:
            rows = arrived[day] + total[day]
            share = rejected.get((day, reason), 0) / rows
            values[Series("rejected_share", reason)][day] = Observation(share, rows)


def _add_prices(values: _Values, statistics: pl.DataFrame) -> None:
    prices = statistics.filter(pl.col("metric") == topic.PRICES).select(
        "day",
        pl.col("key").str.split("|").list.last().cast(pl.Int64).alias("bin"),
        pl.col("key").str.replace(r"\|[^|]*$", "").alias("category"),
        "value",
    )
    by_category = prices.group_by("day", "category", "bin").agg(pl.col("value").sum())
    overall = by_category.group_by("day", "bin").agg(pl.col("value").sum())
    parts: list[tuple[pl.DataFrame, tuple[str, ...]]] = [
        (overall.with_columns(pl.lit("").alias("category")), ("price_median", "price_tail"))
    ]
    parts.append((by_category, ("category_price_median",)))
    for part, checks in parts:
        for (day, category), bins in (
            part.sort("bin").partition_by(["day", "category"], as_dict=True).items()
        ):
            rows = float(bins["value"].sum())
            for check, share in zip(checks, (MEDIAN, TAIL), strict=False):
                price = quantile(dict(bins.select("bin", "value").iter_rows()), share)
                values[Series(check, category)][day] = Observation(price, rows)


def quantile(bins: Mapping[int, int], share: float) -> float:
    """Return the price below which a share of rows lies, interpolated within its bin.

    Args:
        bins: rows by `statistics.price_bin`, in ascending order.
        share: between 0 and 1.
    """
    wanted, passed = share * sum(bins.values()), 0
    for number, rows in bins.items():
        if passed + rows >= wanted:
            low, high = topic.bin_edges(number)
            return float(low * (high / low) ** ((wanted - passed) / rows))
        passed += rows
    return 0.0


def _add_customers(values: _Values, customers: pl.DataFrame) -> None:
    days: dict[date, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for day, metric, value in customers.iter_rows():
        days[day][metric] = value
    for day, found in days.items():
        events, people = found[lake.EVENTS], found[lake.CUSTOMERS]
        if not events:
            continue
        observed = {
            "repeated_share": ((found[lake.STORED] - events) / events, events),
            "customer_events": (found[lake.MOST_EVENTS], events),
            "customers": (people, people),
            "sessions_per_customer": (found[lake.SESSIONS] / people, people),
            "new_customer_share": (found[lake.NEW_CUSTOMERS] / people, people),
            "conversion": (found[lake.BUYERS] / people, people),
            "revenue": (found[lake.REVENUE] / lake.UNITS, found[lake.PURCHASES]),
        }
        for check, (value, rows) in observed.items():
            values[Series(check)][day] = Observation(value, rows)
