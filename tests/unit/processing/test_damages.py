"""Damage to lake, index and topics: it is found, named, and mended or stated as a loss."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console

from customer_profiles.common.errors import PipelineError
from customer_profiles.contracts import RAW_EVENTS
from customer_profiles.lake.findings import Remedy
from customer_profiles.lake.gaps import read_gaps
from customer_profiles.lake.layout import LEASE
from customer_profiles.lake.lease import hold_lease
from customer_profiles.processing.batch import process
from customer_profiles.processing.integrity import commands
from customer_profiles.processing.integrity.commands import diagnose, repair_rounds
from customer_profiles.processing.integrity.diagnosis import Diagnosis
from customer_profiles.processing.integrity.steps import Loss
from customer_profiles.search.index_ref import IndexRef
from tests.unit.processing import damages
from tests.unit.processing.damaged_lakes import (
    USERS,
    DamagedLake,
    distinct_events,
    partition_of,
    story,
)
from tests.unit.processing.damages import Damage
from tests.unit.processing.fakes import message

FAST, DEEP, HARMLESS = "found by verify", "found by verify DEEP=1", "harmless"

COMPACTED = [f"events/bucket={bucket:02d}/batch=000001-000005.parquet" for bucket in (0, 1)]
SINGLE = [f"events/bucket={bucket:02d}/batch=000006.parquet" for bucket in (0, 1)]
PROFILES = [f"customer_profiles/bucket={bucket:02d}/profiles.parquet" for bucket in (0, 1)]
COUNTS = [f"event_metrics/bucket={bucket:02d}/metrics.parquet" for bucket in (0, 1)]
KEY = IndexRef("customer_profiles-000001", "uuid-1").key
MARKERS = [f"_state/indexed/{KEY}/bucket={bucket:02d}.json" for bucket in (0, 1)]
PLANS = ["events/_batches/000005.json", "events/_batches/000006.json"]
COMMITS = ["events/_batches/000005.done.json", "events/_batches/000006.done.json"]
CHECKPOINT = "events/_batches/through.json"
STATE, MANIFEST = "_state/profiles.json", "_state/manifest.json"
SENT, REJECTED = "_state/event_metrics.parquet", "_state/rejected_rows.json"

Cell = tuple[Damage, str]


def of_pair(first: str, second: str, *, on_disk: str, rolled_back: str) -> Iterator[Cell]:
    """Yield all kinds of damage to an object, and the check that has to find each.

    Args:
        first: the object.
        second: another object of its kind.
        on_disk: the check that finds bytes that were changed on the disk.
        rolled_back: the check that finds a copy from before the newest batch.
    """
    yield damages.delete(first), FAST
    yield damages.truncate(first), on_disk
    yield damages.truncate(first, foreign=True), FAST
    yield damages.flip(first), on_disk
    yield damages.swap(first, second), on_disk
    yield damages.roll_back(first, 3), rolled_back


def table() -> Iterator[Cell]:
    """Yield every damage with the check that has to find it."""
    # The checksum of a data object is checked when it is read. Names and tags are in every listing.
    for pair in (COMPACTED, SINGLE, PROFILES, COUNTS):
        yield from (
            (damage, FAST if damage.kind == "swap" else found)
            for damage, found in of_pair(*pair, on_disk=DEEP, rolled_back=FAST)
        )
        yield damages.flip(pair[0], foreign=True), FAST
        yield damages.swap(*pair, foreign=True), FAST
    for pair in (PROFILES, COUNTS):
        yield damages.roll_back(pair[0], 5), FAST
    for pair in (PLANS[::-1], PLANS, COMMITS[::-1], COMMITS):
        yield from of_pair(*pair, on_disk=FAST, rolled_back=FAST)
        yield damages.swap(*pair, foreign=True), FAST
    yield from of_pair(CHECKPOINT, MANIFEST, on_disk=FAST, rolled_back=FAST)
    # An older state says that there is more to do, and the next run does it.
    yield from of_pair(STATE, MANIFEST, on_disk=FAST, rolled_back=DEEP)
    yield from of_pair(MANIFEST, STATE, on_disk=FAST, rolled_back=FAST)
    yield from (
        # The next run indexes more than it has to.
        (damage, HARMLESS if damage.kind == "delete" else found)
        for damage, found in of_pair(*MARKERS, on_disk=FAST, rolled_back=HARMLESS)
    )
    yield from of_pair(SENT, COUNTS[0], on_disk=FAST, rolled_back=FAST)
    yield from (
        (damage, HARMLESS if damage.kind == "delete" else found)
        for damage, found in of_pair(REJECTED, STATE, on_disk=FAST, rolled_back=FAST)
    )
    for batch in (3, 5):
        yield damages.roll_back_all("", batch), FAST
        yield damages.roll_back_all("events/_batches/", batch), FAST
        yield damages.roll_back_all("customer_profiles/", batch), FAST
    yield damages.roll_back_all("events/", 3), FAST
    yield damages.roll_back_all("_state/", 5), DEEP
    yield from of_indices()
    yield from of_topics()


def of_indices() -> Iterator[Cell]:
    yield damages.delete_index(), FAST
    yield damages.delete_documents(1), FAST
    yield damages.delete_documents(3), FAST
    yield damages.add_document(), FAST
    yield damages.change_document(), DEEP
    yield damages.swap_documents(), DEEP
    yield damages.roll_back_index(3), FAST
    yield damages.roll_back_index(5), FAST
    for index in ("event_metrics", "rejected_rows"):
        yield damages.delete_counts(index, whole=True), FAST
        yield damages.delete_counts(index, whole=False), FAST
    yield damages.change_counts("event_metrics", "events"), FAST
    yield damages.change_counts("event_metrics", "revenue"), DEEP
    yield damages.change_counts("rejected_rows", "rows"), FAST


def of_topics() -> Iterator[Cell]:
    yield damages.make_topic_anew(filled=False), FAST
    yield damages.make_topic_anew(filled=True), FAST
    yield damages.cut_topic("raw_events"), FAST
    yield damages.roll_back_topics("raw_events", 3), FAST
    yield damages.change_message(), DEEP
    yield damages.swap_messages(), DEEP
    # Retention does this every day.
    yield damages.remove_read_messages(), HARMLESS
    yield damages.cut_topic("raw_events_dead_letter"), FAST
    yield damages.roll_back_topics("raw_events_dead_letter", 3), FAST


TABLE = list(table())


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DamagedLake]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield DamagedLake.build(monkeypatch, tmp_path_factory.mktemp("reports"))


@pytest.fixture
def lake(built: DamagedLake) -> DamagedLake:
    """The lake as it was built, whatever the test before has done."""
    built.reset()
    return built


def quiet(*_: object) -> None:
    """Show no progress."""


def look(lake: DamagedLake, *, deep: bool) -> Diagnosis:
    return diagnose(lake.servers(), quiet, deep=deep)


def mend(lake: DamagedLake) -> list[Loss]:
    """Do what findings say: repair, then process. Return what is lost."""
    diagnosis, _, losses, error = repair_rounds(lake.servers(), quiet, apply_it=True)
    assert error is None
    accept = any(finding.remedy is Remedy.NEW_TOPIC for finding in diagnosis.findings)
    process(lake.pipeline.context(), accept_new_topic=accept)
    return losses


def remaining(lake: DamagedLake) -> list[str]:
    """Return what a check of contents still finds, apart from what cannot be mended."""
    findings = look(lake, deep=True).findings
    return [str(finding) for finding in findings if finding.remedy is not Remedy.NONE]


def test_a_whole_lake_has_no_findings(lake: DamagedLake) -> None:
    assert look(lake, deep=False).findings == ()
    diagnosis = look(lake, deep=True)
    assert (diagnosis.findings, diagnosis.notes) == ((), ())
    assert lake.differences() == []


def test_events_of_a_wrong_clock_are_no_finding(lake: DamagedLake) -> None:
    # They are no measure of what is recent, and that depends on when a run has counted them.
    lake.pipeline.topics.produce(message(USERS[0], event_time="2199-01-01T00:00:00Z"))
    process(lake.pipeline.context())
    assert look(lake, deep=True).findings == ()


def test_texts_with_separators_of_unicode_are_no_finding(lake: DamagedLake) -> None:
    for number, separator in enumerate("\u2028\u2029\x85\x0b\x1c"):
        brand = f"a{separator}{number}"
        lake.pipeline.topics.produce(message(USERS[0], brand=brand, user_session=brand))
    process(lake.pipeline.context())
    assert look(lake, deep=True).findings == ()


@pytest.mark.parametrize(("damage", "found"), TABLE, ids=[str(damage) for damage, _ in TABLE])
def test_a_damage_is_found_named_and_mended(lake: DamagedLake, damage: Damage, found: str) -> None:
    damage.apply(lake)
    findings = look(lake, deep=False).findings
    level = FAST
    if not findings:
        findings = look(lake, deep=True).findings
        level = DEEP if findings else HARMLESS
    assert level == found, [*map(str, findings)]
    assert not findings or any(
        name in str(finding) for finding in findings for name in damage.named
    )
    assert mend(lake) == []
    assert lake.differences() == []
    assert look(lake, deep=False).findings == ()


def count_stored(lake: DamagedLake) -> int:
    """Return the number of stored events; one that was sent twice counts twice."""
    return sum(pl.read_parquet(lake.objects[name]).height for name in lake.named("events/bucket="))


def remove_all(lake: DamagedLake) -> None:
    """Remove all messages of `raw_events`, as retention does after a week."""
    for partition, (_, end) in lake.pipeline.topics.watermarks(None).items():
        lake.pipeline.topics.remove(end, partition)


def test_what_neither_lake_nor_topic_has_is_stated_exactly_and_can_be_filled(
    lake: DamagedLake,
) -> None:
    lake.pipeline.topics.add_source("events.csv", len(distinct_events(lake.messages())))
    for partition in range(RAW_EVENTS.partitions):
        lake.pipeline.topics.remove(16, partition)
    lost = pl.read_parquet(lake.objects[COMPACTED[0]]).filter(pl.col("kafka_offset") < 16)
    damages.delete(COMPACTED[0]).apply(lake)
    (loss,) = mend(lake)
    assert (loss.bucket, loss.batches, loss.events) == (0, (1, 5), lost.height)
    for partition, offset in lost.select("kafka_partition", "kafka_offset").iter_rows():
        start, end = loss.offsets[partition]
        assert start <= offset < end
    assert loss.sources == ("events.csv",)
    gaps = read_gaps(lake.store)
    assert {gap.partition for gap in gaps} == set(loss.offsets)
    assert all(gap.closed_at is None for gap in gaps)
    # Everything else is right: profiles and counts follow from the events that are left.
    kept = set(lost["event_id"])
    rest = [value for value in lake.messages() if json.loads(value).get("event_id") not in kept]
    assert lake.differences(rest) == []
    assert remaining(lake) == []

    for batch in range(6):
        for user_id, value in story(batch):
            lake.pipeline.topics.produce(value, partition=partition_of(user_id))
    lake.process()
    assert lake.differences() == []
    assert all(gap.closed_at for gap in read_gaps(lake.store))


def test_a_copy_of_the_lake_without_attributes_keeps_its_events(lake: DamagedLake) -> None:
    """A tool that does not copy metadata has restored the lake, and the topic is gone."""
    for name, (data, _, etag) in lake.store.copy().items():
        lake.store.place(name, (data, {}, f"{etag}-copied"))
    remove_all(lake)
    assert all(
        any(finding.object == name for finding in look(lake, deep=False).findings)
        for name in (*COMPACTED, *SINGLE)
    )
    assert mend(lake) == []
    assert lake.differences() == []
    assert remaining(lake) == []
    assert all("sha256" in lake.store.attributes[name] for name in lake.named("events/bucket="))


def test_a_changed_value_in_a_copy_without_attributes_is_not_taken_for_an_event(
    lake: DamagedLake,
) -> None:
    events = pl.read_parquet(lake.objects[SINGLE[0]])
    forged = events.with_columns(brand=pl.lit("forged"))
    buffer = io.BytesIO()
    forged.write_parquet(buffer)
    lake.store.place(SINGLE[0], (buffer.getvalue(), {}, "foreign"))
    remove_all(lake)
    (loss,) = mend(lake)
    assert (loss.bucket, loss.batches, loss.events) == (0, (6, 6), events.height)
    assert remaining(lake) == []


@pytest.mark.no_cover
@pytest.mark.parametrize("damage", [damages.delete(COMPACTED[0]), damages.roll_back_all("", 3)])
def test_a_repair_that_is_killed_anywhere_is_run_again(lake: DamagedLake, damage: Damage) -> None:
    writes = 0
    while True:
        lake.reset()
        damage.apply(lake)
        lake.store.stop_after(writes)
        try:
            repair_rounds(lake.servers(), quiet, apply_it=True)
        except InterruptedError:
            lake.store.stop_after(None)
            assert mend(lake) == []
            assert lake.differences() == [], f"killed after {writes} writes"
            writes += 2
        else:
            lake.store.stop_after(None)
            break
    assert writes > 6
    assert remaining(lake) == []


def test_a_second_repair_has_nothing_to_do(lake: DamagedLake) -> None:
    damages.delete(SINGLE[1]).apply(lake)
    assert mend(lake) == []
    before = lake.copy()
    _, steps, losses, _ = repair_rounds(lake.servers(), quiet, apply_it=True)
    assert (steps, losses) == ([], [])
    assert lake.copy()["objects"] == before["objects"]


def run(lake: DamagedLake, tmp_path: Path, command: str, *, flag: bool = False) -> tuple[int, str]:
    """Run a command; return its exit code and what it printed."""
    file = io.StringIO()
    console = Console(file=file, width=300, color_system=None)
    if command == "verify":
        code = commands.verify(lake.servers(), tmp_path, console, deep=flag)
    else:
        code = commands.repair(lake.servers(), tmp_path, console, apply_it=flag)
    return code, file.getvalue()


def test_verify_names_the_object_and_the_command_and_changes_nothing(
    lake: DamagedLake, tmp_path: Path
) -> None:
    assert run(lake, tmp_path, "verify") == (
        0,
        "No findings (metadata only; DEEP=1 reads the contents, 0.0 s).\n",
    )
    damages.delete(SINGLE[0]).apply(lake)
    before = lake.copy()
    code, printed = run(lake, tmp_path, "verify")
    assert code == 1
    assert lake.copy() == before
    (row,) = [line.split() for line in printed.splitlines() if line.startswith(SINGLE[0])]
    assert row == [SINGLE[0], "missing", "6", "6", "6", "make", "repair"]
    assert "Next: make repair" in printed
    report = json.loads((tmp_path / "verify-latest.json").read_text())
    (finding,) = report["findings"]
    assert finding == {
        "kind": "missing",
        "object": SINGLE[0],
        "remedy": "make repair",
        "bucket": 0,
        "batches": [6, 6],
        "events": 6,
        "customers": 6,
    }


def test_repair_is_a_dry_run_unless_it_is_told_to_apply(lake: DamagedLake, tmp_path: Path) -> None:
    damages.delete(SINGLE[0]).apply(lake)
    before = lake.copy()
    code, printed = run(lake, tmp_path, "repair")
    assert code == 0
    assert lake.copy()["objects"] == before["objects"]
    assert "bucket 00: write its event files again" in printed
    assert "Next: make repair APPLY=1" in printed
    code, printed = run(lake, tmp_path, "repair", flag=True)
    assert code == 0
    assert "Next: make process, then make verify." in printed
    assert json.loads((tmp_path / "repair-latest.json").read_text())["applied"] is True
    assert run(lake, tmp_path, "repair", flag=True)[1].startswith("Nothing to repair.")


def test_a_repair_does_not_run_beside_a_stream(lake: DamagedLake, tmp_path: Path) -> None:
    with (
        hold_lease(lake.store, lambda: lake.store),
        pytest.raises(PipelineError, match="a repair must not run beside it"),
    ):
        run(lake, tmp_path, "repair")
    assert LEASE not in lake.objects


def test_a_lost_event_is_reported_with_the_way_to_get_it_back(
    lake: DamagedLake, tmp_path: Path
) -> None:
    remove_all(lake)
    damages.delete(SINGLE[0]).apply(lake)
    code, printed = run(lake, tmp_path, "repair", flag=True)
    assert code == 1
    assert "6 events of bucket 00, batch 6, offsets" in printed
    assert "ingest the sources again: events.csv" in printed
    (lost,) = json.loads((tmp_path / "repair-latest.json").read_text())["lost"]
    assert lost["events"] == 6


# ---- random damage

ROUNDS = 50
PER_ROUND = (1, 5, 9, 15, 20)
"""Damages at once, in turn: 500 in all rounds."""
MAX_REPAIRS = 3
"""Several damages at once may hide each other, until a run has done what was pending."""


def random_damage(lake: DamagedLake, rng: random.Random) -> Damage:
    """Return a random damage of what is in the lake and the index now."""
    if rng.random() < 0.15:
        choices = [
            damages.delete_index(),
            damages.change_document(),
            damages.swap_documents(),
            damages.add_document(),
            damages.roll_back_index(rng.randint(1, 6)),
            damages.delete_counts("event_metrics", whole=rng.random() < 0.5),
        ]
        return rng.choice(choices)
    name = rng.choice(lake.named(""))
    foreign = rng.random() < 0.3
    kind = rng.choice(["delete", "truncate", "flip", "flip", "swap", "roll back", "roll back all"])
    if kind == "delete":
        return damages.delete(name)
    if kind == "truncate":
        return damages.truncate(name, rng.random(), foreign=foreign)
    if kind == "flip":
        return damages.flip(name, rng.random(), foreign=foreign)
    if kind == "swap":
        return damages.swap(name, rng.choice(lake.named("")), foreign=foreign)
    if kind == "roll back":
        return damages.roll_back(name, rng.randint(1, 6), foreign=foreign)
    prefix = rng.choice(["", "events/", "_state/", "customer_profiles/", "event_metrics/"])
    return damages.roll_back_all(prefix, rng.randint(1, 6))


@pytest.mark.no_cover
def test_random_damages_leave_no_silent_difference(lake: DamagedLake) -> None:
    """Several damages at once, some before a run that lands new events: all end equal."""
    rng = random.Random(20_240_901)  # noqa: S311
    applied = 0
    for number in range(ROUNDS):
        lake.reset()
        done = []
        messages = lake.messages()
        for _ in range(PER_ROUND[number % len(PER_ROUND)]):
            damage = random_damage(lake, rng)
            try:
                damage.apply(lake)
            except (AssertionError, KeyError, IndexError):
                # An earlier damage of this round has taken the target away.
                damage = damages.delete(rng.choice(lake.named("")))
                damage.apply(lake)
            done.append(str(damage))
            applied += 1
        if rng.random() < 0.3:
            messages += produce_more(lake)
            try:
                lake.process()
            except PipelineError as error:
                done.append(f"process: {str(error).splitlines()[0]}")
        history = "\n".join([f"round {number}", *done])
        for _ in range(MAX_REPAIRS):
            assert mend(lake) == [], history
            differences = lake.differences(messages)
            if not differences:
                break
            # What is still wrong is not silent: the next check names it.
            assert remaining(lake), f"{history}\n{differences}"
        assert not differences, f"{history}\n{differences}"
    assert applied == 500


def produce_more(lake: DamagedLake) -> list[bytes]:
    more = story(6)
    for user_id, value in more:
        lake.pipeline.topics.produce(value, partition=partition_of(user_id))
    return [value for _, value in more]


@pytest.mark.no_cover
def test_random_losses_are_stated_exactly(lake: DamagedLake) -> None:
    """Events are lost only where the topic lacks them, and every lost event is counted."""
    rng = random.Random(7)  # noqa: S311
    for number in range(8):
        lake.reset()
        for partition, (_, end) in lake.pipeline.topics.watermarks(None).items():
            lake.pipeline.topics.remove(rng.randint(0, end), partition)
        before = count_stored(lake)
        for name in rng.sample(lake.named("events/bucket="), rng.randint(1, 3)):
            damages.delete(name).apply(lake)
        losses = mend(lake)
        assert sum(loss.events or 0 for loss in losses) == before - count_stored(lake), number
        assert remaining(lake) == [], number
