from __future__ import annotations

from pathlib import Path

import pytest

from customer_profiles.common.reports import ReportError, check_folder, write_json


def test_a_report_is_written_into_a_new_folder(tmp_path: Path) -> None:
    path = write_json(tmp_path / "reports" / "ingest-latest.json", {"read": 3, "reasons": {}})
    assert path == tmp_path / "reports" / "ingest-latest.json"
    assert path.read_text() == '{\n  "read": 3,\n  "reasons": {}\n}\n'


def test_an_interrupted_write_leaves_the_old_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_json(tmp_path / "report.json", {"read": 3})

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_json(path, {"read": 4})
    assert '"read": 3' in path.read_text()


def test_only_the_report_remains_in_the_folder(tmp_path: Path) -> None:
    for read in (3, 4):
        write_json(tmp_path / "report.json", {"read": read})
    assert [file.name for file in tmp_path.iterdir()] == ["report.json"]


def test_a_folder_that_takes_no_reports_is_named_before_and_after_the_work(tmp_path: Path) -> None:
    folder = tmp_path / "file" / "reports"
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ReportError, match=rf"{folder} is not writable: .*; nothing was done.*"):
        check_folder(folder)
    with pytest.raises(
        ReportError, match=rf"has done its work.*{folder}/report.json.*(?s:.)*REPORTS"
    ):
        write_json(folder / "report.json", {})


def test_the_check_of_a_folder_leaves_nothing_in_it(tmp_path: Path) -> None:
    check_folder(tmp_path / "reports")
    assert list((tmp_path / "reports").iterdir()) == []
