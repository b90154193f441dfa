"""One look at everything: the components of `make health`, and what metrics and alerts need."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from customer_profiles.common.clock import now_utc
from customer_profiles.common.errors import PipelineError
from customer_profiles.lake.s3 import S3Config, S3ObjectStore
from customer_profiles.monitoring.alerts.model import NotifierState, Severity
from customer_profiles.monitoring.alerts.notifier import is_silenced
from customer_profiles.monitoring.alerts.store import NotifierStore
from customer_profiles.monitoring.health import pipeline, servers
from customer_profiles.monitoring.health.model import Component, Status
from customer_profiles.monitoring.health.pipeline import Lag
from customer_profiles.monitoring.settings import Settings

SERVERS = ("kafka", "minio", "elasticsearch", "spark")


@dataclass(frozen=True, slots=True)
class Survey:
    """What one look found."""

    components: tuple[Component, ...]
    lag: Lag | None
    """None if Kafka or MinIO does not answer."""
    alerts: NotifierState | None
    """None if MinIO does not answer."""

    def component(self, name: str) -> Component | None:
        """Return a component by its name."""
        return next((each for each in self.components if each.name == name), None)


def look(settings: Settings, clock: Callable[[], datetime] = now_utc) -> Survey:
    """Look at every server at once, then at what the lake and the reports say."""
    with ThreadPoolExecutor(4) as pool:
        kafka = pool.submit(servers.check_kafka, settings)
        others = [
            pool.submit(check, settings)
            for check in (servers.check_minio, servers.check_elasticsearch, servers.check_spark)
        ]
        kafka_component, watermarks = kafka.result()
        minio, elasticsearch, spark = (each.result() for each in others)
    components = [kafka_component, minio, elasticsearch, spark]
    lag: Lag | None = None
    alerts: NotifierState | None = None
    now = clock()
    if minio.status is Status.OK:
        store = S3ObjectStore(S3Config.from_settings(settings))
        if watermarks is not None:
            try:
                lag = pipeline.measure_lag(settings, store, watermarks, now)
                components.append(pipeline.check_lag(settings, lag))
            except PipelineError as error:
                components.append(pipeline.unknown("lag", error))
        try:
            components += pipeline.check_profiles(store)
            alerts = NotifierStore(store, settings.reports).read()
        except PipelineError as error:
            components.append(pipeline.unknown("profiles", error))
    components += pipeline.check_runs(settings.reports)
    components.append(pipeline.check_disk(settings))
    if alerts is not None:
        components.append(check_alerts(alerts, now))
    return Survey(tuple(components), lag, alerts)


def check_alerts(state: NotifierState, now: datetime) -> Component:
    """Count the alerts that are firing and not silenced."""
    firing = [
        known.alert
        for known in state.alerts
        if known.over is None and not is_silenced(known.alert, state.silences, now)
    ]
    critical = sum(alert.severity is Severity.CRITICAL for alert in firing)
    numbers = {"firing": float(len(firing)), "critical": float(critical)}
    if not firing:
        return Component("alerts", Status.OK, "none is firing", numbers=numbers)
    message = f"{len(firing)} firing, {critical} of them critical"
    return Component("alerts", Status.DEGRADED, message, "make alerts", numbers)
