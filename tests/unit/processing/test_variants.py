"""Published variants stay in the documents, whoever writes a document again."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import polars as pl
import pytest

from customer_profiles.contracts import bucket_of
from customer_profiles.lake.experiments import ASSIGNED_SCHEMA, ExperimentLake
from customer_profiles.processing.batch import process
from customer_profiles.processing.stream import finish, step
from customer_profiles.search.profile_index import IndexRef
from tests.unit.processing import damages
from tests.unit.processing.damaged_lakes import BUCKETS as DAMAGED_BUCKETS
from tests.unit.processing.damaged_lakes import USERS as DAMAGED_USERS
from tests.unit.processing.damaged_lakes import DamagedLake
from tests.unit.processing.fakes import BUCKETS, Pipeline, message, user_in
from tests.unit.processing.test_damages import look, mend
from tests.unit.processing.test_stream import start

FIRST, SECOND, THIRD = user_in(0), user_in(1), user_in(0, 1)
NOW = datetime(2020, 10, 1, tzinfo=UTC)
LATER = (NOW + timedelta(microseconds=number) for number in count())


def assign(pipeline: Pipeline, name: str, *users: str, buckets: int = BUCKETS) -> None:
    """Assign customers, as the first half of a publication does."""
    lake = ExperimentLake(pipeline.store)
    for bucket in range(buckets):
        rows = [(user, "treatment", NOW) for user in users if bucket_of(user, buckets) == bucket]
        lake.write_assigned(name, bucket, pl.DataFrame(rows, ASSIGNED_SCHEMA, orient="row"))


def publish(pipeline: Pipeline, name: str, *users: str, buckets: int = BUCKETS) -> None:
    """Assign customers and record it, as a publication does before it changes documents."""
    assign(pipeline, name, *users, buckets=buckets)
    ExperimentLake(pipeline.store).record_published(name, next(LATER))


def variants(pipeline: Pipeline) -> dict[str, dict[str, str]]:
    """Return the variants in the documents that readers see; customers without one are left out."""
    documents = pipeline.index.documents().items()
    return {user: found for user, content in documents if (found := content.get("experiments"))}


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Pipeline:
    pipeline = Pipeline(monkeypatch, tmp_path)
    pipeline.topics.produce(message(FIRST), message(SECOND), message(THIRD))
    process(pipeline.context())
    return pipeline


def test_without_a_publication_documents_are_profiles(pipeline: Pipeline) -> None:
    assign(pipeline, "shipping", FIRST)
    process(pipeline.context(), rebuild=True)
    assert variants(pipeline) == {}
    pipeline.assert_index_equals_lake()


def test_a_run_writes_the_variants_with_the_profiles(pipeline: Pipeline) -> None:
    publish(pipeline, "shipping", FIRST)
    publish(pipeline, "colours", FIRST, SECOND)
    both = {"colours": "treatment", "shipping": "treatment"}
    pipeline.topics.produce(message(FIRST, user_session="s2"), message(THIRD, user_session="s2"))
    process(pipeline.context())
    assert variants(pipeline) == {FIRST: both}
    assert pipeline.index.documents()[FIRST]["total_sessions"] == 2
    process(pipeline.context(), rebuild=True)
    assert variants(pipeline) == {FIRST: both, SECOND: {"colours": "treatment"}}


def test_a_stream_writes_the_variants_with_the_profiles(pipeline: Pipeline) -> None:
    publish(pipeline, "shipping", FIRST, SECOND)
    context = pipeline.context()
    state = start(context)
    pipeline.topics.produce(*(message(user, user_session="s2") for user in (FIRST, SECOND, THIRD)))
    state, batch = step(context, state)
    assert batch is not None
    expected = {user: {"shipping": "treatment"} for user in (FIRST, SECOND)}
    assert variants(pipeline) == expected
    finish(context, state)
    assert variants(pipeline) == expected


def test_an_index_that_was_deleted_is_filled_with_variants(pipeline: Pipeline) -> None:
    publish(pipeline, "shipping", SECOND)
    pipeline.index.delete_live()
    process(pipeline.context())
    assert variants(pipeline) == {SECOND: {"shipping": "treatment"}}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DamagedLake]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield DamagedLake.build(monkeypatch, tmp_path_factory.mktemp("reports"))


@pytest.mark.parametrize(
    "damage",
    [damages.delete_documents(3), damages.add_document(), damages.delete_index()],
    ids=["into the live index", "into a new index", "without an index"],
)
def test_a_repair_writes_the_variants_with_the_profiles(
    lake: DamagedLake, damage: damages.Damage
) -> None:
    lake.reset()
    pipeline = lake.pipeline
    publish(pipeline, "shipping", *DAMAGED_USERS, buckets=DAMAGED_BUCKETS)
    process(pipeline.context(), rebuild=True)
    before = variants(pipeline)
    assert before.keys() == pipeline.lake_profiles().keys()
    damage.apply(lake)
    assert look(lake, deep=False).findings
    mend(lake)
    assert variants(pipeline) == before


@pytest.mark.parametrize("published_before", [False, True])
def test_a_publication_during_a_run_is_not_lost(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, *, published_before: bool
) -> None:
    """It has recorded itself, and has looked at the documents before the run writes them."""
    if published_before:
        publish(pipeline, "shipping")
    waiting = [FIRST]
    index_profiles = pipeline.index.index_profiles

    def interrupted(index: IndexRef, profiles: pl.DataFrame, version: int) -> None:
        if waiting:
            publish(pipeline, "shipping", waiting.pop())
        index_profiles(index, profiles, version)

    monkeypatch.setattr(pipeline.index, "index_profiles", interrupted)
    pipeline.topics.produce(message(FIRST, user_session="s2"))
    process(pipeline.context())
    assert variants(pipeline) == {FIRST: {"shipping": "treatment"}}


@pytest.mark.parametrize("name", ["published.json", "assigned/shipping/bucket=00/users.parquet"])
def test_a_damaged_experiment_holds_no_profile_up(
    pipeline: Pipeline, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    publish(pipeline, "shipping", FIRST)
    pipeline.store.objects[f"experiments/{name}"] = b"nothing"
    pipeline.topics.produce(message(FIRST, user_session="s2"))
    with caplog.at_level(logging.WARNING):
        assert process(pipeline.context()).index_error is None
    assert pipeline.index.documents()[FIRST]["total_sessions"] == 2
    assert "make assign EXPERIMENT=… PUBLISH=1" in caplog.text
