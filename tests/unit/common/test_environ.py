from __future__ import annotations

from pathlib import Path

import pytest

from customer_profiles.common.environ import load_environ


def test_the_environment_overrides_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / ".env"
    file.write_text("# a comment\nexport KAFKA_PORT=1\nMINIO_PORT='2'\nNO_VALUE\nBUCKETS=\n")
    monkeypatch.setenv("KAFKA_PORT", "3")
    environ = load_environ(file)
    assert environ["KAFKA_PORT"] == "3"
    assert environ["MINIO_PORT"] == "2"
    assert environ["NO_VALUE"] == environ["BUCKETS"] == ""
    assert environ["PATH"]


def test_a_missing_file_counts_as_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_PORT", "3")
    assert load_environ(tmp_path / ".env")["KAFKA_PORT"] == "3"


def test_the_file_is_read_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("ONLY_HERE=1\n")
    monkeypatch.chdir(tmp_path)
    assert load_environ()["ONLY_HERE"] == "1"
