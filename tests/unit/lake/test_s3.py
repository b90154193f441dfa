"""The S3 store against a small server in this process that answers like MinIO."""

from __future__ import annotations

import hashlib
import os
import pickle
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from pydantic import SecretStr

from customer_profiles.lake import s3, s3_client
from customer_profiles.lake.errors import (
    DamagedObjectError,
    LakeUnavailableError,
    WriteConflictError,
)
from customer_profiles.lake.object_store import ObjectInfo
from customer_profiles.lake.s3 import S3Config, S3ObjectStore


class FakeMinio(ThreadingHTTPServer):
    """Keeps buckets and objects in memory, and can fail to answer."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.buckets: dict[str, dict[str, bytes]] = {"data-lake": {}}
        self.resumed = threading.Event()
        self.requests: list[str] = []
        self.lost_responses: list[str] = []
        """Methods whose next request is carried out but not answered."""
        self.refusal: tuple[int, str, str] | None = None
        """Status, code and message of the error that answers every request."""
        self.attributes: dict[str, dict[str, str]] = {}
        """The user metadata of each object."""
        self.unreadable: dict[str, tuple[int, str, str]] = {}
        """Status, code and message that answer every read of an object."""
        self.stalled: set[str] = set()
        """Objects of which reads get the first half only."""
        self.restarts_in = 0
        """Requests that get no answer from now on."""
        self.headers: dict[str, str] = {}
        """Headers of the last request."""

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    @property
    def objects(self) -> dict[str, bytes]:
        return self.buckets["data-lake"]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeMinio

    def log_message(self, *_: object) -> None:
        pass

    def handle_request(self) -> None:
        fake = self.server
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urlsplit(self.path)
        bucket, _, name = unquote(path.path)[1:].partition("/")
        fake.requests.append(f"{self.command} {name}")
        fake.headers = dict(self.headers)
        response = self.respond(bucket, name, body, parse_qs(path.query))
        if self.command in fake.lost_responses:
            fake.lost_responses.remove(self.command)
            self.close_connection = True
            return
        if fake.restarts_in:
            fake.restarts_in -= 1
            self.close_connection = True
            return
        status, content, headers = response
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if name in fake.stalled and self.command == "GET":
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            fake.resumed.wait(10)
            self.close_connection = True
            return
        self.wfile.write(content)

    do_GET = do_HEAD = do_PUT = do_DELETE = handle_request  # noqa: N815

    def respond(
        self, bucket: str, name: str, body: bytes, query: dict[str, list[str]]
    ) -> tuple[int, bytes, dict[str, str]]:
        fake = self.server
        if fake.refusal:
            return _error(*fake.refusal)
        if self.command == "PUT" and not name:
            fake.buckets.setdefault(bucket, {})
            return 200, b"", {}
        if bucket not in fake.buckets:
            return _error(404, "NoSuchBucket", "The specified bucket does not exist")
        objects = fake.buckets[bucket]
        if "list-type" in query:
            return (
                200,
                _listing(objects, query.get("prefix", [""])[0]),
                {"Content-Type": "application/xml"},
            )
        if self.command == "DELETE":
            objects.pop(name, None)
            return 204, b"", {}
        if self.command == "PUT":
            exists, match = name in objects, self.headers.get("If-Match")
            if (match and not exists) or (match and match != _etag(objects[name])):
                return _error(412, "PreconditionFailed", "The condition does not hold")
            if self.headers.get("If-None-Match") and exists:
                return _error(412, "PreconditionFailed", "The condition does not hold")
            objects[name] = body
            prefix = "x-amz-meta-"
            fake.attributes[name] = {
                key.lower(): value
                for key, value in self.headers.items()
                if key.lower().startswith(prefix)
            }
        elif name not in objects:
            return _error(404, "NoSuchKey", "The specified key does not exist.")
        elif name in fake.unreadable:
            return _error(*fake.unreadable[name])
        modified = {"Last-Modified": "Thu, 24 Sep 2020 11:57:06 GMT"}
        content = b"" if self.command == "PUT" else objects[name]
        return (
            200,
            content,
            {
                "ETag": _etag(objects[name]),
                **modified,
                **({} if self.command == "PUT" else fake.attributes.get(name, {})),
            },
        )


def _etag(data: bytes) -> str:
    return f'"{hashlib.sha256(data).hexdigest()}"'


def _error(status: int, code: str, message: str) -> tuple[int, bytes, dict[str, str]]:
    text = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return status, text.encode(), {"Content-Type": "application/xml"}


def _listing(objects: dict[str, bytes], prefix: str) -> bytes:
    contents = "".join(
        f"<Contents><Key>{name}</Key><LastModified>2020-09-24T11:57:06.000Z</LastModified>"
        f"<ETag>{_etag(data)}</ETag><Size>{len(data)}</Size></Contents>"
        for name, data in sorted(objects.items())
        if name.startswith(prefix)
    )
    return (
        f"<ListBucketResult><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>".encode()
    )


@pytest.fixture
def minio(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeMinio]:
    monkeypatch.setattr(s3, "FIRST_DELAY_S", 0.01)
    with FakeMinio() as fake:
        threading.Thread(target=fake.serve_forever, args=(0.01,), daemon=True).start()
        yield fake
        fake.shutdown()


def connect(minio: FakeMinio) -> S3ObjectStore:
    return S3ObjectStore(S3Config(minio.address, "user", "secret"))


def content(store: S3ObjectStore, name: str) -> tuple[bytes, str]:
    stored = store.get(name)
    assert stored
    return stored.data, stored.etag


def test_objects_are_read_as_they_were_written(minio: FakeMinio) -> None:
    store = connect(minio)
    assert store.get("a/b=1/c.json") is None
    data = os.urandom(3 * s3.CHUNK_BYTES + 1)
    store.put("a/b=1/c.json", data)
    assert content(store, "a/b=1/c.json") == (data, _etag(data))
    assert store.put("a/b=1/c.json", b"") == _etag(b"")
    assert content(store, "a/b=1/c.json") == (b"", _etag(b""))
    store.delete("a/b=1/c.json")
    store.delete("a/b=1/c.json")
    assert not minio.objects


def test_a_prefix_may_end_within_a_name(minio: FakeMinio) -> None:
    store = connect(minio)
    for name in ("x/index-1.b/2", "x/index-1.b/1", "x/index-10.c/1", "x/index-1", "y/index-1.b/1"):
        store.put(name, name.encode())
    assert store.list_sizes("x/index-1.") == {"x/index-1.b/1": 13, "x/index-1.b/2": 13}
    assert list(store.list_sizes("x/")) == [
        "x/index-1",
        "x/index-1.b/1",
        "x/index-1.b/2",
        "x/index-10.c/1",
    ]
    assert len(store.list_sizes("")) == 5
    assert store.list_sizes("z/") == {}


def test_a_write_whose_condition_does_not_hold_is_a_conflict(minio: FakeMinio) -> None:
    store = connect(minio)
    store.put("a", b"1", if_absent=True)
    first = store.get("a")
    assert first
    with pytest.raises(WriteConflictError, match="Another run wrote a in the meantime"):
        store.put("a", b"2", if_absent=True)
    store.put("a", b"2", if_match=first.etag)
    with pytest.raises(WriteConflictError):
        store.put("a", b"3", if_match=first.etag)
    with pytest.raises(WriteConflictError):
        store.put("gone", b"3", if_match=first.etag)
    assert minio.objects == {"a": b"2"}


def test_the_same_content_of_another_run_is_a_conflict(minio: FakeMinio) -> None:
    store = connect(minio)
    store.put("plan", b"1", if_absent=True)
    with pytest.raises(WriteConflictError):
        store.put("plan", b"1", if_absent=True)


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_a_conditional_write_without_an_answer_is_not_a_conflict(
    minio: FakeMinio, lost: int
) -> None:
    store = connect(minio)
    minio.lost_responses = ["PUT"] * lost
    store.put("a", b"1", if_absent=True)
    etag = store.get("a").etag  # type: ignore[union-attr]
    minio.lost_responses = ["PUT"] * lost
    store.put("a", b"2", if_match=etag)
    assert minio.objects == {"a": b"2"}


def test_a_conflict_after_a_missing_answer_is_still_a_conflict(minio: FakeMinio) -> None:
    minio.objects["a"] = b"of another run"
    minio.lost_responses = ["PUT"]
    with pytest.raises(WriteConflictError):
        connect(minio).put("a", b"1", if_absent=True)
    assert minio.objects == {"a": b"of another run"}


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_other_requests_without_an_answer_are_retried(minio: FakeMinio, method: str) -> None:
    store = connect(minio)
    store.put("a", b"1")
    minio.lost_responses = [method]
    if method == "GET":
        assert store.get("a")
    elif method == "PUT":
        store.put("a", b"2")
    else:
        store.delete("a")
    assert minio.requests[-2:] == [f"{method} a"] * 2


@contextmanager
def fails_with(*parts: str) -> Iterator[None]:
    started = time.monotonic()
    with pytest.raises(LakeUnavailableError) as failure:
        yield
    for part in parts:
        assert part in str(failure.value)
    assert time.monotonic() - started < 10


OPERATIONS = {
    "get": lambda store: store.get("a"),
    "put": lambda store: store.put("a", b"1"),
    "put_if_absent": lambda store: store.put("a", b"1", if_absent=True),
    "list_sizes": lambda store: store.list_sizes("a/"),
    "delete": lambda store: store.delete("a"),
    "ensure_bucket": lambda store: store.ensure_bucket(),
}


@pytest.mark.parametrize("operation", OPERATIONS)
class TestUnavailable:
    def test_an_unreachable_minio_is_reported(self, minio: FakeMinio, operation: str) -> None:
        store = connect(minio)
        minio.shutdown()
        minio.server_close()
        with fails_with(f"MinIO does not answer on {minio.address}.", "make up"):
            OPERATIONS[operation](store)

    def test_wrong_keys_are_reported_without_a_retry(
        self, minio: FakeMinio, operation: str
    ) -> None:
        minio.refusal = (403, "InvalidAccessKeyId", "The Access Key Id does not exist.")
        with fails_with(
            f"MinIO on {minio.address} refuses: The Access Key Id does not exist (Invalid",
            "MINIO_ROOT_USER and MINIO_ROOT_PASSWORD in .env",
        ):
            OPERATIONS[operation](connect(minio))
        # A read looks once whether only the object is refused.
        assert len(minio.requests) == (2 if operation == "get" else 1)

    def test_a_full_disk_is_reported(self, minio: FakeMinio, operation: str) -> None:
        minio.refusal = (507, "XMinioStorageFull", "The drive is full.")
        with fails_with("refused to", "The drive is full (XMinioStorageFull)", "make status"):
            OPERATIONS[operation](connect(minio))


def test_an_object_says_what_it_holds(minio: FakeMinio) -> None:
    store = connect(minio)
    store.put("a", b"12345", attributes={"events": "5", "written": ""})
    stored, info = store.get("a"), store.head("a")
    assert stored
    assert info == ObjectInfo(5, _etag(b"12345"), stored.attributes)
    assert stored.attributes["events"] == "5"
    assert "written" not in stored.attributes
    assert store.list_objects("a") == {"a": ObjectInfo(5, _etag(b"12345"))}
    assert store.head("b") is None


def test_an_object_without_a_checksum_is_accepted(minio: FakeMinio) -> None:
    minio.objects["a"] = b"of 0.2"
    assert content(connect(minio), "a")[0] == b"of 0.2"


@pytest.mark.parametrize("damage", ["flip", "truncate", "swap", "attribute"])
def test_an_object_that_changed_is_damaged(minio: FakeMinio, damage: str) -> None:
    store = connect(minio)
    for name in ("a", "b"):
        store.put(name, f"content of {name}".encode(), attributes={"events": "5"})
    objects, attributes = minio.objects, minio.attributes
    if damage == "flip":
        objects["a"] = b"content of c"
    elif damage == "truncate":
        objects["a"] = objects["a"][:-1]
    elif damage == "swap":
        objects["a"], objects["b"] = objects["b"], objects["a"]
        attributes["a"], attributes["b"] = attributes["b"], attributes["a"]
    else:
        attributes["a"]["x-amz-meta-events"] = "6"
    with pytest.raises(DamagedObjectError, match=r"(?s)^a in the lake is damaged.*make repair"):
        store.get("a")


UNREADABLE = {
    "flipped": (503, "SlowDownRead", "Resource requested is unreadable."),
    "metadata": (500, "InternalError", "We encountered an internal error: file is corrupted."),
    "refused": (403, "AccessDenied", "Access Denied."),
}


@pytest.mark.parametrize(
    ("read", "kind"),
    # MinIO reads no content for a HEAD, so that it answers one for a flipped object.
    [("get", "flipped"), ("get", "metadata"), ("get", "refused"), ("head", "metadata")],
)
def test_an_object_that_minio_cannot_read_is_named(minio: FakeMinio, read: str, kind: str) -> None:
    store = connect(minio)
    minio.objects["a"] = minio.objects["b"] = b"1"
    minio.unreadable["a"] = UNREADABLE[kind]
    with pytest.raises(DamagedObjectError, match=r"^a in the lake is damaged: MinIO cannot"):
        getattr(store, read)("a")
    assert content(store, "b")[0] == b"1"


def test_an_object_that_never_arrives_is_named_in_time(
    minio: FakeMinio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_client, "READ_TIMEOUT_S", 0.2)
    s3_client.connect.cache_clear()
    minio.objects["a"] = b"x" * 2 * s3.CHUNK_BYTES
    minio.stalled.add("a")
    began = time.monotonic()
    with pytest.raises(DamagedObjectError, match=r"^a in the lake is damaged: MinIO cannot"):
        connect(minio).get("a")
    minio.resumed.set()
    s3_client.connect.cache_clear()
    assert time.monotonic() - began < 10


def test_a_minio_that_restarts_during_a_read_damages_nothing(minio: FakeMinio) -> None:
    store = connect(minio)
    minio.objects["a"] = b"1"
    minio.restarts_in = s3_client.RETRIES + 1
    assert content(store, "a")[0] == b"1"


@pytest.mark.parametrize(
    ("size", "seconds"), [(0, 60), (30_000_000, 60), (30_000_001, 120), (10**12, 3_600)]
)
def test_a_write_has_time_for_its_size(size: int, seconds: int) -> None:
    assert s3_client.write_timeout_s(size) == seconds


def test_the_bucket_is_created_once(minio: FakeMinio) -> None:
    del minio.buckets["data-lake"]
    store = connect(minio)
    assert store.get("a") is None
    with fails_with("The specified bucket does not exist"):
        store.put("a", b"1")
    store.ensure_bucket()
    assert minio.buckets == {"data-lake": {}}
    minio.objects["a"] = b"1"
    store.ensure_bucket()
    assert minio.objects == {"a": b"1"}


def test_environment_variables_of_aws_and_proxies_are_ignored(
    minio: FakeMinio, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-aws")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of-aws")
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    monkeypatch.setenv("AWS_CONDITIONAL_PUT", "disabled")
    monkeypatch.setenv("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "true")
    connect(minio).put("a", b"1", if_absent=True)
    assert minio.objects == {"a": b"1"}
    assert "Credential=user/" in minio.headers["authorization"]
    assert "x-amz-security-token" not in minio.headers


class TestConfig:
    settings: ClassVar = SimpleNamespace(
        minio_address="minio:9000", minio_user="user", minio_password=SecretStr("secret")
    )

    def test_it_comes_from_settings_and_can_be_pickled_for_executors(self) -> None:
        config = S3Config.from_settings(self.settings)
        assert config == S3Config("minio:9000", "user", "secret", "data-lake")
        assert pickle.loads(pickle.dumps(config)) == config  # noqa: S301

    def test_its_repr_hides_the_secret(self) -> None:
        assert "secret" not in repr(S3Config.from_settings(self.settings))
