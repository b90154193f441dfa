"""How many customers and days an experiment needs."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import polars as pl
import pytest

from customer_profiles.experimentation.definition import (
    Condition,
    Eligibility,
    Experiment,
    Holdout,
    Method,
    Variant,
)
from customer_profiles.experimentation.history import eligible, past_exposures
from customer_profiles.experimentation.measure import measure
from customer_profiles.experimentation.planning import (
    Baseline,
    customers_needed,
    detectable_effect,
    plan,
    power_of,
)
from customer_profiles.profiles.segments import read_segments
from tests.unit.experimentation.cases import END, EXPERIMENT, METRICS, START, at, events

TEN_PERCENT = Baseline(0.1, 0.09, 0.0, 10_000, proportion=True)
SKEWED = Baseline(5.0, 5.0**2 * 7.8**2, 0.0, 10_000, proportion=False)


def test_the_size_of_a_proportion_is_that_of_the_textbook() -> None:
    # Two proportions of 10 and 11 %: (1.95996 + 0.84162)² (0.09 + 0.0979) / 0.01² for each.
    assert customers_needed(EXPERIMENT, TEN_PERCENT, 0.1) == pytest.approx(2 * 14_748, abs=4)


@pytest.mark.parametrize("base", [TEN_PERCENT, SKEWED])
@pytest.mark.parametrize("method", list(Method))
def test_size_power_and_detectable_effect_agree(base: Baseline, method: Method) -> None:
    experiment = replace(EXPERIMENT, method=method)
    needed = customers_needed(experiment, base, 0.1)
    assert needed is not None
    assert power_of(experiment, base, 0.1, needed) == pytest.approx(0.8, abs=1e-3)
    assert detectable_effect(experiment, base, needed) == pytest.approx(0.1, rel=1e-3)


def test_more_variants_and_any_time_need_more_customers() -> None:
    fixed = customers_needed(EXPERIMENT, TEN_PERCENT, 0.1) or 0
    anytime = customers_needed(replace(EXPERIMENT, method=Method.ALWAYS_VALID), TEN_PERCENT, 0.1)
    three = (*EXPERIMENT.variants, Variant("mail", 1))
    assert (anytime or 0) > 1.8 * fixed
    assert (customers_needed(replace(EXPERIMENT, variants=three), TEN_PERCENT, 0.1) or 0) > (
        1.5 * fixed
    )


def test_a_metric_that_is_always_zero_cannot_be_tested() -> None:
    nothing = Baseline(0.0, 0.0, 0.0, 100, proportion=True)
    assert customers_needed(EXPERIMENT, nothing, 0.1) is None
    assert detectable_effect(EXPERIMENT, nothing, 1_000) is None


def planned(experiment: Experiment) -> tuple[int | None, int, int]:
    """Plan with 100 new customers a day, of whom every second buys."""
    rows = [
        (str(day * 100 + n), "purchase" if n % 2 else "view", day + 0.5, "10")
        for day in range(14)
        for n in range(100)
    ]
    past = events(rows)
    history = measure(
        past, past_exposures(past, experiment, START, END), METRICS[:1], END + timedelta(days=8)
    )
    made = plan(experiment, METRICS[0], history, START, 14, 7)
    return made.days, made.history_customers, made.customers_in_days


def test_days_follow_from_arrivals_traffic_and_holdout() -> None:
    large = replace(EXPERIMENT, minimum_detectable_effect=0.3)
    days, everybody, in_a_week = planned(large)
    assert (everybody, in_a_week) == (1_400, 700)
    assert days == 4
    half = replace(large, traffic=large.traffic / 2, holdout=Holdout("h", large.traffic / 10))
    assert planned(half)[1:] == (630, 315)
    assert planned(replace(large, minimum_detectable_effect=0.01))[0] is None


@pytest.mark.parametrize(
    ("who", "expected"),
    [
        (Eligibility(), ["1", "2"]),
        (Eligibility(("Interested Shopper",)), ["1"]),
        (Eligibility((), (Condition("total_events", at_least=Decimal(1)),)), ["1"]),
    ],
)
def test_who_is_eligible_follows_from_the_profile_before(
    who: Eligibility, expected: list[str]
) -> None:
    past = events(
        [
            ("1", "cart", -2, "9"),
            ("1", "view", 1, "9"),
            ("2", "cart", 1, "9"),
            ("2", "cart", 2, "9"),
        ]
    )
    exposed = past_exposures(past, EXPERIMENT, START, END)
    assert exposed["exposed_at"].to_list() == [at(1), at(1)]
    kept = eligible(past, exposed, who, read_segments())
    assert isinstance(kept, pl.DataFrame)
    assert kept["user_id"].to_list() == expected
