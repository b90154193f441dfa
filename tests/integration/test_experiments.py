"""An experiment on real servers: exposures exactly once, variants published, the effect found."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import polars as pl
import pytest
from confluent_kafka import Producer

from customer_profiles.contracts import EXPOSURE_DEAD_LETTERS, EXPOSURES
from customer_profiles.contracts.assignment import Allocation, allocate, assign_many
from customer_profiles.experimentation import demo_events
from customer_profiles.experimentation.settings import Settings
from customer_profiles.lake.exposures import ExposureLake
from customer_profiles.lake.s3 import S3ObjectStore
from tests.integration.conftest import Stack, ingest, messages, process, search
from tests.poison import poison
from tests.support import ROOT

NAME = "shipping"
POISON = 500
EVERYBODY = """
hypothesis = "Free shipping sells more."
salt = "shipping-1"
layer = "shipping"
traffic = 1.0
start = 2021-01-15T00:00:00Z
end = 2021-01-29T00:00:00Z
primary = "conversion"
minimum_detectable_effect = 0.2
method = "fixed_horizon"
planned_customers = 6000

[[variants]]
name = "control"
weight = 1

[[variants]]
name = "free-shipping"
weight = 1
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("experiments")
    (folder / f"{NAME}.toml").write_text(EVERYBODY)
    (folder / "metrics.toml").write_text((ROOT / "experiments" / "metrics.toml").read_text())
    return folder


def run(stack: Stack, folder: Path, *arguments: str) -> str:
    done = stack.python("customer_profiles.experimentation", *arguments, EXPERIMENTS=str(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check_that_variants_stay(stack: Stack, folder: Path, user: str, variant: str) -> None:
    """A document has its variant also after a run and a rebuild have written it again."""
    path = f"customer_profiles/_doc/{user}"
    events = search(stack, path)["_source"]["total_events"]
    assigned = {"query": {"exists": {"field": f"experiments.{NAME}"}}}
    published = search(stack, "customer_profiles/_count", assigned)["count"]
    assert published >= demo_events.CUSTOMERS
    history = demo_events.history().filter(user_id=user).head(1)
    later = pl.lit("2021-02-09 12:00:00 UTC").alias("event_time")
    history.with_columns(later).write_csv(folder / "one-more.csv")
    ingest(stack, folder / "one-more.csv")
    for command in ("process", "rebuild"):
        process(stack, command)
        source = search(stack, path)["_source"]
        assert source["total_events"] == events + 1
        assert source["experiments"] == {NAME: variant}
        assert search(stack, "customer_profiles/_count", assigned)["count"] == published
    (mapping,) = search(stack, "customer_profiles/_mapping").values()
    field = mapping["mappings"]["properties"]["experiments"]["properties"][NAME]
    assert field["type"] == "keyword"


def test_an_experiment_from_assignment_to_verdict(stack: Stack, folder: Path) -> None:
    users = demo_events.user_ids()
    allocation = Allocation("shipping-1", allocate({"control": 1, "free-shipping": 1}))
    answers = assign_many(allocation, users)
    variants = {
        user: answer.variant
        for user, answer in zip(users, answers, strict=True)
        if answer.variant is not None
    }
    shown = demo_events.exposures(variants, NAME)
    path = folder / "responses.csv"
    demo_events.responses(shown).write_csv(path)
    ingest(stack, path)
    process(stack)

    # Each exposure is in the lake once, although the file is sent twice and landed twice.
    exposures = folder / "exposures.csv"
    with exposures.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["experiment", "variant", "user_id", "exposed_at"])
        rows.writerows(
            [item.experiment, item.variant, item.user_id, item.exposed_at] for item in shown
        )
    for _ in range(2):
        run(stack, folder, "expose", str(exposures))
        run(stack, folder, "exposures")
    assert "No new exposures" in run(stack, folder, "exposures")
    assert len(messages(stack, "experiment_exposures")) == 2 * len(shown)
    settings = Settings.from_env(stack.environ)
    landed = ExposureLake(S3ObjectStore(settings.lake)).read(NAME)
    assert landed.height == landed["exposure_id"].n_unique() == len(shown)

    # The variants are in the profiles, and a second publication changes nothing.
    run(stack, folder, "assign", "--publish", NAME)
    assert "\n0 documents have changed" in run(stack, folder, "assign", "--publish", NAME)
    source = search(stack, f"customer_profiles/_doc/{users[0]}")["_source"]
    assert source["experiments"] == {NAME: variants[users[0]]}
    one = json.loads(run(stack, folder, "assign", "--id", users[0], NAME))
    assert (one["variant"], one["outcome"]) == (variants[users[0]], "assigned")
    check_that_variants_stay(stack, folder, users[0], variants[users[0]])

    # The planted effect is found, and what should not count is left out and counted.
    assert "free-shipping" in run(stack, folder, "analyse", NAME)
    result = json.loads((stack.reports / f"experiment-{NAME}.json").read_text())
    assert result["verdict"]["decision"] == "better"
    assert result["sample_ratio"]["ok"]
    (primary,) = result["primary"]
    assert primary["relative"]["low"] < 0.30 < primary["relative"]["high"]
    counts = result["counts"]
    assert counts["in_two_variants"] == demo_events.IN_TWO_VARIANTS
    assert counts["before_start"] == demo_events.BEFORE_START
    assert counts["repeats"] == demo_events.REPEATS
    kinds = search(stack, "experiment_results/_search?size=100")["hits"]["hits"]
    assert {hit["_source"]["kind"] for hit in kinds} >= {"verdict", "sample_ratio", "comparison"}

    # The checks of lake and index know these objects and this field.
    verified = stack.python("customer_profiles.processing", "verify", "--deep")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert pl.Series(list(variants)).n_unique() == demo_events.CUSTOMERS


def test_whatever_is_published_changes_no_exposure(stack: Stack, folder: Path) -> None:
    lake = ExposureLake(S3ObjectStore(Settings.from_env(stack.environ).lake))
    before = set(lake.read(NAME)["exposure_id"])
    valid = [(one.key, one.value) for one in messages(stack, EXPOSURES.name)[:20]]
    producer = Producer(stack.ingestion.kafka.client_settings())
    for key, value in poison(valid, POISON, seed=26):
        producer.produce(EXPOSURES.name, value, key, partition=0)
    assert producer.flush(60) == 0
    run(stack, folder, "exposures")
    assert len(messages(stack, EXPOSURE_DEAD_LETTERS.name)) > POISON / 2
    after = lake.read(NAME)["exposure_id"]
    assert after.is_unique().all()
    assert before <= set(after)
