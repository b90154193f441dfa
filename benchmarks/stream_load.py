"""A steady load for a stream, and probes that measure how soon events reach their profiles.

The load goes to customers of the history. A probe is one event of a customer who is new to the
index, so the customer appears in the index exactly when the event does.
"""

from __future__ import annotations

import base64
import json
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import Producer

from benchmarks.settings import Settings
from customer_profiles.contracts import COLUMNS, RAW_EVENTS, encode, event_id
from customer_profiles.kafka.config import KafkaConfig
from customer_profiles.search.mapping import ALIAS

PROBE_S = 0.2
"""The time from one probe to the next."""
POLL_S = 0.05
"""The time from one search for the pending probes to the next."""
WAIT_S = 60.0
"""How long to search for a probe."""
SEARCH_PROBES = 500
"""Probes in one search."""
HISTORY_CUSTOMERS = 10_000
"""Customers of the history who get the load."""


@dataclass
class LoadResult:
    """The measurements of one load."""

    sent: int = 0
    """Events, probes included."""
    latencies: list[float] = field(default_factory=list)
    """Seconds from producing a probe to finding it in its customer's profile."""
    missing: int = 0
    """Probes that were not found in time."""


def produce_load(settings: Settings, rate: int, seconds: float) -> LoadResult:
    """Send events at a steady rate, some of them probes, and wait for all probes.

    Args:
        settings: where the servers are.
        rate: events per second.
        seconds: how long to send.
    """
    result = LoadResult()
    pending: list[tuple[str, float]] = []
    finished = threading.Event()
    searcher = threading.Thread(target=_find_probes, args=(settings, pending, finished, result))
    known = history_customers(settings, HISTORY_CUSTOMERS)
    connection = KafkaConfig.from_settings(settings).client_settings()
    config = {**connection, "enable.idempotence": "true"}
    options = {"linger.ms": 5, "compression.type": "zstd", "partitioner": "murmur2_random"}
    producer = Producer({**config, **options})
    # Makes the customers of probes and the events different from those of every other load.
    mark = time.time_ns() // 1_000_000
    began, last_probe = time.monotonic(), 0.0
    searcher.start()
    while (elapsed := time.monotonic() - began) < seconds:
        target = int(elapsed * rate)
        for number in range(result.sent, target):
            customer = known[number * 7_919 % len(known)]
            if elapsed - last_probe >= PROBE_S:
                last_probe, customer = elapsed, f"{mark}{number}"
                pending.append((customer, time.time()))
            message = _make_event(mark * 1_000 + number, customer)
            producer.produce(RAW_EVENTS.name, encode(message), customer)
        result.sent = max(result.sent, target)
        producer.poll(0)
        time.sleep(0.01)
    producer.flush(30)
    finished.set()
    searcher.join()
    return result


def count_events(settings: Settings) -> int:
    """Return the number of events in all profiles of the index."""
    body = {"aggs": {"events": {"sum": {"field": "total_events"}}}}
    answer = search(settings, f"{ALIAS}/_search?size=0", body)
    return int(answer["aggregations"]["events"]["value"])


def history_customers(settings: Settings, count: int) -> list[str]:
    """Return the first customers of the index."""
    body = {"size": count, "_source": False, "sort": ["user_id"]}
    return [hit["_id"] for hit in search(settings, f"{ALIAS}/_search", body)["hits"]["hits"]]


def authorization(settings: Settings) -> dict[str, str]:
    """Return the header with which Elasticsearch knows its account."""
    login = f"{settings.elasticsearch_user}:{settings.elasticsearch_password.get_secret_value()}"
    return {"authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}


def search(settings: Settings, path: str, body: dict[str, Any]) -> Any:
    """Send a search to Elasticsearch and return the decoded response."""
    request = urllib.request.Request(
        f"{settings.elasticsearch_url}/{path}",
        json.dumps(body).encode(),
        {"content-type": "application/json", **authorization(settings)},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def _find_probes(
    settings: Settings,
    pending: list[tuple[str, float]],
    finished: threading.Event,
    result: LoadResult,
) -> None:
    """Search for pending probes until the load has finished and none is left.

    Args:
        settings: where Elasticsearch is.
        pending: the customer and the time of each probe. The load appends to it.
        finished: set once the load has finished.
        result: gets the latencies.
    """
    while not finished.is_set() or pending:
        now = time.time()
        searched = pending[:SEARCH_PROBES]
        if searched:
            customers = [customer for customer, _ in searched]
            body = {"query": {"terms": {"user_id": customers}}, "size": len(searched)}
            response = search(settings, f"{ALIAS}/_search?_source=user_id,total_events", body)
            present = {hit["_source"]["user_id"] for hit in response["hits"]["hits"]}
            for probe in searched:
                customer, produced = probe
                if customer in present:
                    result.latencies.append(time.time() - produced)
                    pending.remove(probe)
                elif now - produced > WAIT_S:
                    result.missing += 1
                    pending.remove(probe)
        time.sleep(POLL_S)


def _make_event(number: int, customer: str) -> dict[str, Any]:
    """Make a new event with the current time, in the shape of all others."""
    values = {
        "event_time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "event_type": ("view", "view", "view", "cart", "purchase")[number % 5],
        "product_id": str(number),
        "category_id": "2144415922528452715",
        "category_code": "electronics.telephone",
        "brand": "samsung",
        "price": "31.90",
        "user_id": customer,
        "user_session": f"bench-{number}",
    }
    event = {name: values[name] for name in COLUMNS}
    origin = {"schema_version": 1, "source": "bench", "source_row": number}
    return {"event_id": event_id(event), **event, "category_root": "electronics", **origin}
