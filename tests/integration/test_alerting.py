"""Prometheus, Alertmanager and Apprise, all real, without the servers of the pipeline."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from customer_profiles.common.defaults import HOST
from customer_profiles.monitoring.alerts.evaluate import post_to_alertmanager
from customer_profiles.monitoring.alerts.senders import AlertmanagerClient
from customer_profiles.monitoring.alerts.sources import finding_alert
from customer_profiles.monitoring.alerts.store import NotifierStore
from customer_profiles.monitoring.collector import record_outages, render_all
from customer_profiles.telemetry.endpoint import MetricsServer
from customer_profiles.telemetry.registry import Registry
from stack.monitoring import monitoring
from stack.settings import MONITORING_SERVERS, Settings
from stack.supervisor import Supervisor
from tests.integration.conftest import environment
from tests.integration.test_monitoring import Receiver, finding, receiver, until
from tests.support import ROOT, MemoryObjectStore

__all__ = ["receiver"]


@pytest.fixture(scope="module")
def watching(
    receiver: Receiver,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Settings]:
    """Prometheus and Alertmanager as `make up MONITORING=1` starts them."""
    home = tmp_path_factory.mktemp("watching")
    config = yaml.safe_load((ROOT / "deploy/monitoring/alertmanager.yml").read_text())
    # As deployed, with a receiver and short waits.
    config["route"] |= {"group_wait": "1s", "group_interval": "1s"}
    url = f"http://{HOST}:{receiver.port}/alertmanager"
    config["receivers"][0]["webhook_configs"] = [{"url": url, "send_resolved": True}]
    (home / "alertmanager.yml").write_text(json.dumps(config))
    environ = {
        **environment(home),
        "MONITORING": "1",
        "ALERTMANAGER_CONFIG": str(home / "alertmanager.yml"),
        "SCRAPE_INTERVAL": "1s",
    }
    settings = Settings.from_env(environ)
    supervisor = Supervisor(settings)
    servers = [each for each in monitoring(settings, environ) if each.name != "monitoring"]
    try:
        supervisor.up(servers)
        yield settings
    finally:
        supervisor.down(MONITORING_SERVERS)


def told(receiver: Receiver, name: str) -> list[tuple[str, set[str]]]:
    """Return the status of each notification of a kind, and what its alerts are about."""
    return [
        (each["status"], {alert["labels"].get("field", "") for alert in each["alerts"]})
        for each in receiver.received
        if each["groupLabels"]["alertname"] == name
    ]


def test_alertmanager_fires_groups_silences_and_resolves(
    watching: Settings,
    receiver: Receiver,
    tmp_path: Path,
) -> None:
    url = f"http://{watching.address('ALERTMANAGER_PORT')}"
    silence = {
        "matchers": [{"name": "field", "value": "price", "isRegex": False, "isEqual": True}],
        "startsAt": datetime.now(UTC).isoformat(),
        "endsAt": (datetime.now(UTC) + timedelta(minutes=5)).isoformat(),
        "createdBy": "test",
        "comment": "known",
    }
    request = urllib.request.Request(
        f"{url}/api/v2/silences",
        json.dumps(silence).encode(),
        {"content-type": "application/json"},
    )
    urllib.request.urlopen(request, timeout=10).close()
    alerts = [finding_alert(finding("null_share", name)) for name in ("brand", "code", "price")]
    store, client = NotifierStore(MemoryObjectStore(), tmp_path), AlertmanagerClient(url)
    for _ in range(50):
        post_to_alertmanager(store, alerts, client)
        time.sleep(0.1)
    until(lambda: told(receiver, "DataQuality"), "the notification")
    # One message for two alerts, however often they are posted, and none for the silenced one.
    assert told(receiver, "DataQuality") == [("firing", {"brand", "code"})]
    post_to_alertmanager(store, [], client)
    until(lambda: len(told(receiver, "DataQuality")) > 1, "the end")
    assert told(receiver, "DataQuality")[1:] == [("resolved", {"brand", "code"})]


def test_a_rule_of_prometheus_reaches_people_through_alertmanager(
    watching: Settings,
    receiver: Receiver,
    tmp_path: Path,
) -> None:
    outage = {
        "server": "MinIO",
        "command": "stream",
        "since": (datetime.now(UTC) - timedelta(minutes=5)).isoformat(),
        "until": None,
    }
    (tmp_path / "outages.json").write_text(json.dumps({"outages": [outage]}))
    registry = Registry()
    registry.set("observed_timestamp_seconds", time.time())
    record_outages(registry, tmp_path)
    server = MetricsServer(
        watching.ports["MONITORING_PORT"], lambda: render_all(registry, tmp_path)
    )
    try:
        until(lambda: told(receiver, "WaitsForServer"), "the alert of the rule")
        (tmp_path / "outages.json").unlink()
        record_outages(registry, tmp_path)
        until(lambda: len(told(receiver, "WaitsForServer")) > 1, "its end")
    finally:
        server.close()
    assert [status for status, _ in told(receiver, "WaitsForServer")] == ["firing", "resolved"]
    (first, _) = [
        each for each in receiver.received if each["groupLabels"]["alertname"] == "WaitsForServer"
    ]
    assert "The stream waits for MinIO" in first["alerts"][0]["annotations"]["summary"]
