"""Every run leaves a report, whatever its end, and the last runs stay in the history."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from customer_profiles.common import run_record
from customer_profiles.common.errors import DegradedError, PipelineError
from customer_profiles.common.run_record import Status, read_history, recorded_run


def latest(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "process-latest.json").read_text())
    return content


def test_a_run_that_ends_well_has_its_numbers_and_its_times(tmp_path: Path) -> None:
    with recorded_run(tmp_path, "process", "rebuild", "abc") as record:
        (running,) = read_history(tmp_path, "process")
        assert (running["status"], running["finished_at"]) == ("running", None)
        record.content = lambda: {"events": 3}
        assert record.finish(Status.OK) == tmp_path / "process-latest.json"
    report = latest(tmp_path)
    assert (report["events"], report["command"], report["run_id"]) == (3, "rebuild", "abc")
    assert (report["status"], report["exit_code"], report["error"]) == ("ok", 0, None)
    assert report["started_at"] <= report["finished_at"]
    assert read_history(tmp_path, "process") == [report]


@pytest.mark.parametrize(
    ("error", "status", "exit_code", "text"),
    [
        (PipelineError("Kafka is away."), "failed", 1, "Kafka is away."),
        (DegradedError("The index is behind."), "failed", 3, "The index is behind."),
        (RuntimeError(), "failed", 1, "RuntimeError"),
        (KeyboardInterrupt(), "interrupted", 130, None),
    ],
)
def test_a_run_that_fails_says_why_and_how_far_it_came(
    tmp_path: Path, error: BaseException, status: str, exit_code: int, text: str | None
) -> None:
    def run() -> None:
        with recorded_run(tmp_path, "process") as record:
            record.content = lambda: {"events": 2}
            raise error

    with pytest.raises(type(error)):
        run()
    report = latest(tmp_path)
    assert (report["status"], report["exit_code"], report["error"]) == (status, exit_code, text)
    assert report["events"] == 2


def test_an_error_after_the_report_leaves_it_as_it_is(tmp_path: Path) -> None:
    def run() -> None:
        with recorded_run(tmp_path, "process") as record:
            record.finish(Status.DEGRADED, exit_code=3, error="The index is behind.")
            raise PipelineError("The index is behind.")

    with pytest.raises(PipelineError):
        run()
    assert latest(tmp_path)["status"] == "degraded"


def test_a_run_that_was_killed_is_marked_by_the_next_one(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    with recorded_run(tmp_path, "process") as record:
        (path,) = (tmp_path / "history").iterdir()
        content = json.loads(path.read_text())
        path.write_text(json.dumps({**content, "pid": child.pid}))
        record.is_finished = True
    assert content["host"] == socket.gethostname()
    with recorded_run(tmp_path, "process") as record:
        record.finish(Status.OK)
    assert [entry["status"] for entry in read_history(tmp_path, "process")] == ["killed", "ok"]


def test_the_newest_runs_of_each_command_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_record, "KEPT_RUNS", 3)
    with recorded_run(tmp_path, "ingest") as record:
        record.finish(Status.OK)
    for number in range(5):
        with recorded_run(tmp_path, "process", run_id=str(number)) as record:
            record.finish(Status.OK)
    kept = {entry["run_id"] for entry in read_history(tmp_path, "process")}
    assert len(kept) == 3
    assert "4" in kept
    assert len(read_history(tmp_path, "ingest")) == 1


def test_a_history_with_foreign_files_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "history").mkdir()
    (tmp_path / "history" / "process-1-x.json").write_text("{")
    (tmp_path / "history" / "process-2-x.json").write_text("[]")
    with recorded_run(tmp_path, "process") as record:
        record.finish(Status.OK)
    assert latest(tmp_path)["status"] == "ok"
