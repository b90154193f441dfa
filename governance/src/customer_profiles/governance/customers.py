"""Everything that the lake has about one customer, with the place of each event."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import polars as pl

from customer_profiles.common.errors import PipelineError
from customer_profiles.contracts import bucket_of
from customer_profiles.lake.batch_log import BatchLog
from customer_profiles.lake.batch_records import Batch
from customer_profiles.lake.compaction import DataFile
from customer_profiles.lake.events import EVENT_SCHEMA, EventPartition
from customer_profiles.lake.layout import plan_name
from customer_profiles.lake.object_store import ObjectStore
from customer_profiles.lake.profiles import read_profiles

PLACED_EVENT_SCHEMA: dict[str, Any] = {
    **EVENT_SCHEMA,
    "object": pl.String,
    "first_batch": pl.Int64,
    "last_batch": pl.Int64,
    "landed_by": pl.String,
}
"""An event of the lake and where it lies.

`object` is the data file. `first_batch` and `last_batch` are the micro-batch that landed the event,
or the span of micro-batches that its compacted file covers where the plans are checkpointed.
`landed_by` is the run that planned the micro-batch; null where the plan is checkpointed."""


_LANDED = ("first_batch", "last_batch", "landed_by")


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer in the lake."""

    user_id: str
    bucket: int
    through_batch: int
    """The newest micro-batch whose events are here."""
    events: pl.DataFrame
    """`PLACED_EVENT_SCHEMA`, with duplicates, in any order."""
    profile: dict[str, Any] | None
    """The stored profile, if it contains exactly these micro-batches."""


def read_customer(store: ObjectStore, user_id: str, through: int | None = None) -> Customer:
    """Read a customer's events and profile.

    Args:
        store: the lake.
        user_id: the customer.
        through: leave out what later micro-batches brought; None for the profile's own.

    Raises:
        DamagedObjectError: an object is not what was written.
        PipelineError: the lake has no such customer, or can no longer tell that moment.
    """
    log = BatchLog(store)
    buckets = log.buckets()
    if buckets is None:
        raise PipelineError("The lake is empty; run `make process` first")
    bucket = bucket_of(user_id, buckets)
    stored = read_profiles(store, bucket)
    last = stored.through_batch if through is None else min(through, log.last_committed)
    plans = {number: _plan(store, number) for number in log.planned}
    events = _events(store, bucket, user_id, plans)
    within = events.filter(pl.col("first_batch") <= last)
    unclear = within.filter(pl.col("last_batch") > last)
    if unclear.height:
        first, newest = min(unclear["first_batch"]), max(unclear["last_batch"])
        raise PipelineError(
            f"The lake no longer tells what of batches {first} to {newest} was there after batch "
            f"{last}, because they are compacted; name batch {newest} or a later one"
        )
    if within.is_empty():
        raise PipelineError(f"The lake has no events of a customer {user_id} up to batch {last}")
    rows = stored.profiles.filter(pl.col("user_id") == user_id).to_dicts()
    profile = rows[0] if rows and last == stored.through_batch else None
    return Customer(user_id, bucket, last, within, profile)


def _plan(store: ObjectStore, number: int) -> Batch | None:
    return store.get_record(plan_name(number), Batch.from_json)


def _events(
    store: ObjectStore, bucket: int, user_id: str, plans: dict[int, Batch | None]
) -> pl.DataFrame:
    # Files of every batch: compacted ones may reach beyond the batch that is asked for.
    newest = max(plans, default=None)
    files = EventPartition(store, bucket).live_files(newest if newest is not None else 10**9)
    frames = [pl.DataFrame(schema=PLACED_EVENT_SCHEMA)]
    for file in files:
        stored = store.get(file.name)
        if stored is None:
            raise PipelineError(
                f"{file.name} has vanished from the lake while it was read.\n"
                "Did another run compact it at the same time? Run the command again."
            )
        rows = pl.scan_parquet(io.BytesIO(stored.data)).filter(pl.col("user_id") == user_id)
        frames.append(_placed(rows.select(*EVENT_SCHEMA).collect(), file, plans))
    return pl.concat(frames)


def _placed(events: pl.DataFrame, file: DataFile, plans: dict[int, Batch | None]) -> pl.DataFrame:
    messages = events.select("kafka_partition", "kafka_offset").iter_rows()
    batches = [_batch_of(partition, offset, file, plans) for partition, offset in messages]
    landed = pl.DataFrame(
        batches, {name: PLACED_EVENT_SCHEMA[name] for name in _LANDED}, orient="row"
    )
    placed = events.with_columns(pl.lit(file.name).alias("object")).hstack(landed)
    return placed.select(*PLACED_EVENT_SCHEMA)


def _batch_of(
    partition: int, offset: int, file: DataFile, plans: dict[int, Batch | None]
) -> tuple[int, int, str | None]:
    """Return the first and last micro-batch that a message may be from, and the batch's run."""
    first, last = file.first_batch, file.last_batch
    for number in range(first, last + 1):
        plan = plans.get(number)
        if plan is None:
            continue
        start, end = plan.ranges.get(partition, (0, 0))
        if first == last or start <= offset < end:
            run = plan.planned_by or {}
            return number, number, run.get("since")
    # The checkpoint has replaced the plan, so the micro-batch is older than all others.
    return first, min(last, min(plans, default=last + 1) - 1) if first < last else last, None
