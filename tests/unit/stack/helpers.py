"""Settings of a stack that exists only in a temporary folder."""

from __future__ import annotations

from pathlib import Path

from stack.settings import Settings

KEYS = {
    "MINIO_ROOT_USER": "admin",
    "MINIO_ROOT_PASSWORD": "secret-of-32",
    "KAFKA_PASSWORD": "secret-of-kafka",
    "SPARK_AUTH_SECRET": "secret-of-spark",
    "ELASTIC_PASSWORD": "secret-of-elastic",
}


def settings(home: Path, **changes: str) -> Settings:
    return Settings.from_env({**KEYS, "STACK_HOME": str(home), **changes})
