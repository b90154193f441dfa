"""What Spark's executors do: read a split of the topic, land a bucket, profile a bucket.

Every task is a function of its arguments and of objects with deterministic names, so Spark may run
it again, or twice at once, to the same result.
"""

from __future__ import annotations

import gc
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from contracts import BREAKS_CONTRACT, RAW_EVENTS, DeadLetter
from processing.archive import ROW_GROUP, Archive
from processing.errors import ProcessError
from processing.index import Index, Target
from processing.lake import Objects, metrics_object, profile_object, to_parquet
from processing.metrics import add_metrics, count_events
from processing.parse import Misfit, bucket_numbers, parse
from processing.profiles import PROFILE_SCHEMA, build_from_distinct, build_profiles, drop_repeats
from processing.segments import Segments
from processing.settings import Settings
from processing.topic import Split, read

NOTES = -1
"""In place of a bucket: a task's `Notes` on their way to the driver."""
PASSED_ON = 150_000
"""Events that a task collects before it passes them on."""


def read_split(settings: Settings, split: Split) -> Iterator[tuple[int, bytes]]:
    """The events of a split by bucket as Parquet, and what else there is to say as JSON under `NOTES`."""
    oldest: int | None = None
    frames: list[pl.DataFrame] = []
    misfits: list[Misfit] = []
    for offsets, values, produced in read(settings.bootstrap_servers, split):
        oldest = produced if oldest is None else oldest
        events, unfit = parse(values, split.partition, offsets)
        frames.append(events)
        misfits.extend(unfit)
        if sum(frame.height for frame in frames) >= PASSED_ON:
            yield from _by_bucket(frames, settings.buckets)
            frames.clear()
    yield from _by_bucket(frames, settings.buckets)
    yield NOTES, json.dumps({"oldest_ms": oldest, "letters": [_dead_letter(misfit) for misfit in misfits]}).encode()


def _by_bucket(frames: list[pl.DataFrame], buckets: int) -> Iterator[tuple[int, bytes]]:
    if not frames:
        return
    events = pl.concat(frames)
    numbers = bucket_numbers(events["user_id"], buckets)
    parts = events.with_columns(numbers.alias("bucket")).partition_by("bucket", as_dict=True, include_key=False)
    for (bucket,), part in parts.items():
        # Half of what Arrow's own format takes, as fast to write and faster to read.
        yield int(bucket), to_parquet(part)


def _dead_letter(misfit: Misfit) -> tuple[str, str]:
    place = f"{RAW_EVENTS.name}/{misfit.partition}/{misfit.offset}"
    letter = DeadLetter(
        source=f"{RAW_EVENTS.name}/{misfit.partition}",
        source_row=misfit.offset,
        reasons=[BREAKS_CONTRACT],
        text=misfit.text,
        detail=misfit.reason,
    )
    return place, letter.to_json()


def land_bucket(lake: Objects, batch: int, bucket: int, parts: Iterable[bytes]) -> int:
    """Write one bucket's events of one batch as one object; returns how many there are."""
    events = pl.concat([pl.read_parquet(io.BytesIO(part)) for part in parts])
    Archive(lake, bucket).write(batch, events)
    return events.height


@dataclass(frozen=True, slots=True)
class Work:
    """What a run asks of every bucket."""

    through: int
    """The newest batch that is landed whole."""
    segments: Segments
    generated_at: datetime
    target: Target | None
    """The index to fill; None while Elasticsearch does not answer."""
    rebuild: bool = False
    """Compute all profiles anew, whether they have new events or not."""


@dataclass(frozen=True, slots=True)
class BucketResult:
    """What profiling one bucket has done, and what its profiles add up to."""

    bucket: int
    updated: int
    indexed: int
    index_error: str | None
    joined: int
    """Small objects of events that became one."""
    totals: dict[str, Any]


def profile_bucket(lake: Objects, index: Index | None, bucket: int, work: Work) -> BucketResult:
    """Bring one bucket's profiles, in the lake and then in the index, up to a batch.

    The profiles' own object says up to which batch it is (`through_batch` in its metadata), and the
    object `_state/indexed/…` how much of that the index has: a run that stops anywhere is finished
    by the next. The lake does not wait for the index: what fails there is told, not raised.
    """
    archive = Archive(lake, bucket)
    pieces = archive.pieces(work.through)
    profiles, tag, profiled = read_profiles(lake, bucket)
    fresh = pieces if work.rebuild else [piece for piece in pieces if piece.last > profiled]
    updated = 0
    if fresh:
        touched = archive.users(fresh)
        updated = len(touched)
        counted: list[pl.DataFrame] = []
        others = profiles.join(touched.to_frame(), on="user_id", how="anti")
        profiles = pl.concat([others, *_built(archive.slices(pieces, touched), work, counted)])
        if others.height:
            # Otherwise they are in order, as slices are, and sorting would only hold all of them twice.
            profiles = profiles.sort("user_id")
            for part in archive.slices(pieces, others["user_id"]):
                counted.append(count_events(drop_repeats(part), others))  # noqa: PERF401 - one slice at a time
        archive.forget()
        profiled = fresh[-1].last
        # First, so that it is never older than the profiles: those say whether there is something to do.
        lake.put(metrics_object(bucket), to_parquet(add_metrics(counted), {"through_batch": str(profiled)}))
        counted.clear()
        data = to_parquet(profiles, {"through_batch": str(profiled)}, row_group_size=ROW_GROUP)
        lake.put(profile_object(bucket), data, {"If-Match": tag} if tag else {"If-None-Match": "*"})
    indexed, error = 0, None
    if index and work.target:
        marker = f"_state/indexed/{work.target.key}/bucket={bucket:02d}.json"
        known = (lake.get_json(marker) or {"through_batch": 0})["through_batch"]
        missing = [piece for piece in pieces if known < piece.last <= profiled]
        if missing:
            wanted = profiles
            if known:
                wanted = profiles.join(archive.users(missing).to_frame(), on="user_id", how="semi")
            try:
                index.put(work.target, wanted, profiled)
            except ProcessError as refused:
                error = str(refused)
            else:
                lake.put_json(marker, {"through_batch": profiled})
                indexed = wanted.height
    joined = archive.join_small(profiled)
    return BucketResult(bucket, updated, indexed, error, joined, totals(profiles))


def _built(slices: Iterable[pl.DataFrame], work: Work, counted: list[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The profiles of each slice; what its events add up to goes to `counted`."""
    for part in slices:
        # The identities are a third of the memory, and of no further use.
        distinct = drop_repeats(part).drop("event_id")
        profiles = build_from_distinct(distinct, work.segments, work.generated_at)
        counted.append(count_events(distinct, profiles))
        yield profiles


def show_fresh(
    lake: Objects, index: Index, target: Target, buckets: Sequence[int], work: Work
) -> tuple[int, str | None]:
    """Index the customers who have events in the newest batch, ahead of their profiles in the lake.

    A stream does this for every batch, and `profile_bucket` for some buckets at a time: the documents
    are the same, and have the same version, so neither undoes what the other has done.

    Returns:
        How many customers there were, and what Elasticsearch refused.
    """
    found = []
    for bucket in buckets:
        archive = Archive(lake, bucket)
        pieces = archive.pieces(work.through)
        touched = archive.users([piece for piece in pieces if piece.last == work.through])
        found.append(archive.events_of(pieces, touched))
    profiles = build_profiles(pl.concat(found), work.segments, work.generated_at)
    try:
        index.put(target, profiles, work.through)
    except ProcessError as refused:
        return profiles.height, str(refused)
    return profiles.height, None


def read_profiles(lake: Objects, bucket: int) -> tuple[pl.DataFrame, str | None, int]:
    """A bucket's profiles with `PROFILE_SCHEMA`, their entity tag and the newest batch in them."""
    found = lake.get(profile_object(bucket))
    if found is None:
        return pl.DataFrame(schema=PROFILE_SCHEMA), None, 0
    data, tag = found
    through = int(pl.read_parquet_metadata(io.BytesIO(data))["through_batch"])
    return pl.read_parquet(io.BytesIO(data)), tag, through


def totals(profiles: pl.DataFrame) -> dict[str, Any]:
    """What some profiles add up to; numbers that can be added further, money in cents."""
    cents = (pl.col("total_revenue") * 100).cast(pl.Int64)
    sums = profiles.select(
        pl.len().alias("customers"),
        *(pl.col(f"total_{name}").sum() for name in ("events", "purchases", "product_views", "cart_additions")),
        cents.sum().alias("revenue_cents"),
    ).row(0, named=True)
    segments = dict(profiles.group_by("customer_segment").len().iter_rows())
    versions = {str(version): count for version, count in profiles.group_by("segments_version").len().iter_rows()}
    return {**sums, "segments": segments, "segments_versions": versions}


# After each task Spark collects garbage; to look through all modules for some takes longer than some of the tasks.
gc.freeze()
