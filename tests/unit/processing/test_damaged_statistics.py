"""Statistics of data quality that are lost or damaged: found, named and counted again."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import partial

import polars as pl
import pytest

from customer_profiles.common.errors import PipelineError
from customer_profiles.lake import quality
from customer_profiles.lake.batch_log import BatchLog
from customer_profiles.lake.findings import Remedy
from customer_profiles.lake.layout import QUALITY_OPEN, QUALITY_PREFIX, QUALITY_THROUGH
from customer_profiles.lake.quarantine import HeldBatch, Quarantine, change_quarantine
from customer_profiles.processing.batch import process
from customer_profiles.processing.integrity.commands import repair_rounds
from customer_profiles.quality.statistics import LATE, ROWS, add_up
from tests.unit.processing import damages
from tests.unit.processing.damaged_lakes import BATCHES, BUCKETS, DamagedLake, partition_of, story
from tests.unit.processing.test_damages import look, mend, quiet

NEWEST, DAYS = "quality/batches/000006.parquet", "quality/bucket=00/days.parquet"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DamagedLake]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield DamagedLake.build(monkeypatch, tmp_path_factory.mktemp("reports"))


@pytest.fixture
def lake(built: DamagedLake) -> DamagedLake:
    built.reset()
    return built


def statistics(lake: DamagedLake) -> pl.DataFrame:
    """Return what all statistics of rows add up to."""
    log = BatchLog(lake.store)
    read = quality.read_statistics(lake.store, log.checkpoint_record.through_batch, log.committed)
    assert read.missing == []
    return add_up(read.rows)


def contents(lake: DamagedLake) -> dict[str, pl.DataFrame]:
    names = lake.named(QUALITY_PREFIX, where=lambda name: name.endswith(".parquet"))
    return {name: pl.read_parquet(io.BytesIO(lake.objects[name])) for name in names}


@pytest.mark.parametrize(
    "damage",
    [
        *(kind(name) for kind in (damages.delete, damages.flip) for name in (NEWEST, DAYS)),
        damages.truncate(NEWEST),
        damages.roll_back(DAYS, 2),
    ],
    ids=str,
)
def test_what_was_lost_is_named_and_written_again_as_it_was(
    lake: DamagedLake, damage: damages.Damage
) -> None:
    before = contents(lake)
    damage.apply(lake)
    assert any(
        name in str(finding) for finding in look(lake, deep=False).findings for name in damage.named
    )
    assert mend(lake) == []
    after = contents(lake)
    assert after.keys() == before.keys()
    assert all(after[name].equals(before[name]) for name in before)
    assert look(lake, deep=True).findings == ()


@pytest.mark.parametrize("kind", [damages.delete, damages.flip])
def test_a_lost_sum_is_counted_again_from_all_events(lake: DamagedLake, kind: object) -> None:
    before = statistics(lake)
    assert callable(kind)
    kind(QUALITY_THROUGH).apply(lake)
    findings = [str(finding) for finding in look(lake, deep=False).findings]
    assert any(text.startswith("quality/") for text in findings)
    assert mend(lake) == []
    # When rows arrived, and which came late, is lost with it.
    of_rows = pl.col("metric").is_in([LATE, "arrived"]).not_()
    assert statistics(lake).filter(of_rows).equals(before.filter(of_rows))
    assert look(lake, deep=True).findings == ()


def test_a_wrong_number_of_rows_is_noticed(lake: DamagedLake) -> None:
    rows = contents(lake)[NEWEST].filter(pl.col("metric") != ROWS)
    quality.write_batch(lake.store, 6, rows, None)
    assert "it counts 0 rows" in str(look(lake, deep=False).findings[0])
    mend(lake)
    assert look(lake, deep=False).findings == ()


def test_damaged_findings_are_written_by_the_next_evaluation(lake: DamagedLake) -> None:
    lake.store.put_json(QUALITY_OPEN, {"evaluated_through": None, "findings": []})
    damages.flip(QUALITY_OPEN).apply(lake)
    (finding,) = look(lake, deep=False).findings
    assert finding.remedy is Remedy.QUALITY


def test_a_lake_of_an_older_version_has_a_note_and_no_findings(lake: DamagedLake) -> None:
    for name in lake.named(QUALITY_PREFIX):
        lake.store.delete(name)
    diagnosis = look(lake, deep=False)
    assert diagnosis.findings == ()
    assert "kept no statistics" in diagnosis.notes[0]


def hold(lake: DamagedLake) -> int:
    """Land one batch more with new events, which waits for a decision."""
    held = HeldBatch(7, "2026-11-29T10:00:00+00:00", ("median price is 1,000.00",))
    change_quarantine(lake.store, lambda _: Quarantine(held=held))
    for user_id, value in story(BATCHES):
        lake.pipeline.topics.produce(value, partition=partition_of(user_id))
    return process(lake.pipeline.context()).events_landed


def test_what_waits_is_no_finding_and_is_named(lake: DamagedLake) -> None:
    assert hold(lake)
    for deep in (False, True):
        diagnosis = look(lake, deep=deep)
        assert diagnosis.findings == ()
        assert "ACCEPT=7" in " ".join(diagnosis.notes)
    assert lake.differences() == []


def test_a_repair_leaves_out_what_waits(lake: DamagedLake) -> None:
    hold(lake)
    for bucket in range(BUCKETS):
        name = f"customer_profiles/bucket={bucket:02d}/profiles.parquet"
        damages.flip(name).apply(lake)
    assert mend(lake) == []
    assert lake.differences() == []
    assert look(lake, deep=True).findings == ()
    change_quarantine(lake.store, partial(Quarantine.with_accepted, batch=7))
    process(lake.pipeline.context())
    assert look(lake, deep=True).findings == ()
    assert lake.pipeline.assert_index_equals_lake()


def test_a_repair_of_events_waits_for_the_decision(lake: DamagedLake) -> None:
    hold(lake)
    name = lake.named("events/bucket=00/")[0]
    damages.delete(name).apply(lake)
    with pytest.raises(PipelineError, match="ACCEPT=7"):
        repair_rounds(lake.servers(), quiet, apply_it=True)
    change_quarantine(lake.store, partial(Quarantine.with_accepted, batch=7))
    assert mend(lake) == []
    assert look(lake, deep=True).findings == ()
