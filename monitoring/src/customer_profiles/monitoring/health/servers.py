"""Whether each server answers in the protocol of its clients."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable

from customer_profiles.common.errors import PipelineError, first_line
from customer_profiles.kafka.admin import watermarks
from customer_profiles.kafka.config import KafkaConfig
from customer_profiles.lake.layout import LEASE
from customer_profiles.lake.s3 import S3Config, S3ObjectStore
from customer_profiles.monitoring.health.model import Component, Status
from customer_profiles.monitoring.settings import Settings
from customer_profiles.search.client import ElasticsearchConfig, connect, translate_errors

ANSWER_S = 5.0
NEXT = "make status, then make up"

Watermarks = dict[int, tuple[int, int]]


def check_kafka(settings: Settings) -> tuple[Component, Watermarks | None]:
    """Ask Kafka for the watermarks of raw_events; None if it does not answer."""
    try:
        offsets = watermarks(KafkaConfig.from_settings(settings))
    except PipelineError as error:
        if "There is no topic" in str(error):
            return Component("kafka", Status.OK, "answers; there is no topic yet"), {}
        return _down("kafka", error), None
    messages = sum(end for _, end in offsets.values())
    return Component("kafka", Status.OK, f"answers; raw_events ends at {messages:,}"), offsets


def check_minio(settings: Settings) -> Component:
    """Ask MinIO for one object."""

    def ask() -> str:
        S3ObjectStore(S3Config.from_settings(settings)).head(LEASE)
        return "answers"

    return _check("minio", ask)


def check_elasticsearch(settings: Settings) -> Component:
    """Ask Elasticsearch for the health of its cluster."""
    config = ElasticsearchConfig.from_settings(settings)

    def ask() -> str:
        client = connect(config).options(request_timeout=ANSWER_S, max_retries=0)
        with translate_errors(config.url):
            status = str(client.cluster.health().body["status"])
        if status == "red":
            raise PipelineError("Elasticsearch has lost parts of its indices (status red).")
        return f"answers; status {status}"

    return _check("elasticsearch", ask)


def check_spark(settings: Settings) -> Component:
    """Ask the Spark master how many workers it has."""
    try:
        with urllib.request.urlopen(f"{settings.spark_ui_url}/json/", timeout=ANSWER_S) as answer:
            workers = json.load(answer)["workers"]
        alive = sum(1 for worker in workers if worker["state"] == "ALIVE")
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = PipelineError(f"Spark's master does not answer on {settings.spark_ui_url}.")
        problem.__cause__ = error
        return _down("spark", problem)
    if not alive:
        return Component("spark", Status.DOWN, "the master has no worker", NEXT)
    plural = "" if alive == 1 else "s"
    return Component("spark", Status.OK, f"{alive} worker{plural}", numbers={"workers": alive})


def _check(name: str, ask: Callable[[], str]) -> Component:
    try:
        return Component(name, Status.OK, ask())
    except PipelineError as error:
        return _down(name, error)


def _down(name: str, error: PipelineError) -> Component:
    return Component(name, Status.DOWN, first_line(error), NEXT)
