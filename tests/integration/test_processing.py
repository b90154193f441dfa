"""Processing on real servers: what fails, what is rebuilt, what is read by others.

The tests follow each other on one stack; each adds customers of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from contracts import DEAD_LETTERS
from ingestion.topics import ensure_topics
from processing.settings import DEFAULT_SEGMENTS
from processing.topic import send_dead_letters, unsent
from scripts.make_sample import make_events
from tests.integration.conftest import Stack, ingest, lake_profiles, messages, process, search
from tests.support import ROOT


@pytest.fixture
def some_events(stack: Stack, tmp_path: Path, request: pytest.FixtureRequest) -> set[str]:
    """Ingest some events of new customers; returns who they are."""
    path = tmp_path / f"{request.node.name}.csv"
    seed = sum(request.node.name.encode())
    rows = make_events(3_000, seed).filter(pl.col("user_session").is_not_null())
    rows.write_csv(path)
    ingest(stack, path)
    return set(rows["user_id"])


def documents(stack: Stack) -> int:
    return int(search(stack, "customer_profiles/_count")["count"])


def lake(stack: Stack) -> pl.DataFrame:
    return pl.from_pandas(lake_profiles(stack)).drop("bucket").sort("user_id")


def put_settings(stack: Stack, index: str, settings: dict[str, Any]) -> None:
    request = urllib.request.Request(
        f"{stack.processing.elasticsearch_url}/{index}/_settings",
        json.dumps(settings).encode(),
        {"content-type": "application/json"},
        method="PUT",
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200


def shown_index(stack: Stack) -> str:
    (name,) = search(stack, "customer_profiles/_alias")
    return str(name)


def test_the_lake_does_not_wait_for_an_index_that_is_away(stack: Stack, some_events: set[str]) -> None:
    done = stack.python("processing", "process", ELASTICSEARCH_URL="http://127.0.0.1:9")
    assert done.returncode == 1
    assert "error: Elasticsearch does not answer on http://127.0.0.1:9" in done.stderr
    assert "it catches up" in done.stderr
    assert some_events <= set(lake(stack)["user_id"])
    report = process(stack)
    assert (report["events_landed"], report["profiles_updated"]) == (0, 0)
    assert report["profiles_indexed"] >= len(some_events)
    assert documents(stack) == report["customers"] == lake(stack).height
    assert stack.python("processing", "process").stdout.startswith("Nothing new:")


def test_a_read_only_index_stops_clearly_and_is_caught_up(stack: Stack, some_events: set[str]) -> None:
    index = shown_index(stack)
    put_settings(stack, index, {"index.blocks.read_only": True})
    done = stack.python("processing", "process")
    put_settings(stack, index, {"index.blocks.read_only": None})
    assert done.returncode == 1
    for words in ("error: Elasticsearch refused", index, "read-only", "The lake holds all profiles"):
        assert words in done.stderr
    assert some_events <= set(lake(stack)["user_id"])
    before = documents(stack)
    report = process(stack)
    assert report["profiles_indexed"] >= len(some_events)
    assert documents(stack) == report["customers"] > before


def test_an_index_that_was_deleted_is_filled_again(stack: Stack) -> None:
    customers = documents(stack)
    url = f"{stack.processing.elasticsearch_url}/{shown_index(stack)}"
    with urllib.request.urlopen(urllib.request.Request(url, method="DELETE"), timeout=10) as answer:
        assert answer.status == 200
    assert process(stack)["profiles_indexed"] == customers
    assert documents(stack) == customers


def test_a_backlog_of_many_batches_becomes_few_objects_and_the_same_profiles(
    stack: Stack, some_events: set[str]
) -> None:
    report = process(stack, BATCH_EVENTS="250")
    assert report["batches"] > 8
    assert report["objects_joined"] >= 4 * 8
    incremental = lake(stack)
    assert some_events <= set(incremental["user_id"])
    rebuilt = process(stack, "rebuild")
    assert rebuilt["profiles_updated"] == rebuilt["profiles_indexed"] == rebuilt["customers"] == incremental.height
    assert_frame_equal(lake(stack).drop("profile_generated_at"), incremental.drop("profile_generated_at"))


def test_a_local_spark_gives_profiles_too(stack: Stack, some_events: set[str]) -> None:
    report = process(stack, SPARK_MASTER_URL="local[2]")
    assert report["profiles_updated"] == len(some_events)
    assert some_events <= set(lake(stack)["user_id"])


def test_a_run_that_gets_no_worker_gives_up_and_the_next_one_goes_on(stack: Stack, some_events: set[str]) -> None:
    done = stack.python("processing", "process", SPARK_EXECUTOR_MEMORY="900g", SPARK_WORKER_WAIT="2")
    assert done.returncode == 1
    assert "had no worker for this run in 2 s" in done.stderr
    assert "Traceback" not in done.stderr
    assert process(stack)["profiles_updated"] == len(some_events)


@pytest.fixture
def other_segments(tmp_path: Path) -> Path:
    path = tmp_path / "segments.toml"
    text = DEFAULT_SEGMENTS.read_text().replace("version = 1", "version = 2")
    path.write_text(text.replace('name = "Casual Visitor"', 'name = "Passer-by"'))
    return path


def test_rules_that_changed_without_a_version_are_refused(stack: Stack, other_segments: Path) -> None:
    other_segments.write_text(other_segments.read_text().replace("version = 2", "version = 1"))
    done = stack.python("processing", "process", SEGMENTS=str(other_segments))
    assert done.returncode == 1
    assert "their version is still 1" in done.stderr
    other_segments.write_text("version = 2\n[[segments]]\nname = 'Rich'\nfield = 'wealth'\nat_least = 1\n")
    done = stack.python("processing", "process", SEGMENTS=str(other_segments))
    assert done.returncode == 1
    assert f"{other_segments}, line 2: Rich: the last rule" in done.stderr


def test_a_rebuild_gives_everybody_the_new_segments_and_readers_see_no_half_index(
    stack: Stack, other_segments: Path
) -> None:
    before, customers = shown_index(stack), documents(stack)
    outdated = stack.python("processing", "process", SEGMENTS=str(other_segments))
    assert f"{customers:,} customers have the segment of another version" in outdated.stdout
    command = [sys.executable, "-m", "processing", "rebuild"]
    environ = {**stack.environ, "SEGMENTS": str(other_segments)}
    counts: Counter[int] = Counter()
    with subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True) as rebuilding:
        while rebuilding.poll() is None:
            counts[documents(stack)] += 1
            time.sleep(0.02)
        assert rebuilding.returncode == 0, rebuilding.stdout and rebuilding.stdout.read()
    assert set(counts) == {customers}
    assert counts.total() > 10
    after = shown_index(stack)
    assert after != before
    for profiles in (lake(stack), _indexed(stack)):
        segments = set(profiles["customer_segment"])
        assert "Passer-by" in segments
        assert "Casual Visitor" not in segments
    assert set(lake(stack)["segments_version"]) == {2}


def _indexed(stack: Stack) -> pl.DataFrame:
    hits = search(stack, "customer_profiles/_search?size=10000")["hits"]["hits"]
    return pl.DataFrame([hit["_source"] for hit in hits], infer_schema_length=None)


def test_the_index_before_is_restored_with_one_command_and_back(
    stack: Stack, other_segments: Path, some_events: set[str]
) -> None:
    new = shown_index(stack)
    done = stack.python("processing", "restore-index")
    assert done.returncode == 0, done.stderr
    old = shown_index(stack)
    assert old != new
    assert f"see {old} again, and {new} no more" in done.stdout
    assert "Casual Visitor" in set(_indexed(stack)["customer_segment"])
    # It gets what came since.
    report = process(stack, SEGMENTS=str(other_segments))
    assert report["profiles_indexed"] == len(some_events)
    assert documents(stack) == report["customers"]
    assert stack.python("processing", "restore-index").returncode == 0
    assert shown_index(stack) == new
    assert process(stack, SEGMENTS=str(other_segments))["profiles_indexed"] == len(some_events)
    assert documents(stack) == report["customers"]


def test_a_rebuild_that_was_killed_hurts_no_reader_and_is_done_again(stack: Stack) -> None:
    shown, customers = shown_index(stack), documents(stack)
    command = [sys.executable, "-m", "processing", "rebuild"]
    with subprocess.Popen(command, cwd=ROOT, env=dict(stack.environ), stdout=subprocess.PIPE, text=True) as run:
        deadline = time.monotonic() + 60
        while len(search(stack, "_cat/indices/customer_profiles-*?format=json")) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        run.kill()
    assert (shown_index(stack), documents(stack)) == (shown, customers)
    told = stack.python("processing", "process")
    assert told.returncode == 0
    assert "A rebuild did not reach its end" in told.stdout
    report = process(stack, "rebuild")
    assert report["profiles_indexed"] == report["customers"] == documents(stack)
    assert "A rebuild did not" not in stack.python("processing", "process").stdout
    assert len(search(stack, "_cat/indices/customer_profiles-*?format=json")) == 2


def test_a_profile_is_the_same_in_lake_and_index_or_it_is_said(stack: Stack) -> None:
    user = lake(stack)["user_id"][7]
    shown = {way: stack.python("processing", "profile", user, "--from", way) for way in ("index", "lake")}
    assert shown["index"].stdout == shown["lake"].stdout
    assert shown["index"].stderr == shown["lake"].stderr == ""
    document = {**json.loads(shown["index"].stdout), "total_events": 77}
    url = f"{stack.processing.elasticsearch_url}/customer_profiles/_doc/{user}?version=9999&version_type=external"
    request = urllib.request.Request(url, json.dumps(document).encode(), {"content-type": "application/json"})
    request.method = "PUT"
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200
    told = stack.python("processing", "profile", user)
    assert "warning: index and lake differ: total_events." in told.stderr
    assert json.loads(told.stdout)["total_events"] == 77
    missing = stack.python("processing", "profile", "42", "--from", "lake")
    assert missing.returncode == 1
    assert "There is no profile of a customer 42 in the lake" in missing.stderr


def test_dead_letters_of_an_earlier_attempt_are_not_sent_twice(stack: Stack) -> None:
    servers = stack.ingestion.bootstrap_servers
    ensure_topics(servers)
    letters = [(f"raw_events/0/{10**12 + number}", json.dumps({"text": f"no event {number}"})) for number in range(3)]
    send_dead_letters(servers, letters[:2])
    left = unsent(servers, letters)
    assert left == letters[2:]
    send_dead_letters(servers, left)
    found = Counter(message.value.decode() for message in messages(stack, DEAD_LETTERS.name))
    assert [found[value] for _, value in letters] == [1, 1, 1]
