"""The names of all objects in the lake.

    events/_batches/000012.json                  plan of a micro-batch
    events/_batches/000012.done.json             commit of a micro-batch
    events/_batches/through.json                 checkpoint of the micro-batches before those
    events/bucket=07/batch=000012.parquet        one bucket's events of one micro-batch
    events/bucket=07/batch=000001-000011.parquet the same of several micro-batches, compacted
    customer_profiles/bucket=07/profiles.parquet one bucket's profiles
    event_metrics/bucket=07/metrics.parquet      one bucket's event counts
    quality/batches/000012.parquet               quality statistics of one micro-batch
    quality/through.parquet                      the same of all micro-batches before those
    quality/bucket=07/days.parquet               statistics of one bucket's customers by day
    quality/open.json, quality/findings/…        what the checks found
    _state/…                                     how far profiles, index and dashboards are

The names are part of the stored format, so an existing lake depends on them.
"""

from __future__ import annotations

import re

S3_BUCKET = "data-lake"
"""The S3 bucket of the lake. Elsewhere in this library, a bucket is one part of the customers."""

BATCHES_PREFIX = "events/_batches/"
"""The batch log."""
CHECKPOINT = BATCHES_PREFIX + "through.json"
"""Replaces the plans and commits of old micro-batches."""
COMMIT_SUFFIX = ".done.json"
"""Ends the name of a commit. The name of a plan ends in `.json` only."""

PROFILES_PREFIX = "customer_profiles/"
"""The profiles of all buckets."""
EVENT_COUNTS_PREFIX = "event_metrics/"
"""The event counts of all buckets."""

QUALITY_PREFIX = "quality/"
"""Everything about data quality."""
QUALITY_BATCHES_PREFIX = "quality/batches/"
"""Data-quality statistics by micro-batch (`lake.quality`)."""
QUALITY_THROUGH = "quality/through.parquet"
"""The sum of the statistics of older micro-batches."""
QUALITY_OPEN = "quality/open.json"
"""The findings of the newest evaluation (`quality.findings.OpenFindings`)."""
QUALITY_FINDINGS_PREFIX = "quality/findings/"
"""All findings by event day."""

STATE = "_state/profiles.json"
"""How far the profiles and the live index are, the segment rules, totals by bucket, the format."""
MANIFEST = "_state/manifest.json"
"""What the lake should hold: data files with their events, profiles and event counts."""
REBUILDING = "_state/rebuilding.json"
"""Exists during a rebuild, and after a rebuild that did not complete."""
QUARANTINE = "_state/quarantine.json"
"""The checks that hold micro-batches back, and the batch that waits (`lake.quarantine`)."""
GAPS = "_state/gaps.json"
"""Messages that were removed from the topic before they reached the lake (`lake.gaps`)."""
LEASE = "_state/stream.json"
"""The lease of the stream that is active."""
SENT_COUNTS = "_state/event_metrics.parquet"
"""The event counts that the dashboards' index has."""
REJECTED_ROWS = "_state/rejected_rows.json"
"""How far the dead letters are counted, and the counts."""
INDEX_PROGRESS_PREFIX = "_state/indexed/"
"""How far each index is, by bucket."""

_DATA_FILE = re.compile(r"batch=(\d{6,})(?:-(\d{6,}))?\.parquet$")
_OF_BUCKET = re.compile(r"(?:events|customer_profiles|event_metrics)/bucket=(\d+)/")


def plan_name(batch: int) -> str:
    """Return the name of a micro-batch's plan."""
    return f"{BATCHES_PREFIX}{batch:06d}.json"


def commit_name(batch: int) -> str:
    """Return the name of a micro-batch's commit."""
    return f"{BATCHES_PREFIX}{batch:06d}{COMMIT_SUFFIX}"


def events_prefix(bucket: int) -> str:
    """Return the prefix of a bucket's data files."""
    return f"events/bucket={bucket:02d}/"


def data_file_name(bucket: int, first_batch: int, last_batch: int | None = None) -> str:
    """Return the name of a data file with the events of one or several micro-batches.

    Args:
        bucket: the bucket of the events.
        first_batch: the oldest micro-batch in the file.
        last_batch: the newest one, for a compacted file; None for a file of one micro-batch.
    """
    span = f"{first_batch:06d}" if last_batch is None else f"{first_batch:06d}-{last_batch:06d}"
    return f"{events_prefix(bucket)}batch={span}.parquet"


def data_file_batches(name: str) -> tuple[int, int] | None:
    """Return the first and the last micro-batch in a data file; None for any other object."""
    match = _DATA_FILE.search(name)
    return (int(match[1]), int(match[2] or match[1])) if match else None


def profiles_name(bucket: int) -> str:
    """Return the name of a bucket's profiles."""
    return f"{PROFILES_PREFIX}bucket={bucket:02d}/profiles.parquet"


def event_counts_name(bucket: int) -> str:
    """Return the name of a bucket's event counts."""
    return f"{EVENT_COUNTS_PREFIX}bucket={bucket:02d}/metrics.parquet"


def quality_batch_name(batch: int) -> str:
    """Return the name of a micro-batch's statistics.

    It does not end as the name of a data file does, so that older versions do not take it for one.
    """
    return f"{QUALITY_BATCHES_PREFIX}{batch:06d}.parquet"


def quality_days_name(bucket: int) -> str:
    """Return the name of a bucket's statistics of customers."""
    return f"quality/bucket={bucket:02d}/days.parquet"


def bucket_of_object(name: str) -> int | None:
    """Return the bucket of a data file, of profiles or of event counts; None for other objects."""
    match = _OF_BUCKET.match(name)
    return int(match[1]) if match else None


def index_progress_name(index_key: str, bucket: int) -> str:
    """Return the name of the object that says how far an index is with a bucket.

    Args:
        index_key: the name and the UUID of the index, as `search.profile_index.IndexRef.key`.
        bucket: the bucket.
    """
    return f"{INDEX_PROGRESS_PREFIX}{index_key}/bucket={bucket:02d}.json"
