"""One run: a file into the topics, exactly once."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from contracts import DEAD_LETTERS, PROGRESS, RAW_EVENTS, SCHEMA_VERSION
from ingestion.errors import IngestError
from ingestion.progress import Progress, new_name
from ingestion.publish import Publisher
from ingestion.repeats import Seen
from ingestion.report import Report
from ingestion.sources import Block, Header, open_stream, read_blocks, read_header
from ingestion.validate import encode, validate


@dataclass(frozen=True, slots=True)
class Batch:
    """One block, ready to be sent in one transaction."""

    block: Block
    read: int
    duplicates: int
    keys: list[str]
    values: list[str]
    dead_letters: list[str]
    reasons: Counter[str]


@dataclass(frozen=True, slots=True)
class Options:
    """How strict a run is."""

    max_rejected: float = 0.05
    """The share of rejected rows above which a run stops before it sends more."""
    keep_duplicates: bool = False
    """Also send exact repeats; profiles count an event once all the same."""


DEFAULTS = Options()


@dataclass(frozen=True, slots=True)
class Source:
    """A file and how much of it is in the topics already."""

    name: str
    done: Progress | None


def now_utc() -> datetime:
    return datetime.now(UTC)


def find_source(path: Path, known: dict[str, Progress]) -> Source:
    """Recognise a file by its content: the longest beginning of it that some record has in.

    Raises:
        IngestError: the file cannot be read or is empty.
    """
    by_digest = {record.digest: record for record in known.values()}
    ends = sorted({record.end for record in known.values()})
    best: Progress | None = None
    for end, digest in _digests(path, ends):
        record = by_digest.get(digest)
        if record and record.end == end:
            best = record
    return Source(best.source, best) if best else Source(new_name(path.name, known), None)


def _digests(path: Path, ends: list[int]) -> Iterator[tuple[int, str]]:
    """SHA-256 of the file's first `end` bytes for each of the ascending `ends` that it reaches."""
    digest = hashlib.sha256()
    position = 0
    with open_stream(path) as stream:
        for end in ends:
            while position < end:
                data = stream.read(min(1 << 22, end - position))
                if not data:
                    return
                digest.update(data)
                position += len(data)
            yield end, digest.copy().hexdigest()


def ingest(
    path: Path,
    source: Source,
    publisher: Publisher,
    on_batch: Callable[[Report, int], None],
    options: Options = DEFAULTS,
    clock: Callable[[], datetime] = now_utc,
) -> Report:
    """Send what is not in yet of a file.

    Rows, dead letters and the progress record of each block are one transaction, so a run that is
    killed at any moment has sent whole blocks, and the next one continues behind them.

    Args:
        path: the file.
        source: as `find_source` found it.
        publisher: has taken over this source.
        on_batch: told after each transaction, with the bytes that are in.
        options: how strict the run is.
        clock: what time it is.

    Raises:
        IngestError: nothing can be read, too many rows are rejected, or the broker stops answering.
    """
    began = time.perf_counter()
    report = Report(file=str(path), source=source.name)
    done = source.done
    if done:
        report.already_ingested = done.read
        report.already_ingested_at = done.updated_at
    total = Counter(read=0, accepted=0, dead_lettered=0, duplicates=0)
    if done:
        total.update(
            read=done.read, accepted=done.accepted, dead_lettered=done.dead_lettered, duplicates=done.duplicates
        )
    stages: dict[str, float] = defaultdict(float)
    reasons: Counter[str] = Counter()
    batches = _prepare(path, source, options, stages)
    # The next block is validated while the broker commits this one.
    with ThreadPoolExecutor(1) as ahead:
        upcoming = ahead.submit(next, batches, None)
        while (batch := upcoming.result()) is not None:
            upcoming = ahead.submit(next, batches, None)
            began_send = time.perf_counter()
            total.update(
                read=batch.read,
                accepted=len(batch.values),
                dead_lettered=len(batch.dead_letters),
                duplicates=batch.duplicates,
            )
            _check_rejected(total, reasons + batch.reasons, batch, options)
            record = Progress(
                source=source.name,
                end=batch.block.end,
                digest=batch.block.digest,
                updated_at=clock().isoformat(timespec="seconds"),
                **total,
            )
            _send(publisher, batch, record)
            stages["publish"] += time.perf_counter() - began_send
            report.read += batch.read
            report.accepted += len(batch.values)
            report.dead_lettered += len(batch.dead_letters)
            report.duplicates += batch.duplicates
            reasons.update(batch.reasons)
            on_batch(report, batch.block.end)
    report.reasons = dict(reasons.most_common())
    report.seconds = round(time.perf_counter() - began, 3)
    report.events_per_second = round(report.read / report.seconds, 1) if report.seconds else 0.0
    report.seconds_by_stage = {name: round(seconds, 3) for name, seconds in stages.items()}
    return report


def _check_rejected(total: Counter[str], reasons: Counter[str], batch: Batch, options: Options) -> None:
    """Stop before the dead letters are flooded by a file that is no file of events."""
    if total["dead_lettered"] <= options.max_rejected * total["read"]:
        return
    counted = "\n".join(f"  {count:>9,}  {reason}" for reason, count in reasons.most_common())
    example = json.loads(batch.dead_letters[0])["text"][:200] if batch.dead_letters else ""
    raise IngestError(
        f"{total['dead_lettered']:,} of the first {total['read']:,} rows would be rejected, more than "
        f"{100 * options.max_rejected:.4g} %; the run has stopped and these rows were not sent.\n{counted}\n"
        f"For example: {example}\n"
        "Mend the file, or accept more with MAX_REJECTED=100 (percent of rows; all go to the dead letters)."
    )


def _send(publisher: Publisher, batch: Batch, record: Progress) -> None:
    publisher.begin()
    try:
        publisher.send(RAW_EVENTS.name, batch.keys, batch.values)
        publisher.send(DEAD_LETTERS.name, [record.source] * len(batch.dead_letters), batch.dead_letters)
        publisher.send(PROGRESS.name, [record.source], [record.to_json()])
    except BaseException:
        publisher.abort()
        raise
    publisher.commit()


def _prepare(path: Path, source: Source, options: Options, stages: dict[str, float]) -> Iterator[Batch]:
    """The blocks that are not in yet, validated; those that are only teach which events are known."""
    header: Header | None = None
    seen = Seen()
    row = 1
    begin = 0
    done = source.done.end if source.done else 0
    for block in read_blocks(path):
        started = time.perf_counter()
        if header is None:
            header = read_header(path, block.data)
            begin = header.size
        known, fresh = _cut(block, begin, done)
        if known:
            checked = validate(known, header.columns, source.name, row)
            if not options.keep_duplicates:
                seen.drop_repeats(checked.accepted)
            row += checked.read
        begin = block.end
        if block.end <= done:
            continue
        checked = validate(fresh, header.columns, source.name, row)
        accepted = checked.accepted if options.keep_duplicates else seen.drop_repeats(checked.accepted)
        row += checked.read
        rejected = checked.rejected.select(
            pl.lit(SCHEMA_VERSION).alias("schema_version"), pl.lit(source.name).alias("source"), pl.all()
        )
        batch = Batch(
            block=block,
            read=checked.read,
            duplicates=checked.accepted.height - accepted.height,
            keys=accepted["user_id"].to_list(),
            values=encode(accepted).to_list(),
            dead_letters=[json.dumps(letter, ensure_ascii=False) for letter in rejected.iter_rows(named=True)],
            reasons=Counter(checked.rejected["reasons"].explode(empty_as_null=True).drop_nulls().to_list()),
        )
        stages["validate"] += time.perf_counter() - started
        yield batch
    if header is None:
        # No block at all: refused in the words of the header.
        read_header(path, b"")


def _cut(block: Block, begin: int, done: int) -> tuple[bytes, bytes]:
    """A block's bytes from `begin` on, split into those that are in and those that are not."""
    start = block.end - len(block.data)
    data = block.data[begin - start :] if begin > start else block.data
    position = block.end - len(data)
    inside = min(max(done - position, 0), len(data))
    return data[:inside], data[inside:]
