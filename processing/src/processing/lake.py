"""The data lake on MinIO: every object has a deterministic name and is written by one atomic PUT."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import polars as pl
import urllib3
from minio import Minio
from minio.error import S3Error
from urllib3.exceptions import HTTPError

from processing.errors import ProcessError, Superseded
from processing.settings import LAKE, Settings


def event_object(bucket: int, batch: int) -> str:
    """The name of one micro-batch's events of one bucket."""
    return f"events/bucket={bucket:02d}/batch={batch:06d}.parquet"


def profile_object(bucket: int) -> str:
    """The name of one bucket's profiles."""
    return f"customer_profiles/bucket={bucket:02d}/profiles.parquet"


class Lake:
    """Objects in the bucket `data-lake`."""

    def __init__(self, settings: Settings) -> None:
        self._http = urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=5, read=60), retries=urllib3.Retry(3, backoff_factor=0.2)
        )
        self._address = settings.minio_address
        self._client = Minio(
            settings.minio_address,
            access_key=settings.minio_user,
            secret_key=settings.minio_password,
            secure=False,
            region="us-east-1",
            http_client=self._http,
        )

    def ensure(self) -> None:
        """Create the bucket where it is missing.

        Raises:
            ProcessError: MinIO does not answer or refuses the keys.
        """
        try:
            if not self._client.bucket_exists(LAKE):
                self._client.make_bucket(LAKE)
        except (HTTPError, OSError) as error:
            raise ProcessError(
                f"MinIO does not answer on {self._address}.\nRun `make up` to start the stack, or `make status`."
            ) from error
        except S3Error as error:
            raise ProcessError(
                f"MinIO on {self._address} refuses: {error.message} ({error.code}).\n"
                "MINIO_ROOT_USER and MINIO_ROOT_PASSWORD in .env have to be those with which it was started."
            ) from error

    def get(self, name: str) -> tuple[bytes, str] | None:
        """An object's content and its entity tag; None where there is none."""
        try:
            answer = self._client.get_object(LAKE, name)
        except S3Error as error:
            if error.code == "NoSuchKey":
                return None
            raise
        try:
            return answer.read(), answer.headers["ETag"]
        finally:
            answer.close()
            answer.release_conn()

    def put(self, name: str, data: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Write an object at once: a reader sees the old one or the new one.

        Args:
            name: of the object.
            data: its content.
            headers: `If-None-Match: *` or `If-Match: TAG` make the PUT conditional.

        Raises:
            Superseded: the condition does not hold.
            ProcessError: MinIO refuses.
        """
        # The client of MinIO sends no conditions, and a signed address leaves such headers free.
        url = self._client.get_presigned_url("PUT", LAKE, name, expires=timedelta(minutes=10))
        answer = self._http.request("PUT", url, body=data, headers=dict(headers or {}))
        if answer.status in (409, 412):
            raise Superseded(
                f"Another run wrote {name} in the meantime; this one has stopped and nothing is lost.\n"
                "Run `make process` again when the other has ended."
            )
        if answer.status >= 300:
            raise ProcessError(
                f"MinIO refused to write {name}: {answer.status} {answer.data[:300].decode(errors='replace')}\n"
                "See `make status` for room on the disk and `make logs`."
            )

    def names(self, prefix: str) -> list[str]:
        """The names of all objects below a prefix, sorted."""
        found = self._client.list_objects(LAKE, prefix=prefix, recursive=True)
        return sorted(item.object_name for item in found if item.object_name)

    def get_json(self, name: str) -> dict[str, Any] | None:
        found = self.get(name)
        return json.loads(found[0]) if found else None

    def put_json(self, name: str, value: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        self.put(name, (json.dumps(value, indent=1) + "\n").encode(), headers)


def to_parquet(frame: pl.DataFrame, metadata: Mapping[str, str] | None = None) -> bytes:
    """A frame as Parquet, zstd; the same frame gives the same bytes."""
    out = io.BytesIO()
    frame.write_parquet(out, compression="zstd", metadata=dict(metadata or {}))
    return out.getvalue()
