"""A CSV file through real Kafka, Spark, MinIO and Elasticsearch, read back by other clients.

The tests of this module share one stack: each begins with what the test before it left.
"""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import psutil
import pyarrow.parquet as pq
import pytest
from kafka import KafkaConsumer, KafkaProducer
from kafka.partitioner.default import murmur2
from minio import Minio

from customer_profiles.contracts import DEAD_LETTERS, PROGRESS, RAW_EVENTS, TOPICS, bucket_of
from customer_profiles.kafka.kafka_python import connection_options
from scripts.make_sample import make_events
from tests.integration.conftest import (
    Stack,
    check_profiles,
    ingest,
    lake_files,
    lake_profiles,
    messages,
    process,
    search,
)
from tests.support import HEADER, REAL_FILE, line


@pytest.fixture(scope="module")
def first_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Events of the first half of the time, with rejected rows and repeats."""
    path = tmp_path_factory.mktemp("data") / "events.csv"
    rows = make_events(12_000, 3)
    rows[:6_000].vstack(rows[100:103]).write_csv(path)
    with path.open("a") as file:
        file.write(line(user_session="") + "\n" + line(price="free") + "\n")
    return path


@pytest.fixture(scope="module")
def second_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Later events. Half of their customers are known, and some events are in the first file."""
    path = tmp_path_factory.mktemp("data") / "later.csv"
    rows = make_events(12_000, 3)
    rows[5_900:].sort("user_id").write_csv(path)
    return path


def minio_client(stack: Stack) -> Minio:
    settings = stack.processing
    return Minio(
        settings.minio_address,
        settings.minio_user,
        settings.minio_password.get_secret_value(),
        secure=False,
    )


def objects(stack: Stack) -> dict[str, tuple[str | None, Any]]:
    """Digest and time of every object in the lake."""
    listed = minio_client(stack).list_objects("data-lake", recursive=True)
    return {str(item.object_name): (item.etag, item.last_modified) for item in listed}


def test_nothing_to_process_says_what_comes_first(stack: Stack) -> None:
    done = stack.python("customer_profiles.processing", "process")
    assert done.returncode == 1
    assert done.stderr.startswith("error: There is no topic raw_events yet.")
    assert "make ingest" in done.stderr


def test_every_row_of_a_file_is_accounted_for(stack: Stack, first_file: Path) -> None:
    report = ingest(stack, first_file)
    assert (report["read"], report["dead_lettered"]) == (
        6_005,
        1 + 1 + (6_000 - _with_session(first_file)),
    )
    assert report["read"] == report["accepted"] + report["dead_lettered"] + report["duplicates"]
    assert report["duplicates"] >= 3
    found = messages(stack, RAW_EVENTS.name)
    assert len(found) == report["accepted"]
    assert len({json.loads(message.value)["event_id"] for message in found}) == report["accepted"]
    letters = [json.loads(message.value) for message in messages(stack, DEAD_LETTERS.name)]
    assert (
        Counter(reason for letter in letters for reason in letter["reasons"]) == report["reasons"]
    )
    assert letters[-1]["text"] == line(price="free")


def _with_session(path: Path) -> int:
    return pl.read_csv(path, infer_schema=False).head(6_000)["user_session"].drop_nulls().len()


def test_a_customer_is_in_one_partition_the_one_of_the_java_client(stack: Stack) -> None:
    partitions = set(range(RAW_EVENTS.partitions))
    found = messages(stack, RAW_EVENTS.name)
    assert {message.partition for message in found} == partitions
    for message in found:
        assert json.loads(message.value)["user_id"] == message.key.decode()
        # As the Java client does it: murmur2 of the key, without its sign.
        assert message.partition == (murmur2(message.key) & 0x7FFFFFFF) % len(partitions)


def test_the_same_file_again_sends_nothing(stack: Stack, first_file: Path) -> None:
    before = len(messages(stack, RAW_EVENTS.name))
    report = ingest(stack, first_file)
    assert (report["read"], report["already_ingested"]) == (0, 6_005)
    assert len(messages(stack, RAW_EVENTS.name)) == before


def test_topics_are_those_of_the_contract(stack: Stack) -> None:
    consumer = KafkaConsumer(**connection_options(stack.ingestion.kafka))
    for topic in TOPICS:
        assert len(consumer.partitions_for_topic(topic.name) or ()) == topic.partitions
    consumer.close()
    assert [record.key for record in messages(stack, PROGRESS.name)] == [b"events.csv"]


def test_profiles_of_lake_and_index_equal_an_independent_query(
    stack: Stack, first_file: Path
) -> None:
    report = process(stack)
    good = first_file.with_name("good.csv")
    text = first_file.read_text()
    good.write_text(text.replace(line(price="free") + "\n", ""))
    check_profiles(stack, good)
    assert report["events"] == report["events_landed"] == len(messages(stack, RAW_EVENTS.name))
    assert (
        report["customers"]
        == lake_profiles(stack)["user_id"].nunique()
        == len(lake_profiles(stack))
    )
    assert Decimal(report["revenue"]) == lake_profiles(stack)["total_revenue"].sum()
    assert sum(report["segments"].values()) == report["customers"]


def test_the_lake_is_cut_by_customer(stack: Stack) -> None:
    cut = [name for name in objects(stack) if "/bucket=" in name and name.endswith(".parquet")]
    cuts = {"events", "customer_profiles", "event_metrics", "quality"}
    assert {name.split("/")[0] for name in cut} == cuts
    # Counts and statistics name no customers.
    names = [name for name in cut if not name.startswith(("event_metrics/", "quality/"))]
    files = lake_files(stack)
    for name in names:
        bucket = int(name.split("bucket=")[1][:2])
        users = pq.read_table(
            f"data-lake/{name}", filesystem=files, columns=["user_id"], partitioning=None
        )
        assert {bucket_of(user, 4) for user in users["user_id"].to_pylist()} <= {bucket}


def test_with_nothing_new_no_object_and_no_document_changes(stack: Stack, tmp_path: Path) -> None:
    before, documents = (
        objects(stack),
        search(stack, "customer_profiles/_search?size=5&version=true&sort=user_id"),
    )
    done = stack.python(
        "customer_profiles.processing", "process", SPARK_CLASS_ARCHIVES=str(tmp_path)
    )
    assert done.returncode == 0
    assert done.stdout.startswith("Nothing new: ")
    assert objects(stack) == before
    after = search(stack, "customer_profiles/_search?size=5&version=true&sort=user_id")
    assert after["hits"] == documents["hits"]
    # The Java that was started early is gone. It has loaded few classes, so it must not have
    # archived them as the classes that Spark needs.
    assert not any(tmp_path.iterdir())
    assert not [
        process
        for process in psutil.process_iter(["cmdline"])
        if _drives_spark(process, str(tmp_path))
    ]


def test_more_events_change_the_customers_they_belong_to_and_no_others(
    stack: Stack, first_file: Path, second_file: Path
) -> None:
    before = lake_profiles(stack).set_index("user_id")["profile_generated_at"]
    ingest(stack, second_file)
    report = process(stack)
    together = second_file.with_name("together.csv")
    rows = [pl.read_csv(path, infer_schema=False) for path in (first_file, second_file)]
    pl.concat(rows).filter(pl.col("price") != "free").write_csv(together)
    check_profiles(stack, together)
    touched = set(rows[1].filter(pl.col("user_session").is_not_null())["user_id"])
    after = lake_profiles(stack).set_index("user_id")["profile_generated_at"]
    for user, moment in before.items():
        assert (after[user] == moment) == (user not in touched)
    assert report["profiles_updated"] == report["profiles_indexed"] == len(touched)


def test_a_file_that_is_sent_again_on_purpose_changes_no_total(
    stack: Stack, first_file: Path
) -> None:
    before, sent = process(stack), len(messages(stack, RAW_EVENTS.name))
    accepted = ingest(stack, first_file, REINGEST="1")["accepted"]
    assert len(messages(stack, RAW_EVENTS.name)) == sent + accepted
    after = process(stack)
    assert after["events_landed"] == accepted
    for name in ("events", "customers", "revenue", "segments", "event_types"):
        assert after[name] == before[name]


def test_a_wrong_file_sends_nothing(stack: Stack, tmp_path: Path) -> None:
    path = tmp_path / "wrong.csv"
    path.write_text("\n".join([HEADER, line(), line(price="free"), line(user_id="7.5E+3"), ""]))
    sent = len(messages(stack, RAW_EVENTS.name))
    done = stack.python("customer_profiles.ingestion", "ingest", str(path))
    assert done.returncode == 1
    assert "2 of the first 3 rows would be rejected, more than 5 %" in done.stderr
    assert len(messages(stack, RAW_EVENTS.name)) == sent


def test_messages_that_break_the_contract_are_dead_lettered_and_stop_nothing(stack: Stack) -> None:
    customers = len(lake_profiles(stack))
    producer = KafkaProducer(**connection_options(stack.ingestion.kafka))
    for value in (b"hello", b"{}", b"\xff"):
        producer.send(RAW_EVENTS.name, value, partition=1)
    producer.flush()
    producer.close()
    before = len(messages(stack, DEAD_LETTERS.name))
    report = process(stack)
    assert (report["misfits"], report["events_landed"], report["customers"]) == (3, 0, customers)
    letters = messages(stack, DEAD_LETTERS.name)[before:]
    assert [json.loads(letter.value)["text"] for letter in letters] == ["hello", "{}", "\\xff"]
    for letter in letters:
        topic, partition, offset = letter.key.decode().split("/")
        assert (topic, partition) == (RAW_EVENTS.name, "1")
        assert json.loads(letter.value)["source_row"] == int(offset)


def test_an_index_that_was_lost_is_filled_again_from_the_lake(stack: Stack) -> None:
    count = search(stack, "customer_profiles/_count")["count"]
    _forget_index(stack)
    done = process(stack)
    assert done["profiles_indexed"] == count
    assert search(stack, "customer_profiles/_count")["count"] == count


def _forget_index(stack: Stack) -> None:
    """Leave what a run leaves that is killed after it wrote the lake and before it indexed."""
    client = minio_client(stack)
    for name in [name for name in objects(stack) if name.startswith("_state/")]:
        client.remove_object("data-lake", name)
    assert search(stack, "customer_profiles-000001", method="DELETE")["acknowledged"]


def test_one_profile_is_shown_and_a_missing_one_is_said(stack: Stack) -> None:
    user = lake_profiles(stack)["user_id"][0]
    shown = stack.python("customer_profiles.processing", "profile", user)
    assert json.loads(shown.stdout)["user_id"] == user
    missing = stack.python("customer_profiles.processing", "profile", "42")
    assert missing.returncode == 1
    assert "There is no profile of a customer 42" in missing.stderr


def test_another_number_of_buckets_is_refused(stack: Stack) -> None:
    done = stack.python("customer_profiles.processing", "process", BUCKETS="5")
    assert done.returncode == 1
    assert "cut into 4 buckets" in done.stderr


def test_the_summary_names_best_customers_and_where_to_look(stack: Stack) -> None:
    done = stack.python("customer_profiles.processing", "summary")
    assert done.returncode == 0, done.stderr
    for words in ("Customers", "Revenue", "Best customers", "make profile ID="):
        assert words in done.stdout


@pytest.mark.skipif(
    not REAL_FILE.exists(), reason="the real rows lie beside the project only in some places"
)
def test_real_rows_give_the_published_numbers(stack: Stack) -> None:
    sent, customers = len(messages(stack, RAW_EVENTS.name)), len(lake_profiles(stack))
    report = ingest(stack, REAL_FILE)
    assert (report["read"], report["accepted"], report["duplicates"]) == (5_019, 5_016, 3)
    assert len(messages(stack, RAW_EVENTS.name)) == sent + 5_016
    process(stack)
    real = set(pl.read_csv(REAL_FILE, infer_schema=False)["user_id"])
    profiles = lake_profiles(stack)
    assert len(profiles) == customers + 1_755
    ours = profiles[profiles["user_id"].isin(real)]
    assert len(ours) == ours["user_id"].nunique() == 1_755
    assert ours["total_revenue"].sum() == Decimal("14786.59")


def test_a_header_alone_is_no_error_and_no_event(stack: Stack, tmp_path: Path) -> None:
    path = tmp_path / "nothing.csv"
    path.write_text(HEADER + "\n")
    report = ingest(stack, path)
    assert (report["read"], report["accepted"]) == (0, 0)


def _drives_spark(process: psutil.Process, archives: str) -> bool:
    command = process.info["cmdline"] or []
    return "org.apache.spark.deploy.SparkSubmit" in command and any(
        archives in word for word in command
    )
