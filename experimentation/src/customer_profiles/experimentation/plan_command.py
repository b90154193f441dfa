"""`make experiment-plan`: how many customers and days a test needs, and what it could detect."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from customer_profiles.common.clock import now_utc
from customer_profiles.common.errors import PipelineError
from customer_profiles.common.progress import ProgressDisplay
from customer_profiles.common.reports import check_folder, write_json
from customer_profiles.experimentation.charts import Line, line_chart
from customer_profiles.experimentation.commands import open_store
from customer_profiles.experimentation.experiment_file import METRICS_FILE, read_experiment
from customer_profiles.experimentation.history import read_history
from customer_profiles.experimentation.html_report import page, write_page
from customer_profiles.experimentation.lake_measures import event_span
from customer_profiles.experimentation.metrics_file import metrics_of, read_metrics
from customer_profiles.experimentation.planning import Plan, plan
from customer_profiles.experimentation.register_command import experiment_path
from customer_profiles.experimentation.render import number, percent
from customer_profiles.experimentation.settings import Settings
from customer_profiles.profiles.segments import DEFAULT_SEGMENTS, read_segments

if TYPE_CHECKING:
    from rich.console import Console

_BAR = 30
"""Characters of a full bar of power."""
_SHOWN = 8
"""Points of the curve on the terminal."""


def run_plan(name: str, days: int | None, settings: Settings, console: Console) -> int:
    """Plan an experiment out of the lake's history.

    Args:
        name: the name of the experiment's file.
        days: the time for which to say what is detectable; None takes the experiment's own.
        settings: where everything is.
        console: where the plan is printed.

    Raises:
        PipelineError: the file cannot be used, or the lake has too little history.
    """
    check_folder(settings.reports)
    segments = read_segments(settings.segments or DEFAULT_SEGMENTS)
    path = experiment_path(name, settings)
    experiment = read_experiment(path, segments)
    metric = metrics_of(experiment, read_metrics(settings.experiments / METRICS_FILE), path)[0]
    store = open_store(settings)
    with ProgressDisplay(console, "buckets") as progress:
        span = event_span(store, now_utc(), partial(progress, "times"))
        if span is None:
            raise PipelineError("There are no events in the lake yet.\nRun `make process` first.")
        oldest, newest = span
        history = read_history(
            store, experiment, metric, newest, oldest, segments, partial(progress, "history")
        )
    in_days = days or max(1, (experiment.end - experiment.start) // timedelta(days=1))
    made = plan(experiment, metric, history.measured, history.first, history.days, in_days)
    for line in plan_lines(made):
        console.print(line)
    title = f"{name}: plan"
    html = write_page(
        page(title, plan_html(made, title)), f"experiment-{name}-plan", settings.reports
    )
    written = write_json(settings.reports / f"experiment-{name}-plan.json", made.as_json())
    console.print(f"Report: {html} and {written}")
    return 0


def plan_lines(made: Plan) -> list[str]:
    """Return a plan in words."""
    base = made.baseline
    lines = [
        f"{made.experiment}: {made.metric} is {number(base.value)} among "
        f"{made.history_customers:,} customers who would have taken part in the last "
        f"{made.history_days} days",
        _needed(made),
        _detectable(made),
    ]
    if base.variance_reduction > 0:
        lines.append(
            f"The covariate takes {percent(base.variance_reduction)} of the variance; "
            "that is in these numbers"
        )
    step = max(1, len(made.curve) // _SHOWN)
    for point in made.curve[step - 1 :: step]:
        bar = "█" * round(_BAR * point.power)
        when = "" if point.days is None else f"  after {point.days} days"
        lines.append(f"  {point.customers:>10,} customers  {percent(point.power):>7}  {bar}{when}")
    return lines


def _needed(made: Plan) -> str:
    goal = f"An effect of {percent(made.effect)} with a power of {percent(made.power, 0)}"
    if made.customers is None:
        return f"{goal} cannot be found: {made.metric} does not vary in the history"
    text = f"{goal} needs {made.customers:,} exposed customers"
    if made.days is None:
        return f"{text}, more than came in {made.history_days} days: allow a larger effect or wait"
    return (
        f"{text}: {made.days} days with new customers, and {made.window_days} days more until the "
        "last window has closed"
    )


def _detectable(made: Plan) -> str:
    text = f"In {made.in_days} days, {made.customers_in_days:,} customers come"
    if made.in_days > made.history_days:
        text += f" (the history has {made.history_days} days only)"
    if made.detectable is None:
        return f"{text}: no effect is detectable with that power"
    return f"{text}: an effect of {percent(made.detectable)} is detectable"


def plan_html(made: Plan, title: str) -> str:
    """Return the words and the curve of power as HTML."""
    lines = "<br>".join(line for line in plan_lines(made) if not line.startswith("  "))
    points = [
        (f"{point.customers:,}", point.power, point.power, point.power) for point in made.curve
    ]
    chart = line_chart(Line(made.metric, points), "power by the number of exposed customers")
    return f"<h1>{title}</h1><p>{lines}</p>{chart}"
