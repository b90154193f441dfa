"""Object names are part of the stored format: existing lakes depend on each of them."""

from __future__ import annotations

import pytest

from customer_profiles.lake import layout


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (layout.S3_BUCKET, "data-lake"),
        (layout.BATCHES_PREFIX, "events/_batches/"),
        (layout.CHECKPOINT, "events/_batches/through.json"),
        (layout.plan_name(12), "events/_batches/000012.json"),
        (layout.plan_name(1_234_567), "events/_batches/1234567.json"),
        (layout.commit_name(12), "events/_batches/000012.done.json"),
        (layout.events_prefix(7), "events/bucket=07/"),
        (layout.events_prefix(123), "events/bucket=123/"),
        (layout.data_file_name(7, 12), "events/bucket=07/batch=000012.parquet"),
        (layout.data_file_name(7, 1, 11), "events/bucket=07/batch=000001-000011.parquet"),
        (layout.data_file_name(7, 1_234_567), "events/bucket=07/batch=1234567.parquet"),
        (layout.profiles_name(7), "customer_profiles/bucket=07/profiles.parquet"),
        (layout.event_counts_name(7), "event_metrics/bucket=07/metrics.parquet"),
        (layout.STATE, "_state/profiles.json"),
        (layout.REBUILDING, "_state/rebuilding.json"),
        (layout.LEASE, "_state/stream.json"),
        (layout.SENT_COUNTS, "_state/event_metrics.parquet"),
        (layout.REJECTED_ROWS, "_state/rejected_rows.json"),
        (layout.INDEX_PROGRESS_PREFIX, "_state/indexed/"),
        (
            layout.index_progress_name("customer_profiles-000003.uUiD", 7),
            "_state/indexed/customer_profiles-000003.uUiD/bucket=07.json",
        ),
    ],
)
def test_an_object_name_never_changes(name: str, expected: str) -> None:
    assert name == expected


@pytest.mark.parametrize(
    ("name", "batches"),
    [
        ("events/bucket=07/batch=000012.parquet", (12, 12)),
        ("events/bucket=07/batch=000001-000011.parquet", (1, 11)),
        ("events/bucket=07/batch=1234567-1234570.parquet", (1_234_567, 1_234_570)),
        ("events/bucket=07/batch=12.parquet", None),
        ("events/bucket=07/batch=000012.parquet.part", None),
        ("events/_batches/000012.json", None),
    ],
)
def test_the_name_of_a_data_file_contains_its_batches(
    name: str, batches: tuple[int, int] | None
) -> None:
    assert layout.data_file_batches(name) == batches
