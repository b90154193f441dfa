"""What `make health` and `make alerts` print."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from customer_profiles.common.console import printable_lines
from customer_profiles.monitoring.alerts.model import NotifierState, Severity
from customer_profiles.monitoring.alerts.notifier import is_silenced
from customer_profiles.monitoring.health.model import Component, Status, worst

_COLOURS = {Status.OK: "green", Status.DEGRADED: "yellow", Status.DOWN: "red"}


def print_health(components: Iterable[Component], console: Console) -> None:
    """Print one line per component, and the worst status."""
    components = tuple(components)
    table = Table(box=None, pad_edge=False, show_header=False)
    for component in components:
        colour = _COLOURS[component.status]
        message = printable_lines(component.message)
        if component.command:
            message += f"; next: {component.command}"
        table.add_row(component.name, Text(component.status.value, colour), Text(message))
    console.print(table)
    status = worst(components)
    console.print(Text.assemble("Altogether: ", (status.value, _COLOURS[status])))


def print_alerts(state: NotifierState, now: datetime, console: Console) -> None:
    """Print what is firing, since when, and how to silence it."""
    firing = [known for known in state.alerts if known.over is None]
    if not firing:
        console.print("No alert is firing.")
    for known in firing:
        alert = known.alert
        silenced = is_silenced(alert, state.silences, now)
        colour = "dim" if silenced else "red" if alert.severity is Severity.CRITICAL else "yellow"
        word = "silenced" if silenced else alert.severity.value
        since = f"  {alert.name}  since {known.since:%Y-%m-%d %H:%M} UTC"
        console.print(Text.assemble((word, colour), since))
        for line in (alert.summary, f"see: {alert.command}", f"alert: {alert.fingerprint}"):
            console.print(f"  {printable_lines(line)}", markup=False)
    if firing:
        console.print("Silence one: make alerts SILENCE='…' FOR=24h")
    for silence in state.silences:
        if silence.until > now:
            console.print(
                f"silenced until {silence.until:%Y-%m-%d %H:%M} UTC: {silence.pattern}",
                markup=False,
            )
