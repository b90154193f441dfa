"""Assign all eligible customers, and publish their variants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from customer_profiles.contracts.assignment import Outcome, assign_many
from customer_profiles.contracts.experiment import FieldCondition, RegisteredExperiment
from customer_profiles.lake.batch_log import BatchLog
from customer_profiles.lake.experiments import ASSIGNED_SCHEMA, ExperimentLake
from customer_profiles.lake.object_store import ObjectStore
from customer_profiles.lake.profiles import read_profiles
from customer_profiles.profiles.schema import TOTAL


@dataclass(slots=True)
class AssignedCustomers:
    """All customers with a variant."""

    variants: dict[str, str] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)
    """Customers of the lake by outcome."""
    kept: int = 0
    """Assigned earlier, and no longer eligible. They keep their variant."""

    @property
    def by_variant(self) -> Counter[str]:
        """Customers by variant."""
        return Counter(self.variants.values())


def is_eligible(experiment: RegisteredExperiment) -> pl.Expr:
    """Return `RegisteredExperiment.is_eligible` as an expression over `PROFILE_SCHEMA`."""
    conditions = [pl.lit(True), *map(_holds, experiment.conditions)]
    if experiment.segments:
        conditions.append(pl.col("customer_segment").is_in(list(experiment.segments)))
    return pl.all_horizontal(conditions)


def _holds(condition: FieldCondition) -> pl.Expr:
    value = pl.col(condition.field).cast(TOTAL)
    parts = [pl.lit(True)]
    if condition.at_least is not None:
        parts.append(value >= pl.lit(condition.at_least, TOTAL))
    if condition.at_most is not None:
        parts.append(value <= pl.lit(condition.at_most, TOTAL))
    return pl.all_horizontal(parts).fill_null(False)


def assign_frame(
    experiment: RegisteredExperiment, profiles: pl.DataFrame, earlier: pl.DataFrame, now: datetime
) -> tuple[pl.DataFrame, Counter[str]]:
    """Assign the customers of some profiles.

    Args:
        experiment: the experiment.
        profiles: `PROFILE_SCHEMA`.
        earlier: `ASSIGNED_SCHEMA`, the customers who were assigned before. Those who still have a
            profile keep their variant, even if they are no longer eligible.
        now: the moment of assignment.

    Returns:
        `ASSIGNED_SCHEMA`, and the number of customers by outcome.
    """
    eligible = profiles.filter(is_eligible(experiment))["user_id"].to_list()
    answers = assign_many(experiment.allocation, eligible)
    outcomes = Counter(str(answer.outcome) for answer in answers)
    outcomes[str(Outcome.NOT_ELIGIBLE)] = profiles.height - len(eligible)
    rows = [
        (user, answer.variant, now)
        for user, answer in zip(eligible, answers, strict=True)
        if answer.variant
    ]
    fresh = pl.DataFrame(rows, schema=ASSIGNED_SCHEMA, orient="row")
    kept = earlier.join(profiles.select("user_id"), on="user_id", how="semi")
    new = fresh.join(kept, on="user_id", how="anti")
    return pl.concat([kept, new]), outcomes


def assign_all(
    store: ObjectStore,
    experiment: RegisteredExperiment,
    now: datetime,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> AssignedCustomers:
    """Assign all customers of the lake, bucket by bucket, and keep who was assigned.

    Args:
        store: the lake.
        experiment: the experiment.
        now: the moment of assignment.
        progress: called with the buckets that are done, and with all.
    """
    lake, result = ExperimentLake(store), AssignedCustomers()
    buckets = BatchLog(store).buckets() or 0
    earlier = lake.assigned(experiment.name)
    for bucket in range(buckets):
        profiles = read_profiles(store, bucket).profiles
        assigned, outcomes = assign_frame(experiment, profiles, earlier, now)
        # Also without customers: those who were erased have to go.
        lake.write_assigned(experiment.name, bucket, assigned)
        result.outcomes.update(outcomes)
        result.variants.update(zip(assigned["user_id"], assigned["variant"], strict=True))
        result.kept += assigned.height - outcomes[str(Outcome.ASSIGNED)]
        progress(bucket + 1, buckets)
    return result
