"""Estimates, intervals and p-values, with tea-tasting as the independent oracle."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
import tea_tasting as tt
from scipy import stats

from customer_profiles.experimentation.sample_ratio import sample_ratio
from customer_profiles.experimentation.statistics import (
    Moments,
    adjusted_arms,
    always_valid,
    fixed_horizon,
    mixture_rate,
    sequence_quantile,
)

TOLERANCE = 1e-9
CUSTOMERS = 4_000


def customers(seed: int) -> dict[str, np.ndarray]:
    """Behave like customers of a shop: most buy nothing, and a few buy much."""
    rng = np.random.default_rng(seed)
    taste = rng.gamma(0.5, 1.0, CUSTOMERS)
    orders = rng.poisson(taste)
    before = rng.poisson(taste)
    variant = rng.integers(0, 2, CUSTOMERS)
    price = rng.lognormal(4, 1.2, CUSTOMERS)
    return {
        "variant": variant,
        "orders": orders,
        "orders_before": before,
        "revenue": orders * price * (1 + 0.1 * variant),
        "revenue_before": before * price,
        "bought": (orders > 0).astype(float),
    }


def moments(data: dict[str, np.ndarray], variant: int, names: tuple[str | None, ...]) -> Moments:
    chosen = data["variant"] == variant
    columns = [data[name][chosen] if name else np.ones(chosen.sum()) for name in names]
    if names[2] is None:
        columns[2] = np.zeros(chosen.sum())
    return Moments.from_columns(np.column_stack(columns).astype(float))


METRICS = {
    "mean": (("orders", None, None, None), tt.Mean("orders")),
    "proportion": (("bought", None, None, None), tt.Mean("bought")),
    "skewed revenue": (("revenue", None, None, None), tt.Mean("revenue")),
    "ratio": (("revenue", "orders", None, None), tt.RatioOfMeans("revenue", "orders")),
    "mean with covariate": (
        ("revenue", None, "revenue_before", None),
        tt.Mean("revenue", "revenue_before"),
    ),
    "ratio with covariate": (
        ("revenue", "orders", "revenue_before", "orders_before"),
        tt.RatioOfMeans("revenue", "orders", "revenue_before", "orders_before"),
    ),
}


@pytest.mark.parametrize("alpha", [0.05, 0.01])
@pytest.mark.parametrize("name", METRICS)
def test_estimates_intervals_and_p_values_equal_tea_tasting(name: str, alpha: float) -> None:
    names, metric = METRICS[name]
    metric.confidence_level = 1 - alpha
    for seed in range(3):
        data = customers(seed)
        expected = metric.analyze(pa.table(data), 0, 1, "variant")
        control, treatment, _ = adjusted_arms(moments(data, 0, names), moments(data, 1, names))
        effect = fixed_horizon(control, treatment, alpha)
        pairs = [
            (control.value, expected.control),
            (treatment.value, expected.treatment),
            (effect.absolute, expected.effect_size),
            (effect.low, expected.effect_size_ci_lower),
            (effect.high, expected.effect_size_ci_upper),
            (effect.relative, expected.rel_effect_size),
            (effect.relative_low, expected.rel_effect_size_ci_lower),
            (effect.relative_high, expected.rel_effect_size_ci_upper),
            (effect.p_value, expected.pvalue),
        ]
        for found, wanted in pairs:
            assert math.isclose(found, wanted, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


@pytest.mark.parametrize("weight", [1, 3])
def test_the_sample_ratio_equals_tea_tasting(weight: int) -> None:
    data = customers(7)
    check = tt.SampleRatio(weight, method="norm", correction=False)
    expected = check.analyze(pa.table(data), 0, 1, "variant")
    counts = [expected.control, expected.treatment]
    _, p_value = sample_ratio(counts, [1, weight])
    assert math.isclose(p_value, expected.pvalue, rel_tol=TOLERANCE, abs_tol=1e-300)


def test_moments_of_parts_add_up_to_those_of_all() -> None:
    columns = np.random.default_rng(3).normal(5, 2, (1_000, 4))
    whole = Moments.from_columns(columns)
    parts = Moments.from_columns(columns[:300]) + Moments.from_columns(columns[300:])
    sums = Moments.from_sums(1_000, columns.sum(axis=0), columns.T @ columns)
    for other in (parts, sums):
        np.testing.assert_allclose(other.means, whole.means, rtol=1e-12)
        np.testing.assert_allclose(other.covariances, whole.covariances, rtol=1e-9, atol=1e-12)


def test_a_covariate_at_half_correlation_takes_a_quarter_of_the_variance() -> None:
    rng = np.random.default_rng(11)
    before = rng.normal(size=200_000)
    after = 0.5 * before + math.sqrt(0.75) * rng.normal(size=200_000)
    ones = np.ones(200_000)
    columns = np.column_stack([after, ones, before, ones])
    *_, taken = adjusted_arms(
        Moments.from_columns(columns[::2]), Moments.from_columns(columns[1::2])
    )
    assert 0.24 < taken < 0.26


def test_a_constant_covariate_changes_nothing() -> None:
    data = customers(1)
    plain = adjusted_arms(*(moments(data, v, ("orders", None, None, None)) for v in (0, 1)))
    assert plain[2] == 0
    assert plain[0].value == data["orders"][data["variant"] == 0].mean()


def test_the_confidence_sequence_is_about_one_and_a_half_times_as_wide_when_planned() -> None:
    width = sequence_quantile(mixture_rate(0.05), 0.05) / stats.norm.ppf(0.975)
    assert round(float(width), 2) == 1.55
    # Nowhere else is it narrower in proportion to the rate of the mixture.
    for other in (0.5, 2.0):
        assert sequence_quantile(mixture_rate(0.05) * other, 0.05) > width * 1.95


def test_the_always_valid_p_value_is_alpha_where_the_interval_touches_zero() -> None:
    data = customers(2)
    names = ("orders", None, None, None)
    arms = adjusted_arms(*(moments(data, variant, names) for variant in (0, 1)))
    p_value = float(always_valid(arms[0], arms[1], 0.05, CUSTOMERS).p_value)
    # The information does not depend on the data, so use the rate of the level that is tried.
    for alpha in (p_value * 0.9, p_value * 1.1):
        known = CUSTOMERS * mixture_rate(0.05) / CUSTOMERS
        half = sequence_quantile(known, min(alpha, 0.999))
        error = math.sqrt(sum(float(arm.variance / arm.count) for arm in arms[:2]))
        z = abs(float(arms[1].value - arms[0].value)) / error
        assert (z > half) == (alpha > p_value) or p_value == 1


def test_without_variance_there_is_no_p_value() -> None:
    ones = np.column_stack([np.ones(50), np.ones(50), np.zeros(50), np.ones(50)])
    control, treatment, _ = adjusted_arms(Moments.from_columns(ones), Moments.from_columns(ones))
    assert math.isnan(fixed_horizon(control, treatment, 0.05).p_value)


def test_a_control_of_zero_has_no_relative_effect() -> None:
    columns = np.column_stack([np.zeros(50), np.ones(50), np.zeros(50), np.ones(50)])
    other = columns.copy()
    other[:25, 0] = 1
    control, treatment, _ = adjusted_arms(
        Moments.from_columns(columns), Moments.from_columns(other)
    )
    effect = fixed_horizon(control, treatment, 0.05)
    assert effect.absolute == 0.5
    assert effect.low > 0
    assert math.isnan(effect.relative)
    assert math.isnan(effect.relative_low)
