#!/usr/bin/env python
"""Check the statistics of experiments by simulation, and measure the analysis of many customers."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.experiments_speed import (
    METRICS,
    PLAN,
    PLANNED,
    REPETITIONS,
    SPEED_CUSTOMERS,
    assignment_speed,
    measure_speed,
    past_experiment,
    sample_events,
)
from benchmarks.simulations import (
    Array,
    Flags,
    covariate_reductions,
    false_positives,
    planted_effects,
    sample_ratio_alarms,
)
from benchmarks.tables import INTERRUPTED, describe_machine, show_table
from customer_profiles.common.cli import run_command
from customer_profiles.experimentation.history import past_exposures
from customer_profiles.experimentation.measure import BEFORE, OF, measure
from customer_profiles.experimentation.planning import (
    Baseline,
    customers_needed,
    detectable_effect,
)
from customer_profiles.experimentation.statistics import Moments, adjusted_arms
from scripts.sample.published import REAL_ROWS

SEED = 20
LOOKS = 14
PEOPLE = 30_000
"""Customers of one A/A test, drawn from the sample."""
KINDS = ("mean", "ratio", "proportion", "skewed revenue")
Row = tuple[str, str, str, str]


def main(arguments: list[str] | None = None) -> int:
    """Run the simulations and the measurement, and print a table.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tests", type=int, default=10_000, help="simulations of each kind")
    parser.add_argument("--keep", type=Path, metavar="MD", help="also replace the table there")
    parser.add_argument("--speed-only", action="store_true", help="only analyse many customers")
    options = parser.parse_args(arguments)
    return run_command(lambda: _run(options), interrupted=INTERRUPTED)


def _run(options: argparse.Namespace) -> int:
    rows: list[Row] = [("what", "expected", "found", "± (95 %, chance of the simulation)")]
    events = sample_events(REAL_ROWS)
    if not options.speed_only:
        people = populations(events)
        rows += _false_positives(people, options.tests)
        rows += _planted(people, options.tests)
        rows += _others(options.tests)
    for part, cpu in assignment_speed():
        rows.append(
            (
                f"assigning {SPEED_CUSTOMERS:,} customers, an experiment with {part}",
                "1 s of one core" if part == "the whole layer" else "2 hashes for some",
                f"{cpu:.2f} s",
                f"fastest of {REPETITIONS}",
            )
        )
    seconds, memory = measure_speed(events)
    rows.append(
        (
            f"analysis of {SPEED_CUSTOMERS:,} exposed customers",
            "under 60 s, 2 GB",
            f"{seconds:.0f} s, {memory:.2f} GB at most",
            "one run",
        )
    )
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|---|---|---|---|")
    note = f"{options.tests:,} simulations of each kind, seed {SEED}; {describe_machine()}."
    show_table("\n".join([*lines, "", note]), "bench-experiments", options.keep)
    return 0


def populations(events: pl.DataFrame) -> dict[str, tuple[Array, Baseline]]:
    """Measure the sample's customers as if they had been exposed, by kind of metric."""
    trial = past_experiment(events, 60)
    exposed = past_exposures(events, trial, trial.start, trial.end)
    closed = trial.end + METRICS[0].window
    customers = measure(events, exposed, METRICS, closed).customers.sample(PEOPLE, seed=SEED)
    people = {}
    for kind, metric in zip(KINDS, METRICS, strict=True):
        columns = np.ones((customers.height, 4))
        columns[:, 2] = 0
        for position, suffix in enumerate(("", OF, BEFORE, OF + BEFORE)):
            if metric.name + suffix in customers.columns:
                columns[:, position] = customers[metric.name + suffix].to_numpy()
        whole = Moments.from_columns(columns)
        arm, _, taken = adjusted_arms(whole, whole, whole)
        base = Baseline(
            float(arm.value), float(arm.variance), float(taken), len(columns), kind == "proportion"
        )
        people[kind] = columns, base
    return people


def _false_positives(people: dict[str, tuple[Array, Baseline]], tests: int) -> list[Row]:
    rows: list[Row] = []
    for number, (kind, (columns, _)) in enumerate(people.items()):
        print(f"A/A tests: {kind}, {len(columns):,} customers", file=sys.stderr)
        found = false_positives(columns, tests, LOOKS, np.random.default_rng([SEED, number]))
        first = found["fixed"][:2_000]
        rows += [
            _share(f"A/A, {kind}, fixed horizon", "4-6 %", found["fixed"]),
            _share(f"A/A, {kind}, the first 2,000 of them", "4-6 %", first),
            _share(f"A/A, {kind}, sequence, {LOOKS} looks", "at most 5 %", found["sequence"]),
            _share(f"A/A, {kind}, fixed test, {LOOKS} looks", "never do this", found["peeking"]),
        ]
    return rows


def _planted(people: dict[str, tuple[Array, Baseline]], tests: int) -> list[Row]:
    rows: list[Row] = []
    for number, (kind, (columns, base)) in enumerate(people.items()):
        effect = detectable_effect(PLAN, base, PLANNED)
        needed = customers_needed(PLAN, base, effect or 0)
        if effect is None or needed is None:
            continue
        print(f"planted effects: {kind}, {effect:+.1%}", file=sys.stderr)
        rng = np.random.default_rng([SEED, 100 + number])
        # Draws of 40,000 customers are dear: a quarter of the tests.
        count = max(2_000, tests // 4)
        answers = planted_effects(
            columns, effect, needed, count, rng, proportion=kind == "proportion"
        )
        rows += [
            _share(f"power, {kind}, {effect:+.1%}", "78-82 %", answers["found"]),
            _share(f"coverage, {kind}, absolute", "94-96 %", answers["absolute"]),
            _share(f"coverage, {kind}, relative", "94-96 %", answers["relative"]),
        ]
    return rows


def _others(tests: int) -> list[Row]:
    rng = np.random.default_rng([SEED, 200])
    count = max(tests, 100_000)
    taken = covariate_reductions(0.5, 20_000, 2_000, rng)
    error = 1.96 * taken.std() / len(taken) ** 0.5
    half = (f"{taken.mean():.2%}", f"{error:.2%}")
    return [
        _share("sample ratio alarms, 87,609 customers", "at most 0.3 %",
               sample_ratio_alarms(87_609, 0.0, count, rng)),
        _share("the same with 5 % of the treated lost", "at least 99 %",
               sample_ratio_alarms(87_609, 0.05, count, rng)),
        ("variance that CUPED takes at a correlation of 0.5", "25 ± 1 %", *half),
    ]  # fmt: skip


def _share(what: str, expected: str, flags: Flags) -> Row:
    share = float(flags.mean())
    error = 1.96 * (share * (1 - share) / len(flags)) ** 0.5
    return what, expected, f"{share:.2%}", f"{error:.2%}"


if __name__ == "__main__":
    sys.exit(main())
