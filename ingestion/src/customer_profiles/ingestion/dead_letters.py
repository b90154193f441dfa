"""Dead letters: read them from their topic, count them, and export them as CSV for correction."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from customer_profiles.common.errors import PipelineError
from customer_profiles.contracts import (
    COLUMNS,
    DEAD_LETTERS,
    REPLAYED,
    DeadLetter,
    InvalidMessages,
    Reason,
    Topic,
    decode_dead_letter,
)
from customer_profiles.ingestion.lines import split_line
from customer_profiles.ingestion.redriven_records import is_about, read_records
from customer_profiles.ingestion.spreadsheet import to_cell
from customer_profiles.kafka.admin import topic_id
from customer_profiles.kafka.config import KafkaConfig
from customer_profiles.kafka.reader import produced_at, read_topic

if TYPE_CHECKING:
    from confluent_kafka import Message

EXPORT_COLUMNS = ("letter", "source", "source_row", "reasons", *COLUMNS, "text")
"""The columns of an export. `letter` is the dead-letter id; a redrive reads it and `COLUMNS`."""
MAX_CELL_LENGTH = 2_000_000
"""Characters of a cell that are read. Kafka takes messages of up to a million bytes."""


@dataclass(frozen=True, slots=True)
class StoredDeadLetter:
    """A dead letter as its topic holds it."""

    dead_letter_id: str
    """`partition/offset`. If the row was dead-lettered again by `REINGEST`, the newest of them."""
    time: datetime
    """When the row was dead-lettered, UTC."""
    content: DeadLetter
    replayed: bool
    """The row was corrected and sent again, or its corrected event was in the topic already."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which dead letters a command is about. A criterion that is None selects all."""

    reason: str | None = None
    source: str | None = None
    since: datetime | None = None

    def matches(self, letter: StoredDeadLetter) -> bool:
        """Return whether a dead letter meets all criteria."""
        return (
            (self.reason is None or self.reason in letter.content.reasons)
            and (self.source is None or self.source == letter.content.source)
            and (self.since is None or letter.time >= self.since)
        )


@dataclass(frozen=True, slots=True)
class Overview:
    """Counts of dead letters. One with several reasons counts once for each of them."""

    open: int
    replayed: int
    by_reason: Counter[str]
    """Open dead letters; so are the other two."""
    by_source: Counter[str]
    by_day: Counter[str]
    """Days as ISO 8601, UTC."""
    examples: dict[str, StoredDeadLetter]
    """The newest open dead letter of each reason."""


@dataclass(frozen=True, slots=True)
class StoredDeadLetters:
    """All dead letters that the topic still holds, each row once."""

    letters: list[StoredDeadLetter]
    invalid: list[InvalidMessages]
    """What cannot be read, by topic. A message that is no dead letter is listed as one, too."""
    topic_id: str | None = None
    """Kafka's id of the topic; None where the broker gives no ids."""


def read_dead_letters(
    config: KafkaConfig, *, wait_for_open_transactions: bool = False
) -> StoredDeadLetters:
    """Read all dead letters that the topic still holds, each row once.

    Args:
        config: where Kafka is.
        wait_for_open_transactions: as for `read_topic`.

    Raises:
        PipelineError: Kafka does not answer, or a transaction stays open.
    """

    def read(topic: Topic) -> Iterator[Message]:
        return read_topic(config, topic, wait_for_open_transactions=wait_for_open_transactions)

    return collect_dead_letters(read(REPLAYED), read(DEAD_LETTERS), topic_id(config, DEAD_LETTERS))


def collect_dead_letters(
    redriven: Iterable[Message],
    dead_letters: Iterable[Message],
    letters_topic: str | None = None,
) -> StoredDeadLetters:
    """Decode the messages of both topics, whatever they hold.

    Args:
        redriven: the messages of `raw_events_replayed`, in order.
        dead_letters: the messages of `raw_events_dead_letter`, in order.
        letters_topic: Kafka's id of the topic of dead letters; None if unknown.
    """
    invalid_redriven = InvalidMessages(REPLAYED.name)
    invalid_letters = InvalidMessages(DEAD_LETTERS.name)
    records = read_records(redriven, invalid_redriven)
    letters: dict[tuple[str, int, str], StoredDeadLetter] = {}
    for message in dead_letters:
        offset = message.offset() or 0
        dead_letter_id = f"{message.partition()}/{offset}"
        content, problem = decode_dead_letter(message.value(), offset)
        if problem:
            invalid_letters.add(message.partition(), offset, problem)
        row = (content.source, content.source_row, content.text)
        earlier = letters.pop(row, None)
        time = produced_at(message)
        record = records.get(dead_letter_id)
        replayed = record is not None and is_about(record, letters_topic, time)
        replayed |= earlier is not None and earlier.replayed
        letters[row] = StoredDeadLetter(dead_letter_id, time, content, replayed)
    invalid = [invalid_redriven, invalid_letters]
    return StoredDeadLetters(list(letters.values()), invalid, letters_topic)


def summarise(letters: Iterable[StoredDeadLetter]) -> Overview:
    """Count dead letters; only open ones count by reason, source and day."""
    open_letters, replayed = [], 0
    for letter in letters:
        if letter.replayed:
            replayed += 1
        else:
            open_letters.append(letter)
    return Overview(
        open=len(open_letters),
        replayed=replayed,
        by_reason=Counter(reason for letter in open_letters for reason in letter.content.reasons),
        by_source=Counter(letter.content.source for letter in open_letters),
        by_day=Counter(letter.time.date().isoformat() for letter in open_letters),
        examples={reason: letter for letter in open_letters for reason in letter.content.reasons},
    )


def split_values(letter: DeadLetter) -> dict[str, str]:
    """Return the nine values of a rejected line, or none if the line cannot be split."""
    if letter.columns is None:
        return {}
    values = split_line(letter.text, letter.columns, letter.separator)
    if isinstance(values, Reason):
        return {}
    return {column: values[column] for column in COLUMNS if column in values}


def export_dead_letters(letters: Sequence[StoredDeadLetter], path: Path) -> None:
    """Write dead letters as CSV with `EXPORT_COLUMNS`, for a person to correct their values.

    A cell that a spreadsheet would run as a formula has an apostrophe in front of it (`to_cell`).

    Args:
        letters: open dead letters.
        path: the CSV file, which is replaced.

    Raises:
        PipelineError: the file cannot be written.
    """
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            # Python leaves a carriage return without quotes, and would read it as a line end.
            writer = csv.DictWriter(
                file, EXPORT_COLUMNS, lineterminator="\n", quoting=csv.QUOTE_ALL
            )
            writer.writeheader()
            for letter in letters:
                content = letter.content
                cells = {
                    "letter": letter.dead_letter_id,
                    "source": content.source,
                    "source_row": str(content.source_row),
                    "reasons": " ".join(content.reasons),
                    **split_values(content),
                    "text": content.text,
                }
                writer.writerow({name: to_cell(cell) for name, cell in cells.items()})
    except OSError as error:
        raise PipelineError(
            f"{path} cannot be written: {error}.\nName another file: EXPORT=…"
        ) from error


def read_corrections(path: Path) -> list[tuple[str, dict[str, str]]]:
    """Read an export whose values a person has corrected.

    Args:
        path: the CSV file. It may lack the columns that only inform.

    Returns:
        The dead-letter id and the cells of each row: the nine values, and `source` and `source_row`
        if the file has them. `from_cell` makes values of them.

    Raises:
        PipelineError: the file cannot be read, or it lacks a column.
    """
    # By default, cells are limited to 128 KiB. An escaped line may be longer.
    csv.field_size_limit(MAX_CELL_LENGTH)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            present = reader.fieldnames or ()
            missing = [name for name in ("letter", *COLUMNS) if name not in present]
            if missing:
                raise PipelineError(
                    f"{path} lacks {', '.join(missing)}; nothing was sent.\n"
                    "Begin with an export: make dead-letters EXPORT=letters.csv"
                )
            columns = [name for name in (*COLUMNS, "source", "source_row") if name in present]
            return [
                (row["letter"] or "", {column: row[column] or "" for column in columns})
                for row in reader
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise PipelineError(
            f"{path} cannot be read: {error}.\n"
            "Name the corrected CSV: make redrive CORRECTED=letters.csv"
        ) from error
