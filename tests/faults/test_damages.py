"""Damage of the lake, the index and the topics on real servers: found, named, and mended.

`make bench-damages` tries every damage of every kind of object, which takes some minutes, and shows
the table. Otherwise a part runs that has every kind of damage and every kind of object. The same
table in process is `tests/unit/processing/damages.py`.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import polars as pl
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from polars.testing import assert_frame_equal

from customer_profiles.contracts import DEAD_LETTERS, PROGRESS, RAW_EVENTS, REPLAYED, Topic
from customer_profiles.kafka.admin import end_offsets, ensure_topics
from customer_profiles.kafka.config import KafkaConfig
from customer_profiles.lake.findings import Finding
from customer_profiles.lake.layout import MANIFEST, STATE
from customer_profiles.lake.s3 import S3ObjectStore
from customer_profiles.processing.integrity.commands import connect, diagnose, repair_rounds
from customer_profiles.processing.integrity.diagnosis import Servers
from customer_profiles.processing.integrity.verify import pending
from customer_profiles.processing.tasks.config import TaskConfig
from scripts.make_sample import make_events
from tests.integration.conftest import Stack, ingest, lake_profiles, process, running, search
from tests.support import oracle

FULL = os.environ.get("DAMAGES") == "all"
KEPT_RESULTS = os.environ.get("DAMAGES_RESULTS")
"""Where `make bench-damages` wants the rows of its table."""
ROWS = 1_200
SEED = 77
Copy = dict[str, tuple[bytes, dict[str, str]]]
"""Content and attributes of every object."""


@dataclass
class Lake:
    """A stack with a lake of two runs, and copies of the lake after each of them."""

    stack: Stack
    csv: Path
    copies: list[Copy] = field(default_factory=list)

    @property
    def store(self) -> S3ObjectStore:
        return TaskConfig.from_settings(self.stack.processing).connect_lake()  # type: ignore[return-value]

    @property
    def servers(self) -> Servers:
        return connect(self.stack.processing)

    @cached_property
    def admin(self) -> AdminClient:
        """A client that outlives its requests: their futures never finish without it."""
        return AdminClient(dict(KafkaConfig.from_settings(self.stack.ingestion).client_settings()))

    def copy(self) -> Copy:
        store, copied = self.store, {}
        for name in store.list_sizes(""):
            stored = store.get(name)
            assert stored
            copied[name] = stored.data, dict(stored.attributes)
        return copied

    def put(self, name: str, copied: tuple[bytes, dict[str, str]]) -> None:
        """Write an object as a backup does: with everything that it said about itself."""
        data, attributes = copied
        self.store._put(name, data, attributes, if_match=None, if_absent=False)

    def restore(self) -> None:
        """Bring back the lake as it was after the last run."""
        for name in self.store.list_sizes(""):
            if name not in self.copies[-1]:
                self.store.delete(name)
        for name, copied in self.copies[-1].items():
            self.folder(name).parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(self.folder(name), ignore_errors=True)
            self.put(name, copied)

    def folder(self, name: str) -> Path:
        """Return where MinIO keeps an object."""
        homes = Path(self.stack.environ["STACK_HOME"]).glob("data/**/data-lake")
        (home,) = (home for home in homes if ".minio.sys" not in home.parts)
        return home / name

    def newest(self, prefix: str) -> str:
        return max(name for name in self.store.list_sizes(prefix))


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    with running(tmp_path_factory.mktemp("stack"), BATCH_EVENTS="400") as stack:
        csv = tmp_path_factory.mktemp("data") / "events.csv"
        rows = make_events(ROWS, SEED)
        built = Lake(stack, csv)
        for share in (0.6, 1.0):
            rows[: int(share * ROWS)].write_csv(csv)
            ingest(stack, csv)
            process(stack)
            built.copies.append(built.copy())
        # What DuckDB computes has no rejected rows.
        rows.filter(pl.col("user_session").is_not_null()).write_csv(csv.with_name("valid.csv"))
        yield built
        if KEPT_RESULTS:
            Path(KEPT_RESULTS).write_text(json.dumps([result.row() for result in RESULTS]))


TARGETS: dict[str, Callable[[Lake], str]] = {
    "events": lambda lake: lake.newest("events/bucket=01/"),
    "profiles": lambda _: "customer_profiles/bucket=01/profiles.parquet",
    "counts": lambda _: "event_metrics/bucket=01/metrics.parquet",
    "plan": lambda lake: max(
        name for name in lake.store.list_sizes("events/_batches/") if ".done" not in name
    ),
    "commit": lambda lake: lake.newest("events/_batches/"),
    "state": lambda _: STATE,
    "manifest": lambda _: MANIFEST,
}


def other_of(name: str) -> str:
    """Return another object of the same kind, or of any kind where there is only one."""
    if "bucket=01" in name:
        return name.replace("bucket=01", "bucket=02")
    if name in (STATE, MANIFEST):
        return STATE if name == MANIFEST else MANIFEST
    number = name.rsplit("/", 1)[1][:6]
    return name.replace(number, f"{int(number) - 1:06d}")


def delete(lake: Lake, name: str) -> None:
    lake.store.delete(name)


def change_file(lake: Lake, name: str, change: Callable[[bytearray], None]) -> None:
    """Change an object on MinIO's disk."""
    folder = lake.folder(name)
    (path,) = sorted(folder.glob("*/part.1")) or [folder / "xl.meta"]
    data = bytearray(path.read_bytes())
    change(data)
    path.write_bytes(data)


def truncate(lake: Lake, name: str) -> None:
    def cut(data: bytearray) -> None:
        del data[len(data) // 2 :]

    change_file(lake, name, cut)


def flip(lake: Lake, name: str) -> None:
    def change(data: bytearray) -> None:
        place = len(data) - len(data) // 3
        data[place] ^= 1

    change_file(lake, name, change)


def swap(lake: Lake, name: str) -> None:
    """Exchange two objects as a wrong restore does, with what they say about themselves."""
    other = other_of(name)
    first, second = lake.copies[-1][name], lake.copies[-1][other]
    lake.put(name, second)
    lake.put(other, first)


def roll_back(lake: Lake, name: str) -> None:
    earlier = lake.copies[0].get(name)
    if earlier is None:
        lake.store.delete(name)
    else:
        lake.put(name, earlier)


DAMAGES = {
    "delete": delete,
    "truncate": truncate,
    "flip bytes": flip,
    "swap two": swap,
    "roll back": roll_back,
}
PART = {
    ("delete", "events"),
    ("flip bytes", "events"),
    ("swap two", "profiles"),
    ("truncate", "counts"),
    ("delete", "plan"),
    ("flip bytes", "commit"),
    ("roll back", "state"),
    ("delete", "manifest"),
}
CELLS = [(kind, target) for target in TARGETS for kind in DAMAGES if FULL or (kind, target) in PART]


@dataclass
class Result:
    """What became of one damage."""

    target: str
    damage: str
    found_by: str
    findings: tuple[Finding, ...]
    seconds: float
    mended_by: str

    def row(self) -> tuple[str, ...]:
        """Return the row of the table: a finding's kind, and the command that it names."""
        kinds = dict.fromkeys(f"`{f.kind}`, `{f.remedy}`" for f in self.findings)
        finding = next(iter(kinds), "none: nothing differs")
        found_by = f"`make {self.found_by}`" if self.findings else "-"
        return (
            *(self.target, self.damage, found_by, finding),
            *(f"{self.seconds:.1f}", self.mended_by),
        )


RESULTS: list[Result] = []


def quiet(*_: object) -> None:
    """Show no progress."""


def find(lake: Lake) -> tuple[str, tuple[Finding, ...]]:
    """Look as `make verify` does, then as `make verify DEEP=1` does."""
    for deep in (False, True):
        diagnosis = diagnose(lake.servers, quiet, deep=deep)
        if diagnosis.findings:
            return "verify DEEP=1" if deep else "verify", diagnosis.findings
    return "harmless", ()


def find_in_time(lake: Lake) -> tuple[str, tuple[Finding, ...], float]:
    """Do what `find` does; also return the seconds that it took."""
    began = time.monotonic()
    level, findings = find(lake)
    return level, findings, time.monotonic() - began


def mend(lake: Lake) -> str:
    """Repair, and process if there is work left; return what was done."""
    _, steps, losses, error = repair_rounds(lake.servers, quiet, apply_it=True)
    assert (losses, error) == ([], None)
    done = ["repair"] if steps else []
    diagnosis = diagnose(lake.servers, quiet, deep=True)
    if diagnosis.findings or pending(diagnosis):
        process(lake.stack)
        done.append("process")
        diagnosis = diagnose(lake.servers, quiet, deep=True)
    assert diagnosis.findings == ()
    return ", ".join(done) or "nothing"


def check(lake: Lake) -> None:
    """Check every profile of the lake against what DuckDB computes from the rows.

    `mend` has compared the index with the lake, document by document.
    """
    # The lake does not keep the days with events.
    expected = oracle(lake.csv.with_name("valid.csv")).drop("event_days")
    profiles = pl.from_pandas(lake_profiles(lake.stack)).sort("user_id")
    profiles = profiles.with_columns(
        pl.col("first_seen", "last_seen").dt.replace_time_zone(None).cast(pl.Datetime("us"))
    )
    frame = profiles.select(expected.columns).cast(dict(expected.schema))
    assert_frame_equal(frame, expected, check_exact=True)


@pytest.mark.parametrize(("kind", "target"), CELLS)
def test_a_damage_is_found_named_and_mended(lake: Lake, kind: str, target: str) -> None:
    lake.restore()
    name = TARGETS[target](lake)
    DAMAGES[kind](lake, name)
    level, findings, seconds = find_in_time(lake)
    is_same = kind == "roll back" and lake.copies[0].get(name) == lake.copies[-1][name]
    if not is_same:
        named = [finding for finding in findings if finding.object in (name, other_of(name))]
        assert named or (kind == "roll back" and findings), [*map(str, findings)]
        findings = tuple(named) or findings
    done = mend(lake)
    check(lake)
    RESULTS.append(Result(target, kind, level, findings, seconds, done))


# ---- the index


def live_index(lake: Lake) -> str:
    (name,) = search(lake.stack, "customer_profiles/_alias")
    return str(name)


def delete_index(lake: Lake) -> None:
    search(lake.stack, live_index(lake), method="DELETE")


def delete_document(lake: Lake) -> None:
    # Elasticsearch gives a deletion the next version, and remembers it as long as gc_deletes says.
    path = f"customer_profiles/_doc/{some_user(lake)}"
    search(lake.stack, f"{path}?refresh=true", method="DELETE")


def change_document(lake: Lake) -> None:
    path = f"customer_profiles/_doc/{some_user(lake)}"
    found = search(lake.stack, path)
    content = {**found["_source"], "favorite_brand": "forged"}
    version = found["_version"]
    search(
        lake.stack,
        f"{path}?refresh=true&version={version}&version_type=external_gte",
        content,
        "PUT",
    )


def some_user(lake: Lake) -> str:
    hits = search(lake.stack, "customer_profiles/_search?size=1&sort=user_id")["hits"]["hits"]
    return str(hits[0]["_id"])


def delete_charts(lake: Lake) -> None:
    search(lake.stack, "event_metrics", method="DELETE")


@pytest.mark.parametrize(
    ("damage", "name"),
    [
        (delete_document, "index customer_profiles"),
        (change_document, "index customer_profiles"),
        (delete_charts, "index event_metrics"),
        (delete_index, "index"),
    ],
)
def test_a_damage_of_the_index_is_found_and_mended(
    lake: Lake, damage: Callable[[Lake], None], name: str
) -> None:
    lake.restore()
    mend(lake)
    damage(lake)
    level, findings, seconds = find_in_time(lake)
    assert any(finding.object.startswith(name) for finding in findings), [*map(str, findings)]
    done = mend(lake)
    check(lake)
    RESULTS.append(Result(name, damage.__name__.replace("_", " "), level, findings, seconds, done))


# ---- the topics. The last one replaces raw_events, so the order matters.


ANEW = "delete and make anew"


def note_topic(topic: Topic, mended_by: str) -> None:
    """Note a topic whose loss costs no more than repeating the commands that it serves."""
    RESULTS.append(Result(f"topic {topic.name}", ANEW, "harmless", (), 0.0, mended_by))


def make_anew(lake: Lake, topic: Topic) -> None:
    lake.admin.delete_topics([topic.name])[topic.name].result(timeout=30)
    deadline = time.monotonic() + 30
    while topic.name in lake.admin.list_topics(timeout=10).topics:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    ensure_topics(KafkaConfig.from_settings(lake.stack.ingestion))


def test_messages_that_the_lake_has_may_be_removed(lake: Lake) -> None:
    config = KafkaConfig.from_settings(lake.stack.ingestion)
    # Half of partition 0: retention does this every day.
    half = end_offsets(config, RAW_EVENTS)[0] // 2
    removed = [TopicPartition(RAW_EVENTS.name, 0, half)]
    for deletion in lake.admin.delete_records(removed).values():
        deletion.result()
    level, findings, seconds = find_in_time(lake)
    assert (level, findings) == ("harmless", ())
    RESULTS.append(
        Result("topic raw_events", "remove what was read", level, findings, seconds, "-")
    )


def test_a_lost_progress_topic_costs_a_second_sending_and_changes_no_profile(lake: Lake) -> None:
    make_anew(lake, PROGRESS)
    report = ingest(lake.stack, lake.csv.with_name("valid.csv"))
    assert report["already_ingested"] == 0
    assert report["accepted"] > 0
    assert process(lake.stack)["events_landed"] == report["accepted"]
    check(lake)
    note_topic(PROGRESS, "ingest, process")


def test_a_lost_topic_of_redriven_letters_sends_no_event_twice(lake: Lake, tmp_path: Path) -> None:
    bad, letters = tmp_path / "bad.csv", tmp_path / "letters.csv"
    rows = make_events(5, SEED + 1).with_columns(price=pl.lit("free"))
    rows.write_csv(bad)
    ingest(lake.stack, bad, MAX_REJECTED_PERCENT="100")
    command = "customer_profiles.ingestion"
    exported = lake.stack.python(command, "dead-letters", "--export", str(letters))
    assert exported.returncode == 0, exported.stderr
    table = pl.read_csv(letters, infer_schema=False)
    table.with_columns(price=pl.lit("1.00"), user_session=pl.lit("s")).write_csv(letters)
    arguments = (command, "redrive", "--corrected", str(letters), "--apply")
    first = lake.stack.python(*arguments)
    assert first.returncode == 0, first.stderr
    assert "5 sent" in first.stdout
    make_anew(lake, REPLAYED)
    again = lake.stack.python(*arguments)
    assert "0 sent" in again.stdout, again.stdout + again.stderr
    assert "5 in already" in again.stdout
    note_topic(REPLAYED, "redrive")


def test_lost_dead_letters_are_noticed_and_their_counts_follow_the_topic(lake: Lake) -> None:
    process(lake.stack)
    make_anew(lake, DEAD_LETTERS)
    level, findings, seconds = find_in_time(lake)
    assert level == "verify"
    assert any(finding.object == f"topic {DEAD_LETTERS.name}" for finding in findings)
    done = mend(lake)
    RESULTS.append(Result(f"topic {DEAD_LETTERS.name}", ANEW, level, findings, seconds, done))


def test_another_topic_is_named_and_the_lake_goes_on_with_it(lake: Lake) -> None:
    process(lake.stack)
    before = {name: data for name, (data, _) in lake.copy().items() if "profiles.parquet" in name}
    make_anew(lake, RAW_EVENTS)
    level, findings, seconds = find_in_time(lake)
    assert any(finding.object == f"topic {RAW_EVENTS.name}" for finding in findings)
    refused = lake.stack.python("customer_profiles.processing", "process")
    assert refused.returncode == 1
    assert "make process NEW_TOPIC=1" in refused.stderr
    accepted = lake.stack.python("customer_profiles.processing", "process", "--new-topic")
    assert accepted.returncode == 0, accepted.stdout + accepted.stderr
    assert find(lake) == ("harmless", ())
    done = "process NEW_TOPIC=1"
    RESULTS.append(Result(f"topic {RAW_EVENTS.name}", ANEW, level, findings, seconds, done))
    assert {n: d for n, (d, _) in lake.copy().items() if "profiles.parquet" in n} == before
