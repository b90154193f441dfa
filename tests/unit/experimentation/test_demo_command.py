"""The steps of the demonstration, with fakes in place of servers and of other commands."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from customer_profiles.common.errors import PipelineError
from customer_profiles.experimentation import demo, demo_events
from customer_profiles.experimentation.result import Interval
from tests.support import ROOT
from tests.unit.experimentation.small_shop import Shop

RESULT = SimpleNamespace(
    primary=[
        SimpleNamespace(
            absolute=Interval(0.06, 0.04, 0.08),
            relative=Interval(0.3, 0.2, None),
            control=0.2,
            treatment=0.26,
        ),
        SimpleNamespace(absolute=Interval(None, None, None)),
    ],
    counts=SimpleNamespace(in_two_variants=12, before_start=7, repeats=150),
)


class Steps:
    """What the demonstration did."""

    def __init__(self) -> None:
        self.commands: list[list[str]] = []
        self.environs: list[dict[str, str]] = []
        self.fails: str | None = None
        self.sent: list[Any] = []

    def run(self, command: list[str], *, env: dict[str, str]) -> SimpleNamespace:
        self.commands.append(command)
        self.environs.append(env)
        return SimpleNamespace(returncode=2 if command[1] == self.fails else 0)

    def publish(self, _config: object, exposures: list[Any]) -> int:
        self.sent = exposures
        return len(exposures)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Steps:
    steps = Steps()
    variants = dict.fromkeys(demo_events.user_ids()[:300], "control")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo_events, "CUSTOMERS", 300)
    monkeypatch.setattr(subprocess, "run", steps.run)
    monkeypatch.setattr(demo, "publish", steps.publish)
    monkeypatch.setattr(demo, "ensure_topics", lambda _: None)
    monkeypatch.setattr(demo, "publish_variants", lambda *_: SimpleNamespace(variants=variants))
    monkeypatch.setattr(demo, "run_analysis", lambda *_: RESULT)
    return steps


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Shop:
    shop = Shop(monkeypatch, tmp_path)
    shop.declare((ROOT / "experiments" / "demo.toml").read_text(), "demo")
    return shop


def test_the_demonstration_goes_through_the_commands_that_people_use(
    steps: Steps, shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo.run_demo(shop.settings, shop.console) == 0
    files = [f"data/experiment-demo-{name}.csv" for name in ("history", "responses")]
    assert steps.commands == [
        command
        for file in files
        for command in (["make", "ingest", f"FILE={file}"], ["make", "process", "BRIEF=1"])
    ]
    assert pl.read_csv(files[0]).height == 300 * demo_events.VIEWS
    assert len({item.user_id for item in steps.sent}) == 300
    out = capsys.readouterr().out
    titles = [line for line in out.splitlines() if line[:2] in {"1.", "2.", "3.", "4."}]
    assert len(titles) == 4
    assert f"{len(steps.sent):,} exposures sent" in out
    assert "effect put in: 20 % of the control and 26 % of free-shipping buy: +30 %" in out
    assert "effect found:  20.0 % and 26.0 %: +30.0 % [+20.0 %, unbounded]" in out
    assert out.count("effect found:") == 1
    assert "customers exposed before the start: 8 put in, 7 found" in out
    assert "Next: make experiment EXPERIMENT=demo" in out.splitlines()[-1]


def test_what_this_make_was_told_does_not_reach_the_others(
    steps: Steps, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MAKEFLAGS", "FILE"):
        monkeypatch.setenv(name, "of this make")
    demo.run_demo(shop.settings, shop.console)
    for environ in steps.environs:
        assert not {"MAKEFLAGS", "FILE"} & set(environ)
        assert environ["PATH"] == os.environ["PATH"]


@pytest.mark.parametrize(("step", "done"), [("ingest", 1), ("process", 2)])
def test_a_step_that_fails_ends_it_and_says_how_to_continue(
    steps: Steps, shop: Shop, step: str, done: int
) -> None:
    steps.fails = step
    with pytest.raises(PipelineError, match=f"`make {step} .*` failed") as error:
        demo.run_demo(shop.settings, shop.console)
    assert "Run `make experiment-demo` again afterwards" in str(error.value)
    assert (len(steps.commands), steps.sent) == (done, [])
