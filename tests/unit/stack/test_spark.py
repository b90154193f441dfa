"""The readiness of Spark's master."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from stack import jvm
from stack.spark import spark
from tests.unit.stack.helpers import settings


def test_a_master_that_answers_without_json_is_not_ready_yet(tmp_path: Path) -> None:
    class Empty(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Empty) as page:
        thread = threading.Thread(target=page.handle_request)
        thread.start()
        chosen = settings(tmp_path, SPARK_UI_PORT=str(page.server_port))
        java = jvm.Jvm(Path("/java"), 21, has_vector_module=True)
        master = spark(chosen, java)[0]
        assert not master.ready()
        thread.join()
