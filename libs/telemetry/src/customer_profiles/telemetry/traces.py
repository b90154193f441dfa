"""OpenTelemetry traces of a run: the run, its stages, and the tasks of each stage.

Spans are sent over OTLP/HTTP when the run ends, from the times that the run has measured anyway. So
tracing costs nothing while the run works. The names follow OpenTelemetry's conventions, where
messaging is still in development; all of them are in this module.
"""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import time_ns
from typing import Any

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
SERVICE = "customer-profiles"
TIMEOUT_S = 5
"""How long a collector may take at the end of a run."""

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Span:
    """A piece of work with a beginning and an end, in nanoseconds since 1970."""

    name: str
    began: int
    ended: int
    attributes: Mapping[str, str | int | float] = field(default_factory=dict)
    children: list[Span] = field(default_factory=list)


_stages: list[Span] | None = None
"""The stages of the run at hand; None if nobody traces it."""


def add_stage(name: str, began: int, ended: int) -> None:
    """Note a stage that is over. It takes the tasks that ended in it.

    Args:
        name: the name of the stage.
        began: nanoseconds since 1970.
        ended: nanoseconds since 1970.
    """
    if _stages is not None:
        tasks = [span for span in _tasks if span.ended <= ended]
        del _tasks[: len(tasks)]
        _stages.append(Span(name, began, ended, {}, tasks))


_tasks: list[Span] = []
"""Tasks whose stage is not over."""


def add_task(
    name: str, began: int, ended: int, attributes: Mapping[str, str | int | float]
) -> None:
    """Note a task that is over; arguments as for `Span`."""
    if _stages is not None:
        _tasks.append(Span(name, began, ended, attributes))


def is_traced() -> bool:
    """Tell whether somebody wants to know about stages and tasks."""
    return _stages is not None


@contextmanager
def traced_run(name: str, environ: Mapping[str, str] = os.environ) -> Iterator[None]:
    """Trace a run if `OTEL_EXPORTER_OTLP_ENDPOINT` is set and the extra `traces` is installed.

    A collector that does not answer never fails the run.

    Args:
        name: the name of the command.
        environ: has the address of the collector.
    """
    global _stages  # noqa: PLW0603 (a process has one run)
    endpoint = environ.get(ENDPOINT, "")
    if not endpoint:
        yield
        return
    if importlib.util.find_spec("opentelemetry.exporter") is None:
        logger.warning(
            "%s is set, and OpenTelemetry is not installed: "
            "pip install 'customer-profiles-telemetry[traces]'",
            ENDPOINT,
        )
        yield
        return
    _stages, began, failure = [], time_ns(), ""
    _tasks.clear()
    try:
        yield
    except BaseException as error:
        failure = type(error).__name__
        raise
    finally:
        run = Span(name, began, time_ns(), {"error.type": failure} if failure else {}, _stages)
        _stages = None
        try:
            send(run, endpoint)
        except Exception as error:  # whatever happens to traces, the run is done
            logger.warning("the trace was not sent: %s", error)


def send(run: Span, endpoint: str) -> None:
    """Send a run's spans to a collector; a failure is logged by OpenTelemetry."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=TIMEOUT_S)
    provider = TracerProvider(resource=Resource.create({"service.name": SERVICE}))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    _emit(provider.get_tracer(__name__), run, None)
    provider.force_flush(TIMEOUT_S * 1000)
    provider.shutdown()


def _emit(tracer: Any, span: Span, parent: Any) -> None:
    from opentelemetry.trace import Status, StatusCode, set_span_in_context  # noqa: PLC0415

    sent = tracer.start_span(
        span.name, context=parent, start_time=span.began, attributes=dict(span.attributes)
    )
    if "error.type" in span.attributes:
        sent.set_status(Status(StatusCode.ERROR))
    for child in span.children:
        _emit(tracer, child, set_span_in_context(sent))
    sent.end(span.ended)
