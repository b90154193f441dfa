"""From all exposures to the customers that are analysed, each with the first exposure."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from customer_profiles.experimentation.definition import Experiment
from customer_profiles.experimentation.result import Counts


@dataclass(frozen=True, slots=True)
class Exposed:
    """The customers that are analysed, and what became of the others."""

    customers: pl.DataFrame
    """`EXPOSURE_SCHEMA`, one row per customer: the first exposure. Sorted by `user_id`."""
    counts: Counts


_REASONS = ("erased", "before_start", "unknown_variant", "in_two_variants", "after_end")
"""Why a customer is left out. The first reason that holds is counted."""


def first_exposures(
    exposures: pl.DataFrame,
    experiment: Experiment,
    erased: pl.Series | None = None,
    assigned: int | None = None,
) -> Exposed:
    """Find each customer's first exposure, and leave out whoever cannot be analysed.

    A customer who was exposed before the start is left out with all exposures, because the
    treatment had begun already. The same holds for customers who have seen two variants: both
    treatments have had an effect.

    Args:
        exposures: `EXPOSURE_SCHEMA`, of one experiment, in any order.
        experiment: start, end and variants.
        erased: `user_id` String of customers of whom the lake has nothing any more. Without their
            events, they would look like customers who did nothing.
        assigned: eligible customers who have a variant, exposed or not.

    Returns:
        The analysed customers, and counts that add up.
    """
    customers = _judged(exposures, experiment, erased)
    # `coalesce` takes the first reason that holds.
    reason = pl.coalesce(pl.when(pl.col(name)).then(pl.lit(name)) for name in _REASONS)
    customers = customers.with_columns(reason.alias("reason"))
    kept = customers.filter(pl.col("reason").is_null())
    by_reason = dict(customers["reason"].value_counts().iter_rows())
    counts = Counts(
        exposures=exposures.height,
        customers=customers.height,
        analysed=kept.height,
        repeats=int(kept["exposures"].sum()) - kept.height,
        assigned=assigned,
        **{name: by_reason.get(name, 0) for name in _REASONS},
    )
    return Exposed(kept.select("user_id", "variant", "exposed_at"), counts)


def _judged(
    exposures: pl.DataFrame, experiment: Experiment, erased: pl.Series | None
) -> pl.DataFrame:
    """Return one row per customer, with a truth value for each of `_REASONS`."""
    names = [variant.name for variant in experiment.variants]
    time, variant = pl.col("exposed_at"), pl.col("variant")
    in_time = time < experiment.end
    gone = [] if erased is None else erased.cast(pl.String).unique().to_list()
    return (
        exposures.group_by("user_id")
        .agg(
            pl.len().alias("exposures"),
            time.min().alias("exposed_at"),
            variant.sort_by(time).first().alias("variant"),
            (time < experiment.start).any().alias("before_start"),
            (~variant.filter(in_time).is_in(names)).any().alias("unknown_variant"),
            (variant.filter(in_time).n_unique() > 1).alias("in_two_variants"),
            (~in_time).all().alias("after_end"),
        )
        .with_columns(pl.col("user_id").is_in(gone).alias("erased"))
        .sort("user_id")
    )
