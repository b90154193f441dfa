from __future__ import annotations

from pathlib import Path

import pytest

from customer_profiles.common.environ import load_environ
from customer_profiles.common.errors import SettingsError


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


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte-order-mark"])
def test_a_file_from_windows_reads_as_any_other(
    mark: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("STACK", "KAFKA_PORT"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / ".env").write_bytes(mark + b"STACK=native\r\nKAFKA_PORT='9092'\r\n")
    environ = load_environ(tmp_path / ".env")
    assert (environ["STACK"], environ["KAFKA_PORT"]) == ("native", "9092")


def test_a_file_in_utf_16_is_refused_with_the_next_action(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("STACK=native\n", "utf-16")
    with pytest.raises(SettingsError, match=r"(?s)\.env is not UTF-8.*Save it as UTF-8"):
        load_environ(tmp_path / ".env")
