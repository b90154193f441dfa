"""The demonstration: an experiment with a planted effect, from assignment to verdict.

It uses the running stack, files of its own and customers of its own. Every step may be repeated:
the same events and the same exposures are recognised and change nothing.
"""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING

from customer_profiles.common.errors import PipelineError
from customer_profiles.experimentation import demo_events
from customer_profiles.experimentation.analyse_command import run_analysis
from customer_profiles.experimentation.commands import open_store, publish_variants
from customer_profiles.experimentation.exposure_topic import publish
from customer_profiles.experimentation.register_command import register
from customer_profiles.experimentation.render import percent, relative
from customer_profiles.experimentation.result import Result
from customer_profiles.experimentation.settings import Settings
from customer_profiles.kafka.admin import ensure_topics

if TYPE_CHECKING:
    import polars as pl
    from rich.console import Console

NAME = "demo"
FOLDER = "data"


def run_demo(settings: Settings, console: Console) -> int:
    """Run the demonstration.

    Raises:
        PipelineError: a step failed.
    """
    started = time.monotonic()
    console.print("")
    console.print(
        f"The demonstration adds {demo_events.CUSTOMERS:,} customers to the lake of this folder. "
        f"Their ids begin with {str(demo_events.FIRST_ID)[:5]}, and they stay there; `make clean` "
        "removes everything. You may run it again: it then changes nothing."
    )
    _step(console, "1. Customers who look around and buy nothing")
    _send_events("history", demo_events.history())
    _step(console, "2. Who gets which variant, published in the profiles")
    store = open_store(settings)
    _, experiment = register(NAME, store, settings)
    variants = publish_variants(experiment, store, settings, console).variants
    _step(console, "3. Exposures through Kafka, and customers who respond")
    shown = demo_events.exposures(variants, NAME)
    ensure_topics(settings.kafka)
    console.print(f"{publish(settings.kafka, shown):,} exposures sent")
    _send_events("responses", demo_events.responses(shown))
    _step(console, "4. What the lake says")
    result = run_analysis(NAME, settings, console)
    _compare(result, console)
    console.print("")
    console.print(
        f"Done in {time.monotonic() - started:.0f} s. Next: make experiment EXPERIMENT={NAME} for "
        "the result again, make dashboard for its charts, and docs/experiments.md for one of your "
        "own. Stop everything with: make down"
    )
    return 0


def _send_events(name: str, events: pl.DataFrame) -> None:
    """Send events as a file of a shop, and process them, with the commands that people use."""
    path = f"{FOLDER}/experiment-demo-{name}.csv"
    os.makedirs(FOLDER, exist_ok=True)
    events.write_csv(path)
    _make("ingest", f"FILE={path}")
    _make("process", "BRIEF=1")


def _make(*arguments: str) -> None:
    environ = {key: value for key, value in os.environ.items() if key not in _OF_MAKE}
    if subprocess.run(["make", *arguments], env=environ).returncode:
        raise PipelineError(
            f"`make {' '.join(arguments)}` failed; the lines above say why.\n"
            "Run `make experiment-demo` again afterwards: it continues where it stopped."
        )


_OF_MAKE = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES", "FILE")


def _step(console: Console, title: str) -> None:
    console.print("")
    console.print(title, style="bold")


def _compare(result: Result, console: Console) -> None:
    """Say what was put in and what was found."""
    control, treatment = demo_events.CONVERSION.values()
    console.print("")
    console.print("What was put in, and what was found", style="bold")
    put_in = (
        f"{percent(control, 0)} of the control and {percent(treatment, 0)} of free-shipping buy: "
        f"{100 * (treatment / control - 1):+.0f} %"
    )
    found = [item for item in result.primary if item.absolute.value is not None]
    console.print(f"  effect put in: {put_in}")
    for item in found:
        console.print(
            f"  effect found:  {percent(item.control)} and {percent(item.treatment)}: "
            f"{relative(item.relative)}"
        )
    counts = result.counts
    for name, put, seen in (
        ("customers in two variants", demo_events.IN_TWO_VARIANTS, counts.in_two_variants),
        ("customers exposed before the start", demo_events.BEFORE_START, counts.before_start),
        ("repeated exposures", demo_events.REPEATS, counts.repeats),
    ):
        console.print(f"  {name}: {put} put in, {seen} found")
