"""How long the page takes until every panel has its numbers. `make bench-dashboard`.

It measures in the browser, from the request for the page to the last chart that is drawn, on
servers of its own that hold as many events as the real file.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from benchmarks.servers import ROOT, ROWS, BenchStack, data_folder, empty_stack, make_sample
from benchmarks.tables import INTERRUPTED, describe_machine, show_table
from customer_profiles.common.console import create_console
from customer_profiles.common.errors import PipelineError
from customer_profiles.common.progress import ProgressDisplay
from scripts.screenshots import browser_options

SEED = 1
ROUNDS = 15
VIEWS = {
    "everything": "",
    "two months": "?since=2020-11-01&until=2020-12-31",
    "two months of one segment": "?since=2020-11-01&until=2020-12-31&segment=Converting+Customer",
    "products without a brand": "?brand=%28none%29",
}
"""What is opened: names and parts of the page's address."""
START_S = 30
LOAD_MS = 60_000
VIEWPORT = {"width": 1400, "height": 900}


@contextmanager
def served_page(environ: Mapping[str, str]) -> Iterator[str]:
    """Serve the page of a stack; yield its address.

    Raises:
        PipelineError: the page does not answer.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "customer_profiles.dashboards", "serve"]
    child = subprocess.Popen(
        command, cwd=ROOT, env={**environ, "DASHBOARD_PORT": port}, stdout=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + START_S
        while not answers(f"{address}/health/ready"):
            if child.poll() is not None or time.monotonic() > deadline:
                raise PipelineError(f"The page does not answer on {address}.")
            time.sleep(0.1)
        yield address
    finally:
        child.send_signal(signal.SIGINT)
        child.wait()


def answers(address: str) -> bool:
    """Tell whether a page is there and ready."""
    try:
        with urllib.request.urlopen(address, timeout=START_S):
            return True
    except urllib.error.URLError:
        return False


def open_once(browser: Browser, address: str) -> float:
    """Open the page in a new tab; return the milliseconds until the last panel is drawn."""
    page = browser.new_page(viewport=VIEWPORT)  # type: ignore[arg-type]
    try:
        page.goto(address)
        page.wait_for_selector("body[data-loaded]", timeout=LOAD_MS)
        return float(page.evaluate("performance.getEntriesByName('shown')[0].startTime"))
    finally:
        page.close()


def measure(address: str, progress: ProgressDisplay) -> dict[str, list[float]]:
    """Open all views in turn; return the milliseconds of each, without the first round."""
    times: dict[str, list[float]] = {name: [] for name in VIEWS}
    with sync_playwright() as driver:
        browser = driver.chromium.launch(**browser_options())
        for number in range(ROUNDS + 1):
            progress("rounds", number, ROUNDS + 1)
            for name, part in VIEWS.items():
                milliseconds = open_once(browser, f"{address}/{part}")
                # The first round warms the servers up.
                if number:
                    times[name].append(milliseconds)
        browser.close()
    return times


def page_table(times: Mapping[str, Sequence[float]], customers: int) -> str:
    """Return the times as a table in Markdown."""
    lines = [
        f"{customers:,} profiles; {describe_machine()}; servers and browser on the same cores; "
        f"{ROUNDS} rounds after one that is not counted; until the last panel is drawn.",
        "",
        "| what is opened | median, s | slowest, s |",
        "|---|---:|---:|",
    ]
    lines += [
        f"| {name} | {statistics.median(found) / 1000:.2f} | {max(found) / 1000:.2f} |"
        for name, found in times.items()
    ]
    return "\n".join(lines)


def run(bench: BenchStack, keep: Path | None, progress: ProgressDisplay) -> None:
    """Fill the stack and measure the page over it."""
    with data_folder() as folder:
        path = folder / "events.csv"
        progress("events", 0, 3)
        make_sample(ROWS, SEED, path)
        progress("ingested", 1, 3)
        bench.ingest(path)
    progress("processed", 2, 3)
    customers = int(bench.process()["customers"])
    with served_page(bench.environ) as address:
        times = measure(address, progress)
    show_table(page_table(times, customers), "bench-dashboard", keep)


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; return the exit code."""
    parser = argparse.ArgumentParser(prog="bench_dashboard", description=__doc__)
    parser.add_argument("--keep", type=Path, help="the document that keeps the table")
    options = parser.parse_args(arguments)
    try:
        with (
            empty_stack(os.environ) as bench,
            ProgressDisplay(create_console(), "page") as progress,
        ):
            run(bench, options.keep, progress)
    except KeyboardInterrupt:
        print(INTERRUPTED, file=sys.stderr)
        return 130
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
