"""Micro-batches that fail a check of severity quarantine: landed, and their profiles wait."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from customer_profiles.common.errors import PipelineError
from customer_profiles.lake.batch_log import BatchLog
from customer_profiles.lake.layout import QUARANTINE
from customer_profiles.lake.quarantine import Quarantine, change_quarantine, read_quarantine
from customer_profiles.processing.batch import process
from customer_profiles.processing.outcome import exit_code
from customer_profiles.processing.stages.plan import load_state
from customer_profiles.quality.checks import Check, Threshold
from customer_profiles.quality.findings import Severity
from customer_profiles.quality.quarantine import check_to_json
from tests.unit.processing.fakes import BUCKETS, Pipeline, message, user_in

PRICES = Check("price_median", Severity.QUARANTINE, threshold=Threshold(high=100))
Fill = Callable[[Pipeline], None]


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Pipeline:
    return Pipeline(monkeypatch, tmp_path)


def declare(pipeline: Pipeline, *checks: Check) -> None:
    entries = tuple(map(check_to_json, checks))
    change_quarantine(pipeline.store, lambda _: Quarantine(entries))


def accept(pipeline: Pipeline, batch: int) -> None:
    change_quarantine(pipeline.store, partial(Quarantine.with_accepted, batch=batch))


def produce(pipeline: Pipeline, price: str, source: str = "f.csv", rows: int = 24) -> None:
    """Produce events of a customer in each bucket."""
    for number in range(rows):
        user = user_in(number % BUCKETS)
        values = {"product_id": str(1_000 + number), "source": source, "source_row": number + 1}
        pipeline.topics.produce(message(user, price=price, **values))


def events_in_profiles(pipeline: Pipeline) -> int:
    return sum(each["total_events"] for each in pipeline.lake_profiles().values())


def test_a_batch_that_fails_is_landed_and_its_profiles_wait(pipeline: Pipeline) -> None:
    declare(pipeline, PRICES)
    produce(pipeline, "10.00")
    assert process(pipeline.context()).waiting == []
    produce(pipeline, "1000.00")
    report = process(pipeline.context())
    assert (report.events_landed, report.profiles_updated, report.events) == (24, 0, 24)
    assert report.degraded == ["profiles_waiting"]
    assert exit_code(report, None, None) == 3
    first, reason, action = report.waiting
    assert "The profiles lack batch 2 (24 events, all in the lake)" in first
    assert "median price on 2020-09-24; expected: at most 100.00" in reason
    assert "make quality ACCEPT=2" in action
    # Later batches wait as well, although they would pass.
    produce(pipeline, "12.00")
    assert "batches 2 to 3 (48 events" in process(pipeline.context()).waiting[0]
    assert events_in_profiles(pipeline) == 24
    pipeline.assert_index_equals_lake()


def test_an_accepted_batch_and_those_behind_it_become_profiles(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    declare(pipeline, PRICES)
    free = Pipeline(monkeypatch, tmp_path)
    for price in ("10.00", "1000.00", "12.00", "2000.00"):
        for each in (pipeline, free):
            each.topics.install(monkeypatch)
            monkeypatch.setattr(
                "customer_profiles.processing.metrics.MetricsIndices",
                lambda _, each=each: each.metrics_indices,
            )
            produce(each, price)
            process(each.context())
    pipeline.topics.install(monkeypatch)
    monkeypatch.setattr(
        "customer_profiles.processing.metrics.MetricsIndices", lambda _: pipeline.metrics_indices
    )
    accept(pipeline, 2)
    # The next one that fails waits in its turn.
    assert "batch 4 waits" in process(pipeline.context()).waiting[0]
    assert events_in_profiles(pipeline) == 72
    accept(pipeline, 4)
    report = process(pipeline.context())
    assert (report.waiting, report.degraded) == ([], [])
    assert pipeline.result() == free.result()
    assert process(pipeline.context()).profiles_updated == 0


def test_a_rebuild_leaves_out_what_waits(pipeline: Pipeline) -> None:
    declare(pipeline, PRICES)
    produce(pipeline, "10.00")
    process(pipeline.context())
    produce(pipeline, "1000.00")
    process(pipeline.context())
    report = process(pipeline.context(), rebuild=True)
    assert report.profiles_updated == BUCKETS
    assert events_in_profiles(pipeline) == 24
    pipeline.assert_index_equals_lake()
    accept(pipeline, 2)
    process(pipeline.context())
    assert events_in_profiles(pipeline) == 48
    pipeline.assert_index_equals_lake()


@pytest.mark.parametrize("name", [QUARANTINE, "_state/profiles.json"])
def test_a_run_that_is_killed_around_the_decision_changes_nothing(
    pipeline: Pipeline, name: str
) -> None:
    declare(pipeline, PRICES)
    produce(pipeline, "1000.00")
    pipeline.kill_at(name)
    try:
        process(pipeline.context())
    except InterruptedError:
        assert name == QUARANTINE
    pipeline.kill_at(None)
    assert "batch 1 waits" in process(pipeline.context()).waiting[0]
    assert pipeline.lake_profiles() == {}
    accept(pipeline, 1)
    process(pipeline.context())
    assert events_in_profiles(pipeline) == 24


def test_one_source_with_wrong_prices_is_named(pipeline: Pipeline) -> None:
    declare(pipeline, PRICES)
    produce(pipeline, "10.00", rows=80)
    produce(pipeline, "1000.00", "cents.csv")
    _, reason, _ = process(pipeline.context()).waiting
    assert "median price cents.csv on 2020-09-24" in reason


def test_a_few_rows_are_not_judged(pipeline: Pipeline) -> None:
    declare(pipeline, PRICES)
    produce(pipeline, "1000.00", rows=19)
    assert process(pipeline.context()).waiting == []


def test_a_lake_without_such_checks_imports_and_reads_nothing(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "customer_profiles.quality.quarantine", None)
    produce(pipeline, "1000.00")
    assert process(pipeline.context()).waiting == []
    assert QUARANTINE not in pipeline.store.objects


def test_a_stream_is_refused_where_a_batch_may_wait(pipeline: Pipeline) -> None:
    declare(pipeline, PRICES)
    with pytest.raises(PipelineError, match=r"price_median[\s\S]*make process"):
        load_state(pipeline.context(), holds_lease=True)
    declare(pipeline)
    load_state(pipeline.context(), holds_lease=True)


def test_only_the_batch_that_waits_can_be_accepted(pipeline: Pipeline) -> None:
    declare(pipeline, PRICES)
    with pytest.raises(PipelineError, match="No batch does"):
        accept(pipeline, 1)
    produce(pipeline, "1000.00")
    process(pipeline.context())
    with pytest.raises(PipelineError, match="Batch 1 does"):
        accept(pipeline, 7)
    accept(pipeline, 1)
    assert (read_quarantine(pipeline.store) or Quarantine()).accepted == (1,)


def test_lost_profiles_are_made_again_without_what_waits(pipeline: Pipeline) -> None:
    declare(pipeline, PRICES)
    produce(pipeline, "10.00")
    process(pipeline.context())
    produce(pipeline, "1000.00")
    process(pipeline.context())
    before = pipeline.result()
    for name in [name for name in pipeline.store.objects if name.startswith("customer_profiles/")]:
        pipeline.store.delete(name)
    process(pipeline.context())
    assert pipeline.result() == before
    assert BatchLog(pipeline.store).last_committed == 2
