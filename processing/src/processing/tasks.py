"""What Spark's executors do: read a split of the topic, land a bucket, profile a bucket.

Every task is a function of its arguments and of objects with deterministic names, so Spark may run
it again, or twice at once, to the same result.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from contracts import BREAKS_CONTRACT, RAW_EVENTS, DeadLetter
from processing.errors import ProcessError
from processing.index import Index
from processing.lake import Lake, event_object, profile_object, to_parquet
from processing.parse import Misfit, bucket_numbers, parse
from processing.profiles import PROFILE_SCHEMA, build_profiles
from processing.segments import Segments
from processing.settings import Settings
from processing.topic import Split, read

MISFITS = -1
"""In place of a bucket: dead letters on their way to the driver."""


def read_split(settings: Settings, split: Split) -> Iterator[tuple[int, bytes]]:
    """The events of a split by bucket as Arrow IPC, and its dead letters as JSON under `MISFITS`."""
    frames: list[pl.DataFrame] = []
    misfits: list[Misfit] = []
    for offsets, values in read(settings.bootstrap_servers, split):
        events, unfit = parse(values, split.partition, offsets)
        frames.append(events)
        misfits.extend(unfit)
    if frames:
        events = pl.concat(frames)
        numbers = bucket_numbers(events["user_id"], settings.buckets)
        parts = events.with_columns(numbers.alias("bucket")).partition_by("bucket", as_dict=True, include_key=False)
        for (bucket,), part in parts.items():
            out = io.BytesIO()
            part.write_ipc(out, compression="zstd")
            yield int(bucket), out.getvalue()
    if misfits:
        yield MISFITS, json.dumps([_dead_letter(misfit) for misfit in misfits]).encode()


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


def land_bucket(settings: Settings, batch: int, bucket: int, parts: Iterable[bytes]) -> int:
    """Write one bucket's events of one batch as one object; returns how many there are."""
    events = pl.concat([pl.read_ipc(io.BytesIO(part)) for part in parts])
    # In a total order, so that a batch that is done again writes the same bytes.
    events = events.sort("user_id", "event_time", "event_id", "kafka_partition", "kafka_offset")
    Lake(settings).put(event_object(bucket, batch), to_parquet(events))
    return events.height


@dataclass(frozen=True, slots=True)
class BucketResult:
    """What profiling one bucket has done, and what its profiles add up to."""

    bucket: int
    updated: int
    indexed: int
    index_error: str | None
    totals: dict[str, Any]


def profile_bucket(
    settings: Settings, bucket: int, through: int, index: str, segments: Segments, generated_at: datetime
) -> BucketResult:
    """Bring one bucket's profiles, in the lake and then in the index, up to a batch.

    The profiles' own object says up to which batch it is (`through_batch` in its metadata), and the
    object `_state/indexed/…` how much of that the index has: a run that stops anywhere is finished
    by the next. The lake does not wait for the index: what fails there is told, not raised.
    """
    lake = Lake(settings)
    batches = [number for number in _batches(lake, bucket) if number <= through]
    old, tag, profiled = _profiles(lake, bucket)
    fresh = [number for number in batches if number > profiled]
    updated = 0
    if fresh:
        touched = _users(lake, bucket, fresh)
        updated = len(touched)
        events = pl.concat([_events(lake, bucket, number, touched) for number in batches])
        built = build_profiles(events, segments, generated_at)
        old = pl.concat([old.join(touched.to_frame(), on="user_id", how="anti"), built]).sort("user_id")
        data = to_parquet(old, {"through_batch": str(fresh[-1]), "segments_version": str(segments.version)})
        lake.put(profile_object(bucket), data, {"If-Match": tag} if tag else {"If-None-Match": "*"})
        profiled = fresh[-1]
    indexed, error = _catch_up(settings, lake, bucket, index, old, profiled, batches)
    return BucketResult(bucket, updated, indexed, error, totals(old))


def totals(profiles: pl.DataFrame) -> dict[str, Any]:
    """What some profiles add up to; numbers that can be added further, money in cents."""
    cents = (pl.col("total_revenue") * 100).cast(pl.Int64)
    sums = profiles.select(
        pl.len().alias("customers"),
        *(pl.col(f"total_{name}").sum() for name in ("events", "purchases", "product_views", "cart_additions")),
        cents.sum().alias("revenue_cents"),
    ).row(0, named=True)
    segments = dict(profiles.group_by("customer_segment").len().iter_rows())
    return {**sums, "segments": segments}


def _catch_up(
    settings: Settings, lake: Lake, bucket: int, index: str, profiles: pl.DataFrame, profiled: int, batches: list[int]
) -> tuple[int, str | None]:
    marker = f"_state/indexed/{index}/bucket={bucket:02d}.json"
    known = lake.get_json(marker)
    done = known["through_batch"] if known else 0
    if done >= profiled:
        return 0, None
    missing = [number for number in batches if done < number <= profiled]
    wanted = (
        profiles if done == 0 else profiles.join(_users(lake, bucket, missing).to_frame(), on="user_id", how="semi")
    )
    try:
        Index(settings).put(index, wanted, profiled)
    except ProcessError as error:
        return 0, str(error)
    lake.put_json(marker, {"through_batch": profiled})
    return wanted.height, None


def _batches(lake: Lake, bucket: int) -> list[int]:
    names = lake.names(event_object(bucket, 0).partition("batch=")[0])
    return [int(name.rpartition("batch=")[2].removesuffix(".parquet")) for name in names]


def _profiles(lake: Lake, bucket: int) -> tuple[pl.DataFrame, str | None, int]:
    found = lake.get(profile_object(bucket))
    if found is None:
        return pl.DataFrame(schema=PROFILE_SCHEMA), None, 0
    data, tag = found
    through = int(pl.read_parquet_metadata(io.BytesIO(data))["through_batch"])
    return pl.read_parquet(io.BytesIO(data)), tag, through


def _content(lake: Lake, bucket: int, number: int) -> io.BytesIO:
    found = lake.get(event_object(bucket, number))
    if found is None:
        raise ProcessError(f"{event_object(bucket, number)} has vanished from the lake while it was read.")
    return io.BytesIO(found[0])


def _users(lake: Lake, bucket: int, numbers: list[int]) -> pl.Series:
    parts = [pl.read_parquet(_content(lake, bucket, number), columns=["user_id"]) for number in numbers]
    return pl.concat(parts)["user_id"].unique()


def _events(lake: Lake, bucket: int, number: int, users: pl.Series) -> pl.DataFrame:
    columns = ["event_id", "event_time", "event_type", "category_code", "brand", "price", "user_id", "user_session"]
    return pl.read_parquet(_content(lake, bucket, number), columns=columns).join(
        users.to_frame(), on="user_id", how="semi"
    )
