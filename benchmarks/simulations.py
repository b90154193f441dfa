"""Simulated experiments, thousands at once, through the functions that analyse real ones.

A population is a matrix with one row per customer: the columns of `statistics.Moments`, that is
numerator, denominator, and both before the exposure.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from customer_profiles.experimentation.sample_ratio import SAMPLE_RATIO_ALPHA, sample_ratio
from customer_profiles.experimentation.statistics import (
    Moments,
    adjusted_arms,
    always_valid,
    fixed_horizon,
)

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
CHUNK = 50
"""Experiments that are in memory at once."""
_PAIRS = np.triu_indices(4)


def false_positives(
    population: Array, simulations: int, looks: int, rng: np.random.Generator, alpha: float = 0.05
) -> dict[str, Flags]:
    """Run A/A tests: every customer gets a variant by chance, and the variants do the same.

    Each `CHUNK` of tests resamples the population with replacement. Every customer enters on a day
    by chance, and there is a look after each day.

    Args:
        population: one row per customer.
        simulations: how many tests.
        looks: how many days.
        rng: the source of chance.
        alpha: the level of each test.

    Returns:
        Whether each test found an effect: `fixed` at the last look; `peeking`, if the fixed test is
        looked at every day; `sequence`, with a confidence sequence at any look.
    """
    found: dict[str, list[Flags]] = {"fixed": [], "peeking": [], "sequence": []}
    customers = len(population)
    for start in range(0, simulations, CHUNK):
        tests = min(CHUNK, simulations - start)
        rows = features(population[rng.integers(0, customers, customers)])
        treated = rng.integers(0, 2, (tests, customers), dtype=np.int8).astype(np.float64)
        bounds = np.linspace(0, customers, looks + 1).astype(int)
        inside, everybody = [], []
        for first, last in pairwise(bounds):
            inside.append(treated[:, first:last] @ rows[first:last])
            everybody.append(rows[first:last].sum(axis=0))
        sums = np.cumsum(inside, axis=0)
        rest = np.cumsum(everybody, axis=0)[:, None, :] - sums
        control, treatment, _ = adjusted_arms(moments_of(rest), moments_of(sums))
        fixed = fixed_horizon(control, treatment, alpha).p_value <= alpha
        sequence = always_valid(control, treatment, alpha, customers).p_value <= alpha
        found["fixed"].append(np.asarray(fixed[-1]))
        found["peeking"].append(np.asarray(fixed.any(axis=0)))
        found["sequence"].append(np.asarray(sequence.any(axis=0)))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def planted_effects(
    population: Array,
    effect: float,
    customers: int,
    simulations: int,
    rng: np.random.Generator,
    *,
    proportion: bool,
    alpha: float = 0.05,
) -> dict[str, Flags]:
    """Run tests in which the treatment multiplies the metric by 1 + `effect`.

    Both variants are drawn from the population with replacement. A proportion rises because more
    customers do it; every other numerator is multiplied.

    Returns:
        Whether each test found an effect, and whether its intervals cover the true one: `found`,
        `absolute`, `relative`.
    """
    truth = population[:, 0].mean() / population[:, 1].mean()
    each = customers // 2
    answers: dict[str, list[Flags]] = {"found": [], "absolute": [], "relative": []}
    for start in range(0, simulations, CHUNK):
        tests = min(CHUNK, simulations - start)
        arms = []
        for treated in (False, True):
            drawn = population[rng.integers(0, len(population), (tests, each))]
            if treated and proportion:
                more = truth * effect / (1 - truth)
                drawn[..., 0] = np.maximum(drawn[..., 0], rng.random((tests, each)) < more)
            elif treated:
                drawn[..., 0] *= 1 + effect
            sums = drawn.sum(axis=1)
            arms.append(Moments.from_sums(np.full(tests, each), sums, _products(drawn)))
        control, treatment, _ = adjusted_arms(*arms)
        result = fixed_horizon(control, treatment, alpha)
        answers["found"].append(result.p_value <= alpha)
        answers["absolute"].append(_covers(result.low, result.high, truth * effect))
        answers["relative"].append(_covers(result.relative_low, result.relative_high, effect))
    return {name: np.concatenate(parts) for name, parts in answers.items()}


def sample_ratio_alarms(
    customers: int, lost: float, simulations: int, rng: np.random.Generator
) -> Flags:
    """Return in which experiments the sample ratio fails, if a share of the treated is lost."""
    treated = rng.binomial(customers, 0.5, simulations)
    counts = np.column_stack([customers - treated, rng.binomial(treated, 1 - lost)])
    return np.asarray(sample_ratio(counts, [1, 1])[1] < SAMPLE_RATIO_ALPHA)


def covariate_reductions(
    correlation: float, customers: int, simulations: int, rng: np.random.Generator
) -> Array:
    """Return the share of the variance that a covariate of known correlation takes away."""
    taken = []
    for _ in range(simulations):
        before = rng.normal(size=customers)
        after = correlation * before + np.sqrt(1 - correlation**2) * rng.normal(size=customers)
        ones = np.ones(customers)
        columns = np.column_stack([after, ones, before, ones])
        halves = (Moments.from_columns(columns[::2]), Moments.from_columns(columns[1::2]))
        taken.append(float(adjusted_arms(*halves)[2]))
    return np.array(taken)


def features(columns: Array) -> Array:
    """Return what has to be summed for moments: 1, the columns, and products of each two."""
    products = columns[:, _PAIRS[0]] * columns[:, _PAIRS[1]]
    return np.column_stack([np.ones(len(columns)), columns, products])


def moments_of(sums: Array) -> Moments:
    """Return the moments out of sums of `features`."""
    products = np.empty((*sums.shape[:-1], 4, 4))
    products[..., _PAIRS[0], _PAIRS[1]] = sums[..., 5:]
    products[..., _PAIRS[1], _PAIRS[0]] = sums[..., 5:]
    return Moments.from_sums(sums[..., 0], sums[..., 1:5], products)


def _products(drawn: Array) -> Array:
    return np.asarray(np.swapaxes(drawn, 1, 2) @ drawn)


def _covers(low: Array, high: Array, truth: Any) -> Flags:
    return np.asarray((low <= truth) & (truth <= high))
