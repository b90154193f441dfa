"""A stream on real servers: what it shows, what it refuses, and how it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from processing.lake import Lake
from processing.lease import LEASE
from scripts.make_sample import make_events
from tests.integration.conftest import Stack, check_profiles, ingest, lake_profiles, process, running, search
from tests.integration.test_processing import put_settings, shown_index
from tests.support import ROOT

WAIT_S = 90.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Servers of its own: what is counted here is all there is."""
    with running(tmp_path_factory.mktemp("stack"), STREAM_INTERVAL="0.5") as stack:
        yield stack


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Five files whose customers meet again in each other."""
    folder = tmp_path_factory.mktemp("parts")
    events = make_events(10_000, 5).with_columns(
        user_id=(pl.col("user_id").cast(pl.Int64) % 500 + 1_000).cast(pl.String)
    )
    paths = []
    for number in range(5):
        paths.append(folder / f"part-{number}.csv")
        events[number * 2_000 : (number + 1) * 2_000].write_csv(paths[-1])
    return paths


def together(parts: list[Path], path: Path) -> Path:
    """Several files as one."""
    pl.concat([pl.read_csv(part, infer_schema=False) for part in parts]).write_csv(path)
    return path


def wait_for(what: Callable[[], Any], why: Callable[[], str] = lambda: "") -> Any:
    deadline = time.monotonic() + WAIT_S
    while not (found := what()):
        assert time.monotonic() < deadline, why()
        time.sleep(0.1)
    return found


@contextmanager
def streaming(stack: Stack) -> Iterator[subprocess.Popen[str]]:
    """A stream that follows; killed at the end where it still lives."""
    command = [sys.executable, "-m", "processing", "stream"]
    log = stack.reports.parent / "stream.log"
    with log.open("w") as out:
        child = subprocess.Popen(command, cwd=ROOT, env=dict(stack.environ), stdout=out, stderr=out, text=True)
    try:
        wait_for(lambda: "following raw_events" in log.read_text() or child.poll() is not None, log.read_text)
        assert child.poll() is None, log.read_text()
        yield child
    finally:
        if child.poll() is None:
            child.kill()
        child.wait()


def indexed_events(stack: Stack) -> int:
    body = {"aggs": {"events": {"sum": {"field": "total_events"}}}}
    return int(search(stack, "customer_profiles/_search?size=0", body)["aggregations"]["events"]["value"])


def distinct_events(parts: list[Path]) -> int:
    names = ", ".join(f"'{part}'" for part in parts)
    return int(
        duckdb.sql(
            f"""select count(*) from (select distinct * from read_csv([{names}], all_varchar = true, header = true)
            where user_session is not null)"""
        ).fetchall()[0][0]
    )


def test_profiles_follow_the_events_and_end_exact(stack: Stack, parts: list[Path], tmp_path: Path) -> None:
    ingest(stack, parts[0])
    process(stack)
    with streaming(stack) as child:
        for number in (1, 2):
            ingest(stack, parts[number])
            wanted = distinct_events(parts[: number + 1])
            # Found in the index while the stream runs, before the lake's profiles are written.
            wait_for(lambda wanted=wanted: indexed_events(stack) == wanted)
        refused = stack.python("processing", "process")
        assert refused.returncode == 1
        assert "A stream runs on" in refused.stderr
        second = stack.python("processing", "stream")
        assert second.returncode == 1
        assert "A stream runs already" in second.stderr
        assert child.poll() is None
        child.send_signal(signal.SIGINT)
        assert child.wait(WAIT_S) == 0
    assert Lake(stack.processing).get(LEASE) is None
    check_profiles(stack, together(parts[:3], tmp_path / "all.csv"))
    assert stack.python("processing", "process").stdout.startswith("Nothing new:")
    batches = json.loads((stack.reports / "stream-latest.json").read_text())["batches"]
    assert sum(batch["events"] for batch in batches) >= distinct_events(parts[1:3])
    assert all(batch["lag_seconds"] > 0 and batch["error"] is None for batch in batches)
    search(stack, "pipeline_runs/_refresh")
    runs = search(stack, "pipeline_runs/_search?size=100", {"query": {"term": {"kind": "stream"}}})["hits"]["hits"]
    assert {hit["_source"]["batch"] for hit in runs} == {batch["batch"] for batch in batches}


def test_an_index_that_refuses_is_caught_up_meanwhile(stack: Stack, parts: list[Path]) -> None:
    index = shown_index(stack)
    with streaming(stack) as child:
        put_settings(stack, index, {"index.blocks.write": True})
        ingest(stack, parts[3])
        log = stack.reports.parent / "stream.log"
        wait_for(lambda: "index behind" in log.read_text(), log.read_text)
        put_settings(stack, index, {"index.blocks.write": None})
        wait_for(lambda: indexed_events(stack) == distinct_events(parts[:4]), log.read_text)
        child.send_signal(signal.SIGINT)
        assert child.wait(WAIT_S) == 0, log.read_text()


def test_a_stream_that_is_killed_goes_on_exactly(stack: Stack, parts: list[Path], tmp_path: Path) -> None:
    with streaming(stack) as child:
        ingest(stack, parts[4])
        # In the middle of its work, not at its end.
        wait_for(lambda: indexed_events(stack) > distinct_events(parts[:4]))
        child.kill()
        child.wait()
    with streaming(stack) as child:
        wait_for(lambda: indexed_events(stack) == distinct_events(parts))
        child.send_signal(signal.SIGTERM)
        assert child.wait(WAIT_S) == 0
    check_profiles(stack, together(parts, tmp_path / "all.csv"))
    before = lake_profiles(stack).drop(columns="profile_generated_at")
    process(stack, "rebuild")
    pl.testing.assert_frame_equal(
        pl.from_pandas(before), pl.from_pandas(lake_profiles(stack).drop(columns="profile_generated_at"))
    )


def test_charts_count_each_event_once(stack: Stack, parts: list[Path]) -> None:
    names = ", ".join(f"'{part}'" for part in parts)
    expected = duckdb.sql(
        f"""
        with rows as (select distinct * from read_csv([{names}], all_varchar = true, header = true)
                      where user_session is not null)
        select event_time[:10] || 'T00:00:00.000Z', event_type, count(*)::int,
            round(sum(case when event_type = 'purchase' then price::decimal(18, 4) else 0 end), 2)::double
        from rows group by 1, 2
        """
    ).fetchall()
    sums = {"events": {"sum": {"field": "events"}}, "revenue": {"sum": {"field": "revenue"}}}
    days = {"date_histogram": {"field": "time", "calendar_interval": "day", "min_doc_count": 1}, "aggs": sums}
    body = {
        "query": {"term": {"granularity": "day"}},
        "aggs": {"types": {"terms": {"field": "event_type"}, "aggs": {"days": days}}},
    }
    search(stack, "event_metrics/_refresh")
    found = search(stack, "event_metrics/_search?size=0", body)["aggregations"]["types"]["buckets"]
    counted = {
        (day["key_as_string"], kind["key"], int(day["events"]["value"]), round(day["revenue"]["value"], 2))
        for kind in found
        for day in kind["days"]["buckets"]
    }
    assert counted == set(expected)


def test_events_played_live_are_found(stack: Stack, parts: list[Path]) -> None:
    before = indexed_events(stack)
    with streaming(stack) as child:
        done = stack.python("ingestion", "replay-live", str(parts[0]), "--rate", "500", "--seconds", "3")
        assert done.returncode == 0, done.stdout + done.stderr
        sent = int(done.stdout.splitlines()[-2 if "left out" in done.stdout else -1].split()[0].replace(",", ""))
        assert sent > 500
        # Events of one customer that are alike and fall into the same transaction are one.
        wait_for(lambda: indexed_events(stack) > before + 0.95 * sent)
        child.send_signal(signal.SIGINT)
        assert child.wait(WAIT_S) == 0
    assert before + 0.95 * sent < indexed_events(stack) <= before + sent
