"""Analyse a million customers of a lake in a folder, copied from the synthetic sample."""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import polars as pl

from benchmarks.folder_lake import FolderStore, write_lake
from customer_profiles.contracts.assignment import Allocation, allocate, assign_many, layer_share
from customer_profiles.contracts.buckets import bucket_of
from customer_profiles.experimentation.analyse_command import without_profile
from customer_profiles.experimentation.analysis import analyse
from customer_profiles.experimentation.definition import (
    Eligibility,
    Experiment,
    Guardrail,
    Kind,
    Method,
    Metric,
    Variant,
)
from customer_profiles.experimentation.first_exposures import first_exposures
from customer_profiles.experimentation.history import past_exposures
from customer_profiles.experimentation.lake_measures import measure_lake, newest_event
from customer_profiles.lake.events import EVENT_SCHEMA
from customer_profiles.lake.profiles import write_profiles
from customer_profiles.profiles.aggregate import build_from_distinct
from customer_profiles.profiles.schema import PRICE
from customer_profiles.profiles.segments import read_segments
from scripts.sample.events import make_events

PLANNED = 40_000
"""The effects to find are chosen so that a test needs about this many customers."""
SPEED_CUSTOMERS = 1_000_000
SPEED_BUCKETS = 16
REPETITIONS = 5
"""Of a measurement; the fastest counts, because other programs slow the others down."""
METRICS = (
    Metric("sessions", Kind.SESSIONS, 14),
    Metric("average_order_value", Kind.AVERAGE_ORDER_VALUE, 14, covariate_days=0),
    Metric("conversion", Kind.CONVERSION, 14),
    Metric("revenue", Kind.REVENUE, 14),
)
PLAN = Experiment(
    name="bench",
    hypothesis="-",
    salt="bench",
    layer="bench",
    layer_start=Decimal(0),
    traffic=Decimal(1),
    start=datetime(2020, 1, 1, tzinfo=UTC),
    end=datetime(2020, 2, 1, tzinfo=UTC),
    variants=(Variant("control", 1), Variant("treatment", 1)),
    eligible=Eligibility(),
    primary="revenue",
    secondary=("conversion", "average_order_value"),
    guardrails=(Guardrail("sessions", 0.02),),
    minimum_detectable_effect=0.1,
    alpha=0.05,
    power=0.8,
    method=Method.FIXED_HORIZON,
    planned_customers=PLANNED,
)


def assignment_speed() -> list[tuple[str, float]]:
    """Measure how long it takes to assign `SPEED_CUSTOMERS` customers, in this process.

    Returns:
        How much of its layer an experiment has, and the fewest CPU seconds of some repetitions.
    """
    users = [str(1515915625000000000 + 7919 * number) for number in range(SPEED_CUSTOMERS)]
    ranges = allocate({"control": 1, "treatment": 1})
    speeds = []
    for name, traffic in (("the whole layer", "1"), ("half of it", "0.5"), ("90 % of it", "0.9")):
        layer = layer_share("speed", Fraction(0), Fraction(traffic))
        seconds = []
        for _ in range(REPETITIONS):
            began = time.process_time()
            assign_many(Allocation("speed", ranges, layer), users)
            seconds.append(time.process_time() - began)
        speeds.append((name, min(seconds)))
    return speeds


def sample_events(rows: int) -> pl.DataFrame:
    """Return the events of the synthetic sample, as the lake has them."""
    texts = make_events(rows, 1).unique(maintain_order=True)
    time_ = pl.col("event_time").str.replace(" UTC", "").str.to_datetime(time_unit="us")
    return texts.with_row_index("n").select(
        pl.col("n").cast(pl.String).str.zfill(32).alias("event_id"),
        time_.dt.replace_time_zone("UTC"),
        *list(EVENT_SCHEMA)[2:7],
        pl.col("price").cast(PRICE),
        "user_id",
        "user_session",
        pl.col("category_code").str.split(".").list.first().alias("category_root"),
        pl.lit("sample").alias("source"),
        pl.col("n").cast(pl.Int64).alias("source_row"),
        pl.lit(0, pl.Int32).alias("kafka_partition"),
        pl.col("n").cast(pl.Int64).alias("kafka_offset"),
    )


def past_experiment(events: pl.DataFrame, days: int) -> Experiment:
    """Return an experiment that ended when the last windows of the sample began."""
    newest = events["event_time"].max()
    assert isinstance(newest, datetime)  # noqa: S101
    end = newest - METRICS[0].window
    return replace(PLAN, start=end - timedelta(days=days), end=end)


def measure_speed(events: pl.DataFrame) -> tuple[float, float]:
    """Analyse `SPEED_CUSTOMERS` customers out of a lake, in a process of its own.

    Returns:
        Seconds, and the peak memory in GB.
    """
    print(f"Write a lake for {SPEED_CUSTOMERS:,} exposed customers", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        _write_speed_lake(events, Path(folder))
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            return pool.apply(analyse_folder, (folder,))


def _write_speed_lake(events: pl.DataFrame, folder: Path) -> None:
    trial = past_experiment(events, 60)
    copies = []
    exposures = []
    each = past_exposures(events, trial, trial.start, trial.end)
    for number in range(-(-SPEED_CUSTOMERS // each.height)):
        user = pl.concat_str(pl.lit(str(number + 1)), "user_id").alias("user_id")
        identity = pl.concat_str(pl.lit(f"{number:04d}"), pl.col("event_id").str.slice(4))
        copies.append(events.with_columns(user, identity.alias("event_id")))
        exposures.append(each.with_columns(user))
    everybody = pl.concat(exposures).head(SPEED_CUSTOMERS)
    variant = pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.lit("control"))
    everybody.with_columns(variant.otherwise(pl.lit("treatment")).alias("variant")).write_parquet(
        folder / "exposures.parquet"
    )
    store, copied = FolderStore(folder / "lake"), pl.concat(copies)
    write_lake(store, copied, SPEED_BUCKETS)
    _write_profiles(store, copied)


def _write_profiles(store: FolderStore, events: pl.DataFrame) -> None:
    """Write the profiles of all customers, as the lake has them."""
    users = events["user_id"].unique()
    numbers = pl.Series("bucket", [bucket_of(user, SPEED_BUCKETS) for user in users])
    placed = events.join(pl.DataFrame([users, numbers]), on="user_id")
    for bucket in range(SPEED_BUCKETS):
        part = placed.filter(bucket=bucket).drop("bucket")
        profiles = build_from_distinct(part, read_segments(), datetime(2020, 1, 1, tzinfo=UTC))
        write_profiles(store, bucket, profiles.sort("user_id"), 1, None)


def analyse_folder(folder: str) -> tuple[float, float]:
    """Analyse the experiment of a folder; return seconds and the peak memory in GB."""
    store = FolderStore(Path(folder) / "lake")
    exposures = pl.read_parquet(Path(folder) / "exposures.parquet")
    times = exposures["exposed_at"]
    first, last = times.min(), times.max()
    assert isinstance(first, datetime)  # noqa: S101
    assert isinstance(last, datetime)  # noqa: S101
    trial = replace(PLAN, start=first, end=last + timedelta(seconds=1))
    metrics = [replace(METRICS[3], winsorise=0.99), METRICS[0], METRICS[2], METRICS[1]]
    as_of = trial.end + timedelta(days=14)
    started = time.perf_counter()
    assert newest_event(store) is not None  # noqa: S101
    erased = without_profile(store, exposures["user_id"])
    exposed = first_exposures(exposures, trial, erased)
    measured = measure_lake(store, exposed.customers, metrics, as_of, read_segments())
    result = analyse(trial, metrics, measured, exposed.counts, as_of)
    seconds = time.perf_counter() - started
    assert result.counts.analysed == SPEED_CUSTOMERS  # noqa: S101
    assert result.primary and result.segments and result.over_time  # noqa: S101, PT018
    # Not `ru_maxrss`, which a process inherits from the one that has started it.
    status = Path("/proc/self/status").read_text()
    peak_kb = int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])
    return seconds, peak_kb / 1024**2
