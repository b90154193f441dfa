"""Build customer profiles from a CSV file with a segment of your own, without any server.

Run it from the project's folder:

    python -m examples.add_a_segment data/events.csv

The script compares the default segments with those of `examples/segments.toml`. To apply that file
to the whole pipeline, set `SEGMENTS=examples/segments.toml` in `.env` and run `make rebuild`.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from customer_profiles.common.cli import run_command
from customer_profiles.common.clock import now_utc
from customer_profiles.common.errors import PipelineError
from customer_profiles.contracts import COLUMNS, check, event_id
from customer_profiles.profiles.aggregate import build_profiles
from customer_profiles.profiles.schema import EVENT_COLUMNS, PRICE
from customer_profiles.profiles.segments import DEFAULT_SEGMENTS, read_segments

SEGMENTS = Path(__file__).parent / "segments.toml"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print how many customers are in each segment, with the default rules and with yours.

    Args:
        arguments: of the command line, without the program's name.

    Returns:
        The exit status.

    Raises:
        PipelineError: the file of events or the file of segments is not usable.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("events", type=Path, help="CSV file with events")
    parser.add_argument("--segments", type=Path, default=SEGMENTS, help="your rules (TOML)")
    options = parser.parse_args(arguments)

    events, rejected = read_events(options.events)
    print(f"{events.height:,} events, {rejected:,} rejected rows")
    with pl.Config(tbl_rows=-1, tbl_hide_column_data_types=True, tbl_hide_dataframe_shape=True):
        print(compare_segments(events, options.segments))
    return 0


def read_events(path: Path) -> tuple[pl.DataFrame, int]:
    """Read a CSV file and judge each row by the contract.

    Args:
        path: a CSV file with a header that names the columns of `contracts.COLUMNS`.

    Returns:
        The events, as `build_profiles` takes them, and the number of rejected rows.

    Raises:
        PipelineError: the file cannot be read or lacks a column.
    """
    events: list[dict[str, str | None]] = []
    rejected = 0
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = set(COLUMNS) - set(reader.fieldnames or ())
            if missing:
                raise PipelineError(
                    f"{path} lacks the columns {', '.join(sorted(missing))}.\n"
                    "Name a CSV file of events; `make sample` creates one."
                )
            for row in reader:
                values, reasons = check(row)
                # A row with too many fields keeps the extra ones under the key None.
                if reasons or None in row:
                    rejected += 1
                else:
                    events.append({**values, "event_id": event_id(values)})
    except (OSError, UnicodeDecodeError) as error:
        raise PipelineError(
            f"{path} cannot be read: {error}.\n"
            "Name a CSV file of events; `make sample` creates one."
        ) from error
    texts = dict.fromkeys(("event_id", *COLUMNS), pl.String)
    frame = pl.DataFrame(events, schema=texts).with_columns(
        pl.col("event_time").str.to_datetime(time_unit="us", time_zone="UTC"),
        pl.col("price").cast(PRICE),
    )
    return frame.select(list(EVENT_COLUMNS)), rejected


def compare_segments(events: pl.DataFrame, segments: Path) -> pl.DataFrame:
    """Count the customers of each segment, with the default rules and with other ones.

    Args:
        events: as `build_profiles` takes them.
        segments: the file with the other rules.

    Returns:
        `customer_segment` String, `default` and `yours` UInt32, the largest of yours first. A
        segment that only one of the two files has counts 0 in the other.
    """
    now = now_utc()
    default, yours = (
        build_profiles(events, read_segments(path), now).group_by("customer_segment").len(name)
        for name, path in (("default", DEFAULT_SEGMENTS), ("yours", segments))
    )
    return (
        default.join(yours, on="customer_segment", how="full", coalesce=True)
        .with_columns(pl.col("default", "yours").fill_null(0))
        .sort(["yours", "customer_segment"], descending=[True, False])
    )


if __name__ == "__main__":
    sys.exit(run_command(main, interrupted="Stopped."))
