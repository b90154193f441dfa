"""One evaluation: what is firing now, what people are told of it, and what the index shows."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from customer_profiles.common.clock import now_utc
from customer_profiles.common.errors import PipelineError, first_line
from customer_profiles.monitoring.alerts import notifier
from customer_profiles.monitoring.alerts.model import Alert, AlertState, Message, NotifierState
from customer_profiles.monitoring.alerts.notifier import Policy
from customer_profiles.monitoring.alerts.senders import AlertmanagerClient, Sender
from customer_profiles.monitoring.alerts.store import NotifierStore
from customer_profiles.monitoring.alerts.texts import body_of, title_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What an evaluation did."""

    state: NotifierState
    message: Message
    delivered: bool | None
    """Whether a message was delivered; None if there was none, or nobody to tell."""
    gone: tuple[AlertState, ...] = ()
    """Alerts that were over before anybody was told."""


def evaluate(
    store: NotifierStore,
    alerts: Iterable[Alert],
    sender: Sender | None,
    policy: Policy,
    clock: Callable[[], datetime] = now_utc,
) -> Evaluation:
    """Remember what is firing, and tell people what they should know.

    The state says who is sending before a message is sent, so two processes send it once. A message
    that was not delivered is sent by the next evaluation.

    Args:
        store: the remembered state.
        alerts: what is firing now.
        sender: delivers messages; None if there is nobody to tell.
        policy: how often people are told.
        clock: returns the current time.

    Raises:
        LakeUnavailableError: MinIO does not answer.
    """
    now = _whole_second(clock())
    firing = tuple(alerts)
    pending = Message()
    gone: tuple[AlertState, ...] = ()

    def claim(state: NotifierState) -> NotifierState:
        nonlocal pending, gone
        observed = notifier.observe(state, firing, now)
        gone = _gone(state, observed, now)
        pending = notifier.next_message(observed, policy, now)
        if not pending:
            return observed
        if sender is None:
            return notifier.sent(observed, pending, now)
        return notifier.sending(observed, now)

    state = store.change(claim)
    if sender is None or not pending:
        return Evaluation(state, pending, None, gone)
    delivered = sender.send(title_of(pending), body_of(pending))
    message = pending
    state = store.change(
        lambda state: notifier.sent(state, message, now) if delivered else notifier.not_sent(state)
    )
    return Evaluation(state, message, delivered, gone)


def post_to_alertmanager(
    store: NotifierStore,
    alerts: Iterable[Alert],
    client: AlertmanagerClient,
    clock: Callable[[], datetime] = now_utc,
) -> Evaluation:
    """Post what is firing and what is over to Alertmanager, which does everything else.

    Raises:
        LakeUnavailableError: MinIO does not answer.
        PipelineError: Alertmanager does not answer, or refuses. The next evaluation tries again.
    """
    now = _whole_second(clock())
    firing = tuple(alerts)
    gone: tuple[AlertState, ...] = ()

    def observe(state: NotifierState) -> NotifierState:
        nonlocal gone
        observed = notifier.observe(state, firing, now)
        # Of the state that is replaced: another process may have changed it a moment ago.
        gone = _gone(state, observed, now)
        return observed

    state = store.change(observe)
    over = [known for known in state.alerts if known.over is not None]
    client.post(firing, [known.alert for known in (*over, *gone)], now)
    message = Message(new=_untold(state), over=tuple(over))
    state = store.change(lambda state: notifier.sent(state, message, now))
    return Evaluation(state, message, bool(message) or None, gone)


def _whole_second(moment: datetime) -> datetime:
    """Return a time as the lake keeps it, so that a period has one beginning for everybody."""
    return moment.replace(microsecond=0)


def _gone(before: NotifierState, after: NotifierState, now: datetime) -> tuple[AlertState, ...]:
    kept = {known.alert.fingerprint for known in after.alerts}
    return tuple(
        replace(known, over=now) for known in before.alerts if known.alert.fingerprint not in kept
    )


def _untold(state: NotifierState) -> tuple[AlertState, ...]:
    return tuple(known for known in state.alerts if known.told is None and known.over is None)


def explain_failure(error: PipelineError) -> None:
    """Log why an evaluation failed; the next one tries again."""
    logger.warning(
        "the alerts were not evaluated: %s", first_line(error), extra={"event": "alerts_failed"}
    )
