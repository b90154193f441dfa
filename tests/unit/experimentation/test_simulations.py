"""What the analysis finds in simulated experiments. `make bench-experiments` runs many more.

The limits are so wide that chance alone breaks each of them less than once in ten thousand runs;
the seeds are fixed, so that a run repeats.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from benchmarks.simulations import (
    covariate_reductions,
    false_positives,
    planted_effects,
    sample_ratio_alarms,
)
from customer_profiles.experimentation.planning import Baseline, customers_needed
from customer_profiles.experimentation.statistics import Array, Moments, adjusted_arms
from tests.unit.experimentation.cases import EXPERIMENT

TESTS = 600
CUSTOMERS = 6_000


def limits(probability: float, tests: int = TESTS) -> tuple[float, float]:
    low, high = stats.binom.interval(0.9999, tests, probability)
    return low / tests, high / tests


def population(kind: str) -> Array:
    rng = np.random.default_rng(17)
    taste = rng.gamma(0.7, 1.0, CUSTOMERS)
    orders, before = rng.poisson(taste), rng.poisson(taste)
    price = rng.lognormal(3, 1.0, (2, CUSTOMERS))
    ones, zeros = np.ones(CUSTOMERS), np.zeros(CUSTOMERS)
    columns = {
        "mean": (orders, ones, before, ones),
        "ratio": (orders * price[0], orders, zeros, ones),
        "proportion": (orders > 0, ones, before > 0, ones),
        "revenue": (orders * price[0], ones, before * price[1], ones),
    }
    return np.column_stack(columns[kind]).astype(float)


KINDS = ["mean", "ratio", "proportion", "revenue"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_tests_find_what_is_not_there_as_often_as_they_say(kind: str) -> None:
    found = false_positives(population(kind), TESTS, 14, np.random.default_rng(1))
    low, high = limits(0.05)
    assert low <= found["fixed"].mean() <= high
    assert found["sequence"].mean() <= limits(0.05)[1]
    # Looking at a fixed test every day finds far too much: the simulation can fail.
    assert found["peeking"].mean() > 0.1


@pytest.mark.parametrize("kind", ["mean", "proportion"])
def test_the_planned_size_has_the_planned_power_and_intervals_cover_the_truth(kind: str) -> None:
    people = population(kind)
    whole = Moments.from_columns(people)
    arm, _, taken = adjusted_arms(whole, whole, whole)
    base = Baseline(
        float(arm.value), float(arm.variance), float(taken), CUSTOMERS, kind == "proportion"
    )
    effect = 0.12
    needed = customers_needed(replace(EXPERIMENT, minimum_detectable_effect=effect), base, effect)
    assert needed is not None
    answers = planted_effects(
        people, effect, needed, TESTS, np.random.default_rng(2), proportion=kind == "proportion"
    )
    low, high = limits(0.8)
    assert low - 0.02 <= answers["found"].mean() <= high + 0.02
    for name in ("absolute", "relative"):
        assert limits(0.95)[0] <= answers[name].mean() <= limits(0.95)[1]


def test_the_sample_ratio_alarms_rarely_and_finds_lost_customers() -> None:
    rng = np.random.default_rng(3)
    assert sample_ratio_alarms(87_609, 0.0, 20_000, rng).mean() <= 0.003
    assert sample_ratio_alarms(87_609, 0.05, 20_000, rng).mean() >= 0.99


def test_a_covariate_of_half_correlation_takes_a_quarter() -> None:
    taken = covariate_reductions(0.5, 10_000, 50, np.random.default_rng(4))
    assert 0.24 <= taken.mean() <= 0.26
