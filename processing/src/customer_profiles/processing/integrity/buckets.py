"""Read one bucket as a whole, and compare its profiles and event counts with its events."""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from customer_profiles.lake.checksums import WRITTEN
from customer_profiles.lake.compaction import DataFile
from customer_profiles.lake.errors import DamagedObjectError
from customer_profiles.lake.events import EVENT_SCHEMA
from customer_profiles.lake.findings import Finding, Kind, Remedy
from customer_profiles.lake.layout import data_file_name, event_counts_name, profiles_name
from customer_profiles.lake.object_store import ObjectStore
from customer_profiles.processing.integrity.events_check import StoredEvents
from customer_profiles.processing.integrity.survey import Survey
from customer_profiles.profiles.aggregate import build_from_distinct, deduplicate_events
from customer_profiles.profiles.event_counts import METRIC_SCHEMA, add_counts, count_events
from customer_profiles.profiles.event_days import find_event_days
from customer_profiles.profiles.schema import EVENT_COLUMNS, PROFILE_SCHEMA
from customer_profiles.profiles.segments import Segments
from customer_profiles.profiles.totals import totals_of

THROUGH_BATCH = "through_batch"
"""The key in the files' metadata."""
NOT_PARQUET = (
    OSError,
    ValueError,
    KeyError,
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,
)
"""What bytes can cause that are no Parquet file, or one of another kind."""


@dataclass(frozen=True, slots=True)
class StoredTable:
    """Profiles or event counts of a bucket, as far as they could be read."""

    name: str
    rows: pl.DataFrame | None
    """None if the object is missing or damaged."""
    through_batch: int = 0
    written: datetime | None = None
    """When the run began that wrote the object; None for an object of version 0.2."""
    problem: str = ""
    """What is wrong with an object that is there."""


def read_events(
    store: ObjectStore,
    survey: Survey,
    bucket: int,
    last_batch: int,
    foreign: Collection[str] = (),
) -> StoredEvents:
    """Read all events of a bucket.

    Args:
        store: the lake.
        survey: what else is known of it.
        bucket: the bucket.
        last_batch: the newest batch that has landed. Files of later ones are left out.
        foreign: files that another program wrote.
    """
    present = [file for file in survey.files(bucket) if file.last_batch <= last_batch]
    expected = _expected_files(survey, bucket, last_batch)
    absent = [
        file
        for file in expected
        if not any(
            other.first_batch <= file.first_batch and file.last_batch <= other.last_batch
            for other in present
        )
    ]
    frames: dict[str, pl.DataFrame] = {}
    damaged = {file.name: "" for file in absent}
    for file in present:
        rows, problem = _read_table(store, file.name, pl.Schema(EVENT_SCHEMA))
        if rows is None:
            damaged[file.name] = problem
        else:
            frames[file.name] = rows
    counts = {file.name: count for file, count in expected.items()}
    for name, rows in frames.items():
        if counts.get(name, rows.height) != rows.height:
            damaged[name] = f"it holds {rows.height:,} events instead of {counts[name]:,}"
    whole = {name: rows for name, rows in frames.items() if name not in damaged}
    files = sorted([*present, *absent], key=lambda file: (file.first_batch, file.last_batch))
    return StoredEvents(bucket, files, whole, damaged, counts, frozenset(foreign) & set(whole))


def _expected_files(survey: Survey, bucket: int, last_batch: int) -> dict[DataFile, int]:
    """Return the data files that a bucket should have, and how many events each holds."""
    expected: dict[DataFile, int] = {}
    entry = survey.manifest.by_bucket.get(bucket) if survey.manifest else None
    known = entry.through_batch if entry else 0
    for record in entry.files if entry else ():
        file = DataFile(record.name, record.first_batch, record.last_batch, record.size)
        expected[file] = record.events
    for number, counts in survey.log.commits.items():
        if known < number <= last_batch and counts.get(bucket):
            file = DataFile(data_file_name(bucket, number), number, number, 0)
            expected[file] = counts[bucket]
    return expected


def read_table(store: ObjectStore, survey: Survey, name: str) -> StoredTable:
    """Read the profiles or the event counts of a bucket."""
    if name not in survey.objects:
        return StoredTable(name, None)
    schema = PROFILE_SCHEMA if name.startswith("customer_profiles/") else METRIC_SCHEMA
    rows, problem = _read_table(store, name, pl.Schema(schema))
    if rows is None:
        return StoredTable(name, None, problem=problem)
    try:
        stored = store.get(name)
        metadata = pl.read_parquet_metadata(io.BytesIO(stored.data if stored else b""))
        text = stored.attributes.get(WRITTEN) if stored else None
        written = datetime.fromisoformat(text) if text else None
        return StoredTable(name, rows, int(metadata[THROUGH_BATCH]), written)
    except (*NOT_PARQUET, DamagedObjectError) as error:
        return StoredTable(name, None, problem=f"its metadata cannot be read ({error})")


def _read_table(
    store: ObjectStore, name: str, schema: pl.Schema
) -> tuple[pl.DataFrame | None, str]:
    """Return the rows of a Parquet object, or None and what is wrong with it."""
    try:
        stored = store.get(name)
        if stored is None:
            return None, ""
        # An object of an older format has narrower decimals.
        rows = pl.read_parquet(io.BytesIO(stored.data)).select(list(schema)).cast(schema)
    except DamagedObjectError as error:
        return None, error.problem
    except NOT_PARQUET as error:
        return None, f"it cannot be read ({type(error).__name__})"
    return rows, ""


@dataclass(frozen=True, slots=True)
class TablesVerdict:
    """What is wrong with a bucket's profiles and counts."""

    findings: list[Finding]
    profiles: pl.DataFrame | None
    """The profiles as they are stored; None if they are not what they should be."""
    expected: pl.DataFrame
    """The profiles as they should be in the index: `INDEXED_SCHEMA`."""

    @property
    def stale(self) -> bool:
        """Whether profiles and counts are to be computed again."""
        return bool(self.findings)


def check_tables(
    bucket: int,
    events: pl.DataFrame,
    newest_batch: int,
    profiles: StoredTable,
    counts: StoredTable,
    segments: Segments,
) -> TablesVerdict:
    """Compute a bucket's profiles and counts again, and compare.

    Args:
        bucket: the bucket.
        events: all of its events. `EVENT_COLUMNS`, with duplicate events.
        newest_batch: the newest batch that profiles and counts should include.
        profiles: the profiles as they are stored.
        counts: the event counts as they are stored.
        segments: the current rules.
    """
    distinct = deduplicate_events(events.select(EVENT_COLUMNS))
    built = build_from_distinct(distinct, segments, datetime.now(UTC))
    findings = []
    facts = bucket, built.height
    if detail := _state_of(profiles, newest_batch, built.height):
        findings.append(_table_finding(profiles, detail, facts))
    elif profiles.rows is not None and (number := _different(profiles.rows, built, segments)):
        detail = f"{number:,} of its customers have other values than their events say"
        findings.append(_table_finding(profiles, detail, facts))
    profiles_differ = bool(findings) or profiles.rows is None
    described = built if profiles_differ or profiles.rows is None else profiles.rows
    if detail := _state_of(counts, newest_batch, built.height):
        findings.append(_table_finding(counts, detail, facts))
    elif counts.rows is not None:
        # Which events are too far ahead to be recent depends on when the run counted them.
        expected = add_counts([count_events(distinct, described, counts.written)])
        if not expected.equals(counts.rows.select(expected.columns)):
            detail = "it does not have the counts of its events"
            findings.append(_table_finding(counts, detail, facts))
    indexed = described.join(find_event_days(distinct), on="user_id", how="left")
    return TablesVerdict(findings, None if profiles_differ else profiles.rows, indexed)


_OLD = "it lacks the newest batches"


def _state_of(table: StoredTable, newest_batch: int, customers: int) -> str | None:
    """Return what is wrong with an object as a whole; an empty text does not occur."""
    if table.problem:
        return table.problem
    if table.rows is None:
        return "missing" if customers else None
    return _OLD if table.through_batch < newest_batch else None


def _table_finding(table: StoredTable, detail: str, facts: tuple[int, int]) -> Finding:
    kinds = {"missing": Kind.MISSING, _OLD: Kind.OLDER}
    kind = kinds.get(detail, Kind.DAMAGED)
    text = "" if kind is Kind.MISSING else detail
    bucket, customers = facts
    return Finding(kind, table.name, Remedy.REPAIR, text, bucket=bucket, customers=customers)


def _different(stored: pl.DataFrame, built: pl.DataFrame, segments: Segments) -> int:
    """Return how many customers have other profiles than those that were built again."""
    # The segment of another version of the rules is no damage: `make rebuild` changes it.
    current = pl.col("segments_version") == segments.version
    ignored = ["profile_generated_at", "segments_version"]
    segment = pl.when(current).then("customer_segment").alias("customer_segment")
    kept = stored.with_columns(segment).drop(ignored)
    by_user = stored.select("user_id", "segments_version")
    new = built.drop("segments_version").join(by_user, on="user_id", how="left")
    new = new.with_columns(segment).drop(ignored)
    columns = kept.columns
    missing = new.select(columns).join(kept, on=columns, how="anti", nulls_equal=True)
    extra = kept.join(new.select(columns), on=columns, how="anti", nulls_equal=True)
    return pl.concat([missing["user_id"], extra["user_id"]]).n_unique()


def bucket_names(bucket: int) -> tuple[str, str]:
    """Return the names of a bucket's profiles and event counts."""
    return profiles_name(bucket), event_counts_name(bucket)


def has_totals(profiles: pl.DataFrame, totals: Mapping[str, object] | None) -> bool:
    """Tell whether some totals are those of a bucket's profiles."""
    return totals is not None and dict(totals) == totals_of(profiles)
