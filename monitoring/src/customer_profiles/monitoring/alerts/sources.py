"""Where alerts come from: findings of data quality, the health of components, and outages."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from customer_profiles.common.errors import first_line
from customer_profiles.lake.errors import DamagedObjectError
from customer_profiles.lake.object_store import ObjectStore
from customer_profiles.monitoring.alerts.model import Alert, Severity
from customer_profiles.monitoring.health.model import Component, Status
from customer_profiles.quality.findings import Finding, OpenFindings
from customer_profiles.quality.findings import Severity as QualitySeverity

QUALITY_OPEN = "quality/open.json"
"""What the newest evaluation of data quality found."""
OUTAGES = "outages.json"
"""What a command that waits for a server says, beside the reports."""
_NAMES = {
    "kafka": "ServerDown",
    "minio": "ServerDown",
    "elasticsearch": "ServerDown",
    "spark": "ServerDown",
    "lag": "EventsWait",
    "index": "IndexBehind",
    "profiles": "ProfilesFailed",
    "rebuild": "RebuildUnfinished",
    "quarantine": "BatchWaits",
    "disk": "DiskFull",
}
"""The names of alerts by component. Prometheus' rules in deploy/monitoring use the same."""

logger = logging.getLogger(__name__)


def finding_alerts(store: ObjectStore) -> list[Alert]:
    """Return an alert for each finding that is open and explains itself.

    Raises:
        LakeUnavailableError: MinIO does not answer.
    """
    try:
        found = store.get_record(QUALITY_OPEN, OpenFindings.from_json)
    except DamagedObjectError as error:
        summary = first_line(error)
        name = "QualityUnknown"
        return [Alert(f"lake|{name}", name, Severity.WARNING, summary, "make verify")]
    if found is None:
        return []
    own = sorted(
        (each for each in found.findings if each.explained_by is None), key=lambda each: each.day
    )
    # The same finding of several days is one alert, which tells of the newest.
    return list({each.fingerprint: finding_alert(each) for each in own}.values())


def finding_alert(finding: Finding) -> Alert:
    """Return the alert of a finding."""
    is_warning = finding.severity is QualitySeverity.WARN
    before = f" It was so {finding.times_before} times before." if finding.times_before else ""
    labels = {
        "dataset": finding.dataset,
        "check": finding.check,
        "field": finding.field or "",
        **finding.labels,
    }
    return Alert(
        fingerprint=finding.fingerprint,
        name="DataQuality",
        severity=Severity.WARNING if is_warning else Severity.CRITICAL,
        summary=f"{finding.message} Since {finding.since.isoformat()}.{before}",
        command=finding.command,
        labels={name: value for name, value in labels.items() if value},
        details={
            "day": finding.day.isoformat(),
            "value": finding.value,
            "expected": finding.expected,
            "expected_low": finding.expected_low,
            "expected_high": finding.expected_high,
            "times_before": finding.times_before,
        },
    )


def component_alerts(components: Iterable[Component]) -> list[Alert]:
    """Return an alert for each component that is not healthy."""
    return [
        Alert(
            fingerprint=f"component|{component.name}",
            name=_NAMES.get(component.name, "RunFailed"),
            severity=Severity.CRITICAL if component.status is Status.DOWN else Severity.WARNING,
            summary=f"{component.name}: {component.message}.",
            command=component.command or "make health",
            labels={"component": component.name},
        )
        for component in components
        # The component `alerts` counts them. What is unknown has its cause in another component.
        if component.status is not Status.OK
        and component.name != "alerts"
        and not component.message.startswith("unknown: ")
    ]


def read_outages(reports: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the outages that last; nothing for a file that is missing or broken."""
    try:
        entries = json.loads((reports / OUTAGES).read_text())["outages"]
        yield from [entry for entry in entries if entry["until"] is None and entry["since"]]
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return


def outage_alerts(reports: Path, now: datetime) -> list[Alert]:
    """Return an alert for each server that a command has waited for longer than it says."""
    alerts = []
    for entry in read_outages(reports):
        try:
            since = datetime.fromisoformat(str(entry["since"]))
            waited = (now - since).total_seconds()
            limit = float(entry.get("alert_after_s") or 0)
        except (ValueError, TypeError):
            continue
        if waited < limit and not entry.get("alerted_at"):
            continue
        server, command = str(entry.get("server")), str(entry.get("command"))
        alerts.append(
            Alert(
                fingerprint=f"outage|{command}|{server}",
                name="WaitsForServer",
                severity=Severity.CRITICAL,
                summary=f"The {command} waits for {server} since {since:%Y-%m-%d %H:%M:%S} UTC.",
                command="make status",
                labels={"server": server, "command": command},
            )
        )
    return alerts
