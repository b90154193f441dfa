"""How alerts reach people: addresses of Apprise, or Alertmanager."""

from __future__ import annotations

import json
import logging
import urllib.error
import urllib.request
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from customer_profiles.common.errors import PipelineError
from customer_profiles.monitoring.alerts.model import Alert

TIMEOUT_S = 10.0

logger = logging.getLogger(__name__)


class Sender(Protocol):
    """Delivers a message to people."""

    def send(self, title: str, body: str) -> bool:
        """Deliver a message; return whether it reached at least one address."""
        ...


class AppriseSender:
    """Sends to the addresses of `ALERT_URLS`, in the forms that Apprise reads.

    The addresses hold secrets. Messages name their number and their service alone.

    Raises:
        PipelineError: an address has no form that Apprise knows.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        # Apprise imports a hundred services, which takes a second.
        import apprise  # noqa: PLC0415

        # Apprise's own records may quote what a service answers.
        logging.getLogger("apprise").setLevel(logging.CRITICAL)
        self._services: list[Any] = []
        for number, url in enumerate(urls, 1):
            service = apprise.Apprise.instantiate(url, suppress_exceptions=True)
            if service is None:
                raise PipelineError(
                    f"Address {number} of ALERT_URLS has no form that Apprise knows.\n"
                    "Correct it in .env; docs/monitoring.md has examples."
                )
            self._services.append(service)

    @property
    def names(self) -> list[str]:
        """The services, such as Slack, in the order of the addresses."""
        return [str(service.service_name) for service in self._services]

    def send(self, title: str, body: str) -> bool:
        """Deliver a message; return whether it reached at least one address."""
        delivered = 0
        for number, service in enumerate(self._services, 1):
            try:
                succeeded = bool(service.notify(body=body, title=title))
            except Exception:  # a plugin may raise whatever its libraries raise
                succeeded = False
            delivered += succeeded
            if not succeeded:
                logger.warning(
                    "address %d of ALERT_URLS (%s) did not take the message",
                    number,
                    service.service_name,
                    extra={"event": "alert_not_delivered", "address": number},
                )
        return delivered > 0


class AlertmanagerClient:
    """Posts alerts to Alertmanager, which groups, silences, repeats and delivers them.

    Args:
        url: where Alertmanager answers.
        lasts: how long an alert counts as firing after it was posted. It is posted again sooner.
    """

    def __init__(self, url: str, lasts: timedelta = timedelta(minutes=5)) -> None:
        self._url = url.rstrip("/")
        self._lasts = lasts

    def post(self, firing: Iterable[Alert], over: Iterable[Alert], now: datetime) -> None:
        """Post what is firing, and what is over.

        Raises:
            PipelineError: Alertmanager does not answer, or refuses.
        """
        alerts = [alert_json(alert, now + self._lasts) for alert in firing]
        alerts += [alert_json(alert, now) for alert in over]
        if not alerts:
            return
        request = urllib.request.Request(
            f"{self._url}/api/v2/alerts",
            json.dumps(alerts).encode(),
            {"content-type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S):
                pass
        except urllib.error.HTTPError as error:
            raise PipelineError(
                f"Alertmanager on {self._url} refused the alerts ({error.code}).\n"
                "See its log, and ALERTMANAGER_URL in .env."
            ) from error
        except OSError as error:
            raise PipelineError(
                f"Alertmanager does not answer on {self._url}: {error}.\n"
                "Run `make status`, or correct ALERTMANAGER_URL in .env."
            ) from error


def alert_json(alert: Alert, ends: datetime) -> dict[str, Any]:
    """Return an alert as Alertmanager's API takes it."""
    labels = {
        **alert.labels,
        "alertname": alert.name,
        "severity": alert.severity.value,
        # Labels identify an alert, so alerts with the same fingerprint are one.
        "fingerprint": alert.fingerprint,
    }
    return {
        "labels": {name: value for name, value in labels.items() if value},
        "annotations": {"summary": alert.summary, "command": alert.command},
        "endsAt": ends.isoformat(timespec="milliseconds"),
    }
