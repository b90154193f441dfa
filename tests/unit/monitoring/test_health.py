"""What counts as healthy, and which alerts follow from it."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from customer_profiles.monitoring.alerts.sources import (
    QUALITY_OPEN,
    component_alerts,
    finding_alerts,
    outage_alerts,
)
from customer_profiles.monitoring.health.model import EXIT_CODES, Component, Status, worst
from customer_profiles.monitoring.health.pipeline import (
    Lag,
    check_disk,
    check_lag,
    check_profiles,
    check_runs,
)
from customer_profiles.monitoring.settings import Settings
from customer_profiles.quality.findings import Finding, OpenFindings, Severity
from tests.support import MemoryObjectStore

NOW = datetime(2026, 11, 29, 7, tzinfo=UTC)


def settings(**environ: str) -> Settings:
    return Settings.from_env(
        {"MINIO_ROOT_USER": "x", "MINIO_ROOT_PASSWORD": "only-for-tests", **environ}
    )


def test_exit_codes_follow_the_worst_component() -> None:
    ok, degraded, down = (Component(status, status, "") for status in Status)
    assert [EXIT_CODES[worst(each)] for each in ([], [ok], [ok, degraded], [down, degraded])] == [
        *(0, 0, 3, 4)
    ]


@pytest.mark.parametrize(
    ("seconds", "stream", "status"),
    [
        (0, False, Status.OK),
        (86_000, False, Status.OK),
        (87_000, False, Status.DEGRADED),
        (100, True, Status.OK),
        (130, True, Status.DEGRADED),
    ],
)
def test_a_stream_may_lag_less_than_a_daily_run(
    seconds: float, stream: bool, status: Status
) -> None:
    assert check_lag(settings(), Lag({0: 5}, seconds, stream)).status is status


@pytest.mark.parametrize(
    ("report", "status"),
    [
        ({"read": 5}, Status.OK),
        ({"status": "succeeded", "finished_at": "2026-11-29T07:00:00Z"}, Status.OK),
        ({"status": "failed", "error": "Kafka does not answer"}, Status.DEGRADED),
        ({"index_error": "Elasticsearch does not answer"}, Status.DEGRADED),
        ({"failed_buckets": {"03": "x"}}, Status.DEGRADED),
    ],
)
def test_the_newest_run_says_whether_it_did_its_work(
    report: dict[str, Any], status: Status, tmp_path: Path
) -> None:
    (tmp_path / "process-latest.json").write_text(json.dumps(report))
    (component,) = check_runs(tmp_path)
    assert (component.name, component.status) == ("last process", status)


def test_a_report_that_is_missing_or_broken_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "process-latest.json").write_text("[")
    assert check_runs(tmp_path) == []


def test_a_rebuild_that_did_not_end_and_an_index_behind_are_degraded() -> None:
    store = MemoryObjectStore()
    assert worst(check_profiles(store)) is Status.OK
    store.put_json("_state/rebuilding.json", {"since": "today"})
    store.put_json("_state/profiles.json", {"behind": [3, 4], "failed": {"05": "x"}})
    found = {each.name: each.status for each in check_profiles(store)}
    assert found == dict.fromkeys(("rebuild", "index", "profiles"), Status.DEGRADED)


def test_a_disk_that_is_nearly_full_is_degraded(tmp_path: Path) -> None:
    full = settings(MIN_FREE_GB="1000000", STACK_HOME=str(tmp_path))
    assert check_disk(full).status is Status.DEGRADED


def test_components_that_are_not_well_are_alerts() -> None:
    components = [
        Component("kafka", Status.DOWN, "Kafka does not answer", "make up"),
        Component("lag", Status.DEGRADED, "unknown: MinIO does not answer"),
        Component("alerts", Status.DEGRADED, "2 firing"),
        Component("disk", Status.OK, "5 GB free"),
        Component("last process", Status.DEGRADED, "failed", "make process"),
    ]
    found = [(alert.name, alert.severity.value) for alert in component_alerts(components)]
    assert found == [("ServerDown", "critical"), ("RunFailed", "warning")]


def test_an_outage_is_an_alert_once_it_lasts(tmp_path: Path) -> None:
    def outage(seconds: float, **changes: Any) -> dict[str, Any]:
        since = (NOW - timedelta(seconds=seconds)).isoformat()
        entry = {"server": "MinIO", "command": "stream", "since": since, "until": None}
        return {**entry, "alert_after_s": 60, **changes}

    entries = [outage(30), outage(90, server="Kafka"), outage(900, until=NOW.isoformat())]
    (tmp_path / "outages.json").write_text(json.dumps({"outages": entries}))
    (alert,) = outage_alerts(tmp_path, NOW)
    assert alert.summary == "The stream waits for Kafka since 2026-11-29 06:58:30 UTC."
    (tmp_path / "outages.json").write_text("[]")
    assert outage_alerts(tmp_path, NOW) == []


def test_a_finding_that_another_one_explains_is_no_alert() -> None:
    def finding(check: str, explained_by: str | None = None) -> Finding:
        day = date(2026, 11, 28)
        return Finding(
            check, "raw_events", None, day, Severity.FAIL, 1, 2, 1.5, 2.5, day, 3, "half is gone.",
            "make quality", {"source": "shop"}, explained_by,
        )  # fmt: skip

    store = MemoryObjectStore()
    assert finding_alerts(store) == []
    both = (finding("volume"), finding("revenue", "volume"))
    store.put_json(QUALITY_OPEN, OpenFindings(date(2026, 11, 28), both).to_json())
    (alert,) = finding_alerts(store)
    assert alert.labels == {"dataset": "raw_events", "check": "volume", "source": "shop"}
    assert alert.summary == "half is gone. Since 2026-11-28. It was so 3 times before."
    assert (alert.severity.value, alert.details["expected_low"]) == ("critical", 1.5)
    store.objects[QUALITY_OPEN] = b"{"
    store.attributes[QUALITY_OPEN] = {}
    assert [alert.name for alert in finding_alerts(store)] == ["QualityUnknown"]
