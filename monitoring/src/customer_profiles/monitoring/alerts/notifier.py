"""What is told to people and when: pure functions over the remembered state.

An alert is told once, again after `Policy.repeat` while it lasts, and once when it is over. What
begins, lasts or ends together goes into one message, and messages are at least `Policy.group`
apart. A silenced alert is not told. An alert that was over before anybody was told is forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from customer_profiles.monitoring.alerts.model import (
    Alert,
    AlertState,
    Message,
    NotifierState,
    Severity,
    Silence,
)

SENDING = timedelta(seconds=90)
"""How long a process may take to send a message before another one does."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How often people are told."""

    repeat: timedelta = timedelta(hours=4)
    """Before an alert that lasts is told again."""
    group: timedelta = timedelta(minutes=5)
    """Between two messages at least."""


def observe(state: NotifierState, alerts: Iterable[Alert], now: datetime) -> NotifierState:
    """Return the state with the alerts that are firing now, and without silences that have ended.

    An alert that comes back before people were told of its end goes on, so that one that flickers
    is one alert.
    """
    firing = {alert.fingerprint: alert for alert in alerts}
    kept: list[AlertState] = []
    for known in state.alerts:
        alert = firing.pop(known.alert.fingerprint, None)
        if alert is not None:
            kept.append(replace(known, alert=alert, seen=now, over=None))
        elif known.told is not None:
            kept.append(replace(known, over=known.over or now))
    kept += [AlertState(alert, since=now, seen=now) for alert in firing.values()]
    silences = tuple(silence for silence in state.silences if silence.until > now)
    return replace(state, alerts=tuple(kept), silences=silences)


def next_message(state: NotifierState, policy: Policy, now: datetime) -> Message:
    """Return what people are to be told now; an empty message for nothing."""
    if state.sent is not None and now - state.sent < policy.group:
        return Message()
    if state.sending_until is not None and now < state.sending_until:
        return Message()
    new, lasting, over = [], [], []
    for known in state.alerts:
        if is_silenced(known.alert, state.silences, now):
            continue
        if known.over is not None:
            over.append(known)
        elif known.told is None:
            new.append(known)
        elif now - known.told >= policy.repeat:
            lasting.append(known)
    return Message(_sorted(new), _sorted(lasting), _sorted(over))


def is_silenced(alert: Alert, silences: Iterable[Silence], now: datetime) -> bool:
    """Tell whether a silence covers an alert."""
    return any(silence.covers(alert, now) for silence in silences)


def sending(state: NotifierState, now: datetime) -> NotifierState:
    """Return the state that keeps other processes from sending the same message."""
    return replace(state, sending_until=now + SENDING)


def sent(state: NotifierState, message: Message, now: datetime) -> NotifierState:
    """Return the state after a message was delivered. Alerts whose end was told are forgotten."""
    told = {known.alert.fingerprint for known in (*message.new, *message.lasting)}
    over = {known.alert.fingerprint for known in message.over}
    alerts = tuple(
        replace(known, told=now) if known.alert.fingerprint in told else known
        for known in state.alerts
        if not (known.alert.fingerprint in over and known.over is not None)
    )
    return replace(state, alerts=alerts, sent=now, sending_until=None)


def not_sent(state: NotifierState) -> NotifierState:
    """Return the state after a message could not be delivered: the next evaluation tries again."""
    return replace(state, sending_until=None)


def silenced(state: NotifierState, pattern: str, until: datetime) -> NotifierState:
    """Return the state with a silence, which replaces an earlier one of the same pattern."""
    others = tuple(silence for silence in state.silences if silence.pattern != pattern)
    return replace(state, silences=(*others, Silence(pattern, until)))


def unsilenced(state: NotifierState, pattern: str) -> NotifierState:
    """Return the state without the silence of a pattern."""
    return replace(
        state, silences=tuple(each for each in state.silences if each.pattern != pattern)
    )


def _sorted(states: Sequence[AlertState]) -> tuple[AlertState, ...]:
    """Sort by severity, the worst first. The order is otherwise that of the first sight."""
    return tuple(sorted(states, key=lambda known: known.alert.severity != Severity.CRITICAL))
