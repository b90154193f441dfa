"""What goes wrong in practice, done to one day of the sample."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import cast

import numpy as np
import polars as pl

from benchmarks.quality_days import SHOPS, UNKNOWN_TYPE, Observed, Sample
from customer_profiles.quality import statistics
from customer_profiles.quality.history import Series

BOT_EVENTS = 100_000
Damage = Callable[[Sample, date, np.random.Generator], Observed]
"""Do something to a day; return what checks then see of it."""


@dataclass(frozen=True)
class Fault:
    """A fault, and the finding that names it rightly."""

    name: str
    damage: Damage
    finding: Series
    """The check, and its field or source where there are several."""
    weak: bool = False
    """Whether it is only measured, because it is within what days differ by."""


def _random(rng: np.random.Generator, events: pl.DataFrame, share: float) -> pl.Series:
    return pl.Series(rng.random(events.height) < share)


def _last(events: pl.DataFrame) -> datetime:
    return cast("datetime", events["event_time"].max())


def _fewer(share: float) -> Damage:
    """Lose a share of the customers' visits."""

    def damage(sample: Sample, day: date, rng: np.random.Generator) -> Observed:
        events = sample.of(day)
        users = events["user_id"].unique(maintain_order=True)
        lost = users.filter(pl.Series(rng.random(len(users)) < share))
        return sample.observe(day, events.filter(~pl.col("user_id").is_in(lost.implode())))

    return damage


def _null_brands(share: float) -> Damage:
    """Raise the share of rows without a brand."""

    def damage(sample: Sample, day: date, rng: np.random.Generator) -> Observed:
        events = sample.of(day)
        before = events["brand"].null_count() / events.height
        lost = _random(rng, events, (share - before) / (1 - before))
        brand = pl.when(lost).then(None).otherwise("brand").alias("brand")
        return sample.observe(day, events.with_columns(brand))

    return damage


def _dearer(factor: int | float, share: float = 1.0) -> Damage:
    """Multiply the prices of some rows."""

    def damage(sample: Sample, day: date, rng: np.random.Generator) -> Observed:
        events = sample.of(day)
        price = pl.col("price").cast(pl.Float64)
        wrong = (price * factor).round(2).cast(pl.Decimal(18, 4))
        changed = pl.when(_random(rng, events, share)).then(wrong).otherwise("price")
        return sample.observe(day, events.with_columns(changed.alias("price")))

    return damage


def _again(sample: Sample, day: date, _: np.random.Generator) -> Observed:
    events = sample.of(day)
    return sample.observe(day, pl.concat([events, events]))


def _moved(hours: float) -> Damage:
    """Move the clock from this day on. What leaves the day belongs to the next one."""

    def damage(sample: Sample, day: date, _: np.random.Generator) -> Observed:
        time = pl.col("event_time") + timedelta(hours=hours)
        return sample.observe(day, sample.of(day).with_columns(time))

    return damage


def _other_type(old: str, new: str, share: float) -> Damage:
    """Give a share of the events of a type another type."""

    def damage(sample: Sample, day: date, rng: np.random.Generator) -> Observed:
        events = sample.of(day)
        changed = _random(rng, events, share) & (events["event_type"] == old)
        kind = pl.when(changed).then(pl.lit(new)).otherwise("event_type").alias("event_type")
        return sample.observe(day, events.with_columns(kind))

    return damage


def _rejected_type(sample: Sample, day: date, rng: np.random.Generator) -> Observed:
    """Send a type that the contract does not know: ingestion rejects those rows."""
    events = sample.of(day)
    unknown = _random(rng, events, 0.02)
    arrived = statistics.arrived_rows(
        statistics.summarise_rows(events.filter(~unknown)), _last(events)
    )
    rejected = {(day, UNKNOWN_TYPE): int(unknown.sum())}
    return sample.observe(day, events.filter(~unknown), arrived, rejected)


def _bot(events: int) -> Damage:
    """Let one customer look at everything, around the clock."""

    def damage(sample: Sample, day: date, rng: np.random.Generator) -> Observed:
        normal = sample.of(day)
        robot = normal[rng.integers(0, normal.height, events)].with_columns(
            pl.lit(normal["user_id"][0]).alias("user_id"),
            pl.lit(normal["user_session"][0]).alias("user_session"),
            pl.lit(normal["source"][0]).alias("source"),
            pl.lit("view").alias("event_type"),
            pl.lit(day).cast(pl.Datetime("us")).dt.replace_time_zone("UTC").alias("event_time")
            + pl.duration(seconds=pl.lit(pl.Series(rng.integers(0, 86_400, events)))),
            (pl.lit("bot") + pl.int_range(events).cast(pl.String)).alias("event_id"),
        )
        return sample.observe(day, pl.concat([normal, robot]))

    return damage


def _stopped(source: str) -> Damage:
    def damage(sample: Sample, day: date, _: np.random.Generator) -> Observed:
        return sample.observe(day, sample.of(day).filter(pl.col("source") != source))

    return damage


def _late(share: float) -> Damage:
    """Let a share of a day's rows arrive with those of the next day."""

    def damage(sample: Sample, day: date, rng: np.random.Generator) -> Observed:
        events = sample.of(day)
        is_late = _random(rng, events, share)
        in_time = statistics.summarise_rows(events.filter(~is_late))
        arrived = _last(events)
        watermark = statistics.advance(None, in_time, arrived)
        next_day = pl.concat([events.filter(is_late), sample.of(day + timedelta(days=1))])
        late = statistics.late_rows(statistics.summarise_rows(next_day), watermark)
        return sample.observe(day, events, late.filter(pl.col("day") == day))

    return damage


FAULTS = (
    Fault("volume -50 %", _fewer(0.5), Series("volume")),
    Fault(
        "brand missing in 60 % of rows (24 % before)",
        _null_brands(0.6),
        Series("null_share", "brand"),
    ),
    Fault("price x 100", _dearer(100), Series("price_median")),
    Fault("price x 100 on 5 % of rows", _dearer(100, 0.05), Series("price_tail")),
    Fault("a file sent again", _again, Series("repeated_share")),
    Fault("clock moved by 1 h", _moved(1), Series("clock_shift")),
    Fault("clock moved by 3 h", _moved(3), Series("clock_shift")),
    Fault(
        "a new event type, 2 %",
        _other_type("view", "remove_from_cart", 0.02),
        Series("event_type_share", "remove_from_cart"),
    ),
    Fault(
        "an event type that the contract does not know, 2 %",
        _rejected_type,
        Series("rejected_share", UNKNOWN_TYPE),
    ),
    Fault("one customer with 100,000 events", _bot(BOT_EVENTS), Series("customer_events")),
    Fault(
        "a source that stops (15 % of rows)",
        _stopped(min(SHOPS, key=lambda name: SHOPS[name])),
        Series("source_volume", source="shop-c"),
    ),
    Fault("10 % of rows late", _late(0.1), Series("late_share")),
    Fault("volume -30 %", _fewer(0.3), Series("volume"), weak=True),
    Fault("volume -20 %", _fewer(0.2), Series("volume"), weak=True),
    Fault(
        "brand missing in 35 % of rows",
        _null_brands(0.35),
        Series("null_share", "brand"),
        weak=True,
    ),
    Fault("price x 1.2", _dearer(1.2), Series("price_median"), weak=True),
    Fault("clock moved by 30 min", _moved(0.5), Series("clock_shift"), weak=True),
    Fault("one customer with 1,000 events", _bot(1_000), Series("customer_events"), weak=True),
    Fault(
        "30 % of purchases sent as views",
        _other_type("purchase", "view", 0.3),
        Series("event_type_share", "purchase"),
        weak=True,
    ),
)
"""The faults, strong ones first."""
