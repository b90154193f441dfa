"""The demonstration, without servers: what is put in is what the analysis finds."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from benchmarks.folder_lake import write_lake
from customer_profiles.contracts import bucket_of
from customer_profiles.experimentation import demo_events
from customer_profiles.experimentation.analyse_command import without_profile
from customer_profiles.experimentation.analysis import analyse
from customer_profiles.experimentation.assigning import assign_all
from customer_profiles.experimentation.definition import Eligibility
from customer_profiles.experimentation.experiment_file import read_experiment
from customer_profiles.experimentation.exposure_frame import EXPOSURE_SCHEMA
from customer_profiles.experimentation.first_exposures import first_exposures
from customer_profiles.experimentation.lake_measures import measure_lake
from customer_profiles.experimentation.landing import land
from customer_profiles.experimentation.metrics_file import metrics_of, read_metrics
from customer_profiles.experimentation.registration import registered
from customer_profiles.experimentation.result import Decision
from customer_profiles.lake.events import EVENT_SCHEMA
from customer_profiles.lake.exposures import ExposureLake
from customer_profiles.lake.profiles import read_profiles, write_profiles
from customer_profiles.profiles.aggregate import build_from_distinct
from customer_profiles.profiles.segments import read_segments
from tests.support import ROOT, MemoryObjectStore
from tests.unit.experimentation.test_landing import MemoryTopic

BUCKETS = 2
NOW = datetime(2021, 3, 1, tzinfo=UTC)
FILE = ROOT / "experiments" / "demo.toml"


def as_events(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows of a file as `EVENT_SCHEMA`."""
    return rows.with_row_index("number").select(
        pl.format("e{}-{}", "number", "user_session").alias("event_id"),
        pl.col("event_time").str.to_datetime(
            "%Y-%m-%d %H:%M:%S UTC", time_unit="us", time_zone="UTC"
        ),
        *(pl.col(name).cast(dtype) for name, dtype in list(EVENT_SCHEMA.items())[2:10]),
        pl.lit("electronics").alias("category_root"),
        pl.lit("demo").alias("source"),
        pl.lit(1, pl.Int64).alias("source_row"),
        pl.lit(0, pl.Int32).alias("kafka_partition"),
        pl.lit(0, pl.Int64).alias("kafka_offset"),
    )


def write_all_profiles(store: MemoryObjectStore, events: pl.DataFrame) -> None:
    profiles = build_from_distinct(events, read_segments(), NOW)
    numbers = [bucket_of(user, BUCKETS) for user in profiles["user_id"]]
    profiles = profiles.with_columns(pl.Series("bucket", numbers))
    for bucket in range(BUCKETS):
        part = profiles.filter(bucket=bucket).drop("bucket").sort("user_id")
        etag = read_profiles(store, bucket).etag
        write_profiles(store, bucket, part, 1, etag)


@pytest.fixture(scope="module")
def store() -> MemoryObjectStore:
    """A lake after all steps of the demonstration."""
    store = MemoryObjectStore()
    history = as_events(demo_events.history())
    write_all_profiles(store, history)
    experiment = read_experiment(FILE, read_segments())
    write_lake(store, history, BUCKETS)
    variants = assign_all(store, registered(experiment, ""), NOW).variants
    assert len(variants) == demo_events.CUSTOMERS
    shown = demo_events.exposures(variants, experiment.name)
    land(ExposureLake(store), MemoryTopic(*(item.to_json().encode() for item in shown)), BUCKETS)
    both = pl.concat([history, as_events(demo_events.responses(shown))])
    # The lake of the second run, with both files.
    after = MemoryObjectStore()
    write_lake(after, both, BUCKETS)
    kept = {name: data for name, data in store.objects.items() if name.startswith("experiments/")}
    after.objects.update(kept)
    after.attributes.update({name: store.attributes[name] for name in kept})
    write_all_profiles(after, both)
    return after


def test_the_analysis_finds_what_the_demonstration_puts_in(store: MemoryObjectStore) -> None:
    experiment = read_experiment(FILE, read_segments())
    metrics = metrics_of(
        experiment, read_metrics(ROOT / "experiments" / "metrics.toml"), Path(FILE)
    )
    exposures = ExposureLake(store).read(experiment.name).select(*EXPOSURE_SCHEMA)
    gone = without_profile(store, exposures["user_id"].unique())
    exposed = first_exposures(exposures, experiment, gone)
    measured = measure_lake(store, exposed.customers, metrics, demo_events.LAST, read_segments())
    result = analyse(experiment, metrics, measured, exposed.counts, demo_events.LAST)
    assert result.verdict.decision is Decision.BETTER
    assert result.sample_ratio.ok
    (primary,) = result.primary
    control, treatment = demo_events.CONVERSION.values()
    assert primary.relative.low is not None
    assert primary.relative.high is not None
    assert primary.relative.low < treatment / control - 1 < primary.relative.high
    counts = result.counts
    assert counts.erased == 0
    assert counts.in_two_variants == demo_events.IN_TWO_VARIANTS
    assert counts.before_start == demo_events.BEFORE_START
    assert counts.repeats == demo_events.REPEATS


@pytest.mark.parametrize("eligible", ["only a segment", "everybody"])
def test_a_customer_who_was_erased_meanwhile_is_left_out_counted_and_named(
    store: MemoryObjectStore, eligible: str
) -> None:
    experiment = read_experiment(FILE, read_segments())
    if eligible == "everybody":
        experiment = replace(experiment, eligible=Eligibility())
    exposures = ExposureLake(store).read(experiment.name).select(*EXPOSURE_SCHEMA)
    stranger = pl.DataFrame(
        [("123", "control", demo_events.START)], schema=EXPOSURE_SCHEMA, orient="row"
    )
    exposures = pl.concat([exposures, stranger])
    gone = without_profile(store, exposures["user_id"].unique())
    assert gone.to_list() == ["123"]
    exposed = first_exposures(exposures, experiment, gone)
    assert exposed.counts.erased == 1
    assert "123" not in exposed.customers["user_id"]
    metrics = metrics_of(experiment, read_metrics(ROOT / "experiments" / "metrics.toml"), FILE)
    measured = measure_lake(store, exposed.customers, metrics, demo_events.LAST, read_segments())
    result = analyse(experiment, metrics, measured, exposed.counts, demo_events.LAST)
    assert any(said.startswith("1 customers have nothing in the lake") for said in result.caveats)
    assert result.counts.analysed == exposed.customers.height


def test_every_run_of_the_demonstration_makes_the_same_events() -> None:
    variants = dict.fromkeys(demo_events.user_ids()[:300], "control")
    shown = demo_events.exposures(variants, "demo")
    assert shown == demo_events.exposures(variants, "demo")
    assert demo_events.responses(shown).equals(demo_events.responses(shown))
