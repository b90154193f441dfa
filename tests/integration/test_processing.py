"""Processing on real servers: failures, rebuilds and what readers see.

The tests run in order on one stack, and each adds its own customers.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from customer_profiles.contracts import DEAD_LETTERS
from customer_profiles.kafka.admin import ensure_topics
from customer_profiles.kafka.dead_letters import publish_dead_letters, unpublished
from customer_profiles.processing.tasks.config import TaskConfig
from customer_profiles.profiles.segments import DEFAULT_SEGMENTS
from scripts.make_sample import make_events
from tests.integration.conftest import Stack, ingest, lake_profiles, messages, process, search
from tests.support import ROOT


@pytest.fixture
def new_customers(stack: Stack, tmp_path: Path, request: pytest.FixtureRequest) -> set[str]:
    """Ingest events of new customers and return their ids."""
    path = tmp_path / f"{request.node.name}.csv"
    seed = sum(request.node.name.encode())
    rows = make_events(3_000, seed).filter(pl.col("user_session").is_not_null())
    rows.write_csv(path)
    ingest(stack, path)
    return set(rows["user_id"])


def count_documents(stack: Stack) -> int:
    return int(search(stack, "customer_profiles/_count")["count"])


def profiles_in_lake(stack: Stack) -> pl.DataFrame:
    return pl.from_pandas(lake_profiles(stack)).drop("bucket").sort("user_id")


def put_settings(stack: Stack, index: str, settings: dict[str, Any]) -> None:
    assert search(stack, f"{index}/_settings", settings, "PUT")["acknowledged"]


def live_index(stack: Stack) -> str:
    (name,) = search(stack, "customer_profiles/_alias")
    return str(name)


def test_the_lake_is_updated_while_elasticsearch_is_unreachable(
    stack: Stack, new_customers: set[str]
) -> None:
    completed = stack.python(
        "customer_profiles.processing", "process", ELASTICSEARCH_URL="http://127.0.0.1:9"
    )
    assert completed.returncode == 3
    assert "error: Elasticsearch does not answer on http://127.0.0.1:9" in completed.stderr
    assert "it catches up" in completed.stderr
    assert new_customers <= set(profiles_in_lake(stack)["user_id"])
    report = process(stack)
    assert (report["events_landed"], report["profiles_updated"]) == (0, 0)
    assert report["profiles_indexed"] >= len(new_customers)
    assert count_documents(stack) == report["customers"] == profiles_in_lake(stack).height
    assert stack.python("customer_profiles.processing", "process").stdout.startswith("Nothing new:")


def test_a_read_only_index_is_reported_and_caught_up_later(
    stack: Stack, new_customers: set[str]
) -> None:
    index = live_index(stack)
    put_settings(stack, index, {"index.blocks.read_only": True})
    completed = stack.python("customer_profiles.processing", "process")
    put_settings(stack, index, {"index.blocks.read_only": None})
    assert completed.returncode == 3
    for part in (
        "error: Elasticsearch refused",
        index,
        "read-only",
        "The lake holds all profiles",
    ):
        assert part in completed.stderr
    assert new_customers <= set(profiles_in_lake(stack)["user_id"])
    documents_before = count_documents(stack)
    report = process(stack)
    assert report["profiles_indexed"] >= len(new_customers)
    assert count_documents(stack) == report["customers"] > documents_before


def test_a_deleted_index_is_filled_again(stack: Stack) -> None:
    customers = count_documents(stack)
    assert search(stack, live_index(stack), method="DELETE")["acknowledged"]
    assert process(stack)["profiles_indexed"] == customers
    assert count_documents(stack) == customers


def test_a_backlog_of_many_batches_is_compacted_and_gives_the_same_profiles(
    stack: Stack, new_customers: set[str]
) -> None:
    report = process(stack, BATCH_EVENTS="250")
    assert report["batches"] > 8
    assert report["objects_joined"] >= 4 * 8
    incremental = profiles_in_lake(stack)
    assert new_customers <= set(incremental["user_id"])
    rebuilt = process(stack, "rebuild")
    assert (
        rebuilt["profiles_updated"]
        == rebuilt["profiles_indexed"]
        == rebuilt["customers"]
        == incremental.height
    )
    assert_frame_equal(
        profiles_in_lake(stack).drop("profile_generated_at"),
        incremental.drop("profile_generated_at"),
    )


def test_damage_in_the_object_store_is_found_and_repaired(
    stack: Stack, new_customers: set[str]
) -> None:
    process(stack)
    before = profiles_in_lake(stack)
    assert new_customers <= set(before["user_id"])
    verified = stack.python("customer_profiles.processing", "verify", "--deep")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    lake = TaskConfig.from_settings(stack.processing).connect_lake()
    deleted, overwritten = (
        max(lake.list_sizes(f"events/bucket={bucket:02d}/")) for bucket in (0, 1)
    )
    lake.delete(deleted)
    overwrite(stack, overwritten)

    assert stack.python("customer_profiles.processing", "process").returncode == 1
    verified = stack.python("customer_profiles.processing", "verify", "--deep")
    assert verified.returncode == 1, verified.stdout + verified.stderr
    report = json.loads((stack.reports / "verify-latest.json").read_text())
    assert {deleted, overwritten} <= {finding["object"] for finding in report["findings"]}
    repaired = stack.python("customer_profiles.processing", "repair", "--apply")
    assert repaired.returncode == 0, repaired.stdout + repaired.stderr
    process(stack)
    verified = stack.python("customer_profiles.processing", "verify", "--deep")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert_frame_equal(
        profiles_in_lake(stack).drop("profile_generated_at"), before.drop("profile_generated_at")
    )


def overwrite(stack: Stack, name: str) -> None:
    """Overwrite 64 bytes of an object on MinIO's disk."""
    folder = next(Path(stack.environ["STACK_HOME"]).glob(f"data/**/data-lake/{name}"))
    (path,) = sorted(folder.glob("*/part.1")) or [folder / "xl.meta"]
    data = bytearray(path.read_bytes())
    middle = len(data) - len(data) // 3
    data[middle : middle + 64] = bytes(64)
    path.write_bytes(data)


def test_a_local_spark_updates_profiles(stack: Stack, new_customers: set[str]) -> None:
    report = process(stack, SPARK_MASTER_URL="local[2]")
    assert report["profiles_updated"] == len(new_customers)
    assert new_customers <= set(profiles_in_lake(stack)["user_id"])


def test_a_run_without_a_worker_fails_and_the_next_run_continues(
    stack: Stack, new_customers: set[str]
) -> None:
    completed = stack.python(
        "customer_profiles.processing",
        "process",
        SPARK_EXECUTOR_MEMORY="900g",
        SPARK_WORKER_WAIT="2",
    )
    assert completed.returncode == 1
    assert "had no worker for this run in 2 s" in completed.stderr
    # The master's page says so.
    assert "Its largest worker has " in completed.stderr
    assert f"this run asks for {900 * 1024:,} MB" in completed.stderr
    assert "Traceback" not in completed.stderr
    assert process(stack)["profiles_updated"] == len(new_customers)


@pytest.fixture
def other_segments(tmp_path: Path) -> Path:
    path = tmp_path / "segments.toml"
    text = DEFAULT_SEGMENTS.read_text().replace("version = 1", "version = 2")
    path.write_text(text.replace('name = "Casual Visitor"', 'name = "Passer-by"'))
    return path


def test_rules_that_changed_without_a_new_version_are_refused(
    stack: Stack, other_segments: Path
) -> None:
    other_segments.write_text(other_segments.read_text().replace("version = 2", "version = 1"))
    completed = stack.python(
        "customer_profiles.processing", "process", SEGMENTS=str(other_segments)
    )
    assert completed.returncode == 1
    assert "their version is still 1" in completed.stderr
    other_segments.write_text(
        "version = 2\n[[segments]]\nname = 'Rich'\nfield = 'wealth'\nat_least = 1\n"
    )
    completed = stack.python(
        "customer_profiles.processing", "process", SEGMENTS=str(other_segments)
    )
    assert completed.returncode == 1
    assert f"{other_segments}, line 2: Rich: the last rule" in completed.stderr


def test_a_rebuild_assigns_new_segments_and_readers_never_see_a_partial_index(
    stack: Stack, other_segments: Path
) -> None:
    old_index, customers = live_index(stack), count_documents(stack)
    outdated = stack.python("customer_profiles.processing", "process", SEGMENTS=str(other_segments))
    assert f"{customers:,} customers have the segment of another version" in outdated.stdout
    command = [sys.executable, "-m", "customer_profiles.processing", "rebuild"]
    environ = {**stack.environ, "SEGMENTS": str(other_segments)}
    counts: Counter[int] = Counter()
    with subprocess.Popen(
        command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True
    ) as rebuilding:
        while rebuilding.poll() is None:
            counts[count_documents(stack)] += 1
            time.sleep(0.02)
        assert rebuilding.returncode == 0, rebuilding.stdout and rebuilding.stdout.read()
    assert set(counts) == {customers}
    assert counts.total() > 10
    new_index = live_index(stack)
    assert new_index != old_index
    for profiles in (profiles_in_lake(stack), profiles_in_index(stack)):
        segments = set(profiles["customer_segment"])
        assert "Passer-by" in segments
        assert "Casual Visitor" not in segments
    assert set(profiles_in_lake(stack)["segments_version"]) == {2}


def profiles_in_index(stack: Stack) -> pl.DataFrame:
    hits = search(stack, "customer_profiles/_search?size=10000")["hits"]["hits"]
    return pl.DataFrame([hit["_source"] for hit in hits], infer_schema_length=None)


def test_one_command_restores_the_previous_index_and_another_one_reverts_it(
    stack: Stack, other_segments: Path, new_customers: set[str]
) -> None:
    new_index = live_index(stack)
    completed = stack.python("customer_profiles.processing", "restore-index")
    assert completed.returncode == 0, completed.stderr
    old_index = live_index(stack)
    assert old_index != new_index
    assert f"see {old_index} again, and {new_index} no more" in completed.stdout
    assert "Casual Visitor" in set(profiles_in_index(stack)["customer_segment"])
    # The next run indexes the profiles that changed since.
    report = process(stack, SEGMENTS=str(other_segments))
    assert report["profiles_indexed"] == len(new_customers)
    assert count_documents(stack) == report["customers"]
    assert stack.python("customer_profiles.processing", "restore-index").returncode == 0
    assert live_index(stack) == new_index
    assert process(stack, SEGMENTS=str(other_segments))["profiles_indexed"] == len(new_customers)
    assert count_documents(stack) == report["customers"]


def test_a_profile_that_differs_between_lake_and_index_is_reported(stack: Stack) -> None:
    user = profiles_in_lake(stack)["user_id"][7]
    printed = {
        store: stack.python("customer_profiles.processing", "profile", user, "--from", store)
        for store in ("index", "lake")
    }
    assert printed["index"].stdout == printed["lake"].stdout
    assert printed["index"].stderr == printed["lake"].stderr == ""
    # The rebuild of the next test removes this document.
    document = {**json.loads(printed["index"].stdout), "total_events": 77}
    path = f"customer_profiles/_doc/{user}?version=9999&version_type=external"
    assert search(stack, path, document, "PUT")["result"] == "updated"
    completed = stack.python("customer_profiles.processing", "profile", user)
    assert "warning: index and lake differ: total_events." in completed.stderr
    assert json.loads(completed.stdout)["total_events"] == 77
    missing = stack.python("customer_profiles.processing", "profile", "42", "--from", "lake")
    assert missing.returncode == 1
    assert "There is no profile of a customer 42 in the lake" in missing.stderr


def test_a_killed_rebuild_does_not_affect_readers_and_can_be_repeated(stack: Stack) -> None:
    live, customers = live_index(stack), count_documents(stack)
    command = [sys.executable, "-m", "customer_profiles.processing", "rebuild"]
    with subprocess.Popen(
        command, cwd=ROOT, env=dict(stack.environ), stdout=subprocess.PIPE, text=True
    ) as rebuild:
        deadline = time.monotonic() + 60
        while len(search(stack, "_cat/indices/customer_profiles-*?format=json")) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        rebuild.kill()
    assert (live_index(stack), count_documents(stack)) == (live, customers)
    completed = stack.python("customer_profiles.processing", "process")
    assert completed.returncode == 3
    assert "A rebuild did not reach its end" in completed.stdout
    report = process(stack, "rebuild")
    assert report["profiles_indexed"] == report["customers"] == count_documents(stack)
    assert "A rebuild did not" not in stack.python("customer_profiles.processing", "process").stdout
    assert len(search(stack, "_cat/indices/customer_profiles-*?format=json")) == 2


def test_dead_letters_of_an_earlier_attempt_are_not_published_twice(stack: Stack) -> None:
    kafka = stack.ingestion.kafka
    ensure_topics(kafka)
    entries = [
        (f"raw_events/0/{10**12 + number}", json.dumps({"text": f"no event {number}"}))
        for number in range(3)
    ]
    publish_dead_letters(kafka, entries[:2])
    missing = unpublished(kafka, entries)
    assert missing == entries[2:]
    publish_dead_letters(kafka, missing)
    published = Counter(message.value.decode() for message in messages(stack, DEAD_LETTERS.name))
    assert [published[value] for _, value in entries] == [1, 1, 1]
