"""The import into Kibana, which Compose runs in a container without the package's dependencies."""

from __future__ import annotations

import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from customer_profiles.dashboards.kibana import KibanaError, data_range, import_objects
from customer_profiles.dashboards.saved_objects import to_ndjson
from tests.support import ROOT

PROGRAM = """
import sys
sys.path[:0] = ["dashboards/src", "libs/common/src"]
from customer_profiles.dashboards.saved_objects import to_ndjson
from customer_profiles.dashboards.kibana import main
assert to_ndjson()
sys.exit(main(["http://127.0.0.1:9"]))
"""


def test_the_import_needs_only_the_standard_library() -> None:
    # -I and -S leave only the standard library on the path.
    command = [sys.executable, "-I", "-S", "-c", PROGRAM]
    completed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert completed.stderr.startswith("error: Kibana does not answer on http://127.0.0.1:9")
    assert completed.returncode == 1


class Refusing(BaseHTTPRequestHandler):
    """A server that answers every request with control characters."""

    reply = b'{"success": false, "successCount": 1, "errors": ["\\u001b[2J\\u009b31m"]}'
    status = 200

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(self.reply)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@pytest.mark.parametrize(
    ("status", "reply"),
    [(200, Refusing.reply), (403, b"\x1b]0;title\x07 no"), (200, b"\x1b[2J no JSON")],
)
def test_a_reply_of_kibana_is_shown_escaped(
    status: int, reply: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Refusing, "status", status)
    monkeypatch.setattr(Refusing, "reply", reply)
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            with pytest.raises(KibanaError) as failure:
                import_objects(f"http://127.0.0.1:{server.server_port}", "secret", to_ndjson())
        finally:
            server.shutdown()
            thread.join()
    assert str(failure.value).isprintable()
    assert "secret" not in str(failure.value)


def test_an_unreachable_kibana_is_reported() -> None:
    with pytest.raises(KibanaError, match=r"does not answer on http://127\.0\.0\.1:9"):
        import_objects("http://127.0.0.1:9", "", to_ndjson())


def test_an_unreachable_elasticsearch_is_reported() -> None:
    with pytest.raises(KibanaError, match="Elasticsearch does not say which time range"):
        data_range("http://127.0.0.1:9", "")
    assert data_range(None, "") is None
