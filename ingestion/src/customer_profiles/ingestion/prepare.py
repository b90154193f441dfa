"""Prepare batches: each block is validated, deduplicated and encoded for one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import polars as pl

from customer_profiles.contracts import DeadLetter, Leniency
from customer_profiles.contracts.limits import MAX_MESSAGE_BYTES
from customer_profiles.ingestion.blocks import Block, read_blocks
from customer_profiles.ingestion.deduplicate import Deduplicator
from customer_profiles.ingestion.header import parse_header
from customer_profiles.ingestion.inputs import CsvInput
from customer_profiles.ingestion.lines import cut_detail, is_blank
from customer_profiles.ingestion.messages import encode
from customer_profiles.ingestion.options import Options
from customer_profiles.ingestion.report import StageTimes
from customer_profiles.ingestion.sources import Source
from customer_profiles.ingestion.validate import ValidatedBlock, validate

MESSAGE_OVERHEAD = 20_000
"""Bytes of a message beside its value: its key, which is the name of the source, and its frame."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One block, ready to be sent in one transaction."""

    block: Block
    first_row: int
    completes_cut_line: bool
    """The first row is a whole line, of which an earlier run saw only a part."""
    counts: Counter[str]
    """Rows `read`, `accepted`, `dead_lettered` and `duplicates`."""
    keys: pl.Series
    """Message keys of the accepted events: their `user_id`."""
    values: pl.Series
    """Message values of the accepted events: JSON."""
    dead_letters: list[str]
    """Dead letters of the rejected rows: JSON."""
    reasons: Counter[str]
    """How often each reason for rejection occurs."""
    normalised: Counter[str]
    """How many values of accepted rows were rewritten, by `contracts.Leniency`."""


def prepare_batches(
    csv_input: CsvInput,
    source: Source,
    stage_times: StageTimes,
    options: Options,
) -> Iterator[Batch]:
    """Yield new blocks, validated. Blocks already ingested only seed the deduplicator.

    Args:
        csv_input: the input, which is read here for the last time.
        source: the source of the input, with the progress of earlier runs.
        stage_times: the stages `read`, `validate`, `deduplicate` and `encode` are timed here.
        options: how large a batch is, and how rows are judged.

    Raises:
        PipelineError: the input is empty, lacks a column or cannot be read to its end.
    """
    preparer: _Preparer | None = None
    blocks = read_blocks(csv_input, options.block_bytes)
    while True:
        with stage_times.timed("read"):
            block = next(blocks, None)
        if block is None:
            break
        if preparer is None:
            reader = _RowReader(csv_input, block.data, source.name, options.strict)
            preparer = _Preparer(reader, source, stage_times, options.keep_duplicates)
        batch = preparer.prepare(block)
        if batch:
            yield batch
    if preparer is None:
        # The input is empty. parse_header raises the error that says so.
        parse_header(csv_input.label, b"")


class _RowReader:
    """Validates the rows of one input, by the columns and the separator of its header."""

    def __init__(self, csv_input: CsvInput, start: bytes, source: str, strict: bool) -> None:
        self.header = parse_header(csv_input.label, start, strict)
        self._source, self._strict = source, strict
        self._conversions = [*csv_input.converted]
        if self.header.separator != ",":
            self._conversions.append(Leniency.SEPARATOR)

    def validate(self, data: bytes, first_row: int, line_bytes: int = 0) -> ValidatedBlock:
        """Judge the rows of some whole lines, the first of which has the number `first_row`.

        `line_bytes` is as in `Block`.
        """
        block = validate(
            data,
            self.header.columns,
            self._source,
            first_row,
            separator=self.header.separator,
            strict=self._strict,
        )
        if block.accepted.height:
            block.normalised.update(dict.fromkeys(self._conversions, block.accepted.height))
        if line_bytes:
            detail = pl.lit(cut_detail(line_bytes), pl.String).alias("detail")
            block = replace(block, rejected=block.rejected.with_columns(detail))
        return block

    def dead_letters(self, rejected: pl.DataFrame) -> list[str]:
        """Encode rejected rows as dead letters."""
        columns, separator = list(self.header.columns), self.header.separator
        return [
            _to_message(DeadLetter(self._source, columns=columns, separator=separator, **row))
            for row in rejected.iter_rows(named=True)
        ]


def _to_message(letter: DeadLetter) -> str:
    """Encode a dead letter as a message that Kafka takes."""
    value = letter.to_json()
    if len(value.encode()) <= MAX_MESSAGE_BYTES - MESSAGE_OVERHEAD:
        return value
    # Only a header of tens of thousands of control characters makes a letter that long.
    detail = f"{letter.detail or 'a line'}; its header is too long to be kept"
    return replace(letter, columns=None, detail=detail).to_json()


class _Preparer:
    """Turns the consecutive blocks of a source into batches."""

    def __init__(
        self, reader: _RowReader, source: Source, stage_times: StageTimes, keep_duplicates: bool
    ) -> None:
        self._reader = reader
        self._ingested_end = source.progress.end if source.progress else 0
        self._stage_times = stage_times
        self._deduplicator = None if keep_duplicates else Deduplicator()
        self._position = reader.header.size
        self._row = 1

    def prepare(self, block: Block) -> Batch | None:
        """Return the batch of a block; None if the whole block was ingested before."""
        if block.line_bytes:
            return self._prepare_long_line(block)
        ingested, new = _split_at(block, self._position, self._ingested_end)
        self._position = block.end
        completes_cut_line = False
        if ingested:
            self._seed(ingested)
            # The source ended in the middle of a line at the last run, and that line goes on now.
            completes_cut_line = (
                not ingested.endswith(b"\n") and bool(new) and not new.startswith((b"\n", b"\r"))
            )
            if completes_cut_line:
                part = ingested[ingested.rfind(b"\n") + 1 :]
                new = part + new
                # A part that was blank did not count as a row.
                self._row -= not is_blank(part)
        if block.end <= self._ingested_end:
            return None
        return self._to_batch(block, new, completes_cut_line)

    def _prepare_long_line(self, block: Block) -> Batch | None:
        """Return the batch of a line of which only the beginning is at hand."""
        self._position = block.end
        known_bytes = self._ingested_end - block.start
        is_known = known_bytes >= block.line_bytes
        if is_known:
            self._row += self._reader.validate(block.data, self._row).read
            if block.end <= self._ingested_end:
                return None
        # The line was not counted in this run, so the number of its row is that of the part which
        # an earlier run saw.
        data = b"" if is_known else block.data
        return self._to_batch(block, data, completes_cut_line=not is_known and known_bytes > 0)

    def _seed(self, ingested: bytes) -> None:
        """Count rows that were ingested before, and remember their events."""
        with self._stage_times.timed("validate"):
            validated = self._reader.validate(ingested, self._row)
        self._row += validated.read
        if self._deduplicator:
            self._deduplicator.drop_duplicates(validated.accepted)

    def _to_batch(self, block: Block, new: bytes, completes_cut_line: bool) -> Batch:
        with self._stage_times.timed("validate"):
            validated = self._reader.validate(new, self._row, block.line_bytes)
        events = validated.accepted
        if self._deduplicator:
            with self._stage_times.timed("deduplicate"):
                events = self._deduplicator.drop_duplicates(events)
        with self._stage_times.timed("encode"):
            values = encode(events)
            dead_letters = self._reader.dead_letters(validated.rejected)
        self._stage_times.rows += validated.read
        first_row = self._row
        self._row += validated.read
        reasons = validated.rejected["reasons"].explode(empty_as_null=True).drop_nulls()
        return Batch(
            block=block,
            first_row=first_row,
            completes_cut_line=completes_cut_line,
            counts=Counter(
                read=validated.read,
                accepted=events.height,
                dead_lettered=validated.rejected.height,
                duplicates=validated.accepted.height - events.height,
            ),
            keys=events["user_id"],
            values=values,
            dead_letters=dead_letters,
            reasons=Counter(reasons.to_list()),
            normalised=validated.normalised,
        )


def _split_at(block: Block, position: int, ingested_end: int) -> tuple[bytes, bytes]:
    """Split a block into the bytes that were ingested before and those that are new.

    Args:
        block: the block.
        position: bytes of the input before the first row that belongs to this block.
        ingested_end: bytes of the input that were ingested before.
    """
    data = block.data[position - block.start :] if position > block.start else block.data
    start = block.end - len(data)
    ingested_bytes = min(max(ingested_end - start, 0), len(data))
    return data[:ingested_bytes], data[ingested_bytes:]
