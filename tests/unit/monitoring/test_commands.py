"""`health`, `alerts` and `serve`: what they print, what they return and whom they tell."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from customer_profiles.lake.errors import LakeUnavailableError
from customer_profiles.monitoring import cli, service
from customer_profiles.monitoring.alerts.model import Alert, Severity
from customer_profiles.monitoring.cli import NOT_DELIVERED, main
from customer_profiles.monitoring.health.model import Component, Status
from customer_profiles.monitoring.health.survey import Survey
from customer_profiles.monitoring.service import Monitor
from customer_profiles.monitoring.settings import Settings
from customer_profiles.telemetry.exposition import read_samples
from tests.support import MemoryObjectStore

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
OK = Component("kafka", Status.OK, "answers in 2 ms")
SLOW = Component("index", Status.DEGRADED, "2 batches behind", "make process", {"behind": 2.0})
DOWN = Component("minio", Status.DOWN, "does not answer", "make up")
ACCESS = {"MINIO_ROOT_USER": "u", "MINIO_ROOT_PASSWORD": "p", "ELASTIC_PASSWORD": "e"}
BRAND = Alert("raw_events|null|brand", "DataQuality", Severity.WARNING, "60 % null", "make quality")


class Sender:
    """Takes messages, or refuses them."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, str]] = []
        self.works = True

    def send(self, title: str, body: str) -> bool:
        self.messages.append((title, body))
        return self.works


class Pipeline:
    """What there is to look at, in place of the servers."""

    def __init__(self) -> None:
        self.components = [OK]
        self.findings = [BRAND]
        self.looks = 0
        self.failure: Exception | None = None
        self.indexed: list[Any] = []
        self.sender = Sender()
        self.posted: list[Any] = []

    def look(self, _settings: Settings, _clock: object = None) -> Survey:
        self.looks += 1
        if self.failure:
            raise self.failure
        return Survey(tuple(self.components), None, None)

    def post(self, firing: Any, over: Any, _now: datetime) -> None:
        self.posted.append((list(firing), list(over)))


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Pipeline]:
    pipeline, store = Pipeline(), MemoryObjectStore()
    # No .env here, and no settings of this machine.
    monkeypatch.chdir(tmp_path)
    for name in ("ALERT_URLS", "ALERTMANAGER_URL", "LOG_FORMAT", "LOG_LEVEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("REPORTS", str(tmp_path / "reports"))
    monkeypatch.setenv("COLUMNS", "200")
    for name, value in ACCESS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(cli, "look", pipeline.look)
    monkeypatch.setattr(cli, "now_utc", lambda: NOW)
    monkeypatch.setattr(service, "look", pipeline.look)
    monkeypatch.setattr(service, "S3ObjectStore", lambda _: store)
    monkeypatch.setattr(service, "record_sizes", lambda *_: None)
    monkeypatch.setattr(service, "finding_alerts", lambda _: pipeline.findings)
    monkeypatch.setattr(service, "index_states", lambda *found: pipeline.indexed.append(found))
    monkeypatch.setattr(service, "AppriseSender", lambda _addresses: pipeline.sender)
    monkeypatch.setattr(
        service, "AlertmanagerClient", lambda *_: SimpleNamespace(post=pipeline.post)
    )
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield pipeline
    for number, handler in handlers.items():
        signal.signal(number, handler)


Run = Callable[[str], tuple[int, str, str]]


@pytest.fixture
def run(pipeline: Pipeline, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command; return its exit code, its output and its errors."""

    def call(command: str) -> tuple[int, str, str]:
        code = main(command.split())
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


@pytest.mark.parametrize(
    ("components", "code", "word"),
    [([OK], 0, "ok"), ([OK, SLOW], 3, "degraded"), ([SLOW, DOWN, OK], 4, "down")],
)
def test_health_returns_the_worst_status_and_names_what_to_do(
    run: Run, pipeline: Pipeline, components: list[Component], code: int, word: str
) -> None:
    pipeline.components = components
    returned, out, _ = run("health")
    assert returned == code
    lines = out.splitlines()
    assert lines[-1] == f"Altogether: {word}"
    assert len(lines) == len(components) + 1
    for component, line in zip(components, lines, strict=False):
        assert line.split()[:2] == [component.name, component.status.value]
        assert ("; next: " + component.command in line) == bool(component.command)


def test_health_is_json_on_demand(run: Run, pipeline: Pipeline) -> None:
    pipeline.components = [OK, SLOW]
    code, out, _ = run("health --format json")
    assert code == 3
    content = json.loads(out)
    assert content["status"] == "degraded"
    assert content["components"] == [
        {"name": "kafka", "status": "ok", "message": "answers in 2 ms"},
        {
            "name": "index",
            "status": "degraded",
            "message": "2 batches behind",
            "next": "make process",
            "numbers": {"behind": 2.0},
        },
    ]


def test_alerts_are_listed_with_what_to_do_and_who_is_told(run: Run) -> None:
    code, out, _ = run("alerts")
    assert code == 0
    assert out.startswith("warning  DataQuality  since 20")
    for line in ("60 % null", "see: make quality", "alert: raw_events|null|brand"):
        assert f"  {line}\n" in out
    assert "Silence one: make alerts SILENCE='…' FOR=24h" in out
    assert "Nobody is told: set ALERT_URLS in .env" in out


def test_without_alerts_that_is_said(run: Run, pipeline: Pipeline) -> None:
    pipeline.findings = []
    assert run("alerts")[1].startswith("No alert is firing.\n")


@pytest.mark.parametrize(("works", "code"), [(True, 0), (False, NOT_DELIVERED)])
def test_people_are_told_and_a_message_that_is_lost_has_an_exit_code(
    run: Run, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, works: bool, code: int
) -> None:
    monkeypatch.setenv("ALERT_URLS", "json://127.0.0.1:9")
    pipeline.sender.works = works
    returned, out, _ = run("alerts")
    assert returned == code
    ((title, body),) = pipeline.sender.messages
    assert title == "Customer profiles: DataQuality"
    assert "60 % null" in body
    assert "Nobody is told" not in out


def test_listing_looks_at_nothing_and_tells_nobody(
    run: Run, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALERT_URLS", "json://127.0.0.1:9")
    pipeline.sender.works = False
    run("alerts")
    pipeline.sender.messages.clear()
    code, out, _ = run("alerts --list")
    assert (code, pipeline.looks, pipeline.sender.messages) == (0, 1, [])
    assert "raw_events|null|brand" in out


def test_a_silence_covers_alerts_until_it_is_taken_back(run: Run) -> None:
    run("alerts")
    code, out, _ = run("alerts --silence raw_events* --for 30m")
    assert code == 0
    assert out == (
        "raw_events* is silenced until 2026-11-29 12:30 UTC; it covers 1 of 1 known alerts\n"
    )
    listed = run("alerts --list")[1]
    assert listed.startswith("silenced  DataQuality")
    assert "silenced until 2026-11-29 12:30 UTC: raw_events*" in listed
    assert run("alerts --unsilence raw_events*")[1] == "raw_events* is no longer silenced\n"
    assert run("alerts --list")[1].startswith("warning  DataQuality")


def test_a_silence_that_has_ended_is_not_listed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("alerts --silence DataQuality --for 1h")
    monkeypatch.setattr(cli, "now_utc", lambda: NOW + timedelta(hours=2))
    assert run("alerts --list")[1] == "No alert is firing.\n"


@pytest.mark.parametrize("duration", ["0h", "24", "1w", "12345m", "h"])
def test_what_is_no_duration_is_refused_with_an_example(
    duration: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["alerts", "--silence", "x", "--for", duration])
    assert refused.value.code == 2
    assert f"{duration} is no duration: write 30m, 24h or 7d" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", ["", "fly", "alerts --test --watch", "health --format xml"])
def test_wrong_arguments_are_refused(arguments: str) -> None:
    with pytest.raises(SystemExit) as refused:
        main(arguments.split())
    assert refused.value.code == 2


def test_help_names_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    for command, text in (("health", "4: something is down"), ("alerts", "could not be delivered")):
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        assert ended.value.code == 0
        assert text in " ".join(capsys.readouterr().out.split())


def test_a_test_message_needs_somebody_to_tell(run: Run, pipeline: Pipeline) -> None:
    code, _, err = run("alerts --test")
    assert code == 1
    assert "ALERT_URLS is not set" in err
    assert "Set it in .env" in err
    assert pipeline.sender.messages == []


@pytest.mark.parametrize(("works", "code"), [(True, 0), (False, NOT_DELIVERED)])
def test_a_test_message_says_whether_it_was_delivered(
    run: Run, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, works: bool, code: int
) -> None:
    monkeypatch.setenv("ALERT_URLS", "json://127.0.0.1:9")
    pipeline.sender.works = works
    returned, out, _ = run("alerts --test")
    assert (returned, len(pipeline.sender.messages)) == (code, 1)
    assert ("The test message was delivered" in out) == works


def test_watching_looks_again_until_it_is_told_to_stop(
    run: Run, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALERT_INTERVAL", "0.001")

    def look_twice(settings: Settings, clock: object) -> Survey:
        if pipeline.looks:
            signal.raise_signal(signal.SIGTERM)
        return Pipeline.look(pipeline, settings, clock)

    monkeypatch.setattr(service, "look", look_twice)
    code, out, _ = run("alerts --watch")
    assert (code, pipeline.looks) == (0, 2)
    assert out.startswith("Looking for alerts every 0.001 s; Ctrl-C ends it\n")


def evaluations(metrics: str) -> dict[str, float]:
    """Return how many evaluations the service counts, by their results."""
    return {
        dict(labels)["result"]: value
        for (name, labels), value in read_samples(metrics).items()
        if name.endswith("_evaluations_total")
    }


class Endpoint:
    """A server of metrics that listens nowhere."""

    opened: list[tuple[Any, ...]]
    closed = 0

    def __init__(self, port: int, render: Any, *, host: str, pages: Any) -> None:
        self.opened.append((port, host, render, pages("/health/ready")[0]))

    def close(self) -> None:
        type(self).closed += 1


def test_the_service_says_where_it_is_and_closes_its_port(
    run: Run, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONITORING_PORT", "9999")
    monkeypatch.setattr(cli, "MetricsServer", Endpoint)
    monkeypatch.setattr(Endpoint, "opened", [], raising=False)
    monkeypatch.setattr(Endpoint, "closed", 0)

    def look_once(settings: Settings, clock: object) -> Survey:
        signal.raise_signal(signal.SIGINT)
        return Pipeline.look(pipeline, settings, clock)

    monkeypatch.setattr(service, "look", look_once)
    code, out, _ = run("serve")
    assert code == 0
    ((port, host, metrics, status),) = Endpoint.opened
    assert (port, host, status, Endpoint.closed) == (9999, "127.0.0.1", 503, 1)
    assert evaluations(metrics()) == {"succeeded": 1}
    assert out.startswith(
        "Metrics are at http://127.0.0.1:9999/metrics, health at "
        "http://127.0.0.1:9999/health/ready\n"
    )


@pytest.fixture
def monitor(pipeline: Pipeline, tmp_path: Path) -> Monitor:
    return Monitor(Settings.from_env({**ACCESS, "REPORTS": str(tmp_path)}), lambda: NOW)


@pytest.mark.parametrize(
    ("component", "code", "status"), [(OK, 200, "ok"), (SLOW, 200, "degraded"), (DOWN, 503, "down")]
)
def test_the_page_of_readiness_follows_the_worst_component(
    monitor: Monitor, pipeline: Pipeline, component: Component, code: int, status: str
) -> None:
    assert monitor.page("/health/live") == (200, "application/json", '{"status": "ok"}\n')
    assert monitor.page("/health/ready") == (503, "application/json", '{"status": "starting"}\n')
    assert monitor.page("/metrics") is None
    pipeline.components = [OK, component]
    monitor.look()
    page = monitor.page("/health/ready")
    assert page is not None
    assert (page[0], json.loads(page[2])["status"]) == (code, status)


def test_an_evaluation_that_fails_is_counted_and_the_next_one_works(
    monitor: Monitor, pipeline: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline.failure = LakeUnavailableError("MinIO does not answer.\nRun `make up`.")
    monitor.run_once()
    assert "the alerts were not evaluated: MinIO does not answer." in caplog.text
    pipeline.failure = None
    monitor.run_once()
    assert evaluations(monitor.render()) == {"failed": 1, "succeeded": 1}
    assert len(pipeline.indexed) == 1


def test_findings_are_those_of_before_while_the_lake_does_not_answer(
    monitor: Monitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor.evaluate(monitor.look())

    def unreachable(_store: object) -> list[Alert]:
        raise LakeUnavailableError("MinIO does not answer.")

    monkeypatch.setattr(service, "finding_alerts", unreachable)
    (known,) = monitor.evaluate(monitor.look()).state.alerts
    assert (known.alert, known.over) == (BRAND, None)


def test_alertmanager_gets_the_findings_and_nobody_else_is_told(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    environ = {
        **ACCESS,
        "REPORTS": str(tmp_path),
        "ALERTMANAGER_URL": "http://127.0.0.1:9093",
        "ALERT_URLS": "json://127.0.0.1:9",
    }
    pipeline.components = [DOWN]
    monitor = Monitor(Settings.from_env(environ), lambda: NOW)
    evaluation = monitor.evaluate(monitor.look())
    # Prometheus' own rules tell of the server that is down.
    assert pipeline.posted == [([BRAND], [])]
    assert (pipeline.sender.messages, evaluation.delivered) == ([], True)


def test_a_service_that_is_stopped_looks_no_more(monitor: Monitor, pipeline: Pipeline) -> None:
    stop = threading.Event()
    stop.set()
    service.watch(monitor, stop)
    assert pipeline.looks == 0
