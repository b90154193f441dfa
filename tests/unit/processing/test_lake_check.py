"""A run looks first whether all of the lake is there, and never goes on in silence."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from customer_profiles.contracts import RAW_EVENTS
from customer_profiles.lake import compaction
from customer_profiles.lake.batch_log import BatchLog
from customer_profiles.lake.errors import DamagedObjectError
from customer_profiles.lake.findings import Kind, LakeDamagedError, Remedy
from customer_profiles.lake.layout import (
    CHECKPOINT,
    MANIFEST,
    STATE,
    commit_name,
    data_file_name,
    event_counts_name,
    plan_name,
    profiles_name,
)
from customer_profiles.lake.manifest import Manifest
from customer_profiles.processing import stream_state
from customer_profiles.processing.batch import land_all, process, update_profiles
from customer_profiles.processing.outcome import failure_of
from customer_profiles.processing.report import RunReport
from customer_profiles.processing.stages import build_profiles as build_profiles_stage
from customer_profiles.processing.stages.plan import load_state
from customer_profiles.processing.stream import finish, step
from customer_profiles.processing.stream_state import StreamState, checkpoint
from tests.unit.processing.fakes import BUCKETS, Pipeline, message, user_in

BATCHES = 3
EVENTS_PER_BATCH = 5
CUSTOMERS = 3
WHOLE: dict[str, Any] = {}
"""What the servers hold at the beginning of each test; made by the first one."""


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Pipeline:
    """A lake of three batches; each has five events of three customers in every bucket."""
    pipeline = Pipeline(monkeypatch, tmp_path)
    if not WHOLE:
        for batch in range(1, BATCHES + 1):
            produce(pipeline, batch)
            process(pipeline.context())
        WHOLE.update(pipeline.snapshot())
    pipeline.restore(WHOLE)
    return pipeline


def produce(pipeline: Pipeline, batch: int, buckets: int = BUCKETS) -> None:
    for bucket in range(buckets):
        for number in range(EVENTS_PER_BATCH):
            moment = f"2020-09-{batch:02d}T11:57:{number:02d}Z"
            user_id = user_in(bucket, number % CUSTOMERS)
            pipeline.topics.produce(message(user_id, event_time=moment, brand=f"b{bucket}"))


def refused(pipeline: Pipeline, *, rebuild: bool = False) -> LakeDamagedError:
    """Run; return the error, and see that the run wrote nothing."""
    before = pipeline.snapshot()
    with pytest.raises(LakeDamagedError) as error:
        process(pipeline.context(), rebuild=rebuild)
    after = pipeline.snapshot()
    assert {key: after[key] for key in ("objects", "attributes")} == {
        key: before[key] for key in ("objects", "attributes")
    }
    assert after["index"]["stored"] == before["index"]["stored"]
    return error.value


def test_a_lake_that_is_whole_has_no_findings(
    pipeline: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    report = process(pipeline.context())
    assert (report.batches, report.mended) == (0, [])
    assert not caplog.messages
    manifest = Manifest.load(pipeline.store)
    assert manifest is not None
    assert manifest.through_batch == BATCHES
    assert {bucket: entry.events for bucket, entry in manifest.by_bucket.items()} == dict.fromkeys(
        range(BUCKETS), BATCHES * EVENTS_PER_BATCH
    )
    assert manifest.next_offsets[0] == BATCHES * EVENTS_PER_BATCH * BUCKETS


@pytest.mark.parametrize("rebuild", [False, True])
@pytest.mark.parametrize("news", [False, True])
def test_a_lost_events_object_stops_the_run(
    pipeline: Pipeline, *, rebuild: bool, news: bool
) -> None:
    name = data_file_name(1, 2)
    pipeline.store.delete(name)
    if news:
        produce(pipeline, 4)
    error = refused(pipeline, rebuild=rebuild)
    (finding,) = error.findings
    assert (finding.kind, finding.object, finding.remedy) == (Kind.MISSING, name, Remedy.REPAIR)
    assert (finding.bucket, finding.batches, finding.events) == (1, (2, 2), EVENTS_PER_BATCH)
    assert finding.customers == CUSTOMERS
    assert f"{name} is missing (batch 2, 5 events, 3 customers in this bucket)" in str(error)
    assert "Run `make repair`." in str(error)


def test_an_events_object_of_another_content_stops_the_run(pipeline: Pipeline) -> None:
    name = data_file_name(1, 2)
    pipeline.store.put(name, pipeline.store.objects[data_file_name(1, 3)])
    (finding,) = refused(pipeline).findings
    assert (finding.kind, finding.object) == (Kind.REPLACED, name)


@pytest.mark.parametrize("name_of", [profiles_name, event_counts_name])
@pytest.mark.parametrize("news", [False, True])
@pytest.mark.parametrize("damage", ["delete", "roll back", "flip", "swap"])
def test_lost_profiles_and_counts_are_made_anew_with_a_warning(
    pipeline: Pipeline,
    caplog: pytest.LogCaptureFixture,
    name_of: Callable[[int], str],
    *,
    news: bool,
    damage: str,
) -> None:
    old = dict(pipeline.store.objects), dict(pipeline.store.attributes)
    produce(pipeline, 4)
    process(pipeline.context())
    produce(pipeline, 5, buckets=1 if news else 0)
    intact = pipeline.snapshot()
    process(pipeline.context())
    wanted = pipeline.result()
    pipeline.restore(intact)
    name, store = name_of(2), pipeline.store
    if damage == "delete":
        store.delete(name)
    elif damage == "roll back":
        store.objects[name], store.attributes[name] = old[0][name], old[1][name]
    elif damage == "flip":
        data = bytearray(store.objects[name])
        data[len(data) // 2] ^= 1
        store.objects[name] = bytes(data)
    else:
        other = name_of(3)
        objects, attributes = store.objects, store.attributes
        objects[name], objects[other] = objects[other], objects[name]
        attributes[name], attributes[other] = attributes[other], attributes[name]
    report = process(pipeline.context())
    assert any(name in line for line in report.mended)
    assert any(name in line for line in caplog.messages)
    assert pipeline.result() == wanted
    pipeline.assert_index_equals_lake()
    caplog.clear()
    assert process(pipeline.context()).mended == []
    assert not caplog.messages


def flip(pipeline: Pipeline, name: str) -> bytes:
    """Change a bit under a server that does not notice; return the content before."""
    store = pipeline.store
    before = store.objects[name]
    store.etags[name] = store.list_objects(name)[name].etag
    changed = bytearray(before)
    changed[len(changed) // 2] ^= 1
    store.objects[name] = bytes(changed)
    return before


def test_counts_that_are_found_damaged_when_read_are_made_anew_by_the_next_run(
    pipeline: Pipeline,
) -> None:
    produce(pipeline, 4, buckets=1)
    intact = pipeline.snapshot()
    process(pipeline.context())
    wanted = pipeline.result()
    pipeline.restore(intact)
    flip(pipeline, event_counts_name(2))
    report = process(pipeline.context())
    assert list(report.failed_buckets) == ["02"]
    assert event_counts_name(2) in report.failed_buckets["02"]
    assert process(pipeline.context()).failed_buckets == {}
    assert pipeline.result() == wanted


def test_profiles_that_are_found_damaged_when_read_are_made_anew_at_once(
    pipeline: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    produce(pipeline, 4)
    intact = pipeline.snapshot()
    process(pipeline.context())
    wanted = pipeline.result()
    pipeline.restore(intact)
    flip(pipeline, profiles_name(2))
    (line,) = process(pipeline.context()).mended
    assert line.startswith(f"{profiles_name(2)} was damaged")
    assert any(profiles_name(2) in message for message in caplog.messages)
    assert pipeline.result() == wanted


def test_a_flipped_events_object_holds_up_its_bucket_only(pipeline: Pipeline) -> None:
    name = data_file_name(1, 2)
    before = flip(pipeline, name)
    produce(pipeline, 4)
    report = process(pipeline.context())
    assert list(report.failed_buckets) == ["01"]
    assert f"{name} in the lake is damaged" in report.failed_buckets["01"]
    assert "`make repair`" in report.failed_buckets["01"]
    assert "bucket 01" in str(failure_of(report))
    pipeline.store.objects[name] = before
    del pipeline.store.etags[name]
    assert process(pipeline.context()).failed_buckets == {}
    pipeline.assert_index_equals_lake()


@pytest.mark.parametrize(
    ("deleted", "named", "batches"),
    [
        ([plan_name(3), commit_name(3)], plan_name(3), (3, 3)),
        ([plan_name(3)], plan_name(3), (3, 3)),
        ([commit_name(3)], commit_name(3), (3, 3)),
        ([plan_name(2), commit_name(2)], plan_name(2), (2, 2)),
        ([commit_name(2)], commit_name(2), (2, 2)),
        ([plan_name(1), commit_name(1), plan_name(2), commit_name(2)], CHECKPOINT, (1, 2)),
    ],
)
@pytest.mark.parametrize("with_state", [True, False])
def test_a_lost_plan_or_commit_stops_the_run(
    pipeline: Pipeline,
    deleted: list[str],
    named: str,
    batches: tuple[int, int],
    *,
    with_state: bool,
) -> None:
    for name in deleted:
        pipeline.store.delete(name)
    if not with_state:
        pipeline.store.delete(STATE)
    produce(pipeline, 4)
    findings = [f for f in refused(pipeline).findings if f.stops_runs]
    (finding,) = findings
    assert (finding.object, finding.batches, finding.remedy) == (named, batches, Remedy.REPAIR)
    span = batches[1] - batches[0] + 1
    assert finding.events == span * EVENTS_PER_BATCH * BUCKETS


def test_a_log_of_an_older_copy_is_found_by_the_data_files_alone(pipeline: Pipeline) -> None:
    for name in (plan_name(3), commit_name(3), STATE, MANIFEST):
        pipeline.store.delete(name)
    pipeline.index.batches.clear()
    produce(pipeline, 4)
    (finding,) = [f for f in refused(pipeline).findings if f.stops_runs]
    assert (finding.object, finding.batches) == (plan_name(3), (3, 3))
    assert finding.events == EVENTS_PER_BATCH * BUCKETS


def test_a_lost_checkpoint_stops_the_run(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_profiles_stage, "MAX_LOGGED_BATCHES", 0)
    produce(pipeline, 4)
    process(pipeline.context())
    older = pipeline.store.objects[CHECKPOINT], pipeline.store.attributes[CHECKPOINT]
    for batch in (5, 6):
        produce(pipeline, batch)
        process(pipeline.context())
    pipeline.store.delete(CHECKPOINT)
    (finding,) = refused(pipeline).findings
    assert (finding.kind, finding.object, finding.batches) == (Kind.MISSING, CHECKPOINT, (1, 6))
    pipeline.store.objects[CHECKPOINT], pipeline.store.attributes[CHECKPOINT] = older
    (finding,) = refused(pipeline).findings
    assert (finding.kind, finding.object, finding.batches) == (Kind.OLDER, CHECKPOINT, (5, 6))


@pytest.mark.parametrize("name", [STATE, MANIFEST])
@pytest.mark.parametrize("content", [None, b"{", b"{}", b"[1]"])
@pytest.mark.parametrize("news", [False, True])
def test_lost_state_is_made_anew_with_a_warning(
    pipeline: Pipeline,
    caplog: pytest.LogCaptureFixture,
    name: str,
    content: bytes | None,
    *,
    news: bool,
) -> None:
    produce(pipeline, 4, buckets=1 if news else 0)
    if content is None:
        pipeline.store.delete(name)
    else:
        pipeline.store.objects[name] = content
    report = process(pipeline.context())
    assert [line.split()[0] for line in report.mended] == [name]
    assert any(name in line for line in caplog.messages)
    assert report.customers == CUSTOMERS * BUCKETS
    pipeline.assert_index_equals_lake()
    assert process(pipeline.context()).mended == []
    # The new manifest knows all buckets.
    pipeline.store.delete(data_file_name(3, 1))
    refused(pipeline)


@pytest.mark.parametrize("name", [plan_name(3), plan_name(1), CHECKPOINT])
def test_a_broken_record_of_the_log_is_named(pipeline: Pipeline, name: str) -> None:
    pipeline.store.objects[name] = b'{"batch": 3'
    produce(pipeline, 4)
    with pytest.raises((DamagedObjectError, LakeDamagedError), match=name):
        process(pipeline.context())


def test_a_lake_of_an_older_copy_is_found_by_the_index(pipeline: Pipeline) -> None:
    older = pipeline.snapshot()
    produce(pipeline, 4)
    process(pipeline.context())
    pipeline.store.objects = older["objects"]
    pipeline.store.attributes = older["attributes"]
    error = refused(pipeline)
    (finding,) = error.findings
    assert (finding.kind, finding.remedy) == (Kind.INDEX_AHEAD, Remedy.REBUILD)
    assert (finding.object, finding.batches) == ("customer_profiles-000001", (4, 4))
    assert "Run `make rebuild`." in str(error)
    process(pipeline.context(), rebuild=True)
    pipeline.assert_index_equals_lake()
    assert process(pipeline.context()).mended == []


def follow_some_batches(pipeline: Pipeline) -> None:
    """Do what a stream does: two steps with a checkpoint between them, and its end."""
    context = pipeline.context(STREAM_INTERVAL="1")
    run = update_profiles(context, land_all(context, load_state(context, holds_lease=True)))
    state = StreamState(run, lagging={})
    for batch in (5, 6):
        produce(pipeline, batch)
        state, _ = step(context, state)
        state = checkpoint(context, state)
    finish(context, state)


def run_twice(pipeline: Pipeline) -> None:
    """Do two runs, so that a kill of the second one meets what the first one has compacted."""
    process(pipeline.context())
    produce(pipeline, 5)
    process(pipeline.context())


def killed(pipeline: Pipeline, act: Callable[[Pipeline], object], step: int) -> Iterator[int]:
    """Kill runs after each of some of their writes; yield the number of the kill after each."""
    before = pipeline.snapshot()
    for kill in count():
        pipeline.restore(before)
        if not dies(pipeline, act, kill * step):
            return
        yield kill


def dies(pipeline: Pipeline, act: Callable[[Pipeline], object], writes: int) -> bool:
    """Let a run die after so many writes, unless it needs fewer."""
    pipeline.store.stop_after(writes)
    try:
        act(pipeline)
    except InterruptedError:
        return True
    finally:
        pipeline.store.stop_after(None)
    return False


# With a checkpoint, the numbers come from there. Without one, they come from manifest and commits.
@pytest.mark.parametrize("logged_batches", [3, 100])
@pytest.mark.parametrize(
    ("act", "step", "again"),
    [
        (lambda pipeline: process(pipeline.context()), 5, False),
        (follow_some_batches, 17, False),
        # The run after a killed one is killed, too, and so is its compaction.
        (run_twice, 13, True),
        (follow_some_batches, 29, True),
    ],
    ids=["a run", "a stream", "two runs", "a stream and a run"],
)
def test_what_a_killed_run_leaves_is_no_finding(
    pipeline: Pipeline,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    act: Callable[[Pipeline], object],
    step: int,
    logged_batches: int,
    *,
    again: bool,
) -> None:
    monkeypatch.setattr(compaction, "MIN_COMPACTED_FILES", 3)
    monkeypatch.setattr(build_profiles_stage, "MAX_LOGGED_BATCHES", logged_batches)
    monkeypatch.setattr(stream_state, "FLUSH_INTERVAL_S", 2)
    produce(pipeline, 4)
    kills = 0
    for kill in killed(pipeline, act, step):
        kills += 1
        caplog.clear()
        if again:
            produce(pipeline, 7)
            dies(pipeline, lambda pipeline: process(pipeline.context()), (7 * kill + 3) % 41)
        report = process(pipeline.context())
        assert (report.mended, report.failed_buckets) == ([], {})
        assert [line for line in caplog.messages if "lake" in line or "compacted" in line] == []
        assert process(pipeline.context()).mended == []
        manifest = Manifest.load(pipeline.store)
        assert manifest is not None
        produced = len(pipeline.topics.values(RAW_EVENTS)) // BUCKETS
        assert {entry.events for entry in manifest.by_bucket.values()} == {produced}
        assert manifest.through_batch == BatchLog(pipeline.store).last_committed
        assert pipeline.result()["lake"] == pipeline.stored_profiles()
    assert kills > 2


def test_a_lake_of_0_2_goes_on_and_learns_what_it_holds(
    pipeline: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    make_old(pipeline)
    report = process(pipeline.context())
    assert (report.batches, report.mended) == (0, [])
    produce(pipeline, 4)
    report = process(pipeline.context())
    assert (report.events_landed, report.mended) == (20, [])
    assert not [line for line in caplog.messages if "lake" in line]
    pipeline.assert_index_equals_lake()
    assert process(pipeline.context()).mended == []
    pipeline.store.delete(data_file_name(2, 1))
    (finding,) = refused(pipeline).findings
    assert (finding.object, finding.events) == (data_file_name(2, 1), EVENTS_PER_BATCH)


@pytest.mark.parametrize("news", [False, True])
def test_a_lost_object_of_0_2_is_found_by_its_commit(pipeline: Pipeline, *, news: bool) -> None:
    make_old(pipeline)
    produce(pipeline, 4, buckets=BUCKETS if news else 0)
    pipeline.store.delete(data_file_name(1, 2))
    (finding,) = refused(pipeline).findings
    assert (finding.object, finding.events) == (data_file_name(1, 2), EVENTS_PER_BATCH)


def make_old(pipeline: Pipeline) -> None:
    """Turn the lake into one of version 0.2: no attributes, no manifest, shorter commits."""
    store = pipeline.store
    store.attributes.clear()
    del store.objects[MANIFEST]
    pipeline.index.batches.clear()
    for batch in range(1, BATCHES + 1):
        commit = json.loads(store.objects[commit_name(batch)])
        del commit["files"], commit["plan"]
        store.objects[commit_name(batch)] = json.dumps(commit).encode()


def test_events_that_vanish_during_a_run_hold_up_their_bucket(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    produce(pipeline, 4)
    context = pipeline.context()
    start_spark = context.spark.start

    def delete_and_start() -> object:
        pipeline.store.objects.pop(data_file_name(1, 2), None)
        return start_spark()

    monkeypatch.setattr(context.spark, "start", delete_and_start)
    report: RunReport = process(context)
    assert list(report.failed_buckets) == ["01"]
    assert "15 events in its data files, 20 were landed" in report.failed_buckets["01"]


def test_the_check_of_a_whole_lake_looks_at_no_object_twice(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads: list[str] = []
    monkeypatch.setattr(pipeline.store, "head", heads.append)
    process(pipeline.context())
    assert heads == []
    assert BatchLog(pipeline.store).last_committed == BATCHES


@pytest.mark.parametrize("ends", ["in order", "killed"])
def test_a_stream_keeps_the_manifest(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, ends: str
) -> None:
    monkeypatch.setattr(stream_state, "FLUSH_INTERVAL_S", 2)
    monkeypatch.setattr(compaction, "MIN_COMPACTED_FILES", 3)
    context = pipeline.context(STREAM_INTERVAL="1")
    state = StreamState(load_state(context, holds_lease=True), lagging={})
    for batch in range(4, 10):
        produce(pipeline, batch)
        state, _ = step(context, state)
        if batch == 6:
            state = checkpoint(context, state)
    if ends == "in order":
        finish(context, state)
    caplog.clear()
    assert process(pipeline.context()).mended == []
    assert not [line for line in caplog.messages if "lake" in line]
    manifest = Manifest.load(pipeline.store)
    assert manifest is not None
    assert {entry.events for entry in manifest.by_bucket.values()} == {9 * EVENTS_PER_BATCH}
    pipeline.assert_index_equals_lake()


def test_a_stream_does_not_begin_on_a_damaged_lake(pipeline: Pipeline) -> None:
    pipeline.store.delete(data_file_name(1, 2))
    with pytest.raises(LakeDamagedError, match="Run `make repair`"):
        load_state(pipeline.context(), holds_lease=True)


def test_a_stream_does_not_index_what_lacks_events(pipeline: Pipeline) -> None:
    context = pipeline.context()
    state = StreamState(load_state(context, holds_lease=True), lagging={})
    before = pipeline.index.documents()[user_in(1)]
    pipeline.store.delete(data_file_name(1, 2))
    produce(pipeline, 4)
    state, _ = step(context, state)
    assert pipeline.index.documents()[user_in(1)] == before
    assert pipeline.index.documents()[user_in(2)] != before
    assert list(finish(context, state).run.profiles.failed) == ["01"]
