"""Whether the pipeline keeps up: the lag, the newest runs, the profiles and the index, the disk."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from customer_profiles.common.clock import moment_of
from customer_profiles.common.defaults import MAX_STREAM_LAG_S
from customer_profiles.common.errors import PipelineError, first_line
from customer_profiles.kafka.config import KafkaConfig
from customer_profiles.kafka.errors import OffsetOutOfRangeError
from customer_profiles.kafka.reader import OffsetRange, read_range
from customer_profiles.lake.batch_log import BatchLog
from customer_profiles.lake.layout import REBUILDING, STATE
from customer_profiles.lake.lease import lease_holder
from customer_profiles.lake.object_store import ObjectStore
from customer_profiles.lake.quarantine import read_quarantine
from customer_profiles.monitoring.health.model import Component, Status
from customer_profiles.monitoring.health.servers import Watermarks
from customer_profiles.monitoring.settings import Settings

GIGABYTE = 1_000_000_000
RUNS = ("ingest", "process")
"""Commands whose newest report says whether they succeeded."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Lag:
    """What is in the topic and not in the lake."""

    messages: Mapping[int, int]
    """Offsets by partition."""
    seconds: float
    """Age of the oldest of these messages; 0 if there is none."""
    stream: bool
    """Whether a stream is active."""


def measure_lag(
    settings: Settings, store: ObjectStore, watermarks: Watermarks, now: datetime
) -> Lag:
    """Compare the topic with the plans of the micro-batches.

    Raises:
        PipelineError: Kafka or MinIO does not answer.
    """
    planned = BatchLog(store).next_offsets()
    unread = {
        partition: (max(first, planned.get(partition, 0)), end)
        for partition, (first, end) in watermarks.items()
    }
    messages = {partition: max(0, end - start) for partition, (start, end) in unread.items()}
    config = KafkaConfig.from_settings(settings)
    times = [
        time
        for partition, (start, end) in unread.items()
        if end > start and (time := _produced_at(config, partition, start, end)) is not None
    ]
    seconds = max(0.0, (now - min(times)).total_seconds()) if times else 0.0
    return Lag(messages, seconds, lease_holder(store) is not None)


def _produced_at(config: KafkaConfig, partition: int, start: int, end: int) -> datetime | None:
    """Return when the first message of a range was produced; None if it has none."""
    try:
        # A transaction's marker may follow the last message, so read a little more than one.
        with closing(read_range(config, OffsetRange(partition, start, end))) as batches:  # type: ignore[type-var]
            batch = next(batches, None)
    except OffsetOutOfRangeError:
        return None
    return moment_of(batch.first_timestamp_ms) if batch else None


def check_lag(settings: Settings, lag: Lag) -> Component:
    """Compare the age of the oldest message that waits with what is allowed."""
    messages = sum(lag.messages.values())
    numbers = {"messages": messages, "seconds": round(lag.seconds, 1)}
    limit = MAX_STREAM_LAG_S if lag.stream else settings.max_lag_s
    if lag.seconds <= limit:
        waiting = f"up to {messages:,} messages wait" if lag.seconds else "everything has landed"
        return Component("lag", Status.OK, waiting, numbers=numbers)
    reader = "the stream runs and is behind" if lag.stream else "no stream runs"
    message = f"messages wait for {_duration(lag.seconds)}, more than {_duration(limit)}; {reader}"
    return Component("lag", Status.DEGRADED, message, "make process, or make stream", numbers)


def check_profiles(store: ObjectStore) -> list[Component]:
    """Read how far the profiles and the index are.

    Raises:
        PipelineError: MinIO does not answer, or the state is damaged.
    """
    rebuilding = store.get_json(REBUILDING)
    state = store.get_json(STATE) or {}
    components = []
    if rebuilding is not None:
        since = str(rebuilding.get("since") or "an unknown time")
        components.append(
            Component(
                "rebuild",
                Status.DEGRADED,
                f"a rebuild began ({since}) and has not reached its end",
                "make rebuild, unless one is running",
            )
        )
    behind = state.get("behind") or ()
    if behind:
        message = f"the index lacks the newest profiles of {len(behind)} buckets"
        components.append(Component("index", Status.DEGRADED, message, "make process"))
    elif state and not state.get("charted", True):
        message = "the charts lack the newest events"
        components.append(Component("index", Status.DEGRADED, message, "make process"))
    else:
        components.append(Component("index", Status.OK, "has what the lake has"))
    failed = state.get("failed") or {}
    if failed:
        message = f"the newest profiles of {len(failed)} buckets could not be built"
        components.append(Component("profiles", Status.DEGRADED, message, "make process"))
    quarantine = read_quarantine(store)
    if quarantine and (held := quarantine.held):
        message = f"profiles end before batch {held.batch}, which waits for a decision since "
        message += f"{held.since}: {'; '.join(held.reasons)}"
        command = f"make quality ACCEPT={held.batch}"
        components.append(Component("quarantine", Status.DEGRADED, message, command))
    return components


def check_runs(reports: Path) -> list[Component]:
    """Read what the newest runs reported. A command that never ran is healthy."""
    components = []
    for name in RUNS:
        report = _read_report(reports / f"{name}-latest.json")
        if report is None:
            continue
        ended = str(report.get("finished_at") or "")
        error = report.get("error") or report.get("index_error")
        has_failed = report.get("status") in ("failed", "degraded") or bool(error)
        if has_failed or report.get("failed_buckets"):
            reason = str(error or "it did not do all of its work").splitlines()[0]
            at = f" ({ended})" if ended else ""
            components.append(
                Component(
                    f"last {name}", Status.DEGRADED, f"the newest run{at}: {reason}", f"make {name}"
                )
            )
        else:
            when = f"succeeded at {ended}" if ended else "succeeded"
            components.append(Component(f"last {name}", Status.OK, when))
    return components


def check_disk(settings: Settings) -> Component:
    """Compare the free bytes of the disk with what is allowed."""
    existing = next(path for path in (settings.disk, Path()) if path.exists())
    free = shutil.disk_usage(existing).free
    text = f"{free / GIGABYTE:,.1f} GB free"
    numbers = {"free_bytes": float(free)}
    if free < settings.min_free_gb * GIGABYTE:
        message = f"{text}, less than {settings.min_free_gb:g} GB"
        return Component("disk", Status.DEGRADED, message, "make room on the disk", numbers)
    return Component("disk", Status.OK, text, numbers=numbers)


def unknown(name: str, error: PipelineError) -> Component:
    """Return a component of which nothing is known, because a server does not answer."""
    return Component(name, Status.DEGRADED, f"unknown: {first_line(error)}", "make status")


def _read_report(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _duration(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.0f} {unit}"
    return f"{seconds:,.0f} s"


def age_of(text: str, now: datetime) -> float | None:
    """Return the seconds since a time in ISO 8601; None if it is none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (now - (moment if moment.tzinfo else moment.replace(tzinfo=UTC))).total_seconds()
