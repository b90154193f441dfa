#!/usr/bin/env python
"""How long after an event its customer's profile is found, with a history, at a steady rate.

A producer sends events at the rate; for one in each fifth of a second its customer is asked for in
Elasticsearch until the event is in the profile. Servers of its own, beside the running stack or without.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from confluent_kafka import Producer
from dotenv import dotenv_values

from contracts import COLUMNS, RAW_EVENTS, encode, event_id
from processing.charts import RUNS
from processing.settings import Settings
from scripts.bench_process import ROOT, ROWS, Bench, sample, stack, watched
from scripts.keep import keep, machine

PROBE_S = 0.2
ASK_S = 0.05
WAIT_S = 60.0
WATCH_S = 5.0
"""Memory is looked at seldom: on two cores, looking takes time from what is measured."""


@dataclass
class Found:
    """What was measured."""

    sent: int = 0
    latencies: list[float] = field(default_factory=list)
    """Seconds from producing an event to finding it in its customer's profile."""
    missing: int = 0


def event(number: int, customer: str) -> dict[str, Any]:
    """A new event of now, of the same shape as the others."""
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
    message = {name: values[name] for name in COLUMNS}
    derived = {"category_root": "electronics", "schema_version": 1, "source": "bench", "source_row": number}
    return {"event_id": event_id(message), **message, **derived}


def search(settings: Settings, path: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(
        f"{settings.elasticsearch_url}/{path}", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def total(settings: Settings) -> int:
    """Events in all profiles of the index."""
    answer = search(settings, "customer_profiles/_search?size=0", {"aggs": {"e": {"sum": {"field": "total_events"}}}})
    return int(answer["aggregations"]["e"]["value"])


def customers(settings: Settings, count: int) -> list[str]:
    """Customers of the history."""
    body = {"size": count, "_source": False, "sort": ["user_id"]}
    return [hit["_id"] for hit in search(settings, "customer_profiles/_search", body)["hits"]["hits"]]


def probe(settings: Settings, asked: list[tuple[str, float]], over: threading.Event, found: Found) -> None:
    """Ask for each customer who waits until they are seen later than their event was produced."""
    while not over.is_set() or asked:
        now = time.time()
        waiting = asked[:500]
        if waiting:
            wanted = {"query": {"terms": {"user_id": [name for name, _ in waiting]}}, "size": len(waiting)}
            hits = search(settings, "customer_profiles/_search?_source=user_id,total_events", wanted)["hits"]["hits"]
            seen = {hit["_source"]["user_id"] for hit in hits}
            for entry in waiting:
                name, produced = entry
                if name in seen:
                    found.latencies.append(time.time() - produced)
                    asked.remove(entry)
                elif now - produced > WAIT_S:
                    found.missing += 1
                    asked.remove(entry)
        time.sleep(ASK_S)


def produce(settings: Settings, rate: int, seconds: float) -> Found:
    """Send events at a steady rate, and measure the way of some of them."""
    found = Found()
    # Nobody has seen the customers of probes before: that they are found is that their event is in.
    asked: list[tuple[str, float]] = []
    over = threading.Event()
    asking = threading.Thread(target=probe, args=(settings, asked, over, found))
    known = customers(settings, 10_000)
    config = {"bootstrap.servers": settings.bootstrap_servers, "enable.idempotence": True, "linger.ms": 5}
    producer = Producer({**config, "compression.type": "zstd", "partitioner": "murmur2_random"})
    mark = time.time_ns() // 1_000_000
    began, last_probe = time.monotonic(), 0.0
    asking.start()
    while (elapsed := time.monotonic() - began) < seconds:
        due = int(elapsed * rate)
        for number in range(found.sent, due):
            customer = known[number * 7_919 % len(known)]
            if elapsed - last_probe >= PROBE_S:
                last_probe, customer = elapsed, f"{mark}{number}"
                asked.append((customer, time.time()))
            message = event(mark * 1_000 + number, customer)
            producer.produce(RAW_EVENTS.name, encode(message), customer)
        found.sent = max(found.sent, due)
        producer.poll(0)
        time.sleep(0.01)
    producer.flush(30)
    over.set()
    asking.join()
    return found


@contextmanager
def streaming(bench: Bench) -> Iterator[subprocess.Popen[str]]:
    """`make stream` until the end of the block, where it is ended as by Ctrl-C."""
    log = bench.reports / "stream.log"
    with log.open("w") as out:
        command = [sys.executable, "-m", "processing", "stream"]
        child = subprocess.Popen(command, cwd=ROOT, env=bench.environ, stdout=out, stderr=out, text=True)
    try:
        deadline = time.monotonic() + 120
        while "following" not in log.read_text():
            if child.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"error: the stream did not start:\n{log.read_text()}")
            time.sleep(0.2)
        yield child
        child.send_signal(signal.SIGINT)
        if child.wait(300):
            raise SystemExit(f"error: the stream failed:\n{log.read_text()}")
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()


def measure(bench: Bench, rate: int, seconds: float) -> str:
    """One row of the table: a rate for some time."""
    settings = Settings.from_env(bench.environ)
    before = total(settings)
    with streaming(bench), watched(bench.environ["STACK_HOME"], WATCH_S) as first:
        # What a minute of it takes is what the end of it is compared with.
        warm = produce(settings, rate, min(60.0, seconds / 4))
        early = first.anonymous
        with watched(bench.environ["STACK_HOME"], WATCH_S) as later:
            found = produce(settings, rate, seconds)
        body = {"size": 1_000, "sort": [{"time": "desc"}], "query": {"term": {"kind": "stream"}}}
        batches = [hit["_source"] for hit in search(settings, f"{RUNS}/_search", body)["hits"]["hits"]]
    sent = warm.sent + found.sent
    lost = before + sent - total(settings)
    latencies = sorted(found.latencies)
    share = statistics.quantiles(latencies, n=100)
    batch_s = statistics.median(batch["seconds"] for batch in batches)
    print(
        f"  {rate:,} events/s for {seconds:.0f} s: median {share[49]:.1f} s, p95 {share[94]:.1f} s, "
        f"p99 {share[98]:.1f} s of {len(latencies)} probes; {lost} lost or repeated, {found.missing} probes not found",
        flush=True,
    )
    return (
        f"| {rate:,} | {seconds:.0f} | {share[49]:.1f} | {share[94]:.1f} | {share[98]:.1f} | {latencies[-1]:.1f} "
        f"| {batch_s:.1f} | {lost} | {early:,.0f} | {later.anonymous:,.0f} |"
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench_stream.py", description=__doc__)
    parser.add_argument("--rates", type=int, nargs="*", default=[1_000, 10_000], help="events per second")
    parser.add_argument("--seconds", type=float, nargs="*", default=[600, 60], help="for how long, one for each rate")
    parser.add_argument("--keep", type=Path, metavar="MD", help="also replace the table in this document")
    given = parser.parse_args(arguments)
    environ = {key: value or "" for key, value in {**dotenv_values(".env"), **os.environ}.items()}
    folder = ROOT / "data" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        path = folder / "events-1.csv"
        sample(ROWS, 1, path)
        with stack(environ) as bench:
            bench.python("ingestion", "ingest", str(path))
            bench.process()
            rows = [measure(bench, rate, seconds) for rate, seconds in zip(given.rates, given.seconds, strict=True)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    text = "\n".join(
        [
            f"{ROWS:,} rows of history; {machine()}; seconds from producing an event to finding it in its customer's "
            "profile in Elasticsearch; memory of all servers and the stream, without mapped files, in MB.",
            "",
            "| events/s | for s | median | p95 | p99 | worst | micro-batch (median) | lost or repeated "
            "| memory, first minute | memory, after |",
            "|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
            *rows,
        ]
    )
    print(text)
    if given.keep:
        keep(text, "bench-stream", given.keep)
    return 0


if __name__ == "__main__":
    sys.exit(main())
