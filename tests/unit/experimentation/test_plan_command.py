"""A plan in words: what is needed, what is detectable, and what cannot be said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from customer_profiles.common.errors import PipelineError
from customer_profiles.experimentation.plan_command import plan_html, plan_lines, run_plan
from customer_profiles.experimentation.planning import Baseline, Plan, PowerPoint
from tests.unit.experimentation.small_shop import ELIGIBLE, FILE, Shop

PLAN = Plan(
    experiment="banner",
    metric="conversion",
    method="fixed_horizon",
    effect=0.1,
    alpha=0.05,
    power=0.8,
    baseline=Baseline(0.2, 0.16, 0.25, 1_000, proportion=True),
    customers=12_000,
    days=20,
    window_days=7,
    history_days=30,
    history_customers=18_000,
    in_days=14,
    customers_in_days=8_400,
    detectable=0.12,
    curve=tuple(PowerPoint(1_000 * n, n or None, n / 16) for n in range(17)),
)


def test_a_plan_says_customers_days_and_what_is_detectable() -> None:
    lines = plan_lines(PLAN)
    assert lines[0] == (
        "banner: conversion is 0.2 among 18,000 customers who would have taken part in the last "
        "30 days"
    )
    assert lines[1] == (
        "An effect of 10.0 % with a power of 80 % needs 12,000 exposed customers: 20 days with new "
        "customers, and 7 days more until the last window has closed"
    )
    assert lines[2] == "In 14 days, 8,400 customers come: an effect of 12.0 % is detectable"
    assert lines[3].startswith("The covariate takes 25.0 % of the variance")
    points = lines[4:]
    assert len(points) == 8
    assert points[-1].endswith("after 15 days")
    bars = [line.count("█") for line in points]
    assert bars == sorted(bars)
    assert bars[-1] == 28


def test_a_covariate_that_takes_nothing_is_not_mentioned() -> None:
    plan = replace(PLAN, baseline=replace(PLAN.baseline, variance_reduction=0.0))
    assert not any("covariate" in line for line in plan_lines(plan))


def test_what_cannot_be_reached_is_said() -> None:
    never = plan_lines(replace(PLAN, customers=None, days=None, detectable=None))
    assert never[1].endswith("cannot be found: conversion does not vary in the history")
    assert never[2].endswith("no effect is detectable with that power")
    longer = plan_lines(replace(PLAN, days=None, in_days=60))
    assert longer[1].endswith("more than came in 30 days: allow a larger effect or wait")
    assert "customers come (the history has 30 days only)" in longer[2]


def test_the_page_has_the_words_and_the_curve() -> None:
    html = plan_html(PLAN, "banner: plan")
    assert html.startswith("<h1>banner: plan</h1><p>banner: conversion is 0.2")
    assert "<svg" in html
    assert "█" not in html


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Shop:
    """A shop with ten new customers a day for three weeks, of whom every second buys."""
    shop = Shop(monkeypatch, tmp_path)
    shop.fill_lake(
        (str(100 * day + number), "purchase" if number % 2 else "view", day + 0.5, "10")
        for day in range(21)
        for number in range(1, 11)
    )
    return shop


def test_a_plan_out_of_the_lake_is_printed_and_kept(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_plan("banner", 5, shop.settings, shop.console) == 0
    out = capsys.readouterr().out
    # 20 days of events, 7 of which are the window; four fifths of the others are used.
    assert out.startswith("banner: conversion is 0.5 among 100 customers who would have taken part")
    assert "in the last 10 days" in out
    assert "In 5 days, 50 customers come" in out
    written = shop.reports / "experiment-banner-plan.json"
    assert out.splitlines()[-1].endswith(f" and {written}")
    content = json.loads(written.read_text())
    assert (content["history_customers"], content["in_days"]) == (100, 5)
    assert (shop.reports / "experiment-banner-plan.html").exists()


def test_without_days_the_plan_takes_those_of_the_experiment(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    run_plan("banner", None, shop.settings, shop.console)
    assert "In 14 days, " in capsys.readouterr().out


def test_nobody_who_is_eligible_is_an_error_that_says_what_to_widen(shop: Shop) -> None:
    shop.declare(FILE.replace("[[variants]]", ELIGIBLE + "\n[[variants]]", 1))
    with pytest.raises(PipelineError, match="would have been eligible for banner") as error:
        run_plan("banner", None, shop.settings, shop.console)
    assert r"Widen [eligible]" in str(error.value)


def test_a_lake_that_is_empty_or_too_young_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shop = Shop(monkeypatch, tmp_path)
    with pytest.raises(PipelineError, match="Run `make process` first"):
        run_plan("banner", None, shop.settings, shop.console)
    shop.fill_lake([("1", "view", 0, "1"), ("1", "view", 3, "1")])
    with pytest.raises(PipelineError, match=r"events of 3\.0 days, and conversion has a window"):
        run_plan("banner", None, shop.settings, shop.console)
