"""Processing continues a lake, topics and an index of version 0.1 without a rebuild.

`tests/fixtures/stack-0.1.tar.xz` contains the data folders of a native stack of version 0.1.
That version ingested, processed and rebuilt 2,003 rows of `one.csv` and one invalid message.
It then ingested the 600 rows of `two.csv` and did not process them.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from customer_profiles.contracts import RAW_EVENTS
from customer_profiles.contracts.limits import MAX_SEARCHED_CHARACTERS
from customer_profiles.processing.tasks.config import TaskConfig
from customer_profiles.search.mapping import ALIAS
from customer_profiles.search.metrics_indices import MetricsIndices
from tests.integration.conftest import (
    Stack,
    check_profiles,
    ingest,
    lake_profiles,
    messages,
    process,
    running,
    search,
)
from tests.integration.test_processing import live_index
from tests.support import ROOT

ARCHIVE = ROOT / "tests" / "fixtures" / "stack-0.1.tar.xz"


@pytest.fixture(scope="module")
def old_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder / "data", filter="data")
    return folder


@pytest.fixture(scope="module")
def stack(old_files: Path) -> Iterator[Stack]:
    with running(old_files) as stack:
        yield stack


def count_customers(path: Path) -> int:
    return pl.read_csv(path, infer_schema=False)["user_id"].n_unique()


def test_data_of_0_1_is_continued_without_a_rebuild(
    stack: Stack, old_files: Path, tmp_path: Path
) -> None:
    one, two = old_files / "data" / "one.csv", old_files / "data" / "two.csv"
    index, message_count = live_index(stack), len(messages(stack, RAW_EVENTS.name))
    ingested_again = ingest(stack, one)
    assert (ingested_again["read"], ingested_again["already_ingested"]) == (0, 2_003)
    assert len(messages(stack, RAW_EVENTS.name)) == message_count

    report = process(stack)
    assert (report["events_landed"], report["misfits"]) == (600, 0)
    assert report["profiles_updated"] == count_customers(two)
    # Documents of 0.1 lack the fields that dashboards filter by, so all are indexed again, once.
    everybody = lake_profiles(stack).shape[0]
    assert report["profiles_indexed"] == everybody
    new_fields = ("category", "brand", "event_days")
    filled = {"bool": {"filter": [{"exists": {"field": name}} for name in new_fields]}}
    assert search(stack, f"{ALIAS}/_count", {"query": filled})["count"] == everybody
    assert live_index(stack) == index
    assert stack.python("customer_profiles.processing", "process").stdout.startswith("Nothing new:")

    all_rows = tmp_path / "all.csv"
    valid_rows = [line for line in one.read_text().splitlines() if not line.startswith("2020-13")]
    all_rows.write_text("\n".join([*valid_rows, *two.read_text().splitlines()[1:], ""]))
    check_profiles(stack, all_rows)

    continued = pl.from_pandas(lake_profiles(stack)).drop("bucket", "profile_generated_at")
    process(stack, "rebuild")
    rebuilt = pl.from_pandas(lake_profiles(stack)).drop("bucket", "profile_generated_at")
    assert_frame_equal(continued.sort("user_id"), rebuilt.sort("user_id"))


def test_an_index_of_0_1_takes_texts_of_any_length(stack: Stack) -> None:
    for index in (live_index(stack), "event_metrics", "rejected_rows"):
        mapping = search(stack, f"{index}/_mapping")[index]["mappings"]["properties"]
        limits = {f.get("ignore_above") for f in mapping.values() if f["type"] == "keyword"}
        assert limits == {MAX_SEARCHED_CHARACTERS}, index
    # The index of the fixture, which a rebuild has replaced, has got the limit, too.
    found = search(stack, f"{ALIAS}-*/_mapping")
    assert len(found) > 1
    for name in ("favorite_brand", "favorite_category"):
        fields = [index["mappings"]["properties"][name] for index in found.values()]
        assert {field["ignore_above"] for field in fields} == {MAX_SEARCHED_CHARACTERS}
    documents = [{"index": {"_id": "long"}}, {"brand": "b" * 40_000}, {"delete": {"_id": "long"}}]
    client = MetricsIndices(TaskConfig.from_settings(stack.processing).search)
    client.send("event_metrics", ["".join(json.dumps(one) + "\n" for one in documents)])


def test_a_category_without_a_top_level_is_counted_as_none(stack: Stack) -> None:
    search(stack, "event_metrics/_refresh")
    body = {"aggs": {"categories": {"terms": {"field": "category", "size": 100}}}}
    buckets = search(stack, "event_metrics/_search?size=0", body)["aggregations"]["categories"]
    names = {bucket["key"] for bucket in buckets["buckets"]}
    assert "(none)" in names
    assert "" not in names


def test_dead_letters_of_0_1_can_still_be_corrected(stack: Stack) -> None:
    listed = stack.python("customer_profiles.ingestion", "dead-letters")
    assert "2 open dead letters" in listed.stdout
    redriven = stack.python(
        "customer_profiles.ingestion", "redrive", "--reason", "event_time_invalid"
    )
    assert "1 dead letters = 0 would be sent" in redriven.stdout
