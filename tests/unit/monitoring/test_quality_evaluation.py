"""From the lake's statistics to findings, and what is kept and shown of them."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import polars as pl
import pytest

from customer_profiles.common.console import rich_console
from customer_profiles.common.errors import PipelineError
from customer_profiles.lake import quality
from customer_profiles.lake.batch_log import BatchLog, LandedBatch
from customer_profiles.lake.layout import QUALITY_FINDINGS_PREFIX, QUALITY_OPEN, QUARANTINE, STATE
from customer_profiles.lake.quarantine import HeldBatch, Quarantine, read_quarantine
from customer_profiles.monitoring.alerts.sources import component_alerts, finding_alerts
from customer_profiles.monitoring.health.model import Status
from customer_profiles.monitoring.health.pipeline import check_profiles
from customer_profiles.monitoring.quality.cli import print_evaluation
from customer_profiles.monitoring.quality.evaluation import Evaluation, evaluate_lake, keep
from customer_profiles.monitoring.quality.routine import declare_holding
from customer_profiles.monitoring.quality.rows import parse_name
from customer_profiles.quality import customers, statistics
from customer_profiles.quality.checks import DEFAULT_CHECKS, Check, Threshold
from customer_profiles.quality.findings import OpenFindings, Severity
from customer_profiles.quality.history import Series
from customer_profiles.quality.quarantine import check_from_json
from tests.support import MemoryObjectStore

pytestmark = pytest.mark.unit
FIRST, DAYS, ROWS = date(2021, 1, 4), 40, 480
NOW = datetime(2021, 2, 13, 12, tzinfo=UTC)
NEWEST = FIRST + timedelta(DAYS - 1)


def day_of_events(day: date, brandless: int) -> pl.DataFrame:
    """Events around the clock, each by a customer of its own."""
    start = datetime.combine(day, datetime.min.time(), UTC)
    number = pl.int_range(ROWS)
    return pl.select(
        (pl.lit(start) + pl.duration(minutes=number * 3))
        .cast(pl.Datetime("us", "UTC"))
        .alias("event_time"),
        pl.lit("view").alias("event_type"),
        pl.lit("1").alias("category_id"),
        pl.lit("auto").alias("category_code"),
        pl.lit("auto").alias("category_root"),
        pl.when(number < brandless).then(None).otherwise(pl.lit("bosch")).alias("brand"),
        pl.lit(Decimal("10.0000"), pl.Decimal(18, 4)).alias("price"),
        pl.lit("shop").alias("source"),
        pl.lit(0, pl.Int32).alias("kafka_partition"),
        (pl.lit(f"{day} ") + number.cast(pl.String)).alias("user_id"),
        pl.lit("s").alias("user_session"),
    )


@pytest.fixture(scope="module")
def evaluated() -> tuple[MemoryObjectStore, Evaluation]:
    store = MemoryObjectStore()
    log = BatchLog(store)
    days = []
    for number in range(DAYS):
        events = day_of_events(FIRST + timedelta(number), 400 if number == DAYS - 1 else 100)
        batch = log.plan({0: (number * ROWS, (number + 1) * ROWS)}, 1)
        rows = statistics.summarise_rows(events)
        arrived = statistics.arrived_rows(rows, NOW)
        quality.write_batch(store, batch.number, statistics.add_up([rows, arrived]), None)
        log.commit(batch, LandedBatch(ROWS, 0, {0: ROWS}))
        days += [customers.summarise_stored(events), customers.summarise_customers(events)]
    quality.write_days(store, 0, customers.add_up(days), DAYS)
    store.put_json(STATE, {"buckets": {"00": {"total_events": DAYS * ROWS}}})
    return store, evaluate_lake(store, DEFAULT_CHECKS, (), NOW)


def test_the_newest_closed_day_has_the_finding(
    evaluated: tuple[MemoryObjectStore, Evaluation],
) -> None:
    _, evaluation = evaluated
    assert (evaluation.newest, evaluation.missing) == (NEWEST, [])
    (finding,) = evaluation.findings
    assert (finding.check, finding.field, finding.day) == ("null_share", "brand", NEWEST)


def test_findings_are_kept_and_those_that_are_over_go(
    evaluated: tuple[MemoryObjectStore, Evaluation],
) -> None:
    store, evaluation = evaluated
    stale = f"{QUALITY_FINDINGS_PREFIX}2020-01-01.json"
    store.put_json(stale, {"findings": []})
    keep(store, evaluation)
    assert store.get_record(QUALITY_OPEN, OpenFindings.from_json) == evaluation.open
    assert list(store.list_objects(QUALITY_FINDINGS_PREFIX)) == [
        f"{QUALITY_FINDINGS_PREFIX}{NEWEST}.json"
    ]


def test_profiles_that_lack_events_are_found(
    evaluated: tuple[MemoryObjectStore, Evaluation],
) -> None:
    store, _ = evaluated
    store.put_json(STATE, {"buckets": {"00": {"total_events": DAYS * ROWS - 7}}})
    found = evaluate_lake(store, DEFAULT_CHECKS, (), NOW).findings
    assert [each.value for each in found if each.check == "profile_sums"] == [-7]


def test_a_day_that_is_not_over_is_not_judged(
    evaluated: tuple[MemoryObjectStore, Evaluation],
) -> None:
    store, _ = evaluated
    early = datetime.combine(NEWEST, datetime.min.time(), UTC) + timedelta(hours=24, minutes=30)
    assert evaluate_lake(store, DEFAULT_CHECKS, (), early).newest == NEWEST - timedelta(1)


def test_people_see_what_was_found_and_how_to_see_its_rows(
    evaluated: tuple[MemoryObjectStore, Evaluation],
) -> None:
    output = io.StringIO()
    console = rich_console(file=output, width=140)
    print_evaluation(evaluated[1], DEFAULT_CHECKS, console)
    assert "83.3 % rows without brand" in output.getvalue()
    assert f"make quality SHOW=null_share/brand@{NEWEST}" in output.getvalue()


def test_the_name_of_a_value_is_read_or_refused() -> None:
    assert parse_name("null_share/brand@2021-01-05") == (
        Series("null_share", "brand"),
        date(2021, 1, 5),
    )
    for wrong in ("brand@2021-01-05", "volume", "volume@2021-13-05"):
        with pytest.raises(PipelineError):
            parse_name(wrong)


def test_the_checks_that_hold_batches_back_are_declared_once() -> None:
    store = MemoryObjectStore()
    declare_holding(store, DEFAULT_CHECKS, ())
    assert QUARANTINE not in store.objects
    prices = Check("price_tail", Severity.QUARANTINE, threshold=Threshold(high=5_000))
    for _ in range(2):
        declare_holding(store, [*DEFAULT_CHECKS, prices], [NEWEST])
    declared = read_quarantine(store)
    assert declared is not None
    assert [check_from_json(each) for each in declared.checks] == [prices]
    assert declared.special_days == (NEWEST.isoformat(),)
    declare_holding(store, DEFAULT_CHECKS, ())
    assert read_quarantine(store) == Quarantine()


def test_what_waits_is_unhealthy_and_an_alert_names_the_command() -> None:
    store = MemoryObjectStore()
    held = HeldBatch(12, "2026-11-29T10:00:00+00:00", ("1,000.00 median price",))
    store.put_json(QUARANTINE, Quarantine(held=held).to_json())
    (component,) = [each for each in check_profiles(store) if each.name == "quarantine"]
    assert component.status is Status.DEGRADED
    (alert,) = component_alerts([component])
    assert (alert.name, alert.command) == ("BatchWaits", "make quality ACCEPT=12")
    assert "1,000.00 median price" in alert.summary


def test_a_finding_of_several_days_is_one_alert_that_tells_of_the_newest(
    evaluated: tuple[MemoryObjectStore, Evaluation],
) -> None:
    (finding,) = evaluated[1].findings
    older = replace(finding, day=NEWEST - timedelta(3), message="older")
    store = MemoryObjectStore()
    store.put_json(QUALITY_OPEN, OpenFindings(NEWEST, (finding, older)).to_json())
    (alert,) = finding_alerts(store)
    assert alert.details["day"] == NEWEST.isoformat()
