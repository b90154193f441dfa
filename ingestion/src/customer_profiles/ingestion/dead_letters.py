"""Dead letters: read them from their topic, count them, and export them as CSV for correction."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from customer_profiles.common.errors import PipelineError
from customer_profiles.contracts import COLUMNS, DEAD_LETTERS, REPLAYED, DeadLetter, Reason, Topic
from customer_profiles.ingestion.lines import split_line
from customer_profiles.kafka.config import KafkaConfig
from customer_profiles.kafka.reader import read_topic

if TYPE_CHECKING:
    from confluent_kafka import Message

EXPORT_COLUMNS = ("letter", "source", "source_row", "reasons", *COLUMNS, "text")
"""The columns of an export. `letter` is the dead-letter id; a redrive reads it and `COLUMNS`."""

NO_DEAD_LETTER = "no_dead_letter"
"""The reason of a message in the topic that is not a dead letter."""


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


def read_dead_letters(
    config: KafkaConfig, *, wait_for_open_transactions: bool = False
) -> list[StoredDeadLetter]:
    """Read all dead letters that the topic still holds, each row once.

    Args:
        config: where Kafka is.
        wait_for_open_transactions: as for `read_topic`.

    Raises:
        PipelineError: Kafka does not answer, or a transaction stays open.
    """

    def read(topic: Topic) -> Iterator[Message]:
        return read_topic(config, topic, wait_for_open_transactions=wait_for_open_transactions)

    replayed_ids = {(message.key() or b"").decode() for message in read(REPLAYED)}
    letters: dict[tuple[str, int, str], StoredDeadLetter] = {}
    for message in read(DEAD_LETTERS):
        dead_letter_id = f"{message.partition()}/{message.offset()}"
        time = datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC)
        content = _decode(message)
        row = (content.source, content.source_row, content.text)
        earlier = letters.pop(row, None)
        replayed = dead_letter_id in replayed_ids or (earlier is not None and earlier.replayed)
        letters[row] = StoredDeadLetter(dead_letter_id, time, content, replayed)
    return list(letters.values())


def _decode(message: Message) -> DeadLetter:
    value = message.value() or b""
    try:
        return DeadLetter.from_json(value)
    except ValueError:
        # Anyone can publish to the topic. Show such a message as well, so that nothing is hidden.
        text = value.decode(errors="backslashreplace")
        return DeadLetter(DEAD_LETTERS.name, message.offset() or 0, [NO_DEAD_LETTER], text)


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

    Args:
        letters: open dead letters.
        path: the CSV file, which is replaced.

    Raises:
        PipelineError: the file cannot be written.
    """
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, EXPORT_COLUMNS, lineterminator="\n")
            writer.writeheader()
            for letter in letters:
                content = letter.content
                writer.writerow(
                    {
                        "letter": letter.dead_letter_id,
                        "source": content.source,
                        "source_row": content.source_row,
                        "reasons": " ".join(content.reasons),
                        **split_values(content),
                        "text": content.text,
                    }
                )
    except OSError as error:
        raise PipelineError(
            f"{path} cannot be written: {error}.\nName another file: EXPORT=…"
        ) from error


def read_corrections(path: Path) -> list[tuple[str, dict[str, str]]]:
    """Read an export whose values a person has corrected.

    Args:
        path: the CSV file. It may lack the columns that only inform.

    Returns:
        The dead-letter id and the nine values of each row.

    Raises:
        PipelineError: the file cannot be read, or it lacks a column.
    """
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
            return [
                (row["letter"] or "", {column: row[column] or "" for column in COLUMNS})
                for row in reader
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise PipelineError(
            f"{path} cannot be read: {error}.\n"
            "Name the corrected CSV: make redrive CORRECTED=letters.csv"
        ) from error
