"""Everything that the lake has about one customer, with the micro-batch of each event."""

from __future__ import annotations

from pathlib import Path

import pytest

from customer_profiles.common.errors import PipelineError
from customer_profiles.governance.customers import read_customer
from customer_profiles.governance.explain import EXPLAINED, deduplicate, differs, explain
from customer_profiles.lake.events import EventPartition
from customer_profiles.processing.batch import process
from customer_profiles.profiles.segments import read_segments
from tests.unit.processing.fakes import Pipeline, message, user_in

CUSTOMER, NEIGHBOUR = user_in(0), user_in(0, 1)


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Pipeline:
    return Pipeline(monkeypatch, tmp_path)


def land(pipeline: Pipeline, batches: int) -> None:
    """Process one event of the customer and one of another in each of some runs."""
    for number in range(1, batches + 1):
        pipeline.topics.produce(
            message(CUSTOMER, event_type="purchase", price=f"{number}.00", source_row=number),
            message(NEIGHBOUR, price=f"{number}.00"),
        )
        process(pipeline.context())


def test_events_are_found_with_file_row_offset_and_batch(pipeline: Pipeline) -> None:
    land(pipeline, 2)
    customer = read_customer(pipeline.store, CUSTOMER)
    assert (customer.bucket, customer.through_batch) == (0, 2)
    places = customer.events.select("source", "source_row", "kafka_offset", "first_batch")
    assert places.rows() == [("f.csv", 1, 0, 1), ("f.csv", 2, 2, 2)]
    assert (customer.events["first_batch"] == customer.events["last_batch"]).all()
    assert customer.events["landed_by"].null_count() == 0


def test_an_explanation_equals_the_stored_profile(pipeline: Pipeline) -> None:
    land(pipeline, 3)
    pipeline.topics.produce(message(CUSTOMER, event_type="purchase", price="1.00"))
    process(pipeline.context())
    customer = read_customer(pipeline.store, CUSTOMER)
    events, duplicates = deduplicate(customer.events)
    assert (events.height, duplicates.height) == (3, 1)
    assert customer.profile is not None
    for field in EXPLAINED:
        assert not differs(explain(field, events, read_segments()), customer.profile), field


def test_a_customer_can_be_seen_as_of_an_earlier_batch(pipeline: Pipeline) -> None:
    land(pipeline, 3)
    customer = read_customer(pipeline.store, CUSTOMER, through=2)
    assert customer.events["price"].sum() == 3
    assert customer.profile is None


def test_plans_tell_the_batches_of_a_compacted_file(pipeline: Pipeline) -> None:
    land(pipeline, 9)
    EventPartition(pipeline.store, 0).compact(9, expected_events=18)
    names = pipeline.store.list_sizes("events/bucket=00/")
    assert "events/bucket=00/batch=000001-000008.parquet" in names
    customer = read_customer(pipeline.store, CUSTOMER, through=4)
    assert customer.events["first_batch"].sort().to_list() == [1, 2, 3, 4]


def test_a_moment_that_the_lake_cannot_tell_any_more_is_refused(pipeline: Pipeline) -> None:
    land(pipeline, 9)
    EventPartition(pipeline.store, 0).compact(9, expected_events=18)
    pipeline.context().batch_log.checkpoint(7)
    with pytest.raises(PipelineError, match="name batch 7 or a later one"):
        read_customer(pipeline.store, CUSTOMER, through=4)
    assert read_customer(pipeline.store, CUSTOMER, through=8).events.height == 8


def test_a_customer_without_events_is_named(pipeline: Pipeline) -> None:
    with pytest.raises(PipelineError, match="lake is empty"):
        read_customer(pipeline.store, CUSTOMER)
    land(pipeline, 1)
    with pytest.raises(PipelineError, match="no events of a customer 9"):
        read_customer(pipeline.store, "9")
