"""How many injected faults the checks find, and how often they cry wolf. `make bench-quality`."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np

from benchmarks.quality_days import Sample
from benchmarks.quality_faults import FAULTS, Fault
from benchmarks.tables import INTERRUPTED, show_table
from customer_profiles.common.console import create_console
from customer_profiles.common.errors import PipelineError
from customer_profiles.common.progress import ProgressDisplay
from customer_profiles.quality.checks import DEFAULT_CHECKS, Check, by_name
from customer_profiles.quality.evaluate import Evaluator, evaluate, findings_of
from customer_profiles.quality.findings import State

FAULT_DAYS = 40
FAULT_SEED = 1
SEEDS = (1, 2, 3, 4, 5)
"""Thresholds were chosen on another seed: 101."""
REQUIRED = 38
METRIC_DAYS = 1_584
MAX_FALSE = 2
"""False alerts in `METRIC_DAYS`."""
FIRST_FAULT_DAY = 30
"""Faults begin when a month is known."""


@dataclass
class Score:
    """What became of one fault."""

    fault: Fault
    days: int = 0
    found: int = 0
    """Days with a finding of the right check that stands for itself."""
    others: Counter[str] = field(default_factory=Counter)
    """Further findings that nothing explains."""


def score_faults(sample: Sample, checks: Sequence[Check], progress: ProgressDisplay) -> list[Score]:
    """Do each fault to each of 40 days; learn from the undisturbed days only."""
    evaluator = Evaluator(by_name(checks))
    scores = [Score(fault) for fault in FAULTS]
    days = sample.history.days
    known = days[FIRST_FAULT_DAY:-1]
    chosen = set(known[:: len(known) // FAULT_DAYS][:FAULT_DAYS])
    done = 0
    for day in days:
        normal = sample.undisturbed(day)
        judged = evaluator.judge(day, normal.values, normal.half_hours)
        if day in chosen:
            for number, score in enumerate(scores):
                rng = np.random.default_rng([day.toordinal(), number])
                _score(score, sample, day, evaluator, checks, rng)
            done += 1
            progress("faults", done, FAULT_DAYS)
        evaluator.remember(judged, normal.half_hours)
    return scores


def _score(
    score: Score,
    sample: Sample,
    day: date,
    evaluator: Evaluator,
    checks: Sequence[Check],
    rng: np.random.Generator,
) -> None:
    seen = score.fault.damage(sample, day, rng)
    verdicts = evaluator.judge(day, seen.values, seen.half_hours)
    leading = [f for f in findings_of(verdicts, checks) if f.explained_by is None]
    right = score.fault.finding
    named = [
        finding
        for finding in leading
        if finding.check == right.check
        and (not right.field or finding.field == right.field)
        and (not right.source or finding.labels.get("source") == right.source)
    ]
    score.days += 1
    score.found += bool(named)
    score.others.update(finding.check for finding in leading if finding.check != right.check)


@dataclass(frozen=True)
class FalseAlerts:
    """What the checks say of days without a fault."""

    seed: int
    metric_days: int
    alerts: int

    @property
    def rate(self) -> float:
        """Return the alerts in `METRIC_DAYS`."""
        return self.alerts * METRIC_DAYS / self.metric_days


def count_false_alerts(seed: int, sample: Sample, checks: Sequence[Check]) -> FalseAlerts:
    """Judge all days of a sample without faults. Every alert counts, explained or not."""
    verdicts = evaluate(sample.history, checks)
    judged = [verdict for verdict in verdicts if verdict.state is not State.WARMING_UP]
    return FalseAlerts(seed, len(judged), sum(verdict.is_alert for verdict in judged))


def fault_table(scores: Sequence[Score]) -> str:
    """Return the faults as a table in Markdown."""
    lines = [
        "| fault | found and named | further findings that nothing explains |",
        "|---|---|---|",
    ]
    for score in scores:
        others = ", ".join(f"{name} {count}" for name, count in sorted(score.others.items()))
        name = f"{score.fault.name} (weak)" if score.fault.weak else score.fault.name
        lines.append(f"| {name} | {score.found}/{score.days} | {others or '-'} |")
    return "\n".join(lines)


def false_alert_table(results: Sequence[FalseAlerts]) -> str:
    """Return the false alerts as a table in Markdown."""
    lines = [
        f"| seed | metric-days | false alerts | in {METRIC_DAYS:,} metric-days |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {result.seed} | {result.metric_days:,} | {result.alerts} | {result.rate:.2f} |"
        for result in results
    ]
    return "\n".join(lines)


def missed(scores: Sequence[Score], results: Sequence[FalseAlerts]) -> list[str]:
    """Say which requirements do not hold."""
    problems = [
        f"{score.fault.name}: {score.found} of {score.days}, {REQUIRED} are required"
        for score in scores
        if not score.fault.weak and score.found < REQUIRED
    ]
    problems += [
        f"seed {result.seed}: {result.rate:.2f} false alerts, at most {MAX_FALSE} are allowed"
        for result in results
        if result.rate > MAX_FALSE
    ]
    return problems


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; return the exit code: 1 if a requirement does not hold."""
    parser = argparse.ArgumentParser(prog="bench_quality", description=__doc__)
    parser.add_argument("--keep", type=Path, help="the document that keeps the tables")
    options = parser.parse_args(arguments)
    console = create_console()
    results: list[FalseAlerts] = []
    scores: list[Score] = []
    try:
        with ProgressDisplay(console, "days") as progress:
            for number, seed in enumerate(SEEDS):
                progress("seeds", number, len(SEEDS))
                sample = Sample.make(seed)
                results.append(count_false_alerts(seed, sample, DEFAULT_CHECKS))
                if seed == FAULT_SEED:
                    scores = score_faults(sample, DEFAULT_CHECKS, progress)
        show_table(fault_table(scores), "faults", options.keep)
        show_table(false_alert_table(results), "false alerts", options.keep)
    except KeyboardInterrupt:
        print(INTERRUPTED, file=sys.stderr)
        return 130
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for problem in missed(scores, results):
        print(f"not reached: {problem}", file=sys.stderr)
    return 1 if missed(scores, results) else 0


if __name__ == "__main__":
    sys.exit(main())
