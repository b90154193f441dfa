"""Which findings are open: those of the newest closed day, and the news about older ones. Pure.

Rows that come late, and repeats, change days that were closed before. A finding of an older day is
news if the last evaluation did not have it, or had another value. It stays open until another day
closes. The first evaluation of a lake has no news, because its history is none.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta

from customer_profiles.quality.findings import Finding, OpenFindings

GRACE = timedelta(hours=1)
"""How long after its end a day counts as closed, if no later event has come."""
SAME = 0.01
"""A value of an older day that changes by a smaller part than this is no news."""


def open_findings(
    findings: Iterable[Finding],
    newest: date | None,
    before: OpenFindings | None,
    through_batch: int,
    now: datetime,
) -> OpenFindings:
    """Return what is open after an evaluation.

    Args:
        findings: all findings of closed days.
        newest: the newest closed day.
        before: what the last evaluation left; None for the first.
        through_batch: the newest micro-batch that was evaluated.
        now: the current time, UTC.
    """
    everything = list(findings)
    same_day = before is not None and before.evaluated_through == newest
    told = {each.document_id for each in before.findings} if before and same_day else set()
    of_newest = [each for each in everything if each.day == newest]
    news = [
        each
        for each in everything
        if each.day != newest and (each.document_id in told or _is_news(each, before))
    ]
    return OpenFindings(
        newest,
        (*of_newest, *sorted(news, key=lambda each: each.day, reverse=True)),
        {each.document_id: each.value for each in everything},
        through_batch,
        now,
    )


def is_due(
    before: OpenFindings | None, through_batch: int, now: datetime, patience: timedelta
) -> bool:
    """Tell whether an evaluation may find something else than the last one.

    Args:
        before: what the last evaluation left; None before the first.
        through_batch: the newest micro-batch.
        now: the current time, UTC.
        patience: how old the last evaluation has to be before new rows make another one due. A
            stream brings some every few seconds.
    """
    if before is None or before.evaluated_at is None:
        return through_batch > 0
    if (before.evaluated_at - GRACE).date() != (now - GRACE).date():
        return True
    return before.through_batch != through_batch and now - before.evaluated_at >= patience


def _is_news(finding: Finding, before: OpenFindings | None) -> bool:
    if before is None or before.evaluated_through is None or before.evaluated_at is None:
        # The object of an older version does not say what it knew.
        return False
    known = before.known.get(finding.document_id)
    return known is None or abs(finding.value - known) > SAME * max(abs(known), abs(finding.value))
