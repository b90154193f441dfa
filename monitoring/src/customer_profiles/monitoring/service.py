"""The monitoring service: looks at everything every minute, serves metrics and tells people."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from customer_profiles.common.clock import now_utc
from customer_profiles.common.errors import PipelineError, first_line
from customer_profiles.lake.errors import LakeUnavailableError
from customer_profiles.lake.s3 import S3Config, S3ObjectStore
from customer_profiles.monitoring.alerts import notifier
from customer_profiles.monitoring.alerts.evaluate import (
    Evaluation,
    evaluate,
    explain_failure,
    post_to_alertmanager,
)
from customer_profiles.monitoring.alerts.index import index_states
from customer_profiles.monitoring.alerts.model import Alert
from customer_profiles.monitoring.alerts.senders import AlertmanagerClient, AppriseSender, Sender
from customer_profiles.monitoring.alerts.sources import (
    component_alerts,
    finding_alerts,
    outage_alerts,
)
from customer_profiles.monitoring.alerts.store import NotifierStore
from customer_profiles.monitoring.collector import (
    record_alerts,
    record_outages,
    record_sizes,
    record_survey,
    render_all,
)
from customer_profiles.monitoring.health.model import Status, worst
from customer_profiles.monitoring.health.survey import Survey, look
from customer_profiles.monitoring.quality.routine import evaluate_if_due
from customer_profiles.monitoring.settings import Settings
from customer_profiles.search.client import ElasticsearchConfig
from customer_profiles.telemetry.registry import Registry

logger = logging.getLogger(__name__)


class Monitor:
    """Looks, evaluates and remembers, for the service and for `make alerts`.

    Args:
        settings: where everything is.
        clock: returns the current time.

    Raises:
        PipelineError: an address of `ALERT_URLS` has no form that Apprise knows.
    """

    def __init__(self, settings: Settings, clock: Callable[[], datetime] = now_utc) -> None:
        self.settings = settings
        self.registry = Registry()
        self.survey: Survey | None = None
        self._clock = clock
        self._store = S3ObjectStore(S3Config.from_settings(settings))
        self.notifier = NotifierStore(self._store, settings.reports)
        self._sender = sender_of(settings)
        self._policy = notifier.Policy(
            timedelta(seconds=settings.alert_repeat_s), timedelta(seconds=settings.alert_group_s)
        )
        self._findings: list[Alert] = []

    def look(self) -> Survey:
        """Look at everything, and set the metrics."""
        self.survey = survey = look(self.settings, self._clock)
        record_survey(self.registry, survey, self._clock())
        record_outages(self.registry, self.settings.reports)
        record_sizes(self.registry, self.settings, survey)
        return survey

    def evaluate(self, survey: Survey) -> Evaluation:
        """Find what is firing, and tell people, or Alertmanager.

        Raises:
            PipelineError: Alertmanager does not answer.
        """
        try:
            self._evaluate_quality()
            self._findings = finding_alerts(self._store)
        except PipelineError as error:
            # The findings are those of before, so nobody is told that they are over.
            explain_failure(error)
        if self.settings.alertmanager_url:
            # Prometheus' rules cover the rest.
            client = AlertmanagerClient(
                self.settings.alertmanager_url,
                timedelta(seconds=max(300.0, 4 * self.settings.alert_interval_s)),
            )
            evaluation = post_to_alertmanager(self.notifier, self._findings, client, self._clock)
        else:
            alerts = [
                *self._findings,
                *component_alerts(survey.components),
                *outage_alerts(self.settings.reports, self._clock()),
            ]
            evaluation = evaluate(self.notifier, alerts, self._sender, self._policy, self._clock)
        record_alerts(self.registry, evaluation.state)
        if evaluation.delivered is not None:
            result = "delivered" if evaluation.delivered else "failed"
            self.registry.increase("notifications_total", result=result)
        config = ElasticsearchConfig.from_settings(self.settings)
        index_states(config, self.notifier, evaluation, survey, self._clock())
        return evaluation

    def _evaluate_quality(self) -> None:
        """Evaluate the checks of data quality if it is time to. A failure costs no alert."""
        try:
            evaluate_if_due(self.settings, self._store, self._clock())
        except LakeUnavailableError:
            raise
        except PipelineError as error:
            logger.warning(
                "data quality was not evaluated: %s",
                first_line(error),
                extra={"event": "quality_failed"},
            )

    def run_once(self) -> None:
        """Look and evaluate; a failure is logged, because the next time may work."""
        try:
            self.evaluate(self.look())
        except PipelineError as error:
            self.registry.increase("evaluations_total", result="failed")
            explain_failure(error)
        else:
            self.registry.increase("evaluations_total", result="succeeded")

    def render(self) -> str:
        """Return all metrics in the text format."""
        return render_all(self.registry, self.settings.reports)

    def page(self, path: str) -> tuple[int, str, str] | None:
        """Answer the paths of health: status, media type and text."""
        if path == "/health/live":
            return 200, "application/json", '{"status": "ok"}\n'
        if path != "/health/ready":
            return None
        if self.survey is None:
            return 503, "application/json", '{"status": "starting"}\n'
        status = worst(self.survey.components)
        content = health_json(self.survey)
        code = 503 if status is Status.DOWN else 200
        return code, "application/json", json.dumps(content, indent=1) + "\n"


def sender_of(settings: Settings) -> Sender | None:
    """Return what delivers messages; None if nobody is to be told.

    Raises:
        PipelineError: an address of `ALERT_URLS` has no form that Apprise knows.
    """
    return AppriseSender(settings.addresses) if settings.addresses else None


def health_json(survey: Survey) -> dict[str, object]:
    """Return what `make health FORMAT=json` prints."""
    return {
        "status": worst(survey.components).value,
        "components": [component.to_json() for component in survey.components],
    }


def watch(monitor: Monitor, stop: threading.Event) -> None:
    """Look and evaluate until told to stop."""
    while not stop.is_set():
        monitor.run_once()
        stop.wait(monitor.settings.alert_interval_s)
