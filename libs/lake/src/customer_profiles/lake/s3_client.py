"""obstore's client for MinIO: signatures, timeouts and retries."""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from obstore.store import S3Store

from customer_profiles.lake.s3_config import S3Config

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Credential

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 15
"""Longest wait for the next part of an object that is read."""
WRITE_TIMEOUT_S = 60
"""Longest wait for the answer to a write of up to 30 MB: the disk may have other work."""
MIN_BYTES_PER_S = 1_000_000
"""A transfer that is slower for long has failed."""
REQUEST_TIMEOUT_S = 3_600
"""No request takes longer, whatever its size."""
RETRIES = 3
RETRY_TIMEOUT_S = 30
"""No retry starts later than this after the first attempt."""
FIRST_DELAY_S = 0.2
"""Delay before the first retry. It doubles with each retry."""
MAX_DELAY_S = 2.0
REGION = "us-east-1"
"""MinIO's default region. It is part of every signature."""


def read_deadline_s(size: int) -> float:
    """Return the seconds in which an object of this size, in bytes, has to arrive."""
    return 2 * READ_TIMEOUT_S + size / MIN_BYTES_PER_S


def write_timeout_s(size: int) -> int:
    """Return the seconds in which MinIO has to answer a write of this size, in bytes.

    The result is `WRITE_TIMEOUT_S`, doubled until it fits, because every value is another client.
    """
    timeout = WRITE_TIMEOUT_S
    while timeout < WRITE_TIMEOUT_S / 2 + size / MIN_BYTES_PER_S:
        timeout *= 2
    return min(timeout, REQUEST_TIMEOUT_S)


@lru_cache(maxsize=8)
def connect(
    config: S3Config, retries: int, *, timeout_s: float | None = None, root: bool = False
) -> S3Store:
    """Return this process's client for a lake. Creating one takes 15 ms, for TLS certificates.

    Args:
        config: the connection.
        retries: how often the client repeats a request that got no answer or a server error.
        timeout_s: longest wait for an answer, and for the next part of one; None is that of reads.
        root: use the S3 buckets as the objects, instead of the objects in the bucket.
    """

    def credentials() -> S3Credential:
        return {
            "access_key_id": config.access_key,
            "secret_access_key": config.secret_key,
            "token": None,
            "expires_at": None,
        }

    url = f"http://{config.address}"
    return S3Store(
        config.bucket,
        # obstore reads settings that are left out from the environment. The variables of somebody
        # who also works with AWS must not change where the lake is or how it is written.
        credential_provider=credentials,
        endpoint=url,
        aws_endpoint_url_s3=url,
        region=REGION,
        virtual_hosted_style_request=root,
        skip_signature=False,
        conditional_put="etag",
        # Hashing the content for the signature takes 1 ms per MB, and TCP has a checksum already.
        unsigned_payload=True,
        disable_bulk_delete=True,
        client_options=_client_options(config.address, timeout_s or READ_TIMEOUT_S),
        retry_config={
            "max_retries": retries,
            "retry_timeout": timedelta(seconds=RETRY_TIMEOUT_S),
            "backoff": {
                "init_backoff": timedelta(seconds=FIRST_DELAY_S),
                "max_backoff": timedelta(seconds=MAX_DELAY_S),
                "base": 2,
            },
        },
    )


def _client_options(address: str, timeout_s: float) -> ClientConfig:
    """Return the options of the HTTP client for MinIO at `host:port`."""
    return {
        "allow_http": True,
        "connect_timeout": timedelta(seconds=CONNECT_TIMEOUT_S),
        "read_timeout": timedelta(seconds=timeout_s),
        "timeout": timedelta(seconds=REQUEST_TIMEOUT_S),
        # MinIO is on this machine or network. Without an exception for its host, requests would go
        # through the proxy that HTTP_PROXY names.
        "proxy_url": f"http://{address}",
        "proxy_excludes": address.rsplit(":", 1)[0].strip("[]"),
    }
