"""The readiness of Spark's master, and who may talk to Spark."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from stack import jvm
from stack.spark import spark
from tests.unit.stack.helpers import KEYS, settings


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


def test_spark_asks_for_a_secret_that_is_on_no_command_line(tmp_path: Path) -> None:
    for server in spark(settings(tmp_path), jvm.Jvm(Path("/java"), 21, has_vector_module=True)):
        options = server.env["SPARK_DAEMON_JAVA_OPTS"].split()
        assert {
            "-Dspark.authenticate=true",
            "-Dspark.master.rest.enabled=false",
            "-Dspark.ui.killEnabled=false",
        } <= set(options)
        assert server.env["_SPARK_AUTH_SECRET"] == KEYS["SPARK_AUTH_SECRET"]
        # Spark puts these options on the command line.
        assert not [part for part in [*server.command, *options] if "secret-of" in part]
