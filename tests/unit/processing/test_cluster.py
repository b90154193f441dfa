"""The errors that users see when Spark gives up."""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace
from typing import Any

import pytest
from py4j.protocol import Py4JError

from customer_profiles.common.errors import PipelineError
from customer_profiles.processing.settings import Settings
from customer_profiles.processing.spark import cluster as cluster_module
from customer_profiles.processing.spark.cluster import Cluster
from customer_profiles.processing.spark.failures import no_worker_message
from customer_profiles.processing.spark.master import missing_worker_cause, read_master

MASTER = {
    "MINIO_ROOT_USER": "u",
    "MINIO_ROOT_PASSWORD": "p",
    "SPARK_MASTER_URL": "spark://master:7077",
}


def cluster(executors: int, **changes: str) -> Cluster:
    """Return a cluster on a fake Spark context with some executors and no active jobs."""
    members = SimpleNamespace(size=lambda: 1 + executors)
    spark = SimpleNamespace(sc=lambda: SimpleNamespace(getExecutorMemoryStatus=lambda: members))
    tracker = SimpleNamespace(getActiveJobsIds=list)
    context: Any = SimpleNamespace(_jsc=spark, statusTracker=lambda: tracker, applicationId=OWN)
    return Cluster(context, Settings.from_env({**MASTER, **changes}), lambda *_: None)


def failing_job(*, interrupted: bool = False) -> Any:
    def collect() -> None:
        try:
            if interrupted:
                raise KeyboardInterrupt
        finally:
            raise Py4JError("java.lang.InterruptedException")

    return SimpleNamespace(collect=collect)


def test_an_unreachable_master_is_reported() -> None:
    with pytest.raises(
        PipelineError,
        match=r"The Spark master spark://master:7077 does not answer\.\n`make status`",
    ):
        cluster(executors=0).run(failing_job(), "profiles", 1)


def test_a_master_that_refuses_the_secret_is_not_a_missing_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state = {"workers": [WORKER], "activeapps": []}
    monkeypatch.setattr(cluster_module, "read_master", lambda *_: state)
    refused = cluster(executors=0)
    refused.context.applicationId = "spark-application-1600948626000"  # type: ignore[misc]
    with pytest.raises(PipelineError, match=r"does not accept this run.*SPARK_AUTH_SECRET"):
        refused.run(failing_job(), "profiles", 1)
    monkeypatch.setattr(cluster_module, "read_master", lambda *_: None)
    with pytest.raises(PipelineError, match="does not answer"):
        refused.run(failing_job(), "profiles", 1)


OWN = "app-2"
WORKER = {"state": "ALIVE", "memory": 1024, "memoryfree": 1024, "coresfree": 2}
APP = {"id": OWN, "name": "customer-profiles", "state": "WAITING", "memoryperexecutor": 640}
OTHER = {**APP, "id": "app-1", "state": "RUNNING", "submitdate": "Thu Sep 24"}
FULL = {**WORKER, "memoryfree": 384, "coresfree": 0}


@pytest.mark.parametrize(
    ("workers", "apps", "cause"),
    [
        ([], [APP], "No worker is connected .*`make up`"),
        ([{**WORKER, "state": "DEAD"}], [APP], "No worker is connected"),
        (
            [FULL],
            [APP, OTHER],
            r"Another run holds all cores: customer-profiles \(app-1, since Thu",
        ),
        ([{**FULL, "coresfree": 1}], [APP, OTHER], "have 384 MB free .* 640 MB .*app-1"),
        ([{**WORKER, "memoryfree": 100}], [APP], "have 100 MB free and this run asks for 640 MB"),
        ([{**WORKER, "memory": 512}], [APP], "largest worker has 512 MB .*SPARK_WORKER_MEMORY"),
        ([FULL, WORKER], [APP, OTHER], None),
        ([FULL], [APP], None),
        ([WORKER], [], None),
    ],
)
def test_the_cause_of_a_missing_worker_is_named(
    workers: list[dict[str, Any]], apps: list[dict[str, Any]], cause: str | None
) -> None:
    found = missing_worker_cause({"workers": workers, "activeapps": apps}, OWN)
    assert found is None if cause is None else re.search(cause, found or "")


def test_the_master_is_asked_after_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def read(master: str, ports: tuple[int, ...]) -> dict[str, Any]:
        asked.append((master, ports))
        return {"workers": [FULL], "activeapps": [APP, OTHER]}

    monkeypatch.setattr(cluster_module, "read_master", read)
    waiting = cluster(executors=0, SPARK_UI_PORT="9999")
    assert "Another run holds all cores" in str(waiting._missing_worker_cause())
    assert asked == [("spark://master:7077", (9999, 8080))]
    monkeypatch.setattr(
        cluster_module, "read_master", lambda *_: {"workers": [{}], "activeapps": 1}
    )
    assert waiting._missing_worker_cause() is None
    monkeypatch.setattr(cluster_module, "read_master", lambda *_: None)
    assert waiting._missing_worker_cause() is None


def test_an_unknown_cause_names_both_possibilities() -> None:
    message = no_worker_message("spark://m:7077", 60)
    assert "had no worker for this run in 60 s" in message
    assert "either another run holds its cores, or it has less free memory" in message
    assert (
        no_worker_message("spark://m:7077", 60, "Because.").splitlines()[1].startswith("Because.")
    )


class _Page(BaseHTTPRequestHandler):
    content = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(
    "content", ["{", "[]", "{}", json.dumps({"workers": [], "activeapps": []})]
)
def test_the_page_of_the_master_is_read(content: str) -> None:
    page = type("Page", (_Page,), {"content": content.encode()})
    with HTTPServer(("127.0.0.1", 0), page) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        state = read_master("spark://127.0.0.1:7077", (server.server_port,))
        server.shutdown()
        thread.join()
    assert state == (json.loads(content) if "workers" in content else None)
    assert read_master("spark://127.0.0.1:7077", (server.server_port,)) is None


def test_a_failure_on_a_worker_is_not_blamed_on_the_master() -> None:
    with pytest.raises(Py4JError, match="InterruptedException"):
        cluster(executors=1).run(failing_job(), "profiles", 1)


@pytest.mark.parametrize("executors", [0, 1])
def test_ctrl_c_is_raised_even_if_something_fails_after_it(executors: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        cluster(executors).run(failing_job(interrupted=True), "profiles", 1)
