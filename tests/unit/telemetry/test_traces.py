"""A traced run, as a collector receives it over OTLP/HTTP."""

from __future__ import annotations

import gzip
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from customer_profiles.telemetry.traces import add_stage, add_task, is_traced, traced_run

SECOND = 1_000_000_000


@contextmanager
def collector(received: list[ExportTraceServiceRequest]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            assert self.path == "/v1/traces"
            received.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def test_a_run_has_its_stages_and_these_have_their_tasks() -> None:
    received: list[ExportTraceServiceRequest] = []
    with collector(received) as url, traced_run("process", {"OTEL_EXPORTER_OTLP_ENDPOINT": url}):
        assert is_traced()
        add_stage("plan", 1 * SECOND, 2 * SECOND)
        add_task("land, task", 2 * SECOND, 3 * SECOND, {"spark.task.index": 0})
        add_stage("land", 2 * SECOND, 4 * SECOND)
    assert not is_traced()
    (request,) = received
    (resource,) = request.resource_spans
    names = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert names["service.name"] == "customer-profiles"
    spans = {span.name: span for scope in resource.scope_spans for span in scope.spans}
    assert set(spans) == {"process", "plan", "land", "land, task"}
    assert spans["plan"].parent_span_id == spans["land"].parent_span_id == spans["process"].span_id
    assert spans["land, task"].parent_span_id == spans["land"].span_id
    assert len({span.trace_id for span in spans.values()}) == 1
    assert spans["land"].start_time_unix_nano == 2 * SECOND
    assert spans["land"].end_time_unix_nano == 4 * SECOND


def test_a_failed_run_is_traced_as_one() -> None:
    received: list[ExportTraceServiceRequest] = []
    with (
        collector(received) as url,
        pytest.raises(RuntimeError),
        traced_run("process", {"OTEL_EXPORTER_OTLP_ENDPOINT": url}),
    ):
        raise RuntimeError
    (span,) = received[0].resource_spans[0].scope_spans[0].spans
    assert span.status.code == span.status.STATUS_CODE_ERROR


def test_nothing_is_kept_without_a_collector() -> None:
    with traced_run("process", {}):
        add_stage("plan", 1, 2)
        assert not is_traced()


def test_a_collector_that_is_away_fails_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("customer_profiles.telemetry.traces.TIMEOUT_S", 1)
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    with traced_run("process", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}):
        add_stage("plan", 1, 2)
