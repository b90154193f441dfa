"""The lake in an S3 bucket of MinIO, through obstore.

obstore has conditional writes, which minio-py has only behind a private method. It moves large
objects as fast, needs a third of the CPU time for small ones, imports in 25 ms instead of 260 ms,
and takes no more memory, apart from 6 MB of code that all processes share.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from obstore.exceptions import AlreadyExistsError, BaseError, GenericError, PreconditionError

from customer_profiles.lake.errors import (
    DamagedObjectError,
    LakeUnavailableError,
    WriteConflictError,
)
from customer_profiles.lake.layout import LEASE
from customer_profiles.lake.object_store import ObjectInfo, ObjectStore, StoredObject
from customer_profiles.lake.s3_client import (
    FIRST_DELAY_S,
    RETRIES,
    RETRY_TIMEOUT_S,
    connect,
    read_deadline_s,
    write_timeout_s,
)
from customer_profiles.lake.s3_config import S3Config
from customer_profiles.lake.s3_errors import (
    S3_ERRORS,
    is_final,
    may_be_damage,
    reason_of,
    translate_errors,
    unavailable,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from obstore import GetResult, PutMode
    from obstore.store import S3Store

__all__ = ["S3Config", "S3ObjectStore"]

CHUNK_BYTES = 256 * 1024
"""Reading by chunks holds an object in memory once. obstore's own `bytes()` holds it twice."""
LIST_CHUNK = 1000
"""Names in one answer of S3 at most."""

T = TypeVar("T")


class S3ObjectStore(ObjectStore):
    """Objects in one S3 bucket.

    An object can be used by several threads, but not in a forked process: obstore's threads do not
    survive a fork.
    """

    def __init__(self, config: S3Config) -> None:
        self._config = config
        self._store = connect(config, RETRIES)

    def ensure_bucket(self) -> None:
        """Create the bucket if it is missing.

        Raises:
            LakeUnavailableError: MinIO does not answer, refuses the keys or cannot create a bucket.
        """
        if self._bucket_exists():
            return
        # obstore cannot create buckets. S3 creates one by a PUT of the bucket's path, which is the
        # path of an object in a store that is rooted at the server. The answer has no ETag, and
        # obstore reports that as an error, so only the second look tells whether it worked.
        server = connect(self._config, RETRIES, root=True)
        with suppress(BaseError):
            server.put(self._config.bucket, b"", use_multipart=False)
        if not self._bucket_exists():
            raise LakeUnavailableError(
                f"MinIO on {self._config.address} did not create the bucket "
                f"{self._config.bucket}.\nSee `make logs`."
            )

    def _bucket_exists(self) -> bool:
        try:
            # Any name would do. No other object has this one as a prefix, so the answer is short.
            next(iter(self._store.list(LEASE)), None)
        except GenericError as error:
            if "NoSuchBucket" in str(error):
                return False
            raise unavailable(self._config.address, "list objects", error) from error
        return True

    def _get(self, name: str) -> StoredObject | None:
        return self._read(name, lambda store: _get_object(store, name))

    def head(self, name: str) -> ObjectInfo | None:
        """Return size, ETag and attributes of an object, or None if there is none of that name."""
        return self._read(name, lambda store: _get_info(store, name))

    def _read(self, name: str, read: Callable[[S3Store], T]) -> T | None:
        """Read an object, and tell one that MinIO cannot read from a MinIO that does not answer.

        Raises:
            DamagedObjectError: MinIO answers, and does not give this object.
            LakeUnavailableError: MinIO does not answer, or refuses.
        """
        try:
            return read(self._store)
        except FileNotFoundError:
            return None
        except S3_ERRORS as error:
            if not (may_be_damage(error) and self._answers()):
                raise unavailable(self._config.address, f"read {name}", error) from error
        # MinIO may have restarted in between, so one more attempt decides.
        try:
            return read(connect(self._config, retries=0))
        except FileNotFoundError:
            return None
        except S3_ERRORS as error:
            if not may_be_damage(error):
                raise unavailable(self._config.address, f"read {name}", error) from error
            raise DamagedObjectError(name, f"MinIO cannot read it ({reason_of(error)})") from error

    def _answers(self) -> bool:
        """Tell whether MinIO answers requests that do not concern a certain object."""
        try:
            next(iter(connect(self._config, retries=0).list(LEASE)), None)
        except BaseError:
            return False
        return True

    def _put(
        self,
        name: str,
        data: bytes,
        attributes: Mapping[str, str],
        *,
        if_match: str | None,
        if_absent: bool,
    ) -> str:
        """Write an object by one PUT."""
        mode: PutMode = "create" if if_absent else "overwrite"
        if if_match is not None:
            mode = {"e_tag": if_match}
        with translate_errors(self._config.address, f"write {name}"):
            try:
                return self._put_with_retries(name, data, dict(attributes), mode)
            except (AlreadyExistsError, PreconditionError) as error:
                raise WriteConflictError(
                    f"Another run wrote {name} in the meantime; this one has stopped and nothing "
                    "is lost.\nRun `make process` again when the other has ended."
                ) from error

    def _put_with_retries(
        self, name: str, data: bytes, attributes: dict[str, str], mode: PutMode
    ) -> str:
        """Write, and retry where no answer comes; return the ETag.

        obstore must not retry conditional writes by itself. If the first attempt succeeds and only
        its answer is lost, the second attempt conflicts with the first, and obstore reports that
        as a conflict.
        """
        store = connect(self._config, retries=0, timeout_s=write_timeout_s(len(data)))
        deadline = time.monotonic() + RETRY_TIMEOUT_S
        attempt = 0
        while True:
            try:
                result = store.put(
                    name, data, attributes=attributes, mode=mode, use_multipart=False
                )
                return result["e_tag"] or ""
            except (AlreadyExistsError, PreconditionError):
                stored = self._get(name) if attempt else None
                if stored is None or stored.data != data:
                    raise
                return stored.etag
            except GenericError as error:
                if is_final(error) or attempt == RETRIES or time.monotonic() > deadline:
                    raise
                time.sleep(FIRST_DELAY_S * 2**attempt)
            attempt += 1

    def list_objects(self, prefix: str) -> dict[str, ObjectInfo]:
        """Return the objects whose names start with a prefix, sorted by name."""
        # obstore lists folders only, not any prefix.
        folder = prefix[: prefix.rfind("/") + 1]
        with translate_errors(self._config.address, f"list {folder}"):
            chunks = list(self._store.list(folder, chunk_size=LIST_CHUNK))
        objects = {
            item["path"]: ObjectInfo(item["size"], item["e_tag"] or "")
            for chunk in chunks
            for item in chunk
            if item["path"].startswith(prefix)
        }
        return dict(sorted(objects.items()))

    def delete(self, name: str) -> None:
        """Delete an object. It is no error if there is none of that name."""
        with translate_errors(self._config.address, f"delete {name}"):
            self._store.delete(name)


def _get_object(store: S3Store, name: str) -> StoredObject:
    """Read an object.

    Raises:
        TimeoutError: it arrives too slowly for its size.
    """
    answer = store.get(name)
    size = answer.meta["size"]
    deadline = time.monotonic() + read_deadline_s(size)
    buffer = io.BytesIO()
    for chunk in answer.stream(min_chunk_size=CHUNK_BYTES):
        buffer.write(chunk)
        if time.monotonic() > deadline:
            raise TimeoutError(f"{buffer.tell():,} of {size:,} bytes in time")
    # `getvalue` of a BytesIO copies nothing.
    return StoredObject(buffer.getvalue(), answer.meta["e_tag"] or "", _own_attributes(answer))


def _get_info(store: S3Store, name: str) -> ObjectInfo:
    answer = store.get(name, options={"head": True})
    return ObjectInfo(answer.meta["size"], answer.meta["e_tag"] or "", _own_attributes(answer))


def _own_attributes(answer: GetResult) -> dict[str, str]:
    """Return the S3 user metadata. Its names are in lower case, those of HTTP are not."""
    return {key: value for key, value in answer.attributes.items() if key.islower()}
