"""One customer, one bucket: the unit of parallelism, retry, rebuild and erasure."""

from __future__ import annotations

import zlib


def bucket_of(user_id: str, buckets: int) -> int:
    """The bucket of a customer: CRC-32 (ISO-HDLC, as zlib has it) of the id's UTF-8 text, modulo `buckets`."""
    return zlib.crc32(user_id.encode()) % buckets
