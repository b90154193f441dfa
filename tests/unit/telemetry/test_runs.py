"""The metrics of runs that end: counters go on, failures are counted, nothing stops a run."""

from __future__ import annotations

import json
import socket
import threading
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from customer_profiles.telemetry.registry import Registry
from customer_profiles.telemetry.runs import observed_run
from customer_profiles.telemetry.stream import StreamMetrics
from customer_profiles.telemetry.textfile import update_textfile

INGESTED: dict[str, Any] = {
    "read": 10,
    "accepted": 7,
    "dead_lettered": 2,
    "duplicates": 1,
    "reasons": {"price_invalid": 2, "session_missing": 1},
    "stages": {"validate": {"seconds": 0.5, "events_per_second": 20.0}},
}
BATCH: dict[str, Any] = {
    "events": 5,
    "misfits": 1,
    "customers": 4,
    "seconds": 0.8,
    "seconds_by_stage": {"land": 0.5, "index": 0.3},
    "lag_events": 12,
    "lag_seconds": 2.5,
    "unsettled": 3,
    "error": None,
}


def run(reports: Path, content: dict[str, Any] | None, command: str = "ingest") -> None:
    with observed_run(reports, command, f"{command}-latest.json"):
        if content is not None:
            temporary = reports / "new"
            temporary.write_text(json.dumps(content))
            temporary.replace(reports / f"{command}-latest.json")


def samples(reports: Path, name: str) -> dict[str, float]:
    text = (reports / "metrics" / f"{name}.prom").read_text()
    return {
        " ".join([each.name.removeprefix("customer_profiles_"), *each.labels.values()]): each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
    }


def test_counters_add_up_over_runs(tmp_path: Path) -> None:
    for _ in range(3):
        run(tmp_path, INGESTED)
    found = samples(tmp_path, "ingest")
    assert found["ingest_rows_read_total"] == 30
    assert found["ingest_events_accepted_total"] == 21
    assert found["ingest_rows_dead_lettered_total"] == 6
    assert found["ingest_duplicates_total"] == 3
    assert found["ingest_rows_rejected_total price_invalid"] == 6
    assert found["stage_seconds_total ingest validate"] == 1.5
    assert found["runs_total ingest succeeded"] == 3


def test_a_failed_run_is_counted_and_is_no_success(tmp_path: Path) -> None:
    run(tmp_path, INGESTED)
    success = samples(tmp_path, "ingest")["last_success_timestamp_seconds ingest"]
    with pytest.raises(RuntimeError), observed_run(tmp_path, "ingest", "ingest-latest.json"):
        raise RuntimeError
    found = samples(tmp_path, "ingest")
    assert found["runs_total ingest failed"] == 1
    assert found["last_success_timestamp_seconds ingest"] == success
    assert found["last_run_timestamp_seconds ingest"] >= success
    # The report of the run before is not counted again.
    assert found["ingest_rows_read_total"] == 10


@pytest.mark.parametrize("content", [[], {"read": "x"}, {"reasons": 7}, {"read": None}])
def test_a_report_of_another_form_stops_nothing(tmp_path: Path, content: Any) -> None:
    run(tmp_path, content)


def test_a_folder_that_is_not_writable_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "metrics").write_text("no folder")
    run(tmp_path, INGESTED)


def test_runs_at_once_lose_no_count(tmp_path: Path) -> None:
    def add() -> None:
        for _ in range(20):
            update_textfile(
                tmp_path, "x", lambda registry: registry.increase("stream_batches_total")
            )

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert samples(tmp_path, "x") == {"stream_batches_total": 80}


def test_processing_counts_what_its_report_says(tmp_path: Path) -> None:
    report = {
        "events_landed": 9,
        "misfits": 1,
        "profiles_updated": 4,
        "profiles_indexed": 4,
        "index_error": "Elasticsearch does not answer",
        "failed_buckets": {"03": "x"},
        "gaps": [{}],
        "customers": 40,
        "seconds_by_stage": {"land": 2.0},
    }
    run(tmp_path, report, "process")
    found = samples(tmp_path, "process")
    assert found["events_landed_total process"] == 9
    assert found["index_behind process"] == 1
    assert found["failed_buckets"] == 1
    assert found["customers"] == 40
    assert found["stage_seconds_total process land"] == 2


def test_a_stream_goes_on_with_the_counters_of_the_stream_before(tmp_path: Path) -> None:
    for _ in range(2):
        with StreamMetrics(tmp_path) as metrics:
            metrics.observe(BATCH)
    found = samples(tmp_path, "stream")
    assert found["stream_batches_total"] == 2
    assert found["events_landed_total stream"] == 10
    assert found["stream_batch_seconds_count"] == 2
    assert found["runs_total stream succeeded"] == 2
    # A stream that ended has no lag.
    assert "stream_lag_seconds" not in found


def test_a_restored_file_keeps_known_metrics_alone() -> None:
    registry = Registry()
    registry.restore("customer_profiles_customers 5\nsomething_else 7\n")
    assert [family.name for family in registry.families()] == ["customer_profiles_customers"]


def test_a_stream_with_an_endpoint_is_counted_in_one_place(tmp_path: Path) -> None:
    with StreamMetrics(tmp_path) as metrics:
        metrics.observe(BATCH)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with StreamMetrics(tmp_path, port) as metrics:
        metrics.observe(BATCH)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        assert "customer_profiles_stream_batches_total 2" in text
        assert not (tmp_path / "metrics" / "stream.prom").exists()
    assert samples(tmp_path, "stream")["stream_batches_total"] == 2
