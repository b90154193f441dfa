"""The stack of a measurement: servers of its own, beside the running stack or without it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.settings import Settings
from customer_profiles.common.defaults import STACK_HOME
from customer_profiles.common.errors import PipelineError
from customer_profiles.lake.s3 import S3Config, S3ObjectStore
from customer_profiles.search.client import ElasticsearchConfig, connect
from stack.isolated import isolated_environment

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "data" / "bench"
"""The folder of generated files. Each benchmark removes it at its end."""
ROWS = 885_129
"""Rows of the real file."""
INGESTION = "customer_profiles.ingestion"
PROCESSING = "customer_profiles.processing"


class BenchStack:
    """Servers for one measurement, and the commands that run on them."""

    def __init__(self, home: Path, environ: Mapping[str, str]) -> None:
        self.environ = isolated_environment(home, environ)
        self.reports = home / "reports"

    @property
    def home(self) -> str:
        """The `STACK_HOME` of all its processes."""
        return self.environ["STACK_HOME"]

    @property
    def settings(self) -> Settings:
        """Where the servers are."""
        return Settings.from_env(self.environ)

    def python(self, *arguments: str) -> str:
        """Run `python -m` with these arguments and return its output."""
        command = [sys.executable, "-m", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=self.environ, capture_output=True, text=True)
        if done.returncode:
            raise PipelineError(f"{' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    def ingest(self, path: Path) -> None:
        """Run `make ingest`."""
        self.python(INGESTION, "ingest", str(path))

    def process(self) -> dict[str, Any]:
        """Run `make process`.

        Returns:
            Its report. `seconds` is replaced by those of the whole command, and `reported` has the
            seconds until the command wrote its report.
        """
        began = time.time()
        self.python(PROCESSING, "process")
        seconds = time.time() - began
        path = self.reports / "process-latest.json"
        report: dict[str, Any] = json.loads(path.read_text())
        return {**report, "seconds": seconds, "reported": path.stat().st_mtime - began}

    def empty(self) -> None:
        """Empty the lake and the index, and keep the topic."""
        settings = self.settings
        store = S3ObjectStore(S3Config.from_settings(settings))
        store.ensure_bucket()
        for name in store.list_sizes(""):
            store.delete(name)
        indices = connect(ElasticsearchConfig.from_settings(settings)).indices
        for name in indices.get(index="*").body:
            indices.delete(index=name)


@contextmanager
def empty_stack(environ: Mapping[str, str]) -> Iterator[BenchStack]:
    """Start servers with nothing in them, and remove them at the end."""
    home = ROOT / (environ.get("STACK_HOME") or STACK_HOME) / "bench"
    shutil.rmtree(home, ignore_errors=True)
    bench = BenchStack(home, environ)
    try:
        bench.python("stack", "up")
        yield bench
    finally:
        command = [sys.executable, "-m", "stack", "down"]
        subprocess.run(command, cwd=ROOT, env=bench.environ, stdout=subprocess.DEVNULL)
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def filled_stack(path: Path, environ: Mapping[str, str]) -> Iterator[BenchStack]:
    """Start servers whose topic has the events of a file, with an empty lake and index."""
    with empty_stack(environ) as bench:
        bench.ingest(path)
        yield bench


@contextmanager
def data_folder() -> Iterator[Path]:
    """Create the folder for generated files, and remove it at the end."""
    DATA.mkdir(parents=True, exist_ok=True)
    try:
        yield DATA
    finally:
        shutil.rmtree(DATA, ignore_errors=True)


def make_sample(rows: int, seed: int, path: Path) -> None:
    """Write a synthetic file of events."""
    options = f"--rows {rows} --seed {seed} --force --out".split()
    command = [sys.executable, "scripts/make_sample.py", *options, str(path)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
