"""Prometheus, Alertmanager, Apprise and the monitoring service, all real, on the shared stack.

Debian's packages `prometheus` and `prometheus-alertmanager` are needed; `.ci/run` installs them.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from customer_profiles.common.defaults import HOST
from customer_profiles.lake.batch_log import BatchLog
from customer_profiles.lake.s3 import S3Config, S3ObjectStore
from customer_profiles.monitoring.alerts.sources import QUALITY_OPEN
from customer_profiles.monitoring.service import Monitor
from customer_profiles.monitoring.settings import Settings
from customer_profiles.quality.contract import default_contract
from customer_profiles.quality.findings import Finding, OpenFindings, Severity
from customer_profiles.search.client import ElasticsearchConfig
from customer_profiles.search.metrics_indices import MetricsIndices
from stack.isolated import isolated_environment
from stack.settings import MONITORING_SERVERS
from stack.settings import Settings as StackSettings
from stack.supervisor import Supervisor
from tests.integration.conftest import Stack, ingest, search
from tests.support import HEADER, ROOT, line

WAIT_S = 60.0


def until(condition: Callable[[], Any], what: str) -> Any:
    """Return what a condition returns once that is true."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        try:
            if result := condition():
                return result
        except (OSError, KeyError, IndexError):
            pass
        time.sleep(0.2)
    raise AssertionError(f"{what} did not happen within {WAIT_S:.0f} s")


@dataclass
class Receiver:
    """A webhook that keeps what it is sent."""

    port: int
    received: list[dict[str, Any]] = field(default_factory=list)


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["content-length"]))
            kept.received.append({"path": self.path, **json.loads(content)})
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer((HOST, 0), Handler)
    kept = Receiver(server.server_address[1])
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield kept
    server.shutdown()


@pytest.fixture(scope="module")
def watched(
    stack: Stack, receiver: Receiver, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """The shared stack with Prometheus, Alertmanager and the monitoring service beside it."""
    folder = tmp_path_factory.mktemp("monitoring")
    config = yaml.safe_load((ROOT / "deploy/monitoring/alertmanager.yml").read_text())
    # As deployed, with a receiver and short waits.
    config["route"] |= {"group_wait": "1s", "group_interval": "1s"}
    url = f"http://{HOST}:{receiver.port}/alertmanager"
    config["receivers"][0]["webhook_configs"] = [{"url": url, "send_resolved": True}]
    (folder / "alertmanager.yml").write_text(json.dumps(config))
    ports = isolated_environment(folder, {})
    watched = Stack(
        {
            **stack.environ,
            **{name: ports[name] for name in ("PROMETHEUS_PORT", "ALERTMANAGER_PORT")},
            "MONITORING_PORT": ports["MONITORING_PORT"],
            "METRICS_PORT": ports["MINIO_CONSOLE_PORT"],
            "DASHBOARD_PORT": ports["SPARK_UI_PORT"],
            "MONITORING": "1",
            "ALERTMANAGER_CONFIG": str(folder / "alertmanager.yml"),
            "ALERT_INTERVAL": "1",
            "SCRAPE_INTERVAL": "1s",
        },
        stack.reports,
    )
    started = watched.python("stack", "up")
    try:
        assert started.returncode == 0, started.stdout + started.stderr
        yield watched
    finally:
        Supervisor(StackSettings.from_env(watched.environ)).down(MONITORING_SERVERS)


def get(watched: Stack, port: str, path: str) -> Any:
    url = f"http://{HOST}:{watched.environ[port]}{path}"
    with urllib.request.urlopen(url, timeout=10) as answer:
        text = answer.read().decode()
    return (
        json.loads(text) if answer.headers["content-type"].startswith("application/json") else text
    )


def query(watched: Stack, expression: str) -> list[dict[str, Any]]:
    """Ask Prometheus; return labels and values."""
    path = "/api/v1/query?" + urllib.parse.urlencode({"query": expression})
    result = get(watched, "PROMETHEUS_PORT", path)["data"]["result"]
    return [{**each["metric"], "value": float(each["value"][1])} for each in result]


@contextmanager
def running(watched: Stack, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command that stays, and end it."""
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env=dict(watched.environ),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        assert process.wait(60) in (0, -15)


def finding(check: str, field_name: str | None = None) -> Finding:
    day = date(2026, 11, 28)
    return Finding(
        check=check,
        dataset="raw_events",
        field=field_name,
        day=day,
        severity=Severity.FAIL,
        value=0.5,
        expected=1.0,
        expected_low=0.9,
        expected_high=1.1,
        since=day,
        times_before=0,
        message=f"{check} is half of what was expected.",
        command="make quality",
    )


def put_findings(stack: Stack, *findings: Finding) -> None:
    """Let the lake say what the newest evaluation found, and that none is due for a while."""
    store = S3ObjectStore(S3Config.from_settings(stack.processing))
    store.ensure_bucket()
    through = BatchLog(store).last_committed
    found = OpenFindings(date(2026, 11, 28), findings, {}, through, datetime.now(UTC))
    store.put_json(QUALITY_OPEN, found.to_json())


def notifier(stack: Stack, name: str, clock: Callable[[], datetime], **changes: str) -> Monitor:
    environ = {**stack.environ, "REPORTS": str(stack.reports / name), **changes}
    return Monitor(Settings.from_env(environ), clock)


def test_the_native_notifier_tells_once_and_once_when_it_is_over(
    stack: Stack, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"json://someone:only-for-tests-hook@{HOST}:{receiver.port}/native"
    # A little at a time, so that no day closes meanwhile.
    clock = datetime.now(UTC)
    changes = {"ALERT_URLS": url, "ALERT_GROUP": "0.5"}
    monitor = notifier(stack, "native", lambda: clock, **changes)
    survey = monitor.look()
    put_findings(stack, finding("volume"), finding("null_share", "brand"))
    for _ in range(50):
        clock += timedelta(seconds=1)
        monitor.evaluate(survey)
    put_findings(stack)
    for _ in range(10):
        clock += timedelta(seconds=1)
        monitor.evaluate(survey)
    messages = [each for each in receiver.received if each["path"] == "/native"]
    first, last = messages
    assert "volume is half" in first["message"]
    assert "null_share is half" in first["message"]
    assert "make quality" in first["message"]
    assert "2 over" in last["title"]
    assert "only-for-tests-hook" not in caplog.text
    assert firing(stack) == set()


def test_two_notifiers_on_one_lake_leave_nothing_firing(stack: Stack, receiver: Receiver) -> None:
    clock = datetime.now(UTC)
    url = f"json://{HOST}:{receiver.port}/two"
    pair = [notifier(stack, name, lambda: clock, ALERT_URLS=url) for name in ("one", "two")]
    surveys = [each.look() for each in pair]
    # The second one looks while the first has seen an alert that nobody was told of yet.
    for found in ([finding("volume")], [finding("volume"), finding("conversion")], []):
        put_findings(stack, *found)
        for monitor, survey in zip(pair, surveys, strict=True):
            clock += timedelta(milliseconds=300)
            monitor.evaluate(survey)
    assert firing(stack) == set()


def firing(stack: Stack) -> set[str]:
    """Return the fingerprints of data quality that the index shows as firing."""
    search(stack, "alerts/_refresh", method="POST")
    query = "alerts/_search?q=name:DataQuality+AND+NOT+state:resolved&size=100"
    return {hit["_source"]["fingerprint"] for hit in search(stack, query)["hits"]["hits"]}


def test_a_batch_that_fails_waits_until_somebody_accepts_it(stack: Stack, tmp_path: Path) -> None:
    rule = yaml.safe_load(default_contract())
    (check,) = [each for each in rule["schema"][0]["quality"] if each["id"] == "price_median"]
    check |= {"severity": "quarantine", "implementation": {"high": 500_000}}
    contract = tmp_path / "contract.odcs.yaml"
    contract.write_text(yaml.safe_dump(rule))
    quality = ("customer_profiles.monitoring", "quality")
    run = ("customer_profiles.processing", "process", "--brief")
    # 4: events of earlier tests have such prices, and are in the profiles already.
    assert stack.python(*quality, QUALITY_CONTRACT=str(contract)).returncode in (0, 3, 4)
    rows = [
        line(user_id=f"77{number:03d}", price="900000.00", user_session=f"wrong-{number}")
        for number in range(30)
    ]
    path = tmp_path / "cents.csv"
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    ingest(stack, path)
    completed = stack.python(*run)
    assert completed.returncode == 3, completed.stdout + completed.stderr
    report = json.loads((stack.reports / "process-latest.json").read_text())
    assert (report["events_landed"], report["degraded"]) == (30, ["profiles_waiting"])
    batch = re.search(r"make quality ACCEPT=(\d+)", completed.stdout)
    assert batch, completed.stdout
    profile = ("customer_profiles.processing", "profile", "77000")
    assert stack.python(*profile).returncode == 1
    assert "median price" in stack.python("customer_profiles.processing", "summary").stdout
    assert batch[0] in stack.python("customer_profiles.monitoring", "health").stdout
    assert batch[0] in stack.python("customer_profiles.processing", "verify").stdout
    accepted = stack.python(*quality, "--accept", batch[1])
    assert "Next: make process" in accepted.stdout
    completed = stack.python(*run)
    assert completed.returncode == 0, completed.stdout + completed.stderr
    assert '"total_events": 1' in stack.python(*profile).stdout
    # The tests after this one hold nothing back.
    assert stack.python(*quality).returncode in (0, 3)


def test_prometheus_scrapes_every_process(watched: Stack, tmp_path: Path) -> None:
    # The page needs its indices, which a stack without events lacks.
    MetricsIndices(ElasticsearchConfig.from_settings(watched.processing)).ensure()
    # Runs that change nothing still report.
    (tmp_path / "empty.csv").write_text(HEADER + "\n")
    assert not watched.python(
        "customer_profiles.ingestion", "ingest", str(tmp_path / "empty.csv")
    ).returncode
    assert not watched.python("customer_profiles.processing", "process").returncode
    with (
        running(watched, "customer_profiles.processing", "stream"),
        running(watched, "customer_profiles.dashboards", "serve"),
    ):
        jobs = {
            "monitoring",
            "page",
            "stream",
            "minio",
            "spark-master",
            "prometheus",
            "alertmanager",
        }
        until(lambda: {each["job"] for each in query(watched, "up == 1")} == jobs, "every scrape")
        get(watched, "DASHBOARD_PORT", "/panels")
        until(
            lambda: query(watched, 'customer_profiles_page_requests_total{route="/panels"}'), "page"
        )
        until(lambda: query(watched, "customer_profiles_stream_start_timestamp_seconds"), "stream")
    runs = query(watched, "customer_profiles_last_success_timestamp_seconds")
    assert {"ingest", "process"} <= {each["command"] for each in runs}
    servers = query(watched, "customer_profiles_up")
    assert {each["server"]: each["value"] for each in servers} == {
        **dict.fromkeys(("kafka", "minio", "elasticsearch", "spark"), 1)
    }
    names = {each["server"] for each in query(watched, "customer_profiles_server_running == 1")}
    assert {"kafka", "spark-master", "minio", "elasticsearch", "prometheus"} <= names
    assert query(watched, 'sum(customer_profiles_lake_bytes{folder="_state"})')[0]["value"] > 0
    assert query(watched, "customer_profiles_index_documents")
    assert query(watched, "customer_profiles_lag_messages")
    assert query(watched, "minio_cluster_health_status or minio_node_process_uptime_seconds")
    assert query(watched, '{__name__=~"metrics_master_aliveWorkers_Value"}')[0]["value"] == 1
    labels = get(watched, "PROMETHEUS_PORT", "/api/v1/labels")["data"]
    assert not {"user_id", "user_session"} & set(labels)


def test_an_alert_is_sent_to_every_address_as_a_test(stack: Stack, receiver: Receiver) -> None:
    url = f"json://{HOST}:{receiver.port}/test"
    completed = stack.python("customer_profiles.monitoring", "alerts", "--test", ALERT_URLS=url)
    assert completed.returncode == 0, completed.stderr
    assert [each["title"] for each in receiver.received if each["path"] == "/test"] == [
        "Customer profiles: test of the alerts"
    ]
    # Nobody listens there.
    gone = f"json://x:only-for-tests-hook@{HOST}:9/"
    completed = stack.python("customer_profiles.monitoring", "alerts", "--test", ALERT_URLS=gone)
    assert completed.returncode == 5
    assert "address 1 of ALERT_URLS (JSON) did not take the message" in completed.stdout
    assert "only-for-tests" not in completed.stdout + completed.stderr


def test_health_names_each_part_and_has_an_exit_code_for_the_worst(stack: Stack) -> None:
    completed = stack.python("customer_profiles.monitoring", "health", "--format", "json")
    found = json.loads(completed.stdout)
    parts = {each["name"]: each for each in found["components"]}
    assert {"kafka", "minio", "elasticsearch", "spark", "disk", "alerts"} <= set(parts)
    assert all(
        parts[name]["status"] == "ok" for name in ("kafka", "minio", "elasticsearch", "spark")
    )
    assert completed.returncode == {"ok": 0, "degraded": 3, "down": 4}[found["status"]]
    away = stack.python("customer_profiles.monitoring", "health", SPARK_UI_URL=f"http://{HOST}:9")
    assert away.returncode == 4
    assert "make status" in away.stdout


@pytest.mark.parametrize(
    "arguments", [("check", "rules", "rules/pipeline.yml"), ("test", "rules", "tests.yml")]
)
def test_promtool_accepts_the_rules(arguments: tuple[str, ...]) -> None:
    folder = ROOT / "deploy" / "monitoring"
    completed = subprocess.run(
        ["promtool", *arguments], cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert completed.returncode == 0, completed.stdout + completed.stderr


def test_every_rule_fires_in_one_test_and_not_in_another() -> None:
    folder = ROOT / "deploy" / "monitoring"
    rules = yaml.safe_load((folder / "rules" / "pipeline.yml").read_text())["groups"]
    tests = yaml.safe_load((folder / "tests.yml").read_text())["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    names = {rule["alert"] for group in rules for rule in group["rules"]}
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == names
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == names


def test_prometheus_is_installed() -> None:
    """Fail with one line instead of many errors where the packages are missing."""
    assert shutil.which("promtool"), "apt-get install prometheus prometheus-alertmanager"
