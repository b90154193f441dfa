"""One run: a file into the topics, exactly once."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from contracts import DEAD_LETTERS, PROGRESS, RAW_EVENTS, DeadLetter
from ingestion.errors import IngestError
from ingestion.progress import Progress, new_name
from ingestion.publish import Publisher
from ingestion.repeats import Seen
from ingestion.report import Report, Stages
from ingestion.sources import BLOCK_BYTES, Block, Header, Input, digests, read_blocks, read_header
from ingestion.validate import encode, validate

AHEAD = 2
"""Blocks that wait ready at the most: one evens out what both sides take, more only fill the memory."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One block, ready to be sent in one transaction."""

    block: Block
    first_row: int
    completes_a_cut_line: bool
    """The first row is the whole of a line of which an earlier run saw only a part."""
    read: int
    duplicates: int
    keys: pl.Series
    values: pl.Series
    dead_letters: list[str]
    reasons: Counter[str]


@dataclass(frozen=True, slots=True)
class Options:
    """How strict a run is."""

    max_rejected: float = 0.05
    """The share of rejected rows above which a run stops before it sends more."""
    keep_duplicates: bool = False
    """Also send exact repeats; profiles count an event once all the same."""
    block_bytes: int = BLOCK_BYTES
    """How much text one transaction holds."""


DEFAULTS = Options()


@dataclass(frozen=True, slots=True)
class Source:
    """A file and how much of it is in the topics already."""

    name: str
    done: Progress | None


def now_utc() -> datetime:
    return datetime.now(UTC)


def find_source(given: Input, known: dict[str, Progress]) -> Source:
    """Recognise a source by its content: the longest beginning of it that some record has in.

    Raises:
        IngestError: it cannot be read.
    """
    # A header without rows is the beginning of many files, and nothing of it was sent.
    known = {name: record for name, record in known.items() if record.read}
    by_digest = {record.digest: record for record in known.values()}
    ends = sorted({record.end for record in known.values()})
    best: Progress | None = None
    for end, digest in digests(given, ends):
        record = by_digest.get(digest)
        if record and record.end == end:
            best = record
    return Source(best.source, best) if best else Source(new_name(given.name, known), None)


def ingest(
    given: Input,
    source: Source,
    publisher: Publisher,
    on_batch: Callable[[Report, int], None],
    options: Options = DEFAULTS,
    clock: Callable[[], datetime] = now_utc,
) -> Report:
    """Send what is not in yet of a source.

    Rows, dead letters and the progress record of each block are one transaction, so a run that is
    killed at any moment has sent whole blocks, and the next one continues behind them.

    Args:
        given: where the rows are; read here for the last time.
        source: as `find_source` found it.
        publisher: has taken over this source.
        on_batch: told after each transaction, with the bytes that are in.
        options: how strict the run is.
        clock: what time it is.

    Raises:
        IngestError: nothing can be read, too many rows are rejected, or the broker stops answering.
    """
    began = time.perf_counter()
    report = Report(file=given.label, source=source.name)
    done = source.done
    if done:
        report.already_ingested = done.read
        report.already_ingested_at = done.updated_at
    total = Counter(read=0, accepted=0, dead_lettered=0, duplicates=0)
    if done:
        total.update(
            read=done.read, accepted=done.accepted, dead_lettered=done.dead_lettered, duplicates=done.duplicates
        )
    stages = Stages()
    reasons: Counter[str] = Counter()
    batches = _prepare(given, source, options, stages)
    # The next blocks are validated while the broker takes this one.
    with ThreadPoolExecutor(1) as ahead:
        upcoming = deque(ahead.submit(next, batches, None) for _ in range(AHEAD))
        while (batch := upcoming.popleft().result()) is not None:
            upcoming.append(ahead.submit(next, batches, None))
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
            _send(publisher, batch, record, stages)
            report.read += batch.read
            report.accepted += len(batch.values)
            report.dead_lettered += len(batch.dead_letters)
            report.duplicates += batch.duplicates
            if batch.completes_a_cut_line:
                report.completed_line = batch.first_row
            reasons.update(batch.reasons)
            on_batch(report, batch.block.end)
    report.reasons = dict(reasons.most_common())
    report.finish(time.perf_counter() - began, stages)
    return report


def _check_rejected(total: Counter[str], reasons: Counter[str], batch: Batch, options: Options) -> None:
    """Stop before the dead letters are flooded by a file that is no file of events."""
    if total["dead_lettered"] <= options.max_rejected * total["read"]:
        return
    counted = "\n".join(f"  {count:>9,}  {reason}" for reason, count in reasons.most_common())
    example = DeadLetter.from_json(batch.dead_letters[0]).text[:200] if batch.dead_letters else ""
    raise IngestError(
        f"{total['dead_lettered']:,} of the first {total['read']:,} rows would be rejected, more than "
        f"{100 * options.max_rejected:.4g} %; the run has stopped and these rows were not sent.\n{counted}\n"
        f"For example: {example}\n"
        "Mend the file, or accept more with MAX_REJECTED=100 (percent of rows; all go to the dead letters)."
    )


def _send(publisher: Publisher, batch: Batch, record: Progress, stages: Stages) -> None:
    publisher.begin()
    try:
        with stages.timed("send"):
            publisher.send(RAW_EVENTS.name, batch.keys, batch.values)
            letters = pl.Series(batch.dead_letters, dtype=pl.String)
            publisher.send(DEAD_LETTERS.name, pl.repeat(record.source, len(letters), eager=True), letters)
            publisher.send(PROGRESS.name, pl.Series([record.source]), pl.Series([record.to_json()]))
    except BaseException:
        publisher.abort()
        raise
    with stages.timed("commit"):
        publisher.commit()


def _prepare(given: Input, source: Source, options: Options, stages: Stages) -> Iterator[Batch]:
    """The blocks that are not in yet, validated; those that are only teach which events are known."""
    header: Header | None = None
    seen = Seen()
    row = 1
    begin = 0
    done = source.done.end if source.done else 0
    blocks = read_blocks(given, options.block_bytes)
    while True:
        with stages.timed("read"):
            block = next(blocks, None)
        if block is None:
            break
        if header is None:
            header = read_header(given.label, block.data)
            begin = header.size
        known, fresh = _cut(block, begin, done)
        begin = block.end
        completes = False
        if known:
            with stages.timed("validate"):
                checked = validate(known, header.columns, source.name, row)
            row += checked.read
            if not options.keep_duplicates:
                seen.drop_repeats(checked.accepted)
            # The source ended in the middle of a line when it was read before, and now that line goes on.
            completes = not known.endswith(b"\n") and not fresh.startswith((b"\n", b"\r")) and bool(fresh)
            if completes:
                fresh = known[known.rfind(b"\n") + 1 :] + fresh
                row -= 1
        if block.end <= done:
            continue
        with stages.timed("validate"):
            checked = validate(fresh, header.columns, source.name, row)
        accepted = checked.accepted
        if not options.keep_duplicates:
            with stages.timed("deduplicate"):
                accepted = seen.drop_repeats(accepted)
        with stages.timed("encode"):
            values = encode(accepted)
            columns = list(header.columns)
            letters = [
                DeadLetter(source.name, columns=columns, **letter).to_json()
                for letter in checked.rejected.iter_rows(named=True)
            ]
        stages.rows += checked.read
        yield Batch(
            block=block,
            first_row=row,
            completes_a_cut_line=completes,
            read=checked.read,
            duplicates=checked.accepted.height - accepted.height,
            keys=accepted["user_id"],
            values=values,
            dead_letters=letters,
            reasons=Counter(checked.rejected["reasons"].explode(empty_as_null=True).drop_nulls().to_list()),
        )
        row += checked.read
    if header is None:
        # No block at all: refused in the words of the header.
        read_header(given.label, b"")


def _cut(block: Block, begin: int, done: int) -> tuple[bytes, bytes]:
    """A block's bytes from `begin` on, split into those that are in and those that are not."""
    start = block.end - len(block.data)
    data = block.data[begin - start :] if begin > start else block.data
    position = block.end - len(data)
    inside = min(max(done - position, 0), len(data))
    return data[:inside], data[inside:]
