"""Read an experiment from `experiments/NAME.toml`."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from customer_profiles.common.errors import PipelineError
from customer_profiles.contracts.exposure import is_experiment_name
from customer_profiles.experimentation.definition import (
    Condition,
    Eligibility,
    Experiment,
    Guardrail,
    Holdout,
    Method,
    Variant,
)
from customer_profiles.experimentation.toml_lines import check, line_of, read_toml, unusable
from customer_profiles.profiles.segments import FIELDS, Segments

METRICS_FILE = "metrics.toml"
"""Beside the experiments; it is none."""

MAX_VARIANTS = 20


def _name(value: str) -> str:
    if not is_experiment_name(value):
        raise ValueError("a name has up to 64 letters, digits, - and _")
    return value


def _millionths(value: Decimal) -> Decimal:
    if round(value, 6) != value:
        raise ValueError("a share has six decimals at most, since customers have a million slots")
    return value


def _utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("the time needs an offset, as in 2020-02-01T00:00:00Z")
    return value.astimezone(UTC)


def _profile_field(value: str) -> str:
    if value not in FIELDS:
        raise ValueError(f"there is no field {value}; there are {', '.join(sorted(FIELDS))}")
    return value


Name = Annotated[str, AfterValidator(_name)]
Text = Annotated[str, Field(min_length=1, max_length=1000)]
Salt = Annotated[str, Field(min_length=1, max_length=200)]
Number = Annotated[Decimal, Field(allow_inf_nan=False)]
Time = Annotated[datetime, AfterValidator(_utc)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Variant(_Table):
    name: Name
    weight: Annotated[int, Field(strict=True, ge=1, le=1_000_000)]


class _Condition(_Table):
    field: Annotated[str, AfterValidator(_profile_field)]
    at_least: Number | None = None
    at_most: Number | None = None

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if self.at_least is None and self.at_most is None:
            raise ValueError("a condition has at_least, at_most or both")
        if None not in (self.at_least, self.at_most) and self.at_least > self.at_most:  # type: ignore[operator]
            raise ValueError("at_least is above at_most: nobody can take part")
        return self


class _Eligible(_Table):
    segments: tuple[str, ...] = ()
    conditions: tuple[_Condition, ...] = ()


class _Guardrail(_Table):
    metric: str
    tolerated_harm: Annotated[float, Field(gt=0, lt=1)]


class _Holdout(_Table):
    salt: Salt
    share: Annotated[Decimal, Field(gt=0, lt=1), AfterValidator(_millionths)]


class _File(_Table):
    hypothesis: Text
    unit: Literal["customer"] = "customer"
    salt: Salt
    layer: Name
    layer_start: Annotated[Decimal, Field(ge=0, lt=1), AfterValidator(_millionths)] = Decimal(0)
    traffic: Annotated[Decimal, Field(gt=0, le=1), AfterValidator(_millionths)]
    start: Time
    end: Time
    primary: str
    secondary: tuple[str, ...] = ()
    minimum_detectable_effect: Annotated[float, Field(gt=0, le=10)]
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    power: Annotated[float, Field(gt=0.5, lt=1)] = 0.8
    method: Method
    planned_customers: Annotated[int, Field(strict=True, ge=10)]
    eligible: _Eligible = _Eligible()
    variants: tuple[_Variant, ...]
    guardrails: tuple[_Guardrail, ...] = ()
    holdout: _Holdout | None = None


def read_experiment(path: Path, segments: Segments | None = None) -> Experiment:
    """Read and check the file of an experiment.

    Args:
        path: `experiments/NAME.toml`.
        segments: the segments that customers can have; None does not check their names.

    Raises:
        PipelineError: the file cannot be read or used; the message names every line and reason.
    """
    text, content = read_toml(path)
    return parse_experiment(path, text, content, segments)


def parse_experiment(
    path: Path, text: str, content: dict[str, Any], segments: Segments | None = None
) -> Experiment:
    """Check the content of a file, as `read_experiment` does."""
    if not is_experiment_name(path.stem) or path.name == METRICS_FILE:
        raise PipelineError(
            f"{path} cannot name an experiment.\nUse up to 64 letters, digits, - and _."
        )
    table = check(_File, path, text, content)
    problems = [(line_of(text, where), why) for where, why in _contradictions(table, segments)]
    if problems:
        raise unusable(path, sorted(problems))
    return _experiment(path.stem, table)


def _contradictions(
    table: _File, segments: Segments | None
) -> list[tuple[tuple[str | int, ...], str]]:
    """Return where the file contradicts itself, and why."""
    found: list[tuple[tuple[str | int, ...], str]] = []
    if table.end <= table.start:
        found.append((("end",), "end is not after start"))
    if table.layer_start + table.traffic > 1:
        found.append((("traffic",), "layer_start and traffic together are more than 1"))
    if not 2 <= len(table.variants) <= MAX_VARIANTS:
        found.append((("variants", 0), f"an experiment has 2 to {MAX_VARIANTS} variants"))
    seen: set[str] = set()
    for position, variant in enumerate(table.variants):
        if variant.name in seen:
            found.append((("variants", position, "name"), f"there are two variants {variant.name}"))
        seen.add(variant.name)
    guarded = [guardrail.metric for guardrail in table.guardrails]
    for position, name in enumerate(guarded):
        if name == table.primary or name in guarded[:position]:
            why = f"{name} is already the primary metric or a guardrail"
            found.append((("guardrails", position, "metric"), why))
    for position, name in enumerate(table.secondary):
        if name in (table.primary, *guarded, *table.secondary[:position]):
            found.append((("secondary",), f"{name} is named twice"))
    names = {rule.name for rule in segments.rules} if segments else set(table.eligible.segments)
    for name in table.eligible.segments:
        if name not in names:
            why = f"there is no segment {name}; there are {', '.join(sorted(names))}"
            found.append((("eligible", "segments"), why))
    return found


def _experiment(name: str, table: _File) -> Experiment:
    eligible = Eligibility(
        table.eligible.segments,
        tuple(Condition(c.field, c.at_least, c.at_most) for c in table.eligible.conditions),
    )
    plain = {"layer_start", "traffic", "start", "end", "primary", "secondary", "alpha", "power"}
    plain |= {"hypothesis", "salt", "layer", "unit", "method", "planned_customers"}
    plain |= {"minimum_detectable_effect"}
    return Experiment(
        name=name,
        eligible=eligible,
        variants=tuple(Variant(item.name, item.weight) for item in table.variants),
        guardrails=tuple(Guardrail(g.metric, g.tolerated_harm) for g in table.guardrails),
        holdout=Holdout(table.holdout.salt, table.holdout.share) if table.holdout else None,
        **{key: getattr(table, key) for key in plain},
    )
