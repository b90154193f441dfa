"""The Spark session: it starts with the first job, and stops once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from py4j.protocol import Py4JError, Py4JJavaError

from customer_profiles.common.errors import PipelineError
from customer_profiles.processing.settings import Settings
from customer_profiles.processing.spark.session import SparkSession


class FakeJvm:
    """The driver's JVM, with a Spark context that has no active jobs."""

    def __init__(self) -> None:
        self.log = Path("reports/process-spark.log")
        self.starts = 0
        self.stops = 0
        self.error: BaseException | None = None
        """Raised when the context is started."""
        self.stop_error: Exception | None = None
        """Raised when the JVM stops."""
        self.stopping = threading.Event()
        """Set when the JVM begins to stop."""
        self.may_stop = threading.Event()
        self.may_stop.set()

    def start_context(self) -> Any:
        self.starts += 1
        if self.error:
            raise self.error
        tracker = SimpleNamespace(getActiveJobsIds=list)
        return SimpleNamespace(defaultParallelism=3, statusTracker=lambda: tracker)

    def stop(self) -> None:
        """Stop at the first call. A second one does nothing, and does not wait for the first."""
        self.stops += 1
        self.stopping.set()
        if self.stops == 1:
            assert self.may_stop.wait(10)
            if self.stop_error:
                raise self.stop_error


@pytest.fixture
def jvm() -> FakeJvm:
    return FakeJvm()


@pytest.fixture
def session(jvm: FakeJvm) -> SparkSession:
    settings = Settings.from_env(
        {"MINIO_ROOT_USER": "u", "MINIO_ROOT_PASSWORD": "p", "SPARK_MASTER_URL": "local[3]"}
    )
    fake_jvm: Any = jvm
    return SparkSession(settings, fake_jvm, lambda *_: None)


def job(collect: Callable[[], list[int]]) -> Any:
    return SimpleNamespace(collect=collect)


def failing_job(error: Exception) -> Any:
    def collect() -> list[int]:
        raise error

    return job(collect)


def test_the_first_job_starts_spark(
    session: SparkSession, jvm: FakeJvm, caplog: pytest.LogCaptureFixture
) -> None:
    assert not session.started
    with caplog.at_level(logging.INFO), session:
        assert session.run(job(lambda: [1, 2]), "step", 1) == [1, 2]
        assert session.started
        assert session.run(job(lambda: [3]), "step", 1) == [3]
        assert session.start() is session.start()
    assert (jvm.starts, jvm.stops) == (1, 1)
    assert [record.getMessage() for record in caplog.records] == ["starting Spark on local[3]"]


def test_a_local_cluster_has_the_cores_that_spark_sees(session: SparkSession) -> None:
    assert session.start().cores == 3


def test_a_session_without_jobs_stops_the_jvm_all_the_same(
    session: SparkSession, jvm: FakeJvm
) -> None:
    with session:
        pass
    assert (jvm.starts, jvm.stops) == (0, 1)


def test_an_error_inside_the_session_stops_spark(session: SparkSession, jvm: FakeJvm) -> None:
    with pytest.raises(ZeroDivisionError), session:
        session.run(failing_job(ZeroDivisionError()), "step", 1)
    assert jvm.stops == 1


def test_stopping_in_the_background_waits_at_the_end(session: SparkSession, jvm: FakeJvm) -> None:
    jvm.may_stop.clear()
    left = threading.Event()

    def use() -> None:
        with session:
            session.start()
            session.stop_in_background()
            # A second call does not stop twice.
            session.stop_in_background()
            assert jvm.stopping.wait(10)
        left.set()

    thread = threading.Thread(target=use, daemon=True)
    thread.start()
    assert jvm.stopping.wait(10)
    # The session cannot be left while the JVM stops.
    assert not left.wait(0.05)
    jvm.may_stop.set()
    assert left.wait(10)
    thread.join()
    # Once in the background, and once when the session ended, which `DriverJvm` allows.
    assert jvm.stops == 2


def test_spark_that_never_started_is_not_stopped_early(session: SparkSession, jvm: FakeJvm) -> None:
    session.stop_in_background()
    assert not jvm.stopping.is_set()


def test_an_error_while_stopping_is_raised(session: SparkSession, jvm: FakeJvm) -> None:
    jvm.stop_error = RuntimeError("the JVM is stuck")
    session.start()
    session.stop_in_background()
    with pytest.raises(RuntimeError, match="the JVM is stuck"), session:
        pass


def test_spark_that_does_not_start_is_reported(session: SparkSession, jvm: FakeJvm) -> None:
    jvm.error = RuntimeError("Java gateway process exited")
    with pytest.raises(PipelineError) as error_info:
        session.run(job(list), "step", 1)
    assert str(error_info.value) == (
        "Spark did not start with the master local[3]: Java gateway process exited\n"
        "Run `make status` to see whether the master runs; "
        "Spark's own words are in reports/process-spark.log."
    )
    assert not session.started
    # The next job tries again.
    jvm.error = None
    assert session.run(job(lambda: [1]), "step", 1) == [1]


def test_ctrl_c_while_spark_starts_is_not_an_error_of_spark(
    session: SparkSession, jvm: FakeJvm
) -> None:
    jvm.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        session.start()


def test_a_failed_task_is_reported_by_its_own_message(session: SparkSession) -> None:
    text = (
        "Job aborted due to stage failure: Task 0 in stage 0.0 failed 4 times\n"
        "customer_profiles.kafka.errors.BrokerUnavailableError: Kafka does not answer.\n\n"
        "\tat org.apache.spark.api.python.PythonRunner.read(PythonRunner.scala:940)\n"
    )
    exception: Any = SimpleNamespace(_target_id="o1", getMessage=lambda: text)
    with pytest.raises(PipelineError, match=r"^Kafka does not answer\.$"):
        session.run(failing_job(Py4JJavaError("failed", exception)), "step", 1)


def test_a_lost_connection_to_java_is_reported_with_the_log(session: SparkSession) -> None:
    with pytest.raises(PipelineError, match=r"reports/process-spark\.log"):
        session.run(failing_job(Py4JError("Answer from Java side is empty")), "step", 1)


def test_an_error_of_our_own_passes_unchanged(session: SparkSession) -> None:
    with pytest.raises(PipelineError, match=r"^no worker$"):
        session.run(failing_job(PipelineError("no worker")), "step", 1)
