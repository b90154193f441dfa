#!/usr/bin/env python
"""Profiles as most tutorials compute them: one Spark SQL job, `collect`, `helpers.bulk`.

A peer for benchmarks. Its profiles have the fields of ours, and it prints the same summary. It
checks nothing, computes everything anew each time, has no dead letters, no favorites beyond
`first`, and holds all profiles in the driver.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile

from elasticsearch import Elasticsearch, helpers
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 (the usual name)

from benchmarks.settings import Settings
from customer_profiles.common.defaults import HOST
from customer_profiles.kafka.config import KafkaConfig
from customer_profiles.search.client import ElasticsearchConfig, connect

FIELDS = (
    "event_time TIMESTAMP, event_type STRING, category_code STRING, brand STRING, "
    "price DECIMAL(18,4), user_id STRING, user_session STRING"
)
INDEX = "plain_profiles"


def main(jars: Path, settings: Settings) -> int:
    """Run the job. Returns the exit code.

    Args:
        jars: the folder of the jars with which Spark reads Kafka and S3.
        settings: where the servers are.
    """
    os.environ["SPARK_LOCAL_IP"] = HOST
    with _secret_properties(settings) as file:
        os.environ["PYSPARK_SUBMIT_ARGS"] = f"--properties-file {file} pyspark-shell"
        spark = _session(jars, settings)
    profiles = build_profiles(_read_events(spark, settings))
    profiles.write.mode("overwrite").parquet("s3a://data-lake/plain_profiles")
    written, indexed = _index(profiles, connect(ElasticsearchConfig.from_settings(settings)))
    print(f"{written} profiles, {indexed} indexed")
    print(f"indexed at {time.time():.1f}")
    # The summary that `make process` prints, too. Most tutorials do not cache, so this computes
    # the profiles again.
    profiles.agg(
        F.count("*"), F.sum("total_events"), F.sum("total_revenue"), F.sum("total_purchases")
    ).show()
    profiles.groupBy("customer_segment").count().orderBy(F.desc("count")).show()
    spark.stop()
    return 0 if written == indexed else 1


def build_profiles(events: DataFrame) -> DataFrame:
    """Build one row per customer from events with `FIELDS`."""

    def count_of(event_type: str) -> Column:
        return F.sum(F.when(F.col("event_type") == event_type, 1).otherwise(0))

    revenue = F.sum(F.when(F.col("event_type") == "purchase", F.col("price")).otherwise(0))
    profiles = events.groupBy("user_id").agg(
        F.count("*").alias("total_events"),
        F.countDistinct("user_session").alias("total_sessions"),
        count_of("purchase").alias("total_purchases"),
        count_of("view").alias("total_product_views"),
        count_of("cart").alias("total_cart_additions"),
        revenue.cast("double").alias("total_revenue"),
        F.countDistinct(F.to_date("event_time")).alias("days_active"),
        F.min("event_time").cast("string").alias("first_seen"),
        F.max("event_time").cast("string").alias("last_seen"),
        F.first("category_code", ignorenulls=True).alias("favorite_category"),
        F.first("brand", ignorenulls=True).alias("favorite_brand"),
    )
    orders, spent = F.col("total_purchases"), F.col("total_revenue")
    now = F.date_format(F.current_timestamp(), "yyyy-MM-dd'T'HH:mm:ss'Z'")
    return profiles.withColumns(
        {
            "conversion_rate": F.round(100 * orders / F.col("total_events"), 2),
            "avg_order_value": F.round(F.when(orders > 0, spent / orders), 2),
            "customer_segment": F.when(spent >= 1000, "High Value")
            .when(spent >= 500, "Medium Value")
            .when(orders >= 1, "Converting Customer")
            .when(F.col("total_cart_additions") >= 1, "Interested Shopper")
            .when(F.col("total_product_views") >= 10, "Active Browser")
            .otherwise("Casual Visitor"),
            "profile_generated_at": now,
            "segments_version": F.lit(1),
        }
    )


@contextmanager
def _secret_properties(settings: Settings) -> Iterator[str]:
    """Write the properties with secrets to a file, because everybody can see a command line."""
    secret = settings.spark_auth_secret.get_secret_value()
    properties = {
        "spark.authenticate": "true" if secret else "false",
        "spark.authenticate.secret": secret or "none",
        "spark.hadoop.fs.s3a.access.key": settings.minio_user,
        "spark.hadoop.fs.s3a.secret.key": settings.minio_password.get_secret_value(),
    }
    with NamedTemporaryFile("w", suffix=".properties") as file:
        file.writelines(f"{name} {value}\n" for name, value in properties.items())
        file.flush()
        yield file.name


def _session(jars: Path, settings: Settings) -> SparkSession:
    return (
        SparkSession.builder.master(settings.spark_master)
        .appName("plain-profiles")
        .config("spark.jars", ",".join(str(jar) for jar in jars.glob("*.jar")))
        .config("spark.driver.memory", "2g")
        .config("spark.executor.memory", "1g")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.hadoop.fs.s3a.endpoint", f"http://{settings.minio_address}")
        .config("spark.hadoop.fs.s3a.endpoint.region", "us-east-1")
        .config("spark.hadoop.fs.s3a.path.style.access", "true")
        .getOrCreate()
    )


def _read_events(spark: SparkSession, settings: Settings) -> DataFrame:
    messages = (
        spark.read.format("kafka")
        .options(**_kafka_options(KafkaConfig.from_settings(settings)))
        .option("subscribe", "raw_events")
        .option("startingOffsets", "earliest")
        .load()
    )
    event = F.from_json(F.col("value").cast("string"), FIELDS).alias("event")
    return messages.select(event).select("event.*")


def _kafka_options(kafka: KafkaConfig) -> dict[str, str]:
    """Return the connection under the names of Kafka's Java client."""
    options = {"kafka.bootstrap.servers": kafka.bootstrap_servers}
    if kafka.security_protocol == "PLAINTEXT":
        return options
    module = "org.apache.kafka.common.security.plain.PlainLoginModule"
    login = f'{module} required username="{kafka.user}" password="{kafka.password}";'
    return {
        **options,
        "kafka.security.protocol": kafka.security_protocol,
        "kafka.sasl.mechanism": "PLAIN",
        "kafka.sasl.jaas.config": login,
    }


def _index(profiles: DataFrame, client: Elasticsearch) -> tuple[int, int]:
    """Index all profiles. Returns how many there are, and how many Elasticsearch counts."""
    client.options(ignore_status=404).indices.delete(index=INDEX)
    client.indices.create(index=INDEX, settings={"number_of_replicas": 0})
    rows = profiles.collect()
    documents = ({"_index": INDEX, "_id": row["user_id"], "_source": row.asDict()} for row in rows)
    helpers.bulk(client, documents)
    client.indices.refresh(index=INDEX)
    return len(rows), int(client.count(index=INDEX)["count"])


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Settings.from_env(os.environ)))
