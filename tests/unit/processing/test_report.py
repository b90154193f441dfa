"""Reports: what all profiles add up to, and the keys that programs read."""

from __future__ import annotations

import json

import pytest

from customer_profiles.processing.report import MicroBatch, RunReport

BUCKET = {
    "customers": 2,
    "total_events": 10,
    "total_purchases": 1,
    "total_product_views": 6,
    "total_cart_additions": 2,
    "revenue_cents": 1_001,
    "segments": {"Converting Customer": 1, "Casual Visitor": 1},
    "segments_versions": {"1": 1, "2": 1},
}


def test_totals_of_all_buckets_add_up() -> None:
    report = RunReport()
    report.add_totals([BUCKET, BUCKET], segments_version=2)
    assert (report.events, report.customers, report.purchases) == (20, 4, 2)
    assert report.event_types == {"view": 12, "cart": 4, "remove_from_cart": 2, "purchase": 2}
    assert (report.revenue, report.average_customer_value) == ("20.02", "5.01")
    assert report.outdated_segments == 2
    assert report.segment_shares == {"Casual Visitor": 0.5, "Converting Customer": 0.5}


def test_a_lake_without_profiles_adds_up_to_nothing() -> None:
    report = RunReport()
    report.add_totals([], segments_version=1)
    assert report == RunReport()


@pytest.mark.parametrize(
    ("field", "key"), [("invalid_messages", "misfits"), ("files_compacted", "objects_joined")]
)
def test_keys_of_the_report_are_those_of_0_1(field: str, key: str) -> None:
    content = json.loads(json.dumps(RunReport(**{field: 3}).to_json()))
    assert content[key] == 3
    assert field not in content


def test_keys_of_a_micro_batch_are_those_of_0_1() -> None:
    batch = MicroBatch(7, "2020-09-24T00:00:00Z", 5, 1, 3, 0.5, {"land": 0.3}, 0, 1.5, 2)
    content = batch.to_json()
    assert (content["misfits"], content["unsettled"]) == (1, 2)
    assert set(content) == {
        *("batch", "at", "events", "misfits", "customers", "seconds", "seconds_by_stage"),
        *("lag_events", "lag_seconds", "unsettled", "error"),
    }
