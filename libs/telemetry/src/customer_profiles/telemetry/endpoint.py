"""An HTTP endpoint with the metrics of a process that stays: `GET /metrics` on loopback."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from customer_profiles.common.defaults import HOST
from customer_profiles.common.errors import PipelineError
from customer_profiles.telemetry.exposition import CONTENT_TYPE

READ_S = 10.0
"""How long a client may take for its request."""

Pages = Callable[[str], tuple[int, str, str] | None]
"""Returns status, media type and text for a path, or None if there is nothing."""


class MetricsServer:
    """Answers `GET /metrics`, on threads of its own.

    Args:
        port: where to listen.
        render: returns the metrics in the text format.
        host: the address to listen on.
        pages: answers further paths.

    Raises:
        PipelineError: the port is taken.
    """

    def __init__(
        self,
        port: int,
        render: Callable[[], str],
        *,
        host: str = HOST,
        pages: Pages = lambda _: None,
    ) -> None:
        class Handler(BaseHTTPRequestHandler):
            timeout = READ_S
            server_version, sys_version = "metrics", ""

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                if path == "/metrics":
                    self._answer(200, CONTENT_TYPE, render())
                else:
                    self._answer(*(pages(path) or (404, "text/plain", "There is nothing here.\n")))

            def _answer(self, status: int, media_type: str, text: str) -> None:
                content = text.encode()
                self.send_response(status)
                self.send_header("content-type", media_type)
                self.send_header("content-length", str(len(content)))
                self.send_header("x-content-type-options", "nosniff")
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Log nothing: Prometheus asks every few seconds."""

        try:
            self._server = ThreadingHTTPServer((host, port), Handler)
        except OSError as error:
            raise PipelineError(
                f"Port {port} for metrics is taken.\n"
                "Set another one: METRICS_PORT for the stream, MONITORING_PORT for the service."
            ) from error
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="metrics", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
