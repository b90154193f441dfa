"""The metrics of the monitoring service: what it observes, beside the files of runs that ended."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from customer_profiles.common.errors import PipelineError, first_line
from customer_profiles.lake.object_store import ObjectStore
from customer_profiles.lake.s3 import S3Config, S3ObjectStore
from customer_profiles.monitoring.alerts.model import NotifierState, Severity
from customer_profiles.monitoring.alerts.sources import read_outages
from customer_profiles.monitoring.health.model import Status
from customer_profiles.monitoring.health.survey import SERVERS, Survey
from customer_profiles.monitoring.settings import Settings
from customer_profiles.search.alert_index import ALERTS
from customer_profiles.search.client import ElasticsearchConfig, connect, translate_errors
from customer_profiles.search.mapping import ALIAS
from customer_profiles.search.metrics_indices import METRICS_INDICES
from customer_profiles.telemetry.exposition import Family, labels_of, render
from customer_profiles.telemetry.registry import Registry
from customer_profiles.telemetry.textfile import FOLDER

logger = logging.getLogger(__name__)


def record_survey(registry: Registry, survey: Survey, now: datetime) -> None:
    """Set what one look found."""
    registry.clear("health")
    for component in survey.components:
        registry.set("health", component.status.rank, component=component.name)
        if component.name in SERVERS:
            registry.set("up", int(component.status is not Status.DOWN), server=component.name)
        if component.name == "disk":
            registry.set("disk_free_bytes", component.numbers["free_bytes"])
    if survey.lag is None:
        # An old value would hide that nobody knows.
        registry.clear("lag_messages")
        registry.clear("lag_seconds")
    else:
        for partition, messages in survey.lag.messages.items():
            registry.set("lag_messages", messages, partition=str(partition))
        registry.set("lag_seconds", round(survey.lag.seconds, 1))
    registry.set("observed_timestamp_seconds", round(now.timestamp(), 3))


def record_alerts(registry: Registry, state: NotifierState) -> None:
    """Count the alerts that are firing."""
    for severity in Severity:
        firing = [
            known
            for known in state.alerts
            if known.over is None and known.alert.severity is severity
        ]
        registry.set("open_alerts", len(firing), severity=severity.value)


def record_outages(registry: Registry, reports: Path) -> None:
    """Set since when commands wait for servers."""
    registry.clear("outage_start_timestamp_seconds")
    for entry in read_outages(reports):
        try:
            since = datetime.fromisoformat(str(entry["since"])).timestamp()
            server, command = str(entry["server"]), str(entry["command"])
        except (KeyError, ValueError):
            continue
        registry.set("outage_start_timestamp_seconds", round(since), server=server, command=command)


def record_sizes(registry: Registry, settings: Settings, survey: Survey) -> None:
    """Count objects and bytes in the lake, and documents in the indices, where those answer."""
    try:
        if _answers(survey, "minio"):
            _record_lake(registry, S3ObjectStore(S3Config.from_settings(settings)))
        if _answers(survey, "elasticsearch"):
            _record_indices(registry, ElasticsearchConfig.from_settings(settings))
    except PipelineError as error:
        logger.debug("sizes are unknown: %s", first_line(error))


def _answers(survey: Survey, name: str) -> bool:
    component = survey.component(name)
    return component is not None and component.status is not Status.DOWN


def _record_lake(registry: Registry, store: ObjectStore) -> None:
    objects: dict[str, int] = defaultdict(int)
    sizes: dict[str, int] = defaultdict(int)
    for name, size in store.list_sizes("").items():
        folder = name.partition("/")[0]
        objects[folder] += 1
        sizes[folder] += size
    for folder, count in objects.items():
        registry.set("lake_objects", count, folder=folder)
        registry.set("lake_bytes", sizes[folder], folder=folder)


def _record_indices(registry: Registry, config: ElasticsearchConfig) -> None:
    client = connect(config)
    with translate_errors(config.url):
        for index in (ALIAS, *METRICS_INDICES, ALERTS):
            answer = client.count(index=index, ignore_unavailable=True, allow_no_indices=True)
            registry.set("index_documents", int(answer.body["count"]), index=index)


def textfile_families(reports: Path) -> Iterator[Metric]:
    """Yield the metrics in the files of runs that ended, and of the supervisor.

    A file that is no exposition is left out.
    """
    for path in sorted((reports / FOLDER).glob("*.prom")):
        try:
            yield from list(text_string_to_metric_families(path.read_text()))
        except (OSError, ValueError) as error:
            logger.warning("%s is no file of metrics: %s", path, error)


def render_all(registry: Registry, reports: Path) -> str:
    """Return the service's own metrics and those of the files, each metric once."""
    families = {family.name: family for family in registry.families()}
    for metric in textfile_families(reports):
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        samples = {
            (sample.name, labels_of(sample.labels)): sample.value for sample in metric.samples
        }
        known = families.get(name)
        merged = {**samples, **(known.samples if known else {})}
        families[name] = Family(name, metric.type, metric.documentation, merged)
    return render(families.values())
