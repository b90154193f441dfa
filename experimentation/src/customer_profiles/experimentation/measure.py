"""Events and first exposures to each customer's metrics: a pure function over Polars frames."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from customer_profiles.experimentation.definition import Kind, Metric
from customer_profiles.experimentation.windows import (
    AfterExposure,
    BeforeExposure,
    covariate_window,
    outcome_window,
)
from customer_profiles.profiles.aggregate import build_from_distinct, deduplicate_events
from customer_profiles.profiles.segments import Segments

OF, BEFORE = "__of", "__before"
"""Suffixes of columns: the denominator of a ratio, and the covariate."""
DAY_SUMS = ("sum", "sum_of", "squares", "squares_of", "products")
_MICROSECONDS = pl.Duration("us")


@dataclass(frozen=True, slots=True)
class Measured:
    """What customers did after their first exposure, and before it."""

    customers: pl.DataFrame
    """`user_id`, `variant`, `segment` String, `exposed_at` Datetime(us, UTC), and for each metric
    Float64: its value under its name, null while its window is open; `…__of` if it is a ratio;
    `…__before` if it has a covariate, and `…__of__before` if it is a ratio too."""
    days: pl.DataFrame
    """The first metric on each day after the exposure, among customers whose window has closed:
    `variant` String, `day` Int64, and the sums `DAY_SUMS` Float64 over customers."""


def join(parts: Iterable[Measured]) -> Measured:
    """Join what was measured of different customers."""
    listed = list(parts)
    days = pl.concat(part.days for part in listed)
    return Measured(
        pl.concat(part.customers for part in listed),
        days.group_by("variant", "day").agg(pl.col(*DAY_SUMS).sum()).sort("variant", "day"),
    )


def measure(
    events: pl.DataFrame,
    exposed: pl.DataFrame,
    metrics: Sequence[Metric],
    as_of: datetime,
    segments: Segments | None = None,
) -> Measured:
    """Measure the metrics of exposed customers.

    Args:
        events: `profiles.schema.EVENT_COLUMNS`, in any order, with repeated events or not. Events
            of other customers are ignored.
        exposed: `EXPOSURE_SCHEMA`, one row per customer (`first_exposures`).
        metrics: the metrics, the primary one first.
        as_of: the time of the newest event in the lake. A window that ends later is open.
        segments: the rules that give each customer's segment just before the exposure, by the
            events before it. None leaves `segment` null.

    Returns:
        One row per customer of `exposed`, also without any event.
    """
    own = (
        deduplicate_events(events)
        .join(exposed, on="user_id", how="inner")
        .with_columns(
            (pl.col("event_time") - pl.col("exposed_at"))
            .cast(_MICROSECONDS)
            .alias("since_exposure"),
            pl.col("price").cast(pl.Float64),
        )
    )
    expressions = {name: expr for metric in metrics for name, expr in _columns(metric).items()}
    values = own.group_by("user_id").agg(
        expr.cast(pl.Float64).alias(name) for name, expr in expressions.items()
    )
    customers = (
        exposed.join(values, on="user_id", how="left")
        .with_columns(pl.col(list(expressions)).fill_null(0.0))
        .with_columns(_closed(metric, as_of, name) for metric in metrics for name in _after(metric))
        .join(_segments(events, exposed, segments), on="user_id", how="left")
        .with_columns(
            pl.col("segment").fill_null(pl.lit(segments.rules[-1].name if segments else None))
        )
        .select("user_id", "variant", "segment", "exposed_at", *expressions)
    )
    return Measured(customers, _by_day(own, metrics[0], as_of))


def _columns(metric: Metric) -> dict[str, pl.Expr]:
    """Return the columns of a metric, as expressions over one customer's events."""
    after = outcome_window(AfterExposure.of(metric))
    columns = {metric.name: _value(metric.kind, after)}
    if metric.is_ratio:
        columns[metric.name + OF] = _value(Kind.ORDERS, after)
    window = BeforeExposure.of(metric)
    if window:
        before = covariate_window(window)
        columns[metric.name + BEFORE] = _value(metric.kind, before)
        if metric.is_ratio:
            columns[metric.name + OF + BEFORE] = _value(Kind.ORDERS, before)
    return columns


def _after(metric: Metric) -> list[str]:
    return [metric.name, metric.name + OF] if metric.is_ratio else [metric.name]


def _value(kind: Kind, window: pl.Expr) -> pl.Expr:
    bought = window & (pl.col("event_type") == "purchase")
    match kind:
        case Kind.CONVERSION:
            return bought.any()
        case Kind.REVENUE | Kind.AVERAGE_ORDER_VALUE:
            return pl.when(bought).then("price").otherwise(0.0).sum()
        case Kind.ORDERS:
            return bought.sum()
        case Kind.SESSIONS:
            return pl.col("user_session").filter(window).n_unique()
        case Kind.RETENTION:
            return window.any()


def _closed(metric: Metric, as_of: datetime, name: str) -> pl.Expr:
    """Return a column that is null while the window is open."""
    ends = pl.col("exposed_at") + pl.lit(metric.window)
    return pl.when(ends <= pl.lit(as_of)).then(name).alias(name)


def _segments(
    events: pl.DataFrame, exposed: pl.DataFrame, segments: Segments | None
) -> pl.DataFrame:
    """Return `user_id` and `segment` of the customers with events before their exposure.

    A segment of today would contain what the treatment has done.
    """
    if segments is None:
        return pl.DataFrame(schema={"user_id": pl.String, "segment": pl.String})
    earlier = (
        deduplicate_events(events)
        .join(exposed.select("user_id", "exposed_at"), on="user_id", how="inner")
        .filter(pl.col("event_time") < pl.col("exposed_at"))
        .drop("exposed_at")
    )
    now = earlier["event_time"].max()
    if not isinstance(now, datetime):
        return pl.DataFrame(schema={"user_id": pl.String, "segment": pl.String})
    profiles = build_from_distinct(earlier, segments, now)
    return profiles.select("user_id", pl.col("customer_segment").alias("segment"))


def _by_day(own: pl.DataFrame, metric: Metric, as_of: datetime) -> pl.DataFrame:
    """Sum a metric and its squares by variant and day since the exposure."""
    after = outcome_window(AfterExposure.of(metric))
    closed = pl.col("exposed_at") + pl.lit(metric.window) <= pl.lit(as_of)
    day = pl.col("since_exposure").dt.total_days().alias("day")
    everything = pl.col("user_id").is_not_null()
    of = _value(Kind.ORDERS, everything) if metric.is_ratio else pl.lit(1.0)
    value, below = pl.col("value"), pl.col("of")
    return (
        own.filter(after & closed)
        .group_by("user_id", "variant", day)
        .agg(
            _value(metric.kind, everything).cast(pl.Float64).alias("value"),
            of.cast(pl.Float64).alias("of"),
        )
        .group_by("variant", "day")
        .agg(
            value.sum().alias("sum"),
            below.sum().alias("sum_of"),
            (value**2).sum().alias("squares"),
            (below**2).sum().alias("squares_of"),
            (value * below).sum().alias("products"),
        )
        .sort("variant", "day")
    )
