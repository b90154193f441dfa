"""Make a synthetic file of events that behaves like the real one.

A file of the real length has the published counts of the real file. A file of another length has
them in proportion. The same rows and seed give the same file, byte for byte.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path

INTERRUPTED = 130
"""The exit code after Ctrl-C, as shells have it."""


def _leave(*_: object) -> None:
    """End the process at once. Nothing is written while modules are imported."""
    os.write(2, b"Stopped. No file was written.\n")
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    # A command in the background ignores Ctrl-C, and that stays so.
    interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if interruptible:
        signal.signal(signal.SIGINT, _leave)
    # A script finds only the modules of its own folder, and in the image (PYTHONSAFEPATH) not
    # even those.
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scripts.sample.events import make_events  # noqa: E402
from scripts.sample.published import REAL_ROWS  # noqa: E402

__all__ = ["REAL_ROWS", "main", "make_events"]


def write_sample(rows: int, seed: int, path: Path, force: bool) -> int:
    """Write a synthetic file, and beside it a label that says that the file is synthetic.

    The label keeps real events of the same name from being overwritten by accident.

    Returns:
        How many rows were written.

    Raises:
        ValueError: the file exists without a label and `force` is false, or `rows` is below 1.
    """
    label = path.with_name(f".{path.name}.sample")
    if path.exists() and not label.exists() and not force:
        raise ValueError(
            f"{path} exists and was not made here; name another file, or add --force (FORCE=1)"
        )
    events = make_events(rows, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    try:
        events.write_csv(new)
        label.write_text(f"rows={rows} seed={seed}\n")
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
    return events.height


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and write the file. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="make_sample.py", description="Make a synthetic file of events."
    )
    parser.add_argument(
        "--rows", type=int, default=REAL_ROWS, help="number of rows (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", type=int, default=1, help="each seed gives another file (default: %(default)s)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("data/events.csv"),
        help="the file to write (default: %(default)s)",
    )
    parser.add_argument(
        "--force", action="store_true", help="also overwrite a file that is no sample"
    )
    options = parser.parse_args(arguments)
    started = time.perf_counter()
    try:
        rows = write_sample(options.rows, options.seed, options.out, options.force)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. No file was written.", file=sys.stderr)
        return INTERRUPTED
    size_mb = options.out.stat().st_size / 1e6
    seconds = time.perf_counter() - started
    print(f"{rows:,} rows, {size_mb:.0f} MB, in {seconds:.1f} s: {options.out}")
    return 0


if __name__ == "__main__":
    if interruptible:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main())
