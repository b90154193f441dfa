"""Experiments and metrics as files: what is read, and what is refused with line and reason."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from customer_profiles.common.errors import PipelineError
from customer_profiles.experimentation.changes import changes, refuse_changes
from customer_profiles.experimentation.definition import (
    Eligibility,
    Experiment,
    Guardrail,
    Holdout,
    Method,
    Variant,
)
from customer_profiles.experimentation.experiment_file import read_experiment
from customer_profiles.experimentation.metrics_file import metrics_of, read_metrics
from customer_profiles.profiles.segments import read_segments
from tests.support import ROOT
from tests.unit.experimentation.cases import EXPERIMENT

FILE = """\
hypothesis = "A discount makes interested shoppers buy."
salt = "discount-1"
layer = "prices"
layer_start = 0.25
traffic = 0.5
start = 2020-02-01T00:00:00Z
end = 2020-02-15T00:00:00+01:00
primary = "conversion"
secondary = ["orders"]
minimum_detectable_effect = 0.1
method = "fixed_horizon"
planned_customers = 40000

[eligible]
segments = ["Interested Shopper"]

[[eligible.conditions]]
field = "total_events"
at_least = 3

[[variants]]
name = "control"
weight = 1

[[variants]]
name = "discount"
weight = 1

[[guardrails]]
metric = "revenue"
tolerated_harm = 0.02
"""


def write(folder: Path, text: str, name: str = "discount.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_file_is_read(tmp_path: Path) -> None:
    experiment = read_experiment(write(tmp_path, FILE), read_segments())
    assert experiment.name == "discount"
    assert experiment.layer_start == Decimal("0.25")
    assert experiment.end == datetime(2020, 2, 14, 23, tzinfo=UTC)
    assert experiment.control == Variant("control", 1)
    assert experiment.guardrails == (Guardrail("revenue", 0.02),)
    assert experiment.metric_names == ("conversion", "revenue", "orders")
    assert (experiment.alpha, experiment.power) == (0.05, 0.8)


REFUSED = {
    "too much traffic": ("traffic = 0.5", "traffic = 1.5", 5, "less than or equal to 1"),
    "a range beyond its layer": ("traffic = 0.5", "traffic = 0.9", 5, "more than 1"),
    "too fine a share": ("traffic = 0.5", "traffic = 0.1234567", 5, "six decimals"),
    "a time without offset": ("2020-02-01T00:00:00Z", "2020-02-01T00:00:00", 6, "offset"),
    "an end before the start": ("end = 2020-02-15", "end = 2019-02-15", 7, "not after start"),
    "an unknown method": ('"fixed_horizon"', '"bayes"', 11, "'fixed_horizon'"),
    "an unknown key": ("salt = ", "pepper = 1\nsalt = ", 2, "pepper is no key"),
    "a missing key": ('layer = "prices"\n', "", 1, "layer is missing"),
    "an unknown field": ('"total_events"', '"shoe_size"', 18, "no field shoe_size"),
    "an unknown segment": ('"Interested Shopper"', '"Nobody"', 15, "no segment Nobody"),
    "a weight of zero": ('"discount"\nweight = 1', '"discount"\nweight = 0', 27, "greater than"),
    "two variants of one name": ('name = "discount"', 'name = "control"', 26, "two variants"),
    "a metric in two roles": ('metric = "revenue"', 'metric = "conversion"', 30, "already"),
    "no tolerated harm": ("tolerated_harm = 0.02\n", "", 29, "tolerated_harm is missing"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_is_refused_with_line_and_reason(case: str, tmp_path: Path) -> None:
    old, new, line, reason = REFUSED[case]
    assert FILE.count(old) == 1
    path = write(tmp_path, FILE.replace(old, new))
    with pytest.raises(PipelineError) as error:
        read_experiment(path, read_segments())
    assert f"{path}, line {line}: " in str(error.value)
    assert reason in str(error.value)


def test_all_problems_are_named_at_once(tmp_path: Path) -> None:
    text = FILE.replace("traffic = 0.5", "traffic = 1.5").replace("weight = 1", "weight = -1")
    with pytest.raises(PipelineError) as error:
        read_experiment(write(tmp_path, text))
    assert str(error.value).count("line") == 3


@pytest.mark.parametrize("name", ["metrics.toml", "über.toml", "a b.toml"])
def test_a_file_needs_the_name_of_an_experiment(name: str, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="cannot name an experiment"):
        read_experiment(write(tmp_path, FILE, name))


@pytest.mark.parametrize("text", ["hypothesis = ", "a = 1\na = 2", "\x00"])
def test_what_is_not_toml_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"discount\.toml cannot be read"):
        read_experiment(write(tmp_path, text))


CHANGED: dict[str, tuple[Experiment, str | None]] = {
    "nothing": (EXPERIMENT, None),
    "the words": (replace(EXPERIMENT, hypothesis="Other words."), None),
    "the salt": (replace(EXPERIMENT, salt="new"), "salt"),
    "the layer": (replace(EXPERIMENT, layer="new"), "layer"),
    "the range's start": (replace(EXPERIMENT, layer_start=Decimal("0.1")), "layer_start"),
    "the holdout": (replace(EXPERIMENT, holdout=Holdout("h", Decimal("0.1"))), "holdout"),
    "who is eligible": (replace(EXPERIMENT, eligible=Eligibility(("High Value",))), "eligible"),
    "a weight": (
        replace(EXPERIMENT, variants=(Variant("control", 1), Variant("banner", 2))),
        "variants",
    ),
    "a renamed variant": (
        replace(EXPERIMENT, variants=(Variant("control", 1), Variant("Banner", 1))),
        "variants",
    ),
    "less traffic": (replace(EXPERIMENT, traffic=Decimal("0.9")), "traffic"),
    "the primary metric": (replace(EXPERIMENT, primary="orders"), "primary"),
    "the method": (replace(EXPERIMENT, method=Method.ALWAYS_VALID), "method"),
    "a fixed horizon's end": (replace(EXPERIMENT, end=EXPERIMENT.end + timedelta(1)), "end"),
}


@pytest.mark.parametrize("case", CHANGED)
def test_changes_that_move_customers_or_break_promises_are_found(case: str) -> None:
    current, key = CHANGED[case]
    assert [name for name, _ in changes(EXPERIMENT, current)] == ([key] if key else [])


def test_traffic_may_be_raised() -> None:
    assert changes(replace(EXPERIMENT, traffic=Decimal("0.1")), EXPERIMENT) == []


def test_a_change_is_refused_with_its_line_while_the_experiment_runs(tmp_path: Path) -> None:
    path = write(tmp_path, FILE)
    registered = read_experiment(path)
    path.write_text(FILE.replace('name = "discount"', 'name = "rebate"'))
    current = read_experiment(path)
    refuse_changes(registered, current, path, registered.start - timedelta(seconds=1))
    with pytest.raises(PipelineError, match="line 21: the variants were control, discount"):
        refuse_changes(registered, current, path, registered.start)


def test_the_metrics_of_the_project_can_be_used() -> None:
    metrics = read_metrics(ROOT / "experiments" / "metrics.toml")
    assert [*metrics] == [
        *("conversion", "revenue", "orders", "average_order_value", "sessions", "retention")
    ]


BAD_METRICS = {
    "a window that ends before it starts": ("from_days = 9", 1, "not before window_days"),
    "a covariate after the exposure": ("covariate_days = -3", 5, "greater than or equal to 0"),
    "an unknown key": ("covariate_until_days = 3", 5, "is no key"),
    "two kinds of winsorisation": ("cap = 5\nwinsorise = 0.9", 1, "cap or winsorise"),
}


@pytest.mark.parametrize("case", BAD_METRICS)
def test_a_metric_that_cannot_be_used_is_refused(case: str, tmp_path: Path) -> None:
    line_text, line, reason = BAD_METRICS[case]
    text = f'[[metrics]]\nname = "money"\nkind = "revenue"\nwindow_days = 7\n{line_text}\n'
    path = write(tmp_path, text, "metrics.toml")
    with pytest.raises(PipelineError) as error:
        read_metrics(path)
    assert f"line {line}: " in str(error.value)
    assert reason in str(error.value)


def test_a_metric_that_is_not_declared_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, FILE.replace('secondary = ["orders"]', 'secondary = ["margin"]'))
    metrics = read_metrics(ROOT / "experiments" / "metrics.toml")
    with pytest.raises(PipelineError, match="line 9: there is no metric margin"):
        metrics_of(read_experiment(path), metrics, path)
