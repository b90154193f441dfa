"""The statistics of experiments: estimates and intervals. SciPy and NumPy only.

Every function takes numbers or arrays of numbers, so that the simulations that check them run
exactly the code that analyses an experiment.

* Means: Welch's t-test, which assumes no equal variances.
* Ratios of two sums: the delta method over customers (Deng, Knoblich, Lu 2018).
* Covariates: CUPED (Deng, Xu, Kohavi, Walker 2013), the coefficient from all variants together.
* Relative effects: the delta method on the logarithm of the ratio, so that it stays above -100 %.
* Looking at any time: the asymptotic confidence sequence with a Gaussian mixture (Waudby-Smith,
  Arbour, Sinha, Kennedy, Ramdas 2021), narrowest at the planned number of customers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Moments:
    """What a variant's customers add up to: enough for every estimate.

    The columns are numerator, denominator, and the same before the exposure. Without a ratio, the
    denominators are 1. Leading dimensions, if any, are simulations.
    """

    count: Array
    """Customers; shape (…)."""
    means: Array
    """Shape (…, 4)."""
    covariances: Array
    """With `count` - 1 below; shape (…, 4, 4)."""

    @classmethod
    def from_sums(cls, count: Any, sums: Any, products: Any) -> Moments:
        """Build moments from sums of columns, and of the products of each two columns."""
        n = np.asarray(count, float)
        with np.errstate(divide="ignore", invalid="ignore"):
            means = np.asarray(sums, float) / n[..., None]
            outer = means[..., :, None] * means[..., None, :]
            scale = n / (n - 1)
            mean_products = np.asarray(products, float) / n[..., None, None]
            return cls(n, means, (mean_products - outer) * scale[..., None, None])

    @classmethod
    def from_columns(cls, columns: Array) -> Moments:
        """Build moments from one row per customer and four columns, without loss of digits."""
        count = np.asarray(float(len(columns)))
        means = columns.mean(axis=0) if len(columns) else np.full(4, np.nan)
        centred = columns - means
        with np.errstate(divide="ignore", invalid="ignore"):
            return cls(count, means, centred.T @ centred / (count - 1))

    def __add__(self, other: Moments) -> Moments:
        total = self.count + other.count
        with np.errstate(divide="ignore", invalid="ignore"):
            share = (other.count / total)[..., None]
            step = other.means - self.means
            between = (self.count * other.count / total)[..., None, None]
            squares = (
                self.covariances * (self.count - 1)[..., None, None]
                + other.covariances * (other.count - 1)[..., None, None]
                + between * step[..., :, None] * step[..., None, :]
            )
            return Moments(total, self.means + share * step, squares / (total - 1)[..., None, None])


@dataclass(frozen=True, slots=True)
class Arm:
    """A metric of one variant: its value, and the variance of one customer's contribution."""

    count: Array
    value: Array
    variance: Array


@dataclass(frozen=True, slots=True)
class Effect:
    """The difference of two variants with its intervals. NaN where a number does not exist."""

    absolute: Array
    low: Array
    high: Array
    relative: Array
    relative_low: Array
    relative_high: Array
    p_value: Array


def adjusted_arms(
    control: Moments, treatment: Moments, total: Moments | None = None
) -> tuple[Arm, Arm, Array]:
    """Adjust a metric of two variants by its covariate.

    Args:
        control: moments of the control.
        treatment: moments of the treatment.
        total: moments of both together; computed if None.

    Returns:
        Both variants, and the share of the variance of the difference that the covariate takes
        away; 0 where the covariate says nothing.
    """
    total = control + treatment if total is None else total
    value, covariate = _gradient(total, 0), _gradient(total, 2)
    spread = _quadratic(total, covariate, covariate)
    with np.errstate(divide="ignore", invalid="ignore"):
        raw = _quadratic(total, value, covariate) / spread
    coefficient = np.where((spread > 0) & np.isfinite(raw), raw, 0.0)
    centre = _ratio(total, 2)
    arms, plain = [], []
    for moments in (control, treatment):
        own, before = _gradient(moments, 0), _gradient(moments, 2)
        before = np.where(coefficient[..., None] == 0, 0.0, before)
        shift = np.where(coefficient == 0, 0.0, coefficient * (_ratio(moments, 2) - centre))
        variance = (
            _quadratic(moments, own, own)
            + coefficient**2 * _quadratic(moments, before, before)
            - 2 * coefficient * _quadratic(moments, own, before)
        )
        arms.append(Arm(moments.count, _ratio(moments, 0) - shift, variance))
        plain.append(_quadratic(moments, own, own) / moments.count)
    with np.errstate(divide="ignore", invalid="ignore"):
        taken = 1 - sum(arm.variance / arm.count for arm in arms) / (plain[0] + plain[1])
    return arms[0], arms[1], np.where(np.isfinite(taken), taken, 0.0)


def fixed_horizon(control: Arm, treatment: Arm, alpha: float) -> Effect:
    """Compare two variants once, by Welch's t-test, two-sided.

    Args:
        control: the control.
        treatment: the treatment.
        alpha: the level of this comparison.
    """

    def quantile(freedom: Array) -> Array:
        return np.asarray(stats.t.ppf(1 - alpha / 2, freedom))

    def p_value(z: Array, freedom: Array) -> Array:
        return np.asarray(2 * stats.t.sf(np.abs(z), freedom))

    return _effect(control, treatment, quantile, p_value)


def always_valid(control: Arm, treatment: Arm, alpha: float, planned: float) -> Effect:
    """Compare two variants at any time: the interval holds at all looks together.

    Args:
        control: the control.
        treatment: the treatment.
        alpha: the level of this comparison, over all looks.
        planned: customers of both variants at which the interval is narrowest, relative to that of
            a fixed horizon. Chosen before the start.
    """
    information = (control.count + treatment.count) * mixture_rate(alpha) / planned

    def quantile(_: Array) -> Array:
        return sequence_quantile(information, alpha)

    def p_value(z: Array, _: Array) -> Array:
        exponent = z**2 * information / (1 + information) - np.log1p(information)
        return np.minimum(1.0, np.exp(-exponent / 2))

    return _effect(control, treatment, quantile, p_value)


def mixture_rate(alpha: float) -> float:
    """Return the information of the mixture at the planned size that makes it narrowest there."""
    return float(-special.lambertw(-(alpha**2) / np.e, -1).real - 1)


def sequence_quantile(information: Any, alpha: float) -> Array:
    """Return the number of standard errors from the estimate to the end of the interval."""
    known = np.asarray(information, float)
    return np.asarray(np.sqrt((1 + 1 / known) * (np.log1p(known) - 2 * np.log(alpha))))


def _effect(control: Arm, treatment: Arm, quantile: Any, p_value: Any) -> Effect:
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        error, freedom = _welch(control, treatment, 1.0, 1.0)
        absolute = np.asarray(treatment.value - control.value)
        half = quantile(freedom) * error
        ratio = treatment.value / control.value
        log_error, log_freedom = _welch(control, treatment, control.value, treatment.value)
        factor = np.exp(quantile(log_freedom) * log_error)
        # A logarithm needs both values above zero.
        usable = (control.value > 0) & (treatment.value > 0)
        return Effect(
            absolute,
            absolute - half,
            absolute + half,
            np.where(control.value > 0, ratio - 1, np.nan),
            np.where(usable, ratio / factor - 1, np.nan),
            np.where(usable, ratio * factor - 1, np.nan),
            # Without any variance there is nothing to test.
            np.where(error > 0, p_value(absolute / error, freedom), np.nan),
        )


def _welch(control: Arm, treatment: Arm, first: Any, second: Any) -> tuple[Array, Array]:
    """Return the standard error of a difference and its degrees of freedom.

    Args:
        control: the control.
        treatment: the treatment.
        first: what the control's values are divided by.
        second: what the treatment's values are divided by.
    """
    a = control.variance / control.count / first**2
    b = treatment.variance / treatment.count / second**2
    freedom = (a + b) ** 2 / (a**2 / (control.count - 1) + b**2 / (treatment.count - 1))
    return np.sqrt(a + b), np.asarray(freedom)


def _ratio(moments: Moments, column: int) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(moments.means[..., column] / moments.means[..., column + 1])


def _gradient(moments: Moments, column: int) -> Array:
    """Return the derivatives of a ratio by the four means: the delta method."""
    top, bottom = moments.means[..., column], moments.means[..., column + 1]
    gradient = np.zeros(moments.means.shape)
    with np.errstate(divide="ignore", invalid="ignore"):
        gradient[..., column] = 1 / bottom
        gradient[..., column + 1] = -top / bottom**2
    return gradient


def _quadratic(moments: Moments, left: Array, right: Array) -> Array:
    with np.errstate(invalid="ignore"):
        return np.asarray(
            (left[..., :, None] * moments.covariances * right[..., None, :]).sum(axis=(-1, -2))
        )
