"""What dashboards show beside the profiles: events by time, runs, and rejected rows, in Elasticsearch.

`event_metrics` holds what the lake's `event_metrics/` adds up to over all buckets, `pipeline_runs` one
document a run or micro-batch, `rejected_rows` the dead letters by source, reason and day. Every document
has an id that follows from what it is about, so writing it again changes nothing.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import polars as pl

from contracts import DEAD_LETTERS, DeadLetter
from processing.index import CHARTS, Index, iso_8601
from processing.lake import Objects, metrics_object, to_parquet
from processing.metrics import DIMENSIONS, METRIC_SCHEMA, add_metrics, group_counts
from processing.topic import Split, held, read

METRICS, RUNS, REJECTED = CHARTS
OTHER = "(other)"
"""All brands but those with the most events."""
BRANDS = 20
SENT = "_state/event_metrics.parquet"
"""What the index of metrics has."""
LETTERS = "_state/rejected_rows.json"
"""Counts of dead letters, and up to which offsets."""
BULK_DOCUMENTS = 10_000
SENDERS = 2

_KEYWORD, _LONG, _DOUBLE, _DATE = ({"type": name} for name in ("keyword", "long", "double", "date"))
MAPPINGS: dict[str, dict[str, Any]] = {
    METRICS: {
        **{name: _DATE if name == "time" else _KEYWORD for name in DIMENSIONS},
        "events": _LONG,
        "revenue": _DOUBLE,
    },
    RUNS: {
        "time": _DATE,
        "kind": _KEYWORD,
        "batch": _LONG,
        "events": _LONG,
        "misfits": _LONG,
        "customers": _LONG,
        "seconds": _DOUBLE,
        "lag_events": _LONG,
        "lag_seconds": _DOUBLE,
    },
    REJECTED: {"time": _DATE, "source": _KEYWORD, "reason": _KEYWORD, "rows": _LONG},
}


class Charts:
    """The indices of dashboards; what fails here never stops a run, and is made good by the next."""

    def __init__(self, lake: Objects, index: Index, bootstrap_servers: str) -> None:
        self._lake = lake
        self._index = index
        self._servers = bootstrap_servers
        self._parts: dict[int, _Part] = {}

    def ensure(self) -> None:
        """Make the indices that are missing.

        Raises:
            ProcessError: Elasticsearch does not answer or refuses.
        """
        with self._index.telling():
            for name, properties in MAPPINGS.items():
                if not self._index.client.indices.exists(index=name):
                    self._index.client.options(ignore_status=400).indices.create(
                        index=name,
                        settings={"number_of_shards": 1, "number_of_replicas": 0},
                        mappings={"dynamic": "strict", "properties": properties},
                    )

    def add_run(self, time: datetime, kind: str, numbers: Mapping[str, Any]) -> None:
        """One document about a run (`kind` process or rebuild) or a micro-batch (stream)."""
        known = {name: numbers[name] for name in MAPPINGS[RUNS] if numbers.get(name) is not None}
        document = {"time": time.isoformat(timespec="milliseconds"), "kind": kind, **known}
        self._bulk(RUNS, [(f"{kind} {document.get('batch', document['time'])}", document)])

    def update_rejected(self) -> None:
        """Count the dead letters that are new in the topic."""
        state = self._lake.get_json(LETTERS) or {"next_offsets": {}, "counts": []}
        offsets = dict(state["next_offsets"])
        counts = Counter({tuple(key): count for *key, count in state["counts"]})
        before = dict(counts)
        for partition, (begin, end) in held(self._servers, DEAD_LETTERS).items():
            start = max(begin, offsets.get(str(partition), 0))
            if start < end:
                for _, values, produced in read(self._servers, Split(partition, start, end), DEAD_LETTERS):
                    day = datetime.fromtimestamp(produced / 1000, UTC).date().isoformat()
                    for value in values:
                        try:
                            letter = DeadLetter.from_json(value or b"")
                        except ValueError:
                            continue
                        counts.update((day, letter.source, reason) for reason in letter.reasons)
            offsets[str(partition)] = end
        changed = {key: count for key, count in counts.items() if before.get(key) != count}
        documents = (
            ("|".join(key), {"time": key[0], "source": key[1], "reason": key[2], "rows": count})
            for key, count in changed.items()
        )
        self._bulk(REJECTED, documents)
        if changed or offsets != state["next_offsets"]:
            # After the documents: what is sent and not noted is counted again, to the same documents.
            self._lake.put_json(
                LETTERS, {"next_offsets": offsets, "counts": [[*key, count] for key, count in sorted(counts.items())]}
            )

    def update_metrics(self, buckets: Iterable[int], changed: Iterable[int]) -> int:
        """Bring the index of metrics up to the lake; returns how many documents were written.

        Args:
            buckets: all that the lake has.
            changed: those that were written since the last time; the others are read once.
        """
        for bucket in changed:
            self._parts.pop(bucket, None)
        for bucket in buckets:
            if bucket not in self._parts and (found := self._lake.get(metrics_object(bucket))):
                # Where nothing is found, an older version made the profiles: the next rebuild counts.
                self._parts[bucket] = _Part(found[0])
        brands = top_brands(part.brands for part in self._parts.values())
        metrics = add_metrics(part.reduced(brands) for part in self._parts.values())
        with self._index.telling():
            made = self._index.client.indices.get_settings(index=METRICS, name="index.uuid").body
        uuid = made[METRICS]["settings"]["index"]["uuid"]
        sent = self._sent(uuid)
        fresh = metrics.join(sent, on=list(METRIC_SCHEMA), how="anti")
        gone = sent.join(metrics, on=DIMENSIONS, how="anti")
        if fresh.height or gone.height:
            # What is being sent is unknown until it is: a run that stops in between leaves nothing behind.
            doubtful = fresh.with_columns(pl.lit(None, pl.Int64).alias("events"))
            kept = pl.concat([sent.join(fresh, on=DIMENSIONS, how="anti"), doubtful])
            self._lake.put(SENT, to_parquet(kept, {"index": uuid}))
            self._send(METRICS, to_ndjson(fresh))
            self._send(METRICS, to_ndjson(gone, delete=True))
            self._lake.put(SENT, to_parquet(metrics, {"index": uuid}))
        return fresh.height + gone.height

    def _sent(self, uuid: str) -> pl.DataFrame:
        found = self._lake.get(SENT)
        if found and pl.read_parquet_metadata(io.BytesIO(found[0])).get("index") == uuid:
            return pl.read_parquet(io.BytesIO(found[0]))
        return pl.DataFrame(schema=METRIC_SCHEMA)

    def _bulk(self, index: str, documents: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        actions = ((json.dumps({"index": {"_id": name}}), json.dumps(document)) for name, document in documents)
        self._send(index, [f"{action}\n{document}\n" for action, document in actions])

    def _send(self, index: str, documents: Sequence[str]) -> None:
        with ThreadPoolExecutor(SENDERS) as senders:
            parts = [documents[begin : begin + BULK_DOCUMENTS] for begin in range(0, len(documents), BULK_DOCUMENTS)]
            # Exhausted, so that a failure is raised.
            list(senders.map(lambda part: self._index.bulk(index, "".join(part).encode()), parts))


class _Part:
    """One bucket's metrics, and what was worked out about them before."""

    def __init__(self, data: bytes) -> None:
        # As it is stored, a tenth of what it takes as columns: one bucket is read at a time.
        self._data = data
        self.brands = count_brands(pl.read_parquet(io.BytesIO(data), columns=["granularity", "brand", "events"]))
        self._reduced: tuple[tuple[str, ...], pl.DataFrame] | None = None

    def reduced(self, brands: tuple[str, ...]) -> pl.DataFrame:
        if self._reduced is None or self._reduced[0] != brands:
            self._reduced = brands, reduce_brands(pl.read_parquet(io.BytesIO(self._data)), brands)
        return self._reduced[1]


def count_brands(metrics: pl.DataFrame) -> pl.DataFrame:
    """Events by `brand`."""
    return metrics.filter(pl.col("granularity") == "day").group_by("brand").agg(pl.col("events").sum())


def top_brands(counts: Iterable[pl.DataFrame]) -> tuple[str, ...]:
    """The brands with the most events, in alphabetical order."""
    found = list(counts)
    if not found:
        return ()
    summed = pl.concat(found).group_by("brand").agg(pl.col("events").sum())
    first = summed.sort(["events", "brand"], descending=[True, False]).head(BRANDS)
    return tuple(first["brand"].sort().to_list())


def reduce_brands(metrics: pl.DataFrame, brands: tuple[str, ...]) -> pl.DataFrame:
    """Metrics with all but some brands as one, for `add_metrics`: few enough to index."""
    kept = pl.Series(brands, dtype=pl.String)
    brand = pl.when(pl.col("brand").is_in(kept.implode())).then("brand").otherwise(pl.lit(OTHER)).alias("brand")
    return group_counts([metrics.with_columns(brand)])


def to_ndjson(metrics: pl.DataFrame, *, delete: bool = False) -> list[str]:
    """An action for each row, with the document where it has one."""
    texts = metrics.with_columns(iso_8601(metrics["time"]))
    name = pl.struct(pl.concat_str(DIMENSIONS, separator="|").alias("_id")).struct.json_encode()
    document = pl.struct(*DIMENSIONS, "events", pl.col("revenue").cast(pl.Float64)).struct.json_encode()
    if delete:
        lines = pl.concat_str(pl.lit('{"delete":'), name, pl.lit("}\n"))
    else:
        lines = pl.concat_str(pl.lit('{"index":'), name, pl.lit("}\n"), document, pl.lit("\n"))
    return texts.select(lines).to_series().to_list()
