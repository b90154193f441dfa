"""The metrics of a stream: a file that node-exporter reads, and an endpoint where a port is set."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from customer_profiles.telemetry.catalogue import BATCH_SECONDS
from customer_profiles.telemetry.endpoint import MetricsServer
from customer_profiles.telemetry.registry import Registry
from customer_profiles.telemetry.textfile import textfile, write_textfile

COMMAND = "stream"
WRITE_EVERY_S = 5.0
"""Between two writes of the file."""


class StreamMetrics:
    """Counts micro-batches. Use it as a context manager.

    Args:
        reports: the folder of the reports.
        port: of the endpoint on loopback; None for none. With an endpoint, the file is written at
            the end.

    Raises:
        PipelineError: the port is taken.
    """

    def __init__(self, reports: Path, port: int | None = None) -> None:
        self._path = textfile(reports, COMMAND)
        self.registry = Registry()
        with suppress(OSError):
            self.registry.restore(self._path.read_text(errors="replace"))
        self._server = MetricsServer(port, self.registry.render) if port else None
        self._began = time.time()
        self._written = 0.0

    def __enter__(self) -> Self:
        self.registry.set("stream_start_timestamp_seconds", round(self._began, 3))
        if self._server is None:
            self._write()
        else:
            # Prometheus would count the same events at the endpoint and in the file.
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        status = "succeeded" if kind is None else "failed"
        self.registry.increase("runs_total", command=COMMAND, status=status)
        ended = round(time.time(), 3)
        self.registry.set("last_run_timestamp_seconds", ended, command=COMMAND)
        # A stream that ended has no lag of its own.
        for name in ("stream_lag_messages", "stream_lag_seconds", "stream_start_timestamp_seconds"):
            self.registry.clear(name)
        self._write()
        if self._server:
            self._server.close()

    def observe(self, batch: Mapping[str, Any]) -> None:
        """Count a micro-batch, as `stream-latest.json` describes it."""
        registry = self.registry
        registry.increase("stream_batches_total")
        registry.increase("events_landed_total", batch["events"], command=COMMAND)
        registry.increase("invalid_messages_total", batch["misfits"], command=COMMAND)
        registry.increase("documents_indexed_total", batch["customers"], command=COMMAND)
        is_behind = int(batch["error"] is not None)
        registry.increase("index_refusals_total", is_behind, command=COMMAND)
        registry.set("index_behind", is_behind, command=COMMAND)
        registry.observe("stream_batch_seconds", batch["seconds"], BATCH_SECONDS)
        for stage, seconds in batch["seconds_by_stage"].items():
            registry.increase("stage_seconds_total", seconds, command=COMMAND, stage=stage)
        registry.set("stream_lag_messages", batch["lag_events"])
        if batch["lag_seconds"] is not None:
            registry.set("stream_lag_seconds", batch["lag_seconds"])
        registry.set("stream_lagging_buckets", batch["unsettled"])
        now = round(time.time(), 3)
        registry.set("stream_last_batch_timestamp_seconds", now)
        registry.set("last_success_timestamp_seconds", now, command=COMMAND)
        if self._server is None and time.monotonic() - self._written > WRITE_EVERY_S:
            self._write()

    def _write(self) -> None:
        self._written = time.monotonic()
        # Metrics are no reason for a stream to end.
        with suppress(OSError):
            write_textfile(self._path, self.registry)
