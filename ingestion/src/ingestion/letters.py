"""Dead letters: read them, count them, and export them as CSV to be mended."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from contracts import COLUMNS, DEAD_LETTERS, REPLAYED, DeadLetter, Reason
from ingestion.errors import IngestError
from ingestion.topics import read_all
from ingestion.validate import split_line

EXPORTED = ("letter", "source", "source_row", "reasons", *COLUMNS, "text")
"""The columns of an export: what `make replay` reads back."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter in its topic."""

    place: str
    """`partition/offset`: its name. Of a row that was dead-lettered again, by `REINGEST`, the newest."""
    time: datetime
    """When it was dead-lettered, UTC."""
    content: DeadLetter
    replayed: bool
    """It was mended and sent again, or found to be in already."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which letters are meant; what is not given does not restrict."""

    reason: str | None = None
    source: str | None = None
    since: datetime | None = None

    def fits(self, letter: Letter) -> bool:
        return (
            (self.reason is None or self.reason in letter.content.reasons)
            and (self.source is None or self.source == letter.content.source)
            and (self.since is None or letter.time >= self.since)
        )


def read_letters(bootstrap_servers: str, settled: bool = False) -> list[Letter]:
    """All dead letters that the topic still holds, each row once; arguments and errors as `topics.read_all`."""
    replayed = {(message.key() or b"").decode() for message in read_all(bootstrap_servers, REPLAYED, settled)}
    letters: dict[tuple[str, int, str], Letter] = {}
    for message in read_all(bootstrap_servers, DEAD_LETTERS, settled):
        place = f"{message.partition()}/{message.offset()}"
        time = datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC)
        try:
            content = DeadLetter.from_json(message.value() or b"")
        except ValueError:
            # Anyone can publish to a topic: shown, so that nothing is hidden.
            text = (message.value() or b"").decode(errors="backslashreplace")
            content = DeadLetter(DEAD_LETTERS.name, message.offset() or 0, ["no_dead_letter"], text)
        row = (content.source, content.source_row, content.text)
        before = letters.pop(row, None)
        letters[row] = Letter(place, time, content, place in replayed or (before is not None and before.replayed))
    return list(letters.values())


@dataclass(frozen=True, slots=True)
class Overview:
    """Counts of some letters; a letter counts once for each of its reasons."""

    open: int
    replayed: int
    by_reason: Counter[str]
    by_source: Counter[str]
    by_day: Counter[str]
    """Days as ISO 8601, UTC."""
    examples: dict[str, Letter]
    """The newest letter of each reason."""


def overview(letters: Iterable[Letter]) -> Overview:
    """Count letters; only open ones count by reason, source and day."""
    waiting, done = [], 0
    for letter in letters:
        if letter.replayed:
            done += 1
        else:
            waiting.append(letter)
    return Overview(
        len(waiting),
        done,
        Counter(reason for letter in waiting for reason in letter.content.reasons),
        Counter(letter.content.source for letter in waiting),
        Counter(letter.time.date().isoformat() for letter in waiting),
        {reason: letter for letter in waiting for reason in letter.content.reasons},
    )


def fields_of(letter: DeadLetter) -> dict[str, str]:
    """The nine values of a rejected line as far as it can be split; else none."""
    if letter.columns is None:
        return {}
    values = split_line(letter.text, letter.columns)
    if isinstance(values, Reason):
        return {}
    return {column: values[column] for column in COLUMNS if column in values}


def export(letters: Sequence[Letter], path: Path) -> None:
    """Write open letters as CSV, one a row: mend their nine values and give the file to a replay.

    Raises:
        IngestError: the file cannot be written.
    """
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, EXPORTED, lineterminator="\n")
            writer.writeheader()
            for letter in letters:
                content = letter.content
                writer.writerow(
                    {
                        "letter": letter.place,
                        "source": content.source,
                        "source_row": content.source_row,
                        "reasons": " ".join(content.reasons),
                        **fields_of(content),
                        "text": content.text,
                    }
                )
    except OSError as error:
        raise IngestError(f"{path} cannot be written: {error}.\nName another file: EXPORT=…") from error


def read_mended(path: Path) -> list[tuple[str, dict[str, str]]]:
    """What an export has become: the name of each letter, and its nine values.

    Raises:
        IngestError: there is no such file, or it lacks a column.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [name for name in ("letter", *COLUMNS) if name not in (reader.fieldnames or ())]
            if missing:
                raise IngestError(
                    f"{path} lacks {', '.join(missing)}; nothing was sent.\n"
                    "Begin with an export: make dead-letters EXPORT=letters.csv"
                )
            return [(row["letter"] or "", {column: row[column] or "" for column in COLUMNS}) for row in reader]
    except (OSError, UnicodeDecodeError) as error:
        raise IngestError(f"{path} cannot be read: {error}.\nName the mended CSV: make replay MENDED=…") from error
