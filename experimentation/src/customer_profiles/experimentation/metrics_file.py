"""Read the metrics of all experiments from `experiments/metrics.toml`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from customer_profiles.experimentation.definition import Experiment, Kind, Metric
from customer_profiles.experimentation.toml_lines import check, line_of, read_toml, unusable

_UNCAPPED = (Kind.CONVERSION, Kind.RETENTION)
"""Metrics that are 0 or 1: there is nothing to cap."""


class _Metric(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,60}$")]
    kind: Kind
    window_days: Annotated[int, Field(strict=True, ge=1, le=400)]
    from_days: Annotated[int, Field(strict=True, ge=0)] = 0
    covariate_days: Annotated[int, Field(strict=True, ge=0, le=400)] = 28
    higher_is_better: bool = True
    cap: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    winsorise: Annotated[float, Field(ge=0.5, lt=1)] | None = None

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if self.from_days >= self.window_days:
            raise ValueError("from_days is not before window_days")
        if self.kind is Kind.RETENTION and self.from_days == 0:
            raise ValueError("retention needs from_days: 0 would count the exposing visit itself")
        if self.cap is not None and self.winsorise is not None:
            raise ValueError("a metric has cap or winsorise, not both")
        if self.kind in _UNCAPPED and (self.cap or self.winsorise):
            raise ValueError(f"{self.kind} is 0 or 1 and cannot be winsorised")
        return self


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    metrics: Annotated[tuple[_Metric, ...], Field(min_length=1)]


def read_metrics(path: Path) -> dict[str, Metric]:
    """Read and check all metrics.

    Returns:
        The metrics by name, in the order of the file.

    Raises:
        PipelineError: the file cannot be read or used; the message names every line and reason.
    """
    text, content = read_toml(path)
    table = check(_File, path, text, content)
    metrics: dict[str, Metric] = {}
    for position, item in enumerate(table.metrics):
        if item.name in metrics:
            line = line_of(text, ("metrics", position, "name"))
            raise unusable(path, [(line, f"there are two metrics {item.name}")])
        metrics[item.name] = Metric(**item.model_dump())
    return metrics


def metrics_of(experiment: Experiment, metrics: dict[str, Metric], path: Path) -> list[Metric]:
    """Return the metrics of an experiment, the primary one first.

    Args:
        experiment: the experiment.
        metrics: all metrics by name.
        path: the experiment's file, for the error.

    Raises:
        PipelineError: the experiment names a metric that is not declared.
    """
    text = path.read_text() if path.exists() else ""
    places: dict[str, tuple[str | int, ...]] = dict.fromkeys(experiment.secondary, ("secondary",))
    for position, guardrail in enumerate(experiment.guardrails):
        places[guardrail.metric] = ("guardrails", position, "metric")
    places[experiment.primary] = ("primary",)
    problems = [
        (line_of(text, places[name]), f"there is no metric {name}; there are {', '.join(metrics)}")
        for name in experiment.metric_names
        if name not in metrics
    ]
    if problems:
        raise unusable(path, sorted(problems))
    return [metrics[name] for name in experiment.metric_names]
