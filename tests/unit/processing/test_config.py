"""Spark's properties, from this application's settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from customer_profiles.common import defaults
from customer_profiles.processing.settings import Settings
from customer_profiles.processing.spark.config import JAVA_OPTIONS, secret_settings, spark_settings


def properties(archives: Path, **environ: str) -> dict[str, str]:
    """Return the properties that follow from some settings."""
    required = {"MINIO_ROOT_USER": "u", "MINIO_ROOT_PASSWORD": "p"}
    settings = Settings.from_env({**required, "SPARK_CLASS_ARCHIVES": str(archives), **environ})
    return spark_settings(settings)


def test_addresses_and_memory_come_from_the_settings(tmp_path: Path) -> None:
    result = properties(
        tmp_path,
        SPARK_MASTER_URL="spark://master:7077",
        SPARK_DRIVER_HOST="10.0.0.7",
        SPARK_EXECUTOR_MEMORY="700m",
    )
    assert result["spark.master"] == "spark://master:7077"
    assert result["spark.driver.host"] == result["spark.driver.bindAddress"] == "10.0.0.7"
    assert result["spark.executor.memory"] == "700m"


def test_the_master_follows_from_its_port(tmp_path: Path) -> None:
    result = properties(tmp_path, SPARK_MASTER_PORT="17077")
    assert result["spark.master"] == f"spark://{defaults.HOST}:17077"


@pytest.mark.parametrize("role", ["driver", "executor"])
def test_each_jvm_keeps_a_class_archive_of_its_own(tmp_path: Path, role: str) -> None:
    options = properties(tmp_path)[f"spark.{role}.extraJavaOptions"]
    assert JAVA_OPTIONS in options
    assert f'"-XX:SharedArchiveFile={tmp_path}/spark-{role}.jsa"' in options
    # Java 17 does not know the option that writes archives.
    assert options.startswith("-XX:+IgnoreUnrecognizedVMOptions ")


@pytest.mark.parametrize("role", ["driver", "executor"])
def test_without_the_folder_there_are_no_class_archives(tmp_path: Path, role: str) -> None:
    options = properties(tmp_path / "missing")[f"spark.{role}.extraJavaOptions"]
    assert options == JAVA_OPTIONS


def test_the_path_of_archives_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dist").mkdir()
    monkeypatch.chdir(tmp_path)
    options = properties(Path("dist"))["spark.driver.extraJavaOptions"]
    assert f"SharedArchiveFile={tmp_path}/dist/spark-driver.jsa" in options


def test_a_task_uses_one_core_and_a_stream_forgets_its_jobs(tmp_path: Path) -> None:
    result = properties(tmp_path)
    assert result["spark.executorEnv.POLARS_MAX_THREADS"] == "1"
    assert {result[f"spark.ui.retained{kind}"] for kind in ("Jobs", "Stages", "Tasks")} == {"100"}
    assert result["spark.ui.enabled"] == "false"


def test_no_password_is_a_property(tmp_path: Path) -> None:
    names = ("MINIO_ROOT_PASSWORD", "ELASTIC_PASSWORD", "KAFKA_PASSWORD", "SPARK_AUTH_SECRET")
    result = properties(tmp_path, **dict.fromkeys(names, "very secret"))
    assert not [value for value in result.values() if "secret" in value]
    assert all(isinstance(value, str) for value in result.values())


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"SPARK_AUTH_SECRET": "very secret"}, "very secret"),
        ({}, None),
        ({"SPARK_AUTH_SECRET": "very secret", "SPARK_MASTER_URL": "local[2]"}, None),
    ],
)
def test_the_secret_reaches_a_master_and_no_command_line(
    tmp_path: Path, environ: dict[str, str], expected: str | None
) -> None:
    settings = Settings.from_env({"MINIO_ROOT_USER": "u", "MINIO_ROOT_PASSWORD": "p", **environ})
    assert secret_settings(settings).get("spark.authenticate.secret") == expected
    authenticates = properties(tmp_path, **environ).get("spark.authenticate")
    assert authenticates == ("true" if expected else None)
