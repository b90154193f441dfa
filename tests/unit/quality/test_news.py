"""Which findings are open, and when another evaluation is due."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from customer_profiles.quality.findings import Finding, OpenFindings, Severity
from customer_profiles.quality.news import is_due, open_findings

pytestmark = pytest.mark.unit
DAY = date(2021, 1, 5)
NOW = datetime(2021, 1, 6, 12, tzinfo=UTC)


def late(day: date, value: float = 0.1) -> Finding:
    return Finding(
        check="late_share",
        dataset="raw_events",
        field=None,
        day=day,
        severity=Severity.WARN,
        value=value,
        expected=None,
        expected_low=None,
        expected_high=0.05,
        since=day,
        times_before=0,
        message="late",
        command="make quality",
    )


def days_of(found: OpenFindings) -> list[date]:
    return [each.day for each in found.findings]


def test_the_history_of_a_lake_is_no_news() -> None:
    older = late(DAY - timedelta(30))
    first = open_findings([older, late(DAY)], DAY, None, 1, NOW)
    assert days_of(first) == [DAY]
    assert days_of(open_findings([older], DAY, first, 2, NOW)) == []


def test_rows_that_change_an_older_day_are_news_until_another_day_closes() -> None:
    before = open_findings([], DAY, None, 1, NOW)
    older = late(DAY - timedelta(3))
    found = open_findings([older], DAY, before, 2, NOW)
    again = open_findings([older], DAY, found, 2, NOW)
    assert days_of(found) == days_of(again) == [older.day]
    assert days_of(open_findings([older], DAY + timedelta(1), again, 3, NOW)) == []
    # More of them are news again.
    worse = open_findings([replace(older, value=0.2)], DAY + timedelta(1), again, 3, NOW)
    assert days_of(worse) == [older.day]


def test_news_that_later_rows_undo_are_over() -> None:
    before = open_findings([], DAY, None, 1, NOW)
    found = open_findings([late(DAY - timedelta(3))], DAY, before, 2, NOW)
    assert days_of(open_findings([], DAY, found, 3, NOW)) == []


def test_every_day_that_closes_at_once_is_told() -> None:
    before = open_findings([], DAY, None, 1, NOW)
    week = [late(DAY + timedelta(number)) for number in (3, 7)]
    found = open_findings(week, DAY + timedelta(7), before, 2, NOW)
    assert days_of(found) == [DAY + timedelta(7), DAY + timedelta(3)]


def test_what_is_open_is_read_as_it_was_written() -> None:
    found = open_findings([late(DAY)], DAY, None, 7, NOW)
    assert OpenFindings.from_json(found.to_json()) == found
    # As an older version wrote it.
    old = {"evaluated_through": "2021-01-05", "findings": []}
    assert OpenFindings.from_json(old) == OpenFindings(DAY)


@pytest.mark.parametrize(
    ("through_batch", "after", "due"),
    [
        (7, timedelta(hours=5), False),
        (8, timedelta(minutes=5), False),
        (8, timedelta(minutes=15), True),
        # The day of NOW is closed an hour after its end.
        (7, timedelta(hours=12, minutes=59), False),
        (7, timedelta(hours=13), True),
    ],
)
def test_new_rows_and_closed_days_make_an_evaluation_due(
    through_batch: int, after: timedelta, due: bool
) -> None:
    before = open_findings([], DAY, None, 7, NOW)
    assert is_due(before, through_batch, NOW + after, timedelta(minutes=15)) == due


def test_a_lake_without_rows_is_not_evaluated() -> None:
    assert not is_due(None, 0, NOW, timedelta(0))
    assert is_due(None, 1, NOW, timedelta(0))
