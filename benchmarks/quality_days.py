"""Five months of the sample, day by day, with a week's rhythm, and what its days are like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

import numpy as np
import polars as pl

from customer_profiles.quality import customers, statistics
from customer_profiles.quality.history import History, Observation, Rejected, Series, build_history
from scripts.sample.events import make_events
from scripts.sample.published import REAL_ROWS

WEEKDAYS = (1.0, 0.95, 0.93, 0.97, 1.05, 1.2, 1.15)
"""How busy each day of the week is, from Monday on."""
NOISE = 0.08
"""The standard deviation of the logarithm of a day's volume."""
SHOPS = {"shop-a": 0.55, "shop-b": 0.3, "shop-c": 0.15}
"""The sources and their shares of the customers."""


UNKNOWN_TYPE = "event_type_unknown"
"""The reason for which ingestion rejects a row with a type that the contract does not know."""


class Observed(NamedTuple):
    """What checks see of one day."""

    values: Mapping[Series, Observation]
    half_hours: Sequence[int] | None


def make_days(seed: int) -> pl.DataFrame:
    """Make five months of accepted events.

    Returns:
        The columns of the lake's events that statistics need, and `day`, sorted by day.
    """
    rng = np.random.default_rng(seed + 1_000)
    events = make_events(REAL_ROWS, seed).filter(pl.col("user_session").is_not_null())
    root = pl.col("category_code").str.split_exact(".", 1).struct.field("field_0")
    time = pl.col("event_time").str.to_datetime(
        "%Y-%m-%d %H:%M:%S UTC", time_unit="us", time_zone="UTC"
    )
    events = events.with_columns(
        time,
        pl.col("price").str.to_decimal(scale=4).cast(pl.Decimal(18, 4)),
        root.alias("category_root"),
        pl.concat_str(pl.all().fill_null("")).alias("event_id"),
        pl.lit(0, pl.Int32).alias("kafka_partition"),
    ).unique("event_id", keep="first", maintain_order=True)
    users = events.select(pl.col("user_id").unique(maintain_order=True))
    shops = rng.choice(list(SHOPS), users.height, p=list(SHOPS.values()))
    events = events.join(
        users.with_columns(pl.Series("source", shops)), on="user_id", maintain_order="left"
    ).with_columns(pl.col("event_time").dt.date().alias("day"))
    return _keep_some(rng, events).sort("day", maintain_order=True)


def _keep_some(rng: np.random.Generator, events: pl.DataFrame) -> pl.DataFrame:
    """Drop visits, so that days of the week differ and no two weeks are the same."""
    days = events["day"].unique().sort()
    busy = np.array([WEEKDAYS[day.weekday()] for day in days]) * np.exp(
        rng.normal(0, NOISE, len(days))
    )
    kept = pl.DataFrame({"day": days, "kept": busy / busy.max()})
    visits = events.select("user_id", "day").unique(maintain_order=True)
    visits = visits.join(kept, on="day", maintain_order="left").filter(
        pl.Series(rng.random(visits.height)) < pl.col("kept")
    )
    return events.join(visits.select("user_id", "day"), on=["user_id", "day"], how="semi")


@dataclass(frozen=True)
class Sample:
    """The events of a seed and the statistics of its days."""

    events: pl.DataFrame
    history: History
    first_seen: pl.DataFrame
    """The first day of each brand and category."""

    @classmethod
    def make(cls, seed: int) -> Sample:
        """Make the events and their statistics."""
        events = make_days(seed)
        rows = statistics.add_up([statistics.summarise_rows(events)])
        people = customers.add_up(
            [customers.summarise_stored(events), customers.summarise_customers(events)]
        )
        is_first = pl.col("metric") == statistics.FIRST_SEEN
        arrived = rows.filter(pl.col("metric") == statistics.ROWS).with_columns(
            pl.lit(statistics.ARRIVED).alias("metric")
        )
        # One row was rejected once, so that the reason has a history.
        rejected = {(events["day"][0], UNKNOWN_TYPE): 1}
        history = build_history(pl.concat([rows, arrived]), people, rejected)
        return cls(events, history, rows.filter(is_first))

    def of(self, day: date) -> pl.DataFrame:
        """Return the events of a day."""
        return self.events.filter(pl.col("day") == day)

    def undisturbed(self, day: date) -> Observed:
        """Return what checks see of a day without a fault."""
        series = self.history.series
        values = {name: found[day] for name, found in series.items() if day in found}
        return Observed(values, self.history.half_hours.get(day))

    def observe(
        self,
        day: date,
        stored: pl.DataFrame,
        extra: pl.DataFrame | None = None,
        rejected: Rejected | None = None,
    ) -> Observed:
        """Return what checks see of a day whose events are others.

        Args:
            day: the day.
            stored: the events as they are stored, repeats included. Those of other days are left
                out.
            extra: further statistics of the day.
            rejected: rejected rows of the day.
        """
        stored = stored.filter(pl.col("event_time").dt.date() == day)
        parts = [statistics.summarise_rows(stored), *([] if extra is None else [extra])]
        rows = statistics.add_up(parts).join(
            self.first_seen.filter(pl.col("day") < day), on=["metric", "key"], how="anti"
        )
        distinct = stored.unique("event_id")
        earlier = self.events.filter(pl.col("day") < day)
        earlier = earlier.join(distinct, on="user_id", how="semi")
        columns = ["event_time", "event_type", "user_id", "user_session", "price"]
        people = pl.concat([earlier.select(columns), distinct.select(columns)])
        numbers = customers.add_up(
            [customers.summarise_stored(stored), customers.summarise_customers(people)]
        )
        history = build_history(rows, numbers.filter(pl.col("day") == day), rejected)
        values = {name: found[day] for name, found in history.series.items() if day in found}
        # A source that sent nothing has a volume of 0.
        for name in self.undisturbed(day).values:
            if name.check == "source_volume" or name.check in {"event_type_share", "null_share"}:
                values.setdefault(name, Observation(0.0, float(stored.height)))
        for source, count in stored.group_by("source").len().iter_rows():
            if Series("source_volume", source=source) in self.history.series:
                values[Series("source_volume", source=source)] = Observation(count, count)
        return Observed(values, history.half_hours.get(day))
