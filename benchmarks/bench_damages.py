"""Damage a lake, an index and topics on real servers in every way, and show what found each.

Runs `tests/faults/test_damages.py` with all of its cells, on servers of its own. Each cell has to
be found and named, and has to end equal to what DuckDB computes from the rows.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.tables import describe_machine, show_table

TEST = "tests/faults/test_damages.py"
COLUMNS = ("object", "damage", "found by", "finding", "after", "mended by")


def main() -> int:
    """Run the test and show its table."""
    parser = argparse.ArgumentParser(prog="make bench-damages", description=__doc__)
    parser.add_argument("--keep", type=Path, help="write the table into this document, too")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "damages.json"
        test = subprocess.run(
            [sys.executable, "-m", "pytest", "-n", "0", "-q", TEST],
            env={**os.environ, "DAMAGES": "all", "DAMAGES_RESULTS": str(results)},
            check=False,
        )
        if test.returncode:
            # A table of a part would look like one of everything.
            print("error: not every damage was found and mended; no table was written")
            return 1
        show_table(table(json.loads(results.read_text())), "bench-damages", arguments.keep)
    return 0


def table(rows: list[list[str]]) -> str:
    """Return the results as Markdown.

    Args:
        rows: the values of `COLUMNS`, as the test leaves them.
    """
    lines = [COLUMNS, ["---"] * len(COLUMNS), *rows]
    machine = f"{len(rows)} damages ({describe_machine()}); `after` is in seconds:"
    return "\n".join([machine, "", *(f"| {' | '.join(line)} |" for line in lines)])


if __name__ == "__main__":
    sys.exit(main())
